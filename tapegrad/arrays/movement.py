"""Functions that move entries: shapes, axes, joining, cutting, padding. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.apply import apply
from tapegrad.arrays.items import getitem
from tapegrad.arrays.lift import (
    astype,
    axes_of,
    axis_of,
    concatenate,
    cut,
    dtype_of,
    flip,
    fresh,
    gather,
    index,
    line,
    misfit,
    ndim_of,
    operand,
    positions,
    real,
    record,
    reshape,
    shape_of,
    size_of,
    stack,
    stretch,
    total,
    transpose,
)
from tapegrad.arrays.registry import implements, refused
from tapegrad.errors import RecordError, ShapeError
from tapegrad.rules import TABLE, shapes
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
            f"astype({name}) cannot be recorded on a Value ({line()}): an integer has "
            "no derivative; use np.floor or np.round, or int(v) for a branch"
        )
        raise RecordError(msg)
    return astype(x, name)


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
    a, v = operand(arr), operand(values)
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


# -- triangles and diagonals -----------------------------------------------------------


@implements("tril", how="row")
def tril(m: Any, k: int = 0) -> Any:
    """Entries on and below a diagonal."""
    return record("tril", real(m), k=int(k))


@implements("triu", how="row")
def triu(m: Any, k: int = 0) -> Any:
    """Entries on and above a diagonal."""
    return record("triu", real(m), k=int(k))


@implements("diagonal")
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The entries of a diagonal, along a last axis."""
    a = operand(a)
    if ndim_of(a) < 2:
        raise misfit("diagonal", a, why="has no two axes")
    i, j = axis_of(axis1, a), axis_of(axis2, a)
    rest = [k for k in range(ndim_of(a)) if k not in {i, j}]
    shape = shape_of(a)
    rows, columns = shape[i], shape[j]
    lead = [shape[k] for k in rest]
    turned = (
        a if [*rest, i, j] == list(range(ndim_of(a))) else (transpose(a, (*rest, i, j)))
    )
    flat = reshape(turned, (*lead, rows * columns))
    count = max(
        0, min(rows, columns - offset) if offset >= 0 else (min(rows + offset, columns))
    )
    start = offset if offset >= 0 else -offset * columns
    entry = (start, count, columns + 1) if count else (0, 0, 1)
    return index(flat, {len(rest): entry})


@implements("linalg.diagonal")
def matrix_diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of a stack of matrices."""
    return diagonal(x, offset, -2, -1)


@implements("diag")
def diag(v: Any, k: int = 0) -> Any:
    """The diagonal of a matrix, or a matrix with a diagonal."""
    v = operand(v)
    if ndim_of(v) == 2:
        return diagonal(v, k)
    if ndim_of(v) != 1:
        raise misfit("diag", v, why="is neither a vector nor a matrix")
    n = size_of(v)
    size = n + abs(k)
    start = k if k >= 0 else -k * size
    key = ((start, n, size + 1) if n else (0, 0, 1),)
    return reshape(record("scatter", v, key=key, shape=(size * size,)), (size, size))


@implements("diagflat")
def diagflat(v: Any, k: int = 0) -> Any:
    """A matrix with all entries on a diagonal."""
    return diag(ravel(v), k)


@implements("trace")
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return total(diagonal(real(a), offset, axis1, axis2), -1)


@implements("linalg.trace")
def matrix_trace(x: Any, /, *, offset: int = 0) -> Any:
    """The sums of the diagonals of a stack of matrices."""
    return total(diagonal(real(x), offset, -2, -1), -1)


# -- new arrays ------------------------------------------------------------------------


@implements("meshgrid")
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Any, ...]:
    """Coordinates of a grid."""
    del copy
    vectors = [reshape(operand(x), (size_of(operand(x)),)) for x in xi]
    n = len(vectors)
    made = []
    for place, vector in enumerate(vectors):
        at = {0: 1, 1: 0}.get(place, place) if indexing == "xy" and n > 1 else place
        size = size_of(vector)
        made.append(reshape(vector, [size if i == at else 1 for i in range(n)]))
    return tuple(made) if sparse else broadcast_arrays(*made)


def _shaped(like: Any, shape: Any) -> tuple[int, ...]:
    if shape is None:
        return shape_of(like)
    return (shape,) if isinstance(shape, int) else tuple(shape)


def _like(value: Any, a: Any, dtype: Any, shape: Any) -> Any:
    made = fresh(value, _shaped(a, shape), operand(a))
    return made if dtype is None else cast(made, dtype)


@implements("zeros_like", how="row", note="a Value: it may be written")
def zeros_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros of an array's shape."""
    return _like(0.0, a, dtype, shape)


@implements("empty_like", how="row", note="zeros; a Value: it may be written")
def empty_like(prototype: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Zeros of an array's shape."""
    return _like(0.0, prototype, dtype, shape)


@implements("ones_like", how="row", note="a Value: it may be written")
def ones_like(a: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """Ones of an array's shape."""
    return _like(1.0, a, dtype, shape)


@implements("full_like", how="row", note="a Value: it may be written")
def full_like(a: Any, fill_value: Any, dtype: Any = None, *, shape: Any = None) -> Any:
    """One number in an array's shape."""
    return _like(fill_value, a, dtype, shape)


def _with_like(name: str) -> Any:
    """``np.zeros(3, like=v)``: an array as NumPy makes it, as a Value."""

    def run(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("like", None)
        if name in {"array", "asarray", "asanyarray", "ascontiguousarray"}:
            made = operand(args[0])
            made = copy(made) if name == "array" else made
        else:
            made = getattr(np, name)(*args, **kwargs)
        return made if isinstance(made, Value) else copied(made)

    return run


def copied(made: Any) -> Any:
    """An array of numbers as a Value of its own, which may be written."""
    made = np.asarray(made, float)
    return apply(TABLE["reshape"], made, shape=made.shape)


for _name in (
    "array",
    "asarray",
    "asanyarray",
    "ascontiguousarray",
    "zeros",
    "ones",
    "empty",
    "full",
    "eye",
    "identity",
    "arange",
    "tri",
):
    implements(_name, how="row", note="with like=v: a Value")(_with_like(_name))
