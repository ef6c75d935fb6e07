"""LLVM's level that is chosen for tapes with arrays."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import arraycalls

X = np.linspace(0.1, 1.0, 20)


def loops(count):
    """Steps on arrays."""

    def f(x):
        y = x
        for _ in range(count):
            y = y * 0.5 + x
        return y

    return f


def numbers(count):
    """An array in the first step, and steps on numbers after it."""

    def f(x):
        y = np.sum(x * x)
        for _ in range(count):
            y = y * 0.5 + 1.0
        return y

    return f


def level(f):
    tape = tg.record(f, X)
    native = tape.compile()
    np.testing.assert_array_equal(native(X), tape(X))
    return native.report.parts["value"].level


@pytest.fixture
def bounds(monkeypatch):
    monkeypatch.setattr(arraycalls, "LONG_TAPE", 50)
    monkeypatch.setattr(arraycalls, "LONG_TEXT", 900)


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize(
    ("f", "chosen"),
    [
        (loops(10), 2),
        (numbers(10), 2),
        # more than 50 steps: of arrays, and of numbers
        (loops(100), 2),
        (numbers(100), 0),
        # more than 900 lines
        (loops(1000), 0),
    ],
)
def test_auto_looks_at_what_there_is_to_optimise(f, chosen):
    assert level(f) == chosen


def test_a_long_tape_of_arrays_is_optimised():
    assert level(loops(1500)) == arraycalls.OPTIMISED
