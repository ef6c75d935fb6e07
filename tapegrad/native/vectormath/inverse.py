"""Inverse trigonometric functions, and distances, for loops over arrays. Floor 9.

    atan(b / a) = pi/4 + atan((b - a) / (b + a))    from tan(pi/8) to 1
    asin(x) = pi/2 - 2 asin(sqrt((1 - x) / 2))      from 1/2

atan2 works with the smaller of its operands over the larger, and atan is atan2 of 1.
Special numbers, and operands whose squares are none, are looked up in C.
Largest errors found: atan 0.8 ulp, atan2 0.75, asin 1.15, acos 1.05, hypot 1.1.
(Muller, Elementary Functions, 3rd ed., chapter 11.)
"""

from __future__ import annotations

from tapegrad.native.reading import literal
from tapegrad.native.vectormath.lines import Lines

# (atan(t) / t - 1) / t^2 in t^2, |t| <= tan(pi/8): eleven Chebyshev nodes.
ATAN = (
    -0.3333333333333333,
    0.1999999999999548,
    -0.14285714284657894,
    0.11111111014561013,
    -0.09090904549884611,
    0.07692182535116648,
    -0.06664502215671447,
    0.058580687568615106,
    -0.05085030492810941,
    0.03921955253255129,
    -0.019162068915902573,
)
# (asin(t) / t - 1) / t^2 in t^2, |t| <= 1/2: thirteen nodes.
ASIN = (
    0.16666666666666669,
    0.07499999999998425,
    0.04464285714637338,
    0.030381944137085216,
    0.022372173002005596,
    0.017352391265909227,
    0.013971235301124539,
    0.011478952690257387,
    0.010324318288744113,
    0.00545087818772055,
    0.017419357964884856,
    -0.014881409392818066,
    0.02877844261259304,
)
TAN_EIGHTH = 0.41421356237309503
HALF_PI, HALF_PI_LOW = 1.5707963267948966, 6.123233995736766e-17
# Squares, and products of what divisions lose, are normal numbers within.
SMALLEST, LARGEST = 2.0**-450, 2.0**450


def _angle(at: Lines, small: str, large: str) -> tuple[str, str]:
    """``atan(small / large)`` from 0 to pi/4 in two parts."""
    beyond = at.compare("ogt", small, at.do("fmul", large, TAN_EIGHTH))
    less, more = at.do("fsub", small, large), at.do("fadd", small, large)
    less_lost = at.lost(small, at.do("fneg", large), less)
    more_lost = at.lost(small, large, more)
    above, below = at.chosen(beyond, less, small), at.chosen(beyond, more, large)
    inverse = at.do("fdiv", 1.0, below)
    t = at.do("fmul", above, inverse)
    # what the division and both sums have lost
    back, lost = at.product(t, below)
    left = at.do("fsub", at.do("fsub", above, back), lost)
    sums = at.subtract_product(less_lost, t, more_lost)
    left = at.do("fadd", left, at.chosen(beyond, sums, 0.0))
    z = at.do("fmul", t, t)
    rest = at.do("fmul", at.do("fmul", t, z), at.polynomial(ATAN, z))
    rest = at.multiply_add(left, inverse, rest)
    base = at.chosen(beyond, HALF_PI / 2, 0.0)
    total = at.do("fadd", base, t)
    lost = at.do("fsub", t, at.do("fsub", total, base))
    lost = at.do("fadd", lost, at.chosen(beyond, HALF_PI_LOW / 2, 0.0))
    return total, at.do("fadd", rest, lost)


def _turned(
    at: Lines, condition: str, angle: tuple[str, str], n: int
) -> tuple[str, str]:
    """``n pi/2`` less an angle where it holds."""
    whole = n * HALF_PI
    high = at.do("fsub", whole, angle[0])
    lost = at.do("fsub", at.do("fsub", whole, high), angle[0])
    low = at.do("fsub", at.do("fadd", lost, n * HALF_PI_LOW), angle[1])
    return at.chosen(condition, high, angle[0]), at.chosen(condition, low, angle[1])


