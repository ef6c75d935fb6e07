"""A `Compiled` of a tape with arrays: the same answers, errors and nestings."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import warnings
import weakref
from dataclasses import dataclass

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.native import nesting
from tapegrad.native.compiling import llvm_source

rng = np.random.default_rng(3)
X = rng.standard_normal(7)
M = rng.standard_normal((3, 4))


def rosen(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def same(found, expected, rtol=1e-12, atol=1e-13):
    """Equal nestings, types, shapes and dtypes, and close numbers."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            same(found[key], value, rtol, atol)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other, rtol, atol)
    elif expected is None:
        return
    elif hasattr(expected, "__dataclass_fields__"):
        same(vars(found), vars(expected), rtol, atol)
    else:
        if isinstance(expected, np.ndarray | np.generic):
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


@dataclass
class Net:
    w: object
    b: object


SCALAR_VALUED = {
    "vector": (rosen, (X,), (2.0 * X,)),
    "matrix and vector": (
        lambda a, b: np.sum(np.tanh(a @ b) * 2.0),
        (M, X[:4]),
        (M + 1.0, X[3:]),
    ),
    "number and array": (lambda a, x: a * np.sum(x * x), (2.0, X), (3.0, X + 1.0)),
    "array and number": (lambda x, a: a * np.sum(x * x), (X, 2.0), (X + 1.0, 3.0)),
    "dict": (
        lambda p, k: np.sum(p["b"] * k) + p["a"] * 2.0,
        ({"b": X, "a": 1.0}, 3.0),
        ({"a": 4.0, "b": 2.0 * X}, 6.0),
    ),
    "list": (lambda p: np.sum(p[0] * p[1]), ([X, X + 1.0],), ([X + 2.0, X],)),
    "deep": (
        lambda p: np.sum(p[0][0] * p[1]["x"]),
        (([X], {"x": X}),),
        (([X + 2.0], {"x": X}),),
    ),
    "dataclass": (
        lambda n: np.sum(n.w * n.b),
        (Net(X, 2.0),),
        (Net(X + 2.0, 3.0),),
    ),
    "static": (lambda p: np.sum(p[0] ** p[1]), ([X, 3],), ([X + 2.0, 3],)),
    "integers": (
        lambda x, at: np.sum(x[at] ** 2),
        (X, np.array([0, 2, 2])),
        (X + 1.0, np.array([6, 1, 0])),
    ),
    "integers among others": (
        lambda p, y: np.sum(p["x"][p["at"]] * y),
        ({"x": X, "at": np.array([0, 2])}, 2.0),
        ({"x": X + 1.0, "at": np.array([1, 3])}, 3.0),
    ),
    "truth values": (
        lambda x, c, y: np.sum(np.where(c, x, y)),
        (X, X > 0.0, 2.0 * X),
        (X + 1.0, X < 0.0, X),
    ),
    "float32": (
        lambda x: np.sum(x * x),
        (X.astype("f4"),),
        (2 * X.astype("f4"),),
    ),
    "float32 number": (
        lambda x, y: np.sum(x * y),
        (np.array(2, "f4"), X.astype("f4")),
        (np.array(3, "f4"), X.astype("f4")),
    ),
    "no dimension": (lambda x: x * x, (np.array(2.0),), (np.array(3.0),)),
    "empty": (lambda x: np.sum(x * x), (np.zeros((0, 3)),), (np.zeros((0, 3)),)),
    "unused": (lambda x, y: np.sum(x), (X, M), (X, M)),
    "array captured": (lambda a: np.sum(a * X), (2.0,), (3.0,)),
}


def tolerance(args):
    small = any(getattr(a, "dtype", None) == np.float32 for a in args)
    return (1e-5, 1e-5) if small else (1e-12, 1e-13)


