"""The open pieces on which a user's row is analytic, for the proofs. Floor 10.

Each is a function of a maker of symbols, as the table's rows have them: between two
kinks a and b an argument is a + (b - a) t/(1 + t), with t > 0.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from tapegrad.primitives.points import affine, switches
from tapegrad.primitives.text import Code
from tapegrad.readings.sympy import SYMPY
from tapegrad.rules.primitive import Interval

Piece = Callable[[Any], tuple[Any, ...]]
NAMES = "xyzuvwabcdefgh"
# More pieces than this take too long to prove.
MOST = 24


def pieces(code: Code, domains: Sequence[Interval]) -> tuple[Piece, ...]:
    """The pieces between the kinks that stand at a number of one argument.

    Kinks elsewhere (x = y, x**2 = 1) are left to the prover, which splits cases.
    """
    lines = affine(code)
    slots = list(code.arguments)
    cuts: list[set[float]] = [set() for _ in slots]
    for left, right in switches(code):
        place_at = _cut(lines.get(left), right, lines, code)
        if place_at is not None:
            place, at = slots.index(place_at[0]), place_at[1]
            if domains[place][0] < at < domains[place][1]:
                cuts[place].add(at)
    spans = []
    for interval, inner in zip(domains, cuts, strict=True):
        ends = [interval[0], *sorted(inner), interval[1]]
        spans.append(list(itertools.pairwise(ends)))
    if math.prod(map(len, spans)) > MOST:
        spans = [[interval] for interval in domains]
    return tuple(_piece(choice) for choice in itertools.product(*spans))


def _cut(
    line: Any, other: int | None, lines: Any, code: Code
) -> tuple[int, float] | None:
    """Where a switch is, if it is at a number of one argument."""
    if other is None:
        second = (None, 0.0, 0.0)
    elif other in code.constants:
        value = code.constants[other]
        second = (None, 0.0, float(getattr(value, "value", value)))
    else:
        second = lines.get(other)
    if line is None:
        return None
    if second is None:
        return None
    if second[0] not in {None, line[0]}:
        return None
    slope, offset = line[1] - second[1], line[2] - second[2]
    if slope == 0 or not math.isfinite(offset / slope):
        return None
    return line[0], -offset / slope + 0.0


def _piece(spans: Sequence[Interval]) -> Piece:
    def piece(s: Any) -> tuple[Any, ...]:
        return tuple(
            _operand(s, name, span) for name, span in zip(NAMES, spans, strict=False)
        )

    return piece


def _operand(s: Any, name: str, span: Interval) -> Any:
    low, high = (SYMPY.number(end) for end in span)
    if low == -sp.oo and high == sp.oo:
        return s.real(name)
    if high == sp.oo:
        return low + s.positive(name)
    if low == -sp.oo:
        return high + s.negative(name)
    t = s.positive(name)
    return low + (high - low) * t / (1 + t)
