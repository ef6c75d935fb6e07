"""jvp, vjp and hvp of a `Compiled`: values, nesting, errors, report."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import BranchChanged, RecordError, ShapeError

X = np.array([0.5, -1.25, 2.0])
A = np.array([[1.0, 2.0, 0.5], [0.25, -1.0, 3.0]])


def model(p, x):
    y = np.tanh(p["w"] @ x + p["b"])
    return {"y": y, "loss": (y * y).sum()}


P = {"w": A, "b": np.array([0.1, -0.2])}
DP = {"w": np.ones((2, 3)), "b": np.array([1.0, 0.5])}

# function, arguments, tangents, cotangents
CASES = {
    "numbers": (lambda x, y: x * y + y, (2.0, 3.0), (1.0, 0.5), 2.0),
    "one number": (lambda x: x * x, (3.0,), (2.0,), 1.5),
    "one of two": (lambda x, y: x * x, (3.0, 1.0), (2.0, 1.0), 1.5),
    "several": (
        lambda x, y: {"sum": x + y, "product": (x * y,)},
        (2.0, 3.0),
        (1.0, 0.5),
        {"sum": 1.0, "product": (2.0,)},
    ),
    "truth": (lambda x, y: (x > y, x * y), (2.0, 3.0), (1.0, 0.5), (False, 2.0)),
    "nested": (lambda w, k: w[0] * w[1] * k, ([2.0, 3.0], 4.0), ([1.0, 0.0], 2.0), 1.0),
    "array": (lambda x: (x * x * x).sum(), (X,), (X + 1.0,), 0.5),
    "array out": (lambda x: A @ np.sin(x), (X,), (X + 1.0,), np.array([1.0, 2.0])),
    "number and array": (lambda k, x: k * x, (2.0, X), (0.5, X[::-1]), X * X),
    "model": (
        model,
        (P, X),
        (DP, X * 0.5),
        {"y": np.array([1.0, 2.0]), "loss": 0.5},
    ),
    "float32": (
        lambda x: x * x,
        (X.astype("f4"),),
        (X.astype("f4"),),
        np.ones(3, "f4"),
    ),
    "integers": (
        lambda x, i: x[i] * 2.0,
        (X, np.array([1, 0])),
        (X * 2.0, None),
        np.array([3.0, 1.0]),
    ),
    "a static one": (lambda x, n: x**n, (2.0, 3), (1.0, 3), 2.0),
}


def same(found, expected, rtol=1e-13):
    """Equal nesting and types, numbers equal to a few ulps."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, rtol)
        return
    if isinstance(expected, np.ndarray | np.generic):
        assert found.dtype == expected.dtype
        assert np.shape(found) == np.shape(expected)
        rtol = max(rtol, 4 * np.finfo(found.dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=0)


@pytest.mark.parametrize("case", CASES)
def test_as_the_tape(case):
    f, args, tangents, cotangents = CASES[case]
    tape = tg.record(f, *args)
    native = tape.compile()
    same(native.jvp(args, tangents), tape.jvp(args, tangents))
    same(native.vjp(args, cotangents), tape.vjp(args, cotangents))
    assert {"jvp", "vjp"} <= set(native.report.parts)
    if len(tape.outputs) == 1 and tape.structure.result.bare:
        if tape.aval_of(tape.outputs[0])[0]:
            with pytest.raises(ShapeError, match="a gradient is of one float"):
                native.hvp(args, tangents)
        else:
            same(native.hvp(args, tangents), tape.hvp(args, tangents))


def test_one_argument_may_stand_alone():
    native = tg.record(lambda x: (x * x).sum(), X).compile()
    value, slope = native.jvp(X, np.ones(3))
    assert value == (X * X).sum()
    assert slope == 2.0 * X.sum()
    value, bars = native.vjp(X, 3.0)
    assert bars.tolist() == (6.0 * X).tolist()
    assert native.hvp(X, np.ones(3)).tolist() == [2.0] * 3
    one = tg.record(lambda x: x**3, 2.0).compile()
    assert one.jvp(2.0, 1.0) == (8.0, 12.0)
    assert one.vjp(2, 0.5) == (8.0, 6.0)
    assert one.hvp(2.0, 1) == 12.0


BAD = [
    ("jvp", (2.0,), (1.0, 1.0)),
    ("jvp", (2.0, 3.0), (1.0,)),
    ("jvp", (2.0,), (1.0, 1.0, 1.0)),
    ("jvp", 2.0, (1.0, 1.0)),
    ("jvp", [2.0, 3.0], (1.0, 1.0)),
    ("jvp", (2.0, 3.0), 1.0),
    ("jvp", (2.0, "x"), (1.0, 1.0)),
    ("jvp", (2.0, 3.0), (1.0, "x")),
    ("jvp", (2.0, 3.0), (1.0, X)),
    ("jvp", (2.0, 3.0), (None, 1.0)),
    ("jvp", (10**400, 3.0), (1.0, 1.0)),
    ("vjp", (2.0, 3.0), "x"),
    ("vjp", (2.0, 3.0), (1.0, 2.0)),
    ("vjp", (2.0, 3.0), None),
    ("vjp", (2.0,), 1.0),
    ("hvp", (2.0, 3.0), (1.0,)),
    ("hvp", (2.0, 3.0), (1j, 1.0)),
    ("hvp", 2.0, 1.0),
]


@pytest.mark.parametrize(("method", "args", "along"), BAD, ids=repr)
def test_errors_are_those_of_the_tape(method, args, along):
    tape = tg.record(lambda x, y: x * y + y, 2.0, 3.0)
    with pytest.raises((ShapeError, RecordError)) as expected:
        getattr(tape, method)(args, along)
    with pytest.raises(type(expected.value)) as found:
        getattr(tape.compile(), method)(args, along)
    # a Hessian's tape has names of its own for what it takes
    assert method == "hvp" or str(found.value) == str(expected.value)


def test_errors_of_arrays_are_those_of_the_tape():
    tape = tg.record(lambda x: (x * x).sum(), X)
    for method, args, along in [
        ("jvp", (X,), (np.ones(2),)),
        ("jvp", (X[:2],), (np.ones(3),)),
        ("vjp", (X,), X),
        ("jvp", (X,), (np.ma.masked_array(X, X > 0),)),
        ("jvp", (X,), (X.astype(complex),)),
    ]:
        with pytest.raises((ShapeError, RecordError)) as expected:
            getattr(tape, method)(args, along)
        with pytest.raises(type(expected.value)) as found:
            getattr(tape.compile(), method)(args, along)
        assert str(found.value) == str(expected.value)


def test_other_numbers_and_strides():
    native = tg.record(lambda k, x: k * (x * x).sum(), 2.0, X).compile()
    exact = native.jvp((2.0, X), (1.0, np.ones(3)))
    wide = np.repeat(X, 2)[::2]
    assert native.jvp((np.float32(2), wide), (True, [1, 1, 1])) == exact
    assert native.jvp((2, X.astype(">f8")), (1, np.ones(3, np.int32))) == exact
    assert native.jvp((tg.Value(2.0), tg.Value(X)), (1.0, np.ones(3))) == exact


def test_values_with_a_history_are_refused():
    tape = tg.record(lambda x: x * x, 2.0)
    bad = tg.Value(1.0) * 2.0
    for call in (tape.compile().jvp, tape.compile().vjp, tape.compile().hvp):
        with pytest.raises(RecordError, match="history"):
            call((bad,), (1.0,) if call.__name__ != "vjp" else 1.0)


def test_guards():
    def f(x):
        return x * x if x > 1.0 else -x

    tape = tg.record(f, 2.0)
    native = tape.compile()
    for method in ("jvp", "vjp", "hvp"):
        call = getattr(native, method)
        call(3.0, 1.0)
        with pytest.raises(BranchChanged) as found:
            call(0.5, 1.0)
        assert found.value.line == f.__code__.co_firstlineno + 1


def test_non_finite_directions():
    tape = tg.record(lambda x, y: x * y, 1.0, 2.0)
    native = tape.compile()
    for along in [(math.inf, 0.0), (math.nan, 1.0), (-0.0, 0.0)]:
        found = native.jvp((0.0, 1.0), along)
        np.testing.assert_array_equal(found, tape.jvp((0.0, 1.0), along))


def test_keywords_have_no_directions():
    tape = tg.record(lambda x, *, y: x * y, 2.0, y=3.0)
    for method in ("jvp", "vjp"):
        along = (1.0, 1.0) if method == "jvp" else 1.0
        with pytest.raises(ShapeError) as expected:
            getattr(tape, method)((2.0, 3.0), along)
        with pytest.raises(ShapeError) as found:
            getattr(tape.compile(), method)((2.0, 3.0), along)
        assert str(found.value) == str(expected.value)


def test_they_are_there_again_after_pickling():
    native = tg.record(lambda x: x * x, 2.0).compile()
    assert native.jvp(3.0, 1.0) == (9.0, 6.0)
    assert pickle.loads(pickle.dumps(native)).jvp(3.0, 1.0) == (9.0, 6.0)


def test_transforms_take_the_tape_of_compiled_code():
    native = tg.compile(lambda x, y: x * y + y, 2.0, 3.0)
    lanes = np.arange(3.0)
    assert tg.vmap(native)(lanes, lanes).tolist() == [0.0, 2.0, 6.0]
    slopes = tg.vmap(tg.grad(native), in_axes=(0, None))(lanes, 5.0)
    assert slopes.tolist() == [5.0] * 3
    assert tg.jvp(native, (2.0, 3.0), (1.0, 0.0)) == (9.0, 3.0)


def test_transforms_of_compiled_code_are_answered_by_it(monkeypatch):
    two = tg.record(lambda x, y: x * x * y, 2.0, 3.0)
    many = tg.record(lambda k, x: (k * x * x).sum(), 2.0, X)

    def calls(f, args, dots):
        yield tg.jvp(f, args, dots)
        yield tg.hvp(f, args, dots)
        yield tg.grad(f)(*args)
        yield tg.grad(f, (-1,))(*args)
        yield tg.grad(f, [1, 0, 1])(*args)
        yield tg.value_and_grad(f, 1)(*args)

    cases = [
        (two, (2.0, 3.0), (1.0, 0.5)),
        (many, (3.0, X), (1.0, X[::-1].copy())),
    ]
    expected = [list(calls(tape, *given)) for tape, *given in cases]
    # nothing is recorded for the compiled ones
    monkeypatch.setattr("tapegrad.transforms.forward.Recorded", None)
    monkeypatch.setattr("tapegrad.transforms.reverse.Recorded", None)
    found = [list(calls(tape.compile(), *given)) for tape, *given in cases]
    same(found, expected)
    with pytest.raises(TypeError):
        next(calls(two, *cases[0][1:]))


def test_what_compiled_code_does_not_take_is_recorded():
    native = tg.record(lambda x, y: x * x * y, 2.0, 3.0).compile()
    tape = native.tape
    assert tg.jvp(native, (2, 3.0), (1.0, 1.0)) == tg.jvp(tape, (2, 3.0), (1.0, 1.0))
    assert tg.grad(native)(np.float64(2.0), y=3.0) == 12.0
    assert tg.hessian(native)(2.0, 3.0) == tg.hessian(tape)(2.0, 3.0) == 6.0
    assert tg.grad(tg.grad(native))(2.0, 3.0) == 6.0
    with pytest.raises(ShapeError, match="argnums=5"):
        tg.grad(native, 5)(2.0, 3.0)
    wide = tg.record(lambda x: x * x, X).compile()
    with pytest.raises(ShapeError) as found:
        tg.grad(wide)(X)
    with pytest.raises(ShapeError) as expected:
        tg.grad(wide.tape)(X)
    assert str(found.value) == str(expected.value).replace("tape()", "Compiled()")
    with pytest.raises(ShapeError):
        tg.jvp(wide, (X,), (X[:2],))
