"""Which number a float stands for, where that is plain. Floor 9; loads SymPy.

    0.3333333333333333  ->  1/3        1.1283791670955126  ->  2/sqrt(pi)

A tape holds floats. Most of them are the nearest one to no short form, so a form that
is short, and whose nearest float is just this one, is what was meant: one float in ten
thousand million is the nearest to a rational with a denominator up to 1000. Roots of
these, and their products with powers of pi and a few logarithms, are tried too.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import sympy as sp

# Denominators up to here.
SHORT = 1_000
# How far a ratio of floats may be from the rational: a few roundings.
NEAR = 1e-14

_PI_POWERS = (1, -1, 2, -2, sp.Rational(1, 2), sp.Rational(-1, 2), 3, -3, 4, 5)
_LOGS = (
    *(sp.log(base) ** power for base in (2, 10) for power in (1, -1, 2, -2)),
    sp.log(sp.pi),
    sp.E,
)
_ROOTS = (1, 2, 3, 4, 5)


@functools.lru_cache(maxsize=4096)
def meant(value: float) -> Any:
    """The short form of which a float is the nearest one; None where there is none."""
    if not math.isfinite(value) or not 1e-9 < abs(value) < 1e9:
        return None
    for base, size in _bases():
        for root in _ROOTS if base is sp.S.One or base.has(sp.pi) else (1,):
            found = _ratio(abs(value) / size, root)
            if found is None:
                continue
            form = base * found ** sp.Rational(1, root)
            if float(form.evalf(40)) == abs(value):
                return form if value > 0 else -form
    return None


@functools.cache
def _bases() -> tuple[tuple[Any, float], ...]:
    forms = [sp.S.One, *(sp.pi**power for power in _PI_POWERS), *_LOGS]
    return tuple((form, float(form.evalf(30))) for form in forms)


def _ratio(value: float, root: int) -> Any:
    """The short rational that a power of a float is close to."""
    power = value**root
    if not 1e-9 < power < 1e9:
        return None
    close = Fraction(power).limit_denominator(SHORT)
    if close.numerator > SHORT**2 or abs(power - close) > root * NEAR * power:
        return None
    return sp.Rational(close.numerator, close.denominator)
