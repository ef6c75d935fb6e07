"""The rows of loops: what they move, and zeros of places that nothing reads."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.errors import ShapeError, TapeFormatError
from tapegrad.rules import TABLE
from tapegrad.show.text import index_text
from tapegrad.tape.recorder import Columns


def row(name, *xs, **params):
    return apply(TABLE[name], *xs, **params)


def window(x, start, stride, length, axes=1, slots=False):
    where = {"axes": axes, "start": start, "stride": stride, "length": length}
    return row("window", x, slots=slots, **where)


def bits(x):
    return np.asarray(x, float).tobytes()


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize(
    ("shape", "where"),
    [((7,), (1, 2, 3)), ((7,), (6, -3, 3)), ((3, 4), (1, 1, 2)), ((3,), (2, 1, 1))],
)
def test_a_window_reads_what_the_iterations_read(shape, where, slots):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    start, stride, length = where
    want = np.stack([x[start + k * stride] for k in range(length)])
    tape = tg.record(lambda x: window(x, *where, slots=slots), x)
    for found in (tape(x), tape.compile()(x), window(x, *where, slots=slots).data):
        np.testing.assert_array_equal(found, want)


def test_a_window_along_two_axes():
    x = np.arange(24.0).reshape(3, 4, 2)
    found = tg.record(lambda x: window(x, 1, 5, 3, axes=2), x)(x)
    np.testing.assert_array_equal(found, np.stack([x[0, 1], x[1, 2], x[2, 3]]))


def adjoint_of_a_window(bar, length, slots):
    def f(x, b):
        return (window(x, 1, 2, length, slots=slots) * b).sum()

    x = np.ones(6)
    tape = tg.record(f, x, bar)
    native = tape.compile().gradient(x, bar)[0]
    found = tape.gradient(x, bar)[0]
    assert bits(found) == bits(native)
    return found


def test_zeros_of_an_array_are_those_of_reads_one_by_one():
    """Of several reads each adds zeros, which makes 0.0 of -0.0."""
    found = adjoint_of_a_window(np.array([-0.0, 2.0]), 2, slots=False)
    assert bits(found) == bits([0.0, 0.0, 0.0, 2.0, 0.0, 0.0])
    found = adjoint_of_a_window(np.array([-0.0]), 1, slots=False)
    assert bits(found) == bits([0.0, -0.0, 0.0, 0.0, 0.0, 0.0])


def test_slots_that_nobody_reads_get_nothing():
    found = adjoint_of_a_window(np.array([-0.0, 2.0]), 2, slots=True)
    assert bits(found) == bits([-0.0, -0.0, -0.0, 2.0, -0.0, -0.0])
    x = np.ones(3)
    tape = tg.record(lambda x: row("entry", x, place=1) * 3.0, x)
    assert bits(tape.gradient(x)) == bits([-0.0, 3.0, -0.0])
    assert bits(tape.compile().gradient(x)) == bits([-0.0, 3.0, -0.0])


def test_a_pack_takes_its_slots_back_to_front():
    tape = tg.record(lambda a, b, c: row("pack", c, b, a), 1.0, 2.0, 3.0)
    assert tape(1.0, 2.0, 3.0).tolist() == [1.0, 2.0, 3.0]
    jacobian = tape.jacobian(1.0, 2.0, 3.0)
    np.testing.assert_array_equal(np.stack(jacobian, 1), np.eye(3))
    arrays = tg.record(lambda u, v: row("pack", v, u), np.ones(2), np.zeros(2))
    assert arrays(np.ones(2), np.zeros(2)).tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_lanes_and_series_of_stacks():
    def f(x, a):
        return row("entry", window(x, 1, 1, 2), place=1) * a, row("pack", a, a * a)

    xs, a = np.arange(6.0).reshape(2, 3), np.array([2.0, 3.0])
    first, second = tg.vmap(f)(xs, a)
    np.testing.assert_array_equal(first, xs[:, 2] * a)
    np.testing.assert_array_equal(second, np.stack([a * a, a], 1))
    found = tg.taylor(lambda a: row("pack", a * a, a), 3.0, 1.0, 2)
    np.testing.assert_array_equal(found, [[3.0, 9.0], [1.0, 6.0], [0.0, 1.0]])


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("window", {"axes": 1, "start": 2, "stride": 1, "length": 3, "slots": False}),
        ("window", {"axes": 2, "start": 0, "stride": 1, "length": 1, "slots": False}),
        ("window", {"axes": 1, "start": 0, "stride": 0, "length": 1, "slots": False}),
        ("window", {"axes": 1, "start": -1, "stride": 1, "length": 1, "slots": False}),
        ("window", {"axes": 1, "start": 0, "stride": 1, "length": 1, "slots": 1}),
        ("entry", {"place": 4}),
        ("entry", {"place": -1}),
    ],
)
def test_places_out_of_bounds_are_no_tape(name, params):
    out = Columns()
    x = out.input(np.zeros(4), ((4,), "float64"))
    aval = (
        ((params.get("length", 1),), "float64") if name == "window" else ((), "float64")
    )
    out.append(TABLE[name], [x], params, [aval])
    with pytest.raises(TapeFormatError, match=name):
        out.freeze((x,), (x,)).check()


def test_slots_of_two_shapes_make_no_stack():
    with pytest.raises(ShapeError, match="do not fit together"):
        row("pack", tg.Value(1.0), tg.Value(np.ones(2)))


@pytest.mark.parametrize(
    ("shape", "where", "text"),
    [
        ((9,), (0, 1, 9), "[i]"),
        ((9,), (1, 2, 4), "[2*i + 1]"),
        ((9,), (8, -1, 9), "[8 - i]"),
        ((9,), (8, -2, 4), "[8 - 2*i]"),
        ((3, 4), (4, 1, 4), "[1, i]"),
        ((3, 4), (2, 4, 3), "[i, 2]"),
        ((3, 3), (0, 4, 3), "[i, i]"),
        ((3, 4), (0, 1, 12), ".flat[i]"),
    ],
)
def test_what_an_iteration_reads_as_text(shape, where, text):
    start, stride, length = where
    assert index_text(shape, "i", len(shape), start, stride, length) == text


@pytest.mark.parametrize(
    "way",
    [
        lambda x: x[np.array([0, 2, 2, 4])],
        lambda x: (x.astype(np.float32) * np.float32(2.0)).astype(np.float64),
        lambda x: np.tril(x * np.ones((5, 5)))[:, 3],
        lambda x: np.concatenate([x, x])[::2],
    ],
)
def test_one_slot_through_other_rows_that_move(way):
    """What of a stack nobody reads is absent: through indices, dtypes, zeros too."""

    def f(x):
        return row("entry", way(x), place=1) ** 2

    x = np.arange(1.0, 6.0)
    tape = tg.record(f, x)
    want = tg.record(lambda x: way(x)[1] ** 2, x).gradient(x)
    for found in (tape.gradient(x), tape.adjoint_tape()(x), tape.compile().gradient(x)):
        np.testing.assert_array_equal(found, want)
