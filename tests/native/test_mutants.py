"""What planted faults in the lowering showed to be tested nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import engine, lowering


@pytest.mark.parametrize("call", [*engine.MEMORY, engine.MALLOC, engine.FREE])
def test_what_writes_memory_is_not_declared_pure(call):
    assert engine.PURE not in call.declared()
    assert engine.PURE not in call.through_cell()
    pure = engine.Outside(call.name, call.gives, call.takes, pure=True)
    assert engine.PURE in pure.declared()
    assert engine.PURE in pure.through_cell()


def shape_of(*shape):
    return np.ones(shape) + np.eye(*shape[-2:])


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (np.linalg.inv, [(0, 0)]),
        (np.linalg.det, [(0, 0)]),
        (np.linalg.cholesky, [(3, 0, 0)]),
        (lambda a: np.linalg.eigh(a)[0], [(0, 0)]),
        (lambda a: np.linalg.svd(a, compute_uv=False), [(0, 2)]),
        (np.linalg.solve, [(0, 0), (0, 2)]),
        (np.linalg.solve, [(2, 2), (2, 0)]),
        (tg.linalg.solve_triangular, [(0, 0), (0, 2)]),
        (tg.linalg.solve_triangular, [(2, 2), (2, 0)]),
        (lambda a, b: np.linalg.lstsq(a, b)[0], [(2, 0), (2, 2)]),
        (lambda a, b: np.linalg.lstsq(a, b)[0], [(2, 2), (2, 0)]),
    ],
)
def test_linear_algebra_of_empty_arrays_is_refused_by_name(f, args):
    tape = tg.record(f, *[shape_of(*shape) for shape in args])
    with pytest.raises(tg.CompileError, match="linear algebra of empty arrays"):
        tape.to_llvm()


def test_a_buffer_on_the_heap_is_freed(monkeypatch):
    monkeypatch.setattr(lowering, "ON_STACK", 1)
    tape = tg.record(lambda x, y: (x * y + x.sin()) * (x - y) / y.exp(), 1.0, 2.0)
    text = lowering.lower(tape, 2).text
    calls = [line for line in text.splitlines() if not line.startswith("declare")]
    assert sum("@malloc(" in line for line in calls) == 1
    # one way out, past the call that frees
    assert calls[calls.index("leave:") + 1] == "call void @free(ptr %s)"


WIDE = np.random.default_rng(7).normal(size=(90, 90))
VIEWS = {
    "as it is": lambda a, n: a[:n],
    "steps over rows": lambda a, n: a[: 2 * n : 2],
    "steps over columns": lambda a, n: np.concatenate([a, a], 1)[:n, ::2],
    "transposed": lambda a, n: a[:, :n].T,
    "transposed steps": lambda a, n: a[:, : 2 * n : 2].T,
    "repeated": lambda a, n: np.broadcast_to(a[0], (n, 90)),
    "a new axis": lambda a, n: np.broadcast_to(a[3][None, :], (n, 90)),
    "backwards": lambda a, n: a[:n][::-1],
    "in a stack": lambda a, n: np.stack([a[:n], a[1 : n + 1], a[-n:]])[1:],
}


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("view", VIEWS)
def test_matrix_products_of_views_of_every_layout(view, n):
    # from 4096 multiplications on it is BLAS that reads them
    def f(a):
        x = VIEWS[view](a, n)
        return x @ a + np.swapaxes(a.T @ np.swapaxes(x, -1, -2), -1, -2)

    native = tg.record(f, WIDE).compile()
    assert np.allclose(native(WIDE), f(WIDE), rtol=1e-12, atol=1e-12)
    total = tg.record(lambda a: (f(a) * f(a)).sum(), WIDE)
    found = total.compile().gradient(WIDE)
    assert np.allclose(found, total.gradient(WIDE), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
def test_outer_products_of_views(k, transposed):
    def f(a):
        x, y = a[:, ::3][:, :k], a[5 : 5 + 2 * k : 2]
        return (y.T @ x.T) if transposed else (x @ y)

    native = tg.record(f, WIDE).compile()
    assert np.allclose(native(WIDE), f(WIDE), rtol=1e-13, atol=1e-13)


SELECTIONS = {
    "a new axis between": lambda y: y[:, None, 1:] * np.ones((3, 2, 3)),
    "a new axis first": lambda y: np.exp(y[None, ::2] + 1.0),
    "one row of every other": lambda y: y[1::2][0] * 2.0,
    "one row, backwards": lambda y: y[2::-1][1] * 2.0,
    "several in turn": lambda y: (y[::2][1][None, :, None][0, 1:3] + 1) * y[0, 0],
    "the first column of a triangle": lambda y: np.triu(y)[:, 0] * 2.0,
    "the last column of a triangle": lambda y: np.tril(y)[:, 2] * 2.0,
    "the first row of a triangle": lambda y: np.tril(y)[0] * 2.0,
    "a corner of a triangle": lambda y: np.triu(y, 1)[:2, :2] + np.tril(y, -1)[1:, :2],
    "in a concatenation": lambda y: np.concatenate([y[None, 1], y[:1]]) * 2.0,
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_selections_of_what_is_not_stored(name):
    def f(x):
        return SELECTIONS[name](np.sin(x))

    x = np.arange(1.0, 13.0).reshape(3, 4)
    assert np.allclose(tg.record(f, x).compile()(x), f(x), rtol=1e-15)
    total = tg.record(lambda x: f(x).sum(), x)
    found = total.compile().gradient(x)
    assert np.allclose(found, total.gradient(x), rtol=1e-14)


def test_the_source_of_a_long_loop_is_that_of_its_body():
    def f(x, length):
        return tg.fori_loop(0, length, lambda i, y: np.sin(y), x)

    short, long = (tg.record(lambda x, n=n: f(x, n), 0.5) for n in (2000, 3000))
    assert short.to_llvm().count("\n") == long.to_llvm().count("\n") < 1000


def test_a_loop_reads_numbers_that_stand_in_registers():
    # a number that was computed before, a truth value, an array, and a constant
    def f(x, xs):
        bound, start, up = np.exp(x), x * x, x > 0.0
        total = tg.scan(lambda c, u: (c * bound + tg.where(up, u, -u), None), start, xs)
        last = tg.while_loop(lambda c: c < bound * 50.0, lambda c: c * 2.0 + 1.0, start)
        return total[0] + last

    tape = tg.record(f, 0.5, np.linspace(1.0, 2.0, 1500))
    native = tape.compile()
    for x in (0.3, -0.2):
        xs = np.linspace(0.1, 0.2, 1500) * x
        assert native(x, xs) == pytest.approx(tape(x, xs), rel=1e-12)


@pytest.mark.parametrize("mixed", [False, True])
def test_entries_are_added_to_one_place_in_order(mixed):
    # sizes differ by 16 decimals: in another order the last bits are others
    random = np.random.default_rng(0)
    x = random.normal(size=997) * 10.0 ** random.integers(-8, 8, 997)
    at = np.arange(997) // 500 if mixed else np.zeros(997, int)
    tape = tg.record(lambda x, w: (x[at] * w).sum(), x, x)
    expected = np.zeros(997)
    np.add.at(expected, at, x)
    assert tape.compile().gradient(x, x)[0].tobytes() == expected.tobytes()


CONVERSIONS = {
    "a truth value to float64": lambda x, n, b: (x > 0) * x + (x.sum() > 0) * 2.0,
    "to float32": lambda x, n, b: (x > 0).astype(np.float32) * x.astype(np.float32),
    "float32 to float64": lambda x, n, b: x.astype(np.float32) * x,
    "int64 to float64": lambda x, n, b: x * n,
    "int64 to float32": lambda x, n, b: x.astype(np.float32) * n.astype(np.float32),
    "an input of truth values": lambda x, n, b: x * b,
    "one number of them": lambda x, n, b: x * (b[0] * n[1]),
    "counted": lambda x, n, b: x * (x > 0).sum(),
    "to a truth value": lambda x, n, b: tg.where(n, x, tg.where(x, -x, 1.0)),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions(name):
    f = CONVERSIONS[name]
    at = np.array([1.0, -2.0, 0.0, 3.0]), np.array([2, -3, 5, 0]), np.arange(4) > 1
    tape = tg.record(f, *at)
    found, expected = tape.compile()(*at), tape(*at)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()
