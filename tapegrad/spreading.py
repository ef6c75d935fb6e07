"""Arrays that a loop adds entries to, as a number for each entry. Floor 7.

The adjoint of an array that a body reads entry by entry is such a leaf of the carry:

    carry + scatter(a, place) + scatter(b, place) + ...

Each entry is a running sum of its own, with the same additions in the same order. What
another entry's step adds to it is 0.0, which changes -0.0 alone, and it does so once
and for all: it is added when the loop begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.passes import prune
from tapegrad.passes.slim import copied
from tapegrad.rules import TABLE
from tapegrad.rules.structure import INPUT
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

# Entries of a leaf that become numbers.
MOST = 1024

Place = tuple[int, ...]


@dataclass(frozen=True)
class Chain:
    """What a turn adds to a leaf of the carry.

    Args:
        adds: for each entry the slots that are added to it, in order.
        mixed: whether each of them is left alone by some step, which adds 0.0 to it.
    """

    adds: dict[Place, list[int]]
    mixed: bool


@dataclass(frozen=True)
class Spread:
    """A loop with numbers in the place of some leaves of its carry.

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
                continue
            entries = {place: next(left) for place in chain.adds}
            made.append(_whole(m, x, entries))
        return [*made, *left]


def spread(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> Spread | None:
    """The same scan with such leaves as numbers; None where there is none.

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
    entries: dict[tuple[int, Place], int] = {}
    operands: list[Any] = []
    for place, (slot, x) in enumerate(zip(body.inputs, xs, strict=True)):
        chain = leaves[place] if place < carry else None
        if chain is None:
            moved[slot] = out.input(0.0, body.aval_of(slot))
            inputs.append(moved[slot])
            operands.append(x)
            continue
        for at in chain.adds:
            entries[place, at] = out.input(0.0, ((), body.aval_of(slot)[1]))
            inputs.append(entries[place, at])
            first = m.index(x, key=at)
            operands.append(first + m.like(0, first) if chain.mixed else first)
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
        for at, adds in chain.adds.items():
            total = entries[place, at]
            for each in adds:
                aval = out.avals.get(total, ((), "float64"))
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
    """The additions to a leaf, the last one first, and the scatter of each.

    The last pair holds None where they do not lead to the leaf.
    """
    start, now = body.inputs[place], body.outputs[place]
    while now != start:
        step = body.step(body.owner(now))
        if step.primitive.name != "add":
            yield step, None
            return
        made = [body.step(body.owner(slot)) for slot in step.operands]
        puts = [k for k, each in enumerate(made) if each.primitive.name == "scatter"]
        if len(puts) != 1:
            yield step, None
            return
        yield step, made[puts[0]]
        now = step.operands[1 - puts[0]]


def _chain(body: Tape, place: int, uses: Mapping[int, int]) -> Chain | None:
    """What is added to a leaf, if that is all that happens to it."""
    start, made = body.inputs[place], body.outputs[place]
    shape, _ = body.aval_of(start)
    size = 1
    for extent in shape:
        size *= extent
    if not shape or size > MOST or made == start or uses.get(start) != 1:
        return None
    found: list[tuple[Place, int]] = []
    for step, put in _links(body, place):
        if put is None or uses[step.slots.start] != 1:
            return None
        key = put.params["key"]
        if len(key) != len(shape) or not all(type(entry) is int for entry in key):
            return None
        at = tuple(entry % extent for entry, extent in zip(key, shape, strict=True))
        found.append((at, put.operands[0]))
    adds: dict[Place, list[int]] = {}
    for at, slot in reversed(found):
        adds.setdefault(at, []).append(slot)
    return Chain(adds, mixed=len(adds) > 1)


def _dropped(body: Tape, leaves: Sequence[Chain | None]) -> Iterator[int]:
    """Numbers of the additions that are made entry by entry now."""
    for place, chain in enumerate(leaves):
        if chain is not None:
            for step, _ in _links(body, place):
                yield step.number


def _whole(m: Any, x: Any, entries: Mapping[Place, Any]) -> Any:
    """An array with some entries replaced; 0.0 is added to the others."""
    shape = m.shape(x)
    size = 1
    for extent in shape:
        size *= extent
    if len(entries) == size:
        parts = [m.reshape(entries[at], shape=(1,)) for at in sorted(entries)]
        joined = m.concatenate(*parts, axis=0) if len(parts) > 1 else parts[0]
        return m.reshape(joined, shape=shape)
    total = x + m.like(0, x)
    for at, entry in entries.items():
        total = m.index_set(total, entry, key=at)
    return total
