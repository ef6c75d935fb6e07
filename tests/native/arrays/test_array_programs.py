"""Random programs on arrays: native code of their gradients against the interpreter."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.native.arrays import strips


def write(x, y):
    """A copy with its first row written."""
    z = x * 1.0
    z[0] = z[0] * 2.0 + (y * y).sum()
    return z


STEPS = [
    lambda x, y: x + y,
    lambda x, y: x * y,
    lambda x, y: np.sin(x) - y * 0.5,
    lambda x, y: x.T,
    lambda x, y: x[1:] if x.shape[0] > 1 else x * 2.0,
    lambda x, y: x[::-1],
    lambda x, y: x[::2],
    lambda x, y: x.reshape(-1),
    lambda x, y: x.sum(axis=0),
    lambda x, y: x.sum(axis=-1),
    lambda x, y: np.concatenate([x, x * 3.0], axis=0),
    lambda x, y: np.tanh(x).mean(axis=0),
    lambda x, y: x @ y,
    lambda x, y: np.where(x > 0.1, x, -0.5 * x),
    np.maximum,
    lambda x, y: x[np.array([0, -1, 0])],
    write,
    lambda x, y: np.max(x, axis=-1),
    lambda x, y: np.cumsum(x, axis=0),
    lambda x, y: np.tril(x) if x.ndim > 1 else x,
    lambda x, y: np.sqrt(x * x + 1.0) / (1.0 + y * y),
]


def program(seed):
    """A function that takes random steps, and arrays to record it at."""
    rng = np.random.default_rng(seed)
    matrices = [tuple(rng.integers(1, 6, size=2)) for _ in range(2)]
    arrays = [rng.normal(size=s) for s in (*matrices, (int(rng.integers(2, 9)),))]

    def f(*xs):
        rng = np.random.default_rng(seed + 1)
        pool = list(xs)
        for _ in range(int(rng.integers(3, 14))):
            x, y = (pool[int(rng.integers(len(pool)))] for _ in range(2))
            try:
                z = STEPS[int(rng.integers(len(STEPS)))](x, y)
            except (ValueError, IndexError):  # shapes that do not fit
                continue
            if z.ndim and 0 < z.size < 2000:
                pool.append(z)
        return sum((z * z * 0.1).sum() for z in pool[-3:])

    return f, arrays


@pytest.mark.parametrize("seed", range(40))
def test_random_program(seed, both):
    f, arrays = program(seed)
    tape = gradient_tape(tg.record(f, *arrays))
    both(tape, *arrays, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_random_program_in_strips(seed, both, monkeypatch):
    monkeypatch.setattr(strips, "LONG", 2)
    monkeypatch.setattr(strips, "STRIP", 3 + seed % 5)
    f, arrays = program(seed + 1000)
    tape = gradient_tape(tg.record(f, *arrays))
    both(tape, *arrays, rtol=1e-8, atol=1e-9)
