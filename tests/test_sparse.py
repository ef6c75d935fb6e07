"""Sparse derivatives against dense ones: pattern, colours, numbers, bad input."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import cases
from tapegrad.rules import TABLE
from tapegrad.sparse import colouring, reaches
from tapegrad.sparse.pattern import pattern

WHOLE = [row for row in TABLE if row.whole and row.kind in SMOOTH]
PLAIN = [
    row
    for row in TABLE
    if row.kind == "elementwise" and row.partials is not None and not row.digest
]
# Rows whose pattern is wider than their derivative at one point: linear algebra, with
# zeros of its own, and extremes, where values decide.
WIDER = {"solve_triangular", "cofactor", "cholesky", "amax", "amin"}


def dense(f: Any, *args: Any, argnums: int = 0) -> Any:
    """The Jacobian of all outputs as one matrix."""
    found = tg.jacobian(f, argnums)(*args)
    parts = found if isinstance(found, list | tuple) else [found]
    size = np.size(args[argnums])
    return np.concatenate([np.reshape(part, (-1, size)) for part in parts if size])


def agrees(found: Any, want: Any, tolerance: float = 1e-12) -> None:
    """Equal numbers, and no nonzero outside the pattern."""
    assert isinstance(found, sp.csr_array)
    assert found.shape == want.shape
    assert found.has_sorted_indices
    scale = max(1.0, float(np.abs(want).max(initial=0.0)))
    assert np.abs(found.toarray() - want).max(initial=0.0) <= tolerance * scale


# -- pattern ---------------------------------------------------------------------


@pytest.mark.parametrize("row", WHOLE, ids=lambda row: row.name)
def test_the_pattern_of_every_row_of_arrays(row: Any) -> None:
    for case in cases(row)[::3]:
        for k in case.free:
            if not np.size(case.xs[k]):
                continue

            def f(*xs: Any) -> Any:
                return apply(row, *xs, **case.params)  # noqa: B023 - called at once

            jacobian = tg.sparse_jacobian(f, *case.xs, argnums=k)
            want = dense(f, *case.xs, argnums=k)
            seen = jacobian.pattern.toarray()
            assert not (~seen & (want != 0)).any()
            if row.name not in WIDER:
                assert np.array_equal(seen, want != 0)
            agrees(jacobian(*case.xs), want)
            agrees(jacobian.compile()(*case.xs), want)


@pytest.mark.parametrize("row", PLAIN, ids=lambda row: row.name)
def test_the_pattern_of_every_elementwise_row(row: Any) -> None:
    params = dict(row.params[0])
    point = [np.array([0.3, 0.4, 0.2]) + 0.1 * k for k in range(row.arity)]
    for k in range(row.arity):

        def f(*xs: Any) -> Any:
            return apply(row, *xs, **params)

        tape = tg.record(f, *point)
        seen = pattern(tape, [tape.inputs[k]]).toarray()
        want = dense(f, *point, argnums=k)
        assert not (~seen & (want != 0)).any()
        assert np.array_equal(seen, np.eye(3, dtype=bool))


def test_what_is_known_to_be_zero_is_no_dependence() -> None:
    band = np.diag(np.arange(1.0, 6.0)) + np.diag(np.ones(4), 1)
    x = np.linspace(0.5, 1.5, 5)
    jacobian = tg.sparse_jacobian(lambda x: band @ x * np.array([1.0, 0, 1, 1, 1]), x)
    want = band != 0
    want[1] = False
    assert np.array_equal(jacobian.pattern.toarray(), want)
    agrees(jacobian(x), dense(lambda x: band @ x * np.array([1.0, 0, 1, 1, 1]), x))
    chosen = np.array([True, False, True, False, True])
    jacobian = tg.sparse_jacobian(lambda x: tg.where(chosen, x, x[::-1] * 2.0), x)
    agrees(jacobian(x), dense(lambda x: tg.where(chosen, x, x[::-1] * 2.0), x))
    assert jacobian.pattern.nnz == 5


def test_both_arms_of_a_choice_count() -> None:
    f = lambda x: tg.where(x[1:] > 0.0, x[1:], x[:-1])  # noqa: E731
    jacobian = tg.sparse_jacobian(f, np.ones(4))
    assert jacobian.pattern.nnz == 6
    for x in (np.ones(4), -np.ones(4), np.array([1.0, -1.0, 1.0, -1.0])):
        agrees(jacobian(x), dense(f, x))


def test_an_index_that_floats_decide_may_be_any() -> None:
    f = lambda x: np.sort(x) * x  # noqa: E731
    jacobian = tg.sparse_jacobian(f, np.arange(4.0))
    for x in (np.arange(4.0), np.array([3.0, 1.0, 2.0, 0.0])):
        agrees(jacobian(x), dense(f, x))


def test_scalars_and_arrays_have_the_same_pattern() -> None:
    def loop(x: Any) -> Any:
        return [x[i] * x[i + 1] + np.sin(x[i]) for i in range(len(x) - 1)]

    x = np.linspace(0.1, 1.0, 40)
    one = tg.sparse_jacobian(loop, x)
    two = tg.sparse_jacobian(loop, x.tolist())
    three = tg.sparse_jacobian(lambda x: x[:-1] * x[1:] + np.sin(x[:-1]), x)
    assert np.array_equal(one.pattern.toarray(), three.pattern.toarray())
    assert np.array_equal(two.pattern.toarray(), three.pattern.toarray())
    want = dense(lambda x: x[:-1] * x[1:] + np.sin(x[:-1]), x)
    for found in (one(x), two(x.tolist()), three(x), two.compile()(x.tolist())):
        agrees(found, want)
    # the object array of a loop is one output
    four = tg.sparse_jacobian(lambda x: np.array(loop(x)), x)
    agrees(four(x), want)


def test_long_tapes_of_scalars(monkeypatch: pytest.MonkeyPatch) -> None:
    """One triangular system in place of a sweep; where slopes are infinite, a sweep."""
    n = 300
    f = lambda x: [  # noqa: E731
        np.sqrt(x[k]) * x[k + 1] + tg.where(x[k] < 0.5, x[k], x[k + 2])
        for k in range(n)
    ]
    jacobian = tg.sparse_jacobian(f, [1.0] * (n + 2))
    assert len(jacobian.tape) > 512
    x = np.random.default_rng(0).uniform(0.0, 1.0, n + 2)

    def wide(x: Any) -> Any:
        chosen = tg.where(x[:n] < 0.5, x[:n], x[2:])
        return np.sqrt(x[:n]) * x[1 : n + 1] + chosen

    agrees(jacobian(x.tolist()), dense(wide, x))
    monkeypatch.setattr("tapegrad.sparse.plan.ROOM", 1000)
    agrees(jacobian(x.tolist()), dense(wide, x))
    x[::7] = 0.0
    found = jacobian(x.tolist()).toarray()
    want = tg.sparse_jacobian(wide, x)(x).toarray()
    assert np.array_equal(found, want)
    assert np.isinf(want[range(0, n, 7), range(0, n, 7)]).all()
    assert not np.isnan(want).any()


def test_dependences_of_single_entries_on_many_variables() -> None:
    """Integers with a bit a variable, short and long ones."""
    for n in (3, 15, 16, 17, 300):
        bits = sum(1 << k for k in range(0, 2 * n, 2))
        columns = reaches.columns_of(bits)
        assert columns.tolist() == list(range(0, 2 * n, 2))
        assert reaches.bits_of(reaches.from_bits(bits, 2 * n)) == bits


# -- random programs -------------------------------------------------------------


def program(rng: Any, n: int) -> Any:
    """A random program of slices, gathers, reductions, products and choices."""
    steps = rng.integers(0, 9, 6).tolist()
    index = rng.integers(0, n, n)
    band = np.where(rng.random((n, n)) < 0.3, rng.normal(size=(n, n)), 0.0)

    def f(x: Any) -> Any:
        y = x * 1.5
        for step in steps:
            if step == 0:
                y = y + np.sin(x[index])
            elif step == 1:
                y = np.concatenate([y[1:] * x[:-1], y[:1]])
            elif step == 2:
                y = band @ y
            elif step == 3:
                y = tg.where(x > 0.2, y, y[::-1])
            elif step == 4:
                y = np.exp(-(y**2)) + x
            elif step == 5:
                y = np.roll(y, 2) + np.tanh(y)
            elif step == 6 and n % 2 == 0:
                y = (y.reshape(2, n // 2).T * 2.0).reshape(n) * y
            elif step == 7:
                y = y * x[0]
            else:
                y = np.maximum(y, 0.1 * x)
        return y

    return f


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    f, x = program(rng, n), rng.normal(size=n)
    jacobian = tg.sparse_jacobian(f, rng.normal(size=n))
    want = dense(f, x)
    assert not (~jacobian.pattern.toarray() & (want != 0)).any()
    agrees(jacobian(x), want)
    total = lambda x: np.sum(f(x) ** 2)  # noqa: E731
    hessian = tg.sparse_hessian(total, rng.normal(size=n))
    found = hessian(x)
    agrees(found, tg.hessian(total)(x), 1e-10)
    assert (found != found.T).nnz == 0
    if seed % 5 == 0:
        agrees(jacobian.compile()(x), want)
        agrees(hessian.compile()(x), tg.hessian(total)(x), 1e-10)


# -- colours ---------------------------------------------------------------------


def proper(found: Any, colours: Any) -> bool:
    """No row has a colour twice."""
    return all(len({*mine}) == len(mine) for mine in (colours[row] for row in found))


def star(found: Any, colours: Any) -> bool:
    """Neighbours differ, and each path of four has three colours."""
    n = len(found)
    near = [[j for j in np.flatnonzero(found[i]) if j != i] for i in range(n)]
    for i, j in itertools.chain.from_iterable(
        ((i, j) for j in near[i]) for i in range(n)
    ):
        if colours[i] == colours[j]:
            return False
        for k, h in itertools.product(near[j], near[i]):
            if k not in (i, h) and h != j and len({*colours[[h, i, j, k]]}) < 3:
                return False
    return True


@pytest.mark.parametrize("seed", range(60))
def test_colours_of_random_patterns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 15))
    table = rng.random((n, n)) < rng.random() * 0.6
    assert proper(table, colouring.columns(sp.csr_array(table)))
    both = table | table.T | np.eye(n, dtype=bool)
    assert star(both, colouring.star(sp.csr_array(both)))
    assert star(both, colouring.star(sp.csr_array(both & ~np.eye(n, dtype=bool))))


def test_rows_win_where_their_bound_is_higher() -> None:
    """Products of all pairs of four: rows have two entries, and columns need four
    colours; columns have three, and the pairs (the edges of K4) need three.
    """
    f = lambda x: [x[i] * x[j] for i, j in itertools.combinations(range(4), 2)]  # noqa: E731
    jacobian = tg.sparse_jacobian(f, np.ones(4))
    assert (jacobian.mode, jacobian.colors.max() + 1) == ("rows", 3)
    x = np.arange(1.0, 5.0)
    agrees(jacobian(x), dense(f, x))


@pytest.mark.parametrize("hub", [0, 7, 19])
def test_an_arrow_needs_two_colours(hub: int) -> None:
    """A dense row, a dense column: whichever side is cheap; a Hessian takes two."""
    n = 20
    x = np.linspace(0.5, 1.5, n)
    row = lambda x: np.concatenate([x**2, np.sum(x).reshape(1)])  # noqa: E731
    assert tg.sparse_jacobian(row, x).mode == "rows"
    column = lambda x: x**2 * x[hub]  # noqa: E731
    assert tg.sparse_jacobian(column, x).mode == "columns"
    total = lambda x: np.sum(x**3) + np.sum(x[hub] * x)  # noqa: E731
    hessian = tg.sparse_hessian(total, x)
    assert hessian.colors.max() == 1
    for f in (row, column):
        jacobian = tg.sparse_jacobian(f, x)
        assert jacobian.colors.max() == 1
        agrees(jacobian(x), dense(f, x))
        agrees(jacobian.compile()(x), dense(f, x))
    agrees(hessian(x), tg.hessian(total)(x))


def test_bands_need_as_many_colours_as_they_are_wide() -> None:
    x = np.linspace(0.5, 1.5, 60)
    for width in (1, 2, 5):

        def f(x: Any, width: int = width) -> Any:
            return sum(np.sin(x[k : len(x) - width + k]) for k in range(width + 1))

        jacobian = tg.sparse_jacobian(f, x)
        assert jacobian.colors.max() == width
        agrees(jacobian(x), dense(f, x))


def test_many_colours_go_in_several_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tapegrad.sparse.plan.ROOM", 100)
    x = np.linspace(0.0, 1.0, 40)
    f = lambda x: np.sqrt(x[:36]) + x[1:37] * x[2:38] + x[3:39] * x[4:]  # noqa: E731
    jacobian = tg.sparse_jacobian(f, x)
    assert jacobian.colors.max() > 3
    want = dense(f, x)
    want[np.isnan(want)] = 0.0
    assert np.array_equal(jacobian(x).toarray(), want)


def test_a_grid_takes_few_colours() -> None:
    def energy(u: Any) -> Any:
        return np.sum((u[1:] - u[:-1]) ** 4) + np.sum((u[:, 1:] - u[:, :-1]) ** 4)

    u = np.random.default_rng(0).normal(size=(9, 8))
    hessian = tg.sparse_hessian(energy, u)
    assert hessian.colors.max() < 8
    agrees(hessian(u), tg.hessian(energy)(u).reshape(72, 72))


# -- numbers ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_rosenbrock(n: int) -> None:
    x = np.random.default_rng(n).normal(size=n)
    hessian = tg.sparse_hessian(scipy.optimize.rosen, np.zeros(n))
    want = scipy.optimize.rosen_hess(x)
    agrees(hessian(x), want)
    assert hessian.colors.max() == (1 if n < 4 else 2)
    assert hessian.pattern.nnz == 3 * n - 2


def test_an_infinite_slope_stays_where_it_is() -> None:
    """0 * inf is NaN: a seed's zeros must be absent, not numbers."""
    f = lambda x: np.sqrt(x[1:]) + x[:-1] ** 2  # noqa: E731
    x = np.array([1.0, 0.0, 4.0, 0.0])
    want = np.zeros((3, 4))
    want[range(3), range(1, 4)] = [np.inf, 0.25, np.inf]
    want[range(3), range(3)] = 2 * x[:3]
    jacobian = tg.sparse_jacobian(f, np.ones(4))
    assert np.array_equal(jacobian(x).toarray(), want)
    assert np.array_equal(jacobian.compile()(x).toarray(), want)
    listed = tg.sparse_jacobian(
        lambda x: [np.sqrt(x[k + 1]) + x[k] ** 2 for k in range(3)], [1.0] * 4
    )
    assert np.array_equal(listed(x.tolist()).toarray(), want)
    # by rows: a dense row makes columns dear
    g = lambda x: np.concatenate([f(x), np.sum(x).reshape(1)])  # noqa: E731
    jacobian = tg.sparse_jacobian(g, np.ones(4))
    assert jacobian.mode == "rows"
    assert np.array_equal(jacobian(x).toarray(), np.vstack([want, np.ones(4)]))
    # a NaN of the function itself is told
    assert np.isnan(jacobian(np.array([1.0, -1.0, 4.0, 0.0])).toarray()[0, 1])
    norms = lambda x: np.linalg.norm(x.reshape(2, 2), axis=1) + x[:2] * x[2:]  # noqa: E731
    found = tg.sparse_jacobian(norms, np.ones(4))(np.zeros(4))
    assert np.array_equal(found.toarray(), np.zeros((2, 4)))


