"""Reading and writing entries: ``x[key]``, ``x[key] = v``, iteration. Floor 7.

A write is a new version of the array: the Value stands for the new slot from then on,
and steps that read the old one keep it. NumPy would show the write in every view of the
array, too. Here those views are refused afterwards, and so is a write to a view: an
error, never a number that NumPy would not give.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from tapegrad.ambient import SILENT, current
from tapegrad.apply import make
from tapegrad.arrays.keys import canonical
from tapegrad.arrays.lift import (
    astype,
    dtype_of,
    line,
    misfit,
    operand,
    primal,
    record,
    recorded,
    reshape,
    shape_of,
    stretch,
    view,
    where,
)
from tapegrad.dtypes import DOUBLE
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import ArrayHandle
from tapegrad.rules import TABLE, shapes
from tapegrad.rules.indexing import INDEX
from tapegrad.tape.guards import user_line
from tapegrad.value import Value

_INDEX = TABLE.opcode(INDEX)
# The inverse of ``views`` is read off the steps: these may have made a view.
_VIEWING = {"index", "reshape", "transpose", "broadcast_to"}


def getitem(value: Any, given: Any) -> Any:
    """``value[given]``, as in NumPy, where one of the two may be plain."""
    if type(value) is ArrayHandle:
        kind, places = type(given), None
        if kind is int:
            places = (given,)
        elif kind is tuple and all(type(place) is int for place in given):
            places = given
        # True and 1 are equal, and not the same place
        entry = None if places is None else _entry(value, places)
        if entry is not None:
            return entry
    key, arrays = canonical(shape_of(value), given)
    if arrays:
        return record("gather", value, *arrays, key=key)
    if not isinstance(value, Value):
        return value[given]
    return view("index", value, key=key)


def _entry(value: ArrayHandle, places: tuple[int, ...]) -> Any:
    """One entry of an array that is recorded, read the short way; None for all else.

    Loops over entries are recorded by the ten thousand.
    """
    data, columns = value._data, current()
    if columns is not value._rec or columns.stale:
        return None
    known = columns.reads.get(places)
    if known is None or known[1] != data.shape:
        known = _place(columns, data, places)
        if known is None:
            return None
    static, _, at = known
    if data.dtype is not DOUBLE:
        return None
    primal = data.item(at)
    return make(columns, columns.put(_INDEX, value._i, static, primal), primal)


def _place(columns: Any, data: Any, places: tuple[int, ...]) -> Any:
    """Static parameters of reading an entry, kept for the next time, or None."""
    if not places or len(places) != data.ndim:
        return None
    key = []
    for place, size in zip(places, data.shape, strict=True):
        if not -size <= place < size:
            return None
        key.append(place % size)
    at = tuple(key)
    found = columns.intern({"key": at}), data.shape, at
    columns.reads[places] = found
    return found


def setitem(value: Value, given: Any, new: Any) -> None:
    """``value[given] = new``: the Value becomes a new version of the array.

    Raises:
        RecordError: an eager leaf, or a view, or a Value of another recording.
        ShapeError: the entries do not fit.
    """
    _writable(value)
    new = operand(new)
    if dtype_of(new).kind != "f" or not isinstance(new, Value):
        new = astype(new, dtype_of(value).name)
    mask = _whole_mask(value, given)
    _written_back(value, new)
    if mask is not None and not shape_of(new):
        # no guard is needed where the same number goes to every place
        rebind(value, where(mask, new, value))
        return
    key, arrays = canonical(value.shape, given)
    if arrays:
        wanted = shapes.gathered(value.shape, key, [shape_of(at) for at in arrays])
    else:
        wanted = shapes.indexed(value.shape, key)
    new = _fitted(new, wanted)
    if arrays:
        rebind(value, record("gather_set", value, new, *arrays, key=key))
    else:
        rebind(value, record("index_set", value, new, key=key))


def add_at(value: Value, given: Any, new: Any) -> None:
    """``np.add.at(value, given, new)``: a place that stands twice is added to twice.

    Raises:
        RecordError: as for ``value[given] = new``.
        ShapeError: the entries do not fit.
    """
    _writable(value)
    new = astype(operand(new), dtype_of(value).name)
    key, arrays = canonical(value.shape, given)
    if not arrays:
        part = record("add", record("index", value, key=key), new)
        setitem(value, given, part)
        return
    wanted = shapes.gathered(value.shape, key, [shape_of(at) for at in arrays])
    new = _fitted(new, wanted)
    grown = record("scatter_add", new, *arrays, key=key, shape=value.shape)
    rebind(value, record("add", value, grown))


def _whole_mask(value: Value, given: Any) -> Any:
    """A recorded mask over the leading axes, spread over the array; or None."""
    if not isinstance(given, Value) or not recorded(given) or not given.ndim:
        return None
    if dtype_of(given).kind != "b" or given.shape != value.shape[: given.ndim]:
        return None
    return reshape(given, (*given.shape, *(1,) * (value.ndim - given.ndim)))


def _fitted(new: Any, wanted: tuple[int, ...]) -> Any:
    """The entries in the shape that is written to."""
    shape = shape_of(new)
    while len(shape) > len(wanted) and shape[0] == 1:
        shape = shape[1:]
    try:
        fits = shapes.broadcast(shape, wanted) == wanted
    except ShapeError:
        fits = False
    if not fits:
        raise misfit(
            "assignment", new, why=f"cannot be written to entries of shape {wanted}"
        )
    if shape != shape_of(new):
        new = reshape(new, shape)
    return (
        stretch(new, wanted)
        if isinstance(new, Value)
        else np.array(np.broadcast_to(new, wanted))
    )


def _writable(value: Value) -> None:
    columns = value._rec
    if dtype_of(value).kind != "f":
        msg = (
            f"writing to an array of {dtype_of(value)} is not recorded ({line()}); "
            "make it with np.where, or in one expression"
        )
        raise RecordError(msg)
    if value._is_leaf:
        msg = (
            f"writing to an eager leaf ({line()}) would change numbers that steps have "
            "read; write to value.data, which becomes its new version, or to a copy: "
            "y = x.copy(); y[...] = ..."
        )
        raise RecordError(msg)
    now = current()
    if columns is None or now is SILENT or (not columns.eager and columns is not now):
        raise _foreign()
    base = base_of(columns, value._i)
    if base is not None:
        msg = (
            f"writing to a view ({line()}): NumPy would change the array that it was "
            "taken from, too. Write to that array with both indices at once, "
            "x[i, j] = v, or to a copy: y = view.copy(); y[...] = ..."
        )
        raise RecordError(msg)


def _foreign() -> RecordError:
    return RecordError(
        f"writing to a Value that another recording made ({line()}); write to a copy: "
        "y = x.copy(); y[...] = ..."
    )


def base_of(columns: Any, slot: int) -> int | None:
    """The slot that a slot is a view of, or None."""
    if not columns.views:
        return None
    row, reads, _, _ = columns.step_at(slot)
    if row.name in _VIEWING and slot in columns.views.get(reads[0], ()):
        return int(reads[0])
    return None


def rebind(value: Value, made: Value) -> None:
    """Let a Value stand for another slot: the new version of its array."""
    columns, old = value._rec, value._i
    _views_are_stale(columns, old)
    if columns.eager:
        columns.seen.pop(old, None)
    value._data, value._rec, value._i = made._data, made._rec, made._i
    if made._rec.eager:
        made._rec.seen[made._i] = value


def _views_are_stale(columns: Any, slot: int) -> None:
    place = user_line()
    left = list(columns.views.get(slot, ()))
    while left:
        taken = left.pop()
        columns.stale[taken] = place
        left += columns.views.get(taken, ())


def inplace(value: Value, made: Any) -> Any:
    """The result of ``value += x``, for which the Value stands from then on.

    In NumPy the array itself changes, and with it whatever shares its memory. Other
    names of the Value see the new entries. The views of it are refused from here on;
    and where it is a view, so is its array, until the result has been written back
    (which ``x[key] += v`` does at once). An eager leaf stays as it is, as a number
    does: the result is a new Value.

    Raises:
        RecordError: a Value of an enclosing recording.
    """
    columns = value._rec
    if columns is None or not isinstance(made, Value) or made._rec is None:
        return made
    if made._rec is not columns and not (columns.eager and made._rec.eager):
        if value.ndim:
            raise _foreign()
        return made
    _views_are_stale(columns, value._i)
    place = user_line()
    base = base_of(columns, value._i)
    while base is not None:
        columns.stale[base] = Pending(place, made._i)
        base = base_of(columns, base)
    if value._is_leaf or not value.ndim or dtype_of(value).kind != "f":
        return made
    rebind(value, made)
    return value


class Pending(tuple[str, int]):  # noqa: SLOT001 - it has an attribute
    """The line of a ``view += x`` whose result has not been written back yet."""

    slot: int

    def __new__(cls, place: tuple[str, int], slot: int) -> Self:
        """Remember the slot of the result."""
        made = super().__new__(cls, place)
        made.slot = slot
        return made


def _written_back(value: Value, new: Any) -> None:
    """``x[key] += v`` ends in the write that the view was changed for."""
    pending = value._rec.stale.get(value._i)
    if (
        isinstance(pending, Pending)
        and isinstance(new, Value)
        and new._rec is value._rec
        and new._i == pending.slot
    ):
        del value._rec.stale[value._i]


def iterate(value: Value) -> Iterator[Any]:
    """The entries along the first axis."""
    for place in range(length(value)):
        yield getitem(value, place)


def length(value: Value) -> int:
    """The size of the first axis."""
    if not value.ndim:
        msg = "a Value of shape () has no length and is no sequence"
        raise TypeError(msg)
    return int(value.shape[0])


def as_array(value: Value, dtype: Any = None, copy: Any = None) -> Any:
    """What ``np.asarray(value)`` gives: an object array of scalar Values.

    A plain array would lose every derivative; it is given when asked for by name,
    ``np.asarray(value, dtype=float)``, outside a recording only.
    """
    del copy
    if dtype is not None and np.dtype(dtype).kind != "O":
        if recorded(value):
            raise value.frozen(f"np.asarray(dtype={np.dtype(dtype)})")
        return np.array(primal(value), dtype)
    made = np.empty(value.shape, dtype=object)
    if not value.ndim:
        made[()] = value
    for place in np.ndindex(*value.shape) if value.ndim else ():
        made[place] = getitem(value, place)
    return made
