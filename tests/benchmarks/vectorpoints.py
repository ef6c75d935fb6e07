"""Operands that functions of vectors are judged at, and exact values there.

For the tests of them and for the table of their accuracy.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

from tapegrad.native.engine import MEMORY, Engine, Outside

Column = np.ndarray[Any, np.dtype[np.float64]]

LOOP = """
define i32 @kernel(ptr noalias %x, ptr noalias %y, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %from = getelementptr double, ptr %x, i64 %i
  %value = load double, ptr %from
  %found = call double @{name}(double %value)
  %to = getelementptr double, ptr %y, i64 %i
  store double %found, ptr %to
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %exit
exit:
  ret i32 0
}}
"""
LOOP_OF_TWO = (
    LOOP.replace("%x, ptr", "%x, ptr noalias %z, ptr")
    .replace(
        "  %found",
        "  %beside = getelementptr double, ptr %z, i64 %i\n"
        "  %other = load double, ptr %beside\n  %found",
    )
    .replace("double %value)", "double %value, double %other)")
)
# operands that are usual, two of pow
USUAL = {
    "log": (0.01, 100.0),
    "log2": (0.01, 100.0),
    "log10": (0.01, 100.0),
    "log1p": (-0.9, 10.0),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "pow": (0.5, 3.0),
}
RANGES = {
    "exp": (-745.1, 709.7),
    "exp2": (-1074.9, 1023.9),
    "sinh": (-710.4, 710.4),
    "cosh": (-710.4, 710.4),
    "asin": (-1.0, 1.0),
    "acos": (-1.0, 1.0),
    "expm1": (-745.1, 709.7),
    "erf": (-6.5, 6.5),
    "erfc": (-7.0, 27.2),
    "gaussian": (-27.2, 27.2),
    "sin": (-2e5, 2e5),
    "cos": (-2e5, 2e5),
    "tan": (-2e5, 2e5),
}
TURNS = ("sin", "cos", "tan")


def exact_value(row: str, x: Any, *others: Any) -> Any:
    """The function, to the digits that mpmath works with."""
    if row == "gaussian":
        return 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-x * x)
    if row.startswith("pow"):
        return x ** (others[0] if others else int(row.split()[1]))
    if row == "exp2":
        return mpmath.mpf(2) ** x
    if row == "log1p":
        return mpmath.log(1 + x) if abs(x) > 1e-20 else x - x * x / 2
    if row == "log2":
        return mpmath.log(x) / mpmath.log(2)
    if row == "round":
        return mpmath.nint(x)
    if row == "trunc":
        return mpmath.sign(x) * mpmath.floor(abs(x))
    if row == "copysign":
        return abs(x) * (-1 if math.copysign(1.0, others[0]) < 0 else 1)
    return getattr(mpmath, row)(x, *others)


def points(row: str, count: int) -> Any:
    """Operands of all sizes, and more where results are moderate or cancel."""
    rng = np.random.default_rng(5)
    if row == "pow":  # results of all sizes, and bases near 1
        near = 1.0 + rng.standard_normal(count) * 10.0 ** rng.integers(-14, -1, count)
        near[near == 1.0] = 1.5
        x = np.concatenate([2.0 ** rng.uniform(-1074, 1023.9, count), near])
        y = rng.uniform(-744.0, 709.7, 2 * count) / np.log(x)
        usual = rng.uniform(0.01, 20.0, count), rng.uniform(-8.0, 8.0, count)
        return np.concatenate([x, usual[0]]), np.concatenate([y, usual[1]])
    if row in {"atan2", "hypot", "copysign"}:  # also of all sizes, and one much larger
        sizes = 2.0 ** rng.uniform(-1074.0, 1022.0, (2, count))
        usual = rng.standard_normal((2, 2 * count))
        usual[1, count:] = usual[0, count:] * 2.0 ** rng.uniform(-60.0, 60.0, count)
        x, y = np.concatenate([sizes, usual], axis=1)
        return x * rng.choice([-1.0, 1.0], x.size), y * rng.choice([-1.0, 1.0], x.size)
    wide = RANGES.get(row, (-22.0, 22.0))
    if row in {"log", "log2", "log10"}:
        near = 1.0 + rng.standard_normal(count) * 10.0 ** rng.integers(-15, 0, count)
        spread = 2.0 ** rng.uniform(-1074, 1023.9, count)
        return np.abs(np.concatenate([near, spread, rng.uniform(0.5, 2.0, count)]))
    if row == "log1p":
        near = rng.standard_normal(count) * 10.0 ** rng.integers(-18, 0, count)
        below = 2.0 ** rng.uniform(-53.0, 0.0, count) - 1.0
        spread = 2.0 ** rng.uniform(-1074.0, 1023.9, count)
        return np.concatenate([near, below, spread, rng.uniform(-0.99, 9.0, count)])
    parts = [
        rng.uniform(*wide, count),
        rng.uniform(-1.0, 1.0, count),
        rng.uniform(-1.0, 1.0, count) * 10.0 ** rng.integers(-18, 1, count),
        rng.standard_normal(50) * 5e-324 * 2.0 ** rng.integers(0, 60, 50),
    ]
    if row == "atan":
        parts.append(2.0 ** rng.uniform(-1074.0, 1023.9, count))
    if row in TURNS:  # also beside multiples of pi/2, and of all sizes
        parts.append(rng.integers(-65000, 65000, count) * (np.pi / 2))
        parts.append(2.0 ** rng.uniform(0.0, 1023.9, count))
    return np.concatenate(parts)


def columns(row: str, count: int) -> list[Column]:
    """Arrays of operands."""
    xs = points(row, count)
    return list(xs) if isinstance(xs, tuple) else [xs]


def exact_values(row: str, xs: Sequence[Column]) -> list[tuple[Any, float]]:
    """The exact values, and a unit in the last place of each as a double."""
    with mpmath.workdps(50):
        found = [
            exact_value(row, *map(mpmath.mpf, x))
            for x in zip(*[x.tolist() for x in xs], strict=True)
        ]
    return [(exact, math.ulp(float(exact))) for exact in found]


def distances(found: Column, exact: Sequence[tuple[Any, float]]) -> list[float]:
    """How far numbers are from exact values, in ulps."""
    with mpmath.workdps(50):
        return [
            float(abs(mpmath.mpf(y) - value) / ulp)
            for y, (value, ulp) in zip(found.tolist(), exact, strict=True)
        ]


def errors_of(row: str, found: Column, xs: Sequence[Column]) -> list[float]:
    """Distances from the exact values, in ulps."""
    return distances(found, exact_values(row, xs))


def looped(
    text: str, name: str, calls: Sequence[Outside], arity: int, level: int = 2
) -> Callable[..., Column]:
    """A loop over arrays that calls a function of LLVM text at each entry."""
    loop = (LOOP if arity == 1 else LOOP_OF_TWO).format(name=name)
    engine = Engine(text + loop, (*MEMORY, *calls), codegen=level, passes=level)
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64
    )
    kernel = kind(engine.address("kernel"))

    def run(*xs: Any, out: Column | None = None) -> Column:
        columns = [np.ascontiguousarray(x, float) for x in xs]
        y = np.empty_like(columns[0]) if out is None else out
        places = [a.ctypes.data for a in (*columns, y)]
        if kernel(*places, y.size):
            raise ArithmeticError(name)
        return y

    run.engine = engine  # type: ignore[attr-defined] # it keeps the code
    return run
