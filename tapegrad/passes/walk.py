"""A tape written anew, step by step, with what is known of each slot. Floor 4.

Value numbering (Cocke and Schwartz, 1970): a step with the row, parameters and operands
of an earlier one is that step. One pass in step order; operands have been replaced
before a step is looked at, so what follows from an earlier change is found at once.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.passes.exact import RULES, SPREAD, spread, wide
from tapegrad.passes.fold import folded
from tapegrad.rules import TABLE
from tapegrad.tape.lines import Lines
from tapegrad.tape.tape import BOOLEAN, SCALAR, Aval, Tape

# Rows that pass a uniform value on, and constants.
NOTED = frozenset({"const", "reshape", "broadcast_to", "transpose", "index"})
# Avals of numbers that are folded.
PLAIN = frozenset({SCALAR, BOOLEAN})
# The order of these two operands changes no bit but a NaN's payload.
COMMUTE = frozenset({"add", "mul", "logical_and", "logical_or", "equal", "not_equal"})


class Walk:
    """The new tape, and the slots of the old one on it.

    Args:
        tape: any tape.
        fold: "float64" folds every step of numbers, "any" what is exact.
    """

    def __init__(self, tape: Tape, fold: str) -> None:
        self.tape = tape
        self._exact = fold == "any"
        self._labelled: set[int] = set()  # new slots: what a replay may nudge
        self.moved: list[int] = []
        # the new columns
        self._names: list[str] = []
        self._reads: list[tuple[int, ...]] = []
        self._static: list[int] = []
        self._first: list[int] = [0]
        self._avals: list[Aval] = []
        self._source: list[int] = []  # for each new slot an old one, for its line
        self._maker: list[int] = []  # for each new slot its step
        self.statics: list[Any] = list(tape.statics)
        self._params = [dict(static) for static in tape.statics]
        self._interned: dict[Any, int] = {}
        # equal parameters have one number
        self._same = [
            self._interned.setdefault(_key(static), place)
            for place, static in enumerate(tape.statics)
        ]
        self._known: dict[Any, int] = {}
        self._uniform: dict[int, Any] = {}
        self.run()

    # -- what rules ask --------------------------------------------------------

    def made(self, slot: int, name: str) -> tuple[int, ...] | None:
        """The operands of the step that made a slot, if it is of that row.

        None for a labelled slot: who reads past it would not see that it was nudged.
        """
        step = self._maker[slot]
        if self._names[step] != name or slot in self._labelled:
            return None
        return self._reads[step]

    def params(self, slot: int) -> dict[str, Any]:
        """The parameters of the step that made a slot."""
        return self._params[self._static[self._maker[slot]]]

    def aval(self, slot: int) -> Aval:
        """Shape and dtype of a slot."""
        return self._avals[slot]

    def shape(self, slot: int) -> tuple[int, ...]:
        """The shape of a slot."""
        return self._avals[slot][0]

    def uniform(self, slot: int) -> Any:
        """The number that every entry of a slot is, where that is known."""
        return self._uniform.get(slot)

    def alike(self, slot: int, reads: Sequence[int]) -> bool:
        """Whether a slot has the shape of an elementwise step on some operands."""
        return self.alike_all((slot,), reads)

    def alike_all(self, made: Sequence[int], reads: Sequence[int]) -> bool:
        """Whether two sets of operands broadcast to the same shape."""
        shapes = [wide([self.shape(i) for i in of]) for of in (made, reads)]
        return shapes[0] == shapes[1]

    # -- the pass --------------------------------------------------------------

    def run(self) -> None:
        """Write every step, or find that it is there."""
        tape = self.tape
        first, offsets = tape.first.tolist(), tape.offsets.tolist()
        operands, aval = tape.operands.tolist(), tape.aval.tolist()
        names, avals, labels = tape.operations, tape.avals, tape.labels
        moved, one, put = self.moved, self._one, self.moved.append
        low = 0
        for code, static, slot, end, high in zip(
            tape.opcode.tolist(),
            map(self._same.__getitem__, tape.static.tolist()),
            first,
            first[1:],
            offsets[1:],
            strict=False,
        ):
            reads = tuple([moved[i] for i in operands[low:high]])
            low = high
            name = names[code]
            if end - slot == 1 and name != "input" and slot not in labels:
                put(one(name, reads, static, avals[aval[slot]], slot))
            else:
                mine = [avals[i] for i in aval[slot:end]]
                moved += self._several(name, reads, static, mine, slot)

    def _several(
        self, name: str, reads: Any, static: int, avals: list[Aval], source: int
    ) -> list[int]:
        """A step that stays as it is, unless it owns slots that are there already.

        Inputs, guards and labelled steps are kept, each one: a replay may nudge a
        labelled slot, and what had been shared with it would move, too.
        """
        share = len(avals) > 1 and not any(
            slot in self.tape.labels for slot in range(source, source + len(avals))
        )
        key = (name, static, reads)
        if share and key in self._known:
            start = self._known[key]
        else:
            start = self._write(name, reads, static, avals, source)
            if share:
                self._known[key] = start
            else:
                self._labelled.update(
                    start + place
                    for place in range(len(avals))
                    if source + place in self.tape.labels
                )
        return list(range(start, start + len(avals)))

    def _one(
        self, name: str, reads: tuple[int, ...], static: int, aval: Aval, source: int
    ) -> int:
        """The slot of a step with one result."""
        rule = RULES.get(name)
        while rule is not None:
            answer = rule(self, reads, self._params[static])
            if answer is None:
                break
            if type(answer) is int:
                shape, dtype = self._avals[answer]
                if (shape, dtype) == aval:
                    return answer
                if dtype != aval[1]:
                    break
                answer = "broadcast_to", (answer,), {"shape": aval[0]}
            name, reads, params = answer  # type: ignore[misc]
            static = self._intern(params) if params else 0
            rule = RULES.get(name)
        if aval[0]:
            if name in SPREAD:
                reads = spread(self, reads)
        elif reads and self._uniform.keys() >= set(reads):
            name, reads, static = self._folded(name, reads, static)
        key = (name, static, reads)
        if name in COMMUTE and reads[0] > reads[1]:
            key = (name, static, reads[::-1])
        slot = self._known.get(key)
        if slot is None:
            slot = self._known[key] = self._write_one(name, reads, static, aval, source)
            if name in NOTED:
                self._note(slot, name, reads, static)
        return slot

    def _folded(self, name: str, reads: Any, static: int) -> Any:
        """A constant in place of a step of constants."""
        if any(self._avals[i] not in PLAIN for i in reads):
            return name, reads, static
        values = [self._uniform[i] for i in reads]
        found = folded(TABLE[name], values, self._params[static], exact=self._exact)
        if found is None:
            return name, reads, static
        return "const", (), self._intern({"value": found})

    def _note(self, slot: int, name: str, reads: tuple[int, ...], static: int) -> None:
        """Remember what number every entry is."""
        if name == "const":
            value = self._params[static]["value"]
            if type(value) is float or type(value) is bool:
                self._uniform[slot] = value
        elif reads[0] in self._uniform:
            self._uniform[slot] = self._uniform[reads[0]]

    def _write(
        self, name: str, reads: Any, static: int, avals: list[Aval], source: int
    ) -> int:
        start = self._first[-1]
        self._names.append(name)
        self._reads.append(reads)
        self._static.append(static)
        self._maker += [len(self._names) - 1] * len(avals)
        self._source += range(source, source + len(avals))
        self._avals += avals
        self._first.append(start + len(avals))
        return start

    def _write_one(
        self, name: str, reads: Any, static: int, aval: Aval, source: int
    ) -> int:
        slot = self._first[-1]
        self._maker.append(len(self._names))
        self._names.append(name)
        self._reads.append(reads)
        self._static.append(static)
        self._source.append(source)
        self._avals.append(aval)
        self._first.append(slot + 1)
        return slot

    def _intern(self, params: Mapping[str, Any]) -> int:
        static = tuple(sorted(params.items()))
        index = self._interned.setdefault(_key(static), len(self.statics))
        if index == len(self.statics):
            self.statics.append(static)
            self._params.append(dict(static))
        return index

    # -- the result ------------------------------------------------------------

    def frozen(self) -> Tape:
        """The new tape."""
        tape, moved = self.tape, self.moved
        names = sorted(set(self._names))
        code = {name: place for place, name in enumerate(names)}
        table: dict[Aval, int] = {SCALAR: 0}
        aval = [table.setdefault(aval, len(table)) for aval in self._avals]
        flat = [slot for reads in self._reads for slot in reads]
        lines = tape.lines
        if lines is not None:
            lines = Lines(lines.places, lines.column[self._source])
        return dataclasses.replace(
            tape,
            operations=tuple(names),
            opcode=np.array([code[name] for name in self._names], np.uint16),
            offsets=np.cumsum([0, *map(len, self._reads)], dtype=np.int32),
            operands=np.array(flat, np.int32),
            first=np.array(self._first, np.int32),
            static=np.array(self._static, np.int32),
            statics=tuple(self.statics),
            aval=np.array(aval, np.uint16),
            avals=tuple(table),
            inputs=tuple(moved[slot] for slot in tape.inputs),
            outputs=tuple(moved[slot] for slot in tape.outputs),
            labels={moved[slot]: label for slot, label in tape.labels.items()},
            lines=lines,
        )


def _key(static: Any) -> Any:
    """Parameters as a key: floats by their bits, arrays and tapes by identity."""
    return tuple((name, _bits(value)) for name, value in static)


def _bits(value: Any) -> Any:
    if type(value) is float:
        return "f", struct.pack("<d", value)
    if type(value) is tuple:
        return tuple(map(_bits, value))
    if type(value) in {int, bool, str, type(None)}:
        return type(value).__name__, value
    return id(value)
