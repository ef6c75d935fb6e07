"""One primitive alone on a tape, and readings in which a row stands for another.

Floor 10. The verifier judges rows that need not be in the table (a row under
construction, a wrong one planted by a test), but sweeps look a step's row up by its
name. `Instead` hands a sweep the row in question in place of the table's own:

    m = Instead(SCALAR, row)      sweeps.adjoint(one_step(row), m, ...)

A row of a name that the table has not is lent to it while it is judged.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tapegrad import passing, sweeps
from tapegrad.readings import FLOAT32, NUMPY, SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import VALUES, Recorder, RecorderReading, recording_onto
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape import Tape
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree, flatten


class Instead:
    """A reading that reads one row in place of the table's row of that name."""

    def __init__(self, m: Any, row: Primitive) -> None:
        self._m = m
        self._row = row

    def __getattr__(self, name: str) -> Any:
        if name == self._row.name:
            return self.evaluator(self._row)
        return getattr(self._m, name)

    def evaluator(self, row: Primitive) -> Any:
        """The function that applies a row."""
        return self._m.evaluator(self._mine(row))

    def partials(self, row: Primitive, y: Any, *xs: Any, **params: Any) -> Any:
        """The partials of a row, read by the reading's own way if it has one."""
        return passing.partials_of(self._m, self._mine(row), y, xs, params)

    def _mine(self, row: Primitive) -> Primitive:
        return self._row if row.name == self._row.name else row


_numbers = itertools.count()


@contextmanager
def lent(row: Primitive) -> Iterator[Primitive]:
    """The row, in the table meanwhile: one of a new name is added and taken out again.

    Its definition has a digest of its own, so that nothing that is kept by content
    takes a later row of that name for this one.
    """
    if row.name in TABLE:
        yield row
        return
    digest = row.digest or f"lent {next(_numbers)}"
    mine = TABLE.add(dataclasses.replace(row, digest=digest))
    try:
        yield mine
    finally:
        if TABLE.drop(mine):  # else another came meanwhile, and it has to stay
            for name in ("sympy", "mpmath:50"):
                vars(reading(name)).pop(row.name, None)
            for m in (SCALAR, NUMPY, FLOAT32, MIXED, VALUES):
                vars(m).pop(row.name, None)


def reading_for(m: Any, row: Primitive) -> Any:
    """The reading itself for a row of the table, else one that reads `row`."""
    known = row.name in TABLE and TABLE[row.name] is row
    return m if known else Instead(m, row)


def is_fixed(operand: Any) -> bool:
    """Whether an operand is a condition: a constant of the tape, not an input."""
    return isinstance(operand, bool)


def one_step(
    row: Primitive, params: Mapping[str, Any], operands: Sequence[Any]
) -> Tape:
    """The tape of one step; operands that are bools are constants, the rest inputs.

    Args:
        row: the primitive.
        params: static parameters of the step.
        operands: a point, only to tell which operands are conditions.
    """
    columns = Columns()
    slots = [
        columns.constant(operand) if is_fixed(operand) else columns.input(math.nan)
        for operand in operands
    ]
    inputs = [
        slot
        for slot, operand in zip(slots, operands, strict=True)
        if not is_fixed(operand)
    ]
    out = columns.push(row, slots, params, math.nan)
    return columns.freeze(
        tuple(inputs), (out,), structure=Structure(tuple(Tree() for _ in inputs))
    )


def partials_tape(tape: Tape, row: Primitive, output: int = 0) -> Tape:
    """The adjoints of a tape's inputs as a tape: one output an input.

    Rule text read by the recorder, with `row` in place of the table's own.

    Args:
        tape: a flat tape.
        row: the primitive that is judged.
        output: which output of the tape is differentiated.
    """
    recorder = Recorder()
    with recording_onto(recorder):
        m = reading_for(RecorderReading(recorder), row)
        inputs = [recorder.variable(1.0) for _ in tape.inputs]
        slots = sweeps.replay(tape, m, inputs)
        bars = sweeps.adjoint(tape, m, slots, {tape.outputs[output]: m.number(1.0)})
        found = [
            recorder.slot_of(m.number(0.0) if bars[slot] is None else bars[slot])
            for slot in tape.inputs
        ]
    _, result = flatten(found, lambda leaf: isinstance(leaf, int))
    return recorder.freeze(
        inputs=tuple(handle._i for handle in inputs),  # noqa: SLF001
        outputs=tuple(found),
        structure=Structure(tuple(Tree() for _ in inputs), (), result),
    )
