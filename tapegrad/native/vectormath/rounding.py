"""Whole numbers near to a number, and signs, for loops over arrays. Floor 9.

    |x| + 2^52 - 2^52       |x| to the nearest whole number, ties to even, below 2^52

All of it is exact. What is rounded to zero keeps its sign, as IEEE 754 has it.
"""

from __future__ import annotations

from tapegrad.native.vectormath.lines import Lines

# From here on all doubles are whole.
WHOLE = 2.0**52


def _nearest(at: Lines) -> tuple[str, str, str]:
    """The size of the operand, the nearest whole number to that, and the sign."""
    size, sign = at.size("%x")
    nearest = at.do("fsub", at.do("fadd", size, WHOLE), WHOLE)
    return size, at.chosen(at.compare("olt", size, WHOLE), nearest, size), sign


def nearest(at: Lines) -> str:
    """The nearest whole number, the even one of two."""
    _, y, sign = _nearest(at)
    return at.signed(y, sign)


def trunc(at: Lines) -> str:
    """The nearest whole number that is not larger in size."""
    size, y, sign = _nearest(at)
    less = at.do("fsub", y, 1.0)
    return at.signed(at.chosen(at.compare("ogt", y, size), less, y), sign)


def _beside(at: Lines, word: str, step: float) -> str:
    """The nearest whole number on one side."""
    _, y, sign = _nearest(at)
    signed = at.signed(y, sign)
    moved = at.do("fadd", signed, step)
    y = at.chosen(at.compare(word, signed, "%x"), moved, signed)
    size, _ = at.size(y)
    return at.signed(size, sign)


def floor(at: Lines) -> str:
    """The largest whole number that is not larger."""
    return _beside(at, "ogt", -1.0)


def ceil(at: Lines) -> str:
    """The smallest whole number that is not smaller."""
    return _beside(at, "olt", 1.0)


def copysign(at: Lines) -> str:
    """The size of one number with the sign of another."""
    (size, _), (_, sign) = at.size("%x"), at.size("%y")
    return at.signed(size, sign)
