"""Nests that run together, strip by strip: against the interpreter, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.native.arrays import lower_arrays, strips

STRIP = 8


@pytest.fixture
def short(monkeypatch):
    """Strips of a few entries, however short the arrays are."""
    monkeypatch.setattr(strips, "LONG", 2)
    monkeypatch.setattr(strips, "STRIP", STRIP)


def exact(both, f, *args):
    """All outputs have the interpreter's very bits; gives the kernel."""
    return both(tg.record(f, *args), *args, rtol=0.0, atol=0.0)


def groups(tape):
    """Loops over strips in the text of a tape."""
    return lower_arrays(tape).body.count("mul nuw nsw i64")


def far(x, y):
    """Three nests: the second and the third read what the one before has made."""
    a = x * y + 1.0
    for _ in range(40):
        a = a * x - y
    b = a / (1.0 + y * y)
    for _ in range(40):
        b = b * y - a
    return a, b, b - a * x


def arrays(*shapes, seed=0):
    """Numbers of about 1, with signed zeros, infinities and NaN."""
    rng = np.random.default_rng(seed)
    found = [rng.normal(size=shape) for shape in shapes]
    for x in found:
        flat = x.reshape(-1)
        for place, value in enumerate((np.nan, -0.0, np.inf, -np.inf, 5e-324)):
            if len(flat) > 8:
                flat[(place * 7 + len(flat) // 2) % len(flat)] = value
    return found


@pytest.mark.parametrize("n", [2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65])
def test_entries(n, both, short):
    del short
    x, y = arrays(n, n)
    tape = tg.record(far, x, y)
    assert groups(tape) == 1
    exact(both, far, x, y)


@pytest.mark.parametrize("n", [0, 1])
def test_no_strips_of_nothing(n, both, short):
    del short
    assert groups(tg.record(far, *arrays(n, n))) == 0
    exact(both, far, *arrays(n, n))


@pytest.mark.parametrize("n", [8191, 8192, 8193, 16 * 512 + 511, 17 * 512 + 1])
def test_strips_of_full_length(n, both):
    x, y = arrays(n, n)
    assert groups(tg.record(far, x, y)) == (n >= strips.LONG)
    exact(both, far, x, y)


def test_memory_is_a_strip(both):
    x, y = arrays(100_000, 100_000)
    kernel = exact(both, lambda x, y: far(x, y)[2], x, y)
    assert kernel.lowered.arena_bytes < 100_000


@pytest.mark.parametrize("shape", [(9, 1), (20, 3), (33, 2, 2), (7, 40), (5, 3, 6)])
def test_rows(shape, both, short):
    """Softmax row by row, and what reads it."""
    del short

    def f(x, w):
        e = np.exp(x - np.max(x, axis=-1, keepdims=True))
        s = e / np.sum(e, axis=-1, keepdims=True)
        for _ in range(40):
            s = s * w + x
        return s, np.sum(s, axis=0), np.sum(s, axis=tuple(range(1, x.ndim)))

    rng = np.random.default_rng(1)
    x, w = rng.normal(size=shape), rng.normal(size=shape[1:])
    tape = tg.record(f, x, w)
    assert groups(tape) >= 1
    both(tape, x, w, rtol=1e-12, atol=1e-12)


def shifted(x, y):
    """Reads of x, of what a nest makes, and of what a group makes, at other places."""
    a = x[1:] * y[:-1]
    for _ in range(40):
        a = a * x[:-1] - y[1:]
    b = a[1:] - a[:-1] * x[2:]
    for _ in range(40):
        b = b * y[:-2] - x[::-1][2:]
    return a, b, b[::-1] * a[1:], a[::-1] * 2.0


@pytest.mark.parametrize("n", [4, 17, 18, 19, 66])
def test_other_places(n, both, short):
    del short
    exact(both, shifted, *arrays(n, n))


def crossed(x, w):
    """Rows of a square array that are made in a group, read as columns."""
    a = x * w
    for _ in range(40):
        a = a * w + x
    b = a.T * x
    for _ in range(40):
        b = b * w + a
    return b, b * a[:, ::-1]


def totals(x, w):
    """Sums of all rows, as long as there are rows."""
    a = np.sum(x * w, axis=0)
    return a, a * w[0] + np.max(a)


def test_sums_of_rows(both, short):
    del short
    rng = np.random.default_rng(2)
    both(tg.record(totals, *(z := rng.normal(size=(2, 11, 11)))), *z, rtol=1e-13)


def test_columns(both, short):
    del short
    exact(both, crossed, *arrays((11, 11), (11, 11)))


def reduced(x, y):
    """Reductions of all rows, which a later nest reads."""
    a = x * y
    for _ in range(20):
        a = a * y + x
    top, low = np.max(a), np.min(a)
    b = (a - low) * (top + y)
    return top, low, b, np.any(b > 3.0), np.all(b > -1e9), np.max(b * a)


@pytest.mark.parametrize("n", [2, 8, 9, 40])
def test_reductions_of_all_rows(n, both, short):
    del short
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0.5, 1.0, n), rng.uniform(0.5, 1.0, n)
    exact(both, reduced, x, y)
    y[n // 2] = np.nan
    exact(both, reduced, x, y)


def test_single_precision_and_truth(both, short):
    del short

    def f(x, y):
        p = x > y
        a = np.where(p, x, y)
        for _ in range(40):
            a = a * x - y
        return p, a, np.where(p & (a > 0.0), a, x), np.any(p), np.sum(a * 0.0 + 1.0)

    x, y = (v.astype(np.float32) for v in arrays(45, 45))
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    x, y = np.clip(x, -1.0, 1.0), np.clip(y, -1.0, 1.0)
    exact(both, f, x, y)


def test_long_sums_round_little(both):
    x = np.full(1_000_003, 0.1)
    tape = gradient_tape(tg.record(lambda x: np.sum(np.sin(x) * x + x), x))
    both(tape, x, rtol=1e-13, atol=0.0)


# -- what each rule is for -----------------------------------------------------------


def wrong(both, f, *args):
    """Whether native code gives something else than the interpreter."""
    try:
        exact(both, f, *args)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize(
    ("f", "shapes"), [(shifted, (66, 66)), (crossed, ((11, 11), (11, 11)))]
)
def test_other_rows_of_a_group_are_not_there(f, shapes, both, short, monkeypatch):
    del short

    def careless(node, *, same):
        del same
        for arg in node.args:
            yield arg, True

    monkeypatch.setattr(strips, "_operands", careless)
    assert wrong(both, f, *arrays(*shapes))


def test_sums_of_rows_are_no_rows(both, short, monkeypatch):
    del short
    monkeypatch.setattr(strips, "has_rows", lambda node: True)
    assert wrong(both, totals, *np.random.default_rng(2).normal(size=(2, 11, 11)))


def test_reductions_are_known_at_the_end(both, short, monkeypatch):
    del short
    group_of = strips._group_of

    def careless(item, rows, *rest):
        return group_of(item, dict.fromkeys(rows, True), *rest)

    monkeypatch.setattr(strips, "_group_of", careless)
    rng = np.random.default_rng(0)
    assert wrong(both, reduced, rng.uniform(1, 2, 40), rng.uniform(1, 2, 40))
