"""Sweeps with many seeds at once, for compressed derivatives. Floor 9.

    B = J S        forward: column c of B is the sum of J's columns of colour c
    B = S^T J      reverse: row c of B is the sum of J's rows of colour c

The partials of a step are computed once for all seeds. A tape of scalars carries the
tangents for all colours as one array a slot; a tape of arrays a list of arrays a slot.

Where a partial is infinite, a seed's zero would give 0 * inf = NaN for an entry that
the seed does not concern. So when a NaN is found, the sweep is made again with masks:
which entries each colour reaches, from the pattern of every slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spsolve_triangular

from tapegrad import bulk, sweeps
from tapegrad.arriving import active
from tapegrad.passing import applied, fit, partials_of, pushed, scaled
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.movement import spread
from tapegrad.sparse.pattern import last_uses
from tapegrad.tape.tape import Tape

# Whether each entry of a slot is reached by each colour: colours before the shape.
Marks = Callable[[int], Any]


def tangents(
    tape: Tape,
    m: Any,
    inputs: Sequence[Any],
    seeds: Mapping[int, list[Any]],
    marks: Marks | None = None,
) -> list[Any]:
    """The tangents of the outputs for several seeds, None where structurally 0.

    Replay and sweep go together, and what no later step reads is let go: half of the
    time would be spent on fresh pages for large arrays, and now their memory is used
    again. A tape with guards is replayed beforehand, since a guard that fails shows the
    numbers that it compared.

    Args:
        tape: a flat tape.
        m: the reading.
        inputs: one value an input, numbers of the reading.
        seeds: for each input slot a tangent a colour; None for none. For a tape of
            scalars one entry: an array over the colours.
        marks: what each colour reaches, where zeros are to be structural.
    """
    count = len(next(iter(seeds.values()), ()))
    guarded = "guard" in tape.operations
    values = sweeps.replay(tape, m, inputs) if guarded else _leaves(tape, m, inputs)
    last = last_uses(tape, tape.outputs)
    dots: list[Any] = [None] * tape.slot_count
    for slot, seed in seeds.items():
        dots[slot] = seed
    live = active(tape, list(seeds))
    rows = [TABLE[name] for name in tape.operations]
    statics = [dict(static) for static in tape.statics]
    first, offsets = tape.first.tolist(), tape.offsets.tolist()
    operands = tape.operands.tolist()
    for step, (code, static) in enumerate(
        zip(tape.opcode.tolist(), tape.static.tolist(), strict=True)
    ):
        row, slot, end = rows[code], first[step], first[step + 1]
        reads = operands[offsets[step] : offsets[step + 1]]
        if not reads or slot == end:
            continue
        xs = [values[i] for i in reads]
        if not guarded:
            values[slot:end] = _value(m, row, xs, statics[static], step)
        mine = [dots[i] if live[i] else None for i in reads]
        if any(live[slot:end]) and any(dot is not None for dot in mine):
            masks = marks and [marks(i) if live[i] else None for i in reads]
            passed = _Step(m, row, xs, statics[static], masks)
            ys = values[slot:end]
            dots[slot:end] = passed.results(tape, slot, ys, _each(mine, count))
        for i in last.get(step, ()):
            values[i] = dots[i] = None
    return [dots[slot] for slot in tape.outputs]


def _leaves(tape: Tape, m: Any, inputs: Sequence[Any]) -> list[Any]:
    """Slot values before any step with operands."""
    values: list[Any] = [None] * tape.slot_count
    for slot, x in zip(tape.inputs, inputs, strict=True):
        values[slot] = x
    if "const" in tape.operations:
        code = tape.operations.index("const")
        for step in np.flatnonzero(tape.opcode == code).tolist():
            value = dict(tape.statics[tape.static[step]])["value"]
            values[tape.first[step]] = m.number(value)
    return values


def _value(
    m: Any, row: Primitive, xs: Sequence[Any], params: Mapping[str, Any], step: int
) -> Sequence[Any]:
    """What a step gives, one entry a slot."""
    if row.nested:
        return m.nested(row, xs, params)  # type: ignore[no-any-return]
    function = getattr(m, row.name)
    if not row.whole:
        return (function(*xs, **params),)
    found = applied(function, row, xs, params, f"step {step}: ")
    return found if row.slots > 1 else (found,)


def _each(dots: Sequence[Any], count: int) -> list[list[Any]]:
    """The operands' tangents colour by colour."""
    return [[None if dot is None else dot[k] for dot in dots] for k in range(count)]


