"""Products: dot, matmul, inner, outer, tensordot, kron, cross. Floor 7.

All come down to the row ``matmul``, of stacks of matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    axes_of,
    concatenate,
    dtype_of,
    gather,
    index,
    line,
    misfit,
    mul,
    ndim_of,
    operand,
    real,
    record,
    reshape,
    shape_of,
    size_of,
    stack,
    sub,
    swap,
    total,
    transpose,
)
from tapegrad.arrays.registry import implements
from tapegrad.errors import RecordError


def factors(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """The operands of a product, as floats.

    Raises:
        RecordError: both are truth values, whose product NumPy makes by logic.
    """
    a, b = operand(a), operand(b)
    if dtype_of(a).kind == "b" and dtype_of(b).kind == "b":
        msg = (
            f"{name} of truth values, of shape {shape_of(a)} and {shape_of(b)} "
            f"({line()}): in NumPy it gives truth values; convert them with "
            ".astype(float), and compare the result with 0 where that is meant"
        )
        raise RecordError(msg)
    return real(a), real(b)


@implements("matmul", "linalg.matmul", how="row")
def matmul(x1: Any, x2: Any) -> Any:
    """Stacks of matrices, or vectors, multiplied as ``@`` does."""
    a, b = factors("matmul", x1, x2)
    left, right = shape_of(a), shape_of(b)
    if not left or not right:
        raise misfit("matmul", a, b, why="are not both arrays; use * for a number")
    if left[-1] != right[-2 if len(right) > 1 else 0]:
        raise misfit("matmul", a, b)
    wide_a = reshape(a, (1, *left)) if len(left) == 1 else a
    wide_b = reshape(b, (*right, 1)) if len(right) == 1 else b
    made = record("matmul", wide_a, wide_b)
    shape = list(shape_of(made))
    if len(right) == 1:
        shape.pop()
    if len(left) == 1:
        del shape[-1 if len(right) == 1 else -2]
    return made if len(shape) == ndim_of(made) else reshape(made, shape)


@implements("dot", how="row")
def dot(a: Any, b: Any) -> Any:
    """The last axis of a against the last but one of b; numbers multiply."""
    a, b = factors("dot", a, b)
    if not ndim_of(a) or not ndim_of(b):
        return mul(a, b)
    if ndim_of(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((ndim_of(a) - 1,), (ndim_of(b) - 2,)))


@implements("inner")
def inner(a: Any, b: Any) -> Any:
    """The sum over both last axes."""
    a, b = factors("inner", a, b)
    if not ndim_of(a) or not ndim_of(b):
        return mul(a, b)
    return tensordot(a, b, ((ndim_of(a) - 1,), (ndim_of(b) - 1,)))


@implements("vdot")
def vdot(a: Any, b: Any) -> Any:
    """The sum of the entrywise product of flattened arrays."""
    a, b = factors("vdot", a, b)
    return dot(reshape(a, (size_of(a),)), reshape(b, (size_of(b),)))


@implements("outer", "linalg.outer")
def outer(a: Any, b: Any) -> Any:
    """Every entry of a times every entry of b."""
    a, b = operand(a), operand(b)
    return mul(reshape(a, (size_of(a), 1)), reshape(b, (1, size_of(b))))


@implements("linalg.vecdot")
def vecdot(x1: Any, x2: Any, axis: Any = -1) -> Any:
    """The sum of products along one axis."""
    a, b = factors("vecdot", x1, x2)
    if shape_of(a)[axis] != shape_of(b)[axis]:
        raise misfit("vecdot", a, b)
    return total(mul(a, b), axis)


def matvec(x1: Any, x2: Any) -> Any:
    """Stacks of matrices times stacks of vectors."""
    b = real(x2)
    made = matmul(x1, reshape(b, (*shape_of(b), 1)))
    return reshape(made, shape_of(made)[:-1])


def vecmat(x1: Any, x2: Any) -> Any:
    """Stacks of vectors times stacks of matrices."""
    a = real(x1)
    shape = shape_of(a)
    made = matmul(reshape(a, (*shape[:-1], 1, shape[-1])), x2)
    shape = shape_of(made)
    return reshape(made, (*shape[:-2], shape[-1]))


@implements("tensordot", "linalg.tensordot")
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """The sum over pairs of axes, as one product of matrices."""
    a, b = factors("tensordot", a, b)
    if isinstance(axes, int | np.integer):
        n = int(axes)
        mine = tuple(range(ndim_of(a) - n, ndim_of(a)))
        theirs = tuple(range(n))
    else:
        mine, theirs = (tuple(_listed(entry)) for entry in axes)
    mine = tuple(axes_of((axis,), a)[0] for axis in mine)
    theirs = tuple(axes_of((axis,), b)[0] for axis in theirs)
    left, right = shape_of(a), shape_of(b)
    if [left[i] for i in mine] != [right[j] for j in theirs]:
        raise misfit("tensordot", a, b, why=f"do not fit along axes {mine}, {theirs}")
    free_a = tuple(i for i in range(len(left)) if i not in mine)
    free_b = tuple(j for j in range(len(right)) if j not in theirs)
    count = math.prod(left[i] for i in mine)
    rows = reshape(
        turned(a, (*free_a, *mine)), (math.prod(left[i] for i in free_a), count)
    )
    columns = reshape(
        turned(b, (*theirs, *free_b)), (count, math.prod(right[j] for j in free_b))
    )
    shape = [*(left[i] for i in free_a), *(right[j] for j in free_b)]
    return reshape(record("matmul", rows, columns), shape)


def _listed(entry: Any) -> Sequence[int]:
    return [int(entry)] if isinstance(entry, int | np.integer) else list(entry)


def turned(x: Any, axes: Sequence[int]) -> Any:
    """Axes in another order, if it is another one."""
    return x if list(axes) == list(range(len(axes))) else transpose(x, axes)


@implements("kron")
def kron(a: Any, b: Any) -> Any:
    """Every entry of a times the whole of b, side by side."""
    a, b = operand(a), operand(b)
    ndim = max(ndim_of(a), ndim_of(b))
    left = (1,) * (ndim - ndim_of(a)) + shape_of(a)
    right = (1,) * (ndim - ndim_of(b)) + shape_of(b)
    wide = [size for pair in zip(left, (1,) * ndim, strict=True) for size in pair]
    tall = [size for pair in zip((1,) * ndim, right, strict=True) for size in pair]
    made = mul(reshape(a, wide), reshape(b, tall))
    return reshape(made, [n * k for n, k in zip(left, right, strict=True)])


@implements("cross", "linalg.cross", note="vectors of three entries")
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    """The vector product along one axis."""
    a, b = factors("cross", a, b)
    if axis is not None:
        axisa = axisb = axisc = axis
    place_a, place_b = axes_of((axisa,), a)[0], axes_of((axisb,), b)[0]
    if shape_of(a)[place_a] != 3 or shape_of(b)[place_b] != 3:
        raise misfit("cross", a, b, why="are no vectors of three entries")
    x, y, z = (index(a, {place_a: i}) for i in range(3))
    u, v, w = (index(b, {place_b: i}) for i in range(3))
    parts = [
        sub(mul(y, w), mul(z, v)),
        sub(mul(z, u), mul(x, w)),
        sub(mul(x, v), mul(y, u)),
    ]
    return stack(parts, axisc)


@implements("linalg.multi_dot")
def multi_dot(arrays: Sequence[Any]) -> Any:
    """A chain of products, from left to right."""
    made = arrays[0]
    for factor in arrays[1:]:
        made = dot(made, factor)
    return made


@implements("linalg.matrix_power", note="whole powers; negative ones of the inverse")
def matrix_power(a: Any, n: int) -> Any:
    """A square matrix times itself, by repeated squaring."""
    a = real(a)
    if n < 0:
        a, n = record("inv", a), -n
    shape = shape_of(a)
    made = None
    while n:
        if n & 1:
            made = a if made is None else record("matmul", made, a)
        n >>= 1
        if n:
            a = record("matmul", a, a)
    if made is None:
        eye = np.broadcast_to(np.eye(shape[-1], dtype=dtype_of(a)), shape)
        return record("add", mul(a, 0.0), eye)
    return made


@implements("matrix_transpose", "linalg.matrix_transpose", how="row")
def matrix_transpose(x: Any) -> Any:
    """The last two axes exchanged."""
    if ndim_of(x) < 2:
        raise misfit("matrix_transpose", x, why="has no two axes")
    return swap(x)


@implements("convolve", note="vectors, by a product with shifted copies")
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """The discrete convolution of two vectors."""
    a, v = factors("convolve", a, v)
    if ndim_of(a) != 1 or ndim_of(v) != 1 or not size_of(a) or not size_of(v):
        raise misfit("convolve", a, v, why="are not two vectors with entries")
    if size_of(a) < size_of(v):
        a, v = v, a
    return _slide(a, index(v, {0: (size_of(v) - 1, size_of(v), -1)}), mode)


@implements("correlate", note="vectors; the first at least as long as the second")
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """The cross-correlation of two vectors."""
    a, v = factors("correlate", a, v)
    if ndim_of(a) != 1 or ndim_of(v) != 1 or not 0 < size_of(v) <= size_of(a):
        raise misfit("correlate", a, v, why="do not slide along each other")
    return _slide(a, v, mode)


def _slide(a: Any, v: Any, mode: str) -> Any:
    """The product of every window of a with v."""
    n, k = size_of(a), size_of(v)
    if mode not in {"full", "same", "valid"}:
        msg = f"mode {mode!r} is none of 'full', 'same' and 'valid' ({line()})"
        raise RecordError(msg)
    before = {"full": k - 1, "same": k // 2, "valid": 0}[mode]
    count = {"full": n + k - 1, "same": n, "valid": n - k + 1}[mode]
    after = count + k - 1 - before - n
    zeros = [np.zeros(before, dtype_of(a)), a, np.zeros(after, dtype_of(a))]
    parts = [part for part in zeros if size_of(part)]
    wide = concatenate(parts, 0) if len(parts) > 1 else a
    places = np.arange(count)[:, None] + np.arange(k)
    return matmul(gather(wide, places, 0), v)
