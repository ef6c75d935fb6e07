"""Running sums, products and extremes. Floor 7."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    axis_of,
    concatenate,
    cut,
    dtype_of,
    line,
    ndim_of,
    real,
    record,
    reshape,
    shape_of,
    size_of,
)
from tapegrad.arrays.reductions import typed
from tapegrad.arrays.registry import implements
from tapegrad.errors import ShapeError

# -- running ones ----------------------------------------------------------------------


def line_up(a: Any, axis: Any) -> tuple[Any, int]:
    """The array, flattened when no axis is named, and the axis to run along."""
    if axis is None:
        return reshape(a, (size_of(a),)), 0
    return a, axis_of(axis, a)


@implements("cumsum", how="row")
def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums."""
    a, place = line_up(typed(a, dtype, "np.cumsum"), axis)
    return record("cumsum", a, axis=place)


@implements("cumprod", note="by doubling: right with zeros, at every order")
def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products."""
    return _doubled("mul", typed(a, dtype, "np.cumprod"), axis)


def running_maximum(a: Any, axis: Any = 0) -> Any:
    """The largest entry so far."""
    return _doubled("max", real(a), axis)


def running_minimum(a: Any, axis: Any = 0) -> Any:
    """The smallest entry so far."""
    return _doubled("min", real(a), axis)


def _doubled(name: str, a: Any, axis: Any) -> Any:
    """A running row: after step k each entry holds the last 2**k ones."""
    a, place = line_up(a, axis)
    size = shape_of(a)[place]
    if size < 2:
        return reshape(a, shape_of(a))
    reach = 1
    while reach < size:
        later = cut(a, place, reach, size - reach)
        grown = record(name, cut(a, place, 0, size - reach), later)
        a = concatenate([cut(a, place, 0, reach), grown], place)
        reach *= 2
    return a


@implements("cumulative_sum")
def cumulative_sum(
    x: Any, axis: Any = None, dtype: Any = None, *, include_initial: bool = False
) -> Any:
    """Running sums, with a 0 before them if wanted."""
    x = typed(x, dtype, "np.cumulative_sum")
    return _initial(cumsum(x, _one_axis(x, axis)), axis, 0.0, include_initial)


@implements("cumulative_prod")
def cumulative_prod(
    x: Any, axis: Any = None, dtype: Any = None, *, include_initial: bool = False
) -> Any:
    """Running products, with a 1 before them if wanted."""
    x = typed(x, dtype, "np.cumulative_prod")
    return _initial(cumprod(x, _one_axis(x, axis)), axis, 1.0, include_initial)


def _one_axis(x: Any, axis: Any) -> int:
    if axis is None and ndim_of(x) != 1:
        msg = f"an axis is needed for an array of shape {shape_of(x)} ({line()})"
        raise ShapeError(msg)
    return 0 if axis is None else axis_of(axis, x)


def _initial(made: Any, axis: Any, number: float, include: bool) -> Any:
    if not include:
        return made
    place = _one_axis(made, axis)
    shape = list(shape_of(made))
    shape[place] = 1
    return concatenate([np.full(shape, number, dtype_of(made)), made], place)
