"""Rows of loops: entries of an array by iterations, slots as a stack. Floor 1.

    window    y[k] = x[start + k*stride]     what iteration k of a loop reads of x
    pack      y[k] = x_{n-1-k}               n slots as one array
    entry     y = x[place]                   one slot out of such an array

All are linear, and move entries. A loop stands for steps that were recorded one by one,
and its derivatives are theirs to the last bit. So a place that nothing reads gets what
it would have got: of an array that was read entry by entry, 0.0 from every read; of a
stack of slots, nothing, which is -0.0: -0.0 + c is c, whatever c is.
"""

from __future__ import annotations

import math
from typing import Any

from tapegrad.errors import ShapeError
from tapegrad.rules.indexing import to_slices
from tapegrad.rules.primitive import Primitive, Sample, row
from tapegrad.rules.shapes import Aval, Key, Shape, indexed


def flat_key(
    shape: Shape, axes: int, start: int, stride: int, length: int
) -> tuple[Shape, Key]:
    """The shape with its first axes made one, and the key of a window in it."""
    if not 0 < axes <= len(shape) or not stride:
        msg = f"no window goes along {axes} axes of shape {shape} by {stride}"
        raise ShapeError(msg)
    rest = shape[axes:]
    whole = tuple((0, size, 1) for size in rest)
    return (math.prod(shape[:axes]), *rest), ((start, length, stride), *whole)


def row_key(shape: Shape, place: int) -> Key:
    """The key of one entry along the first axis."""
    return (place, *((0, size, 1) for size in shape[1:]))


# -- window ------------------------------------------------------------------------


def _window(np: Any, x: Any, slots: bool, **where: int) -> Any:
    del slots
    shape, key = flat_key(x.shape, **where)
    flat = x if len(shape) == len(x.shape) else np.reshape(x, shape)
    return flat[to_slices(key)]


def _windowed(x: Aval, slots: bool, **where: int) -> Aval:
    del slots
    return indexed(*flat_key(x[0], **where)), x[1]


def _unread(m: Any, bar: Any, key: Key, shape: Shape) -> Any:
    """A stack of slots with adjoints at a key, and nothing elsewhere."""
    return -m.scatter(-bar, key=key, shape=shape)


def _window_pull(
    m: Any,
    bar: Any,
    y: Any,
    x: Any,
    slots: bool,
    mask: Any = None,
    **where: int,
) -> Any:
    del y
    shape, key = flat_key(m.shape(x), **where)
    if slots:
        found = _unread(m, bar, key, shape)
    else:  # each of several reads adds zeros to what the others give
        share = bar + 0 if where["length"] > 1 else bar
        if mask is not None and _read(mask).sum() == 1:
            share = m.where(mask, bar, m.like(0, bar))
        found = m.scatter(share, key=key, shape=shape)
    return (found if shape == m.shape(x) else m.reshape(found, shape=m.shape(x)),)


def _read(mask: Any) -> Any:
    """Which iterations give something to what they read."""
    return mask.reshape(len(mask), -1).any(1)


def _window_marks(
    np: Any, mask: Any, shape: Shape, slots: bool, **where: int
) -> tuple[Any]:
    """Slots are read or not; of an array that is read entry by entry all is there."""
    flat, key = flat_key(shape, **where)
    if not slots and (mask is None or mask.reshape(len(mask), -1).all(1).any()):
        return (None,)
    made = np.zeros(flat, bool)
    made[to_slices(key)] = True if mask is None else mask
    return (made.reshape(shape),)


def _entry_marks(np: Any, mask: Any, shape: Shape, place: int) -> tuple[Any]:
    made = np.zeros(shape, bool)
    made[place] = True if mask is None else mask
    return (made,)


def _along(start: int, stride: int, length: int, **other: Any) -> dict[str, Any]:
    where = {"axes": 1, "start": start, "stride": stride, "length": length}
    return where | {"slots": False} | other


WINDOW = row(
    Primitive(
        "window",
        1,
        kind="linear",
        source="data movement; what the iterations of a loop read of an array",
        numpy=_window,
        shape=_windowed,
        pull=_window_pull,
        marks=_window_marks,
        samples=(
            Sample(((7,),), _along(1, 2, 3)),
            Sample(((5, 2),), _along(4, -1, 5, slots=True)),
            Sample(((2, 3, 2),), _along(1, 2, 2, axes=2)),
            Sample(((2, 3),), _along(5, -3, 2, axes=2, slots=True)),
            Sample(((3,),), _along(2, 1, 1)),
        ),
    )
)

# -- slots and stacks --------------------------------------------------------------


def _stacked(np: Any, *xs: Any) -> Any:
    turned = xs[::-1]
    # of many floats an array is quicker made at once
    return np.array(turned) if type(turned[0]) is float else np.stack(turned)


def _packed(*avals: Aval) -> Aval:
    if not avals or any(aval != avals[0] for aval in avals):
        msg = f"slots of {', '.join(map(str, avals)) or 'no shape'} make no stack"
        raise ShapeError(msg)
    shape, dtype = avals[0]
    return (len(avals), *shape), dtype


def _entry_pull(m: Any, bar: Any, y: Any, x: Any, place: int, mask: Any = None) -> Any:
    del y, mask
    shape = m.shape(x)
    return (_unread(m, bar, row_key(shape, place), shape),)


ENTRY = row(
    Primitive(
        "entry",
        1,
        kind="linear",
        source="data movement; one slot of a stack",
        numpy=lambda np, x, place: x[place],
        shape=lambda x, place: (indexed(x[0], row_key(x[0], place)), x[1]),
        pull=_entry_pull,
        marks=_entry_marks,
        samples=(
            Sample(((4,),), {"place": 2}),
            Sample(((3, 2),), {"place": 0}),
        ),
    )
)
# Operands stand back to front: adjoints are added operand by operand, and in reverse
# the last iteration comes first.
PACK = row(
    Primitive(
        "pack",
        -1,
        kind="linear",
        source="data movement; slots as a stack, the last one first",
        numpy=_stacked,
        shape=_packed,
        pull=lambda m, bar, y, *xs, mask=None: tuple(
            m.entry(bar, place=place) for place in range(len(xs) - 1, -1, -1)
        ),
        marks=lambda np, mask, *shapes: (
            (None,) * len(shapes) if mask is None else tuple(mask[::-1])
        ),
        samples=(Sample(((), (), ())), Sample(((2,), (2,)))),
    )
)
