"""Hyperbolic sine and cosine for loops over arrays. Floor 9.

    x = k ln 2 + r,  E = exp(r)      cosh(x) = 2^(k-1) (E + 4^-k / E)

sinh is the difference of these, from 1 on; below it is x + x^3 H(x^2).
Largest errors found: sinh 0.8 ulp, cosh 0.9; fast: both 1.
(Muller, Elementary Functions, 3rd ed., section 11.3.)
"""

from __future__ import annotations

from tapegrad.native.vectormath.exponential import BIAS, reduced, scaled
from tapegrad.native.vectormath.lines import Lines

# (sinh(x) / x - 1) / x^2 in x^2 on [0, 1]: seven nodes.
SINH = (
    0.16666666666666666,
    0.008333333333333299,
    0.00019841269841324198,
    2.7557319191381816e-06,
    2.5052117695907823e-08,
    1.6057679623801638e-10,
    7.746178593018827e-13,
)


def _parts(at: Lines, x: str) -> tuple[str, str, str, str]:
    """E and what its rounding has lost, 4^-k / E, and k less 1."""
    small, k = reduced(at, x)
    e, lost = at.quick_sum(1.0, small)
    exponent = at.whole("sub", 5 * BIAS, at.whole("shl", k, 1))
    quarter = at.double(at.whole("shl", exponent, 52))
    # it no longer counts; its exponent might be none
    quarter = at.chosen(at.compare("ogt", x, 64.0), 0.0, quarter)
    return e, lost, at.do("fdiv", quarter, e), at.whole("sub", k, 1)


def cosh(at: Lines) -> str:
    """The hyperbolic cosine."""
    size, _ = at.size("%x")
    x = at.at_most(size, "ogt", 712.0)  # infinite from there
    e, lost, inverse, k = _parts(at, x)
    return scaled(at, at.do("fadd", e, at.do("fadd", lost, inverse)), k)


def sinh(at: Lines) -> str:
    """The hyperbolic sine."""
    size, sign = at.size("%x")
    x = at.at_most(size, "ogt", 712.0)
    e, lost, inverse, k = _parts(at, x)
    far = scaled(at, at.do("fadd", e, at.do("fsub", lost, inverse)), k)
    square = at.do("fmul", x, x)
    cube = at.do("fmul", x, square)
    near = at.multiply_add(cube, at.polynomial(SINH, square), x)
    return at.signed(at.chosen(at.compare("olt", x, 1.0), near, far), sign)
