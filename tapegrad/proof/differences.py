"""Differences of the function itself, and what they say of kinks and edges. Floor 10.

    f'(x)  ~  (8 (f(x+h) - f(x-h)) - f(x+2h) + f(x-2h)) / 12h

Fourth order, at several h, of which the two that agree best count. Where the slopes
from the left and from the right stay apart as h falls there is a kink, and no
derivative: then the two slopes are reported, between which a subgradient lies.

Floats allow no small steps. So `Found.closer` asks again at 100 digits, where what was
found speaks against a derivative.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tapegrad.errors import BranchChanged, DomainError
from tapegrad.proof.closer import Function, closer, faithful
from tapegrad.proof.witnesses import Direction, Point, Witness, floats_of

STEPS = (1e-2, 1e-3, 1e-4, 1e-5)


@dataclass(frozen=True, slots=True)
class Found:
    """What differences say along one direction.

    Args:
        value: the derivative; None where they have no answer.
        note: why not, in words.
        slopes: those from the left and from the right of a kink.
        closer: the derivative by differences at 100 digits, None without an answer.
    """

    value: float | None = None
    note: str = ""
    slopes: tuple[float, float] | None = None
    closer: Callable[[], float | None] = lambda: None


class Differences:
    """The witness that needs no tape.

    Args:
        f: the function, of the inputs of a point.
        point: where.
        recorded: what was recorded of it, of a reading and the inputs in it.

    Attributes:
        found: what it said, by the label of the direction.
    """

    def __init__(
        self, f: Callable[[Sequence[Any]], float], point: Point, recorded: Function
    ) -> None:
        self.f = f
        self.point = point
        self.recorded = recorded
        self.found: dict[str, Found] = {}

    def __call__(self, directions: Sequence[Direction]) -> Witness:
        """The derivative along each of some directions."""
        answers = []
        for direction in directions:
            ask = functools.partial(self._closer, direction)
            answer = replace(self._along(direction), closer=ask)
            self.found[direction.label] = answer
            answers.append(answer.value)
        return answers

    def _closer(self, direction: Direction) -> float | None:
        """The derivative at 100 digits, where the recording is the function."""
        scale = max(self.point.size(direction), 1e-3)
        m = floats_of(self.point.base)

        def both(offset: float) -> tuple[float, float]:
            at = self.point.moved(direction, offset * scale)
            return self.f(at), float(self.recorded(m, [m.number(x) for x in at]))

        try:
            middle = self.f(self.point.inputs)
            beside = [both(side * step) for step in STEPS[1::2] for side in (-1, 1)]
        except Exception:  # noqa: BLE001 - whatever the user's code raises
            return None
        if not faithful(beside, middle):
            return None
        return closer(self.recorded, self.point, direction)

    def _along(self, direction: Direction) -> Found:
        scale = max(self.point.size(direction), 1e-3)

        def at(offset: float) -> float:
            return self.f(self.point.moved(direction, offset * scale))

        try:
            return _judged(at, scale)
        except BranchChanged as problem:
            where = f"{problem.file}:{problem.line}"
            return Found(note=f"beside this point the branch at {where} changes")
        except DomainError as problem:
            return Found(note=f"beside this point: {problem}")
        except Exception as problem:  # noqa: BLE001 - whatever the user's code raises
            kind = type(problem).__name__
            return Found(note=f"beside this point f raises {kind}: {problem}")


def _judged(at: Callable[[float], float], scale: float) -> Found:
    found, gaps = [], []
    middle = at(0.0)
    for step in STEPS:
        h = step * scale
        up, down = at(step), at(-step)
        found.append((8 * (up - down) - at(2 * step) + at(-2 * step)) / (12 * h))
        gaps.append(abs(up + down - 2 * middle) / h)
    if not math.isfinite(middle):
        return Found(note=f"the function is {middle} here")
    # the slopes left and right come together as h falls, but not at a kink
    noise = 1e3 * 2.0**-52 * abs(middle) / (STEPS[2] * scale)
    if gaps[2] > 0.3 * gaps[0] and gaps[2] > noise + 1e-6 * abs(found[2]):
        left, right = (_one_sided(at, middle, side, scale) for side in (-1, 1))
        if math.isfinite(left) and math.isfinite(right) and _steady(at, middle, scale):
            words = f"slope {left:.6g} from the left and {right:.6g} from the right"
            return Found(note=f"a kink: {words}", slopes=(left, right))
        return Found(note="differences settle on no slope: a jump, a pole or noise")
    # ... and where the function itself jumps, as a gradient does at a kink, they grow
    sizes = list(map(abs, found))
    if sizes[0] > 0 and all(b > 5 * a for a, b in itertools.pairwise(sizes)):
        return Found(note="differences grow without end: a jump or a pole")
    best = min(itertools.pairwise(found), key=lambda pair: abs(pair[0] - pair[1]))
    if math.isfinite(best[1]):
        return Found(best[1])
    sides = [math.isfinite(at(side * STEPS[2])) for side in (-1, 1)]
    if sides == [True, True]:
        return Found()
    where = "either side" if not any(sides) else "the right" if sides[0] else "the left"
    return Found(note=f"the edge of the domain: no value to {where}")


def _one_sided(
    at: Callable[[float], float], middle: float, side: int, scale: float
) -> float:
    """The slope on one side, second order."""
    step = side * STEPS[2]
    slope = (4 * at(step) - at(2 * step) - 3 * middle) / (2 * step * scale)
    return slope + 0.0  # and no -0


def _steady(at: Callable[[float], float], middle: float, scale: float) -> bool:
    """Whether the slopes on the sides stay as they are when h falls."""
    for side in (-1, 1):
        one, other = (
            (at(side * step) - middle) / (side * step * scale) for step in STEPS[1:3]
        )
        if not abs(one - other) <= 0.1 * max(abs(one), abs(other), 1e-3):
            return False
    return True
