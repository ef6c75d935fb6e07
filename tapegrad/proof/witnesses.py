"""Witnesses of a derivative: forward, reverse, many digits, formulas, differences.

Floor 10. A derivative is taken along a *direction*: by one entry of one input, or,
where there are too many entries for a row each, by all at once:

    reverse      <bar, d>
    forward      <seed, dot>, with d for the tangent
    SymPy        the derivative of the closed form, at 50 digits

`differences` holds the one that needs no tape.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import DomainError, ShapeError
from tapegrad.proof.oracle import Judge
from tapegrad.readings import SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.rules.shapes import FLOATING
from tapegrad.symbolic.budget import within
from tapegrad.tape import Tape
from tapegrad.value import Value

DIGITS = "mpmath:50"
# Steps, and entries of all arrays together, beyond which SymPy is not asked; and the
# size of matrices whose inverse it can still differentiate.
SYMBOLIC, SYMBOLIC_ENTRIES, SYMBOLIC_MATRIX = 300, 400, 2
# Calls of functions that SymPy may make for one derivative.
SYMBOLIC_CALLS = 3_000_000
# Steps of which SymPy is asked for third derivatives.
SYMBOLIC_THIRD = 60
# Entries of all arrays together beyond which many digits take too long.
BIG_ENTRIES = 1_000_000
# Entries that have a row each, by order.
MOST = {1: 64, 2: 16, 3: 5}

Witness = list[float | None]
# Gives a witness's derivative along each of some directions.
Ask = Callable[[Sequence["Direction"]], Witness]


@dataclass(frozen=True)
class Direction:
    """A direction in which a point moves.

    Args:
        label: how a row is headed: "x", "w[0, 2]".
        dots: by place of the input, an array like it.
        place: the input of a single entry; -1 for all at once.
        index: the entry.
    """

    label: str
    dots: Mapping[int, Any]
    place: int = -1
    index: tuple[int, ...] = ()

    def along(self, bars: Sequence[Any]) -> float:
        """The derivative along it, from the adjoints of the inputs."""
        if self.place >= 0:
            bar = bars[self.place]
            return 0.0 if bar is None else float(bar[self.index] if self.index else bar)
        found = [
            np.ravel(np.asarray(bars[place], float) * dot)
            for place, dot in self.dots.items()
            if bars[place] is not None
        ]
        return math.fsum(itertools.chain.from_iterable(found))


class Point:
    """The point of a recorded function, and its witnesses there.

    Args:
        base: a flat tape.
    """

    def __init__(self, base: Tape) -> None:
        self.base = base
        self.inputs = list(base.example or ())
        self.floating = [
            place
            for place, slot in enumerate(base.inputs)
            if base.aval_of(slot)[1] in FLOATING
        ]
        self.single = any(dtype == "float32" for _, dtype in base.avals)

    def directions(self, order: int) -> list[Direction]:
        """By each entry of the inputs; by some and by all at once if there are many."""
        entries = [
            (place, index)
            for place in self.floating
            for index in np.ndindex(np.shape(self.inputs[place]))
        ]
        most = MOST[order]
        chosen = entries
        if len(entries) > most:
            chosen = [entries[i * len(entries) // most] for i in range(most)]
        found = [self.by_entry(*entry) for entry in chosen]
        if len(entries) > most:
            rng = np.random.default_rng(0)
            signs = {
                place: rng.choice([-1.0, 1.0], np.shape(self.inputs[place]))
                for place in self.floating
            }
            found.append(Direction(f"all {len(entries)} at once", signs))
        return found

    def by_entry(self, place: int, index: tuple[int, ...]) -> Direction:
        """The direction of one entry of an input."""
        label = self.base.input_labels()[place]
        if not np.shape(self.inputs[place]):
            return Direction(label, {place: 1.0}, place)
        unit = np.zeros(np.shape(self.inputs[place]))
        unit[index] = 1.0
        label = f"{label}[{', '.join(map(str, index))}]"
        return Direction(label, {place: unit}, place, index)

    def size(self, direction: Direction) -> float:
        """How large the point is where the direction moves it."""
        if direction.place >= 0:
            x = self.inputs[direction.place]
            return abs(float(x[direction.index] if direction.index else x))
        all_of = [np.ravel(self.inputs[place]) for place in self.floating]
        return float(np.sqrt(np.mean(np.square(np.concatenate(all_of), dtype=float))))

    def moved(self, direction: Direction, h: float) -> list[Any]:
        """The inputs at a distance along the direction, in double precision."""
        found = list(self.inputs)
        for place, dot in direction.dots.items():
            x = found[place]
            found[place] = x + h * dot if np.shape(x) else float(x) + h * float(dot)
        return found

    def entries(self, tape: Tape) -> int:
        """The entries of all slots of a tape together."""
        sizes = np.array([math.prod(shape) for shape, _ in tape.avals])
        return int(np.sum(sizes[tape.aval]))


def floats_of(tape: Tape) -> Any:
    """The reading of floats that a tape asks for: with arrays or without."""
    return MIXED if tape.arrays else SCALAR


Weights = Mapping[int, Any]


def weights_of(
    tape: Tape, direction: Direction | None, places: Sequence[int]
) -> Weights:
    """What the outputs are weighted with: 1 for one, or the entries of a direction."""
    if direction is None:
        return {tape.outputs[0]: 1.0}
    found: dict[int, Any] = {}
    for slot, place in zip(tape.outputs, places, strict=True):
        if place in direction.dots:
            dot = direction.dots[place]
            found[slot] = found[slot] + dot if slot in found else dot
    return found


def _numbers(tape: Tape, m: Any, given: Weights) -> dict[int, Any]:
    """Seeds as numbers of a reading, in the dtype of their slots."""
    found = {slot: m.number(x) for slot, x in given.items()}
    if tape.arrays:
        for slot, x in found.items():
            shape, dtype = tape.aval_of(slot)
            full = x if m.shape(x) == shape else m.broadcast_to(x, shape=shape)
            found[slot] = m.astype(full, dtype=dtype)
    return found


def reverse(tape: Tape, m: Any, inputs: Sequence[Any], weights: Weights) -> list[Any]:
    """Adjoints of the inputs, None where nothing arrives."""
    slots = sweeps.replay(tape, m, [m.number(x) for x in inputs])
    bars = sweeps.adjoint(tape, m, slots, _numbers(tape, m, weights))
    return [bars[slot] for slot in tape.inputs]


def forward(
    tape: Tape, point: Point, directions: Sequence[Direction], weights: Weights
) -> Witness:
    """Tangents of the weighted outputs, one sweep a direction."""
    m = floats_of(tape)
    slots = sweeps.replay(tape, m, [m.number(x) for x in point.inputs])
    found: Witness = []
    for direction in directions:
        seeds = _numbers(
            tape, m, {tape.inputs[place]: dot for place, dot in direction.dots.items()}
        )
        dots = sweeps.tangent(tape, m, slots, seeds)
        parts = [
            np.ravel(np.asarray(dots[slot], float) * weight)
            for slot, weight in weights.items()
            if dots[slot] is not None
        ]
        found.append(math.fsum(itertools.chain.from_iterable(parts)))
    return found


def sure(
    found: Witness, directions: Sequence[Direction], bars: Sequence[Any]
) -> Witness:
    """Forward derivatives without those that are NaN beside an infinite entry.

    An entry that does not move has the tangent 0, and 0 times an infinite partial is
    NaN, whatever the entry that does move has to say.
    """
    if all(bar is None or np.all(np.isfinite(bar)) for bar in bars):
        return found
    return [
        None
        if x is not None and math.isnan(x) and not math.isnan(direction.along(bars))
        else x
        for direction, x in zip(directions, found, strict=True)
    ]


def many_digits(tape: Tape, point: Point, weights: Weights) -> Ask:
    """The reverse sweep at 50 digits, swept once for all directions."""
    if point.entries(tape) > BIG_ENTRIES:
        return lambda directions: [None] * len(directions)
    bars: list[Any] = []

    def ask(directions: Sequence[Direction]) -> Witness:
        if not bars:
            bars.extend(reverse(tape, reading(DIGITS), point.inputs, weights))
        return [direction.along(bars) for direction in directions]

    return ask


class ClosedForm:
    """SymPy's derivatives of a tape's formula, each of them worked out once.

    Args:
        tape: a flat tape with one output.
        point: where.
    """

    def __init__(self, tape: Tape, point: Point) -> None:
        self.tape = tape
        self.point = point
        self._asked = False
        self._form: Any = None
        self._names: dict[tuple[int, tuple[int, ...]], Any] = {}
        self._known: dict[tuple[Any, ...], Any] = {}

    def along(
        self, directions: Sequence[Direction], by: Sequence[Direction] = ()
    ) -> Witness:
        """Derivatives along directions, of the one by others; None without an answer.

        Args:
            directions: along which.
            by: what the form is differentiated by before.
        """
        nothing: Witness = [None] * len(directions)
        long = len(by) > 1 and len(self.tape) > SYMBOLIC_THIRD
        if long or any(one.place < 0 for one in by) or self._formula() is None:
            return nothing
        at = [float(x) for x in self._numbers()]
        where = dict(zip(self._names.values(), at, strict=True))
        found = list(nothing)
        for row, direction in enumerate(directions):
            if direction.place < 0 or self._form is None:
                continue
            task = functools.partial(self._judged, (*by, direction), at, where)
            found[row] = within(SYMBOLIC_CALLS, task, self._given_up)
        return found

    def _judged(
        self, by: Sequence[Direction], at: Sequence[float], where: Mapping[Any, float]
    ) -> float | None:
        derivative = self._derivative(by)
        if _at_kink(derivative, where):
            return None
        try:
            exact = Judge(list(self._names.values()), derivative)(at)
        except NotImplementedError:  # floor' and the like stay unevaluated
            return None
        return None if exact is None else float(exact)

    def _given_up(self) -> None:
        """SymPy took too long, and will over the next derivative, too."""
        self._form = None

    def _derivative(self, by: Sequence[Direction]) -> Any:
        import sympy as sp

        form = self._form
        names = tuple(self._names[one.place, one.index] for one in by)
        for count, name in enumerate(names, 1):
            key = names[:count]
            if key not in self._known:
                self._known[key] = sp.diff(form, name)
            form = self._known[key]
        return form

    def _numbers(self) -> list[Any]:
        return [
            np.asarray(self.point.inputs[place])[index] for place, index in self._names
        ]

    def _formula(self) -> Any:
        """The closed form; None where there is none, or too long a one."""
        if not self._asked:
            self._asked = True
            self._form = within(SYMBOLIC_CALLS, self._written, lambda: None)
        return self._form

    def _written(self) -> Any:
        tape, point = self.tape, self.point
        if len(tape) > SYMBOLIC or point.entries(tape) > SYMBOLIC_ENTRIES:
            return None
        import sympy as sp

        from tapegrad.readings.sympy import SYMPY
        from tapegrad.readings.sympymatrices import MATRICES
        from tapegrad.symbolic.closed import careful
        from tapegrad.symbolic.limits import limited

        if any(
            step.primitive.name in MATRICES
            and max(tape.aval_of(step.operands[0])[0], default=0) > SYMBOLIC_MATRIX
            for step in tape.steps
        ):
            return None
        inputs = list(map(SYMPY.number, point.inputs))
        for place in point.floating:
            shape = np.shape(point.inputs[place])
            box = np.empty(shape, object)
            for index in np.ndindex(shape):
                name = sp.Symbol(f"x{len(self._names)}", real=True)
                self._names[place, index] = box[index] = name
            inputs[place] = box if shape else box[()]
        try:
            limited(tape)
            form = careful(
                lambda: sp.sympify(sweeps.replay(tape, SYMPY, inputs)[tape.outputs[0]]),
                "the formula",
            )
        except (DomainError, ShapeError, np.linalg.LinAlgError):
            return None
        # outside the domain formulas go on
        at = list(map(float, self._numbers()))
        return None if Judge(list(self._names.values()), form)(at) is None else form


def _at_kink(derivative: Any, point: Mapping[Any, float]) -> bool:
    """Whether SymPy's conventions for jumps, which are not the table's, decide."""
    import sympy as sp

    jumps = derivative.atoms(sp.Heaviside, sp.sign, sp.DiracDelta)
    return any(abs(jump.args[0].subs(point).evalf()) < 1e-12 for jump in jumps)


def plainly(f: Callable[..., Any], tape: Tape) -> Callable[[Sequence[Any]], float]:
    """The function itself, of the tape's flat inputs: eager, with no tape asked."""
    structure = tape.structure
    dtypes = [tape.aval_of(slot)[1] for slot in tape.inputs]

    def call(at: Sequence[Any]) -> float:
        leaves: Iterator[Any] = (
            Value(x) if dtype in FLOATING else x
            for x, dtype in zip(at, dtypes, strict=True)
        )
        built = [
            tree.build([next(leaves) for _ in tree.dynamic])
            for tree in structure.arguments
        ]
        count = structure.positional
        return float(
            f(
                *built[:count],
                **dict(zip(structure.keywords, built[count:], strict=True)),
            )
        )

    return call
