"""Rows of the error function and of sinc.

Floor 1. Source: DLMF chapters 7 and 3. C's maths library has erf and erfc; sinc brings
its algorithm for floats.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, row

NAN = float("nan")

_REAL_LINE = (lambda s: (s.real("x"),),)
_SIDES = (lambda s: (s.positive("x"),), lambda s: (s.negative("x"),))


def _gaussian(m: Any, x: Any) -> Any:
    """2/sqrt(pi) exp(-x^2), with x^2 in two parts.

    The rounding of x*x is 500 ulp of the exponential at x = 26. The upper part of x, to
    the nearest 1/128, has 12 bits where it is used, so its square is exact, in float32
    as well. The rest of the exponent is below 1/4.
    """
    high = m.round(128 * x) / 128
    upper = m.exp(-(high * high))
    split = upper + upper * m.expm1(-((x - high) * (x + high)))
    small = m.less(m.abs(x), 32)
    return m.const("two_over_sqrt_pi") * m.where(small, split, m.exp(-(x * x)))


GAUSSIAN = row(
    Primitive(
        "gaussian",
        1,
        lambda m, y, x: (-2 * (x * y),),
        sympy=lambda sp, x: 2 / sp.sqrt(sp.pi) * sp.exp(-(x**2)),
        source="DLMF 7.2.1; helper of erf: its derivative",
        body=_gaussian,
        helper=True,
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (0.0,), "", value=1.1283791670955126, relative=1e-15),
            Edge((1e200,), (0.0,), "", value=0.0),
            Edge((NAN,), (NAN,), "", value=NAN),
        ),
    )
)
ERF = row(
    Primitive(
        "erf",
        1,
        lambda m, y, x: (m.gaussian(x),),
        sympy=lambda sp, x: sp.erf(x),
        source="DLMF 7.2.1, 7.10.1",
        llvm="@erf",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.1283791670955126,), "", value=0.0, relative=1e-15),
            Edge((26.0,), (2.9470349932662693e-294,), "x*x rounds", relative=1e-15),
            Edge((-INF,), (0.0,), "", value=-1.0),
        ),
    )
)
ERFC = row(
    Primitive(
        "erfc",
        1,
        lambda m, y, x: (-m.gaussian(x),),
        sympy=lambda sp, x: sp.erfc(x),
        source="DLMF 7.2.2, 7.10.1",
        llvm="@erfc",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (-1.1283791670955126,), "", value=1.0, relative=1e-15),
            Edge((30.0,), (0.0,), "", value=0.0),
            Edge((-INF,), (0.0,), "", value=2.0),
        ),
    )
)


def _sinc_term(j: int, n: int) -> int:
    """(2j + 1) (2j - n)!, what divides a term of the series below."""
    product = 2 * j + 1
    for k in range(2, 2 * j - n + 1):
        product *= k
    return product


def _sinc_series(m: Any, x: Any, n: int) -> Any:
    """sum (-1)^j pi^(2j) x^(2j-n) / ((2j + 1) (2j - n)!), for |x| < 1."""
    first = (n + 1) // 2
    w = (m.const("pi") * x) * (m.const("pi") * x)
    total = 0
    for j in reversed(range(first, first + 12 + n)):
        total = w * total + (1 if j % 2 == 0 else -1) / _sinc_term(j, n)
    for _ in range(2 * first):
        total = total * m.const("pi")
    return total * x if n % 2 else total


def _sinc_slope(m: Any, x: Any, n: int) -> Any:
    """The n-th derivative of sin(pi x) / (pi x).

    Beside 0 by the series. Elsewhere (x sinc)^(k) = x sinc^(k) + k sinc^(k-1), solved
    for the k-th derivative, the angle reduced exactly: sin(pi x) = +-sin(pi r).
    """
    whole = m.round(x)
    r = x - whole
    even = m.equal(whole, 2 * m.round(whole / 2))
    sign = m.where(even, 1, -1)
    pi = m.const("pi")
    sine = sign * m.sin(pi * r)
    cosine = sign * m.sin(pi * (m.const("half") - m.abs(r)))
    # each turn divides by pi x: where many follow the series has to reach further
    small = m.less(m.abs(x), 1 if n > 3 else m.const("half"))
    x = m.where(m.equal(x, 0), 1, x)  # not selected there
    found, power = sine / pi / x, 1 / pi
    for k in range(1, n + 1):
        power = power * pi
        turned = (sine, cosine, -sine, -cosine)[k % 4]
        found = (power * turned - k * found) / x
    return small, found


def _infinite(m: Any, x: Any) -> Any:
    """Whether x is infinite: x - x is NaN, and x is not."""
    return m.logical_and(m.equal(x, x), m.not_equal(x - x, 0))


def _sinc(m: Any, x: Any) -> Any:
    """sin(pi x) / (pi x); 0 at the infinities."""
    return _sinc_nth(m, x, 0)


def _sinc_nth(m: Any, x: Any, n: int) -> Any:
    small, found = _sinc_slope(m, x, n)
    found = m.where(_infinite(m, x), 0, found)
    return m.where(small, _sinc_series(m, x, n), found)


def _sympy_sinc(sp: Any, x: Any, n: int = 0) -> Any:
    t = sp.Dummy(real=True)
    slope = sp.expand(sp.diff(sp.sin(sp.pi * t) / (sp.pi * t), t, n)).subs(t, x)
    at_zero = (-1) ** (n // 2) * sp.pi**n / (n + 1) if n % 2 == 0 else sp.Integer(0)
    return sp.Piecewise((slope, sp.Ne(x, 0)), (at_zero, True))


SINC = row(
    Primitive(
        "sinc",
        1,
        lambda m, y, x: (m.sinc_slope(x, n=1),),
        sympy=_sympy_sinc,
        source="DLMF 3.3.43; sin(pi x) / (pi x), as NumPy has it",
        floats=_sinc,
        cancels=True,
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((0.0,), (0.0,), "a composition gives NaN", value=1.0),
            Edge((1e-9,), (-3.289868133696453e-09,), "it cancels", relative=1e-15),
            Edge((1.0,), (-1.0,), "", value=0.0, relative=1e-15),
            Edge((INF,), (0.0,), "", value=0.0),
            Edge((NAN,), (NAN,), "", value=NAN),
        ),
    )
)
SINC_SLOPE = row(
    Primitive(
        "sinc_slope",
        1,
        lambda m, y, x, n: (m.sinc_slope(x, n=n + 1),),
        sympy=_sympy_sinc,
        source="helper of sinc: its n-th derivative",
        floats=_sinc_nth,
        cancels=True,
        helper=True,
        domain=(REAL,),
        pieces=_SIDES,
        params=({"n": 1}, {"n": 2}),
        edges=(
            Edge((0.0,), (-3.289868133696453,), "", 0.0, {"n": 1}, relative=1e-15),
            Edge((0.0,), (0.0,), "", -3.289868133696453, {"n": 2}, relative=1e-15),
        ),
    )
)
