"""Arrays in the place of a later output, and arrays that are not stored at all."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.native.arrays import heirs, strips


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def long(x, y, times=40):
    for _ in range(times):
        x = x * y + 0.5
    return x


def both_ways(x, y):
    """An array that the nest of an output reads, there and at other entries."""
    a = long(x, y)
    return np.min(a), np.max(a) * (a + a[::-1])


def shifted(x, y):
    a = long(x, y)
    b = np.max(a) * a
    return b, a[1:] - a[:-1]


def again(x, y):
    """Two outputs of the same entries: one place is not for both."""
    a = long(x, y)
    top = np.max(a)
    return a * top, a - top, np.min(a * top)


CASES = [both_ways, shifted, again]


def tape_of(f, n=50):
    x, y = np.random.default_rng(n).uniform(0.1, 0.9, (2, n))
    return tg.record(f, x, y), x, y


def test_no_memory_of_its_own(both):
    x = np.linspace(-1.0, 2.0, 1000)
    kernel = both(tg.record(softmax, x), x)
    assert kernel.lowered.arena_bytes < 1000


@pytest.mark.parametrize("n", [1, 2, 50])
@pytest.mark.parametrize("f", CASES)
def test_read_before_it_is_written(f, n, both):
    tape, x, y = tape_of(f, n)
    both(tape, x, y, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("f", CASES)
def test_in_strips(f, both, monkeypatch):
    monkeypatch.setattr(strips, "LONG", 2)
    monkeypatch.setattr(strips, "STRIP", 7)
    tape, x, y = tape_of(f)
    both(tape, x, y, rtol=0.0, atol=0.0)


def test_entries_that_are_read_elsewhere(both, monkeypatch):
    monkeypatch.setattr(heirs, "_read_in_place", lambda *_: True)
    tape, x, y = tape_of(both_ways)
    with pytest.raises(AssertionError):
        both(tape, x, y)


def test_a_later_nest_reads_it_in_the_same_strip(both, monkeypatch):
    """The group makes an output, and then reads what would stand in its place."""
    monkeypatch.setattr(strips, "LONG", 2)
    monkeypatch.setattr(strips, "STRIP", 7)

    def f(x, y):
        a = long(x, y)
        top = np.max(a)
        b = long(top * y, y, 200) + a
        return b, long(b, y) - a

    x, y = np.random.default_rng(0).uniform(0.9, 1.1, (2, 50))
    tape = tg.record(f, x, y)
    both(tape, x, y, rtol=1e-13)
    monkeypatch.setattr(heirs, "_read_in_place", lambda *_: True)
    with pytest.raises(AssertionError):
        both(tape, x, y, rtol=1e-13)


@pytest.mark.parametrize(
    "x",
    [
        [0.0, 1.0, -2.0],
        [1000.0, 999.0],
        [np.inf, 1.0],
        [-np.inf, -np.inf],
        [-np.inf, 3.0],
        [np.nan, 1.0],
        [np.inf, np.nan],
        [np.inf, -np.inf],
    ],
)
def test_logsumexp_shares_its_exponentials(x, both):
    tape = gradient_tape(tg.record(tg.logsumexp, np.array(x)))
    kernel = both(tape, np.array(x), rtol=1e-14, atol=1e-300)
    assert kernel.lowered.text.count("call double @array_exp(") <= 1


def test_what_costs_little_is_not_stored(both):
    """Of two arrays between the nests one is stored: the other is a product of it."""

    def f(x):
        e = np.exp(x)
        b = e * 3.0
        return np.sum(b), b / np.max(b)

    x = np.linspace(-1.0, 1.0, 1000)
    kernel = both(tg.record(f, x), x)
    assert kernel.lowered.arena_bytes < 1000
