"""Sorting, quantiles, places in sorted vectors, interpolation. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.items import getitem
from tapegrad.arrays.lift import (
    add,
    axes_of,
    cut,
    discrete,
    div,
    gather,
    index,
    line,
    misfit,
    mul,
    ndim_of,
    primal,
    real,
    record,
    recorded,
    reshape,
    shape_of,
    size_of,
    stack,
    stretch,
    sub,
    test,
    total,
    where,
)
from tapegrad.arrays.registry import implements
from tapegrad.arrays.running import line_up
from tapegrad.errors import RecordError, ShapeError
from tapegrad.rules import shapes
from tapegrad.value import Value

# -- order -----------------------------------------------------------------------------


@implements("argsort", how="row", note="stable; no derivative")
def argsort(a: Any, axis: Any = -1) -> Any:
    """Places in rising order."""
    a, place = line_up(real(a), axis)
    return discrete("argsort", a, axis=place)


@implements("sort", note="stable: a gather by argsort")
def sort(a: Any, axis: Any = -1) -> Any:
    """Entries in rising order."""
    a, place = line_up(real(a), axis)
    if not ndim_of(a):
        raise misplaced("sort", a)
    return along(a, discrete("argsort", a, axis=place), place)


def misplaced(name: str, a: Any) -> ShapeError:
    """The error of a number where an array is needed."""
    return ShapeError(f"{name} of shape {shape_of(a)}: an axis is needed ({line()})")


@implements("partition", note="sorted altogether")
def partition(a: Any, kth: Any, axis: Any = -1) -> Any:
    """Entries with the kth in its sorted place."""
    del kth
    return sort(a, axis)


@implements("argpartition", note="sorted altogether")
def argpartition(a: Any, kth: Any, axis: Any = -1) -> Any:
    """Places with the kth in its sorted place."""
    del kth
    return argsort(a, axis)


def along(a: Any, places: Any, axis: int) -> Any:
    """Entries at places of their own along one axis, as take_along_axis."""
    if ndim_of(a) == 1:
        return gather(a, places, 0)
    if not isinstance(a, Value) and not isinstance(places, Value):
        return np.take_along_axis(a, places, axis)
    shape = shape_of(places)
    grid = [
        np.arange(size).reshape([-1 if i == place else 1 for i in range(len(shape))])
        for place, size in enumerate(shape)
    ]
    at: list[Any] = [places if i == axis else grid[i] for i in range(len(shape))]
    return record("gather", a, *at, key=("a",) * len(shape))


@implements("quantile", note="a fixed q; the method is linear")
def quantile(a: Any, q: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Quantiles, linear between entries."""
    a = real(a)
    if isinstance(q, Value):
        msg = f"np.quantile at a recorded q ({line()}): q is to be a plain number"
        raise RecordError(msg)
    axes = axes_of(axis, a)
    rest = [i for i in range(ndim_of(a)) if i not in axes]
    shape = shape_of(a)
    lead = [shape[i] for i in rest]
    count = math.prod(shape[i] for i in axes)
    if not count:
        msg = f"quantile of no entries (shape {shape}, {line()})"
        raise ShapeError(msg)
    turned = record("transpose", a, axes=(*rest, *axes))
    flat = sort(reshape(turned, (*lead, count)), -1)
    place = len(rest)
    wide = shapes.kept(shape, axes)
    levels = np.ravel(q).tolist()
    made = [_level(flat, place, count, level) for level in levels]
    made = [reshape(part, wide) for part in made] if keepdims is True else made
    if not np.ndim(q):
        return made[0]
    joined = stack(made, 0)
    return reshape(joined, (*np.shape(q), *shape_of(made[0])))


def _level(flat: Any, place: int, count: int, level: float) -> Any:
    if not 0 <= level <= 1:
        msg = f"quantiles are in the range [0, 1], got {level} ({line()})"
        raise ShapeError(msg)
    at = level * (count - 1)
    low = math.floor(at)
    share = at - low
    below = index(flat, {place: low})
    if share:
        above = index(flat, {place: low + 1})
        below = add(mul(below, 1 - share), mul(above, share))
    # NaN is sorted last, and makes every quantile NaN
    last = index(flat, {place: count - 1})
    return where(test("equal", last, last), below, last)


@implements("percentile", note="a fixed q; the method is linear")
def percentile(a: Any, q: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Percentiles, linear between entries."""
    if not isinstance(q, Value):
        q = np.true_divide(q, 100)
    return quantile(a, q, axis, keepdims=keepdims)


@implements("median")
def median(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The middle entry, or the mean of the two."""
    return quantile(a, 0.5, axis, keepdims=keepdims)


@implements("searchsorted", note="places have no derivative")
def searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """Where entries would go in a sorted vector."""
    a, v = real(a), real(v)
    if not recorded(a, v):
        return np.searchsorted(primal(a), primal(v), side)  # type: ignore[call-overload]
    wide = reshape(v, (*shape_of(v), 1))
    below = test("less" if side == "left" else "less_equal", a, wide)
    return record("astype", total(below, -1), dtype="int64")


@implements("interp", note="piecewise linear in all three; not periodic")
def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """Values between given points."""
    x, xp, fp = real(x), real(xp), real(fp)
    n = size_of(xp)
    if shape_of(xp) != shape_of(fp) or ndim_of(xp) != 1 or not n:
        raise misfit("interp", xp, fp)
    first, last = index(fp, {0: 0}), index(fp, {0: n - 1})
    left = first if left is None else left
    right = last if right is None else right
    if n == 1:
        inside = stretch(first, shape_of(x)) if shape_of(x) else first
    else:
        # the interval that an entry is in, by counting inner points at or below it
        at = searchsorted(cut(xp, 0, 1, n - 2), x, "right")
        low, high = cut(xp, 0, 0, n - 1), cut(xp, 0, 1, n - 1)
        x0, y0 = _at(low, at), _at(cut(fp, 0, 0, n - 1), at)
        slope = div(sub(_at(cut(fp, 0, 1, n - 1), at), y0), sub(_at(high, at), x0))
        inside = add(mul(slope, sub(x, x0)), y0)
    made = where(test("less", x, index(xp, {0: 0})), left, inside)
    return where(test("less", index(xp, {0: n - 1}), x), right, made)


def _at(values: Any, places: Any) -> Any:
    if isinstance(values, Value) or isinstance(places, Value):
        return getitem(values, places)
    return values[places]
