"""The steps of a tape as columns to look for loops in. Floor 10.

Inputs and constants are no work: they are leaves, whose place on the tape says nothing
of a loop (equal constants stand on it once). Of each step of work the *kind* is kept,
a number that is equal for steps that may be the same step of two iterations, and what
may differ between them: its operands, and the place of the entry that it reads from an
array (``x[3, 4]``).

Tapes are long. So columns are as narrow as they may be, and made block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.tape.tape import BOOLEAN, Tape

# Whole numbers: of any width.
Column = npt.NDArray[np.integer[Any]]

LEAVES = ("const", "input")
# Bits of what makes a kind: row, parameters, number of operands, shapes of the slots.
ROW, PARAMS, COUNT, AVAL = 10, 28, 12, 12
# Steps that are looked at at a time.
BLOCK = 1 << 18
MIX = np.uint64(0x9E3779B97F4A7C15)
# Operands from further back do not count in what windows are told apart by.
NEAR = 24


@dataclass(frozen=True)
class Work:
    """The steps of work of a tape.

    Args:
        tape: the flat tape; leaves read nothing, so its operands are those of the work.
        steps: the steps' numbers on the tape.
        kind: of each, what it has in common with the same step of another iteration.
        ranks: for each kind, how many integers name the entry that such a step reads;
            0 for steps that read no entry.
        place: of each step, that entry's place, along the axes that are named; empty
            where no step reads an entry.
        offsets: where each step's operands begin.
        owner: of each slot of the tape, the step of work that owns it, or -1.
        const: of each slot, whether it is a constant.
    """

    tape: Tape
    steps: Column
    kind: Column
    ranks: Column
    place: Column
    offsets: Column
    owner: Column
    const: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def operands(self) -> Column:
        """The slots that the steps read, all in one column."""
        return self.tape.operands

    def ranks_of(self, part: slice) -> Column:
        """How many integers name the entry that steps of work read; 0 for none."""
        known = np.append(self.ranks, 0)  # steps like no other have kinds above all
        return known[np.minimum(self.kind[part], len(self.ranks))]

    def rank(self, step: int) -> int:
        """The same of one step."""
        return int(self.ranks_of(slice(step, step + 1))[0])

    def within(self, slots: Column) -> Column:
        """Which of its step's slots each slot is, of those that steps of work own."""
        return slots - self.tape.first[self.steps[self.owner[slots]]]


def blocks(count: int) -> Iterator[slice]:
    """Ranges of steps, one after the other."""
    for low in range(0, count, BLOCK):
        yield slice(low, min(low + BLOCK, count))


def work_of(tape: Tape) -> Work:
    """The columns of a flat tape.

    Args:
        tape: without calls of sub-tapes; steps with labels are like no other.
    """
    leaf = np.isin(np.array(tape.operations), LEAVES)
    const = np.array([name == "const" for name in tape.operations] or [False])
    steps = np.flatnonzero(~leaf[tape.opcode]).astype(np.int32)
    owner = np.full(tape.slot_count, -1, np.int32)
    fixed = np.zeros(tape.slot_count, bool)
    for part in blocks(len(tape)):
        owns = np.diff(tape.first[part.start : part.stop + 1])
        mine = slice(int(tape.first[part.start]), int(tape.first[part.stop]))
        number = np.searchsorted(steps, np.arange(part.start, part.stop))
        number[leaf[tape.opcode[part]]] = -1
        owner[mine] = np.repeat(number, owns)
        fixed[mine] = np.repeat(const[tape.opcode[part]], owns)
    entries = _Entries(tape)
    kinds = _Kinds(tape, entries)
    kind: Column = np.zeros(len(steps), np.int32)
    place = np.zeros(len(steps) if entries.any else 0, np.int64)
    for part in blocks(len(steps)):
        kind[part] = kinds.of(steps[part])
        if entries.any:
            place[part] = entries.places(steps[part])
    kind = _apart(kind, kinds.single, tape, owner)  # the wide one is not kept
    offsets: Column = np.full(len(steps) + 1, tape.offsets[-1], np.int32)
    np.take(tape.offsets, steps, out=offsets[:-1], mode="clip")  # without a copy
    return Work(
        tape=tape,
        steps=steps,
        kind=kind,
        ranks=kinds.ranks(),
        place=place,
        offsets=offsets,
        owner=owner,
        const=fixed,
    )


