"""Checking one function's derivatives by independent witnesses. Floor 10.

    reverse      the reverse sweep of the recorded tape: what is checked
    forward      the forward sweep of the same tape
    mpmath       the reverse sweep at 50 digits
    SymPy        the derivative of the tape's closed form, at 50 digits
    differences  of the function itself, called with eager Values
    native       the compiled gradient, of a compiled function

Differences need no tape: they find a derivative that was lost while recording. Forward
and reverse read one rule, and agree on a wrong one: SymPy and differences do not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import adjoint_tape
from tapegrad.errors import GradientMismatch, ShapeError
from tapegrad.proof.closedform import ClosedForm
from tapegrad.proof.closer import along
from tapegrad.proof.differences import Differences
from tapegrad.proof.gradientreport import GradientReport, GradientRow
from tapegrad.proof.judging import asked, limits_of, rows
from tapegrad.proof.search import culprit
from tapegrad.proof.views import views
from tapegrad.proof.witnesses import (
    Ask,
    Direction,
    Point,
    Witness,
    floats_of,
    forward,
    many_digits,
    plainly,
    reverse,
    slope_tape,
    sure,
    weights_of,
)
from tapegrad.recording import record
from tapegrad.tape import Tape


def check_gradient(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    rtol: float | None = None,
    raise_on_error: bool = False,
    **kwargs: Any,
) -> GradientReport:
    """Check the derivatives of a function at a point by independent witnesses.

    Args:
        f: a function of numbers and arrays (in any nesting), a tape, or a compiled
            function, whose own gradient is one more witness then.
        *args: the point, dimensionless floats or arrays of them.
        order: 2 for the gradient and the Hessian; 1 for the gradient alone; 3 for third
            derivatives, too.
        rtol: what reverse, forward, mpmath and SymPy may differ by, relative; 1e-9 by
            default (1e-3 with float32). Differences are held to 1e-4.
        raise_on_error: raise when a witness disagrees, in place of reporting it.
        **kwargs: as args, by keyword.

    Returns:
        A row for each derivative; the worst relative error and who disagrees. Of
        arrays with more than 64 entries (16 at order 2, 5 at order 3) some have a row,
        and one more row is of all entries at once, along a direction; where that one
        is wrong, the entry that is off is looked for and has a row, too. Of several
        results each entry is looked at, or some and all at once. At a kink the row
        has a note with the slopes on both sides, and any number between them is right.

    Raises:
        GradientMismatch: a witness disagrees, and `raise_on_error` is set.
        RecordError: two recordings of f differ (random numbers, clocks, global
            state, shapes); the message names the step and the line. Complex results.
        ShapeError: no result is a float, or `order` is none of 1, 2 and 3.
        DomainError: `rtol` is less than floats can meet.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.check_gradient(lambda x, y: x * np.exp(y), 2.0, 0.5, order=2).ok
        True
    """
    if order not in {1, 2, 3}:
        msg = f"check_gradient checks order 1, 2 or 3, got {order!r}"
        raise ShapeError(msg)
    inner = getattr(f, "tape", None)
    compiled = f if isinstance(inner, Tape) else None
    function: Callable[..., Any] = f if inner is None or compiled is None else inner
    found: list[GradientRow] = []
    with np.errstate(all="ignore"):
        tape = record(function, *args, check=True, **kwargs)
        for view in views(tape):
            one = view.of(function)
            mine = record(one, *args, **kwargs) if view.name else tape
            if isinstance(function, Tape):  # its inputs have names, its call has none
                names = dict(zip(mine.inputs, function.input_labels(), strict=True))
                mine = replace(mine, labels=names)
            check = _Check(one, mine, rtol, f"{view.name} by " if view.name else "")
            if compiled is not None:
                check.native = view.native(compiled, tape, args, kwargs)
            found += check.rows(order)
    report = GradientReport(tuple(found))
    if raise_on_error and not report.ok:
        raise mismatch(report)
    return report


def mismatch(report: GradientReport) -> GradientMismatch:
    """The error of a report with rows in doubt."""
    off = GradientReport(report.failures)
    bad = off.rows[0]
    return GradientMismatch(
        f"the derivative by {bad.derivative} is {bad.reverse!r} by the reverse "
        f"sweep and {bad.witnesses[bad.disagrees]!r} by {bad.disagrees} (relative "
        f"difference {bad.error:.1e}); of {len(report.rows)} derivatives these are "
        f"off:\n{off}"
    )


class _Check:
    """All witnesses of one scalar function at one point.

    Args:
        f: the function.
        tape: its recording there.
        rtol: what exact witnesses may differ by; None for the default.
        before: what the labels of rows begin with.

    Attributes:
        native: the compiled gradient, by place of the differentiable input.
    """

    def __init__(
        self, f: Callable[..., Any], tape: Tape, rtol: float | None, before: str
    ) -> None:
        self.tape = tape
        self.point = Point(sweeps.flat(tape))
        self.before = before
        self.plain = plainly(f, tape)
        self.form = ClosedForm(self.point.base, self.point)
        self.native: list[Any] | None = None
        arrays, single = self.point.base.arrays, self.point.single
        self.limits = limits_of(rtol, single=single, arrays=arrays)

    def rows(self, order: int) -> Iterator[GradientRow]:
        """First derivatives, and those of higher order after them."""
        yield from self._first()
        if order > 1:
            yield from self._second(self.tape, 2, ())
        if order > 2:
            for by in self.point.directions(3):
                yield from self._second(slope_tape(self.tape, self.point, by), 3, (by,))

    def _first(self) -> Iterator[GradientRow]:
        base, point = self.point.base, self.point
        weights = weights_of(base, None, ())
        bars = reverse(base, floats_of(base), point.inputs, weights)
        witnesses: dict[str, Ask] = {}

        def value(m: Any, at: Sequence[Any]) -> Any:
            return sweeps.replay(base, m, at)[base.outputs[0]]

        if self.native is not None:
            native = dict(zip(point.floating, self.native, strict=True))
            given = [native.get(place) for place in range(len(point.inputs))]
            witnesses["native"] = lambda ds: [d.along(given) for d in ds]
        witnesses |= {
            "forward": lambda ds: sure(forward(base, point, ds, weights), ds, bars),
            "mpmath": many_digits(base, point, weights),
            "SymPy": self.form.along,
            "differences": Differences(self.plain, point, value),
        }
        yield from self._checked(point.directions(1), bars, witnesses, self.before)

    def _second(
        self, tape: Tape, order: int, by: tuple[Direction, ...]
    ) -> Iterator[GradientRow]:
        """The Hessian of a tape row by row, each a gradient of the gradient's tape.

        Args:
            tape: the function, or its derivative along `by`.
            order: of the derivatives in all.
            by: what the function was differentiated by before.
        """
        grown = sweeps.flat(adjoint_tape(tape))
        base, point = sweeps.flat(tape), self.point
        seed = weights_of(base, None, ())
        for one in point.directions(order):
            weights = weights_of(grown, one, point.floating)
            bars = reverse(grown, floats_of(grown), point.inputs, weights)

            def gradient(at: Sequence[Any], one: Direction = one) -> float:
                return one.along(reverse(base, floats_of(base), at, seed))

            def sweep(m: Any, at: Sequence[Any], one: Direction = one) -> Any:
                return along(one, m, reverse(base, m, at, seed))

            witnesses: dict[str, Ask] = {
                "forward": functools.partial(self._tangents, grown, weights, bars),
                "mpmath": many_digits(grown, point, weights),
                "SymPy": functools.partial(self.form.along, by=(*by, one)),
                "differences": Differences(gradient, point, sweep),
            }
            before = "".join(f"{d.label}, " for d in (*by, one))
            yield from self._checked(
                point.directions(order), bars, witnesses, self.before + before
            )

    def _tangents(
        self,
        tape: Tape,
        weights: Any,
        bars: Sequence[Any],
        directions: Sequence[Direction],
    ) -> Witness:
        return sure(forward(tape, self.point, directions, weights), directions, bars)

    def _checked(
        self,
        directions: Sequence[Direction],
        bars: Sequence[Any],
        witnesses: Mapping[str, Ask],
        before: str,
    ) -> Iterator[GradientRow]:
        """A row a direction; where all entries at once fail, one for the bad entry.

        Args:
            directions: along which.
            bars: the adjoints that are checked.
            witnesses: what the others say.
            before: what the labels begin with.
        """
        rough: Any = witnesses["differences"]

        def rows_of(some: Sequence[Direction], size: float) -> list[GradientRow]:
            found = {name: asked(ask, some) for name, ask in witnesses.items()}
            made = rows(some, bars, found, rough.found, self.limits, size)
            return [replace(row, derivative=before + row.derivative) for row in made]

        swept = (abs(direction.along(bars)) for direction in directions)
        size = max(filter(math.isfinite, swept), default=0.0)
        found = rows_of(directions, size)
        if found and directions[-1].place < 0 and not found[-1].ok:
            ask = witnesses[found[-1].disagrees]
            off = culprit(self.point, directions[-1], bars, ask)
            found[-1:-1] = [row for row in rows_of([off], size) if not row.ok]
        yield from found
