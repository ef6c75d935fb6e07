"""Which stretches of a tape become loops. Floor 10.

Longest periods first; what is inside of an iteration is looked at again, as a tape of
its own (`build`). A loop is cut where what is read of its iterations from outside
changes: so that a slot is asked for in all of its iterations, in the last one, or in
none, and no iteration gets an adjoint that it did not have.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tapegrad.errors import RecordError
from tapegrad.rolling.find import periods, runs
from tapegrad.rolling.homes import Homes
from tapegrad.rolling.order import SLOTS, Access, ordered
from tapegrad.rolling.presence import Presence, Reached
from tapegrad.rolling.read import (
    LOCAL,
    Loop,
    Made,
    fixed_operands,
    loops,
    starts,
    step_of,
)
from tapegrad.rolling.work import Column, Work, blocks

# Loops that one may be cut into.
PIECES = 8


@dataclass(frozen=True)
class Options:
    """What counts as a loop, and how it runs.

    Args:
        trips: least number of iterations.
        steps: least number of steps of all iterations.
        checkpoint: carries that a reverse sweep keeps at a time; 0 for all.
        reassociate: whether sums may be added in any order.
    """

    trips: int = 8
    steps: int = 512
    checkpoint: int = 0
    reassociate: bool = False

    def __post_init__(self) -> None:
        for name, least in (("trips", 2), ("steps", 1), ("checkpoint", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                msg = f"{name} is an int of at least {least}, got {value!r}"
                raise RecordError(msg)


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


def planned(work: Work, options: Options) -> list[Planned]:
    """The loops of a tape, in order; they do not overlap."""
    found = [
        one for loop in _found(work, options) for one in _sound(loop, work, options)
    ]
    found.sort(key=lambda one: one.loop.start)
    return _cut(found, work, options)


def _found(work: Work, options: Options) -> Iterator[Loop]:
    free = np.ones(len(work), bool)
    tried = periods(work)
    for period in tried:
        parts = [p for p in reversed(tried) if p < period and period % p == 0]
        used = 0
        for first, end in runs(work.kind, free, period, options.trips):
            begin = max(first, used)  # stretches overlap by up to an iteration
            if end - begin < options.trips * period:
                continue
            mine = [part for part in parts if _repeats(work, begin, end, part)]
            for loop in _best(work, begin, end, [*mine, period], options):
                free[loop.start : loop.end] = False
                used = max(used, loop.end)
                yield loop


def _best(
    work: Work, begin: int, end: int, tried: list[int], options: Options
) -> list[Loop]:
    """The loops of a stretch that repeats at several periods.

    The shortest one at whose strides the reads go on, for most of the stretch; of loops
    in loops with nothing between them that is the outer one.
    """
    for even in (True, False):
        for period in tried:
            found = [
                loop
                for loop in loops(work, begin, end, period, options.trips, even=even)
                if loop.period * loop.trips >= options.steps
            ]
            if 2 * sum(loop.end - loop.start for loop in found) >= end - begin:
                return found
            if not even and period == tried[-1]:
                return found
    return []


def _repeats(work: Work, begin: int, end: int, period: int) -> bool:
    kind = work.kind[begin:end]
    return bool((kind[period:] == kind[:-period]).all())


def _sound(loop: Loop, work: Work, options: Options) -> Iterator[Planned]:
    """A loop whose operands are each one slot; an iteration more is peeled for that."""
    for _ in range(max(loop.lags.values(), default=0) + 2):
        if loop.trips < options.trips or loop.period * loop.trips < options.steps:
            return
        if loop.trips <= max(loop.lags.values(), default=0):
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
    aval = work.tape.aval
    for position in range(len(loop.operands)):
        slots = loop.slots(work, position)
        if (aval[slots] != aval[slots[-1]]).any():
            return False
    return True


# -- what is asked for from outside ------------------------------------------------


def _cut(found: list[Planned], work: Work, options: Options) -> list[Planned]:
    """The loops with what is asked of them, cut where that changes."""
    for _ in range(PIECES):
        asked = _asked(found, work)
        homes = Homes(work, [one.loop for one in found])
        walk = Presence(work, [(one.loop, one.reads) for one in found], asked)
        kept: list[Planned] = []
        for one, slots, reached in zip(found, asked, walk.found, strict=True):
            _note(one, slots, work)
            cuts = _cuts(one.loop, reached) or _seams(one, homes)
            if not cuts:
                kept.append(one)
            elif len(cuts) < PIECES:
                edges = [0, *cuts, one.loop.trips]
                for low, high in itertools.pairwise(edges):
                    kept += _sound(one.loop.part(low, high), work, options)
        kept = _without_clashes(kept, work)
        if len(kept) == len(found) and all(map(operator.is_, kept, found)):
            # a loop that gives nothing would be a step without a slot
            return [
                x
                for x in found
                if x.stacked or x.last or x.loop.lags or _guards(x, work)
            ]
        found = kept
    return []


def _guards(one: Planned, work: Work) -> bool:
    """Whether a loop that gives nothing has a guard; then it gives a condition."""
    tape, loop = work.tape, one.loop
    code = (*tape.operations, "guard").index("guard")
    rows = tape.opcode[work.steps[loop.start : loop.start + loop.period]].tolist()
    for operand, step in zip(loop.operands, step_of(loop, work), strict=True):
        if operand.kind == LOCAL and rows[step] == code:
            one.last = {operand.made}
            return True
    return False


def _seams(one: Planned, homes: Homes) -> list[int]:
    """Where what a loop reads goes from the slots of one loop to others; few of them.

    So each part reads a window of one stack.
    """
    seams: set[int] = set()
    for access in one.reads:
        if access.source == SLOTS:
            owners = homes.work.owner[access.elements]
            numbers = np.where(owners < 0, -1, homes.numbers(owners))
            seams |= set((np.flatnonzero(np.diff(numbers)) + 1).tolist())
    return sorted(seams) if len(seams) < PIECES else []


def _without_clashes(found: list[Planned], work: Work) -> list[Planned]:
    """The loops but those that hold on to a slot of a stack that others go through.

    What such a loop adds to the slot's adjoint is one sum, and goes between what the
    windows of the stack add.
    """
    homes = Homes(work, [one.loop for one in found])
    through = homes.gone_through(access for one in found for access in one.reads)
    if not through:
        return found
    kept = []
    for one in found:
        held = {*fixed_operands(one.loop, work).values(), *one.starts.values()}
        known = [home for home in map(homes.of, held) if home is not None]
        if through.isdisjoint({(number, made) for number, _, made in known}):
            kept.append(one)
    return kept


def _asked(found: list[Planned], work: Work) -> list[Column]:
    """For each loop the slots that are read elsewhere."""
    if not found:
        return []
    home = Homes(work, [one.loop for one in found]).numbers
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
    numbers = home(work.owner[slots])
    return [slots[numbers == number] for number in range(len(found))]


def _note(one: Planned, slots: Column, work: Work) -> None:
    """Note what is asked of a loop: in all iterations, or in the last one only."""
    loop = one.loop
    asked = loop.turns(work, slots)
    one.stacked = {made for made in asked if (asked[made] < loop.trips - 1).any()}
    one.last = set(asked) - one.stacked - set(loop.lags)


def _cuts(loop: Loop, reached: Reached) -> list[int]:
    """The iterations before which to cut a loop, so that each part is even.

    A loop that no cut makes even is cut too often.
    """
    if not reached.steady:
        return list(range(PIECES))
    cuts: set[int] = set()
    for made, turns in reached.asked.items():
        ending = len(turns) == 1 and turns[0] == loop.trips - 1
        if made in loop.lags or ending or len(turns) == loop.trips:
            continue
        there = np.zeros(loop.trips, bool)
        there[turns] = True
        edges = (np.flatnonzero(np.diff(there)) + 1).tolist()
        cuts |= set(edges[:PIECES])
    if not cuts and reached.uneven:
        cuts = {max(1, loop.trips - reached.before)}
    return sorted(cuts)
