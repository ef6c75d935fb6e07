"""Shapes of results, in plain integers: the array half of the grammar. Floor 1.

An *aval* is a pair of a shape and the name of a dtype. Each function raises
`ShapeError` where NumPy would, with both shapes in the message.

A *key* is a basic index, written out: one entry an axis, an int (that place), a triple
(start, count, step), and None for a new axis; in a gather also the letter "a", where an
integer array stands. Ellipses, negative places and open slices have been resolved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.errors import ShapeError

Shape = tuple[int, ...]
Aval = tuple[Shape, str]
Key = tuple[Any, ...]
FLOATING = ("float64", "float32")


def broadcast(*shapes: Shape) -> Shape:
    """The shape that NumPy broadcasts shapes to."""
    ndim = max(map(len, shapes), default=0)
    out = [1] * ndim
    for shape in shapes:
        for place, size in enumerate(shape, start=ndim - len(shape)):
            if size == 1:
                continue
            if out[place] not in {1, size}:
                texts = " and ".join(map(str, shapes))
                msg = f"shapes {texts} do not broadcast together"
                raise ShapeError(msg)
            out[place] = size
    return tuple(out)


def elementwise(*avals: Aval) -> Aval:
    """Broadcast operands of one dtype."""
    return broadcast(*(shape for shape, _ in avals)), avals[-1][1]


def normal(axes: Any, ndim: int) -> tuple[int, ...]:
    """Axes as a sorted tuple of places; None is all of them."""
    if axes is None:
        return tuple(range(ndim))
    if not isinstance(axes, tuple | list):
        axes = (axes,)
    found = []
    for axis in axes:
        place = int(axis)
        if not -ndim <= place < ndim:
            msg = f"axis {place} is out of bounds for an array of {ndim} dimensions"
            raise ShapeError(msg)
        found.append(place % ndim)
    if len(set(found)) != len(found):
        msg = f"axes {tuple(axes)} name one axis twice"
        raise ShapeError(msg)
    return tuple(sorted(found))


def reduced(shape: Shape, axes: Sequence[int]) -> Shape:
    """A shape without some axes."""
    return tuple(size for place, size in enumerate(shape) if place not in axes)


def kept(shape: Shape, axes: Sequence[int]) -> Shape:
    """A shape with some axes made 1."""
    return tuple(1 if place in axes else size for place, size in enumerate(shape))


def reduction(x: Aval, axes: Sequence[int], **params: Any) -> Aval:
    """What a reduction over axes gives."""
    del params
    return reduced(x[0], axes), x[1]


def same(x: Aval, **params: Any) -> Aval:
    """The operand's own shape and dtype."""
    del params
    return x


def reshaped(x: Aval, shape: Shape) -> Aval:
    """A reshape keeps the number of entries."""
    if math.prod(x[0]) != math.prod(shape):
        msg = f"an array of shape {x[0]} cannot be reshaped to {shape}"
        raise ShapeError(msg)
    return tuple(shape), x[1]


def permuted(x: Aval, axes: Sequence[int]) -> Aval:
    """A transpose."""
    if sorted(axes) != list(range(len(x[0]))):
        msg = f"axes {tuple(axes)} do not fit an array of shape {x[0]}"
        raise ShapeError(msg)
    return tuple(x[0][axis] for axis in axes), x[1]


def stretched(x: Aval, shape: Shape) -> Aval:
    """A broadcast to a shape."""
    if broadcast(x[0], tuple(shape)) != tuple(shape):
        msg = f"shape {x[0]} does not broadcast to {tuple(shape)}"
        raise ShapeError(msg)
    return tuple(shape), x[1]


def indexed(shape: Shape, key: Key) -> Shape:
    """The shape of ``x[key]`` for a basic key.

    Raises:
        ShapeError: the key does not fit; names the axis.
    """
    out: list[int] = []
    axis = 0
    for entry in key:
        if entry is None:
            out.append(1)
            continue
        if axis >= len(shape):
            msg = f"key {key} has too many entries for shape {shape}"
            raise ShapeError(msg)
        size = shape[axis]
        if isinstance(entry, tuple):
            start, count, step = entry
            last = start + (count - 1) * step
            if count < 0 or (count and not (0 <= start < size and 0 <= last < size)):
                msg = f"slice {entry} is out of bounds for axis {axis} of size {size}"
                raise ShapeError(msg)
            out.append(count)
        elif not 0 <= entry < size:
            msg = f"index {entry} is out of bounds for axis {axis} of size {size}"
            raise ShapeError(msg)
        axis += 1
    if axis != len(shape):
        msg = f"key {key} has {axis} entries, shape {shape} {len(shape)} axes"
        raise ShapeError(msg)
    return tuple(out)


