"""Where a definition is looked at: its domain, points spread by exponent, its kinks.

Floor 10. All of it is read off the code of the value, whether an expression or a
function was given.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.primitives.text import Code, Constant, restricted, write
from tapegrad.readings import NUMPY
from tapegrad.rules import TABLE
from tapegrad.rules.primitive import REAL, Interval

# Exponents of 2 up to 1e100. What is beyond shows in the verifier, which has longer.
WIDE = 333

# a*x + b of one argument: its slot, a and b.
Affine = tuple[int, float, float]


def affine(code: Code) -> dict[int, Affine]:
    """Slots that are a straight line in one argument."""
    found: dict[int, Affine] = {slot: (slot, 1.0, 0.0) for slot in code.arguments}
    for slot, name, operands, _ in code.needed():
        made = _affine_step(name, [found.get(x) for x in operands], operands, code)
        if made is not None:
            found[slot] = made
    return found


def _affine_step(
    name: str, lines: Sequence[Affine | None], operands: Sequence[int], code: Code
) -> Affine | None:
    numbers = [_float(code.constants.get(x)) for x in operands]
    if name == "neg" and lines[0]:
        slot, a, b = lines[0]
        return slot, -a, -b
    if name not in {"add", "sub", "mul", "div"}:
        return None
    (one, two), (c, d) = lines, numbers
    if one and two and one[0] == two[0] and name in {"add", "sub"}:
        sign = 1.0 if name == "add" else -1.0
        return one[0], one[1] + sign * two[1], one[2] + sign * two[2]
    if one and d is not None:
        slot, a, b = one
        by = {"add": (a, b + d), "sub": (a, b - d), "mul": (a * d, b * d)}
        if name == "div":
            return (slot, a / d, b / d) if d else None
        return (slot, *by[name])
    if two and c is not None and name != "div":
        slot, a, b = two
        by = {"add": (a, b + c), "sub": (-a, c - b), "mul": (a * c, b * c)}
        return (slot, *by[name])
    return None


def _float(constant: Any) -> float | None:
    if constant is None or isinstance(constant, bool):
        return None
    return constant.value if isinstance(constant, Constant) else float(constant)


def domain_of(code: Code) -> list[Interval]:
    """The interval of each argument outside which some step has no value.

    Only what is plain is seen: a straight line in one argument that a row (log, sqrt,
    acosh) takes from an interval. Where the code selects, a step may not count.
    """
    found = dict.fromkeys(code.arguments, REAL)
    if any(name == "where" for _, name, _, _ in code.needed()):
        return list(found.values())
    lines = affine(code)
    for slot, (low, high) in restricted(code):
        line = lines.get(slot)
        if line is None or line[1] == 0:
            continue
        argument, a, b = line
        ends = sorted(((low - b) / a, (high - b) / a))
        before = found[argument]
        found[argument] = max(before[0], ends[0]), min(before[1], ends[1])
    return [(low + 0.0, high + 0.0) for low, high in found.values()]


def spread(domains: Sequence[Interval], count: int, seed: str) -> list[list[float]]:
    """Points inside the domains, small and huge, and near the ends."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        # most of moderate size, some all of any, some one of any; of many arguments
        # of any size most functions overflow
        wide = number % (4 if len(domains) < 3 else 12) == 0
        several = len(domains) > 1 and number % 4 == 1
        odd = rng.randrange(len(domains)) if several else -1
        found.append(
            [
                _number(rng, interval, wide=wide or place == odd)
                for place, interval in enumerate(domains)
            ]
        )
    return found


def _number(rng: random.Random, interval: Interval, *, wide: bool) -> float:
    low, high = interval
    for _ in range(200):
        near = rng.choice((rng.randint(-4, 4), rng.randint(-30, 8)))
        exponent = rng.randint(-WIDE, WIDE) if wide else near
        x = math.ldexp(1 + rng.random(), exponent) * rng.choice((1, -1))
        bound = rng.choice(interval)
        if math.isfinite(bound) and bound and rng.random() < 0.3:
            gap = math.ldexp(rng.random() * abs(bound), -rng.randint(1, 50))
            x = bound + gap if bound == low else bound - gap
        elif math.isfinite(high - low) and not wide and rng.random() < 0.5:
            x = low + (high - low) * rng.random()
        elif math.isfinite(low) and low:
            x = low + abs(x)
        elif math.isfinite(high) and high:
            x = high - abs(x)
        elif (low == 0 and x < 0) or (high == 0 and x > 0):
            x = -x
        if low < x < high:
            return x
    return (max(low, -1.0) + min(high, 1.0)) / 2


