"""Matrices with entries that are not finite: an answer or an error, and soon."""

import numpy as np
import pytest

import tapegrad as tg

# LAPACK's search for the singular values of this one does not end.
ENDLESS = np.array([[3.2, 0.6, -0.8], [np.inf, 3.7, -0.03], [-1.2, -0.8, 2.6]])
NAN = np.array([[np.nan, 1.0], [1.0, 2.0]])


@pytest.mark.parametrize("matrix", [ENDLESS, NAN, -ENDLESS, ENDLESS.astype("f4")])
def test_singular_values_are_nan(matrix):
    tape = tg.record(np.linalg.svdvals, np.eye(len(matrix), dtype=matrix.dtype))
    for values in (tape(matrix), tape.compile()(matrix)):
        assert values.shape == (len(matrix),)
        assert values.dtype == matrix.dtype
        assert np.isnan(values).all()


def test_of_a_stack_each_stands_for_itself():
    stack = np.stack([ENDLESS, np.diag([3.0, 2.0, 1.0])])
    tape = tg.record(np.linalg.svdvals, stack)
    for values in (tape(stack), tape.compile()(stack)):
        assert np.isnan(values[0]).all()
        np.testing.assert_allclose(values[1], [3.0, 2.0, 1.0], rtol=1e-14)


@pytest.mark.parametrize("matrix", [ENDLESS, NAN])
def test_the_slope_of_a_determinant(matrix):
    tape = tg.record(np.linalg.det, np.eye(len(matrix)) + 0.5)
    for gradient in (tape.gradient(matrix), tape.compile().gradient(matrix)):
        assert not np.isfinite(gradient).all()
    stack = np.stack([matrix, np.zeros_like(matrix)])
    several = tg.record(lambda a: np.linalg.det(a).sum(), stack).gradient(stack)
    assert not np.isfinite(several[0]).all()
    assert not several[1].any()
