"""Second and third derivatives against the judge, scaled by what operands lose."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from tapegrad.proof.orders import BETWEEN, LIMITS, Higher, higher, within
from tapegrad.rules import TABLE


def test_both_orders_of_operands_are_judged():
    made = Higher(TABLE["mul"], {}, (2.0, 3.0), 2)
    second = {by: y for by, (y, _) in made.found((2.0, 3.0)).items()}
    assert second == {(0, 0): 0, (0, 1): 1, (1, 0): 1, (1, 1): 0}
    assert [by for by, _ in made.figures((2.0, 3.0))].count((0, 1)) == 1
    assert dict(made.figures((2.0, 3.0))) == dict.fromkeys(made.found((2.0, 3.0)), 0.0)


def test_conditions_are_no_operands():
    made = Higher(TABLE["where"], {}, (True, 2.0, 3.0), 3)
    places = set(itertools.product((1, 2), repeat=3))
    assert set(made.found((True, 2.0, 3.0))) == places


@pytest.mark.parametrize("name", ["tanh", "pow", "atan2", "sinc_slope", "where"])
def test_rows_hold(name):
    rows = list(higher(TABLE[name], 40))
    assert [row.check for row in rows] == ["scaled, order 2", "scaled, order 3"]
    for row, order in zip(rows, LIMITS, strict=True):
        assert row.ok, row
        assert row.limit == LIMITS[order]
        assert row.count


def test_a_derivative_that_cancels_is_refuted_with_its_point():
    product = dataclasses.replace(
        TABLE["asin"], partials=lambda m, y, x: (1 / m.sqrt((1 - x) * (1 + x)),)
    )
    second, _ = higher(product, 60)
    assert second.status == "refuted"
    assert second.detail == "d2/dx1 dx1"
    assert abs(second.at[0]) < 1e-3, "its second derivative is x there"


def test_a_factor_is_refuted_in_third_order():
    wrong = dataclasses.replace(
        TABLE["sin"],
        # right at 0 alone; so are both derivatives that follow
        partials=lambda m, y, x: (m.cos(x) + y * y * y,),
    )
    assert {row.status for row in higher(wrong, 20)} == {"refuted"}


def test_operands_that_leave_the_floats_are_left_out():
    points = [(1.0,), (1e-60,), (1e40,), (True, 2.0)]
    assert within(points, BETWEEN[2]) == [(1.0,), (1e40,), (True, 2.0)]
    assert within(points, BETWEEN[3]) == [(1.0,), (True, 2.0)]


def test_what_is_made_of_subnormal_slopes_is_left_out(monkeypatch):
    points = [(0.5,), (27.0,), (-0.25,)]  # exp(-27^2) is subnormal
    monkeypatch.setattr("tapegrad.proof.orders.spread", lambda *_: points * 10)
    for row in higher(TABLE["erf"], 10):
        assert (row.count, row.status) == (7, "held")
