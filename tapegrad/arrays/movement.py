"""Functions that move entries: shapes, axes, joining, cutting, padding. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    astype,
    axes_of,
    axis_of,
    dtype_of,
    line,
    misfit,
    ndim_of,
    operand,
    record,
    reshape,
    shape_of,
    size_of,
    stretch,
    transpose,
)
from tapegrad.arrays.registry import implements, refused
from tapegrad.errors import RecordError, ShapeError
from tapegrad.rules import shapes
from tapegrad.value import Value, _Float64

# -- shapes and axes -------------------------------------------------------------------


def _sizes(x: Any, shape: Any) -> tuple[int, ...]:
    """A shape with its -1 worked out."""
    listed = [shape] if isinstance(shape, int | np.integer) else list(shape)
    sizes = [int(size) for size in listed]
    if -1 in sizes:
        rest = math.prod(size for size in sizes if size != -1)
        if sizes.count(-1) > 1 or not rest or size_of(x) % rest:
            raise misfit("reshape", x, why=f"cannot be reshaped to {tuple(sizes)}")
        sizes[sizes.index(-1)] = size_of(x) // rest
    if math.prod(sizes) != size_of(x):
        raise misfit("reshape", x, why=f"cannot be reshaped to {tuple(sizes)}")
    return tuple(sizes)


@implements("reshape", how="row")
def reshaped(a: Any, /, shape: Any, order: str = "C") -> Any:
    """Another shape; -1 is worked out."""
    a = operand(a)
    sizes = _sizes(a, shape)
    if order == "F":
        turned = reshape(_reversed(a), sizes[::-1])
        return _reversed(turned)
    if order not in {"C", "A"}:
        raise refused("np.reshape", "order")
    return reshape(a, sizes)


def _reversed(a: Any) -> Any:
    return transpose(a, range(ndim_of(a))[::-1]) if ndim_of(a) > 1 else a


@implements("ravel", how="row")
def ravel(a: Any, order: str = "C") -> Any:
    """All entries in one row."""
    return reshaped(a, -1, "F" if order == "F" else "C")


def flatten(a: Any, order: str = "C") -> Any:
    """All entries in one row, as a copy."""
    return copy(ravel(a, order))


@implements("copy", how="row")
def copy(a: Any) -> Any:
    """A copy: it may be written, and does not change with what it was taken from."""
    a = operand(a)
    if not isinstance(a, Value):
        return np.copy(a)
    return record("reshape", a, shape=a.shape) if a.ndim else a


@implements("transpose", "permute_dims", how="row")
def transposed(a: Any, axes: Any = None) -> Any:
    """Axes in another order, reversed by default."""
    a = operand(a)
    if axes is None:
        return _reversed(a)
    places = [axis_of(axis, a) for axis in axes]
    if sorted(places) != list(range(ndim_of(a))):
        raise misfit("transpose", a, why=f"has other axes than {tuple(axes)}")
    return transpose(a, places)


@implements("swapaxes", how="row")
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    a = operand(a)
    i, j = axis_of(axis1, a), axis_of(axis2, a)
    places = list(range(ndim_of(a)))
    places[i], places[j] = places[j], places[i]
    return transpose(a, places)


@implements("moveaxis", how="row")
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes at new places, the others in their order."""
    a = operand(a)
    old = [axis_of(axis, a) for axis in np.atleast_1d(source).tolist()]
    goal = [axis_of(axis, a) for axis in np.atleast_1d(destination).tolist()]
    if len(old) != len(goal):
        raise misfit("moveaxis", a, why=f"cannot move axes {old} to {goal}")
    places = [i for i in range(ndim_of(a)) if i not in old]
    for to, axis in sorted(zip(goal, old, strict=True)):
        places.insert(to, axis)
    return transpose(a, places)


@implements("rollaxis", how="row")
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """One axis moved before another."""
    a = operand(a)
    return transpose(a, _rolled(ndim_of(a), axis, start))


def _rolled(ndim: int, axis: int, start: int) -> list[int]:
    places = list(range(ndim))
    axis %= ndim
    start = start + ndim if start < 0 else start
    places.remove(axis)
    places.insert(start - 1 if axis < start else start, axis)
    return places


@implements("squeeze", how="row")
def squeeze(a: Any, axis: Any = None) -> Any:
    """Without axes of size 1."""
    a = operand(a)
    shape = shape_of(a)
    if axis is None:
        gone: tuple[int, ...] = tuple(i for i, size in enumerate(shape) if size == 1)
    else:
        gone = axes_of(axis, a)
    if any(shape[i] != 1 for i in gone):
        raise misfit("squeeze", a, why=f"has entries along axes {gone}")
    return reshape(a, shapes.reduced(shape, gone))


@implements("expand_dims", how="row")
def expand_dims(a: Any, axis: Any) -> Any:
    """With new axes of size 1."""
    a = operand(a)
    listed = list(axis) if isinstance(axis, tuple | list) else [axis]
    places = shapes.normal(listed, ndim_of(a) + len(listed))
    left = iter(shape_of(a))
    wide = [1 if i in places else next(left) for i in range(ndim_of(a) + len(listed))]
    return reshape(a, wide)


@implements("broadcast_to", how="row")
def broadcast_to(array: Any, shape: Any) -> Any:
    """Spread over a shape."""
    a = operand(array)
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    try:
        fits = shapes.broadcast(shape_of(a), wanted) == wanted
    except ShapeError:
        fits = False
    if not fits:
        raise misfit("broadcast_to", a, why=f"does not broadcast to {wanted}")
    return stretch(a, wanted)


@implements("broadcast_arrays")
def broadcast_arrays(*args: Any) -> tuple[Any, ...]:
    """All spread over their common shape."""
    arrays = list(map(operand, args))
    try:
        wanted = shapes.broadcast(*map(shape_of, arrays))
    except ShapeError:
        raise misfit("broadcast_arrays", *arrays) from None
    return tuple(stretch(a, wanted) for a in arrays)


def _at_least(ndim: int) -> Any:
    def run(*arys: Any) -> Any:
        made = []
        for given in arys:
            a = operand(given)
            shape = shape_of(a)
            wide = np.empty(shape)
            wide = (np.atleast_1d, np.atleast_2d, np.atleast_3d)[ndim - 1](wide)
            made.append(a if wide.shape == shape else reshape(a, wide.shape))
        return made[0] if len(made) == 1 else tuple(made)

    return run


for _ndim in (1, 2, 3):
    implements(f"atleast_{_ndim}d", how="row")(_at_least(_ndim))
atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


@implements("astype", how="row", note="to float64 and float32")
def cast(x: Any, dtype: Any) -> Any:
    """A conversion between float dtypes."""
    x = operand(x)
    if isinstance(dtype, _Float64):
        dtype = np.float64
    name = np.dtype(dtype).name
    if name == dtype_of(x).name:
        return copy(x)
    if name not in shapes.FLOATING:
        msg = (
            f"astype({name}) cannot be recorded on a Value ({line()}): a tape has "
            "float64 and float32; for whole numbers use np.floor or np.round, and "
            "int(v) for a branch"
        )
        raise RecordError(msg)
    return astype(x, name)
