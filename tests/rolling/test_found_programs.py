"""Loop programs that once came out differently rolled, in their shortest form."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from loopchecks import bits, computed, interpreted, leaves_of

import tapegrad as tg


def dead_loop(a, x):
    for i in range(6):
        _ = x[i] * a
    return a * 2.0


def guards_alone(a, x):
    for i in range(6):
        if x[i] > 10.0:
            a = a * 2.0
    return a * 2.0


def last_read_alone(a, x):
    s = a
    for i in range(6):
        s = x[i]
    return s


def two_chains(a, x):
    """Every other iteration has an adjoint; the odd point makes 0 times infinity."""
    s, u = 1.0, 1.0
    for i in range(6):
        u, s = s, u
        s = x[i] * a - s
    return u


def dead_reader(a, x):
    s = x[0] * 0.0
    ys = [a / s for _ in range(12)]
    _ = [u * u for u in ys]
    return ys[1]


def last_asked_for(a, p):
    s = a
    for i in range(6):
        s = p[i] - a
    return s


def last_of_an_array(a, x):
    s = a
    for i in range(6):
        s = np.maximum(x[i], 50.0)
    return -2.0 * s


def old_register(a, _):
    s, u = 0.0, a
    for _ in range(7):
        t, u, s = u, s, 0.2 * u + (a + u / 1.5)
        t = t + s
    return t


def old_register_and_output(a, _):
    s, u = 0.0, a
    for _ in range(7):
        t, u, s = u, s, u + (0.7 + u / 1.5)
    return s + t


def constant_of_a_later_loop(a, _):
    s, u = a, 1.0
    for _ in range(9):
        _, u, s = u, s, 0.3 * s
    for _ in range(9):
        u = u / (2.0 + np.abs(s) * a)
    return s + u


def written_list(a, p):
    s, u = a, list(p)
    for i in range(5):
        u[i] = 5 * a
        for j in range(2):
            s = s + (u[j] - (a + j))
            s = s + (a + 1) * a
    return s


def written_back(a, x):
    u = [a] * 10
    for i in range(6):
        u[i] = a * i
        u[1] = i * (x[i] + u[3])
    return u[1] + u[4]


def read_again_and_again(a, x):
    s = a
    for _ in range(6):
        for k in range(3):
            s = s + x[k]
    return s


PROGRAMS = [
    dead_loop,
    guards_alone,
    last_read_alone,
    two_chains,
    dead_reader,
    last_asked_for,
    last_of_an_array,
    old_register,
    old_register_and_output,
    constant_of_a_later_loop,
    written_list,
    written_back,
    read_again_and_again,
]
POINTS = (
    np.array([0.3, -1.7, 0.45, 2.1, -0.6, 0.9]),
    np.array([0.0, -0.0, np.inf, 2.1, -np.inf, 0.9]),
)


@pytest.mark.parametrize("a", [-0.65, 1.3, 0.0])
@pytest.mark.parametrize("x", POINTS, ids=["a point", "an odd point"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_value_and_gradient_are_the_same_bits(program, x, a):
    given = x.tolist() if program.__code__.co_varnames[1] == "p" else x
    with np.errstate(all="ignore"):
        tape = tg.record(program, a, given, roll=False)
        rolled = tape.rolled(trips=2, steps=4)
        rolled.check()
        found = [
            interpreted(one, leaves_of([a, given]), [1.0]) for one in (tape, rolled)
        ]
        (one, bars), (other, others) = found
        assert [*map(bits, one)] == [*map(bits, other)]
        assert [*map(bits, bars)] == [*map(bits, others)], (bars, others)
        assert computed(rolled.unrolled()) == computed(tape)
        grown = rolled.adjoint_tape()
        again = interpreted(grown, leaves_of([a, given]), [None] * len(grown.outputs))
        assert [*map(bits, again[0])] == [*map(bits, bars)]


def test_a_row_of_a_jacobian_has_no_part_of_another():
    """An entry that gets no adjoint is absent: 0 times infinity would be NaN."""

    def roots(x):
        return [np.sqrt(x[i]) for i in range(10)]

    x = np.arange(10.0)
    tape = tg.record(roots, x, roll=False)
    with np.errstate(all="ignore"):
        plain = np.array(tape.jacobian(x))
        found = np.array(tape.rolled(trips=2, steps=4).jacobian(x))
    assert plain[0, 0] == np.inf
    assert found.tobytes() == plain.tobytes()


def test_a_flipped_guard_tells_its_line():
    def f(x):
        s = 0.0
        for i in range(6):
            if x[i] > 0.0:
                s = s + x[i]
        return s

    tape = tg.record(f, np.ones(6), roll=False)
    found = []
    for one in (tape, tape.rolled(trips=2, steps=4)):
        with pytest.raises(tg.BranchChanged) as raised:
            one(np.array([1.0, 1.0, 1.0, -1.0, 1.0, -2.0]))
        told = raised.value
        found.append((told.file, told.line, told.operands, told.recorded))
    assert found[0] == found[1]
    assert found[0][2][0] == -1.0
    assert struct.pack("d", found[0][2][0]) == struct.pack("d", -1.0)


def test_loops_of_one_shape_tell_lines_of_their_own():
    def f(a, b):
        while a * a > 0.01:
            a = 0.6 * a
        while b * b > 0.01:
            b = 0.6 * b
        return a + b

    tape = tg.record(f, 2.0, 2.0, roll=False)
    rolled = tape.rolled(trips=2, steps=4)
    lines = []
    for one in (tape, rolled, rolled.unrolled()):
        for point in ((0.01, 2.0), (2.0, 0.01)):
            with pytest.raises(tg.BranchChanged) as raised:
                one(*point)
            lines.append(raised.value.line - f.__code__.co_firstlineno)
    assert lines == [1, 3] * 3
