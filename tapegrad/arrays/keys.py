"""NumPy's indices written out, as the rows of the table take them. Floor 7.

An ellipsis, open slices, negative places, lists and masks are resolved here, so that a
step on a tape holds plain integers (see ``rules/shapes.py``):

    x[..., 1:, -1]   on shape (4, 3, 2)   is   ((0, 4, 1), (1, 2, 1), 1)

A mask that was computed in a recording is turned into places by a guard: a replay whose
mask differs raises `BranchChanged`.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from tapegrad.arrays.lift import discrete, line, operand, primal, recorded, test
from tapegrad.errors import IndexOutOfBounds, RecordError
from tapegrad.rules.shapes import Key, Shape
from tapegrad.value import Value

# An index with its masks resolved: ints, slices, None, and arrays of ints.
Entry = Any


def canonical(shape: Shape, given: Any) -> tuple[Key, list[Any]]:
    """The written-out key, and the integer arrays that stand in it.

    Args:
        shape: of what is indexed.
        given: whatever stands between the brackets.

    Raises:
        IndexOutOfBounds: too many indices, a place beyond the end, a mask of another
            shape, or what is no index at all.
    """
    entries = _expanded(shape, given)
    fancy = any(_is_array(entry) for entry in entries)
    key: list[Any] = []
    arrays: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is None:
            key.append(None)
            continue
        size = shape[axis]
        if isinstance(entry, slice):
            key.append(_slice(entry, size))
        elif _is_array(entry):
            key.append("a")
            arrays.append(_bounded(entry, axis, size))
        elif fancy:
            # beside arrays an int counts as an array, in NumPy's rule of where the
            # broadcast axes go
            key.append("a")
            arrays.append(np.array(_place(entry, axis, size)))
        else:
            key.append(_place(entry, axis, size))
        axis += 1
    return tuple(key), arrays


def fixed(mask: Any) -> Any:
    """The truth values of a mask, guarded where they belong to a recording."""
    if recorded(mask):
        seen = primal(mask)
        bool(discrete("all", test("equal", mask, seen), axes=tuple(range(mask.ndim))))
    return primal(mask)


def _expanded(shape: Shape, given: Any) -> list[Entry]:
    """One entry an axis, with masks as places and the ellipsis written out."""
    listed = list(given) if isinstance(given, tuple) else [given]
    entries: list[Entry] = []
    for entry in listed:
        entries += _entry(entry)
    # a mask stands for several axes; it checks its own shape
    taken = sum(entry is not None and entry is not Ellipsis for entry in entries)
    dots = [place for place, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        msg = f"an index can have one ellipsis ('...') only ({line()})"
        raise IndexOutOfBounds(msg)
    if taken > len(shape):
        msg = (
            f"too many indices: an array of shape {shape} has {len(shape)} axes, but "
            f"{taken} were indexed ({line()})"
        )
        raise IndexOutOfBounds(msg)
    if dots and taken == len(shape):
        _check_empty_dots(entries, dots[0])
    at = dots[0] if dots else len(entries)
    entries[at : at + 1] = [slice(None)] * (len(shape) - taken)
    axis = 0
    for entry in entries:
        if isinstance(entry, _Place) and entry.size != shape[axis]:
            msg = (
                f"a mask has size {entry.size} along axis {axis}, where the array of "
                f"shape {shape} has {shape[axis]} ({line()})"
            )
            raise IndexOutOfBounds(msg)
        axis += entry is not None
    return [entry.places if isinstance(entry, _Place) else entry for entry in entries]


def _check_empty_dots(entries: list[Entry], at: int) -> None:
    """An ellipsis for no axes moves the axes of arrays beside it: not in keys here."""
    kinds = [isinstance(entry, int | _Place) or _is_array(entry) for entry in entries]
    fancy = any(_is_array(entry) or isinstance(entry, _Place) for entry in entries)
    if fancy and any(kinds[:at]) and any(kinds[at:]):
        msg = f"'...' between index arrays stands for no axis: leave it out ({line()})"
        raise RecordError(msg)


class _Place:
    """Places that came from a mask, and the size that it had along their axis."""

    __slots__ = ("places", "size")

    def __init__(self, places: Any, size: int) -> None:
        self.places, self.size = places, size


def _entry(entry: Any) -> list[Entry]:
    """An index as ints, slices, None, Ellipsis and integer arrays."""
    if entry is None or entry is Ellipsis or isinstance(entry, slice):
        return [entry]
    if isinstance(entry, bool | np.bool_):
        msg = (
            f"the index {entry} is a single truth value; use np.where, or a mask of "
            f"the array's shape ({line()})"
        )
        raise RecordError(msg)
    if isinstance(entry, int | np.integer):
        return [int(entry)]
    if isinstance(entry, Value):
        return _value(entry)
    found = operand(entry) if isinstance(entry, list | tuple | np.ndarray) else entry
    if isinstance(found, Value):
        return _value(found)
    if isinstance(found, np.ndarray):
        if not found.size and isinstance(entry, list | tuple):
            found = found.astype(np.int64)
        return _array(found)
    try:
        return [operator.index(entry)]
    except TypeError:
        raise _no_index(entry) from None


def _value(entry: Value) -> list[Entry]:
    """A Value as an index: a mask, places, or one float that is an integer."""
    kind = np.asarray(primal(entry)).dtype.kind
    if kind == "b" and entry.ndim:
        return _array(np.asarray(fixed(entry)))
    if kind == "b":
        return _entry(bool(entry))
    if kind == "i":
        return [entry]
    if entry.ndim:
        raise _no_index(entry)
    return [operator.index(entry)]


def _array(found: Any) -> list[Entry]:
    kind = found.dtype.kind
    if kind == "b":
        if not found.ndim:
            return _entry(bool(found))
        places = np.nonzero(found)
        return [_Place(at, size) for at, size in zip(places, found.shape, strict=True)]
    if kind not in "iu":
        raise _no_index(found)
    return [found] if found.ndim else [int(found)]


def _no_index(entry: Any) -> IndexOutOfBounds:
    why = ""
    if isinstance(entry, Value):
        why = (
            "; + - * // % of recorded integers are integers, and what is computed with "
            "floats is a float: convert it, .astype(int)"
        )
    return IndexOutOfBounds(
        f"{entry!r} is no index: use integers, slices, '...', None, and arrays of "
        f"integers or truth values ({line()}){why}"
    )


def _is_array(entry: Entry) -> bool:
    return isinstance(entry, np.ndarray | Value)


def _slice(entry: slice, size: int) -> tuple[int, int, int]:
    start, stop, step = entry.indices(size)
    count = len(range(start, stop, step))
    return (start, count, step) if count else (0, 0, 1)


def _place(entry: int, axis: int, size: int) -> int:
    if not -size <= entry < size:
        raise _outside(entry, axis, size)
    return entry % size


def _bounded(entry: Any, axis: int, size: int) -> Any:
    """Places in bounds; negative ones counted from the front where they are known."""
    seen = np.asarray(primal(entry))
    bad = (seen < -size) | (seen >= size)
    if bad.any():
        raise _outside(int(seen[bad].flat[0]), axis, size)
    if isinstance(entry, Value):
        return entry
    return np.where(seen < 0, seen + size, seen).astype(np.int64)


def _outside(place: int, axis: int, size: int) -> IndexOutOfBounds:
    return IndexOutOfBounds(
        f"index {place} is out of bounds for axis {axis} of size {size} ({line()})"
    )
