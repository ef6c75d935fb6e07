"""States of a loop in reverse order, from a few snapshots. Floor 9.

Binomial checkpointing (Griewank & Walther, chapter 12; their Algorithm 799, "revolve").
With c snapshots, the one at the start among them, and r repeated passes, loops of up to

    beta(c, r) = (c + r)! / (c! r!)

iterations are reversed. The fewest iterations run again for l of them are

    t(l, c) = r l - beta(c + 1, r - 1),      r the least with beta(c, r) >= l
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

# Runs the iterations from one place up to another.
Advance = Callable[[Any, int, int], Any]


def beta(snapshots: int, repeats: int) -> int:
    """How many iterations so many snapshots and repeats reverse."""
    return math.comb(snapshots + repeats, snapshots) if repeats >= 0 else 0


def repeats(length: int, snapshots: int) -> int:
    """How often an iteration is run again at most."""
    found = 0
    while beta(snapshots, found) < length:
        found += 1
    return found


def advances(length: int, snapshots: int) -> int:
    """The number of iterations that are run again, all together."""
    r = repeats(length, snapshots)
    return r * length - beta(snapshots + 1, r - 1)


@functools.lru_cache(4096)
def next_snapshot(length: int, snapshots: int) -> int:
    """Where the next snapshot goes, counted from the last one."""
    r = repeats(length, snapshots)
    most = beta(snapshots, r - 1)
    return max(1, min(most, length - beta(snapshots - 1, r - 1)))


def states(
    length: int, snapshots: int, start: Any, advance: Advance
) -> Iterator[tuple[int, Any]]:
    """``(i, state before iteration i)`` for i falling from length - 1 to 0.

    Args:
        length: number of iterations.
        snapshots: states kept at a time, at least 1: the start is one of them.
        start: the state before the first iteration.
        advance: ``advance(state, i, j)`` gives the state before iteration j.
    """
    kept = [(0, start)] if length else []
    end = length
    while kept:
        place, state = kept[-1]
        if place == end - 1:
            yield place, state
            kept.pop()
            end = place
        elif len(kept) < snapshots:
            free = snapshots - len(kept) + 1
            after = place + next_snapshot(end - place, free)
            kept.append((after, advance(state, place, after)))
        else:
            yield end - 1, advance(state, place, end - 1)
            end -= 1
