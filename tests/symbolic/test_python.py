"""Tapes as NumPy source: it runs, and gives the tape's numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import DomainError

A = np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, 0.6, 1.8]])
B = np.array([0.5, 1.5, 2.5])

CASES = [
    (lambda x, y: x * np.tanh(y) ** 2 / 3 - x, (1.0, 2.0)),
    (lambda x, y: tg.sigmoid(x) + tg.softplus(y) + tg.relu(x - y), (1.0, 2.0)),
    (lambda x, y: tg.where(x > y, x, y * y * y) + np.maximum(x, y), (1.0, 2.0)),
    (lambda x, y: np.log(x) / (y - (x - y)) + x**-3 + x**y, (1.0, 2.0)),
    (lambda x: np.arctan2(x, 2.0) + np.sinc(x) + np.cbrt(x), (0.3,)),
    (lambda a: np.sum(a, axis=0)[1] + np.mean(a[1:, ::-1]) + a.T[0, 2], (A,)),
    (lambda a, b: np.sum(np.exp(a @ b / 9)[1:, None] ** 2), (A, B)),
    (lambda a, b: np.linalg.solve(a, b).sum() + np.linalg.norm(b), (A, B)),
    (lambda b: tg.logsumexp(b) + tg.softmax(b)[1] + np.std(b) + np.prod(b), (B,)),
    (lambda b: b[[2, 0]].sum() * np.max(b) + np.cumsum(b)[1], (B,)),
    (np.linalg.det, (A,)),
]


def executed(tape):
    scope = {}
    exec(compile(tape.to_python(), "tape", "exec"), scope)  # noqa: S102 - our own
    return scope


@pytest.mark.parametrize(("f", "at"), CASES)
def test_source_gives_the_tapes_numbers(f, at):
    tape = tg.record(f, *at)
    scope = executed(tape)
    assert scope["value"](*at) == pytest.approx(tape(*at), rel=1e-15)
    value, gradient = scope["value_and_gradient"](*at)
    expected = tape.value_and_gradient(*at)
    assert value == pytest.approx(expected[0], rel=1e-15)
    pairs = (
        zip(gradient, expected[1], strict=True)
        if len(at) > 1
        else ((gradient, expected[1]),)
    )
    for got, wanted in pairs:
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-15)


def test_source_is_recorded_again():
    tape = tg.record(CASES[3][0], 1.0, 2.0)
    text = tape.to_python().replace("np.float64(x)", "x").replace("np.float64(y)", "y")
    scope = {}
    exec(text, scope)  # noqa: S102 - our own
    again = tg.record(scope["value"], 1.0, 2.0)
    assert again.gradient(1.3, 0.4) == tape.gradient(1.3, 0.4)


def test_division_by_zero_follows_ieee():
    assert executed(tg.record(lambda x: 1 / x, 1.0))["value"](0.0) == math.inf


def test_several_outputs_have_a_jacobian():
    tape = tg.record(lambda x, y: (x * y, x + y), 2.0, 3.0)
    values, rows = executed(tape)["value_and_jacobian"](2.0, 3.0)
    assert values == (6.0, 5.0)
    assert rows == ((3.0, 2.0), (1.0, 1.0))


def test_guards_raise():
    tape = tg.record(lambda x: x * 2 if x > 0 else x, 1.0)
    scope = executed(tape)
    assert scope["value"](3.0) == 6.0
    with pytest.raises(ValueError, match="another branch"):
        scope["value"](-3.0)


def test_what_numpy_cannot_say():
    tape = tg.record(lambda a, b: np.linalg.lstsq(a, b)[0].sum(), A, B)
    with pytest.raises(DomainError, match="lstsq"):
        tape.to_python()
