"""Operands and the basic vocabulary that everything on arrays is written in. Floor 7.

Each function here takes Values, NumPy arrays and numbers alike: where no Value is among
the operands NumPy itself answers, else a row of the table is recorded.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.apply import apply, compare
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import Handle
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE, shapes
from tapegrad.tape.guards import user_line
from tapegrad.value import Value

NUMBERS = numbers.Real | np.bool_


def record(name: str, *operands: Any, **params: Any) -> Any:
    """A row of the table, by its name; plain numbers where no operand is a Value."""
    for x in operands:
        if isinstance(x, Value):
            return apply(TABLE[name], *operands, **params)
    with np.errstate(all="ignore"):
        return getattr(MIXED, name)(*operands, **params)


def line() -> str:
    """Where the user's code stands, as ``file:line``."""
    return ":".join(map(str, user_line()))


def misfit(what: str, *arrays: Any, why: str = "do not fit together") -> ShapeError:
    """The error of shapes that do not fit: the operation, the shapes, the line."""
    texts = " and ".join(str(shape_of(x)) for x in arrays)
    return ShapeError(f"{what}: operands of shape {texts} {why} ({line()})")


# -- what an operand is ----------------------------------------------------------------


def has_values(x: Any) -> bool:
    """Whether a Value stands in nested lists and tuples, or in an array of objects."""
    if isinstance(x, Value):
        return True
    if isinstance(x, list | tuple):
        return any(map(has_values, x))
    if isinstance(x, np.ndarray) and x.dtype.kind == "O":
        return any(isinstance(entry, Value) for entry in x.flat)
    return False


