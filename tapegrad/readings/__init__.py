"""Readings: one vocabulary, many arithmetics. Floor 3.

``numeric`` is light; ``sympy`` and ``mpmath`` load their library when they are asked
for by name through `reading`.
"""

from __future__ import annotations

import functools

from tapegrad.errors import DomainError
from tapegrad.readings.base import Reading
from tapegrad.readings.numeric import FLOAT32, NUMPY, SCALAR

__all__ = ["FLOAT32", "NUMPY", "SCALAR", "Reading", "reading"]

MOST_DIGITS = 10_000
KNOWN = f"float64, float32, mpmath:<digits, 1 to {MOST_DIGITS}>, sympy"


def _count(digits: str) -> int:
    return int(digits) if digits.isdecimal() and len(digits) <= 6 else 0


@functools.cache
def reading(name: str) -> Reading:
    """The reading of an ``arithmetic=`` name.

    Args:
        name: "float64", "float32", "mpmath:50" (any number of digits), "sympy".

    Raises:
        DomainError: no such arithmetic; the message lists those there are.
    """
    kind, _, digits = str(name).partition(":")
    if name == "float64":
        return SCALAR
    if name == "float32":
        return FLOAT32
    if name == "sympy":
        from tapegrad.readings.sympy import SYMPY

        return SYMPY
    if kind == "mpmath" and (not digits or 1 <= _count(digits) <= MOST_DIGITS):
        from tapegrad.readings.mpmath import MpmathReading

        return MpmathReading(int(digits or 50))
    msg = f"there is no arithmetic {name!r}; choose one of {KNOWN}"
    raise DomainError(msg)
