"""Sums taken out of loops, where the order of additions is free. Floor 10.

    s' = s + t,  n times        ->        s + sum(t_0, ..., t_{n-1})

A loop adds in the recorded order, one number after the other, and nothing is quicker
than the latency of an addition. Who allows reassociation by name gets a sum of an
array, which is made in vectors; its last bits are others.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from tapegrad.passes import prune
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Step, Tape


@dataclass(frozen=True)
class Sum:
    """A carry that is nothing but a sum.

    Args:
        place: of the carry.
        terms: slots of the body that are added, and whether they are subtracted.
    """

    place: int
    terms: tuple[tuple[int, bool], ...]


def sums(body: Tape, carries: int, kept: frozenset[int]) -> list[Sum]:
    """The carries of a body that only grow by terms, and are read by nothing else.

    Args:
        body: one iteration.
        carries: number of carries.
        kept: places of carries that something else is asked of.
    """
    uses = np.bincount(body.operands, minlength=body.slot_count)
    np.add.at(uses, list(body.outputs), 1)
    readers = {slot: step for step in body for slot in step.operands}
    found = []
    for place in range(carries):
        terms = _terms(body, place, uses, readers) if place not in kept else None
        if terms:
            found.append(Sum(place, tuple(terms)))
    return found


def _terms(
    body: Tape, place: int, uses: np.ndarray, readers: dict[int, Step]
) -> list[tuple[int, bool]] | None:
    """What is added from a carry's input to its output; None for another path."""
    slot, end = body.inputs[place], body.outputs[place]
    terms: list[tuple[int, bool]] = []
    if body.aval_of(slot)[1] not in FLOATING:
        return None
    while slot != end:
        step = readers.get(slot)
        if uses[slot] != 1 or step is None or step.primitive.name not in {"add", "sub"}:
            return None
        one, other = step.operands
        minus = step.primitive.name == "sub"
        if minus and other == slot:
            return None
        terms.append((other if one == slot else one, minus))
        slot = step.slots.start
        if body.aval_of(terms[-1][0]) != body.aval_of(slot):
            return None  # a number that is added to each entry of an array
    return terms if uses[end] == 1 else None


def without(body: Tape, carries: int, taken: list[Sum]) -> Tape:
    """The body without some carries, which gives their terms as further outputs."""
    gone = {one.place for one in taken}
    stay = [place for place in range(carries) if place not in gone]
    inputs = [slot for k, slot in enumerate(body.inputs) if k not in gone]
    terms = [slot for one in taken for slot, _ in one.terms]
    outputs = [body.outputs[k] for k in stay]
    outputs += [*body.outputs[carries:], *terms]
    return prune(
        dataclasses.replace(body, inputs=tuple(inputs), outputs=tuple(outputs))
    )
