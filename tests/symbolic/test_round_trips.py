"""SymPy to tape and back, proved: what comes out is the expression that went in.

The prover, in a process of its own, decides whether the difference is zero; an answer
that it cannot find is a failure here.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.proof.prover import Prover
from tapegrad.rules import TABLE

X, Y, Z = sp.symbols("x y z", real=True)
P, Q = sp.symbols("p q", positive=True)

ROWS = [
    (row, params)
    for row in TABLE
    if row.kind == "elementwise" and row.sympy is not None and not row.digest
    for params in row.params
]

# Beyond single rows: what occurs in books and in programs.
COMPOSED = [
    X**2 * sp.sin(Y) / 3 - sp.exp(-X) / (2 * Y) + 1,
    X - Y - Z,
    -X - Y - 1,
    1 - X,
    -X / 3 + sp.Rational(1, 7),
    X / (Y * Z),
    1 / (P * sp.sqrt(Q)),
    P ** sp.Rational(3, 2) + Y**-3 + P**Y + P**sp.pi,
    sp.cbrt(P) + P ** sp.Rational(-2, 3),
    sp.sqrt(2) * sp.exp(X * Y) / sp.pi,
    sp.sec(X) + sp.csc(Y) + sp.cot(Z),
    sp.sech(X) + sp.csch(Y) + sp.coth(Z),
    sp.asin(X) + sp.acos(Y) * sp.atan(Z),
    sp.asinh(X) * sp.atanh(Y) + sp.acosh(Z),
    sp.erf(X) + sp.erfc(Y) ** 2,
    sp.loggamma(P) + sp.digamma(Q),
    sp.gamma(P) * Q,
    sp.Heaviside(X, sp.Rational(1, 2)) * Y,
    sp.floor(3 * X) + sp.ceiling(3 * Y) + sp.sign(Z) * sp.Abs(Y - X),
    sp.Max(X, Y, Z) + sp.Min(X, Y, Z, 2),
    sp.Abs(X) * sp.Max(X, 0),
    sp.atan2(X, Y) + sp.sqrt(X**2 + Y**2),
    sp.log(P, 2) + sp.log(Q, 10) + sp.log(1 + P),
    sp.Sum(X**Z / (Z + 1), (Z, 0, 5)),
    sp.Product(X + Z, (Z, 1, 4)),
    sp.Piecewise((X, X > 0), (Y, True)),
    sp.Piecewise((X, (X > 0) & (Y < 1) & ((Z > 2) | (Z < -1))), (Y, True)),
    sp.Piecewise((X**2, sp.Not(X > Y)), (sp.sin(X), X < 3), (0, True)),
    sp.Piecewise((X, sp.Xor(X > 0, Y > 1)), (Y, True)),
    sp.exp(X) / (1 + sp.exp(X)),
    sp.log(1 + sp.exp(X * Y)),
    (sp.exp(X) - 1) / (sp.exp(X) + 1),
    sp.exp(-((X - Y) ** 2) / (2 * P**2)) / (P * sp.sqrt(2 * sp.pi)),
    sp.sin(sp.cos(sp.tan(X))) ** 3,
    ((X**2 + 1) ** 3 + 1) ** 2,
    P**P,
    sp.sqrt(1 + sp.sqrt(1 + X**2)),
    (X + Y) ** 5 - (X - Y) ** 5,
    X * (Y + X * (Z + X * (1 - X))),
    1 / (1 + 1 / (1 + 1 / (1 + P))),
    sp.tanh(X) ** 2 + sp.sech(X) ** 2,
    sp.log(P * Q**2 / (P + Q)),
    sp.diff(sp.exp(sp.sin(X)) * X, X, 3),
    sp.diff(sp.atan(X / Y), X, Y),
    sp.integrate(X**2 * sp.exp(-X), X),
    sp.legendre(5, X) + sp.chebyshevt(4, X) + sp.hermite(3, X),
    sp.series(sp.sin(X), X, 0, 8).removeO(),
]


@pytest.fixture(scope="module")
def prover():
    with Prover() as found:
        yield found


def there_and_back(expression, symbols):
    """The expression that a tape gives back, in the symbols of the first one."""
    tape = tg.from_sympy(expression, symbols)
    tape.check()
    found = tape.to_sympy()
    names = {sp.Symbol(str(s), real=True): s for s in symbols}
    return found.xreplace(names)


def prove(prover, expression, symbols):
    difference = there_and_back(expression, symbols) - expression.doit()
    if expression.has(sp.gamma):  # computed by way of its logarithm
        difference = difference.replace(sp.loggamma, lambda x: sp.log(sp.gamma(x)))
    status, detail = prover.decide(difference)
    assert status == "proved", (difference, detail)


def operands_of(row, make):
    """Symbols of the sign that the row's domain asks for."""
    lows = [low for low, _ in row.domain] + [-math.inf] * row.arity
    if row.name in {"lgamma", "digamma", "polygamma"}:  # SymPy's are of x > 0
        lows = [0.0]
    return [
        sp.Symbol(f"{make}{place}", positive=True)
        if lows[place] >= 0
        else sp.Symbol(f"{make}{place}", real=True)
        for place in range(row.arity)
    ]


