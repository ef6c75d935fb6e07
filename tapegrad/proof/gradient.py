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

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.calls import on_values
from tapegrad.derivatives import adjoint_tape
from tapegrad.errors import BranchChanged, DomainError, GradientMismatch, ShapeError
from tapegrad.proof.differences import Differences
from tapegrad.proof.gradientreport import GradientReport, GradientRow
from tapegrad.proof.search import culprit
from tapegrad.proof.views import View, views
from tapegrad.proof.witnesses import (
    Ask,
    ClosedForm,
    Direction,
    Point,
    Witness,
    floats_of,
    forward,
    many_digits,
    plainly,
    reverse,
    sure,
    weights_of,
)
from tapegrad.recording import record
from tapegrad.tape import Tape
from tapegrad.tape.structure import flatten

# What a witness may differ by, relative to the derivative: exact ones, differences.
EXACT, ROUGH = 1e-9, 1e-4
# The same where float32 takes part.
EXACT_SINGLE, ROUGH_SINGLE = 1e-3, 1e-2
# Relative distance of neighbouring floats: no tolerance below some of these is met.
SPACING, SPACING_SINGLE = 2.0**-52, 2.0**-23
# Beside the largest derivative, what rounding may leave of one that is 0.
CANCELS = 1e-4


def check_gradient(
    f: Callable[..., Any],
    *args: Any,
    order: int = 1,
    rtol: float | None = None,
    raise_on_error: bool = False,
    **kwargs: Any,
) -> GradientReport:
    """Check the derivatives of a function at a point by independent witnesses.

    Args:
        f: a function of numbers and arrays (in any nesting), a tape, or a compiled
            function, whose own gradient is one more witness then.
        *args: the point, dimensionless floats or arrays of them.
        order: 1 for the gradient; 2 for the Hessian, too; 3 for third derivatives.
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
    rows: list[GradientRow] = []
    with np.errstate(all="ignore"):
        tape = record(function, *args, check=True, **kwargs)
        for view in views(tape):
            one = view.of(function)
            mine = record(one, *args, **kwargs) if view.name else tape
            if isinstance(function, Tape):  # its inputs have names, its call has none
                names = dict(zip(mine.inputs, function.input_labels(), strict=True))
                mine = dataclasses.replace(mine, labels=names)
            check = _Check(one, mine, rtol, f"{view.name} by " if view.name else "")
            if compiled is not None:
                check.native = _native(compiled, tape, view, args, kwargs)
            rows += check.rows(order)
    report = GradientReport(tuple(rows))
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


def _native(compiled: Any, tape: Tape, view: View, args: Any, kwargs: Any) -> list[Any]:
    """The compiled gradient of one number, by place of the input."""
    if not view.name:
        return _leaves(compiled.gradient(*args, **kwargs))
    rows = _leaves(compiled.jacobian(*args, **kwargs))
    count = len(rows) // len(tape.outputs)
    found: list[Any] = [0.0] * count
    for place, weight in view.weights(tape).items():
        for k in range(count):
            row = np.asarray(rows[place * count + k])
            found[k] = found[k] + np.tensordot(weight, row, np.ndim(weight))
    return found


def _leaves(nested: Any) -> list[Any]:
    return flatten(nested, lambda x: isinstance(x, float | np.ndarray | np.generic))[0]


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
        single = self.point.single
        self.exact = EXACT_SINGLE if single else EXACT
        self.rough = ROUGH_SINGLE if single else ROUGH
        if rtol is not None:
            least = 4 * (SPACING_SINGLE if single else SPACING)
            if not least <= rtol < math.inf:
                msg = (
                    f"rtol={rtol!r} cannot be met: two floats of this precision that "
                    f"are not equal are {least / 4:.1e} apart, relative, and a sweep "
                    f"rounds more than once; ask for {least:.1e} or more"
                )
                raise DomainError(msg)
            self.exact, self.rough = rtol, max(self.rough, rtol)

    def rows(self, order: int) -> Iterator[GradientRow]:
        """First derivatives, and those of higher order after them."""
        yield from self._first()
        if order > 1:
            yield from self._second(self.tape, 2, ())
        if order > 2:
            for by in self.point.directions(3):
                yield from self._second(_slope(self.tape, self.point, by), 3, (by,))

    def _first(self) -> Iterator[GradientRow]:
        base, point = self.point.base, self.point
        weights = weights_of(base, None, ())
        bars = reverse(base, floats_of(base), point.inputs, weights)
        witnesses: dict[str, Ask] = {}
        if self.native is not None:
            native = dict(zip(point.floating, self.native, strict=True))
            given = [native.get(place) for place in range(len(point.inputs))]
            witnesses["native"] = lambda ds: [d.along(given) for d in ds]
        witnesses |= {
            "forward": lambda ds: sure(forward(base, point, ds, weights), ds, bars),
            "mpmath": many_digits(base, point, weights),
            "SymPy": self.form.along,
            "differences": Differences(self.plain, point),
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

            witnesses: dict[str, Ask] = {
                "forward": functools.partial(self._tangents, grown, weights, bars),
                "mpmath": many_digits(grown, point, weights),
                "SymPy": functools.partial(self.form.along, by=(*by, one)),
                "differences": Differences(gradient, point),
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

        def rows(some: Sequence[Direction], size: float) -> list[GradientRow]:
            found = {name: _asked(ask, some) for name, ask in witnesses.items()}
            return list(self._rows(some, bars, found, witnesses, size, before))

        swept = (abs(direction.along(bars)) for direction in directions)
        size = max(filter(math.isfinite, swept), default=0.0)
        found = rows(directions, size)
        if found and directions[-1].place < 0 and not found[-1].ok:
            ask = witnesses[found[-1].disagrees]
            off = culprit(self.point, directions[-1], bars, ask)
            found[-1:-1] = [row for row in rows([off], size) if not row.ok]
        yield from found

    def _rows(
        self,
        directions: Sequence[Direction],
        bars: Sequence[Any],
        found: Mapping[str, tuple[Witness, str]],
        witnesses: Mapping[str, Ask],
        size: float,
        before: str,
    ) -> Iterator[GradientRow]:
        # what is small beside the others is noise: to differences, and where sums
        # cancel
        noise = CANCELS * size if self.point.base.arrays else 0.0
        rough: Any = witnesses["differences"]
        for place, direction in enumerate(directions):
            swept = direction.along(bars)
            said = rough.found[direction.label]
            named = {name: answers[place] for name, (answers, _) in found.items()}
            errors = {}
            for name, x in named.items():
                floor = 1e-3 * size if name == "differences" else noise
                if x is not None and not _between(x, said.slopes):
                    errors[name] = _error(name, swept, x, floor)
            if said.slopes is not None and not _between(swept, said.slopes):
                nearest = min(said.slopes, key=lambda slope: abs(slope - swept))
                named["differences"] = nearest
                errors["differences"] = _error(
                    "differences", swept, nearest, 1e-3 * size
                )
            allowed = {
                name: self.rough if name == "differences" else self.exact
                for name in errors
            }
            excess = {name: error / allowed[name] for name, error in errors.items()}
            name = max(excess, key=lambda name: excess[name], default="")
            bad = bool(name) and excess[name] > 1
            exact = [e for key, e in errors.items() if key != "differences"]
            error = errors[name] if bad else max(exact, default=0.0)
            notes = [said.note, *(text for _, text in found.values())]
            if excess.get("mpmath", 0.0) > 1 and errors["mpmath"] < math.inf:
                notes.append(
                    "rounding: the same sweep with 50 digits is "
                    f"{errors['mpmath']:.1e} away, so floats meet no smaller tolerance"
                )
            note = "; ".join(filter(None, notes))
            label = before + direction.label
            yield GradientRow(label, swept, named, error, name if bad else "", note)


def _asked(ask: Ask, directions: Sequence[Direction]) -> tuple[Witness, str]:
    """A witness's answers; where it takes another way, none, and a word about that."""
    try:
        return ask(directions), ""
    except BranchChanged as problem:
        where = f"{problem.file}:{problem.line}"
        return [None] * len(directions), f"with 50 digits the branch at {where} changes"
    except DomainError as problem:
        return [None] * len(directions), f"with 50 digits: {problem}"