@pytest.mark.parametrize("case", SCALAR_VALUED)
def test_every_method_gives_what_the_tape_gives(case):
    f, args, other = SCALAR_VALUED[case]
    tape = tg.record(f, *args)
    native = tape.compile()
    rtol, atol = tolerance(args)
    for at in (args, other, args):
        value, slopes = tape.value_and_gradient(*at)
        same(native(*at), value, rtol, atol)
        same(native.value(*at), value, rtol, atol)
        same(native.value_and_gradient(*at), (value, slopes), rtol, atol)
        same(native.gradient(*at), slopes, rtol, atol)
        same(native.jacobian(*at), tape.jacobian(*at), rtol, atol)
        same(native.hessian(*at), tape.hessian(*at), 10 * rtol, 10 * atol)
        same(native.hvp(at, at), tape.hvp(at, at), 10 * rtol, 10 * atol)


@pytest.mark.parametrize("level", ["auto", "0", "1", "2", "3"])
def test_levels(level):
    tape = tg.record(rosen, X)
    same(tape.compile(level).value_and_gradient(X), tape.value_and_gradient(X))


SEVERAL = {
    "array out": (lambda x: np.tanh(x) * 2.0, (X,)),
    "matrix out": (np.outer, (X[:2], X[:3])),
    "wide": (lambda x: np.outer(np.tanh(x), np.arange(9.0)), (X[:2],)),
    "many numbers": (lambda x: [np.sum(x * float(k)) for k in range(12)], (X,)),
    "nested": (
        lambda p, *, n: {"z": p["w"] @ p["v"] * n, "a": (p["w"][1:], [1.0])},
        ({"w": X, "v": X + 1.0},),
    ),
    "integers out": (lambda x, k: (x * 2.0, np.argsort(x), k), (X, np.arange(3))),
    "twice": (lambda x: [x, x, x * 1.0], (X,)),
    "numbers to array": (lambda a, b: np.array([a, b, a * b]) * 2.0, (2.0, 3.0)),
    "float32 out": (lambda x: x * 2.0, (X.astype("f4"),)),
    "constant": (lambda x: (np.arange(3.0), x), (X,)),
}


@pytest.mark.parametrize("case", SEVERAL)
def test_several_outputs(case):
    f, args = SEVERAL[case]
    keywords = {"n": 2.0} if case == "nested" else {}
    tape = tg.record(f, *args, **keywords)
    native = tape.compile()
    same(native(*args, **keywords), tape(*args, **keywords))
    same(native.value(*args, **keywords), tape(*args, **keywords))
    same(native.jacobian(*args, **keywords), tape.jacobian(*args, **keywords))
    for name in ("value_and_gradient", "gradient", "hessian"):
        with pytest.raises(tg.ShapeError, match="jacobian"):
            getattr(native, name)


def test_an_output_does_not_spoil_another_s_jacobian():
    # 1/x has an infinite partial at 0: an adjoint of 0 times it is NaN
    tape = tg.record(lambda x: [1.0 / x[:1], x * 2.0], np.array([1.0, 2.0]))
    at = np.array([0.0, 2.0])
    found = tape.compile().jacobian(at)
    same(found[1], np.diag([2.0, 2.0]))
    same(found, tape.jacobian(at))
    two = tg.record(lambda a, b: [np.sqrt(a) * X, b * X], 1.0, 2.0)
    same(two.compile().jacobian(0.0, 2.0), two.jacobian(0.0, 2.0))


def test_keywords():
    tape = tg.record(lambda x, *, y: np.sum(x * y), X, y=2.0 * X)
    native = tape.compile()
    same(native(X, y=X), tape(X, y=X))
    same(native.value_and_gradient(X, y=X), tape.value_and_gradient(X, y=X))
    same(native.value_and_gradient(list(X), y=X), tape.value_and_gradient(X, y=X))
    plain = tg.record(lambda x, y: np.sum(x * y), X, X).compile()
    same(plain(y=X, x=2.0 * X), plain(2.0 * X, X))
    same(plain.gradient(2.0 * X, y=X), (X, 2.0 * X))
    for args, keywords in (((X,), {"z": X}), ((X,), {}), ((X, X), {"y": X}), ((), {})):
        with pytest.raises(tg.ShapeError):
            native(*args, **keywords)
        with pytest.raises(tg.ShapeError):
            plain(*args, **keywords)


