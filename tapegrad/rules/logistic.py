"""Rows of sums of exponentials: sigmoid, softplus, logaddexp; logit and xlogy.

Floor 1. Source of the identities: DLMF 4.2 and 4.34.

    sigmoid(x)  = 1 / (1 + exp(-x))
    share(a, b) = exp(a) / (exp(a) + exp(b))     helper: the partials of logaddexp
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, NONNEGATIVE, REAL, Edge, Primitive, row

NAN = float("nan")

_REAL_LINE = (lambda s: (s.real("x"),),)
_SIDES = (lambda s: (s.positive("x"),), lambda s: (s.negative("x"),))
_ORDERED = (
    lambda s: (s.real("x") + s.positive("t"), s.real("x")),
    lambda s: (s.real("x"), s.real("x") + s.positive("t")),
)


def _sigmoid(m: Any, x: Any) -> Any:
    """By exp(-|x|), which does not overflow."""
    e = m.exp(-m.abs(x))
    return m.where(m.less(x, 0), e, 1) / (1 + e)


SIGMOID = row(
    Primitive(
        "sigmoid",
        1,
        # y (1 - y) is 0 at x = 40
        lambda m, y, x: (m.sech2(x / 2) / 4,),
        sympy=lambda sp, x: 1 / (1 + sp.exp(-x)),
        source="DLMF 4.34.1; the logistic function",
        ufunc="expit",
        body=_sigmoid,
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((0.0,), (0.25,), "", value=0.5),
            Edge((40.0,), (4.248354255291589e-18,), "y (1 - y) is 0", relative=1e-15),
            Edge((-800.0,), (0.0,), "", value=0.0),
            Edge((800.0,), (0.0,), "", value=1.0),
            Edge((-INF,), (0.0,), "", value=0.0),
        ),
    )
)


def _logit(m: Any, x: Any) -> Any:
    """log(x / (1 - x)); beside 1/2, where that is 0, by log1p: 2 x - 1 is exact."""
    rest = 1 - x
    near = m.less(1, 4 * x)
    return m.where(near, m.log1p((2 * x - 1) / rest), m.log(x / rest))


LOGIT = row(
    Primitive(
        "logit",
        1,
        # x + 0: the pole at -0.0 is +inf, too; NaN outside, where y is
        lambda m, y, x: (m.where(m.equal(y, y), 1 / ((x + 0) * (1 - x)), y),),
        sympy=lambda sp, x: sp.log(x / (1 - x)),
        source="DLMF 4.37.24; the inverse of sigmoid",
        body=_logit,
        domain=((0.0, 1.0),),
        pieces=(lambda s: (s.positive("x") / (1 + s.positive("x")),),),
        edges=(
            Edge((0.5,), (4.0,), "", value=0.0),
            Edge((0.0,), (INF,), "", value=-INF),
            Edge((1.0,), (INF,), "", value=INF),
            Edge((2.0,), (NAN,), "the naive formula gives -1/2", value=NAN),
            Edge((-1.0,), (NAN,), "the naive formula gives -1/2", value=NAN),
        ),
    )
)
SOFTPLUS = row(
    Primitive(
        "softplus",
        1,
        lambda m, y, x: (m.sigmoid(x),),
        sympy=lambda sp, x: sp.log(1 + sp.exp(x)),
        source="DLMF 4.2; the integral of sigmoid",
        body=lambda m, x: m.where(m.less(0, x), x, 0) + m.log1p(m.exp(-m.abs(x))),
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((800.0,), (1.0,), "exp overflows", value=800.0),
            Edge((-800.0,), (0.0,), "", value=0.0),
            Edge((0.0,), (0.5,), "", value=0.6931471805599453, relative=1e-15),
            Edge((NAN,), (NAN,), "", value=NAN),
        ),
    )
)


def _share(m: Any, a: Any, b: Any) -> Any:
    """sigmoid(a - b), with what the difference loses by rounding.

    At a - b = -700 the rounding of the difference is 500 ulp of the exponential. It is
    found exactly (Knuth, The Art of Computer Programming, vol. 2, 4.2.2 theorem B), and
    sigmoid(d + lost) = s + s (1 - s) lost but for squares of it.
    """
    d = a - b
    back = d - a
    lost = (a - (d - back)) - (b + back)
    e = m.exp(-m.abs(d))
    one, rest = 1 / (1 + e), e / (1 + e)
    below = m.less(d, 0)
    s = m.where(below, rest, one)
    fixed = s + s * m.where(below, one, rest) * lost
    return m.where(m.equal(lost, lost), fixed, s)


def _share_partials(m: Any, y: Any, a: Any, b: Any) -> Any:
    """y (1 - y), which is sech^2(d / 2) / 4 with d = a - b.

    Far from d = 0 the rounding of d is many ulps of the second; beside it the
    derivative of the first is a difference of two halves, that of the second is not.
    """
    d = a - b
    near = m.less(m.abs(d), 1)
    even = m.sech2(m.where(near, d, 0) / 2) / 4
    slope = m.where(near, even, y * m.share(b, a))
    return slope, -slope


SHARE = row(
    Primitive(
        "share",
        2,
        _share_partials,
        sympy=lambda sp, a, b: 1 / (1 + sp.exp(b - a)),
        source="helper of logaddexp: the softmax of two numbers",
        body=_share,
        helper=True,
        domain=(REAL, REAL),
        pieces=_ORDERED,
        edges=(
            Edge((1.0, 1.0), (0.25, -0.25), "", value=0.5),
            Edge((-INF, 1.0), (0.0, 0.0), "", value=0.0),
            Edge((INF, 1.0), (0.0, 0.0), "", value=1.0),
        ),
    )
)


def _logaddexp(m: Any, a: Any, b: Any) -> Any:
    """The larger + log1p(exp(-distance)); equal infinities have the distance 0."""
    distance = m.where(m.equal(a, b), 0, m.abs(a - b))
    return m.max(a, b) + m.log1p(m.exp(-distance))


LOGADDEXP = row(
    Primitive(
        "logaddexp",
        2,
        lambda m, y, a, b: (m.share(a, b), m.share(b, a)),
        sympy=lambda sp, a, b: sp.log(sp.exp(a) + sp.exp(b)),
        source="DLMF 4.2; log(exp(a) + exp(b))",
        body=_logaddexp,
        cancels=True,
        domain=(REAL, REAL),
        pieces=_ORDERED,
        edges=(
            Edge((1000.0, 1000.0), (0.5, 0.5), "exp overflows"),
            Edge((-1000.0, 0.0), (0.0, 1.0), "", value=0.0),
            Edge((INF, 0.0), (1.0, 0.0), "", value=INF),
            Edge((-INF, 0.0), (0.0, 1.0), "", value=0.0),
        ),
    )
)


def _xlogy(m: Any, x: Any, y: Any) -> Any:
    zero = m.logical_and(m.equal(x, 0), m.less_equal(0, y))
    return m.where(zero, 0, x * m.log(y))


def _xlogy_partials(m: Any, x: Any, y: Any) -> Any:
    """(log y, x / y); at (0, 0) the limit along x = 0; NaN where y < 0."""
    corner = m.logical_and(m.equal(x, 0), m.equal(y, 0))
    slope = m.where(corner, 0, x / (y + 0))
    logarithm = m.log(y)
    return logarithm, m.where(m.less_equal(0, y), slope, logarithm)


XLOGY = row(
    Primitive(
        "xlogy",
        2,
        lambda m, r, x, y: _xlogy_partials(m, x, y),
        sympy=lambda sp, x, y: x * sp.log(y),
        source="DLMF 4.2; 0 log 0 = 0, the limit",
        body=_xlogy,
        domain=(REAL, NONNEGATIVE),
        pieces=(lambda s: (s.real("x"), s.positive("y")),),
        edges=(
            Edge((0.0, 0.0), (-INF, 0.0), "0 times inf is NaN", value=0.0),
            Edge((0.0, 2.0), (0.6931471805599453, 0.0), "", value=0.0),
            Edge((2.0, 0.0), (-INF, INF), "", value=-INF),
            Edge((2.0, -1.0), (NAN, NAN), "x / y is a number", value=NAN),
            Edge((0.0, NAN), (NAN, NAN), "", value=NAN),
        ),
    )
)
