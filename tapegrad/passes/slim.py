"""Loops without what nobody reads of them: entries, leaves of the carry. Floor 4.

A reverse sweep keeps every carry of a loop, and asks for every adjoint. Here the tape
is looked at from its end: of a loop there remain the outputs that are read, the leaves
of the carry that lead to them or to a guard, and the operands that those take.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.passes.dead import prune, steps_with_guards
from tapegrad.rules.structure import CONST, GUARD, INPUT
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

# For a loop: its new parameters, and the places of the operands and outputs it keeps.
Part = tuple[dict[str, Any], list[int], list[int]]


def slim(tape: Tape) -> Tape:
    """The same function, its scans without what nobody reads.

    Args:
        tape: a tape without call steps.
    """
    if "scan" not in tape.operations:
        return prune(tape)
    parts: dict[int, Part] = {}
    held = {*steps_with_guards(tape)}
    read = bytearray(tape.slot_count)
    for slot in (*tape.outputs, *tape.inputs):
        read[slot] = 1
    for number in range(len(tape) - 1, -1, -1):
        step = tape.step(number)
        mine = read[step.slots.start : step.slots.stop]
        operands: Iterable[int] = step.operands
        if step.primitive.name == "scan" and (any(mine) or number in held):
            part = _part(step.params, [k for k, on in enumerate(mine) if on])
            parts[number] = part
            operands = [step.operands[place] for place in part[1]]
        elif not any(mine) and step.primitive is not GUARD and number not in held:
            continue
        for slot in operands:
            read[slot] = 1
    return _written(tape, parts, read, held)


def _part(params: Mapping[str, Any], live: Sequence[int]) -> Part:
    """A scan of which only some outputs are read; of none, if it has guards."""
    body: Tape = sweeps.flat(params["tape"])
    carry, xs = params["carry"], params["xs"]
    if not live:
        found = _leaves(body, carry, [], [])[0]
        live = found or [0]  # a step with guards alone still owns a slot
        if carry and not found:
            ends = (body.inputs[0], *body.outputs[1:])
            body = dataclasses.replace(body, outputs=ends)
    leaves = [place for place in live if place < carry]
    ys = [place for place in live if place >= carry]
    leaves, inner, taken = _leaves(body, carry, leaves, ys)
    # a leaf of the carry that the body does not read begins somewhere all the same
    kept = sorted({*leaves, *taken})
    grown = dict(params) | {
        "tape": with_inputs(inner, kept),
        "carry": len(leaves),
        "xs": sum(carry <= place < carry + xs for place in kept),
    }
    return grown, kept, [*leaves, *ys]


def _leaves(
    body: Tape, carry: int, leaves: list[int], ys: list[int]
) -> tuple[list[int], Tape, list[int]]:
    """The leaves of the carry that are needed, the body for them, what it reads.

    Args:
        body: of the scan.
        carry: number of leaves.
        leaves: those that are read behind the loop.
        ys: places of the other outputs that are read.
    """
    while True:
        outputs = tuple(body.outputs[place] for place in (*leaves, *ys))
        inner = slim(dataclasses.replace(body, outputs=outputs))
        used = {*inner.operands.tolist(), *inner.outputs}
        taken = [place for place, slot in enumerate(inner.inputs) if slot in used]
        more = {place for place in taken if place < carry} - {*leaves}
        if not more:
            return leaves, inner, taken
        leaves = sorted({*leaves, *more})


def with_inputs(tape: Tape, places: Sequence[int]) -> Tape:
    """A tape that takes some of its inputs; nothing reads the others."""
    if len(places) == len(tape.inputs):
        return tape
    out = Columns()
    moved: dict[int, int] = {}
    inputs = tuple(tape.inputs[place] for place in places)
    for slot in inputs:
        moved[slot] = out.input(0.0, tape.aval_of(slot))
    for step in tape:
        if step.primitive is not INPUT:
            copied(tape, step, out, moved)
    return out.freeze(
        tuple(moved[slot] for slot in inputs), tuple(moved[i] for i in tape.outputs)
    )


def copied(tape: Tape, step: Any, out: Columns, moved: dict[int, int]) -> None:
    """Append a step as it is."""
    if step.primitive is CONST:
        slots = [out.constant(step.params["value"])]
    else:
        avals = [tape.aval_of(slot) for slot in step.slots]
        reads = [moved[slot] for slot in step.operands]
        slots = out.append(step.primitive, reads, step.params, avals)
    moved.update(zip(step.slots, slots, strict=True))


def _written(
    tape: Tape, parts: Mapping[int, Part], read: bytearray, held: Container[int]
) -> Tape:
    """The tape with some scans replaced, and without steps that nobody reads."""
    if all(len(part[2]) == len(tape.step(at).slots) for at, part in parts.items()):
        # every output is read, so nothing leaves but what the bodies do not need
        same = all(
            part[0]["tape"] is tape.step(at).params["tape"]
            for at, part in parts.items()
        )
        if same:
            return prune(tape)
    out = Columns()
    moved: dict[int, int] = {}
    for step in tape:
        if step.primitive is INPUT:
            slot = step.slots.start
            moved[slot] = out.input(0.0, tape.aval_of(slot))
        elif step.number in parts:
            params, operands, outputs = parts[step.number]
            avals = [tape.aval_of(step.slots[place]) for place in outputs]
            reads = [moved[step.operands[place]] for place in operands]
            found = out.append(step.primitive, reads, params, avals)
            pairs = zip(outputs, found, strict=True)
            moved |= {step.slots[place]: slot for place, slot in pairs}
        elif (
            step.primitive is GUARD
            or step.number in held
            or any(read[slot] for slot in step.slots)
        ):
            copied(tape, step, out, moved)
    return out.freeze(
        inputs=tuple(moved[slot] for slot in tape.inputs),
        outputs=tuple(moved[slot] for slot in tape.outputs),
        labels={moved[i]: text for i, text in tape.labels.items() if i in moved},
        structure=tape.structure,
        example=tape.example,
    )
