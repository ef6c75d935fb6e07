"""What planted faults in the rules showed to be tested nowhere else."""

from __future__ import annotations

import importlib
import pkgutil

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import rules
from tapegrad.rules import Primitive


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
