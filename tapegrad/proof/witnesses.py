"""Witnesses of a derivative: forward, reverse, many digits, formulas, differences.

Floor 10. A derivative is taken along a *direction*: by one entry of one input, or,
where there are too many entries for a row each, by all at once:

    reverse      <bar, d>
    forward      <seed, dot>, with d for the tangent
    SymPy        the derivative of the closed form, at 50 digits

`differences` holds the one that needs no tape.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.calls import on_values
from tapegrad.derivatives import adjoint_tape
from tapegrad.errors import RecordError
from tapegrad.readings import SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape import Tape
from tapegrad.value import Value

DIGITS = "mpmath:50"
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
        name: of the input; "" for all at once.
    """

    label: str
    dots: Mapping[int, Any]
    place: int = -1
    index: tuple[int, ...] = ()
    name: str = ""

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
            return Direction(label, {place: 1.0}, place, (), label)
        unit = np.zeros(np.shape(self.inputs[place]))
        unit[index] = 1.0
        entry = f"{label}[{', '.join(map(str, index))}]"
        return Direction(entry, {place: unit}, place, index, label)

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


def slope_tape(tape: Tape, point: Point, by: Direction) -> Tape:
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


def plainly(f: Callable[..., Any], tape: Tape) -> Callable[[Sequence[Any]], float]:
    """The function itself, of the tape's flat inputs: eager, or of plain numbers."""
    structure = tape.structure
    dtypes = [tape.aval_of(slot)[1] for slot in tape.inputs]

    def call(at: Sequence[Any]) -> float:
        try:
            return float(called(at, Value))
        except RecordError:  # a write in place, a derivative that captures a Value
            return float(called(at, lambda x: np.copy(x) if np.shape(x) else float(x)))

    def called(at: Sequence[Any], made: Callable[[Any], Any]) -> Any:
        leaves: Iterator[Any] = (
            made(x) if dtype in FLOATING else x
            for x, dtype in zip(at, dtypes, strict=True)
        )
        built = [
            tree.build([next(leaves) for _ in tree.dynamic])
            for tree in structure.arguments
        ]
        count = structure.positional
        return f(
            *built[:count], **dict(zip(structure.keywords, built[count:], strict=True))
        )

    return call
