"""Rows of trigonometric functions, their inverses, and distances in the plane.

Floor 1. Sources: DLMF sections 4.20 and 4.24; A&S 4.3 and 4.4.

Two helper rows of a point (a, b) of the plane, safe from overflow and underflow, and
each closed under differentiation together with its mirror image:

    direction(a, b) = a / sqrt(a^2 + b^2)       the partials of hypot
    inversion(a, b) = a / (a^2 + b^2)           the partials of atan2
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, row

NAN = float("nan")

_REAL_LINE = (lambda s: (s.real("x"),),)
_QUADRANTS = (
    lambda s: (s.positive("x"), s.positive("y")),
    lambda s: (s.positive("x"), s.negative("y")),
    lambda s: (s.negative("x"), s.positive("y")),
    lambda s: (s.negative("x"), s.negative("y")),
)

SIN = row(
    Primitive(
        "sin",
        1,
        lambda m, y, x: (m.cos(x),),
        sympy=lambda sp, x: sp.sin(x),
        source="DLMF 4.20.1",
        llvm="@sin",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((INF,), (NAN,), "no ValueError", value=NAN),
        ),
    )
)
COS = row(
    Primitive(
        "cos",
        1,
        lambda m, y, x: (-m.sin(x),),
        sympy=lambda sp, x: sp.cos(x),
        source="DLMF 4.20.2",
        llvm="@cos",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (0.0,), "", value=1.0),
            Edge((INF,), (NAN,), "no ValueError", value=NAN),
        ),
    )
)
TAN = row(
    Primitive(
        "tan",
        1,
        lambda m, y, x: (1 + y * y,),
        sympy=lambda sp, x: sp.tan(x),
        source="DLMF 4.20.3",
        llvm="@tan",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((INF,), (NAN,), "no ValueError", value=NAN),
        ),
    )
)


def _circle(m: Any, x: Any) -> Any:
    """sqrt(1 - x^2), NaN outside.

    1 - x is exact for x > 1/2, so the product keeps all digits near 1; below, it would
    make two terms of the second derivative that cancel at 0, and 1 - x*x does not.
    """
    near = m.less(1, 2 * m.abs(x))
    return m.sqrt(m.where(near, (1 - x) * (1 + x), 1 - x * x))


ASIN = row(
    Primitive(
        "asin",
        1,
        lambda m, y, x: (1 / _circle(m, x),),
        sympy=lambda sp, x: sp.asin(x),
        source="DLMF 4.24.7",
        ufunc="arcsin",
        llvm="@asin",
        domain=((-1.0, 1.0),),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1.0,), (INF,)),
            Edge((-1.0,), (INF,)),
            Edge((2.0,), (NAN,), "", value=NAN),
            Edge((1 - 2**-52,), (47453132.81212578,), "1 - x*x", relative=1e-15),
        ),
    )
)
ACOS = row(
    Primitive(
        "acos",
        1,
        lambda m, y, x: (-1 / _circle(m, x),),
        sympy=lambda sp, x: sp.acos(x),
        source="DLMF 4.24.8",
        ufunc="arccos",
        llvm="@acos",
        domain=((-1.0, 1.0),),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (-1.0,)),
            Edge((1.0,), (-INF,), "", value=0.0),
            Edge((-1.0,), (-INF,)),
            Edge((-2.0,), (NAN,), "", value=NAN),
        ),
    )
)
ATAN = row(
    Primitive(
        "atan",
        1,
        # beyond 1 the quotient of small numbers: x*x overflows at 1e160
        lambda m, y, x: (
            m.where(m.less(1, m.abs(x)), 1 / x / (x + 1 / x), 1 / (1 + x * x)),
        ),
        sympy=lambda sp, x: sp.atan(x),
        source="DLMF 4.24.9",
        ufunc="arctan",
        llvm="@atan",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1e160,), (1e-320,), "x*x overflows", relative=1e-13),
            Edge((INF,), (0.0,)),
            Edge((NAN,), (NAN,), "", value=NAN),
        ),
    )
)


def _inversion(m: Any, a: Any, b: Any) -> Any:
    """a / (a^2 + b^2): directly where the squares are numbers, else by the ratio.

    Squares overflow for large operands and vanish for small ones, in float32 from 2^64
    and 2^-63 on. Beyond 2^60 and below 2^-60 it is 1 / (a + b t) with t = b/a, or, for
    the larger b, u / (b + a u) with u = a/b; both terms of a sum have one sign. Of
    large ones halves are added, since a + b t may overflow. Where b is small beside a
    the first is the better anyway: what t has lost hardly counts.
    """
    p, q = m.abs(a), m.abs(b)
    huge = 2**60
    below = m.logical_and(m.less(p, huge), m.less(q, huge))
    above = m.logical_or(m.less(1, p * huge), m.less(1, q * huge))
    direct = a / (a * a + b * b)
    k = m.where(below, 1, m.const("half"))
    t, u = b / a, a / b
    wide = k / (k * a + k * b * t)
    high = k * u / (k * b + k * a * u)
    apart = m.where(m.less(q, 2 * p), wide, high)
    usual = m.logical_and(m.logical_and(below, above), m.less_equal(p, 4 * q))
    return m.where(usual, direct, apart)


def _inversion_partials(m: Any, y: Any, a: Any, b: Any) -> Any:
    """With z = inversion(b, a): (z^2 - y^2, -2 y z).

    Where y and z are alike the product keeps the digits of the difference; elsewhere
    its derivative would have terms that cancel, and that of the squares has not.
    """
    z = m.inversion(b, a)
    p, q = m.abs(a), m.abs(b)  # y / z is a / b
    alike = m.logical_and(m.less(p, 2 * q), m.less(q, 2 * p))
    return m.where(alike, (z - y) * (z + y), z * z - y * y), -2 * (y * z)


INVERSION = row(
    Primitive(
        "inversion",
        2,
        _inversion_partials,
        sympy=lambda sp, a, b: a / (a**2 + b**2),
        source="helper of atan2: inversion in the unit circle",
        body=_inversion,
        cancels=True,
        helper=True,
        domain=(REAL, REAL),
        pieces=_QUADRANTS[:3:2],  # even in b
        edges=(
            Edge((0.0, 0.0), (NAN, NAN), "a pole without a direction", value=NAN),
            Edge((1.0, 0.0), (-1.0, 0.0), "", value=1.0),
            Edge((0.0, 2.0), (0.25, 0.0), "", value=0.0),
        ),
    )
)
ATAN2 = row(
    Primitive(
        "atan2",
        2,
        lambda m, y, a, b: (m.inversion(b, a), -m.inversion(a, b)),
        sympy=lambda sp, a, b: sp.atan2(a, b),
        source="DLMF 4.24.9; the angle of the point (b, a)",
        ufunc="arctan2",
        llvm="@atan2",
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((0.0, 0.0), (NAN, NAN), "", value=0.0),
            Edge((1e-200, 1e-200), (5e199, -5e199), "inf elsewhere", relative=1e-15),
            Edge((1e200, 1e200), (5e-201, -5e-201), "0 elsewhere", relative=1e-15),
            Edge((0.0, 2.0), (0.5, 0.0), "", value=0.0),
            Edge((2.0, 0.0), (0.0, -0.5)),
            Edge((0.0, -2.0), (-0.5, 0.0)),
            Edge((1.0, INF), (0.0, 0.0), "", value=0.0),
        ),
    )
)


def _direction(m: Any, a: Any, b: Any) -> Any:
    """a / sqrt(a^2 + b^2); 0 at (0, 0).

    Very large and very small operands go by the ratio of the smaller to the larger:
    hypot overflows, or has lost its digits.
    """
    p, q = m.abs(a), m.abs(b)
    huge = 2**100
    below = m.logical_and(m.less(p, huge), m.less(q, huge))
    above = m.logical_or(m.less(1, p * huge), m.less(1, q * huge))
    t, u = b / a, a / b
    wide = m.where(m.less(a, 0), -1, 1) / m.sqrt(1 + t * t)
    high = m.where(m.less(b, 0), -u, u) / m.sqrt(1 + u * u)
    apart = m.where(m.less(q, p), wide, high)
    corner = m.logical_and(m.equal(a, 0), m.equal(b, 0))
    usual = m.logical_and(below, above)
    return m.where(corner, 0, m.where(usual, a / m.hypot(a, b), apart))


def _direction_partials(m: Any, y: Any, a: Any, b: Any) -> Any:
    """With w = direction(b, a) and z = inversion(b, a): (w z, -y z)."""
    w, z = m.direction(b, a), m.inversion(b, a)
    return w * z, -(y * z)


DIRECTION = row(
    Primitive(
        "direction",
        2,
        _direction_partials,
        sympy=lambda sp, a, b: a / sp.sqrt(a**2 + b**2),
        source="helper of hypot: the cosine of the point's angle",
        body=_direction,
        helper=True,
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((0.0, 0.0), (NAN, NAN), "the kink of hypot", value=0.0),
            Edge((3.0, 4.0), (0.128, -0.096), "", value=0.6, relative=1e-15),
        ),
    )
)
HYPOT = row(
    Primitive(
        "hypot",
        2,
        lambda m, y, a, b: (m.direction(a, b), m.direction(b, a)),
        sympy=lambda sp, a, b: sp.sqrt(a**2 + b**2),
        source="DLMF 1.9.3; convex kink at (0, 0), minimum-norm subgradient (0, 0)",
        llvm="@hypot",
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((0.0, 0.0), (0.0, 0.0), "PyTorch, CasADi give NaN", value=0.0),
            Edge((3.0, 4.0), (0.6, 0.8), "", value=5.0, relative=1e-15),
            Edge((-3.0, 0.0), (-1.0, 0.0), "", value=3.0),
            Edge((1e200, 1e200), (0.5**0.5, 0.5**0.5), "JAX 1.06", relative=1e-15),
            Edge((1e-200, 1e-200), (0.5**0.5, 0.5**0.5), "JAX -inf", relative=1e-15),
            Edge((INF, 1.0), (1.0, 0.0), "", value=INF),
        ),
    )
)
