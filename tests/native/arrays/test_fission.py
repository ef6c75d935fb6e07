"""Loops taken apart in native code give the interpreter's bits."""

from __future__ import annotations

import platform
import random

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.expanding import expanded
from tapegrad.loops.rule import SCAN
from tapegrad.native.arraycalls import tape_of
from tapegrad.native.arrays import lower_arrays
from tapegrad.native.assembly import assembly, inner_loops
from tapegrad.passes.slim import slim
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import SCALAR

LENGTH = 300
# Rows that are the same bits everywhere.
WORDS = ("add", "sub", "mul", "div", "root", "larger", "choice", "flip")


def word(rng, pool):
    """A random step on two of a pool."""
    a, b = rng.choice(pool), rng.choice(pool)
    match rng.choice(WORDS):
        case "add":
            return a + b
        case "sub":
            return a - b
        case "mul":
            return a * b
        case "div":
            return a / (b * b + 1.5)
        case "root":
            return np.sqrt(a * a + 0.25)
        case "larger":
            return np.maximum(a, b)
        case "choice":
            return tg.where(a < b, a, 0.5 * b)
        case _:
            return -a


def program(seed):
    """A random loop, and where it is evaluated."""
    rng = random.Random(seed)
    carries, length = rng.randint(1, 3), rng.choice([67, 130, 257])
    reverse, steps = rng.random() < 0.4, rng.randint(2, 12)
    moved = rng.random() < 0.5
    kinds = [rng.choice(["bound", "moved", "kept", "sum"]) for _ in range(carries)]

    def body(state, entries, w):
        pick = random.Random(seed)
        fixed = [*entries, *w]
        alone = [word(pick, fixed) for _ in range(pick.randint(0, 4))]
        pool = [*fixed, *alone, *state]
        for _ in range(steps):
            pool.append(word(pick, pool))
        made = []
        for kind, own in zip(kinds, state, strict=True):
            last = pick.choice(pool)
            if kind == "bound":  # it cannot run away
                last = last / (last * last + 1.0) + 0.25 * own
            elif kind == "moved":
                last = pick.choice(fixed + alone)
            elif kind == "kept":
                last = own
            else:
                last = own + 0.01 * (last / (last * last + 1.0))
            made.append(last)
        seen = pick.choice(pool)
        return tuple(made), (seen / (seen * seen + 1.0), pick.choice(alone + fixed))

    def f(x, start, w):
        pair = (x[:-1], x[1:]) if moved else (x,)
        ends, ys = tg.scan(
            lambda s, e: body(s, e, [w[0], w[1]]),
            tuple(start[k] for k in range(carries)),
            pair,
            reverse=reverse,
        )
        total, _ = tg.scan(lambda s, y: (s + y[0] * y[1], None), ends[0], ys)
        for end in ends:
            total = total + end
        return total

    data = np.random.default_rng(seed)
    return f, (data.normal(size=length), data.normal(size=3), data.normal(size=2))


def bits(values):
    """Numbers and arrays as bytes, -0.0 told from 0.0."""
    return [np.asarray(x).tobytes() for x in values]


@pytest.mark.parametrize("seed", range(24))
def test_random_bodies(seed) -> None:
    f, args = program(seed)
    tape = tg.record(f, *args)
    native = tape.compile()
    wanted, slopes = tape.value_and_gradient(*args)
    found, made = native.value_and_gradient(*args)
    assert native.report.parts["gradient"].steps
    assert bits([found, *made]) == bits([wanted, *slopes])


def rosenbrock(x):
    def body(s, p):
        return s + 100.0 * (p[1] - p[0] * p[0]) ** 2 + (1.0 - p[0]) ** 2, None

    return tg.scan(body, 0.0, (x[:-1], x[1:]))[0]


def scans(f, *args, part="gradient"):
    """The loops that native code keeps, and the steps of their bodies."""
    tape = tape_of(sweeps.flat(tg.record(f, *args)), part)
    found = [step for step in tape if step.primitive.name == "scan"]
    bodies = [step.params["tape"] for step in found]
    return found, [len(body) - len(body.inputs) for body in bodies]


