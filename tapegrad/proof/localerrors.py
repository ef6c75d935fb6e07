"""Roundings of single steps: local errors with many digits, bounds, cancellations.

Floor 10. A number that rounds stands here as the `Big` that it exactly is, so that
differences and products are those of the numbers themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.binding import arithmetic_of
from tapegrad.proof.roundingreport import Cancellation, LineError, StepError
from tapegrad.rules import Primitive
from tapegrad.rules.movement import MOVING
from tapegrad.tape.lines import text_of
from tapegrad.tape.tape import Step, Tape

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24}
# Below this, results are rounded to multiples of the smallest subnormal number.
TINY = {"float64": 2.0**-1075, "float32": 2.0**-150}
# Results that are entries of their operands, or conditions: nothing is rounded.
EXACT = MOVING.union(
    ("amax", "amin", "neg", "abs", "relu", "max", "min", "clip", "where", "sign"),
    ("copysign", "floor", "ceil", "trunc", "round", "stop_gradient"),
)
# Rounded correctly: off by u at most, and not by a unit in the last place.
CORRECT = frozenset(
    ("add", "sub", "mul", "div", "sqrt", "square", "reciprocal", "astype", "const")
)
SUMS = frozenset(("sum", "mean", "cumsum", "matmul", "einsum", "scatter_add"))
# Digits that a cancellation loses before it is worth a word.
WORTH = 3.0


class Bounds:
    """What the steps of a tape could lose at most, and where digits go.

    Args:
        base: a flat tape.
        values: of its slots, in the arithmetic that rounds.
        single: that is float32, whatever the tape was recorded with.
    """

    def __init__(self, base: Tape, values: Sequence[Any], *, single: bool) -> None:
        self.base = base
        self.values = values
        self.single = single

    def kind(self, slot: int) -> str:
        """The float that a slot is rounded to."""
        return "float32" if self.single else self.base.aval_of(slot)[1]

    def apriori(self, step: Step, slot: int, bar: Any) -> float:
        """What rounding to nearest can do at most: u |v|, for sums u n of the terms."""
        row = step.primitive
        kind = self.kind(slot)
        if row.name in {"input", "const"} and not self.single:
            return 0.0
        values = np.abs(np.asarray(self.values[slot], float))
        units = 1.0 if row.name in CORRECT else 2.0
        if row.name in SUMS:
            units, values = self._terms(row, step, values)
        tiny = np.where(values < TINY[kind] / UNIT[kind], TINY[kind], 0.0)
        allowed = np.ravel(units * UNIT[kind] * values + tiny)
        most_of_all = 0.0
        for b, most in zip(bar.flat, allowed.tolist(), strict=True):
            share = abs(float(b)) * most
            most_of_all += math.inf if math.isnan(share) else share
        return most_of_all

    def _terms(self, row: Primitive, step: Step, values: Any) -> tuple[float, Any]:
        """How many terms a sum has, and the sum of their sizes."""
        m = arithmetic_of(self.base, "float64")
        xs = [self.values[slot] for slot in step.operands]
        sizes = [np.abs(x) if getattr(x, "dtype", None) != np.int64 else x for x in xs]
        sums = np.asarray(getattr(m, row.name)(*sizes, **step.params), float)
        terms = math.prod(np.size(x) for x in xs[:2]) / max(values.size, 1)
        if row.name in {"matmul", "einsum"}:  # n m of each operand, n^2 results
            terms = math.sqrt(max(terms, 1.0))
        return max(terms, 2.0), sums

    def cancellations(self, bars: Sequence[Any], size: float) -> Iterator[Cancellation]:
        """Sums whose operands' relative errors come out larger, the worst first."""
        found: list[tuple[float, Step]] = []
        for step in self.base:
            slot = step.slots.start if step.slots else 0
            name = step.primitive.name
            if name not in {"add", "sub", "sum"} or bars[slot] is None:
                continue
            bar = np.asarray(floats(bars[slot]))
            y = np.abs(np.asarray(self.values[slot], float))
            xs = [np.abs(np.asarray(self.values[i], float)) for i in step.operands]
            if name == "sum":
                large = self._terms(step.primitive, step, y)[1]
            else:
                large = np.maximum(*xs)
            grows = np.where(large > y, np.abs(bar) * large / (size or 5e-324), 0.0)
            most = float(np.max(grows, initial=0.0))
            if most > 10**WORTH:
                found.append((math.log10(most), step))
        found.sort(key=lambda pair: -pair[0])
        for digits, step in found[:10]:
            file, line = self.base.line_of(step.slots.start) or ("", 0)
            yield Cancellation(step.number, step.sign, file, line, digits)


def entries(x: Any) -> Any:
    """Numbers as an object array, of shape () for one."""
    if isinstance(x, np.ndarray):
        return x
    box = np.empty((), object)
    box[()] = x
    return box


def floats(x: Any) -> Any:
    """Numbers of many digits as an array of floats."""
    return np.asarray(np.frompyfunc(float, 1, 1)(entries(x)), float)


def alike(computed: Any, exact: Any) -> bool:
    """Whether two numbers are equal; NaN is NaN."""
    a, b = computed.value, exact.value
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124 - NaN


def less(computed: Any, exact: Any) -> float:
    """Computed less exact; 0 of equal infinities, and of two NaN."""
    if alike(computed, exact):
        return 0.0
    found = float(computed.value - exact.value)
    return math.inf if math.isnan(found) else found


def product(bar: Any, computed: Any, exact: Any) -> float:
    """Adjoint times local error, with many digits.

    An infinity that the exact step does not have spoils the result, whatever the
    adjoint there may be: of log(inf) it is 0.
    """
    off = computed.value - exact.value
    found = float(bar.value * off)
    return math.inf * (-1 if off < 0 else 1) if math.isnan(found) else found


def total(numbers: Iterable[float]) -> float:
    """The sum; of infinities of both signs NaN."""
    found = list(numbers)
    if all(map(math.isfinite, found)):
        return math.fsum(found)
    return sum(found)


def by_line(steps: Sequence[StepError]) -> tuple[LineError, ...]:
    """Steps of one line together, the worst first."""
    groups: dict[tuple[str, int], list[StepError]] = {}
    for step in steps:
        if step.line and (step.bound or step.apriori):
            groups.setdefault((step.file, step.line), []).append(step)
    lines = [
        LineError(
            *place,
            text_of(place),
            len(mine),
            total(step.estimate for step in mine),
            total(step.bound for step in mine),
            total(step.apriori for step in mine),
        )
        for place, mine in groups.items()
    ]
    lines.sort(key=lambda x: (-x.bound, -x.apriori, x.file, x.line))
    return tuple(lines)
