"""Taylor mode: coefficients of high order, against closed forms and mpmath."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg


def test_the_coefficients_of_exp() -> None:
    found = tg.taylor(np.exp, 0.0, 1.0, 20)
    wanted = [1 / math.factorial(k) for k in range(21)]
    assert found.shape == (21,)
    assert found == pytest.approx(wanted, rel=1e-15)


def test_derivatives_are_coefficients_times_factorials() -> None:
    found = tg.taylor(np.sin, 0.0, 2.0, 5, derivatives=True)
    assert found == pytest.approx([0.0, 2.0, 0.0, -8.0, 0.0, 32.0], rel=1e-15)


def test_a_polynomial_ends() -> None:
    assert tg.taylor(lambda x: x**3, 2.0, 1.0, 6).tolist() == [8, 12, 6, 1, 0, 0, 0]
