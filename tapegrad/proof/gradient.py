"""Checking one function's gradient by independent witnesses. Floor 10.

    reverse      the reverse sweep of the recorded tape: what is checked
    forward      the forward sweep of the same tape
    mpmath       the reverse sweep at 50 digits
    SymPy        the derivative of the tape's closed form, at 50 digits
    differences  of the function itself, called with plain numbers, nothing recorded

The last one needs no tape: it finds a derivative that was lost while recording.
"""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import adjoint_tape, scalar_output
from tapegrad.errors import BranchChanged, GradientMismatch, ShapeError
from tapegrad.operations import no_record
from tapegrad.proof.oracle import Judge
from tapegrad.readings import SCALAR, reading
from tapegrad.recording import record
from tapegrad.tape import Tape
from tapegrad.value import Value

DIGITS = "mpmath:50"
# Steps of a closed form beyond which SymPy is not asked.
SYMBOLIC = 300
# What each witness may differ by, relative to the derivative.
TOLERANCE = {"forward": 1e-9, "mpmath": 1e-9, "SymPy": 1e-9, "differences": 1e-4}

Witness = Sequence[float | None]


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
        f: a function of numbers (in any nesting) that returns one number.
        args: the point, dimensionless floats.
        order: 1 for the gradient; 2 for the Hessian, too.
        raise_on_error: raise when a witness disagrees, in place of reporting it.

    Returns:
        A row for each derivative; the worst relative error and who disagrees.

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
        point = [float(x) for x in base.example or ()]
        rows = list(_first(f, tape, base, point))
        if order == 2:
            rows += _second(tape, base, point)
    report = GradientReport(tuple(rows))
    if raise_on_error and not report.ok:
        bad = next(row for row in report.rows if not row.ok)
        msg = (
            f"the derivative by {bad.derivative} is {bad.reverse!r} by the reverse "
            f"sweep and {bad.witnesses[bad.disagrees]!r} by {bad.disagrees} (relative "
            f"difference {bad.error:.1e}):\n{report}"
        )
        raise GradientMismatch(msg)
    return report


def _first(
    f: Callable[..., Any], tape: Tape, base: Tape, point: list[float]
) -> Iterator[GradientRow]:
    reverse = _reverse(base, SCALAR, point, 0)
    witnesses = {
        "forward": _forward(base, point, 0),
        "mpmath": _reverse(base, reading(DIGITS), point, 0),
        "SymPy": _symbolic(base, point, ()),
        "differences": _differences(_plainly(f, tape), point),
    }
    yield from _rows(base.input_labels(), reverse, witnesses)


def _second(tape: Tape, base: Tape, point: list[float]) -> Iterator[GradientRow]:
    """The Hessian row by row, each a gradient of the gradient's tape."""
    grown = sweeps.flat(adjoint_tape(tape))
    labels = base.input_labels()
    for place, label in enumerate(labels):
        reverse = _reverse(grown, SCALAR, point, place)

        def gradient(at: list[float], place: int = place) -> float:
            return _reverse(base, SCALAR, at, 0)[place]

        witnesses = {
            "forward": _forward(grown, point, place),
            "mpmath": _reverse(grown, reading(DIGITS), point, place),
            "SymPy": _symbolic(base, point, (place,)),
            "differences": _differences(gradient, point),
        }
        yield from _rows([f"{label}, {x}" for x in labels], reverse, witnesses)


def _reverse(tape: Tape, m: Any, point: Sequence[float], output: int) -> list[float]:
    slots = sweeps.replay(tape, m, [m.number(x) for x in point])
    bars = sweeps.adjoint(tape, m, slots, {tape.outputs[output]: m.number(1.0)})
    return [0.0 if bars[i] is None else float(bars[i]) for i in tape.inputs]


def _forward(tape: Tape, point: Sequence[float], output: int) -> list[float]:
    slots = sweeps.replay(tape, SCALAR, point)
    dots = [sweeps.tangent(tape, SCALAR, slots, {i: 1.0}) for i in tape.inputs]
    found = [column[tape.outputs[output]] for column in dots]
    return [0.0 if dot is None else float(dot) for dot in found]


