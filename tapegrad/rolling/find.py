"""Where the kinds of steps repeat: candidates, longest period first. Floor 10.

Windows of a few steps are hashed and sorted; the distance from a window to the next
equal one is the period wherever a loop runs (boundaries of inner loops tell the outer
one's). A distance that is met three times in a row is a candidate. Whether steps
repeat at that distance is then read off the column of kinds. Sorting is the only part
that is not linear.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from tapegrad.rolling.work import MIX, Column

# Steps in a window.
WINDOW = 6
# Periods that are tried.
TRIED = 40


def periods(signature: npt.NDArray[np.uint64]) -> list[int]:
    """Distances at which windows repeat regularly, longest first."""
    width = min(WINDOW, max(1, len(signature) // 4))
    count = len(signature) - width + 1
    if count < 2:
        return []
    hashed = signature[:count].copy()
    for k in range(1, width):
        hashed *= MIX
        hashed += signature[k : count + k]
    order = np.argsort(hashed, kind="stable")
    ranked = hashed[order]
    same = ranked[1:] == ranked[:-1]
    ahead = np.zeros(count, np.int64)  # distance to the next equal window
    ahead[order[:-1][same]] = np.diff(order)[same]
    found: dict[int, int] = {}
    at = np.flatnonzero(ahead)
    reach = at.copy()
    for _ in range(3):  # where a window stands several times in an iteration: sums
        live = ahead[reach] > 0
        at, reach = at[live], (reach + ahead[reach])[live]
        for distance, times in _regular(at, reach - at, count):
            found[distance] = found.get(distance, 0) + times
        if not len(at):
            break
    best = sorted(found, key=lambda d: -found[d])[:TRIED]
    return sorted(best, reverse=True)


def _regular(at: Column, distance: Column, count: int) -> Iterator[tuple[int, int]]:
    """Distances that are met again where they lead to, and how often."""
    table = np.zeros(count, np.int64)
    table[at] = distance
    there = at + distance
    inside = there < count
    steady = np.zeros(len(at), bool)
    steady[inside] = table[there[inside]] == distance[inside]
    if steady.any():
        kinds, times = np.unique(distance[steady], return_counts=True)
        yield from zip(kinds.tolist(), times.tolist(), strict=True)


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
    same = (kind[period:] == kind[:-period]) & free[period:] & free[:-period]
    edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
    begins, ends = edges[::2], edges[1::2]
    long = ends - begins >= (trips - 1) * period
    return list(zip(begins[long].tolist(), (ends[long] + period).tolist(), strict=True))
