"""Wrong definitions are refused: what was wrong, where, and both numbers."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
import sympy as sp
from mpmath import mp

import tapegrad as tg
from tapegrad.primitives import draft
from tapegrad.primitives.check import Rules, check
from tapegrad.primitives.oracle import Witness, of_code, of_expression, ulps
from tapegrad.rules import TABLE

X = sp.Symbol("x", real=True)


def decay(x, y):
    return x * np.exp(-y)


def softplus(x):
    return np.where(x > 0, x + np.log1p(np.exp(-x)), np.log1p(np.exp(x)))


WRONG = {
    "sign": (decay, lambda v, x, y: (np.exp(-y), v), "y"),
    "factor": (decay, lambda v, x, y: (2 * np.exp(-y), -v), "x"),
    "swapped arguments": (decay, lambda v, x, y: (-v, np.exp(-y)), "x"),
    "missing term": (lambda x: x * np.sin(x), lambda v, x: np.sin(x), "x"),
    "negative x alone": (lambda x: x * x * x, lambda v, x: 3 * np.abs(x) * x, "x"),
    "positive x alone": (
        softplus,
        lambda v, x: np.where(x > 0, 1.0, np.exp(x) / (1 + np.exp(x))),
        "x",
    ),
    "beyond ten alone": (np.sin, lambda v, x: np.where(x > 10, 1.0, np.cos(x)), "x"),
    "a constant": (lambda x: x * x, lambda v, x: 2 * x + 1e-9, "x"),
    "a factor of 1e-10": (np.exp, lambda v, x: v * (1 + 1e-10), "x"),
    "another argument": (decay, lambda v, x, y: (np.exp(-x), -v), "x"),
    "in the words of a reading": (np.exp, lambda m, v, x: (m.exp(x) * x,), "x"),
    "a structural zero": (decay, lambda m, v, x, y: (m.exp(-y), 0), "y"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_rule_is_refused(what):
    function, partials, argument = WRONG[what]
    wrapped = function
    if isinstance(function, np.ufunc):
        wrapped = lambda x: function(x)  # noqa: E731, PLW0108 - a ufunc names nothing
    before = len(TABLE)
    with pytest.raises(tg.GradientMismatch) as caught:
        tg.primitive("t_wrong", wrapped, partials=partials)
    assert len(TABLE) == before
    assert "t_wrong" not in TABLE
    found = re.search(
        r"t_wrong: d/d(\w) at (.*) is (\S+) by the rule, and (\S+) by numerical",
        str(caught.value),
    )
    assert found, caught.value
    label, where, wrong, right = found.groups()
    assert label == argument
    assert float(wrong) != float(right)
    # both numbers can be had again, at the point that is named
    at = [float(part.split(" = ")[1]) for part in where.split(", ")]
    place = [part.split(" = ")[0] for part in where.split(", ")].index(label)
    truth = tg.grad(wrapped, place)(*at)
    assert math.isclose(truth, float(right), rel_tol=1e-9)


def test_a_right_rule_is_not_refused():
    f = tg.primitive("t_right", decay, partials=lambda v, x, y: (np.exp(-y), -v))
    assert f.compared > 50
    g = tg.primitive("t_plus", softplus)  # without partials they are derived
    assert math.isclose(tg.grad(g)(-3.0), 1 / (1 + math.exp(3.0)), rel_tol=1e-15)


def test_a_closed_form_that_is_another_function_is_refused():
    with pytest.raises(tg.GradientMismatch, match=r"by the code, and .* by sympy="):
        tg.primitive("t_form", lambda x: np.exp(x) - 1, sympy=sp.exp(X))
    with pytest.raises(tg.GradientMismatch, match="by sympy="):
        tg.primitive("t_form", lambda x: np.exp(x) * (1 + 1e-9), sympy=sp.exp(X))
    with pytest.raises(tg.ParseError, match="the arguments are"):
        tg.primitive("t_form", lambda x: 2 * np.exp(x), sympy=sp.exp(sp.Symbol("z")))
    f = tg.primitive(
        "t_as_rows", lambda x: 2 * np.exp(x), sympy=lambda sp, x: 2 * sp.exp(x)
    )
    assert tg.record(f, 1.0).to_sympy() == 2 * sp.exp(sp.Symbol("x", real=True))


def test_a_wrong_convention_at_a_kink_is_refused():
    with pytest.raises(tg.GradientMismatch, match=r"at the kink x = -?0\.0 is -5"):
        tg.primitive(
            "t_kink",
            lambda x: np.maximum(x, 0) * 2,
            partials=lambda v, x: np.where(x > 0, 2.0, np.where(x < 0, 0.0, -5.0)),
        )


def test_a_number_outside_the_domain_is_gated():
    f = tg.primitive("t_gate", lambda x: np.log(x) + x, partials=lambda v, x: 1 / x + 1)
    assert math.isnan(tg.grad(f)(-1.0))
    assert tg.grad(f)(2.0) == 1.5


def test_a_partial_that_leaks_where_no_domain_is_seen_is_gated_too():
    f = tg.primitive(
        "t_inner",
        lambda x: np.log(x * x - 1),
        partials=lambda v, x: 2 * x / (x * x - 1),
    )
    assert math.isnan(tg.grad(f)(0.5))
    assert math.isclose(tg.grad(f)(2.0), 4 / 3)


def test_a_function_without_real_values_is_refused():
    with pytest.raises(tg.DomainError, match="give domain="):
        tg.primitive("t_nowhere", sp.log(-1 - X**2), [X])


def test_the_check_alone_finds_a_wrong_derivation(monkeypatch):
    """A rule of the table that is wrong does not slip into a user's row."""
    right = TABLE["sin"]
    wrong = dataclasses.replace(right, partials=lambda m, y, x: (-m.cos(x),))
    rows = [wrong if row is right else row for row in TABLE]
    monkeypatch.setattr(TABLE, "rows", rows)
    with pytest.raises(tg.GradientMismatch, match="d/dx"):
        tg.primitive("t_on_wrong", lambda x: x * np.sin(x))


