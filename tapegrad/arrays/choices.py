"""Selection, comparison, rounding and small numerical functions. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.items import getitem
from tapegrad.arrays.keys import fixed
from tapegrad.arrays.lift import (
    add,
    axis_of,
    concatenate,
    cut,
    discrete,
    div,
    dtype_of,
    fresh,
    gather,
    index,
    line,
    misfit,
    mul,
    ndim_of,
    operand,
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
    swap,
    test,
    total,
    truth,
    where,
)
from tapegrad.arrays.registry import NO_VALUE, implements
from tapegrad.arrays.ufuncs import isnan, trunc
from tapegrad.errors import RecordError
from tapegrad.value import Value

# -- selection -------------------------------------------------------------------------


@implements("where", how="row", note="with one argument: nonzero")
def select_by(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    """Entries of x where a condition holds, else of y."""
    if x is None and y is None:
        return nonzero(condition)
    return where(condition, operand(x), operand(y))


@implements("nonzero", how="plain", note="in a recording: a guard on the truth values")
def nonzero(a: Any) -> tuple[Any, ...]:
    """The places of entries that are not 0."""
    return np.nonzero(np.asarray(fixed(truth(a))))


@implements("flatnonzero", how="plain", note="as nonzero")
def flatnonzero(a: Any) -> Any:
    """The places, in the flattened array, of entries that are not 0."""
    return np.flatnonzero(np.asarray(fixed(truth(a))))


@implements("argwhere", how="plain", note="as nonzero")
def argwhere(a: Any) -> Any:
    """The places of entries that are not 0, a row each."""
    return np.argwhere(np.asarray(fixed(truth(a))))


@implements("compress", note="a recorded condition leaves a guard")
def compress(condition: Any, a: Any, axis: Any = None) -> Any:
    """Entries where a condition holds, along an axis."""
    a = operand(a)
    if axis is None:
        a, axis = reshape(a, (size_of(a),)), 0
    return gather(a, flatnonzero(condition), axis_of(axis, a))


@implements("extract", note="a recorded condition leaves a guard")
def extract(condition: Any, arr: Any) -> Any:
    """Entries where a condition holds, in one row."""
    return compress(reshape(truth(condition), (size_of(condition),)), arr)


@implements("select")
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """The choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not condlist:
        msg = (
            f"select: {len(condlist)} conditions, {len(choicelist)} choices ({line()})"
        )
        raise RecordError(msg)
    made = operand(default)
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        made = where(condition, operand(choice), made)
    return made


@implements("piecewise", note="each function is called with the whole array")
def piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Any:
    """A function for each condition."""
    x = real(x)
    if not isinstance(condlist, list | tuple):
        condlist = [condlist]
    made = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    default = made.pop() if len(made) > len(condlist) else 0.0
    # of several conditions that hold, the last one counts
    chosen = where(np.ones(shape_of(x), bool), default, x)
    for condition, value in zip(condlist, made, strict=True):
        chosen = where(condition, value, chosen)
    return chosen


@implements("choose", note="fixed choices")
def choose(a: Any, choices: Any) -> Any:
    """For each place the entry of one of several arrays."""
    if isinstance(a, Value):
        msg = f"np.choose by a recorded array ({line()}): use np.where or np.select"
        raise RecordError(msg)
    made = operand(choices[0])
    for place, choice in enumerate(choices[1:], 1):
        made = where(np.equal(a, place), operand(choice), made)
    return made


@implements("clip", how="row", note="at a bound: 1/2, the tie rule")
def clip(a: Any, a_min: Any = None, a_max: Any = None, **bounds: Any) -> Any:
    """Entries kept between bounds."""
    low = bounds.get("min", a_min)
    high = bounds.get("max", a_max)
    a = real(a)
    if low is None and high is None:
        return a
    if low is None:
        return record("min", a, operand(high))
    if high is None:
        return record("max", a, operand(low))
    return record("clip", a, operand(low), operand(high))


# -- comparison ------------------------------------------------------------------------


