"""Calls of compiled tapes with what does not fit: the tape's answers and errors.

And what every call leaves behind, whichever way it ends: nothing.
"""

from __future__ import annotations

import fractions
import functools
import gc
import signal
import sys
import threading

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import thunk
from tapegrad.native.arrayentry import array_builtin
from tapegrad.native.entry import builtin

X = np.array([3.0, 5.0])
A = np.array([[1.0, 2.0], [0.5, -1.0]])


class Half(float):
    """A float that says it is another one."""

    def __float__(self) -> float:
        return 0.5


class Third(float):
    """A float like any other."""


class Whole(int):
    """An int like any other."""


class Indexed:
    def __index__(self) -> int:
        return 3


class Floated:
    def __float__(self) -> float:
        return 1.5


class Sub(np.ndarray):
    """An array like any other."""


class Broken:
    """What NumPy cannot look at."""

    def __array__(self, dtype=None, copy=None):
        msg = "no array today"
        raise LookupError(msg)

    def __float__(self) -> float:
        msg = "no float today"
        raise LookupError(msg)


def unaligned():
    made = np.frombuffer(bytearray(17), np.float64, 2, 1)
    made[:] = X
    return made


def read_only():
    made = X.copy()
    made.flags.writeable = False
    return made


# In the place of a number.
NUMBERS = {
    "float": 2.5,
    "int": 2,
    "minus one": -1,
    "bool": True,
    "huge int": 10**300,
    "too huge": 10**400,
    "half": Half(7.0),
    "third": Third(7.0),
    "whole": Whole(7),
    "index": Indexed(),
    "floated": Floated(),
    "fraction": fractions.Fraction(1, 3),
    "float64": np.float64(2.5),
    "float32": np.float32(2.5),
    "float16": np.float16(2.5),
    "longdouble": np.longdouble(2.5),
    "int64": np.int64(-1),
    "uint64": np.uint64(2**64 - 1),
    "truth": np.bool_(False),
    "no dimensions": np.array(2.5),
    "integer without": np.array(2),
    "truth without": np.array(True),
    "text without": np.array("x"),
    "one entry": np.array([2.5]),
    "array": X,
    "empty": np.zeros(0),
    "list": [2.5],
    "text": "2.5",
    "bytes": b"2.5",
    "none": None,
    "complex": 1j,
    "complex64": np.complex64(1.0),
    "date": np.datetime64("2020-01-01"),
    "dict": {},
    "function": len,
    "class": float,
    "broken": Broken(),
}

# In the place of an array of shape (2,).
ARRAYS = {
    "as it is": X,
    "read-only": read_only(),
    "strides": np.repeat(X, 2)[::2],
    "backwards": X[::-1],
    "no strides": np.broadcast_to(3.0, 2),
    "swapped": X.astype(">f8"),
    "unaligned": unaligned(),
    "float32": X.astype("f4"),
    "float16": X.astype("f2"),
    "longdouble": X.astype(np.longdouble),
    "int8": X.astype("i1"),
    "uint64": np.array([2**64 - 1, 1], np.uint64),
    "truth": X > 4.0,
    "complex": X.astype(complex),
    "objects": X.astype(object),
    "text": X.astype(str),
    "dates": np.zeros(2, "M8[s]"),
    "record": np.zeros(2, "f8,f8"),
    "subclass": X.view(Sub),
    "matrix": X.view(np.matrix),
    "masked": np.ma.masked_array(X, [True, False]),
    "column": X.reshape(2, 1),
    "row": X.reshape(1, 2),
    "shorter": X[:1],
    "longer": np.zeros(3),
    "empty": np.zeros(0),
    "no dimensions": np.array(3.0),
    "number": 3.0,
    "list": [3, 5.0],
    "ragged": [3.0, [5.0]],
    "tuple": (3.0, 5.0),
    "range": range(2),
    "text itself": "35",
    "none": None,
    "memory": memoryview(X),
    "broken": Broken(),
    "metadata": X.astype(np.dtype("f8", metadata={"unit": "m"})),
}

SCALAR = tg.record(lambda x, y: x * y + y, 2.0, 3.0)
ARRAY = tg.record(lambda k, x: (k * A @ (x * x)).sum(), 2.0, X)
ENTRIES = tg.record(lambda k, x: k * x[0] * x[1], 2.0, X)
WIDE = tg.record(lambda k, x: k * np.tanh(A @ x), 2.0, X)
NESTED = tg.record(lambda p: (p["k"] * p["x"]).sum(), {"k": 2.0, "x": X})

METHODS = ("__call__", "value", "gradient", "value_and_gradient", "jacobian", "hessian")


@functools.cache
def compiled(tape):
    return tape.compile("0")


def outcome(call, *args, **kwargs):
    """What comes of a call: a result, or an error with its words."""
    try:
        return "result", call(*args, **kwargs)
    except tg.TapegradError as problem:
        return type(problem), str(problem)
    except (TypeError, ValueError, LookupError) as problem:
        return type(problem), ""


