"""``out=`` of compiled tapes: what is written, what comes back, what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import RecordError, ShapeError

X = np.array([0.5, -1.25, 2.0])


@pytest.fixture(scope="module")
def squares():
    return tg.record(lambda x: (x * x * x).sum(), X).compile()


@pytest.fixture(scope="module")
def wave():
    return tg.record(lambda x: np.sin(x) * x, X).compile()


def test_an_array_is_written_and_comes_back(wave, squares):
    out = np.full(3, 7.0)
    assert wave(X, out=out) is out
    assert out.tolist() == wave(X).tolist()
    out = np.full(3, 7.0)
    assert wave.value(X, out=out) is out
    assert out.tolist() == wave(X).tolist()
    assert squares.gradient(X, out=out) is out
    assert out.tolist() == squares.gradient(X).tolist()


def test_none_is_made_new(squares):
    out = np.zeros(3)
    value, slopes = squares.value_and_gradient(X, out=(None, out))
    assert slopes is out
    assert (value, out.tolist()) == (squares(X), squares.gradient(X).tolist())
    number = np.zeros(())
    value, slopes = squares.value_and_gradient(X, out=(number, None))
    assert value is number
    assert value == squares(X)
    assert slopes is not out
    for nothing in (None, (None, None)):
        value, slopes = squares.value_and_gradient(X, out=nothing)
        assert type(value) is float
        assert slopes.tolist() == out.tolist()


def test_numbers_go_into_arrays_without_dimensions():
    native = tg.record(lambda x, y: x * y, 2.0, 3.0).compile()
    one, two, value = np.zeros(()), np.zeros(()), np.zeros(())
    assert native(2.0, 3.0, out=value) is value
    assert value == 6.0
    found = native.value_and_gradient(4.0, 5.0, out=(None, (one, two)))
    assert found == (20.0, (5.0, 4.0))
    assert found[1][0] is one
    assert found[1][1] is two
    found = native.gradient(6.0, 7.0, out=(None, two))
    assert found == (7.0, 6.0)
    assert found[1] is two


def test_other_methods(squares, wave):
    full = np.zeros((3, 3))
    for call, want in [
        (wave.jacobian, wave.jacobian(X)),
        (squares.hessian, squares.hessian(X)),
    ]:
        assert call(X, out=full) is full
        assert full.tolist() == want.tolist()
    out, dot = np.zeros(3), np.zeros(3)
    found = wave.jvp(X, X, out=(out, dot))
    assert found[0] is out
    assert found[1] is dot
    np.testing.assert_array_equal(found, wave.jvp(X, X))
    _, bar = wave.vjp(X, X, out=(None, dot))
    assert bar is dot
    assert bar.tolist() == wave.vjp(X, X)[1].tolist()
    assert squares.hvp(X, X, out=dot) is dot
    assert dot.tolist() == squares.hvp(X, X).tolist()


def test_nested_results_and_arguments():
    tape = tg.record(
        lambda p: {"a": p["x"] * p["k"], "b": [p["k"]]}, {"x": X, "k": 2.0}
    )
    native = tape.compile()
    args = {"x": X, "k": 3.0}
    out, number = np.zeros(3), np.zeros(())
    found = native(args, out={"a": out, "b": [number]})
    assert found["a"] is out
    assert found["b"][0] is number
    assert out.tolist() == (3.0 * X).tolist()
    assert number == 3.0
    found = native(args, out={"a": out, "b": None})
    assert found["a"] is out
    assert found["b"] == [3.0]
    loss = tg.record(lambda p: (p["x"] * p["k"]).sum(), args).compile()
    slopes = loss.gradient(args, out={"x": out, "k": None})
    assert slopes["x"] is out
    assert out.tolist() == [3.0] * 3


def test_strides_and_overlap(wave, squares):
    want = wave(X).tolist()
    room = np.zeros(6)
    assert wave(X, out=room[::2]).tolist() == want
    assert room[1::2].tolist() == [0.0] * 3
    assert wave(X, out=room[::-2]).tolist() == want
    x = X.copy()
    assert wave(x, out=x) is x
    assert x.tolist() == want
    room = np.concatenate([X, [9.0]])
    assert wave(room[:3], out=room[1:]).tolist() == want
    x = X.copy()
    slopes = squares.gradient(X).tolist()
    assert squares.value_and_gradient(x, out=(None, x))[1].tolist() == slopes
    with pytest.raises(ShapeError, match=r"out\[0\] and out\[1\] overlap"):
        wave.jvp(X, X, out=(x, x))
    both = np.zeros(6)
    wave.jvp(X, X, out=(both[::2], both[1::2]))
    assert both[::2].tolist() == want


class Sub(np.ndarray):
    pass


def frozen():
    made = np.zeros(3)
    made.flags.writeable = False
    return made


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.zeros(2), ShapeError, "out has shape (2,), and the result has shape (3,)"),
        (np.zeros((1, 3)), ShapeError, "out has shape (1, 3)"),
        (np.zeros(()), ShapeError, "out has shape ()"),
        (np.zeros(3, "f4"), RecordError, "out has dtype float32"),
        (np.zeros(3, "i8"), RecordError, "out has dtype int64"),
        (np.zeros(3, ">f8"), RecordError, "out has dtype >f8"),
        (np.zeros(3, complex), RecordError, "out has dtype complex128"),
        (frozen(), RecordError, "out is read-only"),
        (np.ma.zeros(3), RecordError, "masked array"),
        ([0.0, 0.0, 0.0], RecordError, "out is [0.0, 0.0, 0.0] of type list"),
        (1.0, RecordError, "out is 1.0 of type float"),
        ("out", RecordError, "type str"),
        ((np.zeros(3),), RecordError, "type tuple"),
    ],
    ids=repr,
)
def test_what_is_no_place_for_the_result(wave, squares, out, error, words):
    for call in (wave, wave.value, squares.gradient):
        with pytest.raises(error, match=re.escape(words)):
            call(X, out=out)
    if isinstance(out, list | tuple):  # of results in a tuple, the nesting is another
        error, words = ShapeError, "out nests in another way"
    with pytest.raises(error, match=re.escape(re.sub("^out (?!n)", "out[1] ", words))):
        squares.value_and_gradient(X, out=(None, out))


def test_a_subclass_is_written(wave):
    out = np.zeros(3).view(Sub)
    assert wave(X, out=out) is out
    assert out.tolist() == wave(X).tolist()


@pytest.mark.parametrize(
    "out", [np.zeros(3), [None, None], (None,), (None, None, None), {"a": None}]
)
def test_another_nesting(squares, out):
    with pytest.raises(ShapeError, match=re.escape("which is (array, array)")):
        squares.value_and_gradient(X, out=out)
    with pytest.raises(ShapeError, match="out nests in another way"):
        squares.jvp(X, X, out=out)


def test_nothing_is_written_where_something_does_not_fit(squares, wave):
    out = np.full(3, 7.0)
    with pytest.raises(ShapeError):
        wave.jvp(X, X, out=(out, np.zeros(2)))
    with pytest.raises(ShapeError):
        wave(X[:2], out=out)
    with pytest.raises(RecordError):
        squares.value_and_gradient("x", out=(None, out))
    assert out.tolist() == [7.0] * 3


def test_an_argument_of_that_name_is_the_function_s_own():
    tape = tg.record(lambda x, out: x * out, 2.0, 3.0)
    native = tape.compile()
    assert native(2.0, out=5.0) == native.value(2.0, out=5.0) == 10.0
    assert native.gradient(2.0, out=5.0) == (5.0, 2.0)
    wide = tg.record(lambda x, out: (x * out).sum(), X, X).compile()
    assert wide(X, out=X) == (X * X).sum()
    assert wide.gradient(X, out=2.0 * X)[0].tolist() == (2.0 * X).tolist()


def test_guards_leave_it_alone():
    def f(x):
        y = x * 2.0  # is the result, and stands in its place before it is summed
        return y if y.sum() > 0.0 else -y

    native = tg.record(f, X).compile()
    out = np.full(3, 7.0)
    with pytest.raises(tg.BranchChanged):
        native(-X, out=out)
    assert out.tolist() == [7.0] * 3
    assert native(X, out=out) is out
    assert out.tolist() == (2.0 * X).tolist()
