"""The steps of a tape as columns to look for loops in. Floor 10.

Inputs and constants are no work: they are leaves, whose place on the tape says nothing
of a loop (equal constants stand on it once). Of each step of work the *kind* is kept,
a number that is equal for steps that may be the same step of two iterations, and what
may differ between them: its operands, and the place of the entry that it reads from an
array (``x[3, 4]``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.tape.tape import Tape

Column = npt.NDArray[np.int64]

LEAVES = ("const", "input")
# Bits of a kind: row, parameters, number of operands, shapes of the slots.
ROW, PARAMS, COUNT, AVAL = 10, 28, 12, 12


@dataclass(frozen=True)
class Work:
    """The steps of work of a tape.

    Args:
        tape: the flat tape.
        steps: their numbers on the tape.
        kind: of each, what it has in common with the same step of another iteration.
        moving: of each, how many integers name the entry that it reads; 0 for steps
            that read no entry.
        place: that entry's place, counted along the axes that are named.
        offsets, operands: the slots that each reads, as on the tape.
        owner: of each slot of the tape, the step of work that owns it, or -1.
        within: of each slot, which of its step's slots it is.
        const: of each slot, whether it is a constant.
    """

    tape: Tape
    steps: Column
    kind: Column
    moving: Column
    place: Column
    offsets: Column
    operands: Column
    owner: Column
    within: Column
    const: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.steps)


def work_of(tape: Tape) -> Work:
    """The columns of a flat tape.

    Args:
        tape: without calls of sub-tapes; steps with labels are like no other.
    """
    owns = np.diff(tape.first).astype(np.int64)
    leaf = np.isin(np.array(tape.operations), LEAVES)[tape.opcode]
    steps = np.flatnonzero(~leaf)
    number = np.full(len(tape), -1, np.int64)
    number[steps] = np.arange(len(steps))
    maker = np.repeat(np.arange(len(tape)), owns)
    const = np.array([name == "const" for name in tape.operations] or [False])
    counts = np.diff(tape.offsets).astype(np.int64)
    kept = np.repeat(~leaf, counts)
    offsets = np.zeros(len(steps) + 1, np.int64)
    np.cumsum(counts[steps], out=offsets[1:])
    rank, place, params = _moving(tape, steps)
    first = np.minimum(tape.first[:-1][steps], max(tape.slot_count - 1, 0))
    shapes = np.where(owns[steps] > 0, tape.aval[first], 0).astype(np.int64)
    kind = _packed(tape, steps, params, counts[steps], shapes)
    if tape.labels:
        named = number[maker[list(tape.labels)]]
        named = named[named >= 0]
        kind[named] = -1 - named
    return Work(
        tape=tape,
        steps=steps,
        kind=kind,
        moving=rank,
        place=place,
        offsets=offsets,
        operands=tape.operands[kept].astype(np.int64),
        owner=number[maker],
        within=np.arange(tape.slot_count) - tape.first[:-1].astype(np.int64)[maker],
        const=const[tape.opcode[maker]],
    )


def _packed(
    tape: Tape, steps: Column, params: Column, counts: Column, shapes: Column
) -> Column:
    """Kinds, as one number a step; what does not fit is like no other step."""
    parts = (tape.opcode[steps].astype(np.int64), params, counts, shapes)
    kind = np.zeros(len(steps), np.int64)
    fits = np.ones(len(steps), bool)
    for part, bits in zip(parts, (ROW, PARAMS, COUNT, AVAL), strict=True):
        kind = (kind << bits) | part
        fits &= part < 1 << bits
    return np.where(fits, kind, -1 - np.arange(len(steps)))


def _moving(tape: Tape, steps: Column) -> tuple[Column, Column, Column]:
    """Of each step: integers in its key, the entry's place, number of its parameters.

    Steps that read one entry, each another one, have the parameters of the first such
    step: the number of integers and the shape of the array tell the rest.
    """
    static = tape.static[steps].astype(np.int64)
    rank, place = np.zeros(len(steps), np.int64), np.zeros(len(steps), np.int64)
    if "index" not in tape.operations:
        return rank, place, static
    code = tape.operations.index("index")
    mine = np.flatnonzero(tape.opcode[steps] == code)
    arrays = tape.aval[tape.operands[tape.offsets[steps[mine]]]].astype(np.int64)
    pairs = static[mine] * len(tape.avals) + arrays
    known, which = np.unique(pairs, return_inverse=True)
    ranks = np.zeros(len(known), np.int64)
    places, classes = np.zeros(len(known), np.int64), np.zeros(len(known), np.int64)
    alike: dict[tuple[int, int], int] = {}
    for at, pair in enumerate(known.tolist()):
        number, aval = divmod(pair, len(tape.avals))
        key = dict(tape.statics[number])["key"]
        classes[at] = number
        if key and all(type(part) is int for part in key):
            ranks[at] = len(key)
            places[at] = _flat(key, tape.avals[aval][0])
            classes[at] = alike.setdefault((len(key), aval), number)
    rank[mine], place[mine], static[mine] = ranks[which], places[which], classes[which]
    return rank, place, static


def _flat(key: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The place of an entry, counted along the axes that its key names."""
    found = 0
    for part, size in zip(key, shape, strict=False):
        found = found * size + (part + size if part < 0 else part)
    return found


def signature(work: Work) -> npt.NDArray[np.uint64]:
    """Kinds mixed with how far back near operands stand, to tell repeats by.

    It decides only where loops are looked for: whether steps repeat is read off the
    columns themselves.
    """
    entries = np.repeat(np.arange(len(work)), np.diff(work.offsets))
    back = entries - work.owner[work.operands]
    near = np.where((work.owner[work.operands] >= 0) & (back <= NEAR), back, 0)
    order = np.arange(len(entries)) - work.offsets[entries]
    weight = (near * (2 * order + 3)).astype(np.uint64)
    total = np.bincount(entries, weights=weight, minlength=len(work))
    return work.kind.view(np.uint64) * MIX + total.astype(np.uint64)


NEAR = 24
MIX = np.uint64(0x9E3779B97F4A7C15)


def params_of(tape: Tape, step: int) -> dict[str, Any]:
    """The static parameters of a step."""
    return dict(tape.statics[tape.static[step]])
