"""Rows of data movement as nodes; the routines for order and running sums. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.native.arrays.rules import rule
from tapegrad.native.arrays.writes import written
from tapegrad.rules.shapes import indexed, reduced
from tapegrad.rules.stacks import flat_key, row_key

# How many writes back a read is followed.
FAR = 1000


@rule
def _reshape(g: Graph, x: Node, shape: Any) -> Node:
    return g.reshape(x, shape)


@rule
def _transpose(g: Graph, x: Node, axes: Any) -> Node:
    return g.transpose(x, axes)


@rule
def _broadcast_to(g: Graph, x: Node, shape: Any) -> Node:
    return g.broadcast(x, shape)


@rule
def _astype(g: Graph, x: Node, dtype: str) -> Node:
    return g.cast(x, dtype)


@rule
def _floor_divide(g: Graph, a: Node, b: Node) -> Node:
    return g.map("floor_divide", a, b)


@rule
def _index(g: Graph, x: Node, key: Any) -> Node:
    """Entries that were written are read from what was written.

    A loop that fills an array and reads it would keep every version of it otherwise.
    """
    added: list[Node] = []
    found: Node | None = None
    for _ in range(FAR):
        write, before = written(x)
        if write is None or before is None:
            break
        mine = write.params["key"]
        if mine == key:
            if write is x:
                found = write.args[-1]
                break
            added.append(write.args[-1])
        elif not disjoint(mine, key):
            break
        elif write is not x and added[-1:] != [zero := g.number(0.0, x)]:
            added.append(zero)  # what was added is 0.0 here, and makes 0.0 of -0.0
        x = before
    if found is None:
        shape = indexed(x.shape, key)
        found = g.add("index", (x,), shape, x.dtype, key=key)
    for value in reversed(added):
        found = g.map("add", found, value)
    return found


def disjoint(one: Any, two: Any) -> bool:
    """Whether two keys of one array have no entry in common, as far as ranges tell."""
    pairs = zip(
        (entry for entry in one if entry is not None),
        (entry for entry in two if entry is not None),
        strict=True,
    )
    for a, b in pairs:
        (low, high), (least, most) = ends(a), ends(b)
        if high < least or most < low:
            return True
    return False


def ends(entry: int | tuple[int, int, int]) -> tuple[int, int]:
    """The first and the last place of an entry of a key."""
    if isinstance(entry, int):
        return entry, entry
    start, count, step = entry
    last = start + (count - 1) * step
    return min(start, last), max(start, last)


@rule
def _scatter(g: Graph, v: Node, key: Any, shape: Any) -> Node:
    return g.add("scatter", (v,), shape, v.dtype, key=key)


@rule
def _index_set(g: Graph, x: Node, v: Node, key: Any) -> Node:
    v = g.cast(g.broadcast(v, indexed(x.shape, key)), x.dtype)
    return g.add("set", (x, v), x.shape, x.dtype, key=key)


def _wide(key: Any, at: Sequence[Node]) -> tuple[Any, int]:
    """The shape that index arrays broadcast to, and where its axes stand."""
    wide = np.broadcast_shapes(*(a.shape for a in at))
    places = [place for place, entry in enumerate(key) if entry == "a"]
    adjacent = places == list(range(places[0], places[0] + len(places)))
    before = sum(not isinstance(e, int) for e in key[: places[0]]) if adjacent else 0
    return wide, before


def _picked(key: Any, wide: Any, front: int) -> tuple[int, ...]:
    """The shape of what a key with integer arrays picks."""
    rest = [1 if e is None else e[1] for e in key if e is None or isinstance(e, tuple)]
    return (*rest[:front], *wide, *rest[front:])


def _checked(g: Graph, shape: Any, key: Any, at: Sequence[Node]) -> None:
    """Places from outside are looked at before they are used."""
    axes = [axis for axis, e in enumerate(e for e in key if e is not None) if e == "a"]
    for each, axis in zip(at, axes, strict=True):
        array, size, value = each, shape[axis], each.params.get("value")
        while value is None and array.op == "axes":
            array = array.args[0]
            value = array.params.get("value")
        if value is None:
            g.add("check", (array,), (), "bool", size=size)
        elif value.size and not (-size <= value.min() and value.max() < size):
            msg = f"index {value!r:.80} is out of bounds for an axis of size {size}"
            raise CompileError(msg)


@rule
def _gather(g: Graph, x: Node, *at: Node, key: Any) -> Node:
    wide, front = _wide(key, at)
    shape = _picked(key, wide, front)
    _checked(g, x.shape, key, at)
    return g.add(
        "gather", (x, *at), shape, x.dtype, key=key, wide=len(wide), front=front
    )


@rule
def _scatter_add(g: Graph, v: Node, *at: Node, key: Any, shape: Any) -> Node:
    wide, front = _wide(key, at)
    _checked(g, shape, key, at)
    return g.add(
        "scatter_add", (v, *at), shape, v.dtype, key=key, wide=len(wide), front=front
    )


@rule
def _gather_set(g: Graph, x: Node, v: Node, *at: Node, key: Any) -> Node:
    wide, front = _wide(key, at)
    v = g.cast(g.broadcast(v, _picked(key, wide, front)), x.dtype)
    _checked(g, x.shape, key, at)
    return g.add(
        "gather_set",
        (x, v, *at),
        x.shape,
        x.dtype,
        key=key,
        wide=len(wide),
        front=front,
    )


@rule
def _concatenate(g: Graph, *xs: Node, axis: int) -> Node:
    size = sum(x.shape[axis] for x in xs)
    shape = (*xs[0].shape[:axis], size, *xs[0].shape[axis + 1 :])
    starts = np.cumsum([0, *(x.shape[axis] for x in xs)]).tolist()
    return g.add("concat", xs, shape, xs[0].dtype, axis=axis, starts=starts)


@rule
def _window(g: Graph, x: Node, slots: bool, **where: int) -> Node:
    del slots
    shape, key = flat_key(x.shape, **where)
    found: Node = _index(g, g.reshape(x, shape), key)
    return found


@rule
def _entry(g: Graph, x: Node, place: int) -> Node:
    found: Node = _index(g, x, row_key(x.shape, place))
    return found


@rule
def _pack(g: Graph, *xs: Node) -> Node:
    rows = [g.reshape(x, (1, *x.shape)) for x in reversed(xs)]
    return _concatenate(g, *rows, axis=0) if len(rows) > 1 else rows[0]


@rule
def _tril(g: Graph, x: Node, k: int) -> Node:
    return g.add("tri", (x,), x.shape, x.dtype, k=k, lower=True)


@rule
def _triu(g: Graph, x: Node, k: int) -> Node:
    return g.add("tri", (x,), x.shape, x.dtype, k=k, lower=False)


@rule
def _cumsum(g: Graph, x: Node, axis: int) -> Node:
    return g.call("cumsum", (x,), (x.shape, x.dtype), axis=axis)


@rule
def _argsort(g: Graph, x: Node, axis: int) -> Node:
    last = x.ndim - 1
    order = [*(a for a in range(x.ndim) if a != axis), axis]
    moved = g.transpose(x, order)
    found = g.call("argsort", (moved,), (moved.shape, "int64"))
    return g.transpose(found, [order.index(a) for a in range(last + 1)])


def _extreme_place(g: Graph, x: Node, axis: int, *, most: bool) -> Node:
    order = [*(a for a in range(x.ndim) if a != axis), axis]
    moved = g.transpose(x, order)
    shape = reduced(x.shape, (axis,))
    return g.call("argmost", (moved,), (shape, "int64"), most=most)


@rule
def _argmax(g: Graph, x: Node, axis: int) -> Node:
    return _extreme_place(g, x, axis, most=True)


@rule
def _argmin(g: Graph, x: Node, axis: int) -> Node:
    return _extreme_place(g, x, axis, most=False)
