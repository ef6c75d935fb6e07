"""Walking along the first axis of the arrays that a loop reads or makes. Floor 9.

Entries of arrays of floats become Python floats a block at a time: one by one they
would take longer than a short body.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.readings.mixed import plain

# Entries that are taken at a time.
BLOCK = 1 << 12


class Walker:
    """The entries of arrays, turn by turn.

    Args:
        m: the reading.
        leaves: the arrays.
        order: the place of each turn along their first axis.
    """

    def __init__(self, m: Any, leaves: Sequence[Any], order: range) -> None:
        self.columns = [_Column(m, leaf, order) for leaf in leaves]

    def at(self, turn: int) -> list[Any]:
        """The entries of one turn."""
        block, place = divmod(turn, BLOCK)
        return [column.block(block)[place] for column in self.columns]

    def walk(self, low: int, high: int) -> Iterator[tuple[Any, ...]]:
        """The entries of some turns, a tuple for each."""
        if not self.columns:
            yield from itertools.repeat((), high - low)
            return
        while low < high:
            block, place = divmod(low, BLOCK)
            stop = min(high - block * BLOCK, BLOCK)
            parts = [column.block(block)[place:stop] for column in self.columns]
            yield from zip(*parts, strict=True)
            low = block * BLOCK + stop


class _Column:
    """One array; the block that was read last is kept."""

    def __init__(self, m: Any, leaf: Any, order: range) -> None:
        self.m, self.leaf, self.order = m, leaf, order
        self.number = -1
        self.kept: list[Any] = []

    def block(self, number: int) -> list[Any]:
        """The entries of a block of turns."""
        if number != self.number:
            places = self.order[number * BLOCK : (number + 1) * BLOCK]
            self.kept = self._entries(places)
            self.number = number
        return self.kept

    def _entries(self, places: range) -> list[Any]:
        leaf = self.leaf
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind != "O":
            low, high = min(places[0], places[-1]), max(places[0], places[-1])
            part = leaf[low : high + 1][:: places.step]
            if leaf.ndim == 1 and leaf.dtype == np.float64:
                return part.tolist()  # type: ignore[no-any-return]
            return [plain(entry) for entry in part]
        rest = [(0, size, 1) for size in self.m.shape(leaf)[1:]]
        return [self.m.index(leaf, key=(i, *rest)) for i in places]


def in_turn(params: Mapping[str, Any]) -> range:
    """The place of each iteration along the first axis of what a loop reads."""
    length = params["length"]
    return range(length - 1, -1, -1) if params["reverse"] else range(length)


def piled(m: Any, entries: Sequence[Any], aval: Any) -> Any:
    """Entries as one array, along a new first axis."""
    shape, dtype = aval
    if not entries:
        return m.like(0, np.empty((0, *shape), dtype))
    if all(map(_plain, entries)):
        return plain(np.array(entries, _dtype(m, dtype)))
    parts = [m.reshape(y, shape=(1, *shape)) for y in entries]
    return m.concatenate(*parts, axis=0)


def _plain(y: Any) -> bool:
    if isinstance(y, np.ndarray):
        return bool(y.dtype.kind != "O")
    return isinstance(y, float | bool | np.generic)


def _dtype(m: Any, dtype: str) -> Any:
    """What arrays of a dtype are made of in a reading."""
    return np.float32 if m.name == "float32" and dtype == "float64" else dtype
