"""What a user does with a `Compiled`: calls, structures, errors, life and death."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native.compiling import compile_function
from tapegrad.native.engine import Engine
from tapegrad.tape.guards import Guard
from tapegrad.tape.recorder import Columns

LEVELS = ["auto", "0", "1", "2", "3"]


def readme(a, b):
    """The expression of micrograd's README, with its branch-free relu."""
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    return g + 10.0 / f


@pytest.fixture
def tape():
    return tg.record(readme, -4.0, 2.0)


@pytest.mark.parametrize("level", LEVELS)
def test_readme_expression(tape, level):
    native = tape.compile(level)
    assert native(-4.0, 2.0) == tape(-4.0, 2.0) == pytest.approx(24.7041, abs=1e-4)
    assert native.value(-4.0, 2.0) == native(-4.0, 2.0)
    value, slopes = native.value_and_gradient(-4.0, 2.0)
    assert (value, slopes) == tape.value_and_gradient(-4.0, 2.0)
    assert slopes == pytest.approx((138.8338, 645.5773), abs=1e-4)
    assert native.gradient(-4.0, 2.0) == native.jacobian(-4.0, 2.0) == slopes
    assert native.hessian(1.5, -0.5) == tape.hessian(1.5, -0.5)
    along = tape.hvp((1.5, -0.5), (1.0, 2.0))
    assert native.hvp((1.5, -0.5), (1.0, 2.0)) == pytest.approx(along, rel=1e-14)


def test_results_are_floats_and_nest_as_the_tape_s():
    one = tg.record(lambda x: x * x, 3.0).compile()
    assert one.value_and_gradient(3.0) == (9.0, 6.0)
    value, slope = one.value_and_gradient(np.float64(3.0))
    assert type(value) is type(slope) is float
    assert type(one(3)) is float
    assert one.gradient(3) == 6.0
    assert one.hessian(3.0) == 2.0
    assert one.hvp(3.0, 5.0) == one.hvp((3.0,), (5.0,)) == 10.0
    three = tg.record(lambda x, y, z: x * y, 1.0, 2.0, 3.0).compile()
    assert three.value_and_gradient(1, 2.0, np.float32(3)) == (2.0, (2.0, 1.0, 0.0))


def test_no_inputs_and_no_steps():
    constant = tg.record(lambda: 2.5)
    assert constant.compile()() == 2.5
    assert constant.compile().value_and_gradient() == constant.value_and_gradient()
    identity = tg.record(lambda x: x, 1.0)
    for level in LEVELS:
        assert identity.compile(level).value_and_gradient(7.0) == (7.0, 1.0)


def test_an_output_twice_an_input_a_constant():
    def f(x, y):
        z = x * y
        return [z, z, x, 2.0, -0.0, y]

    tape = tg.record(f, 2.0, 3.0)
    for level in LEVELS:
        native = tape.compile(level)
        assert native(5.0, 7.0) == [35.0, 35.0, 5.0, 2.0, -0.0, 7.0]
        assert math.copysign(1.0, native(5.0, 7.0)[4]) == -1.0
        assert native.jacobian(5.0, 7.0) == tape.jacobian(5.0, 7.0)


@dataclass
class Point:
    x: float
    y: float


@pytest.mark.parametrize(
    ("f", "args", "other"),
    [
        (lambda w: w[0] * w[1], ([2.0, 3.0],), ([4.0, 5.0],)),
        (
            lambda p, k: p["a"] * k + p["b"],
            ({"a": 1.0, "b": 2.0}, 3.0),
            ({"a": 4.0, "b": 5.0}, 6.0),
        ),
        (lambda p: p.x / p.y, (Point(1.0, 2.0),), (Point(3.0, 4.0),)),
        (lambda w, n: w[0] ** n, ([2.0], 3), ([4.0], 3)),
    ],
    ids=["list", "dict", "dataclass", "static"],
)
def test_structures(f, args, other):
    tape = tg.record(f, *args)
    native = tape.compile()
    assert native(*other) == tape(*other)
    assert native.value_and_gradient(*other) == tape.value_and_gradient(*other)
    assert native.gradient(*other) == tape.gradient(*other)
    assert native.hessian(*other) == tape.hessian(*other)
    assert native.jacobian(*other) == tape.jacobian(*other)