class _Step:
    """One step, for tangents of several colours."""

    def __init__(
        self,
        m: Any,
        row: Primitive,
        xs: Sequence[Any],
        params: Mapping[str, Any],
        masks: Sequence[Any] | None,
    ) -> None:
        self.m, self.row, self.xs, self.params, self.masks = m, row, xs, params, masks
        self.y: Any = None

    def results(
        self, tape: Tape, slot: int, ys: Sequence[Any], dots: Sequence[list[Any]]
    ) -> list[Any]:
        """The tangents of each slot, as lists over the colours."""
        if self.row.nested or self.row.slots > 1:
            each = [self.whole(tuple(ys), at) for at in dots]
            return [[found[place] for found in each] for place in range(len(ys))]
        found = self.many(ys[0], dots)
        if tape.arrays:
            aval = tape.aval_of(slot)
            found = [None if dot is None else fit(self.m, dot, aval) for dot in found]
        return [found]

    def many(self, y: Any, dots: Sequence[list[Any]]) -> list[Any]:
        """The tangents of a step with one slot."""
        row = self.row
        if row.kind == "reduction" and self.masks is not None:
            return [self._reduced(y, k, at) for k, at in enumerate(dots)]
        if row.whole:
            return [self.whole(y, at) for at in dots]
        if row.kind == "select":
            return [self._arms(y, at) for at in dots]
        self.y = y
        partials = partials_of(self.m, row, y, self.xs, self.params)
        return [self._sum(partials, k, at) for k, at in enumerate(dots)]

    def whole(self, y: Any, dots: list[Any]) -> Any:
        """The tangent of a step of whole arrays, or of one with sub-tapes."""
        if all(dot is None for dot in dots):
            return [None] * len(y) if type(y) is tuple else None
        if self.row.nested:
            push: Any = self.row.push
            return push(self.m, dots, y, self.xs, self.params)
        return pushed(self.m, self.row, y, self.xs, dots, self.params)

    def _sum(self, partials: Sequence[Any], colour: int, dots: Sequence[Any]) -> Any:
        total, own = None, False
        for place, (dot, partial) in enumerate(zip(dots, partials, strict=True)):
            part = None if dot is None else scaled(dot, partial)
            if part is None:
                continue
            part = self._masked(part, place, colour)
            if total is None:
                total, own = part, part is not dot
            elif own and np.ndim(total) and np.shape(total) == np.shape(self.y):
                total += part  # the same sum, in place
            else:
                total, own = total + part, True
        return total

    def _masked(self, part: Any, place: int, colour: int) -> Any:
        if self.masks is None:
            return part
        mask = self.masks[place][colour]
        if np.ndim(mask) < np.ndim(part) and np.ndim(mask):
            mask = mask.reshape((1,) * (np.ndim(part) - np.ndim(mask)) + mask.shape)
        return np.where(mask, part, np.zeros((), np.asarray(part).dtype))

    def _arms(self, y: Any, dots: Sequence[Any]) -> Any:
        if all(dot is None for dot in dots):
            return None
        if isinstance(self.xs[0], bool | np.bool_):
            return dots[1] if self.xs[0] else dots[2]
        zero = self.m.like(0, y)
        return self.m.where(self.xs[0], *(zero if d is None else d for d in dots[1:]))

    def _reduced(self, y: Any, colour: int, dots: Sequence[Any]) -> Any:
        (x,), (dot,), axes = self.xs, dots, self.params["axes"]
        if dot is None:
            return None
        wide = spread(self.m, y, self.m.shape(x), axes)
        partial = partials_of(self.m, self.row, wide, [x], self.params)[0]
        return self.m.sum(self._masked(partial * dot, 0, colour), axes=axes)


def bulk_tangents(
    tape: Tape, values: Sequence[Any], wrt: Sequence[int], units: Any
) -> Any:
    """The tangents of a long tape of scalars: one triangular system for all colours.

    With P the partials of each slot by its operands, the tangents are (I - P)^-1 S
    (Griewank & Walther, section 9.1). P is strictly triangular, in step order.

    Args:
        tape: a flat tape of scalars.
        values: slot values of a replay.
        wrt: input slots.
        units: a seed for each of them, over the colours.

    Returns:
        A matrix: colours by outputs.
    """
    reads, partials = bulk.linearised(bulk.lines_of_tape(tape, np.array(values, float)))
    place, slots = np.nonzero(reads >= 0)
    count = tape.slot_count
    entries = (-partials[place, slots], (slots, reads[place, slots]))
    system = sp.csr_array(entries, shape=(count, count)) + sp.eye_array(count)
    seeds = np.zeros((count, units.shape[1]))
    seeds[list(wrt)] = units
    found = spsolve_triangular(system.tocsr(), seeds, lower=True, unit_diagonal=True)
    return found[list(tape.outputs)].T


def adjoints(
    tape: Tape,
    m: Any,
    values: Sequence[Any],
    seeds: Mapping[int, Any],
    wrt: Sequence[int],
    *,
    masked: bool,
) -> list[Any]:
    """The adjoints for one colour of rows; with masks, a seed's zeros are absent."""
    masks = {slot: seed != 0 for slot, seed in seeds.items() if np.ndim(seed)}
    return sweeps.adjoint(tape, m, values, seeds, wrt, masks=masks if masked else None)
