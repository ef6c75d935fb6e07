"""The error function, its complement and its slope for loops over arrays. Floor 9.

    |x| < 1, in erfc 3/4    erf(x) = x + x Q(x^2)
    beyond                  erfc(x) = exp(-x^2) H(u) / (x + 5/16)

with u = (x - 5/2) / (x + 5/2). x^2 is taken with what its rounding loses, or exp would
turn that into 500 ulp at 26.
Largest errors found: erf 1.2 ulp, erfc 1.8, gaussian 1.2. (The map of the half line to
an interval: Schonfelder, Math. Comp. 32 (1978).)
"""

from __future__ import annotations

from tapegrad.native.vectormath.exponential import reduced, scaled
from tapegrad.native.vectormath.lines import Lines

# erf(x) / x - 1 in x^2 on [0, 1]: interpolated at twelve Chebyshev nodes.
SMALL = (
    0.12837916709551256,
    -0.37612638903183543,
    0.11283791670945006,
    -0.02686617064323777,
    0.0052239776071164225,
    -0.0008548325975389692,
    0.00012055294904839707,
    -1.492473690741966e-05,
    1.6447424703317362e-06,
    -1.6208483801871705e-07,
    1.3720064546777686e-08,
    -7.795898827002142e-10,
)
# (x + 5/16) exp(x^2) erfc(x) in u, x from 3/4 to 28: 21 nodes. It hardly varies.
TAIL = (
    0.5928928989219663,
    0.008522256074230383,
    -0.0967084935150679,
    0.10225865683263508,
    -0.05896900409634104,
    0.017129265603248747,
    0.0009613900389545,
    -0.002355273328468832,
    0.0002031113960417631,
    0.00034022685755652596,
    -3.782875920337435e-05,
    -6.02537220934802e-05,
    1.7080727915823668e-06,
    1.1795221572499506e-05,
    1.6684209394721252e-06,
    -2.175740652209287e-06,
    -8.932992248268892e-07,
    3.5236986728861257e-07,
    2.663202952776782e-07,
    -7.297567060799795e-08,
    -1.7155603091268737e-08,
)
# What the rounding of the first one leaves.
TAIL_REST = 2.78615015381681e-17
TWO_OVER_SQRT_PI = 1.1283791670955126


def _gauss(at: Lines, x: str, factor: str | float, less: str | float = 0.0) -> str:
    """``factor exp(-x^2)``, less a small share of it."""
    square, lost = at.square(x)
    small, k = reduced(at, at.do("fneg", square))
    share = at.do("fadd", lost, less)
    part = at.do("fmul", share, at.do("fadd", small, 1.0))
    small = at.do("fsub", small, part)
    return scaled(at, at.multiply_add(factor, small, factor), k)


def _tail(at: Lines, x: str) -> str:
    """``erfc(x)`` for x from 3/4."""
    u = at.do("fdiv", at.do("fsub", x, 2.5), at.do("fadd", x, 2.5))
    slope = at.polynomial(TAIL[1:], u, at.do("fmul", u, u))
    rest = at.multiply_add(u, slope, TAIL_REST)
    h = at.do("fadd", rest, TAIL[0])
    beyond = at.do("fadd", x, 0.3125)
    factor = at.do("fdiv", h, beyond)
    # what the roundings of these two sums have lost, as shares of them
    lower = at.do("fsub", at.do("fsub", h, TAIL[0]), rest)
    lost = at.do("fsub", 0.3125, at.do("fsub", beyond, x))
    lost = at.multiply_add(lost, factor, lower)
    return _gauss(at, x, factor, at.do("fmul", lost, 1 / TAIL[0]))


def _near(at: Lines, x: str) -> str:
    """``erf(x) / x - 1`` near 0."""
    square = at.do("fmul", x, x)
    return at.polynomial(SMALL, square, at.do("fmul", square, square))


def gaussian(at: Lines) -> str:
    """``2 / sqrt(pi) exp(-x^2)``."""
    size, _ = at.size("%x")
    x = at.at_most(size, "ogt", 28.0)  # 0 from there
    return _gauss(at, x, TWO_OVER_SQRT_PI)


def erf(at: Lines) -> str:
    """The error function."""
    size, sign = at.size("%x")
    x = at.at_most(size, "ogt", 28.0)  # as in gaussian, whose exponential it is
    near = at.compare("olt", x, 1.0)
    small = at.multiply_add(x, _near(at, x), x)
    y = at.chosen(near, small, at.do("fsub", 1.0, _tail(at, x)))
    return at.signed(y, sign)


def erfc(at: Lines) -> str:
    """``1 - erf(x)``."""
    size, _ = at.size("%x")
    x = at.at_most(size, "ogt", 28.0)  # 0 from there
    tail = _tail(at, x)
    left = at.compare("olt", "%x", 0.0)
    y = at.chosen(left, at.do("fsub", 2.0, tail), tail)
    near = at.compare("olt", x, 0.75)
    # 1 - x is exact where much cancels
    part = at.do("fmul", "%x", _near(at, "%x"))
    small = at.do("fsub", at.do("fsub", 1.0, "%x"), part)
    return at.chosen(near, small, y)