@pytest.mark.parametrize("size", [65, 66, 80, 81, 82, 97, 1001, 8193, 20_000])
def test_a_sum_is_all_that_stays_in_order(size) -> None:
    x = np.random.default_rng(size).normal(size=size)
    _, steps = scans(rosenbrock, x)
    assert steps == [2] or size < 80
    tape = tg.record(rosenbrock, x)
    native = tape.compile()
    wanted, slopes = tape.value_and_gradient(x)
    found, made = native.value_and_gradient(x)
    assert bits([found, made]) == bits([wanted, slopes])


def test_the_sum_runs_along_with_both_loops() -> None:
    """One strip of terms, and the slopes are made in the same loop."""
    x = np.linspace(-1.0, 1.0, 5000)
    lowered = lower_arrays(tape_of(sweeps.flat(tg.record(rosenbrock, x)), "gradient"))
    assert lowered.arena_bytes <= 64 * 8


def test_what_only_reads_the_carry_leaves_the_loop() -> None:
    def f(x):
        def body(s, a):
            s = 0.5 * s + a
            return s, np.exp(-s * s) * np.sin(s) + a

        end, ys = tg.scan(body, 0.0, x)
        return end + np.sum(ys)

    x = np.linspace(-1.0, 1.0, LENGTH)
    _, steps = scans(f, x, part="value")
    assert steps == [3]  # a constant, and two steps
    tape = tg.record(f, x)
    found, made = tape.compile().value_and_gradient(x)
    wanted, slopes = tape.value_and_gradient(x)
    assert found == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose(made, slopes, rtol=1e-12, atol=1e-14)


def test_a_leaf_that_is_only_moved_needs_no_loop() -> None:
    def body(s, a):
        before, twice, kept = s
        return (a * a, before * kept, kept), before - a * twice

    def f(x, c):
        ends, ys = tg.scan(body, (x[0], c, c), x)
        _, back = tg.scan(body, (x[0], c, c), x, reverse=True)
        return ends[1] * ys[7] + back[3] + back[-1] * ends[2]

    x = np.linspace(0.5, 1.5, LENGTH)
    found, _ = scans(f, x, 0.75, part="value")
    assert not found
    tape = tg.record(f, x, 0.75)
    wanted, slopes = tape.value_and_gradient(x, 0.75)
    value, made = tape.compile().value_and_gradient(x, 0.75)
    assert bits([value, *made]) == bits([wanted, *slopes])


def test_a_branch_that_leaves_the_loop_is_still_seen() -> None:
    def f(x):
        def body(s, a):
            square = a * a * a - a
            if a < 0.9:
                square = square + np.sqrt(a * a + 1.0)
            return s + square, None

        return tg.scan(body, 0.0, x)[0]

    x = np.linspace(-0.5, 0.5, LENGTH)
    tape = tg.record(f, x)
    _, steps = scans(f, x)
    assert steps == [1]
    native = tape.compile()
    assert native(x) == tape(x)
    for place in (0, 123, LENGTH - 1):
        y = x.copy()
        y[place] = 1.0
        with pytest.raises(tg.BranchChanged, match="a < 0.9|<"):
            native.value_and_gradient(y)


@pytest.mark.parametrize("size", [100, 200])
def test_leaves_that_are_arrays(size) -> None:
    def f(x, w):
        def body(s, row):
            a, b = s
            spread = np.sqrt(row * row + w) * row - w
            return (a + spread, 0.5 * b + row[1]), None

        (a, b), _ = tg.scan(body, (w, 0.25), x)
        return a[0] * a[1] + a[2] * b

    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(size, 3)), rng.random(3) + 0.5
    tape = tg.record(f, x, w)
    wanted, slopes = tape.value_and_gradient(x, w)
    value, made = tape.compile().value_and_gradient(x, w)
    assert bits([value, *made]) == bits([wanted, *slopes])


def test_what_nobody_reads_of_a_loop_is_not_there() -> None:
    def f(x):
        def body(s, p):
            a, b, c = s
            return (a + p[0], b * p[1] + a, c + b), (a * c, p[0] * b)

        (a, _, _), ys = tg.scan(body, (0.0, 1.0, 2.0), (x, 2.0 * x))
        return a + ys[1][4]

    x = np.linspace(-1.0, 1.0, LENGTH)
    tape = sweeps.flat(tg.record(f, x))
    less = slim(tape)
    (before,) = [s for s in tape if s.primitive.name == "scan"]
    (after,) = [s for s in less if s.primitive.name == "scan"]
    assert (before.params["carry"], len(before.slots)) == (3, 5)
    assert (after.params["carry"], len(after.slots)) == (2, 3)
    less.check()
    assert less(x) == tape(x)


