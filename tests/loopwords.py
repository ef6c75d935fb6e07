"""Expressions of random loop programs: what a line may read, and the rows it may use.

Elements of arrays and lists at strides and offsets of the loop variables, constants of
the iteration, tables, `where`; the rows of scalars come from the table, so a new row is
among them unasked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from randomtapes import EXACT, ROWS

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.rules import TABLE

FLAVOURS = ("exact", "smooth")
OPERATORS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
SCALARS = [row for row in ROWS if row.kind == "elementwise" and not row.whole]
WORDS = {
    "exact": [row for row in SCALARS if row.name in EXACT],
    "smooth": [row for row in SCALARS if row.name not in OPERATORS],
}
ODD = (0.0, -0.0, math.inf, -math.inf, math.nan, 1e160, 5e-324)


def row(name: str, *xs: Any, **params: Any) -> Any:
    """A row of the table that has no name in NumPy."""
    return apply(TABLE[name], *xs, **params)


class Term(NamedTuple):
    """An expression, and whether it is sure to be a recorded value."""

    text: str
    tracked: bool


class Index(NamedTuple):
    """A loop variable and its least and greatest value."""

    name: str
    low: int
    high: int


@dataclass(frozen=True)
class LoopProgram:
    """Source of a function `f`, and what it is recorded at."""

    seed: int
    flavour: str
    source: str
    inputs: tuple[Any, ...]
    # words for what stands in it: "nested", "peeled", ...
    traits: frozenset[str]

    def function(self) -> Callable[..., Any]:
        """The function, made anew."""
        space = {"np": np, "tg": tg, "row": row}
        exec(compile(self.source, f"<loops {self.seed}>", "exec"), space)  # noqa: S102
        return space["f"]  # type: ignore[return-value]

    def __str__(self) -> str:
        """A script that a person can run."""
        given = ",\n    ".join(map(_written, self.inputs))
        return HEAD.format(self.seed, self.flavour, self.source, given)


HEAD = """\
# seed {}, {}
import numpy as np
import tapegrad as tg
from numpy import array, inf, nan
from tapegrad.apply import apply
from tapegrad.rules import TABLE


def row(name, *xs, **params):
    return apply(TABLE[name], *xs, **params)


{}

