"""Tables of truth values: which entries depend on which variables. Floor 9.

A *reach* is a scipy.sparse.csr_array of truth values, entries by variables; None where
nothing depends on anything. Each function gives a new one, its rows sorted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from tapegrad.errors import ShapeError

Reach = Any
Ints = npt.NDArray[np.int64]

# A table with more entries is no sparse one: it would take gigabytes.
LIMIT = 1 << 27


def table(columns: Any, starts: Any, variables: int) -> Reach:
    """A reach from its columns and the places where its rows start."""
    data = np.ones(len(columns), bool)
    return sp.csr_array((data, columns, starts), shape=(len(starts) - 1, variables))


def empty(entries: int, variables: int) -> Reach:
    """Entries that depend on nothing."""
    return table(np.zeros(0, np.int32), np.zeros(entries + 1, np.int32), variables)


def units(entries: int, first: int, variables: int) -> Reach:
    """Entries that are variables themselves, numbered from `first`."""
    columns = np.arange(first, first + entries, dtype=np.int32)
    return table(columns, np.arange(entries + 1, dtype=np.int32), variables)


def union(parts: Sequence[Reach]) -> Reach | None:
    """What any of several equally long reaches has."""
    distinct = {id(part): part for part in parts if part is not None}
    total: Reach | None = None
    for part in distinct.values():
        total = part if total is None else total + part
    return total


def taken(reach: Reach, source: Ints) -> Reach:
    """Rows by number."""
    guard_size(int(np.diff(reach.indptr)[source].sum()))
    return reach[source]


def kept(reach: Reach, mask: npt.NDArray[np.bool_]) -> Reach:
    """The rows where a mask is set; the others become empty."""
    if mask.all():
        return reach
    counts = np.diff(reach.indptr)
    chosen = np.repeat(mask, counts)
    starts = np.append(0, np.cumsum(np.where(mask, counts, 0))).astype(np.int32)
    return table(reach.indices[chosen], starts, reach.shape[1])


def stretched(reach: Reach, shape: tuple[int, ...], wide: tuple[int, ...]) -> Reach:
    """The reach of an array that is broadcast."""
    if math.prod(shape) == math.prod(wide):
        return reach
    source = np.arange(math.prod(shape)).reshape(shape)
    return taken(reach, np.broadcast_to(source, wide).ravel())


def joined(parts: Sequence[Reach | None], sizes: Sequence[int], n: int) -> Reach:
    """An empty row, and then the rows of all parts."""
    starts, columns = [np.zeros(2, np.int64)], []
    total = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is None:
            starts.append(np.full(size, total))
            continue
        starts.append(part.indptr[1:] + total)
        columns.append(part.indices)
        total += len(part.indices)
    guard_size(total)
    every = np.concatenate(columns) if columns else np.zeros(0, np.int32)
    return table(every, np.concatenate(starts).astype(np.int32), n)


def stacked(lines: Sequence[tuple[Any, Any]], variables: int) -> Reach:
    """Rows of several slots, from their columns and the lengths of their rows."""
    if not lines:
        return empty(0, variables)
    columns, counts = (np.concatenate(parts) for parts in zip(*lines, strict=True))
    guard_size(len(columns))
    starts = np.append(0, np.cumsum(counts, dtype=np.int64))
    return table(columns, starts.astype(np.int32), variables)


def related(rows: Ints, columns: Ints, entries: int, reach: Reach) -> Reach:
    """Entry rows[k] reads entry columns[k], which has a reach."""
    guard_size(int(np.diff(reach.indptr)[columns].sum()))
    shape = (entries, reach.shape[0])
    step = sp.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=shape)
    found = step @ reach
    found.sort_indices()
    return found


def overall(reach: Reach) -> Reach:
    """One row: the union of all."""
    columns = np.flatnonzero(np.bincount(reach.indices, minlength=reach.shape[1]))
    return table(columns.astype(np.int32), np.array([0, len(columns)]), reach.shape[1])


def repeated(reach: Reach, entries: int) -> Reach:
    """Many entries with the one row of a reach."""
    return taken(reach, np.zeros(entries, np.int64))


def guard_size(entries: int) -> None:
    """Raise where a table would be no sparse one.

    Raises:
        ShapeError: more entries than `LIMIT`.
    """
    if entries > LIMIT:
        msg = (
            f"the pattern of an intermediate result would have {entries:.3g} entries: "
            "nearly every entry depends on nearly every variable. A sparse derivative "
            "is no help here; use tg.jacobian or tg.hessian, or products with it "
            "(tg.jvp, tg.vjp, tg.hvp)"
        )
        raise ShapeError(msg)


# -- single entries as integers, one bit a variable -------------------------------


def bits_of(reach: Reach) -> int:
    """The one row of a reach as an integer."""
    columns = reach.indices
    if len(columns) < 16:
        return sum(1 << int(column) for column in columns)
    marks = np.zeros(reach.shape[1], np.uint8)
    marks[columns] = 1
    return int.from_bytes(np.packbits(marks, bitorder="little").tobytes(), "little")


def columns_of(bits: int) -> npt.NDArray[np.int32]:
    """The variables of such an integer."""
    if bits.bit_count() < 16:
        found = []
        while bits:
            low = bits & -bits
            found.append(low.bit_length() - 1)
            bits ^= low
        return np.array(found, np.int32)
    size = (bits.bit_length() + 7) // 8
    marks = np.frombuffer(bits.to_bytes(size, "little"), np.uint8)
    return np.flatnonzero(np.unpackbits(marks, bitorder="little")).astype(np.int32)


def from_bits(bits: int, variables: int) -> Reach:
    """An integer as a reach of one row."""
    columns = columns_of(bits)
    return table(columns, np.array([0, len(columns)], np.int32), variables)
