"""SymPy expressions as tapes: values, derivatives, sharing, errors, round trips."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import ParseError
from tapegrad.rules import TABLE
from tapegrad.symbolic.heads import KINKED, heads

X, Y, Z = sp.symbols("x y z")
AT = (0.7, 0.45, 1.3)
FAR = (1.7, 0.45, 1.3)

# Expressions that lambdify computes as well.
PLAIN = [
    X**2 * sp.sin(Y) / 3 - sp.exp(-X) / (2 * Y) + 1,
    X - Y - Z,
    -X - Y - 1,
    1 - X,
    -2 * X,
    -X / 3 + sp.Rational(1, 7),
    X / (Y * Z),
    1 / (X * sp.sqrt(Y)),
    X ** sp.Rational(3, 2) + Y**-3 + X**Y + X**sp.pi,
    sp.cbrt(X),
    sp.sqrt(2) * sp.exp(X * Y) / sp.pi,
    sp.sec(X) + sp.csc(Y) + sp.cot(Z),
    sp.sech(X) + sp.csch(Y) + sp.coth(Z),
    sp.asin(X) + sp.acos(Y) + sp.atan(Z) + sp.asinh(X) + sp.atanh(Y) + sp.acosh(Z),
    sp.acot(X) + sp.acsch(Y),
    sp.erf(X) + sp.erfc(Y) + sp.erf2(X, Y),
    sp.gamma(X) + sp.loggamma(Y),
    sp.digamma(X) + sp.polygamma(2, Y),
    sp.binomial(Z, X) + sp.beta(X, Y),
    sp.sinc(X),
    sp.Heaviside(X) + sp.Heaviside(-Y),
    sp.Mod(X, Y) + sp.frac(Z),
    sp.floor(3 * X) + sp.ceiling(3 * Y) + sp.sign(Z) * sp.Abs(Y - X),
    sp.Max(X, Y, Z) + sp.Min(X, Y, Z, 2),
    sp.atan2(X, Y),
    sp.log(X, 2) + sp.log(Y, 10),
    sp.Sum(X**Z / (Z + 1), (Z, 0, 5)),
    sp.Sum(X * Z + Y, (Z, 1, Y), (Y, 1, 4)),
    sp.Piecewise((X, (X > 0) & (Y < 1) & ((Z > 2) | (Z < -1))), (Y, sp.Ne(X, 3))),
    sp.Piecewise((X, X > 1), (Y, sp.Not(sp.Xor(X > 0, Y > 1)))),
    sp.Piecewise((X**2, sp.ITE(X > 1, Y > 1, Z > 1)), (0, True)),
    sp.Integer(3) + 0 * X,
]


@pytest.mark.parametrize("expression", PLAIN, ids=str)
def test_agrees_with_lambdify(expression):
    tape = tg.from_sympy(expression, [X, Y, Z])
    tape.check()
    at = FAR if expression.has(sp.acoth) else AT
    expected = sp.lambdify([X, Y, Z], expression, ["scipy", "numpy"])(*at)
    assert tape(*at) == pytest.approx(float(expected), rel=1e-13, nan_ok=True)


SMOOTH = [e for e in PLAIN if not e.has(*KINKED, sp.Heaviside, sp.Mod, sp.frac)]


@pytest.mark.parametrize("expression", SMOOTH[:14], ids=str)
def test_gradient_is_sympys_derivative(expression):
    got = tg.from_sympy(expression, [X, Y, Z]).gradient(*AT)
    point = dict(zip((X, Y, Z), map(sp.Float, AT), strict=True))
    expected = [float(sp.diff(expression, s).evalf(30, subs=point)) for s in (X, Y, Z)]
    assert list(got) == pytest.approx(expected, rel=1e-13, abs=1e-300)


@pytest.mark.parametrize(
    ("expression", "row"),
    [
        (sp.log(sp.exp(X + Y) + 1), "softplus"),
        (1 / (1 + sp.exp(-X)), "sigmoid"),
        (sp.exp(X * Y) - 1, "expm1"),
        (sp.log(1 + X**2), "log1p"),
        (sp.log(X) / sp.log(10), "log10"),
        (2**X, "exp2"),
        (sp.sqrt(X**2 + Y**2), "hypot"),
        (sp.log(sp.exp(X) + sp.exp(Y)), "logaddexp"),
        (sp.log(X / (1 - X)), "logit"),
    ],
    ids=str,
)
def test_closed_forms_become_their_rows(expression, row):
    assert row in tg.from_sympy(expression, [X, Y]).operations


def test_x_log_y_stays_a_product():
    tape = tg.from_sympy(X * sp.log(Y), [X, Y])
    assert "xlogy" not in tape.operations
    assert math.isnan(tape(0.0, 0.0))


@pytest.mark.parametrize("row", heads().values(), ids=lambda row: row.name)
def test_every_head_reads_as_its_row(row):
    if row.kind == "predicate" and row.name.startswith("logical"):
        return
    xs = sp.symbols("a b c", real=True)[: row.arity]
    tape = tg.from_sympy(row.sympy(sp, *xs), xs)
    arms = isinstance(row.sympy(sp, *xs), sp.Piecewise)
    assert arms or tape.operations == tuple(sorted(["input", row.name]))


def test_rows_are_called_by_name():
    tape = tg.from_sympy(sp.Function("softplus")(X), X)
    assert "softplus" in tape.operations
    assert tape(0.0) == math.log(2)


def test_equal_parts_are_computed_once():
    part = sp.sin(X * Y)
    other = sp.sin(sp.Mul(X, Y, evaluate=False), evaluate=False)
    tape = tg.from_sympy([part + Z, other * Z, part**3], [X, Y, Z])
    assert sum(step.primitive.name == "sin" for step in tape) == 1


def test_a_constant_is_rounded_once():
    tape = tg.from_sympy(sp.sqrt(2) * sp.pi * sp.exp(1) * X, X)
    assert tape(1.0) == float((sp.sqrt(2) * sp.pi * sp.E).evalf(40))


def test_real_roots_by_way_of_complex_numbers():
    root = sp.CRootOf(X**3 - 3 * X + 1, 0)
    radical = sp.cos(sp.pi / 9) + 0 * X
    tape = tg.from_sympy(root + radical * Y, [X, Y])
    assert tape(0.0, 1.0) == pytest.approx(
        -2 * math.cos(math.pi / 9) + math.cos(math.pi / 9)
    )


# -- inputs and outputs --------------------------------------------------------


def test_symbols_by_default_by_name():
    assert tg.from_sympy(Z * Y + X).input_labels() == ("x", "y", "z")
    k = sp.Symbol("k")
    assert tg.from_sympy(sp.Sum(k * X, (k, 1, 3))).input_labels() == ("x",)


def test_names_stand_for_the_symbols_of_the_expression():
    x = sp.Symbol("x", positive=True)
    assert tg.from_sympy(sp.log(x), "x")(1.0) == 0.0
    assert tg.from_sympy(sp.log(x) * Y, "x, y, w")(1.0, 2.0, 3.0) == 0.0


def test_arguments_and_results_nest():
    tape = tg.from_sympy({"s": X + Y, "p": [X * Y, (Z,)]}, [(X, Y), Z])
    assert tape((2.0, 3.0), 4.0) == {"s": 5.0, "p": [6.0, (4.0,)]}


def test_a_matrix_is_an_array():
    tape = tg.from_sympy(sp.Matrix([[X, Y, 1], [X * Y, 2, X]]), [X, Y])
    assert np.array_equal(tape(2.0, 3.0), [[2, 3, 1], [6, 2, 2]])
    by_x, by_y = tape.jacobian(2.0, 3.0)
    assert np.array_equal(by_x, [[1, 0, 0], [3, 0, 1]])
    assert np.array_equal(by_y, [[0, 1, 0], [2, 0, 0]])


def test_arrays_of_symbols_are_inputs():
    v = sp.Matrix(sp.symbols("v:2"))
    tape = tg.from_sympy(v[0] ** 2 * X + v[1], [v, X])
    assert tape(np.array([[2.0], [3.0]]), 5.0) == 23.0
    a = sp.MatrixSymbol("A", 2, 2)
    b = sp.IndexedBase("b", shape=(3,))
    i = sp.Symbol("i", integer=True)
    tape = tg.from_sympy(a[0, 1] * sp.Sum(b[i] ** 2, (i, 0, 2)), [a, b])
    by_a, by_b = tape.gradient(np.eye(2) + 1, np.array([1.0, 2.0, 3.0]))
    assert np.array_equal(by_a, [[0, 14], [0, 0]])
    assert np.array_equal(by_b, [2, 4, 6])


def test_functions_of_time_are_inputs():
    t = sp.Symbol("t")
    theta = sp.Function("theta")(t)
    rate = sp.diff(theta, t)
    tape = tg.from_sympy(sp.sin(theta) * rate**2, [theta, rate])
    assert tape.gradient(0.0, 3.0) == (9.0, 0.0)


# -- long expressions ----------------------------------------------------------


def test_deep_expressions_need_no_stack():
    e = X
    for _ in range(3_000):
        e = sp.sin(e, evaluate=False)
    tape = tg.from_sympy(e, [X])
    assert len(tape) == 3_001


def test_shared_parts_do_not_multiply():
    e = X
    for _ in range(60):
        e = sp.Add(sp.sin(e), sp.cos(e), evaluate=False)
    assert len(tg.from_sympy(e, [X])) == 181


def test_wide_sums():
    xs = sp.symbols("x:3000")
    tape = tg.from_sympy(sp.Add(*(x**2 for x in xs), evaluate=False), xs)
    assert len(tape) == 3_000 + 3_000 + 2_999


# -- errors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sp.Function("foo")(X), "unknown function 'foo'"),
        (sp.besselj(0, X), "besselj"),
        (sp.I * X, "complex number"),
        (sp.sqrt(-2) * X, "complex number"),
        (sp.zoo, "complex infinity"),
        (X + sp.Symbol("w"), "no value for w"),
        (sp.Symbol("x", real=True), "assumptions differ"),
        (sp.Sum(X, (Z, 0, Y)), "whole numbers"),
        (sp.Sum(X, (Z, 5, 0)), "backwards"),
        (sp.Sum(sp.sin(Z * X), (Z, 0, 10**7)), "more than"),
        (sp.Derivative(sp.Function("f")(X), X), "unevaluated"),
        (sp.Integral(sp.LambertW(sp.sin(X)), X), "Integral"),
        (sp.Integer(10) ** 400 * X, "too large"),
        ("x*y", "never evaluated"),
        ([X, object()], "no SymPy expression"),
    ],
)
def test_what_cannot_be_read(expression, message):
    with pytest.raises(ParseError, match=message):
        tg.from_sympy(expression, [X, Y])


@pytest.mark.parametrize(
    ("symbols", "message"),
    [
        ([X, X], "given twice"),
        ([X + 1], "no symbol"),
        ([sp.Symbol("z", imaginary=True)], "not to be real"),
        ([sp.IndexedBase("b")], "shape of b"),
        ([sp.MatrixSymbol("A", Y, 2)], "shape of A"),
    ],
    ids=str,
)
def test_what_cannot_be_an_input(symbols, message):
    with pytest.raises(ParseError, match=message):
        tg.from_sympy(X, symbols)


# -- round trips ---------------------------------------------------------------


@pytest.mark.parametrize("expression", SMOOTH[:12], ids=str)
def test_round_trip_is_the_expression(expression):
    real = {s: sp.Symbol(s.name, real=True) for s in (X, Y, Z)}
    expression = expression.xreplace(real)
    tape = tg.from_sympy(expression, list(real.values()))
    difference = tape.to_sympy() - expression
    zero = sp.simplify(difference)
    at = dict(zip(real.values(), AT, strict=True))
    assert zero == 0 or abs(float(zero.subs(at))) < 1e-15


@pytest.mark.parametrize(
    "row",
    [r for r in TABLE if r.differentiable and not r.helper and r.params == ({},)],
    ids=lambda row: row.name,
)
def test_round_trip_of_every_row(row):
    xs = sp.symbols("a b c", real=True)[: row.arity]
    if row.kind == "select":
        expression = row.sympy(sp, xs[0] > 0, *xs[1:])
    else:
        expression = row.sympy(sp, *xs)
    at = (0.3, 0.6, 0.8)[: row.arity] if row.name != "acosh" else (1.3,)
    tape = tg.from_sympy(expression, xs)
    again = tg.from_sympy(tape.to_sympy(), xs)
    assert again(*at) == pytest.approx(tape(*at), rel=1e-14)
    point = dict(zip(xs, (sp.Float(x, 40) for x in at), strict=True))
    exact = float(expression.subs(point).evalf(30))
    assert tape(*at) == pytest.approx(exact, rel=1e-14)


def test_native_code():
    tape = tg.from_sympy(X**2 * sp.sin(Y) + sp.Max(X, Y), [X, Y])
    value, gradient = tape.compile().value_and_gradient(3.0, 0.5)
    assert (value, *gradient) == pytest.approx(
        (9 * math.sin(0.5) + 3, 6 * math.sin(0.5) + 1, 9 * math.cos(0.5))
    )


def test_imaginary_parts_inside_other_expressions():
    t = sp.Symbol("t")  # may be complex, for all that SymPy knows
    root = tg.from_sympy(sp.real_root(t, 3), [t])
    assert root(-8.0) == -2.0
    assert root.gradient(-8.0) == pytest.approx(1 / 12)
    assert tg.from_sympy(t + sp.cos(2 * sp.im(t)), [t])(3.0) == 4.0