def alike(found, expected):
    """Equal types all the way down, and numbers to a few ulps."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = tuple(found.values()), tuple(expected.values())
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            alike(one, other)
    elif isinstance(expected, str) or not np.size(expected):
        assert np.array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def compare(tape, *args, methods=METHODS, **kwargs):
    """Each method of the compiled tape does what the tape's own does."""
    native = compiled(tape)
    for method in methods:
        expected = outcome(getattr(tape, method, tape), *args, **kwargs)
        found = outcome(getattr(native, method), *args, **kwargs)
        assert found[0] == expected[0], (method, found, expected)
        alike(found[1], expected[1])


EXAMPLES = {
    SCALAR: (2.0, 3.0),
    ARRAY: (2.0, X),
    ENTRIES: (2.0, X),
    WIDE: (2.0, X),
    NESTED: ({"k": 2.0, "x": X},),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "tape", [SCALAR, ARRAY, ENTRIES], ids=["numbers", "arrays", "entries"]
)
def test_in_the_place_of_a_number(tape, name):
    other = EXAMPLES[tape][1]
    compare(tape, NUMBERS[name], other)
    if tape is SCALAR:
        compare(tape, other, NUMBERS[name])


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("tape", [ARRAY, ENTRIES], ids=["arrays", "entries"])
def test_in_the_place_of_an_array(tape, name):
    compare(tape, 2.0, ARRAYS[name])


@pytest.mark.parametrize("name", ARRAYS)
def test_in_the_place_of_an_array_of_a_function_of_arrays(name):
    compare(WIDE, 2.0, ARRAYS[name], methods=("value", "jacobian"))


@pytest.mark.parametrize("name", ARRAYS)
def test_inside_of_a_nesting(name):
    methods = ("value", "gradient", "value_and_gradient")
    compare(NESTED, {"k": 2.0, "x": ARRAYS[name]}, methods=methods)
    number = NUMBERS.get(name, 4)
    compare(NESTED, {"k": number, "x": X}, methods=methods)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((2.0,), {}),
        ((2.0, 3.0, 4.0), {}),
        ((2.0,), {"y": 3.0}),
        ((), {"x": 2.0, "y": 3.0}),
        ((2.0, 3.0), {"y": 3.0}),
        ((2.0, 3.0), {"z": 3.0}),
        ((2.0,), {"": 3.0}),
        (([2.0], 3.0), {}),
        (((2.0, 3.0),), {}),
    ],
    ids=repr,
)
def test_counts_and_keywords(args, kwargs):
    compare(SCALAR, *args, **kwargs)
    wide = tuple(X if k == 1 else x for k, x in enumerate(args))
    named = {{"y": "x", "x": "k"}.get(k, k): v for k, v in kwargs.items()}
    compare(ARRAY, *wide, **named)
    compare(ENTRIES, *wide, **named)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"k": 2.0},
        {"k": 2.0, "x": X, "y": 1.0},
        {"x": X, "k": 2.0},
        [2.0, X],
        {"k": [2.0], "x": X},
        {"k": 2.0, "x": {"a": X}},
        None,
        X,
    ],
    ids=lambda bad: repr(bad)[:30],
)
def test_other_nestings(bad):
    compare(NESTED, bad, methods=("value", "gradient"))


# -- errors of others ----------------------------------------------------------------


def raising(problem):
    def fallback(*args, **kwargs):
        del args, kwargs
        raise problem

    return fallback


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), SystemExit(1), OSError(5)])
@pytest.mark.parametrize("kind", [thunk.FLAT, thunk.VALUE, thunk.PAIR, thunk.GRADIENT])
def test_what_the_fallback_raises_comes_through(kind, problem):
    numbers = SCALAR.compile("0")._kernel("gradient")
    arrays = ARRAY.compile("0")._kernel("gradient")
    fallback = raising(problem)
    for call, good in [
        (builtin("f", numbers, kind, fallback), (2.0, 3.0)),
        (array_builtin("f", arrays, kind, fallback, out=True), (2.0, X)),
    ]:
        for args, kwargs in [
            (("x", "y"), {}),
            ((), {}),
            (good, {"z": 1}),
            (good, {"out": 1.0}),
        ]:
            with pytest.raises(type(problem)):
                call(*args, **kwargs)
        call(*good)


def test_an_interrupt_between_calls_is_not_lost():
    """Whoever computes in a loop can be stopped, and nothing is left behind."""
    native = SCALAR.compile()
    native(1.0, 2.0)
    seen = []

    def stop(*_):
        seen.append(1)
        raise KeyboardInterrupt

    def forever():
        while True:
            native.value_and_gradient(1.0, 2.0)

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            forever()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [1]
    assert native.value_and_gradient(1.0, 2.0) == SCALAR.value_and_gradient(1.0, 2.0)


