"""derive(): texts, tapes and SymPy expressions, and the derivation at a point."""

from __future__ import annotations

import json
import math

import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import ParseError, ShapeError
from tapegrad.symbolic import derive as module
from tapegrad.symbolic.closed import symbols_of, value_at
from tapegrad.symbolic.derive import derivation, derive

X, Y = sp.symbols("x y", real=True)


def test_exported():
    assert tg.derive is derive


def test_first_order():
    assert derive("x*tanh(y)", wrt=["x", "y"]) == {
        "x": sp.tanh(Y),
        "y": X / sp.cosh(Y) ** 2,
    }


@pytest.mark.parametrize("wrt", ["y,x", " y , x ", ["y", "x"], (Y, X), ["y", "x", "y"]])
def test_wrt_in_any_form_gives_the_order_of_the_keys(wrt):
    assert list(derive("x*y**2", wrt)) == ["y", "x"]


def test_all_names_by_default():
    assert list(derive("b*x**2 + a")) == ["b", "x", "a"]


def test_second_order_is_the_hessian():
    found = derive("x**2*y + y**3", order=2)
    assert list(found) == [("x", "x"), ("x", "y"), ("y", "x"), ("y", "y")]
    assert list(found.values()) == [2 * Y, 2 * X, 2 * X, 6 * Y]


def test_names_that_do_not_occur_have_derivative_zero():
    assert derive("5", wrt="x") == {"x": 0}
    assert derive("x", wrt=["x", "z"], order=2)["x", "z"] == 0


def test_names_asked_for_are_variables():
    assert derive("e*x", wrt=["e"]) == {"e": X}
    assert derive("e*x", wrt=["x"]) == {"x": sp.E}


def test_tapes():
    tape = tg.record(lambda x, y: x**2 * y, 1.0, 2.0)
    assert derive(tape) == {"x": 2 * X * Y, "y": X**2}
    assert derive(tape, "y", order=2) == {("y", "y"): 0}
    with pytest.raises(ShapeError, match="one output, this one has 2"):
        derive(tg.record(lambda x: [x, x], 1.0))


def test_labels_that_look_like_names_of_others():
    """Two inputs x, the second of which may not take the third's name."""
    first, second, third = (
        tg.Value(v, label=label) for v, label in [(2.0, "x"), (3.0, "x"), (5.0, "x_v1")]
    )
    tape = (first * second * third).tape
    found = derive(tape)
    assert list(found) == ["x", "x_v1_v1", "x_v1"]
    values = dict(zip(symbols_of(tape), (2.0, 3.0, 5.0), strict=True))
    assert [value_at(form, values) for form in found.values()] == [15.0, 10.0, 6.0]


def test_pi_in_an_exponent_is_pi():
    assert sp.simplify(derive("x^pi")["x"] - sp.pi * X**sp.pi / X) == 0


def test_sympy_expressions_in_their_own_symbols():
    x = sp.Symbol("x")
    found = derive(sp.erf(x) + sp.gamma(Y))
    assert found["x"] == sp.diff(sp.erf(x), x)
    assert found["y"] == sp.diff(sp.gamma(Y), Y)
    assert derive(x * Y, "Q") == {"Q": 0}


@pytest.mark.parametrize("order", [0, 3, -1, "1", None])
def test_orders(order):
    with pytest.raises(ShapeError, match="order 1 and 2"):
        derive("x", order=order)


@pytest.mark.parametrize("wrt", ["x,", "x y", "__import__('os')", [""], [1]])
def test_wrt_must_be_names(wrt):
    with pytest.raises(ParseError, match="not a name"):
        derive("x*y", wrt)


def test_hostile_text():
    with pytest.raises(ParseError, match="unknown function"):
        derive("__import__('os')", "x")


# -- at a point --------------------------------------------------------------------


def test_derivation_sets_both_ways_side_by_side():
    found = derivation("x*tanh(y) + exp(x)**2", "x,y", at={"x": 1, "y": 2})
    assert found.ok
    assert math.isclose(found.value, math.tanh(2) + math.exp(2))
    assert [row.name for row in found.rows] == ["df/dx", "df/dy"]
    for row in found.rows:
        assert math.isclose(row.tape, row.value, rel_tol=1e-14)
        assert row.difference == row.tape - row.value


def test_derivation_of_second_order():
    found = derivation("x**3*y", "y,x", 2, {"x": 2.0, "y": 5.0})
    assert [(row.name, row.tape, row.value) for row in found.rows] == [
        ("d2f/dydy", 0.0, 0.0),
        ("d2f/dydx", 12.0, 12.0),
        ("d2f/dxdy", 12.0, 12.0),
        ("d2f/dxdx", 60.0, 60.0),
    ]


def test_derivation_without_a_point_has_formulas_only():
    found = derivation("x**2")
    (row,) = found.rows
    assert (row.closed, row.tape, row.value, row.difference) == (
        2 * X,
        None,
        None,
        None,
    )
    assert found.ok


def test_derivation_at_a_kink_agrees():
    found = derivation("relu(x) + max(x, y) + abs(x)", at={"x": 0.0, "y": 0.0})
    assert [(row.tape, row.value) for row in found.rows] == [(0.5, 0.5), (0.5, 0.5)]


def test_derivation_at_a_pole_is_no_disagreement():
    found = derivation("sqrt(x) + log(y)", at={"x": 0.0, "y": -1.0})
    assert found.rows[0].tape == math.inf
    assert found.ok
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["value"] == "nan"


def test_a_way_back_through_complex_numbers_is_no_value():
    """cos(sqrt(-1.6)) is real to SymPy, and NaN here: the comparison is false."""
    found = derivation(
        "where(cos(sqrt(2*y - 3)) < 2, 1, x)", "x", at={"x": 1.3, "y": 0.7}
    )
    assert found.ok
    assert found.rows[0].tape == 1.0
    assert math.isnan(found.rows[0].value)
    # but an arm that is not selected may hold NaN, and the values are compared
    arms = derivation("where(x > 0, log(x), x**2)", at={"x": -3.0})
    assert (arms.rows[0].tape, arms.rows[0].value) == (-6.0, -6.0)


def test_a_wrong_sweep_is_found(monkeypatch):
    """Planted: a sweep that is off in the ninth digit is not ok."""
    right = module._swept

    def wrong(*args):
        return {key: slope * (1 + 1e-8) for key, slope in right(*args).items()}

    assert derivation("sin(x)*y", at={"x": 0.5, "y": 2.0}).ok
    monkeypatch.setattr(module, "_swept", wrong)
    assert not derivation("sin(x)*y", at={"x": 0.5, "y": 2.0}).ok


def test_points_must_fit():
    with pytest.raises(ParseError, match="lacks a value for y"):
        derivation("x*y", at={"x": 1.0})
    with pytest.raises(ParseError, match="values for z"):
        derivation("x*y", at={"x": 1.0, "y": 1.0, "z": 1.0})
