"""The tiers against the judge and each other, and every row's edges in each. Floor 10.

    floats      plain floats, the reference interpreter, reverse mode
    forward     the same, forward mode
    NumPy       the bulk reading
    recorded    the adjoint tape, replayed with floats
    mpmath      50 digits, rounded at the end
    eager       a Value and its backward
    native      machine code for the step and its sweep
    arrays      whole arrays in each of these ways, and in float32 (see `entries`)

NaN equals NaN. The sign of a zero does not count.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.eager import backward
from tapegrad.proof.accuracy import (
    LIMIT,
    Found,
    Sample,
    Worst,
    compared,
    evaluate,
    samples,
)
from tapegrad.proof.entries import entries, ways
from tapegrad.proof.onestep import one_step, partials_tape, reading_for
from tapegrad.proof.oracle import SINGLE, slack_of, ulps
from tapegrad.proof.points import Point
from tapegrad.proof.report import Row
from tapegrad.readings import NUMPY, SCALAR, reading
from tapegrad.rules import Edge, Primitive
from tapegrad.value import Value

Part = tuple[str, Callable[[], Iterable[Row]]]
Tier = Callable[[Mapping[str, Any], Point], Found]
MPMATH = "mpmath:50"
# Tiers that are slow see this many of the points, evenly chosen.
SOME = 1000


class Tiers:
    """Each tier as a function of static parameters and a point.

    Args:
        row: the row; of one that stands for another of its name eager code knows
            nothing, and machine code the partials alone.
    """

    def __init__(self, row: Primitive) -> None:
        self.row = row
        self._tapes: dict[Any, Any] = {}
        self.by_name: dict[str, Tier] = {
            "floats": self.reverse,
            "forward": self.forward,
            "NumPy": lambda params, point: evaluate(NUMPY, row, params, point),
            "recorded": self.recorded,
            "mpmath": self.mpmath,
        }
        if reading_for(SCALAR, row) is SCALAR:
            self.by_name["eager"] = self.eager
            self.by_name["native"] = self.native
        else:
            self.by_name["native"] = self.native_partials

    def _tape(self, kind: str, params: Mapping[str, Any], point: Point) -> Any:
        """Tapes and native code of a step, made once."""
        fixed = tuple(x if isinstance(x, bool) else None for x in point)
        key = (kind, repr(sorted(params.items())), fixed)
        if key not in self._tapes:
            if kind == "step":
                made: Any = one_step(self.row, params, point)
            elif kind == "partials":
                made = partials_tape(self._tape("step", params, point), self.row)
            elif kind == "native partials":
                made = self._tape("partials", params, point).compile()
            else:
                made = self._tape("step", params, point).compile()
            self._tapes[key] = made
        return self._tapes[key]

    def reverse(self, params: Mapping[str, Any], point: Point) -> Found:
        """The reverse sweep of a one-step tape."""
        return self._swept(SCALAR, params, point)

    def mpmath(self, params: Mapping[str, Any], point: Point) -> Found:
        """The reverse sweep at 50 digits."""
        return self._swept(reading(MPMATH), params, point)

    def _swept(self, kind: Any, params: Mapping[str, Any], point: Point) -> Found:
        tape, m = self._tape("step", params, point), reading_for(kind, self.row)
        free = _free(point)
        with np.errstate(all="ignore"):
            slots = sweeps.replay(tape, m, [m.number(point[i]) for i in free])
            out = tape.outputs[0]
            bars = sweeps.adjoint(tape, m, slots, {out: m.number(1.0)})
        found = [bars[slot] for slot in tape.inputs]
        return float(slots[out]), _numbered(free, found)

    def forward(self, params: Mapping[str, Any], point: Point) -> Found:
        """A forward sweep an operand."""
        tape, m = self._tape("step", params, point), reading_for(SCALAR, self.row)
        free = _free(point)
        out = tape.outputs[0]
        with np.errstate(all="ignore"):
            slots = sweeps.replay(tape, m, [m.number(point[i]) for i in free])
            dots = [
                sweeps.tangent(tape, m, slots, {slot: m.number(1.0)})[out]
                for slot in tape.inputs
            ]
        return float(slots[out]), _numbered(free, dots)

    def recorded(self, params: Mapping[str, Any], point: Point) -> Found:
        """The adjoint tape, replayed."""
        tape = self._tape("partials", params, point)
        m = reading_for(SCALAR, self.row)
        free = _free(point)
        with np.errstate(all="ignore"):
            slots = sweeps.replay(tape, m, [float(point[i]) for i in free])
        value, _ = evaluate(SCALAR, self.row, params, point)
        return value, _numbered(free, [slots[slot] for slot in tape.outputs])

    def native(self, params: Mapping[str, Any], point: Point) -> Found:
        """Machine code for value and gradient."""
        compiled = self._tape("native", params, point)
        free = _free(point)
        value, gradient = compiled.value_and_gradient(*[float(point[i]) for i in free])
        found = gradient if len(free) > 1 else [gradient]
        return float(value), _numbered(free, found)

    def native_partials(self, params: Mapping[str, Any], point: Point) -> Found:
        """Machine code for the recorded partials; the value is the interpreter's."""
        compiled = self._tape("native partials", params, point)
        free = _free(point)
        found = compiled(*[float(point[i]) for i in free])
        value, _ = evaluate(SCALAR, self.row, params, point)
        return value, _numbered(free, found)

    def eager(self, params: Mapping[str, Any], point: Point) -> Found:
        """Values, and the backward of the result."""
        free = _free(point)
        leaves = {i: Value(float(point[i])) for i in free}
        y = apply(self.row, *(leaves.get(i, x) for i, x in enumerate(point)), **params)
        backward(y)
        return float(y.data), _numbered(free, [leaf.grad for leaf in leaves.values()])


