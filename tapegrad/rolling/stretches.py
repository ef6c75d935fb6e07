"""Steps by the stretch: columns that grow by whole loops. Floor 10.

A slot is named before it has a number: what a step of work makes by how many such slots
stand before it, from 0 up; inputs and constants, which are leaves, by -1, -2, ... In
the end each constant is put before the first step that reads it, as a recording does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.rolling.told import with_outcomes
from tapegrad.tape.guards import Guard
from tapegrad.tape.recorder import Columns, aval_of
from tapegrad.tape.tape import SCALAR, Aval, Tape

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Steps in a row.

    Args:
        names: of each step, the number of its primitive's name.
        counts: of each step, how many operands it has.
        operands: names of the slots that are read, all steps in one column.
        statics: of each step, the number of its parameters.
        owns: of each step, how many slots it owns.
        avals: of each slot, the number of its shape and dtype.
    """

    names: Ids
    counts: Ids
    operands: Ids
    statics: Ids
    owns: Ids
    avals: Ids


@dataclass(frozen=True)
class Leaf:
    """An input or a constant: the numbers of its name, parameters and aval."""

    name: int
    static: int
    aval: int


class Stretches:
    """Stretches in order, and what they refer to.

    Attributes:
        slots: how many slots of work there are so far.
    """

    def __init__(self) -> None:
        self.slots = 0
        self._leaves: list[Leaf] = []
        self._inputs: list[int] = []
        self._parts: list[Stretch] = []
        self._names: dict[str, int] = {}
        self._avals: dict[Aval, int] = {SCALAR: 0}
        self._pool = Columns()
        self._guards: dict[Any, int] = {}
        self._constants: dict[int, int] = {}

    # -- words -----------------------------------------------------------------

    def name(self, primitive: str) -> int:
        """The number of a primitive's name."""
        return self._names.setdefault(primitive, len(self._names))

    def aval(self, aval: Aval) -> int:
        """The number of a shape and dtype."""
        return self._avals.setdefault(aval, len(self._avals))

    def static(self, params: Mapping[str, Any]) -> int:
        """The number of static parameters."""
        guard = params.get("guard")
        if not isinstance(guard, Guard):
            return self._pool.intern(params)
        # guards of two places are equal, and yet not the same
        key = guard.key
        if key not in self._guards:
            self._guards[key] = len(self._pool.statics)
            self._pool.statics.append((("guard", guard),))
        return self._guards[key]

    def input(self, aval: Aval) -> int:
        """The name of a further input."""
        self._inputs.append(len(self._leaves))
        return self._leaf("input", 0, aval)

    def constant(self, value: Any) -> int:
        """The name of a constant; equal ones (by bits) have one."""
        slot = self._pool.constant(value)  # which knows the equal ones
        if slot not in self._constants:
            unlike = isinstance(value, float) and math.isnan(value)
            last = len(self._pool.statics) - 1
            static = self._pool.intern({"value": value}) if unlike else last
            self._constants[slot] = self._leaf("const", static, aval_of(value))
        return self._constants[slot]

    def _leaf(self, primitive: str, static: int, aval: Aval) -> int:
        self._leaves.append(Leaf(self.name(primitive), static, self.aval(aval)))
        return -len(self._leaves)

    # -- growing ---------------------------------------------------------------

    def add(self, stretch: Stretch) -> int:
        """Append steps; returns the name of their first slot."""
        begin = self.slots
        self._parts.append(stretch)
        self.slots += len(stretch.avals)
        return begin

    def step(
        self,
        primitive: str,
        reads: Sequence[int] | Ids,
        params: Mapping[str, Any],
        avals: Sequence[Aval],
    ) -> int:
        """Append one step; returns the name of its first slot."""
        numbers = [self.aval(aval) for aval in avals]
        return self.add(
            Stretch(
                *map(_ids, ([self.name(primitive)], [len(reads)], reads)),
                *map(_ids, ([self.static(params)], [len(avals)], numbers)),
            )
        )

    # -- freezing --------------------------------------------------------------

    def freeze(self, outputs: Sequence[int], labels: Mapping[int, str]) -> Tape:
        """The tape; outputs and labels by the names of slots."""
        work, gone = _joined(self._parts), _ids([])
        guards = [number for key, number in self._guards.items() if key[-1]]
        if guards:
            xor = self._names.get("logical_xor", -1)
            work, gone = with_outcomes(work, guards, xor, self._seen, self._plain)
            outputs = [x - int(gone[x]) if x >= 0 else x for x in outputs]
            labels = {
                x - int(gone[x]) if x >= 0 else x: text for x, text in labels.items()
            }
        used, before = self._placed(work, outputs)
        leaves = _ids([*self._inputs, *used])
        # where leaves and steps of work stand among all steps
        inputs, steps = len(self._inputs), np.arange(len(work.names))
        at = steps + inputs + np.searchsorted(before, steps, "right")
        at_leaf = np.concatenate(
            [np.arange(inputs), inputs + before + np.arange(len(used))]
        )
        told = [self._leaves[leaf] for leaf in leaves.tolist()]

        def column(of_leaves: Any, of_work: Ids) -> Ids:
            found = np.zeros(len(leaves) + len(steps), np.int64)
            found[at_leaf], found[at] = of_leaves, of_work
            return found

        first = _running(column(1, work.owns))
        slots, leaf_slots = _ranges(first[at], work.owns), first[at_leaf]
        numbers = np.zeros(len(self._leaves) + len(slots), np.int64)
        numbers[: len(slots)] = slots
        numbers[-1 - leaves] = leaf_slots  # the first leaf is -1, the last one
        aval = np.zeros(int(first[-1]), np.int64)
        aval[leaf_slots], aval[slots] = [leaf.aval for leaf in told], work.avals
        opcode, names = _ranked(column([x.name for x in told], work.names), self._names)
        static = column([x.static for x in told], work.statics)
        statics = [
            0,
            *_met(static, names.index("guard") == opcode if "guard" in names else None),
        ]
        avals = [0, *_met(aval)]
        known = list(self._avals)
        return Tape(
            operations=names,
            opcode=opcode.astype(np.uint16),
            offsets=_running(column(0, work.counts)).astype(np.int32),
            operands=numbers[work.operands].astype(np.int32),
            first=first.astype(np.int32),
            static=_places(statics, static).astype(np.int32),
            statics=tuple(self._pool.statics[index] for index in statics),
            aval=_places(avals, aval).astype(np.uint16),
            avals=tuple(known[index] for index in avals),
            inputs=tuple(range(inputs)),
            outputs=tuple(numbers[_ids(outputs)].tolist()),
            labels={int(numbers[slot]): label for slot, label in labels.items()},
        )

    def _plain(self, static: int, outcome: bool) -> int:
        """The number of a guard that has seen what one that varies says it has."""
        guard = dict(self._pool.statics[static])["guard"]
        return self.static({"guard": Guard(outcome, guard.file, guard.line)})

    def _seen(self, name: int) -> bool | None:
        """The truth value that a name is a constant of; None for none."""
        if name >= 0:
            return None
        leaf = self._leaves[-1 - name]
        value = dict(self._pool.statics[leaf.static]).get("value")
        return value if type(value) is bool else None

    def _placed(self, work: Stretch, outputs: Sequence[int]) -> tuple[Ids, Ids]:
        """The constants that are read, in order, and the step that each stands before.

        Those that are outputs alone stand at the end.
        """
        reader = np.repeat(np.arange(len(work.names)), work.counts)
        reader = np.concatenate([reader, np.full(len(outputs), len(work.names))])
        read = np.concatenate([work.operands, _ids(outputs)])
        at = np.flatnonzero(read < 0)
        leaves, where = np.unique(-1 - read[at], return_index=True)
        kept = ~np.isin(leaves, self._inputs)
        leaves, where = leaves[kept], at[where[kept]]
        order = np.argsort(where)
        return leaves[order], reader[where[order]]


