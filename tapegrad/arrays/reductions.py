"""Reductions and running ones, with NumPy's signatures. Floor 7.

Truth values and integers count as floats: ``np.sum(v > 0)`` is a float, since a tape
holds one float dtype a step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    add,
    astype,
    axes_of,
    axis_of,
    concatenate,
    cut,
    discrete,
    div,
    dtype_of,
    gather,
    index,
    line,
    mul,
    ndim_of,
    operand,
    primal,
    real,
    record,
    recorded,
    reduce,
    reshape,
    shape_of,
    size_of,
    stack,
    stretch,
    sub,
    test,
    truth,
    where,
)
from tapegrad.arrays.registry import NO_VALUE, implements, refused
from tapegrad.errors import RecordError, ShapeError
from tapegrad.rules import shapes
from tapegrad.value import Value, _Float64


def _typed(x: Any, dtype: Any, name: str) -> Any:
    """An operand in the dtype that was asked for."""
    x = real(x)
    if dtype is None or isinstance(dtype, _Float64):
        return x
    wanted = np.dtype(dtype)
    if wanted.kind == "O":
        return x
    if wanted.name not in shapes.FLOATING:
        raise refused(name, "dtype")
    return astype(x, wanted.name)


def _nonempty(x: Any, axis: Any, name: str) -> None:
    shape = shape_of(x)
    axes = axes_of(axis, x)
    left = math.prod(shapes.reduced(shape, axes))
    if left and not math.prod(shape[i] for i in axes):
        msg = (
            f"{name} of no entries has no value (shape {shape}, axes {axes}, {line()})"
        )
        raise ShapeError(msg)


@implements("sum", how="row", note="integers and truth values are summed as floats")
def total(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """The sum over axes."""
    return reduce("sum", _typed(a, dtype, "np.sum"), axis, keepdims=keepdims)


@implements("prod", how="row")
def prod(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """The product over axes."""
    return reduce("prod", _typed(a, dtype, "np.prod"), axis, keepdims=keepdims)


@implements("mean", how="row")
def mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """The mean over axes."""
    return reduce("mean", _typed(a, dtype, "np.mean"), axis, keepdims=keepdims)


@implements("max", "amax", how="row", note="a tie of n entries gives each 1/n")
def maximum(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The largest entry over axes."""
    a = real(a)
    _nonempty(a, axis, "max")
    return reduce("amax", a, axis, keepdims=keepdims)


