"""Very many numbers taken and given one by one: loops over the pointers to them."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import gradient_tape
from tapegrad.native.arrays import lower_arrays
from tapegrad.rules import TABLE

N = 40


def row(name, *xs, **params):
    return apply(TABLE[name], *xs, **params)


def bits(values):
    return [np.asarray(value, float).tobytes() for value in values]


def rising(*xs):
    return (row("pack", *xs[::-1]) * np.arange(1.0, N + 1)).sum()


def falling(*xs):
    return (row("pack", *xs) * np.arange(1.0, N + 1)).sum()


def broken(*xs):
    """Two runs with another number between them, and a part of the inputs."""
    mixed = [*xs[:18], xs[0] * xs[1], *xs[20:][::-1]]
    return (row("pack", *mixed) * np.arange(1.0, len(mixed) + 1)).prod()


def twice(*xs):
    """The gradient adds entries of two arrays, number by number."""
    first, second = row("pack", *xs), row("pack", *xs[::-1])
    return (np.sin(first) * second).sum() - (first * first).sum()


def entries(*xs):
    """Outputs: sums of entries at a stride, a number that stays, and one alone."""
    packed = np.sin(row("pack", *xs[::-1]))
    other = packed * 2.0
    found = [
        row("entry", packed, place=k) * other[N - 1 - k] - packed[0] for k in range(N)
    ]
    return [*found, packed[3], *[packed[k] / xs[0] for k in range(0, N, 2)]]


@pytest.mark.parametrize("f", [rising, falling, broken, twice, entries])
def test_numbers_side_by_side(f):
    rng = np.random.default_rng(5)
    point = rng.normal(size=N).tolist()
    point[3], point[7] = -0.0, 0.0
    tape = tg.record(f, *point, roll=False)
    made = tape.compile()
    found, want = made(*point), tape(*point)
    if f is entries:
        np.testing.assert_allclose(found, want, rtol=1e-14)
        return
    assert found == pytest.approx(want, rel=1e-13)
    np.testing.assert_allclose(
        made.gradient(*point), tape.gradient(*point), rtol=1e-12, atol=1e-14
    )
    other = [x + 1.0 for x in point]  # the loops read what is passed, each time
    np.testing.assert_allclose(made.gradient(*other), tape.gradient(*other), rtol=1e-12)


def test_sums_number_by_number_keep_their_bits():
    def f(*xs):
        first, second = row("pack", *xs), row("pack", *xs[::-1])
        third = row("pack", *xs)
        return (first * second).sum() - (third * third).sum()

    point = (np.linspace(-1.0, 1.0, N) / 3.0).tolist()
    point[5] = -0.0
    tape = tg.record(f, *point, roll=False)
    assert bits(tape.compile().gradient(*point)) == bits(tape.gradient(*point))


def lines(count):
    def f(*xs):
        packed = row("pack", *xs)
        return (packed * packed).sum()

    tape = tg.record(f, *([1.0] * count), roll=False)
    grown = sweeps.flat(gradient_tape(tape))
    return lower_arrays(grown).body.count("\n"), lower_arrays(grown, runs=False)


def test_the_text_does_not_grow_with_them():
    short, _ = lines(20)
    long, written = lines(200)
    assert long == short
    assert written.body.count("\n") > 5 * long


def test_c_has_no_such_loops():
    """It finds its numbers in another way."""
    point = np.linspace(0.5, 1.5, N).tolist()
    tape = tg.record(rising, *point, roll=False)
    assert tape.to_c().count("x39") > 1
