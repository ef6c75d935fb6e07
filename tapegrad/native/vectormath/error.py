"""The error function, its complement and its slope for loops over arrays. Floor 9.

    |x| < 1, in erfc 3/4    erf(x) = x + x Q(x^2)
    beyond                  erfc(x) = exp(-x^2) H(u) / (x + 5/16)
                            erf(x) = 1 - exp(-x^2) R(u)

with u = (x - 5/2) / (x + 5/2). In erfc and gaussian x^2 is taken with what its rounding
loses, or exp would turn that into 500 ulp at 26; in erf that does not count.
Largest errors found: erf 1.1 ulp, erfc 1.5, gaussian 1.25; fast: erf 2, erfc 2.4.
(The map of the half line to an interval: Schonfelder, Math. Comp. 32 (1978).)
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
# exp(x^2) erfc(x) in u, x from 1 to 6, where less and less of it counts: least squares
# with weights exp(-x^2) at 80 Chebyshev points. In erf, x is up to 28 so that it shares
# its exponential with gaussian; what this gives from 6 is far below what counts.
REST = (
    0.2108063640611437,
    -0.371736733948977,
    0.2517131932171937,
    -0.12503305238140416,
    0.03992253909874598,
    -0.003993700613867838,
    -0.0026423629095086716,
    0.000875911786946279,
    0.00022825891638151,
    -0.00012950966088120833,
    -3.578324924858889e-05,
    1.6722073789590303e-05,
    7.514539306304936e-06,
)
SHORT_REST = (
    0.21080636406114694,
    -0.3717367339491494,
    0.25171319320931473,
    -0.12503305243765334,
    0.0399225398186482,
    -0.003993688533617595,
    -0.0026423102945947025,
    0.0008758251834277888,
    0.00022654354877507584,
    -0.0001367653787683349,
    -5.1115493686236024e-05,
)
# The 16th root of erfc(1 + d), d from 0 to 5, in the same manner.
ROOT = (
    0.8908311778579856,
    -0.14692965868966945,
    -0.034824683260264964,
    0.004762174270356665,
    0.0015660642733083528,
    -0.0002815965631010994,
    -1.2162169890351722e-05,
    7.161042266139432e-06,
    -1.7042417512739862e-06,
    5.363855256998457e-07,
    -1.1513180027626307e-07,
    6.072556936448269e-09,
    5.278273868017645e-09,
    -2.2957900327573598e-09,
    5.312666054519208e-10,
    -7.721954371683064e-11,
    6.633714173355989e-12,
    -2.580631052232161e-13,
)
# What the rounding of the first one leaves.
ROOT_REST = 3.4829492223633813e-17
TWO_OVER_SQRT_PI = 1.1283791670955126


def _gauss(at: Lines, x: str, factor: str | float, less: str = "") -> str:
    """``factor exp(-x^2)``, less a small share of it."""
    square, lost = at.square(x)
    small, k = reduced(at, at.do("fneg", square))
    share = at.do("fadd", lost, less) if less else lost
    part = at.do("fmul", share, at.do("fadd", small, 1.0))
    small = at.do("fsub", small, part)
    return scaled(at, at.multiply_add(factor, small, factor), k)


def _tail(at: Lines, x: str) -> str:
    """``erfc(x)`` for x from 3/4."""
    u = at.do("fdiv", at.do("fsub", x, 2.5), at.do("fadd", x, 2.5))
    slope = at.polynomial(TAIL[1:], u)
    rest = at.multiply_add(u, slope, TAIL_REST)
    h = at.do("fadd", rest, TAIL[0])
    beyond = at.do("fadd", x, 0.3125)
    factor = at.do("fdiv", h, beyond)
    if at.fast:
        return _gauss(at, x, factor)
    # what the roundings of these two sums have lost, as shares of them
    lower = at.do("fsub", at.do("fsub", h, TAIL[0]), rest)
    lost = at.do("fsub", 0.3125, at.do("fsub", beyond, x))
    lost = at.multiply_add(lost, factor, lower)
    return _gauss(at, x, factor, at.do("fmul", lost, 1 / TAIL[0]))


def _near(at: Lines, x: str) -> str:
    """``erf(x) / x - 1`` near 0."""
    square = at.do("fmul", x, x)
    return at.polynomial(SMALL, square)


def gaussian(at: Lines) -> str:
    """``2 / sqrt(pi) exp(-x^2)``."""
    size, _ = at.size("%x")
    x = at.at_most(size, "ogt", 28.0)  # 0 from there
    return _gauss(at, x, TWO_OVER_SQRT_PI)


def _joined(at: Lines, x: str, rest: str, sign: str) -> str:
    """``erf(x)`` near 0, and as 1 less something beyond."""
    near = at.compare("olt", x, 1.0)
    small = at.multiply_add(x, _near(at, x), x)
    return at.signed(at.chosen(near, small, at.do("fsub", 1.0, rest)), sign)


def erf(at: Lines) -> str:
    """The error function."""
    size, sign = at.size("%x")
    if at.fast and "gaussian" not in at.beside:
        x = at.at_most(size, "ogt", 6.0)  # 1 from there
        d = at.do("fsub", x, 1.0)
        rest = at.do("fadd", at.polynomial((ROOT_REST, *ROOT[1:]), d), ROOT[0])
        for _ in range(4):
            rest = at.do("fmul", rest, rest)
        return _joined(at, x, rest, sign)
    x = at.at_most(size, "ogt", 28.0)  # as in gaussian, whose exponential it is
    u = at.do("fdiv", at.do("fsub", x, 2.5), at.do("fadd", x, 2.5))
    p = at.polynomial(SHORT_REST if at.fast else REST, u)
    square = at.do("fmul", x, x)
    small, k = reduced(at, at.do("fneg", square))
    rest = scaled(at, at.multiply_add(p, small, p), k)
    return _joined(at, x, rest, sign)


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
