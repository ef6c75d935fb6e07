"""Reverse sweeps over growing columns, and over scalar tapes in bulk. Floor 5.

The primals are known, so all partials of one operation are computed at once by the
NumPy reading; only the accumulation runs slot by slot, in reverse order:

    v_bar[j] += v_bar[i] * p[i, j]          for each operand j of i, i falling

It gives what `sweeps.adjoint` gives, in the same order of accumulation; only the atoms
differ (NumPy's exp in place of libm's), by their ulps. A slot that no adjoint reaches
is skipped by a mark, not by its value, so 0 * inf is NaN just where the reference has
it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad import arriving, masks, passing, pulls
from tapegrad.readings import NUMPY
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.recorder import MANY, Columns
from tapegrad.tape.tape import BOOLEAN, Tape

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

# As many slots are swept with plain floats, at some 0.3 us each: the fixed cost of
# NumPy is some 10 us an operation, and that of the native machine some 50 us a sweep.
FEW = 128
# From here on the accumulation is worth native code.
MANY_SLOTS = 4096

Accumulate = Callable[[Ints, Floats, Floats, npt.NDArray[np.uint8]], None]


@dataclass(frozen=True, slots=True)
class Lines:
    """Scalar slots as a table.

    Args:
        opcode: number of the primitive in the process's table, one a slot.
        reads: shape (arity, slots), -1 where there is no operand.
        static: index into statics, one a slot.
        statics: static parameters.
        primal: the value of every slot.
    """

    opcode: Ints
    reads: Ints
    static: Ints
    statics: Sequence[Any]
    primal: Floats


def lines_of_columns(columns: Columns, stop: int) -> Lines:
    """The first slots of growing columns."""
    opcode, a, b, primal = columns.columns(stop)
    arity = np.array([max(row.arity, 0) for row in TABLE], dtype=np.int32)
    count = arity[opcode]
    wide = (a == MANY) & (count > 0)
    reads = np.full((int(count.max(initial=1)), stop), -1, np.int32)
    one, two = (count >= 1) & ~wide, (count == 2) & ~wide
    np.copyto(reads[0], a, where=one)
    if len(reads) > 1:
        np.copyto(reads[1], b, where=two)
    static = np.where(two, 0, b)
    for slot in np.flatnonzero(wide).tolist():
        operands, static[slot] = columns.many[b[slot]]
        reads[: len(operands), slot] = operands
    return Lines(opcode, reads, static, columns.statics, primal)


def lines_of_tape(tape: Tape, primal: Floats) -> Lines:
    """A flat tape of scalars, with the slot values of a replay."""
    owns = np.flatnonzero(np.diff(tape.first))
    low = tape.offsets[:-1][owns]
    count = np.diff(tape.offsets)[owns]
    reads = np.full((int(count.max(initial=1)), len(owns)), -1, np.int32)
    for place in range(len(reads)):
        has = count > place
        reads[place, has] = tape.operands[low[has] + place]
    codes = np.array([TABLE.by_name[name] for name in tape.operations], np.int32)
    opcode = codes[tape.opcode[owns]] if len(codes) else np.zeros(0, np.int32)
    return Lines(opcode, reads, tape.static[owns], tape.statics, primal)


def adjoint(
    lines: Lines, seeds: Mapping[int, float], accumulate: Accumulate | None = None
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """Adjoints of all slots, and which of them were reached.

    Args:
        lines: slots up to the highest seed, at least.
        seeds: adjoints to start from.
        accumulate: a native accumulation loop, for many slots.
    """
    return sweep(*linearised(lines), seeds, accumulate)


def sweep(
    reads: Ints,
    partials: Floats,
    seeds: Mapping[int, float],
    accumulate: Accumulate | None = None,
) -> tuple[Floats, npt.NDArray[np.uint8]]:
    """A reverse sweep over partials that are known; see `adjoint`."""
    bars = np.zeros(reads.shape[1])
    reached = np.zeros(reads.shape[1], np.uint8)
    for slot, seed in seeds.items():
        bars[slot] = seed
        reached[slot] = 1
    (accumulate or _accumulate)(reads, partials, bars, reached)
    return bars, reached


def linearised(lines: Lines) -> tuple[Ints, Floats]:
    """Operands that receive something, and their partials; -1 where nothing."""
    reads = np.full_like(lines.reads, -1)
    partials = np.zeros(reads.shape)
    with np.errstate(all="ignore"):
        for code in np.unique(lines.opcode).tolist():
            if code < 0 or TABLE.rows[code].partials is None:
                continue
            mine = np.flatnonzero(lines.opcode == code)
            for index in _static_groups(lines, mine):
                group = mine if index is None else mine[lines.static[mine] == index]
                static = lines.statics[index or 0]
                _fill(lines, TABLE.rows[code], group, dict(static), reads, partials)
    return reads, partials


def _static_groups(lines: Lines, mine: npt.NDArray[Any]) -> list[int | None]:
    found = np.unique(lines.static[mine]).tolist()
    return [None] if found == [0] else found


def _fill(
    lines: Lines,
    row: Primitive,
    slots: npt.NDArray[Any],
    params: dict[str, Any],
    reads: Ints,
    partials: Floats,
) -> None:
    """Partials of all steps of one primitive."""
    operands = lines.reads[: row.arity, slots]
    xs = [lines.primal[operand] for operand in operands]
    if row.kind == "select":
        taken = xs[0] != 0
        reads[1, slots[taken]] = operands[1, taken]
        reads[2, slots[~taken]] = operands[2, ~taken]
        partials[1:3, slots] = 1.0
        return
    found = row.partials(NUMPY, lines.primal[slots], *xs, **params)  # type: ignore[misc]
    for place, partial in enumerate(found):
        if type(partial) is int and partial == 0:
            continue
        reads[place, slots] = operands[place]
        partials[place, slots] = partial


def _accumulate(
    reads: Ints, partials: Floats, bars: Floats, reached: npt.NDArray[np.uint8]
) -> None:
    """The accumulation in Python, the specification of the native loop."""
    bar, live = bars.tolist(), reached.tolist()
    pairs = list(zip(reads.tolist(), partials.tolist(), strict=True))
    for slot in range(len(bar) - 1, -1, -1):
        if not live[slot]:
            continue
        w = bar[slot]
        for operands, values in pairs:
            operand = operands[slot]
            if operand >= 0:
                part = w * values[slot]
                bar[operand] = bar[operand] + part if live[operand] else part
                live[operand] = 1
    bars[:] = bar
    reached[:] = live


class _Bars(dict[int, Any]):
    """Adjoints by slot; None where nothing has arrived."""

    def __missing__(self, slot: int) -> None:
        return None


def adjoint_of_few(columns: Columns, seeds: Mapping[int, float], limit: int) -> Any:
    """A short sweep with plain floats.

    Args:
        columns: growing columns, however long, whose rows are all in the flat list.
        seeds: adjoints to start from.
        limit: the most slots that count as few.

    Returns:
        Adjoints by slot, a list up to the highest seed or a mapping, with None where
        none has come; None when there are more than few.
    """
    bars: Any
    stop = max(seeds) + 1
    if stop > limit:
        leading = _leading(columns, seeds, limit)
        if leading is None:
            return None
        slots: Sequence[int] = leading
        bars = _Bars(seeds)
    else:  # looking at a slot costs a tenth of passing its adjoint on
        slots = range(stop - 1, -1, -1)
        bars = [None] * stop
        for slot, seed in seeds.items():
            bars[slot] = seed
    pulls.sweep(slots, columns.flat, bars, columns)
    return bars


def _leading(
    columns: Columns, seeds: Mapping[int, float], limit: int
) -> list[int] | None:
    """The slots that lead to the seeds, falling; None when there are more than few."""
    flat, rows = columns.flat, TABLE.rows
    known = set(seeds)
    todo = list(seeds)
    while todo:
        if len(known) > limit:
            return None
        at = 4 * todo.pop()
        arity, a = rows[flat[at]].arity, flat[at + 1]
        if not arity:
            continue
        if a == MANY:
            reads = columns.many[flat[at + 2]][0]
        else:
            reads = (a,) if arity == 1 else (a, flat[at + 2])
        for slot in reads:
            if slot not in known:
                known.add(slot)
                todo.append(slot)
    return sorted(known, reverse=True)


def adjoint_of_arrays(columns: Columns, seeds: Mapping[int, Any]) -> dict[int, Any]:
    """A sweep over the slots that lead to the seeds, arrays among them.

    Args:
        columns: growing columns that keep their arrays.
        seeds: adjoints to start from.

    Returns:
        Adjoints of the slots reached.
    """
    rows: dict[int, tuple[Primitive, Sequence[int], Any, Any]] = {}
    todo = list(seeds)
    while todo:
        slot = columns.first_of(todo.pop())
        if slot not in rows:
            rows[slot] = made = columns.step_at(slot)
            if passing.smooth(made[0]):
                todo += (i for i in made[1] if columns.aval_at(i)[1] in FLOATING)
    bars = _Bars(seeds)
    sums = arriving.Sums(MIXED, bars)
    primal = functools.partial(_primal, columns)
    for slot in sorted(rows, reverse=True):
        row, operands, static, y = rows[slot]
        if not operands or not passing.smooth(row):
            continue
        xs, params = [primal(i) for i in operands], dict(static)
        slots = range(slot, slot + row.owns(params))
        if row.nested:
            ys = {i: primal(i) for i in slots}
            parts = passing.pulled_nested(
                MIXED, row, slots, ys, xs, bars, params, sums.masks
            )
        elif row.slots > 1:
            ys = {i: primal(i) for i in slots}
            parts = passing.pulled_several(MIXED, row, slots, ys, xs, bars, params)
        elif slot not in bars:
            continue
        else:
            wanted = [columns.aval_at(i)[1] in FLOATING for i in operands]
            bar, mask = bars[slot], sums.masks.get(slot)
            parts = passing.contributions(MIXED, row, y, xs, bar, mask, params, wanted)
        for operand, (_, share, under) in zip(operands, parts, strict=True):
            aval = columns.aval_at(operand)
            if share is not None and aval[1] in FLOATING:
                mask = masks.fit_mask(MIXED, under, aval[0])
                sums.add(operand, passing.fit(MIXED, share, aval), mask)
    return bars


def _primal(columns: Columns, slot: int) -> Any:
    found = columns.step_at(slot)[3]
    return bool(found) if columns.aval_at(slot) == BOOLEAN else found
