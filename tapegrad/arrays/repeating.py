"""Turning, repeating, padding and taking entries of arrays. Floor 7."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.arrays.items import getitem
from tapegrad.arrays.lift import (
    axes_of,
    axis_of,
    concatenate,
    cut,
    dtype_of,
    flip,
    gather,
    misfit,
    ndim_of,
    operand,
    positions,
    reshape,
    shape_of,
    size_of,
    stretch,
)
from tapegrad.arrays.movement import (
    copy,
    swapaxes,
)
from tapegrad.arrays.registry import implements, refused
from tapegrad.value import Value

# -- order and repetition --------------------------------------------------------------


@implements("flip", how="row")
def flipped(m: Any, axis: Any = None) -> Any:
    """Entries in reverse order along axes."""
    a = operand(m)
    for place in axes_of(axis, a):
        a = flip(a, place)
    return a


@implements("flipud", how="row")
def flipud(m: Any) -> Any:
    """Rows in reverse order."""
    return flipped(m, 0)


@implements("fliplr", how="row")
def fliplr(m: Any) -> Any:
    """Columns in reverse order."""
    return flipped(m, 1)


@implements("rot90")
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    """A quarter turn, k times."""
    a = operand(m)
    i, j = (axis_of(axis, a) for axis in axes)
    for _ in range(k % 4):
        a = flip(swapaxes(a, i, j), i)
    return a


@implements("roll")
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Entries moved along, those past the end coming in at the start."""
    a = operand(a)
    if axis is None:
        return reshape(roll(reshape(a, (size_of(a),)), shift, 0), shape_of(a))
    shifts, axes = np.broadcast_arrays(np.atleast_1d(shift), np.atleast_1d(axis))
    for by, at in zip(shifts.tolist(), axes.tolist(), strict=True):
        place = axis_of(at, a)
        size = shape_of(a)[place]
        cutting = (-by) % size if size else 0
        if cutting:
            ends = [cut(a, place, cutting, size - cutting), cut(a, place, 0, cutting)]
            a = concatenate(ends, place)
    return copy(a)


@implements("repeat", note="fixed counts")
def repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    """Each entry several times."""
    a = operand(a)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    place = axis_of(axis, a)
    return gather(a, np.repeat(np.arange(shape_of(a)[place]), repeats), place)


@implements("tile")
def tile(A: Any, reps: Any) -> Any:  # noqa: N803 - NumPy's name
    """The whole array several times along each axis."""
    a = operand(A)
    times = tuple(np.atleast_1d(reps).tolist())
    ndim = max(ndim_of(a), len(times))
    times = (1,) * (ndim - len(times)) + times
    shape = (1,) * (ndim - ndim_of(a)) + shape_of(a)
    pairs = list(zip(times, shape, strict=True))
    thin = [size for _, size in pairs for size in (1, size)]
    wide = [size for pair in pairs for size in pair]
    made = stretch(reshape(a, thin), wide)
    return copy(reshape(made, [n * size for n, size in pairs]))


@implements("resize")
def resize(a: Any, new_shape: Any) -> Any:
    """Entries repeated until a shape is full."""
    return positions(lambda at: np.resize(at, new_shape), operand(a))


@implements("pad", note="constant, edge, reflect, symmetric, wrap, empty")
def pad(
    array: Any,
    pad_width: Any,
    mode: str = "constant",
    *,
    constant_values: Any = 0,
    reflect_type: str = "even",
) -> Any:
    """Entries put around an array."""
    a = operand(array)
    widths = np.broadcast_to(np.asarray(pad_width), (ndim_of(a), 2)).tolist()
    if mode == "empty":
        mode = "constant"
    if mode == "constant":
        numbers = np.broadcast_to(np.asarray(constant_values), (ndim_of(a), 2))
        return _framed(a, widths, numbers.tolist())
    if mode not in {"edge", "reflect", "symmetric", "wrap"} or reflect_type != "even":
        raise refused(f'np.pad(mode="{mode}")', "mode")
    for place, width in enumerate(widths):
        if any(width):
            order = np.pad(np.arange(shape_of(a)[place]), width, mode)  # type: ignore[call-overload]
            a = gather(a, order, place)
    return copy(a)


def _framed(a: Any, widths: Any, numbers: Any) -> Any:
    for place, (width, number) in enumerate(zip(widths, numbers, strict=True)):
        shape = list(shape_of(a))
        parts = [a]
        for at, count in enumerate(width):
            if count:
                shape[place] = count
                part = np.full(shape, number[at], dtype_of(a))
                parts.insert(0 if not at else len(parts), part)
        if len(parts) > 1:
            a = concatenate(parts, place)
    return copy(a)


@implements("take", note="fixed or recorded places; mode clip and wrap if fixed")
def take(a: Any, indices: Any, axis: Any = None, *, mode: str = "raise") -> Any:
    """Entries at places along an axis."""
    a = operand(a)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    place = axis_of(axis, a)
    size = shape_of(a)[place]
    if not isinstance(indices, Value):
        indices = np.asarray(indices)
        if mode == "clip":
            indices = np.clip(indices, 0, size - 1)
        elif mode == "wrap":
            indices = indices % size
    key: list[Any] = [slice(None)] * place
    return getitem(a, (*key, indices))


@implements("take_along_axis")
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    """Entries at places of their own along an axis."""
    a = operand(arr)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    place = axis_of(axis, a)
    places = indices if isinstance(indices, Value) else np.asarray(indices)
    if ndim_of(places) != ndim_of(a):
        raise misfit("take_along_axis", a, places, why="have other numbers of axes")
    shape = shape_of(places)
    at: list[Any] = []
    for i, size in enumerate(shape):
        wide = [-1 if i == k else 1 for k in range(len(shape))]
        # an axis of size 1 is broadcast against the places
        at.append(places if i == place else np.arange(size).reshape(wide))
        if i != place and size == 1 and shape_of(a)[i] != 1:
            at[-1] = np.arange(shape_of(a)[i]).reshape(wide)
    return getitem(a, tuple(at))
