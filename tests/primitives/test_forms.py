"""Rule text, the forms of an expression, and what they gain."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.primitives.choice import best
from tapegrad.primitives.forms import balanced, differences, forms
from tapegrad.primitives.intervals import gate_lines, given_domain, told
from tapegrad.primitives.lower import code_of, folded, swept
from tapegrad.primitives.oracle import Witness, of_expression
from tapegrad.primitives.pieces import pieces
from tapegrad.primitives.points import beside, domain_of, kinks, moderate, spread
from tapegrad.primitives.text import (
    Code,
    Constant,
    argument_names,
    meant,
    number,
    write,
)
from tapegrad.proof.symbolic import Symbols
from tapegrad.readings import NUMPY, SCALAR, reading
from tapegrad.readings.sympy import SYMPY

X, Y = sp.symbols("x y", real=True)


def text_of(form, symbols=(X,)):
    names = [str(symbol) for symbol in symbols]
    return write("f", code_of([form], list(symbols), names))


# -- text ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (X**3 / (sp.exp(X) - 1), "m.powc(x, exponent=3) / m.expm1(x)"),
        (1 / (1 + sp.exp(-X)), "m.sigmoid(x)"),
        (sp.log(1 + sp.exp(X)), "m.softplus(x)"),
        (sp.log(1 + X), "m.log1p(x)"),
        (X - (2 - X), "x - (2 - x)"),
        (-(X**2), "-m.square(x)"),
        (X / 3, "x / 3"),
        (sp.Abs(X), "m.abs(x)"),
        (sp.Piecewise((X, X > 1), (2, True)), "m.where(m.greater(x, 1), x, 2)"),
    ],
)
def test_expressions_as_rule_text(form, expected):
    if form == 2 * X - 2:  # SymPy has added up by itself
        expected = "2 * x - 2"
    assert text_of(form).source == f"def f(m, x):\n    return {expected}\n"


def test_constants_are_exact_in_every_reading():
    form = sp.sqrt(2) * sp.pi * X ** sp.Rational(1, 3) + sp.Rational(1, 7)
    text = text_of(form)
    assert {constant.form for constant in text.constants.values()} == {
        sp.sqrt(2) * sp.pi,
        sp.Rational(1, 3),
        sp.Rational(1, 7),
    }
    assert sp.simplify(text(SYMPY, X) - form) == 0
    m = reading("mpmath:60")
    exact = sp.N(form.subs(X, 2), 60)
    assert abs(sp.Float(str(text(m, m.number(2))), 60) - exact) < sp.Float("1e-57", 60)
    assert math.isclose(text(SCALAR, 2.0), float(exact), rel_tol=1e-15)


def test_short_floats_mean_the_decimals_that_they_show():
    assert meant(0.1) == sp.Rational(1, 10)
    assert meant(1 / 3) == sp.Rational(1, 3)
    assert meant(2 * math.pi) == 2 * sp.pi
    assert meant(-math.pi / 4) == -sp.pi / 4
    assert meant(math.sqrt(2) / 2) == sp.sqrt(2) / 2
    assert meant(math.log(2)) == sp.log(2)
    assert meant(1 / math.sqrt(2 * math.pi)) == 1 / sp.sqrt(2 * sp.pi)
    odd = 0.7390851332151607
    assert meant(odd) == sp.Rational(odd)


def test_numbers():
    assert number(3.0) == 3
    assert type(number(3.0)) is int
    assert isinstance(number(-0.0), Constant)
    assert math.copysign(1.0, number(-0.0).value) == -1.0
    assert number(True) is True
    assert Constant(0.1, sp.Rational(1, 10)).digits(30).startswith("0.1000000000")


def test_argument_names():
    assert argument_names(["x", "m", "y", "v3", "lambda"]) == [
        "x",
        "m_",
        "y_",
        "x3_",
        "x4_",
    ]


def test_partials_that_are_0_and_1_are_structural():
    f = tg.primitive("t_structural", 2 * X + Y, [X, Y])
    partials = f.row.partials(SCALAR, 0.0, 1.0, 1.0)
    assert [type(p) for p in partials] == [float, int]
    assert f.row.partials(NUMPY, None, np.ones(3), np.ones(3))[1] == 1


def test_equal_parts_of_partials_are_computed_once():
    f = tg.primitive("t_shared", sp.sin(X * Y) * sp.exp(X * Y), [X, Y])
    assert f.rule.count("m.exp(") <= 2  # once in the value, once in the partials


# -- forms -----------------------------------------------------------------------------


def test_every_form_is_the_same_function():
    for form in (X**3 / (sp.exp(X) - 1), (1 - sp.cos(X)) / X**2, 2 * sp.exp(X) - 2):
        ways = dict(forms(form))
        assert len(ways) > 2
        for name, way in ways.items():
            for at in (-2, sp.Rational(1, 3), 5):
                gap = sp.N((way - form).subs(X, at), 30)
                assert abs(gap) < 1e-25, (name, at)


def test_differences_that_cancel():
    expm1 = differences(3 * sp.exp(X) - 3 + X)
    assert "expm1" in str(expm1)
    assert differences(1 - sp.cos(X)) == 2 * sp.sin(X / 2) ** 2
    assert differences(1 - X) == 1 - X


def test_a_fraction_of_exponentials_overflows_nowhere():
    (name, way), *_ = balanced(sp.exp(X) / (sp.exp(X) + 1) ** 2)
    assert name == "by exp(-|x|)"
    text = text_of(way)
    with np.errstate(all="ignore"):
        found = text(NUMPY, np.array([-800.0, -300.0, 0.0, 300.0, 800.0]))
    assert found[2] == 0.25
    np.testing.assert_allclose(found[[1, 3]], math.exp(-300.0), rtol=1e-13)
    assert not np.isnan(found).any()


GAINS = {
    # what is written, by what factor at least the worst partial is better
    "t_gain_planck": (X**3 / (sp.exp(X) - 1), (1e-3, 600)),
    "t_gain_cos": (X - sp.sin(X), (1e-3, 1)),
    "t_gain_exp": ((1 - sp.exp(-X)) ** 2, (1e-6, 10)),
}


@pytest.mark.parametrize("name", GAINS)
def test_a_stable_form_is_found_and_its_gain_shown(name):
    form, domain = GAINS[name]
    f = tg.primitive(name, form, [X], domain=domain)
    slope = f.forms[1]
    assert slope.what == "d/dx"
    assert slope.name != "as written"
    assert slope.ulps * 8 < slope.written
    assert "as written" in str(f)
    # what is claimed is so
    exact = Witness(of_expression(form, [X])).derivative(list(slope.at), 0)
    plain = text_of(sp.diff(form, X))(SCALAR, *slope.at)
    mine = tg.grad(f)(*slope.at)
    assert abs(mine - exact) * 8 < abs(plain - exact)


def test_the_better_form_is_chosen_whatever_its_place():
    exact_at = Witness(of_expression(sp.exp(X) - 1, [X]))
    points = [[10.0**-k] for k in range(12)]
    exact = [exact_at.value(point) for point in points]
    bad = code_of([sp.exp(X) * 1 - sp.cos(X) ** 2 - sp.sin(X) ** 2], [X], ["x"])
    good = code_of([sp.exp(X) - 1], [X], ["x"])
    assert best("f", [("bad", bad), ("good", good)], points, exact)[0].name == "good"
    assert best("f", [("good", good), ("bad", bad)], points, exact)[0].name == "good"


def test_steps_of_constants_are_done_beforehand():
    # where(1 < 2, x, 1) * 1 is x, and where(2 < 1, x, 1) is 1
    steps = [
        (3, "less", (1, 2), {}),
        (4, "where", (3, 0, 1), {}),
        (5, "mul", (4, 1), {}),
        (6, "less", (2, 1), {}),
        (7, "where", (6, 0, 1), {}),
    ]
    code = folded(Code(steps, {0: "x"}, {1: 1, 2: 2}, [5, 7]))
    assert list(code.outputs) == [0, 1]
    assert code.needed() == []


def test_a_sweep_gives_all_partials_with_y():
    code = swept(sp.sqrt(X * Y), [X, Y], ["x", "y_"])
    text = write("partials", code, end="({0}, {1})")
    assert text.source.startswith("def partials(m, y, x, y_)")
    assert text(SCALAR, 2.0, 4.0, 1.0) == (0.25, 1.0)


# -- where it is looked at -------------------------------------------------------------


def test_points_are_inside_and_spread():
    points = spread([(0.0, math.inf), (-1.0, 1.0)], 200, "seed")
    assert all(x > 0 and -1 < y < 1 for x, y in points)
    assert min(x for x, _ in points) < 1e-30
    assert max(x for x, _ in points) > 1e30
    assert max(abs(y) for _, y in points) > 1 - 1e-6
    assert points == spread([(0.0, math.inf), (-1.0, 1.0)], 200, "seed")


def test_kinks_are_found_and_looked_at_closely():
    gap = text_of(X**2 - 2)
    found = kinks([lambda m, x: (gap(m, x),)], spread([(-9.0, 9.0)], 60, "a"))
    assert found
    assert all(math.isclose(abs(x), math.sqrt(2), rel_tol=1e-15) for (x,) in found)
    near = beside(found[0], [(-9.0, 9.0)])
    assert min(abs(x - found[0][0]) for (x,) in near) < 1e-10


def test_points_that_would_fill_the_memory_are_left_out():
    code = code_of([sp.exp(sp.exp(X))], [X], ["x"])
    assert moderate(code, [[1.0], [700.0], [1e9]]) == [[1.0], [700.0]]
    f = tg.primitive("t_tower", sp.exp(sp.exp(X)), [X])
    assert math.isclose(tg.grad(f)(1.0), math.exp(1.0 + math.e), rel_tol=1e-14)


def test_domains_and_pieces():
    code = code_of([sp.log(3 - 2 * X) + sp.Abs(X - 1)], [X], ["x"])
    assert domain_of(code) == [(-math.inf, 1.5)]
    found = pieces(code, domain_of(code))
    assert len(found) == 2
    left, right = (piece(Symbols)[0] for piece in found)
    t = next(iter(right.free_symbols))
    assert (left - 1).is_negative
    assert sp.limit(right, t, sp.oo) == sp.Rational(3, 2)


def test_intervals():
    assert given_domain((0, 1), ["x"]) == [(0.0, 1.0)]
    assert given_domain({"y": (0, 1)}, ["x", "y"])[1] == (0.0, 1.0)
    assert told(["x", "y", "z"], [(0.0, 1.0), (2.0, math.inf), (-math.inf, 3.0)]) == (
        "0 <= x <= 1, y >= 2, z <= 3"
    )
    assert gate_lines(["x"], [(0.0, math.inf)], [(0.0, math.inf)]) == []
    assert gate_lines(["x"], [(0.0, math.inf)], [(0.0, 0.5)]) == [
        "inside = m.less_equal(x, 0.5)"
    ]
    for bad in ((1, 0), (0,), "ab", (0, float("nan"))):
        with pytest.raises(tg.RecordError, match="low < high|intervals for"):
            given_domain([bad], ["x"])
    with pytest.raises(tg.RecordError, match="domain names"):
        given_domain({"z": (0, 1)}, ["x"])
