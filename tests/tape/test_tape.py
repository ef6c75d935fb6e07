"""The frozen tape: content, grammar, pickling, guards, sub-tapes."""

import dataclasses
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.rules import TABLE
from tapegrad.tape import Columns
from tapegrad.tape.inline import inline
from tapegrad.tape.tape import BOOLEAN


def example():
    return tg.record(lambda x, y: np.tanh(x * y) + x**2 * 0.5, 2.0, 3.0)


def test_columns_and_steps():
    tape = example()
    tape.check()
    signs = [step.sign for step in tape]
    assert signs == ["input", "input", "*", "tanh", "**2", "const", "*", "+"]
    assert tape.inputs == (0, 1)
    assert tape.outputs == (7,)
    assert len(tape) == 8
    assert tape.slot_count == 8
    assert tape.steps[2].operands == (0, 1)
    assert tape.steps[0].label == "x"
    assert not tape.opcode.flags.writeable
    with pytest.raises(dataclasses.FrozenInstanceError):
        tape.inputs = ()


def test_equality_and_hash_are_by_content():
    one, two = example(), example()
    assert one == two
    assert hash(one) == hash(two)
    other = tg.record(lambda x, y: np.tanh(x * y) + x**2.0 * 0.5, 2.0, 3.0)
    assert one != other  # the exponent was written 2.0
    assert one != tg.record(lambda x, y: np.tanh(x * y) + x**2 * -0.5, 2.0, 3.0)
    assert tg.record(lambda x: x * 0.0, 1.0) != tg.record(lambda x: x * -0.0, 1.0)
    renamed = dataclasses.replace(one, labels={})
    assert renamed == one
    assert one != "tape"


def test_guard_lines_are_not_content_but_outcomes_are():
    def f(x):
        return x if x > 0 else -x

    def g(x):
        return x if x > 0 else -x

    assert tg.record(f, 1.0) == tg.record(g, 1.0)
    assert tg.record(f, 1.0) != tg.record(f, -1.0)


def test_pickle_keeps_everything_and_checks():
    tape = tg.record(lambda p: p["a"] * p["b"][0] if p["a"] > 0 else 0.0 * p["a"],
                     {"a": 1.5, "b": [2.0]})  # fmt: skip
    again = pickle.loads(pickle.dumps(tape))
    assert again == tape
    assert again.guards == tape.guards
    assert again({"a": 3.0, "b": [4.0]}) == 12.0
    assert not again.operands.flags.writeable


BREAKAGES = {
    "reads slot": lambda t: {"operands": np.where(t.operands == 0, 7, t.operands)},
    "entries": lambda t: {"static": t.static[:-1]},
    "must rise": lambda t: {"offsets": t.offsets[::-1].copy()},
    "'opcode'": lambda t: {"opcode": t.opcode + np.uint16(9)},
    "'static'": lambda t: {"static": t.static - 5},
    "'outputs'": lambda t: {"outputs": (99,)},
    "'inputs'": lambda t: {"inputs": (-1, 0)},
    "unknown primitive": lambda t: {"operations": ("nope", *t.operations[1:])},
    "no input step": lambda t: {"inputs": (2, 1)},
    "must read": lambda t: (
        {"operations": tuple(sorted({*t.operations} - {"tanh"} | {"add3"}))}
        if "add3" in TABLE
        else {"operations": ("add", "const", "input", "mul", "add", "tanh")}
    ),
    "lacks its parameter": lambda t: {"static": np.zeros_like(t.static)},
}


@pytest.mark.parametrize("what", BREAKAGES)
def test_grammar_breakages_are_found(what):
    tape = example()
    broken = dataclasses.replace(tape, **BREAKAGES[what](tape))
    with pytest.raises(tg.TapeFormatError, match=what):
        broken.check()


def test_a_guard_flip_names_place_and_operands():
    def f(x, y):
        return x * y if x < y else x + y

    tape = tg.record(f, 1.0, 2.0)
    assert tape(0.5, 4.0) == 2.0
    with pytest.raises(tg.BranchChanged) as caught:
        tape(3.0, 2.0)
    assert caught.value.operands == (3.0, 2.0)
    assert caught.value.file == __file__
    assert caught.value.line == f.__code__.co_firstlineno + 1
    assert "x < y" in str(caught.value)
    for call in (tape.gradient, tape.value_and_gradient, tape.slots, tape.hessian):
        with pytest.raises(tg.BranchChanged):
            call(3.0, 2.0)
    assert tape.guards[0].outcome is True