def _ordered(at: Lines, a: str, b: str) -> tuple[str, str, str]:
    """Whether a is the larger, the smaller, and the larger."""
    swapped = at.compare("ogt", a, b)
    return swapped, at.chosen(swapped, b, a), at.chosen(swapped, a, b)


def _outside(at: Lines, *xs: str) -> str:
    """Whether any is beyond the bounds, or no number."""
    found = ""
    for x in xs:
        for word, bound in (("ult", SMALLEST), ("ugt", LARGEST)):
            one = at.compare(word, x, bound)
            found = at.add(f"or i1 {found}, {one}") if found else one
    return found


def atan(at: Lines) -> str:
    """The angle whose tangent it is."""
    size, sign = at.size("%x")
    x = at.at_most(size, "ogt", 2.0**100)  # a right angle from there
    swapped, small, large = _ordered(at, x, literal(1.0))
    angle = _turned(at, swapped, _angle(at, small, large), 1)
    return at.signed(at.do("fadd", *angle), sign)


def atan2(at: Lines) -> str:
    """The angle of the point (y, x)."""
    a, sign = at.size("%x")
    b, _ = at.size("%y")
    at.elsewhere(_outside(at, a, b), "atan2")
    swapped, small, large = _ordered(at, a, b)
    angle = _turned(at, swapped, _angle(at, small, large), 1)
    angle = _turned(at, at.compare("olt", "%y", 0.0), angle, 2)
    return at.signed(at.do("fadd", *angle), sign)


def hypot(at: Lines) -> str:
    """The distance from the origin."""
    a, _ = at.size("%x")
    b, _ = at.size("%y")
    at.elsewhere(_outside(at, a, b), "hypot")
    square = at.multiply_add(a, a, at.do("fmul", b, b))
    return at.root(square)


def _series(at: Lines, size: str) -> tuple[str, str, str]:
    """Whether it is beyond 1/2, what the series is of, and the rest of the series."""
    beyond = at.compare("ogt", size, 0.5)
    half = at.do("fmul", at.do("fsub", 1.0, size), 0.5)
    z = at.chosen(beyond, half, at.do("fmul", size, size))
    t = at.chosen(beyond, at.root(half), size)
    return beyond, t, at.do("fmul", at.do("fmul", t, z), at.polynomial(ASIN, z))


def asin(at: Lines) -> str:
    """The angle whose sine it is."""
    size, sign = at.size("%x")
    beyond, t, rest = _series(at, size)
    twice = at.do("fadd", t, t)
    far = at.do("fsub", HALF_PI, twice)
    lost = at.do("fsub", at.do("fsub", HALF_PI, far), twice)
    lost = at.subtract_product(at.do("fadd", lost, HALF_PI_LOW), rest, 2.0)
    y = at.chosen(beyond, at.do("fadd", far, lost), at.do("fadd", t, rest))
    return at.signed(y, sign)


def acos(at: Lines) -> str:
    """The angle whose cosine it is: pi/2, or 0, or pi, less what the series gives."""
    size, sign = at.size("%x")
    beyond, t, rest = _series(at, size)
    left = at.compare("olt", "%x", 0.0)
    factor = at.signed(at.chosen(beyond, -2.0, 1.0), sign)
    t, rest = at.do("fmul", t, factor), at.do("fmul", rest, factor)
    bases = []
    for part in (HALF_PI, HALF_PI_LOW):
        far = at.chosen(left, 2 * part, 0.0)
        bases.append(at.chosen(beyond, far, part))
    y = at.do("fsub", bases[0], t)
    lost = at.do("fsub", at.do("fsub", bases[0], y), t)
    lost = at.do("fsub", at.do("fadd", lost, bases[1]), rest)
    return at.do("fadd", y, lost)
