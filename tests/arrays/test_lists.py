"""Lists and tuples of numbers as operands: arrays, as NumPy takes them."""

from __future__ import annotations

import operator

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value

X = np.array([3.0, 2.0])
LISTS = {"list": [2.0, 5.0], "tuple": (1, 3), "nested": [[1.0], [2.0]]}
ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "mod", "floordiv")
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


@pytest.mark.parametrize("given", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name, given):
    f = getattr(operator, name)
    for value, plain in ((Value(X), X), (Value(3.0), np.float64(3.0))):
        np.testing.assert_array_equal(f(value, given).data, f(plain, np.array(given)))
        np.testing.assert_array_equal(f(given, value).data, f(np.array(given), plain))
    tape = tg.record(lambda x: f(x, given), X)
    np.testing.assert_array_equal(tape(X + 1), f(X + 1, np.array(given)))


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons(name):
    f = getattr(operator, name)
    for given in ([3.0, 0.0], (4, 2)):
        np.testing.assert_array_equal(f(Value(X), given), f(X, np.array(given)))
        np.testing.assert_array_equal(f(given, Value(X)), f(np.array(given), X))
        tape = tg.record(lambda x, given=given: f(x, given), X)
        np.testing.assert_array_equal(tape(X), f(X, np.array(given)))


def test_a_number_equals_no_list():
    assert (Value(2.0) == [2.0]) is False
    assert Value(2.0) != [2.0]


@pytest.mark.parametrize("given", [["a", "b"], [1.0, [2.0]], [None, 1.0], [1j, 2.0]])
def test_lists_of_something_else(given):
    for value in (Value(X), Value(1.0)):
        with pytest.raises(tg.RecordError, match="real number"):
            value * given
        with pytest.raises(tg.RecordError, match="real number"):
            given - value


def test_a_gradient_and_a_misfit():
    x = Value(X)
    np.sum(x * [2.0, 5.0]).backward()
    np.testing.assert_array_equal(x.grad, [2.0, 5.0])
    with pytest.raises(tg.ShapeError, match=r"\(2,\) and \(3,\)"):
        x * [1.0, 2.0, 3.0]
