"""Derivatives of orders 2 and 3 against the judge, in scaled ulps. Floor 10.

They come by differentiating rule texts, so digits may cancel where the derivative is
near a zero. The error is scaled by how sensitive the derivative is to its operands:

    |found - f^(k)(x)|  /  (ulp(f^(k)(x)) + 2^-52 sum_i |x_i d/dx_i f^(k)(x)|)

A figure of 1 is what rounding the operands once would make of it (mixed forward and
backward error; Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.,
section 1.5). A user's row has no helper rows for its terms: there the denominator has
the terms, too, 2^-52 sum |v_i d/dv_i| over the steps of the derivative's tape.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.proof.accuracy import Sample, Worst, evaluate
from tapegrad.proof.onestep import one_step, partials_tape, reading_for
from tapegrad.proof.oracle import DOUBLE, Judge, contexts, symbols_of, ulps
from tapegrad.proof.points import Point, spread
from tapegrad.proof.report import Row
from tapegrad.proof.symbolic import closed_form
from tapegrad.readings import SCALAR
from tapegrad.rules import Primitive
from tapegrad.tape import Tape

ORDERS = (2, 3)
# What is gated: the worst over the table is measured at this and less.
LIMITS = {2: 6.0, 3: 10.0}
# Operands, by their size: beyond, powers of them leave the floats. Nor are points
# judged where the value or a first partial overflows, or is subnormal.
BETWEEN = {2: (1e-50, 1e50), 3: (1e-30, 1e30)}

Places = tuple[int, ...]


class Higher:
    """All derivatives of one order of a row, as tapes and as judges.

    Args:
        row: the row.
        params: static parameters.
        point: any point; its bools are conditions, and kept.
        order: of the derivatives.
    """

    def __init__(
        self, row: Primitive, params: Mapping[str, Any], point: Point, order: int
    ) -> None:
        self.row = row
        self.free = [i for i, x in enumerate(point) if not isinstance(x, bool)]
        self.tapes = _tapes(row, params, point, self.free, order)
        names, operands, exact = symbols_of(params, point)
        self.judges: dict[Places, tuple[Judge, list[Judge]]] = {}
        for by in itertools.combinations_with_replacement(self.free, order):
            more = [
                Judge(names, closed_form(row, exact, operands, (*by, i)))
                for i in self.free
            ]
            self.judges[by] = Judge(names, closed_form(row, exact, operands, by)), more

    def found(self, point: Point) -> dict[Places, tuple[float, float]]:
        """What floats give at a point, by the tapes, and what their terms allow."""
        m = reading_for(SCALAR, self.row)
        inputs = [float(point[i]) for i in self.free]
        found = {}
        with np.errstate(all="ignore"):
            for tape, paths in self.tapes:
                slots = sweeps.replay(tape, m, inputs)
                for slot, path in zip(tape.outputs, paths, strict=True):
                    terms = _terms(tape, m, slots, slot) if self.row.digest else 0.0
                    found[path] = float(slots[slot]), terms
        return found

    def figures(self, point: Point) -> Iterator[tuple[Places, float]]:
        """The scaled error of each derivative at a point; each order of operands."""
        found = self.found(point)
        for by, (judge, more) in self.judges.items():
            exact = judge(point)
            if exact is None:
                continue
            size = _size(point, [(i, more[k]) for k, i in enumerate(self.free)])
            for path in set(itertools.permutations(by)):
                y, terms = found[path]
                yield path, ulps(y, exact, size + terms)


def _size(point: Point, judges: Sequence[tuple[int, Judge]]) -> Any:
    """What a relative change of 2^-52 of each operand makes of a derivative."""
    ctx = contexts()[0]
    total = ctx.mpf(0)
    for place, judge in judges:
        slope = judge.roughly(point)
        if slope is not None and ctx.isfinite(slope):
            total += abs(slope * ctx.mpf(point[place]))
    return ctx.ldexp(total, -52)


def _terms(tape: Tape, m: Any, slots: Sequence[Any], output: int) -> float:
    """What one rounding of each step makes of an output, in all."""
    bars = sweeps.adjoint(tape, m, slots, {output: m.number(1.0)})
    total = 0.0
    for slot, (y, bar) in enumerate(zip(slots, bars, strict=True)):
        if bar is None or isinstance(y, bool) or slot in tape.inputs:
            continue
        share = abs(float(bar) * float(y))
        total += share if math.isfinite(share) else 0.0
    return math.ldexp(total, -52)


def _tapes(
    row: Primitive,
    params: Mapping[str, Any],
    point: Point,
    free: Sequence[int],
    order: int,
) -> list[tuple[Tape, list[Places]]]:
    """Tapes of derivatives, with the operands that led to each of their outputs."""
    level: list[tuple[Tape, list[Places]]] = [(one_step(row, params, point), [()])]
    for _ in range(order):
        level = [
            (partials_tape(tape, row, output), [(*path, place) for place in free])
            for tape, paths in level
            for output, path in enumerate(paths)
        ]
    return level


def higher(row: Primitive, points: int) -> Iterator[Row]:
    """Rows for orders 2 and 3.

    Args:
        row: the row.
        points: how many points, shared among its static parameters.
    """
    for order in ORDERS:
        worst = Worst()
        for seed, params in enumerate(row.params):
            made: dict[Any, Higher] = {}
            count = max(points // len(row.params), 10)
            for point in within(spread(row, 2 * count, seed), BETWEEN[order])[:count]:
                key = tuple(x if isinstance(x, bool) else None for x in point)
                y, partials = evaluate(SCALAR, row, params, point)
                if not all(map(_normal, (y, *partials.values()))):
                    continue
                if key not in made:
                    made[key] = Higher(row, params, point, order)
                sample = Sample(params, point, None, {})
                for path, figure in made[key].figures(point):
                    by = "".join(f" dx{place + 1}" for place in path)
                    worst.see(figure, sample, f"d{order}/{by.strip()}")
        yield worst.row(row, f"scaled, order {order}", LIMITS[order])


def _normal(y: float) -> bool:
    """Whether a number has all its digits, or is a plain 0."""
    return y == 0 or DOUBLE.normal <= abs(y) < math.inf


def within(points: Sequence[Point], between: tuple[float, float]) -> list[Point]:
    """The points whose operands are neither tiny nor huge."""
    low, high = between
    return [
        point
        for point in points
        if all(isinstance(x, bool) or low < abs(x) < high for x in point)
    ]
