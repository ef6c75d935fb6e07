"""The pitfalls of recording: never a silently wrong number."""

from __future__ import annotations

import inspect
import itertools
import math
import random
import sys
import time

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import BranchChanged, RecordError, Value, check_gradient
from tapegrad.recorder import Recorder, recording_onto

# -- a branch flips on replay -------------------------------------------------------


def branchy(x, y):
    if x * y > 3.0:
        return x * x
    return y * 5


LINE = inspect.getsourcelines(branchy)[1] + 1

REPLAYS = {
    "value": lambda tape, at: tape(*at),
    "gradient": lambda tape, at: tape.gradient(*at),
    "jacobian": lambda tape, at: tape.jacobian(*at),
    "hessian": lambda tape, at: tape.hessian(*at),
    "jvp": lambda tape, at: tape.jvp(at, (1.0, 1.0)),
    "vjp": lambda tape, at: tape.vjp(at, 1.0),
    "hvp": lambda tape, at: tape.hvp(at, (1.0, 1.0)),
    "slots": lambda tape, at: tape.slots(*at),
    "mpmath": lambda tape, at: tape.gradient(*at, arithmetic="mpmath:50"),
    "adjoint tape": lambda tape, at: tape.adjoint_tape()(*at),
    "tangent tape": lambda tape, at: tape.tangent_tape()(*at, 1.0, 1.0),
    "native value": lambda tape, at: tape.compile()(*at),
    "native gradient": lambda tape, at: tape.compile().value_and_gradient(*at),
    "on eager Values": lambda tape, at: tape(*map(Value, at)),
    "inside a recording": lambda tape, at: tg.record(tape, 2.0, 3.0)(*at),
}


@pytest.mark.parametrize("replay", REPLAYS)
def test_a_flipped_branch_is_never_a_number(replay):
    tape = tg.record(branchy, 2.0, 3.0)
    REPLAYS[replay](tape, (4.0, 1.0))  # the same branch is fine
    with pytest.raises(BranchChanged) as problem:
        REPLAYS[replay](tape, (1.0, 2.0))
    found = problem.value
    assert found.file == __file__
    assert found.line == LINE
    assert tuple(map(float, found.operands)) == (2.0, 3.0)
    assert found.recorded is True
    assert f"{__file__}:{LINE}" in str(found)


def test_a_loop_that_would_run_longer_is_a_flipped_branch():
    def halved(x):
        while x > 1.0:
            x = x / 2
        return x

    tape = tg.record(halved, 5.0)
    assert tape.value_and_gradient(7.0) == (0.875, 0.125)
    with pytest.raises(BranchChanged):
        tape(9.0)
    with pytest.raises(BranchChanged):
        tape(math.nan)


def test_int_and_indices_are_guarded():
    table = [10.0, 20.0, 30.0]
    tape = tg.record(lambda x: x * table[int(x)], 1.25)
    assert tape(1.75) == 35.0
    with pytest.raises(BranchChanged):
        tape(2.25)


# -- what the caller changes afterwards ---------------------------------------------


def test_a_captured_list_or_array_is_copied():
    data, array = [1.0, 2.0, 3.0], np.array([1.0, 2.0, 3.0])
    tape = tg.record(
        lambda x: sum(x * c for c in data) + x * x * array[1] + array @ array, 2.0
    )
    before = tape.value_and_gradient(2.0)
    assert before == (34.0, 14.0)
    data[:] = [100.0] * 3
    array[:] = 100.0
    assert tape.value_and_gradient(2.0) == before
    assert tape.compile().value_and_gradient(2.0) == before


def test_arguments_are_copied():
    w = [1.0, 2.0]
    tape = tg.record(lambda w: w[0] * w[1], w)
    w[0] = 50.0
    assert tape.example == (1.0, 2.0)
    assert tape([3.0, 4.0]) == 12.0


def test_data_that_is_assigned_makes_a_new_version():
    p = Value(2.0)
    loss = p * p
    p.data += 10.0
    loss.backward()
    assert loss.data == 4.0
    assert loss.tape.gradient(2.0) == 4.0


# -- derivatives that would be lost -------------------------------------------------


def lose_by_math(v):
    return math.sin(v)


def lose_by_float(v):
    return float(v) * 2.0


def lose_by_array(v):
    out = np.zeros(2)
    out[0] = v
    return out[0]


@pytest.mark.parametrize("f", [lose_by_math, lose_by_float, lose_by_array])
def test_a_conversion_to_float_is_an_error(f):
    with pytest.raises(RecordError, match=r"lose its\s+derivative") as problem:
        tg.record(f, 0.5)
    assert "test_pitfalls.py" in str(problem.value)