def gathered(shape: Shape, key: Key, arrays: Sequence[Shape]) -> Shape:
    """The shape of ``x[key]`` with integer arrays of given shapes in the key."""
    places = [place for place, entry in enumerate(key) if entry == "a"]
    if len(places) != len(arrays) or not places:
        msg = f"key {key} needs {len(places)} index arrays, got {len(arrays)}"
        raise ShapeError(msg)
    wide = broadcast(*arrays)
    axis = 0
    basic: list[Any] = []
    for entry in key:  # an indexed axis is passed over with its first place
        if entry == "a":
            if axis >= len(shape):
                msg = f"key {key} has too many entries for shape {shape}"
                raise ShapeError(msg)
            basic.append((0, min(1, shape[axis]), 1))
        else:
            basic.append(entry)
        axis += entry is not None
    out = indexed(shape, tuple(basic))
    rest = [size for size, entry in zip(out, key, strict=True) if entry != "a"]
    adjacent = places == list(range(places[0], places[0] + len(places)))
    front = places[0] if adjacent else 0
    return (*rest[:front], *wide, *rest[front:])


def written(x: Shape, region: Shape, value: Shape) -> Shape:
    """The shape of an array after a value is written to a region of it."""
    if broadcast(region, value) != region:
        msg = (
            f"an array of shape {value} cannot be written to entries of shape {region}"
        )
        raise ShapeError(msg)
    return x


def put(region: Shape, shape: Shape, value: Shape) -> Shape:
    """The shape of zeros with a value put into a region, which it fills."""
    if value != region:
        msg = f"an array of shape {value} does not fill entries of shape {region}"
        raise ShapeError(msg)
    return shape


def joined(*avals: Aval, axis: int) -> Aval:
    """What a concatenation gives."""
    first, dtype = avals[0]
    for shape, _ in avals[1:]:
        if reduced(shape, (axis,)) != reduced(first, (axis,)):
            msg = f"shapes {first} and {shape} do not concatenate along axis {axis}"
            raise ShapeError(msg)
    size = sum(shape[axis] for shape, _ in avals)
    return (*first[:axis], size, *first[axis + 1 :]), dtype


def matmul(a: Aval, b: Aval) -> Aval:
    """Stacks of matrices: (..., n, k) @ (..., k, m)."""
    (left, dtype), (right, _) = a, b
    if len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        msg = f"shapes {left} and {right} do not fit for a matrix product"
        raise ShapeError(msg)
    return (*broadcast(left[:-2], right[:-2]), left[-2], right[-1]), dtype


def einsum(*avals: Aval, subscripts: str) -> Aval:
    """A product over named indices, such as "ij,jk->ik"."""
    inputs, output = subscripts.split("->")
    sizes: dict[str, int] = {}
    names = inputs.split(",")
    if len(names) != len(avals):
        msg = f"einsum {subscripts!r} takes {len(names)} operands, got {len(avals)}"
        raise ShapeError(msg)
    for text, (shape, _) in zip(names, avals, strict=True):
        if len(text) != len(shape):
            msg = f"einsum {subscripts!r}: {text!r} does not fit shape {shape}"
            raise ShapeError(msg)
        for name, size in zip(text, shape, strict=True):
            if sizes.setdefault(name, size) != size:
                shapes = " and ".join(str(shape) for shape, _ in avals)
                msg = f"einsum {subscripts!r}: index {name!r} has two sizes in {shapes}"
                raise ShapeError(msg)
    return tuple(sizes[name] for name in output), avals[0][1]


def square(a: Aval, **params: Any) -> Aval:
    """A stack of square matrices."""
    del params
    if len(a[0]) < 2 or a[0][-1] != a[0][-2]:
        msg = f"a square matrix is needed, got shape {a[0]}"
        raise ShapeError(msg)
    return a


def solved(a: Aval, b: Aval, **params: Any) -> Aval:
    """A square system with several right-hand sides."""
    square(a, **params)
    return matmul(a, b)
