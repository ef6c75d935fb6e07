"""Less usual functions: writes by name, polynomials, index helpers, texts. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.calculus import cov, linspace
from tapegrad.arrays.items import setitem
from tapegrad.arrays.lift import (
    axis_of,
    concatenate,
    dtype_of,
    mul,
    ndim_of,
    operand,
    primal,
    real,
    record,
    reshape,
    shape_of,
    size_of,
    stack,
    sub,
    test,
    where,
)
from tapegrad.arrays.movement import broadcast_to
from tapegrad.arrays.order import searchsorted
from tapegrad.arrays.products import convolve
from tapegrad.arrays.reductions import argmax, argmin
from tapegrad.arrays.registry import implements
from tapegrad.arrays.repeating import resize
from tapegrad.arrays.running import cumprod, cumsum
from tapegrad.rules import shapes

# -- writes ----------------------------------------------------------------------------


@implements("copyto", note="a new version of the array, as v[...] = x")
def copyto(dst: Any, src: Any, *, where: Any = True) -> None:
    """Write entries of another array."""
    if where is True:
        setitem(dst, ..., src)
    else:
        putmask(dst, where, src)


@implements("fill_diagonal", note="a new version of the array; no wrap")
def fill_diagonal(a: Any, val: Any) -> None:
    """Write the diagonal."""
    at = np.arange(min(shape_of(a)))
    setitem(a, (at,) * ndim_of(a), val)


@implements("put", note="a new version of the array")
def put(a: Any, ind: Any, v: Any) -> None:
    """Write entries at places in the flattened array."""
    places = np.unravel_index(np.asarray(ind) % size_of(a), shape_of(a))
    setitem(a, places, resize(operand(v), np.shape(ind)))


@implements("put_along_axis", note="a new version of the array")
def put_along_axis(arr: Any, indices: Any, values: Any, axis: int) -> None:
    """Write entries at places of their own along an axis."""
    shape = shape_of(indices)
    place = axis_of(axis, arr)
    at: list[Any] = [
        np.arange(size).reshape([-1 if i == k else 1 for k in range(len(shape))])
        for i, size in enumerate(shape)
    ]
    at[place] = indices
    setitem(arr, tuple(at), values)


@implements(
    "putmask", "place", note="a new version; values of the array's shape, or one"
)
def putmask(a: Any, mask: Any, values: Any) -> None:
    """Write entries where a mask holds."""
    values = operand(values)
    if ndim_of(values) and shape_of(values) != shape_of(a):
        values = broadcast_to(values, shape_of(a))
    setitem(a, ..., where(mask, values, a))


# -- polynomials -----------------------------------------------------------------------


def _padded(p: Any, size: int) -> Any:
    p = real(p)
    missing = size - size_of(p)
    return concatenate([np.zeros(missing, dtype_of(p)), p], 0) if missing else p


@implements("polyadd")
def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    size = max(size_of(operand(a1)), size_of(operand(a2)))
    return record("add", _padded(a1, size), _padded(a2, size))


@implements("polysub")
def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    size = max(size_of(operand(a1)), size_of(operand(a2)))
    return sub(_padded(a1, size), _padded(a2, size))


@implements("polymul")
def polymul(a1: Any, a2: Any) -> Any:
    """The product of two polynomials."""
    return convolve(a1, a2)


@implements("polyder")
def polyder(p: Any, m: int = 1) -> Any:
    """The derivative of a polynomial."""
    p = real(p)
    for _ in range(m):
        size = size_of(p)
        p = mul(p[: size - 1], np.arange(size - 1, 0, -1, dtype=float))
    return p


@implements("polyint", note="constants of integration 0")
def polyint(p: Any, m: int = 1) -> Any:
    """The integral of a polynomial."""
    p = real(p)
    for _ in range(m):
        p = record("div", p, np.arange(size_of(p), 0, -1, dtype=float))
        p = concatenate([p, np.zeros(1, dtype_of(p))], 0)
    return p


# -- statistics and grids --------------------------------------------------------------


@implements("corrcoef")
def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """Correlation coefficients of variables."""
    c = cov(x, y, rowvar)
    if not ndim_of(c):
        return record("div", c, c)
    n = shape_of(c)[0]
    d = record("sqrt", reshape(c, (n * n,))[:: n + 1])
    return record("div", record("div", c, reshape(d, (n, 1))), d)


@implements("nancumsum")
def nancumsum(a: Any, axis: Any = None) -> Any:
    """Running sums, NaN as 0."""
    a = real(a)
    return cumsum(where(test("equal", a, a), a, 0.0), axis)


@implements("nancumprod")
def nancumprod(a: Any, axis: Any = None) -> Any:
    """Running products, NaN as 1."""
    a = real(a)
    return cumprod(where(test("equal", a, a), a, 1.0), axis)


@implements("nanargmax", note="no derivative")
def nanargmax(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The first place of the largest entry that is a number."""
    a = real(a)
    return argmax(where(test("equal", a, a), a, -math.inf), axis, keepdims=keepdims)


