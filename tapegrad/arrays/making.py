"""Triangles, diagonals, grids and new arrays. Floor 7."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.apply import apply
from tapegrad.arrays.lift import (
    axis_of,
    fresh,
    index,
    misfit,
    ndim_of,
    operand,
    real,
    record,
    reshape,
    shape_of,
    size_of,
    total,
    transpose,
)
from tapegrad.arrays.movement import broadcast_arrays, cast, copy, ravel
from tapegrad.arrays.registry import implements
from tapegrad.rules import TABLE
from tapegrad.value import Value

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
