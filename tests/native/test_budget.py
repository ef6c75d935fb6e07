"""A budget for building: what does not fit is quicker to build, or not built."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import budget

X = np.array([0.5, -1.5, 2.0])


def plain(a, b):
    return a * b + a.sin() * tg.where(a > b, a, b)


def entries(x):
    s = 0.0
    for i in range(x.shape[0] - 1):
        s = s + (x[i + 1] - x[i] * x[i]) ** 2
    return s


def arrays(x):
    return np.sum(np.exp(x) * x[0])


WORKS = {"numbers": (plain, (0.5, 2.0)), "entries": (entries, (X,))}
WORKS["arrays"] = (arrays, (X,))


@pytest.mark.parametrize("name", WORKS)
def test_nothing_is_built_without_time(name):
    f, args = WORKS[name]
    tape = tg.record(f, *args)
    native = tape.compile(budget=0.0)
    point = tuple(2.0 * x for x in args)
    for method in ("value", "gradient", "value_and_gradient", "jacobian", "hessian"):
        expected = (tape if method == "value" else getattr(tape, method))(*point)
        np.testing.assert_equal(getattr(native, method)(*point), expected)
    np.testing.assert_equal(native.hvp(point, point), tape.hvp(point, point))
    report = native.report
    assert not report.parts
    assert {"value", "gradient", "hvp"} <= set(report.left)
    assert "left to the interpreter" in str(report)
    assert "the budget is 0 s" in report.left["value"]


def test_errors_are_the_same():
    tape = tg.record(plain, 0.5, 2.0)
    with pytest.raises(tg.TapegradError) as one:
        tape.compile(budget=0.0)(1.0)
    with pytest.raises(tg.TapegradError) as other:
        tape.compile()(1.0)
    assert str(one.value) == str(other.value)


def test_a_budget_wins_over_a_level(monkeypatch):
    """At level 3 it does not fit, at level 0 it does."""
    tape = tg.record(entries, np.linspace(-1.0, 1.0, 30))
    seconds = budget.FIXED + 2000 * budget.NUMBERS[0]
    native = tape.compile(level=3, budget=seconds)
    native.gradient(np.linspace(-1.0, 1.0, 30))
    assert native.report.parts["gradient"].level == 0
    assert not native.report.left
    native = tape.compile(level=3, budget=60.0)
    native.gradient(np.linspace(-1.0, 1.0, 30))
    assert native.report.parts["gradient"].level == 3
    monkeypatch.setattr(budget, "NUMBERS", (1.0, 1.0, 1.0, 1.0))
    native = tape.compile(budget=60.0)
    assert native.gradient(np.ones(30)).shape == (30,)
    assert set(native.report.left) == {"gradient"}


def test_arrays_have_a_pace_of_their_own():
    tape = tg.record(arrays, X)
    seconds = budget.FIXED + 4 * len(tape) * budget.ARRAYS[0]
    native = tape.compile(level=3, budget=seconds)
    native.gradient(X)
    assert native.report.parts["gradient"].level == 0


def test_a_compiled_tape_keeps_its_budget_when_pickled():
    import pickle

    native = pickle.loads(pickle.dumps(tg.record(plain, 0.5, 2.0).compile(budget=0.0)))
    assert native(1.0, 2.0) == tg.record(plain, 0.5, 2.0)(1.0, 2.0)
    assert set(native.report.left) == {"value"}


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), "fast"])
def test_what_is_no_budget(wrong):
    with pytest.raises(tg.CompileError, match="budget is in seconds, 0 or more, got"):
        tg.record(plain, 0.5, 2.0).compile(budget=wrong)
