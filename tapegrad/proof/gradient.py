"""Checking one function's gradient by independent witnesses. Floor 10.

    reverse      the reverse sweep of the recorded tape: what is checked
    forward      the forward sweep of the same tape
    mpmath       the reverse sweep at 50 digits
    SymPy        the derivative of the tape's closed form, at 50 digits
    differences  of the function itself, called with eager Values

The last one needs no tape: it finds a derivative that was lost while recording.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import adjoint_tape, scalar_output
from tapegrad.errors import GradientMismatch, ShapeError
from tapegrad.proof.search import culprit
from tapegrad.proof.witnesses import (
    Ask,
    Direction,
    Point,
    Witness,
    differences,
    formulas,
    forward,
    many_digits,
    plainly,
    reverse,
    sure,
    weights_of,
)
from tapegrad.recording import record
from tapegrad.tape import Tape

# What each witness may differ by, relative to the derivative.
TOLERANCE = {"forward": 1e-9, "mpmath": 1e-9, "SymPy": 1e-9, "differences": 1e-4}
# The same where float32 takes part.
SINGLE = {"forward": 1e-3, "mpmath": 1e-3, "SymPy": 1e-3, "differences": 1e-2}
# Beside the largest derivative, what rounding may leave of one that is 0.
CANCELS = 1e-4


@dataclass(frozen=True, slots=True)
class GradientRow:
    """One derivative and what the witnesses say of it.

    Args:
        derivative: by which input, or pair of inputs: "x", "x, y".
        reverse: the derivative that is checked.
        witnesses: what the others found; None where one has no answer.
        error: the worst relative difference.
        disagrees: the witness that it comes from, "" when all are within tolerance.
    """

    derivative: str
    reverse: float
    witnesses: Mapping[str, float | None]
    error: float
    disagrees: str

    @property
    def ok(self) -> bool:
        """Whether no witness disagrees."""
        return not self.disagrees


@dataclass(frozen=True, slots=True)
class GradientReport:
    """All derivatives that were checked.

    Args:
        rows: one a derivative, the Hessian's after the gradient's.
    """

    rows: tuple[GradientRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all witnesses agree on every derivative."""
        return all(row.ok for row in self.rows)

    @property
    def worst(self) -> float:
        """The worst relative error among the rows, differences left aside."""
        return max((row.error for row in self.rows), default=0.0)

    def to_json(self) -> str:
        """The rows as JSON; what is no finite number as a string."""
        rows = [_plain(asdict(row)) for row in self.rows]
        return json.dumps({"ok": self.ok, "rows": rows}, indent=1, allow_nan=False)

    def __str__(self) -> str:
        head = ("derivative", "reverse", *TOLERANCE, "worst error", "disagrees")
        table = [head, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
            for cells in table
        )

    def __repr__(self) -> str:
        bad = sum(not row.ok for row in self.rows)
        return f"<GradientReport: {len(self.rows)} derivatives, {bad} in doubt>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _cells(row: GradientRow) -> tuple[str, ...]:
    found = [row.witnesses.get(name) for name in TOLERANCE]
    shown = ["-" if x is None else f"{x:.9g}" for x in found]
    reverse, error = f"{row.reverse:.9g}", f"{row.error:.1e}"
    return row.derivative, reverse, *shown, error, row.disagrees