@implements("nanargmin", note="no derivative")
def nanargmin(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """The first place of the smallest entry that is a number."""
    a = real(a)
    return argmin(where(test("equal", a, a), a, math.inf), axis, keepdims=keepdims)


@implements("logspace")
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0
) -> Any:
    """Powers of a base at even steps of the exponent."""
    return record("pow", operand(base), linspace(start, stop, num, endpoint))


@implements("geomspace", note="positive ends")
def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True) -> Any:
    """Numbers at even ratios."""
    ends = record("log", real(start)), record("log", real(stop))
    return record("exp", linspace(*ends, num, endpoint))


@implements("digitize", note="places have no derivative")
def digitize(x: Any, bins: Any, right: bool = False) -> Any:
    """The bin that each entry is in."""
    seen = np.asarray(primal(bins))
    if seen.size > 1 and seen[0] > seen[-1]:
        found = searchsorted(bins[::-1], x, "right" if right else "left")
        return sub(size_of(bins), found)
    return searchsorted(bins, x, "left" if right else "right")


@implements("apply_along_axis", note="the function is called for each line")
def apply_along_axis(
    func1d: Any, axis: int, arr: Any, *args: Any, **kwargs: Any
) -> Any:
    """A function of each line along an axis."""
    a = operand(arr)
    place = axis_of(axis, a)
    lead = shapes.reduced(shape_of(a), (place,))
    made = []
    for at in np.ndindex(*lead):
        key = (*at[:place], slice(None), *at[place:])
        made.append(operand(func1d(a[key], *args, **kwargs)))
    inner = shape_of(made[0])
    joined = reshape(stack(made, 0), (*lead, *inner))
    return (
        np.moveaxis(
            joined,
            list(range(len(lead), len(lead) + len(inner))),
            list(range(place, place + len(inner))),
        )
        if inner
        else joined
    )


# -- places and texts ------------------------------------------------------------------


@implements("tril_indices_from", how="plain")
def tril_indices_from(arr: Any, k: int = 0) -> Any:
    """Places on and below a diagonal."""
    return np.tril_indices(shape_of(arr)[-2], k, shape_of(arr)[-1])


@implements("triu_indices_from", how="plain")
def triu_indices_from(arr: Any, k: int = 0) -> Any:
    """Places on and above a diagonal."""
    return np.triu_indices(shape_of(arr)[-2], k, shape_of(arr)[-1])


@implements("diag_indices_from", how="plain")
def diag_indices_from(arr: Any) -> Any:
    """Places of the diagonal."""
    return np.diag_indices(shape_of(arr)[0], ndim_of(arr))


@implements("einsum_path", how="plain")
def einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    """The order that NumPy would contract in."""
    return np.einsum_path(*map(primal, operands), optimize=optimize)


@implements("array_str", "array_repr", "array2string", how="plain", note="a text")
def text(a: Any, *args: Any, **kwargs: Any) -> str:
    """The numbers as text."""
    del args, kwargs
    return str(primal(a))
