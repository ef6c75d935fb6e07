"""Guards in loops: those that see the same in all iterations, and those that do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import BranchChanged, TapeFormatError
from tapegrad.native.machine.choice import forced
from tapegrad.passes.slim import slim
from tapegrad.rolling import body
from tapegrad.tape.rolls import loops

SIZES = {"trips": 2, "steps": 4}
X = np.array([1.0, 5.0, 2.0, 7.0, 3.0, 8.0, 8.5, 1.0, 9.0, 2.0, 6.0, 1.5])
X = np.concatenate([X, [3.0, 2.5, 9.5, 1.0, 7.5, 6.5, 2.0, 5.5]])
TOP = 4.0


def counted(x, top):
    total, count = 0.0, 0
    for v in x:
        total = total + v * v
        if v > top:
            count += 1
    return total * count + top


def alone(x, top):
    """A loop of nothing but guards."""
    count = 0
    for v in x:
        if v > top:
            count += 1
    return count * top


def unread(x, top):
    """What the loop carries is read by nobody."""
    count, product = 0, top
    for v in x:
        if v > top:
            count += 1
        product = product * v
    return count * top


def of_a_carry(x, top):
    """The guard is on what goes from iteration to iteration."""
    total, count = top, 0
    for v in x:
        total = 0.5 * total + v
        if total > 2 * top:
            count += 1
    return total * count


def two(x, top):
    total, count = 0.0, 0
    for v in x:
        if v > 0.5:
            count += 1
        if v > top:
            count += 1
        total = total + v * top
    return total * count


def nested(x, top):
    total, count = 0.0, 0
    for i in range(4):
        for j in range(5):
            if x[5 * i + j] > top:
                count += 1
            total = total + x[5 * i + j] * top
        total = total * 0.5
    return total * count


FUNCTIONS = [counted, alone, unread, of_a_carry, two, nested]
functions = pytest.mark.parametrize("f", FUNCTIONS)


def both(f):
    tape = tg.record(f, X, TOP, roll=False)
    return tape, tape.rolled(**SIZES)


def varying(tape):
    """The guards of a tape and its loops that vary."""
    found = [guard for guard in tape.guards if guard.varies]
    for params in loops(tape):
        found += varying(params["tape"])
    return found


def forced_call(tape, *args):
    with forced(True):
        return tape.value_and_gradient(*args)


CALLS = {
    "value": lambda t, *a: t(*a),
    "gradient": lambda t, *a: t.gradient(*a),
    "jvp": lambda t, *a: t.jvp(a, a),
    "hvp": lambda t, *a: t.hvp(a, a),
    "machine": forced_call,
    "native": lambda t, *a: t.compile(level=0)(*a),
    "native gradient": lambda t, *a: t.compile(level=0).value_and_gradient(*a),
    "adjoint tape": lambda t, *a: t.adjoint_tape()(*a),
    "its native code": lambda t, *a: t.adjoint_tape().compile(level=0)(*a),
    "simplified": lambda t, *a: t.simplify()(*a),
    "file": lambda t, *a: tg.from_bytes(t.to_bytes())(*a),
}


@functions
def test_a_guard_that_varies_is_in_the_loop(f):
    tape, rolled = both(f)
    assert len(varying(rolled)) == 1
    assert len(rolled) < len(tape) / 2
    assert not varying(tape)
    rolled.check()


@functions
def test_where_no_guard_flips_it_is_the_same_function(f):
    tape, rolled = both(f)
    other = X * 1.01
    assert rolled(other, TOP) == tape(other, TOP)
    for mine, its in zip(
        rolled.gradient(other, TOP), tape.gradient(other, TOP), strict=True
    ):
        np.testing.assert_array_equal(mine, its)


def flipped(call, *given):
    with pytest.raises(BranchChanged) as caught:
        call(*given)
    found = caught.value
    assert f"was {found.recorded} ({found.file}:{found.line})" in str(found)
    return found.file, found.line, found.recorded, tuple(map(float, found.operands))


@functions
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("at", "to"), [(1, -30.0), (7, 50.0), (17, -30.0)])
def test_a_flipped_guard_tells_what_it_told_before(f, name, at, to):
    tape, rolled = both(f)
    other = X.copy()
    other[at] = to
    want = flipped(tape, other, TOP)
    assert flipped(CALLS[name], rolled, other, TOP) == want
    assert want[2] is not (to > TOP)


@pytest.mark.parametrize("f", [counted, alone, unread, of_a_carry, two])
def test_written_out_it_is_what_was_recorded(f):
    tape, rolled = both(f)
    again = rolled.unrolled()
    assert again == tape
    assert [guard.key for guard in again.guards] == [g.key for g in tape.guards]


def test_written_out_from_a_loop_in_a_loop():
    tape, rolled = both(nested)
    again = rolled.unrolled()
    assert len(again) == len(tape)
    assert [guard.key for guard in again.guards] == [g.key for g in tape.guards]
    assert "logical_xor" not in again.operations
    assert again.gradient(X, TOP)[1] == tape.gradient(X, TOP)[1]


def test_constants_of_a_loop_in_a_loop_are_written_out():
    def f(a):
        for i in range(6):
            for j in range(5):
                a = a * 0.5 + (7 * i + j)
            a = a * a * 0.01
        return a

    tape = tg.record(f, 1.0, roll=False)
    rolled = tape.rolled(**SIZES)
    assert len(rolled) < 10
    assert rolled.unrolled() == tape


def test_a_guard_that_sees_the_same_stays_as_it_was():
    _, rolled = both(two)
    (loop,) = loops(rolled)
    uniform, mixed = loop["tape"].guards
    assert (uniform.outcome, uniform.varies) == (True, False)
    assert mixed.varies
    assert loop["tape"].operations.count("logical_xor") == 1


def test_a_loop_in_a_loop_stays_one():
    _, rolled = both(nested)
    (outer,) = loops(rolled)
    (inner,) = loops(outer["tape"])
    assert (outer["length"], inner["length"]) == (4, 5)
    assert len(inner["tape"].guards) == 1


def test_a_guard_of_ones_own_xor_is_told_as_it_is_written():
    flags = ([True, False, True, True, False, True] * 4)[:20]

    def f(x, top):
        count = 0
        for v, flag in zip(x, flags, strict=True):
            if np.logical_xor(v > top, flag):
                count += 1
            top = top + v * 0.0
        return count * top

    tape, rolled = both(f)
    assert rolled.unrolled() == tape
    other = X.copy()
    other[3] = 0.0
    want = flipped(tape, other, TOP)
    assert flipped(rolled, other, TOP) == want


def test_a_truth_value_of_a_number_ends_a_loop():
    def f(x, top):
        count = 0
        for v in x:
            if v * top:
                count += 1
            top = top + v
        return count * top

    given = np.where(np.arange(20) < 9, 0.0, 1.0)
    tape = tg.record(f, given, TOP, roll=False)
    rolled = tape.rolled(**SIZES)
    assert len([*loops(rolled)]) >= 2
    assert not varying(rolled)
    assert rolled.unrolled() == tape
    given[3] = 1.0
    assert flipped(rolled, given, TOP) == flipped(tape, given, TOP)


def test_a_tape_that_varies_is_another_tape():
    _, rolled = both(counted)
    (params,) = loops(rolled)
    inner = params["tape"]
    statics = [
        tuple(
            (key, dataclasses.replace(x, varies=False) if key == "guard" else x)
            for key, x in static
        )
        for static in inner.statics
    ]
    plain = dataclasses.replace(inner, statics=tuple(statics))
    assert plain != inner
    assert plain.digest != inner.digest


def test_a_file_with_another_word_is_refused():
    _, rolled = both(counted)
    data = rolled.to_bytes()
    assert tg.from_bytes(data) == rolled
    assert data.count(b'"varies":true') == 1
    with pytest.raises(TapeFormatError):
        tg.from_bytes(data.replace(b'"varies":true', b'"varies":1   '))


def test_exports_tell_the_branches():
    tape, rolled = both(counted)
    assert rolled.latex() == tape.latex()
    assert "another outcome was recorded" in rolled.to_c()
    assert "as recorded" in str(rolled)


def test_lanes_ask_for_one_branch():
    _, rolled = both(counted)
    with pytest.raises(tg.errors.RecordError, match="under vmap the branch at"):
        tg.vmap(rolled, in_axes=(0, None))(np.stack([X, X]), TOP)


def long_unread(x, top):
    """A recurrence that nobody reads, but guards; and a loop half of which is read."""
    state, count, kept = top, 0, []
    for v in x:
        state = 0.5 * state + v
        if state > 2 * top:
            count += 1
    total = 0.0
    for v in x:
        total = total + v * top
        kept.append(total * v)
    return total * count


def recurrence(x, top):
    state, count = top, 0
    for v in x:
        state = np.sin(0.5 * state + v)
        if state > 0.1 * top:
            count += 1
    return count * top


@pytest.mark.parametrize("f", [long_unread, recurrence])
@pytest.mark.parametrize("name", ["native", "native gradient", "its native code"])
def test_a_long_loop_that_nobody_reads_keeps_its_guards(f, name):
    x = np.concatenate([X] * 30)
    tape = tg.record(f, x, TOP, roll=False)
    rolled = tape.rolled(**SIZES)
    assert CALLS[name](rolled, x, TOP) is not None
    x[-3] = -1.5
    assert flipped(CALLS[name], rolled, x, TOP) == flipped(tape, x, TOP)


def test_what_nobody_reads_of_a_loop_with_guards_is_dropped():
    tape = tg.record(long_unread, X, TOP, roll=False).rolled(**SIZES)
    slimmed = slim(tape)
    guarded, other = loops(slimmed)
    assert len(varying(slimmed)) == 1
    assert guarded["carry"] == other["carry"] == 1
    assert len(other["tape"].outputs) == 1
    assert flipped(slimmed, X * 0.0, TOP) == flipped(tape, X * 0.0, TOP)


# -- planted bugs ----------------------------------------------------------------------


@functions
def test_another_outcome_is_seen(f, monkeypatch):
    right = body.varying

    def wrong(loop, work):
        found = right(loop, work)
        for truths in found.values():
            truths[-1] = not truths[-1]
        return found

    monkeypatch.setattr(body, "varying", wrong)
    _, rolled = both(f)
    with pytest.raises(BranchChanged):
        rolled(X, TOP)
