"""Tapes that read arrays entry by entry: lowered as numbers, the same answers."""

from __future__ import annotations

import dataclasses
import math

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import gradient_tape
from tapegrad.native.scalars import sweep, woven
from tapegrad.native.scalars.derived import derived
from tapegrad.native.scalars.kernels import is_numbers
from tapegrad.passes import tidy
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE

SPECIAL = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 5e-324, 1e308]


def same(found, expected):
    """Equal nestings, types and bits; NaN is NaN."""
    assert type(found) is type(expected)
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            same(found[key], value)
    elif expected is not None:
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_array_equal(found, expected)
        known = ~np.isnan(expected)
        np.testing.assert_array_equal(
            np.signbit(found) & known, np.signbit(expected) & known
        )


def agrees(f, *args, at=(), numbers=True, jacobian=True):
    """A function's tape and its code give the same, here and at other arguments."""
    tape = tg.record(f, *args)
    assert is_numbers(sweeps.flat(tape), "gradient") is numbers
    native = tape.compile()
    single = len(tape.outputs) == 1 and tape.aval_of(tape.outputs[0])[0] == ()
    for point in [args, *at]:
        with np.errstate(all="ignore"):
            same(native(*point), tape(*point))
            if single:
                same(native.value_and_gradient(*point), tape.value_and_gradient(*point))
                same(native.gradient(*point), tape.gradient(*point))
            if jacobian:
                np.testing.assert_equal(native.jacobian(*point), tape.jacobian(*point))
    return native


def rosen(x):
    s = 0.0
    for i in range(len(x) - 1):
        s = s + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return s


X = np.array([0.5, -1.5, 2.0, 0.0, -0.0])


@pytest.mark.parametrize("n", [2, 3, 50])
def test_a_loop_over_entries_is_lowered_as_numbers(n):
    x = np.linspace(-1.0, 1.0, n)
    agrees(rosen, x, at=[(x * 2,), (-x,)])
    tape = tg.record(rosen, x)
    np.testing.assert_allclose(
        tape.compile().hessian(x), tape.hessian(x), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        tape.compile().hvp((x,), (x,)), tape.hvp((x,), (x,)), rtol=1e-12, atol=1e-12
    )


def test_the_text_is_what_is_compiled():
    text = tg.record(rosen, X).to_llvm()
    assert "define i32 @kernel(ptr noalias %x, ptr noalias %y, ptr noalias %s)" in text
    llvm.parse_assembly(text, context=llvm.create_context()).verify()


def test_several_functions_share_an_arena():
    x = np.linspace(-1.0, 1.0, 300)
    native = agrees(rosen, x, jacobian=False)
    part = native.report.parts["gradient"]
    assert part.chunks > 1
    assert part.arena_bytes > 0


def unpacked(v):
    a, b, c, d, e = v
    return a * b + c.sin() * d - e


def matrix(m):
    return m[0, 0] * m[1, 1] - m[0, 1] * m[1][0] + m[-1, -1]


def sliced(x):
    y = x[1:]
    z = y[::-1]
    return y[0] * z[0] * x[1] + z[1] * y[0] + x[1] * 3.0


def joined(x):
    m = np.stack([x[0] * x[1], x[2], x[0]])
    n = np.concatenate([m, x[:2]]).reshape(5)
    return n[0] * n[1] + n[3] * n[3] + m[2] * n[0]


def short_arrays(x):
    y = x[:2] * x[2]
    return y[0] * y[1] + x[0] * x[4] + (x[1] + x[3]) * x[2] * x[1] - x[3]


def chosen(x):
    big = x[0] > x[1]
    return tg.where(big, x[0].log(), x[1].exp() * x[0]) + tg.where(big, 1.0, x[2])


def chosen_arrays(x):
    y = tg.where(x[0] > x[1], np.stack([x[0], x[2]]), np.stack([x[1], x[3].exp()]))
    return (y[0] + x[1]) * (y[1] + x[2]) * x[0] + x[0] * x[4] - x[1] * x[2]


def written(x):
    y = x * 1.0
    y[0] = x[1] * x[2]
    y[1] = y[0] + x[3] * x[0]
    return y[0] * y[1] + y[2] * x[1] + x[3] * x[4] + x[1] - x[2] * x[3]