@pytest.mark.parametrize(
    ("row", "params"), ROWS, ids=[f"{row.name}{params or ''}" for row, params in ROWS]
)
def test_every_row_alone_and_in_a_formula(row, params, prover):
    xs = operands_of(row, "x")
    form = row.sympy(sp, *xs, **params)
    prove(prover, form, xs)
    # inside and outside others, and twice
    inner = [x / (1 + x**2) if x.is_positive else sp.sin(x) for x in xs]
    deep = row.sympy(sp, *inner, **params)
    if not deep.has(sp.nan, sp.zoo, sp.oo):
        prove(prover, P * deep**2 - deep / 3, [*xs, P])


@pytest.mark.parametrize("expression", COMPOSED, ids=str)
def test_formulas(expression, prover):
    symbols = sorted(expression.free_symbols, key=str)
    prove(prover, expression, symbols)


def test_there_are_more_than_a_hundred():
    assert 2 * len(ROWS) + len(COMPOSED) > 150


def test_matrices_come_back_as_matrices(prover):
    m = sp.Matrix([[X * Y, sp.sin(X)], [sp.exp(Y), X / (1 + Y**2)]])
    found = tg.from_sympy(m, [X, Y]).to_sympy()
    assert isinstance(found, sp.MatrixBase)
    assert found == m
    assert found.shape == (2, 2)
    for entry in tg.from_sympy(m.inv(), [X, Y]).to_sympy() - m.inv():
        assert prover.decide(entry)[0] == "proved"
    a = sp.MatrixSymbol("a", 2, 2)
    there = tg.from_sympy(a * a.T, [a]).to_sympy()
    entries = {
        sp.Symbol(f"a_{i}_{j}", real=True): a[i, j] for i in (0, 1) for j in (0, 1)
    }
    assert sp.expand(there.xreplace(entries) - (a * a.T).as_explicit()).is_zero_matrix


def test_a_wrong_way_back_is_not_proved(prover, monkeypatch):
    """Planted: a lowering that forgets the sign of a term."""
    from tapegrad.symbolic.arithmetic import Arithmetic

    right = Arithmetic.sum_of_nodes

    def wrong(self, *nodes):
        return right(self, *(getattr(n, "positive", lambda n=n: n)() for n in nodes))

    monkeypatch.setattr(Arithmetic, "sum_of_nodes", wrong)
    with pytest.raises(AssertionError):
        prove(prover, X - 2 * Y, [X, Y])


# -- long expressions ----------------------------------------------------------------

LONG = [10_000, pytest.param(300_000, marks=pytest.mark.deep)]


@pytest.mark.parametrize("many", LONG)
def test_a_chain_of_hundreds_of_thousands(many):
    """No recursion, of ours or of SymPy's, in reading, sweeping and default symbols."""
    expression, count = X, many // 2
    for _ in range(count):
        product = sp.Mul(expression, Y, evaluate=False)
        expression = sp.Add(product, sp.S.One, evaluate=False)
    tape = tg.from_sympy(expression, [X, Y])
    assert len(tape) >= many
    by_y = 0.5 * count + count * (count - 1) / 2
    assert tape.value_and_gradient(0.5, 1.0) == (0.5 + count, (1.0, by_y))
    assert tg.from_sympy(expression).input_labels() == ("x", "y")


@pytest.mark.parametrize("many", LONG)
def test_a_balanced_tree_of_hundreds_of_thousands(many):
    numbers = range(2, 2 + 2 ** (many // 2).bit_length())
    leaves = [sp.Mul(sp.Integer(k), X, evaluate=False) for k in numbers]
    while len(leaves) > 1:
        leaves = [
            sp.Add(a, b, evaluate=False)
            for a, b in zip(leaves[::2], leaves[1::2], strict=True)
        ]
    tape = tg.from_sympy(leaves[0], [X])
    assert len(tape) >= many
    assert tape.value_and_gradient(1.0) == (sum(numbers), sum(numbers))


def test_what_is_shared_is_read_once():
    """2**100 nodes as a tree, 300 as objects; and as equal objects that differ."""
    forms = [X + Y, sp.Add(X, Y, evaluate=False)]
    for _ in range(100):
        forms = [
            sp.Add(sp.sin(e, evaluate=False), sp.cos(e, evaluate=False), evaluate=False)
            for e in forms
        ]
    tape = tg.from_sympy(forms, [X, Y])
    assert len(tape) == 2 + 1 + 3 * 100
    assert tape.outputs[0] == tape.outputs[1]
    assert np.isfinite(tape.jacobian(-0.3, 0.2)[0]).all()
