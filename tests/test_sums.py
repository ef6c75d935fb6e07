"""Sums of products: the very tape that operators write, whatever the operands are."""

from __future__ import annotations

import contextvars
import math
import random
import sys
import threading
from operator import mul

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, sum_of_products
from tapegrad.tape import recorder


def by_operators(a, b, start):
    return sum(map(mul, a, b), start)


def both(build):
    """The tape of the last of two sums (the first brings leaves in), either way."""
    found = []
    for add_up in (sum_of_products, by_operators):
        with tg.Tape.recording() as rec:
            x, y, z = (rec.input(n) for n in (1.5, -0.25, 3.0))
            for a, b, start in build(x, y, z):
                rec.output(add_up(a, b, start))
        found.append(rec.tape)
    return found


OPERANDS = {
    "inputs": lambda x, y, z: ([x, y], [y, z], x),
    "one twice": lambda x, y, z: ([x, x, x], [x, y, x], x),
    "numbers": lambda x, y, z: ([x, y, z], [2.0, 0.1, 2.0], z),
    "ints": lambda x, y, z: ([x, y], [2, 3], z),
    "zeros": lambda x, y, z: ([x, y], [0.0, -0.0], z),
    "numbers first": lambda x, y, z: ([2.0, y], [x, 3.0], z),
    "a number to start": lambda x, y, z: ([x, y], [y, z], 1.0),
    "computed": lambda x, y, z: ([x * y, y], [z.exp(), z], x - y),
    "none": lambda x, y, z: ([], [], x),
    "infinite": lambda x, y, z: ([x, y], [math.inf, -math.inf], z),
}


@pytest.mark.parametrize("name", OPERANDS)
def test_the_tape_is_the_one_of_operators(name):
    quick, plain = both(lambda *xs: [OPERANDS[name](*xs), OPERANDS[name](*xs)])
    assert quick == plain
    quick.check()
    point = (0.5, 2.0, -1.0)
    assert repr(quick(*point)) == repr(plain(*point))
    assert repr(quick.jacobian(*point)) == repr(plain.jacobian(*point))


def test_eager_values_and_gradients():
    rng = random.Random(0)
    numbers = [[rng.uniform(-1, 1) for _ in range(9)] for _ in range(2)]
    found = []
    for add_up in (sum_of_products, by_operators):
        a, b = ([Value(n) for n in row] for row in numbers)
        start = Value(0.5)
        for _ in range(2):
            y = add_up(a, b, start)
        add_up([y, y], [a[0], 2.0], y).backward()
        found.append([y.data, y.grad, *(v.grad for v in [*a, *b, start])])
    assert found[0] == found[1]


@pytest.mark.parametrize("side", [0, 1])
def test_values_of_an_older_segment(side):
    a, b, start = Value(2.0), Value(3.0), Value(1.0)
    old = a * a * b
    old.backward()  # closes the segment that it stands on
    a.grad = b.grad = 0.0
    sum_of_products([a, b], [b, a], start)
    operands = ([old, a], [a, b])
    y = sum_of_products(operands[side], operands[1 - side], start)
    y.backward()
    assert (y.data, a.grad, b.grad) == (31.0, 39.0, 10.0)


def test_steps_between_are_there_when_asked_for():
    a, b, start = Value(2.0), Value(3.0), Value(1.0)
    for _ in range(2):
        y = sum_of_products([a, b], [b, a], start)
    assert y._op == "+"
    inner = {v._op: v for v in y._prev}
    assert inner["*"].data == 6.0
    assert inner["+"].data == 7.0
    assert inner["*"]._prev == {a, b}
    assert start in inner["+"]._prev


def test_a_segment_may_fill_up_on_the_way(monkeypatch):
    monkeypatch.setattr(recorder, "BLOCK", 64)
    w, x = [Value(0.01 * k) for k in range(10)], [Value(0.1)] * 10
    y = Value(1.0)
    for _ in range(40):
        y = sum_of_products(w, x, y)
    y.backward()
    assert y.data == pytest.approx(1 + 40 * 0.045)
    assert w[3].grad == pytest.approx(4.0)


def test_a_long_recording_turns_into_columns(monkeypatch):
    monkeypatch.setattr(recorder, "BLOCK", 64)

    def f(x, y):
        total = x
        for _ in range(50):
            total = sum_of_products([x, y, total], [y, 0.5, 0.25], total)
        return total

    quick = tg.record(f, 0.3, 0.7)
    quick.check()
    monkeypatch.undo()
    expected = tg.record(f, 0.3, 0.7)
    assert quick == expected
    assert quick.gradient(0.3, 0.7) == expected.gradient(0.3, 0.7)


def test_threads_that_share_columns():
    """With a copy of the context a thread appends where its parent does."""
    w = [Value(0.01 * k) for k in range(20)]
    start = Value(1.0)
    sum_of_products(w, w, start)
    expected = 1.0 + sum(0.0001 * k * k for k in range(20))
    found = []

    def run():
        for _ in range(100):
            found.append(sum_of_products(w, w, start))  # noqa: PERF401 - as it goes

    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(run,))
        for _ in range(4)
    ]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert len({v._i for v in found}) == 400
    for y in found[::37]:
        assert y.data == pytest.approx(expected)
        y.tape.check()
        assert y.tape(*y.tape.example) == y.data


def test_arrays_and_plain_numbers():
    x = Value([1.0, 2.0])
    found = sum_of_products([x, x], [x, 3.0], Value(1.0))
    np.testing.assert_array_equal(found.data, [5.0, 11.0])
    assert sum_of_products([1.0, 2.0], [3.0, 4.0], 0.5) == 11.5
    assert sum_of_products([], []) == 0.0
    with tg.no_record():
        assert sum_of_products([Value(2.0)], [3.0], Value(1.0)).data == 7.0


def test_what_is_refused():
    with pytest.raises(ValueError, match="2 numbers by 1"):
        sum_of_products([1.0, 2.0], [1.0])
    with pytest.raises(tg.RecordError):
        sum_of_products([Value(1.0)], ["a"], Value(0.0))
    outside = Value(1.0)
    with pytest.raises(tg.RecordError, match="pass it to the function"):
        tg.record(lambda x: sum_of_products([x], [outside], x), 1.0)
