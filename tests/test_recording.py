"""record(): structures, labels, static arguments, and everything it refuses."""

import copy
import dataclasses
import math
import random
import threading

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float
    name: str = "p"


def test_any_nesting_of_arguments_and_results():
    def f(p, rest, *, scale):
        return {"sum": p.x + rest["w"][0] * scale, "pair": (p.y, rest["w"][1])}

    args = (Point(1.0, 2.0), {"w": [3.0, 4.0], "n": 5})
    tape = tg.record(f, *args, scale=2.0)
    tape.check()
    assert tape.input_labels() == (
        "p.x",
        "p.y",
        "rest['w'][0]",
        "rest['w'][1]",
        "scale",
    )
    assert tape(*args, scale=10.0) == {"sum": 31.0, "pair": (2.0, 4.0)}


def test_gradient_nests_like_the_arguments():
    tape = tg.record(lambda p, w: p.x * w[0] + p.y * w[1], Point(1.0, 2.0), [3.0, 4.0])
    dp, dw = tape.gradient(Point(1.0, 2.0), [3.0, 4.0])
    assert (dp.x, dp.y, dp.name) == (3.0, 4.0, None)
    assert dw == [1.0, 2.0]


def test_ints_are_static_and_compared():
    tape = tg.record(lambda x, n: x**n, 2.0, 3)
    assert tape(3.0, 3) == 27.0
    assert tape.gradient(2.0, 3) == 12.0
    with pytest.raises(tg.ShapeError, match="static value 4"):
        tape(3.0, 4)


def test_text_is_never_evaluated(tmp_path):
    tape = tg.record(lambda x: x * x, 1.0)
    mark = tmp_path / "mark"
    with pytest.raises(tg.RecordError, match="of type str"):
        tape(f"__import__('os').system('touch {mark}')", arithmetic="sympy")
    assert not mark.exists()


def test_ints_in_a_nesting_are_numbers_too():
    tape = tg.record(lambda w: w[0] * w[1], [1.0, 2.0])
    assert tape([3, np.int64(4)]) == 12.0
    with pytest.raises(tg.RecordError, match=r"argument w\[1\]: got 'a' of type str"):
        tape([3, "a"])


def test_names_of_static_arguments_are_kept():
    tape = tg.record(lambda x, n: x**n, 2.0, 3)
    assert tape(x=3.0, n=3) == 27.0
    with pytest.raises(tg.ShapeError, match="argument n holds"):
        tape(3.0, n=4)


def test_branches_and_numbers_cannot_slip_out_of_a_recording():
    def silent_product(x):
        with tg.no_record():
            c = x * 2
        return x * c

    def silent_branch(x):
        with tg.no_record():
            positive = bool(x > 0)
        return x * x if positive else -x

    with pytest.raises(tg.RecordError, match="stop_gradient"):
        tg.record(silent_product, 3.0)
    with pytest.raises(tg.RecordError, match="stop_gradient"):
        tg.record(silent_branch, 3.0)
    with pytest.raises(tg.RecordError, match="stop_gradient"):
        tg.grad(lambda x: x.data * x)(3.0)
    for name in ("grad", "_prev", "_backward"):
        with pytest.raises(tg.RecordError, match="belongs to a recording"):
            tg.record(lambda x, name=name: getattr(x * x, name)(), 3.0)


def test_one_label_on_two_slots_cannot_be_nudged():
    def f(x):
        for _ in range(2):
            x = x * 2
            x.label = "e"
        return x

    tape = tg.record(f, 1.0)
    with pytest.raises(tg.RecordError, match="all labelled 'e'"):
        tape(1.0, replace={"e": 3.0})


@pytest.mark.parametrize(
    ("whole", "sign"), [(math.floor, 1), (math.ceil, 1), (math.trunc, -1)]
)
def test_whole_numbers_by_math(whole, sign):
    tape = tg.record(lambda x: x * whole(x), sign * 2.5)
    for x in (2.1, 2.9):
        assert tape(sign * x) == sign * x * whole(sign * x)
        assert tape.gradient(sign * x) == whole(sign * x)
    with pytest.raises(tg.BranchChanged):
        tape(sign * 3.5)
    found = whole(Value(sign * 2.5))
    assert found == whole(sign * 2.5)
    assert type(found) is int


