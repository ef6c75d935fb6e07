"""The adjoint of an array while it is added up, entry by entry. Floor 9."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt


class Bars:
    """The adjoint of an array, of those entries that something was added to.

    Attributes:
        parts: slots by entry.
        masks: their masks by entry, None where it carries none.
        total: how many arrays were added.
        clean: how many of them had an entry that was no zero.
        structural: whether entries that are not there are absent, and not zero.
    """

    __slots__ = ("clean", "masks", "parts", "structural", "total")

    def __init__(self) -> None:
        self.parts: dict[int, int] = {}
        self.masks: dict[int, int] | None = None
        self.total = 0
        self.clean: dict[int, int] = {}
        self.structural = False


def count_up(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The places of the entries of an array."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def into(
    sums: dict[int, int], place: int, value: int, join: Callable[[int, int], int]
) -> None:
    """Join a value to what is there."""
    sums[place] = join(sums[place], value) if place in sums else value
