"""Sine, cosine and tangent for loops over arrays. Floor 9.

    x = k pi/2 + r,  |r| <= pi/4
    sin(r) = r + r z S(z),  cos(r) = 1 - z/2 + z^2 C(z),  z = r^2

Up to 100,000, k has 16 bits, and k times each of the two upper parts of pi/2 is exact:
so r is right to 2^-111, and no double below is nearer to a multiple of pi/2 than 2^-57.
Beyond, C's functions are called. Both polynomials are computed and one is chosen, so
that a sine and a cosine of the same operand are one computation. If 4 ulps are enough,
the operand is reduced to |r| <= pi/2 by a multiple of pi instead, for which there is
one longer polynomial.
Largest errors found: sin 0.8 ulp, cos 0.8, tan 0.95; fast: sin 1.6, cos 1.9, tan 2.4.
(Muller, Elementary Functions, 3rd ed., section 11.2.)
"""

from __future__ import annotations

from tapegrad.native.vectormath.lines import Lines

TWO_OVER_PI = 0.6366197723675814
ONE_OVER_PI = 0.3183098861837907
# pi/2 in three parts: 37 bits, 36, and the rest.
HALF_PI = (1.5707963267923333, 2.5633441515839558e-12, 1.0562999066987428e-23)
# 100,000 is 63,662 halves of pi.
LIMIT = 100_000.0
ROUNDER = 2.0**52 + 2.0**51
# (sin(r) / r - 1) / r^2 in r^2, |r| <= pi/4: six Chebyshev nodes; |r| <= pi/2: eight.
SINE = (
    -0.16666666666666666,
    0.008333333333330925,
    -0.00019841269836722418,
    2.755731608381636e-06,
    -2.5051127944014188e-08,
    1.5917848524808262e-10,
)
LONG_SINE = (
    -0.16666666666666666,
    0.008333333333333316,
    -0.00019841269841254795,
    2.7557319219115013e-06,
    -2.505210761086116e-08,
    1.6058976915095007e-10,
    -7.643957622560617e-13,
    2.7312868913092307e-15,
)
# (cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi/4: six nodes.
COSINE = (
    0.041666666666666664,
    -0.0013888888888887382,
    2.480158729874307e-05,
    -2.7557317260008837e-07,
    2.0876143827993133e-09,
    -1.1382456778061306e-11,
)

Pair = tuple[str, str]


def _begun(at: Lines, c: str) -> tuple[str, str]:
    """The size of the operand and its sign, C's function called beyond the limit."""
    size, sign = at.size("%x")
    at.elsewhere(at.compare("ogt", size, LIMIT), c)
    return size, sign


def _reduced(at: Lines, x: str) -> tuple[Pair, str]:
    """r in two parts, and an integer that k is the lower bits of."""
    shifted = at.multiply_add(x, TWO_OVER_PI, ROUNDER)
    k = at.do("fsub", shifted, ROUNDER)
    upper, middle, lower = HALF_PI
    r = at.subtract_product(x, k, upper)
    if at.fast:
        r = at.subtract_product(r, k, middle)
        return (at.subtract_product(r, k, lower), ""), at.bits(shifted)
    # all of this is exact until the lowest part comes in
    part = at.do("fmul", k, middle)
    head = at.do("fsub", r, part)
    lost = at.do("fsub", at.do("fsub", r, head), part)
    low = at.do("fsub", lost, at.do("fmul", k, lower))
    r = at.do("fadd", head, low)
    return (r, at.do("fadd", at.do("fsub", head, r), low)), at.bits(shifted)


def _sine(at: Lines, r: Pair, z: str, half: str) -> Pair:
    """A sine as its first term and the rest."""
    high, low = r
    cube = at.do("fmul", at.do("fmul", high, z), at.polynomial(SINE, z))
    if not low:
        return high, cube
    return high, at.do("fadd", cube, at.subtract_product(low, low, half))


