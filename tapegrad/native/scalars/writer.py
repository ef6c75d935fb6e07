"""The columns of a tape of numbers, as they are written. Floor 9.

A step is three appends and no object: a tape of a hundred thousand steps is written in
a tenth of a second, and half of building its code would else go by here.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.tape import BOOLEAN, SCALAR, Static, Tape


class Writer:
    """A tape of numbers and truth values.

    Args:
        statics: parameters that are known by their place already.

    Attributes:
        n: slots so far.
        ops, static, counts: a step's row by its number, parameters, operands.
        reads: operands, all steps in one list.
        truths: slots that are truth values.
        inputs: slots of the inputs.
    """

    def __init__(self, statics: Sequence[Static] = ((),)) -> None:
        self.n = 0
        self.ops: list[int] = []
        self.static: list[int] = []
        self.counts: list[int] = []
        self.reads: list[int] = []
        self.truths: list[int] = []
        self.inputs: list[int] = []
        self.statics = list(statics)
        self._constants: dict[Any, int] = {}
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """The number of a row."""
        return self._codes.setdefault(name, len(self._codes))

    def params(self, static: Static) -> int:
        """The place of parameters that are not there yet."""
        if not static:
            return 0
        self.statics.append(static)
        return len(self.statics) - 1

    def step(self, code: int, static: int, reads: Sequence[int], truth: bool) -> int:
        """Append a step that owns a slot; returns the slot."""
        slot = self.n
        self.n = slot + 1
        self.ops.append(code)
        self.static.append(static)
        self.counts.append(len(reads))
        self.reads += reads
        if truth:
            self.truths.append(slot)
        return slot

    def input(self, truth: bool) -> int:
        """Append an input."""
        slot = self.step(self.code("input"), 0, (), truth)
        self.inputs.append(slot)
        return slot

    def guard(self, static: int, slot: int) -> None:
        """Append a guard, which owns no slot."""
        self.step(self.code("guard"), static, (slot,), truth=False)
        self.n -= 1

    def constant(self, value: float | bool) -> int:
        """The slot of a constant; equal ones, by their bits, share one."""
        truth = isinstance(value, bool)
        key: Any = value if truth else struct.pack("<d", value)
        slot = self._constants.get(key)
        if slot is None:
            held = value if truth or not math.isnan(value) else math.nan
            static = self.params((("value", held),))
            slot = self._constants[key] = self.step(
                self.code("const"), static, (), truth
            )
        return slot

    def frozen(self, outputs: Sequence[int]) -> Tape:
        """The tape, whose inputs and outputs are numbers without a nesting."""
        names = sorted(self._codes)
        place = {name: index for index, name in enumerate(names)}
        order = np.array([place[name] for name in self._codes] or [0], np.uint16)
        opcode = order[np.array(self.ops, np.int64)]
        owns = np.ones(len(opcode), np.int32)
        if "guard" in place:
            owns[opcode == place["guard"]] = 0
        aval = np.zeros(self.n, np.uint16)
        aval[self.truths] = 1
        return Tape(
            operations=tuple(names),
            opcode=opcode,
            offsets=_ends(np.array(self.counts, np.int32)),
            operands=np.array(self.reads, np.int32),
            first=_ends(owns),
            static=np.array(self.static, np.int32),
            statics=tuple(self.statics),
            aval=aval,
            avals=(SCALAR, BOOLEAN),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
        )


def _ends(sizes: Any) -> Any:
    """Where each part begins, and where the last one ends."""
    return np.append(0, np.cumsum(sizes)).astype(np.int32)
