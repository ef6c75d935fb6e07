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

from tapegrad.arriving import active
from tapegrad.native.scalars.bars import Bars, count_up, into
from tapegrad.native.scalars.entries import MOVEMENT, Entries, moved
from tapegrad.native.scalars.templates import Template, template
from tapegrad.native.scalars.writer import Link

# Operands that templates are told apart by; rows of numbers have no more.
WIDE = 16


class Sweep:
    """Adjoint sweeps, written to the tape of the entries.

    Args:
        entries: the tape's entries.
        wrt: input slots whose adjoints are asked for.
    """

    def __init__(self, entries: Entries, wrt: Sequence[int]) -> None:
        self.entries = entries
        self.base = base = entries.base
        self.out = out = entries.out
        self.wrt = wrt
        self.live = active(base, wrt)
        self.bars: list[Any] = []
        self.masks: dict[int, int] = {}
        self.scalar = [not base.avals[kind][0] for kind in base.aval.tolist()]
        self._templates: dict[int, Template] = {}
        self._add = out.kind(Link(out.code("add"), 0, 2))
        self._either = out.kind(Link(out.code("logical_or"), 0, 2, truth=True))
        self._moves = [name in MOVEMENT for name in base.operations]
        # only steps that a derivative passes through, last one first
        owned = np.flatnonzero(base.first[:-1] < base.first[1:])
        mine = owned[np.array(self.live, bool)[base.first[owned]]]
        mine = mine[base.offsets[mine] < base.offsets[mine + 1]][::-1]
        self._steps = mine.tolist()
        self._columns = [
            column[mine].tolist()
            for column in (base.first, base.offsets[:-1], base.offsets[1:])
        ]
        self._kinds = self._wanted(mine)
        self._operands = base.operands.tolist()
        self._static = base.static.tolist()

    def _wanted(self, mine: Any) -> list[int]:
        """What tells templates apart: row, parameters, and the operands wanted."""
        base = self.base
        counts = np.diff(base.offsets)
        owner = np.repeat(np.arange(len(base)), counts)
        position = np.arange(len(owner)) - base.offsets[:-1][owner]
        live = np.array(self.live, bool)[base.operands]
        short = position < WIDE
        weights = np.where(live & short, 2.0 ** np.minimum(position, WIDE), 0.0)
        bits = np.bincount(owner, weights=weights, minlength=len(base))
        keys = base.opcode.astype(np.int64) * len(base.statics) + base.static
        keys = (keys << WIDE) + bits.astype(np.int64)
        return np.unique(keys[mine], return_inverse=True)[1].tolist()  # type: ignore[no-any-return]

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
            into(bars.parts, entry, seed, self._sum)
            bars.clean[entry] = 1
        bars, scalar, masks, operands = (
            self.bars,
            self.scalar,
            self.masks,
            self._operands,
        )
        opcode, moves = self.base.opcode[self._steps].tolist(), self._moves
        for step, op, kind, slot, low, high in zip(
            self._steps, opcode, self._kinds, *self._columns, strict=True
        ):
            bar = bars[slot]
            if bar is None:
                continue
            reads = operands[low:high]
            if moves[op]:
                self._move(step, slot, reads, bar)
            elif scalar[slot]:
                self._number(step, kind, slot, reads, bar, masks.get(slot))
            else:
                self._array(step, kind, slot, reads, bar)
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
        return self.out.step(self._add, a, b)

    def _or(self, a: int, b: int) -> int:
        return self.out.step(self._either, a, b)

    def _to_number(self, slot: int, share: int, under: int | None) -> None:
        """Add a contribution to a number; see `arriving.Sums`."""
        before = self.bars[slot]
        if before is None:
            self.bars[slot] = share
            if under is not None:
                self.masks[slot] = under
            return
        self.bars[slot] = self._sum(before, share)
        if slot in self.masks:
            if under is None:
                del self.masks[slot]
            else:
                self.masks[slot] = self._or(self.masks[slot], under)

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
            into(bars.parts, entry, share, self._sum)
            if clean:
                bars.clean[entry] = bars.clean.get(entry, 0) + 1
        if bars.masks is None or unders is None:
            bars.masks = None
            return
        for entry, under in unders.items():
            into(bars.masks, entry, under, self._or)

    def _entry(self, bars: Bars, entry: int) -> int:
        """The adjoint of an entry, with the zeros that were added to it."""
        if entry not in bars.parts:
            return self.out.constant(0.0)
        part = bars.parts[entry]
        if bars.clean.get(entry, 0) < bars.total:
            return self._sum(part, self.out.constant(0.0))
        return part

    def _to_entry(self, slot: int, entry: int, share: int) -> None:
        """Add an array that is zero but for one entry, without a mask."""
        bars = self.bars[slot]
        if bars is None:
            bars = self.bars[slot] = Bars()
        bars.structural, bars.masks = False, None
        bars.total += 1
        into(bars.parts, entry, share, self._sum)
        bars.clean[entry] = bars.clean.get(entry, 0) + 1

    # -- steps -----------------------------------------------------------------

    def _template(self, step: int, kind: int, reads: list[int], masked: bool) -> Any:
        base, entries = self.base, self.entries
        row = entries.rows[base.opcode[step]]
        truths = [base.aval_of(i)[1] == "bool" for i in reads]
        wanted = [self.live[i] for i in reads]
        params = entries.params[base.static[step]]
        made = template(self.out, row, params, truths, wanted, masked)
        self._templates[2 * kind + masked] = made
        return made

    def _number(
        self,
        step: int,
        kind: int,
        slot: int,
        reads: list[int],
        bar: int,
        mask: int | None,
    ) -> None:
        """A step of numbers."""
        masked, ids, out, bars = mask is not None, self.entries.ids, self.out, self.bars
        made = self._templates.get(2 * kind + masked)
        if made is None:
            made = self._template(step, kind, reads, masked)
        row = [ids[slot], *[ids[i] for i in reads], bar]
        if mask is not None:
            row.append(mask)
        row = made.copy(out, row)
        for number, part, under in made.parts:
            i = reads[number]
            if bars[i] is None and under is None:
                bars[i] = row[part]
            else:
                self._to_number(i, row[part], None if under is None else row[under])

    def _array(
        self, step: int, kind: int, slot: int, reads: list[int], bars: Bars
    ) -> None:
        """A step of short arrays, an entry after the other."""
        ids, masked = self.entries.ids, bars.masks is not None
        made = self._templates.get(2 * kind + masked)
        if made is None:
            made = self._template(step, kind, reads, masked)
        shape = self.base.aval_of(slot)[0]
        wide = [np.broadcast_to(ids[i], shape).ravel().tolist() for i in (slot, *reads)]
        places = [
            np.broadcast_to(count_up(self.base.aval_of(i)[0]), shape).ravel().tolist()
            for i in reads
        ]
        sums: list[dict[int, int]] = [{} for _ in reads]
        unders: list[dict[int, int]] = [{} for _ in reads]
        for entry in range(math.prod(shape)):
            if bars.structural and entry not in bars.parts:
                continue
            row = [column[entry] for column in wide]
            row.append(self._entry(bars, entry))
            if bars.masks is not None:
                row.append(bars.masks.get(entry, self.out.constant(value=False)))
            row = made.copy(self.out, row)
            for number, part, under in made.parts:
                at = places[number][entry]
                into(sums[number], at, row[part], self._sum)
                if under is not None:
                    into(unders[number], at, row[under], self._or)
        for number, _, under in made.parts:
            masks = None if under is None else unders[number]
            shares = [(at, share, True) for at, share in sums[number].items()]
            self._give(reads[number], shares, masks, bars.structural)

    def _move(self, step: int, slot: int, reads: list[int], bar: Any) -> None:
        """A step that moves entries."""
        base, static = self.base, int(self._static[step])
        if self.scalar[slot] and len(reads) == 1:
            place = self.entries.offset(static, base.aval_of(reads[0])[0])
            if place is not None:
                if slot in self.masks:
                    unders = {place: self.masks[slot]}
                    self._to_array(reads[0], [(place, bar, True)], unders, False)
                else:
                    self._to_entry(reads[0], place, bar)
                return
        shapes = [base.aval_of(i)[0] for i in reads]
        row, params = self.entries.rows[base.opcode[step]], self.entries.params[static]
        bars = self._as_bars(slot, bar)
        ends = np.cumsum([0, *map(math.prod, shapes)]).tolist()
        mine: list[Any] = [
            count_up(shape) + start for shape, start in zip(shapes, ends, strict=False)
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
                into(sums, place, bars.parts[entry], self._sum)
                if bars.masks is not None and entry in bars.masks:
                    into(unders, place, bars.masks[entry], self._or)
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