def test_data_reads_are_refused_and_hidden_ones_found_by_differences():
    with pytest.raises(tg.RecordError, match="stop_gradient"):
        tg.record(lambda x: x * Value(x.data), 3.0)
    report = check_gradient(lambda x: x * Value(x._data), 3.0)
    assert not report.ok
    assert report.rows[0].disagrees == "differences"


def test_lists_collect_results():
    def cumulated(x):
        out = [x]
        for _ in range(3):
            out.append(out[-1] * x)
        out[0] = out[0] + 1
        return out

    tape = tg.record(cumulated, 2.0)
    assert tape(3.0) == [4.0, 9.0, 27.0, 81.0]
    assert tape.jacobian(3.0) == [1.0, 6.0, 27.0, 108.0]


# -- functions that are not functions -----------------------------------------------

COUNTER = itertools.count()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * random.random(),
        lambda x: x * time.perf_counter_ns(),
        lambda x: x * next(COUNTER),
        lambda x: sum([x] * next(COUNTER)) + x,
        lambda x: x * 2 if next(COUNTER) % 2 else x + 2,
    ],
    ids=["random", "clock", "global", "length", "branch"],
)
def test_what_is_not_deterministic_is_found(f):
    tg.record(f, 2.0)
    with pytest.raises(RecordError, match="random number, a clock or global state"):
        tg.record(f, 2.0, check=True)
    with pytest.raises(RecordError, match="random number, a clock or global state"):
        check_gradient(f, 2.0)


def test_the_differing_step_is_named():
    with pytest.raises(RecordError, match="step 1: const"):
        tg.record(lambda x: x * random.random(), 2.0, check=True)


def test_random_numbers_that_are_arguments_are_fine():
    tape = tg.record(lambda x, noise: x * noise, 2.0, 0.25, check=True)
    assert tape.gradient(2.0, 0.5) == (0.5, 2.0)


# -- perturbation confusion ---------------------------------------------------------


@pytest.mark.parametrize("x", [0.0, 1.0, -2.5, 1e10])
def test_nested_derivatives_keep_their_perturbations_apart(x):
    inner = tg.grad(lambda x: x * tg.grad(lambda y: x + y)(1.0))
    assert inner(x) == 1.0
    # by forward mode, and mixed
    forward = tg.jvp(
        lambda x: x * tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1], (x,), (1.0,)
    )
    assert forward[1] == 1.0
    mixed = tg.grad(lambda x: x * tg.jvp(lambda y: x * y, (3.0,), (1.0,))[1])
    assert mixed(x) == 2 * x


def test_the_curried_case():
    # d/du of (f(u))(v) at u, then by v: each level has slots of its own
    def curried(u):
        return lambda v: u * v * v

    assert tg.grad(lambda u: tg.grad(curried(u))(3.0))(5.0) == 6.0
    assert tg.grad(lambda v: tg.grad(lambda u: curried(u)(v))(5.0))(3.0) == 6.0


def test_shadowed_names_are_different_variables():
    f = tg.grad(lambda x: tg.grad(lambda x: x * x * x)(x) * x)
    assert f(2.0) == 36.0  # d/dx [3 x^2 * x]


# -- depth --------------------------------------------------------------------------


def chain(n):
    def f(x):
        y = x
        for _ in range(n):
            y = y * 0.5 + x
        return y

    return f


@pytest.fixture
def shallow():
    """Python's stack is kept short, so that recursion would show."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("shallow")
def test_a_long_chain_needs_no_recursion():
    n = 50_000
    tape = tg.record(chain(n), 1.0, roll=False)
    assert len(tape) > 2 * n
    assert tape.value_and_gradient(3.0) == (6.0, 2.0)
    assert tape.jvp(3.0, 1.0) == (6.0, 2.0)
    assert tape.adjoint_tape()(3.0) == 2.0
    assert tape.compile().value_and_gradient(3.0) == (6.0, 2.0)
    x = Value(3.0)
    y = chain(n)(x)
    y.backward()
    assert x.grad == 2.0
    assert len(y.tape) == len(tape)
    del y  # freeing it is no recursion either


@pytest.mark.deep
@pytest.mark.usefixtures("shallow")
def test_ten_million_steps():
    n = 5_000_000
    recorder = Recorder()
    with recording_onto(recorder):
        x = recorder.variable(3.0, "x")
        y = chain(n)(x)
        tape = recorder.snapshot(y)
    assert len(tape) > 2 * n
    tape.check()
    assert tape.value_and_gradient(3.0) == (6.0, 2.0)
