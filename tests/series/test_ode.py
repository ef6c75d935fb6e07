"""`tg.taylor_ode`: the series of solutions, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import BranchChanged, DomainError, RecordError, ShapeError
from tapegrad.readings.mpmath import Big

NUMBERS = {
    "growth": (lambda y: y, 1.0, [1 / math.factorial(k) for k in range(21)]),
    "blow-up": (lambda y: y * y, 1.0, [1.0] * 21),
    "tangent": (lambda y: 1 + y * y, 0.0, tg.taylor(np.tan, 0.0, 1.0, 20)),
    "logistic": (lambda y: y * (1 - y), 0.5, tg.taylor(tg.sigmoid, 0.0, 1.0, 20)),
    "root": (lambda y: 0.5 / y, 1.0, tg.taylor(np.sqrt, 1.0, 1.0, 20)),
    "logarithm": (lambda y: np.exp(-y), 0.0, tg.taylor(np.log1p, 0.0, 1.0, 20)),
    "constant": (lambda y: 2.0, 1.0, [1.0, 2.0] + [0.0] * 19),
    "rest": (np.sin, 0.0, [0.0] * 21),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_solution_in_closed_form(name):
    f, y0, wanted = NUMBERS[name]
    found = tg.taylor_ode(f, y0, 20)
    assert found.shape == (21,)
    assert found == pytest.approx(list(wanted), rel=1e-14, abs=1e-18)


def test_a_linear_system_is_the_exponential_of_its_matrix():
    rng = np.random.default_rng(0)
    a, y = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    found = tg.taylor_ode(lambda y: a @ y, y, 15)
    assert found.shape == (16, 3, 3)
    wanted = y
    for k in range(16):
        np.testing.assert_allclose(found[k], wanted, rtol=1e-12, atol=1e-15)
        wanted = a @ wanted / (k + 1)


def test_a_nesting_keeps_its_names():
    def pendulum(state):
        return {"angle": state["speed"], "speed": -np.sin(state["angle"])}

    found = tg.taylor_ode(pendulum, {"angle": 1.0, "speed": 0.5}, 20)
    assert sorted(found) == ["angle", "speed"]
    t = 0.3
    angle, speed = (np.polyval(found[name][::-1], t) for name in ("angle", "speed"))
    assert speed**2 / 2 - math.cos(angle) == pytest.approx(
        0.125 - math.cos(1.0), abs=1e-15
    )


def test_time_is_a_component():
    found = tg.taylor_ode(lambda y: (1.0, np.cos(y[0])), (0.0, 0.0), 9)
    assert found[1] == pytest.approx(tg.taylor(np.sin, 0.0, 1.0, 9), rel=1e-15)


def test_rules_and_loops_on_the_right_side():
    def f(y):
        z = tg.fori_loop(0, 3, lambda i, c: np.sin(c) + y, y)
        w = np.linalg.solve(np.array([[2.0, 1.0], [1.0, 3.0]]) + y, np.ones((2, 1)))
        return z * w.sum() + tg.where(y > 0, np.log1p(y), -y)

    y0 = 0.4
    found = tg.taylor_ode(f, y0, 6)
    # what the series says of itself: (k + 1) y_(k+1) is the series of f along it
    rates = tg.taylor(f, y0, found[1], 5, higher=list(found[2:6]))
    assert rates == pytest.approx([k * found[k] for k in range(1, 7)], rel=1e-12)


def test_a_tape_is_used_again():
    tape = tg.record(lambda y: y * y, 1.0)
    assert tg.taylor_ode(tape, 0.5, 3).tolist() == [0.5, 0.25, 0.125, 0.0625]


def test_many_digits():
    found = tg.taylor_ode(lambda y: y, 1.0, 25, arithmetic="mpmath:60")
    assert str(1 / found[25]).rstrip("0").rstrip(".") == str(math.factorial(25))


def test_float32_stays_float32():
    found = tg.taylor_ode(lambda y: y * y, np.ones(2, np.float32), 5)
    assert found.dtype == np.float32
    assert found.tolist() == [[1, 1]] * 6


def test_order_0_is_the_point():
    assert tg.taylor_ode(np.sin, 0.3, 0).tolist() == [0.3]


def test_a_long_chain_does_not_recurse():
    def f(y):
        z = y
        for _ in range(3000):
            z = np.sin(z) + 0.5 * z
        return z

    found = tg.taylor_ode(f, 0.3, 3)
    assert found[1] == pytest.approx(f(0.3), rel=1e-14)


def test_the_cost_is_that_of_one_run(monkeypatch):
    counted = [0]
    plain = Big.__mul__

    def times(self, other):
        counted[0] += isinstance(other, Big)
        return plain(self, other)

    monkeypatch.setattr(Big, "__mul__", times)
    counts = []
    for order in (15, 30):
        counted[0] = 0
        tg.taylor_ode(
            lambda y: np.sin(y) / (1 + y * y), 0.4, order, arithmetic="mpmath:20"
        )
        counts.append(counted[0])
    assert 3 * counts[0] < counts[1] < 4.4 * counts[0]


def test_a_tape_whose_branch_flips():
    tape = tg.record(lambda y: y if y > 0 else -y, 1.0)
    with pytest.raises(BranchChanged):
        tg.taylor_ode(tape, -1.0, 3)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: tg.taylor_ode(np.sin, 0.3, -1), RecordError, "whole number"),
        (lambda: tg.taylor_ode(np.sin, 1, 3), ShapeError, "floats"),
        (lambda: tg.taylor_ode(np.sum, np.ones(3), 3), ShapeError, "f\\(y0\\) has"),
        (lambda: tg.taylor_ode(lambda y: (y, y), 1.0, 3), ShapeError, "f\\(y0\\) has"),
        (
            lambda: tg.taylor_ode(lambda y: {"b": y["a"]}, {"a": 1.0}, 3),
            ShapeError,
            "nesting",
        ),
        (
            lambda: tg.taylor_ode(np.sin, tg.Value(0.3), 3),
            RecordError,
            "pass value.data",
        ),
        (
            lambda: tg.grad(lambda a: tg.taylor_ode(lambda y: a * y, 1.0, 3)[3])(2.0),
            RecordError,
            "taylor_ode is for numbers",
        ),
        (
            lambda: tg.taylor_ode(np.linalg.inv, np.ones((2, 2)), 3),
            DomainError,
            "inv of shape",
        ),
        (
            lambda: tg.taylor_ode(lambda y: y * np.linalg.det(y), np.zeros((2, 2)), 3),
            DomainError,
            "cofactor of shape",
        ),
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()
