"""What arrives at the slots of a tape in a reverse sweep, and where at all. Floor 3.

    v_bar_j += contribution                       in reverse step order

A slot that no derivative reaches has nothing; one that only unselected arms read has an
adjoint under a mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.masks import either
from tapegrad.passing import smooth
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

# The body of a loop is swept often: what was found out about short tapes is kept.
SHORT = 4096
# For so many choices of inputs.
KEPT = 64


def active(tape: Tape, wrt: Sequence[int]) -> Sequence[bool]:
    """Which slots depend on the chosen input slots through differentiable steps."""
    if len(tape) > SHORT:
        return _active(tape, wrt)
    known = tape._known.setdefault("active", {})  # noqa: SLF001 - the notebook
    key = tuple(wrt)
    if key not in known:
        while len(known) >= KEPT:
            known.pop(next(iter(known)))
        known[key] = _active(tape, wrt)
    return known[key]  # type: ignore[no-any-return]


def _active(tape: Tape, wrt: Sequence[int]) -> list[bool]:
    reached = bytearray(tape.slot_count)
    for slot in wrt:
        reached[slot] = 1
    kinds = [smooth(TABLE[name]) for name in tape.operations]
    offsets, operands = tape.offsets.tolist(), tape.operands.tolist()
    first = tape.first.tolist()
    low = 0
    for code, slot, end, high in zip(
        tape.opcode.tolist(), first, first[1:], offsets[1:], strict=False
    ):
        if kinds[code]:
            for i in operands[low:high]:
                if reached[i]:
                    for mine in range(slot, end):
                        reached[mine] = 1
                    break
        low = high
    if tape.arrays:  # a conversion to ints ends a derivative
        floating = [dtype in FLOATING for _, dtype in tape.avals]
        for slot in np.flatnonzero(~np.array(floating)[tape.aval]).tolist():
            reached[slot] = 0
    return list(map(bool, reached))


class Before(NamedTuple):
    """What the operands of a step have received so far, for rows that go on adding.

    A loop adds to an operand in every iteration, one after the other; the sum of what
    it adds would be rounded differently.

    Args:
        slots: the operands.
        bars: their adjoints, None where nothing has arrived.
        masks: of those, None where there is none.
        live: whether an adjoint is wanted.
    """

    slots: Sequence[int]
    bars: Sequence[Any]
    masks: Sequence[Any]
    live: Sequence[bool]


class Sums:
    """Adjoints as they accumulate, and the masks that they carry.

    Args:
        m: the reading.
        bars: adjoints by slot, None where nothing has arrived.
    """

    __slots__ = ("bars", "m", "masks")

    def __init__(self, m: Any, bars: Any) -> None:
        self.m = m
        self.bars = bars
        self.masks: dict[int, Any] = {}

    def add(self, slot: int, share: Any, under: Any) -> None:
        """Add a contribution; a slot stays masked while all of them are."""
        before = self.bars[slot]
        if before is None:
            self.bars[slot] = share
            if under is not None:
                self.masks[slot] = under
            return
        self.bars[slot] = before + share
        if slot in self.masks:
            if under is None:
                del self.masks[slot]
            else:
                under = either(self.m, self.masks[slot], under)
                self.put(slot, self.bars[slot], under)

    def put(self, slot: int, total: Any, under: Any) -> None:
        """Set what a slot has received so far."""
        self.bars[slot] = total
        if under is None:
            self.masks.pop(slot, None)
        else:
            self.masks[slot] = under


def absorbed(
    sums: Sums,
    row: Primitive,
    slots: Sequence[int],
    values: Any,
    xs: Sequence[Any],
    reads: Sequence[int],
    live: Sequence[bool],
    params: Mapping[str, Any],
) -> list[tuple[Any, Any, bool]]:
    """What a step passes on that goes on adding to what its operands have.

    Returns:
        For each operand the adjoint, its mask, and whether it is the whole sum.
    """
    bars, masks = sums.bars, sums.masks
    mine = [bars[slot] for slot in slots]
    if all(bar is None for bar in mine):
        return [(None, None, False)] * len(xs)
    before = Before(
        reads,
        [bars[i] for i in reads],
        [masks.get(i) for i in reads],
        [live[i] for i in reads],
    )
    under = [masks.get(slot) for slot in slots]
    rule: Any = row.pull
    ys = [values[slot] for slot in slots]
    return rule(sums.m, mine, ys, xs, params, under, before)  # type: ignore[no-any-return]
