"""The columns of a tape of numbers, as they are written. Floor 9.

A hundred thousand steps are written in a tenth of a second, or half of building their
code would go by here: steps come in *pieces*, of which there are few kinds, and what is
noted of each is its kind and the operands. The columns are put together in bulk.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.tape.tape import BOOLEAN, SCALAR, Static, Tape


@dataclass(frozen=True, slots=True)
class Link:
    """A step of a piece, its operands aside.

    Args:
        code: its row, by the writer's number.
        static: the place of its parameters.
        count: how many operands it has.
        truth: whether it gives a truth value.
        owns: how many slots it has; a guard has none.
    """

    code: int
    static: int
    count: int
    truth: bool = False
    owns: int = 1


class Writer:
    """A tape of numbers and truth values.

    Args:
        statics: parameters that are known by their place already.

    Attributes:
        n: slots so far.
        pieces: kinds of the pieces so far.
        reads: operands, all pieces in one list.
        inputs: slots of the inputs.
    """

    def __init__(self, statics: Sequence[Static] = ((),)) -> None:
        self.n = 0
        self.pieces: list[int] = []
        self.reads: list[int] = []
        self.inputs: list[int] = []
        self.statics = list(statics)
        self._kinds: dict[tuple[Link, ...], int] = {}
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

    def kind(self, *links: Link) -> int:
        """The kind of a piece."""
        return self._kinds.setdefault(links, len(self._kinds))

    def step(self, kind: int, *reads: int) -> int:
        """Append a piece of one step that owns a slot; returns the slot."""
        slot = self.n
        self.n = slot + 1
        self.pieces.append(kind)
        self.reads += reads
        return slot

    def input(self, truth: bool) -> int:
        """Append an input."""
        slot = self.step(self.kind(Link(self.code("input"), 0, 0, truth)))
        self.inputs.append(slot)
        return slot

    def guard(self, static: int, slot: int) -> None:
        """Append a guard, which owns no slot."""
        self.pieces.append(self.kind(Link(self.code("guard"), static, 1, owns=0)))
        self.reads.append(slot)

    def constant(self, value: float | bool) -> int:
        """The slot of a constant; equal ones, by their bits, share one."""
        truth = isinstance(value, bool)
        key: Any = value if truth else struct.pack("<d", value)
        slot = self._constants.get(key)
        if slot is None:
            link = Link(self.code("const"), self.params((("value", value),)), 0, truth)
            slot = self._constants[key] = self.step(self.kind(link))
        return slot

    def frozen(self, outputs: Sequence[int]) -> Tape:
        """The tape, whose inputs and outputs are numbers without a nesting."""
        names = sorted(self._codes)
        order = np.array([names.index(name) for name in self._codes], np.uint16)
        kinds = list(self._kinds)
        links = [link for kind in kinds for link in kind]
        at = _places(np.array(self.pieces, np.int64), [len(kind) for kind in kinds])

        def column(field: str, dtype: Any) -> npt.NDArray[Any]:
            values = [getattr(link, field) for link in links]
            return np.take(np.array(values, dtype), at)

        owns = column("owns", np.int32)
        return Tape(
            operations=tuple(names),
            opcode=order[column("code", np.int64)],
            offsets=_ends(column("count", np.int32)),
            operands=np.array(self.reads, np.int32),
            first=_ends(owns),
            static=column("static", np.int32),
            statics=tuple(self.statics),
            aval=column("truth", np.uint16)[owns > 0],
            avals=(SCALAR, BOOLEAN),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
        )


def _ends(sizes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Where each part begins, and where the last one ends."""
    ends: npt.NDArray[np.int32] = np.append(0, np.cumsum(sizes)).astype(np.int32)
    return ends


def _places(pieces: npt.NDArray[Any], sizes: Sequence[int]) -> npt.NDArray[Any]:
    """For each step its link, the links of all kinds standing in a row."""
    size = np.array(sizes, np.int64)
    start = np.cumsum(size) - size
    mine = size[pieces]
    begins = np.cumsum(mine) - mine
    return np.repeat(start[pieces] - begins, mine) + np.arange(int(mine.sum()))
