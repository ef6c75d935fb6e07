"""Stretches of steps that repeat, one behind the other: no step is in two loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.rolling import plan
from tapegrad.rolling.work import work_of

ROWS = (np.sin, np.cos, np.exp, np.tanh)


def written(seed):
    """A loop some of whose steps are others from some iteration on."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(3, 8))
    turns = [list(rng.integers(0, 3, width))]
    for _ in range(13):
        turns.append(list(turns[-1]))
        if rng.random() < 0.3:
            turns[-1][int(rng.integers(width))] = int(rng.integers(0, 4))

    def f(a):
        for turn in turns:
            for row in turn:
                a = ROWS[row](a)
        return a

    return tg.record(f, 0.25, roll=False)


@pytest.mark.parametrize("first", range(0, 120, 30))
def test_loops_do_not_overlap(first):
    met = 0
    for seed in range(first, first + 30):
        tape = written(seed)
        found = plan._found(work_of(tape), plan.Options(2, 4))
        spans = sorted((loop.start, loop.end) for loop in found)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
        assert tape.rolled(trips=2, steps=4).unrolled() == tape
        met += len(spans) > 1
    assert met > 5
