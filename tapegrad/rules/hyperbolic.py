"""Rows of hyperbolic functions and their inverses.

Floor 1. Sources: DLMF sections 4.34 and 4.37.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, row

NAN = float("nan")

_REAL_LINE = (lambda s: (s.real("x"),),)


def _sech2(m: Any, x: Any) -> Any:
    """4 e / (1 + e)^2 with e = exp(-2|x|): nothing cancels, nothing overflows.

    The square as 1 + w with w = e (2 + e), and for small e the quotient as
    4 (e - e w / (1 + w)): what the small term has lost hardly counts.
    """
    e = m.exp(-2 * m.abs(x))
    w = e * (2 + e)
    return 4 * m.where(m.less(16 * e, 1), e - e * (w / (1 + w)), e / (1 + w))


TANH = row(
    Primitive(
        "tanh",
        1,
        # 1 - y*y rounds to 0 at x = 20; the helper row is right to the last ulps
        lambda m, y, x: (m.sech2(x),),
        sympy=lambda sp, x: sp.tanh(x),
        source="DLMF 4.34.3",
        llvm="@tanh",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((20.0,), (1.6993417021166355e-17,), "1 - t*t is 0", relative=1e-15),
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1000.0,), (0.0,), "the textbook formula gives NaN", value=1.0),
            Edge((-1000.0,), (0.0,), "", value=-1.0),
            Edge((INF,), (0.0,), "", value=1.0),
        ),
    )
)
SECH2 = row(
    Primitive(
        "sech2",
        1,
        lambda m, y, x: (-2 * m.tanh(x) * y,),
        sympy=lambda sp, x: sp.sech(x) ** 2,
        source="DLMF 4.34.5; helper of tanh: 1 / cosh(x)^2",
        body=_sech2,
        helper=True,
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(Edge((0.0,), (0.0,), "written with |x|, order 3 fails", value=1.0),),
    )
)
SINH = row(
    Primitive(
        "sinh",
        1,
        lambda m, y, x: (m.cosh(x),),
        sympy=lambda sp, x: sp.sinh(x),
        source="DLMF 4.34.1",
        llvm="@sinh",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((-1000.0,), (INF,), "no OverflowError", value=-INF),
        ),
    )
)
COSH = row(
    Primitive(
        "cosh",
        1,
        lambda m, y, x: (m.sinh(x),),
        sympy=lambda sp, x: sp.cosh(x),
        source="DLMF 4.34.2",
        llvm="@cosh",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (0.0,), "", value=1.0),
            Edge((-1000.0,), (-INF,), "no OverflowError", value=INF),
        ),
    )
)
ASINH = row(
    Primitive(
        "asinh",
        1,
        # sqrt(1 + x*x) overflows at 1e200; hypot does not
        lambda m, y, x: (1 / m.hypot(1, x),),
        sympy=lambda sp, x: sp.asinh(x),
        source="DLMF 4.37.16",
        ufunc="arcsinh",
        llvm="@asinh",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1e200,), (1e-200,), "PyTorch, JAX, CasADi give 0", relative=1e-15),
            Edge((-INF,), (0.0,), "", value=-INF),
        ),
    )
)


def _acosh_partial(m: Any, y: Any, x: Any) -> Any:
    """1 / sqrt((x - 1) (x + 1)), NaN outside the domain, where y is.

    As x sqrt(1 - 1/x^2) where the product would overflow, in float32 from 2^64 on.
    """
    far = m.less(2**60, x)
    root = m.where(far, x * m.sqrt(1 - 1 / x / x), m.sqrt((x - 1) * (x + 1)))
    return m.where(m.equal(y, y), 1 / root, y)


ACOSH = row(
    Primitive(
        "acosh",
        1,
        lambda m, y, x: (_acosh_partial(m, y, x),),
        sympy=lambda sp, x: sp.acosh(x),
        source="DLMF 4.37.19",
        ufunc="arccosh",
        llvm="@acosh",
        domain=((1.0, INF),),
        pieces=(lambda s: (s.positive("x") + 1,),),
        edges=(
            Edge((1.0,), (INF,), "", value=0.0),
            Edge((0.0,), (NAN,), "", value=NAN),
            Edge((-2.0,), (NAN,), "1/sqrt(x*x - 1) is a number", value=NAN),
            Edge((1e200,), (1e-200,), "x*x overflows", relative=1e-15),
        ),
    )
)


def _atanh_partial(m: Any, y: Any, x: Any) -> Any:
    """1 / (1 - x^2), NaN outside the domain, where y is.

    1 - x is exact for x > 1/2, so the product keeps all digits near 1; below, it would
    make two terms of the second derivative that cancel at 0, and 1 - x*x does not.
    """
    near = m.less(1, 2 * m.abs(x))
    square = m.where(near, (1 - x) * (1 + x), 1 - x * x)
    return m.where(m.equal(y, y), 1 / square, y)


ATANH = row(
    Primitive(
        "atanh",
        1,
        lambda m, y, x: (_atanh_partial(m, y, x),),
        sympy=lambda sp, x: sp.atanh(x),
        source="DLMF 4.37.24",
        ufunc="arctanh",
        llvm="@atanh",
        domain=((-1.0, 1.0),),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1.0,), (INF,), "", value=INF),
            Edge((-1.0,), (INF,), "", value=-INF),
            Edge((2.0,), (NAN,), "every peer gives -1/3", value=NAN),
            Edge((1 - 2**-50,), (2.0**49 / (1 - 2**-51),), "1 - x*x", relative=4e-16),
        ),
    )
)
