"""A tape of arrays, entry by entry: each slot's entries as slots of numbers. Floor 9.

    y = x[3]     is no step: y is the slot that entry 3 of x is
    y = a * x    is a step an entry, where that is few

Whatever moves entries is its row's NumPy function, applied to the entries' slots in
place of the entries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.native.scalars.writer import Link, Writer
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.tape import BOOLEAN, SCALAR, Tape

Places = npt.NDArray[np.int64]

# Rows that move entries; those that put zeros beside them; those that read places.
MOVES = frozenset({"index", "index_set", "reshape", "transpose", "broadcast_to"})
JOINS = frozenset({"concatenate"})
FILLS = frozenset({"scatter", "tril", "triu"})
GATHERS = frozenset({"gather"})
MOVEMENT = MOVES | JOINS | FILLS | GATHERS
KINDS = frozenset({"elementwise", "select", "predicate", "cut"})

# What is no piece: an index of one entry; all the rest.
ENTRY, OTHER = -1, -2

# Entries of inputs and outputs that a tape may have for each step, and beside them: a
# long array of which a few entries are read is better off as an array.
EACH, BESIDE = 4, 64
# Arrays of so many entries are computed entry by entry, on tapes of so many steps: code
# of loops takes ten times longer to build, and runs no quicker for a few entries. On
# any tape they are, where numbers are in the majority.
SHORT_ARRAYS = ((256, 4), (2048, 8))
# Entries that may be moved for each step while the tape is written.
MOVED = 64


class Entries:
    """The steps of numbers that a tape of arrays is made of.

    Args:
        base: a flat tape, which `fits`.

    Attributes:
        out: the steps so far.
        ids: for each slot of the tape the slot of its number, or those of its entries.
    """

    def __init__(self, base: Tape) -> None:
        self.base = base
        self.out = Writer(base.statics)
        self.rows = [TABLE[name] for name in base.operations]
        self.params = [dict(static) for static in base.statics]
        self.ids: list[Any] = [None] * base.slot_count
        self._lists: dict[int, list[int]] = {}
        self._offsets: dict[tuple[int, ...], dict[int, int | None]] = {}
        for slot in base.inputs:
            shape, dtype = base.aval_of(slot)
            truth = dtype == "bool"
            made = [self.out.input(truth) for _ in range(math.prod(shape))]
            self.ids[slot] = (
                np.array(made, np.int64).reshape(shape) if shape else made[0]
            )
        self._run()

    def _run(self) -> None:
        base, ids, out = self.base, self.ids, self.out
        names, operands = base.operations, base.operands.tolist()
        pieces, written, low = out.pieces, out.reads, 0
        for op, static, kind, slot, high in zip(
            base.opcode.tolist(),
            base.static.tolist(),
            self._kinds(),
            base.first.tolist(),
            base.offsets[1:].tolist(),
            strict=False,
        ):
            reads = operands[low:high]
            low = high
            if kind >= 0:
                written += [ids[i] for i in reads]
                pieces.append(kind)
                ids[slot] = out.n
                out.n += 1
            elif kind == ENTRY:
                ids[slot] = self._entry(reads[0], static)
            elif names[op] == "guard":
                out.guard(static, ids[reads[0]])
            elif names[op] != "input":
                ids[slot] = self._other(op, slot, static, reads)

    def _kinds(self) -> list[int]:
        """What kind of piece each step is; `ENTRY` or `OTHER` where it is none."""
        base = self.base
        alone = np.array([aval in {SCALAR, BOOLEAN} for aval in base.avals] or [False])
        truth = np.array([aval == BOOLEAN for aval in base.avals] or [False])
        owned = base.first[:-1] < base.first[1:]
        aval = base.aval[np.where(owned, base.first[:-1], 0)]
        number = alone[aval] & owned
        computes = np.array([row.kind in KINDS and not row.whole for row in self.rows])
        index = np.array([row.name == "index" for row in self.rows])
        kinds = np.where(number & index[base.opcode], ENTRY, OTHER)
        mine = np.flatnonzero(number & computes[base.opcode])
        keys = (base.opcode[mine].astype(np.int64) * len(base.statics)) * 2
        keys += base.static[mine] * 2 + truth[aval[mine]]
        _, at, which = np.unique(keys, return_index=True, return_inverse=True)
        made = [self._kind(step, bool(truth[aval[step]])) for step in mine[at].tolist()]
        kinds[mine] = np.array(made, np.int64)[which]
        found: list[int] = kinds.tolist()
        return found

    def _kind(self, step: int, truth: bool) -> int:
        base = self.base
        count = int(base.offsets[step + 1] - base.offsets[step])
        code = self.out.code(base.operations[base.opcode[step]])
        return self.out.kind(Link(code, int(base.static[step]), count, truth))

    def offset(self, static: int, shape: tuple[int, ...]) -> int | None:
        """The place of the one entry that an index reads, in an array of a shape."""
        known = self._offsets.get(shape)
        if known is None:
            known = self._offsets[shape] = {}
        if static not in known:
            known[static] = _offset(self.params[static]["key"], shape)
        return known[static]

    def _entry(self, array: int, static: int) -> int:
        place = self.offset(static, self.base.aval_of(array)[0])
        if place is None:
            row = TABLE["index"]
            return int(self.moved(row, [self.ids[array]], static))
        if array not in self._lists:
            self._lists[array] = np.ravel(self.ids[array]).tolist()
        return self._lists[array][place]

    def _other(self, op: int, slot: int, static: int, reads: list[int]) -> Any:
        row = self.rows[op]
        if row.name == "const":
            return self._constant(self.params[static]["value"])
        mine = [self.ids[i] for i in reads]
        if row.name in MOVEMENT:
            made = self.moved(row, mine, static)
            return made if made.ndim else int(made)
        wide = np.broadcast_arrays(*mine)
        code, truth = self.out.code(row.name), self.base.aval_of(slot)[1] == "bool"
        kind = self.out.kind(Link(code, static, len(mine), truth))
        entries = zip(*(part.ravel().tolist() for part in wide), strict=True)
        found = [self.out.step(kind, *entry) for entry in entries]
        return np.array(found, np.int64).reshape(wide[0].shape)

    def _constant(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            if value.dtype.kind == "i":
                return value
            made = [self.out.constant(x) for x in value.ravel().tolist()]
            return np.array(made, np.int64).reshape(value.shape)
        return self.out.constant(value)

    def moved(self, row: Primitive, mine: Sequence[Any], static: int) -> Places:
        """What a row of movement makes of the places of entries."""
        zero = self.out.constant(0.0) if row.name in FILLS else 0
        return moved(row, mine, self.params[static], zero)


def moved(row: Primitive, mine: Sequence[Any], params: Any, zero: int) -> Places:
    """Numbers moved as a row of movement moves entries, `zero` where it puts zeros."""
    move: Any = row.numpy
    if row.name in FILLS:
        found = np.asarray(move(np, np.asarray(mine[0]) + 1, **params)) - 1
        return np.where(found < 0, zero, found)
    return np.asarray(move(np, *map(np.asarray, mine), **params))


def _offset(key: Sequence[Any], shape: tuple[int, ...]) -> int | None:
    if len(key) != len(shape) or not all(type(entry) is int for entry in key):
        return None
    place = 0
    for entry, size in zip(key, shape, strict=True):
        place = place * size + entry % size
    return place


def fits(base: Tape) -> bool:
    """Whether a flat tape is one of numbers that stand in arrays.

    Its steps are those of numbers, of movement, and of short arrays here and there.
    """
    if not base.arrays or not len(base):
        return False
    rows = [TABLE[name] for name in base.operations]
    if not all(
        row.kind in {*KINDS, "structure"} or row.name in MOVEMENT for row in rows
    ):
        return False
    if "call" in base.operations or any(row.nested for row in rows):
        return False
    if any(row.whole and row.name not in MOVEMENT for row in rows):
        return False
    sizes = np.array([math.prod(shape) for shape, _ in base.avals])[base.aval]
    makers = base.opcode[np.repeat(np.arange(len(base)), np.diff(base.first))]
    if not _plain(base, makers):
        return False
    computing = np.array([row.kind in KINDS and not row.whole for row in rows])[makers]
    alone = np.array([not shape for shape, _ in base.avals])[base.aval]
    numbers = int((computing & alone).sum())
    short = sizes[computing & ~alone]
    largest, entries = int(short.max(initial=0)), int(short.sum())
    few = any(len(base) >= steps and largest <= most for steps, most in SHORT_ARRAYS)
    ends = int(sizes[[*base.inputs, *base.outputs]].sum())
    return (
        numbers + entries > 0
        and (few or entries <= numbers)
        and ends <= EACH * len(base) + BESIDE
        and int(sizes.sum()) <= MOVED * (len(base) + 1000)
    )


def _plain(base: Tape, makers: npt.NDArray[Any]) -> bool:
    """Whether numbers are floats and truth values, and places that are read known."""
    dtypes = {dtype for _, dtype in base.avals}
    if not dtypes <= {"float64", "bool", "int64"}:
        return False
    whole = np.array([dtype == "int64" for _, dtype in base.avals])[base.aval]
    constant = np.array([name == "const" for name in base.operations])[makers]
    if (whole & ~constant).any():
        return False
    if not whole.any():
        return "gather" not in base.operations
    owner = np.repeat(np.arange(len(base)), np.diff(base.offsets))
    position = np.arange(len(owner)) - base.offsets[owner]
    gathers = np.array([name == "gather" for name in base.operations])[base.opcode]
    places = gathers[owner] & (position > 0)
    return bool((whole[base.operands] == places).all()) and not any(
        base.aval_of(slot)[1] == "int64" for slot in base.outputs
    )
