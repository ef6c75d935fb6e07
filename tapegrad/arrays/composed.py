"""Ufuncs that are no row of the table, composed of rows. Floor 7."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.arrays.lift import (
    add,
    div,
    dtype_of,
    mul,
    real,
    record,
    sub,
    test,
    where,
)
from tapegrad.arrays.movement import copy
from tapegrad.arrays.products import matmul, matvec, vecdot, vecmat
from tapegrad.arrays.registry import unsupported
from tapegrad.operations import power
from tapegrad.value import Value


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
    if of_integers(a, b):
        return record("floor_divide", *map(_whole, (a, b)))
    whole = record("round", div(sub(a, record("mod", a, b)), b))
    return where(test("equal", b, 0), record("floor", div(a, b)), whole)


def of_integers(*xs: Any) -> bool:
    """Whether the operands are ints, of which one belongs to a recording."""
    values = any(isinstance(x, Value) and dtype_of(x).kind == "i" for x in xs)
    return values and all(type(x) is int or dtype_of(x).kind == "i" for x in xs)


def _whole(x: Any) -> Any:
    """A Python int as one of NumPy's, which does not become a float."""
    return np.int64(x) if type(x) is int else x


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
