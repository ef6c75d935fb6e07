"""Numbers to look at a function by: its only result, or entries of several. Floor 10.

A gradient is one number's. Of a function with several results each entry is a function
of its own; where there are many, some are taken, and all at once with random signs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.errors import ShapeError
from tapegrad.recording import is_output
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import flatten, paths
from tapegrad.tape.tape import Tape

# Entries of results that are looked at one by one.
MOST = 8


@dataclass(frozen=True)
class View:
    """One number of what a function returns.

    Args:
        name: how rows are headed, "f[1]"; "" for the only number.
        place: of the result; -1 for all with signs.
        index: the entry.
        signs: by place, where all are taken at once.
    """

    name: str
    place: int = 0
    index: tuple[int, ...] = ()
    signs: Mapping[int, Any] | None = None

    def of(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """The function of this number alone."""
        if not self.name:
            return f

        @functools.wraps(f)  # for the names of its arguments
        def number(*args: Any, **kwargs: Any) -> Any:
            leaves, _ = flatten(f(*args, **kwargs), is_output)
            if self.signs is None:
                leaf = leaves[self.place]
                return leaf[self.index] if self.index else leaf
            return sum(np.sum(leaves[k] * sign) for k, sign in self.signs.items())

        return number

    def weights(self, tape: Tape) -> dict[int, Any]:
        """The adjoints of a tape's outputs that pick it, by place."""
        if self.signs is not None:
            return dict(self.signs)
        unit = np.zeros(tape.aval_of(tape.outputs[self.place])[0])
        unit[self.index] = 1.0
        return {self.place: unit}

    def native(
        self, compiled: Any, tape: Tape, args: Any, kwargs: Mapping[str, Any]
    ) -> list[Any]:
        """The compiled gradient of it, by place of the differentiable input."""
        if not self.name:
            return _leaves(compiled.gradient(*args, **kwargs))
        rows = _leaves(compiled.jacobian(*args, **kwargs))
        count = len(rows) // len(tape.outputs)
        found: list[Any] = [0.0] * count
        for place, weight in self.weights(tape).items():
            for k in range(count):
                row = np.asarray(rows[place * count + k])
                found[k] = found[k] + np.tensordot(weight, row, np.ndim(weight))
        return found


def _leaves(nested: Any) -> list[Any]:
    return flatten(nested, lambda x: isinstance(x, float | np.ndarray | np.generic))[0]


def views(tape: Tape) -> list[View]:
    """The numbers of a recorded function.

    Raises:
        ShapeError: no result is a float.
    """
    tree = tape.structure.result
    avals = [tape.aval_of(slot) for slot in tape.outputs]
    if tree.bare and avals[0][0] == () and avals[0][1] in FLOATING:
        return [View("")]
    names = paths(tree, "f")
    entries = [
        (place, index)
        for place, (shape, dtype) in enumerate(avals)
        if dtype in FLOATING
        for index in np.ndindex(shape)
    ]
    if not entries:
        shown = ", ".join(f"{dtype} of shape {shape}" for shape, dtype in avals)
        msg = (
            f"the function returns no floats ({shown}), so there is no derivative to "
            "check"
        )
        raise ShapeError(msg)
    few = entries
    if len(entries) > MOST:
        few = [entries[i * len(entries) // (MOST - 1)] for i in range(MOST - 1)]
    found = [
        View(names[place] + (str(list(index)) if index else ""), place, index)
        for place, index in few
    ]
    if len(entries) > MOST:
        rng = np.random.default_rng(0)
        signs = {
            place: rng.choice([-1.0, 1.0], shape)
            for place, (shape, dtype) in enumerate(avals)
            if dtype in FLOATING
        }
        found.append(View(f"all {len(entries)} results at once", signs=signs))
    return found
