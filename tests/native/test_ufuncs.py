"""Ufuncs made of tapes: real NumPy ufuncs, equal to the compiled tape at each point."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native.ufuncs import LANES


def mixed(x, y):
    return np.sin(x) * y + np.exp(-x * x) * tg.where(y > 1.0, np.log(y), y - 1.0)


def compiled():
    return tg.compile(mixed, 1.0, 2.0)


def points(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-2.0, 2.0, shape), rng.uniform(0.5, 3.0, shape)


def one_by_one(f, *arrays):
    """A ufunc's answer by calls at each point."""
    arrays = np.broadcast_arrays(*arrays)
    found = [
        f(*map(float, at)) for at in zip(*(a.ravel() for a in arrays), strict=True)
    ]
    return np.array(found).reshape(*arrays[0].shape, *np.shape(found[0]))


@pytest.mark.parametrize("count", [1, 2, 7, LANES - 1, LANES, LANES + 1, 3 * LANES])
def test_values(count):
    f = compiled()
    x, y = points(count)
    found = f.ufunc()(x, y)
    assert found.shape == (count,)
    np.testing.assert_allclose(found, one_by_one(f, x, y), rtol=5e-16, atol=3e-16)


def test_no_points():
    found = compiled().gradient_ufunc()(np.empty((0, 3)), 1.0)
    assert [part.shape for part in found] == [(0, 3)] * 2


def test_an_entry_is_the_same_wherever_it_stands():
    """In a block of vectors, at its end, alone, strided, in place."""
    u = compiled().ufunc()
    x, y = points(2 * LANES + 5)
    whole = u(x, y)
    for start in range(0, 40, 7):
        np.testing.assert_array_equal(u(x[start:], y[start:]), whole[start:])
    np.testing.assert_array_equal(u(x[::3], y[::3]), whole[::3])
    np.testing.assert_array_equal(u(x[::-1], y[::-1]), whole[::-1])
    assert [u(a, b) for a, b in zip(x[:9], y[:9], strict=True)] == whole[:9].tolist()
    place = x.copy()
    assert u(place, y, out=place) is place
    np.testing.assert_array_equal(place, whole)


def test_overlapping_memory():
    u = compiled().ufunc()
    x, y = points(3 * LANES)
    wanted = u(x[:-3], y[3:])
    for low, high in ((0, -3), (3, None)):
        memory = x.copy()
        u(memory[:-3], y[3:], out=memory[low:high])
        np.testing.assert_array_equal(memory[low:high], wanted)


def test_an_output_in_the_place_of_an_input_that_is_read_again():
    def long(x):
        y = x
        for _ in range(200):
            y = np.sin(y) + x
        return 2.0 * x, y

    u = tg.compile(long, 1.0).ufunc()
    x, _ = points(LANES + 9)
    wanted = u(x)
    place = x.copy()
    found = u(place, out=(place, None))
    np.testing.assert_array_equal(found, wanted)


def test_broadcasting_and_words_of_ufuncs():
    f = compiled()
    u = f.ufunc()
    assert isinstance(u, np.ufunc)
    assert (u.nin, u.nout, u.types) == (2, 1, ["dd->d"])
    assert u.__name__ == "mixed"
    assert "mixed(x, y)" in u.__doc__
    x, y = points(40, 1)[0], points(1, 30)[1]
    wide = np.add(x, 0 * y), np.add(0 * x, y)
    np.testing.assert_array_equal(u(x, y), u(*wide))
    np.testing.assert_array_equal(u(x.T, y.T), u(x, y).T)
    out = np.full((40, 30), 7.0)
    mask = wide[0] > 0
    u(x, y, out=out, where=mask)
    np.testing.assert_array_equal(out, np.where(mask, u(x, y), 7.0))
    np.testing.assert_array_equal(u([1, 2], 3), u(np.array([1.0, 2.0]), 3.0))
    np.testing.assert_array_equal(u.outer(x.ravel(), y.ravel()), u(x, y))
    with pytest.raises(ValueError, match="broadcast"):
        u(np.ones(3), np.ones(4))
    with pytest.raises(TypeError, match="cast|supported"):
        u(1j, 1.0)


def test_each_is_built_once():
    f = compiled()
    assert f.ufunc() is f.ufunc()
    assert f.gradient_ufunc() is f.gradient_ufunc()
    assert f.gradient_ufunc(value=True) is not f.gradient_ufunc()