# -- what is passed ----------------------------------------------------------------


class Kin(np.ndarray):
    pass


def unaligned(x):
    raw = np.zeros(x.nbytes + 1, np.uint8)
    out = raw[1:].view(x.dtype).reshape(x.shape)
    out[...] = x
    return out


PASSED = {
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(map(tuple, x)),
    "strides": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "negative strides": lambda x: x[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "read-only": lambda x: np.broadcast_to(x, x.shape),
    "big-endian": lambda x: x.astype(">f8"),
    "float32": lambda x: x.astype("f4"),
    "integers": lambda x: x.astype(np.int32),
    "subclass": lambda x: x.view(Kin),
    "unaligned": unaligned,
    "long double": lambda x: x.astype(np.longdouble),
    "Value": tg.Value,
    "objects": lambda x: x.astype(object),
}


@pytest.mark.parametrize("how", PASSED)
def test_arrays_that_are_converted(how):
    tape = tg.record(lambda x, y: np.sum(x * x) * y, M, 2.0)
    native = tape.compile()
    whole = np.arange(12.0).reshape(3, 4)
    given = PASSED[how](whole)
    expected = tape.value_and_gradient(whole, 3.0)
    same(native.value_and_gradient(given, 3.0), expected)
    same(native.gradient(given, np.float32(3.0)), expected[1])
    same(native.jacobian(given, np.array(3.0)), expected[1])
    if isinstance(given, list | tuple):
        return
    nested = tg.record(lambda p: np.sum(p["x"] ** 2) * p["y"], {"x": M, "y": 2.0})
    _, slopes = nested.compile().value_and_gradient({"x": given, "y": 3})
    same(slopes, {"x": expected[1][0], "y": expected[1][1]})


@pytest.mark.parametrize(
    "kind", [np.int8, np.uint16, np.int32, np.int64, np.longlong, np.bool_]
)
def test_integers_that_are_converted(kind):
    tape = tg.record(lambda x, at: np.sum(x[at]), X, np.array([0, 1]))
    at = np.array([1, 0], kind)
    same(tape.compile().value_and_gradient(X, at), tape.value_and_gradient(X, at))


def test_interpreted_answers_are_the_last_resort(monkeypatch):
    native = tg.record(rosen, X).compile()
    expected = native.value_and_gradient(X)

    def never(*_):
        raise AssertionError

    monkeypatch.setattr("tapegrad.sweeps.replay", never)
    for given in (X, X.tolist(), unaligned(X), X[::-1].copy()[::-1]):
        same(native.value_and_gradient(given), expected)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (X[:6], tg.ShapeError, r"argument x: .*\(6,\).*\(7,\)"),
        (X[None], tg.ShapeError, r"argument x: .*\(1, 7\).*\(7,\)"),
        (2.0, tg.ShapeError, r"argument x: .*\(\).*\(7,\)"),
        ([1.0, [2.0]], tg.ShapeError, "argument x: "),
        (X.astype(complex), tg.RecordError, "argument x: .*complex"),
        (["a"] * 7, tg.RecordError, "argument x: "),
        ("no", tg.RecordError, "argument x: .*str"),
        (None, tg.RecordError, "argument x: .*None"),
        ({"x": X}, tg.RecordError, "argument x: got {"),
        (X.astype("M8[s]"), tg.RecordError, "argument x: .*datetime64"),
    ],
)
def test_what_does_not_fit_is_named(given, error, words):
    native = tg.record(rosen, X).compile()
    for call in (native, native.value, native.value_and_gradient, native.jacobian):
        with pytest.raises(error, match=words):
            call(given)


def test_floats_where_integers_belong():
    tape = tg.record(lambda x, at: np.sum(x[at]), X, np.array([0, 1]))
    with pytest.raises(tg.RecordError, match=r"argument at: .*floats.*int64"):
        tape.compile().gradient(X, np.array([0.0, 1.0]))


