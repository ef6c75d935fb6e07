"""Columns of a tape as stretches: as they are, or as often as a loop goes. Floor 10.

iteration k of a body with s slots of its own:   slot j  ->  first + k*s + j
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.rolling.stretches import Ids, Stretch, Stretches
from tapegrad.rules.shapes import Shape
from tapegrad.tape.tape import Step, Tape

LEAVES = ("const", "input")


@dataclass(frozen=True)
class Entries:
    """Entries of an array that are read one by one, an iteration each.

    Args:
        source: the name of the array.
        shape: of the array.
        axes: how many axes an entry is named by.
        places: of the entries, counted along these axes; those of an iteration are one
            entry, or an array of them.
    """

    source: int
    shape: Shape
    axes: int
    places: Ids

    def __getitem__(self, rows: Any) -> Entries:
        return self.moved(self.places[rows])

    def moved(self, places: Ids) -> Entries:
        """Entries at other places."""
        return dataclasses.replace(self, places=places)

    def by_key(self) -> list[tuple[Any, ...]]:
        """The keys of the entries, one an iteration."""
        lead, rest = self.shape[: self.axes], self.shape[self.axes :]
        whole = tuple((0, size, 1) for size in rest)
        parts = np.unravel_index(self.places, lead)
        return [
            (*key, *whole) for key in zip(*map(np.ndarray.tolist, parts), strict=True)
        ]


class Columns:
    """The steps of work of a flat tape, in the words of the new one.

    Attributes:
        steps: their numbers on the tape.
        owners: of each slot of work, the place of its step among them.
        slots: the slots of work.
    """

    def __init__(self, tape: Tape, out: Stretches) -> None:
        self.tape, self.out = tape, out
        leaf = np.isin(tape.operations, LEAVES)[tape.opcode]
        self.steps = np.flatnonzero(~leaf)
        self.names = np.array([out.name(name) for name in tape.operations], np.int64)
        self.avals = np.array([out.aval(aval) for aval in tape.avals], np.int64)
        self.counts = np.diff(tape.offsets)[self.steps].astype(np.int64)
        self.owns = np.diff(tape.first)[self.steps].astype(np.int64)
        self.operands = tape.operands[np.repeat(~leaf, np.diff(tape.offsets))]
        self.offsets = np.concatenate([[0], np.cumsum(self.counts)])
        self.slots = np.flatnonzero(np.repeat(~leaf, np.diff(tape.first)))
        self.owners = np.repeat(np.arange(len(self.steps)), self.owns)
        self.begins = np.concatenate([[0], np.cumsum(self.owns)])
        self._statics = np.full(len(tape.statics), -1)

    def constants(self) -> Iterator[tuple[int, Any]]:
        """Slots and values of the constants."""
        tape = self.tape
        if "const" in tape.operations:
            code = tape.operations.index("const")
            for step in np.flatnonzero(tape.opcode == code).tolist():
                yield int(tape.first[step]), tape.statics[tape.static[step]][0][1]

    def stretch(self, low: int, high: int) -> Stretch:
        """Steps of work from one to before another; operands are slots of the tape."""
        tape, steps = self.tape, self.steps[low:high]
        static = tape.static[steps]
        for index in np.unique(static).tolist():
            if self._statics[index] < 0:
                self._statics[index] = self.out.static(dict(tape.statics[index]))
        begin, end = self.begins[low], self.begins[high]
        return Stretch(
            self.names[tape.opcode[steps]],
            self.counts[low:high],
            self.operands[self.offsets[low] : self.offsets[high]].astype(np.int64),
            self._statics[static],
            self.owns[low:high],
            self.avals[tape.aval[self.slots[begin:end]]],
        )


class Body:
    """The body of a loop, to be written as often as it goes round.

    Args:
        flat: one without loops of its own.
        out: what it is written to.
        early: whether an entry is read where the body's input stands; else it is just
            before the first step that needs it.
    """

    def __init__(self, flat: Tape, out: Stretches, *, early: bool) -> None:
        self.flat, self.out, self.early = flat, out, early
        self.columns = Columns(flat, out)
        self.whole = self.columns.stretch(0, len(self.columns.steps))

    def written(
        self,
        starts: Sequence[int],
        moving: Sequence[Ids | Entries],
        fixed: Sequence[int],
        trips: int,
    ) -> tuple[list[int], list[Ids]]:
        """Write all iterations.

        Args:
            starts: names of the carries before the first one.
            moving: what each iteration reads.
            fixed: names of what all of them read.
            trips: how many there are.

        Returns:
            Names of the last carries, and of the slots of each output by iteration.
        """
        return _Turns(self, starts, moving, fixed, trips).write()

    def readers(self, slot: int) -> Ids:
        """The steps of work that read a slot."""
        at = np.flatnonzero(self.whole.operands == slot)
        return np.searchsorted(self.columns.offsets, at, "right") - 1

    def apart(self, place: int) -> bool:
        """Whether an input is an array that is read entry by entry alone."""
        slot, steps = self.flat.inputs[place], self.columns.steps
        return slot not in self.flat.outputs and all(
            entry_of(self.flat.step(number)) is not None
            for number in steps[self.readers(slot)].tolist()
        )

    def place(self, slot: int) -> int:
        """Before which step of work an input is read as an entry."""
        columns = self.columns
        if self.early:
            return int(np.searchsorted(columns.steps, self.flat.owner(slot)))
        readers = self.readers(slot)
        return int(readers[0]) if len(readers) else len(columns.steps)


def entry_of(step: Step) -> tuple[int, ...] | None:
    """The place of the one entry that a step reads of an array, axis by axis."""
    key = step.params.get("key", ())
    one = step.primitive.name == "index" and all(type(part) is int for part in key)
    return key if one else None


class _Turns:
    """The iterations of one loop.

    Attributes:
        offset, stride: of each slot of the body, its name in iteration 0, and how much
            larger it is in the next.
        columns: of slots that go otherwise, the names in all iterations.
        arrays: of inputs that are arrays of entries, which.
    """

    def __init__(
        self,
        body: Body,
        starts: Sequence[int],
        moving: Sequence[Ids | Entries],
        fixed: Sequence[int],
        trips: int,
    ) -> None:
        self.body, self.starts, self.trips = body, starts, trips
        self.out, self.inputs = body.out, body.flat.inputs
        self.turns = np.arange(trips)
        slots = body.flat.slot_count
        self.offset = np.zeros(slots, np.int64)
        self.stride = np.zeros(slots, np.int64)
        self.columns: dict[int, Ids] = {}
        self.arrays: dict[int, Entries] = {}
        entries: list[tuple[int, int, Entries]] = []
        for slot, value in body.columns.constants():
            self.offset[slot] = self.out.constant(value)
        behind = len(starts) + len(moving)
        for slot, found in zip(self.inputs[len(starts) : behind], moving, strict=True):
            if not isinstance(found, Entries):
                self.columns[slot] = found
            elif found.places.ndim > 1:
                self.arrays[slot] = found
            else:
                entries.append((body.place(slot), slot, found))
        self.offset[list(self.inputs[behind:])] = fixed
        self.entries = sorted(entries, key=lambda entry: entry[:2])
        self.at = np.array([place for place, _, _ in self.entries], np.int64)
        self._local()

    def _local(self) -> None:
        """Names of what the body makes itself, entries among it."""
        mine, at = self.body.columns, self.at
        total = len(mine.slots) + len(at)
        local = np.arange(len(mine.slots)) + np.searchsorted(at, mine.owners, "right")
        first = self.out.slots
        self.offset[mine.slots] = first + local
        self.stride[mine.slots] = total
        read = [slot for _, slot, _ in self.entries]
        self.offset[read] = first + mine.begins[at] + np.arange(len(at))
        self.stride[read] = total

    def column(self, slot: int) -> Ids:
        """The names of a slot in all iterations."""
        found = self.columns.get(slot)
        if found is None:
            found = self.offset[slot] + self.stride[slot] * self.turns
        return found

    def write(self) -> tuple[list[int], list[Ids]]:
        """See `Body.written`."""
        outputs, count = self.body.flat.outputs, len(self.starts)
        if not self.trips:
            return list(self.starts), [self.turns for _ in outputs[count:]]
        ends = self._carried(outputs[:count])
        self._write()
        return ends, [self.column(slot) for slot in outputs[count:]]

    def _carried(self, outputs: Sequence[int]) -> list[int]:
        """Find the columns of the carries; returns their last names."""
        ends = list(self.starts)
        waiting = dict(enumerate(outputs))
        while waiting:
            unknown = {self.inputs[place] for place in waiting}
            ready = [place for place, slot in waiting.items() if slot not in unknown]
            if not ready:  # each is handed on as another one, all the way round
                self._handed_on(waiting, ends)
                break
            for place in ready:
                column = self.column(waiting.pop(place))
                ends[place] = int(column[-1])
                self._carry(place, column[:-1])
        return ends

    def _carry(self, place: int, rest: Ids) -> None:
        self.columns[self.inputs[place]] = np.concatenate([[self.starts[place]], rest])

    def _handed_on(self, waiting: dict[int, int], ends: list[int]) -> None:
        from_place = {slot: place for place, slot in enumerate(self.inputs)}
        now = {place: [ends[place]] for place in waiting}
        sources = {place: from_place[slot] for place, slot in waiting.items()}
        for turn in range(self.trips):
            for place, source in sources.items():
                now[place].append(now[source][turn])
        for place, names in now.items():
            ends[place] = names[-1]
            self._carry(place, np.array(names[1:-1], np.int64))

    def _write(self) -> None:
        """The steps of all iterations."""
        whole, mine, at, out = self.body.whole, self.body.columns, self.at, self.out
        before, more = mine.offsets[at], np.arange(len(at))
        read = [slot for _, slot, _ in self.entries]
        operands = np.insert(whole.operands, before, read)
        names = self.offset[operands] + self.stride[operands] * self.turns[:, None]
        for column in np.flatnonzero(np.isin(operands, list(self.columns))).tolist():
            names[:, column] = self.columns[int(operands[column])]
        statics = np.insert(whole.statics, at, 0)
        static = np.tile(statics, (self.trips, 1))
        for step, operand, found in self._found(at + more, before + more):
            names[:, operand] = found.source
            static[:, step] = [out.static({"key": key}) for key in found.by_key()]
        avals = mine.avals[self.body.flat.aval[read]]
        out.add(
            Stretch(
                np.tile(np.insert(whole.names, at, out.name("index")), self.trips),
                np.tile(np.insert(whole.counts, at, 1), self.trips),
                names.ravel(),
                static.ravel(),
                np.tile(np.insert(whole.owns, at, 1), self.trips),
                np.tile(np.insert(whole.avals, mine.begins[at], avals), self.trips),
            )
        )

    def _found(self, steps: Ids, operands: Ids) -> Iterator[tuple[int, int, Entries]]:
        """Steps that read an entry: place, that of their operand, the entries.

        Args:
            steps: places of those that are put between the body's own.
            operands: places of their operands.
        """
        mine, body = self.body.columns, self.body
        for step, operand, (_, _, found) in zip(
            steps.tolist(), operands.tolist(), self.entries, strict=True
        ):
            yield step, operand, found
        for slot, found in self.arrays.items():
            for step in body.readers(slot).tolist():
                more = int(np.searchsorted(self.at, step, "right"))
                key = entry_of(body.flat.step(int(mine.steps[step]))) or ()
                places: Any = (slice(None), *key)
                entries = found.moved(found.places[places])
                yield step + more, int(mine.offsets[step]) + more, entries
