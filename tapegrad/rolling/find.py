"""Where the kinds of steps repeat: candidates, longest period first. Floor 10.

Windows of a few steps are hashed and sorted; the distance from a window to the next
equal one is the period wherever a loop runs (boundaries of inner loops tell the outer
one's). A distance that leads to the same distance is a candidate. Whether steps repeat
at it is then read off the column of kinds.

Long tapes are looked at block by block, for short periods; and once more as a whole, at
those windows that have no equal one near, and whose hash is one of a few.
Sorting is the only part that is not linear.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tapegrad.rolling.work import BLOCK, MIX, Column, Work, blocks, signature

# Steps in a window.
WINDOW = 6
# Periods that are tried.
TRIED = 40


def periods(work: Work) -> list[int]:
    """Distances at which windows repeat regularly, longest first."""
    found = dict(_of_reads(work))
    few = -(-len(work) // BLOCK)
    places: list[Column] = []
    hashes: list[npt.NDArray[np.uint64]] = []
    for part in blocks(len(work)):
        hashed = _windows(signature(work, part))
        ahead = _ahead(hashed)
        for distance, times in _distances(np.arange(len(hashed)), ahead):
            found[distance] = found.get(distance, 0) + times
        if few > 1:
            some = (hashed >> np.uint64(32)) % np.uint64(few) == 0
            kept = np.flatnonzero(some & (ahead[:-1] == len(hashed)))
            places.append(kept + part.start)
            hashes.append(hashed[kept])
    if few > 1:
        whole = _ahead(np.concatenate(hashes))
        for distance, times in _distances(np.concatenate(places), whole):
            found[distance] = found.get(distance, 0) + times
    best = sorted(found, key=lambda d: -found[d])[:TRIED]
    return sorted(best, reverse=True)


def _of_reads(work: Work) -> Iterator[tuple[int, int]]:
    """Distances at which the same entries are read again.

    Of loops in loops with nothing between them the steps repeat at the inner one's
    period, and only what is read tells of the outer one.
    """
    if not len(work.place):
        return
    parts = [np.flatnonzero(work.ranks_of(p)) + p.start for p in blocks(len(work))]
    places = np.concatenate(parts)[:BLOCK]
    read = work.place[places].astype(np.uint64)
    hashed = work.kind[places].astype(np.uint64) * MIX + read * (MIX | np.uint64(2))
    yield from _distances(places, _ahead(hashed * MIX))


def _windows(signature: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The hash of the steps from each step on."""
    width = min(WINDOW, max(1, len(signature) // 4))
    count = len(signature) - width + 1
    hashed = signature[:count].copy()
    for k in range(1, width):
        hashed *= MIX
        hashed += signature[k : count + k]
    return hashed


def _ahead(hashed: npt.NDArray[np.uint64]) -> Column:
    """For each window the next equal one; the end for none, and for the end."""
    order = np.argsort(hashed, kind="stable")
    same = hashed[order[1:]] == hashed[order[:-1]]
    ahead = np.full(len(hashed) + 1, len(hashed))
    ahead[order[:-1][same]] = order[1:][same]
    return ahead


def _distances(places: Column, ahead: Column) -> Iterator[tuple[int, int]]:
    """Distances from window to equal window that repeat, and how often they do."""
    count = len(places)
    where = np.append(places, 0)
    reach = ahead.copy()
    for _ in range(3):  # a window may stand several times in an iteration: sums
        live = np.flatnonzero(reach[:-1] < count)
        if not len(live):
            return
        distance = where[reach[live]] - where[live]
        table = np.zeros(count + 1, np.int64)
        table[live] = distance
        steady = distance[table[reach[live]] == distance]
        kinds, times = np.unique(steady, return_counts=True)
        yield from zip(kinds.tolist(), times.tolist(), strict=True)
        reach = np.append(ahead[reach[:-1]], count)


def runs(
    kind: Column, free: npt.NDArray[np.bool_], period: int, trips: int
) -> list[tuple[int, int]]:
    """Stretches (first step, end) in which kinds repeat at a period.

    Args:
        kind: of all steps.
        free: steps that belong to no loop yet.
        period: in steps.
        trips: least number of iterations.
    """
    if period >= len(kind):
        return []
    same = np.zeros(len(kind) - period + 2, bool)  # with an edge at both ends
    inner = same[1:-1]
    np.equal(kind[period:], kind[:-period], out=inner)
    inner &= free[period:]
    inner &= free[:-period]
    edges = np.flatnonzero(same[1:] != same[:-1])
    begins, ends = edges[::2], edges[1::2]
    long = ends - begins >= (trips - 1) * period
    return list(zip(begins[long].tolist(), (ends[long] + period).tolist(), strict=True))