def _apart(kind: Column, single: int, tape: Tape, owner: Column) -> Column:
    """Kinds in which steps with labels, and those without a kind, are like no other."""
    named = owner[list(tape.labels)] if tape.labels else np.zeros(0, np.int32)
    alone = np.union1d(named[named >= 0], np.flatnonzero(kind == single))
    kind[alone] = single + np.arange(len(alone))
    few = not len(alone) and len(kind) and int(kind.max()) < 1 << 16
    return kind.astype(np.uint16) if few else kind


class _Entries:
    """The steps that read one entry of an array, each perhaps another one."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.code = -1
        if "index" in tape.operations:
            self.code = tape.operations.index("index")
        # by parameters and array: integers in the key, the entry's place
        self.known: dict[int, tuple[int, int]] = {}
        self.any = self.code >= 0

    def _pairs(self, steps: Column) -> tuple[Column, Column]:
        tape = self.tape
        mine = np.flatnonzero(tape.opcode[steps] == self.code)
        arrays = tape.aval[tape.operands[tape.offsets[steps[mine]]]].astype(np.int64)
        return mine, tape.static[steps[mine]].astype(np.int64) * 65536 + arrays

    def _told(self, pair: int) -> tuple[int, int]:
        found = self.known.get(pair)
        if found is None:
            number, aval = divmod(pair, 65536)
            key = dict(self.tape.statics[number])["key"]
            found = 0, 0
            if key and all(type(part) is int for part in key):
                found = len(key), _flat(key, self.tape.avals[aval][0])
            self.known[pair] = found
        return found

    def _each(self, steps: Column) -> tuple[Column, npt.NDArray[np.int64]]:
        mine, pairs = self._pairs(steps)
        distinct, which = np.unique(pairs, return_inverse=True)
        told = [self._told(pair) for pair in distinct.tolist()]
        return mine, np.array(told or [(0, 0)], np.int64)[which]

    def places(self, steps: Column) -> Column:
        """The entry that each step reads."""
        found = np.zeros(len(steps), np.int64)
        mine, each = self._each(steps)
        found[mine] = each[:, 1] if len(mine) else 0
        return found

    def params(self, steps: Column) -> npt.NDArray[np.int64]:
        """Numbers of parameters, the same for all reads of as many integers."""
        found = self.tape.static[steps].astype(np.int64)
        if self.any:
            mine, each = self._each(steps)
            if len(mine):
                rank = each[:, 0]
                moving = (1 << PARAMS) - 1 - rank
                found[mine] = np.where(rank > 0, moving, found[mine])
        return found


class _Guards:
    """The guards on truth values: of one place in the source, whatever they saw."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.code = -1
        if "guard" in tape.operations and BOOLEAN in tape.avals:
            self.code = tape.operations.index("guard")
            self.boolean = tape.avals.index(BOOLEAN)
        # of each place in the source the first parameters
        self.known: dict[tuple[Any, ...], int] = {}

    def alike(self, steps: Column, params: npt.NDArray[np.int64]) -> None:
        """Put one number in place of those of guards of one place."""
        tape = self.tape
        if self.code < 0:
            return
        mine = np.flatnonzero(tape.opcode[steps] == self.code)
        on = tape.aval[tape.operands[tape.offsets[steps[mine]]]]
        mine = mine[on == self.boolean]
        distinct, which = np.unique(tape.static[steps[mine]], return_inverse=True)
        numbers = [self._number(static) for static in distinct.tolist()]
        params[mine] = np.array(numbers, np.int64)[which]

    def _number(self, static: int) -> int:
        guard = dict(self.tape.statics[static])["guard"]
        if type(guard.outcome) is not bool:
            return static
        return self.known.setdefault((guard.file, guard.line, guard.varies), static)