@implements("isclose")
def isclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether entries are equal within a tolerance."""
    a, b = real(a), real(b)
    if not recorded(a, b, rtol, atol):
        return np.isclose(primal(a), primal(b), rtol, atol, equal_nan)
    # at infinities the difference says nothing
    finite = test("less", record("abs", b), math.inf)
    reach = add(atol, mul(rtol, record("abs", where(finite, b, 0.0))))
    near = test("less_equal", record("abs", sub(a, b)), reach)
    made = test("logical_or", test("logical_and", near, finite), test("equal", a, b))
    if equal_nan:
        made = test("logical_or", made, test("logical_and", isnan(a), isnan(b)))
    return made


@implements("allclose")
def allclose(
    a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False
) -> Any:
    """Whether all entries are equal within a tolerance."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


def _all(flags: Any) -> Any:
    made = discrete("all", flags, axes=tuple(range(ndim_of(flags))))
    return made if recorded(made) else bool(made)


@implements("array_equal", "array_equiv")
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and all entries are equal."""
    a, b = real(a1), real(a2)
    if shape_of(a) != shape_of(b):
        return False
    same = test("equal", a, b)
    if equal_nan:
        same = test("logical_or", same, test("logical_and", isnan(a), isnan(b)))
    return _all(same)


@implements("isneginf")
def isneginf(x: Any) -> Any:
    """Whether entries are minus infinity."""
    return test("equal", real(x), -math.inf)


@implements("isposinf")
def isposinf(x: Any) -> Any:
    """Whether entries are plus infinity."""
    return test("equal", real(x), math.inf)


@implements("isreal", how="plain")
def isreal(x: Any) -> Any:
    """True everywhere: Values are real."""
    return np.ones(shape_of(x), bool)[()]


@implements("iscomplex", how="plain")
def iscomplex(x: Any) -> Any:
    """False everywhere: Values are real."""
    return np.zeros(shape_of(x), bool)[()]


@implements("isrealobj", how="plain")
def isrealobj(x: Any) -> bool:
    """True: Values are real."""
    del x
    return True


@implements("iscomplexobj", how="plain")
def iscomplexobj(x: Any) -> bool:
    """False: Values are real."""
    del x
    return False


@implements("shape", how="plain")
def shape(a: Any) -> tuple[int, ...]:
    """The shape."""
    return shape_of(a) if isinstance(a, Value) else shape_of(operand(a))


@implements("ndim", how="plain")
def ndim(a: Any) -> int:
    """The number of axes."""
    return len(shape(a))


@implements("size", how="plain")
def size(a: Any, axis: Any = None) -> int:
    """The number of entries, or along one axis."""
    return size_of(operand(a)) if axis is None else shape(a)[axis]


@implements("result_type", how="plain")
def result_type(*arrays_and_dtypes: Any) -> Any:
    """The dtype that operands meet in."""
    return np.result_type(
        *(dtype_of(x) if isinstance(x, Value) else x for x in arrays_and_dtypes)
    )


# -- entry by entry --------------------------------------------------------------------


@implements("real", "real_if_close", how="row")
def real_part(val: Any) -> Any:
    """The Value itself."""
    return real(val)


@implements("imag", how="row")
def imaginary_part(val: Any) -> Any:
    """Zeros."""
    return fresh(0.0, shape_of(val), val)


@implements("round", "around", how="row", note="0 almost everywhere is the derivative")
def rounded(a: Any, decimals: int = 0) -> Any:
    """Entries to the nearest number of some decimals, halves to even."""
    a = real(a)
    if not decimals:
        return record("round", a)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return div(record("round", mul(a, scale)), scale)
    return mul(record("round", div(a, scale)), scale)


@implements("fix")
def fix(x: Any) -> Any:
    """The integer part."""
    return trunc(real(x))


@implements("sinc", how="row")
def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x)."""
    return record("sinc", real(x))


@implements("nan_to_num")
def nan_to_num(
    x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """NaN and infinities replaced; those entries have the derivative 0."""
    del copy
    x = real(x)
    limits = np.finfo(np.asarray(primal(x)).dtype)
    top = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    made = where(test("equal", x, math.inf), top, x)
    made = where(test("equal", x, -math.inf), low, made)
    return where(isnan(x), nan, made)


@implements("diff")
def diff(
    a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None
) -> Any:
    """Differences of neighbours, n times."""
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
    ends = [None if e is None else real(e) for e in (to_begin, to_end)]
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
            return _uneven(f, places[0], real(steps[0]))
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
    made = add(start, mul(grid / max(count, 1), span))
    return (made, div(span, float(count))) if retstep else made


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
