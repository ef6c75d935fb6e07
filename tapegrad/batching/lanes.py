"""Lanes: a value that has one entry for each call of a batch. Floor 10.

A *lane* is what one call would see. A batched value holds all lanes along its first
axis; a value that is no `Lanes` is the same in every lane. The helpers are written in
the vocabulary of the reading ``m`` that computes, so that they serve numbers, Values
and recordings alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.tape.recorder import aval_of
from tapegrad.tape.tape import Aval
from tapegrad.value import Value

Shape = tuple[int, ...]


class Lanes:
    """A batched value.

    Args:
        value: a number of the reading, or a Value; the lanes along axis 0.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    @property
    def shape(self) -> Shape:
        """The shape of one lane."""
        return shape_of(self.value)[1:]


def shape_of(x: Any) -> Shape:
    """The shape of a number, an array, a Value, or of one lane."""
    return getattr(x, "shape", ())


def aval_in_lane(x: Any) -> Aval:
    """Shape and dtype in one lane."""
    data = x.value if isinstance(x, Lanes) else x
    data = data._data if isinstance(data, Value) else data
    shape, dtype = aval_of(data)
    return (shape[1:] if isinstance(x, Lanes) else shape), dtype


def bare(x: Any) -> Any:
    """What the reading computes with."""
    return x.value if isinstance(x, Lanes) else x


def aligned(m: Any, x: Any, ndim: int) -> Any:
    """A value whose lanes have at least so many axes, to be broadcast with others."""
    if not isinstance(x, Lanes):
        return x
    size, *lane = shape_of(x.value)
    short = ndim - len(lane)
    if short <= 0:
        return x.value
    return m.reshape(x.value, shape=(size, *(1,) * short, *lane))


def all_aligned(m: Any, xs: Sequence[Any]) -> list[Any]:
    """Operands with the lanes in front, so that NumPy broadcasts lane by lane."""
    if len(xs) == 1:
        return [bare(xs[0])]
    ndim = max(len(shape_of(x)) for x in xs)
    return [aligned(m, x, ndim) for x in xs]


def wide(m: Any, x: Any, size: int) -> Any:
    """A value written out for every lane."""
    if isinstance(x, Lanes):
        return x.value
    return m.broadcast_to(x, shape=(size, *shape_of(x)))


def lane_of(m: Any, x: Any, place: int) -> Any:
    """One lane."""
    if not isinstance(x, Lanes):
        return x
    key = (place, *((0, size, 1) for size in x.shape))
    return m.index(x.value, key=key)


def stacked(m: Any, parts: Sequence[Any], aval: Aval) -> Lanes:
    """Lanes of their parts; zeros in the right shape where there is no lane."""
    if not parts:
        shape, dtype = aval
        return Lanes(m.number(np.zeros((0, *shape), dtype)))
    rows = [m.reshape(part, shape=(1, *shape_of(part))) for part in parts]
    return Lanes(m.concatenate(*rows, axis=0))


def moved(m: Any, x: Any, start: int, end: int) -> Any:
    """An axis put to another place."""
    if start == end:
        return x
    order = [axis for axis in range(len(shape_of(x))) if axis != start]
    order.insert(end, start)
    return m.transpose(x, axes=tuple(order))