def test_int_and_index_leave_guards_on_the_value():
    table = [10.0, 20.0, 30.0]
    tape = tg.record(lambda x: x * table[int(x)], 1.5)
    assert tape(1.9) == 1.9 * 20.0
    with pytest.raises(tg.BranchChanged):
        tape(2.5)
    with pytest.raises(tg.BranchChanged):
        tape(float("nan"))
    indexed = tg.record(lambda x: x * table[x], 2.0)
    assert indexed(2.0) == 60.0
    with pytest.raises(tg.BranchChanged):
        indexed(1.0)


def test_a_while_loop_is_guarded_at_every_turn():
    def halve(x):
        n = 0
        while x > 1:
            x = x / 2
            n += 1
        return x * n

    tape = tg.record(halve, 5.0)
    assert len(tape.guards) == 4
    assert tape(6.0) == halve(6.0)
    with pytest.raises(tg.BranchChanged):
        tape(100.0)


def test_sub_tapes_are_steps_that_own_several_slots():
    inner = tg.record(lambda x, y: (x * y, x + y), 2.0, 3.0)

    def outer(x):
        p, s = inner(x, x * 2)
        return p * s

    tape = tg.record(outer, 1.0)
    tape.check()
    call = next(step for step in tape if step.sign == "call")
    assert len(call.slots) == 2
    assert call.params["tape"] == inner
    flat = inline(tape)
    flat.check()
    assert "call" not in flat.operations
    # f = (x * 2x)(x + 2x) = 6 x^3
    assert tape(2.0) == flat(2.0) == 48.0
    assert tape.gradient(2.0) == 72.0
    assert tape.hessian(2.0) == 72.0
    assert pickle.loads(pickle.dumps(tape)) == tape


def test_deeply_nested_sub_tapes_need_no_recursion():
    tape = tg.record(lambda x: x + 1.0, 0.0)
    for _ in range(1_200):
        outer = tg.Tape.recording()
        with outer as rec:
            x = rec.input(0.0)
            slots = rec.recorder.push_call(tape, [x._i], [0.0])
            rec.output(rec.recorder.handle(slots[0], 0.0))
        tape = outer.tape
    assert len(inline(tape)) == 3


def test_a_guard_within_a_sub_tape_still_guards():
    inner = tg.record(lambda x: x if x > 0 else -x, 1.0)
    tape = tg.record(lambda x: inner(x) * 2, 1.0)
    assert tape(3.0) == 6.0
    with pytest.raises(tg.BranchChanged):
        tape(-3.0)


def test_bool_slots_have_their_dtype():
    tape = tg.record(lambda x: tg.where(x > 0, x, -x), 1.0)
    predicate = next(s for s in tape if s.sign == ">")
    assert tape.aval_of(predicate.slots.start) == BOOLEAN


def test_empty_tape_is_the_identity():
    tape = tg.record(lambda x: x, 1.0)
    assert len(tape) == 1
    assert tape(5.0) == 5.0
    assert tape.gradient(5.0) == 1.0


def test_blocks_join_seamlessly(monkeypatch):
    monkeypatch.setattr("tapegrad.tape.recorder.BLOCK", 16)

    def f(x):
        y = x
        for k in range(50):
            y = y * x + k if y < 1e9 else y
        return y

    tape = tg.record(f, 0.5)
    tape.check()
    assert tape(0.25) == f(0.25)


def test_memory_of_a_long_recording():
    rec = Columns()
    x = rec.input(1.0)
    mul = TABLE["mul"]
    for _ in range(200_000):
        x = rec.push(mul, (x, 0), {}, 1.0)
    held = sum(column.nbytes for block in rec.blocks for column in block)
    assert held / rec.n <= 24
    tape = rec.freeze((0,), (x,))
    assert tape.nbytes / len(tape) <= 40