def test_arguments_nest_as_they_do_elsewhere() -> None:
    def f(p: Any, s: float, k: int) -> Any:
        return {"a": p["w"][1:] * p["b"] * s, "b": p["w"][0] ** k}

    p = {"w": np.array([1.0, 2.0, 3.0]), "b": 0.5, "n": 3}
    jacobian = tg.sparse_jacobian(f, p, 2.0, 2)
    want = np.array([[2.0 * 2, 0, 1, 0], [3.0 * 2, 0, 0, 1], [0, 2.0, 0, 0]])
    # leaves in the order of the argument: b, then w
    assert np.array_equal(jacobian(p, 2.0, 2).toarray(), want)
    both = tg.sparse_jacobian(f, p, 2.0, 2, argnums=(1, 0))(p, 2.0, 2)
    assert np.array_equal(both[0].toarray(), [[1.0], [1.5], [0.0]])
    assert np.array_equal(both[1].toarray(), want)
    g = lambda x, y: np.sum(x**2 * y)  # noqa: E731
    x, y = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    found = tg.sparse_hessian(g, x, y, argnums=(0, 1))(x, y)
    dense_blocks = tg.hessian(g, (0, 1))(x, y)
    for one, two in zip(found, dense_blocks, strict=True):
        for a, b in zip(one, two, strict=True):
            agrees(a, b)


