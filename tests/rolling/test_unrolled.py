"""Loops written out again: the very steps that were recorded."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.loops.rule import SCAN
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

SIZES = {"trips": 3, "steps": 6}


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return total


def reads_first(x):
    """Both entries are read before anything is computed of the first."""
    total = 0.0
    for i in range(len(x) - 1):
        a, b = x[i], x[i + 1]
        total = total + a * a - b * b
    return total


def table(a, b):
    for i in range(20):
        a, b = b, 0.5 * a + b * (0.1 * i)
    return a + b


def swaps(a, b, c):
    """Carries that are handed on as others, all the way round."""
    total = 0.0
    for _ in range(9):
        a, b, c = b, c, a
        total = total + a * 2.0
    return total, a, b, c


def backwards(x, y):
    s = x[0]
    for i in range(len(x) - 1, -1, -1):
        s = s * x[i] + y[2 * i]
    return s


def rows(m, v):
    total = 0.0
    for i in range(m.shape[0]):
        s = 0.0
        for j in range(m.shape[1]):
            s = s + m[i, j] * v[j]
        total = total + s * s
    return total


def written(xs):
    squares = [x * x for x in xs]
    total = 0.0
    for x, y in zip(xs, squares, strict=True):
        total = total + x * y
    return total + squares[3], squares


def branch(x):
    total = 0.0
    for i in range(len(x)):
        total = total + x[i] if x[i] > 0.0 else total - 2.0 * x[i]
    return total


def far(x, a):
    """A recurrence that goes back three iterations."""
    u = [a, a * 2.0, a * 3.0]
    for i in range(len(x)):
        u.append(u[-1] * 0.5 + u[-3] * x[i])
    return u[-1]


LINE = np.linspace(0.1, 2.0, 24)
CASES = {
    "rosenbrock": (rosenbrock, (LINE,)),
    "reads first": (reads_first, (LINE,)),
    "table": (table, (1.0, 2.0)),
    "swaps": (swaps, (1.0, 2.0, 3.0)),
    "backwards": (backwards, (LINE[:12], LINE)),
    "rows": (rows, (np.arange(60.0).reshape(10, 6) / 7, np.arange(6.0))),
    "written": (written, (LINE.tolist(),)),
    "branch": (branch, (LINE,)),
    "far": (far, (LINE, 0.5)),
}


@pytest.fixture(params=CASES)
def case(request) -> tuple[Tape, Tape]:
    """A tape as it was recorded, and rolled."""
    f, args = CASES[request.param]
    raw = tg.record(f, *args, roll=False)
    rolled = raw.rolled(**SIZES)
    assert len(rolled) < len(raw)
    return raw, rolled


def test_the_very_steps_come_back(case):
    raw, rolled = case
    found = rolled.unrolled()
    found.check()
    assert found == raw
    assert found.labels == raw.labels
    assert found.structure == raw.structure
    places = [(guard.file, guard.line) for guard in raw.guards]
    assert [(guard.file, guard.line) for guard in found.guards] == places


def test_a_tape_without_loops_is_itself(case):
    raw, _ = case
    assert raw.unrolled() is raw


def test_derivatives_of_loops_are_written_out_too(case):
    _, rolled = case
    one_number = len(rolled.outputs) == 1
    grown = rolled.adjoint_tape() if one_number else rolled.tangent_tape()
    found = grown.unrolled()
    found.check()
    assert any(step.params.get("ordered") for step in grown)
    assert not any(step.params.get("ordered") for step in found)
    point = list(rolled.example) * (1 if one_number else 2)
    for one, other in zip(outputs(grown, point), outputs(found, point), strict=True):
        np.testing.assert_array_equal(one, other)


def outputs(tape, point):
    """The outputs at a point, leaf by leaf."""
    return sweeps.outputs(sweeps.flat(tape), MIXED, point)


def test_files_and_pickles_keep_loops(case):
    _, rolled = case
    for found in (
        tg.from_bytes(rolled.to_bytes()),
        pickle.loads(pickle.dumps(rolled)),
    ):
        assert found == rolled
        assert found.unrolled() == rolled.unrolled()
        assert repr(found) == repr(rolled)


def test_stacks_that_are_used_as_arrays_are_made():
    """A tape by hand: what loops give and read is asked for as such."""
    inner = tg.record(lambda s, x: (s + x, s * x), 0.0, 0.0, roll=False)
    out, five = Columns(), ((5,), "float64")
    x = out.input(np.zeros(7), ((7,), "float64"))
    where = {"axes": 1, "start": 1, "stride": 1, "length": 5, "slots": False}
    (read,) = out.append(TABLE["window"], [x], where, [five])
    params = {"tape": inner, "carry": 1, "xs": 1, "length": 5, "reverse": True}
    params |= {"snapshots": 0, "name": "loop", "ordered": True}
    start = out.constant(0.5)
    last, stack = out.append(SCAN, [start, read], params, [((), "float64"), five])
    (product,) = out.append(TABLE["mul"], [read, stack], {}, [five])
    tape = out.freeze((x,), (last, product, stack))
    found = tape.unrolled()
    found.check()
    point = np.linspace(1.0, 2.0, 7)
    for y, z in zip(outputs(tape, [point]), outputs(found, [point]), strict=True):
        np.testing.assert_array_equal(y, z)