def test_a_nest_beside_keeps_what_it_reads_itself() -> None:
    """It makes an array that another of its results is made of."""

    def f(x):
        def body(s, p):
            return s + p[0] * p[0] * p[1], None

        total, _ = tg.scan(body, 0.0, (x[:-1], x[1:]))
        once = np.exp(x) * x
        twice = np.sin(once) * once
        return total, once, twice, twice * once - x

    x = np.linspace(0.1, 0.9, LENGTH)
    tape = tg.record(f, x)
    for found, wanted in zip(tape.compile()(x), tape(x), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-14)


@pytest.mark.parametrize("reverse", [False, True])
def test_several_sums_of_the_same_turns(reverse) -> None:
    def f(x, y):
        def one(s, p):
            return (s[0] + p[0] * p[1], s[1] - p[0] / (p[1] + 2.0)), s[0] * p[0]

        def other(s, p):
            return s * 0.5 + np.sqrt(p[1] * p[1] + p[0] * p[0]), None

        ends, ys = tg.scan(one, (0.0, 1.0), (x, y), reverse=reverse)
        last, _ = tg.scan(other, ends[1], (x, ys), reverse=reverse)
        return ends[0] * last

    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 203))
    tape = tg.record(f, x, np.abs(y))
    wanted, slopes = tape.value_and_gradient(x, np.abs(y))
    found, made = tape.compile().value_and_gradient(x, np.abs(y))
    assert bits([found, *made]) == bits([wanted, *slopes])


# -- arrays that entries are added to -----------------------------------------------


def mixture(points, kinds, *, exact):
    """A sum over points of what each has of each kind, by three loops."""

    def share(w, centres, x):
        total = 0.0
        for k in range(kinds):
            away = w[k]
            for d in range(2):
                z = (x[d] - centres[k, d]) * w[k]
                away = away - 0.5 * z * z
            total = total + (away / (away * away + 1.0) if exact else np.exp(away))
        return np.sqrt(total * total + 1.0)

    def f(w, centres):
        return tg.scan(lambda s, x: (s + share(w, centres, x), None), 0.0, points)[0]

    return f


def test_sums_of_entries_leave_the_array() -> None:
    rng = np.random.default_rng(2)
    points, w, centres = (rng.normal(size=size) for size in ((200, 2), 4, (4, 2)))
    for exact in (True, False):
        f = mixture(points, 4, exact=exact)
        _, steps = scans(f, w, centres)
        assert min(steps) == 1  # the value
        assert max(steps) <= 4 + 16 + 4  # additions to entries, and nothing else
        tape = tg.record(f, w, centres)
        wanted, slopes = tape.value_and_gradient(w, centres)
        found, made = tape.compile().value_and_gradient(w, centres)
        if exact:
            assert bits([found, *made]) == bits([wanted, *slopes])
        for one, other in zip(made, slopes, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12)


def adding(keys, start, *, length=LENGTH):
    """A scan whose body adds entries to an array that it carries, as a tape."""
    body = Columns()
    shape, row = start.shape, ((2,), "float64")
    carry = body.input(0.0, (shape, "float64"))
    x = body.input(0.0, row)
    entry = body.append(TABLE["index"], [x], {"key": (0,)}, [((), "float64")])[0]
    (one,) = body.append(TABLE["mul"], [entry, entry], {}, [((), "float64")])
    (two,) = body.append(TABLE["mul"], [x, x], {}, [row])
    for _ in range(8):  # so much that it is worth to leave the loop
        (one,) = body.append(TABLE["sqrt"], [one], {}, [((), "float64")])
        (two,) = body.append(TABLE["sqrt"], [two], {}, [row])
    (one,) = body.append(TABLE["neg"], [one], {}, [((), "float64")])
    (two,) = body.append(TABLE["neg"], [two], {}, [row])
    total = carry
    for key in keys:
        value = two if any(isinstance(part, tuple) for part in key) else one
        put = {"key": key, "shape": shape}
        (part,) = body.append(TABLE["scatter"], [value], put, [(shape, "float64")])
        (total,) = body.append(TABLE["add"], [total, part], {}, [(shape, "float64")])
    tape = body.freeze((carry, x), (total,))
    out = Columns()
    given = out.input(0.0, (shape, "float64"))
    xs = out.input(0.0, ((length, 2), "float64"))
    params = {"tape": tape, "carry": 1, "xs": 1, "length": length, "reverse": False}
    params |= {"snapshots": 0, "name": "scan"}
    if "ordered" in SCAN.params[0]:
        params["ordered"] = True
    made = out.append(SCAN, [given, xs], params, [(shape, "float64")])
    return out.freeze((given, xs), tuple(made))


