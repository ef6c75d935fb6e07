"""Rows of powers, exponentials and logarithms: exp, log, sqrt and their kin.

Floor 1. Sources: A&S chapters 3 and 4, DLMF chapter 4.
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
SQUARE = row(
    Primitive(
        "square",
        1,
        lambda m, y, x: (2 * x,),
        sympy=lambda sp, x: x**2,
        source="A&S 3.3.5",
        body=lambda m, x: x * x,
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((0.0,), (0.0,), "", value=0.0),
            Edge((1e200,), (2e200,), "", value=INF),
        ),
    )
)
RECIPROCAL = row(
    Primitive(
        "reciprocal",
        1,
        lambda m, y, x: (-(y * y),),
        sympy=lambda sp, x: 1 / x,
        source="A&S 3.3.4",
        body=lambda m, x: 1 / x,
        domain=(REAL,),
        pieces=(lambda s: (s.positive("x"),), lambda s: (s.negative("x"),)),
        edges=(
            Edge((0.0,), (-INF,), "IEEE, no ZeroDivisionError", value=INF),
            Edge((INF,), (0.0,), "", value=0.0),
            Edge((1e200,), (0.0,), "", relative=1e-15),
        ),
    )
)


def _cbrt_partial(m: Any, y: Any, x: Any) -> Any:
    """y / (3 x), with one step of Newton's method on y first.

    C libraries are up to 4 ulp off in their cbrt, and 1 / (3 y^2) would double that; it
    is for 0 and the infinities.
    """
    w = x / (y * y)
    usual = m.equal(w, w)
    root = m.where(usual, y - (y - w) / 3, y)
    return m.where(usual, root / x / 3, 1 / (3 * (y * y)))


CBRT = row(
    Primitive(
        "cbrt",
        1,
        lambda m, y, x: (_cbrt_partial(m, y, x),),
        # the real root, which SymPy's own cbrt is not for x < 0
        sympy=lambda sp, x: sp.sign(x) * sp.cbrt(sp.Abs(x)),
        source="A&S 3.3.6",
        llvm="@cbrt",
        domain=(REAL,),
        pieces=(lambda s: (s.positive("x"),), lambda s: (s.negative("x"),)),
        edges=(
            Edge((0.0,), (INF,), "", value=0.0),
            Edge((-0.0,), (INF,), "", value=0.0),
            Edge((-8.0,), (1 / 12,), "x**(1/3) is NaN", value=-2.0, relative=1e-15),
        ),
    )
)
EXPM1 = row(
    Primitive(
        "expm1",
        1,
        # y + 1 cancels: at x = -40 nothing is left of exp(-40)
        lambda m, y, x: (m.exp(x),),
        sympy=lambda sp, x: sp.exp(x) - 1,
        source="DLMF 4.7.1",
        llvm="@expm1",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((-40.0,), (4.248354255291589e-18,), "y + 1 is 0", relative=1e-15),
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((1000.0,), (INF,), "no OverflowError", value=INF),
            Edge((-INF,), (0.0,), "", value=-1.0),
        ),
    )
)
EXP2 = row(
    Primitive(
        "exp2",
        1,
        lambda m, y, x: (y * m.log(m.number(2)),),
        sympy=lambda sp, x: 2**x,
        source="DLMF 4.7.5",
        llvm="@exp2",
        domain=(REAL,),
        pieces=_REAL_LINE,
        edges=(
            Edge((2000.0,), (INF,), "no OverflowError", value=INF),
            Edge((3.0,), (5.545177444479562,), "", value=8.0, relative=1e-15),
            Edge((-INF,), (0.0,), "", value=0.0),
        ),
    )
)


def _defined(m: Any, y: Any, partial: Any) -> Any:
    """The partial where there is a function: y is NaN outside its domain."""
    return m.where(m.equal(y, y), partial, y)


LOG1P = row(
    Primitive(
        "log1p",
        1,
        lambda m, y, x: (_defined(m, y, 1 / (1 + x)),),
        sympy=lambda sp, x: sp.log(1 + x),
        source="DLMF 4.7.2",
        llvm="@log1p",
        domain=((-1.0, INF),),
        pieces=(lambda s: (s.positive("x") - 1,),),
        edges=(
            Edge((0.0,), (1.0,), "", value=0.0),
            Edge((-1.0,), (INF,), "", value=-INF),
            Edge((-2.0,), (NAN,), "every peer gives -1", value=NAN),
        ),
    )
)


_LOG_EDGES = (
    Edge((0.0,), (INF,), "", value=-INF),
    Edge((-0.0,), (INF,), "the naive formula gives -inf", value=-INF),
    Edge((-1.0,), (NAN,), "the naive formula gives a number", value=NAN),
)


def _logarithm(base: int, square: Edge) -> Primitive:
    """The logarithm to a whole base.

    The partial is (1 / log(base)) / x: x * log(base) loses digits where x is subnormal,
    and 1 / x overflows there. The gate is that of log.
    """
    return row(
        Primitive(
            f"log{base}",
            1,
            lambda m, y, x: (
                m.where(m.less_equal(0, x), 1 / m.log(m.number(base)) / (x + 0), y),
            ),
            sympy=lambda sp, x: sp.log(x) / sp.log(base),
            source="DLMF 4.2.9, 4.7.2",
            llvm=f"@log{base}",
            domain=(NONNEGATIVE,),
            pieces=(lambda s: (s.positive("x"),),),
            edges=(*_LOG_EDGES, square),
        )
    )


LOG2 = _logarithm(2, Edge((4.0,), (0.36067376022224085,), value=2.0, relative=1e-15))
LOG10 = _logarithm(
    10, Edge((100.0,), (0.004342944819032518,), value=2.0, relative=1e-15)
)
