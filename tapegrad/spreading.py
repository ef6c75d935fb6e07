"""Arrays that a loop adds entries to, as a leaf of the carry for each part. Floor 7.

The adjoint of an array that a body reads entry by entry is such a leaf of the carry:

    carry + scatter(a, place) + scatter(b, place) + ...

Each part is a running sum of its own, with the same additions in the same order. What
another part's step adds to it is 0.0, which changes -0.0 alone, and it does so once and
for all: it is added when the loop begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tapegrad.passes import prune
from tapegrad.passes.slim import copied
from tapegrad.rules import TABLE
from tapegrad.rules.indexing import to_slices
from tapegrad.rules.shapes import Shape
from tapegrad.rules.structure import INPUT
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

# Entries of a leaf that is taken apart.
MOST = 4096


class Part(NamedTuple):
    """Entries of an array made flat: a slice of them, and the shape they have."""

    start: int
    length: int
    step: int
    shape: Shape


# What a turn adds to a leaf of the carry: for each part the slots, in order.
Chain = dict[Part, list[int]]


@dataclass(frozen=True)
class Spread:
    """A loop with parts in the place of some leaves of its carry.

    Args:
        xs: its operands.
        params: of its step.
        leaves: for each leaf of the carry before, its chain, or None.
    """

    xs: list[Any]
    params: dict[str, Any]
    leaves: list[Chain | None]

    def gathered(
        self, m: Any, before: Sequence[Any], found: Sequence[Any]
    ) -> list[Any]:
        """The results as they were: arrays put together."""
        left = iter(found)
        made = []
        for chain, x in zip(self.leaves, before, strict=False):
            if chain is None:
                made.append(next(left))
            else:
                made.append(_whole(m, x, {part: next(left) for part in chain}))
        return [*made, *left]


def spread(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> Spread | None:
    """The same scan with such leaves in parts; None where there is none.

    Args:
        m: the recorder's reading.
        xs: operands.
        params: of the step; its body is flat.
    """
    body: Tape = params["tape"]
    carry = params["carry"]
    uses = _uses(body)
    leaves = [_chain(body, place, uses) for place in range(carry)]
    if not any(leaves):
        return None
    out, moved = Columns(), dict[int, int]()
    inputs: list[int] = []
    sums: dict[tuple[int, Part], int] = {}
    operands: list[Any] = []
    for place, (slot, x) in enumerate(zip(body.inputs, xs, strict=True)):
        chain = leaves[place] if place < carry else None
        if chain is None:
            moved[slot] = out.input(0.0, body.aval_of(slot))
            inputs.append(moved[slot])
            operands.append(x)
            continue
        for part in chain:
            aval = part.shape, body.aval_of(slot)[1]
            sums[place, part] = out.input(0.0, aval)
            inputs.append(sums[place, part])
            first = _taken(m, x, part)
            operands.append(first + m.like(0, first) if len(chain) > 1 else first)
    dropped = set(_dropped(body, leaves))
    for step in body:
        if step.primitive is not INPUT and step.number not in dropped:
            copied(body, step, out, moved)
    outputs: list[int] = []
    for place, slot in enumerate(body.outputs):
        chain = leaves[place] if place < carry else None
        if chain is None:
            outputs.append(moved[slot])
            continue
        for part, adds in chain.items():
            total = sums[place, part]
            for each in adds:
                aval = part.shape, body.aval_of(slot)[1]
                reads = [total, moved[each]]
                (total,) = out.append(TABLE["add"], reads, {}, [aval])
            outputs.append(total)
    tape = prune(out.freeze(tuple(inputs), tuple(outputs)))
    more = len(operands) - len(xs)
    grown = dict(params) | {"tape": tape, "carry": carry + more}
    return Spread(operands, grown, leaves)


def _uses(body: Tape) -> dict[int, int]:
    """How often each slot is read."""
    uses: dict[int, int] = {}
    for slot in (*body.operands.tolist(), *body.outputs):
        uses[slot] = uses.get(slot, 0) + 1
    return uses


def _links(body: Tape, place: int) -> Iterator[tuple[Any, Any]]:
    """The additions to a leaf, the last one first, and what puts each into its place.

    The last pair holds None where they do not lead to the leaf.
    """
    start, now = body.inputs[place], body.outputs[place]
    while now != start:
        step = body.step(body.owner(now))
        if step.primitive.name != "add":
            yield step, None
            return
        puts = [_put(body, slot) for slot in step.operands]
        places = [k for k, put in enumerate(puts) if put is not None]
        if len(places) != 1:
            yield step, None
            return
        yield step, puts[places[0]]
        now = step.operands[1 - places[0]]


def _put(body: Tape, slot: int) -> Any:
    """The scatter that makes a slot, in some shape."""
    step = body.step(body.owner(slot))
    while step.primitive.name == "reshape":
        step = body.step(body.owner(step.operands[0]))
    return step if step.primitive.name == "scatter" else None


def _chain(body: Tape, place: int, uses: Mapping[int, int]) -> Chain | None:
    """What is added to a leaf, if that is all that happens to it."""
    start, made = body.inputs[place], body.outputs[place]
    shape, _ = body.aval_of(start)
    size = math.prod(shape)
    if not shape or not 0 < size <= MOST or made == start or uses.get(start) != 1:
        return None
    found: list[tuple[Part, int]] = []
    for step, put in _links(body, place):
        aval = body.aval_of(step.slots.start)
        if put is None or uses[step.slots.start] != 1 or aval[0] != shape:
            return None
        part = _part(body, put)
        if part is None:
            return None
        found.append((part, put.operands[0]))
    chain: Chain = {}
    for part, slot in reversed(found):
        chain.setdefault(part, []).append(slot)
    taken = np.zeros(size, np.int64)
    for part in chain:
        taken[_places(part)] += 1
    return chain if taken.max() == 1 else None


def _part(body: Tape, put: Any) -> Part | None:
    """Where a scatter puts its operand; None where that is no slice."""
    shape, _ = body.aval_of(put.operands[0])
    whole = put.params["shape"]
    if math.prod(whole) > MOST:
        return None
    flat = np.arange(math.prod(whole)).reshape(whole)[to_slices(put.params["key"])]
    steps = np.unique(np.diff(flat.ravel()))
    if flat.shape != shape or not flat.size or len(steps) > 1 or 0 in steps:
        return None
    return Part(
        int(flat.ravel()[0]), flat.size, int(steps[0]) if len(steps) else 1, shape
    )


def _places(part: Part) -> list[int]:
    """The entries of a part."""
    return [part.start + k * part.step for k in range(part.length)]


def _dropped(body: Tape, leaves: Sequence[Chain | None]) -> Iterator[int]:
    """Numbers of the additions that are made part by part now."""
    for place, chain in enumerate(leaves):
        if chain is not None:
            for step, _ in _links(body, place):
                yield step.number


# -- arrays and parts --------------------------------------------------------------


def _key(part: Part) -> Any:
    """The key of a part in the array made flat."""
    return ((part.start, part.length, part.step) if part.shape else part.start,)


def _taken(m: Any, x: Any, part: Part) -> Any:
    """A part of an array."""
    found = m.index(m.reshape(x, shape=(math.prod(m.shape(x)),)), key=_key(part))
    return m.reshape(found, shape=part.shape) if len(part.shape) > 1 else found


def _whole(m: Any, x: Any, parts: Mapping[Part, Any]) -> Any:
    """An array with some parts replaced; 0.0 is added to the other entries."""
    shape = m.shape(x)
    size = math.prod(shape)
    flat = [m.reshape(y, shape=(part.length,)) for part, y in parts.items()]
    if sum(part.length for part in parts) == size:
        order = sorted(range(len(flat)), key=lambda k: list(parts)[k].start)
        if all(part.step == 1 for part in parts):
            joined = m.concatenate(*(flat[k] for k in order), axis=0)
            return m.reshape(joined, shape=shape)
    total = m.reshape(x, shape=(size,))
    total = total + m.like(0, total)
    for part, y in zip(parts, flat, strict=True):
        key = ((part.start, part.length, part.step),)
        total = m.index_set(total, y, key=key)
    return m.reshape(total, shape=shape)
