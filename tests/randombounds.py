"""How far rounding may move a result: the errors of all steps, weighted by adjoints.

    |found - exact|  <=  C * sum over steps of |adjoint_i| * local error_i

(Griewank & Walther section 3.4; Higham, Accuracy and Stability, section 3.) The local
error of a step is what its row promises: half a unit of the last place for + - * / and
sqrt, 4 ulp for other functions, the operation count for sums and products, backward
stability for linear algebra. A step that is *locally right* agrees with 50 digits at
its own, rounded, operands; if all are, what is left is conditioning alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from randomwords import names

from tapegrad.passing import contributions, fit, partials_of
from tapegrad.readings import reading
from tapegrad.readings.mixed import MIXED

DIGITS = 50
BIG: Any = reading(f"mpmath:{DIGITS}")

# What the table promises of a function, in ulps; of a derivative that has a row: 8.
ULPS, ULPS_OF_HELPERS = 4.0, 8.0
# First order leaves out products of errors; tiers may group a partial otherwise.
MARGIN = 8.0
UNIT = {"float64": 2.0**-52, "float32": 2.0**-23}
TINY = {"float64": 2.0**-1070, "float32": 2.0**-145}

_ROUNDED_ONCE = frozenset(("add", "sub", "mul", "div", "sqrt", "square", "reciprocal"))
_FREE = names(
    "neg abs max min clip relu where stop_gradient sign copysign floor ceil trunc "
    "round amax amin fmod"
)
_WHOLE = frozenset(("floor", "ceil", "trunc", "round"))
_SUMS = frozenset({"sum", "mean", "cumsum", "scatter_add"})


def local_error(row: Any, y: Any, xs: Any, params: Any) -> Any:
    """What one step may be off by, entry by entry; None where nothing is promised."""
    dtype = MIXED.dtype(y)
    if dtype not in UNIT or row.name in _FREE:
        return 0.0
    u, size = UNIT[dtype], np.abs(y)
    count = 1 + max((np.size(x) for x in xs), default=1)
    tiny = TINY[dtype] * count
    if row.name in _ROUNDED_ONCE:
        return u * size + tiny
    if row.kind == "linear":
        if row.name in _SUMS:
            parts = [np.abs(x) if MIXED.dtype(x) in UNIT else x for x in xs]
            return count * u * np.abs(getattr(MIXED, row.name)(*parts, **params)) + tiny
        return u * size + tiny if row.name == "astype" else 0.0
    if row.kind == "multilinear":
        return (
            count * u * getattr(MIXED, row.name)(*map(np.abs, xs), **params)
            + count * tiny
        )
    top = max(float(np.max(np.abs(x), initial=0)) for x in xs)
    if row.kind == "reduction":
        return count * u * (size + (0 if row.name in {"prod", "norm"} else top)) + tiny
    if row.whole:
        return count * u * (1 + (top if row.name == "softmax" else 0)) * size + tiny
    ulps = ULPS_OF_HELPERS if row.helper else ULPS
    if row.cancels or row.name == "mod":
        for x, p in zip(xs, partials_of(MIXED, row, y, xs, params), strict=True):
            size = size + np.abs(x) * np.abs(p)
    return ulps * u * size + tiny


class Bound:
    """The bounds of a flat tape at given slot values.

    Args:
        tape: a flat tape.
        slots: float values of its slots.
    """

    def __init__(self, tape: Any, slots: Any) -> None:
        self.tape, self.slots = tape, slots
        self.steps = [
            step for step in tape if step.operands and step.primitive.name != "guard"
        ]
        self.sources = [step for step in tape if not step.operands]
        # of the sum asked for last: what rounding inputs and constants adds
        self.given = 0.0
        self.errors = []
        for step in self.steps:
            xs = [slots[i] for i in step.operands]
            y = slots[step.slots.start]
            with np.errstate(all="ignore"):
                self.errors.append(local_error(step.primitive, y, xs, step.params))

    def of(self, seeds: dict[int, Any]) -> float:
        """The bound of a weighted sum of slots; NaN where there is none."""
        bars: dict[int, Any] = dict(seeds)
        total = 0.0
        with np.errstate(all="ignore"):
            for step, error in zip(
                reversed(self.steps), reversed(self.errors), strict=True
            ):
                mine = [bars.get(slot) for slot in step.slots]
                if all(bar is None for bar in mine):
                    continue
                total += self._step(step, error, mine, bars)
            self.given = sum(
                _weighed(bars[slot], UNIT["float64"] * np.abs(self.slots[slot]))
                for step in self.sources
                if (slot := step.slots.start) in bars
            )
        return total

    def _step(self, step: Any, error: Any, mine: Any, bars: Any) -> float:
        row, reads = step.primitive, step.operands
        xs = [self.slots[i] for i in reads]
        ys = [self.slots[i] for i in step.slots]
        y, bar = ys[0], mine[0]
        if row.slots > 1:
            full = [
                MIXED.like(0, v) if b is None else b
                for v, b in zip(ys, mine, strict=True)
            ]
            parts = row.pull(MIXED, tuple(full), tuple(ys), *xs, **step.params)
            total = sum(_weighed(b, np.max(error)) for b in full)
        else:
            total = _weighed(bar, error)
            parts = _passed(row, y, xs, bar, step.params)
        for slot, x, part in zip(reads, xs, parts, strict=True):
            if part is None:
                continue
            aval = self.tape.aval_of(slot)
            if aval[1] not in UNIT:
                continue
            share = fit(MIXED, part, aval)
            bars[slot] = bars[slot] + share if slot in bars else share
            if row.kind == "matrix" and row.name != "softmax":
                # backward stable: the exact answer of an operand moved by its size
                u = UNIT[aval[1]] * 4 * (1 + np.size(x))
                total += _weighed(share, u * np.max(np.abs(x), initial=0))
        return total


def _weighed(bar: Any, error: Any) -> float:
    both = np.abs(bar) * error
    return float(np.sum(np.where(np.asarray(bar) == 0, 0.0, both)))


def _passed(row: Any, y: Any, xs: Any, bar: Any, params: Any) -> list[Any]:
    """What an adjoint passes to the operands; a zero one passes nothing at all."""
    if row.kind in {"predicate", "discrete"}:
        return [None] * len(xs)
    if row.kind == "cut":  # an error goes through, a derivative does not
        return [bar]
    if row.name in _WHOLE:  # likewise, where every float is whole
        least = 1 / UNIT[MIXED.dtype(y)]
        return [np.where(np.abs(y) >= least, bar, 0.0)]
    if row.kind == "select":
        return [None, np.where(xs[0], bar, 0.0), np.where(xs[0], 0.0, bar)]
    if row.whole:
        wanted = [True] * len(xs)
        parts = contributions(MIXED, row, y, xs, bar, None, params, wanted)
        return [part for _, part, _ in parts]
    found = []
    for partial in partials_of(MIXED, row, y, xs, params):
        part = np.where(np.asarray(bar) == 0, 0.0, bar * np.asarray(partial))
        found.append(part)
    return found


# -- 50 digits -----------------------------------------------------------------------


def exact_entries(x: Any) -> list[Any]:
    """The entries of a value of many digits, as mpf or truth values."""
    flat = x.ravel().tolist() if isinstance(x, np.ndarray) else [x]
    return [getattr(entry, "value", entry) for entry in flat]


def distance(found: Any, exact: Any) -> float:
    """|found - exact| of floats and mpf: 0 for one NaN or infinity, inf for two."""
    found = float(found)
    if BIG.ctx.isnan(exact) or math.isnan(found):
        return 0.0 if BIG.ctx.isnan(exact) and math.isnan(found) else math.inf
    if math.isinf(found) or BIG.ctx.isinf(exact):
        return 0.0 if exact == found else math.inf
    return float(abs(BIG.ctx.mpf(found) - exact))


def negative_zero(x: Any) -> bool:
    """Whether an entry is -0.0, which mpmath does not have."""
    floats = np.asarray(x)
    return floats.dtype.kind == "f" and bool(np.any((floats == 0) & np.signbit(floats)))


def _finite(x: Any) -> bool:
    return bool(np.all(np.isfinite(x)))


def wrong_step(tape: Any, slots: Any) -> str:
    """The first step that is not locally right, in words; "" where all are."""
    for step in tape:
        row = step.primitive
        if not step.operands or row.name == "guard":
            continue
        xs = [slots[i] for i in step.operands]
        ys = [slots[i] for i in step.slots]
        if any(map(negative_zero, xs)) or not all(map(_finite, xs)):
            continue
        given = [BIG.number(np.asarray(x)[()] if np.ndim(x) else x) for x in xs]
        try:
            found = getattr(BIG, row.name)(*given, **step.params)
        except Exception as problem:  # noqa: BLE001 - said in words
            return f"{step.number} {row.name}: {type(problem).__name__}: {problem}"
        found = found if row.slots > 1 else (found,)
        slack = _slack(row, ys[0], xs, step.params)
        for y, exact in zip(ys, found, strict=True):
            if problem := _off(y, exact, slack, row):
                shown = ", ".join(map(repr, xs))
                return f"{step.number} {row.name}({shown}) = {y!r}: {problem}"
    return ""


def _slack(row: Any, y: Any, xs: Any, params: Any) -> float:
    """One bound for all entries, of rows where an error spreads."""
    with np.errstate(all="ignore"):
        error = local_error(row, y, xs, params)
    if row.kind != "matrix":
        return error
    # samples are well conditioned; a wrong rule is off by much more
    top = max(float(np.max(np.abs(x), initial=1)) for x in (y, *xs))
    return 1e6 * UNIT[MIXED.dtype(y)] * top


def _off(y: Any, exact: Any, slack: Any, row: Any) -> str:
    flat = np.ravel(y).tolist()
    slacks = np.broadcast_to(slack, np.shape(y)).ravel().tolist()
    for found, true, room in zip(flat, exact_entries(exact), slacks, strict=True):
        if isinstance(found, bool | int):
            if found != true:
                return f"exactly it is {true}"
            continue
        if row.name == "eigh":
            away = distance(abs(found), abs(true))
        else:
            away = distance(found, true)
        if math.isinf(found) and abs(true) > 1e308:
            continue
        if away > 2 * room:
            shown = BIG.ctx.nstr(true, 20)
            return f"exactly it is {shown}, off by {away:.3g}, {room:.3g} allowed"
    return ""
