"""Joining arrays, and cutting them. Floor 7."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    alike,
    axis_of,
    concatenate,
    cut,
    gather,
    index,
    line,
    misfit,
    ndim_of,
    operand,
    reshape,
    shape_of,
    size_of,
    stack,
)
from tapegrad.arrays.movement import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_to,
)
from tapegrad.arrays.registry import implements
from tapegrad.errors import ShapeError
from tapegrad.rules import shapes

# -- joining ---------------------------------------------------------------------------


@implements("concatenate", "concat", how="row")
def concatenated(arrays: Any, /, axis: Any = 0) -> Any:
    """Arrays joined along an axis."""
    parts = [operand(part) for part in arrays]
    if not parts:
        msg = f"need at least one array to concatenate ({line()})"
        raise ShapeError(msg)
    if axis is None:
        parts, axis = [reshape(part, (size_of(part),)) for part in parts], 0
    if not ndim_of(parts[0]):
        raise misfit("concatenate", *parts, why="have no axis; use np.stack")
    place = axis_of(axis, parts[0])
    first = shapes.reduced(shape_of(parts[0]), (place,))
    for part in parts[1:]:
        if (
            ndim_of(part) != ndim_of(parts[0])
            or shapes.reduced(shape_of(part), (place,)) != first
        ):
            raise misfit(
                "concatenate", parts[0], part, why=f"differ beside axis {axis}"
            )
    return concatenate(parts, place)


@implements("stack")
def stacked(arrays: Any, axis: int = 0) -> Any:
    """Arrays of one shape along a new axis."""
    return stack([operand(part) for part in arrays], axis)


@implements("vstack")
def vstack(tup: Any) -> Any:
    """Arrays under each other."""
    return concatenated([atleast_2d(part) for part in tup], 0)


@implements("hstack")
def hstack(tup: Any) -> Any:
    """Arrays side by side."""
    parts = [atleast_1d(part) for part in tup]
    return concatenated(parts, 0 if ndim_of(parts[0]) == 1 else 1)


@implements("dstack")
def dstack(tup: Any) -> Any:
    """Arrays behind each other."""
    return concatenated([atleast_3d(part) for part in tup], 2)


@implements("column_stack")
def column_stack(tup: Any) -> Any:
    """Vectors as columns."""
    parts = [operand(part) for part in tup]
    return concatenated(
        [reshape(p, (size_of(p), 1)) if ndim_of(p) < 2 else p for p in parts], 1
    )


@implements("block")
def block(arrays: Any) -> Any:
    """A matrix of blocks."""
    depth = _depth(arrays)
    leaves = [operand(leaf) for leaf in _leaves(arrays)]
    ndim = max(depth, *map(ndim_of, leaves))
    return _blocked(arrays, depth, ndim)


def _depth(nest: Any) -> int:
    return 1 + max(map(_depth, nest), default=0) if isinstance(nest, list) else 0


def _leaves(nest: Any) -> list[Any]:
    if isinstance(nest, list):
        return [leaf for part in nest for leaf in _leaves(part)]
    return [nest]


def _blocked(nest: Any, depth: int, ndim: int) -> Any:
    if not isinstance(nest, list):
        a = operand(nest)
        return reshape(a, (1,) * (ndim - ndim_of(a)) + shape_of(a))
    return concatenated([_blocked(part, depth - 1, ndim) for part in nest], -depth)


@implements("append")
def append(arr: Any, values: Any, axis: Any = None) -> Any:
    """Entries put at the end."""
    return concatenated([operand(arr), operand(values)], axis)


@implements("insert", note="at fixed places")
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    """Entries put before places."""
    a = operand(arr)
    v = alike(values, a)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    place = axis_of(axis, a)
    shape = shape_of(a)
    size = shape[place]
    order = np.insert(np.arange(size), obj, -1)
    extra = int((order < 0).sum())
    if np.ndim(obj) == 0 and not isinstance(obj, slice) and ndim_of(v):
        # as NumPy: one place takes the values along the axis
        v = np.moveaxis(v, 0, place) if ndim_of(v) == len(shape) > 1 else v
        extra = (
            shape_of(v)[place]
            if ndim_of(v) == len(shape)
            else (size_of(v) if len(shape) == 1 else 1)
        )
        order = np.insert(np.arange(size), obj, [-1] * extra)
    wanted = (*shape[:place], extra, *shape[place + 1 :])
    v = broadcast_to(v, wanted)
    order[order < 0] = size + np.arange(extra)
    return gather(concatenate([a, v], place), order, place)


@implements("delete", note="at fixed places")
def delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    """Without the entries at some places."""
    a = operand(arr)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    place = axis_of(axis, a)
    return gather(a, np.delete(np.arange(shape_of(a)[place]), obj), place)


# -- cutting ---------------------------------------------------------------------------


@implements("array_split")
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Parts along an axis: a number of them, or the places between."""
    a = operand(ary)
    place = axis_of(axis, a)
    size = shape_of(a)[place]
    ends = [
        (int(part[0]) if len(part) else 0, len(part))
        for part in np.array_split(np.arange(size), indices_or_sections)
    ]
    return [cut(a, place, start, count) for start, count in ends]


@implements("split")
def even_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """As array_split, but a number of parts is to divide the size."""
    size = shape_of(operand(ary))[axis]
    if isinstance(indices_or_sections, int) and size % indices_or_sections:
        raise misfit("split", ary, why=f"has no {indices_or_sections} equal parts")
    return split(ary, indices_or_sections, axis)


@implements("hsplit")
def hsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts side by side."""
    return even_split(ary, indices_or_sections, 0 if ndim_of(ary) == 1 else 1)


@implements("vsplit")
def vsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts under each other."""
    return even_split(ary, indices_or_sections, 0)


@implements("dsplit")
def dsplit(ary: Any, indices_or_sections: Any) -> list[Any]:
    """Parts behind each other."""
    return even_split(ary, indices_or_sections, 2)


@implements("unstack")
def unstack(x: Any, /, axis: int = 0) -> tuple[Any, ...]:
    """The entries along an axis, one by one."""
    a = operand(x)
    place = axis_of(axis, a)
    return tuple(index(a, {place: i}) for i in range(shape_of(a)[place]))
