"""Which entry is off, when a check of all entries at once fails. Floor 10.

A direction moves every entry. Where a witness disagrees along it, the entries are cut
into halves again and again, and the search goes on in the half that is further off:
log2(n) pairs of evaluations find one of n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.proof.witnesses import Ask, Direction, Point


def culprit(
    point: Point, direction: Direction, bars: Sequence[Any], ask: Ask
) -> Direction:
    """The direction of the single entry that a witness objects to most.

    Args:
        point: where.
        direction: of all entries, along which the witness disagrees.
        bars: adjoints of the inputs, which are checked.
        ask: the witness.
    """
    low, high = 0, sum(np.size(dot) for dot in direction.dots.values())
    while high - low > 1:
        middle = (low + high) // 2
        halves = [_part(direction, low, middle), _part(direction, middle, high)]
        gaps = [
            0.0 if x is None else abs(half.along(bars) - x)
            for half, x in zip(halves, ask(halves), strict=True)
        ]
        low, high = (low, middle) if gaps[0] >= gaps[1] else (middle, high)
    return _entry(point, direction, low)


def _part(direction: Direction, low: int, high: int) -> Direction:
    """A direction that moves the entries of a range alone."""
    dots, start = {}, 0
    for place, dot in direction.dots.items():
        size = np.size(dot)
        numbers = np.arange(start, start + size).reshape(np.shape(dot))
        start += size
        inside = (numbers >= low) & (numbers < high)
        if inside.any():
            dots[place] = np.where(inside, dot, 0.0)
    return Direction(direction.label, dots)


def _entry(point: Point, direction: Direction, number: int) -> Direction:
    for place, dot in direction.dots.items():
        if number < np.size(dot):
            index = np.unravel_index(number, np.shape(dot))
            return point.by_entry(place, tuple(map(int, index)))
        number -= np.size(dot)
    msg = f"entry {number} is beyond the last"
    raise IndexError(msg)
