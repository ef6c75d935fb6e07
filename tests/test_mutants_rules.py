"""What planted faults in the rules showed to be tested nowhere else."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad import rules
from tapegrad.readings import SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.readings.numeric import CONSTANTS
from tapegrad.rules import TABLE, Primitive, shapes


def own_rows():
    """The rows of the package; other tests may have put theirs into the table."""
    for module in pkgutil.iter_modules(rules.__path__, "tapegrad.rules."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Primitive):
                yield value


def test_which_rows_are_judged_leniently():
    # helpers below the normal floats, sums that cancel near their zeros, ulps: one more
    # on these lists is a decision, never a slip
    helpers = {row.name for row in own_rows() if row.helper}
    assert helpers == {
        *("direction", "gaussian", "inversion", "polygamma"),
        *("sech2", "share", "sinc_slope"),
    }
    cancels = {row.name for row in own_rows() if row.cancels}
    assert cancels == {
        *("digamma", "inversion", "lgamma", "logaddexp", "polygamma"),
        *("sinc", "sinc_slope"),
    }


@pytest.mark.parametrize(
    ("x", "ddof", "expected"),
    [
        ([0.0, 1.0, 2.0], 3, np.inf),  # the middle one is the mean itself
        ([0.0, 1.0, 2.0], 4, np.inf),
        ([2.0, 2.0], 2, np.nan),
        ([2.0], 1, np.nan),
    ],
)
def test_deviations_without_freedom(x, ddof, expected):
    tape = tg.record(lambda x: np.std(x, ddof=ddof), np.array(x))
    assert tape(np.array(x)) == pytest.approx(expected, nan_ok=True)


def test_triangles_of_stacks_of_stacks_with_a_unit_diagonal():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 4, 5))
    tape = tg.record(
        lambda a, b: tg.linalg.solve_triangular(a, b, lower=True, unit_diagonal=True),
        a,
        b,
    )
    unit = np.tril(a, -1) + np.eye(4)
    assert np.allclose(unit @ tape(a, b), b, rtol=1e-12, atol=1e-12)


def test_a_slice_that_ends_outside_is_no_key():
    assert shapes.indexed((5,), ((0, 3, 2),)) == (3,)
    assert shapes.indexed((5,), ((4, 3, -2),)) == (3,)
    for key in ((0, 5, 2), (0, 4, 2), (4, 4, -2), (3, 2, 2), (-1, 1, 1), (0, -1, 1)):
        with pytest.raises(tg.ShapeError, match="out of bounds for axis 0 of size 5"):
            shapes.indexed((5,), (key,))


@pytest.mark.parametrize("order", range(4))
def test_the_closed_form_of_sinc_is_whole_at_0(order):
    t = sp.Symbol("t", real=True)
    slope = sp.diff(sp.sin(sp.pi * t) / (sp.pi * t), t, order)
    row = TABLE["sinc_slope"]
    assert row.sympy(sp, sp.Integer(0), n=order) == sp.limit(slope, t, 0)


def test_a_call_owns_a_slot_for_each_output():
    one = tg.record(lambda x: x * 2.0, 1.0)
    three = tg.record(lambda x: (x, x + 1.0, x * x), 1.0)
    call = TABLE["call"]
    assert [call.owns({"tape": tape}) for tape in (one, three)] == [1, 3]


def test_the_sign_of_nothing_is_positive_in_many_digits():
    big = reading("mpmath:50")
    for y, expected in ((2.0, 3), (0.0, 3), (-2.0, -3)):
        assert big.copysign(big.number(3.0), big.number(y)).value == expected


@pytest.mark.parametrize(
    "row",
    [row for row in own_rows() if row.kind == "elementwise"],
    ids=lambda row: row.name,
)
def test_single_precision_stays_single(row):
    x = np.array([0.5, 0.25], np.float32)
    for point in (x, x[0]):
        for params in row.params:
            with np.errstate(all="ignore"):
                found = getattr(MIXED, row.name)(*[point] * row.arity, **params)
            assert np.asarray(found).dtype == np.float32


def test_short_decimals_are_read_as_such_and_others_are_not():
    m = reading("sympy")
    assert m.number(0.123456) == sp.Rational(123456, 10**6)
    assert m.number(0.1234567) == sp.Float(0.1234567)
    assert not m.number(0.1234567).is_Rational


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_the_same_number_in_every_reading(name):
    if name == "nan":
        assert reading("sympy").const(name) is sp.nan
        return
    big = reading("mpmath:50").const(name).value
    assert float(big) == CONSTANTS[name] == SCALAR.const(name)
    if not name.startswith("digamma_root"):  # which has no closed form
        exact = reading("sympy").const(name)
        assert abs(sp.N(exact, 60) - sp.Float(str(big), 60)) < 1e-48
