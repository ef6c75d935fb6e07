"""Additions of arrays that are mostly zeros make 0.0 of -0.0 everywhere else."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.rules import TABLE

X = np.array([1.0, 0.0, 2.0])


def placed(x, start, size=30):
    """x at some entries of zeros."""
    return apply(TABLE["scatter"], x, shape=(size,), key=((start, 3, 1),))


def read_beside(x):
    """The entries beside what was added."""
    return (placed(-x, 0) + placed(x, 3))[:3]


def read_between(x):
    return (placed(-x, 0) + placed(x, 3) + placed(-x, 0) + placed(x, 6))[:3]


def added_often(x):
    """A chain that is long enough to be written in place."""
    total = placed(-x, 0)
    for place in range(1, 10):
        total = total + placed(x, 3 * place)
    return total


def put_and_added(x):
    """Entries that are put before an addition, and after the last one."""
    total = placed(x, 0)
    for place in range(1, 10):
        if place in {2, 9}:
            total = tg.array(total)
            total[3 * place : 3 * place + 3] = -x
        else:
            total = total + placed(-x, 3 * place)
    return total


def very_often(x):
    """More writes than one node has."""
    total = placed(-x, 0, 300)
    for place in range(1, 100):
        total = total + placed(-x if place % 2 else x, 3 * place, 300)
    return total


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize(
    "f", [read_beside, read_between, added_often, put_and_added, very_often]
)
def test_signs_are_the_interpreters(f, level):
    tape = tg.record(f, X)
    found, expected = tape.compile(level)(X), tape(X)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
