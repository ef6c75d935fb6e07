"""Tapes of plain steps alone: nested steps written out. Floor 7.

Sweeps keep a step with sub-tapes as one step, or its own rule for derivatives would be
lost. What only evaluates a tape (native code, formulas, source text) has no rule to
lose: here its sub-tapes are put in its place, and loops are unrolled. Derive first,
then expand.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import CompileError, DomainError
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.readings.mixed import plain
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import Primitive
from tapegrad.tape.tape import Tape

# A loop of more steps stays a loop in native code.
UNROLLED = 1000


class Expanding(RecorderReading):
    """The recorder as a reading that runs nested steps instead of recording them.

    Attributes:
        error: raised by a step that cannot be written out.
    """

    records = False

    def __init__(self, recorder: Recorder, error: type[Exception]) -> None:
        super().__init__(recorder)
        self.error = error

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """The steps of its sub-tapes; for native code a long loop stays one."""
        if self.error is CompileError and _stays(row, params):
            inner = {
                name: expanded(value, native=True) if isinstance(value, Tape) else value
                for name, value in params.items()
            }
            return apply_nested(row, xs, inner)
        return row.run(self, xs, params)  # type: ignore[misc]


def _stays(row: Primitive, params: Any) -> bool:
    """Whether native code makes a loop of it."""
    if row.name == "scan":
        return bool(params["length"] * len(params["tape"]) > UNROLLED)
    return row.name == "while_loop" and not params["ops"]


def expanded(tape: Tape, *, native: bool = False) -> Tape:
    """The same function as a flat tape without nested steps.

    Args:
        tape: any tape; the one of a derivative, where a derivative is wanted.
        native: it is wanted for native code.

    Raises:
        CompileError: a step cannot be written out, and native code was wanted.
        DomainError: a step cannot be written out.
    """
    base = sweeps.flat(tape)
    if not sweeps.ruled(base):
        return base
    known = base._known
    key = "expanded native" if native else "expanded"
    if key not in known:
        known[key] = _expanded(base, CompileError if native else DomainError)
    return known[key]  # type: ignore[no-any-return]


def _expanded(base: Tape, error: type[Exception]) -> Tape:
    recorder = Recorder(derives=True)
    example = base.example or [zeros(*base.aval_of(slot)) for slot in base.inputs]
    with recording_onto(recorder):
        inputs = [
            recorder.variable(value, base.labels.get(slot, ""))
            for slot, value in zip(base.inputs, example, strict=True)
        ]
        slots = sweeps.replay(base, Expanding(recorder, error), inputs)
        outputs = tuple(recorder.slot_of(slots[slot]) for slot in base.outputs)
        for slot, label in base.labels.items():
            recorder.labels.setdefault(recorder.slot_of(slots[slot]), label)
    grown = recorder.freeze(
        inputs=tuple(handle._i for handle in inputs),
        outputs=outputs,
        structure=base.structure,
        example=base.example,
    )
    return prune(grown)


def zeros(shape: tuple[int, ...], dtype: str) -> Any:
    """Zeros of a shape and dtype, where a tape knows no example."""
    return plain(np.zeros(shape, dtype))