def moderate(code: Code, points: Sequence[list[float]]) -> list[list[float]]:
    """The points where no function in the code is taken at infinity, as floats go.

    At exp(exp(1e9)) mpmath would fill the memory with the digits of an exponent.
    """
    watched: list[int] = []
    for _, name, operands, _ in code.needed():
        if not TABLE[name].operator and TABLE[name].kind == "elementwise":
            watched += [x for x in operands if x not in code.constants]
    if not watched or not points:
        return list(points)
    probe = Code(
        code.steps, code.arguments, code.constants, list(dict.fromkeys(watched))
    )
    ends = "".join(f"{{{i}}}, " for i in range(len(probe.outputs)))
    names = list(code.arguments.values())
    columns = list(np.array(points, dtype=np.float64).T)
    given = [np.zeros(len(points))] * (names[0] == "y") + columns
    with np.errstate(all="ignore"):
        seen = write("probe", probe, end=f"({ends})")(NUMPY, *given)
    infinite = np.zeros(len(points), bool)
    for column in seen:
        infinite |= np.isinf(column)
    return [point for point, odd in zip(points, infinite, strict=True) if not odd]


# -- kinks -----------------------------------------------------------------------------

_SWITCHES = {"abs": 1, "sign": 1, "relu": 1, "max": 2, "min": 2, "clip": 3}


def switches(code: Code) -> list[tuple[int, int | None]]:
    """Pairs of slots at whose equality the code changes; None stands for zero."""
    found: list[tuple[int, int | None]] = []
    for _, name, operands, _ in code.needed():
        row = TABLE[name]
        compares = row.kind == "predicate" and len(operands) == 2
        if (compares or name in _SWITCHES) and not name.startswith("logical"):
            if len(operands) == 1:
                found.append((operands[0], None))
            else:
                found += [(operands[0], other) for other in operands[1:]]
    return list(dict.fromkeys(found))


def kinks(
    gaps: Sequence[Callable[..., Any]], points: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Points where a switch is, found by halving the way between two sides.

    Args:
        gaps: for each switch the difference that changes its sign there.
        points: where to look from.
    """
    found: list[list[float]] = []
    for gap in gaps:
        ends: dict[bool, Sequence[float]] = {}
        moderate = [p for p in points if all(1e-6 < abs(x) < 1e6 for x in p)]
        for point in moderate:
            side = _at(gap, point)
            if side == side:  # noqa: PLR0124 - not NaN
                ends.setdefault(side > 0, point)
        if len(ends) == 2:
            found += _halved(gap, ends[True], ends[False])
    return found


def _at(gap: Callable[..., Any], point: Sequence[float]) -> float:
    with np.errstate(all="ignore"):
        return float(gap(NUMPY, *map(np.float64, point))[0])


def _halved(
    gap: Callable[..., Any], above: Sequence[float], below: Sequence[float]
) -> list[list[float]]:
    """The point of the switch where a float is, and points close to both sides."""
    for _ in range(1100):
        middle = [(a + b) / 2 for a, b in zip(above, below, strict=True)]
        if middle in (list(above), list(below)):
            break
        side = _at(gap, middle)
        if side == 0:
            return [middle]
        if side > 0:
            above = middle
        else:
            below = middle
    return [list(above), list(below)]


def beside(point: Sequence[float], inside: Sequence[Interval]) -> list[list[float]]:
    """Points close to a kink, closer and closer."""
    found = []
    for share in (1e-2, 1e-6, 1e-12):
        for sign in (1, -1):
            moved = [x + sign * share * (abs(x) or 1.0) for x in point]
            if all(a < x < b for x, (a, b) in zip(moved, inside, strict=True)):
                found.append(moved)
    return found
