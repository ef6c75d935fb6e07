"""Source lines of steps: where each one was recorded. Floor 2.

A line costs more than the step itself, so recordings note none unless they are asked
to. Then the flat list of rows is a `Noted` one, which looks up the stack whenever a row
is added: the paths that record are the same, and pay nothing where no line is wanted.
Lines are for people. They are no part of a tape's content, and two tapes that differ in
them alone are equal.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tapegrad.tape.guards import PACKAGE

# A file and a line in it.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Source lines by slot.

    Args:
        places: distinct files and lines.
        column: for each slot, the index of its place; -1 where it is not known.
    """

    places: tuple[Place, ...]
    column: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        self.column.setflags(write=False)

    def of(self, slot: int) -> Place | None:
        """Where the step of a slot was recorded."""
        index = int(self.column[slot])
        return None if index < 0 else self.places[index]


class Places:
    """Lines that grow, one entry a slot.

    Attributes:
        column: for each slot, the index of its place, or -1.
    """

    __slots__ = ("_index", "column")

    def __init__(self) -> None:
        self._index: dict[Place, int] = {}
        self.column: list[int] = []

    def add(self, place: Place | None, count: int = 1) -> None:
        """The place of so many more slots."""
        if place is None:
            self.column += [-1] * count
            return
        index = self._index.setdefault(place, len(self._index))
        self.column += [index] * count

    def frozen(self) -> Lines:
        """The lines so far."""
        return Lines(tuple(self._index), np.array(self.column, np.int32))


class Noted(list[Any]):
    """A flat list of rows that notes where each of them comes from.

    Args:
        places: what it notes them in.
    """

    __slots__ = ("_places",)

    def __init__(self, places: Places) -> None:
        super().__init__()
        self._places = places

    def __iadd__(self, rows: Iterable[Any]) -> Self:  # type: ignore[misc]
        """Add rows of four entries; the line is the user's innermost one."""
        before = len(self)
        self.extend(rows)
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        place = frame.f_code.co_filename, frame.f_lineno
        self._places.add(place, (len(self) - before) // 4)
        return self


def text_of(place: Place) -> str:
    """The source text of a line; "" where the file is not to be had."""
    return linecache.getline(*place).strip()