def test_float32_stays_float32() -> None:
    x = np.array([1.0, 2.0, 3.0], np.float32)
    jacobian = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], x)
    assert jacobian(x).dtype == np.float32
    assert np.array_equal(jacobian(x).toarray(), [[2, 1, 0], [0, 3, 2]])


def test_integer_arguments_decide_the_pattern() -> None:
    def f(x: Any, where: Any) -> Any:
        return x[where] ** 2 + x[0]

    x = np.array([1.0, 2.0, 3.0])
    jacobian = tg.sparse_jacobian(f, x, np.array([1, 1]))
    first = jacobian(x, np.array([1, 1]))
    assert np.array_equal(first.toarray(), [[1, 4, 0], [1, 4, 0]])
    # the old colours would add the first column to the third
    for one in (jacobian.compile(), jacobian):
        agrees(one(x, np.array([1, 1])), first.toarray())
        other = one(x, np.array([2, 2]))
        assert np.array_equal(other.toarray(), [[1, 0, 6], [1, 0, 6]])


def test_empty_and_constant() -> None:
    assert tg.sparse_jacobian(lambda x: x, np.zeros(0))(np.zeros(0)).shape == (0, 0)
    constant = tg.sparse_jacobian(tg.stop_gradient, np.ones(3))
    assert constant(np.ones(3)).nnz == 0
    assert constant.compile()(np.ones(3)).shape == (3, 3)
    linear = tg.sparse_hessian(np.sum, np.ones(3))
    assert linear(np.ones(3)).shape == (3, 3)
    assert linear.pattern.nnz == 0
    assert tg.sparse_jacobian(lambda x: 2.0 * x, 1.0)(3.0).toarray() == [[2.0]]


