"""Selection, comparison, rounding and small numerical functions. Floor 7."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.arrays.composed import isnan, of_integers, trunc
from tapegrad.arrays.keys import fixed
from tapegrad.arrays.lift import (
    add,
    axis_of,
    discrete,
    div,
    dtype_of,
    fresh,
    gather,
    line,
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
    sub,
    test,
    truth,
    where,
)
from tapegrad.arrays.registry import implements
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
    if not of_integers(*(x for x in (a, low, high) if x is not None)):
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
