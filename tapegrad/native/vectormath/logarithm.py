"""Logarithms for loops over arrays. Floor 9.

    x = 2^k (1 + f),  s = f / (2 + f)       log(1 + f) = f - (h - s (h + s^2 G(s^2)))

with h = f^2 / 2. log1p takes what 1 + x has lost along. For the other bases the first
terms, f - h, are multiplied by a constant of two parts. If 4 ulps are enough, log is
s (2 + s^2 G(s^2)).
Largest errors found: log 0.75 ulp, log1p 0.9, log2 0.75, log10 0.65; fast: log 2.7.
(Muller, Elementary Functions, 3rd ed., section 12.4.)
"""

from __future__ import annotations

import math

from tapegrad.native.reading import literal
from tapegrad.native.vectormath.exponential import BIAS, LN2, LN2_HIGH, LN2_LOW
from tapegrad.native.vectormath.lines import Lines

# (2 atanh(s) / s - 2) / s^2 in s^2, 1 + f from sqrt(1/2) to sqrt(2): seven Chebyshev
# nodes.
COEFFICIENTS = (
    0.666666666666667,
    0.3999999999989827,
    0.28571428626533335,
    0.22222211043822487,
    0.18182895746801428,
    0.1533150172120742,
    0.1461916477718642,
)
# 1 / ln 2 and 1 / ln 10 in two parts each.
PER_LN2 = (1.4426950408889634, 2.0355273740931033e-17)
PER_LN10 = (0.4342944819032518, 1.098319650216765e-17)
# log10(2): the first part has so few bits that k times it is exact.
LOG10_2 = (0.30102999566361177, 3.694239077158931e-13)
ROOT_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2)
ONE_BITS = 0x3FF0000000000000
WHOLE_BITS = 0x4330000000000000  # of 2^52: below it stands a whole number
LEAST_NORMAL = 2.0**-1022


def split(at: Lines, x: str) -> tuple[str, str]:
    """A normal number as m from sqrt(1/2) to sqrt(2), and 2^52 + BIAS + k."""
    moved = at.whole("add", at.bits(x), ONE_BITS - ROOT_BITS)
    m = at.whole("add", at.whole("and", moved, 2**52 - 1), ROOT_BITS)
    k = at.whole("or", at.whole("lshr", moved, 52), WHOLE_BITS)
    return at.double(m), at.double(k)


def _normal(at: Lines) -> tuple[str, str]:
    """f and k of the operand."""
    tiny = at.compare("olt", "%x", LEAST_NORMAL)
    x = at.chosen(tiny, at.do("fmul", "%x", 2.0**54), "%x")
    m, whole = split(at, x)
    bias = 2.0**52 + BIAS
    count = at.do("fsub", whole, at.chosen(tiny, bias + 54.0, bias))
    return at.do("fsub", m, 1.0), count


def _series(at: Lines, f: str) -> tuple[str, str, str]:
    """s, h, and what h is added to."""
    s = at.do("fdiv", f, at.do("fadd", f, 2.0))
    z = at.do("fmul", s, s)
    h = at.do("fmul", at.do("fmul", f, 0.5), f)
    return s, h, at.do("fmul", z, at.polynomial(COEFFICIENTS, z))


def _natural(at: Lines, f: str, k: str, rest: str = "") -> str:
    """``log(1 + f) + k ln 2``, and a rest that hardly counts."""
    s, h, g = _series(at, f)
    y = at.do("fmul", s, at.do("fadd", h, g))
    y = at.multiply_add(k, LN2_LOW, y)
    y = at.do("fadd", y, rest) if rest else y
    y = at.do("fadd", at.do("fsub", y, h), f)
    return at.multiply_add(k, LN2_HIGH, y)


def log(at: Lines) -> str:
    """The natural logarithm."""
    f, k = _normal(at)
    if at.fast:
        s, _, g = _series(at, f)
        y = at.do("fmul", s, at.do("fadd", g, 2.0))
        return _at_edges(at, at.multiply_add(k, LN2, y))
    return _at_edges(at, _natural(at, f, k))


def log1p(at: Lines) -> str:
    """``log(1 + x)``."""
    u = at.do("fadd", "%x", 1.0)
    lost = at.lost("%x", 1.0, u)
    m, whole = split(at, u)
    k = at.do("fsub", whole, 2.0**52 + BIAS)
    f = at.do("fsub", m, 1.0)
    # what u has lost, beside m and not beside u: times 2^-k
    exponent = at.whole("sub", 2 * BIAS, at.whole("and", at.bits(whole), 2**12 - 1))
    lost = at.do("fmul", lost, at.double(at.whole("shl", exponent, 52)))
    # it no longer counts; 2^-k might be none
    lost = at.chosen(at.compare("ogt", "%x", 2.0**64), 0.0, lost)
    rest = at.do("fmul", lost, at.do("fsub", 1.0, f))
    y = _at_edges(at, _natural(at, f, k, rest), -1.0)
    return at.chosen(at.compare("oeq", "%x", 0.0), "%x", y)


def _other(at: Lines, per: tuple[float, float], step: tuple[float, float]) -> str:
    """A logarithm to another base; step is that of 2."""
    f, k = _normal(at)
    s, h, g = _series(at, f)
    head, lost = at.quick_sum(f, at.do("fneg", h))
    low = at.multiply_add(s, at.do("fadd", h, g), lost)
    y, lost = at.product(head, literal(per[0]))
    lost = at.multiply_add(head, per[1], at.multiply_add(low, per[0], lost))
    total, rest = at.quick_sum(at.do("fmul", k, step[0]), y)
    lost = at.do("fadd", rest, lost)
    if step[1]:
        lost = at.multiply_add(k, step[1], lost)
    return _at_edges(at, at.do("fadd", total, lost))


def log2(at: Lines) -> str:
    """The logarithm to base 2."""
    return _other(at, PER_LN2, (1.0, 0.0))


def log10(at: Lines) -> str:
    """The logarithm to base 10."""
    return _other(at, PER_LN10, LOG10_2)


def _at_edges(at: Lines, y: str, pole: float = 0.0) -> str:
    """A logarithm: infinity and NaN stay, the pole gives -infinity, less has none."""
    for word, bound, gives in (
        ("ueq", math.inf, "%x"),
        ("oeq", pole, -math.inf),
        ("olt", pole, math.nan),
    ):
        y = at.chosen(at.compare(word, "%x", bound), gives, y)
    return y
