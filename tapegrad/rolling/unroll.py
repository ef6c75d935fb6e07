"""Loops of a tape written out again as the steps that were recorded. Floor 10.

    s, y = loop(s, x[start + k*stride], c)      ->      the steps of its body, n times

What a loop reads and gives is stacks of slots, entries of arrays, and tables: they are
names of slots here, and what makes them (`window`, `pack`, `entry`) leaves no step. The
body of a loop is written out first, then its columns are repeated, with offsets that
grow by as many slots as an iteration makes. An entry that an iteration reads of an
array becomes a step where the body's input stands; one that stands with those in front
comes just before it is read, and those of an iteration come in order.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.rolling.rows import Key, entrywise
from tapegrad.rolling.stretches import Ids, Stretches
from tapegrad.rolling.writing import Body, Columns, Entries
from tapegrad.tape.rolls import rolled
from tapegrad.tape.tape import Step, Tape

# The name of a slot that has none yet.
UNNAMED = -(1 << 62)


def unrolled(tape: Tape) -> Tape:
    """The same tape without loops that were found in steps.

    Args:
        tape: any tape; loops that the user wrote as such (`scan`) stay.
    """
    base = sweeps.flat(tape)
    if not rolled(base):
        return tape
    found = _Walk(base).tape()
    return dataclasses.replace(found, structure=tape.structure, example=tape.example)


class _Walk:
    """The steps of a flat tape in order, its loops written out.

    Attributes:
        names: of each slot the name that it has on the new tape, once it is known.
        stacks: of a slot that is a stack of slots, their names; or the entries of an
            array that a loop reads.
    """

    def __init__(self, base: Tape) -> None:
        self.base, self.out = base, Stretches()
        self.names = np.full(base.slot_count, UNNAMED)
        self.stacks: dict[int, Ids | Entries] = {}
        self.columns = Columns(base, self.out)
        self.ends: set[int] = set()
        self.grids: set[int] = set()
        self.bodies: dict[tuple[int, ...], tuple[Body, dict[int, list[Key]]]] = {}

    def tape(self) -> Tape:
        """The new tape."""
        base, out = self.base, self.out
        for slot in base.inputs:
            self.names[slot] = out.input(base.aval_of(slot))
        for slot, value in self.columns.constants():
            self.names[slot] = out.constant(value)
        at = 0
        for number in self._one_by_one():
            self._run(at, number)
            self._step(base.step(number))
            at = number + 1
        self._run(at, len(base))
        outputs = [self._name(slot) for slot in base.outputs]
        labels = {
            int(self.names[slot]): label
            for slot, label in base.labels.items()
            if slot not in self.stacks
        }
        return out.freeze(outputs, labels)

    def _one_by_one(self) -> list[int]:
        """Steps that make stacks, or read what such steps make."""
        base = self.base
        special = np.isin(base.operations, ["scan", "window", "entry", "pack"])
        makes = special[base.opcode]
        joins = np.isin(base.operations, ["concatenate"])[base.opcode]
        readers = np.repeat(np.arange(len(base)), np.diff(base.offsets))
        made = makes
        while made.any():  # what joins stacks makes another one
            stacks = np.repeat(made, np.diff(base.first))
            reads = np.zeros(len(base), bool)
            reads[readers[stacks[base.operands]]] = True
            made = reads & joins & ~makes
            makes = makes | reads
        # the end of a stack is put behind it as a stack of one
        joined = np.zeros(base.slot_count + 1, bool)
        joined[base.operands[(joins & makes)[readers]]] = True
        turns = np.isin(base.operations, ["reshape"])[base.opcode]
        turns &= joined[base.first[:-1]]
        self.ends = {*np.flatnonzero(turns).tolist()}
        self._find_grids()
        makes[list(self.grids)] = True
        found: list[int] = np.flatnonzero(makes | turns).tolist()
        return found

    def _find_grids(self) -> None:
        """Steps that put entries of an array in order for the rows of a loop in a loop.

        A window of rows is made of no other steps: rows that are read as such are
        steps of the loop's body.
        """
        base = self.base
        if "window" not in base.operations:
            return
        uses = np.bincount(base.operands, minlength=base.slot_count)
        for number in np.flatnonzero(
            base.opcode == base.operations.index("window")
        ).tolist():
            step = base.step(number)
            (x,) = step.operands
            alone = step.params["axes"] == 1 < len(base.aval_of(x)[0])
            chain: set[int] = set()
            while alone and not step.params.get("slots", False) and uses[x] == 1:
                step = base.step(base.owner(x))
                if step.primitive.name == "index":
                    if all(isinstance(part, tuple) for part in step.params["key"]):
                        self.grids |= chain | {step.number}
                    break
                if step.primitive.name not in {"reshape", "transpose"}:
                    break
                chain.add(step.number)
                (x,) = step.operands

    def _run(self, low: int, high: int) -> None:
        """Plain steps, all at once."""
        begin, end = np.searchsorted(self.columns.steps, [low, high]).tolist()
        if begin == end:
            return
        columns = self.columns
        stretch = columns.stretch(begin, end)
        slots = columns.slots[columns.begins[begin] : columns.begins[end]]
        self.names[slots] = self.out.slots + np.arange(len(slots))
        self.out.add(
            dataclasses.replace(stretch, operands=self.names[stretch.operands])
        )

    # -- single steps ------------------------------------------------------------

    def _step(self, step: Step) -> None:
        name, params = step.primitive.name, step.params
        if name == "scan" and params.get("ordered", False):
            self._loop(step)
            return
        stack = self._stacked(step)
        if stack is not None:
            self.stacks[step.slots.start] = stack
            return
        if name == "entry" and isinstance(
            found := self.stacks.get(step.operands[0]), np.ndarray
        ):
            self.names[step.slots.start] = found[params["place"]]
            return
        reads = [self._name(slot) for slot in step.operands]
        avals = [self.base.aval_of(slot) for slot in step.slots]
        first = self.out.step(name, reads, params, avals)
        for slot in step.slots:
            self.names[slot] = first + slot - step.slots.start

    def _stacked(self, step: Step) -> Ids | Entries | None:
        """What a step stacks; None where it does not."""
        name, params = step.primitive.name, step.params
        if step.number in self.grids:
            return self._grid(step)
        if name == "pack":
            return np.array(
                [self._name(slot) for slot in step.operands[::-1]], np.int64
            )
        parts = [self.stacks.get(slot) for slot in step.operands]
        if name == "window":
            (x,) = step.operands
            places = params["start"] + params["stride"] * np.arange(params["length"])
            if parts[0] is not None:
                return parts[0][places]
            if params["slots"]:
                return None
            shape = self.base.aval_of(x)[0]
            return Entries(self._name(x), shape, params["axes"], places)
        if step.number in self.ends:
            shape = self.base.aval_of(step.operands[0])[0]
            if params["shape"] == (1, *shape):
                return np.array([self._name(step.operands[0])], np.int64)
        known = [part for part in parts if isinstance(part, np.ndarray)]
        if name == "concatenate" and len(known) == len(parts) and not params["axis"]:
            return np.concatenate(known)
        return None

    def _grid(self, step: Step) -> Entries:
        """Entries of an array, put in order."""
        x, params = step.operands[0], step.params
        found = self.stacks.get(x)
        if not isinstance(found, Entries):
            shape = self.base.aval_of(x)[0]
            places = np.arange(math.prod(shape)).reshape(shape)
            found = Entries(self._name(x), shape, len(shape), places)
        row: Any = step.primitive.numpy
        return found.moved(row(np, found.places, **params))

    def _name(self, slot: int) -> int:
        """The name of a slot; a stack that is read as an array becomes one."""
        found = int(self.names[slot])
        if found != UNNAMED:
            return found
        stack, avals = self.stacks[slot], [self.base.aval_of(slot)]
        if isinstance(stack, Entries):
            step = self.base.step(self.base.owner(slot))
            reads = [self._name(x) for x in step.operands]
            found = self.out.step(step.primitive.name, reads, step.params, avals)
        else:
            found = self.out.step("pack", stack[::-1], {}, avals)
        self.names[slot] = found
        return found

    # -- loops -------------------------------------------------------------------

    def _loop(self, step: Step) -> None:
        """A loop: its body, as often as it goes round."""
        params = step.params
        carry, trips = params["carry"], params["length"]
        turns = slice(None, None, -1 if params["reverse"] else 1)
        behind = carry + params["xs"]
        tables = {
            place: found
            for place, slot in enumerate(step.operands[carry:behind], carry)
            if (found := self._table(slot)) is not None
        }
        body, keys = self._body(params["tape"], [*tables])
        starts = [self._name(slot) for slot in step.operands[:carry]]
        moving: list[Ids | Entries] = []
        taken = carry
        for place in range(carry, behind):
            if place in keys:
                moving += [
                    self._constants(tables[place][(slice(None), *key)])[turns]
                    for key in keys[place]
                ]
                taken += len(keys[place])
                continue
            slot = step.operands[place]
            moving.append(self._moving(slot, body.apart(taken))[turns])
            taken += 1
        fixed = [self._name(slot) for slot in step.operands[behind:]]
        ends, given = body.written(starts, moving, fixed, trips)
        for slot, name in zip(step.slots, ends, strict=False):
            self.names[slot] = name
        for slot, stack in zip(step.slots[carry:], given, strict=True):
            self.stacks[slot] = stack[turns]

    def _body(
        self, tape: Tape, tables: Sequence[int]
    ) -> tuple[Body, dict[int, list[Key]]]:
        """What an iteration writes; and of tables, the entries that it reads."""
        key = id(tape), *tables
        if key not in self.bodies:
            flat = sweeps.flat(tape)
            early, keys = not rolled(flat), dict[int, list[Key]]()
            body = Body(unrolled(flat), self.out, early=early)
            split = [place for place in tables if body.apart(place)]
            if split:
                made, keys = entrywise(body.flat, split)
                body = Body(made, self.out, early=early)
            self.bodies[key] = body, keys
        return self.bodies[key]

    def _table(self, slot: int) -> Any:
        """The rows of a table of constants; None for anything else, or for numbers."""
        step = self.base.step(self.base.owner(slot))
        if step.primitive.name != "const" or len(self.base.aval_of(slot)[0]) < 2:
            return None
        return np.asarray(step.params["value"])

    def _constants(self, rows: Any) -> Ids:
        """The names of constants, one for each row."""
        return np.array([self.out.constant(x) for x in _apart(rows)], np.int64)

    def _moving(self, slot: int, apart: bool) -> Ids | Entries:
        """What the iterations read, one after the other.

        Args:
            slot: all of it.
            apart: whether an iteration reads its part entry by entry.
        """
        found, base = self.stacks.get(slot), self.base
        if isinstance(found, np.ndarray):
            return found
        if found is not None and (found.places.ndim == 1 or apart):
            return found
        step = base.step(base.owner(slot))
        if step.primitive.name == "const":  # a table
            return self._constants(np.asarray(step.params["value"]))
        shape = base.aval_of(slot)[0]
        return Entries(self._name(slot), shape, 1, np.arange(shape[0]))


def _apart(rows: Any) -> list[Any]:
    """The rows of an array as constants: floats, truth values, arrays."""
    if rows.ndim == 1 and rows.dtype in {np.dtype(np.float64), np.dtype(bool)}:
        return rows.tolist()  # type: ignore[no-any-return]
    return [row if row.ndim else row[()] for row in rows]
