"""The grammar of a tape, stated once. Floor 2.

Run after every pass in the tests, when a tape is unpickled, and on every load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.errors import TapeFormatError
from tapegrad.rules import TABLE

if TYPE_CHECKING:
    from tapegrad.tape.tape import Tape


def check(tape: Tape) -> None:
    """Raise `TapeFormatError` unless the tape obeys the grammar.

    Columns have fitting lengths; operations are known; each step has the operands its
    primitive takes and reads only slots below its own; slots are consecutive; avals,
    inputs and outputs are in range; inputs are input steps; guards carry their outcome.
    """
    steps = len(tape.opcode)
    _lengths(tape, steps)
    _ranges(tape)
    _operations(tape)
    if len(tape.operands):
        owner_first = np.repeat(tape.first[:-1], np.diff(tape.offsets))
        late = np.flatnonzero(tape.operands >= owner_first)
        if len(late) or tape.operands.min() < 0:
            place = int(late[0]) if len(late) else int(np.argmin(tape.operands))
            number = int(np.searchsorted(tape.offsets, place, side="right")) - 1
            read = tape.operands[place]
            _fail(number, f"reads slot {read}, which is not below its own")
    for slot in tape.inputs:
        step = tape.owner(slot)
        if tape.operations[tape.opcode[step]] != "input":
            _fail(step, f"owns slot {slot}, listed as an input, but is no input step")


def _fail(step: int, what: str) -> None:
    msg = f"step {step} {what}; the tape is damaged or was put together wrongly"
    raise TapeFormatError(msg)


def _lengths(tape: Tape, steps: int) -> None:
    expected = {"offsets": steps + 1, "first": steps + 1, "static": steps}
    for name, length in expected.items():
        found = len(getattr(tape, name))
        if found != length:
            msg = f"column {name!r} has {found} entries; {steps} steps need {length}"
            raise TapeFormatError(msg)
    for name, total in (("offsets", len(tape.operands)), ("first", len(tape.aval))):
        column = getattr(tape, name)
        if column[0] != 0 or column[-1] != total or (np.diff(column) < 0).any():
            msg = f"column {name!r} must rise from 0 to {total}"
            raise TapeFormatError(msg)


def _ranges(tape: Tape) -> None:
    tables: dict[str, tuple[Any, int]] = {
        "opcode": (tape.opcode, len(tape.operations)),
        "static": (tape.static, len(tape.statics)),
        "aval": (tape.aval, len(tape.avals)),
        "inputs": (np.array(tape.inputs, dtype=np.int64), tape.slot_count),
        "outputs": (np.array(tape.outputs, dtype=np.int64), tape.slot_count),
    }
    for name, (column, bound) in tables.items():
        if len(column) and (column.min() < 0 or column.max() >= bound):
            msg = f"column {name!r} has an entry outside 0 .. {bound - 1}"
            raise TapeFormatError(msg)


def _operations(tape: Tape) -> None:
    """Each step has its primitive's operands, slots and parameters."""
    reads, owns = np.diff(tape.offsets), np.diff(tape.first)
    for code, name in enumerate(tape.operations):
        if name not in TABLE:
            msg = f"unknown primitive {name!r}; define it before loading the tape"
            raise TapeFormatError(msg)
        row = TABLE[name]
        mine = tape.opcode == code
        if row.arity >= 0 and (bad := np.flatnonzero(mine & (reads != row.arity))).size:
            _fail(int(bad[0]), f"({name}) must read {row.arity} slots")
        if row.slots >= 0 and (bad := np.flatnonzero(mine & (owns != row.slots))).size:
            _fail(int(bad[0]), f"({name}) must own {row.slots} slots")
        needed = {"const": "value", "guard": "guard", "call": "tape"}.get(name)
        if needed is None:
            continue
        for number in np.flatnonzero(mine).tolist():
            params = dict(tape.statics[tape.static[number]])
            if needed not in params:
                _fail(number, f"({name}) lacks its parameter {needed!r}")
            if name == "call":
                _call(number, params["tape"], int(reads[number]), int(owns[number]))


def _call(number: int, inner: Tape, reads: int, owns: int) -> None:
    if len(inner.inputs) != reads or len(inner.outputs) != owns:
        _fail(
            number,
            f"(call) reads {reads} and owns {owns} slots, but its sub-tape has "
            f"{len(inner.inputs)} inputs and {len(inner.outputs)} outputs",
        )
