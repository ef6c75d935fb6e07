"""Loops that were found in steps, as their bodies: what a reader sees of them. Floor 9.

    v5        loop      49 times, i = 0 .. 48
      a0      carried   v4, then a3
      a1      [i + 1]   v0
      a2      *         a1, a1
      a3      +         a0, a2
    v5        last      a3

Slots of a body are a0, a1, ...; those of a loop inside of it b0, b1, ... What a loop
reads of an array is written with the number of the iteration, i; slots of around have
their names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapegrad.show.text import index_text
from tapegrad.tape.tape import Step, Tape
from tapegrad.unrolling import found

# Letters of slots, and of the numbers of iterations, by depth.
LETTERS, NUMBERS = "abcdefgh", "ijklmnop"
# Steps of a body that are shown at its head and at its tail.
HEAD, TAIL = 40, 10

Names = Callable[[int], str]


@dataclass(frozen=True)
class Line:
    """One line of a loop.

    Args:
        name: of the slot, or slots; "-" for none.
        tape: which it is of.
        step: of the tape; None for lines that stand for no step.
        operation: what is written for an input, or an end.
        operands: the same.
        names: names of the tape's slots.
        depth: how far it stands in.
        slot: the one that shape and dtype are of; None for none.
        reads: names of the slots that it reads.
        back: of a carry, the name of what it is in the next iteration.
    """

    name: str
    tape: Tape
    step: Step | None
    operation: str
    operands: str
    names: Names
    depth: int
    slot: int | None = None
    reads: tuple[str, ...] = ()
    back: str = ""


def trips_text(params: Mapping[str, Any], depth: int = 0) -> str:
    """``49 times, i = 0 .. 48``."""
    count, number = params["length"], NUMBERS[depth % len(NUMBERS)]
    low, high = (count - 1, 0) if params["reverse"] else (0, count - 1)
    return f"{count:,} times, {number} = {low:,} .. {high:,}"


def read_text(tape: Tape, slot: int, names: Names, depth: int) -> tuple[str, str]:
    """What an iteration reads of a stack or an array: its name, and ``[i + 1]``."""
    number = NUMBERS[depth % len(NUMBERS)]
    step = tape.step(tape.owner(slot))
    if step.primitive.name != "window":
        return names(slot), f"[{number}]"
    (x,) = step.operands
    where = {k: v for k, v in step.params.items() if k != "slots"}
    return names(x), index_text(tape.aval_of(x)[0], number, **where)


def lines(
    tape: Tape, step: Step, names: Names, depth: int = 0, *, apart: bool = False
) -> Iterator[Line]:
    """A loop and its body, line by line.

    Args:
        tape: which the step is of.
        step: the loop.
        names: names of the tape's slots.
        depth: of the loop.
        apart: give slots of the body names that no other loop's have.
    """
    params, inner = step.params, step.params["tape"]
    whole = names(step.slots[0]) if step.slots else "-"
    if len(step.slots) > 1:
        whole += f"..{names(step.slots[-1])}"
    yield Line(whole, tape, step, "", trips_text(params, depth), names, depth)
    told = body_names(inner, step, names, depth, apart=apart)
    mine = [*body(tape, step, names, depth, apart=apart)]
    if not apart and len(mine) > HEAD + TAIL:
        left = len(mine) - HEAD - TAIL
        note = Line("", inner, None, "...", f"{left:,} lines", told, depth + 1)
        mine = [*mine[:HEAD], note, *mine[-TAIL:]]
    yield from mine
    for place, (slot, out) in enumerate(zip(step.slots, inner.outputs, strict=True)):
        word = "last" if place < params["carry"] else "stack"
        end = told(out)
        yield Line(names(slot), tape, None, word, end, names, depth, slot, (end,))


def body_names(
    inner: Tape, step: Step, names: Names, depth: int, *, apart: bool
) -> Names:
    """Names of a body's slots: those of around for what stays the same."""
    behind = step.params["carry"] + step.params["xs"]
    fixed = dict(zip(inner.inputs[behind:], step.operands[behind:], strict=True))
    kept = [slot for slot in range(inner.slot_count) if slot not in fixed]
    letter = LETTERS[depth % len(LETTERS)]
    if apart and step.slots:
        letter = f"{names(step.slots[0])}.{letter}"
    own = {slot: f"{letter}{number}" for number, slot in enumerate(kept)}
    return lambda slot: names(fixed[slot]) if slot in fixed else own[slot]


def body(
    tape: Tape, step: Step, names: Names, depth: int, *, apart: bool
) -> Iterator[Line]:
    """The lines of a loop's body; inputs stand where the body has them."""
    params, inner = step.params, step.params["tape"]
    carry, behind = params["carry"], params["carry"] + params["xs"]
    told = body_names(inner, step, names, depth, apart=apart)
    place = {slot: k for k, slot in enumerate(inner.inputs)}
    read = {*inner.operands.tolist(), *inner.outputs}
    for one in inner:
        if found(one):
            yield from lines(inner, one, told, depth + 1, apart=apart)
            continue
        slot = one.slots.start if one.slots else None
        name = "-" if slot is None else told(slot)
        if len(one.slots) > 1:
            name += f"..{told(one.slots[-1])}"
        if one.primitive.name != "input":
            reads = tuple(told(operand) for operand in one.operands)
            yield Line(name, inner, one, "", "", told, depth + 1, slot, reads)
            continue
        k = place[one.slots.start]
        if k >= behind or slot not in read:
            continue
        back = ""
        if k < carry:
            source, operation = names(step.operands[k]), "carried"
            back = told(inner.outputs[k])
        else:
            source, operation = read_text(tape, step.operands[k], names, depth)
        text = f"{source}, then {back}" if back else source
        yield Line(
            name, inner, None, operation, text, told, depth + 1, slot, (source,), back
        )