@implements("min", "amin", how="row", note="a tie of n entries gives each 1/n")
def minimum(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The smallest entry over axes."""
    a = real(a)
    _nonempty(a, axis, "min")
    return reduce("amin", a, axis, keepdims=keepdims)


@implements("ptp")
def spread(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The largest entry less the smallest."""
    top = maximum(a, axis, keepdims=keepdims)
    return sub(top, minimum(a, axis, keepdims=keepdims))


def _freedom(ddof: Any, correction: Any) -> Any:
    return ddof if correction is None or correction is NO_VALUE else correction


@implements("var")
def variance(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: Any = 0,
    keepdims: Any = False,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """The mean squared deviation over axes."""
    a = _typed(a, dtype, "np.var")
    axes = axes_of(axis, a)
    count = math.prod(shape_of(a)[i] for i in axes)
    centre = reduce("mean", a, axes, keepdims=True) if mean is None else mean
    away = sub(a, centre)
    squares = reduce("sum", mul(away, away), axes, keepdims=keepdims)
    return div(squares, float(max(count - _freedom(ddof, correction), 0)))


@implements("std", how="row", note="0 has the derivative 0: at equal entries")
def deviation(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    *,
    ddof: Any = 0,
    keepdims: Any = False,
    correction: Any = None,
) -> Any:
    """The standard deviation over axes."""
    a = _typed(a, dtype, "np.std")
    freedom = _freedom(ddof, correction)
    freedom = int(freedom) if freedom == int(freedom) else freedom
    return reduce("std", a, axis, keepdims=keepdims, ddof=freedom)


@implements("average")
def average(
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    """The mean with weights."""
    a = real(a)
    if weights is None:
        made = mean(a, axis, keepdims=keepdims)
        axes = axes_of(axis, a)
        scale: Any = float(math.prod(shape_of(a)[i] for i in axes))
    else:
        w = real(weights)
        if shape_of(w) != shape_of(a):
            axes = axes_of(axis, a)
            wide = [size if i in axes else 1 for i, size in enumerate(shape_of(a))]
            w = stretch(reshape(w, wide), shape_of(a))
        scale = total(w, axis, keepdims=keepdims)
        made = div(total(mul(a, w), axis, keepdims=keepdims), scale)
    return (made, scale) if returned else made


# -- those that look at NaN ------------------------------------------------------------


def _filled(a: Any, number: float) -> tuple[Any, Any]:
    a = real(a)
    usable = test("equal", a, a)
    return where(usable, a, number), usable


@implements("nansum")
def nansum(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The sum of the entries that are numbers."""
    return total(_filled(a, 0.0)[0], axis, keepdims=keepdims)


@implements("nanprod")
def nanprod(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The product of the entries that are numbers."""
    return prod(_filled(a, 1.0)[0], axis, keepdims=keepdims)


@implements("nanmean")
def nanmean(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The mean of the entries that are numbers."""
    filled, usable = _filled(a, 0.0)
    count = total(usable, axis, keepdims=keepdims)
    return div(total(filled, axis, keepdims=keepdims), count)


@implements("nanvar")
def nanvar(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """The variance of the entries that are numbers."""
    a = real(a)
    usable = test("equal", a, a)
    away = where(usable, sub(a, nanmean(a, axis, keepdims=True)), 0.0)
    count = sub(total(usable, axis, keepdims=keepdims), float(ddof))
    return div(total(mul(away, away), axis, keepdims=keepdims), count)


@implements("nanstd")
def nanstd(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """The standard deviation of the entries that are numbers."""
    return record("sqrt", nanvar(a, axis, ddof=ddof, keepdims=keepdims))


@implements("nanmax")
def nanmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The largest of the entries that are numbers."""
    return maximum(_filled(a, -math.inf)[0], axis, keepdims=keepdims)


@implements("nanmin")
def nanmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The smallest of the entries that are numbers."""
    return minimum(_filled(a, math.inf)[0], axis, keepdims=keepdims)


# -- truth values and places -----------------------------------------------------------


def _flags(name: str, a: Any, axis: Any, keepdims: Any) -> Any:
    a = truth(a)
    axes = axes_of(axis, a)
    made = discrete(name, a, axes=axes)
    return reshape(made, shapes.kept(shape_of(a), axes)) if keepdims is True else made


@implements("any", how="row")
def some(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Whether some entry is true (not 0)."""
    return _flags("any", a, axis, keepdims)


@implements("all", how="row")
def every(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """Whether every entry is true (not 0)."""
    return _flags("all", a, axis, keepdims)


@implements("count_nonzero", note="a float inside a recording")
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """How many entries are not 0."""
    a = operand(a)
    if not recorded(a):
        return np.count_nonzero(primal(a), axis, keepdims=keepdims is True)
    return total(truth(a), axis, keepdims=keepdims)


def _place(name: str, a: Any, axis: Any, keepdims: Any) -> Any:
    a = real(a)
    shape = shape_of(a)
    _nonempty(a, axis, name)
    if axis is None:
        made = discrete(name, reshape(a, (size_of(a),)), axis=0)
        wide = (1,) * len(shape)
    else:
        place = axis_of(axis, a)
        made = discrete(name, a, axis=place)
        wide = shapes.kept(shape, (place,))
    return reshape(made, wide) if keepdims is True else made


@implements("argmax", how="row", note="no derivative")
def argmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The first place of the largest entry."""
    return _place("argmax", a, axis, keepdims)


@implements("argmin", how="row", note="no derivative")
def argmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The first place of the smallest entry."""
    return _place("argmin", a, axis, keepdims)


# -- running ones ----------------------------------------------------------------------


def _line_up(a: Any, axis: Any) -> tuple[Any, int]:
    """The array, flattened when no axis is named, and the axis to run along."""
    if axis is None:
        return reshape(a, (size_of(a),)), 0
    return a, axis_of(axis, a)


@implements("cumsum", how="row")
def cumsum(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running sums."""
    a, place = _line_up(_typed(a, dtype, "np.cumsum"), axis)
    return record("cumsum", a, axis=place)


@implements("cumprod", note="by doubling: right with zeros, at every order")
def cumprod(a: Any, axis: Any = None, dtype: Any = None) -> Any:
    """Running products."""
    return _doubled("mul", _typed(a, dtype, "np.cumprod"), axis)


def running_maximum(a: Any, axis: Any = 0) -> Any:
    """The largest entry so far."""
    return _doubled("max", real(a), axis)


def running_minimum(a: Any, axis: Any = 0) -> Any:
    """The smallest entry so far."""
    return _doubled("min", real(a), axis)


def _doubled(name: str, a: Any, axis: Any) -> Any:
    """A running row: after step k each entry holds the last 2**k ones."""
    a, place = _line_up(a, axis)
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
    x = _typed(x, dtype, "np.cumulative_sum")
    return _initial(cumsum(x, _one_axis(x, axis)), axis, 0.0, include_initial)


@implements("cumulative_prod")
def cumulative_prod(
    x: Any, axis: Any = None, dtype: Any = None, *, include_initial: bool = False
) -> Any:
    """Running products, with a 1 before them if wanted."""
    x = _typed(x, dtype, "np.cumulative_prod")
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


# -- order -----------------------------------------------------------------------------


@implements("argsort", how="row", note="stable; no derivative")
def argsort(a: Any, axis: Any = -1) -> Any:
    """Places in rising order."""
    a, place = _line_up(real(a), axis)
    return discrete("argsort", a, axis=place)


@implements("sort", note="stable: a gather by argsort")
def sort(a: Any, axis: Any = -1) -> Any:
    """Entries in rising order."""
    a, place = _line_up(real(a), axis)
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


# -- beyond NumPy ----------------------------------------------------------------------


def logsumexp(x: Any, axis: Any = None, *, keepdims: Any = False, b: Any = None) -> Any:
    """log(sum(b * exp(x))) over axes, shifted by the largest entry.

    Args:
        x: a Value, array or number.
        axis: an axis, a tuple of them, or None for all.
        keepdims: keep reduced axes, of size 1.
        b: positive weights.

    Example:
        >>> import tapegrad as tg
        >>> tg.logsumexp([1000.0, 1000.0])
        1000.6931471805599
    """
    x = real(x)
    if b is not None:
        x = add(x, record("log", real(b)))
    return reduce("logsumexp", x, axis, keepdims=keepdims)


def softmax(x: Any, axis: Any = None) -> Any:
    """exp(x) over its sum along axes, shifted by the largest entry."""
    x = real(x)
    return record("softmax", x, axes=axes_of(axis, x))


def length(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The Euclidean length over axes; 0 has the derivative 0."""
    return reduce("norm", real(a), axis, keepdims=keepdims)