def test_several_outputs():
    tape = tg.record(lambda x, y: {"sum": x + y, "product": (x * y,)}, 2.0, 3.0)
    native = tape.compile()
    assert native(4.0, 5.0) == {"sum": 9.0, "product": (20.0,)}
    assert native.jacobian(4.0, 5.0) == tape.jacobian(4.0, 5.0)
    for name in ("value_and_gradient", "gradient", "hessian"):
        with pytest.raises(tg.ShapeError, match="jacobian"):
            getattr(native, name)


def test_keywords():
    tape = tg.record(lambda x, *, y: x - y, 2.0, y=3.0)
    native = tape.compile()
    assert native(5.0, y=1.0) == 4.0
    assert native.value_and_gradient(5.0, y=1.0) == tape.value_and_gradient(5.0, y=1.0)
    plain = tg.record(lambda x, y: x - y, 2.0, 3.0).compile()
    assert plain(y=1.0, x=5.0) == plain.value(5.0, y=1.0) == 4.0
    assert plain.value_and_gradient(y=1.0, x=5.0) == (4.0, (1.0, -1.0))
    with pytest.raises(tg.ShapeError):
        plain.value_and_gradient(5.0, z=1.0)


@pytest.mark.parametrize("count", [62, 63, 64, 65, 300])
def test_many_inputs(count):
    def f(*xs):
        total = 0.0
        for k, x in enumerate(xs):
            total = total + (k + 1.0) * x * x
        return total

    xs = [math.sin(k) for k in range(count)]
    tape = tg.record(f, *xs)
    native = tape.compile()
    assert native(*xs) == tape(*xs)
    assert native.value_and_gradient(*xs) == tape.value_and_gradient(*xs)
    with pytest.raises(tg.ShapeError):
        native.hvp((1.0,), (1.0,))
    with pytest.raises(tg.ShapeError):
        native(*xs[1:])
    with pytest.raises(tg.RecordError):
        native.value_and_gradient(*xs[1:], tg.Value(1.0) * 2)


def test_sub_tapes_are_expanded():
    inner = tg.record(lambda x, y: x * y + x.exp(), 1.0, 2.0)
    tape = tg.record(lambda x: inner(x, x) + inner(x * x, 3.0), 0.5)
    assert "call" in tape.operations
    native = tape.compile()
    assert native.value_and_gradient(0.75) == tape.value_and_gradient(0.75)


# -- long tapes ------------------------------------------------------------------


