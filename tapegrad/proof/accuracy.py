"""Floats against the judge: values and first partials in ulps. Floor 10.

The limit is 4 ulp for each partial, over points spread by exponent, subnormal and huge
ones included. Outside the domain a value that is NaN has partials that are NaN: a
formula such as 1/x leaks a number there.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad import passing
from tapegrad.proof.onestep import reading_for
from tapegrad.proof.oracle import (
    DOUBLE,
    SINGLE,
    Format,
    judges,
    sizes,
    slack_of,
    slack_of_terms,
    ulps,
)
from tapegrad.proof.points import Point, outside, spread
from tapegrad.proof.report import Row
from tapegrad.readings import NUMPY, SCALAR
from tapegrad.rules import Primitive

# What tiers may differ by among each other. Values and partials are held to the same,
# or to what the row says.
LIMIT = 4.0
# A partial of a helper row is a second derivative; the operands, by their size, between
# which it is judged: beyond, squares and cubes of them leave the floats.
BETWEEN = {DOUBLE: (1e-50, 1e50), SINGLE: (1e-7, 1e7)}

# A row with many static parameters shares its points among them, down to this many.
FEWEST = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """A point with the exact value and the exact partials there.

    Args:
        params: static parameters.
        point: the operands.
        value: exact value, None where there is no real one.
        partials: exact partials; a condition's is missing.
        slack: what is added to the unit of each partial, and at -1 of the value.
        form: what the floats that are judged have digits of.
    """

    params: Mapping[str, Any]
    point: Point
    value: Any
    partials: Mapping[int, Any]
    slack: Mapping[int, Any] = field(default_factory=dict)
    form: Format = DOUBLE


# Value and partials of a row at one point.
Found = tuple[float, Mapping[int, float]]


def samples(row: Primitive, points: int, form: Format = DOUBLE) -> list[Sample]:
    """Points of a row, judged.

    Args:
        row: the row.
        points: how many, shared among its static parameters.
        form: the floats that the points are.
    """
    found = []
    # an exponent that float32 cannot hold is another there
    chosen = [p for p in row.params if form is DOUBLE or all(map(_short, p.values()))]
    count = max(FEWEST, points // max(len(chosen), 1))
    for seed, params in enumerate(chosen):
        known: dict[Any, Any] = {}
        for point in spread(row, count, seed, single=form is SINGLE):
            key = tuple(x if isinstance(x, bool) else None for x in point)
            if key not in known:
                known[key] = judges(row, params, point), sizes(row, params, point)
            judge, terms = known[key]
            found.append(_judged(row, params, point, judge, terms, form))
    return found


def _short(parameter: Any) -> bool:
    return not isinstance(parameter, float) or float(np.float32(parameter)) == parameter


def _judged(
    row: Primitive,
    params: Mapping[str, Any],
    point: Point,
    judge: Any,
    terms: Any,
    form: Format,
) -> Sample:
    value, partials = judge
    low, high = BETWEEN[form]
    if row.helper and not all(low < abs(x) < high for x in point):
        partials = ()
    exact = {i: judge(point) for i, judge in enumerate(partials) if judge}
    y = value(point)
    slack = {}
    if terms is not None:  # what rows that cancel near zeros are allowed
        value, partials = terms
        for i, partial in exact.items():
            slack[i] = slack_of_terms(partial, partials[i].roughly(point), form)
        slack[-1] = slack_of_terms(y, value.roughly(point), form)
    return Sample(params, point, y, exact, slack, form)


def evaluate(m: Any, row: Primitive, params: Mapping[str, Any], point: Point) -> Found:
    """A row's value and partials in a numeric reading."""
    mine = reading_for(m, row)
    xs = [x if isinstance(x, bool) else m.number(x) for x in point]
    with np.errstate(all="ignore"):
        if m is SCALAR:
            y = SCALAR.apply(row, *xs, **params)
        else:
            y = mine.evaluator(row)(*xs, **params)
        partials = passing.partials_of(mine, row, y, xs, params)
    free = [i for i, x in enumerate(point) if not isinstance(x, bool)]
    return float(y), {i: float(partials[i]) for i in free}


