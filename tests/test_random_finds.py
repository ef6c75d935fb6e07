"""What random programs found, each as small as it gets."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import gradient_tape
from tapegrad.readings import reading
from tapegrad.rules import TABLE


def test_a_tape_of_doubles_takes_a_value_of_single_precision():
    inner = tg.record(lambda a: np.sin(a) * a, 0.5)
    x = np.array([0.25, 0.5], np.float32)
    tape = tg.record(lambda x: inner(np.sum(x)) * 2.0, x)
    sweeps.flat(tape).check()
    assert tape(x) == 2.0 * inner(0.75)
    expected = np.full(2, 2.0 * inner.gradient(0.75), np.float32)
    found = tape.gradient(x)
    assert found.dtype == np.float32
    assert found.tolist() == expected.tolist()
    eager = Value(x)
    (inner(np.sum(eager)) * 2.0).backward()
    assert eager.grad.dtype == np.float32
    assert eager.grad.tolist() == expected.tolist()


def test_native_code_gathers_from_a_number_that_was_spread():
    """A number in a register has no address to gather from."""

    def f(x, y, i, j):
        wide = np.broadcast_to(np.sin(y) * 2.0, (3,))
        return np.sum(wide[i]) * np.sum(x[i, j])

    x = np.arange(12.0).reshape(4, 3)
    i, j = np.array([0, 2, 2, 0, 1]), np.array([1, 1, 0, 1, 2])
    tape = tg.record(f, x, 0.5, i, j)
    value, gradient = tape.compile().value_and_gradient(x, 0.5, i, j)
    assert value == tape(x, 0.5, i, j)
    for found, expected in zip(gradient, tape.gradient(x, 0.5, i, j), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)

    def g(x, i, j):
        first = apply(TABLE["gather"], x, i, j, key=("a", "a"))
        return -np.sum(apply(TABLE["scatter_add"], first, j, key=("a",), shape=(3,)))

    tape = tg.record(g, x, i, j)
    _, gradient = tape.compile().value_and_gradient(x, i, j)
    np.testing.assert_array_equal(gradient, tape.gradient(x, i, j))


@pytest.mark.parametrize("f", [np.sign, tg.relu, lambda v: np.copysign(v, -1.0)])
def test_kinks_of_one_number_of_single_precision(f):
    x = np.array([-0.5, -0.25], np.float32)
    tape = tg.record(lambda x: f(np.sum(x)), x)
    value = tape(x)
    assert type(value) is np.float32
    assert value == f(-0.75)
    slope = tg.record(f, -0.75).gradient(-0.75)
    assert tape.gradient(x).tolist() == [slope, slope]
    assert tape.gradient(x).dtype == np.float32


def test_a_derivative_inside_a_recording_is_silent():
    def f(x):
        return tg.grad(lambda t: np.sum(np.exp(t) * x))(x)

    x = np.array([1.0, 1e5])
    assert tg.record(f, x)(x).tolist() == [math.e, math.inf]


def test_the_sign_of_a_determinant_is_a_value():
    """A plain number would lose the derivative of what is written beside it."""

    def f(a, x):
        signs = -np.linalg.slogdet(a).sign
        signs[0] = x * x
        return np.sum(signs) * x

    a = np.array([[[2.0, 0.5], [-1.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]]])
    tape = tg.record(f, a, 0.75)
    leaf, x = Value(a), Value(0.75)
    y = f(leaf, x)
    y.backward()
    assert y.data == tape(a, 0.75) == 0.75**3 + 0.75
    assert x.grad == tape.gradient(a, 0.75)[1] == 3 * 0.75**2 + 1
    assert not np.any(leaf.grad)
    one = np.linalg.slogdet(Value(a[1])).sign
    assert isinstance(one, Value)
    assert one.data == -1.0
    # what is no float stays plain: places and truth values
    assert type(np.argmax(Value(a))) is np.int64
    assert type(np.argsort(Value(a))) is np.ndarray


def test_many_digits_are_not_more_than_asked_for():
    """mpmath's digamma gives some to spare; rounded once more it is another number."""
    m = reading("mpmath:50")
    for row in TABLE:
        if row.whole or row.kind in {"structure", "predicate", "select"}:
            continue
        if row.digest:  # another test's
            continue
        for at in (0.53, 1.75, -0.73, 30.5, -20.25):
            xs = [m.number(at), m.number(2.5), m.number(0.25)][: row.arity]
            for params in row.params:
                y = getattr(m, row.name)(*xs, **params).value
                assert +y == y or m.ctx.isnan(y), (row.name, at)


def test_the_least_of_many_digits_is_among_them():
    def f(x):
        y = apply(TABLE["digamma"], x)
        return np.sum(np.min(y, axis=1)) + np.sum(np.max(y, axis=1))

    x = np.array([[1.75, 0.73], [0.53, 4.5]])
    tape = tg.record(f, x)
    expected = tg.record(lambda x: np.sum(apply(TABLE["digamma"], x)), x).gradient(x)
    assert tape.gradient(x).tolist() == expected.tolist()
    _, found = gradient_tape(tape)(x, arithmetic="mpmath:50")
    swept = tape.gradient(x, arithmetic="mpmath:50")
    assert found.tolist() == swept.tolist()
    np.testing.assert_allclose(found.astype(float), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shares_of_a_clip_at_nan(dtype):
    """No share holds there: 0/0 of Python's numbers was an error."""
    tape = tg.record(lambda x: np.clip(x[0], 0.5, x[1]), np.array([1.0, 2.0], dtype))
    for place in (0, 1):
        x = np.array([1.0, 2.0], dtype)
        x[place] = np.nan
        assert np.isnan(tape.gradient(x)).all()
        assert np.isnan(tape.adjoint_tape()(x)).all()