def test_arithmetics_agree_on_truth_values_and_at_nan():
    tape = tg.record(lambda x: (x > 0) + (x > 1) + x, 2.0)
    found = [tape(2.0, arithmetic=a) for a in ("float64", "float32", "mpmath:30")]
    assert [float(x) for x in found] == [4.0] * 3
    import sympy as sp

    x = sp.Symbol("x", real=True)
    counts = tape(x, arithmetic="sympy")
    half = sp.Rational(1, 2)
    assert [counts.subs(x, at) for at in (-1, half, 2)] == [-1, 1 + half, 4]
    assert tape.to_sympy(derivative=True) == {"x": 1}
    power = tg.record(lambda x, y: x**y, 1.0, 1.0)
    for at in ((0.0, math.nan), (math.nan, math.inf)):
        assert math.isnan(power(*at))
        assert math.isnan(power(*at, arithmetic="mpmath:20"))
    counted = tg.record(lambda x: x * int(x), 1.5)
    assert float(counted(1.7, arithmetic="mpmath:20")) == pytest.approx(1.7)
    with pytest.raises(tg.BranchChanged):
        counted(2.7, arithmetic="mpmath:20")
    for wrong in ("mpmath:0", "mpmath:1000000000000", None):
        with pytest.raises(tg.DomainError, match="arithmetic"):
            tape(2.0, arithmetic=wrong)


def test_a_tape_without_inputs():
    tape = tg.record(lambda: (1.0, 2.0))
    assert tape() == (1.0, 2.0)
    assert tape.jacobian() == ((), ())


def test_an_int_where_a_float_was_recorded():
    tape = tg.record(lambda x: x * 2, 1.0)
    assert tape(3) == 6.0
    assert tape(np.float32(3)) == 6.0
    assert tape(np.array(3.0)) == 6.0


@pytest.mark.parametrize("junk", ["1", None, 1j, [1.0], {"a": 1.0}])
def test_bad_arguments_on_replay(junk):
    tape = tg.record(lambda x: x * 2, 1.0)
    for arithmetic in ("sympy", "mpmath:20", "float32"):
        with pytest.raises((tg.RecordError, tg.ShapeError), match="argument x"):
            tape(junk, arithmetic=arithmetic)
    with pytest.raises((tg.RecordError, tg.ShapeError), match="argument x"):
        tape(junk)
    with pytest.raises((tg.RecordError, tg.ShapeError), match="argument x"):
        tape.gradient(junk)


def test_wrong_counts_and_names():
    tape = tg.record(lambda x, y: x * y, 1.0, 2.0)
    with pytest.raises(tg.ShapeError, match=r"takes 2 arguments \(x, y\)"):
        tape(1.0)
    with pytest.raises(tg.ShapeError, match="takes 2 arguments"):
        tape(1.0, 2.0, 3.0)
    with pytest.raises(tg.ShapeError, match="z"):
        tape(1.0, z=3.0)
    with pytest.raises(tg.ShapeError, match="twice"):
        tape(1.0, 2.0, y=3.0)
    assert tape(1.0, y=3.0) == 3.0


def test_another_structure_on_replay():
    tape = tg.record(lambda w: w[0] * w[1], [1.0, 2.0])
    with pytest.raises(tg.ShapeError, match="nests as"):
        tape([1.0, 2.0, 3.0])
    with pytest.raises(tg.ShapeError, match="nests as"):
        tape((1.0, 2.0))


def test_an_array_where_a_number_was_recorded_is_refused_with_its_shape():
    with pytest.raises(tg.ShapeError, match=r"argument x: .*shape \(3,\)"):
        tg.record(lambda x: x, 1.0)(np.ones(3))


def test_captured_eager_value_is_an_error():
    w = Value(2.0, label="w")
    with pytest.raises(tg.RecordError, match=r"'w' = 2.0 was captured.*argument"):
        tg.record(lambda x: x * w, 1.0)
    with pytest.raises(tg.RecordError, match="captured"):
        tg.record(lambda x: x * (w * 2), 1.0)


