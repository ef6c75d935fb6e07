"""Rows with kinks (relu, abs, max, min, clip), selection (where) and predicates.

Floor 1. What a derivative is at a kink: docs, page "edges". In short: convex kink, the
minimum-norm subgradient, taken jointly over all arguments; NaN in, NaN out.
"""

from __future__ import annotations

from typing import Any

from tapegrad.rules.primitive import INF, REAL, Edge, Primitive, row

NAN = float("nan")


def _step(m: Any, x: Any, above: Any, at: Any, below: Any) -> Any:
    """A function that is constant on each side of 0; NaN stays NaN."""
    rest = m.where(m.equal(x, 0), at, m.const("nan"))
    return m.where(m.less(0, x), above, m.where(m.less(x, 0), below, rest))


def _compare(m: Any, a: Any, b: Any, above: Any, tie: Any, below: Any) -> Any:
    """One of three constants as a > b, a == b, a < b; NaN when not comparable."""
    rest = m.where(m.equal(a, b), tie, m.const("nan"))
    return m.where(m.less(b, a), above, m.where(m.less(a, b), below, rest))


def _above(s: Any) -> Any:
    """More than the operand x of a piece."""
    return s.real("x") + s.positive("u")


_SIDES = (lambda s: (s.positive("x"),), lambda s: (s.negative("x"),))

RELU = row(
    Primitive(
        "relu",
        1,
        lambda m, y, x: (_step(m, x, 1, 0, 0),),
        sympy=lambda sp, x: sp.Max(x, 0),
        source="convex kink at 0, minimum-norm subgradient 0",
        symbol="ReLU",
        body=lambda m, x: m.where(m.less(x, 0), 0, x),
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((0.0,), (0.0,), "", value=0.0),
            Edge((NAN,), (NAN,), "", value=NAN),
            Edge((INF,), (1.0,), "", value=INF),
        ),
    )
)
ABS = row(
    Primitive(
        "abs",
        1,
        lambda m, y, x: (_step(m, x, 1, 0, -1),),
        sympy=lambda sp, x: sp.Abs(x),
        source="DLMF 1.9.7 on the real line; convex kink at 0",
        ufunc="absolute",
        operator="abs",
        llvm="@llvm.fabs.f64",
        integers=True,
        scalar="abs",
        domain=(REAL,),
        pieces=_SIDES,
        edges=(
            Edge((0.0,), (0.0,), "JAX gives 1", value=0.0),
            Edge((NAN,), (NAN,), "PyTorch gives 0, JAX -1", value=NAN),
        ),
    )
)
MAX = row(
    Primitive(
        "max",
        2,
        lambda m, y, a, b: (
            _compare(m, a, b, 1, m.const("half"), 0),
            _compare(m, a, b, 0, m.const("half"), 1),
        ),
        sympy=lambda sp, a, b: sp.Max(a, b),
        source="convex kink at a tie, minimum-norm subgradient (1/2, 1/2)",
        ufunc="maximum",
        integers=True,
        # a tie gives the first operand, so the sign of a zero is the same everywhere
        body=lambda m, a, b: m.where(m.less(a, b), b, m.where(m.equal(b, b), a, b)),
        domain=(REAL, REAL),
        pieces=(
            lambda s: (s.real("x") + s.positive("t"), s.real("x")),
            lambda s: (s.real("x"), s.real("x") + s.positive("t")),
        ),
        edges=(
            Edge((2.0, 2.0), (0.5, 0.5), "the tie rule", value=2.0),
            Edge((0.0, 0.0), (0.5, 0.5), "the tie rule", value=0.0),
            Edge((NAN, 1.0), (NAN, NAN), "PyTorch (1, 1), JAX (0, 0)", value=NAN),
            Edge((1.0, NAN), (NAN, NAN), "PyTorch (1, 1), JAX (0, 0)", value=NAN),
            Edge((INF, 1.0), (1.0, 0.0), "", value=INF),
        ),
    )
)
MIN = row(
    Primitive(
        "min",
        2,
        lambda m, y, a, b: (
            _compare(m, b, a, 1, m.const("half"), 0),
            _compare(m, b, a, 0, m.const("half"), 1),
        ),
        sympy=lambda sp, a, b: sp.Min(a, b),
        source="concave kink at a tie, minimum-norm supergradient (1/2, 1/2)",
        ufunc="minimum",
        integers=True,
        body=lambda m, a, b: m.where(m.less(b, a), b, m.where(m.equal(b, b), a, b)),
        domain=(REAL, REAL),
        pieces=(
            lambda s: (s.real("x") + s.positive("t"), s.real("x")),
            lambda s: (s.real("x"), s.real("x") + s.positive("t")),
        ),
        edges=(
            Edge((2.0, 2.0), (0.5, 0.5), "the tie rule", value=2.0),
            Edge((NAN, 1.0), (NAN, NAN), "PyTorch (1, 1), JAX (0, 0)", value=NAN),
            Edge((1.0, NAN), (NAN, NAN), "PyTorch (1, 1), JAX (0, 0)", value=NAN),
            Edge((-INF, 1.0), (1.0, 0.0), "", value=-INF),
        ),
    )
)


