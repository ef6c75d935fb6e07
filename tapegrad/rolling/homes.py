"""Which loop a slot of the tape is made in. Floor 10."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tapegrad.rolling.order import SLOTS, Access
from tapegrad.rolling.read import Loop, Made
from tapegrad.rolling.work import Column, Work


class Homes:
    """The loops of a tape, by their steps.

    Args:
        work: all steps.
        loops: in order; they do not overlap.
    """

    def __init__(self, work: Work, loops: Sequence[Loop]) -> None:
        self.work, self.loops = work, loops
        self.begins = np.array([loop.start for loop in loops], np.int64)
        self.ends = np.array([loop.end for loop in loops], np.int64)

    def numbers(self, steps: Column) -> Column:
        """For each step of work its loop, or -1."""
        number = np.searchsorted(self.begins, steps, side="right") - 1
        inside = (number >= 0) & (steps < self.ends[number])
        return np.where(inside, number, -1)

    def of(self, slot: int) -> tuple[int, int, Made] | None:
        """Loop, iteration and slot of the body; None for a slot of no loop."""
        step = int(self.work.owner[slot])
        number = int(self.numbers(np.array([step]))[0])
        if number < 0:
            return None
        makes = self.loops[number].makes(self.work, np.array([slot]))
        turn, place, within = (int(column[0]) for column in makes)
        return number, turn, (place, within)

    def gone_through(self, reads: Iterable[Access]) -> set[tuple[int, Made]]:
        """The slots of bodies that moving reads of later loops begin or end in."""
        found = set()
        for access in reads:
            if access.source == SLOTS:
                for place in (0, -1):
                    home = self.of(int(access.elements[place]))
                    if home is not None:
                        found.add((home[0], home[2]))
        return found
