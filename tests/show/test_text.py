"""Numbers, arrays, indices and parameters as text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tapegrad.arrays.keys import canonical
from tapegrad.rules import TABLE
from tapegrad.show.text import aval_text, key_text, keywords, number_text, sign_of

ARRAYS = [
    (np.array([1.0, 2.5]), "[1.0, 2.5]"),
    (np.eye(2), "[[1.0, 0.0], [0.0, 1.0]]"),
    (np.arange(12.0).reshape(3, 4) / 7, "[[0.0, 0.1429 ... 1.571]]"),
    (np.arange(5), "[0, 1 ... 4]"),
    (np.array([True, False]), "[True, False]"),
    (np.zeros((0, 3)), "[]"),
    (np.zeros((2, 0)), "[[], []]"),
    (np.array([np.nan, np.inf, -0.0]), "[nan, inf, -0.0]"),
    (np.float32(0.1), "0.1"),
    (np.array([0.1], np.float32), "[0.1]"),
    (np.int64(3), "3"),
    (1e300, "1e+300"),
    (2.0, "2.0"),
    (True, "True"),
]


@pytest.mark.parametrize(("value", "text"), ARRAYS, ids=[a[1] for a in ARRAYS])
def test_numbers_and_arrays_are_short(value, text):
    assert number_text(value) == text


def test_a_huge_array_is_not_read_through():
    view = np.broadcast_to(np.float64(1.5), (10**6, 10**6))
    assert number_text(view[:, :1]) == "[[1.5, 1.5 ... 1.5]]"


def test_a_dtype_is_named_unless_it_is_float64():
    assert aval_text(((2, 3), "float64")) == "(2, 3)"
    assert aval_text(((), "bool")) == "() bool"


KEYS = [
    ("x[1:-1]", (6,)),
    ("x[::-1]", (6,)),
    ("x[1:]", (6,)),
    ("x[:-1]", (6,)),
    ("x[:2]", (6,)),
    ("x[:3]", (6,)),
    ("x[:-2]", (6,)),
    ("x[::2]", (6,)),
    ("x[4:1:-2]", (6,)),
    ("x[0]", (6,)),
    ("x[:0]", (6,)),
    ("x[:]", (6,)),
    ("x[1]", (3, 4)),
    ("x[:, 2]", (3, 4)),
    ("x[:, None]", (3,)),
    ("x[1:, ::-1]", (3, 4)),
    ("x[()]", ()),
]


def written(text, shape):
    """An index that stands in a text, written out and written again."""
    found = []

    class Catch:
        def __getitem__(self, key):
            found.append(key)

    eval(text, {"x": Catch()})  # noqa: S307 - the test's own text
    key, arrays = canonical(shape, found[0])
    return "x" + key_text(key, shape, [str(a.tolist()) for a in arrays])


@pytest.mark.parametrize(("text", "shape"), KEYS, ids=[k[0] for k in KEYS])
def test_an_index_is_written_as_it_was(text, shape):
    assert written(text, shape) == text


SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)


@given(st.data(), SHAPES)
def test_any_index_means_what_it_did(data, shape):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = np.arange(float(np.prod(shape))).reshape(shape)
    key, _ = canonical(shape, index)
    text = key_text(key, shape)
    again = eval(f"x{text}", {"x": x})  # noqa: S307 - text of a key
    np.testing.assert_array_equal(again, x[index])
    assert again.shape == x[index].shape


@given(st.data())
def test_any_index_with_arrays_means_what_it_did(data):
    shape = (4, 3, 2)
    index = data.draw(hnp.integer_array_indices(shape[:1]))
    x = np.arange(24.0).reshape(shape)
    entries = (index[0], slice(1, None))
    key, arrays = canonical(shape, entries)
    text = key_text(key, shape, ["at"])
    assert text == "[at, 1:]"
    again = eval(f"x{text}", {"x": x, "at": arrays[0]})  # noqa: S307
    np.testing.assert_array_equal(again, x[entries])


PARAMETERS = [
    ("sum", {"axes": (0, 1)}, 2, []),
    ("sum", {"axes": (1,)}, 2, ["axis=1"]),
    ("sum", {"axes": (0, 2)}, 3, ["axis=(0, 2)"]),
    ("sum", {"axes": ()}, 2, ["axis=()"]),
    ("std", {"axes": (0,), "ddof": 0}, 1, []),
    ("std", {"axes": (0,), "ddof": 1}, 2, ["axis=0", "ddof=1"]),
    ("transpose", {"axes": (1, 0)}, 2, []),
    ("transpose", {"axes": (2, 0, 1)}, 3, ["axes=(2, 0, 1)"]),
    ("tril", {"k": 0}, 2, []),
    ("tril", {"k": -1}, 2, ["k=-1"]),
    ("cumsum", {"axis": 1}, 2, ["axis=1"]),
    ("reshape", {"shape": (3,)}, 2, []),
    ("einsum", {"subscripts": "i,i->"}, 1, []),
    (
        "solve_triangular",
        {"lower": True, "unit_diagonal": False, "transposed": False},
        2,
        ["lower=True"],
    ),
]


@pytest.mark.parametrize(("name", "params", "ndim", "words"), PARAMETERS)
def test_parameters_are_named_as_in_numpy(name, params, ndim, words):
    assert keywords(TABLE[name], params, ndim) == words


def test_an_index_is_the_sign_of_its_step():
    key = (1, (0, 3, 1))
    assert sign_of(TABLE["index"], {"key": key}, (2, 3)) == "[1]"
    assert sign_of(TABLE["index_set"], {"key": key}, (2, 3)) == "[1]="
    assert sign_of(TABLE["gather"], {"key": ("a", (1, 2, 1))}, (2, 3)) == "[[], 1:]"
    assert sign_of(TABLE["einsum"], {"subscripts": "i,i->"}, (2,)) == "einsum i,i->"