def _symbolic(tape: Tape, point: Sequence[float], by: tuple[int, ...]) -> Witness:
    """SymPy's derivatives of the closed form; None where it has no answer."""
    nothing: list[float | None] = [None] * len(point)
    if len(tape) > SYMBOLIC:
        return nothing
    import sympy as sp

    from tapegrad.readings.sympy import SYMPY

    symbols = [sp.Symbol(f"x{i}", real=True) for i in range(len(point))]
    form = sp.sympify(sweeps.replay(tape, SYMPY, symbols)[tape.outputs[0]])
    if Judge(symbols, form)(point) is None:  # outside the domain formulas go on
        return nothing
    for place in by:
        form = sp.diff(form, symbols[place])
    found = list(nothing)
    for place, symbol in enumerate(symbols):
        derivative = sp.diff(form, symbol)
        if _at_kink(derivative, dict(zip(symbols, point, strict=True))):
            continue
        exact = Judge(symbols, derivative)(point)
        found[place] = None if exact is None else float(exact)
    return found


def _at_kink(derivative: Any, point: Mapping[Any, float]) -> bool:
    """Whether SymPy's conventions for jumps, which are not the table's, decide."""
    import sympy as sp

    jumps = derivative.atoms(sp.Heaviside, sp.sign, sp.DiracDelta)
    return any(abs(jump.args[0].subs(point).evalf()) < 1e-12 for jump in jumps)


def _plainly(f: Callable[..., Any], tape: Tape) -> Callable[[list[float]], float]:
    """The function itself, of a flat list of numbers, with nothing recorded."""
    structure = tape.structure

    def call(at: list[float]) -> float:
        leaves = iter(at)
        arguments = [
            tree.build([Value(next(leaves)) for _ in tree.dynamic])
            for tree in structure.arguments
        ]
        with no_record():
            return float(f(*arguments))

    return call


def _differences(f: Callable[[list[float]], float], point: list[float]) -> Witness:
    """Central differences of fourth order; the two steps that agree best."""
    return [_difference(f, point, place) for place in range(len(point))]


def _difference(
    f: Callable[[list[float]], float], point: list[float], place: int
) -> float | None:
    def at(offset: float) -> float:
        moved = list(point)
        moved[place] += offset
        return f(moved)

    scale = max(abs(point[place]), 1e-3)
    found, gaps = [], []
    try:
        middle = at(0.0)
        for step in (1e-2, 1e-3, 1e-4, 1e-5):
            h = step * scale
            up, down = at(h), at(-h)
            found.append((8 * (up - down) - at(2 * h) + at(-2 * h)) / (12 * h))
            gaps.append(abs(up + down - 2 * middle) / h)
    except BranchChanged:
        return None
    # the slopes left and right come together as h falls, but not at a kink
    noise = 1e3 * 2.0**-52 * abs(middle) / (1e-4 * scale)
    if gaps[2] > 0.3 * gaps[0] and gaps[2] > noise + 1e-6 * abs(found[2]):
        return None
    best = min(itertools.pairwise(found), key=lambda pair: abs(pair[0] - pair[1]))
    return best[1] if math.isfinite(best[1]) else None


def _rows(
    labels: Sequence[str], reverse: Sequence[float], witnesses: Mapping[str, Witness]
) -> Iterator[GradientRow]:
    size = max((abs(x) for x in reverse if math.isfinite(x)), default=0.0)
    for place, label in enumerate(labels):
        found = {name: values[place] for name, values in witnesses.items()}
        errors = {
            name: _error(name, reverse[place], x, size)
            for name, x in found.items()
            if x is not None
        }
        excess = {name: error / TOLERANCE[name] for name, error in errors.items()}
        name = max(excess, key=lambda name: excess[name], default="")
        bad = bool(name) and excess[name] > 1
        exact = [e for name, e in errors.items() if name != "differences"]
        error = errors[name] if bad else max(exact, default=0.0)
        yield GradientRow(label, reverse[place], found, error, name if bad else "")


def _error(name: str, reverse: float, witness: float, size: float) -> float:
    if reverse == witness or (math.isnan(reverse) and math.isnan(witness)):
        return 0.0
    if not (math.isfinite(reverse) and math.isfinite(witness)):
        return 0.0 if name == "differences" else math.inf
    # differences see a derivative that is small beside the others as noise
    floor = 1e-3 * size if name == "differences" else 0.0
    scale = max(abs(reverse), abs(witness), floor, 5e-324)
    return abs(reverse - witness) / scale
