"""The adjoint sweep over a tape of arrays, entry by entry. Floor 9.

    an index of one entry passes its adjoint to that entry, and to no other

The interpreter adds whole arrays that are zero but for one entry. The sums here are the
same, in the same order, without the zeros: x + 0.0 is x unless x is -0.0, so a single
0.0, added where the interpreter adds any, gives the same bits. Seeds of one entry are
structural: their zeros pass nothing on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.native.scalars.entries import MOVEMENT, Entries, moved
from tapegrad.native.scalars.templates import Template, template


class Bars:
    """The adjoint of an array, of those entries that something was added to.

    Attributes:
        parts: slots by entry.
        masks: their masks by entry, None where it carries none.
        total: how many arrays were added.
        clean: how many of them had an entry that was no zero.
        structural: whether entries that are not there are absent, and not zero.
    """

    __slots__ = ("clean", "masks", "parts", "structural", "total")

    def __init__(self) -> None:
        self.parts: dict[int, int] = {}
        self.masks: dict[int, int] | None = None
        self.total = 0
        self.clean: dict[int, int] = {}
        self.structural = False


class Sweep:
    """Adjoint sweeps, written to the tape of the entries.

    Args:
        entries: the tape's entries.
        wrt: input slots whose adjoints are asked for.
    """

    def __init__(self, entries: Entries, wrt: Sequence[int]) -> None:
        self.entries = entries
        self.base = base = entries.base
        self.out = entries.out
        self.wrt = wrt
        self.live = sweeps.active(base, wrt)
        self.bars: list[Any] = []
        self.masks: dict[int, int] = {}
        self.scalar = [not base.avals[kind][0] for kind in base.aval.tolist()]
        self.truth = [base.avals[kind][1] == "bool" for kind in base.aval.tolist()]
        self._templates: dict[Any, Template] = {}
        self._add = self.out.code("add")
        self._operands = base.operands.tolist()
        self._steps = list(
            zip(
                base.opcode.tolist(),
                base.static.tolist(),
                base.first[:-1].tolist(),
                base.first[1:].tolist(),
                base.offsets[:-1].tolist(),
                base.offsets[1:].tolist(),
                strict=True,
            )
        )

    def run(self, seeds: Iterable[tuple[int, int, int]], *, structural: bool) -> Any:
        """The adjoints of the inputs: for each one the slots of its entries.

        Args:
            seeds: output slot, entry, and the slot of its adjoint.
            structural: whether the entries without a seed are absent, and not zero.
        """
        self.bars, self.masks = [None] * self.base.slot_count, {}
        for slot, entry, seed in seeds:
            if self.scalar[slot]:
                self._to_number(slot, seed, None)
                continue
            bars = self.bars[slot]
            if bars is None:
                bars = self.bars[slot] = Bars()
                bars.structural, bars.total = structural, 1
            self._join(bars, entry, seed)
            bars.clean[entry] = 1
        names = self.base.operations
        whole = [name in MOVEMENT for name in names]
        for op, static, slot, end, low, high in reversed(self._steps):
            if slot == end or low == high or not self.live[slot]:
                continue
            bar = self.bars[slot]
            if bar is None:
                continue
            reads = self._operands[low:high]
            if whole[op]:
                self._move(op, static, slot, reads, bar)
            elif self.scalar[slot]:
                self._number(op, static, slot, reads, bar)
            else:
                self._array(op, static, slot, reads, bar)
        return [self._found(slot) for slot in self.wrt]

    def _found(self, slot: int) -> list[int]:
        bar = self.bars[slot]
        if self.scalar[slot]:
            return [self.out.constant(0.0) if bar is None else bar]
        size = math.prod(self.base.aval_of(slot)[0])
        if bar is None:
            return [self.out.constant(0.0)] * size
        return [self._entry(bar, entry) for entry in range(size)]

    # -- sums ------------------------------------------------------------------

    def _sum(self, a: int, b: int) -> int:
        return self.out.step(self._add, 0, (a, b), truth=False)

    def _or(self, a: int, b: int) -> int:
        return self.out.step(self.out.code("logical_or"), 0, (a, b), truth=True)

    def _to_number(self, slot: int, share: int, under: int | None) -> None:
        """Add a contribution to a number; see `passing.Sums`."""
        before = self.bars[slot]
        if before is None:
            self.bars[slot] = share
            if under is not None:
                self.masks[slot] = under
            return
        self.bars[slot] = self.out.step(self._add, 0, (before, share), truth=False)
        if slot in self.masks:
            if under is None:
                del self.masks[slot]
            else:
                self.masks[slot] = self._or(self.masks[slot], under)

    def _join(self, bars: Bars, entry: int, share: int) -> None:
        before = bars.parts.get(entry)
        bars.parts[entry] = share if before is None else self._sum(before, share)

    def _to_array(
        self,
        slot: int,
        shares: Iterable[tuple[int, int, bool]],
        unders: dict[int, int] | None,
        structural: bool,
    ) -> None:
        """Add an array: entries with their slots, and whether no zero was added."""
        bars = self.bars[slot]
        if bars is None:
            bars = self.bars[slot] = Bars()
            bars.structural = structural
            bars.masks = None if unders is None else {}
        bars.structural = bars.structural and structural
        bars.total += 1
        for entry, share, clean in shares:
            self._join(bars, entry, share)
            if clean:
                bars.clean[entry] = bars.clean.get(entry, 0) + 1
        if bars.masks is None or unders is None:
            bars.masks = None
            return
        for entry, under in unders.items():
            before = bars.masks.get(entry)
            bars.masks[entry] = under if before is None else self._or(before, under)

    def _entry(self, bars: Bars, entry: int) -> int:
        """The adjoint of an entry, with the zeros that were added to it."""
        if entry not in bars.parts:
            return self.out.constant(0.0)
        part = bars.parts[entry]
        if bars.clean.get(entry, 0) < bars.total:
            return self._sum(part, self.out.constant(0.0))
        return part

    # -- steps -----------------------------------------------------------------

    def _template(self, op: int, static: int, reads: list[int], masked: bool) -> Any:
        wanted = tuple([self.live[i] for i in reads])
        key = (op, static, wanted, masked)
        found = self._templates.get(key)
        if found is None:
            row, params = self.entries.rows[op], self.entries.params[static]
            truths = [self.truth[i] for i in reads]
            found = template(self.out, row, params, truths, wanted, masked)
            self._templates[key] = found
        return found

    def _number(
        self, op: int, static: int, slot: int, reads: list[int], bar: int
    ) -> None:
        """A step of numbers."""
        ids, mask = self.entries.ids, self.masks.get(slot)
        made = self._template(op, static, reads, mask is not None)
        known = [ids[slot], *[ids[i] for i in reads], bar]
        if mask is not None:
            known.append(mask)
        known = made.copy(self.out, known)
        for i, (part, under) in zip(reads, made.parts, strict=True):
            if part is not None:
                self._to_number(i, known[part], None if under is None else known[under])

    def _array(
        self, op: int, static: int, slot: int, reads: list[int], bars: Bars
    ) -> None:
        """A step of short arrays, an entry after the other."""
        ids = self.entries.ids
        made = self._template(op, static, reads, bars.masks is not None)
        shape = self.base.aval_of(slot)[0]
        wide = [np.broadcast_to(ids[i], shape).ravel().tolist() for i in (slot, *reads)]
        places = [
            np.broadcast_to(_count_up(self.base.aval_of(i)[0]), shape).ravel().tolist()
            for i in reads
        ]
        sums: list[dict[int, int]] = [{} for _ in reads]
        unders: list[dict[int, int]] = [{} for _ in reads]
        for entry in range(math.prod(shape)):
            if bars.structural and entry not in bars.parts:
                continue
            known = [column[entry] for column in wide]
            known.append(self._entry(bars, entry))
            if bars.masks is not None:
                known.append(bars.masks.get(entry, self.out.constant(value=False)))
            known = made.copy(self.out, known)
            for place, (part, under) in enumerate(made.parts):
                if part is None:
                    continue
                at = places[place][entry]
                _into(sums[place], at, known[part], self._sum)
                if under is not None:
                    _into(unders[place], at, known[under], self._or)
        for place, (i, (part, under)) in enumerate(zip(reads, made.parts, strict=True)):
            if part is not None:
                masks = None if under is None else unders[place]
                shares = [(at, share, True) for at, share in sums[place].items()]
                self._give(i, shares, masks, bars.structural)

    def _move(
        self, op: int, static: int, slot: int, reads: list[int], bar: Any
    ) -> None:
        """A step that moves entries."""
        shapes = [self.base.aval_of(i)[0] for i in reads]
        if self.scalar[slot] and len(reads) == 1:
            place = self.entries.offset(static, shapes[0])
            if place is not None:
                mask = self.masks.get(slot)
                unders = None if mask is None else {place: mask}
                self._to_array(reads[0], [(place, bar, True)], unders, False)
                return
        row, params = self.entries.rows[op], self.entries.params[static]
        bars = self._as_bars(slot, bar)
        ends = np.cumsum([0, *map(math.prod, shapes)]).tolist()
        mine: list[Any] = [
            _count_up(shape) + start for shape, start in zip(shapes, ends, strict=False)
        ]
        if row.name == "gather":
            mine[1:] = [self.entries.ids[i] for i in reads[1:]]
        source = moved(row, mine, params, -1).ravel().tolist()
        for place, i in enumerate(reads):
            if self.live[i] and not (row.name == "gather" and place):
                self._pull(i, ends[place], ends[place + 1], source, bars)

    def _as_bars(self, slot: int, bar: Any) -> Bars:
        if isinstance(bar, Bars):
            return bar
        bars = Bars()
        bars.parts, bars.clean, bars.total = {0: bar}, {0: 1}, 1
        bars.masks = {0: self.masks[slot]} if slot in self.masks else None
        return bars

    def _pull(
        self, i: int, start: int, end: int, source: list[int], bars: Bars
    ) -> None:
        """What the entries of a result pass to the operand that they came from."""
        sums: dict[int, int] = {}
        unders: dict[int, int] = {}
        clean: dict[int, bool] = {}
        for entry, at in enumerate(source):
            if not start <= at < end:
                continue
            place = at - start
            full = bars.clean.get(entry, 0) == bars.total and entry in bars.parts
            clean[place] = clean.get(place, True) and full
            if entry in bars.parts:
                _into(sums, place, bars.parts[entry], self._sum)
                if bars.masks is not None and entry in bars.masks:
                    _into(unders, place, bars.masks[entry], self._or)
        shares = [(place, share, clean[place]) for place, share in sums.items()]
        masks = None if bars.masks is None else unders
        self._give(i, shares, masks, bars.structural)

    def _give(
        self,
        i: int,
        shares: list[tuple[int, int, bool]],
        unders: dict[int, int] | None,
        structural: bool,
    ) -> None:
        """Contributions to an operand, a number or an array."""
        if not self.scalar[i]:
            self._to_array(i, shares, unders, structural)
            return
        zero = self.out.constant(0.0)
        mask = None
        if unders is not None:
            mask = unders.get(0, self.out.constant(value=False))
        if not shares:
            if not structural:
                self._to_number(i, zero, mask)
            return
        _, share, clean = shares[0]
        self._to_number(i, share if clean else self._sum(share, zero), mask)


def _count_up(shape: tuple[int, ...]) -> Any:
    return np.arange(math.prod(shape)).reshape(shape)


def _into(sums: dict[int, int], place: int, value: int, join: Any) -> None:
    """Join a value to what is there."""
    sums[place] = join(sums[place], value) if place in sums else value
