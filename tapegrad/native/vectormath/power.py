"""Powers for loops over arrays. Floor 9.

    x^y = exp(y log x),  log x = k ln 2 + 2 s + s v(s^2),  s = f / (2 + f)

The logarithm is a sum of two doubles, good to 2^-66: an error of it counts up to 745
times in the result. Whatever else C defines (a base that is 0, negative, infinite,
subnormal or NaN, an exponent that is huge, infinite or NaN) is looked up in C. Small
whole exponents are products, of all signs, rounded once.
Largest errors found: 0.9 ulp, of whole exponents 0.51; fast: 1.2.
(Muller, Handbook of Floating-Point Arithmetic, 2nd ed., section 10.3.)
"""

from __future__ import annotations

from collections.abc import Callable

from tapegrad.native.reading import literal
from tapegrad.native.vectormath.exponential import (
    BIAS,
    LN2_HIGH,
    LN2_LOW,
    reduced,
    scaled,
)
from tapegrad.native.vectormath.lines import Lines
from tapegrad.native.vectormath.logarithm import split

# v(z) / z is 2/3, here in two parts, and z times this, of the series of 2 atanh(s), for
# 1 + f from sqrt(1/2) to sqrt(2): eight Chebyshev nodes, and seven.
TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
SERIES = (
    0.4,
    0.28571428571429375,
    0.22222222221649282,
    0.18181818336888536,
    0.15384594802856283,
    0.13334813369111848,
    0.11706004250300112,
    0.11725603260192677,
)
SHORT_SERIES = (
    0.4000000000000003,
    0.2857142857133746,
    0.22222222271577194,
    0.18181808170109615,
    0.15385580432422732,
    0.1328577029146943,
    0.12915928441837027,
)
# Exponents that are written as products. (The rule has those between for itself.)
WHOLE = (*range(-16, -1), *range(3, 17))
# Where no part of such a product is lost below, and its inverse exists.
SAFE = (2.0**-960, 2.0**960)
LEAST_NORMAL_BITS, INFINITE_BITS = 0x0010000000000000, 0x7FF0000000000000
MOST_EXPONENT = 2.0**60


def _logarithm(at: Lines) -> tuple[str, str]:
    """The logarithm of a normal number in two parts."""
    m, whole = split(at, "%x")
    k = at.do("fsub", whole, 2.0**52 + BIAS)
    f = at.do("fsub", m, 1.0)
    below = at.do("fadd", f, 2.0)
    rest = at.do("fsub", f, at.do("fsub", below, 2.0))
    inverse = at.do("fdiv", 1.0, below)
    s = at.do("fmul", f, inverse)
    # what s has lost: (f - s (below + rest)) / below
    back, lost = at.product(s, below)
    left = at.do("fsub", at.do("fsub", f, back), lost)
    s_low = at.do("fmul", at.subtract_product(left, s, rest), inverse)
    z, lost = at.square(s)
    z_low = at.multiply_add(at.do("fadd", s, s), s_low, lost)
    part = at.do("fmul", z, at.polynomial(SHORT_SERIES if at.fast else SERIES, z))
    u, u_low = at.quick_sum(TWO_THIRDS[0], part)
    v, lost = at.product(z, u)
    u_low = at.do("fadd", u_low, TWO_THIRDS[1])
    v_low = at.multiply_add(z, u_low, at.multiply_add(z_low, u, lost))
    w, lost = at.product(s, v)
    w_low = at.multiply_add(s_low, v, at.multiply_add(s, v_low, lost))
    head, rest = at.quick_sum(at.do("fmul", k, LN2_HIGH), at.do("fadd", s, s))
    head, less = at.quick_sum(head, w)
    low = at.do("fadd", w_low, at.do("fadd", s_low, s_low))
    low = at.multiply_add(k, LN2_LOW, low)
    return at.quick_sum(head, at.do("fadd", at.do("fadd", rest, less), low))


def pow(at: Lines) -> str:  # noqa: A001 - it is that row's
    """``x^y``."""
    moved = at.whole("sub", at.bits("%x"), LEAST_NORMAL_BITS)
    span = INFINITE_BITS - LEAST_NORMAL_BITS
    special = at.add(f"icmp uge i64 {moved}, {span}")
    size, _ = at.size("%y")
    huge = at.compare("uge", size, MOST_EXPONENT)
    at.elsewhere(at.add(f"or i1 {special}, {huge}"), "pow")
    head, low = _logarithm(at)
    exponent, lost = at.product("%y", head)
    rest = at.multiply_add("%y", low, lost)
    small, k = reduced(at, exponent, rest)
    y = scaled(at, at.do("fadd", small, 1.0), k)
    y = at.chosen(at.compare("ogt", exponent, 710.0), float("inf"), y)
    return at.chosen(at.compare("olt", exponent, -746.0), 0.0, y)


def whole(n: int) -> Callable[[Lines], str]:
    """``x^n``, rounded once, for n in `WHOLE`."""

    def make(at: Lines) -> str:
        high, low = _product(at, abs(n))
        if n > 0:
            y = at.do("fadd", high, low)
            # infinity has lost infinity, and -0.0 has lost 0.0
            return at.chosen(at.compare("ueq", y, 0.0), high, y)
        size, _ = at.size(high)
        below = at.compare("ult", size, SAFE[0])
        above = at.compare("ugt", size, SAFE[1])
        at.elsewhere(at.add(f"or i1 {below}, {above}"), "pow", "%x", literal(float(n)))
        y = at.do("fdiv", 1.0, high)
        back, lost = at.product(y, high)
        rest = at.do("fsub", at.do("fsub", 1.0, back), lost)
        return at.multiply_add(at.subtract_product(rest, y, low), y, y)

    return make


def _product(at: Lines, n: int) -> tuple[str, str]:
    """``x^n`` in two parts, by squares."""
    if n == 1:
        return "%x", ""
    if n % 2:
        part, less = _product(at, n - 1)
        high, low = at.product(part, "%x")
        return high, at.multiply_add(less, "%x", low)
    part, less = _product(at, n // 2)
    high, low = at.square(part)
    if not less:
        return high, low
    return high, at.multiply_add(at.do("fadd", part, part), less, low)
