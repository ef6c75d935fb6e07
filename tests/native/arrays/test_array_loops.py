"""What becomes a loop, what is stored, and what kernels on arrays return."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.errors import CompileError
from tapegrad.native.arrays import lower_arrays
from tapegrad.native.arrays.places import Cut, Stored, Term, within
from tapegrad.passes import prune
from tapegrad.rules import TABLE
from tapegrad.sweeps import flat

RNG = np.random.default_rng(5)


def rosenbrock(x):
    """The sum as SciPy writes it."""
    return (100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0).sum()


def test_a_chain_is_one_loop_without_memory(both):
    tape = tg.record(lambda x: (np.sin(x) * x + 1.0).sum(), RNG.normal(size=100))
    kernel = both(tape, RNG.normal(size=100))
    assert (kernel.lowered.nests, kernel.lowered.arena_bytes) == (1, 0)


@pytest.mark.parametrize("size", [2, 3, 5, 64, 1001])
def test_slices_and_their_adjoints_are_read_where_they_stand(size, both):
    x = RNG.normal(size=size)
    kernel = both(gradient_tape(tg.record(rosenbrock, x)), x)
    assert kernel.lowered.arena_bytes == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_network_and_its_gradient(dtype, both):
    xs = [RNG.normal(size=s).astype(dtype) for s in ((40, 3), (3, 20), (20,), (20, 17))]

    def loss(x, w, b, v):
        hidden = np.maximum(x @ w + b, 0.0)
        return ((np.tanh(hidden @ v) - 0.5) ** 2).mean()

    tolerance = {"float64": 1e-12, "float32": 1e-4}[dtype]
    tape = gradient_tape(tg.record(loss, *xs))
    both(tape, *xs, rtol=tolerance, atol=tolerance)


def test_sums_over_each_set_of_axes(both):
    x = RNG.normal(size=(4, 5, 6))
    sets = [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
    both(tg.record(lambda x: [(x * 2.0).sum(axis=axes) for axes in sets], x), x)


@pytest.mark.parametrize("size", [2048, 4096, 7919, 100_003, 3_000_000])
def test_long_sums_round_as_sums_of_blocks(size, kernel):
    """In float32 a running sum would lose the fourth digit, a sum of blocks none."""
    x = RNG.random(size).astype(np.float32)
    run = kernel(tg.record(lambda x: (x.sum(), (x * x).sum()), x))
    status, found = run(x)
    assert status == 0
    wide = x.astype(np.float64)
    want = [wide.sum(), (wide * wide).sum()]
    np.testing.assert_allclose(found, want, rtol=3e-6)


def test_selections_are_cut_at_their_edges(both):
    x = RNG.normal(size=(9, 8))

    def f(u):
        v = u * 1.0
        v[1:-1, 1:-1] = u[1:-1, 1:-1] + 0.1 * (u[2:, 1:-1] - u[:-2, 1:-1])
        w = np.concatenate([v[:2], v[5:] * 2.0], axis=0)
        return (w * w).sum() + v[::-2, 3].sum()

    both(gradient_tape(tg.record(f, x)), x)


@pytest.mark.parametrize("size", [5, 40, 200])
def test_loops_over_entries_stay_linear(size, both):
    x = RNG.normal(size=size)

    def f(x):
        total = 0.0
        for i in range(size - 1):
            total = total + (x[i + 1] - x[i] * x[i]) ** 2
        return total

    kernel = both(gradient_tape(tg.record(f, x)), x)
    assert kernel.lowered.arena_bytes <= 64 * 8 * size


def test_writes_in_a_loop(both):
    x = RNG.normal(size=30)

    def f(x):
        y = x * 1.0
        for i in range(1, 30):
            y[i] = y[i - 1] * 0.5 + x[i]
        return (y * y).sum()

    both(gradient_tape(tg.record(f, x)), x)


def test_many_steps_in_several_functions(both):
    x = RNG.normal(size=6)

    def f(x):
        s = x[0]
        for i in range(1500):
            s = s * 0.5 + x[i % 6]
        return (x * s).sum()

    kernel = both(tg.record(f, x, roll=False), x)
    assert kernel.lowered.chunks > 1


def test_outputs_that_are_inputs_constants_views_and_twice_the_same(both):
    x, c = RNG.normal(size=(3, 4)), RNG.normal(size=100)

    def f(x, flag):
        y = x * 2.0
        return x, c * 1.0, y, y, y.reshape(12), x.T, x[0, 0], flag, x > 0.0, y[0, 1]

    both(prune(tg.record(f, x, 1.5)), x, 1.5)


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "amin"])
def test_reductions_of_integers(name, kernel, steps):
    x = RNG.integers(-9, 9, size=(5, 7))
    run = kernel(steps(TABLE[name], [([x], {"axes": (1,)})]))
    status, (found,) = run(x)
    assert status == 0
    np.testing.assert_array_equal(found, TABLE[name].numpy(np, x, axes=(1,)))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_entries(shape, both):
    x = np.zeros(shape)
    both(tg.record(lambda x: ((x * 2.0).sum(axis=0), x + 1.0, x.sum()), x), x)


def test_nan_and_signs_of_zero(both):
    x = np.array([np.nan, -0.0, 0.0, np.inf, -np.inf, 1.0, -1.0, 2.0, 3.0])
    tape = tg.record(lambda x: (np.maximum(x, 0.0), -x, x * 0.0, np.max(x), x + 0.0), x)
    kernel = both(tape, x)
    _, found = kernel(x)
    for mine, theirs in zip(found[1], -x, strict=True):
        assert np.signbit(mine) == np.signbit(theirs)


def test_numbers_and_arrays_in_any_mix(both):
    x = RNG.normal(size=5)
    tape = tg.record(lambda x, a: a * x.sum() + a**2 + (x * a).sum(), x, 2.0)
    both(gradient_tape(tape), x, 3.0)


def test_a_flipped_guard_is_a_status(kernel):
    x = np.array([1.0, 2.0])

    def f(x):
        return x * 2.0 if x.sum() > 0 else x * 3.0

    tape = tg.record(f, x)
    run = kernel(tape)
    assert run(x)[0] == 0
    status, _ = run(-x)
    assert tape.step(status - 1).primitive.name == "guard"


def test_failures_of_linear_algebra_are_a_status(kernel, steps):
    one, two = np.eye(2), np.ones((2, 1))
    solve = kernel(steps(TABLE["solve"], [([one, two], {})]))
    assert solve(one, two)[0] == 0
    assert solve(np.ones((2, 2)), two)[0] < 0
    cholesky = kernel(steps(TABLE["cholesky"], [([one], {})]))
    assert cholesky(-one)[0] < 0


def test_one_factorisation_serves_both_systems_and_the_determinant(both):
    a, b = RNG.normal(size=(6, 6)) + 6 * np.eye(6), RNG.normal(size=6)

    def f(a, b):
        return (b * np.linalg.solve(a, b)).sum() + np.linalg.slogdet(a)[1]

    kernel = both(gradient_tape(tg.record(f, a, b)), a, b)
    assert kernel.lowered.body.count("call void @lapack_dgetrf(") == 1


def test_places_out_of_bounds_are_a_status(kernel, steps):
    x, at = np.arange(4.0), np.array([0, -4, 3])
    run = kernel(steps(TABLE["gather"], [([x, at], {"key": ("a",)})]))
    status, (found,) = run(x, at)
    assert (status, found.tolist()) == (0, [0.0, 0.0, 3.0])
    assert run(x, np.array([0, 4, 1]))[0] < 0
    assert run(x, np.array([-5, 0, 1]))[0] < 0


def test_large_constants_stand_outside_the_text():
    c = RNG.normal(size=1000)
    lowered = lower_arrays(tg.record(lambda x: x * c, c))
    assert len(lowered.text) < 5000
    assert [call.place is not None for call in lowered.calls].count(True) == 1


def test_sort_is_stable_and_nan_comes_last(kernel, steps):
    x = np.array([3.0, np.nan, 1.0, 3.0, -1.0, 1.0, np.nan, 0.0, -0.0, 2.0, 1.0])
    row = TABLE["argsort"]
    _, (found,) = kernel(steps(row, [([x], {"axis": 0})]))(x)
    np.testing.assert_array_equal(found, np.argsort(x, kind="stable"))


def test_products_of_every_layout(both):
    a, b = RNG.normal(size=(30, 20)), RNG.normal(size=(25, 20))
    s, t = RNG.normal(size=(3, 30, 20)), RNG.normal(size=(3, 20, 25))

    def f(a, b, s, t):
        flat = np.einsum("ij,kj->ki", a, b)
        both = np.einsum("bij,bjk->bki", s, t)
        return a @ b.T, flat, s @ t, s @ b.T, both, a.T[2:12] @ a, s[1] @ t[2]

    tape = tg.record(f, a, b, s, t)
    kernel = both(tape, a, b, s, t)
    assert any(call.name == "blas_dgemm" for call in kernel.lowered.calls)


def test_call_steps_are_refused():
    inner = tg.record(lambda x: x * 2.0, np.ones(2))
    outer = tg.record(lambda x: inner(x) + 1.0, np.ones(2))
    assert lower_arrays(flat(outer)).steps > 0
    if outer is not flat(outer):
        with pytest.raises(CompileError, match="flat"):
            lower_arrays(outer)


def test_two_kernels_do_not_share_memory(kernel):
    x = RNG.normal(size=50)
    tape = tg.record(lambda x: np.cumsum(np.sin(x)).sum(), x)
    one, two = kernel(tape), kernel(tape)
    first = one(x)[1][0]
    two(x * 2)
    assert one(x)[1][0] == first
    assert ctypes.sizeof(ctypes.c_void_p) == 8


@pytest.mark.parametrize("step", [1, -1, 2, -3])
def test_places_inside_a_slice(step):
    """Against looking at each place."""
    for c, offset, count in [(1, 0, 3), (-1, 7, 2), (2, 1, 1), (3, -1, 3)]:
        first = 5 if step > 0 else 8
        places = [first + k * step for k in range(count)]
        todo = [(0, 6)]
        while todo:
            box = todo.pop()
            at = None
            try:
                found = within(Term(0, c, offset), (first, count, step), (box,), None)
            except Cut as cut:
                at = cut.at
            except Stored:
                continue
            if at is not None:
                assert box[0] < at < box[1]
                todo += [(box[0], at), (at, box[1])]
                continue
            for i in range(*box):
                inside = c * i + offset in places
                assert inside == (found is not None)
                if found is not None:
                    place = found.coefficient * i + found.offset
                    assert places[place] == c * i + offset


@pytest.mark.parametrize(
    "routine",
    [
        np.cumsum,
        np.sort,
        lambda y: np.linalg.solve(y.reshape(1, 1) + 2.0, y),
        lambda y: y.reshape(1, 1) @ np.ones((1, 60)) @ np.ones((60, 60)),
    ],
)
def test_a_routine_takes_a_number_as_an_array_of_one_entry(both, routine):
    """A number is in a register, where no routine finds it."""

    def f(x, s):
        made = [np.reshape(np.tanh(s), (1,)), x.sum().reshape(1), np.reshape(s, (1,))]
        return sum(routine(y).sum() for y in made)

    both(tg.record(f, RNG.normal(size=3), 0.7), RNG.normal(size=3), 0.4)
    both(gradient_tape(tg.record(f, np.ones(3), 0.7)), RNG.normal(size=3), 0.4)
