"""Exponentials and their kin for loops over arrays. Floor 9.

    x = k ln 2 + r,  |r| <= ln 2 / 2        exp(x) = 2^k (1 + r + r^2 P(r))

The reduction carries its rounding error along, and 2^k is multiplied in two halves, so
subnormal results are rounded once. expm1 is 2^k (r + r^2 P(r) + (1 - 2^-k)), and tanh
e / (e + 2) with e = expm1(2 |x|). If 4 ulps are enough, what roundings lose is not
looked after.
Largest errors found: exp 0.83 ulp, exp2 0.85, expm1 1.6, tanh 1.9; fast: exp 1.1, exp2
1.1, expm1 2.2, tanh 2.3.
(Muller, Elementary Functions, 3rd ed., sections 11.3 and 11.4.)
"""

from __future__ import annotations

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
# The same at ten nodes.
SHORT = (
    0.5000000000000001,
    0.16666666666666669,
    0.04166666666662348,
    0.008333333333330011,
    0.0013888888917538296,
    0.00019841269863303223,
    2.4801520792572694e-05,
    2.75572680728901e-06,
    2.762032742826824e-07,
    2.5100569275813683e-08,
)
LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
LN2_REST = 2.3190468138462996e-17
# The same in two parts: the first has so few bits that k times it is exact.
LN2_HIGH, LN2_LOW = 0.693147180559663, 2.8235290563031577e-13
# Adding and subtracting it rounds to a whole number, which its low bits then hold.
ROUNDER = 2.0**52 + 2.0**51
# The same with 2 * 1023 in those bits: k as a pair of biased exponents.
BIAS = 1023
SCALER = ROUNDER + 2 * BIAS


def reduced(at: Lines, x: str, rest: str = "") -> tuple[str, str]:
    """``expm1(r)`` and ``k + 2 BIAS`` in the low bits, for x + rest = k ln 2 + r."""
    shifted = at.multiply_add(x, LOG2_E, SCALER)
    k = at.do("fsub", shifted, SCALER)
    high = at.subtract_product(x, k, LN2_HIGH)  # exact
    if at.fast:
        r = at.subtract_product(high, k, LN2_LOW)
        return expm1_of(at, at.do("fadd", r, rest) if rest else r), at.bits(shifted)
    low = at.do("fmul", k, LN2_LOW)
    low = at.do("fsub", low, rest) if rest else low
    r = at.do("fsub", high, low)
    lost = at.do("fsub", at.do("fsub", high, r), low)
    return expm1_of(at, r, lost), at.bits(shifted)


def expm1_of(at: Lines, r: str, lost: str = "") -> str:
    """``expm1`` of an operand that is reduced, and of what its rounding has lost."""
    p = at.polynomial(SHORT if at.fast else COEFFICIENTS, r)
    square = at.do("fmul", r, r)
    if not lost:
        return at.multiply_add(square, p, r)
    return at.do("fadd", r, at.multiply_add(square, p, lost))


def scaled(at: Lines, y: str, k: str) -> str:
    """``y 2^k`` in two halves, rounded once where the result is subnormal."""
    half = at.whole("lshr", k, 1)
    rest = at.whole("sub", k, half)
    for part in (half, rest):
        y = at.do("fmul", y, at.double(at.whole("shl", part, 52)))
    return y


def power(at: Lines, k: str) -> str:
    """``2^k`` of a k of `reduced` that has an exponent of its own."""
    return at.double(at.whole("shl", at.whole("sub", k, BIAS), 52))


def exp(at: Lines) -> str:
    """e to the x."""
    # beyond these it is 0 and infinite all the same
    x = at.at_most(at.at_most("%x", "olt", -746.0), "ogt", 710.0)
    small, k = reduced(at, x)
    y = at.do("fadd", small, 1.0)
    return scaled(at, y, k)


def exp2(at: Lines) -> str:
    """2 to the x."""
    x = at.at_most(at.at_most("%x", "olt", -1076.0), "ogt", 1025.0)
    shifted = at.do("fadd", x, SCALER)
    r = at.do("fsub", x, at.do("fsub", shifted, SCALER))
    if at.fast:
        small = expm1_of(at, at.do("fmul", r, LN2))
    else:
        high, lost = at.product(r, literal(LN2))
        small = expm1_of(at, high, at.multiply_add(r, LN2_REST, lost))
    return scaled(at, at.do("fadd", small, 1.0), at.bits(shifted))


def tanh(at: Lines) -> str:
    """The hyperbolic tangent."""
    size, sign = at.size("%x")
    x = at.at_most(size, "ogt", 20.0)  # 1 from there
    small, k = reduced(at, at.do("fadd", x, x))
    scale = power(at, k)
    above, part = at.do("fsub", scale, 1.0), at.do("fmul", scale, small)
    e = at.do("fadd", above, part)
    beyond = at.do("fadd", e, 2.0)
    y = at.do("fdiv", e, beyond)
    if at.fast:
        return at.signed(y, sign)
    # what the roundings of both sums have lost; 1 - y is 2 / (e + 2)
    rest = at.do("fsub", part, at.do("fsub", e, above))
    lost = at.lost(e, 2.0, beyond)
    slope = at.do("fmul", at.do("fsub", 1.0, y), 0.5)
    change = at.do("fsub", rest, at.do("fmul", y, at.do("fadd", rest, lost)))
    y = at.multiply_add(slope, change, y)
    return at.signed(y, sign)


def expm1(at: Lines) -> str:
    """``exp(x) - 1``."""
    # below it is -1; above, infinite
    x = at.at_most(at.at_most("%x", "olt", -50.0), "ogt", 710.0)
    small, k = reduced(at, x)
    inverse = at.double(at.whole("shl", at.whole("sub", 3 * BIAS, k), 52))
    # 2^-k no longer counts; its exponent might be none
    inverse = at.chosen(at.compare("ogt", x, 64.0), 0.0, inverse)
    y = at.do("fadd", small, at.do("fsub", 1.0, inverse))
    y = scaled(at, y, k)
    return at.chosen(at.compare("oeq", "%x", 0.0), "%x", y)
