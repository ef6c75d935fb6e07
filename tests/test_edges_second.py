"""Second and higher derivatives at edges, and tapes of odd shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg

INF, NAN = math.inf, math.nan


def taped(f):
    """Recorded elsewhere than where it is asked, so that the replay is tested."""
    return tg.record(f, 1.625)


def same(found, expected):
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(found, expected, rel_tol=1e-15, abs_tol=0.0)


def hessian(f, at):
    return taped(f).hessian(at)


def gradient_of_the_adjoint_tape(f, at):
    return taped(f).adjoint_tape().gradient(at)


def native_second(f, at):
    return taped(f).adjoint_tape().compile().gradient(at)


def mpmath_second(f, at):
    return float(taped(f).hessian(at, arithmetic="mpmath:50"))


def grad_of_grad(f, at):
    return float(tg.grad(tg.grad(f))(at))


def forward_over_reverse(f, at):
    return taped(f).hvp((at,), (1.0,))


SECOND_WAYS = {
    "hessian": hessian,
    "gradient of the adjoint tape": gradient_of_the_adjoint_tape,
    "native": native_second,
    "mpmath": mpmath_second,
    "grad of grad": grad_of_grad,
    "forward over reverse": forward_over_reverse,
}
SECOND = {
    "(exp(x)-1)^2": (lambda x: (np.exp(x) - 1) ** 2, 0.0, 2.0),
    "x*x": (lambda x: x * x, 0.0, 2.0),
    "x**2": (lambda x: x**2, 0.0, 2.0),
    "x**3": (lambda x: x**3, 0.0, 0.0),
    "x**1": (lambda x: x**1, 0.0, 0.0),
    "tanh": (np.tanh, 0.0, 0.0),
    "tanh(1000)": (np.tanh, 1000.0, 0.0),
    "abs": (abs, 0.0, 0.0),
    "relu": (lambda x: x.relu(), 0.0, 0.0),
    "linear": (lambda x: 3 * x, 1.0, 0.0),
    "identity": (lambda x: x, 1.0, 0.0),
    "log": (np.log, 2.0, -0.25),
    "log outside": (np.log, -2.0, NAN),
    "bad arm log": (lambda x: tg.where(x > 0, np.log(x), x * x), 0.0, 2.0),
    "bad arm sqrt": (lambda x: tg.where(x > 0, np.sqrt(x), x * x), -1.0, 2.0),
    "bad arm exp": (lambda x: tg.where(x > 1, x**3, np.exp(1000 * x)), 2.0, 12.0),
    "bad arm 0/0": (lambda x: tg.where(x == 0, 1.0, np.sin(x) / x), 0.0, 0.0),
    "expm1": (np.expm1, 0.0, 1.0),
    "log1p at -1": (np.log1p, -1.0, -INF),
    "asin near 0": (np.arcsin, 1e-9, 1e-9),
    "acos near 0": (np.arccos, 1e-9, -1e-9),
    "atan near 0": (np.arctan, 1e-9, -2e-9),
    "asinh, far": (np.arcsinh, 1e100, -1e-200),
    "sinc at 0": (lambda x: x.sinc(), 0.0, -3.289868133696453),
    "erf at 0": (lambda x: x.erf(), 0.0, 0.0),
    "sigmoid at 0": (lambda x: x.sigmoid(), 0.0, 0.0),
    "softplus at 0": (lambda x: x.softplus(), 0.0, 0.25),
    "softplus, far": (lambda x: x.softplus(), 800.0, 0.0),
    "lgamma at 1": (lambda x: x.lgamma(), 1.0, 1.6449340668482264),
    "floor": (np.floor, 2.0, 0.0),
    "hypot": (lambda x: np.hypot(x, 4.0), 3.0, 0.128),
    "atan2": (lambda x: np.arctan2(x, 1.0), 1.0, -0.5),
    "logaddexp": (lambda x: np.logaddexp(x, 0.0), 0.0, 0.25),
    "nested": (
        lambda x: tg.where(x > 0, tg.where(x > 1, np.log(x - 1), x**3), 2 * x),
        0.5,
        3.0,
    ),
}


@pytest.mark.parametrize("second", SECOND_WAYS)
@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name, second):
    f, at, expected = SECOND[name]
    assert same(float(SECOND_WAYS[second](f, at)), expected)


def test_tanh_at_0_in_orders_1_to_5():
    tape = tg.record(np.tanh, 0.5)
    f = np.tanh
    for expected in (1.0, 0.0, -2.0, 0.0, 16.0):
        assert tape.gradient(0.0) == expected
        assert tape.gradient(0.0, arithmetic="mpmath:50") == expected
        assert tape.compile().gradient(0.0) == expected
        f = tg.grad(f)
        assert f(0.0) == expected
        tape = tape.adjoint_tape()


def test_mixed_second_derivatives_of_a_power_at_a_zero_base():
    found = tg.record(lambda x, y: x**y, 1.5, 2.5).hessian(1.0, 2.0)
    np.testing.assert_allclose(found, [[2.0, 1.0], [1.0, 0.0]], rtol=1e-15)


# -- shapes of tapes ---------------------------------------------------------------


def test_an_empty_tape_is_the_identity():
    tape = tg.record(lambda x: x, 2.0)
    assert len(tape) == 1
    assert tape(5.0) == 5.0
    assert tape.value_and_gradient(5.0) == (5.0, 1.0)
    assert tape.hessian(5.0) == 0.0
    assert tape.adjoint_tape()(5.0) == 1.0
    assert tape.compile().value_and_gradient(5.0) == (5.0, 1.0)
    assert tape.jvp(5.0, 3.0) == (5.0, 3.0)


def test_a_constant_function_has_derivative_zero():
    tape = tg.record(lambda x, y: 7.0, 1.0, 2.0)
    assert tape.value_and_gradient(3.0, 4.0) == (7.0, (0.0, 0.0))
    assert tape.compile().value_and_gradient(3.0, 4.0) == (7.0, (0.0, 0.0))
    assert tape.jvp((3.0, 4.0), (1.0, 1.0)) == (7.0, 0.0)


def test_a_duplicate_output_counts_twice():
    def twice(x):
        y = x * x
        return [y, y, x]

    tape = tg.record(twice, 2.0)
    assert tape(3.0) == [9.0, 9.0, 3.0]
    assert tape.jacobian(3.0) == [6.0, 6.0, 1.0]
    assert tape.vjp(3.0, [1.0, 1.0, 0.0])[1] == 12.0
    assert tape.vjp(3.0, [1.0, 10.0, 100.0])[1] == 166.0


def test_zeros_of_unused_inputs_are_exact():
    tape = tg.record(lambda x, y, z: x * 2, 1.0, 2.0, 3.0)
    for gradient in (
        tape.gradient(1.0, INF, NAN),
        tape.compile().gradient(1.0, INF, NAN),
        tape.adjoint_tape()(1.0, INF, NAN),
    ):
        assert list(gradient) == [2.0, 0.0, 0.0]
        assert all(math.copysign(1.0, g) > 0 for g in gradient)
