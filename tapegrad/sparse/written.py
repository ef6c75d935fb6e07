"""A compressed derivative as one tape: all sweeps recorded, for native code. Floor 9.

The seeds are constants of the tape, so what a colour does not reach is not on it; a
compiled tape then fuses the sweeps, which share their partials.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad import sweeps
from tapegrad.passes import tidy
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.sparse.plan import Plan
from tapegrad.tape.structure import Tree, flatten
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class Written:
    """A plan's sweeps as a tape, and where its results go.

    Args:
        tape: gives the compressed matrix in pieces; called like the function.
        places: for each entry of the pattern its place in the pieces, joined; one
            beyond them where it is structurally 0.
        run: the tape, compiled.
    """

    tape: Tape
    places: npt.NDArray[np.int64]
    run: Callable[..., Any]

    def entries(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The entries of the pattern, at a call's arguments."""
        if not self.tape.outputs:
            return np.zeros(len(self.places))
        found = self.run(*args, **kwargs)
        parts = found if isinstance(found, tuple) else (found,)
        whole = [np.ravel(part) for part in parts] if self.tape.arrays else [parts]
        joined = np.concatenate([*whole, (0.0,)])
        return np.take(joined, self.places)


# A part of the compressed matrix: colour, place in its row, and a Value.
Piece = tuple[int, int, Any]


def written(plan: Plan, like: Tape, level: str) -> Written:
    """Record the sweeps of a plan, and compile them.

    Args:
        plan: for columns or rows.
        like: the tape whose arguments the result takes.
        level: of optimisation, as for `Tape.compile`.

    Raises:
        CompileError: a step has no native code.
    """
    base = plan.tape
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = [
            recorder.variable(x, base.labels.get(slot, ""))
            for slot, x in zip(base.inputs, base.example or (), strict=True)
        ]
        values = sweeps.replay(base, m, inputs)
        pieces = (_rows if plan.rows else _columns)(plan, m, values)
        slots = tuple(recorder.slot_of(piece) for _, _, piece in pieces)
        given = tuple(recorder.slot_of(handle) for handle in inputs)
        sizes = [math.prod(m.shape(piece)) for _, _, piece in pieces]
    result = Tree()
    if len(slots) != 1:
        _, result = flatten((0.0,) * len(slots), lambda leaf: isinstance(leaf, float))
    grown = recorder.freeze(
        inputs=given,
        outputs=slots,
        structure=dataclasses.replace(like.structure, result=result),
        example=base.example,
    )
    tape = tidy(grown)
    width = sum(plan.sizes)
    found = np.full(plan.count * width, sum(sizes))
    start = 0
    for (colour, first, _), size in zip(pieces, sizes, strict=True):
        low = colour * width + first
        found[low : low + size] = range(start, start + size)
        start += size
    run = tape.compile(level) if slots else tuple
    return Written(tape, found[plan.places], run)


def _columns(plan: Plan, m: Any, values: Sequence[Any]) -> list[Piece]:
    """Tangents for each colour of columns."""
    tape, found = plan.tape, []
    for colour in range(plan.count):
        seeds = plan.seeds(plan.wrt, colour)
        chosen = {slot: m.number(seed) for slot, seed in seeds.items()}
        dots = sweeps.tangent(tape, m, values, chosen)
        found += _pieces(plan, colour, [dots[slot] for slot in tape.outputs])
    return found


def _rows(plan: Plan, m: Any, values: Sequence[Any]) -> list[Piece]:
    """Adjoints for each colour of rows."""
    tape, found = plan.tape, []
    for colour in range(plan.count):
        seeds = plan.seeds(tape.outputs, colour)
        chosen = {slot: m.number(seed) for slot, seed in seeds.items()}
        bars = sweeps.adjoint(tape, m, values, chosen, plan.wrt)
        found += _pieces(plan, colour, [bars[slot] for slot in plan.wrt])
    return found


def _pieces(plan: Plan, colour: int, parts: Sequence[Any]) -> list[Piece]:
    starts = np.cumsum([0, *plan.sizes]).tolist()
    return [
        (colour, start, part)
        for start, part in zip(starts, parts, strict=False)
        if part is not None
    ]
