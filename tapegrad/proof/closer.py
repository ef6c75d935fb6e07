"""Differences at 100 digits, where those of floats are too coarse. Floor 10.

A function may swing within the smallest step that floats can make (sin at 10^10), round
all of a difference away, or have a kink close by. The recorded function, replayed with
100 digits, has steps that are smaller by far. It counts only where the recording gives
what the function itself gives beside the point: what was lost while recording is lost
here, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import TapegradError
from tapegrad.proof.witnesses import Direction, Point
from tapegrad.readings import reading

DIGITS = "mpmath:100"
# Of the size of the point: even an angle of 10^22 moves by little.
STEPS = ("1e-25", "1e-27")
# Where it is smooth, the slopes on both sides are this near, and those of both steps.
SIDES, SMOOTH = 1e-3, 1e-5
# Entries of all steps together beyond which this takes too long.
MANY_ENTRIES = 20_000

Function = Callable[[Any, Sequence[Any]], Any]


def closer(function: Function, point: Point, direction: Direction) -> float | None:
    """The derivative along a direction by differences; None where there is none.

    Args:
        function: of a reading and the inputs in it.
        point: where.
        direction: along which.
    """
    if point.entries(point.base) > MANY_ENTRIES:
        return None
    m = reading(DIGITS)
    scale = m.number(point.size(direction) or 1.0)
    inputs = [m.number(x) for x in point.inputs]

    def at(offset: Any) -> Any:
        moved = list(inputs)
        for place, dot in direction.dots.items():
            moved[place] = moved[place] + m.number(dot) * offset
        return function(m, moved)

    try:
        middle, found = at(m.number(0.0)), []
        for text in STEPS:
            h = m.number(text) * scale
            up, down = at(h), at(-h)
            found.append((up - down) / (h + h))
        sides = float((up - middle) / h), float((middle - down) / h)
        coarse, best = map(float, found)
    except (TapegradError, ArithmeticError):
        return None
    size = max(map(abs, sides))
    smooth = abs(sides[0] - sides[1]) <= SIDES * size
    return best if smooth and abs(coarse - best) <= SMOOTH * size else None


def along(direction: Direction, m: Any, bars: Sequence[Any]) -> Any:
    """The derivative along a direction from adjoints, with the digits they have."""
    total = m.number(0.0)
    for place, dot in direction.dots.items():
        if bars[place] is not None:
            bar = np.asarray(bars[place], object)
            pairs = zip(np.ravel(bar), np.ravel(dot), strict=True)
            total = sum((one * m.number(float(x)) for one, x in pairs if x), total)
    return total


def faithful(pairs: Iterable[tuple[float, float]], middle: float) -> bool:
    """Whether a recording gives what its function gives.

    Args:
        pairs: what both give beside the point.
        middle: what they give there.
    """
    return all(
        one == other
        or (math.isnan(one) and math.isnan(other))
        or abs(one - other) <= SMOOTH * abs(one - middle)
        for one, other in pairs
    )
