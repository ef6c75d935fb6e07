"""A solver of the user's, as a step holds it. Floor 8."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ambient import CLOSED, CURRENT
from tapegrad.errors import ShapeError, TapeFormatError
from tapegrad.real import as_data
from tapegrad.recording import is_output
from tapegrad.tape.structure import Tree, flatten, match


class Solver:
    """Python code that finds the unknowns at numbers.

    Args:
        function: the user's.
        arguments: how its arguments nest.
        result: how its result nests, once that is known.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[Tree, ...],
        result: Tree | None = None,
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.result = result

    def __repr__(self) -> str:
        function = self.function
        name = getattr(function, "__qualname__", type(function).__name__)
        return name if self._known() else f"{name} at {id(function):#x}"

    def _known(self) -> bool:
        """Whether the function can be found again by its name."""
        name = getattr(self.function, "__qualname__", "")
        module = getattr(self.function, "__module__", None)
        if not name.isidentifier() or not module:
            return False
        return getattr(sys.modules.get(module), name, None) is self.function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Solver) and self._parts() == other._parts()

    def _parts(self) -> tuple[Any, ...]:
        return id(self.function), self.arguments, self.result

    def __hash__(self) -> int:
        return hash(id(self.function))

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickle.dumps(self.function)
        except Exception as problem:  # noqa: BLE001 - pickle's errors are of any type
            msg = (
                f"a tape with tg.implicit holds its solver, and {self!r} cannot be "
                f"pickled ({problem}); define it at the top of a module"
            )
            raise TapeFormatError(msg) from None
        return Solver, (self.function, self.arguments, self.result)

    @property
    def unsaved(self) -> str:
        """Why a file cannot hold it."""
        return (
            f"a file cannot hold the Python code {self!r} that solves the equations of "
            "tg.implicit; save what calls it, or pickle a tape whose solver stands at "
            "the top of a module"
        )

    def solution(self, leaves: Sequence[Any]) -> tuple[list[Any], Tree]:
        """The unknowns at numbers, and how they nest."""
        built, start = [], 0
        for tree in self.arguments:
            stop = start + len(tree.dynamic)
            built.append(tree.build([_own(x) for x in leaves[start:stop]]))
            start = stop
        token = CURRENT.set(CLOSED)  # Values that a solver uses are its own
        try:
            found = self.function(*built)
        finally:
            CURRENT.reset(token)
        if self.result is not None:
            return match(self.result, found, "the solution"), self.result
        return flatten(found, is_output)

    def __call__(self, leaves: Sequence[Any], avals: Sequence[Any]) -> list[Any]:
        """The unknowns at numbers, of the shapes that they had.

        Raises:
            ShapeError: another nesting or shape.
        """
        found, _ = self.solution(leaves)
        made = [as_unknown(leaf) for leaf in found]
        for leaf, (shape, _) in zip(made, avals, strict=True):
            if np.shape(leaf) != shape:
                msg = (
                    f"{self} found an unknown of shape {np.shape(leaf)}, and of shape "
                    f"{shape} when it was recorded; record again"
                )
                raise ShapeError(msg)
        return made


def as_unknown(leaf: Any) -> Any:
    """A number or array that a solver found, as floats of its own."""
    data = as_data(getattr(leaf, "_data", leaf))
    if isinstance(data, np.ndarray):
        data = data.astype(np.float64, order="C")
        data.flags.writeable = False
        return data
    return float(data)


def _own(x: Any) -> Any:
    """A copy that a solver may write to."""
    return np.array(x) if isinstance(x, np.ndarray) else x
