"""Rows that jump: signs, floor, ceil, trunc, round, remainders, whole quotients.

Floor 1. What the derivative is at a jump: that of the pieces beside it, which is 0 for
all that is constant between jumps. Source of the definitions: DLMF section 1.1 and IEEE
754-2019 sections 5.3 and 5.9.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules import shapes
from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, Sample, row

NAN = float("nan")

_SIDES = (lambda s: (s.positive("x"),), lambda s: (s.negative("x"),))
_QUADRANTS = (
    lambda s: (s.positive("x"), s.positive("y")),
    lambda s: (s.positive("x"), s.negative("y")),
    lambda s: (s.negative("x"), s.positive("y")),
    lambda s: (s.negative("x"), s.negative("y")),
)


def _flat(m: Any, y: Any) -> Any:
    """0, and NaN where the result is NaN."""
    return m.where(m.equal(y, y), 0, m.const("nan"))


def _sympy_trunc(sp: Any, x: Any) -> Any:
    return sp.sign(x) * sp.floor(sp.Abs(x))


def _sympy_round(sp: Any, x: Any) -> Any:
    """The nearest integer, ties to even: (2x - 1)/4 is whole at ties that go up."""
    x = sp.expand(x)
    if x.is_integer:
        return x
    tie = (2 * x - 1) / 4
    half = sp.Rational(1, 2)
    return sp.floor(x + half) + sp.ceiling(tie) - sp.floor(tie) - 1


SIGN = row(
    Primitive(
        "sign",
        1,
        lambda m, y, x: (_flat(m, y),),
        sympy=lambda sp, x: sp.sign(x),
        source="DLMF 1.16.10 on the real line; a jump at 0",
        # the last arm is 0 or NaN
        body=lambda m, x: m.where(m.less(0, x), 1, m.where(m.less(x, 0), -1, x)),
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((0.0,), (0.0,), "SymPy says 2 DiracDelta", value=0.0),
            Edge((-3.0,), (0.0,), "", value=-1.0),
            Edge((NAN,), (NAN,), "", value=NAN),
            Edge((INF,), (0.0,), "", value=1.0),
        ),
    )
)


def _copysign_partials(m: Any, a: Any, b: Any) -> Any:
    """As |a| has it: 0 at a = 0, where the kink is convex or concave as b says."""
    known = m.logical_and(m.equal(a, a), m.equal(b, b))
    slope = m.sign(a) * m.copysign(1, b)
    return m.where(known, slope, m.const("nan")), m.where(known, 0, m.const("nan"))


COPYSIGN = row(
    Primitive(
        "copysign",
        2,
        lambda m, y, a, b: _copysign_partials(m, a, b),
        sympy=lambda sp, a, b: sp.Piecewise((sp.Abs(a), b >= 0), (-sp.Abs(a), True)),
        source="IEEE 754-2019 section 5.5.1",
        llvm="@copysign",
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((0.0, 2.0), (0.0, 0.0), "", value=0.0),
            Edge((3.0, -2.0), (-1.0, 0.0), "", value=-3.0),
            Edge((-3.0, -2.0), (1.0, 0.0), "", value=-3.0),
            Edge((NAN, 2.0), (NAN, NAN), "", value=NAN),
            Edge((3.0, NAN), (NAN, NAN), "a number with the sign of NaN"),
        ),
    )
)


def _rounded(name: str, ufunc: str, symbol: str, sympy: Any, edge: Edge) -> Primitive:
    """A row that is constant between jumps. Python's functions of these give ints."""
    return row(
        Primitive(
            name,
            1,
            lambda m, y, x: (_flat(m, y),),
            sympy=sympy,
            source="IEEE 754-2019 section 5.9; jumps",
            ufunc=ufunc,
            llvm=symbol,
            scalar="numpy",
            domain=(REAL,),
            pieces=_SIDES,
            edges=(edge, *_JUMPS),
        )
    )


