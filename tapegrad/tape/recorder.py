"""Growing columns: what a recording appends to. Floor 2.

Handles append `opcode, a, b, primal` to one flat list: of the styles measured (flat
list, three lists, tuples, array columns, an object a step) it is the cheapest, and a
chunk of it becomes NumPy columns in one go, at 18 bytes a step. Steps with more than
two operands keep them in a side table, and so do arrays, which are no entry of a column
of floats. Row i of the columns is slot i; steps that own no slot (guards) stand beside
the columns with the slot number they come before.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.structure import CALL, CONST, GUARD, INPUT
from tapegrad.tape.guards import Guard
from tapegrad.tape.lines import Places
from tapegrad.tape.structure import Structure
from tapegrad.tape.tape import BOOLEAN, SCALAR, Aval, Static, Tape

# Rows of the flat list that are turned into columns at a time: the list stays in the
# cache, and 64 Ki rows make the conversion's fixed cost vanish.
BLOCK = 1 << 16

# In column `a`: the operands stand in the side table, at index `b`.
MANY = -1
# Opcode of the second and later slots of a step that owns several.
CONTINUED = -1

ARRAYS = (np.ndarray, np.generic)
_INPUT, _CONST = TABLE.opcode(INPUT), TABLE.opcode(CONST)


class Columns:
    """Columns that grow, one row a slot.

    Attributes:
        flat: rows not yet in blocks: opcode, a, b, primal, flattened.
        n: number of slots so far.
        limit: slot number at which `full` is called.
        many: operands and static index of steps that the columns cannot hold.
        guards: (slot number it comes before, slot read, guard).
        avals: shape and dtype of slots that are not float64 scalars.
        arrays: values of slots that are no floats, where they are kept.
        reads: what is known of the places of entries that were read.
        statics: distinct static parameters.
        views: slots that NumPy would have made as views of a slot's array.
        stale: views whose base was written since, and where.
    """

    __slots__ = (
        "_constants",
        "_static_index",
        "arrays",
        "avals",
        "blocks",
        "flat",
        "guards",
        "labels",
        "limit",
        "many",
        "n",
        "reads",
        "stale",
        "statics",
        "views",
    )
    # whether the values of array slots are kept: only eager sweeps ask for them
    keeps = False
    # where the rows come from, noted where a recording is asked to
    lines: Places | None = None
    # whether the steps are a derivative's, whose numbers are not asked for here
    derives = False

    def __init__(self) -> None:
        self.flat: list[Any] = []
        self.blocks: list[tuple[npt.NDArray[Any], ...]] = []
        self.n = 0
        self.limit = BLOCK - 1
        self.many: list[tuple[tuple[int, ...], int]] = []
        self.guards: list[tuple[int, int, Guard]] = []
        self.avals: dict[int, Aval] = {}
        self.arrays: dict[int, Any] = {}
        self.views: dict[int, list[int]] = {}
        self.stale: dict[int, tuple[str, int]] = {}
        self.labels: dict[int, str] = {}
        self.reads: dict[Any, Any] = {}
        self.statics: list[Static] = [()]
        self._static_index: dict[Any, int] = {(): 0}
        self._constants: dict[Any, int] = {}

    # -- growing ---------------------------------------------------------------

    def full(self) -> None:
        """Turn the flat rows into columns; called when `limit` is reached."""
        self.blocks.append(_convert(self.flat))
        self.flat = []
        self.limit = self.n + BLOCK - 1

    def put(self, code: int, a: int, b: int, primal: Any) -> int:
        """Append one row; returns its slot."""
        slot = self.n
        self.n = slot + 1
        self.flat += code, a, b, primal
        if slot >= self.limit:
            self.full()
        return slot

    def intern(self, params: Mapping[str, Any]) -> int:
        """The index of static parameters in `statics`."""
        if not params:
            return 0
        # 2 and 2.0 are equal keys but different content, and so are 0.0 and -0.0
        key: Any
        if len(params) == 1:  # the usual set
            ((name, value),) = params.items()
            static: Static = ((name, value),)
            key = name, type(value), value or repr(value)
        else:
            static = tuple(sorted(params.items()))
            key = tuple([(k, type(value), value or repr(value)) for k, value in static])
        if Tape in map(type, params.values()):
            # sub-tapes are equal whatever the lines of their guards
            key = key, tuple(_places(params))
        index = self._static_index.get(key)
        if index is None:
            index = self._static_index[key] = len(self.statics)
            self.statics.append(static)
        return index

    def input(self, primal: Any, aval: Aval = SCALAR) -> int:
        """Append an independent variable."""
        if aval == SCALAR:
            return self.put(_INPUT, 0, 0, primal)
        self.avals[self.n] = aval
        self.arrays[self.n] = primal
        return self.put(_INPUT, 0, 0, math.nan)

    def constant(self, value: Any) -> int:
        """The slot of a constant; equal ones (by bits) share one.

        Arrays must be frozen already: nothing is copied here.
        """
        key: Any = value
        truth = False
        if type(value) is not float or not value:
            if isinstance(value, ARRAYS) and type(value) is not np.float64:
                return self._constant_array(value)
            truth = isinstance(value, bool)
            if truth or not value:
                key = (value, math.copysign(1.0, value), truth)
        slot = self._constants.get(key)
        if slot is None:
            if truth:
                self.avals[self.n] = BOOLEAN
            if value != value:  # noqa: PLR0124 - NaN is never found again as a key
                return self.put(_CONST, 0, self.intern({"value": value}), value)
            self.statics.append((("value", value),))
            slot = self.put(_CONST, 0, len(self.statics) - 1, value)
            self._constants[key] = slot
        return slot

    def _constant_array(self, value: Any) -> int:
        data = np.ascontiguousarray(value)
        bits = hashlib.sha256(data.data if data.size else b"").digest()
        key = (data.dtype.str, value.shape, bits)
        slot = self._constants.get(key)
        if slot is None:
            self.avals[self.n] = aval_of(value)
            self.arrays[self.n] = value
            self.statics.append((("value", value),))
            slot = self.put(_CONST, 0, len(self.statics) - 1, math.nan)
            self._constants[key] = slot
        return slot

    def push(
        self,
        row: Primitive,
        operands: Sequence[int],
        params: Mapping[str, Any],
        primal: Any,
    ) -> int:
        """Append a step that owns one slot; returns the slot."""
        static = self.intern(params)
        count = len(operands)
        code = TABLE.opcode(row)
        if row.kind == "predicate":
            self.avals[self.n] = BOOLEAN
        if count == 1 and row.arity == 1:
            return self.put(code, operands[0], static, primal)
        if count == 2 and not static and row.arity == 2:
            return self.put(code, operands[0], operands[1], primal)
        self.many.append((tuple(operands), static))
        return self.put(code, MANY, len(self.many) - 1, primal)

    def push_arrays(
        self,
        row: Primitive,
        operands: Sequence[int],
        params: Mapping[str, Any],
        primals: Sequence[Any],
        avals: Sequence[Aval],
    ) -> list[int]:
        """Append a step of any row, with the avals of its slots; returns the slots."""
        if len(avals) == 1:
            slots = [self.push(row, operands, params, _float_or_nan(primals[0]))]
        else:
            slots = self._several(row, operands, params, primals)
        self._keep(slots, primals, avals)
        return slots

    def push_call(
        self, tape: Tape, operands: Sequence[int], primals: Sequence[Any]
    ) -> list[int]:
        """Append a call of a sub-tape; returns its slots."""
        if not tape.outputs:
            return []
        slots = self._several(CALL, operands, {"tape": tape}, primals)
        self._keep(slots, primals, [tape.aval_of(slot) for slot in tape.outputs])
        return slots

    def _several(
        self,
        row: Primitive,
        operands: Sequence[int],
        params: Mapping[str, Any],
        primals: Sequence[Any],
    ) -> list[int]:
        """Append a step that owns several slots."""
        self.many.append((tuple(operands), self.intern(params)))
        place = len(self.many) - 1
        codes = [TABLE.opcode(row)] + [CONTINUED] * (len(primals) - 1)
        return [
            self.put(code, MANY, place, _float_or_nan(primal))
            for code, primal in zip(codes, primals, strict=True)
        ]

    def _keep(
        self, slots: Sequence[int], primals: Sequence[Any], avals: Sequence[Aval]
    ) -> None:
        for slot, primal, aval in zip(slots, primals, avals, strict=True):
            if aval == SCALAR:
                self.avals.pop(slot, None)
                continue
            self.avals[slot] = aval
            if self.keeps:
                self.arrays[slot] = primal

    def push_guard(self, slot: int, guard: Guard) -> None:
        """Append a guard on the value of a slot."""
        self.guards.append((self.n, slot, guard))

    def append(
        self,
        row: Primitive,
        operands: Sequence[int],
        params: Mapping[str, Any],
        avals: Sequence[Aval],
    ) -> list[int]:
        """Append any kind of step, primals unknown; returns its slots."""
        if row is GUARD:
            self.push_guard(operands[0], params["guard"])
            return []
        if row is CALL:
            tape = params["tape"]
            return self.push_call(tape, operands, [math.nan] * len(tape.outputs))
        if row is INPUT:
            return [self.input(math.nan, avals[0])]
        if row is CONST:
            return [self.constant(params["value"])]
        return self.push_arrays(row, operands, params, [math.nan] * len(avals), avals)

    # -- reading ---------------------------------------------------------------

    def columns(self, stop: int | None = None) -> tuple[npt.NDArray[Any], ...]:
        """Columns opcode, a, b (int32) and primal (float64) of the first slots."""
        stop = self.n if stop is None else stop
        filled = sum(len(block[0]) for block in self.blocks)
        parts = list(self.blocks)
        if stop > filled:
            parts.append(_convert(self.flat[: 4 * (stop - filled)]))
        if len(parts) == 1:
            return tuple(column[:stop] for column in parts[0])
        if not parts:
            return _convert([])
        return tuple(
            np.concatenate(columns)[:stop] for columns in zip(*parts, strict=True)
        )

    def step_at(self, slot: int) -> tuple[Primitive, tuple[int, ...], Static, Any]:
        """Row, operands, static parameters of one slot's step, and its primal."""
        code, a, b, primal = self._row_at(slot)
        if slot in self.arrays:
            primal = self.arrays[slot]
        if code == CONTINUED:
            code = self._row_at(self.first_of(slot))[0]
        row = TABLE.rows[code]
        if row.arity == 0:
            return row, (), self.statics[b], primal
        if a == MANY:
            operands, static = self.many[b]
            return row, operands, self.statics[static], primal
        if row.arity == 1:
            return row, (a,), self.statics[b], primal
        return row, (a, b), (), primal

    def first_of(self, slot: int) -> int:
        """The first slot of the step that owns a slot."""
        while self._row_at(slot)[0] == CONTINUED:
            slot -= 1
        return slot

    def _row_at(self, slot: int) -> Any:
        for block in self.blocks:
            if slot < len(block[0]):
                return [column[slot].item() for column in block]
            slot -= len(block[0])
        return self.flat[4 * slot : 4 * slot + 4]

    def is_constant(self, slot: int) -> bool:
        """Whether a slot is a constant."""
        return bool(self._row_at(slot)[0] == _CONST)

    def aval_at(self, slot: int) -> Aval:
        """Shape and dtype of a slot."""
        return self.avals.get(slot, SCALAR)

    def freeze(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        labels: Mapping[int, str] | None = None,
        structure: Structure | None = None,
        example: tuple[Any, ...] | None = None,
    ) -> Tape:
        """A frozen tape of everything appended so far."""
        from tapegrad.tape.freeze import freeze

        return freeze(self, inputs, outputs, labels, structure, example)


