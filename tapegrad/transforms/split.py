"""A tape in two parts: what is known early, and what waits for the rest. Floor 11.

    f(x, dx)  =  later(residuals, dx),      residuals = early(x)

Of a derivative's tape the steps that do not depend on the direction can be done once:
values, and all partials. What remains is linear in the direction (Griewank & Walther
section 3.1; the partial evaluation of Jones, Gomard and Sestoft, 1993).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad import sweeps
from tapegrad.batching.lanes import Lanes, wide
from tapegrad.batching.reading import Batching
from tapegrad.passes import prune
from tapegrad.rules.structure import CONST, GUARD
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class Parts:
    """A tape in two parts.

    Args:
        early: takes the first inputs; gives the first outputs, then the residuals.
        later: takes the residuals, then the other inputs; gives the other outputs.
        count: how many of the outputs of `early` come before the residuals.
    """

    early: Tape
    later: Tape
    count: int

    def residuals(self, m: Any, inputs: Sequence[Any]) -> list[Any]:
        """What the later part reads of the early one, in any reading."""
        slots = sweeps.replay(self.early, m, inputs)
        return [slots[slot] for slot in self.early.outputs[self.count :]]

    def lanes(
        self, m: Any, residuals: Sequence[Any], seeds: Any, count: int
    ) -> list[Any]:
        """The later part at so many seeds at once: lanes along the first axis."""
        values = sweeps.replay(
            self.later, Batching(m, count), [*residuals, Lanes(seeds)]
        )
        return [wide(m, values[slot], count) for slot in self.later.outputs]


def split(tape: Tape, inputs: int, outputs: int) -> Parts:
    """Cut a flat tape.

    Args:
        tape: a tape whose first outputs do not depend on its last inputs.
        inputs: so many inputs are known early.
        outputs: so many outputs are asked for early.
    """
    waits = _waiting(tape, tape.inputs[inputs:])
    ends = tape.outputs[outputs:]
    wanted: dict[int, None] = {}  # slots that cross the cut, in order
    fixed: dict[int, Any] = {}
    steps = list(tape)
    for step in steps:
        if step.primitive is CONST:
            fixed[step.slots.start] = step.params["value"]
    reads = [slot for step in steps if _moves(step, waits) for slot in step.operands]
    for slot in [*reads, *ends]:
        if not waits[slot] and slot not in fixed:
            wanted[slot] = None
    early = dataclasses.replace(
        tape,
        inputs=tape.inputs[:inputs],
        outputs=(*tape.outputs[:outputs], *wanted),
        structure=_structure(inputs, outputs + len(wanted)),
        example=tape.example and tape.example[:inputs],
    )
    return Parts(
        prune(early), _later(tape, steps, waits, wanted, inputs, ends), outputs
    )


def _waiting(tape: Tape, late: tuple[int, ...]) -> bytearray:
    """Which slots depend on the late inputs."""
    waits = bytearray(tape.slot_count)
    for slot in late:
        waits[slot] = 1
    offsets, operands = tape.offsets.tolist(), tape.operands.tolist()
    first = tape.first.tolist()
    for step in range(len(tape)):
        if any(waits[i] for i in operands[offsets[step] : offsets[step + 1]]):
            for slot in range(first[step], first[step + 1]):
                waits[slot] = 1
    return waits


def _moves(step: Any, waits: bytearray) -> bool:
    """Whether a step belongs to the later part; guards are on what is known early."""
    return (
        step.primitive is not GUARD and bool(step.operands) and waits[step.slots.start]
    )


def _later(
    tape: Tape,
    steps: list[Any],
    waits: bytearray,
    wanted: dict[int, None],
    inputs: int,
    ends: tuple[int, ...],
) -> Tape:
    grown = Columns()
    moved: dict[int, int] = {}
    for slot in [*wanted, *tape.inputs[inputs:]]:
        moved[slot] = grown.input(float("nan"), tape.aval_of(slot))
    places = tuple(moved.values())

    def put(slot: int) -> int:
        if slot not in moved:  # a constant
            value = dict(tape.statics[tape.static[tape.owner(slot)]])["value"]
            moved[slot] = grown.constant(value)
        return moved[slot]

    for step in steps:
        if _moves(step, waits):
            found = grown.append(
                step.primitive,
                [put(slot) for slot in step.operands],
                step.params,
                [tape.aval_of(slot) for slot in step.slots],
            )
            moved.update(zip(step.slots, found, strict=True))
    outputs = tuple(put(slot) for slot in ends)
    return grown.freeze(
        places, outputs, structure=_structure(len(places), len(outputs))
    )


def _structure(inputs: int, outputs: int) -> Structure:
    result = Tree()
    if outputs != 1:
        _, result = flatten([0.0] * outputs, lambda x: isinstance(x, float))
    return Structure(tuple(Tree() for _ in range(inputs)), (), result)