def gathered(x):
    y = x[np.array([3, 0, 3])]
    return y[0] * y[1] + y[2] * x[0] + x[1] * x[2]


FUNCTIONS = {
    f.__name__: f
    for f in (
        rosen,
        unpacked,
        sliced,
        joined,
        short_arrays,
        chosen,
        chosen_arrays,
        written,
        gathered,
    )
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_are_the_interpreter_s(name):
    rng = np.random.default_rng(5)
    at = [(np.array(rng.choice(SPECIAL, 5)),) for _ in range(20)]
    at += [(rng.normal(size=5),) for _ in range(5)]
    agrees(FUNCTIONS[name], X, at=at)


def test_rows_and_entries_of_matrices():
    rng = np.random.default_rng(6)
    agrees(matrix, rng.normal(size=(2, 2)), at=[(rng.normal(size=(2, 2)),)])

    def rows(m):
        total = 0.0
        for row in m:
            for entry in row:
                total = total * 0.5 + entry * row[0]
        return total

    agrees(rows, rng.normal(size=(3, 2)))
    agrees(lambda m: m.T[0][1] * m.reshape(6)[5], rng.normal(size=(2, 3)))


def test_arrays_beside_numbers_and_in_nestings():
    def f(a, x, t):
        return a * x[0] + x[1] * t["k"][0] - t["k"][1][2] * a

    t = {"k": [2.0, np.array([1.0, 2.0, 3.0])]}
    agrees(f, 0.5, X, t, at=[(-1.5, X * 2, {"k": [-0.0, np.array([3.0, 4.0, -1.0])]})])
    tape = tg.record(lambda x, k=1.0: x[0] * x[1] * k, X, k=2.0)
    same(tape.compile()(X, k=3.0), tape(X, k=3.0))


def test_entries_that_nobody_reads_have_no_derivative():
    native = agrees(lambda x: x[1] * x[1], X)
    assert native.gradient(X).tolist() == [0.0, -3.0, 0.0, 0.0, 0.0]
    agrees(lambda x, y: x[0] * x[2] + x[0], X, X)


def test_the_same_array_twice_and_new_results():
    native = agrees(lambda x, y: x[0] * y[1] + x[1], X, X.copy())
    same(native(X, X), tg.record(lambda x, y: x[0] * y[1] + x[1], X, X)(X, X))
    first, _ = native.gradient(X, X)
    first[:] = 7.0
    assert native.gradient(X, X)[0].tolist() == [-1.5, 1.0, 0.0, 0.0, 0.0]
    assert X.tolist() == [0.5, -1.5, 2.0, 0.0, -0.0]


def test_outputs_of_every_kind():
    def f(x):
        y = np.stack([x[0] * x[1], x[2]])
        return {"a": [y, x[0] > x[1], x], "b": (x[3] * x[3], x[0], 2.0, x[1:3])}

    tape = tg.record(f, X)
    assert is_numbers(sweeps.flat(tape), "value")
    for point in (X, -X):
        same(tape.compile()(point), tape(point))

    def rows(x):
        return np.stack([x[0] * x[1], x[2].sin(), x[0] * x[0]]), x[1] * 2.0, x[:2]

    agrees(rows, X, at=[(X * 3,)])


def test_empty_arrays_and_no_arrays():
    def f(x, nothing):
        return x[0] * x[1] + len(nothing)

    agrees(f, X, np.zeros((0, 3)))
    agrees(lambda x: np.concatenate([x[:0], np.stack([x[0] * x[1]])]), X)


def test_what_is_no_tape_of_numbers_stays_one_of_arrays():
    n = np.arange(5)
    agrees(lambda x: x[0] * x[1] + np.sum(x), X, numbers=False, jacobian=False)
    agrees(lambda x, k: x[0] * x[1] + 1.0 * k[0], X, n, numbers=False, jacobian=False)
    agrees(lambda x: np.sin(x) * x[0] * 2.0, X, numbers=False, jacobian=False)
    agrees(
        lambda x: x[0] * x[1], np.linspace(0, 1, 5000), numbers=False, jacobian=False
    )
    agrees(lambda x: x[0] * x[1], np.ones(3, np.float32), numbers=False, jacobian=False)


def test_a_guard_that_flips_is_named():
    def f(x):
        s = x[0] * x[1]
        if x[2] > 0.0:
            s = s * x[2]
        return s

    tape = tg.record(f, X)
    native = tape.compile()
    assert is_numbers(sweeps.flat(tape), "gradient")
    same(native.value_and_gradient(X), tape.value_and_gradient(X))
    with pytest.raises(tg.BranchChanged, match="test_scalars.py") as native_says:
        native.gradient(-X)
    with pytest.raises(tg.BranchChanged) as interpreter_says:
        tape.gradient(-X)
    assert str(native_says.value) == str(interpreter_says.value)


def test_other_arguments_than_exact_arrays():
    tape = tg.record(rosen, X)
    native = tape.compile()
    wide = np.zeros(10)
    wide[::2] = X
    for x in (X.tolist(), wide[::2], X.astype(np.float32), X.astype(">f8")):
        same(native.value_and_gradient(x), tape.value_and_gradient(x))
    with pytest.raises(tg.ShapeError):
        native(np.ones(4))


# -- programs that nobody wrote --------------------------------------------------

WORDS = ["add", "sub", "mul", "mul", "div", "sqrt", "max", "where", "abs", "neg"]
MOVES = ["slice", "flip", "join", "set", "scale", "row", "pick"]
STEPS = st.lists(
    st.tuples(st.sampled_from(WORDS + MOVES), st.tuples(*[st.integers(0, 40)] * 4)),
    min_size=1,
    max_size=25,
)
FLOATS = st.one_of(st.sampled_from(SPECIAL), st.floats(-4.0, 4.0))


def program(steps):
    """A function of an array and a number that applies steps to earlier results."""

    def f(x, t):
        numbers, arrays = [t, x[0]], [x]
        for name, (i, j, k, at) in steps:
            a, b, c = (numbers[-1 - place % len(numbers)] for place in (i, j, k))
            v = arrays[-1 - i % len(arrays)]
            size = v.shape[0]
            if name == "slice":
                arrays.append(v[at % size :])
            elif name == "flip":
                arrays.append(v[::-1])
            elif name == "join":
                arrays.append(np.concatenate([np.stack([a, b]), v[: 1 + at % 3]]))
            elif name == "row":
                arrays.append(np.stack([v, v[::-1]])[at % 2])
            elif name == "set":
                w = v * 1.0
                w[j % size] = b
                arrays.append(w)
            elif name == "scale":
                arrays.append(v * a)
            elif name == "pick":
                numbers.append(v[at % size])
            elif name == "where":
                numbers.append(tg.where(a < b, b, c))
            else:
                row = TABLE[name]
                numbers.append(apply(row, *[a, b][: row.arity]))
        v = arrays[-1]
        return numbers[-1] + numbers[len(numbers) // 2] * v[v.shape[0] // 2]

    return f


@settings(max_examples=60, deadline=None)
@given(STEPS, st.lists(FLOATS, min_size=4, max_size=4), FLOATS)
def test_random_programs(steps, x, t):
    tape = tg.record(program(steps), np.array([0.5, -1.5, 2.5, 1.0]), 0.25)
    same_as_the_interpreter(tape, np.array(x), t)


def same_as_the_interpreter(tape, x, t):
    base = sweeps.flat(tape)
    with np.errstate(all="ignore"):
        want, (by_x, by_t) = tape.value_and_gradient(x, t)
        for part in ("value", "gradient"):
            flat = derived(base, part)
            flat.tape.check()
            slots = sweeps.replay(flat.tape, SCALAR, [*x.tolist(), t])
            found = [float(slots[slot]) for slot in flat.tape.outputs]
            same(found[0], float(want))
    same(np.array(found[1:-1]), by_x)
    same(found[-1], float(by_t))


@settings(max_examples=15, deadline=None)
@given(STEPS, st.lists(FLOATS, min_size=4, max_size=4), FLOATS)
def test_random_programs_compiled(steps, x, t):
    tape = tg.record(program(steps), np.array([0.5, -1.5, 2.5, 1.0]), 0.25)
    if not is_numbers(sweeps.flat(tape), "gradient"):
        return
    native = tape.compile(level=0)
    with np.errstate(all="ignore"):
        want = tape.value_and_gradient(np.array(x), t)
        same(native.value_and_gradient(np.array(x), t), want)
        np.testing.assert_equal(
            native.jacobian(np.array(x), t), tape.jacobian(np.array(x), t)
        )


def test_a_wrong_order_of_sums_is_found(monkeypatch):
    """The tests above can fail."""
    x = np.array([0.1, 0.2, 0.3, 0.4])
    f = program([("pick", (0, 0, 0, 0)), ("mul", (0, 1, 0, 0)), ("add", (0, 1, 0, 0))])
    tape = tg.record(lambda x, t: f(x, t) + x[0] * 0.7 + x[0] * t * 0.3, x, 0.6)
    same_as_the_interpreter(tape, x, 0.6)
    zeros = tg.record(lambda x, t: -x[0] * t + x[1] * 0.0, x, 0.0)
    same_as_the_interpreter(zeros, x, 0.0)
    monkeypatch.setattr(sweep.Sweep, "_entry", lambda self, bars, e: bars.parts[e])
    with pytest.raises((AssertionError, KeyError)):
        same_as_the_interpreter(zeros, x, 0.0)


def test_the_tape_of_entries_has_the_guards_of_the_tape():
    def f(x):
        return x[0] * x[1] if x[2] > x[0] else x[1]

    tape = tg.record(f, X)
    flat = derived(tape, "gradient").tape
    assert [dataclasses.astuple(g) for g in flat.guards] == [
        dataclasses.astuple(g) for g in tape.guards
    ]


def test_of_numbers_it_is_the_recorder_s_tape():
    """The same steps, once both are tidied."""

    def f(a, b):
        c = tg.where(a > b, a * b, b.exp()) / (a - b) + tg.maximum(a, b) ** 3
        d = c.tanh() * a - abs(b) * c
        return d + c * d, d > 0.0, a, 2.0

    tape = tg.record(f, 2.0, 1.0)
    ours, theirs = tidy(derived(tape, "gradient").tape), gradient_tape(tape)
    assert sorted(map(step_text, ours)) == sorted(map(step_text, theirs))
    for point in [(2.5, 1.5), (1.5, 2.5), (0.5, -3.0), (-0.0, 0.0)]:
        found = [sweeps.outputs(each, SCALAR, point) for each in (ours, theirs)]
        same(*[[float(x) for x in each] for each in found])


def step_text(step):
    return f"{step.primitive.name} {dict(step.params)} {len(step.operands)}"


def test_second_derivatives_of_long_loops(monkeypatch):
    """The gradient's tape is made of entries, and is a tape like any other."""
    monkeypatch.setattr(woven, "RECORDED", 0)
    x = np.linspace(-1.0, 1.0, 20)
    empty = np.zeros((0, 2))

    def f(x, m, nothing, t):
        return rosen(x) * t + m[0, 1] * m[1, 0] * x[0] + len(nothing) * t

    args = (x, np.array([[1.0, 2.0], [3.0, 4.0]]), empty, 0.5)
    tape = tg.record(f, *args)
    made = woven.adjoint_tape(tape)
    made.check()
    assert "scatter" not in made.operations
    np.testing.assert_equal(made(*args), tape.gradient(*args))
    native = tape.compile()
    close(native.hvp(args, args), tape.hvp(args, args))
    close(native.hessian(*args), tape.hessian(*args))
    close(native.vjp(args, 2.0), tape.vjp(args, 2.0))


def test_pullbacks_of_long_loops(monkeypatch):
    monkeypatch.setattr(woven, "RECORDED", 0)
    for f in FUNCTIONS.values():
        tape = tg.record(f, X)
        close(tape.compile().vjp((X,), 2.0), tape.vjp((X,), 2.0))

    def rows(x):
        return np.stack([x[0] * x[1], x[2].sin(), x[0] * x[0]]), x[1] * 2.0, x[1] * 2.0

    tape = tg.record(rows, X)
    bars = np.array([1.0, -2.0, 0.5]), 3.0, 4.0
    close(tape.compile().vjp((X,), bars), tape.vjp((X,), bars))
    with pytest.raises(tg.TapegradError):
        tape.compile().vjp((X,), (1.0, 3.0, 4.0))


def close(found, expected):
    """Equal nestings, and numbers but for the order of sums."""
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            close(one, other)
    else:
        assert np.shape(found) == np.shape(expected)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