# The dtypes of slots; asking NumPy for a dtype's name takes microseconds.
NAMES = {np.dtype(name): name for name in ("float64", "float32", "int64", "bool")}


def aval_of(value: Any) -> Aval:
    """Shape and dtype of a primal, as the columns name them."""
    if type(value) is float:
        return SCALAR
    if type(value) is bool:
        return BOOLEAN
    return value.shape, NAMES[value.dtype]


def _float_or_nan(primal: Any) -> float | bool:
    """What the column of floats holds for a primal."""
    return primal if type(primal) is float or type(primal) is bool else math.nan


def _convert(flat: list[Any]) -> tuple[npt.NDArray[Any], ...]:
    # in one pass: slots are whole numbers far below 2**53, which doubles hold exactly
    table = np.fromiter(flat, np.float64, len(flat)).reshape(-1, 4)
    a, b, c = (table[:, place].astype(np.int32) for place in range(3))
    return a, b, c, table[:, 3].copy()


def _places(params: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """What tells the guards of sub-tapes apart, inner ones too; no recursion."""
    found: list[tuple[object, ...]] = []
    waiting = [value for value in params.values() if isinstance(value, Tape)]
    tops = list(waiting)
    while waiting:
        tape = waiting.pop()
        if "places" in tape._known:  # noqa: SLF001 - the notebook of the tape
            found += tape._known["places"]  # noqa: SLF001
            continue
        found += [guard.key for guard in tape.guards]
        inner = [value for static in tape.statics for _, value in static]
        waiting += [value for value in inner if isinstance(value, Tape)]
    if len(tops) == 1:
        tops[0]._known["places"] = found  # noqa: SLF001
    return found