# Parts that overlap stay together.
TOGETHER = ([((0, 2, 1), 1), (0, 1)],)


@pytest.mark.parametrize(
    "keys",
    [
        *TOGETHER,
        [(0, 1)],
        [(0, 1), (0, 1)],
        [(0, 1), (2, 0), (0, 1)],
        [(k, d) for k in range(3) for d in range(2)],
        [((0, 2, 1), 1)],
        [((0, 2, 1), 1), ((1, 2, 1), 0), ((0, 2, 1), 1)],
        [((0, 2, 2), 0), (1, 0)],
        [(k, (0, 2, 1)) for k in range(3)],
    ],
)
def test_the_sign_of_a_zero_that_is_added_to(keys, kernel) -> None:
    """What another part's step adds is 0.0, which changes -0.0."""
    start = np.array([[-0.0, -0.0], [0.0, 1.5], [-0.0, -2.0]])
    for high in (0.0, 1.0):
        xs = np.linspace(-high, high, 2 * LENGTH).reshape(LENGTH, 2)
        tape = adding(keys, start)
        tape.check()
        wanted = sweeps.outputs(tape, MIXED, [start, xs])
        grown = expanded(tape, native=True)
        grown.check()
        (loop,) = [step for step in grown if step.primitive.name == "scan"]
        whole = grown.aval_of(loop.slots.start)[0] == start.shape
        assert whole == (keys in TOGETHER)
        again = sweeps.outputs(grown, MIXED, [start, xs])
        assert bits(again) == bits(wanted)
        status, found = kernel(grown)(start, xs)
        assert status == 0
        assert bits(found) == bits(wanted)


def test_the_inner_loops_of_a_listing() -> None:
    x = np.linspace(-1.0, 1.0, 1000)
    loops = inner_loops(assembly(tg.record(rosenbrock, x)))
    assert len(loops) >= 2
    assert len(loops[0].splitlines()) >= len(loops[-1].splitlines())
    if "x86_64" in platform.machine():
        assert "mulpd" in loops[0]  # several entries at a time
        assert "mulsd" not in loops[0]


@pytest.mark.parametrize(("length", "left"), [(1000, True), (10_000_000, False)])
def test_loops_that_are_too_long_keep_their_terms(length, left) -> None:
    """Thirty terms an iteration would be gigabytes between the parts."""

    def f(x):
        def body(s, a):
            for k in range(30):
                s = np.maximum(0.5 * s, np.exp(a * (k + 0.5)))
            return s, None

        return tg.scan(body, x[0], x)[0]

    tape = tg.record(f, np.ones(3))
    (scan,) = [step for step in tape if step.primitive.name == "scan"]
    out = Columns()
    first = out.input(0.5, ((), "float64"))
    x = out.input(0.0, ((length,), "float64"))
    made = out.append(SCAN, [first, x], {**scan.params, "length": length}, [SCALAR])
    grown = expanded(out.freeze((first, x), tuple(made)), native=True)
    (loop,) = [step for step in grown if step.primitive.name == "scan"]
    assert ("exp" in grown.operations) == left
    assert ("exp" in loop.params["tape"].operations) != left


def test_a_loop_of_whole_numbers_that_are_taken_stays_for_them() -> None:
    """They are no truth values: each turn looks at its own; the rest has left."""
    size = 5 * LENGTH

    def f(x):
        return np.stack([np.sqrt(int(x[k]) * x[k] + 1.0) for k in range(size)])

    x = np.linspace(2.0, 2.9, size)
    tape = tg.record(f, x)
    grown = expanded(tape, native=True)
    (loop,) = [step for step in grown if step.primitive.name == "scan"]
    body = loop.params["tape"]
    assert "guard" in body.operations
    assert "sqrt" not in body.operations
    native = tape.compile()
    assert native(x).tobytes() == tape(x).tobytes()
    x[size // 2] = 3.5
    with pytest.raises(tg.BranchChanged):
        native(x)
