"""A tape as the columns that the machine reads. Floor 6."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tapegrad.native.machine.build import Machine, key_of, machine_for
from tapegrad.native.machine.cases import (
    IF_EQUAL,
    IF_FALSE,
    IF_TRUE,
    NOTHING,
    Case,
    takes,
)
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.tape import Tape

# Steps that are no rows, and that the machine knows.
STRUCTURE = ("input", "const", "guard")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the machine needs to know of a tape.

    Args:
        machine: a machine that has its cases.
        cases: the case of each step.
        expected: outcomes of the guards on whole numbers, in order.
        constants: slots of constants, and what stands in them.
    """

    machine: Machine
    cases: npt.NDArray[np.uint16]
    expected: npt.NDArray[np.float64]
    constants: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]


def plan_of(tape: Tape) -> Plan | None:
    """The plan of a flat tape of numbers, made once; None where it does not fit."""
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "machine" not in known:
        known["machine"] = _plan(tape)
    return known["machine"]  # type: ignore[no-any-return]


def _plan(tape: Tape) -> Plan | None:
    rows = [TABLE[name] for name in tape.operations]
    if tape.arrays or not all(takes(row) or row.name in STRUCTURE for row in rows):
        return None
    if not _sound(tape, rows):
        return None
    # most rows have no parameters: one look-up a step says the case
    plain = np.array([row.kind != "structure" for row in rows], bool)
    with_params = [code for code, row in enumerate(rows) if _has_params(row)]
    usual = plain.copy()
    usual[with_params] = False
    if (usual[tape.opcode] & (tape.static != 0)).any():
        return None  # a parameter that the row does not tell of
    pairs = [(code, 0) for code in np.flatnonzero(usual).tolist()]
    groups = []
    for code in with_params:
        steps = np.flatnonzero(tape.opcode == code)
        found, which = np.unique(tape.static[steps], return_inverse=True)
        groups.append((code, steps, found.tolist(), which))
        pairs += [(code, index) for index in found.tolist()]
    cases: list[Case] = [(rows[code], tape.statics[i]) for code, i in pairs]
    machine = machine_for(tuple(cases))
    if machine is None:
        return None
    numbers = dict(
        zip(pairs, (machine.numbers[key_of(case)] for case in cases), strict=True)
    )
    table = [numbers.get((code, 0), NOTHING) for code in range(len(rows))]
    column = np.array(table or [NOTHING], np.uint16)[tape.opcode]
    for code, steps, found, which in groups:
        mine = [numbers[code, index] for index in found]
        column[steps] = np.array(mine, np.uint16)[which]
    return Plan(machine, column, _guards(tape, column), _constants(tape))


def _sound(tape: Tape, rows: list[Primitive]) -> bool:
    """Whether the columns are what they should be: native code does not look."""
    arities = [1 if row.name == "guard" else max(row.arity, 0) for row in rows]
    counts = np.array(arities or [0])[tape.opcode]
    owns = np.array([row.name != "guard" for row in rows] or [False])[tape.opcode]
    reads = tape.operands
    return bool(
        reads.dtype == np.int32
        and reads.flags.c_contiguous
        and len(reads) == counts.sum()
        and np.array_equal(np.diff(tape.offsets), counts)
        and np.array_equal(np.diff(tape.first), owns)
        and (not len(reads) or 0 <= reads.min() <= reads.max() < tape.slot_count)
    )


def _has_params(row: Primitive) -> bool:
    """Whether the steps of a row have static parameters that say what it computes."""
    return row.kind != "structure" and row.params != ({},)


def _steps_of(tape: Tape, name: str) -> npt.NDArray[np.intp]:
    if name not in tape.operations:
        return np.zeros(0, np.intp)
    return np.flatnonzero(tape.opcode == tape.operations.index(name))


def _guards(tape: Tape, column: npt.NDArray[np.uint16]) -> npt.NDArray[np.float64]:
    """Put the cases of guards into the column; the whole numbers that some expect."""
    expected = []
    for step in _steps_of(tape, "guard").tolist():
        outcome = dict(tape.statics[tape.static[step]])["guard"].outcome
        if isinstance(outcome, bool):
            column[step] = IF_TRUE if outcome else IF_FALSE
        else:
            column[step] = IF_EQUAL
            expected.append(float(outcome))
    return np.array(expected)


def _constants(
    tape: Tape,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    steps = _steps_of(tape, "const")
    values = [dict(tape.statics[i])["value"] for i in tape.static[steps].tolist()]
    return tape.first[steps].astype(np.int64), np.array(values, np.float64)
