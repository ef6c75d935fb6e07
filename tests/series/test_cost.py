"""What a series costs: multiplications of coefficients, counted."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.readings.mpmath import Big
from tapegrad.rules import INF, REAL, TABLE

SMOOTH = [row for row in TABLE if row.partials is not None and not row.whole]
ROWS = [row for row in SMOOTH if not row.digest]  # the table's own
POINTS = {
    REAL: 0.4,
    (0.0, INF): 1.1,
    (-1.0, 1.0): 0.1,
    (1.0, INF): 1.2,
    (0.0, 1.0): 0.2,
    (-1.0, INF): 0.1,
}
# Each derivative is a row of its own, without an end: gamma satisfies no differential
# equation (Hölder 1887), and that of sinc is singular at 0.
TOWERS = {"lgamma", "digamma", "polygamma", "sinc", "sinc_slope"}


@pytest.fixture
def products(monkeypatch):
    """Counts the products of two coefficients."""
    counted = [0]
    plain = Big.__mul__

    def times(self, other):
        counted[0] += isinstance(other, Big)
        return plain(self, other)

    monkeypatch.setattr(Big, "__mul__", times)
    return counted


def count(counted, f, x0, order, *, dense):
    ones = (1.0,) * len(x0)
    higher = [(0.5**k,) * len(x0) for k in range(2, order + 1)] if dense else []
    counted[0] = 0
    tg.taylor(f, x0, ones, order, higher=higher, arithmetic="mpmath:20")
    return counted[0]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_cost_of_a_row_is_quadratic(row, products):
    x0 = tuple(POINTS[i] + 0.05 * k for k, i in enumerate(row.domain))
    if row.kind == "select":
        x0 = x0[1:]

    def f(*xs):
        fixed = (True,) if row.kind == "select" else ()
        return apply(row, *fixed, *xs, **row.params[-1])

    few, many = (count(products, f, x0, order, dense=True) for order in (15, 30))
    if row.name in TOWERS:
        # as many rows as orders, along a path of many terms
        assert many > 5 * few
        few, many = (count(products, f, x0, order, dense=False) for order in (15, 30))
    # a cubic would be 8 times as much, a quadratic 4 times, with lower terms less
    assert many <= 4.6 * few + 30


def test_a_product_of_two_series_has_a_product_for_each_pair(products):
    order = 20
    found = count(products, lambda x, y: x * y, (1.0, 2.0), order, dense=True)
    assert found == (order + 1) * (order + 2) // 2


def test_sine_and_cosine_are_one_system(products):
    order = 20
    found = count(products, np.sin, (1.0,), order, dense=True)
    # two rows, one sum of k products each for every order k, but the last of cos
    assert found == order * (order + 1) // 2 + (order - 1) * order // 2


def test_a_whole_power_is_made_by_squaring(products):
    order = 20
    found = count(products, lambda x: x**8, (1.0,), order, dense=True)
    assert found == 3 * (order + 1) * (order + 2) // 2


def test_a_line_has_no_products_beyond_its_two_terms(products):
    order = 20
    found = count(products, np.exp, (1.0,), order, dense=False)
    assert found == order
