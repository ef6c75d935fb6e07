"""The judge of floats, the points it is asked at, and units in the last place."""

from __future__ import annotations

import math
import sys

import mpmath
import numpy as np
import pytest
import sympy as sp

from tapegrad.proof.onestep import Instead, one_step, partials_tape, reading_for
from tapegrad.proof.oracle import (
    DOUBLE,
    SINGLE,
    Judge,
    contexts,
    judges,
    sizes,
    slack_of,
    slack_of_terms,
    ulps,
)
from tapegrad.proof.points import outside, spread
from tapegrad.proof.symbolic import held
from tapegrad.readings import NUMPY, SCALAR
from tapegrad.rules import TABLE

X = sp.Symbol("x", real=True)
ROWS = [row for row in TABLE if row.differentiable]
NAMES = [row.name for row in ROWS]


# -- the judge ---------------------------------------------------------------------


def test_a_closed_form_that_cancels_is_given_more_digits():
    judge = Judge([X], 1 - sp.tanh(X) ** 2)
    with mpmath.workdps(60):
        for x in (1e-3, 20.0, 300.0, -370.0):
            exact = judge([x])
            right = mpmath.sech(mpmath.mpf(x)) ** 2
            assert abs(exact - right) < abs(right) * mpmath.mpf(10) ** -29


def test_what_underflows_any_float_is_near_zero():
    assert float(Judge([X], 1 - sp.tanh(X) ** 2)([1e5])) == 0.0
    assert float(Judge([X], sp.exp(X))([-1e300])) == 0.0


@pytest.mark.parametrize(
    ("form", "x"),
    [(sp.log(X), -1.0), (sp.sqrt(X), -4.0), (1 / X, 0.0), (X ** sp.Rational(1, 3), -8)],
)
def test_there_is_no_real_value_outside_the_domain(form, x):
    assert Judge([X], form)([x]) is None


def test_the_precision_of_mpmath_is_left_alone():
    before = mpmath.mp.dps
    Judge([X], 1 - sp.tanh(X) ** 2)([300.0])
    assert mpmath.mp.dps == before


def test_static_parameters_are_the_floats_themselves():
    value, _ = judges(TABLE["powc"], {"exponent": 0.1}, (2.0,))
    with mpmath.workdps(50):
        assert abs(value((2.0,)) - mpmath.mpf(2) ** mpmath.mpf(0.1)) < 1e-45


def test_conditions_are_no_variables():
    value, partials = judges(TABLE["where"], {}, (True, 2.0, 3.0))
    assert partials[0] is None
    assert float(value((True, 2.0, 3.0))) == 2.0
    assert [float(p((True, 2.0, 3.0))) for p in partials[1:]] == [1.0, 0.0]


def test_jumps_are_the_pieces_beside_them():
    _, (at,) = judges(TABLE["relu"], {}, (2.0,))
    assert [float(at([x])) for x in (3.0, -3.0)] == [1.0, 0.0]


# -- ulps --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "exact", "expected"),
    [
        (1.0, 1.0, 0.0),
        (math.nextafter(1.0, 2.0), 1.0, 1.0),
        (math.nextafter(1.0, 0.0), 1.0, 0.5),
        (-1.0, 1.0, 2.0**53),
        (5e-324, 0.0, 1.0),
        (0.0, 5e-324, 1.0),
        (1e-310, 1e-310 + 3 * 5e-324, 3.0),
        (math.inf, sys.float_info.max, 1.0),
        (sys.float_info.max, math.inf, 1.0),
        (math.inf, math.inf, 0.0),
        (math.inf, -math.inf, 2.0**54),
        (math.nan, None, 0.0),
        (0.0, None, math.inf),
        (math.inf, None, 0.0),
        (math.nan, 1.0, math.inf),
    ],
)
def test_ulps(found, exact, expected):
    ctx = contexts()[0]
    assert ulps(found, exact if exact is None else ctx.mpf(exact)) == expected


def test_overflow_is_judged_as_if_exponents_went_on():
    ctx = contexts()[0]
    assert ulps(math.inf, ctx.mpf(10) ** 400) == 0.0
    assert ulps(sys.float_info.max, ctx.mpf(10) ** 400) == 1.0


def test_slack_is_for_subnormal_primals_alone():
    exact = contexts()[0].mpf(3)
    assert slack_of(1.0, exact) == 0
    assert slack_of(0.0, exact) == 0
    assert slack_of(math.nan, exact) == 0
    assert slack_of(1e-310, None) == 0
    assert float(slack_of(5e-324, exact)) == 3.0
    assert float(slack_of(2.0**-1064, exact)) == 3.0 / 1024


def test_the_terms_of_a_sum_widen_its_unit_and_nothing_else_does():
    ctx = contexts()[0]
    assert slack_of_terms(None, ctx.mpf(1)) == 0
    assert slack_of_terms(ctx.mpf(1), None) == 0
    assert slack_of_terms(ctx.mpf(1), ctx.inf) == 0
    assert slack_of_terms(ctx.mpf(3), ctx.mpf(3)) == 0
    slack = slack_of_terms(ctx.mpf(2) ** -20, ctx.mpf(1))
    assert ulps(2.0**-20 + 2.0**-50, ctx.mpf(2) ** -20, slack) == 4.0
    assert ulps(2.0**-20 + 2.0**-50, ctx.mpf(2) ** -20) == 2.0**22


