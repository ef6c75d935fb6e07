"""Rows of the gamma function: lgamma, digamma, polygamma.

Floor 1. Source: DLMF chapter 5. C's maths library has lgamma. The others bring their
algorithm for floats, whose coefficients are Bernoulli's numbers and factorials:
rational, so nothing is fitted and nothing is copied.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, row

NAN = float("nan")

_SIDES = (lambda s: (s.positive("x"),), lambda s: (s.negative("x"),))

# Bernoulli's numbers B_2, B_4, ... (DLMF 24.2), numerator and denominator.
BERNOULLI = (
    (1, 6),
    (-1, 30),
    (1, 42),
    (-1, 30),
    (5, 66),
    (-691, 2730),
    (7, 6),
    (-3617, 510),
)
# From here on the asymptotic series of digamma is good to the last place.
FAR = 10


def _near_digamma(m: Any, z: Any, lost: Any) -> Any:
    """digamma between 0 and FAR: (z - r) times a sum of positive terms, r its zero.

    Each term of psi(z) - psi(r), by the recurrence and the asymptotic series at
    a = z + FAR and b = r + FAR, has the factor z - r, so no digit is lost beside r:

        sum 1 / ((z + k)(r + k)) + log(a / b) / (a - b) + 1 / (2 a b)
        + (a + b) / (a b)^2 * sum B_2k / (2k) h_(k-1)(1/a^2, 1/b^2)

    h: u^k - v^k = (u - v) h_(k-1)(u, v). DLMF 5.5.2, 5.11.2. What z has lost by
    rounding counts beside r alone.
    """
    root = m.const("digamma_root")
    away = (z - root) - (m.const("digamma_root_low") - lost)
    a, b = z + FAR, root + FAR
    u, v = 1 / (a * a), 1 / (b * b)
    series: Any = 0
    h: Any = 1
    power: Any = 1
    for k, (top, bottom) in enumerate(BERNOULLI, 1):
        series = series + top * h / (bottom * 2 * k)
        power = power * v
        h = u * h + power
    total = (a + b) * u * v * series + 1 / (2 * a * b)
    total = total + m.log1p(away / b) / away
    recurred = 0
    for k in reversed(range(FAR)):  # the largest term last
        recurred = recurred + 1 / ((z + k) * (root + k))
    return away * (total + recurred)


def _far_digamma(m: Any, z: Any) -> Any:
    """The asymptotic series, DLMF 5.11.2."""
    w = 1 / (z * z)
    series: Any = 0
    for k, (top, bottom) in reversed(list(enumerate(BERNOULLI, 1))):
        series = w * (top / (bottom * 2 * k) + series)
    return m.log(z) - (1 / (2 * z) + series)


def _from_pole(m: Any, x: Any) -> tuple[Any, Any]:
    """Whether x > 0, and for x <= 0 how far it is from the nearest integer, exactly."""
    right = m.less(0, x)
    # the half keeps the tangent that is not selected a number
    return right, m.where(right, m.const("half"), x - m.round(x))


def _digamma(m: Any, x: Any) -> Any:
    """For x <= 0 by the reflection psi(x) = psi(1 - x) - pi cot(pi x), DLMF 5.5.4."""
    right, r = _from_pole(m, x)
    moved = 1 - x
    back = moved - 1
    lost = m.where(right, 0, (1 - (moved - back)) - (x + back))
    z = m.where(right, x, moved)
    near = _near_digamma(m, z, lost)
    found = m.where(m.less(z, FAR), near, _far_digamma(m, z))
    # beside a half the cotangent is small: from the distance to the half, exactly
    pi = m.const("pi")
    steep = pi / m.tan(pi * r)
    flat = pi * m.tan(pi * (m.const("half") - m.abs(r)))
    flat = m.where(m.less(r, 0), -flat, flat)
    reflected = found - m.where(m.less(4 * m.abs(r), 1), steep, flat)
    # at 0 the signs of zero tell the sides apart; at -1, -2, ... nothing does
    pole = m.logical_and(m.less(x, 0), m.equal(r, 0))
    return m.where(right, found, m.where(pole, m.const("nan"), reflected))


def _turned(sp: Any, x: Any) -> Any:
    """pi x less whole turns: the cotangent is the same, and a pole is exact."""
    return sp.pi * (x - sp.floor(x + sp.Rational(1, 2)))


def _sympy_lgamma(sp: Any, x: Any) -> Any:
    sine = sp.sin(_turned(sp, x))
    left = sp.log(sp.pi) - sp.log(sine**2) / 2 - sp.loggamma(1 - x)
    return sp.Piecewise((sp.loggamma(x), x > 0), (left, True))


def _sympy_polygamma(sp: Any, x: Any, n: int) -> Any:
    t = sp.Dummy(real=True)
    cotangent = sp.diff(sp.cot(t), t, n).subs(t, _turned(sp, x))
    left = (-1) ** n * sp.polygamma(n, 1 - x) - sp.pi ** (n + 1) * cotangent
    return sp.Piecewise((sp.polygamma(n, x), x > 0), (left, True))


LGAMMA = row(
    Primitive(
        "lgamma",
        1,
        lambda m, y, x: (m.digamma(x),),
        sympy=_sympy_lgamma,
        source="DLMF 5.2.2; log |Gamma(x)|",
        ufunc="gammaln",
        llvm="@lgamma",
        scalar="numpy",
        cancels=True,
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((1.0,), (-0.5772156649015329,), "", value=0.0, relative=1e-15),
            Edge((2.0,), (0.42278433509846714,), "", value=0.0, relative=1e-15),
            Edge((0.0,), (-INF,), "a pole", value=INF),
            Edge((-1.0,), (NAN,), "a pole with two sides", value=INF),
            Edge((1e308,), (709.1962086421661,), "", INF, relative=1e-15),
        ),
    )
)
DIGAMMA = row(
    Primitive(
        "digamma",
        1,
        lambda m, y, x: (m.polygamma(x, n=1),),
        sympy=lambda sp, x: _sympy_polygamma(sp, x, 0),
        source="DLMF 5.2.2, 5.5.2, 5.5.4, 5.11.2",
        ufunc="psi",
        floats=_digamma,
        cancels=True,
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge(
                (1.0,), (1.6449340668482264,), "", -0.5772156649015329, relative=1e-15
            ),
            Edge((1e-300,), (INF,), "", value=-1e300, relative=1e-15),
            Edge((-2.0,), (INF,), "a pole", value=NAN),
        ),
    )
)


def cosines(n: int) -> list[int]:
    """P_n with d^n/dt^n cot t = (-1)^n P_n(cos t) / sin(t)^(n + 1), lowest power first.

    From P_0 = c: P_(n+1) = (n + 1) c P_n + (1 - c^2) P_n'.
    """
    found = [0, 1]
    for order in range(1, n + 1):
        slope = [k * c for k, c in enumerate(found)][1:]
        grown = [0] * (len(found) + 1)
        for k, c in enumerate(found):
            grown[k + 1] += order * c
        for k, c in enumerate(slope):
            grown[k] += c
            grown[k + 2] -= c
        found = grown
    return found


def _positive_polygamma(m: Any, z: Any, n: int) -> Any:
    """(-1)^(n+1) psi_n(z) for z > 0 and n > 0: a sum of terms of one sign.

    n! (sum (z + k)^(-n-1) + zeta(n + 1, z + N)), DLMF 5.15.1, 25.11.43.
    """
    shift = FAR + n
    a = z + shift
    factorial = 1
    for k in range(2, n):
        factorial *= k
    last = m.pow(a, -n)  # times (n - 1)!, here and below
    w = 1 / (a * a)
    series, rising = 0, 1
    terms = []
    for k, (top, bottom) in enumerate(BERNOULLI, 1):
        # n (n + 1) ... (n + 2k - 1) / (2k)!
        rising = rising * (n + 2 * k - 2) * (n + 2 * k - 1)
        bottom_factorial = 1
        for j in range(2, 2 * k + 1):
            bottom_factorial *= j
        terms.append((top * rising) / (bottom * bottom_factorial))
    for term in reversed(terms):
        series = w * (term + series)
    recurred = 0  # apart: far out these are many, and small beside the rest
    for k in reversed(range(shift)):
        recurred = recurred + n * m.pow(z + k, -n - 1)
    return factorial * (last * (1 + n / (2 * a) + series) + recurred)


def _angle_squared(m: Any, r: Any) -> Any:
    """(pi r)^2 for |r| <= 1/2, nearly rounded once.

    The upper 12 bits of r times 201/64, which is pi but for a thousandth, are exact.
    """
    high = m.round(4096 * r) / 4096
    first = 201 * high / 64
    rest = 201 * (r - high) / 64 + (64 * m.const("pi") - 201) / 64 * r
    return first * first + rest * (2 * first + rest)


def _series(w: Any, first: int) -> Any:
    """1 - sin(t) / t for first = 3, 1 - cos(t) for first = 2; w = t^2."""
    q, factorial = 0, 1
    terms = []
    for k in range(1, 12):
        factorial *= (2 * k) * (2 * k + 1 if first == 3 else 2 * k - 1)
        terms.append((1 if k % 2 else -1) / factorial)
    for term in reversed(terms):
        q = w * (term + q)
    return q


def _sine_power(m: Any, r: Any, n: int) -> Any:
    """(sin(pi r) / pi)^-n for |r| <= 1/2.

    Powers of the sine would magnify its rounding, and that of pi r. So beside the pole
    it is r^-n (1 - q)^-n, and beside a half (cos(pi (1/2 - |r|)) / pi)^-n.
    """
    a = m.abs(r)
    rest = m.const("half") - a
    steep = m.less(10 * a, 3)
    w = _angle_squared(m, m.where(steep, a, rest))
    beside = m.pow(r, -n) * m.pow(1 - _series(w, 3), -n)
    apart = m.pow(m.const("pi"), n) * m.pow(1 - _series(w, 2), -n)
    turned = -apart if n % 2 else apart
    return m.where(steep, beside, m.where(m.less(r, 0), turned, apart))


def _polygamma(m: Any, x: Any, n: int) -> Any:
    """For x <= 0 by the reflection, differentiated n times; DLMF 5.15.6."""
    if n == 0:
        return m.digamma(x)
    right, r = _from_pole(m, x)
    found = _positive_polygamma(m, m.where(right, x, 1 - x), n)
    pi = m.const("pi")
    cosine = m.sin(pi * (m.const("half") - m.abs(r)))
    polynomial = 0
    for coefficient in reversed(cosines(n)):
        polynomial = polynomial * cosine + coefficient
    reflected = polynomial * _sine_power(m, r, n + 1)
    # (-1)^(n+1) of psi_n is the first, and psi_n(x) = (-1)^n psi_n(1 - x) - pi cot^(n)
    sign = 1 if n % 2 else -1
    left = -found + sign * reflected
    pole = m.logical_and(m.less_equal(x, 0), m.equal(r, 0))
    at_pole = m.const("nan") if n % 2 == 0 else 1 / m.abs(r)
    return m.where(right, sign * found, m.where(pole, at_pole, left))


POLYGAMMA = row(
    Primitive(
        "polygamma",
        1,
        lambda m, y, x, n: (m.polygamma(x, n=n + 1),),
        sympy=_sympy_polygamma,
        source="DLMF 5.15.1, 5.15.6; helper of digamma: its n-th derivative",
        floats=_polygamma,
        cancels=True,
        helper=True,
        ulps=8.0,  # left of 0 powers of a sine magnify its rounding
        domain=(REAL,),
        pieces=_SIDES,
        params=({"n": 1}, {"n": 2}, {"n": 4}),  # its partial is the next
        edges=(
            Edge(
                (1.0,),
                (-2.4041138063191885,),
                "",
                1.6449340668482264,
                {"n": 1},
                relative=1e-15,
            ),
            Edge((-2.0,), (NAN,), "a pole", INF, {"n": 1}),
            Edge((1e200,), (0.0,), "", 1e-200, {"n": 1}, relative=1e-15),
        ),
    )
)