class _Kinds:
    """Kinds as small numbers, in the order in which they are met."""

    def __init__(self, tape: Tape, entries: _Entries) -> None:
        self.tape, self.entries, self.guards = tape, entries, _Guards(tape)
        self.known = np.zeros(0, np.int64)
        self.numbers = np.zeros(0, np.int32)
        # what does not fit has this number, above all others
        self.single = 1 << 30

    def of(self, steps: Column) -> Column:
        """The kinds of steps."""
        packed = self._packed(steps)
        found = np.searchsorted(self.known, packed)
        new = np.ones(len(packed), bool)
        inside = found < len(self.known)
        new[inside] = self.known[found[inside]] != packed[inside]
        if new.any():
            fresh = np.unique(packed[new])
            first = len(self.known)
            self.known = np.concatenate([self.known, fresh])
            numbers = np.arange(first, len(self.known), dtype=np.int32)
            self.numbers = np.concatenate([self.numbers, numbers])
            order = np.argsort(self.known, kind="stable")
            self.known, self.numbers = self.known[order], self.numbers[order]
            found = np.searchsorted(self.known, packed)
        return np.where(packed < 0, self.single, self.numbers[found])

    def _packed(self, steps: Column) -> npt.NDArray[np.int64]:
        """What makes a kind in one number; -1 for what does not fit."""
        tape = self.tape
        first = np.minimum(tape.first[:-1][steps], max(tape.slot_count - 1, 0))
        owns = tape.first[1:][steps] > tape.first[:-1][steps]
        counts = tape.offsets[1:][steps] - tape.offsets[:-1][steps]
        shapes = np.where(owns, tape.aval[first], 0)
        params = self.entries.params(steps)
        self.guards.alike(steps, params)
        parts: list[Column] = [tape.opcode[steps], params, counts, shapes]
        packed = np.zeros(len(steps), np.int64)
        fits = np.ones(len(steps), bool)
        for part, bits in zip(parts, (ROW, PARAMS, COUNT, AVAL), strict=True):
            packed = (packed << bits) | part
            fits &= part < 1 << bits
        return np.where(fits, packed, -1)

    def ranks(self) -> Column:
        """For each kind the integers in the key of what it reads."""
        found = np.zeros(len(self.known), np.int32)
        if not self.entries.any:
            return found
        code = self.known >> (PARAMS + COUNT + AVAL)
        params = (self.known >> (COUNT + AVAL)) & ((1 << PARAMS) - 1)
        rank = (1 << PARAMS) - 1 - params
        mine = (code == self.entries.code) & (rank <= 64)
        found[self.numbers[mine]] = rank[mine]
        return found


def _flat(key: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """The place of an entry, counted along the axes that its key names."""
    found = 0
    for part, size in zip(key, shape, strict=False):
        found = found * size + (part + size if part < 0 else part)
    return found


def signature(work: Work, part: slice) -> npt.NDArray[np.uint64]:
    """Kinds mixed with how far back near operands stand, to tell repeats by.

    It decides only where loops are looked for: whether steps repeat is read off the
    columns themselves.
    """
    low, high = work.offsets[part.start], work.offsets[part.stop]
    counts = np.diff(work.offsets[part.start : part.stop + 1])
    entries = np.repeat(np.arange(part.start, part.stop), counts)
    owners = work.owner[work.operands[low:high]]
    back = entries - owners
    near = np.where((owners >= 0) & (back <= NEAR), back, 0)
    order = np.arange(low, high) - work.offsets[entries]
    total = np.bincount(
        entries - part.start, weights=near * (2 * order + 3), minlength=len(counts)
    )
    return work.kind[part].astype(np.uint64) * MIX + total.astype(np.uint64)


def params_of(tape: Tape, step: int) -> dict[str, Any]:
    """The static parameters of a step."""
    return dict(tape.statics[tape.static[step]])