def test_a_result_is_the_callers_own() -> None:
    x = np.array([1.0, 2.0, 3.0])
    jacobian = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], x)
    first = jacobian(x)
    first.data[:] = 0
    first.indices[:] = 0
    first.indptr[:] = 0
    jacobian.pattern.indices[:] = 0
    jacobian.colors[:] = 7
    agrees(jacobian(x), np.array([[2.0, 1, 0], [0, 3, 2]]))


def test_tapes_pickles_and_words() -> None:
    tape = tg.record(lambda x: x[1:] * x[:-1], np.array([1.0, 2.0, 3.0]))
    jacobian = tg.sparse_jacobian(tape)
    assert "2 x 3: 4 entries, 2 colours (columns)" in repr(jacobian)
    again = pickle.loads(pickle.dumps(jacobian))
    agrees(again(np.array([1.0, 2.0, 3.0])), np.array([[2.0, 1, 0], [0, 3, 2]]))


def test_custom_gradients_and_calls_are_passed() -> None:
    @tg.custom_gradient
    def square(x: Any) -> Any:
        return x * x, lambda bar: (3.0 * x * bar,)

    inner = tg.grad(lambda t: t**3)
    f = lambda x: square(x[1:]) * inner(x[0])  # noqa: E731
    x = np.array([1.0, 2.0, 3.0])
    agrees(tg.sparse_jacobian(f, x)(x), dense(f, x))


