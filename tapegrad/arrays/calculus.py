"""Differences, integrals, grids, polynomials and covariances. Floor 7."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    add,
    alike,
    axis_of,
    concatenate,
    cut,
    div,
    dtype_of,
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
    stretch,
    sub,
    swap,
    total,
)
from tapegrad.arrays.registry import NO_VALUE, implements
from tapegrad.errors import RecordError


@implements("diff")
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """Differences of neighbours, n times."""
    a = operand(a)
    if dtype_of(a).kind == "b":
        msg = (
            f"np.diff of truth values ({line()}): in NumPy neighbours that differ; "
            "write a[1:] != a[:-1], or convert them with .astype(float)"
        )
        raise RecordError(msg)
    a = real(a)
    place = axis_of(axis, a)
    ends: list[list[Any]] = []
    for given in (prepend, append):
        if given is None or given is NO_VALUE:
            ends.append([])
            continue
        end = real(given)
        if not ndim_of(end):
            one = [1 if i == place else s for i, s in enumerate(shape_of(a))]
            end = stretch(end, one)
        ends.append([end])
    if ends != [[], []]:
        a = concatenate([*ends[0], a, *ends[1]], place)
    for _ in range(n):
        count = shape_of(a)[place] - 1
        a = (
            sub(cut(a, place, 1, count), cut(a, place, 0, count))
            if count > 0
            else (cut(a, place, 0, 0))
        )
    return a


@implements("ediff1d")
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array."""
    a = real(ary)
    made = diff(reshape(a, (size_of(a),)))
    ends = [None if e is None else alike(e, a) for e in (to_begin, to_end)]
    parts = [made]
    if ends[0] is not None:
        parts.insert(0, reshape(ends[0], (size_of(ends[0]),)))
    if ends[1] is not None:
        parts.append(reshape(ends[1], (size_of(ends[1]),)))
    return concatenate(parts, 0) if len(parts) > 1 else made


@implements("gradient", note="numbers for spacings, or coordinates of a single axis")
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Central differences along axes."""
    f = real(f)
    if axis is None:
        places = list(range(ndim_of(f)))
    else:
        listed = axis if isinstance(axis, tuple | list) else (axis,)
        places = [axis_of(i, f) for i in listed]
    steps = list(varargs) or [1.0]
    if len(steps) == 1:
        steps *= len(places)
    if len(steps) != len(places) or any(ndim_of(h) for h in steps):
        if len(steps) == len(places) == 1 and ndim_of(steps[0]) == 1:
            return _uneven(f, places[0], alike(steps[0], f))
        msg = f"np.gradient takes a number for each axis ({line()})"
        raise RecordError(msg)
    made = [
        _slopes(f, place, h, edge_order) for place, h in zip(places, steps, strict=True)
    ]
    return made[0] if len(made) == 1 else tuple(made)


def _slopes(f: Any, place: int, h: Any, edge_order: int) -> Any:
    n = shape_of(f)[place]
    if n < edge_order + 1:
        raise misfit("gradient", f, why=f"needs {edge_order + 1} entries along an axis")

    def at(start: int, count: int = 1) -> Any:
        return cut(f, place, start % n, count)

    inner = div(sub(at(2, n - 2), at(0, n - 2)), mul(2.0, h)) if n > 2 else None
    if edge_order == 1:
        first = div(sub(at(1), at(0)), h)
        last = div(sub(at(-1), at(-2)), h)
    else:
        first = div(sub(sub(mul(4.0, at(1)), mul(3.0, at(0))), at(2)), mul(2.0, h))
        last = div(add(sub(mul(3.0, at(-1)), mul(4.0, at(-2))), at(-3)), mul(2.0, h))
    parts = [first, last] if inner is None else [first, inner, last]
    return concatenate(parts, place)


def _uneven(f: Any, place: int, x: Any) -> Any:
    """Differences of second order where the spacing changes."""
    n = shape_of(f)[place]
    if size_of(x) != n:
        raise misfit("gradient", f, x)
    wide = [-1 if i == place else 1 for i in range(ndim_of(f))]
    wide[place] = n - 1
    h = reshape(diff(x), wide)
    d = div(sub(cut(f, place, 1, n - 1), cut(f, place, 0, n - 1)), h)
    before, after = cut(h, place, 0, n - 2), cut(h, place, 1, n - 2)
    weighted = add(
        mul(cut(d, place, 0, n - 2), after), mul(cut(d, place, 1, n - 2), before)
    )
    inner = div(weighted, add(before, after))
    return concatenate([cut(d, place, 0, 1), inner, cut(d, place, n - 2, 1)], place)


@implements("trapezoid")
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    """The integral by the trapezoidal rule."""
    y = real(y)
    place = axis_of(axis, y)
    n = shape_of(y)[place]
    width = dx
    if x is not None:
        width = diff(x, axis=place if ndim_of(x) > 1 else 0)
        if ndim_of(width) == 1:
            wide = [n - 1 if i == place else 1 for i in range(ndim_of(y))]
            width = reshape(width, wide)
    heights = add(cut(y, place, 1, n - 1), cut(y, place, 0, n - 1))
    return total(div(mul(width, heights), 2.0), place)


@implements("linspace")
def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False
) -> Any:
    """Numbers at even steps."""
    start, stop = real(start), real(stop)
    count = num - 1 if endpoint else num
    span = sub(stop, start)
    grid = np.arange(num, dtype=float).reshape((num,) + (1,) * ndim_of(span))
    made = add(start, mul(alike(grid / max(count, 1), span), span))
    return (made, div(span, float(count))) if retstep else made


@implements("polyval")
def polyval(p: Any, x: Any) -> Any:
    """A polynomial by Horner's scheme, highest power first."""
    p, x = real(p), real(x)
    made: Any = mul(x, 0.0)
    for place in range(shape_of(p)[0]):
        made = add(mul(made, x), index(p, {0: place}))
    return made


@implements("vander")
def vander(x: Any, N: Any = None, increasing: bool = False) -> Any:  # noqa: N803
    """The powers of a vector, a column each."""
    x = real(x)
    count = size_of(x) if N is None else int(N)
    powers = [record("powc", x, exponent=k) for k in range(count)]
    return stack(powers if increasing else powers[::-1], 1)


@implements("cov", note="variables in rows; no weights")
def cov(
    m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: Any = None
) -> Any:
    """The covariance matrix of variables."""
    d = real(m)
    d = reshape(d, (1, size_of(d))) if ndim_of(d) < 2 else d
    d = d if rowvar or shape_of(d)[0] == 1 else swap(d)
    if y is not None:
        other = real(y)
        other = reshape(other, (1, size_of(other))) if ndim_of(other) < 2 else other
        d = concatenate([d, other if rowvar else swap(other)], 0)
    n = shape_of(d)[1]
    d = sub(d, div(total(d, 1, keepdims=True), float(n)))
    freedom = (0 if bias else 1) if ddof is None else ddof
    made = div(record("matmul", d, swap(d)), float(n - freedom))
    return reshape(made, ()) if shape_of(made) == (1, 1) else made