def test_other_nestings_are_refused():
    native = tg.record(lambda p, q: np.sum(p["a"] * q[0]), {"a": X}, [X]).compile()
    for p, q, name in (
        ({"b": X}, [X], "p"),
        ({"a": X, "b": X}, [X], "p"),
        ([X], [X], "p"),
        ({"a": X}, (X,), "q"),
        ({"a": X}, [X, X], "q"),
        ({"a": X}, [[X]], "q"),
        ({"a": X}, [X.tolist()], "q"),
        ({"a": X}, X, "q"),
    ):
        with pytest.raises((tg.ShapeError, tg.RecordError), match=f"argument {name}"):
            native(p, q)


def test_values_with_a_history_are_refused():
    native = tg.record(rosen, X).compile()
    with pytest.raises(tg.RecordError, match="history"):
        native(tg.Value(X) * 2.0)
    nested = tg.record(lambda p: np.sum(p[0] * p[1]), [X, X]).compile()
    with pytest.raises(tg.RecordError, match="history"):
        nested([X, tg.Value(X) * 2.0])
    same(nested([X, tg.Value(X)]), nested([X, X]))


def test_models_are_taken_apart_without_words(monkeypatch):
    model = nn.MLP(2, [3, 1], "tanh", seed=1, arrays=True)
    points = rng.standard_normal((5, 2))
    tape = tg.record(lambda m, x, k: np.sum(m(x) ** 2) * k[0], model, points, (2.0, 3))
    native = tape.compile()
    expected = tape.value_and_gradient(model, points, (2.0, 3))
    same(native.value(model, points, (2.0, 3)), expected[0])
    with monkeypatch.context() as patch:
        patch.setattr("tapegrad.binding.bind", None)  # never called
        value, slopes = native.value_and_gradient(model, points, (2.0, 3))
    same(value, expected[0])
    leaves = nn.module.leaves(slopes, (float, np.ndarray))
    same(leaves, nn.module.leaves(expected[1], (float, np.ndarray)))
    with pytest.raises(tg.ShapeError, match="static value 4"):
        native.value(model, points, (2.0, 4))
    with pytest.raises(tg.ShapeError, match="argument m"):
        native.value(nn.MLP(2, [3, 3, 1], seed=1, arrays=True), points, (2.0, 3))


def test_arguments_stay_and_results_are_new():
    tape = tg.record(lambda x: [x, x * 1.0, x[:2]], X)
    native = tape.compile()
    x = X.copy()
    one, two = native(x), native(x)
    one[0][:] = one[1][:] = one[2][:] = 0.0
    same(x, X)
    same(two, [X, X, X[:2]])
    assert all(part.flags.owndata and part.flags.writeable for part in two)


# -- guards, domains, warnings -----------------------------------------------------


def branching(x):
    y = np.sum(x)
    if y > 1.0:
        return np.log(y) * x[0]
    return np.sum(x * x)


def test_a_flipped_guard_raises_as_the_interpreter_does():
    tape = tg.record(branching, np.ones(3))
    native = tape.compile()
    same(
        native.value_and_gradient(np.ones(3) * 2.0),
        tape.value_and_gradient(np.ones(3) * 2.0),
    )
    for call in (native, native.value_and_gradient, native.gradient, native.jacobian):
        with pytest.raises(tg.BranchChanged) as expected:
            tape(np.zeros(3))
        with pytest.raises(tg.BranchChanged) as found:
            call(np.zeros(3))
        assert str(found.value) == str(expected.value)
        assert found.value.operands == (0.0, 1.0)
        assert found.value.line == branching.__code__.co_firstlineno + 2
    vector = tg.record(lambda x: x * (2.0 if np.sum(x) > 1.0 else 3.0), np.ones(9))
    with pytest.raises(tg.BranchChanged):
        vector.compile().jacobian(np.zeros(9))


