"""``__array_ufunc__``: NumPy's and SciPy's ufuncs on Values. Floor 7.

A ufunc that is a row of the table becomes that step. Others are composed of rows here,
and the rest are refused by name. ``reduce``, ``accumulate`` and ``outer`` are there
where a row, or a composition, does what they do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.apply import apply
from tapegrad.arrays import reductions, running
from tapegrad.arrays.lift import (
    add,
    div,
    dtype_of,
    line,
    mul,
    operand,
    real,
    record,
    reshape,
    shape_of,
    sub,
    test,
    truth,
    where,
)
from tapegrad.arrays.movement import copy
from tapegrad.arrays.products import matmul, matvec, vecdot, vecmat
from tapegrad.arrays.registry import NO_VALUE, refused, unsupported
from tapegrad.errors import RecordError
from tapegrad.operations import power
from tapegrad.rules import TABLE, Primitive
from tapegrad.value import Arrays, Value

# -- compositions ----------------------------------------------------------------------


def isnan(x: Any) -> Any:
    """Whether entries are NaN."""
    return test("not_equal", real(x), real(x))


def isfinite(x: Any) -> Any:
    """Whether entries are finite."""
    return test("less", record("abs", real(x)), math.inf)


def isinf(x: Any) -> Any:
    """Whether entries are an infinity."""
    return test("equal", record("abs", real(x)), math.inf)


def signbit(x: Any) -> Any:
    """Whether entries have a minus sign, -0.0 among them."""
    return test("less", record("copysign", 1.0, real(x)), 0)


def trunc(x: Any) -> Any:
    """The integer part."""
    return where(test("less", x, 0), record("ceil", x), record("floor", x))


def floor_divide(a: Any, b: Any) -> Any:
    """The floor of a quotient; exact, since the remainder is taken first."""
    whole = record("round", div(sub(a, record("mod", a, b)), b))
    return where(test("equal", b, 0), record("floor", div(a, b)), whole)


def fmax(a: Any, b: Any) -> Any:
    """The larger one; the other where one is NaN."""
    return where(isnan(a), b, where(isnan(b), a, record("max", a, b)))


def fmin(a: Any, b: Any) -> Any:
    """The smaller one; the other where one is NaN."""
    return where(isnan(a), b, where(isnan(b), a, record("min", a, b)))


def heaviside(x: Any, at_zero: Any) -> Any:
    """0, 1, and a given number at 0; NaN stays."""
    above = where(test("less", 0, x), 1.0, x)
    return where(test("equal", x, 0), at_zero, where(test("less", x, 0), 0.0, above))


def _power(a: Any, b: Any) -> Any:
    single = not isinstance(b, Value) and not np.ndim(b)
    return power(a, b if isinstance(b, int | float) or not single else float(b))


def _logaddexp2(a: Any, b: Any) -> Any:
    two = math.log(2)
    return div(record("logaddexp", mul(a, two), mul(b, two)), two)


def _normal_cdf(x: Any) -> Any:
    return mul(0.5, record("erfc", mul(x, -math.sqrt(0.5))))


def _rel_entr(x: Any, y: Any) -> Any:
    inside = test("logical_and", test("less", 0, x), test("less", 0, y))
    safe = record("log", div(where(inside, x, 1.0), where(inside, y, 1.0)))
    corner = test("logical_and", test("equal", x, 0), test("less_equal", 0, y))
    both = add(x, y)  # NaN where one of them is
    outside = where(isnan(both), both, math.inf)
    return where(inside, mul(x, safe), where(corner, 0.0, outside))


def _huber(delta: Any, r: Any) -> Any:
    size = record("abs", r)
    near = mul(0.5, mul(r, r))
    far = mul(delta, sub(size, mul(0.5, delta)))
    return where(
        test("less", delta, 0),
        math.inf,
        where(test("less_equal", size, delta), near, far),
    )


def _pseudo_huber(delta: Any, r: Any) -> Any:
    q = div(r, delta)
    return mul(mul(delta, delta), sub(record("sqrt", add(1.0, mul(q, q))), 1.0))


def _betaln(a: Any, b: Any) -> Any:
    both = add(record("lgamma", a), record("lgamma", b))
    return sub(both, record("lgamma", add(a, b)))


def _xlog1py(x: Any, y: Any) -> Any:
    return where(
        test("logical_and", test("equal", x, 0), test("equal", y, y)),
        0.0,
        mul(x, record("log1p", y)),
    )


def _bits(name: str) -> Callable[..., Any]:
    """A bitwise operator, which on truth values is logic."""

    def run(*xs: Any) -> Any:
        if any(dtype_of(x).kind != "b" for x in xs):
            raise unsupported(f"np.{name} of numbers", "it is for truth values")
        words = {"and": "logical_and", "or": "logical_or", "xor": "logical_xor"}
        word = words.get(name.rpartition("_")[2], "logical_not")
        return test(word, *xs)

    return run


# Ufuncs by name that are no row of the table, and what stands in their place.
COMPOSED: dict[str, Callable[..., Any]] = {
    "positive": copy,
    "conjugate": copy,
    "fabs": lambda x: record("abs", x),
    "power": _power,
    "float_power": _power,
    "degrees": lambda x: mul(x, 180 / math.pi),
    "rad2deg": lambda x: mul(x, 180 / math.pi),
    "radians": lambda x: mul(x, math.pi / 180),
    "deg2rad": lambda x: mul(x, math.pi / 180),
    "floor_divide": floor_divide,
    "divmod": lambda a, b: (floor_divide(a, b), record("mod", a, b)),
    "modf": lambda x: (sub(x, trunc(x)), trunc(x)),
    "trunc": trunc,
    "fmax": fmax,
    "fmin": fmin,
    "heaviside": heaviside,
    "logaddexp2": _logaddexp2,
    "isnan": isnan,
    "isfinite": isfinite,
    "isinf": isinf,
    "signbit": signbit,
    "bitwise_and": _bits("bitwise_and"),
    "bitwise_or": _bits("bitwise_or"),
    "bitwise_xor": _bits("bitwise_xor"),
    "invert": _bits("invert"),
    "matmul": matmul,
    "vecdot": vecdot,
    "matvec": matvec,
    "vecmat": vecmat,
    # scipy.special
    "gammaln": lambda x: record("lgamma", x),
    "psi": lambda x: record("digamma", x),
    "expit": lambda x: record("sigmoid", x),
    "log_expit": lambda x: record("neg", record("softplus", record("neg", x))),
    "ndtr": _normal_cdf,
    "entr": lambda x: where(
        test("less", x, 0), -math.inf, record("neg", record("xlogy", x, x))
    ),
    "rel_entr": _rel_entr,
    "kl_div": lambda x, y: add(sub(_rel_entr(x, y), x), y),
    "huber": _huber,
    "pseudo_huber": _pseudo_huber,
    "betaln": _betaln,
    "xlog1py": _xlog1py,
}

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
    raise unsupported(name, _known_methods(method))


def _called(ufunc: Any, inputs: Any) -> Any:
    name = ufunc.__name__
    inputs = tuple(map(operand, inputs))
    run = COMPOSED.get(name)
    if run is not None:
        return run(*inputs)
    row = row_of(ufunc)
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
    return f"there are {known}" if known else "there are reduce, accumulate and outer"
