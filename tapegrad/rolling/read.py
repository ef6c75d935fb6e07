"""What operands are, from one iteration to the next. Floor 10.

    local     made earlier in the same iteration
    carried   made `lag` iterations before; the first ones come from outside
    fixed     the same slot in all iterations
    table     constants, each iteration its own
    outer     slots made before the loop, each iteration its own

A step that reads one entry of an array may read another one in each iteration: then it
is no step of the body, but what the loop hands to it. Iterations in which an operand is
not what it is in the others end a stretch: they are peeled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.rolling.work import Column, Work

Truths = npt.NDArray[np.bool_]
# A slot of the body: which step of an iteration, and which of its slots.
Made = tuple[int, int]

LOCAL, CARRIED, FIXED, TABLE, OUTER = "local", "carried", "fixed", "table", "outer"
# Share of the iterations that must read at a stride for the others to be peeled.
MOST = 0.75


@dataclass(frozen=True)
class Operand:
    """One operand position of a body.

    Args:
        kind: see the module's text.
        made: of a local or carried one, the slot of the body.
        lag: of a carried one, iterations back.
    """

    kind: str
    made: Made = (0, 0)
    lag: int = 0


@dataclass(frozen=True)
class Loop:
    """A stretch of work that is a loop.

    Args:
        start: its first step of work.
        period: steps of an iteration.
        trips: number of iterations.
        operands: what each operand position of an iteration is.
        moving: steps of an iteration that read another entry each time; True where
            they do so at a stride.
    """

    start: int
    period: int
    trips: int
    operands: tuple[Operand, ...]
    moving: dict[int, bool]

    @property
    def end(self) -> int:
        """The first step behind it."""
        return self.start + self.period * self.trips

    def part(self, low: int, high: int) -> Loop:
        """Some of its iterations."""
        start = self.start + low * self.period
        return dataclasses.replace(self, start=start, trips=high - low)

    def slots(self, work: Work, position: int) -> Column:
        """What an operand position reads in each iteration."""
        base = work.offsets[self.start] + position
        width = len(self.operands)
        return work.operands[base : base + width * self.trips : width]

    def places(self, work: Work, step: int) -> Column:
        """The entries that a moving step reads."""
        return work.place[self.start + step : self.end : self.period]

    def makes(self, work: Work, slots: Column) -> tuple[Column, Column, Column]:
        """Iteration, step and place among the step's slots, of slots that it makes."""
        turns, steps = np.divmod(work.owner[slots] - self.start, self.period)
        return turns, steps, work.within(slots)

    def turns(self, work: Work, slots: Column) -> dict[Made, Column]:
        """Slots that it makes as slots of the body, each with its iterations."""
        found: dict[Made, list[int]] = {}
        columns = (column.tolist() for column in self.makes(work, slots))
        for turn, step, place in zip(*columns, strict=True):
            found.setdefault((step, place), []).append(turn)
        return {made: np.array(turns) for made, turns in found.items()}

    @property
    def lags(self) -> dict[Made, int]:
        """The carried slots of the body, and how far back each is read."""
        found: dict[Made, int] = {}
        for operand in self.operands:
            if operand.kind == CARRIED:
                found[operand.made] = max(found.get(operand.made, 0), operand.lag)
        return found


def loops(
    work: Work, begin: int, end: int, period: int, trips: int, *, even: bool
) -> Iterator[Loop]:
    """The loops of a stretch whose kinds repeat.

    Args:
        work: all steps.
        begin: the first step of the stretch.
        end: the first step behind it.
        period: in steps.
        trips: least number of iterations.
        even: only loops whose reads go on at strides.
    """
    begin += _phase(work, begin, end, period)
    count = (end - begin) // period
    if count < trips:
        return
    reading = _Reading(work, begin, period, count)
    if even and not reading.even:
        return
    for low, high in reading.stretches():
        if high - low >= trips:
            yield reading.loop(low, high)


