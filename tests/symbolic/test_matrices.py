"""Matrix expressions as tapes: values, derivatives, and what they are refused for."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from sympy.codegen.matrix_nodes import MatrixSolve

import tapegrad as tg
from tapegrad.errors import ParseError

A, B = (sp.MatrixSymbol(name, 3, 3) for name in "AB")
U, V = (sp.MatrixSymbol(name, 3, 1) for name in "uv")
R = sp.MatrixSymbol("R", 2, 3)
X, Y, T = sp.symbols("x y t")
I, J = sp.symbols("i j", integer=True)  # noqa: E741 - indices
W = sp.IndexedBase("W", shape=(3,))
M = sp.IndexedBase("M", shape=(3, 3))
D = sp.DeferredVector("D")
LITERAL = sp.Matrix([[X, Y, 1], [Y, X * Y, X], [2, X, Y]])

_rng = np.random.default_rng(7)
AT = {
    A: _rng.normal(size=(3, 3)) + 3 * np.eye(3),
    B: _rng.normal(size=(3, 3)),
    U: _rng.normal(size=(3, 1)),
    V: _rng.normal(size=(3, 1)),
    R: _rng.normal(size=(2, 3)),
    W: _rng.normal(size=3),
    M: _rng.normal(size=(3, 3)),
    D: _rng.normal(size=3),
    X: 0.7,
    Y: 1.3,
}

# What lambdify computes too.
PLAIN = [
    A * U + V,
    A * B,
    R * A * U,
    U.T * A * B,
    A.T * B,
    A + B - 2 * sp.Identity(3),
    X * A + sp.sin(Y) * B,
    -A,
    X * A * Y,
    A.inv() * V,
    A.inv() * B.inv() * V,
    U.T * A.inv(),
    A.inv(),
    A**2,
    A**5,
    A**-2,
    MatrixSolve(A, V),
    U.T * A * U,
    (U.T * A * U)[0, 0],
    sp.HadamardProduct(A, B),
    sp.KroneckerProduct(A, R),
    sp.Adjoint(A),
    sp.Identity(3) + A,
    sp.ZeroMatrix(2, 3) + R,
    sp.OneMatrix(3, 3) * A,
    sp.BlockMatrix([[A, U], [U.T, sp.ones(1, 1)]]),
    sp.DiagMatrix(U),
    sp.DiagonalMatrix(A),
    A[:2, 1:],
    A[::2, 0],
    A[0, 1] + A[1, 2] * X,
    A * LITERAL,
    LITERAL * A,
    LITERAL.inv(),
    LITERAL.det(),
    sp.FunctionMatrix(3, 3, sp.Lambda((I, J), I + 2 * J)) * A,
    W[0] * W[2],
    W[-1] + 0 * W[0],
    sp.Sum(W[I] ** 2, (I, 0, 2)),
    sp.Sum(M[I, J] * W[J], (J, 0, 2), (I, 0, 2)),
    sp.Sum(A[I, I], (I, 0, 2)),
    D[0] + D[2] * D[1],
    sp.Array([[X, Y], [Y, 1]]),
    sp.Array([[[X], [Y]]]),
    sp.ImmutableSparseMatrix(2, 2, {(0, 1): X}),
]

# What lambdify cannot write, and NumPy computes so.
OTHER = [
    (sp.Trace(A), lambda a: np.trace(a[A])),
    (sp.Trace(A * B), lambda a: np.trace(a[A] @ a[B])),
    (sp.Determinant(A) * X, lambda a: np.linalg.det(a[A]) * 0.7),
    (A.det() * A.inv(), lambda a: np.linalg.det(a[A]) * np.linalg.inv(a[A])),
    (sp.HadamardPower(A, 2), lambda a: a[A] ** 2),
    (A.applyfunc(sp.sin), lambda a: np.sin(a[A])),
    (A.applyfunc(sp.Lambda(T, T**2 + X)), lambda a: a[A] ** 2 + 0.7),
    ((A * U).applyfunc(sp.tanh), lambda a: np.tanh(a[A] @ a[U])),
    (sp.DotProduct(U, V), lambda a: np.sum(a[U] * a[V])),
    (sp.DiagonalOf(A), lambda a: np.diag(a[A])[:, None]),
    (sp.DiagonalOf(R), lambda a: np.diag(a[R])[:, None]),
    (sp.sin(sp.Trace(A)) * X, lambda a: np.sin(np.trace(a[A])) * 0.7),
    (sp.Product(1 + W[I], (I, 0, 2)), lambda a: np.prod(1 + a[W])),
]


def symbols_in(expression):
    """What it is a function of, whole arrays for their entries."""
    symbols = [s for s in AT if expression.has(s)]
    entries = any(str(s).startswith("D[") for s in expression.free_symbols)
    return [*symbols, D] if entries else symbols


@pytest.mark.parametrize("expression", PLAIN, ids=str)
def test_agrees_with_lambdify(expression):
    symbols = symbols_in(expression)
    at = [AT[s] for s in symbols]
    tape = tg.from_sympy(expression, symbols)
    tape.check()
    wanted = np.asarray(sp.lambdify(symbols, expression, "numpy")(*at))
    assert np.shape(tape(*at)) == wanted.shape
    np.testing.assert_allclose(tape(*at), wanted, rtol=1e-12)


@pytest.mark.parametrize(("expression", "plain"), OTHER, ids=[str(o[0]) for o in OTHER])
def test_what_lambdify_cannot_write(expression, plain):
    symbols = symbols_in(expression)
    tape = tg.from_sympy(expression, symbols)
    np.testing.assert_allclose(tape(*(AT[s] for s in symbols)), plain(AT), rtol=1e-12)


@pytest.mark.parametrize(
    "expression",
    [
        U.T * A * U,
        V.T * A.inv() * U,
        sp.Trace(A * B * A),
        sp.Determinant(A) * X,
        sp.Trace((A * LITERAL) ** 2),
    ],
    ids=str,
)
def test_gradients_are_those_of_the_entries(expression):
    """The whole matrices against SymPy's derivative of every entry written out."""
    symbols = symbols_in(expression)
    at = [AT[s] for s in symbols]
    scalar = expression[0, 0] if expression.is_Matrix else expression
    found = tg.from_sympy(scalar, symbols).gradient(*at)
    explicit = {s: s.as_explicit() for s in symbols if s.is_Matrix}
    written = expression.xreplace(explicit).doit()
    written = written[0, 0] if written.is_Matrix else written
    entries = [list(s) if s.is_Matrix else [s] for s in symbols]
    flat = [entry for part in entries for entry in part]
    slopes = sp.lambdify(flat, [sp.diff(written, entry) for entry in flat], "numpy")
    wanted = slopes(*np.concatenate([np.ravel(x) for x in at]))
    found = found if len(at) > 1 else (found,)
    np.testing.assert_allclose(
        np.concatenate([np.ravel(part) for part in found]), wanted, rtol=1e-10
    )