def test_which_rows_have_terms():
    assert sizes(TABLE["tanh"], {}, (1.0,)) is None
    value, (partial,) = sizes(TABLE["lgamma"], {}, (1.0,))
    # on the left digamma is psi(1 - x) - pi cot(pi x), and these are the terms
    assert abs(float(partial.roughly((-0.504,))) - 0.08) < 0.01
    assert float(value.roughly((2.5,))) == pytest.approx(2.5 * 0.7031566406452432)


def test_what_jumps_is_constant_between_jumps():
    point = (7.0, 2.0)
    _, (by_x, by_y) = judges(TABLE["mod"], {}, point)
    assert [float(by_x(point)), float(by_y(point))] == [1.0, -3.0]
    x = sp.Symbol("x", real=True)
    form, jumps = held(sp.sign(x) * sp.floor(x / 2) * x)
    assert len(jumps) == 2
    assert form.diff(x).xreplace(jumps) == sp.sign(x) * sp.floor(x / 2)


def test_float32_has_units_of_its_own():
    ctx = contexts()[0]
    one = ctx.mpf(1)
    assert ulps(1 + 2.0**-23, one, form=SINGLE) == 1.0
    assert ulps(1 + 2.0**-23, one, form=DOUBLE) == 2.0**29
    assert ulps(0.0, ctx.ldexp(1, -149), form=SINGLE) == 1.0
    assert ulps(math.inf, ctx.mpf(10) ** 39, form=SINGLE) == 0.0
    assert slack_of(2.0**-130, one, SINGLE) > 0
    assert slack_of(2.0**-130, one) == 0


# -- points ------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_points_are_inside_the_domain_and_spread(row):
    points = spread(row, 400)
    assert len(points) == 400
    assert points == spread(row, 400)
    assert points != spread(row, 400, seed=1)
    for point in points:
        for x, (low, high) in zip(point, row.domain, strict=True):
            assert low <= x <= high
    last = np.abs([point[-1] for point in points])
    low, high = row.domain[-1]
    if low < 1:
        assert (last < sys.float_info.min).any(), "subnormal ones"
    if high == math.inf:
        assert (last > 1e250).any(), "huge ones"
    assert ((last > 0.1) & (last < 10)).mean() > 0.1
    if row.domain[-1][0] < 0:
        assert {math.copysign(1, point[-1]) for point in points} == {1.0, -1.0}
    if row.kind == "select":
        assert {point[0] for point in points} == {True, False}


@pytest.mark.parametrize("name", ["tanh", "pow", "where", "acosh"])
def test_points_in_single_precision(name):
    row = TABLE[name]
    points = spread(row, 300, single=True)
    assert len(points) == 300
    assert points == spread(row, 300, single=True)
    sizes = [abs(x) for point in points for x in point if not isinstance(x, bool)]
    assert all(float(np.float32(x)) == x for x in sizes)
    assert all(0 < x < 2.0**128 for x in sizes)
    assert max(sizes) > 2.0**64
    for point in points:
        for x, (low, high) in zip(point, row.domain, strict=True):
            assert low <= x <= high


def test_points_outside():
    assert outside(TABLE["exp"], 10) == []
    assert all(x < 0 for (x,) in outside(TABLE["log"], 50))
    assert all(x < 0 for x, _ in outside(TABLE["pow"], 50))


def test_points_of_a_bounded_domain_come_near_its_ends():
    import dataclasses

    row = dataclasses.replace(TABLE["sin"], name="asin", domain=((-1.0, 1.0),))
    found = [x for (x,) in spread(row, 400)]
    assert all(-1 <= x <= 1 for x in found)
    assert any(0 < 1 - x < 1e-9 for x in found)
    assert any(0 < 1 + x < 1e-9 for x in found)


# -- one step ----------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_one_step_tapes_obey_the_grammar(row):
    point = (True, 2.0, 3.0) if row.kind == "select" else (2.0, 3.0, 4.0)[: row.arity]
    for params in row.params:
        tape = one_step(row, params, point)
        tape.check()
        grown = partials_tape(tape, row)
        grown.check()
        assert len(grown.outputs) == len(tape.inputs)


def test_a_row_of_the_table_is_read_by_the_reading_itself():
    assert reading_for(SCALAR, TABLE["sin"]) is SCALAR


def test_another_row_is_read_in_its_place():
    import dataclasses

    row = dataclasses.replace(
        TABLE["relu"], body=lambda m, x: 7 * x, partials=lambda m, y, x: (7,)
    )
    for m in (SCALAR, NUMPY):
        mine = Instead(m, row)
        assert mine.relu(2.0) == 14.0
        assert mine.evaluator(TABLE["relu"])(2.0) == 14.0
        assert mine.partials(TABLE["relu"], 14.0, 2.0) == (7,)
        assert mine.exp(0.0) == 1.0
    tape = partials_tape(one_step(row, {}, (2.0,)), row)
    assert tape(5.0) == [7.0]
