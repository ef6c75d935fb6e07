"""Which of several equal forms floats bear best: it is measured. Floor 10.

Every form is read by NumPy at points of all sizes, and judged in units of the last
place. The form as written is kept unless another is plainly better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.primitives.oracle import ulps
from tapegrad.primitives.text import Code, RuleText, write
from tapegrad.readings import NUMPY

# Errors beyond this are all alike: nothing is left.
HOPELESS = 2.0**60
# A form is better when it saves this share of the bits lost by the one before it.
MARGIN = 0.03


@dataclass(frozen=True)
class Form:
    """A form that was chosen, and what it gains.

    Args:
        what: "value", or "d/dx".
        name: how it was come by: "as written", "factored", "by a sweep", ...
        ulps: its worst error, at the points that were looked at.
        most: the error that nine in ten of them do not exceed.
        written: the worst error of the form as written.
        written_most: what nine in ten do not exceed there.
        at: where the form as written is worst.
        tried: how many different forms were compared.
    """

    what: str
    name: str
    ulps: float
    most: float
    written: float
    written_most: float
    at: tuple[float, ...]
    tried: int

    def __str__(self) -> str:
        head = f"{self.what}: {self.name}, {_figures(self.most, self.ulps)}"
        if self.name == "as written":
            return head
        at = ", ".join(map(repr, self.at))
        written = _figures(self.written_most, self.written)
        return f"{head}; as written {written}, at {at}"


def _figures(most: float, worst: float) -> str:
    return f"{most:.3g} ulp (nine in ten), {worst:.3g} (all)"


def best(
    what: str,
    candidates: Iterable[tuple[str, Code]],
    points: Sequence[Sequence[float]],
    exact: Sequence[Any],
    primals: Any = None,
) -> tuple[Form, Code]:
    """The code that floats bear best among some that are equal.

    Args:
        what: is computed, for people.
        candidates: names and codes, the one as written first.
        points: where to judge.
        exact: the number at each; None where there is none.
        primals: values of the function, for codes that use y.
    """
    columns = list(np.array(points, dtype=np.float64).T)
    judged = [i for i, number in enumerate(exact) if number is not None]
    found: list[tuple[float, str, Code, list[float]]] = []
    seen: set[str] = set()
    for name, code in candidates:
        text = write("f", code)
        if str(text) in seen:
            continue
        seen.add(str(text))
        operands = (
            columns if "y" not in code.arguments.values() else [primals, *columns]
        )
        errors = _errors(text, operands, len(points), judged, exact)
        lost = sum(math.log2(1 + min(e, HOPELESS)) for e in errors)
        found.append((lost, name, code, errors))
    best_one = found[0]
    for other in found[1:]:
        # better on the whole, and not much worse at most points
        saves = other[0] < best_one[0] * (1 - MARGIN) - 1e-9
        if saves and _most(other[3]) <= 2 * _most(best_one[3]) + 1:
            best_one = other
    written = found[0][3]
    worst = int(np.argmax(written)) if written else -1
    at = tuple(points[judged[worst]]) if written else ()
    form = Form(
        what,
        best_one[1],
        max(best_one[3], default=0.0),
        _most(best_one[3]),
        max(written, default=0.0),
        _most(written),
        at,
        len(found),
    )
    return form, best_one[2]


def _most(errors: Sequence[float]) -> float:
    ranked = sorted(errors)
    return ranked[int(0.9 * (len(ranked) - 1))] if ranked else 0.0


def _errors(
    text: RuleText,
    operands: Sequence[Any],
    count: int,
    judged: Sequence[int],
    exact: Sequence[Any],
) -> list[float]:
    with np.errstate(all="ignore"):
        made = np.broadcast_to(np.asarray(text(NUMPY, *operands), float), count)
    return [ulps(float(made[i]), exact[i]) for i in judged]


def joined(codes: Sequence[Code]) -> Code:
    """Several codes of the same arguments as one; equal steps are one step."""
    names: dict[str, int] = {}
    slots: dict[Any, int] = {}
    steps: list[tuple[int, str, tuple[int, ...], Mapping[str, Any]]] = []
    constants: dict[int, Any] = {}
    outputs: list[int] = []
    for code in codes:
        here: dict[int, int] = {}
        for slot, name in code.arguments.items():
            here[slot] = names.setdefault(name, -1 - len(names))
        for slot, value in code.constants.items():
            here[slot] = slots.setdefault((type(value), value), len(slots))
            constants[here[slot]] = value
        for slot, name, operands, params in code.needed():
            reads = tuple(here[x] for x in operands)
            key = (name, reads, tuple(sorted(params.items())))
            if key not in slots:
                slots[key] = len(slots)
                steps.append((slots[key], name, reads, params))
            here[slot] = slots[key]
        outputs += [here[slot] for slot in code.outputs]
    arguments = {slot: name for name, slot in names.items()}
    return Code(steps, arguments, constants, outputs)
