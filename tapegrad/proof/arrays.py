"""Checks of rows of whole arrays, for the report. Floor 10.

    value       against 50 digits
    push        <bar, push(dot)>  against  d/dh <bar, f(x + h dot)>  at 50 digits
    pull        <pull(bar), dot>  against the same
    recorded    the pull as a tape, replayed
    order 2     that tape's tangent against differences of the pull at 50 digits
    float32     value and pull, in dtype and within single precision

A figure is an error in units of the last place of the terms that are added up.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.proof.report import Row
from tapegrad.proof.wholes import (
    Case,
    Judge,
    avals,
    cases,
    pull_tape,
    pulled,
    pushed,
    rounded,
    signs,
    values,
)
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import Primitive

# What rounding may make of a result, in ulps of the terms that were added. Samples are
# well conditioned; a wrong rule is off by 1e15.
LIMIT = 200.0

DOUBLE, SINGLE = 2.0**-52, 2.0**-23


def checks(row: Primitive) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """The checks of a row, by name: each gives its rows of the report."""
    names = ["value"] if row.kind == "discrete" else list(CHECKS)
    for name in names:
        yield name, functools.partial(_judged, row, name)


def _judged(row: Primitive, name: str) -> list[Row]:
    """One check at all samples."""
    given = cases(row)
    if not given:
        return [Row(row.name, name, "unproved", detail="the row names no samples")]
    worst, detail = 0.0, ""
    for case in given:
        with np.errstate(all="ignore"):
            figure = CHECKS[name](case)
        if figure > worst:
            worst, detail = figure, _where(case)
    status = "held" if worst <= LIMIT else "refuted"
    return [Row(row.name, name, status, len(given), worst, LIMIT, detail=detail)]


def _where(case: Case) -> str:
    shapes = ", ".join(str(np.shape(x)) for x in case.xs)
    said = ", ".join(f"{name}={value}" for name, value in case.params.items())
    return f"shapes {shapes}" + (f", {said}" if said else "")


def _error(found: Any, exact: Any, scale: float, unit: float) -> float:
    """The largest distance in units, of a common scale."""
    found, exact = np.asarray(found, float), np.asarray(exact, float)
    if found.shape != exact.shape:
        return math.inf
    if not exact.size:
        return 0.0
    away = np.abs(found - exact)
    if not np.all(np.isfinite(away)):
        return math.inf
    worst = float(np.max(away))
    return worst / (scale * unit) if scale else 0.0 if worst == 0 else math.inf


def _inner(xs: Sequence[Any], ys: Sequence[Any]) -> tuple[float, float]:
    """The sum of all products of entries, and of their sizes."""
    products = [np.ravel(np.asarray(x) * y) for x, y in zip(xs, ys, strict=True)]
    flat = np.concatenate(products) if products else np.zeros(0)
    return math.fsum(flat), math.fsum(np.abs(flat))


def _worst(
    found: Sequence[Any], exact: Sequence[Any], unit: float, scale: float = 0.0
) -> float:
    """The largest distance of several arrays, each in units of its largest entry."""
    return max(
        _error(a, b, max(scale, _top(b)), unit)
        for a, b in zip(found, exact, strict=True)
    )


def _top(x: Any) -> float:
    return float(np.max(np.abs(np.asarray(x, float)), initial=0.0))


def _value(case: Case) -> float:
    exact = [rounded(y) for y in Judge(case).values()]
    found = list(values(MIXED, case, case.xs))
    if [(np.shape(y), MIXED.dtype(y)) for y in found] != avals(case):
        return math.inf
    if case.row.slots > 1:
        found[1] = found[1] * signs(found, exact)
    return _worst(found, exact, DOUBLE)


def _slopes(case: Case) -> list[Any]:
    """The exact tangents, of eigenvectors with the signs that NumPy's have."""
    judge = Judge(case)
    slopes = [rounded(slope) for slope in judge.slopes()]
    if case.row.slots > 1:
        exact = [rounded(y) for y in judge.values()]
        slopes[1] = slopes[1] * signs(values(MIXED, case, case.xs), exact)
    return slopes


def _push(case: Case) -> float:
    exact = _slopes(case)
    found = pushed(MIXED, case, case.xs, case.dots)
    total, sizes = _inner(case.bars, exact)
    inner, more = _inner(case.bars, found)
    return _error(inner, total, max(sizes, more), DOUBLE)


def _pull(case: Case) -> float:
    total, sizes = _inner(case.bars, _slopes(case))
    found = pulled(MIXED, case, case.xs, case.bars)
    for part, i in zip(found, case.free, strict=True):
        if np.shape(part) != np.shape(case.xs[i]):
            return math.inf
    inner, more = _inner(found, [case.dots[i] for i in case.free])
    return _error(inner, total, max(sizes, more), DOUBLE)


def _recorded(case: Case) -> float:
    tape = pull_tape(case)
    slots = sweeps.replay(tape, MIXED, [case.xs[i] for i in case.free])
    found = [slots[i] for i in tape.outputs]
    return _worst(found, pulled(MIXED, case, case.xs, case.bars), DOUBLE)


def _order_2(case: Case) -> float:
    judge = Judge(case)
    if case.row.slots > 1:  # for eigenvectors of the signs that NumPy's have
        exact = [rounded(y) for y in judge.values()]
        turned = case.bars[1] * signs(values(MIXED, case, case.xs), exact)
        judge.bars[1] = judge.m.number(turned)
    curvature = [rounded(part) for part in judge.curvature()]
    tape = pull_tape(case)
    slots = sweeps.replay(tape, MIXED, [case.xs[i] for i in case.free])
    seeds = {slot: case.dots[i] for slot, i in zip(tape.inputs, case.free, strict=True)}
    dots = sweeps.tangent(tape, MIXED, slots, seeds)
    found = [
        np.zeros(np.shape(slots[i])) if dots[i] is None else dots[i]
        for i in tape.outputs
    ]
    scale = max(_top(slots[i]) for i in tape.outputs)
    return _worst(found, curvature, DOUBLE, scale)


def _float32(case: Case) -> float:
    if case.row.name == "astype":  # another dtype is what it is for
        return 0.0
    xs, bars = list(map(_single, case.xs)), list(map(_single, case.bars))
    found, parts = list(values(MIXED, case, xs)), pulled(MIXED, case, xs, bars)
    if any(np.asarray(x).dtype != np.float32 for x in (*found, *parts)):
        return math.inf
    wide, wide_bars = list(map(_double, xs)), list(map(_double, bars))
    exact = values(MIXED, case, wide)
    if case.row.slots > 1:
        turn = signs(found, exact)
        found[1], wide_bars[1] = found[1] * turn, wide_bars[1] * turn
    wanted = pulled(MIXED, case, wide, wide_bars)
    return max(_worst(found, exact, SINGLE), _worst(parts, wanted, SINGLE))


def _single(x: Any) -> Any:
    kind = np.asarray(x)
    return kind.astype(np.float32)[()] if kind.dtype.kind == "f" else x


def _double(x: Any) -> Any:
    kind = np.asarray(x)
    return kind.astype(np.float64)[()] if kind.dtype == np.float32 else x


CHECKS: Mapping[str, Callable[[Case], float]] = {
    "value": _value,
    "push": _push,
    "pull": _pull,
    "recorded": _recorded,
    "order 2": _order_2,
    "float32": _float32,
}
