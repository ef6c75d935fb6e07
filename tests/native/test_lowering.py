"""The text that tapes are lowered to, and what LLVM makes of it."""

from __future__ import annotations

import ctypes
import math
import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import gradient_tape
from tapegrad.native import engine, lowering, thunk
from tapegrad.native.engine import Engine, Outside
from tapegrad.native.lowering import lower
from tapegrad.native.reading import literal
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.primitive import Table
from tapegrad.tape.recorder import Columns


def run(tape, point, chunk, level=0):
    """Status and outputs of a tape's kernel."""
    made = lower(tape, chunk)
    code = Engine(made.body, made.calls, codegen=level, passes=level)
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    kernel = kind(code.address("kernel"))
    x, y = np.array(point, float), np.zeros(len(tape.outputs))
    return kernel(x.ctypes.data, y.ctypes.data), y.tolist()


def mixed(x, y):
    big = x > y
    z = tg.where(big, x.log(), y.exp()) + tg.maximum(x, y).tanh() / abs(x - y)
    return [z * x**2.5, tg.where(big, z, 1.0), x, 3.0, y**-1]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_chunks_of_any_size(chunk):
    tape = gradient_tape(tg.record(mixed, 2.0, 1.0))
    for point in [(2.5, 1.5), (1.5, 2.5), (0.5, -3.0)]:
        assert run(tape, point, chunk) == (0, tape(*point))


def test_the_status_names_the_guard():
    def f(x):
        y = x * 1.0
        if y > 0.0:
            y = y + 1.0
        if y < 5.0:
            y = y * 2.0
        return y

    tape = tg.record(f, 1.0)
    guards = [step.number for step in tape if step.primitive.name == "guard"]
    for chunk in (1, 3, 100):
        assert run(tape, (2.0,), chunk) == (0, [6.0])
        assert run(tape, (-1.0,), chunk)[0] == guards[0] + 1
        assert run(tape, (9.0,), chunk)[0] == guards[1] + 1


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_a_product_and_a_sum_round_twice(level):
    tape = tg.record(lambda x, y: x * x - y, 1.5, 1.0)
    x = 1 + 2.0**-30
    assert run(tape, (x, x * x), 100, level) == (0, [0.0])


@pytest.mark.parametrize("level", [0, 3])
def test_library_calls_are_not_rewritten(level):
    """LLVM would make a square root of pow(x, 0.5), and a product of pow(x, 2)."""
    half = tg.record(lambda x: x**0.5, 2.0)
    assert run(half, (-0.0,), 100, level) == (0, [0.0])
    assert math.copysign(1.0, run(half, (-0.0,), 100, level)[1][0]) == 1.0
    two = tg.record(lambda x: apply(TABLE["pow"], x, 2.0), 3.0)
    for x in (1.1, 1.3, 1.7, 1e-160, 1e160):
        assert run(two, (x,), 100, level) == (0, [two(x)])


# -- the text --------------------------------------------------------------------


def test_source_is_llvm_and_holds_no_address():
    tape = tg.record(mixed, 2.0, 1.0)
    text = tape.to_llvm()
    assert text == tape.to_llvm()
    module = llvm.parse_assembly(text, context=llvm.create_context())
    module.verify()
    assert "declare double @exp(double)" in text
    assert "define i32 @kernel(" in text
    for source in (text, thunk.source()):
        assert "inttoptr" not in source
        assert not re.search(r"i64 \d{9,}", source.replace(str(2**63 - 1), ""))
    assert "fast" not in text
    assert "contract" not in text
    assert "fmuladd" not in text


