"""``x[key] = v`` is a new version of the array; views behave as NumPy's, or raise."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value

X = np.array([0.5, -1.0, 2.0, 3.0])
A = np.arange(12.0).reshape(3, 4) / 7


def agrees(f, *xs):
    """A function that writes: as NumPy; recorded, replayed, differentiated."""
    wanted = f(*(x.copy() for x in xs))
    tape = tg.record(f, *xs)
    tape.check()
    np.testing.assert_allclose(tape(*xs), wanted, 1e-14)
    others = [x * 0.9 + 0.01 for x in xs]
    np.testing.assert_allclose(tape(*others), f(*(x.copy() for x in others)), 1e-13)
    way = [np.cos(np.arange(x.size)).reshape(x.shape) for x in xs]

    def total(*zs):
        return np.sum(f(*zs) * 1.5)

    h = 1e-6
    ahead = total(*(x + h * d for x, d in zip(xs, way, strict=True)))
    behind = total(*(x - h * d for x, d in zip(xs, way, strict=True)))
    bars = tg.grad(total, tuple(range(len(xs))))(*xs)
    slope = sum(np.sum(bar * d) for bar, d in zip(bars, way, strict=True))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), 1e-6, 1e-7)


def one_entry(x):
    x[1] = x[0] * x[2]
    return x * x


def slices(x):
    y = x * 2
    y[1:-1] = x[:2] ** 2
    y[::2] = 1.0
    return y * x


def augmented(x):
    y = x * 1.0
    y[1:-1] += x[:2] * x[2:]
    y[0] *= 3.0
    y[[0, 3]] -= x[1]
    y[..., None][:, 0]  # reading leaves no trace
    return y


def twice_the_same_place(x):
    y = x * 1.0
    y[[1, 1, 2]] = x[:3] ** 2  # the last one wins
    return y * 3


def rows_and_columns(a, x):
    b = a * 1.0
    b[1] = x
    b[:, 2] = x[:3] * a[:, 0]
    b[[0, 2], [1, 3]] = x[0]
    b[0, ...] *= 2
    return b * a


def scalar_spread(x):
    y = np.zeros_like(x)
    y[...] = x[1]
    y[2:] = 4
    y[0] = x[0]
    return y * x


def with_a_fixed_mask(x):
    y = x * x
    y[np.array([True, False, True, False])] = x[1:3]
    return y


def heat(u):
    for _ in range(3):
        new = u.copy()
        new[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
        u = new
    return u


def heat_in_place(u):
    u = u * 1.0
    for _ in range(3):
        u[1:-1] += 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
    return u


def a_leading_axis_of_one(x):
    y = np.zeros_like(x)
    y[1:3] = x[None, :2]
    return y


@pytest.mark.parametrize(
    "f",
    [
        one_entry,
        slices,
        augmented,
        twice_the_same_place,
        scalar_spread,
        with_a_fixed_mask,
        heat,
        heat_in_place,
        a_leading_axis_of_one,
    ],
)
def test_writes_to_vectors(f):
    agrees(f, X)


def test_writes_to_matrices():
    agrees(rows_and_columns, A, X)


def test_a_recorded_mask_needs_no_guard_for_one_number():
    def f(x):
        y = x * x
        y[y > 2.0] = 0.5
        y[y < 0.3] = x[0]
        return y

    tape = tg.record(f, X)
    assert not tape.guards
    for x in (X, -X, X * 0.1, np.ones(4) * 9):
        np.testing.assert_array_equal(tape(x), f(x.copy()))
    bar = tg.grad(lambda x: np.sum(f(x)))(X)

    # entries: 0.25 -> x0, 1.0 stays, 4.0 and 9.0 -> 0.5
    np.testing.assert_array_equal(bar, [1.0, -2.0, 0.0, 0.0])


def test_a_recorded_mask_of_rows():
    def f(a):
        b = a * 1.0
        b[a[:, 0] > 0.5] = -1.0
        return b

    tape = tg.record(f, A)
    assert not tape.guards
    np.testing.assert_array_equal(tape(A), f(A.copy()))
    np.testing.assert_array_equal(tape(A - 0.9), f(A - 0.9))


def test_a_recorded_mask_with_an_array_is_guarded():
    def f(x):
        y = x * 1.0
        y[x > 0] = y[x > 0] ** 2
        return y

    tape = tg.record(f, X)
    np.testing.assert_array_equal(tape(X * 2), f(X * 2))
    with pytest.raises(tg.BranchChanged, match=r"test_writes\.py"):
        tape(-X)


def test_writing_does_not_reach_the_caller_or_older_steps():
    x = X.copy()
    tape = tg.record(one_entry, x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(tape(x), [0.25, 1.0, 4.0, 9.0])

    def f(x):
        y = x * 1.0
        old = np.sum(y)
        y[0] = 100.0
        return old + np.sum(y)

    assert tg.record(f, X)(X) == 4.5 + 104.0


def test_a_copy_is_independent():
    def f(x):
        y = x.copy()
        z = y.copy()
        w = y.flatten()
        y[0] = 10.0
        return np.sum(y) + 100 * np.sum(z) + 1e4 * np.sum(w)

    assert tg.record(f, X)(X) == pytest.approx(14.0 + 450 + 45000)


def test_two_arrays_of_zeros_are_two_arrays():
    def f(x):
        y, z = np.zeros_like(x), np.zeros_like(x)
        view = z[1:]
        y[1] = x[1]
        return np.sum(view) + y

    np.testing.assert_array_equal(tg.record(f, X)(X), [0.0, -1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    "take",
    [
        lambda y: y[1:],
        lambda y: y.reshape(2, 2),
        lambda y: y[:, None],
        lambda y: y.ravel()[::2],
        np.flip,
        lambda y: np.broadcast_to(y, (2, 4)),
        lambda y: next(iter(y.reshape(2, 2))),
    ],
)
def test_a_view_is_not_used_after_its_array_was_written(take):
    def f(x):
        y = x * 1.0
        view = take(y)
        y[0] = 7.0
        return np.sum(view)

    with pytest.raises(tg.RecordError, match=r"view.*written.*test_writes\.py:\d+"):
        tg.record(f, X)

    def fine(x):
        y = x * 1.0
        before = take(y).copy()
        y[0] = 7.0
        return np.sum(take(y)) + np.sum(before)

    want = np.sum(take(np.array([7.0, *X[1:]]))) + np.sum(take(X))
    assert tg.record(fine, X)(X) == pytest.approx(want)


def test_a_view_is_not_written():
    def f(x):
        y = x * 1.0
        view = y[1:]
        view[0] = 7.0
        return y

    with pytest.raises(tg.RecordError, match=r"writing to a view .*test_writes\.py"):
        tg.record(f, X)

    def g(a):
        a[0][1] = 7.0
        return a

    with pytest.raises(tg.RecordError, match="both indices at once"):
        tg.record(g, A)


def test_adding_to_a_view_in_place_is_seen():
    def f(x):
        y = x * 1.0
        view = y[1:]
        view += 1.0  # NumPy changes y here
        return np.sum(y)

    with pytest.raises(tg.RecordError, match="written"):
        tg.record(f, X)

    def g(x):
        y = x * 1.0
        view = y[1:]
        y *= 2.0  # and the view here
        return np.sum(y) + np.sum(view)

    with pytest.raises(tg.RecordError, match="written"):
        tg.record(g, X)

    def fine(x):
        total = x[1:] * 1.0
        total += x[:-1]
        total *= 2
        return total

    np.testing.assert_array_equal(tg.record(fine, X)(X), fine(X))


def test_an_eager_leaf_is_not_written_and_an_intermediate_is():
    x = Value(X)
    with pytest.raises(tg.RecordError, match=r"leaf .*value\.data.*copy"):
        x[0] = 1.0
    y = x.copy()
    y[1:3] = x[:2] ** 2
    y[0] += x[3]
    np.sum(y).backward()
    np.testing.assert_array_equal(y.data, [3.5, 0.25, 1.0, 3.0])
    np.testing.assert_array_equal(x.grad, [1.0 + 1.0, -2.0, 0.0, 2.0])
    x.data[0] = 9.0  # a leaf's data may be written, and makes a new version
    assert (x * 1.0).data[0] == 9.0
    assert y.data[0] == 3.5


def test_plain_arrays_cannot_hold_values():
    def into_slots(x):
        out = np.zeros(4)
        out[0] = x[0]
        return out

    def into_slices(x):
        out = np.zeros(4)
        out[1:3] = x[:2]
        return out

    def added(x):
        total = np.zeros(4)
        total += x
        return total

    for f, text in (
        (into_slots, "derivative"),
        (into_slices, "derivative|freeze"),
        (added, "derivatives would be lost"),
    ):
        with pytest.raises((tg.RecordError, ValueError), match=text):
            tg.record(f, X)


def test_bad_writes():
    y = Value(X) * 1.0
    with pytest.raises(tg.ShapeError, match=r"\(3,\).*\(2,\).*test_writes\.py"):
        y[:2] = [1.0, 2.0, 3.0]
    with pytest.raises(IndexError, match="out of bounds"):
        y[4] = 1.0
    with pytest.raises(tg.RecordError):
        y[0] = "text"
    with pytest.raises(tg.RecordError):
        y[0] = 1j
    with pytest.raises(TypeError):
        Value(1.0)[0] = 2.0
    np.testing.assert_array_equal(y.data, X)


def test_a_value_of_an_enclosing_recording_is_not_written_inside():
    def f(x):
        y = x * 1.0

        def inner(s):
            y[0] = s
            return np.sum(y)

        return tg.grad(inner)(2.0)

    with pytest.raises(tg.RecordError, match="another recording"):
        tg.record(f, X)

    def g(x):
        y = x * 1.0

        def inner(s):
            z = y
            z += s  # NumPy changes y here
            return np.sum(z * z)

        return tg.grad(inner)(2.0) * np.sum(y)

    with pytest.raises(tg.RecordError, match=r"another recording .*test_writes\.py"):
        tg.record(g, X)

    def fine(x):
        y = x * 1.0

        def inner(s):
            z = y.copy()
            z += s
            return np.sum(z * z)

        return tg.grad(inner)(2.0) * np.sum(y)

    assert tg.record(fine, X)(X) == 2 * np.sum(X + 2.0) * np.sum(X)


def test_second_derivatives_through_writes():
    def f(x):
        y = np.zeros_like(x)
        y[0] = x[0] ** 3
        y[1:] = x[1:] * x[0]
        y[1:-1] += x[2:] ** 2
        return np.sum(y * y)

    hessian = np.asarray(tg.hessian(f)(X))
    h = 1e-5
    for place in range(4):
        e = np.eye(4)[place] * h
        column = (tg.grad(f)(X + e) - tg.grad(f)(X - e)) / (2 * h)
        np.testing.assert_allclose(hessian[place], column, 1e-6, 1e-6)


@pytest.mark.parametrize(
    "f",
    [
        np.positive,
        lambda y: +y,
        np.conj,
        np.copy,
        lambda y: y.conj(),
        lambda y: y.astype(float),
        lambda y: np.roll(y, 0),
        lambda y: np.pad(y, 0),
        lambda y: np.pad(y, 0, mode="edge"),
        lambda y: np.tile(y, 1),
        lambda y: np.array(y, like=y),
    ],
)
def test_what_numpy_copies_is_a_copy(f):
    def g(x):
        y = x * 1.0
        z = f(y)
        y[0] = 50.0
        return np.sum(z)

    assert tg.record(g, X)(X) == np.sum(X)


def test_an_intermediate_of_an_older_segment_is_written():
    x = Value(X)
    y = x * 2
    np.sum(y).backward()  # closes the segment
    x.grad = np.zeros(4)
    y[0] = x[1] * 5
    y[1] += 1.0
    np.sum(y * y).backward()
    want = 2 * y.data * 2
    np.testing.assert_allclose(x.grad, [0.0, want[1] + 2 * y.data[0] * 5, *want[2:]])


def test_a_view_is_not_returned_after_its_array_was_written():
    def f(x):
        y = x * 1.0
        view = y[1:]
        y[2] = 7.0
        return view

    with pytest.raises(tg.RecordError, match=r"view .*written .*test_writes\.py"):
        tg.record(f, X)


def test_adding_in_place_is_seen_under_every_name():
    def grow(a):
        a += 1.0
        a *= 2.0

    def f(x):
        y = x * 1.0
        other = y
        grow(y)
        y -= x[0]
        return np.sum(y * other)

    tape = tg.record(f, X)
    assert tape(X) == f(X) == f(Value(X)).data
    h = 1e-6
    slopes = [(f(X + e) - f(X - e)) / (2 * h) for e in np.eye(4) * h]
    for got in (tape.gradient(X), tape.compile().gradient(X), tg.grad(f)(X)):
        np.testing.assert_allclose(got, slopes, 1e-6)
    x = Value(X)
    f(x).backward()
    np.testing.assert_allclose(x.grad, slopes, 1e-6)
    np.testing.assert_array_equal(x.data, X)


def test_adding_in_place_keeps_shape_and_dtype():
    single = X.astype(np.float32)

    def f(x, s):
        y = s * 2
        y += x
        return y

    got = tg.record(f, X, single)(X, single)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, f(X, single))

    def broadcast(x):
        y = x[:1] * 1.0
        y += x
        return y

    with pytest.raises(tg.ShapeError, match=r"\(1,\) and \(4,\).*test_writes\.py"):
        tg.record(broadcast, X)

    def matrix(x):
        y = np.outer(x, x)
        y @= x
        return y

    with pytest.raises(tg.ShapeError, match=r"\(4, 4\) and \(4,\)"):
        tg.record(matrix, X)


@pytest.mark.parametrize(
    ("places", "shape"),
    [
        (np.array([0, 0, 1, -1]), (4,)),
        (np.array([[0, 1], [1, 1]]), (2, 2)),
        ([3, 3, 3, 3], (4,)),
        (slice(1, 3), (2,)),
        (np.array([True, False, False, True]), (2,)),
        (2, ()),
    ],
)
def test_adding_at_places_that_stand_twice(places, shape):
    def f(x):
        y = x * 2.0
        other = y
        part = np.reshape(x[: int(np.prod(shape))] ** 2, shape)
        np.add.at(y, places, part)
        np.add.at(y, places, 0.5)
        return np.sum(other * np.array([1.0, 2.0, 4.0, 8.0]))

    tape = tg.record(f, X)
    assert tape(X) == tape.compile()(X) == f(Value(X)).data == pytest.approx(f(X))
    h = 1e-6
    slopes = [(f(X + e) - f(X - e)) / (2 * h) for e in np.eye(4) * h]
    for got in (tape.gradient(X), tape.compile().gradient(X)):
        np.testing.assert_allclose(got, slopes, 1e-6, 1e-8)


def test_bad_additions_at_places():
    x = Value(X)
    with pytest.raises(tg.RecordError, match="leaf"):
        np.add.at(x, [0], 1.0)
    y = x * 1.0
    with pytest.raises(IndexError, match="out of bounds"):
        np.add.at(y, [4], 1.0)
    with pytest.raises(tg.ShapeError, match=r"\(3,\).*\(2,\)"):
        np.add.at(y, [0, 1], np.ones(3))
    with pytest.raises(tg.RecordError, match=r"add\.at"):
        np.add.at(np.zeros(4), [0], x[0])
    with pytest.raises(tg.RecordError, match=r"multiply\.at"):
        np.multiply.at(y, [0], 2.0)