def _cosine(at: Lines, r: Pair, z: str, half: str) -> Pair:
    """A cosine as its first terms and the rest."""
    high, low = r
    fourth = at.do("fmul", at.do("fmul", z, z), at.polynomial(COSINE, z))
    first = at.do("fsub", 1.0, half)
    lost = at.do("fsub", at.do("fsub", 1.0, first), half)
    if low:
        fourth = at.subtract_product(fourth, high, low)
    return first, at.do("fadd", lost, fourth)


def _both(at: Lines, r: Pair) -> tuple[Pair, Pair]:
    z = at.do("fmul", r[0], r[0])
    half = at.do("fmul", z, 0.5)
    return _sine(at, r, z, half), _cosine(at, r, z, half)


def _odd(at: Lines, k: str) -> str:
    return at.add(f"icmp ne i64 {at.whole('and', k, 1)}, 0")


def _turned(at: Lines, k: str, sign: str = "") -> str:
    """The bit of the sign where k and the next make two quarters of a turn."""
    bit = at.whole("and", at.whole("shl", k, 62), -(2**63))
    return at.whole("xor", bit, sign) if sign else bit


def _long_sine(at: Lines, r: str, sign: str) -> str:
    z = at.do("fmul", r, r)
    y = at.multiply_add(at.do("fmul", r, z), at.polynomial(LONG_SINE, z), r)
    return at.signed(y, sign)


def _multiple_less(at: Lines, x: str, n: str) -> str:
    """An operand without n quarters of a turn."""
    for part in HALF_PI:
        x = at.subtract_product(x, n, part)
    return x


def sin(at: Lines) -> str:
    """The sine."""
    size, sign = _begun(at, "sin")
    if at.fast and "cos" not in at.beside:
        shifted = at.multiply_add(size, ONE_OVER_PI, ROUNDER)
        k = at.do("fsub", shifted, ROUNDER)
        r = _multiple_less(at, size, at.do("fadd", k, k))
        odd = at.whole("shl", at.bits(shifted), 63)
        return _long_sine(at, r, at.whole("xor", odd, sign))
    parts, k = _reduced(at, size)
    sine, cosine = (at.do("fadd", *pair) for pair in _both(at, parts))
    return at.signed(at.chosen(_odd(at, k), cosine, sine), _turned(at, k, sign))


def cos(at: Lines) -> str:
    """The cosine."""
    size, _ = _begun(at, "cos")
    if at.fast and "sin" not in at.beside:
        shifted = at.do("fadd", at.multiply_add(size, ONE_OVER_PI, -0.5), ROUNDER)
        k = at.do("fsub", shifted, ROUNDER)
        r = _multiple_less(at, size, at.multiply_add(k, 2.0, 1.0))
        even = at.whole("shl", at.whole("add", at.bits(shifted), 1), 63)
        return _long_sine(at, r, even)
    parts, k = _reduced(at, size)
    sine, cosine = (at.do("fadd", *pair) for pair in _both(at, parts))
    y = at.chosen(_odd(at, k), sine, cosine)
    return at.signed(y, _turned(at, at.whole("add", k, 1)))


def tan(at: Lines) -> str:
    """The tangent."""
    size, sign = _begun(at, "tan")
    parts, k = _reduced(at, size)
    sine, cosine = _both(at, parts)
    odd = _odd(at, k)
    (s, s_lost), (c, c_lost) = at.quick_sum(*sine), at.quick_sum(*cosine)
    above, below = at.chosen(odd, c, s), at.chosen(odd, s, c)
    sign = at.whole("xor", sign, at.whole("shl", k, 63))
    if at.fast:
        return at.signed(at.do("fdiv", above, below), sign)
    inverse = at.do("fdiv", 1.0, below)
    y = at.do("fmul", above, inverse)
    # what the division and the roundings of both have lost
    back, rest = at.product(y, below)
    lost = at.do("fsub", at.do("fsub", above, back), rest)
    lost = at.do("fadd", lost, at.chosen(odd, c_lost, s_lost))
    lost = at.subtract_product(lost, y, at.chosen(odd, s_lost, c_lost))
    return at.signed(at.multiply_add(lost, inverse, y), sign)
