"""Exponentials and logarithms for loops over arrays. Floor 9.

    x = k ln 2 + r,  |r| <= ln 2 / 2        exp(x) = 2^k (1 + r + r^2 P(r))

The reduction carries its rounding error along, and 2^k is multiplied in two halves, so
subnormal results are rounded once. expm1 is 2^k (r + r^2 P(r) + (1 - 2^-k)), and tanh
e / (e + 2) with e = expm1(2 |x|). For logarithms

    x = 2^k (1 + f),  s = f / (2 + f)       log(1 + f) = f - (h - s (h + s^2 G(s^2)))

with h = f^2 / 2. Largest errors found: exp 0.83 ulp, log 0.75, expm1 1.6, tanh 1.9.
(Muller, Elementary Functions, 3rd ed., sections 11.3, 11.4 and 12.4.)
"""

from __future__ import annotations

import math

from tapegrad.native.reading import literal
from tapegrad.native.vectormath.lines import Lines

# (exp(r) - 1 - r) / r^2 on |r| <= ln 2 / 2: interpolated at eleven Chebyshev nodes.
COEFFICIENTS = (
    0.5,
    0.1666666666666667,
    0.04166666666666667,
    0.008333333333326025,
    0.001388888888888367,
    0.00019841269875205077,
    2.4801587325822283e-05,
    2.75572549134867e-06,
    2.7557273295539724e-07,
    2.5105419192016337e-08,
    2.091483135138041e-09,
)
# (2 atanh(s) / s - 2) / s^2 in s^2, 1 + f from sqrt(1/2) to sqrt(2): seven nodes.
LOG_COEFFICIENTS = (
    0.666666666666667,
    0.3999999999989827,
    0.28571428626533335,
    0.22222211043822487,
    0.18182895746801428,
    0.1533150172120742,
    0.1461916477718642,
)
LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has so few bits that k times it is exact.
LN2_HIGH, LN2_LOW = 0.693147180559663, 2.8235290563031577e-13
# Adding and subtracting it rounds to a whole number, which its low bits then hold.
ROUNDER = 2.0**52 + 2.0**51
ROUNDER_BITS = 0x4338000000000000
ROOT_BITS = 0x3FE6A09E667F3BCD  # of sqrt(1/2)
LEAST_NORMAL = 2.0**-1022


def reduced(at: Lines, x: str) -> tuple[str, str]:
    """``expm1(r)`` and k as an i64, for x = k ln 2 + r."""
    shifted = at.do("fadd", at.do("fmul", x, LOG2_E), ROUNDER)
    k = at.do("fsub", shifted, ROUNDER)
    high = at.do("fsub", x, at.do("fmul", k, LN2_HIGH))
    low = at.do("fmul", k, LN2_LOW)
    r = at.do("fsub", high, low)
    lost = at.do("fsub", at.do("fsub", high, r), low)
    square = at.do("fmul", r, r)
    p = at.polynomial(COEFFICIENTS, r, square)
    small = at.do("fadd", r, at.multiply_add(square, p, lost))
    bits = at.add(f"bitcast double {shifted} to i64")
    return small, at.add(f"sub i64 {bits}, {ROUNDER_BITS}")


def exp() -> str:
    """e to the x."""
    at = Lines()
    # beyond these it is 0 and infinite all the same
    x = at.at_most(at.at_most("%x", "olt", -746.0), "ogt", 710.0)
    small, k = reduced(at, x)
    y = at.do("fadd", small, 1.0)
    return at.function("exp", at.scaled(y, k))


def tanh() -> str:
    """The hyperbolic tangent."""
    at = Lines()
    size, sign = at.size("%x")
    x = at.at_most(size, "ogt", 20.0)  # 1 from there
    small, k = reduced(at, at.do("fadd", x, x))
    scale = at.power_of_two(k)
    above, part = at.do("fsub", scale, 1.0), at.do("fmul", scale, small)
    e = at.do("fadd", above, part)
    beyond = at.do("fadd", e, 2.0)
    y = at.do("fdiv", e, beyond)
    # what the roundings of both sums have lost; 1 - y is 2 / (e + 2)
    rest = at.do("fsub", part, at.do("fsub", e, above))
    lost = at.lost(e, 2.0, beyond)
    slope = at.do("fmul", at.do("fsub", 1.0, y), 0.5)
    change = at.do("fsub", rest, at.do("fmul", y, at.do("fadd", rest, lost)))
    y = at.multiply_add(slope, change, y)
    return at.function("tanh", at.signed(y, sign))


def expm1() -> str:
    """``exp(x) - 1``."""
    at = Lines()
    # below it is -1; above, infinite
    x = at.at_most(at.at_most("%x", "olt", -50.0), "ogt", 710.0)
    small, k = reduced(at, x)
    large = at.add(f"icmp sgt i64 {k}, 100")  # 2^-k no longer counts
    bounded = at.add(f"select i1 {large}, i64 100, i64 {k}")
    inverse = at.power_of_two(at.add(f"sub i64 0, {bounded}"))
    y = at.do("fadd", small, at.add(f"fsub double {literal(1.0)}, {inverse}"))
    y = at.scaled(y, k)
    zero = at.add(f"fcmp oeq double %x, {literal(0.0)}")
    return at.function("expm1", at.chosen(zero, "%x", y))


def log() -> str:
    """The natural logarithm."""
    at = Lines()
    tiny = at.add(f"fcmp olt double %x, {literal(LEAST_NORMAL)}")
    grown = at.do("fmul", "%x", 2.0**54)
    x = at.add(f"select i1 {tiny}, double {grown}, double %x")
    bits = at.add(f"bitcast double {x} to i64")
    k = at.add(f"ashr i64 {at.add(f'sub i64 {bits}, {ROOT_BITS}')}, 52")
    low = at.add(f"sub i64 {bits}, {at.add(f'shl i64 {k}, 52')}")
    f = at.do("fsub", at.add(f"bitcast i64 {low} to double"), 1.0)
    shift = at.add(f"select i1 {tiny}, i64 {ROUNDER_BITS - 54}, i64 {ROUNDER_BITS}")
    shifted = at.add(f"bitcast i64 {at.add(f'add i64 {k}, {shift}')} to double")
    count = at.do("fsub", shifted, ROUNDER)
    s = at.do("fdiv", f, at.do("fadd", f, 2.0))
    z = at.do("fmul", s, s)
    g = at.polynomial(LOG_COEFFICIENTS, z, at.do("fmul", z, z))
    h = at.do("fmul", at.do("fmul", f, 0.5), f)
    y = at.do("fmul", s, at.multiply_add(z, g, h))
    y = at.do("fadd", y, at.do("fmul", count, LN2_LOW))
    y = at.do("fadd", at.do("fsub", y, h), f)
    y = at.do("fadd", y, at.do("fmul", count, LN2_HIGH))
    # infinity and NaN stay; 0 gives -infinity, less is outside the domain
    for word, bound, gives in (
        ("ueq", math.inf, "%x"),
        ("oeq", 0.0, literal(-math.inf)),
        ("olt", 0.0, literal(math.nan)),
    ):
        at_edge = at.add(f"fcmp {word} double %x, {literal(bound)}")
        y = at.add(f"select i1 {at_edge}, double {gives}, double {y}")
    return at.function("log", y)