def _phase(work: Work, begin: int, end: int, period: int) -> int:
    """Where in the period an iteration begins: where the fewest values cross."""
    at = begin + period * max(1, (end - begin) // period - 2)
    at = min(at, end - period)
    low, high = work.offsets[at], work.offsets[at + period]
    counts = np.diff(work.offsets[at : at + period + 1])
    readers = np.repeat(np.arange(at, at + period), counts)
    slots = work.operands[low:high]
    owners = work.owner[slots]
    inside = owners >= begin
    lags = (readers - owners)[inside]
    made = ((owners[inside] - begin) % period) * 64 + work.within(slots[inside])
    known, which = np.unique(made, return_inverse=True)
    longest = np.zeros(len(known), np.int64)
    np.maximum.at(longest, which, lags)
    crossing = np.zeros(2 * period + 1, np.int64)
    for producer, lag in zip((known // 64).tolist(), longest.tolist(), strict=True):
        if lag < period:
            crossing[producer + 1] += 1
            crossing[producer + lag + 1] -= 1
    level = np.cumsum(crossing[:-1])
    return int(np.argmin(level[:period] + level[period:]))


class _Reading:
    """A stretch, operand position by operand position."""

    def __init__(self, work: Work, begin: int, period: int, count: int) -> None:
        self.work, self.begin, self.period, self.count = work, begin, period, count
        # a late iteration shows what an operand is: the first ones read from outside
        self.late = count - 1 - count // 5
        self.bad = np.zeros(count, bool)
        self.even = True
        self.started: dict[int, Truths] = {}  # carried: where they are what they are
        offsets = work.offsets[begin : begin + period + 1]
        self.width = int(offsets[-1] - offsets[0])
        self.step = np.repeat(np.arange(period), np.diff(offsets)).tolist()
        self.first = (offsets[:-1] - offsets[0]).tolist()
        self.operands = [self._operand(position) for position in range(self.width)]
        self.moving = self._moving()

    def _slots(self, position: int) -> Column:
        base = int(self.work.offsets[self.begin]) + position
        return self.work.operands[base : base + self.width * self.count : self.width]

    def _operand(self, position: int) -> Operand:
        work, late = self.work, self.late
        slots = self._slots(position)
        const = work.const[slots]
        if const[late] and const[late - 1]:
            self.bad |= ~const
            alike = (slots == slots[late]) | ~const
            return Operand(FIXED if alike.all() else TABLE)
        owners = work.owner[slots]
        step = self.begin + self.step[position]
        lags = step + np.arange(self.count, dtype=np.int32) * self.period - owners
        if owners[late] >= self.begin and lags[late] == lags[late - 1]:
            within = work.within(slots)
            fits = (lags == lags[late]) & (owners >= 0) & (within == within[late])
            iteration, made = divmod(int(owners[late]) - self.begin, self.period)
            lag = late - iteration
            if lag:
                self.started[position] = fits
                return Operand(CARRIED, (made, int(within[late])), lag)
            self.bad |= ~fits
            return Operand(LOCAL, (made, int(within[late])))
        if slots[late] == slots[late - 1]:
            self.bad |= slots != slots[late]
            # one made in an early iteration is fixed for those behind that
            made_in = (int(owners[late]) - self.begin) // self.period
            self.bad[: max(0, made_in + 1)] = True
            return Operand(FIXED)
        self.bad |= owners >= self.begin
        # most at a stride: the others, such as the first of a list, are peeled
        where = np.where(owners < 0, -1 - slots, owners)
        fits = _along(where, late)
        if fits.mean() >= MOST:
            self.bad |= ~fits
        else:
            self.even = False
        return Operand(OUTER)

    def _moving(self) -> dict[int, bool]:
        """Steps that read another entry in each iteration: at a stride, or not."""
        found: dict[int, bool] = {}
        late = self.late
        ranks = self.work.ranks_of(slice(self.begin, self.begin + self.period))
        for step in np.flatnonzero(ranks).tolist():
            low = self.begin + step
            places = self.work.place[low : low + self.count * self.period : self.period]
            stride = int(places[late] - places[late - 1])
            fits = _along(places, late)
            if fits.mean() >= MOST:
                self.bad |= ~fits
                if stride:
                    found[step] = True
            else:
                found[step] = self.even = False
            source = self.operands[self.first[step]].kind
            if step in found and source != FIXED:
                self.bad[:] = True  # another array each time, another entry each time
        return found

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Iterations (first, behind the last) in which all operands keep their kind."""
        good = ~self.bad
        for fits in self.started.values():
            good = good & fits
        edges = np.flatnonzero(np.diff(good, prepend=False, append=False))
        for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            yield low - self._before(low), high

    def _before(self, low: int) -> int:
        """How many iterations before a stretch belong to it: they start the carries."""
        longest = max((self.operands[q].lag for q in self.started), default=0)
        for more in range(min(longest, low), 0, -1):
            start = low - more
            if not self.bad[start:low].any() and self._starts(start, more):
                return more
        return 0

    def _starts(self, start: int, more: int) -> bool:
        outside = self.begin + start * self.period
        for position, fits in self.started.items():
            lag = self.operands[position].lag
            rows = slice(start, start + min(lag, more))
            owners = self.work.owner[self._slots(position)[rows]]
            if (owners >= outside).any():
                return False
            if not fits[start + lag : start + more].all():
                return False
        return True

    def loop(self, low: int, high: int) -> Loop:
        """Some iterations as a loop."""
        start = self.begin + low * self.period
        operands = tuple(self.operands)
        return Loop(start, self.period, high - low, operands, self.moving)


def _along(places: Column, late: int) -> Truths:
    """Which places go on at the stride that they have at a late iteration."""
    stride = places[late] - places[late - 1]
    fits: Truths = places == places[late] + (np.arange(len(places)) - late) * stride
    return fits


def fixed_operands(loop: Loop, work: Work) -> dict[int, int]:
    """The slots that are the same in all iterations, by position."""
    base = work.offsets[loop.start]
    return {
        position: int(work.operands[base + position])
        for position, operand in enumerate(loop.operands)
        if operand.kind == FIXED
    }


def starts(loop: Loop, work: Work) -> dict[tuple[Made, int], int] | None:
    """The slots that a carried one is before the first iteration, by iterations back.

    None where operands disagree: another iteration is peeled then.
    """
    found: dict[tuple[Made, int], int] = {}
    for position, operand in enumerate(loop.operands):
        if operand.kind != CARRIED:
            continue
        for row, slot in enumerate(loop.slots(work, position)[: operand.lag].tolist()):
            key = operand.made, operand.lag - row
            if found.setdefault(key, slot) != slot:
                return None
    return found


def step_of(loop: Loop, work: Work) -> list[Any]:
    """For each operand position the step of the body that it belongs to."""
    counts = np.diff(work.offsets[loop.start : loop.start + loop.period + 1])
    return np.repeat(np.arange(loop.period), counts).tolist()
