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
    alike,
    astype,
    axes_of,
    axis_of,
    discrete,
    div,
    line,
    mul,
    operand,
    primal,
    real,
    record,
    recorded,
    reduce,
    reshape,
    shape_of,
    size_of,
    stretch,
    sub,
    test,
    truth,
    where,
)
from tapegrad.arrays.registry import NO_VALUE, implements, refused
from tapegrad.errors import ShapeError
from tapegrad.rules import shapes
from tapegrad.value import _Float64


def typed(x: Any, dtype: Any, name: str) -> Any:
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
    return reduce("sum", typed(a, dtype, "np.sum"), axis, keepdims=keepdims)


@implements("prod", how="row")
def prod(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """The product over axes."""
    return reduce("prod", typed(a, dtype, "np.prod"), axis, keepdims=keepdims)


@implements("mean", how="row")
def mean(a: Any, axis: Any = None, dtype: Any = None, *, keepdims: Any = False) -> Any:
    """The mean over axes."""
    return reduce("mean", typed(a, dtype, "np.mean"), axis, keepdims=keepdims)


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
    a = typed(a, dtype, "np.var")
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
    a = typed(a, dtype, "np.std")
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
    count = total(alike(usable, filled), axis, keepdims=keepdims)
    return div(total(filled, axis, keepdims=keepdims), count)


@implements("nanvar")
def nanvar(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """The variance of the entries that are numbers."""
    a = real(a)
    usable = test("equal", a, a)
    away = where(usable, sub(a, nanmean(a, axis, keepdims=True)), 0.0)
    count = total(alike(usable, a), axis, keepdims=keepdims)
    count = sub(count, float(ddof))
    count = where(test("less", 0, count), count, math.nan)  # none left: no variance
    return div(total(mul(away, away), axis, keepdims=keepdims), count)


@implements("nanstd")
def nanstd(a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    """The standard deviation of the entries that are numbers."""
    squares = nanvar(a, axis, ddof=ddof, keepdims=keepdims)
    # the root has a pole at 0, where the deviation has the derivative 0
    none = test("equal", squares, 0)
    return where(none, 0.0, record("sqrt", where(none, 1.0, squares)))


def _of_some(made: Any, usable: Any, axis: Any, keepdims: Any) -> Any:
    """NaN where no entry is a number."""
    return where(some(usable, axis, keepdims=keepdims), made, math.nan)


@implements("nanmax")
def nanmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The largest of the entries that are numbers."""
    filled, usable = _filled(a, -math.inf)
    return _of_some(maximum(filled, axis, keepdims=keepdims), usable, axis, keepdims)


@implements("nanmin")
def nanmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The smallest of the entries that are numbers."""
    filled, usable = _filled(a, math.inf)
    return _of_some(minimum(filled, axis, keepdims=keepdims), usable, axis, keepdims)


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
