"""Witnesses of a derivative: forward, reverse, many digits, formulas, differences.

Floor 10. A derivative is taken along a *direction*: by one entry of one input, or,
where there are too many entries for a row each, by all at once:

    reverse      <bar, d>
    forward      <seed, dot>, with d for the tangent
    differences  of f(x + h d), fourth order
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import BranchChanged, DomainError, ShapeError
from tapegrad.proof.oracle import Judge
from tapegrad.readings import SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape import Tape
from tapegrad.value import Value

DIGITS = "mpmath:50"
# Steps, and entries of all arrays together, beyond which SymPy is not asked; and the
# size of matrices whose inverse it can still differentiate.
SYMBOLIC, SYMBOLIC_ENTRIES, SYMBOLIC_MATRIX = 300, 400, 2
# Entries of all arrays together beyond which many digits take too long.
BIG_ENTRIES = 1_000_000
# Entries that have a row each, at order 1 and 2.
MOST = {1: 64, 2: 16}

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
        self.m: Any = MIXED if base.arrays else SCALAR
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
    m = point.m
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
    bars = reverse(tape, reading(DIGITS), point.inputs, weights)
    return lambda directions: [direction.along(bars) for direction in directions]


def formulas(
    tape: Tape, point: Point, directions: Sequence[Direction], by: Direction | None
) -> Witness:
    """SymPy's derivatives of the closed form; None where it has no answer."""
    nothing: Witness = [None] * len(directions)
    if len(tape) > SYMBOLIC or point.entries(tape) > SYMBOLIC_ENTRIES:
        return nothing
    if by is not None and by.place < 0:
        return nothing
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
        return nothing
    symbols: list[Any] = []
    at: list[float] = []
    names: dict[tuple[int, tuple[int, ...]], Any] = {}
    inputs = list(map(SYMPY.number, point.inputs))
    for place in point.floating:
        shape = np.shape(point.inputs[place])
        box = np.empty(shape, object)
        for index in np.ndindex(shape):
            names[place, index] = box[index] = sp.Symbol(f"x{len(symbols)}", real=True)
            symbols.append(box[index])
            at.append(float(np.asarray(point.inputs[place])[index]))
        inputs[place] = box if shape else box[()]
    try:
        limited(tape)
        form = careful(
            lambda: sp.sympify(sweeps.replay(tape, SYMPY, inputs)[tape.outputs[0]]),
            "the formula",
        )
    except (DomainError, ShapeError, np.linalg.LinAlgError):
        return nothing
    if Judge(symbols, form)(at) is None:  # outside the domain formulas go on
        return nothing
    if by is not None:
        form = sp.diff(form, names[by.place, by.index])
    where = dict(zip(symbols, at, strict=True))
    found = list(nothing)
    for row, direction in enumerate(directions):
        if direction.place < 0:
            continue
        derivative = sp.diff(form, names[direction.place, direction.index])
        if _at_kink(derivative, where):
            continue
        exact = Judge(symbols, derivative)(at)
        found[row] = None if exact is None else float(exact)
    return found


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
        arguments = [
            tree.build([next(leaves) for _ in tree.dynamic])
            for tree in structure.arguments
        ]
        return float(f(*arguments))

    return call


def differences(
    f: Callable[[Sequence[Any]], float], point: Point, directions: Sequence[Direction]
) -> Witness:
    """Central differences of fourth order; the two steps that agree best."""
    return [_difference(f, point, direction) for direction in directions]


def _difference(
    f: Callable[[Sequence[Any]], float], point: Point, direction: Direction
) -> float | None:
    def at(offset: float) -> float:
        return f(point.moved(direction, offset))

    scale = max(point.size(direction), 1e-3)
    found, gaps = [], []
    try:
        middle = at(0.0)
        for step in (1e-2, 1e-3, 1e-4, 1e-5):
            h = step * scale
            up, down = at(h), at(-h)
            found.append((8 * (up - down) - at(2 * h) + at(-2 * h)) / (12 * h))
            gaps.append(abs(up + down - 2 * middle) / h)
    except (BranchChanged, DomainError):
        return None
    # the slopes left and right come together as h falls, but not at a kink
    noise = 1e3 * 2.0**-52 * abs(middle) / (1e-4 * scale)
    if gaps[2] > 0.3 * gaps[0] and gaps[2] > noise + 1e-6 * abs(found[2]):
        return None
    # ... and where the function itself jumps, as a gradient does at a kink, they grow
    sizes = list(map(abs, found))
    if sizes[0] > 0 and all(b > 5 * a for a, b in itertools.pairwise(sizes)):
        return None
    best = min(itertools.pairwise(found), key=lambda pair: abs(pair[0] - pair[1]))
    return best[1] if math.isfinite(best[1]) else None