def test_modules_are_well_formed():
    tape = gradient_tape(tg.record(mixed, 2.0, 1.0))
    for chunk in (2, 1000):
        made = lower(tape, chunk)
        assert made.chunks == -(-len(tape) // chunk)
        assert made.steps == len(tape)
        cells = "".join(call.through_cell() for call in made.calls)
        for text in (made.text, cells + made.body):
            module = llvm.parse_assembly(text, context=llvm.create_context())
            module.verify()
    cells = "".join(call.through_cell() for call in thunk.CALLS)
    text = cells + thunk.source()
    llvm.parse_assembly(text, context=llvm.create_context()).verify()


@pytest.mark.parametrize("x", [0.0, -0.0, 1.0, -1.5, math.inf, math.nan, 5e-324, 1e308])
def test_literals_keep_their_bits(x):
    tape = tg.record(lambda y: y * 0.0 + x, 1.0)
    (found,) = run(tg.record(lambda y: [y, x][1], 1.0), (1.0,), 100)[1]
    assert np.float64(found).view(np.int64) == np.float64(x).view(np.int64)
    assert run(tape, (1.0,), 100)[0] == 0
    assert re.fullmatch(r"0x[0-9A-F]{16}", literal(x))


# -- what cannot be lowered ------------------------------------------------------


def planted(monkeypatch, **fields):
    """A table with one more row, as long as a test lasts."""
    table = Table()
    for row in TABLE:
        table.add(row)
    made = table.add(Primitive("planted", 1, lambda m, y, x: (1,), **fields))
    for name in Table.__slots__:
        monkeypatch.setattr(TABLE, name, getattr(table, name))
    columns = Columns()
    slot = columns.input(1.0)
    out = columns.push(made, [slot], {}, 1.0)
    return columns.freeze((slot,), (out,))


def test_a_row_without_native_code_is_named(monkeypatch):
    tape = planted(monkeypatch)
    with pytest.raises(tg.CompileError, match="'planted' has no native code"):
        lower(tape, 100)


def test_a_symbol_that_does_not_exist_falls_back_to_the_body(monkeypatch):
    tape = planted(monkeypatch, llvm="@no_such_function", body=lambda m, x: x * x)
    assert run(tape, (3.0,), 100) == (0, [9.0])


def test_a_symbol_that_does_not_exist_is_named(monkeypatch):
    tape = planted(monkeypatch, llvm="@no_such_function")
    with pytest.raises(tg.CompileError, match="planted"):
        lower(tape, 100)
    with pytest.raises(tg.CompileError, match="'no_such_function', which no library"):
        Engine("", [Outside("no_such_function")], codegen=0, passes=0)


def test_any_function_of_the_maths_library_will_do(monkeypatch):
    """A new row needs its atom's name and nothing else."""
    tape = planted(monkeypatch, llvm="@cbrt")
    status, (found,) = run(tape, (27.0,), 100)
    assert (status, found) == (0, pytest.approx(3.0, rel=1e-15))


def test_what_llvm_refuses_is_a_compile_error():
    with pytest.raises(tg.CompileError, match="LLVM refused"):
        Engine("define i32 @kernel() { nonsense }", codegen=0, passes=0)
    code = Engine("define i32 @kernel() {\nret i32 0\n}\n", codegen=0, passes=0)
    with pytest.raises(tg.CompileError, match="no function 'other'"):
        code.address("other")


def test_a_tape_beyond_all_memory_is_refused(monkeypatch):
    monkeypatch.setattr(lowering, "LIMIT", 10)
    tape = tg.record(mixed, 2.0, 1.0)
    with pytest.raises(tg.CompileError, match="10 are the most"):
        tape.compile()(2.0, 1.0)


def test_array_slots_are_refused():
    columns = Columns()
    slot = columns.input(1.0)
    columns.avals[slot] = ((3,), "float64")
    with pytest.raises(tg.CompileError, match="scalar slots"):
        lower(columns.freeze((slot,), (slot,)), 100)


def test_symbols_come_from_python_s_own_maths():
    assert engine.symbol("exp") is not None
    assert engine.symbol("no_such_function") is None
    assert engine.callable_outside("llvm.sqrt.f64")
    exp = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(engine.symbol("exp"))
    for k in range(-50, 50):
        assert exp(k / 7.0) == math.exp(k / 7.0)


# -- programs that nobody wrote --------------------------------------------------

WORDS = [
    *(row.name for row in TABLE if row.kind == "elementwise" and row.params == ({},)),
    "powc",
    "where",
]
STEPS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.tuples(*[st.integers(0, 40)] * 4)),
    min_size=1,
    max_size=25,
)
FLOATS = st.floats(-4.0, 4.0)


def program(steps):
    """A function of three numbers that applies steps to earlier results."""

    def f(*inputs):
        slots = list(inputs)
        for name, places in steps:
            a, b, c, d = (slots[-1 - place % len(slots)] for place in places)
            if name == "where":
                slots.append(tg.where(tg.where(a < b, c > d, a >= c), b, c))
            elif name == "powc":
                slots.append(a ** (places[1] % 7 - 2))
            else:
                row = TABLE[name]
                params = row.params[places[2] % len(row.params)]
                slots.append(apply(row, *[a, b, c][: row.arity], **params))
        return slots[-1] + slots[len(slots) // 2]

    return f


@given(STEPS, st.tuples(FLOATS, FLOATS, FLOATS), st.integers(1, 60))
def test_random_programs(steps, point, chunk):
    tape = tg.record(program(steps), 0.5, -1.5, 2.5)
    both = gradient_tape(tape)
    with np.errstate(all="ignore"):
        slots = sweeps.replay(both, SCALAR, list(point))
    want = [float(slots[slot]) for slot in both.outputs]
    for level in (0, 2):
        status, found = run(both, point, chunk, level)
        assert status == 0
        np.testing.assert_array_equal(found, want)
