"""Lanes through rows that move entries. Floor 10.

Their parameters are shapes, keys and orders of axes; with lanes in front each of them
has one more entry. Where index arrays differ from lane to lane, the number of the lane
is one more index array: ``x[i]`` becomes ``x[lane, i]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.batching.lanes import (
    Lanes,
    aligned,
    moved,
    shape_of,
    wide,
)
from tapegrad.batching.reading import RULES, Batching
from tapegrad.rules import Primitive, shapes
from tapegrad.rules.stacks import flat_key, row_key

Params = Mapping[str, Any]


def _reshape(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    return Lanes(b.m.reshape(xs[0].value, shape=(b.size, *params["shape"])))


def _transpose(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    axes = (0, *(axis + 1 for axis in params["axes"]))
    return Lanes(b.m.transpose(xs[0].value, axes=axes))


def _broadcast(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    shape = params["shape"]
    x = aligned(b.m, xs[0], len(shape))
    return Lanes(b.m.broadcast_to(x, shape=(b.size, *shape)))


def _astype(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    return Lanes(b.m.astype(xs[0].value, **params))


def _concatenate(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> Lanes:
    del row
    parts = [wide(b.m, x, b.size) for x in xs]
    return Lanes(b.m.concatenate(*parts, axis=params["axis"] + 1))


# -- slots and stacks --------------------------------------------------------------


def _window(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    where = {name: value for name, value in params.items() if name != "slots"}
    shape, key = flat_key(shape_of(xs[0]), **where)
    flat = b.m.reshape(xs[0].value, shape=(b.size, *shape))
    return Lanes(b.m.index(flat, key=_with_lanes(b, key)))


def _entry(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    key = row_key(shape_of(xs[0]), **params)
    return Lanes(b.m.index(xs[0].value, key=_with_lanes(b, key)))


def _pack(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    """A stack of lanes, and lanes of stacks of it."""
    del row, params
    whole = b.m.pack(*(wide(b.m, x, b.size) for x in xs))
    return Lanes(moved(b.m, whole, 0, 1))


# -- basic keys --------------------------------------------------------------------


def _with_lanes(b: Batching, key: shapes.Key) -> shapes.Key:
    return ((0, b.size, 1), *key)


def _index(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    return Lanes(b.m.index(xs[0].value, key=_with_lanes(b, params["key"])))


def _scatter(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    key, shape = _with_lanes(b, params["key"]), (b.size, *params["shape"])
    return Lanes(b.m.scatter(xs[0].value, key=key, shape=shape))


def _index_set(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    x, v = xs
    region = shapes.indexed(shape_of(x), params["key"])
    value = aligned(b.m, v, len(region))
    key = _with_lanes(b, params["key"])
    return Lanes(b.m.index_set(wide(b.m, x, b.size), value, key=key))


# -- index arrays ------------------------------------------------------------------


class _Key:
    """A key with index arrays, for all lanes.

    NumPy puts the axes of index arrays in their own place where they stand side by
    side, and in front where they do not.

    Attributes:
        key, at: the key and the index arrays of the step on lanes.
        region: the shape of ``x[key]`` in one lane.
        order: where the axes of ``x[key]``, lanes in front, stand in what the step
            takes or gives.
    """

    def __init__(
        self, b: Batching, key: shapes.Key, at: Sequence[Any], shape: shapes.Shape
    ) -> None:
        self.m, self.size = b.m, b.size
        drawn = [shape_of(x) for x in at]
        self.region = shapes.gathered(shape, key, drawn)
        count = len(shapes.broadcast(*drawn))
        places = [place for place, entry in enumerate(key) if entry == "a"]
        together = places == list(range(places[0], places[0] + len(places)))
        front = places[0] if together else 0
        rest = range(1, len(self.region) + 1)
        if any(isinstance(x, Lanes) for x in at):
            number = np.arange(b.size).reshape(b.size, *(1,) * count)
            self.key = ("a", *key)
            self.at = [b.m.number(number), *(aligned(b.m, x, count) for x in at)]
            # lanes and index axes in front, then the others
            kept = [*rest[:front], *rest[front + count :]]
            self.order = (0, *rest[front : front + count], *kept)
        else:
            self.key, self.at = ((0, b.size, 1), *key), list(at)
            self.order = (0, *rest) if together else (*rest[:count], 0, *rest[count:])

    def given(self, value: Any) -> Any:
        """What was written for ``x[key]``, as the step takes it."""
        return self._turned(value, self.order)

    def taken(self, value: Any) -> Lanes:
        """What the step gives for ``x[key]``, lanes in front."""
        back = tuple(self.order.index(axis) for axis in range(len(self.order)))
        return Lanes(self._turned(value, back))

    def _turned(self, value: Any, axes: tuple[int, ...]) -> Any:
        if axes == tuple(range(len(axes))):
            return value
        return self.m.transpose(value, axes=axes)

    def full(self, value: Any) -> Any:
        """A value stretched to the region, for every lane."""
        stretched = aligned(self.m, value, len(self.region))
        return self.m.broadcast_to(stretched, shape=(self.size, *self.region))


def _gather(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> Lanes:
    del row
    x, *at = xs
    if not isinstance(x, Lanes):
        return _same_array(b, x, at, params["key"])
    key = _Key(b, params["key"], at, shape_of(x))
    return key.taken(b.m.gather(x.value, *key.at, key=key.key))


def _same_array(b: Batching, x: Any, at: Sequence[Any], key: shapes.Key) -> Lanes:
    """Entries of one array at index arrays of every lane: they have one more axis."""
    drawn = [shape_of(i) for i in at]
    count = len(shapes.broadcast(*drawn))
    places = [place for place, entry in enumerate(key) if entry == "a"]
    together = places == list(range(places[0], places[0] + len(places)))
    found = b.m.gather(x, *(aligned(b.m, i, count) for i in at), key=key)
    return Lanes(moved(b.m, found, places[0] if together else 0, 0))


def _scatter_add(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> Lanes:
    del row
    v, *at = xs
    key = _Key(b, params["key"], at, params["shape"])
    value = key.given(wide(b.m, v, b.size))
    shape = (b.size, *params["shape"])
    return Lanes(b.m.scatter_add(value, *key.at, key=key.key, shape=shape))


def _gather_set(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> Lanes:
    del row
    x, v, *at = xs
    key = _Key(b, params["key"], at, shape_of(x))
    value = key.given(key.full(v))
    return Lanes(b.m.gather_set(wide(b.m, x, b.size), value, *key.at, key=key.key))


RULES.update(
    reshape=_reshape,
    transpose=_transpose,
    broadcast_to=_broadcast,
    astype=_astype,
    concatenate=_concatenate,
    index=_index,
    scatter=_scatter,
    index_set=_index_set,
    gather=_gather,
    scatter_add=_scatter_add,
    gather_set=_gather_set,
    window=_window,
    entry=_entry,
    pack=_pack,
)