_JUMPS = (
    Edge((2.0,), (0.0,), "a jump", value=2.0),
    Edge((NAN,), (NAN,), "", value=NAN),
    Edge((INF,), (0.0,), "no OverflowError", value=INF),
)
FLOOR = _rounded(
    "floor",
    "floor",
    "@floor",
    lambda sp, x: sp.floor(x),
    Edge((-0.5,), (0.0,), value=-1.0),
)
CEIL = _rounded(
    "ceil",
    "ceil",
    "@ceil",
    lambda sp, x: sp.ceiling(x),
    Edge((0.5,), (0.0,), value=1.0),
)
TRUNC = _rounded(
    "trunc", "trunc", "@trunc", _sympy_trunc, Edge((-1.5,), (0.0,), value=-1.0)
)
ROUND = _rounded(
    "round", "rint", "@rint", _sympy_round, Edge((2.5,), (0.0,), "even", value=2.0)
)


def _remainder_partials(m: Any, r: Any, x: Any, y: Any) -> Any:
    """(1, -q) with q the whole quotient.

    floor(x / y) is off by one where x / y rounds to an integer; x / y - r / y is q but
    for rounding, and q is its nearest integer.
    """
    quotient = m.round(x / y - r / y)
    defined = m.equal(r, r)
    return m.where(defined, 1, r), m.where(defined, -quotient, r)


def _floored(m: Any, x: Any, y: Any) -> Any:
    """The remainder with the sign of the divisor, as Python and NumPy have it."""
    r = m.fmod(x, y)
    other = m.logical_xor(m.less(r, 0), m.less(y, 0))
    moved = m.where(m.logical_and(other, m.not_equal(r, 0)), r + y, r)
    return m.where(m.equal(moved, 0), m.copysign(moved, y), moved)


FMOD = row(
    Primitive(
        "fmod",
        2,
        _remainder_partials,
        sympy=lambda sp, x, y: x - y * _sympy_trunc(sp, x / y),
        source="IEEE 754-2019 section 9.5; the sign is that of x, as in C",
        llvm="@fmod",
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((-7.0, 3.0), (1.0, 2.0), "", value=-1.0),
            Edge((6.0, 3.0), (1.0, -2.0), "a jump", value=0.0),
            Edge((1.0, 0.0), (NAN, NAN), "no ZeroDivisionError", value=NAN),
            Edge((INF, 3.0), (NAN, NAN), "no ValueError", value=NAN),
        ),
    )
)
MOD = row(
    Primitive(
        "mod",
        2,
        _remainder_partials,
        sympy=lambda sp, x, y: x - y * sp.floor(x / y),
        source="DLMF 27.2; the sign is that of y, as in Python and NumPy",
        symbol="%",
        ufunc="remainder",
        integers=True,
        scalar="mod",
        floats=_floored,
        domain=(REAL, REAL),
        pieces=_QUADRANTS,
        edges=(
            Edge((2.0, 1.0), (1.0, -2.0), "a jump", value=0.0),
            Edge((-7.0, 3.0), (1.0, 3.0), "", value=2.0),
            Edge((7.0, -3.0), (1.0, 3.0), "", value=-2.0),
            Edge((-1.0, 1e20), (1.0, 1.0), "the quotient rounds to 0"),
            Edge((1.0, 0.0), (NAN, NAN), "no ZeroDivisionError", value=NAN),
        ),
    )
)
FLOOR_DIVIDE = row(
    Primitive(
        "floor_divide",
        2,
        kind="discrete",
        lanes="entries",
        source="the floor of a quotient of ints; 0 of a division by 0, as in NumPy",
        symbol="//",
        integers=True,
        numpy=lambda np, a, b: np.floor_divide(a, b),
        shape=lambda a, b: (shapes.broadcast(a[0], b[0]), "int64"),
        samples=(
            Sample(((5,), (5,)), {}, ("index:9", "index:4")),
            Sample(((2, 3), ()), {}, ("index:9", "index:4")),
        ),
    )
)