def test_a_wrong_derivative_of_sympys_is_found(monkeypatch):
    monkeypatch.setattr(draft.sp, "diff", lambda form, x: form * x)
    monkeypatch.setattr(draft, "swept", lambda *_: draft.code_of([X**7], [X], ["x"]))
    with pytest.raises(tg.GradientMismatch):
        tg.primitive("t_wrong_diff", sp.sin(X) * X, [X])


# -- the witness itself ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "at"),
    [
        (sp.exp(X) - 1, 1e-90),
        (X**3 / (sp.exp(X) - 1), 1e-90),
        ((1 + sp.erf(X)) / 2, -18.0),
        (sp.log(1 + X), 1e-60),
        (sp.sin(X) / X, 1e80),
        (sp.exp(-(X**2)), 26.0),
    ],
)
def test_exact_derivatives(form, at):
    witness = Witness(of_expression(form, [X]))
    found = witness.derivative([at], 0)
    with mp.workdps(400):
        exact = mp.mpf(sp.N(sp.diff(form, X).subs(X, sp.Rational(at)), 350, maxn=2000))
    assert found != 0
    assert abs(found - exact) < abs(exact) * mp.mpf(10) ** -15


def test_zeros_are_not_taken_for_granted():
    # below 1e-176 there is something, and 50 digits do not see it
    assert Witness(of_expression((1 + sp.erf(X)) / 2, [X])).value([-20.0]) > 0
    assert Witness(of_expression(sp.Max(X, 0), [X])).derivative([-1.0], 0) == 0


def test_nothing_is_said_at_kinks_jumps_and_outside():
    assert Witness(of_expression(sp.log(X), [X])).value([-1.0]) is None
    assert Witness(of_expression(sp.Abs(X), [X])).derivative([0.0], 0) in {0, None}
    assert Witness(of_expression(1 / X, [X])).value([0.0]) is None
    sides = Witness(of_expression(sp.Abs(X), [X])).sides([0.0], 0)
    assert sides == (-1, 1)


def test_code_is_read_at_many_digits():
    witness = Witness(of_code(lambda m, x: m.exp(x) * 2))
    assert abs(float(witness.derivative([1.0], 0)) - 2 * math.e) < 1e-15


def test_rule_text_with_too_few_digits_is_read_with_more():
    value = of_expression(sp.exp(X) - 1, [X])
    rules = Rules(
        "r", ["x"], lambda m, x: m.exp(x) - 1, lambda m, y, x: (y + 1,), Witness(value)
    )
    assert check(rules, [[1e-80], [-1e-80], [2.0]]) == 3


def test_ulps():
    assert ulps(1.0, mp.mpf(1)) == 0.0
    assert ulps(1.0 + 2**-52, mp.mpf(1)) == 1.0
    assert ulps(math.nan, mp.mpf(1)) == math.inf
    assert ulps(math.inf, mp.mpf(2) ** 1024) == 0.0
    assert ulps(5e-324, mp.mpf(0)) == 1.0


def test_what_few_digits_agree_on_is_looked_at_twice():
    # beyond 1e55 the squares leave nothing of cos(x) in 110 digits
    f = tg.primitive("t_lost", (X + 1) ** 2 - X**2 - 2 * X - sp.cos(X), [X])
    assert math.isclose(tg.grad(f)(1.0), math.sin(1.0), rel_tol=1e-14)
