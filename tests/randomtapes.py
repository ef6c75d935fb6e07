"""Random programs, each the child of one integer.

`program(seed)` grows a program out of the rows of the table and of words as they are
written in NumPy (`randomwords`). Nothing lists the rows: arity, domain, edges, samples
and parameters come from the table, so a new row is picked up unasked. Printing a
program shows all that it does; its seed makes it again.

Flavours: "tame" numbers near 1; "edge", exact small numbers, ties, zeros and the edges
of the rows; "wide", numbers of all sizes; "exact", rows that every tier must compute to
the last bit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from randomprograms import Line, Name, Program
from randomwords import WORDS, WORDS_OF_NUMBERS, choose, names

import tapegrad as tg
from tapegrad.proof.wholes import operand
from tapegrad.rules import TABLE, Primitive

FLAVOURS = ("tame", "edge", "wide", "exact")
CHANCES = (0.62, 0.16, 0.08, 0.14)
GRID = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)
SHAPES = ((), (), (2,), (3,), (2, 2), (1, 3), (2, 3), (3, 1), (2, 1, 2))
MOST_ENTRIES = 18

# Rows that every tier computes alike, to the last bit.
EXACT = frozenset(
    names(
        "add sub mul div neg sqrt square reciprocal relu abs max min clip where less "
        "less_equal greater greater_equal equal not_equal logical_and logical_or "
        "logical_xor logical_not stop_gradient sign copysign floor ceil trunc round "
        "reshape transpose broadcast_to index index_set scatter gather gather_set "
        "concatenate tril triu argsort argmax argmin amax amin any all const input "
        "guard"
    )
)
# Rows that a test defines are left out, or a seed would depend on what ran before it.
ROWS = [row for row in TABLE if row.kind != "structure" and not row.digest]
EXACT_ROWS = [row for row in ROWS if row.name in EXACT]
EXACT_WORDS = names(
    "slice set fancy fancy_set reshape transpose flip stack concatenate sort "
    "operators branch halve stop"
)


class Grower:
    """A program while it grows: its lines, and the numbers they give at the inputs."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        flavour = FLAVOURS[int(self.rng.choice(len(FLAVOURS), p=CHANCES))]
        self.program = Program(seed, flavour)
        self.data: dict[Name, Any] = {}
        self.floats: list[Name] = []
        self.used: set[Name] = set()
        self.scalars = self.rng.random() < 0.35
        self.single = flavour == "tame" and self.rng.random() < 0.08
        self.budget = 1 + int(60 * self.rng.beta(0.55, 3.2))

    # -- numbers ---------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """A number of an open interval."""
        rng, flavour = self.rng, self.program.flavour
        if flavour == "edge" and self.chance(0.7):
            inside = [x for x in GRID if low < x < high]
            if inside:
                return float(rng.choice(inside))
        if math.isfinite(low) and math.isfinite(high):
            return float(low + (high - low) * rng.uniform(0.05, 0.95))
        if flavour == "wide" and self.chance(0.5):
            size = math.ldexp(1 + rng.random(), int(rng.integers(-300, 300)))
        else:
            size = float(np.exp(0.6 * rng.normal()))
        if math.isfinite(low):
            return low + size
        if math.isfinite(high):
            return high - size
        return size if self.chance(0.5) else -size

    def array(self, shape: tuple[int, ...], low: float, high: float) -> Any:
        if not shape:
            return self.number(low, high)
        flat = [self.number(low, high) for _ in range(math.prod(shape))]
        return np.array(flat).reshape(shape)

    def shape(self) -> tuple[int, ...]:
        return () if self.scalars else SHAPES[int(self.rng.integers(len(SHAPES)))]

    # -- operands --------------------------------------------------------------

    def input(self, data: Any) -> Name:
        """A new input."""
        name = Name("x", len(self.program.inputs))
        if self.single and np.shape(data) and np.asarray(data).dtype.kind == "f":
            data = data.astype(np.float32)
        self.program.inputs.append(data)
        self.data[name] = data
        if np.asarray(data).dtype.kind == "f":
            self.floats.append(name)
        return name

    def given(self, data: Any) -> Any:
        """Data as an input, or written into the code."""
        return self.input(data) if self.chance(0.8) else data

    def of(self, x: Any) -> Any:
        return self.data[x] if isinstance(x, Name) else x

    def pick(self, fits: Any) -> Name | None:
        """An earlier value that fits; the latest ones most often."""
        found = [name for name in self.floats if fits(self.data[name])]
        if not found:
            return None
        back = min(int(self.rng.exponential(3)), len(found) - 1)
        return found[-1 - back]

    def value(self, low: float, high: float, wide: tuple[int, ...] | None) -> Any:
        """An operand in an interval, that broadcasts with a shape."""

        def fits(data: Any) -> bool:
            if not np.size(data) or (wide is not None and not _broadcast(data, wide)):
                return False
            return bool(np.all(np.greater(data, low) & np.less(data, high)))

        if self.chance(0.75) and (name := self.pick(fits)):
            return name
        if self.chance(0.5):
            free = lambda x: np.size(x) and (wide is None or _broadcast(x, wide))  # noqa: E731
            name = self.pick(free)
            if name is not None and (moved := self.moved(name, low, high)):
                return moved
        shape = self.shape() if wide is None else self.part(wide)
        return self.given(self.array(shape, low, high))

    def part(self, wide: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts with another."""
        turn = self.rng.random()
        if turn < 0.5 or self.scalars:
            return wide
        if turn < 0.7:
            return ()
        return tuple(1 if self.chance(0.4) else size for size in wide)

    def moved(self, name: Name, low: float, high: float) -> Name | None:
        """A value moved into an interval, by further lines."""
        if self.program.flavour in {"exact", "wide"}:
            return None
        if math.isfinite(low) and math.isfinite(high):
            part = self.row("sigmoid", (name,))
            part = part and self.row("mul", (part, high - low))
            return part and self.row("add", (part, low))
        if math.isfinite(low):
            part = self.row("square" if self.chance(0.5) else "abs", (name,))
            return part and self.row("add", (part, low + 0.25))
        return name

    # -- lines -----------------------------------------------------------------

    def row(self, name: str, operands: Any, **params: Any) -> Name | None:
        """A row's line; its first result, None where it was refused."""
        return self.add(False, name, operands, params, TABLE[name].slots)

    def add(
        self, word: bool, name: str, operands: Any, params: Any, slots: int = 1
    ) -> Name | None:
        start = len(self.data)
        names = tuple(Name("v", start + i) for i in range(slots))
        line = Line(word, name, tuple(operands), dict(params), names)
        try:
            made = line.plain(list(map(self.of, operands)))
        except (tg.TapegradError, np.linalg.LinAlgError):
            return None  # singular, or shapes that do not fit
        if not all(map(self.accepted, made)):
            return None
        self.program.lines.append(line)
        self.used.update(x for x in operands if isinstance(x, Name))
        for result, y in zip(names, made, strict=True):
            self.data[result] = y
            if np.asarray(y).dtype.kind == "f":
                self.floats.append(result)
        return names[0]

    def accepted(self, y: Any) -> bool:
        """Whether numbers are fit to go on with."""
        if np.asarray(y).dtype.kind != "f":
            return np.size(y) <= MOST_ENTRIES
        if np.size(y) > MOST_ENTRIES:
            return False
        flavour = self.program.flavour
        finite = bool(np.all(np.isfinite(y)))
        if flavour == "wide":
            return finite or self.chance(0.1)
        if flavour == "edge":
            return (finite and np.max(np.abs(y), initial=0) < 1e8) or self.chance(0.15)
        big = np.max(np.abs(y), initial=0)
        small = (np.abs(y) < 1e-9) & (np.asarray(y) != 0)
        return finite and bool(big < 1e4) and not np.any(small)

    def grow(self, row: Primitive) -> Name | None:
        """A line of a row, with operands that it takes."""
        if row.whole:
            return self.whole(row)
        params = row.params[int(self.rng.integers(len(row.params)))]
        edges = [edge for edge in row.edges if not any(map(math.isnan, edge.at))]
        if self.program.flavour == "edge" and edges and self.chance(0.5):
            edge = edges[int(self.rng.integers(len(edges)))]
            at = [
                self.input(np.array([x, self.number(*span)]) if self.wide_edge() else x)
                for x, span in zip(edge.at, row.domain, strict=True)
            ]
            return self.row(row.name, at, **edge.params)
        found: list[Any] = []
        wide: tuple[int, ...] | None = None
        for place, (low, high) in enumerate(row.domain):
            if row.name.startswith("logical_") or (row.kind == "select" and not place):
                x = self.condition(wide)
            else:
                x = self.value(low, high, wide)
            found.append(x)
            shape = np.shape(self.of(x))
            wide = shape if wide is None else np.broadcast_shapes(wide, shape)
        return self.row(row.name, found, **params)

    def wide_edge(self) -> bool:
        return not self.scalars and self.chance(0.3)

    def condition(self, wide: tuple[int, ...] | None) -> Any:
        """A truth value, or an array of them."""
        x = self.value(-math.inf, math.inf, wide)
        made = self.row("less", (x, self.number())) if isinstance(x, Name) else None
        return made or self.chance(0.5)

    # -- rows of whole arrays ------------------------------------------------------

    def whole(self, row: Primitive) -> Name | None:
        sample = row.samples[int(self.rng.integers(len(row.samples)))]
        kinds = sample.make or ("real",) * len(sample.shapes)
        pairs = zip(kinds, sample.shapes, strict=True)
        xs = [self.of_kind(kind, shape) for kind, shape in pairs]
        start = len(self.data)
        made = self.row(row.name, xs, **sample.params)
        if made and row.name in {"eigh", "svdvals"}:
            apart = np.diff(self.data[made], axis=-1)
            if np.any(np.abs(apart) < 0.05):  # vectors of equal ones are any
                self.undo(start)
                return None
        if made and row.name == "eigh":  # the sign of a vector is free
            vectors = Name("v", made.number + 1)
            self.floats.remove(vectors)
            self.used.add(vectors)
            self.row("square", (vectors,))
        return made

    def undo(self, start: int) -> None:
        line = self.program.lines.pop()
        for name in line.results:
            del self.data[name]
            if name in self.floats:
                self.floats.remove(name)
        assert len(self.data) == start

    def of_kind(self, kind: str, shape: tuple[int, ...]) -> Any:
        """An array that a sample asks for."""
        if kind.startswith("index:") or kind == "bool":
            return self.given(operand(kind, shape, self.rng))
        base = operand(kind, shape, self.rng)
        if kind == "real":
            name = self.pick(lambda x: np.shape(x) == shape)
            if name and self.chance(0.7):
                return name
            base = self.array(shape, -math.inf, math.inf)
        elif self.program.flavour == "edge" and self.chance(0.3):
            base = np.round(base)
        x = self.given(base)
        name = self.pick(lambda x: np.shape(x) == ())
        if name and math.prod(shape) and self.program.flavour != "exact":
            pattern = self.rng.normal(size=shape)
            if kind in {"spd", "symmetric"}:
                pattern = pattern + np.swapaxes(pattern, -1, -2)
            small = self.row("tanh", (name,))
            part = small and self.row("mul", (small, 0.1 * pattern))
            return (part and self.row("add", (part, x))) or x
        return x

    # -- the whole -----------------------------------------------------------------

    def word(self) -> Name | None:
        """A line as it is written in NumPy."""
        names = WORDS_OF_NUMBERS if self.scalars else list(WORDS)
        if self.program.flavour == "exact":
            names = [name for name in names if name in EXACT_WORDS]
        name = names[int(self.rng.integers(len(names)))]
        found = choose(name, self)
        return found and self.add(True, name, *found)

    def build(self, first: Primitive | None) -> Program:
        exact = self.program.flavour == "exact"
        rows = EXACT_ROWS if exact else ROWS
        if self.scalars:
            rows = [row for row in rows if not row.whole]
        for _ in range(1 + int(self.rng.integers(3))):
            shape = self.shape()
            self.input(self.array(shape, -math.inf, math.inf))
        if first is not None and (not exact or first.name in EXACT):
            for _ in range(6):
                if self.grow(first):
                    break
        for _ in range(self.budget):
            if self.chance(0.2):
                self.word()
            else:
                self.grow(rows[int(self.rng.integers(len(rows)))])
        return self.finished()

    def finished(self) -> Program:
        ends = [name for name in self.floats if name not in self.used]
        ends = [name for name in ends if name.letter == "v"] or self.floats[-1:]
        weights = self.rng.choice([-1.0, 1.0, 0.5, 2.0, -0.25], len(ends)).tolist()
        self.program.sinks = list(zip(ends, weights, strict=True))
        return self.program


def _broadcast(data: Any, wide: tuple[int, ...]) -> bool:
    try:
        shape = np.broadcast_shapes(np.shape(data), wide)
    except ValueError:
        return False
    return math.prod(shape) <= MOST_ENTRIES


def program(seed: int, first: Primitive | None = None) -> Program:
    """The program of a seed.

    Args:
        seed: any integer from 0 on.
        first: a row that is to occur; by default each comes in one of len(ROWS).
    """
    return Grower(seed).build(first or ROWS[seed % len(ROWS)])
