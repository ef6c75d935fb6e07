"""The grammar of a tape, stated once. Floor 2.

Run after every pass in the tests, when a tape is unpickled, and on every load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from tapegrad.errors import TapeFormatError
from tapegrad.rules import TABLE
from tapegrad.tape.fits import steps_fit

if TYPE_CHECKING:
    from tapegrad.tape.tape import Tape


def check(tape: Tape) -> None:
    """Raise `TapeFormatError` unless the tape obeys the grammar.

    Columns have fitting types and lengths; operations are known; each step has the
    operands and parameters its primitive takes, reads only slots below its own and
    gives slots of the shapes that its row states; slots are consecutive; avals, inputs,
    outputs and labels are in range; inputs are all the input steps, each once.
    """
    _columns(tape)
    _lengths(tape, len(tape.opcode))
    _ranges(tape)
    _operations(tape)
    _tables(tape)
    if len(tape.operands):
        owner_first = np.repeat(tape.first[:-1], np.diff(tape.offsets))
        late = np.flatnonzero(tape.operands >= owner_first)
        if len(late) or tape.operands.min() < 0:
            place = int(late[0]) if len(late) else int(np.argmin(tape.operands))
            number = int(np.searchsorted(tape.offsets, place, side="right")) - 1
            read = tape.operands[place]
            _fail(number, f"reads slot {read}, which is not below its own")
    steps_fit(tape)
    _inputs(tape)


def defined_alike(definitions: Any) -> None:
    """Raise `TapeFormatError` unless users' rows are here as they were on a tape.

    Args:
        definitions: the name and digest of each, and what it is, for people.
    """
    for name, digest, told in definitions:
        what = "is not defined here"
        if name in TABLE:
            row = TABLE[name]
            if row.digest == digest:
                continue
            what = f"is another one here ({row.told or 'a row of the table'})"
        msg = (
            f"the tape holds the primitive {name!r} ({told}), which {what}; run "
            f"tg.primitive({name!r}, ...) as it was before loading the tape"
        )
        raise TapeFormatError(msg)


def _fail(step: int, what: str) -> NoReturn:
    msg = f"step {step} {what}; the tape is damaged or was put together wrongly"
    raise TapeFormatError(msg, step=step)


def _columns(tape: Tape) -> None:
    for name in ("opcode", "offsets", "operands", "first", "static", "aval"):
        column = getattr(tape, name)
        dtype = np.uint16 if name in {"opcode", "aval"} else np.int32
        if column.ndim != 1 or column.dtype != dtype:
            msg = (
                f"column {name!r} is of dtype {column.dtype} and shape {column.shape}; "
                f"it must be one row of {np.dtype(dtype)}"
            )
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
        if column[0] != 0 or column[-1] != total or (column[1:] < column[:-1]).any():
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
    for slot in tape.labels:
        if not 0 <= slot < tape.slot_count:
            msg = f"'labels' names {slot!r:.40}, no slot below {tape.slot_count}"
            raise TapeFormatError(msg)


def _tables(tape: Tape) -> None:
    """Names rise, so that equal tapes have equal columns; parameters are sorted."""
    if list(tape.operations) != sorted(set(tape.operations)):
        msg = f"operations {tape.operations!r:.200} are not sorted names, each once"
        raise TapeFormatError(msg)
    if not tape.statics or tape.statics[0] != ():
        msg = "statics must begin with the empty one"
        raise TapeFormatError(msg)
    for place, static in enumerate(tape.statics):
        if len(static) > 1:
            names = [name for name, _ in static]
            if names != sorted(set(names)):
                msg = f"statics[{place}] has parameters {names}, not sorted, each once"
                raise TapeFormatError(msg)


def _operations(tape: Tape) -> None:
    """Each step has its primitive's operands and slots."""
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
        if name == "call":
            _calls(tape, np.flatnonzero(mine).tolist(), reads, owns)


def _calls(tape: Tape, steps: list[int], reads: Any, owns: Any) -> None:
    for number in steps:
        inner = dict(tape.statics[tape.static[number]]).get("tape")
        if not isinstance(inner, type(tape)):
            _fail(number, "(call) lacks its parameter 'tape'")
        if len(inner.inputs) != reads[number] or len(inner.outputs) != owns[number]:
            _fail(
                number,
                f"(call) reads {reads[number]} and owns {owns[number]} slots, but its "
                f"sub-tape has {len(inner.inputs)} inputs and {len(inner.outputs)} "
                "outputs",
            )


def _inputs(tape: Tape) -> None:
    for slot in tape.inputs:
        step = tape.owner(slot)
        if tape.operations[tape.opcode[step]] != "input":
            _fail(step, f"owns slot {slot}, listed as an input, but is no input step")
    if "input" in tape.operations:
        steps = tape.opcode == tape.operations.index("input")
        missing = np.setdiff1d(tape.first[:-1][steps], tape.inputs)
        if len(missing):
            slot = int(missing[0])
            _fail(tape.owner(slot), f"is an input step, but slot {slot} is no input")
    if len(set(tape.inputs)) != len(tape.inputs):
        msg = "inputs names a slot twice"
        raise TapeFormatError(msg)
