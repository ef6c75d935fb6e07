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

from tapegrad import sweeps
from tapegrad.passing import fit, partials_of, pushed, scaled
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.movement import spread
from tapegrad.tape.tape import Tape

# Whether each entry of a slot is reached by each colour: colours before the shape.
Marks = Callable[[int], Any]


def tangents(
    tape: Tape,
    m: Any,
    values: Sequence[Any],
    seeds: Mapping[int, list[Any]],
    marks: Marks | None = None,
) -> list[Any]:
    """The tangents of every slot for several seeds, None where structurally 0.

    Args:
        tape: a flat tape.
        m: the reading.
        values: slot values of a replay in that reading.
        seeds: for each input slot a tangent a colour; None for none. For a tape of
            scalars one entry: an array over the colours.
        marks: what each colour reaches, where zeros are to be structural.
    """
    count = len(next(iter(seeds.values()), ()))
    dots: list[Any] = [None] * tape.slot_count
    for slot, seed in seeds.items():
        dots[slot] = seed
    live = sweeps.active(tape, list(seeds))
    rows = [TABLE[name] for name in tape.operations]
    statics = [dict(static) for static in tape.statics]
    first, offsets = tape.first.tolist(), tape.offsets.tolist()
    operands = tape.operands.tolist()
    arrays = tape.arrays
    for step, (code, static) in enumerate(
        zip(tape.opcode.tolist(), tape.static.tolist(), strict=True)
    ):
        row, slot, end = rows[code], first[step], first[step + 1]
        reads = operands[offsets[step] : offsets[step + 1]]
        if not reads or slot == end or not live[slot]:
            continue
        mine = [dots[i] if live[i] else None for i in reads]
        if all(dot is None for dot in mine):
            continue
        xs = [values[i] for i in reads]
        masks = None
        if marks is not None:
            masks = [
                None if dot is None else marks(i)
                for dot, i in zip(mine, reads, strict=True)
            ]
        passed = _Step(m, row, xs, statics[static], masks)
        if row.slots > 1:
            ys = tuple(values[slot:end])
            each = [passed.whole(ys, at) for at in _each(mine, count)]
            for place in range(slot, end):
                dots[place] = [found[place - slot] for found in each]
            continue
        found = passed.many(values[slot], _each(mine, count))
        if arrays:
            aval = tape.aval_of(slot)
            found = [None if dot is None else fit(m, dot, aval) for dot in found]
        dots[slot] = found
    return dots


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

    def many(self, y: Any, dots: Sequence[list[Any]]) -> list[Any]:
        """The tangents of a step with one slot."""
        row = self.row
        if row.kind == "reduction" and self.masks is not None:
            return [self._reduced(y, k, at) for k, at in enumerate(dots)]
        if row.whole:
            return [self.whole(y, at) for at in dots]
        if row.kind == "select":
            return [self._arms(y, at) for at in dots]
        partials = partials_of(self.m, row, y, self.xs, self.params)
        return [self._sum(partials, k, at) for k, at in enumerate(dots)]

    def whole(self, y: Any, dots: list[Any]) -> Any:
        """The tangent of a step of whole arrays."""
        if all(dot is None for dot in dots):
            return None if self.row.slots == 1 else [None] * len(y)
        return pushed(self.m, self.row, y, self.xs, dots, self.params)

    def _sum(self, partials: Sequence[Any], colour: int, dots: Sequence[Any]) -> Any:
        total = None
        for place, (dot, partial) in enumerate(zip(dots, partials, strict=True)):
            part = None if dot is None else scaled(dot, partial)
            if part is not None:
                part = self._masked(part, place, colour)
                total = part if total is None else total + part
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
        zero = self.m.like(0, y)
        return self.m.where(self.xs[0], *(zero if d is None else d for d in dots[1:]))

    def _reduced(self, y: Any, colour: int, dots: Sequence[Any]) -> Any:
        (x,), (dot,), axes = self.xs, dots, self.params["axes"]
        if dot is None:
            return None
        wide = spread(self.m, y, self.m.shape(x), axes)
        partial = partials_of(self.m, self.row, wide, [x], self.params)[0]
        return self.m.sum(self._masked(partial * dot, 0, colour), axes=axes)


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
