"""Steps that eager code left behind, swept by the machine. Floor 6; loads llvmlite.

Eager code appends to one flat list of Python's numbers (see ``tape.recorder``). A
native loop reads the list through Python's own C interface, with Python's lock held,
and writes the columns that the reverse sweep takes: some ten times quicker than NumPy,
which looks at each number's type again.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from tapegrad.native.engine import Engine, Outside
from tapegrad.native.machine.build import Machine, common_machine, key_of
from tapegrad.native.machine.cases import NOTHING, takes
from tapegrad.rules import TABLE
from tapegrad.tape.recorder import MANY, Columns

# Operands of a step at most; the table's own rows have three.
WIDEST = 3
# In the tables: no case, or not without looking at the parameters.
NO_CASE = 0

CALLS = (
    Outside("PyList_GetItem", "ptr", ("ptr", "i64"), pure=False),
    Outside("PyLong_AsLongLong", "i64", ("ptr",), pure=False),
    Outside("PyFloat_AsDouble", "double", ("ptr",), pure=False),
)
ITEM = """\
  %index{0} = add i64 %base, {0}
  %item{0} = call ptr @PyList_GetItem(ptr %flat, i64 %index{0})
"""
INTEGER = ITEM + "  %{1} = call i64 @PyLong_AsLongLong(ptr %item{0})\n"
SOURCE = f"""\
define i64 @columns(ptr %flat, i64 %stop, ptr %arities, ptr %numbers, i64 %opcodes,
                    ptr %cases, ptr %reads, ptr %primal, ptr %special, ptr %used) {{
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %on ]
  %r = phi i64 [ 0, %entry ], [ %r1, %on ]
  %found = phi i64 [ 0, %entry ], [ %found1, %on ]
  %more = icmp slt i64 %i, %stop
  br i1 %more, label %row, label %exit
exit:
  store i64 %r, ptr %used
  ret i64 %found
unfit:
  ret i64 -1
row:
  %base = mul i64 %i, 4
{INTEGER.format(0, "code")}  %known = icmp ult i64 %code, %opcodes
  br i1 %known, label %fits, label %unfit
fits:
{INTEGER.format(1, "a")}{INTEGER.format(2, "b")}{ITEM.format(3)}
  %value = call double @PyFloat_AsDouble(ptr %item3)
  %primal_at = getelementptr double, ptr %primal, i64 %i
  store double %value, ptr %primal_at
  %arity_at = getelementptr i8, ptr %arities, i64 %code
  %arity8 = load i8, ptr %arity_at
  %negative = icmp slt i8 %arity8, 0
  br i1 %negative, label %unfit, label %write
write:
  %arity = zext i8 %arity8 to i64
  %number_at = getelementptr i16, ptr %numbers, i64 %code
  %number = load i16, ptr %number_at
  %case_at = getelementptr i16, ptr %cases, i64 %i
  store i16 %number, ptr %case_at
  %a_at = getelementptr i32, ptr %reads, i64 %r
  %a32 = trunc i64 %a to i32
  store i32 %a32, ptr %a_at
  %b_at = getelementptr i32, ptr %a_at, i64 1
  %b32 = trunc i64 %b to i32
  store i32 %b32, ptr %b_at
  %r1 = add i64 %r, %arity
  %wide = icmp eq i64 %a, {MANY}
  %unary = icmp eq i64 %arity, 1
  %static = icmp ne i64 %b, 0
  %params = and i1 %unary, %static
  %looked = or i1 %wide, %params
  br i1 %looked, label %note, label %on
note:
  %line = mul i64 %found, 4
  %line_at = getelementptr i64, ptr %special, i64 %line
  store i64 %i, ptr %line_at
  %line_r = getelementptr i64, ptr %line_at, i64 1
  store i64 %r, ptr %line_r
  %line_b = getelementptr i64, ptr %line_at, i64 2
  store i64 %b, ptr %line_b
  %line_code = getelementptr i64, ptr %line_at, i64 3
  store i64 %code, ptr %line_code
  %found_more = add i64 %found, 1
  br label %on
on:
  %found1 = phi i64 [ %found, %write ], [ %found_more, %note ]
  %i1 = add i64 %i, 1
  br label %next
}}
"""


@functools.cache
def _loop() -> tuple[Callable[..., int], Engine]:
    engine = Engine(SOURCE, CALLS, codegen=2, passes=2)
    pointer, count = ctypes.c_void_p, ctypes.c_int64
    # PYFUNCTYPE keeps Python's lock
    kind = ctypes.PYFUNCTYPE(
        count, ctypes.py_object, count, pointer, pointer, count, *[pointer] * 5
    )
    return kind(engine.address("columns")), engine


@functools.lru_cache(maxsize=1)
def _tables(rows: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint16]]:
    """Arity (-1 where a row is none for the machine) and case of every opcode."""
    numbers = common_machine().numbers
    arities = np.full(rows, -1, np.int8)
    cases = np.full(rows, NO_CASE, np.uint16)
    for code, row in enumerate(TABLE.rows[:rows]):
        if row.arity == 0:
            arities[code], cases[code] = 0, NOTHING
        elif takes(row) and row.arity <= WIDEST:
            arities[code] = row.arity
            cases[code] = numbers.get(key_of((row, ())), NO_CASE)
            if not cases[code] and row.params == ({},):
                arities[code] = -1
    return arities, cases


TABLE.forget.append(lambda _: _tables.cache_clear())


def adjoint(
    columns: Columns, stop: int, seeds: Mapping[int, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.uint8]] | None:
    """Adjoints of the first slots of eager columns, and which of them were reached.

    Args:
        columns: scalar steps, in one flat list.
        stop: slots up to the highest seed, at least.
        seeds: adjoints to start from.

    Returns:
        None where a step is none for the machine.
    """
    if columns.blocks:
        return None
    machine = common_machine()
    arities, numbers = _tables(len(TABLE.rows))
    cases = np.empty(stop, np.uint16)
    reads = np.empty(WIDEST * stop + 2, np.int32)
    primal = np.empty(stop)
    special = np.empty((stop, 4), np.int64)
    used = np.zeros(1, np.int64)
    loop, _ = _loop()
    found = loop(
        columns.flat,
        stop,
        arities.ctypes.data,
        numbers.ctypes.data,
        len(arities),
        *(x.ctypes.data for x in (cases, reads, primal, special, used)),
    )
    if found < 0 or not _looked(machine, columns, special[:found], cases, reads):
        return None
    bars = np.zeros(stop)
    reached = np.zeros(stop, np.uint8)
    for slot, seed in seeds.items():
        bars[slot] = seed
        reached[slot] = 1
    machine.reverse(
        cases.ctypes.data,
        reads.ctypes.data + reads.itemsize * int(used[0]),
        primal.ctypes.data,
        bars.ctypes.data,
        reached.ctypes.data,
        stop,
        stop,
    )
    return bars, reached


def _looked(
    machine: Machine,
    columns: Columns,
    special: npt.NDArray[np.int64],
    cases: npt.NDArray[np.uint16],
    reads: npt.NDArray[np.int32],
) -> bool:
    """Fill in steps with parameters, or with operands in the side table."""
    if not len(special):
        return True
    slots, places, indices, codes = special.T
    static = indices.copy()
    for line in np.flatnonzero(reads[places] == MANY).tolist():
        operands, static[line] = columns.many[indices[line]]
        reads[places[line] : places[line] + len(operands)] = operands
    keys, which = np.unique(np.stack([codes, static]), axis=1, return_inverse=True)
    found = []
    for code, index in keys.T.tolist():
        key = key_of((TABLE.rows[code], columns.statics[index]))
        if key not in machine.numbers:
            return False
        found.append(machine.numbers[key])
    cases[slots] = np.array(found, np.uint16)[which.ravel()]
    return True