def test_a_literal_value_made_inside_is_a_constant():
    tape = tg.record(lambda x: x * Value(3.0) + sum([x, x], Value(0.0)), 2.0)
    assert tape(2.0) == 10.0
    assert tape.gradient(2.0) == 5.0


def test_values_of_a_finished_recording_are_refused():
    kept = []
    tg.record(lambda x: kept.append(x) or x, 1.0)
    with pytest.raises(tg.RecordError, match="finished"):
        kept[0] * 2
    with pytest.raises(tg.RecordError, match="finished"):
        kept[0] * Value(2.0)
    with pytest.raises(tg.RecordError, match="finished"):
        tg.record(lambda x: x * kept[0], 1.0)
    with pytest.raises(tg.RecordError, match="finished"):
        tg.grad(lambda x: x * kept[0])(1.0)


def test_float_inside_a_recording_would_lose_the_derivative():
    with pytest.raises(tg.RecordError, match=r"np\.sin"):
        tg.record(math.sin, 1.0)
    with pytest.raises((tg.RecordError, ValueError, TypeError)):
        tg.record(lambda x: np.zeros(2).__setitem__(0, x), 1.0)


def test_repr_and_formatting_leave_no_trace():
    def f(x):
        assert repr(x) == "Value(data=2.0)"
        assert f"{x:.1f} {x}" == "2.0 Value(data=2.0)"
        assert str(x).startswith("Value")
        return x * 2

    assert len(tg.record(f, 2.0)) == 3


def test_equality_with_what_is_no_number_is_false():
    def f(x):
        assert x != "a"
        assert (x == None) is False  # noqa: E711 - what a user may write
        assert x not in [None, "a"]
        with pytest.raises(TypeError):
            _ = x < "a"
        return x * 2

    assert len(tg.record(f, 2.0)) == 3


def test_refused_inside_a_recording():
    def assign(x):
        x.data = 3.0

    def read_grad(x):
        x.grad = 3.0

    for bad in (
        assign,
        read_grad,
        lambda x: (x * x).backward(),
        lambda x: x.detach(),
        copy.copy,
    ):
        with pytest.raises(tg.RecordError):
            tg.record(bad, 2.0)


@pytest.mark.parametrize("result", [None, "text", [], [None, 1.0]])
def test_bad_results(result):
    with pytest.raises(tg.RecordError, match="returned"):
        tg.record(lambda x: result, 1.0)


def test_constant_result_has_exact_zero_gradient():
    tape = tg.record(lambda x: 3.0, 1.0)
    assert tape(5.0) == 3.0
    assert tape.gradient(5.0) == 0.0


def test_unused_input_and_duplicate_output():
    tape = tg.record(lambda x, y: (x * x, x * x, x), 2.0, 3.0)
    assert tape.jacobian(2.0, 3.0) == ((4.0, 0.0), (4.0, 0.0), (1.0, 0.0))

    def same(x):
        y = x * x
        return y, y

    twice = tg.record(same, 3.0)
    value, adjoint = twice.vjp(3.0, (1.0, 10.0))
    assert value == (9.0, 9.0)
    assert adjoint == 66.0


def test_a_mutated_argument_does_not_change_the_tape():
    numbers = [2.0, 3.0]
    captured = [5.0]
    tape = tg.record(lambda w: w[0] * w[1] * captured[0], numbers)
    numbers[0] = captured[0] = 100.0
    assert tape([2.0, 3.0]) == 30.0


def test_randomness_is_found_by_a_second_recording():
    random.seed(0)
    with pytest.raises(tg.RecordError, match="step 1: const"):
        tg.record(lambda x: x * random.random(), 1.0, check=True)
    state = []
    with pytest.raises(tg.RecordError, match=r"step 1: \* .* const"):
        tg.record(lambda x: state.append(1) or x * (1.0 if len(state) > 1 else x),
                  2.0, check=True)  # fmt: skip
    assert tg.record(lambda x: x * 2, 1.0, check=True)(3.0) == 6.0


