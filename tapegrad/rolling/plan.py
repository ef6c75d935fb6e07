"""Which stretches of a tape become loops. Floor 10.

Longest periods first; what is inside of an iteration is looked at again, as a tape of
its own (`build`). A loop is cut where what is read of its iterations from outside
changes: so that a slot is asked for in all of its iterations, in the last one, or in
none, and no iteration gets an adjoint that it did not have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tapegrad.rolling.find import periods, runs
from tapegrad.rolling.order import Access, ordered
from tapegrad.rolling.read import Loop, Made, fixed_operands, loops, starts
from tapegrad.rolling.work import Column, Work, blocks

# Loops that one may be cut into.
PIECES = 8


@dataclass(frozen=True)
class Sizes:
    """What counts as a loop.

    Args:
        trips: least number of iterations.
        steps: least number of steps of all iterations.
    """

    trips: int = 8
    steps: int = 512


@dataclass
class Planned:
    """A loop, and what stands around it.

    Args:
        loop: itself.
        reads: what it reads in moving places, in the order in which that stands.
        starts: the slots that start its carries.
        stacked: slots of the body that are asked for in all iterations.
        last: those that are asked for in the last one only.
    """

    loop: Loop
    reads: list[Access]
    starts: dict[tuple[Made, int], int]
    stacked: set[Made] = field(default_factory=set)
    last: set[Made] = field(default_factory=set)


def planned(work: Work, sizes: Sizes) -> list[Planned]:
    """The loops of a tape, in order; they do not overlap."""
    found = [one for loop in _found(work, sizes) for one in _sound(loop, work, sizes)]
    found.sort(key=lambda one: one.loop.start)
    return _cut(found, work, sizes)


def _found(work: Work, sizes: Sizes) -> Iterator[Loop]:
    free = np.ones(len(work), bool)
    tried = periods(work)
    for period in tried:
        parts = [p for p in tried if p < period and period % p == 0]
        for begin, end in runs(work.kind, free, period, sizes.trips):
            if any(_repeats(work, begin, end, part) for part in parts):
                continue  # several iterations of a shorter one
            for loop in loops(work, begin, end, period, sizes.trips):
                if loop.period * loop.trips >= sizes.steps:
                    free[loop.start : loop.end] = False
                    yield loop


def _repeats(work: Work, begin: int, end: int, period: int) -> bool:
    kind = work.kind[begin:end]
    return bool((kind[period:] == kind[:-period]).all())


def _sound(loop: Loop, work: Work, sizes: Sizes) -> Iterator[Planned]:
    """A loop whose operands are each one slot; an iteration more is peeled for that."""
    for _ in range(max(loop.lags.values(), default=0) + 2):
        if loop.trips < sizes.trips or loop.period * loop.trips < sizes.steps:
            return
        begun = starts(loop, work)
        if begun is not None and not _twice(loop, work, begun) and _alike(loop, work):
            reads = ordered(loop, work)
            if reads is not None:
                yield Planned(loop, reads, begun)
                return
        loop = loop.part(1, loop.trips)


def _twice(loop: Loop, work: Work, begun: dict[tuple[Made, int], int]) -> bool:
    """Whether one slot starts two carries, or is read besides."""
    slots = [slot for slot in begun.values() if not work.const[slot]]
    fixed = set(fixed_operands(loop, work).values())
    return len(set(slots)) < len(slots) or not fixed.isdisjoint(slots)


def _alike(loop: Loop, work: Work) -> bool:
    """Whether each operand has one shape and dtype in all iterations."""
    aval, base = work.tape.aval, work.offsets[loop.start]
    width = len(loop.operands)
    for position in range(width):
        slots = work.operands[base + position : base + width * loop.trips : width]
        if (aval[slots] != aval[slots[-1]]).any():
            return False
    return True


# -- what is asked for from outside ------------------------------------------------


def _cut(found: list[Planned], work: Work, sizes: Sizes) -> list[Planned]:
    """The loops with what is asked of them, cut where that changes."""
    for _ in range(PIECES):
        asked = _asked(found, work)
        kept: list[Planned] = []
        changed = False
        for one, mine in zip(found, asked, strict=True):
            cuts = _told(one, mine)
            if not cuts:
                kept.append(one)
                continue
            changed = True
            if len(cuts) >= PIECES:
                continue
            edges = [0, *cuts, one.loop.trips]
            for low, high in itertools.pairwise(edges):
                kept += _sound(one.loop.part(low, high), work, sizes)
        found = kept
        if not changed:  # a loop that gives nothing would be a step without a slot
            return [x for x in found if x.stacked or x.last or x.loop.lags]
    return []


def _asked(found: list[Planned], work: Work) -> list[dict[Made, Column]]:
    """For each loop the slots of its body that are read elsewhere, and when."""
    asked: list[dict[Made, Column]] = [{} for _ in found]
    if not found:
        return asked
    begins = np.array([one.loop.start for one in found])
    ends = np.array([one.loop.end for one in found])

    def home(steps: Column) -> Column:
        number = np.searchsorted(begins, steps, side="right") - 1
        return np.where((number >= 0) & (steps < ends[number]), number, -1)

    slots = np.array(work.tape.outputs, np.int64)
    for part in blocks(len(work)):
        counts = np.diff(work.offsets[part.start : part.stop + 1])
        readers = np.repeat(home(np.arange(part.start, part.stop)), counts)
        low, high = work.offsets[part.start], work.offsets[part.stop]
        reads = work.operands[low:high]
        away = home(work.owner[reads])
        mine = np.unique(reads[(away >= 0) & (away != readers)])
        slots = np.concatenate([slots, mine])
    slots = np.unique(slots)
    slots = slots[home(work.owner[slots]) >= 0]
    numbers = home(work.owner[slots])
    for number in np.unique(numbers).tolist():
        loop = found[number].loop
        mine = slots[numbers == number]
        turn, step = np.divmod(work.owner[mine] - loop.start, loop.period)
        within = work.within(mine)
        for made in set(zip(step.tolist(), within.tolist(), strict=True)):
            here = (step == made[0]) & (within == made[1])
            asked[number][made] = turn[here]
    return asked


def _told(one: Planned, asked: dict[Made, Column]) -> list[int]:
    """Note what is asked for; the iterations before which to cut, if any."""
    trips, lags = one.loop.trips, one.loop.lags
    one.stacked, one.last = set(), set()
    cuts: set[int] = set()
    for made, turns in asked.items():
        if made in lags:
            if turns.min() < trips - 1:
                one.stacked.add(made)
            continue
        if len(turns) == trips:
            one.stacked.add(made)
        elif len(turns) == 1 and turns[0] == trips - 1:
            one.last.add(made)
        else:
            there = np.zeros(trips, bool)
            there[turns] = True
            edges = np.flatnonzero(np.diff(there)) + 1
            cuts |= set(edges.tolist()) if len(edges) < PIECES else set(range(PIECES))
    return sorted(cuts)