def _plain(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x


def check_gradient(
    f: Callable[..., Any], *args: Any, order: int = 1, raise_on_error: bool = False
) -> GradientReport:
    """Check the gradient of a function at a point by independent witnesses.

    Args:
        f: a function of numbers and arrays (in any nesting) that returns one number.
        args: the point, dimensionless floats or arrays of them.
        order: 1 for the gradient; 2 for the Hessian, too.
        raise_on_error: raise when a witness disagrees, in place of reporting it.

    Returns:
        A row for each derivative; the worst relative error and who disagrees. Of
        arrays with more than 64 entries (16 at order 2) some have a row, and one more
        row is of all entries at once, along a direction; where that one is wrong, the
        entry that is off is looked for and has a row, too.

    Raises:
        GradientMismatch: a witness disagrees, and `raise_on_error` is set.
        RecordError: two recordings of f differ (random numbers, clocks, global
            state); the message names the step.
        ShapeError: f returns more than one number, or `order` is neither 1 nor 2.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.check_gradient(lambda x, y: x * np.exp(y), 2.0, 0.5, order=2).ok
        True
    """
    if order not in {1, 2}:
        msg = f"check_gradient checks order 1 or 2, got {order!r}"
        raise ShapeError(msg)
    with np.errstate(all="ignore"):
        tape = record(f, *args, check=True)
        scalar_output(tape)
        base = sweeps.flat(tape)
        point = Point(base)
        rows = list(_first(f, tape, point))
        if order == 2:
            rows += _second(tape, point)
    report = GradientReport(tuple(rows))
    if raise_on_error and not report.ok:
        off = GradientReport(tuple(row for row in report.rows if not row.ok))
        bad = off.rows[0]
        msg = (
            f"the derivative by {bad.derivative} is {bad.reverse!r} by the reverse "
            f"sweep and {bad.witnesses[bad.disagrees]!r} by {bad.disagrees} (relative "
            f"difference {bad.error:.1e}); of {len(report.rows)} derivatives these are "
            f"off:\n{off}"
        )
        raise GradientMismatch(msg)
    return report


def _first(f: Callable[..., Any], tape: Tape, point: Point) -> Iterator[GradientRow]:
    base = point.base
    weights = weights_of(base, None, ())
    bars = reverse(base, point.m, point.inputs, weights)
    plain = plainly(f, tape)
    yield from _checked(
        point,
        point.directions(1),
        bars,
        {
            "forward": lambda ds: sure(forward(base, point, ds, weights), ds, bars),
            "mpmath": many_digits(base, point, weights),
            "SymPy": lambda ds: formulas(base, point, ds, None),
            "differences": lambda ds: differences(plain, point, ds),
        },
    )


def _second(tape: Tape, point: Point) -> Iterator[GradientRow]:
    """The Hessian row by row, each a gradient of the gradient's tape."""
    grown = sweeps.flat(adjoint_tape(tape))
    directions = point.directions(2)
    for by in directions:
        yield from _row_of_second(grown, point, directions, by)


def _row_of_second(
    grown: Tape, point: Point, directions: Sequence[Direction], by: Direction
) -> Iterator[GradientRow]:
    base = point.base
    seed = weights_of(base, None, ())
    weights = weights_of(grown, by, point.floating)
    bars = reverse(grown, point.m, point.inputs, weights)

    def gradient(at: Sequence[Any]) -> float:
        return by.along(reverse(base, point.m, at, seed))

    yield from _checked(
        point,
        directions,
        bars,
        {
            "forward": lambda ds: sure(forward(grown, point, ds, weights), ds, bars),
            "mpmath": many_digits(grown, point, weights),
            "SymPy": lambda ds: formulas(base, point, ds, by),
            "differences": lambda ds: differences(gradient, point, ds),
        },
        f"{by.label}, ",
    )


def _checked(
    point: Point,
    directions: Sequence[Direction],
    bars: Sequence[Any],
    witnesses: Mapping[str, Ask],
    before: str = "",
) -> Iterator[GradientRow]:
    """A row a direction; where all entries at once fail, one for the entry that does.

    Args:
        point: where.
        directions: along which.
        bars: the adjoints that are checked.
        witnesses: what the others say.
        before: what the labels begin with.
    """

    def rows(some: Sequence[Direction], size: float) -> list[GradientRow]:
        labels = [before + direction.label for direction in some]
        found = {name: ask(some) for name, ask in witnesses.items()}
        swept = [direction.along(bars) for direction in some]
        return list(_rows(point, labels, swept, found, size))

    swept = (abs(direction.along(bars)) for direction in directions)
    size = max(filter(math.isfinite, swept), default=0.0)
    found = rows(directions, size)
    if found and directions[-1].place < 0 and not found[-1].ok:
        ask = witnesses[found[-1].disagrees]
        off = culprit(point, directions[-1], bars, ask)
        found[-1:-1] = [row for row in rows([off], size) if not row.ok]
    yield from found


def _rows(
    point: Point,
    labels: Sequence[str],
    swept: Sequence[float],
    witnesses: Mapping[str, Witness],
    size: float,
) -> Iterator[GradientRow]:
    allowed = SINGLE if point.single else TOLERANCE
    # what is small beside the others is noise: to differences, and where sums cancel
    floors = dict.fromkeys(TOLERANCE, CANCELS * size if point.base.arrays else 0.0)
    floors["differences"] = 1e-3 * size
    for place, label in enumerate(labels):
        found = {name: values[place] for name, values in witnesses.items()}
        errors = {
            name: _error(name, swept[place], x, floors[name])
            for name, x in found.items()
            if x is not None
        }
        excess = {name: error / allowed[name] for name, error in errors.items()}
        name = max(excess, key=lambda name: excess[name], default="")
        bad = bool(name) and excess[name] > 1
        exact = [e for name, e in errors.items() if name != "differences"]
        error = errors[name] if bad else max(exact, default=0.0)
        yield GradientRow(label, swept[place], found, error, name if bad else "")


def _error(name: str, swept: float, witness: float, floor: float) -> float:
    if swept == witness or (math.isnan(swept) and math.isnan(witness)):
        return 0.0
    if not (math.isfinite(swept) and math.isfinite(witness)):
        return 0.0 if name == "differences" else math.inf
    scale = max(abs(swept), abs(witness), floor, 5e-324)
    return abs(swept - witness) / scale