def test_a_product_with_an_inverse_is_a_solve():
    operations = tg.from_sympy(A.inv() * V, [A, V]).operations
    assert "solve" in operations
    assert "inv" not in operations


def test_a_product_stays_one_step():
    big = sp.MatrixSymbol("A", 400, 400)
    x = sp.MatrixSymbol("x", 400, 1)
    assert len(tg.from_sympy(big * x, [big, x])) == 3


def test_stable_forms_of_whole_arrays():
    log = A.applyfunc(sp.Lambda(T, sp.log(sp.exp(T) + 1)))
    assert "softplus" in tg.from_sympy(log, [A]).operations


def test_native_code():
    tape = tg.from_sympy(sp.Trace(A * U * V.T) + X, [A, U, V, X])
    at = [AT[s] for s in (A, U, V, X)]
    value, gradient = tape.compile().value_and_gradient(*at)
    assert value == pytest.approx(tape(*at), rel=1e-13)
    np.testing.assert_allclose(gradient[0], AT[V] @ AT[U].T, rtol=1e-13)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (A[I, J], "indices must be numbers"),
        (W[5], "outside W"),
        (A * sp.MatrixSymbol("C", 3, 3), "no value for C"),
        (sp.MatrixSymbol("P", X, 3) * A, "sizes must be numbers"),
        (A**X, "whole number"),
        (A ** sp.Rational(1, 2), "whole number"),
        (sp.MatrixSymbol("C", 3, 3)[0, 0], "no value for C"),
    ],
    ids=str,
)
def test_what_cannot_be_read(expression, message):
    with pytest.raises(ParseError, match=message):
        tg.from_sympy(expression, [A, W, X])


def test_vectors_of_any_length_end_with_their_last_entry():
    tape = tg.from_sympy(D[0] * D[3], [D])
    assert tape(np.array([2.0, 0.0, 0.0, 5.0])) == 10.0
    with pytest.raises(tg.ShapeError):
        tape(np.ones(3))
