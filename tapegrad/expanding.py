"""Tapes of plain steps alone: nested steps written out. Floor 7.

Sweeps keep a step with sub-tapes as one step, or its own rule for derivatives would be
lost. What only evaluates a tape (native code, formulas, source text) has no rule to
lose: here its sub-tapes are put in its place, and loops are unrolled. Derive first,
then expand.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from tapegrad import sweeps
from tapegrad.errors import CompileError, DomainError
from tapegrad.fission import taken_apart
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.passes.slim import slim
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules import Primitive
from tapegrad.tape.tape import Tape

# A loop of more steps stays a loop in native code.
UNROLLED = 1000
# Iterations that the derivative of a while loop has room for in native code, at first.
ROOM = 64
# The most iterations of a while loop that the interpreter has met, where someone asks.
LAPS: ContextVar[list[int] | None] = ContextVar("laps", default=None)


class Expanding(RecorderReading):
    """The recorder as a reading that runs nested steps instead of recording them.

    Attributes:
        error: raised by a step that cannot be written out.
        room: iterations that the derivative of a while loop has room for.
        apart: whether short loops become array steps, where all of them can: in the
            body of a loop whose turns do not depend on each other.
    """

    records = False

    def __init__(
        self,
        recorder: Recorder,
        error: type[Exception],
        room: int = ROOM,
        *,
        apart: bool = False,
    ) -> None:
        super().__init__(recorder)
        self.error = error
        self.room = room
        self.apart = apart

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """The steps of its sub-tapes; for native code a long loop stays one."""
        if self.error is not CompileError:
            return row.run(self, xs, params)  # type: ignore[misc]
        stays = _stays(row, params)
        if row.name == "scan" and params["length"] and (stays or self.apart):
            for apart in (True, False):
                if apart and "scan" not in params["tape"].operations:
                    continue
                inner = self._inner(params, apart=apart)
                found = taken_apart(self, row, xs, inner, whole=not stays)
                if found is not None:
                    return found
        if stays:
            return apply_nested(row, xs, self._inner(params))
        return row.run(self, xs, params)  # type: ignore[misc]

    def _inner(self, params: Any, *, apart: bool = False) -> Any:
        """The parameters of a step, its sub-tapes expanded."""
        return {
            name: expanded(value, native=True, room=self.room, apart=apart)
            if isinstance(value, Tape)
            else value
            for name, value in params.items()
        }


def _stays(row: Primitive, params: Any) -> bool:
    """Whether native code makes a loop of it."""
    if row.name == "scan":
        return bool(params["length"] * len(params["tape"]) > UNROLLED)
    if row.name == "bounded_scan":
        return True
    return row.name == "while_loop" and not params["ops"]


def expanded(
    tape: Tape, *, native: bool = False, room: int = ROOM, apart: bool = False
) -> Tape:
    """The same function as a flat tape without nested steps.

    Args:
        tape: any tape; the one of a derivative, where a derivative is wanted.
        native: it is wanted for native code.
        room: there, iterations that the derivative of a while loop has room for.
        apart: there, whether short loops become array steps (see `Expanding`).

    Raises:
        CompileError: a step cannot be written out, and native code was wanted.
        DomainError: a step cannot be written out.
    """
    base = sweeps.flat(tape)
    if not sweeps.ruled(base):
        return base
    known = base._known
    key = f"expanded native {room} {apart}" if native else "expanded"
    if key not in known:
        error = CompileError if native else DomainError
        known[key] = _expanded(base, error, room, apart=apart)
    return known[key]  # type: ignore[no-any-return]


def bounded(tape: Tape) -> bool:
    """Whether an expanded tape holds loops that have room for so many iterations."""
    inner = [x for static in tape.statics for _, x in static if isinstance(x, Tape)]
    return "bounded_scan" in tape.operations or any(map(bounded, inner))


def _expanded(base: Tape, error: type[Exception], room: int, *, apart: bool) -> Tape:
    if error is CompileError:
        base = slim(base)
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        inputs = inputs_onto(recorder, base)
        slots = sweeps.replay(
            base, Expanding(recorder, error, room, apart=apart), inputs
        )
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
