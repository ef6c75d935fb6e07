"""Users' primitives in every use that a row of the table has, to order 3."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
import sympy as sp
from mpmath.ctx_mp import MPContext

import tapegrad as tg
from tapegrad.proof.orders import higher
from tapegrad.rules import TABLE

X, Y = sp.symbols("x y")
CTX = MPContext()
CTX.dps = 60


def phi(z):
    return (1 + CTX.erf(z / CTX.sqrt(2))) / 2


def call(s, k, r, v, t):
    root = v * CTX.sqrt(t)
    d1 = (CTX.log(s / k) + (r + v**2 / 2) * t) / root
    return s * phi(d1) - k * CTX.exp(-r * t) * phi(d1 - root)


# Written down once more, by hand, for mpmath; and where to look.
BY_HAND = {
    "planck": (lambda x: x**3 / CTX.expm1(x), [(0.01,), (1.7,), (40.0,), (500.0,)]),
    "step": (
        lambda x, k: 1 / (1 + CTX.exp(-2 * k * x)),
        [(0.3, 1.5), (-2.0, 4.0), (30.0, 2.0), (-40.0, 0.5)],
    ),
    "softabs": (lambda x, k: CTX.sqrt(x**2 + k**2), [(0.3, 1e-3), (-2.0, 0.5)]),
    "morse": (
        lambda x, d, a, r: d * (1 - CTX.exp(-a * (x - r))) ** 2,
        [(1.5, 4.7, 1.9, 0.7), (0.2, 4.7, 1.9, 0.7)],
    ),
    "call": (call, [(100.0, 95.0, 0.05, 0.2, 0.5), (80.0, 120.0, 0.01, 0.4, 2.0)]),
    "lambert": (CTX.lambertw, [(0.5,), (3.0,), (1e4,)]),
    "derived": (CTX.lambertw, [(0.5,), (3.0,), (1e4,)]),
    "decay": (lambda x, y: x * CTX.exp(-y), [(2.0, 0.3), (-1.5, -2.0)]),
}
CASES = [(name, at) for name, (_, points) in BY_HAND.items() for at in points]


def exact(name, at, *places):
    """A derivative of the function by hand, by numerical differentiation."""
    orders = tuple(places.count(place) for place in range(len(at)))
    point = tuple(map(CTX.mpf, at))
    if not places:
        return float(BY_HAND[name][0](*point))
    if len(at) == 1:
        return float(CTX.diff(BY_HAND[name][0], point[0], orders[0]))
    return float(CTX.diff(BY_HAND[name][0], point, orders))


def close(found, expected, relative=1e-9):
    return math.isclose(found, expected, rel_tol=relative, abs_tol=1e-13)


@pytest.mark.parametrize(("name", "at"), CASES)
def test_value_and_gradient_in_every_way(the, name, at):
    f = the(name)
    value = exact(name, at)
    slopes = [exact(name, at, place) for place in range(len(at))]
    places = tuple(range(len(at)))
    tape = tg.record(f, *at)
    leaves = [tg.Value(x) for x in at]
    y = f(*leaves)
    y.backward()
    compiled = tape.compile()
    mp = tape.gradient(*at, arithmetic="mpmath:40")
    ways = {
        "plain": (f(*at), None),
        "eager": (y.data, [leaf.grad for leaf in leaves]),
        "recorded": (tape(*at), tape.gradient(*at)),
        "grad": (None, tg.grad(f, places)(*at)),
        "compiled": (compiled(*at), compiled.value_and_gradient(*at)[1]),
        "mpmath": (None, mp),
        "forward": (
            None,
            [
                tg.jvp(f, at, tuple(np.eye(len(at))[place].tolist()))[1]
                for place in places
            ],
        ),
    }
    for way, (found, gradient) in ways.items():
        if found is not None:
            assert close(found, value), way
        if gradient is not None:
            listed = gradient if isinstance(gradient, tuple | list) else [gradient]
            for place, slope in zip(listed, slopes, strict=True):
                assert close(float(place), slope), way


@pytest.mark.parametrize(("name", "at"), CASES)
def test_second_derivatives(the, name, at):
    f = the(name)
    places = tuple(range(len(at)))
    hessian = tg.hessian(f, places)(*at)
    native = tg.compile(tg.grad(f, places), *at).jacobian(*at)
    native = native if len(at) > 1 else ((native[0],),)
    for i, j in itertools.product(places, places):
        expected = exact(name, at, i, j)
        assert close(hessian[i][j], expected, 1e-7), (i, j)
        assert close(native[i][j], expected, 1e-7), (i, j)


@pytest.mark.parametrize("name", ["planck", "step", "softabs", "lambert", "decay"])
def test_third_derivatives(the, name):
    f = the(name)
    at = BY_HAND[name][1][0]
    rest = at[1:]

    def cubed(x):
        return tg.grad(tg.grad(tg.grad(lambda x: f(x, *rest))))(x)

    expected = exact(name, at, 0, 0, 0)
    assert close(cubed(at[0]), expected, 1e-6)
    assert close(tg.compile(cubed, at[0])(at[0]), expected, 1e-6)


@pytest.mark.parametrize("name", ["planck", "step", "call", "lambert", "decay"])
def test_arrays_broadcast_in_every_way(the, name):
    f = the(name)
    at = BY_HAND[name][1][0]
    first = at[0] * np.array([[1.0], [1.25], [1.5]])
    rest = [np.array([x, x]) for x in at[1:]]
    expected = np.array(
        [[f(float(x), *at[1:]) for _ in range(2 if rest else 1)] for x in first.ravel()]
    )
    np.testing.assert_allclose(f(first, *rest), expected, rtol=1e-13)
    tape = tg.record(lambda *xs: f(*xs).sum(), first, *rest)
    gradient = tape.gradient(first, *rest)
    gradient = gradient if isinstance(gradient, tuple) else (gradient,)
    compiled = tape.compile().value_and_gradient(first, *rest)[1]
    compiled = compiled if isinstance(compiled, tuple) else (compiled,)
    count = 2 if rest else 1
    for found in (gradient, compiled):
        slopes = [count * tg.grad(f)(float(x), *at[1:]) for x in first.ravel()]
        np.testing.assert_allclose(found[0].ravel(), slopes, rtol=1e-12)
        assert [g.shape for g in found[1:]] == [(2,) for _ in rest]
    value = tg.Value(first)
    f(value, *rest).sum().backward()
    np.testing.assert_allclose(value.grad, gradient[0], rtol=1e-13)


@pytest.mark.parametrize("name", ["planck", "step", "softabs", "decay"])
def test_single_precision_stays_single(the, name):
    f = the(name)
    at = [np.array([x], np.float32) for x in BY_HAND[name][1][0]]
    found = f(*at)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, f(*(x.astype(float) for x in at)), rtol=1e-6)
    tape = tg.record(lambda *xs: f(*xs).sum(), *at)
    wide = tg.grad(lambda x: f(x, *(float(v[0]) for v in at[1:])))(float(at[0][0]))
    for gradient in (tape.gradient(*at), tape.compile().value_and_gradient(*at)[1]):
        first = gradient[0] if isinstance(gradient, tuple) else gradient
        assert first.dtype == np.float32
        np.testing.assert_allclose(first[0], wide, rtol=1e-5)


def test_integers_lists_and_truth_values_are_numbers(the):
    f = the("decay")
    assert f(2, 0) == 2.0
    assert f(True, 0) == 1.0
    np.testing.assert_array_equal(f([1, 2], 0), [1.0, 2.0])
    assert isinstance(f([tg.Value(1.0), 2.0], 0.0), tg.Value)


def test_outside_its_domain_value_and_partials_are_nan(the):
    for name, at in (("planck", -1.0), ("lambert", -0.5), ("lambert", 2e6)):
        f = the(name)
        tape = tg.record(f, at)
        assert math.isnan(f(at))
        assert math.isnan(tg.grad(f)(at))
        assert math.isnan(tg.hessian(f)(at))
        value, slope = tape.compile().value_and_gradient(at)
        assert math.isnan(value)
        assert math.isnan(slope)
        assert math.isnan(tape.gradient(at, arithmetic="mpmath:30"))


def test_a_symbol_that_is_positive_gives_a_domain(the):
    assert the("softabs").row.domain == ((-math.inf, math.inf), (0.0, math.inf))
    assert math.isnan(the("softabs")(1.0, -1.0))


def test_domains_follow_from_the_rows_that_are_used():
    x, y = sp.symbols("x y")
    f = tg.primitive("t_logs", sp.log(2 * x - 1) + sp.sqrt(3 - y), [x, y])
    assert f.row.domain == ((0.5, math.inf), (-math.inf, 3.0))
    # d/dx of the sum is a number where sqrt(3 - y) is none
    assert all(map(math.isnan, tg.grad(f, (0, 1))(2.0, 4.0)))


def test_kinks_follow_the_table(the):
    huber = the("huber")
    assert [tg.grad(huber)(x) for x in (-2.0, -1.0, 0.5, 1.0, 3.0)] == [
        -1.0,
        -1.0,
        0.5,
        1.0,
        1.0,
    ]
    assert tg.hessian(huber)(0.5) == 1.0
    assert tg.hessian(huber)(2.0) == 0.0
    x, y = sp.symbols("x y")
    ridge = tg.primitive("t_ridge", sp.Max(x, y) * 3, [x, y])
    assert tg.grad(ridge, (0, 1))(1.0, 1.0) == (1.5, 1.5)
    assert tg.grad(tg.primitive("t_cone", 2 * sp.Abs(x), [x]))(0.0) == 0.0


def test_the_closed_form_goes_out_and_the_name_comes_in(the):
    x = sp.Symbol("x", real=True)
    tape = tg.record(the("decay"), 1.0, 2.0)
    a, b = sp.symbols("x y", real=True)  # labelled as its arguments are called
    assert tape.to_sympy() == a * sp.exp(-b)
    the("planck")
    named = sp.Function("t_planck")(2 * x)
    read = tg.from_sympy(named, [x])
    assert "t_planck" in read.operations
    assert close(read.gradient(1.0), 2 * exact("planck", (2.0,), 0))
    # and LambertW is a function that only a user's row stands for
    the("lambert")
    assert close(tg.from_sympy(sp.LambertW(x), [x])(3.0), exact("lambert", (3.0,)))


def test_an_expression_is_not_taken_for_a_users_row():
    x = sp.Symbol("x")
    form = sp.sin(x) * sp.cos(x)
    tg.primitive("t_taken", form, [x])
    assert "t_taken" not in tg.from_sympy(form, [x]).operations


def test_text_is_derived_by_name(the):
    the("decay")
    found = tg.derive("t_decay(x, y)*x", wrt=["x"])["x"]
    x, y = sorted(found.free_symbols, key=str)
    assert sp.simplify(found - 2 * x * sp.exp(-y)) == 0


def test_source_lists_and_traces_name_it(the):
    for name in ("decay", "call"):
        at = BY_HAND[name][1][0]
        tape = tg.record(the(name), *at)
        scope: dict[str, object] = {}
        exec(tape.to_python(), scope)  # noqa: S102 - our own text
        value, gradient = scope["value_and_gradient"](*at)
        assert close(float(value), exact(name, at))
        for place, slope in enumerate(gradient):
            assert close(float(slope), exact(name, at, place))
        assert f"t_{name}" in str(tape)
        assert f"t_{name}" in str(tape.trace(symbolic=True))


def test_in_a_longer_function_and_inside_itself(the):
    f = the("planck")

    def twice(x):
        return f(f(x) + 1.0) * np.sin(x)

    assert tg.check_gradient(twice, 1.3).ok
    assert tg.check_gradient(tg.primitive("t_once", _double, [_Z]), 0.4).ok


_Z = sp.Symbol("z")
_double = sp.Function("t_decay")(_Z, 2 * _Z) + _Z


@pytest.mark.parametrize("name", ["decay", "huber"])
def test_verify_proves_and_judges_it_in_every_tier(the, name):
    report = tg.verify(the(name).name, points=30)
    checks = {row.check for row in report}
    assert {"order 1", "order 2", "body"} <= checks
    assert any("native" in check for check in checks)
    assert report.ok, report


def test_verify_refutes_what_floats_do_not_bear():
    x = sp.Symbol("x")
    f = tg.primitive("t_wide", x**3 / (sp.exp(x) - 1), [x])  # x**3 over- and underflows
    report = tg.verify(f.name, points=40, orders=1)
    figures = {row.check: row for row in report}
    assert figures["order 1"].status == "proved"
    assert figures["value, floats"].status == "refuted"


def test_the_verifier_holds_a_row_to_what_its_user_says():
    x = sp.Symbol("x")
    f = tg.primitive("t_loose", sp.exp(-(x**2)), [x], ulps=64, domain=(-5, 5))
    report = tg.verify(f.name, points=30, orders=1)
    limits = {row.limit for row in report if row.check.startswith("value")}
    assert limits == {64.0}
    assert report.ok, report


def test_second_orders_of_irrational_constants_are_proved():
    x = X
    tg.primitive("t_normal", (1 + sp.erf(x / sp.sqrt(2))) / 2, [x])
    found = {row.check: row.status for row in tg.verify("t_normal", points=10)}
    assert found["order 2"] == "proved"


def test_higher_orders_are_judged_by_the_terms_they_are_made_of():
    x, y = X, Y
    tg.primitive("t_softplus", sp.log(1 + sp.exp(x)), [x])
    tg.primitive("t_length", sp.sqrt(x**2 + y**2), [x, y])
    for name in ("t_softplus", "t_length"):
        report = tg.verify(name, points=100)
        assert report.ok, str(report)


def test_what_is_no_rounding_is_refuted_in_higher_orders():
    right = tg.primitive("t_cosh", sp.cosh(X), [X])
    wrong = dataclasses.replace(
        TABLE[right.name], partials=lambda m, y, x: (m.sinh(x) + 1 / (y * y * y),)
    )
    assert {row.status for row in higher(wrong, 20)} == {"refuted"}
    assert {row.status for row in higher(TABLE[right.name], 20)} == {"held"}