def _free(point: Point) -> list[int]:
    return [place for place, x in enumerate(point) if not isinstance(x, bool)]


def _numbered(places: Sequence[int], found: Sequence[Any]) -> dict[int, float]:
    return {
        place: 0.0 if x is None else float(x)
        for place, x in zip(places, found, strict=True)
    }


def tiers(row: Primitive, judged: Sequence[Sample]) -> Iterator[Part]:
    """The tiers at the judged points, by name: each gives its rows of the report."""
    each = Tiers(row)
    some = judged[:: max(1, len(judged) // SOME)]
    yield "forward, recorded", functools.partial(_alike, row, each, some)
    yield "mpmath", functools.partial(_judged, row, "mpmath", each.mpmath, some)
    for name in ("eager", "native"):
        if name in each.by_name:
            tier = each.by_name[name]
            yield name, functools.partial(_judged, row, name, tier, judged)
    for name in ways(row):
        yield name, functools.partial(_entries, row, name, judged)


def _alike(row: Primitive, each: Tiers, some: Sequence[Sample]) -> Iterator[Row]:
    """One arithmetic, one rule: forward gives what reverse does."""
    reference = [each.reverse(s.params, s.point) for s in some]
    for name in ("forward", "recorded"):
        tier = each.by_name[name]
        worst = Worst()
        for sample, expected in zip(some, reference, strict=True):
            found = tier(sample.params, sample.point)
            for place, p in expected[1].items():
                u = distance(found[1][place], p, expected[0])
                worst.see(u, sample, f"d/dx{place + 1}")
        exact = name == "forward"
        yield worst.row(row, f"{name} against reverse", 0.0 if exact else LIMIT)


def _judged(
    row: Primitive, name: str, tier: Tier, judged: Sequence[Sample]
) -> Iterator[Row]:
    yield from compared(row, name, judged, [tier(s.params, s.point) for s in judged])


def _entries(row: Primitive, name: str, judged: Sequence[Sample]) -> Iterator[Row]:
    yield from compared(row, name, judged, entries(name, row, judged))


def single(row: Primitive, points: int) -> Iterator[Row]:
    """Rows of what float32 gives, interpreted and in native code."""
    judged = samples(row, points, SINGLE)
    for name in ("arrays", "native arrays"):
        found = entries(name, row, judged, "float32")
        yield from compared(row, f"float32 {name}", judged, found)


def distance(a: float, b: float, y: float = 1.0) -> float:
    """How far one float is from another, in ulps of the second; NaN equals NaN."""
    exact = None if math.isnan(b) else b
    return ulps(a, exact, slack_of(y, exact))


def edges(row: Primitive) -> Iterator[Row]:
    """The row's edges, value and partials, in every tier."""
    each = Tiers(row)
    failures, count = [], 0
    at: tuple[float, ...] | None = None
    for edge in row.edges:
        for name, tier in each.by_name.items():
            count += 1
            problem = _at_edge(tier, edge)
            if problem:
                failures.append(f"{name}: {problem}")
                at = at or edge.at
    if count:
        status = "refuted" if failures else "held"
        detail = "; ".join(failures[:3])
        yield Row(row.name, "edges", status, count, at=at, detail=detail)


def _at_edge(tier: Tier, edge: Edge) -> str:
    y, partials = tier(edge.params, edge.at)
    if edge.value is not None and not _near(y, edge.value, edge.relative):
        return f"the value is {y!r}, expected {edge.value!r}"
    for place, p in partials.items():
        if not _near(p, edge.partials[place], edge.relative):
            return f"d/dx{place + 1} is {p!r}, expected {edge.partials[place]!r}"
    return ""


def _near(found: float, expected: float, relative: float) -> bool:
    if math.isnan(expected) or math.isinf(expected) or not relative:
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return math.isclose(found, expected, rel_tol=relative, abs_tol=0.0)
