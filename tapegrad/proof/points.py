"""Points to judge a row at, spread by exponent over its domain. Floor 10.

Uniform points between -1 and 1 never see a subnormal, nor a square that overflows. Here
half of the operands have an exponent drawn from all that a float has, and half one near
0, where functions are neither 0 nor infinite. The same seed gives the same points.
"""

from __future__ import annotations

import itertools
import math
import random
import struct
import sys
from collections.abc import Iterator

from tapegrad.rules import Primitive
from tapegrad.rules.primitive import Interval

Point = tuple[float | bool, ...]

LARGEST = sys.float_info.max
SMALLEST = 5e-324
NORMAL = sys.float_info.min

# Where implementations switch formulas, and the ends of the floats.
SPECIAL = (SMALLEST, NORMAL, LARGEST, 1.0, 0.5, 2.0, 1e-8, 1e8, 20.0, 700.0, 1e154)


def spread(
    row: Primitive, count: int, seed: int = 0, *, single: bool = False
) -> list[Point]:
    """Points inside a row's domain; the first operand of a ``where`` is a condition.

    Args:
        row: the row.
        count: how many points.
        seed: of the random numbers.
        single: points whose operands are float32's.
    """
    if single:
        return list(itertools.islice(_singles(row, seed), count))
    return list(itertools.islice(_doubles(row, count // 4, seed), count))


def _doubles(row: Primitive, special: int, seed: int) -> Iterator[Point]:
    """Points without an end; a part of them special ones."""
    yield from itertools.islice(_special(row), special)
    rng = random.Random(f"{row.name} {seed}")
    while True:
        point = [_number(rng, interval) for interval in row.domain]
        if len(point) > 1 and rng.random() < 0.2:  # operands of nearly one size
            close = point[0] * (1 + rng.uniform(-1, 1) * 2.0 ** -rng.randint(0, 50))
            if _inside(close, row.domain[-1]):
                point[-1] = close
        yield _conditioned(row, point, rng.random() < 0.5)


def _singles(row: Primitive, seed: int) -> Iterator[Point]:
    """The same rounded to float32, those that stay numbers of the domain."""
    for point in _doubles(row, 0, seed):
        near = [x if isinstance(x, bool) else _single(x) for x in point]
        pairs = zip(near, row.domain, strict=True)
        if all(isinstance(x, bool) or _inside(x, interval) for x, interval in pairs):
            yield tuple(near)


def _single(x: float) -> float:
    return struct.unpack("f", struct.pack("f", x))[0] if abs(x) < 2.0**127 else math.inf


def outside(row: Primitive, count: int, seed: int = 0) -> list[Point]:
    """Points with one operand outside the domain; none where it is the whole line."""
    rng = random.Random(f"{row.name} outside {seed}")
    bounded = [
        place
        for place, (low, high) in enumerate(row.domain)
        if low > -math.inf or high < math.inf
    ]
    found: list[Point] = []
    while bounded and len(found) < count:
        point = [_number(rng, interval) for interval in row.domain]
        place = rng.choice(bounded)
        point[place] = _number(rng, (-math.inf, math.inf))
        if not _inside(point[place], row.domain[place]):
            found.append(tuple(point))
    return found


def _special(row: Primitive) -> Iterator[Point]:
    signed = [sign * x for x in SPECIAL for sign in (1, -1)]
    for place, x in enumerate(signed):
        others = [signed[(place * 7 + 3 * k) % len(signed)] for k in range(1, 3)]
        point = [x, *others][: len(row.domain)]
        if all(map(_inside, point, row.domain)):
            yield _conditioned(row, point, place % 2 == 0)


def _conditioned(row: Primitive, point: list[float], condition: bool) -> Point:
    return (condition, *point[1:]) if row.kind == "select" else tuple(point)


def _inside(x: float, interval: Interval) -> bool:
    # the ends are where poles are, and edges of the row
    return math.isfinite(x) and interval[0] < x < interval[1] and x != 0


def _number(rng: random.Random, interval: Interval) -> float:
    """A number of the open interval, its exponent spread."""
    while True:
        exponent = rng.randint(-1074, 1023) if rng.random() < 0.5 else _moderate(rng)
        x = math.ldexp(1 + rng.random(), exponent) * rng.choice((1, -1))
        bound = rng.choice(interval)
        if math.isfinite(bound) and bound and rng.random() < 0.3:
            x = bound - math.copysign(math.ldexp(rng.random(), -rng.randint(1, 60)), x)
        if _inside(x, interval):
            return x


def _moderate(rng: random.Random) -> int:
    return rng.choice((rng.randint(-4, 4), rng.randint(-40, 12)))