def test_recording_by_hand():
    with tg.Tape.recording() as rec:
        x = rec.input(2.0, label="x")
        y = np.exp(x) * x
        y.label = "y"
        rec.output(y)
    assert rec.tape.input_labels() == ("x",)
    assert rec.tape.labels[rec.tape.outputs[0]] == "y"
    assert rec.tape.gradient(0.0) == 1.0
    with pytest.raises(tg.RecordError, match="ended"):
        rec.input(1.0)
    with tg.Tape.recording() as several:
        x = several.input(2.0)
        several.output(x, x * 2)
        with pytest.raises(tg.RecordError, match="block"):
            _ = several.tape
    assert several.tape(3.0) == [3.0, 6.0]


def test_a_tape_called_on_eager_values_records():
    tape = tg.record(lambda x, y: x * y if x > 0 else y, 2.0, 3.0)
    x = Value(4.0)
    result = tape(x, 5.0)
    result.backward()
    assert result.data == 20.0
    assert x.grad == 5.0
    with pytest.raises(tg.BranchChanged):
        tape(Value(-1.0), 5.0)
    with pytest.raises(tg.RecordError, match="at numbers"):
        tape.gradient(x * 1, 5.0)
    assert tape.gradient(x, 5.0) == (5.0, 4.0)  # a parameter is a number
    for changed in ({"replace": {"y": 1.0}}, {"arithmetic": "mpmath:50"}):
        with pytest.raises(tg.RecordError, match="replays at numbers"):
            tape(x, 5.0, **changed)


def test_replace_nudges_a_labelled_slot():
    def f(a, b, c):
        e = a * b
        e.label = "e"
        return e + c

    tape = tg.record(f, 2.0, -3.0, 10.0)
    assert tape(2.0, -3.0, 10.0) == 4.0
    assert tape(2.0, -3.0, 10.0, replace={"e": 3.0}) == 13.0
    with pytest.raises(tg.RecordError, match=r"no slot is labelled 'z'.*e"):
        tape(2.0, -3.0, 10.0, replace={"z": 1.0})


def test_arithmetics():
    import mpmath
    import sympy as sp

    tape = tg.record(lambda x, y: np.tanh(x) / y, 2.0, 3.0)
    value, gradient = tape.value_and_gradient(2.0, 3.0)
    big, big_gradient = tape.value_and_gradient(2.0, 3.0, arithmetic="mpmath:40")
    assert isinstance(big, mpmath.mpf | type(big))
    assert float(big) == pytest.approx(value, rel=1e-15)
    assert [float(g) for g in big_gradient] == pytest.approx(gradient, rel=1e-14)
    x, y = sp.symbols("x y", real=True)
    assert tape(x, y, arithmetic="sympy") == sp.tanh(x) / y
    single = tape(2.0, 3.0, arithmetic="float32")
    assert single.dtype == np.float32
    with pytest.raises(tg.DomainError, match="float16"):
        tape(2.0, 3.0, arithmetic="float16")


def test_replays_of_one_tape_in_many_threads():
    tape = tg.record(lambda x: np.exp(x) * x, 1.0)
    expected = [tape.value_and_gradient(k / 10) for k in range(50)]
    found = {}

    def work(k):
        found[k] = [tape.value_and_gradient(j / 10) for j in range(50)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(rows == expected for rows in found.values())


def test_record_needs_a_function():
    with pytest.raises(tg.RecordError, match="needs a function"):
        tg.record(3.0, 1.0)


def test_star_arguments_get_names():
    tape = tg.record(lambda *xs: sum(xs), 1.0, 2.0)
    assert tape.input_labels() == ("x0", "x1")
    assert tape(3.0, 4.0) == 7.0


def test_what_is_no_number_in_a_result_is_named():
    with pytest.raises(tg.RecordError, match=r"None as result\['n'\]\[1\]; .* out\.$"):
        tg.record(lambda x: {"y": x, "n": [x, None]}, 1.0)
    with pytest.raises(tg.RecordError, match=r"returned None; .*missing\?$"):
        tg.record(lambda x: None, 1.0)
    with pytest.raises(tg.RecordError, match=r"returned 'up'; "):
        tg.record(lambda x: "up", 1.0)