def _slope(tape: Tape, point: Point, by: Direction) -> Tape:
    """The derivative along a direction, as a tape with one output."""
    grown = sweeps.flat(adjoint_tape(tape))
    with Tape.recording() as rec:
        handles = [
            rec.input(x, label)
            for x, label in zip(point.inputs, point.base.input_labels(), strict=True)
        ]
        bars = dict(zip(point.floating, on_values(grown, handles), strict=True))
        if by.place >= 0:
            bar = bars[by.place]
            rec.output(bar[by.index] if by.index else bar)
        else:
            rec.output(sum(np.sum(bars[place] * dot) for place, dot in by.dots.items()))
    return rec.tape


def _between(x: float, slopes: tuple[float, float] | None) -> bool:
    """Whether a number lies between the slopes of a kink, their noise aside."""
    if slopes is None:
        return False
    low, high = min(slopes), max(slopes)
    slack = 1e-3 * max(abs(low), abs(high))
    return low - slack <= x <= high + slack


def _error(name: str, swept: float, witness: float, floor: float) -> float:
    if swept == witness or (math.isnan(swept) and math.isnan(witness)):
        return 0.0
    if not (math.isfinite(swept) and math.isfinite(witness)):
        return 0.0 if name == "differences" else math.inf
    scale = max(abs(swept), abs(witness), floor, 5e-324)
    return abs(swept - witness) / scale
