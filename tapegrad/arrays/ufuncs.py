"""``__array_ufunc__``: NumPy's and SciPy's ufuncs on Values. Floor 7.

A ufunc that is a row of the table becomes that step. Others are composed of rows (see
``composed``), and the rest are refused by name. ``reduce``, ``accumulate`` and
``outer`` are there where a row, or a composition, does what they do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.apply import apply
from tapegrad.arrays import reductions, running
from tapegrad.arrays.composed import COMPOSED
from tapegrad.arrays.items import add_at
from tapegrad.arrays.lift import (
    dtype_of,
    line,
    operand,
    record,
    reshape,
    shape_of,
    test,
    truth,
)
from tapegrad.arrays.registry import NO_VALUE, refused, unsupported
from tapegrad.errors import RecordError
from tapegrad.rules import TABLE, Primitive
from tapegrad.value import Arrays, Value

# The row of a reduction, and the function of a running one, by ufunc.
REDUCED: dict[str, Callable[..., Any]] = {
    "add": reductions.total,
    "multiply": reductions.prod,
    "maximum": reductions.maximum,
    "minimum": reductions.minimum,
    "logaddexp": reductions.logsumexp,
    "hypot": reductions.length,
    "logical_and": reductions.every,
    "logical_or": reductions.some,
}
ACCUMULATED: dict[str, Callable[..., Any]] = {
    "add": running.cumsum,
    "multiply": running.cumprod,
    "maximum": running.running_maximum,
    "minimum": running.running_minimum,
}


def row_of(ufunc: Any) -> Primitive | None:
    """The row of the table that a ufunc is, if it is one."""
    return TABLE.by_ufunc.get(ufunc.__name__)


# Operands that `apply` takes as they are.
QUICK = (Value, float, int)
_QUICK_ROWS: dict[Any, Primitive | None] = {}


def _quick(ufunc: Any) -> Primitive | None:
    """The elementwise row that a ufunc is, looked up once."""
    try:
        return _QUICK_ROWS[ufunc]
    except KeyError:
        row = None if ufunc.__name__ in COMPOSED else row_of(ufunc)
        if row is not None and row.kind != "elementwise":
            row = None
        return _QUICK_ROWS.setdefault(ufunc, row)


def array_ufunc(ufunc: Any, method: str, inputs: Any, kwargs: dict[str, Any]) -> Any:
    """What a ufunc gives for operands among which there is a Value.

    Raises:
        RecordError: the ufunc, its method or a keyword is not recorded.
    """
    if method == "__call__" and not kwargs:
        row = _quick(ufunc)
        if row is not None and all(isinstance(x, QUICK) for x in inputs):
            return apply(row, *inputs)
    inputs = tuple(map(_unwrapped, inputs))
    if _by_entries(inputs):
        objects = [_object(x) if isinstance(x, Value) else x for x in inputs]
        return getattr(ufunc, method)(
            *[np.asarray(x, dtype=object) for x in objects], **kwargs
        )
    if "out" in kwargs:
        raise _out(ufunc)
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if method == "__call__":
        _check_keywords(name, kwargs, inputs)
        return _called(ufunc, inputs)
    if method == "outer" and not kwargs:
        a, b = map(operand, inputs)
        wide = reshape(a, (*shape_of(a), *(1,) * len(shape_of(b))))
        return _called(ufunc, (wide, b))
    if method == "reduce" and ufunc.__name__ in REDUCED:
        return REDUCED[ufunc.__name__](inputs[0], **_arguments(name, inputs, kwargs))
    if method == "accumulate" and ufunc.__name__ in ACCUMULATED:
        axis = kwargs.pop("axis", inputs[1] if len(inputs) > 1 else 0)
        _check_keywords(name, kwargs, inputs)
        return ACCUMULATED[ufunc.__name__](inputs[0], axis)
    if method == "at" and ufunc.__name__ == "add" and isinstance(inputs[0], Value):
        return add_at(*inputs)
    raise unsupported(name, _known_methods(method))


def _called(ufunc: Any, inputs: Any) -> Any:
    name = ufunc.__name__
    inputs = tuple(map(operand, inputs))
    run = COMPOSED.get(name)
    if run is not None:
        return run(*inputs)
    row = row_of(ufunc)
    if row is None and hasattr(ufunc, "kept"):  # made by Compiled.ufunc
        msg = "call the tape itself on Values, or tg.vmap of it for many points"
        raise unsupported(f"the ufunc of the compiled tape {ufunc.__name__}", msg)
    if row is None:
        raise unsupported(name_of_ufunc(ufunc))
    if row.name.startswith("logical_"):
        return test(row.name, *map(truth, inputs))
    if row.kind == "predicate":
        return test(row.name, *inputs)
    return record(row.name, *inputs)


def name_of_ufunc(ufunc: Any) -> str:
    """``np.gcd`` or ``scipy.special.gamma``."""
    module = "np" if hasattr(np, ufunc.__name__) else "scipy.special"
    return f"{module}.{ufunc.__name__}"


def _by_entries(inputs: Any) -> bool:
    """Whether NumPy is to go through arrays of objects: only scalars are among them."""
    objects = any(isinstance(x, np.ndarray) and x.dtype.kind == "O" for x in inputs)
    return objects and not any(isinstance(x, Arrays) for x in inputs)


def _unwrapped(x: Any) -> Any:
    """A 0-d array as its number: NumPy's scalars arrive like this, too."""
    return x[()] if isinstance(x, np.ndarray) and not x.ndim else x


def _object(value: Value) -> Any:
    box = np.empty((), dtype=object)
    box[()] = value
    return box


def _check_keywords(name: str, kwargs: dict[str, Any], inputs: Any) -> None:
    for keyword, value in kwargs.items():
        if keyword in {"casting", "order", "subok"} or value is None:
            continue
        if keyword == "where" and value is True:
            continue
        if keyword == "dtype" and np.dtype(value) == dtype_of(
            next(x for x in inputs if isinstance(x, Value))
        ):
            continue
        raise refused(name, keyword)


def _arguments(name: str, inputs: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Axis and keepdims of a call of ``reduce``."""
    rest = dict(kwargs)
    axis = rest.pop("axis", inputs[1] if len(inputs) > 1 else 0)
    keepdims = rest.pop("keepdims", False)
    if rest.get("initial", 0) is NO_VALUE:
        del rest["initial"]
    _check_keywords(name, rest, inputs)
    return {"axis": axis, "keepdims": keepdims}


def _out(ufunc: Any) -> RecordError:
    return RecordError(
        f"np.{ufunc.__name__} with out=, or an in-place `a += v` on a plain array "
        f"({line()}): a NumPy array cannot hold Values, and their derivatives would be "
        "lost; write a = a + v, or make the array with np.zeros_like(v)"
    )


def _known_methods(method: str) -> str:
    tables = {"reduce": REDUCED, "accumulate": ACCUMULATED}
    known = ", ".join(f"np.{name}.{method}" for name in tables.get(method, ()))
    return (
        f"there are {known}"
        if known
        else "there are reduce, accumulate, outer and np.add.at"
    )
