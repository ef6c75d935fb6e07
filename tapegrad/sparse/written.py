"""A compressed derivative as one tape: all sweeps recorded, for native code. Floor 9.

The seeds are constants of the tape, so what a colour does not reach is not on it; a
compiled tape then fuses the sweeps, which share their partials. Of arrays it picks the
entries of the pattern off itself, and tells whether one is NaN.
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
from tapegrad.rules.shapes import FLOATING
from tapegrad.sparse.plan import Plan
from tapegrad.tape.structure import Tree, flatten
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class Written:
    """A plan's sweeps as a tape, and what is made of its results.

    Args:
        tape: called like the function. Of arrays it gives the entries of the pattern,
            and whether one is NaN; of numbers the compressed matrix in pieces.
        places: for each entry of the pattern its place in the pieces, joined; one
            beyond them where it is structurally 0.
        run: the tape, compiled.
    """

    tape: Tape
    places: npt.NDArray[np.int64]
    run: Callable[..., Any]

    def entries(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The entries of the pattern, at a call's arguments; None where one is NaN."""
        if not self.tape.outputs:
            return np.zeros(len(self.places))
        found = self.run(*args, **kwargs)
        if self.tape.arrays:
            return None if found[1] else found[0]
        parts = found if isinstance(found, tuple) else (found,)
        picked = np.take((*parts, 0.0), self.places)
        return None if np.isnan(picked).any() else picked


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
        sizes = [math.prod(m.shape(piece)) for _, _, piece in pieces]
        places = _places(plan, pieces, sizes)
        made = [piece for _, _, piece in pieces]
        if base.arrays and made:
            made = _picked(m, plan, made, places)
        slots = tuple(recorder.slot_of(piece) for piece in made)
        given = tuple(recorder.slot_of(handle) for handle in inputs)
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
    return Written(tape, places, tape.compile(level) if slots else tuple)


def _places(
    plan: Plan, pieces: Sequence[Piece], sizes: Sequence[int]
) -> npt.NDArray[np.int64]:
    """Where the entries of the pattern stand in the pieces, joined."""
    width = sum(plan.sizes)
    found = np.full(plan.count * width, sum(sizes))
    start = 0
    for (colour, first, _), size in zip(pieces, sizes, strict=True):
        low = colour * width + first
        found[low : low + size] = range(start, start + size)
        start += size
    return found[plan.places]


def _picked(
    m: Any, plan: Plan, parts: Sequence[Any], places: npt.NDArray[np.int64]
) -> list[Any]:
    """The entries of the pattern, in order, and whether one is NaN."""
    slots = plan.wrt if plan.rows else plan.tape.outputs
    kinds = {plan.tape.aval_of(slot)[1] for slot in slots}
    dtype = str(np.result_type(*(kinds & {*FLOATING} or {"float64"})))
    flat = [m.reshape(part, shape=(math.prod(m.shape(part)),)) for part in parts]
    zero = m.number(np.zeros(1, dtype))
    joined = m.concatenate(
        *(m.astype(part, dtype=dtype) for part in (*flat, zero)), axis=0
    )
    found = m.gather(joined, m.number(places), key=("a",))
    return [found, m.any(m.not_equal(found, found), axes=(0,))]


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