def in_bulk(row: Primitive, judged: Sequence[Sample]) -> Iterator[Found]:
    """Values and partials by whole arrays, as a sweep in bulk reads a rule."""
    m = reading_for(NUMPY, row)
    for _, same in itertools.groupby(judged, key=lambda sample: id(sample.params)):
        group = list(same)
        xs = [
            np.array(column) for column in zip(*(s.point for s in group), strict=True)
        ]
        params = group[0].params
        with np.errstate(all="ignore"):
            y = m.evaluator(row)(*xs, **params)
            partials = row.partials(m, y, *xs, **params)  # type: ignore[misc]
        columns = {
            place: np.broadcast_to(partial, len(group))
            for place, partial in enumerate(partials)
        }
        for i in range(len(group)):
            yield float(y[i]), {place: float(p[i]) for place, p in columns.items()}


def accuracy(row: Primitive, judged: Sequence[Sample]) -> Iterator[Row]:
    """Rows for the value and the partials in both float readings."""
    found = [evaluate(SCALAR, row, s.params, s.point) for s in judged]
    yield from compared(row, "floats", judged, found)
    yield from compared(row, "NumPy", judged, in_bulk(row, judged))


def compared(
    row: Primitive, name: str, judged: Sequence[Sample], found: Iterable[Found]
) -> Iterator[Row]:
    """Rows of what some tier found against the judge."""
    value, partial = Worst(), Worst()
    for sample, (y, partials) in zip(judged, found, strict=True):
        form = sample.form
        off = ulps(y, sample.value, sample.slack.get(-1, 0), form)
        value.see(off, sample, "")
        # what underflows altogether is judged as what is subnormal
        primal = y or sample.value
        for place, exact in sample.partials.items():
            slack = slack_of(primal, exact, form) + sample.slack.get(place, 0)
            u = ulps(partials[place], exact, slack, form)
            counted = place if form is DOUBLE else -1
            partial.see(u, sample, f"d/dx{place + 1}", counted)
    yield value.row(row, f"value, {name}", row.ulps)
    yield partial.row(row, f"partials, {name}", row.ulps)


class Worst:
    """The worst of many figures, and where it was."""

    def __init__(self) -> None:
        self.count = 0
        self.figure = -1.0
        self.at: Point = ()
        self.what = ""
        self.each: dict[int, float] = {}

    def see(self, figure: float, sample: Sample, what: str, place: int = -1) -> None:
        """Take one more figure into account, of a partial by its place."""
        self.count += 1
        if place >= 0:
            self.each[place] = max(figure, self.each.get(place, 0.0))
        if figure > self.figure:
            self.figure, self.at, self.what = figure, sample.point, what
            if sample.params:
                said = ", ".join(f"{k}={v}" for k, v in sample.params.items())
                self.what = f"{what} {said}".strip()

    def row(self, row: Primitive, check: str, limit: float) -> Row:
        """The report's row."""
        figure = max(self.figure, 0.0)
        status = "held" if figure <= limit else "refuted"
        what = self.what if figure else ""  # where nothing is off no point is worst
        at = self.at if figure else None
        each = tuple(figure for _, figure in sorted(self.each.items()))
        found = (figure, limit, at, what, each, row.helper)
        return Row(row.name, check, status, self.count, *found)


def domain(row: Primitive, points: int) -> Iterator[Row]:
    """Outside the domain no partial is a number where the value is none."""
    judged = [
        Sample(params, point, None, {})
        for params in row.params
        for point in outside(row, max(points // 10, 20))
    ]
    worst = Worst()
    for sample in judged:
        for m in (SCALAR, NUMPY):
            y, partials = evaluate(m, row, sample.params, sample.point)
            leaks = [i for i, p in partials.items() if not math.isnan(p)]
            if math.isnan(y) and leaks:
                what = f"d/dx{leaks[0] + 1} is a number where the value is NaN"
                worst.see(math.inf, sample, what)
            else:
                worst.see(0.0, sample, "")
    if judged:
        yield worst.row(row, "outside the domain", 0.0)
