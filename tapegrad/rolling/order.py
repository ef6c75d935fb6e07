"""In which order reads stand before a loop: adjoints add as recorded. Floor 10.

The sweep over the recorded steps adds to the adjoint of an entry the contribution of
the last iteration that reads it first, and in an iteration that of the last step. A
loop's reads stand before it, each for all iterations; the sweep meets the last of them
first, and adds for each entry one contribution. So an earlier read must be that of an
earlier iteration, for every entry. Where no order does that, the loop is not rolled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tapegrad.rolling.read import CARRIED, FIXED, OUTER, Loop, fixed_operands, step_of
from tapegrad.rolling.work import Column, Work
from tapegrad.rules.shapes import FLOATING

SLOTS = -1


@dataclass(frozen=True)
class Access:
    """What an operand position, or a step that reads entries, reads in each iteration.

    Args:
        step: of the body.
        operand: place among the step's operands.
        position: of the operand among all of the body.
        source: the slot of the array; `SLOTS` where slots themselves are read.
        elements: for each iteration the entry's place, or the slot.
        stride: between iterations; None where there is none.
    """

    step: int
    operand: int
    position: int
    source: int
    elements: Column
    stride: int | None


def accesses(loop: Loop, work: Work) -> list[Access]:
    """The moving reads of a loop, in the order of its body."""
    found = []
    before = -1
    count = 0
    for position, (operand, step) in enumerate(
        zip(loop.operands, step_of(loop, work), strict=True)
    ):
        count = count + 1 if step == before else 0
        before = step
        if operand.kind == OUTER:
            slots = loop.slots(work, position)
            found.append(Access(step, count, position, SLOTS, slots, _stride(slots)))
        elif step in loop.moving and count == 0:
            places = loop.places(work, step)
            source = int(loop.slots(work, position)[0])
            stride = int(places[1] - places[0]) if loop.moving[step] else None
            found.append(Access(step, 0, position, source, places, stride))
    return found


def _stride(elements: Column) -> int | None:
    steps = np.diff(elements)
    return int(steps[0]) if len(steps) and (steps == steps[0]).all() else None


def ordered(loop: Loop, work: Work) -> list[Access] | None:
    """The reads as they are to stand before the loop; None where no order will do."""
    found = sorted(accesses(loop, work), key=_rank)
    sources = {access.source for access in found}
    for source in sources:
        mine = [a for a in found if a.source == source and _smooth(work, a)]
        if not mine:
            continue
        rest = _fixed(loop, work, source)
        if rest is None:
            return None
        # what no moving read meets is added up in the loop, in its order
        rest = [one for one in rest if any((a.elements == one[0]).any() for a in mine)]
        if not _plain(mine, rest) and not _agree(mine, rest, loop.trips):
            return None
    return found


def _rank(access: Access) -> tuple[int, int, int]:
    first, last = int(access.elements[0]), int(access.elements[-1])
    return (-first if last >= first else first, access.step, -access.operand)


def _smooth(work: Work, access: Access) -> bool:
    """Whether a derivative passes through what is read."""
    slot = access.source if access.source != SLOTS else int(access.elements[0])
    return work.tape.aval_of(slot)[1] in FLOATING


def _fixed(loop: Loop, work: Work, source: int) -> list[tuple[int, int, int]] | None:
    """(element, step, operand) of what all iterations read of a source.

    None where the loop takes the whole array besides, so that no order will do.
    """
    found: list[tuple[int, int, int]] = []
    steps = step_of(loop, work)
    if source == SLOTS:
        for position, operand in enumerate(loop.operands):
            if operand.kind == FIXED:
                slot = int(loop.slots(work, position)[0])
                if not work.const[slot]:
                    found.append((slot, steps[position], 0))
            elif operand.kind == CARRIED:
                rows = loop.slots(work, position)[: operand.lag].tolist()
                found += [(slot, steps[position], 0) for slot in rows]
        return found
    for position, slot in fixed_operands(loop, work).items():
        step = steps[position]
        if slot != source or step in loop.moving:
            continue
        if not work.rank(loop.start + step):
            return None
        found.append((int(work.place[loop.start + step]), step, 0))
    return found


def _plain(mine: Sequence[Access], rest: Sequence[tuple[int, int, int]]) -> bool:
    """Whether all go at one stride: then that of the first entries is the order."""
    stride = mine[0].stride
    alike = all(access.stride == stride for access in mine)
    return bool(stride) and alike and not rest


def _agree(
    mine: Sequence[Access], rest: Sequence[tuple[int, int, int]], trips: int
) -> bool:
    """Whether entry by entry the reads stand in the order of the iterations."""
    rows = np.arange(trips)
    parts = [
        (access.elements, rank, rows, access.step, -access.operand)
        for rank, access in enumerate(mine)
    ]
    parts += [
        (np.full(trips, element), len(mine) + rank, rows, step, -operand)
        for rank, (element, step, operand) in enumerate(rest)
    ]
    element, rank, row, step, operand = (
        np.concatenate([np.broadcast_to(part[k], trips) for part in parts])
        for k in range(5)
    )
    by = np.lexsort((row, rank, element))
    same = element[by][1:] == element[by][:-1]
    word = (row * (int(step.max()) + 1) + step) * 4096 + operand + 4095
    return bool((np.diff(word[by])[same] > 0).all())
