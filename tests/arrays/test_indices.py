"""Indices: guards of recorded masks, tracked places, errors with both sides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value
from tapegrad.arrays.keys import canonical

X = np.array([0.5, -1.0, 2.0, 3.0])
T = np.arange(24.0).reshape(2, 3, 4)


ENTRIES = [
    0,
    -1,
    slice(None),
    slice(None, None, -1),
    slice(2, 0, -1),
    slice(5, 9),
    None,
    Ellipsis,
    [0, 1, 1],
    np.array([[0], [-1]]),
    np.int64(1),
    np.array(1),
]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_mix_of_indices_is_numpys(count):
    """All tuples of these entries: NumPy's result, or NumPy's refusal."""
    leaf = Value(T)
    picked = list(itertools.product(ENTRIES, repeat=count))
    if count > 2:  # a spread of the many
        picked = picked[:: 7 if count == 3 else 97]
    for key in picked:
        try:
            wanted = T[key]
        except IndexError:
            with pytest.raises(IndexError):
                leaf[key]
            continue
        try:
            found = leaf[key]
        except tg.RecordError as problem:
            # the one thing that is refused, since NumPy moves the axes for it
            assert "leave it out" in str(problem)  # noqa: PT017
            continue
        data = found._data if isinstance(found, Value) else found
        assert np.shape(data) == wanted.shape, key
        np.testing.assert_array_equal(data, wanted)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_mix_of_indices_is_written_as_in_numpy(count):
    leaf = Value(T)
    picked = list(itertools.product(ENTRIES, repeat=count))
    for key in picked if count < 3 else picked[::11]:
        wanted = T.copy()
        try:
            shape = wanted[key].shape
            new = np.arange(float(np.prod(shape))).reshape(shape) + 0.5
            wanted[key] = new
        except IndexError:
            continue
        made = leaf * 1.0
        try:
            made[key] = new
        except tg.RecordError as problem:
            assert "leave it out" in str(problem)  # noqa: PT017
            continue
        np.testing.assert_array_equal(made.data, wanted)
        if shape and shape[-1] > 1:  # one entry, spread over the last axis
            made[key] = new[..., :1]
            wanted[key] = new[..., :1]
            np.testing.assert_array_equal(made.data, wanted)


def test_keys_are_written_out():
    assert canonical((4, 3, 2), (Ellipsis, slice(1, None), -1)) == (
        ((0, 4, 1), (1, 2, 1), 1),
        [],
    )
    key, arrays = canonical((4, 3), (None, [True, False, True, False], 2))
    assert key == (None, "a", "a")
    assert [at.tolist() for at in arrays] == [[0, 2], 2]


def test_a_recorded_mask_is_guarded_where_it_was_used():
    tape = tg.record(lambda x: np.sum(x[x > 0] ** 2), X)
    assert tape(X) == 13.25
    assert tape(X * 2) == 53.0
    with pytest.raises(tg.BranchChanged, match=r"test_indices\.py:\d+") as caught:
        tape(-X)
    assert caught.value.recorded is True
    np.testing.assert_array_equal(tape.gradient(X), [1.0, 0.0, 4.0, 6.0])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x[np.nonzero(x > 0)],
        lambda x: x[np.flatnonzero(x > 0)],
        lambda x: np.compress(x > 0, x),
        lambda x: np.extract(x > 0, x),
        lambda x: x[np.where(x > 0)],
        lambda x: x[np.argwhere(x > 0)[:, 0]],
        lambda x: x[(x > 0).nonzero()],
    ],
)
def test_places_found_in_a_recording_are_guarded(f):
    tape = tg.record(f, X)
    np.testing.assert_array_equal(tape(X * 3), [1.5, 6.0, 9.0])
    with pytest.raises(tg.BranchChanged):
        tape(-X)


def test_tracked_places_need_no_guard():
    def f(x):
        order = np.argsort(x)
        return x[order[0]] + 10 * x[np.argmax(x)] + 100 * x[order][1]

    tape = tg.record(f, X)
    assert not tape.guards
    for x in (X, -X, np.roll(X, 1)):
        low = np.sort(x)
        assert tape(x) == pytest.approx(low[0] + 10 * low[-1] + 100 * low[1])
    np.testing.assert_array_equal(tape.gradient(-X), [0.0, 10.0, 100.0, 1.0])


def test_an_integer_array_is_an_input_for_places():
    tape = tg.record(lambda x, at: np.sum(x[at] ** 2), X, np.array([0, 2]))
    assert tape(X, np.array([3, 3])) == 18.0
    with pytest.raises((IndexError, tg.TapegradError)):
        tape(X, np.array([3, 4]))


def test_a_tracked_float_as_an_index_is_guarded():
    def f(x, n):
        return np.sum(x[: int(n)]) + x[int(n)]

    tape = tg.record(f, X, 2.0)
    assert tape(X, 2.0) == 1.5
    with pytest.raises(tg.BranchChanged):
        tape(X, 3.0)


def test_iteration_and_unpacking():
    a, b, c, d = Value(X)
    (a * d + b).backward()
    assert (a.grad, b.grad, d.grad) == (3.0, 1.0, 0.5)
    assert c.data == 2.0
    rows = [row.data.tolist() for row in Value(T[0])]
    assert rows == T[0].tolist()
    assert [x.data for x in reversed(Value(X))] == X[::-1].tolist()
    assert sum(Value(X)).data == 4.5
    assert len(Value(T)) == 2
    with pytest.raises(TypeError):
        len(Value(1.0))
    with pytest.raises(TypeError):
        iter(Value(1.0))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (4, r"index 4 is out of bounds for axis 0 of size 4 \(.*test_indices\.py:\d+"),
        (-5, "index -5 is out of bounds"),
        ([0, 9], "index 9 is out of bounds"),
        ((0, 0), r"shape \(4,\) has 1 axes, but 2 were indexed"),
        (1.5, r"1\.5 is no index"),
        ("x", "'x' is no index"),
        ([0.5], "is no index"),
        ([True, False], "mask has size 2 along axis 0"),
        ((Ellipsis, Ellipsis), "one ellipsis"),
        (slice(0, 4, 0), "zero"),
    ],
)
def test_bad_indices(key, text):
    for x in (Value(X), Value(X) * 2):
        with pytest.raises((IndexError, ValueError), match=text):
            x[key]
    with pytest.raises((IndexError, ValueError), match=text):
        tg.record(lambda x: x[key], X)


def test_a_mask_of_another_shape():
    with pytest.raises(IndexError, match="mask has size 4 along axis 1"):
        Value(T)[np.ones((2, 4), bool)]


def test_arrays_as_objects_keep_their_derivatives():
    x = Value(X)
    boxed = np.asarray(x)
    assert boxed.dtype == object
    (boxed[0] * boxed[3]).backward()
    np.testing.assert_array_equal(x.grad, [3.0, 0.0, 0.0, 0.5])
    joined = np.array([x, x * 2])
    assert joined.shape == (2, 4)
    assert joined[1, 2].data == 4.0
    matrix = np.asarray(Value(T))
    assert matrix[1, 2, 3].data == 23.0
    with pytest.raises(tg.RecordError, match="freeze"):
        tg.record(lambda x: np.asarray(x, dtype=float), X)
    np.testing.assert_array_equal(np.asarray(x, dtype=float), X)
