"""Rows of elementary functions: exp, log, tanh with its helper, sqrt, sin, cos.

Floor 1. Sources: A&S chapter 4, DLMF chapter 4.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, NONNEGATIVE, REAL, Edge, Primitive, row

NAN = float("nan")

_REAL_LINE = (lambda s: (s.real("x"),),)

EXP = row(
    Primitive(
        "exp",
        1,
        lambda m, y, x: (y,),
        sympy=lambda sp, x: sp.exp(x),
        source="DLMF 4.7.1",
        llvm="@exp",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((1000.0,), (INF,), "no OverflowError", value=INF),
            Edge((0.0,), (1.0,), "", value=1.0),
            Edge((-INF,), (0.0,), "", value=0.0),
        ),
    )
)
LOG = row(
    Primitive(
        "log",
        1,
        # x + 0 turns -0.0 into 0.0, so that the pole is +inf from both; 1/x alone
        # would leak a number at x < 0, where there is no function. There y is NaN, and
        # so are its derivatives; a constant NaN would have the derivative 0.
        lambda m, y, x: (m.where(m.less_equal(0, x), 1 / (x + 0), y),),
        sympy=lambda sp, x: sp.log(x),
        source="DLMF 4.7.2",
        llvm="@log",
        domain=(NONNEGATIVE,),
        pieces=(lambda s: (s.positive("x"),),),
        edges=(
            Edge((0.0,), (INF,), "autograd raises ZeroDivisionError", value=-INF),
            Edge((-0.0,), (INF,), "1/x gives -inf", value=-INF),
            Edge((-1.0,), (NAN,), "every peer gives -1", value=NAN),
            Edge((1.0,), (1.0,), "", value=0.0),
        ),
    )
)


def _sech2(m: Any, x: Any) -> Any:
    """4 e / (1 + e)^2 with e = exp(-2|x|): nothing cancels, nothing overflows."""
    e = m.exp(-2 * m.abs(x))
    return 4 * e / ((1 + e) * (1 + e))


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
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(Edge((0.0,), (0.0,), "written with |x|, order 3 fails", value=1.0),),
    )
)
SQRT = row(
    Primitive(
        "sqrt",
        1,
        # y + 0: sqrt(-0.0) is -0.0, and the pole is +inf there too
        lambda m, y, x: (1 / (2 * (y + 0)),),
        sympy=lambda sp, x: sp.sqrt(x),
        source="A&S 3.3.6",
        llvm="@llvm.sqrt.f64",
        domain=(NONNEGATIVE,),
        pieces=(lambda s: (s.positive("x"),),),
        edges=(
            Edge((0.0,), (INF,), "", value=0.0),
            Edge((-0.0,), (INF,), "the naive formula gives -inf"),
            Edge((-1.0,), (NAN,), "", value=NAN),
        ),
    )
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