inputs = (
    {},
)
np.seterr(all="ignore")
tape = tg.record(f, *inputs, roll=False)
"""


def _written(x: Any) -> str:
    with np.printoptions(threshold=10_000, floatmode="unique"):
        return " ".join(repr(x).split())


class Writer:
    """Expressions over the names that are in reach."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 20])
        self.flavour = FLAVOURS[int(self.rng.random() < 0.4)]
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0
        self.traits: set[str] = set()
        self.terms: list[Term] = []  # scalars by name
        self.indices: list[Index] = []
        self.rows: dict[str, int] = {}  # arrays and lists, by length
        self.tracked: set[str] = set()
        self.matrices: dict[str, tuple[int, int]] = {}
        self.tables: dict[str, int] = {}
        self.orders: dict[str, int] = {}  # lists of indices below their length
        self.vectors: list[str] = []  # arrays of three numbers
        self.many: dict[str, int] = {}  # lists of such arrays, matrices of such rows

    # -- chances ---------------------------------------------------------------

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def whole(self, low: int, high: int) -> int:
        """An int, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def one(self, given: Any) -> Any:
        """One of several."""
        given = list(given)
        return given[int(self.rng.integers(len(given)))]

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def say(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # -- leaves ----------------------------------------------------------------

    def literal(self) -> str:
        return str(self.one((0.5, -0.25, 2.0, 1.5, 0.1, 3, 1, -1.0, 0.0, 0.75)))

    def place(self, length: int) -> str:
        """An index of a row of some length: affine in the loop variables."""
        # an array that is read in two directions at once is seldom rolled
        odd = self.chance(0.2)
        moving = [text for i in self.indices for text in _affine(i, length, odd=odd)]
        if len(self.indices) >= 2:
            a, b = self.indices[-2:]
            if a.low + b.low >= 0 and a.high + b.high < length:
                moving.append(f"{a.name} + {b.name}")
        if self.orders and self.chance(0.1):
            order = self.one(self.orders)
            below = self.orders[order]
            fits = [i.name for i in self.indices if i.low >= 0 and i.high < below]
            if fits and below <= length:
                return f"{order}[{self.one(fits)}]"
        if moving and self.chance(0.85):
            latest = [text for text in moving if self.indices[-1].name in text]
            return str(self.one(latest if latest and self.chance(0.7) else moving))
        return str(self.one((0, -1, self.whole(0, length - 1))))

    def element(self) -> Term | None:
        """An entry of an array or a list."""
        if self.matrices and self.chance(0.25):
            name = self.one(self.matrices)
            high, wide = self.matrices[name]
            return Term(f"{name}[{self.place(high)}, {self.place(wide)}]", True)
        if not self.rows:
            return None
        name = self.one(self.rows)
        return Term(f"{name}[{self.place(self.rows[name])}]", name in self.tracked)

    def small(self) -> str:
        """An array of three numbers."""
        if self.many and self.chance(0.4):
            name = self.one(self.many)
            return f"{name}[{self.place(self.many[name])}]"
        return str(self.one(self.vectors))

    def constant(self) -> Term:
        """A number of the iteration, or of the program."""
        if not self.indices or self.chance(0.3):
            return Term(self.literal(), False)
        name = self.indices[-1 if self.chance(0.8) else 0].name
        if self.tables and self.chance(0.4):
            table = self.one(self.tables)
            return Term(f"{table}[{self.place(self.tables[table])}]", False)
        forms = ("{}", "0.5 * {}", "(1 + {})", "0.1 * {} * {}", "(-1) ** {}")
        form = self.one(forms)
        self.traits.add("constants")
        return Term(f"({form})".format(*[name] * form.count("{}")), False)

    def leaf(self) -> Term:
        turn = self.rng.random()
        if turn < 0.5 and self.terms:
            back = min(int(self.rng.exponential(4)), len(self.terms) - 1)
            return self.terms[-1 - back]
        if turn < 0.85 and (found := self.element()):
            return found
        if turn < 0.88 and self.vectors:
            return Term(f"{self.small()}[{self.whole(0, 2)}]", True)
        return self.constant()

    def sure(self, depth: int = 1) -> Term:
        """A term that is recorded."""
        for _ in range(8):
            found = self.term(depth)
            if found.tracked:
                return found
        return Term("a", True)

    # -- expressions -------------------------------------------------------------

    def term(self, depth: int) -> Term:
        if depth <= 0 or self.chance(0.15):
            return self.leaf()
        turn = self.rng.random()
        if turn < 0.55:
            return self.binary(depth)
        if turn < 0.63:
            return self.choice(depth)
        return self.word(depth)

    def binary(self, depth: int) -> Term:
        sign = self.one("++--***/")
        a, b = self.term(depth - 1), self.term(depth - 1)
        tracked = a.tracked or b.tracked
        if sign == "/":
            if not tracked:
                sign = "*"
            elif self.chance(0.6):
                b = Term(f"(1.5 + np.abs({b.text}))", b.tracked)
        return Term(f"({a.text} {sign} {b.text})", tracked)

    def choice(self, depth: int) -> Term:
        """A `where`; its other arm may have no derivative there."""
        e = self.sure(depth - 1).text
        sign = self.one(("<", "<=", ">", ">=", "==", "!="))
        arms = [self.term(depth - 1).text, self.sure(depth - 1).text]
        self.rng.shuffle(arms)
        if self.chance(0.3):
            e = self.sure(0).text
            arms = [f"np.sqrt({e})", arms[0]]
        bound = self.one(("0.0", "0", self.literal(), self.leaf().text))
        return Term(f"tg.where({e} {sign} {bound}, {arms[0]}, {arms[1]})", True)

    def word(self, depth: int) -> Term:
        """A row of scalars, with operands that it takes."""
        found = self.one(WORDS[self.flavour])
        if found.name in OPERATORS:
            return self.binary(depth)
        first = self.sure(depth - 1)
        xs = [first, *[self.term(depth - 1) for _ in found.domain[1:]]]
        texts = [
            self.inside(x.text, *span) for x, span in zip(xs, found.domain, strict=True)
        ]
        params = self.one(found.params)
        if found.name == "neg":
            return Term(f"(-{texts[0]})", True)
        if found.name == "powc":
            return Term(f"({texts[0]} ** {params['exponent']})", True)
        known = getattr(np, found.ufunc or found.name, None)
        if isinstance(known, np.ufunc) and not params:
            return Term(f"np.{known.__name__}({', '.join(texts)})", True)
        texts += [f"{key}={value!r}" for key, value in params.items()]
        return Term(f"row({found.name!r}, {', '.join(texts)})", True)

    def inside(self, text: str, low: float, high: float) -> str:
        """A term moved into an interval, most of the time."""
        if (math.isinf(low) and math.isinf(high)) or self.chance(0.1):
            return text
        if math.isinf(high):
            return f"({text} * {text} + {low + 0.25})"
        part = f"np.minimum(0.9, 0.25 * np.abs({text}))"
        return part if low >= 0 else f"({part} - 0.5)"


def _affine(i: Index, length: int, *, odd: bool) -> list[str]:
    """Indices that move with a loop variable and stay within a length.

    Args:
        i: the variable.
        length: what they stay below.
        odd: backwards, and at longer strides.
    """
    found = []
    for factor, offsets in ((1, (0, 0, 0, 1, 2, -1, -2)), (2, (0, 1)), (3, (0,))):
        for offset in offsets if factor == 1 or odd else ():
            if i.low * factor + offset >= 0 and i.high * factor + offset < length:
                text = i.name if factor == 1 else f"{factor} * {i.name}"
                sign = "+-"[offset < 0]
                found.append(f"{text} {sign} {abs(offset)}" if offset else text)
    if odd and i.low >= 0 and i.high < length:
        found += [f"{length - 1} - {i.name}", f"-1 - {i.name}"]
    return found