def test_matrices_without_an_answer():
    tape = tg.record(lambda a, b: np.sum(np.linalg.solve(a, b)), np.eye(3), X[:3])
    native = tape.compile()
    a = np.eye(3) + 0.1 * rng.standard_normal((3, 3))
    same(native.value_and_gradient(a, X[:3]), tape.value_and_gradient(a, X[:3]))
    for call in (native, native.value_and_gradient, native.gradient):
        with pytest.raises(tg.DomainError) as expected:
            tape(np.zeros((3, 3)), X[:3])
        with pytest.raises(tg.DomainError) as found:
            call(np.zeros((3, 3)), X[:3])
        assert str(found.value) == str(expected.value)


def test_no_warning_leaves():
    native = tg.record(lambda x: np.sum(np.log(x) / x), np.ones(3)).compile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(native(-np.ones(3)))
        value, slopes = native.value_and_gradient(np.zeros(3))
    assert value == -math.inf
    assert slopes.shape == (3,)


# -- life and death ----------------------------------------------------------------


def test_pickling_and_copies_build_again():
    native = tg.record(rosen, X).compile("1")
    expected = native.value_and_gradient(X)
    for other in (
        pickle.loads(pickle.dumps(native)),
        copy.copy(native),
        copy.deepcopy(native),
    ):
        assert other.level == "1"
        assert other.tape == native.tape
        assert not other.report.parts
        same(other.value_and_gradient(X), expected)


def test_a_builtin_outlives_its_compiled_and_frees_the_code():
    native = tg.record(rosen, X).compile()
    both, expected = native.value_and_gradient, native.value_and_gradient(X)
    engine = weakref.ref(native._parts["gradient"].engine)
    del native
    gc.collect()
    same(both(X), expected)
    assert engine() is not None
    del both
    gc.collect()
    assert engine() is None


def test_threads_share_a_compiled():
    n = 200_000  # long enough to let the others run meanwhile
    native = tg.record(lambda x: np.sum(np.tanh(x) * x), np.ones(n)).compile()
    wrong = []

    def work(factor):
        x = np.full(n, factor)
        expected = n * math.tanh(factor) * factor
        for _ in range(5):
            value, slopes = native.value_and_gradient(x)
            if not math.isclose(value, expected, rel_tol=1e-9) or np.ptp(slopes):
                wrong.append(factor)

    threads = [threading.Thread(target=work, args=(0.1 * k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_report():
    native = tg.record(lambda x: np.sum(np.sort(x) * np.tanh(x)), X).compile()
    assert repr(native).endswith("nothing built so far>")
    native(X)
    native.value_and_gradient(X)
    report = native.report
    assert set(report.parts) == {"value", "gradient"}
    assert report.tier == 2
    assert report.code_bytes > 0
    assert report.seconds > 0.0
    assert report.arena_bytes == sum(p.arena_bytes for p in report.parts.values())
    assert f"{len(native.tape)} steps" in str(report)


def test_source():
    text = llvm_source(tg.record(rosen, X))
    assert "@kernel(ptr" in text
    assert "fmul" in text


# -- quick nestings ----------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        [1.0, 2.0],
        (1.0, [2.0], {"b": 3.0, "a": (4.0,)}),
        {"z": 1.0, "a": [], "m": ((), [2.0])},
        [],
        Net(1.0, [2.0]),
        [1.0, None],
        [1.0, 3],
    ],
    ids=repr,
)
def test_nestings_are_taken_apart_and_put_together_as_optree_does(value):
    from tapegrad.recording import is_dynamic
    from tapegrad.tape.structure import flatten

    leaves, tree = flatten(value, is_dynamic)
    assert repr(nesting.builder(tree)(leaves)) == repr(tree.build(leaves))
    take = nesting.taker(tree)
    found = []
    assert take(value, found)
    assert found == leaves
    if tree.spec is not None:
        for other in (1.0, [value], {"b": value}, (value, value), [*range(9)]):
            assert not take(other, [])