def test_gradients():
    f = compiled()
    x, y = points(LANES + 3)
    wanted = one_by_one(f.gradient, x, y)
    dx, dy = f.gradient_ufunc()(x, y)
    np.testing.assert_allclose(dx, wanted[:, 0], rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose(dy, wanted[:, 1], rtol=1e-15, atol=1e-15)
    value, *slopes = f.gradient_ufunc(value=True)(x, y)
    np.testing.assert_array_equal(slopes, (dx, dy))
    np.testing.assert_array_equal(value, f.ufunc()(x, y))


def test_no_warning_leaves_it():
    u = tg.compile(lambda x: tg.where(x > 0, 1.0 / x, x), 1.0).ufunc()
    with np.errstate(all="raise"):
        assert u(np.tile([-1.0, 0.0, 2.0], 200)).sum() == -100.0
        assert np.add(1.0, 1.0) == 2.0


def test_outputs_that_are_no_computed_float():
    several = tg.compile(lambda x, y: (x, 3.0, x > y, y), 1.0, 2.0).ufunc()
    x, y = points(LANES + 1)
    found = several(x, y)
    assert [part.dtype for part in found] == [np.float64] * 4
    np.testing.assert_array_equal(found, (x, np.full_like(x, 3.0), x > y, y))


def test_generalised():
    def f(w, a):
        return np.tanh(a @ w).sum() * w[0]

    made = tg.compile(f, np.ones(3), np.ones((2, 3)))
    u = made.ufunc()
    assert u.signature == "(3),(2,3)->()"
    rng = np.random.default_rng(3)
    w = rng.normal(size=(5, 1, 3))
    a = rng.normal(size=(4, 3, 2)).swapaxes(1, 2)  # no core stands contiguously
    wanted = [[f(w[i, 0], a[j]) for j in range(4)] for i in range(5)]
    np.testing.assert_allclose(u(w, a), wanted, rtol=1e-14)
    slopes = made.gradient_ufunc()(w, a)
    assert [part.shape for part in slopes] == [(5, 4, 3), (5, 4, 2, 3)]
    exact = made.gradient(w[2, 0], a[3].copy())
    for part, one in zip(slopes, exact, strict=True):
        np.testing.assert_array_equal(part[2, 3], one)
    out = np.empty((4, 3, 3))[..., ::-1].swapaxes(1, 2)
    tg.compile(lambda m: m @ m, np.eye(3)).ufunc()(np.ones((4, 3, 3)), out=out)
    np.testing.assert_array_equal(out, np.full((4, 3, 3), 3.0))
    with pytest.raises(ValueError, match="core dimension"):
        u(np.ones(4), np.ones((2, 3)))


def test_no_answer_is_nan():
    u = tg.compile(np.linalg.solve, np.eye(2), np.ones(2)).ufunc()
    found = u(np.stack([np.eye(2), np.zeros((2, 2)), 2 * np.eye(2)]), np.ones(2))
    np.testing.assert_array_equal(found, [[1, 1], [np.nan, np.nan], [0.5, 0.5]])


def test_loops_whose_lanes_end_apart():
    def doubled(x):
        return tg.while_loop(lambda c: c < 100.0, lambda c: 2.0 * c, x)

    made = tg.compile(doubled, 1.0)
    assert made.ufunc()(np.array([1.0, 3.0, 200.0])).tolist() == [128.0, 192.0, 200.0]
    # the derivative has room for some iterations only: never a NaN in its place
    for method in (made.gradient_ufunc, made.jacobian_ufunc):
        with pytest.raises(tg.CompileError, match=r"while loop.*tg\.vmap"):
            method()


def test_refused():
    with pytest.raises(
        tg.CompileError, match=r"test_ufuncs\.py:\d+; write .*tg\.where"
    ):
        tg.compile(lambda x: x if x > 0 else -x, 1.0).ufunc()
    with pytest.raises(tg.CompileError, match="argument i is of shape .* int64"):
        tg.compile(lambda x, i: x[i], np.ones(3), np.array([0])).ufunc()
    with pytest.raises(tg.ShapeError, match="one number"):
        tg.compile(lambda x: (x, x), 1.0).gradient_ufunc()
    with pytest.raises(tg.CompileError, match="no inputs"):
        tg.compile(lambda: 1.0).ufunc()
    with pytest.raises(tg.CompileError, match="operands .* as one array"):
        tg.compile(lambda *xs: sum(xs), *([1.0] * 100)).ufunc()


def test_values_are_for_the_tape():
    with pytest.raises(tg.RecordError, match=r"compiled tape mixed .*tg\.vmap"):
        compiled().ufunc()(tg.Value(1.0), 2.0)


def test_threads():
    """The loop runs without Python's lock, each call in memory of its own."""
    made = tg.compile(lambda a: np.linalg.inv(a @ a + 1.0 * np.eye(3)), np.eye(3))
    u = made.ufunc()
    rng = np.random.default_rng(2)
    given = [rng.normal(size=(300, 3, 3)) for _ in range(8)]
    wanted = [u(a) for a in given]
    found = [None] * 8

    def run(k):
        for _ in range(5):
            found[k] = u(given[k])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(found, wanted)


def test_code_lives_as_long_as_the_ufunc():
    made = compiled()
    u = made.ufunc()
    engine = weakref.ref(made._parts["value ufunc"].engine)
    again = pickle.loads(pickle.dumps(made))
    del made
    gc.collect()
    assert engine() is not None
    assert u(1.0, 2.0) == again.ufunc()(1.0, 2.0)
    del u
    gc.collect()
    assert engine() is None


@pytest.mark.parametrize("n", [1, 2, 3, 600, 1500])
def test_lanes_that_read_what_others_write(n):
    """Reductions: an output that stands still, or that is the next input."""

    def blend(a, b):
        return 0.5 * a + b

    ufunc = tg.compile(blend, 1.0, 2.0).ufunc()
    plain = np.frompyfunc(blend, 2, 1)
    x = np.random.default_rng(n).normal(size=(3, n))
    for axis in (0, 1):
        for name in ("reduce", "accumulate"):
            expected = getattr(plain, name)(x, axis=axis).astype(float)
            assert np.array_equal(getattr(ufunc, name)(x, axis=axis), expected)
            integers = np.arange(3 * n).reshape(3, n)
            expected = getattr(plain, name)(integers, axis=axis).astype(float)
            assert np.array_equal(getattr(ufunc, name)(integers, axis=axis), expected)
    places = [0, n // 2, n - 1]
    expected = plain.reduceat(x[0], places).astype(float)
    assert np.array_equal(ufunc.reduceat(x[0], places), expected)
    back = x[0, ::-1]
    expected = plain.accumulate(back).astype(float)
    assert np.array_equal(ufunc.accumulate(back), expected)
    held = x[0].copy()
    ufunc.accumulate(held, out=held)
    assert np.array_equal(held, plain.accumulate(x[0]).astype(float))
    held = np.zeros(2)
    ufunc.at(held, [0, 0, 1], [1.0, 2.0, 3.0])
    assert np.array_equal(held, [2.5, 3.0])
