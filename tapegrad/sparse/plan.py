"""How a sparse derivative is found: pattern, colours, and where to read it. Floor 9.

A plan is made once for a tape (and for the values of its inputs without a derivative,
which decide indices): later calls only sweep, and pick the entries off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from tapegrad import sweeps
from tapegrad.jacobians import in_bulk
from tapegrad.rules.shapes import FLOATING
from tapegrad.sparse import colouring
from tapegrad.sparse.compressed import Marks, adjoints, bulk_tangents, tangents
from tapegrad.sparse.pattern import Reaches, pattern
from tapegrad.sparse.reaches import Reach
from tapegrad.tape.tape import Tape

# Numbers of a slot, over all colours that are swept together.
ROOM = 1 << 23


@dataclass(frozen=True, slots=True)
class Plan:
    """All that does not depend on the numbers.

    Args:
        tape: the flat tape whose Jacobian is asked for.
        wrt: the input slots that hold the variables.
        given: values of the inputs without a derivative, by slot.
        pattern: where the Jacobian can be nonzero.
        colours: one a column, or one a row when `rows`.
        rows: sweep in reverse.
        places: for each entry of the pattern its place in the compressed matrix,
            colours first.
    """

    tape: Tape
    wrt: tuple[int, ...]
    given: Mapping[int, Any]
    pattern: Reach
    colours: colouring.Colours
    rows: bool
    places: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """The number of colours: of sweeps."""
        return int(self.colours.max(initial=-1)) + 1

    def fits(self, given: Mapping[int, Any]) -> bool:
        """Whether it was made for these values of inputs without a derivative."""
        return all(np.array_equal(self.given[slot], x) for slot, x in given.items())

    def entries(self, m: Any, inputs: Sequence[Any]) -> npt.NDArray[Any]:
        """The Jacobian's entries at numbers, in the order of the pattern."""
        find = self._by_rows if self.rows else self._by_columns
        found = find(m, inputs, masked=False)
        if np.isnan(found).any():
            found = find(m, inputs, masked=True)
        return found

    # -- the two directions ----------------------------------------------------

    @property
    def sizes(self) -> list[int]:
        """Entries of what a sweep gives: of each output, or each input for rows."""
        slots = self.wrt if self.rows else self.tape.outputs
        return [math.prod(self.tape.aval_of(slot)[0]) for slot in slots]

    def seeds(self, slots: Sequence[int], colour: int) -> dict[int, Any]:
        """The seeds of one colour; none for a slot that has no entry of it."""
        found: dict[int, Any] = {}
        start = 0
        for slot in slots:
            shape, dtype = self.tape.aval_of(slot)
            size = math.prod(shape)
            mine = self.colours[start : start + size] == colour
            start += size
            if not mine.any() or dtype not in FLOATING:
                continue
            one = np.float32(1) if dtype == "float32" else 1.0
            seed = mine.astype(dtype).reshape(shape) if shape else one
            found[slot] = found[slot] + seed if slot in found else seed
        return found

    def _by_columns(
        self, m: Any, inputs: Sequence[Any], *, masked: bool
    ) -> npt.NDArray[Any]:
        marks = self._marks() if masked else None
        if not self.tape.arrays:
            return self._picked([self._scalars(m, inputs, marks)])
        wide = max(math.prod(shape) for shape, _ in self.tape.avals)
        step = max(1, ROOM // max(wide, 1))  # so many colours at a time
        lines = []
        for low in range(0, self.count, step):
            some = range(low, min(low + step, self.count))
            each = [self.seeds(self.wrt, colour) for colour in some]
            seeds = {slot: [seed.get(slot) for seed in each] for slot in self.wrt}
            cut = None if marks is None else _cut(marks, some)
            lines.append(self._swept(m, inputs, seeds, cut, len(some)))
        return self._picked([np.concatenate(lines)] if lines else [])

    def _scalars(self, m: Any, inputs: Sequence[Any], marks: Marks | None) -> Any:
        """Tangents of all outputs of a tape of scalars."""
        units = np.eye(self.count)[self.colours]
        if marks is not None or not in_bulk(self.tape, m):
            seeds = {slot: [unit] for slot, unit in zip(self.wrt, units, strict=True)}
            return self._swept(m, inputs, seeds, marks, self.count)
        values = sweeps.replay(self.tape, m, inputs)
        step = max(1, ROOM // self.tape.slot_count)
        lines = [
            bulk_tangents(self.tape, values, self.wrt, units[:, low : low + step])
            for low in range(0, self.count, step)
        ]
        return np.concatenate(lines)

    def _swept(
        self,
        m: Any,
        inputs: Sequence[Any],
        seeds: dict[int, list[Any]],
        marks: Marks | None,
        count: int,
    ) -> Any:
        """Tangents of all outputs as a matrix, colours first."""
        dots = tangents(self.tape, m, inputs, seeds, marks)
        pairs = zip(dots, self.tape.outputs, strict=True)
        return np.concatenate(
            [self._flat(dot, slot, count) for dot, slot in pairs], axis=1
        )

    def _flat(self, dots: Any, slot: int, count: int) -> Any:
        """An output's tangents as a matrix, colours first."""
        shape, dtype = self.tape.aval_of(slot)
        size = math.prod(shape)
        if dots is None:
            return np.zeros((count, size), dtype if dtype in FLOATING else float)
        if not self.tape.arrays:
            return np.reshape(dots[0], (count, 1))
        zero = np.zeros(shape, dtype)
        return np.stack([np.ravel(zero if dot is None else dot) for dot in dots])

    def _by_rows(
        self, m: Any, inputs: Sequence[Any], *, masked: bool
    ) -> npt.NDArray[Any]:
        tape = self.tape
        lines = []
        values = sweeps.replay(tape, m, inputs)
        for colour in range(self.count):
            given = self.seeds(tape.outputs, colour)
            bars = adjoints(tape, m, values, given, self.wrt, masked=masked)
            lines.append([_ravelled(tape, bars[slot], slot) for slot in self.wrt])
        return self._picked([np.stack(parts) for parts in zip(*lines, strict=True)])

    def _picked(self, parts: Sequence[Any]) -> npt.NDArray[Any]:
        whole = np.concatenate(parts, axis=1) if parts else np.zeros((0, 0))
        return np.take(whole.ravel(), self.places)

    def _marks(self) -> Any:
        """What each colour reaches, slot by slot."""
        found = Reaches(self.tape, self.wrt, self.given, None)
        spots = (np.arange(len(self.colours)), self.colours)
        ones = np.ones(len(self.colours), bool)
        chosen = sp.csr_array((ones, spots), shape=(found.variables, self.count))

        def marks(slot: int) -> Any:
            seen = (found.of(slot) @ chosen).toarray().astype(bool)
            if not self.tape.arrays:
                return [seen[0]]
            return seen.T.reshape(self.count, *self.tape.aval_of(slot)[0])

        return marks


def _cut(marks: Marks, some: range) -> Marks:
    """The marks of some of the colours."""
    return lambda slot: marks(slot)[some.start : some.stop]


def _ravelled(tape: Tape, bar: Any, slot: int) -> Any:
    shape, dtype = tape.aval_of(slot)
    return np.zeros(math.prod(shape), dtype) if bar is None else np.ravel(bar)


def jacobian_plan(tape: Tape, wrt: Sequence[int], given: Mapping[int, Any]) -> Plan:
    """The plan of a Jacobian: columns or rows, whichever need fewer colours.

    A side needs at least as many colours as its fullest line has entries; so the
    side with the lower bound is coloured first, and the other only if it could win.
    """
    found = pattern(tape, wrt, given)
    other = found.T.tocsr()
    other.sort_indices()
    least = [int(np.diff(side.indptr).max(initial=0)) for side in (found, other)]
    best: Any = None
    # columns first where the bounds are equal: a forward sweep costs less
    for rows in (False, True) if least[0] <= least[1] else (True, False):
        if best is not None and least[rows] >= best[0]:
            break
        colours = colouring.columns(other if rows else found)
        count = int(colours.max(initial=-1)) + 1
        if best is None or count < best[0]:
            best = (count, rows, colours)
    _, rows, colours = best
    row, column = _coordinates(found)
    places = (
        colours[row].astype(np.int64) * found.shape[1] + column
        if rows
        else colours[column].astype(np.int64) * found.shape[0] + row
    )
    return Plan(tape, tuple(wrt), given, found, colours, rows, places)


def hessian_plan(tape: Tape, wrt: Sequence[int], given: Mapping[int, Any]) -> Plan:
    """The plan of a Hessian, the Jacobian of the gradient's tape: a star colouring.

    An entry (i, j) is read off in row i at the colour of j, if no other neighbour of i
    has that colour; otherwise i is the centre of a star, and it is read off at (j, i).
    """
    found = pattern(tape, wrt, given)
    found = found + found.T.tocsr()
    found.sort_indices()
    colours = colouring.star(found).astype(np.int64)
    row, column = _coordinates(found)
    size, count = found.shape[0], int(colours.max(initial=-1)) + 1
    spot = row * max(count, 1) + colours[column]
    alone = np.bincount(spot, minlength=size * max(count, 1))[spot] == 1
    # the upper triangle decides for both of its entries: the result is symmetric
    key = row * size + column
    mirror = np.searchsorted(key, column * size + row)
    alone = np.where(row <= column, alone, ~alone[mirror])
    places = np.where(alone, colours[column] * size + row, colours[row] * size + column)
    return Plan(tape, tuple(wrt), given, found, colours.astype(np.int32), False, places)


def _coordinates(found: Reach) -> tuple[Any, Any]:
    """Row and column of each entry."""
    counts = np.diff(found.indptr)
    row = np.repeat(np.arange(found.shape[0], dtype=np.int64), counts)
    return row, found.indices.astype(np.int64)
