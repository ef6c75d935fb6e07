"""The tape with loops in place of the steps they stand for. Floor 10.

    reads      window, pack         what each iteration reads of arrays and of slots
    loop       scan                 one step with the iteration as its sub-tape
    behind     entry                slots of single iterations, for who asks for them

An entry stands before each operand that reads it, so that contributions to its adjoint
are added one by one, as they were before.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tapegrad.errors import RecordError
from tapegrad.loops.rule import SCAN
from tapegrad.rolling import free
from tapegrad.rolling.body import Body
from tapegrad.rolling.free import Sum, sums
from tapegrad.rolling.homes import Homes
from tapegrad.rolling.merge import Group, agreeing, dealt, grid, groups, without
from tapegrad.rolling.order import SLOTS, Access
from tapegrad.rolling.plan import Options, Planned, planned
from tapegrad.rolling.read import Loop, Made
from tapegrad.rolling.work import Column, Work, params_of, work_of
from tapegrad.rules import TABLE
from tapegrad.rules.stacks import ENTRY, PACK, WINDOW
from tapegrad.sweeps import flat
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Aval, Tape


def rolled(tape: Tape, options: Options) -> Tape:
    """The same function with its repeats as loops; the tape itself if it has none.

    Args:
        tape: as it was recorded.
        options: what counts as a loop, and how it runs.
    """
    base = flat(tape)
    if len(base) < options.steps:
        return tape
    work = work_of(base)
    plan = planned(work, options)
    if not plan:
        return tape
    made = _Builder(work, plan, options).tape()
    return made if len(made) < len(base) else tape


class _Builder:
    """The new columns, and where the old slots are on them."""

    def __init__(self, work: Work, plan: list[Planned], options: Options) -> None:
        self.work, self.plan, self.options = work, plan, options
        self.old = work.tape
        self.out = Columns()
        self.moved: dict[int, int] = {}
        self.stacks: dict[tuple[int, Made], int] = {}
        self.finals: dict[tuple[int, Made], int] = {}
        self.homes = Homes(work, [one.loop for one in plan])
        self.through = self.homes.gone_through(a for one in plan for a in one.reads)

    def tape(self) -> Tape:
        """Everything, in order."""
        old, work = self.old, self.work
        for slot in old.inputs:
            self.moved[slot] = self.out.input(math.nan, old.aval_of(slot))
        at = 0
        for number, one in enumerate(self.plan):
            self._steps(at, one.loop.start)
            self._loop(number, one)
            at = one.loop.end
        self._steps(at, len(work))
        outputs = tuple(self.slot(slot) for slot in old.outputs)
        labels = {
            self.moved[slot]: label
            for slot, label in old.labels.items()
            if slot in self.moved
        }
        inputs = tuple(self.moved[slot] for slot in old.inputs)
        return self.out.freeze(inputs, outputs, labels, old.structure, old.example)

    def _steps(self, low: int, high: int) -> None:
        """Steps that are in no loop."""
        old = self.old
        for at in range(low, high):
            step = int(self.work.steps[at])
            reads = old.operands[old.offsets[step] : old.offsets[step + 1]].tolist()
            slots = range(int(old.first[step]), int(old.first[step + 1]))
            made = self.out.append(
                TABLE[old.operations[old.opcode[step]]],
                self.operands(reads),
                params_of(old, step),
                [old.aval_of(slot) for slot in slots],
            )
            self.moved.update(zip(slots, made, strict=True))

    def operands(self, slots: list[int]) -> list[int]:
        """Operands on the new tape; the last one's entry stands first."""
        return [self.slot(slot) for slot in reversed(slots)][::-1]

    def slot(self, slot: int) -> int:
        """Where an old slot is; a slot of an iteration is read out of its stack."""
        if self.work.const[slot]:
            if slot not in self.moved:
                params = params_of(self.old, self.old.owner(slot))
                self.moved[slot] = self.out.constant(params["value"])
            return self.moved[slot]
        if slot in self.moved:
            return self.moved[slot]
        number, turn, made = self._home(slot)
        if (number, made) in self.stacks:
            stack = self.stacks[number, made]
            aval = self.old.aval_of(slot)
            entry = self._put(ENTRY, [stack], {"place": turn}, aval)
            if (number, made) not in self.through:
                self.moved[slot] = entry
            return entry
        return self.finals[number, made]

    def _home(self, slot: int) -> tuple[int, int, Made]:
        """Loop, iteration and slot of the body."""
        home = self.homes.of(slot)
        if home is None:
            msg = f"slot {slot} is read before it is made"
            raise RecordError(msg)
        return home

    def _put(self, row: Any, reads: list[int], params: Any, aval: Aval) -> int:
        return self.out.append(row, reads, params, [aval])[0]

    # -- a loop ----------------------------------------------------------------

    def _loop(self, number: int, one: Planned) -> None:
        loop, options = one.loop, self.options
        body = Body(self.work, one)
        inner = rolled(body.tape, dataclasses.replace(options, checkpoint=0))
        inner, moving = self._moving(inner, body, one)
        inits = [
            self.out.constant(_zero(aval)) if slot is None else self.slot(slot)
            for slot, aval in body.inits
        ]
        fixed = [self.slot(slot) for slot in body.fixed]
        taken: list[Sum] = []
        if self.options.reassociate:
            firsts = {place for place, made in body.finals if loop.lags.get(made) == 1}
            asked = {place for place, made in body.finals if made in one.stacked}
            other = frozenset(range(len(inits))) - (firsts - asked)
            taken = sums(inner, len(inits), other)
        made = self._scan(loop.trips, inner, inits, (moving, fixed), taken)
        places = {of: place for place, of in body.finals}
        for of, place in places.items():
            self.finals[number, of] = made[place]
        for of, slot in zip(body.stacked, made[len(inits) :], strict=True):
            lag = loop.lags.get(of, 0)
            ends = made[places[of] : places[of] + lag][::-1] if lag else []
            self.stacks[number, of] = self._shifted(slot, ends) if lag else slot

    def _scan(
        self,
        trips: int,
        body: Tape,
        inits: list[int],
        reads: tuple[list[int], list[int]],
        taken: list[Sum],
    ) -> list[int]:
        """The step itself: the slots of its carries, and of what it gives."""
        count, given = len(inits), len(body.outputs)
        if taken:
            body = free.without(body, count, taken)
        gone = {one.place for one in taken}
        stay = [place for place in range(count) if place not in gone]
        params = {
            "tape": body,
            "carry": len(stay),
            "xs": len(reads[0]),
            "length": trips,
            "reverse": False,
            "snapshots": self.options.checkpoint,
            "name": "loop",
            "ordered": True,
        }
        avals = [body.aval_of(slot) for slot in body.outputs]
        whole = [((trips, *shape), dtype) for shape, dtype in avals[len(stay) :]]
        operands = [*(inits[place] for place in stay), *reads[0], *reads[1]]
        made = self.out.append(SCAN, operands, params, avals[: len(stay)] + whole)
        slots = dict(zip(stay, made, strict=False))
        ys = made[len(stay) : len(stay) + given - count]
        terms = iter(made[len(stay) + given - count :])
        for one in taken:
            slots[one.place] = self._summed(inits[one.place], one, terms)
        return [*(slots[place] for place in range(count)), *ys]

    def _summed(self, start: int, one: Sum, terms: Iterator[int]) -> int:
        """A sum whose terms are entries of arrays, in any order."""
        aval = self.out.aval_at(start)
        for _, minus in one.terms:
            part = self._put(TABLE["sum"], [next(terms)], {"axes": (0,)}, aval)
            row = TABLE["sub" if minus else "add"]
            start = self._put(row, [start, part], {}, aval)
        return start

    def _moving(self, inner: Tape, body: Body, one: Planned) -> tuple[Tape, list[int]]:
        """What moves with the iteration; what an inner loop reads is read at once."""
        reads, trips = one.reads, one.loop.trips
        first, count = len(body.inits), len(reads) + len(body.tables)
        found = groups(inner, first, count)
        grids: dict[int, Group] = {}
        for group in agreeing(reads, [g for g in found if g.members[-1] < len(reads)]):
            grids[min(group.members)] = group
        laid = {}
        for at, group in grids.items():
            access = reads[group.members[0]]
            shape, _ = self.old.aval_of(access.source)
            rank = self._rank(access, one.loop)
            places = np.stack([reads[k].elements for k in group.members], axis=1)
            lines = grid(places, shape[:rank])
            if lines is not None:
                laid[at] = lines, rank
        tables = [g for g in found if min(g.members) >= len(reads)]
        made = [grids[at] for at in sorted(laid)]
        gone = {k for group in [*made, *tables] for k in group.members}
        singles: dict[int, int] = {}
        arrays: list[int] = []
        for at, access in enumerate(reads):
            if at in laid:
                slot = dealt(self.out, self.slot(access.source), *laid[at])
                aval = self.out.aval_at(slot)
                where = _along(1, np.arange(2), trips) | {"slots": False}
                arrays.append(self._put(WINDOW, [slot], where, aval))
            elif at not in gone:
                singles[at] = self._read(access, one.loop)
        for place, values in enumerate(body.tables, len(reads)):
            if place not in gone:
                singles[place] = self.out.constant(values)
        for group in tables:
            columns = [body.tables[k - len(reads)] for k in group.members]
            arrays.append(self.out.constant(np.stack(columns, axis=1)))
        if gone:
            inner = without(inner, first, count, [*made, *tables])
        return inner, [*(singles[k] for k in sorted(singles)), *arrays]

    def _shifted(self, stack: int, ends: list[int]) -> int:
        """A carry behind each iteration, of what it was `lag` iterations before.

        Args:
            stack: of the carry that goes furthest back.
            ends: what the carry is behind the last iterations.
        """
        shape, dtype = self.out.aval_at(stack)
        lag, count = len(ends), shape[0] - len(ends)
        where = {"axes": 1, "start": lag, "stride": 1, "length": count}
        most = ((count, *shape[1:]), dtype)
        parts = [self._put(WINDOW, [stack], where | {"slots": True}, most)]
        one = ((1, *shape[1:]), dtype)
        parts += [
            self._put(TABLE["reshape"], [end], {"shape": one[0]}, one) for end in ends
        ]
        return self._put(TABLE["concatenate"], parts, {"axis": 0}, (shape, dtype))

    def _read(self, access: Access, loop: Loop) -> int:
        """What the iterations read, as one array."""
        if access.source == SLOTS:
            return self._gathered(access.elements, loop.trips)
        old, work = self.old, self.work
        source = self.slot(access.source)
        shape, dtype = old.aval_of(access.source)
        turns = slice(loop.start + access.step, loop.end, loop.period)
        rank = self._rank(access, loop)
        aval = ((loop.trips, *shape[rank:]), dtype)
        if access.stride:
            where = _along(rank, access.elements, loop.trips)
            return self._put(WINDOW, [source], where | {"slots": False}, aval)
        entries = [
            self._put(
                TABLE["index"], [source], params_of(old, step), (shape[rank:], dtype)
            )
            for step in work.steps[turns].tolist()
        ]
        return self._put(PACK, entries[::-1], {}, aval)

    def _rank(self, access: Access, loop: Loop) -> int:
        """How many axes of an array a read names."""
        return self.work.rank(loop.start + access.step)

    def _gathered(self, slots: Column, trips: int) -> int:
        """Slots as one array: a window of an earlier loop's stack, or one by one."""
        shape, dtype = self.old.aval_of(int(slots[0]))
        aval = ((trips, *shape), dtype)
        numbers = self.homes.numbers(self.work.owner[slots])
        number = int(numbers[0])
        if number >= 0 and (numbers == number).all():
            turns, *made = self.plan[number].loop.makes(self.work, slots)
            of = int(made[0][0]), int(made[1][0])
            strides = np.diff(turns)
            alike = all((column == column[0]).all() for column in (*made, strides))
            if alike and strides[0] and (number, of) in self.stacks:
                where = _along(1, turns, trips) | {"slots": True}
                return self._put(WINDOW, [self.stacks[number, of]], where, aval)
        return self._put(PACK, self.operands(slots[::-1].tolist()), {}, aval)


def _along(axes: int, places: Column, trips: int) -> dict[str, Any]:
    start, stride = int(places[0]), int(places[1] - places[0])
    return {"axes": axes, "start": start, "stride": stride, "length": trips}


def _zero(aval: Aval) -> Any:
    """A number or array that nobody reads."""
    shape, dtype = aval
    if shape or dtype not in {"float64", "bool"}:
        return np.zeros(shape, dtype)
    return False if dtype == "bool" else 0.0