def test_loops_are_written_out_for_the_pattern() -> None:
    """A loop over rows that stay apart: each depends on its own start alone."""

    def f(x: Any) -> Any:
        carry, seen = tg.scan(lambda c, t: (c * c + t, c), x, np.arange(1.0, 4.0))
        return carry, seen

    x = np.array([0.1, 0.2, 0.3])
    jacobian = tg.sparse_jacobian(f, x)
    assert jacobian.pattern.nnz == 12
    assert jacobian.colors.max() == 0
    agrees(jacobian(x), dense(f, x))
    total = lambda x: np.sum(f(x)[0])  # noqa: E731
    hessian = tg.sparse_hessian(total, x)
    assert hessian.pattern.nnz == 3
    agrees(hessian(x), tg.hessian(total)(x))


# -- in SciPy --------------------------------------------------------------------


def test_scipy_takes_them() -> None:
    n = 50
    hessian = tg.sparse_hessian(scipy.optimize.rosen, np.zeros(n))
    tape = tg.record(scipy.optimize.rosen, np.zeros(n))
    found = scipy.optimize.minimize(
        scipy.optimize.rosen,
        np.full(n, 1.2),
        jac=tape.gradient,
        hess=hessian,
        method="trust-constr",
        options={"gtol": 1e-8},
    )
    assert np.allclose(found.x, 1.0, atol=1e-6)

    def residuals(x: Any) -> Any:
        return np.concatenate([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x[:-1]])

    fit = scipy.optimize.least_squares(
        residuals,
        np.full(n, 0.8),
        jac=tg.sparse_jacobian(residuals, np.ones(n)),
        tr_solver="lsmr",
    )
    assert np.allclose(fit.x, 1.0, atol=1e-5)