def operand(x: Any) -> Any:
    """A Value, a number, or an array of numbers; nested Values are joined to one.

    Raises:
        RecordError: strings, complex numbers, objects that are no numbers.
    """
    if isinstance(x, Value) or type(x) is float or isinstance(x, NUMBERS):
        return x
    if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
        return x
    if has_values(x):
        if isinstance(x, np.ndarray):
            entries = x.ravel().tolist()
            return reshape(stack([operand(entry) for entry in entries], 0), x.shape)
        return stack([operand(entry) for entry in x], 0)
    try:
        found = np.asarray(x)
        if found.dtype.kind == "O" and all(isinstance(e, NUMBERS) for e in found.flat):
            found = found.astype(float)
    except (TypeError, ValueError):
        msg = f"got {x!r} where an array of numbers is needed ({line()})"
        raise RecordError(msg) from None
    if found.dtype.kind not in "fiub":
        msg = (
            f"got an array of dtype {found.dtype} where real numbers are needed "
            f"({line()})"
        )
        raise RecordError(msg)
    return found


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an operand."""
    return x.shape if isinstance(x, Value) else np.shape(x)


def ndim_of(x: Any) -> int:
    """The number of axes of an operand."""
    return len(shape_of(x))


def size_of(x: Any) -> int:
    """The number of entries of an operand."""
    return math.prod(shape_of(x))


def primal(x: Any) -> Any:
    """The number or array itself."""
    return x._data if isinstance(x, Value) else x


def dtype_of(x: Any) -> np.dtype[Any]:
    """The NumPy dtype of an operand."""
    return np.asarray(primal(x)).dtype


def recorded(*xs: Any) -> bool:
    """Whether one of them belongs to a recording."""
    return any(isinstance(x, Handle) for x in xs)


def real(x: Any) -> Any:
    """An operand with floats for entries: truth values and integers are converted."""
    x = operand(x)
    if isinstance(x, Value):
        floats = type(x._data) is float or dtype_of(x).kind == "f"
        return x if floats else astype(x, "float64")
    if isinstance(x, np.ndarray):
        return x if x.dtype.kind == "f" else x.astype(np.float64)
    return x if isinstance(x, np.float32) else float(x)


def astype(x: Any, dtype: str) -> Any:
    """A conversion, where one is needed."""
    if not isinstance(x, Value):
        return np.asarray(x).astype(dtype)[()]
    return x if dtype_of(x).name == dtype else record("astype", x, dtype=dtype)


def alike(x: Any, other: Any) -> Any:
    """An operand in the float dtype of another."""
    return astype(operand(x), dtype_of(other).name)


def fresh(value: Any, shape: Sequence[int], like: Any) -> Any:
    """A new array of one number, with the float dtype of a Value; it may be written.

    A step of its own, and no shared constant: writing to one such array must not be
    taken for writing to another.
    """
    single = dtype_of(like) == np.float32
    start = operand(value)
    if not isinstance(start, Value):
        start = np.float32(start) if single else float(start)
    return apply(TABLE["broadcast_to"], start, shape=tuple(shape))


# -- views -----------------------------------------------------------------------------


def view(name: str, x: Any, **params: Any) -> Any:
    """A row whose result NumPy would make as a view: a write to either matters."""
    made = record(name, x, **params)
    columns = made._rec
    if made.ndim and columns is not None:
        columns.views.setdefault(columns.slot_of(x), []).append(made._i)
    return made


def reshape(x: Any, shape: Sequence[int]) -> Any:
    """Another shape, of known sizes."""
    if not isinstance(x, Value):
        return np.reshape(x, shape)
    return view("reshape", x, shape=tuple(shape))


def transpose(x: Any, axes: Sequence[int]) -> Any:
    """Axes in another order; non-negative places."""
    if not isinstance(x, Value):
        return np.transpose(x, axes)
    return view("transpose", x, axes=tuple(axes))


def stretch(x: Any, shape: Sequence[int]) -> Any:
    """A broadcast to a shape."""
    if not isinstance(x, Value):
        return np.broadcast_to(x, shape)
    if x.shape == tuple(shape):
        return x
    return view("broadcast_to", x, shape=tuple(shape))


def swap(x: Any) -> Any:
    """Each matrix of a stack transposed."""
    ndim = ndim_of(x)
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def cut(x: Any, axis: int, start: int, count: int, step: int = 1) -> Any:
    """Some entries along one axis."""
    return index(x, {axis: (start, count, step)})


def index(x: Any, places: dict[int, Any]) -> Any:
    """A basic index: what stands at some axes, the others whole."""
    shape = shape_of(x)
    key = tuple(places.get(axis, (0, size, 1)) for axis, size in enumerate(shape))
    if not isinstance(x, Value):
        return TABLE["index"].numpy(np, np.asarray(x), key=key)  # type: ignore[misc]
    return view("index", x, key=key)


def flip(x: Any, axis: int) -> Any:
    """The entries in reverse order along an axis."""
    size = shape_of(x)[axis]
    return cut(x, axis, size - 1, size, -1) if size else x


def gather(x: Any, places: Any, axis: int) -> Any:
    """Entries of one axis at an array of integers, which are in bounds."""
    if not isinstance(x, Value) and not isinstance(places, Value):
        return np.take(x, places, axis)
    key = tuple(
        "a" if place == axis else (0, size, 1) for place, size in enumerate(shape_of(x))
    )
    return record("gather", x, places, key=key)


def concatenate(parts: Sequence[Any], axis: int) -> Any:
    """Arrays joined along an existing axis."""
    if not any(isinstance(part, Value) for part in parts):
        return np.concatenate(parts, axis)
    kinds = {dtype_of(part).kind for part in parts}
    if len(kinds) > 1:
        parts = list(map(real, parts))
    return record("concatenate", *parts, axis=axis)


def stack(parts: Sequence[Any], axis: int) -> Any:
    """Arrays of one shape joined along a new axis."""
    if not parts:
        msg = f"need at least one array to stack ({line()})"
        raise ShapeError(msg)
    shape = shape_of(parts[0])
    for part in parts:
        if shape_of(part) != shape:
            raise misfit("stack", parts[0], part, why="cannot be stacked")
    axis %= len(shape) + 1
    wide = (*shape[:axis], 1, *shape[axis:])
    return concatenate([reshape(part, wide) for part in parts], axis)


def positions(function: Callable[[Any], Any], x: Any) -> Any:
    """Data movement that NumPy knows: done on the places, and gathered."""
    places = function(np.arange(size_of(x)).reshape(shape_of(x)))
    flat = reshape(x, (size_of(x),))
    return gather(flat, np.ascontiguousarray(places), 0)


# -- values ----------------------------------------------------------------------------


def reduce(
    name: str, x: Any, axis: Any = None, *, keepdims: Any = False, **params: Any
) -> Any:
    """A reducing row over axes as NumPy names them."""
    shape = shape_of(x)
    axes = axes_of(axis, x)
    made = record(name, x, axes=axes, **params)
    if keepdims is True or keepdims is np.True_:
        return reshape(made, shapes.kept(shape, axes))
    return made


def axes_of(axis: Any, x: Any) -> tuple[int, ...]:
    """Axes as sorted places; None is all of them."""
    try:
        return shapes.normal(axis, ndim_of(x))
    except ShapeError as problem:
        msg = f"{problem} ({line()})"
        raise ShapeError(msg) from None


def axis_of(axis: Any, x: Any) -> int:
    """One axis as a place."""
    return axes_of((axis,), x)[0]


def total(x: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The sum over axes."""
    return reduce("sum", real(x), axis, keepdims=keepdims)


def add(a: Any, b: Any) -> Any:
    """a + b."""
    return record("add", a, b)


def sub(a: Any, b: Any) -> Any:
    """a - b."""
    return record("sub", a, b)


def mul(a: Any, b: Any) -> Any:
    """a * b."""
    return record("mul", a, b)


def div(a: Any, b: Any) -> Any:
    """a / b."""
    return record("div", a, b)


def matmul(a: Any, b: Any) -> Any:
    """Stacks of matrices, multiplied."""
    return record("matmul", a, b)


def test(name: str, *xs: Any) -> Any:
    """A comparison: a step in a recording, else plain truth values."""
    return compare(name, *xs)


def discrete(name: str, x: Any, **params: Any) -> Any:
    """A row without derivative: a step in a recording, else plain numbers."""
    if isinstance(x, Handle):
        return record(name, x, **params)
    return getattr(MIXED, name)(primal(x), **params)


def truth(x: Any) -> Any:
    """An operand as truth values: a number is true where it is not 0."""
    x = operand(x)
    return x if dtype_of(x).kind == "b" else test("not_equal", x, 0)


def where(condition: Any, a: Any, b: Any) -> Any:
    """The selected entries; an arm that is not selected is absent."""
    condition = truth(condition)
    if not any(isinstance(x, Value) for x in (condition, a, b)):
        return np.where(condition, a, b)[()]
    return record("where", condition, a, b)