def test_truth_values_of_other_bytes():
    """A view of bytes may hold 2 where true is 1; NumPy takes it for true."""
    odd = np.array([0, 2, 1, 255], np.uint8).view(np.bool_)
    tape = tg.record(lambda x, b: tg.where(b, x, -x), np.ones(4), odd)
    native = tape.compile("0")
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert native(x, odd).tolist() == tape(x, odd).tolist() == [-1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("count", [50, 400_000])
def test_numbers_that_another_thread_changes(count):
    """Results may be any, but nothing breaks: sorting, searching, branches in loops."""
    x = np.linspace(0.0, 1.0, count)

    def f(x):
        return np.sort(x)[::2].sum() + np.searchsorted(np.sort(x), x[:4]).sum()

    native = tg.record(f, x).compile()
    native.value_and_gradient(x)
    done = threading.Event()

    def change():
        while not done.is_set():
            x[::3] = np.nan
            x[::2] = -x[::2]
            x[::3] = np.inf

    changer = threading.Thread(target=change)
    changer.start()
    for _ in range(4):
        assert type(native.value(x)) is float
        assert native.gradient(x).shape == x.shape
    done.set()
    changer.join()


# -- nothing is left behind ------------------------------------------------------------


def every_call():
    """A call of each kind, and of each way in which it may end."""
    number, array = SCALAR.compile("0"), ARRAY.compile("0")
    entries, nested = ENTRIES.compile("0"), NESTED.compile("0")
    wide = WIDE.compile("0")
    branch = tg.record(lambda x: x * x if x > 1.0 else x, 2.0).compile("0")
    slopes = tg.record(lambda x: x / x[0] if x[0] > 1.0 else x, X).compile("0")
    out, ends = np.zeros(2), np.zeros(3)
    calls = []
    for native, good, bad in [
        (number, (2.0, 3.0), (2.0, "x")),
        (array, (2.0, X), (2.0, X[:1])),
        (entries, (2.0, X), (2.0, "x")),
        (nested, ({"k": 2.0, "x": X},), ({"k": 2.0},)),
        (wide, (2.0, X), (2.0, None)),
    ]:
        names = ["value", "jacobian"]
        if native is not wide:
            names += ["gradient", "value_and_gradient", "hessian"]
        for name in names:
            call = getattr(native, name)
            calls += [(call, good, {}), (call, bad, {}), (call, (), {})]
            calls += [(call, good, {"z": 1.0}), (call, good, {"out": ends})]
            calls.append((call, good, {"out": None}))
        if native is not nested:
            calls.append((native.jvp, (good, good), {}))
            calls.append((native.jvp, (good, bad), {}))
        if native is not wide:
            calls.append((native.vjp, (good, 1.0), {}))
            calls.append((native.vjp, (good, "x"), {}))
            calls.append((native.hvp, (good, good), {}))
    calls += [
        (array.gradient, (2.0, X), {"out": (None, out)}),
        (array.value_and_gradient, (2.0, X), {"out": (None, (None, out))}),
        (array.value_and_gradient, (2.0, X), {"out": (None, (None, ends))}),
        (wide.value, (2.0, X), {"out": out}),
        (wide.value, (2.0, out), {"out": out}),
        (number.value, (2, np.float64(3.0)), {}),
        (array.value, (2, [3.0, 5.0]), {}),
        (branch.value_and_gradient, (2.0,), {}),
        (branch.value_and_gradient, (0.5,), {}),
        (slopes.value, (X,), {}),
        (slopes.value, (-X,), {}),
        (slopes.value, (X,), {"out": out}),
    ]
    return calls


def check_growth(rounds, calls):
    """Blocks of memory and references to what was passed, after so many rounds."""
    held = [x for _, args, kwargs in calls for x in (*args, *kwargs.values())]
    held += [X, X.dtype, np.float64, float, tuple, np.ndarray, None]
    mine = [x for x in held if not isinstance(x, float | int | str)]

    def run(count):
        for call, args, kwargs in calls:
            for _ in range(count):
                outcome(call, *args, **kwargs)

    def state():
        gc.collect()
        return sys.getallocatedblocks(), [sys.getrefcount(x) for x in mine]

    run(20)
    state()
    blocks, counts = state()
    run(rounds)
    later, now = state()
    assert later - blocks < 400
    wrong = [
        (x, a, b) for x, a, b in zip(mine, counts, now, strict=True) if abs(b - a) > 40
    ]
    assert not wrong


def test_nothing_is_left_behind():
    check_growth(200, every_call())


@pytest.mark.deep
def test_nothing_is_left_behind_by_a_million_calls():
    calls = every_call()
    quick = [
        (call, args, kwargs)
        for call, args, kwargs in calls
        if type(call).__name__ == "builtin_function_or_method"
    ]
    assert len(quick) > 20
    check_growth(1_000_000 // len(quick), quick)
    check_growth(2000, calls)