def long_chain(steps):
    def f(x, y):
        z, early = x, []
        for k in range(steps // 5):
            z = (z * y + x).tanh() - z / (y * y + 1.0)
            if k % 50 == 0:
                early.append(z)
        return z + sum(early)

    return tg.record(f, 0.7, -1.3, roll=False)


@pytest.mark.parametrize("level", ["auto", "1"])
def test_a_tape_of_many_chunks(level):
    tape = long_chain(5000)
    assert len(tape) > 4500
    native = tape.compile(level)
    for point in [(0.7, -1.3), (0.1, 2.0), (math.nan, 1.0), (math.inf, -math.inf)]:
        value, slopes = native.value_and_gradient(*point)
        # long interpreted sweeps take their atoms from NumPy: other last bits
        want, expected = tape.value_and_gradient(*point)
        np.testing.assert_allclose(value, want, rtol=0, equal_nan=True)
        np.testing.assert_allclose(slopes, expected, rtol=1e-12, equal_nan=True)
        np.testing.assert_allclose(native(*point), tape(*point), rtol=0)
    parts = native.report.parts
    assert parts["value"].chunks > 4
    assert parts["gradient"].chunks > parts["value"].chunks


def test_chunks_change_no_bit():
    tape = long_chain(2500)
    one, two = tape.compile("0"), tape.compile("2")
    rng = np.random.default_rng(0)
    for point in rng.standard_normal((20, 2)).tolist():
        assert one.value_and_gradient(*point) == two.value_and_gradient(*point)


def test_truth_values_cross_chunks():
    def f(x, y):
        sign, z = x > y, x
        for _ in range(1500):
            z = z * 0.5 + y
        return tg.where(sign, z * x, z + y)

    tape = tg.record(f, 2.0, 1.0)
    native = tape.compile()
    assert native.report.tier == 2
    for point in [(2.0, 1.0), (1.0, 2.0), (1.0, 1.0)]:
        assert native(*point) == tape(*point)
        assert native.gradient(*point) == pytest.approx(
            tape.gradient(*point), rel=1e-13
        )
    assert native.report.parts["value"].chunks > 1


def test_a_buffer_on_the_heap():
    def f(x):
        xs = [x * (k + 1.0) for k in range(4200)]
        total = 0.0
        for y in xs:
            total = total + y * y
        return total

    tape = tg.record(f, 1.0, roll=False)
    native = tape.compile()
    assert native(0.5) == tape(0.5)
    value, slope = native.value_and_gradient(0.5)
    assert value == tape(0.5)
    assert slope == pytest.approx(tape.gradient(0.5), rel=1e-13)
    assert "@malloc" in tape.to_llvm()


# -- guards ----------------------------------------------------------------------


def branching(x, y):
    z = x * y
    if z > 1.0:
        return z.log()
    return z + 1.0


@pytest.mark.parametrize("level", LEVELS)
def test_a_flipped_guard_raises_as_the_interpreter_does(level):
    tape = tg.record(branching, 2.0, 3.0)
    native = tape.compile(level)
    assert native.value_and_gradient(4.0, 5.0) == tape.value_and_gradient(4.0, 5.0)
    for call in (native, native.value, native.value_and_gradient, native.gradient):
        with pytest.raises(tg.BranchChanged) as found:
            call(0.5, 0.25)
        with pytest.raises(tg.BranchChanged) as expected:
            tape(0.5, 0.25)
        assert str(found.value) == str(expected.value)
        assert found.value.operands == (0.125, 1.0)
        assert found.value.file == __file__
        assert found.value.line == branching.__code__.co_firstlineno + 2
        with pytest.raises(tg.BranchChanged):
            call(math.nan, 1.0)


def test_guards_in_later_chunks():
    def f(x):
        z = x
        for _ in range(4):
            for _ in range(700):
                z = z * 1.0
            if z < 10.0:
                z = z * 2.0
        return z

    tape = tg.record(f, 0.5)
    native = tape.compile()
    assert native(0.6) == tape(0.6)
    for x in (-1.0, 0.1, 0.55):
        assert native.value_and_gradient(x) == tape.value_and_gradient(x)
    for x in (20.0, 6.0, 3.0, 1.5):
        with pytest.raises(tg.BranchChanged) as expected:
            tape(x)
        for call in (native.value_and_gradient, native):
            with pytest.raises(tg.BranchChanged) as found:
                call(x)
            assert str(found.value) == str(expected.value)
    assert native.report.parts["value"].chunks > 2


def test_guards_on_integers():
    tape = tg.record(lambda x: x ** int(x + 0.5), 2.75)
    native = tape.compile()
    assert native(2.6) == tape(2.6)
    for x in (2.4, 3.5, math.nan, math.inf, -3.0):
        with pytest.raises(tg.BranchChanged):
            tape(x)
        with pytest.raises(tg.BranchChanged):
            native.value_and_gradient(x)


@pytest.mark.parametrize("outcome", [True, False])
def test_a_guard_on_a_number_asks_whether_it_is_zero(outcome):
    columns = Columns()
    slot = columns.input(1.0 if outcome else 0.0)
    columns.push_guard(slot, Guard(outcome, "here.py", 1))
    made = columns.freeze((slot,), (slot,))
    tape = tg.record(lambda x: x, 1.0)
    tape = type(tape)(
        **{
            name: getattr(made, name)
            for name in tape.__dataclass_fields__
            if name not in {"structure", "_known"}
        },
        structure=tape.structure,
    )
    native = tape.compile()
    for x in (0.0, -0.0, 1.0, math.nan):
        if bool(x) is outcome:
            assert native(x) == x or math.isnan(x)
        else:
            with pytest.raises(tg.BranchChanged):
                native(x)


# -- bad input -------------------------------------------------------------------

BAD = [
    ("text", 1.0),
    (None, 1.0),
    (1j, 1.0),
    ([1.0], 1.0),
    (np.zeros(2), 1.0),
    (10**400, 1.0),
    (1.0,),
    (1.0, 2.0, 3.0),
    (),
]


@pytest.mark.parametrize("args", BAD, ids=lambda args: repr(args)[:20])
@pytest.mark.parametrize("method", ["value", "value_and_gradient", "gradient"])
def test_bad_input_is_a_typed_error(tape, args, method):
    call = getattr(tape.compile(), method)
    with pytest.raises((tg.RecordError, tg.ShapeError)) as found:
        call(*args)
    with pytest.raises(type(found.value)) as expected:
        tape(*args)
    assert str(found.value) == str(expected.value)


def test_values_are_refused(tape):
    native = tape.compile()
    bad = tg.Value(1.0) * 2.0
    for call in (native, native.value_and_gradient, native.jacobian):
        with pytest.raises(
            tg.RecordError, match="argument a is a Value with a history"
        ):
            call(bad, 1.0)
        assert call(tg.Value(1.0), 1.0) == call(1.0, 1.0)  # a parameter is a number


def test_numbers_of_other_kinds(tape):
    native = tape.compile().value_and_gradient
    want = native(2.0, 3.0)
    assert native(2, 3) == want
    assert native(np.float64(2), np.float32(3)) == want
    assert native(np.float64(2), 3) == want
    big = native(10**300, 1.0)
    assert all(map(math.isnan, big[1])) or math.isinf(big[0])


def test_no_error_is_left_behind():
    """-1.0 is what Python's C API returns for trouble, and a number all the same."""
    native = tg.record(lambda x, y: x * y, 1.0, 1.0).compile()
    assert native(-1, np.float64(-1.0)) == 1.0
    assert native.value_and_gradient(-1.0, -1) == (1.0, (-1.0, -1.0))
    for _ in range(100):
        with pytest.raises(tg.TapegradError):
            native("x", 1.0)


def test_levels(tape):
    with pytest.raises(tg.CompileError, match="auto, 0, 1, 2, 3"):
        tape.compile("fast")
    assert tape.compile(3).level == "3"


def test_compile_function():
    native = compile_function(lambda r: 3.0 * r * r, 1.0, level="0")
    assert native(2.0) == native.gradient(2.0) == 12.0
    with pytest.raises(tg.RecordError):
        compile_function(lambda: None)


# -- life ------------------------------------------------------------------------


def test_nothing_is_built_before_it_is_needed(tape):
    native = tape.compile()
    assert native.report.parts == {}
    native(1.0, 2.0)
    assert list(native.report.parts) == ["value"]
    native.gradient(1.0, 2.0)
    native.value_and_gradient(1.0, 2.0)
    report = native.report
    assert list(report.parts) == ["value", "gradient"]
    assert report.steps == len(tape)
    assert report.lowered_steps > 2 * len(tape)
    assert report.chunks == 2
    assert report.code_bytes > 100
    assert report.seconds > 0.0
    assert "gradient: " in str(report)
    assert (
        repr(native) == f"<Compiled: {len(tape)} steps, value, gradient built so far>"
    )


def test_pickle_and_copy(tape):
    native = tape.compile("1")
    want = native.value_and_gradient(1.0, 2.0)
    for other in (pickle.loads(pickle.dumps(native)), copy.copy(native)):
        assert other.level == "1"
        assert other.tape == tape
        assert other.value_and_gradient(1.0, 2.0) == want


def test_a_builtin_outlives_its_compiled(tape):
    native = tape.compile()
    calls = [native.value, native.value_and_gradient, native.gradient]
    want = [call(1.0, 2.0) for call in calls]
    held = weakref.ref(native)
    del native
    gc.collect()
    assert held() is None
    del tape
    noise = [tg.record(readme, 1.0, 2.0).compile().gradient for _ in range(5)]
    assert [call(1.0, 2.0) for call in calls] == want
    assert noise[0](1.0, 2.0) == want[2]
    with pytest.raises(tg.ShapeError):
        calls[1](1.0)


def test_code_dies_with_its_last_holder(tape, monkeypatch):
    """Reference counts alone free it: there is no cycle to wait for."""
    closed = []

    def watched(self):
        closed.append(self.size)
        close(self)

    close = Engine.close
    monkeypatch.setattr(Engine, "close", watched)
    gc.disable()
    try:
        native = tape.compile()
        native(1.0, 2.0)
        call = native.value
        del native
        assert closed == []
        del call
        assert len(closed) == 1
        assert closed[0] > 100
    finally:
        gc.enable()


def resident():
    """Bytes of this process in memory, where the system says so."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("this system has no /proc")
    return int(pages.read_text(encoding="ascii").split()[1]) * 4096


def test_compilations_leave_no_memory_behind():
    def build(constant):
        native = tg.record(lambda x, y: (x * constant + y).tanh() / y, 1.0, 2.0)
        return native.compile("0").value_and_gradient(1.0, 2.0)

    for k in range(30):
        build(0.1 * k)
    before = resident()
    for k in range(300):
        build(0.001 * k)
    # leaked, 300 machine-code modules with their sources are some 50 MB
    assert resident() - before < 8_000_000


def test_threads(tape):
    """Eight threads on one Compiled, from before it is built."""
    native, long = tape.compile(), long_chain(2000).compile()
    points = [(k / 7.0 - 4.0, 2.0 + k / 11.0) for k in range(40)]
    want = [tape.value_and_gradient(*point) for point in points]
    expected = [long.value(*point) for point in points]
    start = threading.Barrier(8)
    found, faults = [], []

    def work():
        try:
            start.wait()
            for _ in range(20):
                found.append([native.value_and_gradient(*p) for p in points] == want)
                found.append([long(*p) for p in points] == expected)
        except Exception as problem:  # noqa: BLE001 - reported below
            faults.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(found) == 320
    assert all(found)


def test_truth_values_stay_truth_values():
    """As the interpreter gives them, in every tier; others stay floats."""

    def above(x, y):
        return {"above": x > y, "sum": x + y, "both": [x > 0.0, y]}

    for f in (lambda x, y: x > y, above):
        tape = tg.record(f, 1.0, 2.0)
        expected = tape(3.0, 2.0)
        assert repr(tape.compile()(3.0, 2.0)) == repr(expected)
        paths = tg.function(f, native_after=0)
        assert repr([paths(3.0, 2.0), paths(3.0, 2.0)]) == repr([expected] * 2)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"level": 7}, "level"),
        ({"accuracy": "loose"}, "accuracy"),
        ({"threads": 0}, "threads"),
        ({"threads": 2.0}, "threads"),
        ({"threads": True}, "threads"),
        ({"budget": -1.0}, "budget"),
        ({"budget": float("nan")}, "budget"),
    ],
)
def test_options_that_do_not_exist_are_refused_in_words(options, word):
    tape = tg.record(lambda x: x * x, 1.0)
    with pytest.raises(tg.CompileError, match=word):
        tape.compile(**options)
    with pytest.raises(tg.CompileError, match=word):
        tg.compile(lambda x: x * x, 1.0, **options)


def test_options_are_pickled_with_the_compiled_tape():
    native = tg.record(lambda x: x * x, 1.0).compile(
        "1", accuracy="fast", threads=2, budget=1.5
    )
    assert pickle.loads(pickle.dumps(native)).options == native.options