# -- bad input -------------------------------------------------------------------


def test_bad_input_is_told() -> None:
    x = np.ones(3)
    with pytest.raises(tg.ShapeError, match="use tape.jacobian"):
        tg.sparse_hessian(lambda x: x * x, x)
    with pytest.raises(tg.ShapeError, match="holds no float"):
        tg.sparse_jacobian(lambda n, x: x * n, 2, x)
    with pytest.raises(tg.ShapeError, match="1 positional"):
        tg.sparse_jacobian(lambda x: x, x, argnums=1)
    with pytest.raises(tg.ShapeError, match="twice"):
        tg.sparse_jacobian(lambda x: x, x, argnums=(0, -1))
    jacobian = tg.sparse_jacobian(lambda x: x[1:] * x[:-1], x)
    with pytest.raises(tg.ShapeError, match="shape"):
        jacobian(np.ones(4))
    with pytest.raises(tg.RecordError, match="value.data"):
        jacobian(tg.Value(x) * 2.0)
    guarded = tg.sparse_jacobian(lambda x: x if x[0] > 0.0 else -x, x)
    with pytest.raises(tg.BranchChanged, match=r"test_sparse\.py"):
        guarded(-x)


def test_what_is_not_sparse_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaches, "LIMIT", 1000)
    with pytest.raises(tg.ShapeError, match=r"use tg\.jacobian or tg\.hessian"):
        tg.sparse_hessian(lambda x: np.sum(x) ** 2, np.ones(100))


def chain(x: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def test_many_entries_get_native_code_at_the_second_call() -> None:
    x = np.linspace(-1.0, 2.0, 400)
    hessian = tg.sparse_hessian(chain, x)
    first = hessian(x)
    assert not hessian.native
    second = hessian(x)
    assert hessian.native
    assert second.dtype == first.dtype
    assert np.array_equal(second.indices, first.indices)
    assert np.array_equal(second.indptr, first.indptr)
    np.testing.assert_allclose(second.data, first.data, rtol=1e-13)
    # it is the caller's, and so is the next one
    second.data[:] = 0
    second.indices[:] = 0
    second.indptr[:] = 0
    agrees(hessian(x), first.toarray(), 1e-13)
    again = pickle.loads(pickle.dumps(hessian))
    agrees(again(x.tolist()), first.toarray(), 1e-13)
    with pytest.raises(tg.ShapeError):
        hessian(x[1:])


def test_few_entries_or_many_steps_stay_with_the_interpreter() -> None:
    def long(x: Any) -> Any:
        for _ in range(600):
            x = x * 1.001
        return x

    for f, x in ((lambda x: x[1:] * x[:-1], np.ones(9)), (long, np.ones(2000))):
        jacobian = tg.sparse_jacobian(f, x)
        for _ in range(3):
            jacobian(x)
        assert not jacobian.native
    assert tg.sparse_jacobian(lambda x: x**2, np.ones(3)).compile().native


def test_changing_patterns_are_not_compiled_again_and_again() -> None:
    def f(x: Any, where: Any) -> Any:
        return x[where] ** 2

    x, where = np.linspace(0.5, 2.0, 1500), np.arange(1500)
    jacobian = tg.sparse_jacobian(f, x, where)
    for turn in range(4):
        found = jacobian(x, np.roll(where, turn))
        assert not jacobian.native
        want = np.zeros((1500, 1500))
        want[where, np.roll(where, turn)] = 2.0 * x[np.roll(where, turn)]
        assert np.array_equal(found.toarray(), want)
    jacobian(x, np.roll(where, 3))
    assert jacobian.native
    jacobian(x, where)
    agrees(jacobian(x, where), np.diag(2.0 * x))


def test_native_entries_keep_float32_and_tell_nan_from_a_zero_of_a_seed() -> None:
    def f(x: Any) -> Any:
        return np.sqrt(x) * x[::-1]

    for dtype in ("float32", "float64"):
        x = np.linspace(0.0, 1.0, 1201).astype(dtype)
        jacobian = tg.sparse_jacobian(f, x)
        with np.errstate(all="ignore"):
            first, second = jacobian(x), jacobian(x)
        assert jacobian.native
        assert first.dtype == second.dtype == dtype
        np.testing.assert_allclose(second.data, first.data, rtol=1e-5)
        assert np.isinf(second.toarray()[0, 0])