def _ids(values: Any) -> Ids:
    return np.array(values, np.int64)


def _joined(parts: Sequence[Stretch]) -> Stretch:
    columns = ("names", "counts", "operands", "statics", "owns", "avals")
    nothing = _ids([])
    return Stretch(
        *(
            np.concatenate([nothing, *(getattr(part, name) for part in parts)])
            for name in columns
        )
    )


def _running(counts: Ids) -> Ids:
    """0, and the sums from the beginning on."""
    found = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=found[1:])
    return found


def _ranges(starts: Ids, counts: Ids) -> Ids:
    """start, start + 1, ... for each start, as many as its count says."""
    ends = np.cumsum(counts)
    return np.repeat(starts - (ends - counts), counts) + np.arange(int(counts.sum()))


def _ranked(column: Ids, names: Mapping[str, int]) -> tuple[Ids, tuple[str, ...]]:
    """Numbers of names by the order of the alphabet, of those that occur."""
    present = set(np.unique(column).tolist())
    found = sorted(name for name, number in names.items() if number in present)
    rank = np.zeros(len(names), np.int64)
    rank[[names[name] for name in found]] = np.arange(len(found))
    return rank[column], tuple(found)


def _met(column: Ids, late: Any = None) -> list[int]:
    """The numbers of a column but 0, as they are met first; the late ones behind."""
    found, where = np.unique(column, return_index=True)
    if late is not None:
        where = where + len(column) * late[where]
    return [x for x in found[np.argsort(where)].tolist() if x]


def _places(numbers: Sequence[int], column: Ids) -> Ids:
    """The place of each entry of a column among the numbers."""
    place = np.zeros(max(numbers) + 1, np.int64)
    place[list(numbers)] = np.arange(len(numbers))
    return place[column]
