"""Rows of arithmetic: add, sub, mul, div, neg, pow and pow by a constant.

Floor 1. Source of the identities: Abramowitz & Stegun (A&S) section 3.3, DLMF 4.2.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, NONNEGATIVE, REAL, Edge, Primitive, row

NAN = float("nan")


def _reals(n: int) -> Any:
    """Operands that are any real numbers, as one open piece."""
    return lambda s: tuple(s.real(name) for name in "xyz"[:n])


ADD = row(
    Primitive(
        "add",
        2,
        lambda m, y, a, b: (1, 1),
        sympy=lambda sp, a, b: a + b,
        source="A&S 3.3.2",
        symbol="+",
        operator="add",
        llvm="fadd",
        integers=True,
        scalar="add",
        domain=(REAL, REAL),
        pieces=(_reals(2),),
    )
)
SUB = row(
    Primitive(
        "sub",
        2,
        lambda m, y, a, b: (1, -1),
        sympy=lambda sp, a, b: a - b,
        source="A&S 3.3.2",
        symbol="-",
        operator="sub",
        ufunc="subtract",
        llvm="fsub",
        integers=True,
        scalar="sub",
        domain=(REAL, REAL),
        pieces=(_reals(2),),
    )
)
MUL = row(
    Primitive(
        "mul",
        2,
        lambda m, y, a, b: (b, a),
        sympy=lambda sp, a, b: a * b,
        source="A&S 3.3.3",
        symbol="*",
        operator="mul",
        ufunc="multiply",
        llvm="fmul",
        integers=True,
        scalar="mul",
        domain=(REAL, REAL),
        pieces=(_reals(2),),
    )
)
DIV = row(
    Primitive(
        "div",
        2,
        # -y/b rather than -a/(b*b): b*b overflows at 1e200
        lambda m, y, a, b: (1 / b, -(y / b)),
        sympy=lambda sp, a, b: a / b,
        source="A&S 3.3.4",
        symbol="/",
        operator="truediv",
        ufunc="divide",
        llvm="fdiv",
        scalar="truediv",
        domain=(REAL, REAL),
        pieces=(_reals(2),),
        edges=(
            Edge((1e200, 1e200), (1e-200, -1e-200), "-a/b^2 gives -0", relative=1e-15),
            Edge((1.0, 0.0), (INF, -INF), "IEEE, no ZeroDivisionError", value=INF),
            Edge((0.0, 0.0), (INF, NAN), "IEEE, no ZeroDivisionError", value=NAN),
        ),
    )
)
NEG = row(
    Primitive(
        "neg",
        1,
        lambda m, y, a: (-1,),
        sympy=lambda sp, a: -a,
        source="A&S 3.3.2",
        operator="neg",
        ufunc="negative",
        llvm="fneg",
        integers=True,
        scalar="neg",
        domain=(REAL,),
        pieces=(_reals(1),),
    )
)


def _base_partial(m: Any, p: Any, x: Any, y: Any) -> Any:
    """d(x**y)/dx = y * x**(y-1), with p = x**y.

    For y < 1/2 the difference y - 1 rounds, and x**(y-1) magnifies that by log(x), so
    y * p / x is used wherever that is a number; multiplied first, because p / x
    overflows at small x where the result does not. There p neither overflows nor
    underflows unless the result does. Both arms are the same analytic function.
    """
    quotient = y * p / x
    direct = y * m.pow(x, y - 1)
    # where p is no number, y - 1 may round to an integer, and direct be one
    usable = m.logical_or(m.equal(quotient, quotient), m.not_equal(p, p))
    safe = m.logical_and(m.less(y + y, 1), usable)
    corner = m.logical_and(m.equal(x, 0), m.equal(y, 0))
    return m.where(corner, 0, m.where(safe, quotient, direct))


def _exponent_partial(m: Any, p: Any, x: Any, y: Any) -> Any:
    """d(x**y)/dy = x**y * log(x); at x = 0 it is 0 for y > 0 and NaN otherwise."""
    at_zero = m.where(m.less(0, y), 0, m.const("nan"))
    return m.where(m.equal(x, 0), at_zero, p * m.log(x))


POW = row(
    Primitive(
        "pow",
        2,
        lambda m, p, x, y: (_base_partial(m, p, x, y), _exponent_partial(m, p, x, y)),
        sympy=lambda sp, x, y: x**y,
        source="A&S 4.2.7, DLMF 4.2.26",
        symbol="**",
        ufunc="power",
        llvm="@pow",
        scalar="pow",
        domain=(NONNEGATIVE, REAL),
        pieces=(lambda s: (s.positive("x"), s.real("y")),),
        edges=(
            Edge((0.0, 0.0), (0.0, NAN), "JAX and CasADi give NaN", value=1.0),
            Edge((0.0, 1.0), (1.0, 0.0)),
            Edge((0.0, 2.0), (0.0, 0.0)),
            Edge((0.0, 0.5), (INF, 0.0)),
            Edge((0.0, -1.0), (-INF, NAN)),
            Edge((-2.0, 3.0), (12.0, NAN), "log of a negative base", value=-8.0),
            Edge((-2.0, 2.5), (NAN, NAN), "no complex numbers", value=NAN),
        ),
    )
)


def _power_of(m: Any, x: Any, exponent: Any) -> Any:
    """x**n for the exponents that are cheaper and as exact without pow."""
    if exponent == 0:
        return m.like(1, x)
    if exponent == 1:
        return +x
    if exponent == 2:
        return x * x
    if exponent == -1:
        return 1 / x
    return m.pow(x, exponent)


def _powc_partial(m: Any, p: Any, x: Any, exponent: Any) -> Any:
    """n * x**(n-1), never through log; exponent 0 gives a structural zero."""
    if exponent == 0:
        return 0
    lower = exponent - 1
    if exponent == 1:
        return 1
    if exponent == 2:
        return 2 * x
    # n - 1 exact, or a symbol: see _base_partial for the other case
    if lower + 1 == exponent:
        return exponent * m.powc(x, exponent=lower)
    quotient = exponent * p / x
    return m.where(
        m.logical_or(m.equal(quotient, quotient), m.not_equal(p, p)),
        quotient,
        exponent * m.powc(x, exponent=lower),
    )


POWC = row(
    Primitive(
        "powc",
        1,
        lambda m, p, x, exponent: (_powc_partial(m, p, x, exponent),),
        sympy=lambda sp, x, exponent: x ** sp.nsimplify(exponent, rational=True),
        source="A&S 3.3.5; the exponent is a constant of the step",
        symbol="**{exponent}",
        body=_power_of,
        domain=(REAL,),
        pieces=(lambda s: (s.positive("x"),), lambda s: (s.negative("x"),)),
        params=(
            {"exponent": 2},
            {"exponent": 3},
            {"exponent": -1},
            {"exponent": -3},
            {"exponent": 0},
            {"exponent": 1},
            {"exponent": 0.5},
            {"exponent": 0.1},
            {"exponent": -0.7},
            {"exponent": 2.5},
        ),
        edges=(
            Edge((0.0,), (0.0,), "JAX gives NaN", 1.0, {"exponent": 0.0}),
            Edge((0.0,), (1.0,), "", 0.0, {"exponent": 1.0}),
            Edge((0.0,), (0.0,), "", 0.0, {"exponent": 2}),
            Edge((0.0,), (INF,), "", 0.0, {"exponent": 0.5}),
            Edge((0.0,), (-INF,), "IEEE pole", INF, {"exponent": -1}),
            Edge((-3.0,), (-6.0,), "negative bases work", 9.0, {"exponent": 2.0}),
            Edge((-2.0,), (12.0,), "never through log", -8.0, {"exponent": 3}),
            Edge((-8.0,), (NAN,), "no complex numbers", NAN, {"exponent": 0.5}),
            Edge((-8.0,), (NAN,), "no complex numbers", NAN, {"exponent": 0.1}),
        ),
    )
)
