"""Which loops are found in what was recorded, by hand-written programs."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import RecordError
from tapegrad.rolling import order
from tapegrad.tape.rolls import loops, work

N = 40
LINE = np.linspace(-1.0, 2.0, N)
MATRIX = np.cos(np.arange(12.0 * 20)).reshape(12, 20)


def rosenbrock(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100 * (x[i + 1] - x[i] * x[i]) ** 2 + (1 - x[i]) ** 2
    return total


def lorenz(x, y, z):
    for _ in range(30):
        x, y, z = (
            x + 0.01 * (10 * (y - x)),
            y + 0.01 * (x * (28 - z) - y),
            z + 0.01 * (x * y - 8 / 3 * z),
        )
    return x


def three_back(a, b):
    values = [a, b, a * b]
    for i in range(30):
        values.append(0.5 * values[-1] - values[-2] * values[-3] + 0.1 * i)
    total = 0.0
    for value in values:
        total = total + value * value
    return total


def quadratic(matrix, x):
    total = 0.0
    for i in range(12):
        row = 0.0
        for j in range(20):
            row = row + matrix[i, j] * x[j]
        total = total + row * row
    return total


def perfect_nest(matrix, x):
    total = 0.0
    for i in range(12):
        for j in range(20):
            total = total + matrix[i, j] * x[j]
    return total


def transposed(matrix, x):
    total = 0.0
    for j in range(20):
        column = 1.0
        for i in range(12):
            column = column * (1.0 + 0.1 * matrix[i, j] * x[i])
        total = total + column
    return total


def backwards(x):
    total = 0.0
    for i in range(len(x) - 1, -1, -2):
        total = total + np.exp(x[i]) * i
    return total


def of_a_list(x):
    total = x[0]
    for value in x[1:]:
        total = total * 0.9 + value * x[0]
    return total


def ends_apart(x):
    total = 0.0
    for i in range(len(x)):
        end = i in {0, len(x) - 1}
        total = total + (x[i] if end else x[i - 1] * x[i + 1])
    return total


def cumulative(x):
    sums, total = [], 0.0
    for i in range(len(x)):
        total = total + x[i]
        sums.append(total)
    return [value * value for value in sums]


# program, arguments, loops at the top, the most steps that the tape may have
PROGRAMS = [
    (rosenbrock, (LINE,), 1, 7),
    (lorenz, (1.0, 1.0, 1.0), 1, 20),
    (three_back, (0.3, 0.7), 2, 32),
    (quadratic, (MATRIX, LINE), 1, 7),
    (perfect_nest, (MATRIX, LINE), 1, 7),
    (transposed, (MATRIX, LINE), 1, 8),
    (backwards, (LINE,), 1, 5),
    (of_a_list, (LINE.tolist(),), 1, N + 10),
    (ends_apart, (LINE,), 1, 12),
    (cumulative, (LINE,), 2, 2 * N + 10),
]


def small(tape):
    return tape.rolled(trips=3, steps=20)


def bits(found):
    leaves = found if isinstance(found, list | tuple) else [found]
    return [
        part
        for leaf in leaves
        for part in (
            bits(leaf)
            if isinstance(leaf, list | tuple)
            else [np.asarray(leaf, float).tobytes()]
        )
    ]


@pytest.mark.parametrize(
    ("f", "args", "count", "most"), PROGRAMS, ids=lambda x: getattr(x, "__name__", "")
)
def test_loops_are_found(f, args, count, most):
    tape = tg.record(f, *args, roll=False)
    rolled = small(tape)
    rolled.check()
    assert len(list(loops(rolled))) == count
    assert len(rolled) <= most < len(tape)
    assert bits(rolled(*args)) == bits(tape(*args))
    seeds = tape(*args)
    assert bits(rolled.vjp(args, seeds)[1]) == bits(tape.vjp(args, seeds)[1])
    assert rolled.unrolled() == tape


def test_an_inner_loop_is_in_the_body_of_the_outer_one():
    rolled = small(tg.record(quadratic, MATRIX, LINE, roll=False))
    (outer,) = loops(rolled)
    (inner,) = loops(outer["tape"])
    assert (outer["length"], inner["length"]) == (12, 20)
    # the rows of the matrix are read at once: one moving array
    assert outer["xs"] == 1


def test_a_wrong_order_of_reads_is_seen(monkeypatch):
    """The check above can fail: reads in the order of the body add in another order."""

    def averaged(x):
        total = 0.0
        for i in range(2, len(x)):
            total = total + x[i - 2] * 0.1 + np.sin(x[i - 1]) + x[i] * x[i]
        return total

    tape = tg.record(averaged, LINE, roll=False)
    assert bits(small(tape).gradient(LINE)) == bits(tape.gradient(LINE))
    monkeypatch.setattr(order, "_rank", lambda a: (a.step, a.operand))
    monkeypatch.setattr(order, "_plain", lambda *_: True)
    assert bits(small(tape).gradient(LINE)) != bits(tape.gradient(LINE))


def test_entries_that_no_order_of_reads_serves_stay_steps():
    """x[i] and x[n-1-i]: first and second half want other orders."""

    def folded(x):
        total = 0.0
        for i in range(len(x)):
            total = total + x[i] * x[len(x) - 1 - i]
        return total

    tape = tg.record(folded, LINE, roll=False)
    rolled = small(tape)
    assert bits(rolled.gradient(LINE)) == bits(tape.gradient(LINE))


def test_what_does_not_repeat_is_left_alone():
    def f(x):
        for k in range(200):
            x = (np.sin, np.cos, np.exp, np.tanh)[(k * k * k // 7 + k // 3) % 4](x)
        return x

    tape = tg.record(f, 0.5, roll=False)
    assert tape.rolled() is tape


def test_a_step_with_a_name_is_in_no_loop():
    def f(x):
        for k in range(30):
            x = np.sin(x) * 0.5
            if k == 10:
                x.label = "middle"
        return x

    tape = tg.record(f, 0.5, roll=False)
    rolled = small(tape)
    assert "middle" in rolled.labels.values()
    assert [params["length"] for params in loops(rolled)] == [10, 19]
    assert rolled(0.7, replace={"middle": 0.25}) == tape(0.7, replace={"middle": 0.25})


def test_long_tapes_are_rolled_unasked():
    def f(x):
        for _ in range(3000):
            x = x * 0.99 + 0.01
        return x

    assert len(tg.record(f, 1.0)) < 10
    assert len(tg.record(f, 1.0, roll=False)) == 6003
    assert work(tg.record(f, 1.0)) > 6000
    short = tg.record(lorenz, 1.0, 1.0, 1.0)
    assert not list(loops(short))
    assert len(tg.record(f, 1.0, lines=True)) == 6003


def test_loops_over_very_many_single_numbers_are_made_on_request():
    def f(*xs):
        return rosenbrock(xs)

    start = np.linspace(0.0, 1.0, 500).tolist()
    assert not list(loops(tg.record(f, *start)))
    assert list(loops(tg.record(f, *start, roll=True)))


def test_sums_may_be_added_in_any_order_if_asked():
    tape = tg.record(rosenbrock, LINE, roll=False)
    free = tape.rolled(trips=3, steps=20, reassociate=True)
    (loop,) = loops(free)
    assert loop["carry"] == 0
    assert "sum" in free.operations
    assert free(LINE) == pytest.approx(tape(LINE), rel=1e-14)
    np.testing.assert_allclose(free.gradient(LINE), tape.gradient(LINE), rtol=1e-14)


def test_few_carries_are_kept_if_asked():
    tape = tg.record(lorenz, 1.0, 1.0, 1.0, roll=False)
    few = tape.rolled(trips=3, steps=20, checkpoint=4)
    (loop,) = loops(few)
    assert loop["snapshots"] == 4
    assert bits(few.gradient(1.0, 1.1, 0.9)) == bits(tape.gradient(1.0, 1.1, 0.9))


@pytest.mark.parametrize(
    "options", [{"trips": 1}, {"steps": 0}, {"checkpoint": -1}, {"trips": 2.5}]
)
def test_options_that_make_no_sense(options):
    with pytest.raises(RecordError, match=next(iter(options))):
        tg.record(lorenz, 1.0, 1.0, 1.0).rolled(**options)