def _clip_partials(m: Any, x: Any, low: Any, high: Any) -> Any:
    """Equal shares to all operands that the result is, as far as nearby points go.

    min(max(x, low), high) is x where low <= x <= high, low where x <= low <= high, and
    high where that is at most max(x, low). None of it holds where one is NaN.
    """
    larger = m.max(x, low)
    inner = m.logical_and(m.less_equal(low, x), m.less_equal(x, high))
    lower = m.logical_and(m.less_equal(x, low), m.less_equal(low, high))
    ones = [m.where(c, 1, 0) for c in (inner, lower, m.less_equal(high, larger))]
    total = ones[0] + ones[1] + ones[2]
    count = m.where(m.less(0, total), total, m.const("nan"))
    return tuple(one / count for one in ones)


CLIP = row(
    Primitive(
        "clip",
        3,
        lambda m, y, x, low, high: _clip_partials(m, x, low, high),
        sympy=lambda sp, x, low, high: sp.Min(sp.Max(x, low), high),
        source="kinks where operands are equal; there the minimum-norm subgradient",
        body=lambda m, x, low, high: m.min(m.max(x, low), high),
        integers=True,
        domain=(REAL, REAL, REAL),
        pieces=(
            lambda s: (s.real("x"), s.real("x") - s.positive("t"), _above(s)),
            lambda s: (s.real("x") - s.positive("t"), s.real("x"), _above(s)),
            lambda s: (_above(s), s.real("x") - s.positive("t"), s.real("x")),
            lambda s: (s.real("x"), _above(s), s.real("x") - s.positive("t")),
        ),
        edges=(
            Edge((0.5, 0.0, 1.0), (1.0, 0.0, 0.0), "", value=0.5),
            Edge((0.0, 0.0, 1.0), (0.5, 0.5, 0.0), "PyTorch 1, autograd 0", value=0.0),
            Edge((1.0, 0.0, 1.0), (0.5, 0.0, 0.5), "PyTorch 1, autograd 0", value=1.0),
            Edge((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0), "", value=0.0),
            Edge((2.0, 0.0, 1.0), (0.0, 0.0, 1.0), "", value=1.0),
            Edge((2.0, 2.0, 2.0), (1 / 3, 1 / 3, 1 / 3), "", value=2.0),
            Edge((1.0, 2.0, 2.0), (0.0, 0.5, 0.5), "", value=2.0),
            Edge((3.0, 2.0, 2.0), (0.0, 0.0, 1.0), "", value=2.0),
            Edge((1.5, 2.0, 1.0), (0.0, 0.0, 1.0), "bounds crossed", value=1.0),
            Edge((NAN, 0.0, 1.0), (NAN, NAN, NAN), "", value=NAN),
            Edge((0.5, 0.0, INF), (1.0, 0.0, 0.0), "", value=0.5),
        ),
    )
)
WHERE = row(
    Primitive(
        "where",
        3,
        # What these say of a value, the sweep says of a contribution: an arm that is
        # not selected is absent, whatever its partials are.
        lambda m, y, c, a, b: (0, m.where(c, 1, 0), m.where(c, 0, 1)),
        sympy=lambda sp, c, a, b: sp.Piecewise((a, c), (b, True)),
        source="selection: linear in the arm that is selected",
        llvm="select",
        kind="select",
        integers=True,
        domain=(REAL, REAL, REAL),
        pieces=(
            lambda s: (s.true, s.real("x"), s.real("y")),
            lambda s: (s.false, s.real("x"), s.real("y")),
        ),
    )
)

STOP = row(
    Primitive(
        "stop_gradient",
        1,
        sympy=lambda sp, x: x,
        source="the identity, taken as a constant by every derivative",
        body=lambda m, x: x,
        kind="cut",
        domain=(REAL,),
    )
)


def _predicate(
    name: str, symbol: str, operator: str, llvm: str, sympy: Any, arity: int = 2
) -> Primitive:
    """A row with a boolean result and no derivative."""
    return row(
        Primitive(
            name,
            arity,
            sympy=sympy,
            source="IEEE 754-2019 section 5.11: false when an operand is NaN, but !=",
            symbol=symbol,
            operator=operator,
            scalar=operator,
            llvm=llvm,
            kind="predicate",
            integers=not name.startswith("logical_"),
            domain=(REAL,) * arity,
        )
    )


LESS = _predicate("less", "<", "lt", "fcmp olt", lambda sp, a, b: sp.Lt(a, b))
LESS_EQUAL = _predicate(
    "less_equal", "<=", "le", "fcmp ole", lambda sp, a, b: sp.Le(a, b)
)
GREATER = _predicate("greater", ">", "gt", "fcmp ogt", lambda sp, a, b: sp.Gt(a, b))
GREATER_EQUAL = _predicate(
    "greater_equal", ">=", "ge", "fcmp oge", lambda sp, a, b: sp.Ge(a, b)
)
EQUAL = _predicate("equal", "==", "eq", "fcmp oeq", lambda sp, a, b: sp.Eq(a, b))
NOT_EQUAL = _predicate(
    "not_equal", "!=", "ne", "fcmp une", lambda sp, a, b: sp.Ne(a, b)
)
LOGICAL_AND = _predicate(
    "logical_and", "and", "and_", "and", lambda sp, a, b: sp.And(a, b)
)
LOGICAL_OR = _predicate("logical_or", "or", "or_", "or", lambda sp, a, b: sp.Or(a, b))
LOGICAL_XOR = _predicate(
    "logical_xor", "xor", "xor", "xor", lambda sp, a, b: sp.Xor(a, b)
)
LOGICAL_NOT = _predicate(
    "logical_not", "not", "not_", "not", lambda sp, a: sp.Not(a), arity=1
)
