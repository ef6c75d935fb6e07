"""Random loop programs as plain Python source, each the child of one integer.

`program(seed)` writes a function with loops as a person would write them: elements of
arrays and lists at strides and offsets, several carried values, recurrences, loops in
loops (triangular ones, too), first and last iterations that are special, tables,
values kept in lists and read by later loops, guards. Its text runs as it stands.

Flavours: "exact", rows that every tier must compute to the last bit; "smooth", all
rows of scalars.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from loopbodies import STATEMENT, Bodies
from loopwords import ODD, Index, LoopProgram, Term

# Steps that a program may have, roughly.
BUDGET = 300


class Grower(Bodies):
    """A program while it grows."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.inputs: list[Any] = []
        self.names: list[str] = []

    # -- arguments ---------------------------------------------------------------

    def number(self) -> float:
        turn = self.rng.random()
        if turn < 0.12:
            return float(self.one((0.0, 1.0, -1.0, 0.5, 2.0)))
        return float(np.round(self.rng.normal(), 3))

    def argument(self, name: str, given: Any) -> None:
        self.names.append(name)
        self.inputs.append(given)

    def arguments(self) -> None:
        for name in ("a", "b")[: self.whole(1, 2)]:
            self.argument(name, self.number())
            self.terms.append(Term(name, True))
        for name in ("x", "y")[: self.whole(1, 2)]:
            length = self.one((self.n, self.n, self.n + 1, self.n + 2, 2 * self.n))
            self.argument(name, np.array([self.number() for _ in range(length)]))
            self.rows[name] = length
            self.tracked.add(name)
        if self.chance(0.4):
            length = self.one((self.n, self.n + 1, 2 * self.n))
            self.argument("p", [self.number() for _ in range(length)])
            self.rows["p"] = length
            self.tracked.add("p")
        if self.chance(0.3):
            shape = (self.one((self.m, self.n)), self.one((self.m, self.n)))
            self.argument("A", self.table(*shape))
            self.matrices["A"] = shape
        if self.chance(0.3):
            self.small_arrays()
        if self.chance(0.15):
            self.say(f"order = {self.rng.permutation(self.n).tolist()}")
            self.orders["order"] = self.n
        if self.chance(0.3):
            numbers = [self.number() for _ in range(self.n)]
            self.say(f"table = {numbers}")
            self.tables["table"] = self.n

    def table(self, high: int, wide: int) -> Any:
        return np.array([[self.number() for _ in range(wide)] for _ in range(high)])

    def small_arrays(self) -> None:
        """Arguments that hold arrays of three numbers."""
        self.argument("v", np.array([self.number() for _ in range(3)]))
        self.vectors.append("v")
        if self.chance(0.5):
            self.argument("X", self.table(self.n, 3))
            self.many["X"] = self.n
        if self.flavour == "smooth" and self.chance(0.4):
            self.argument("M", self.table(3, 3))
            self.matrices["M"] = (3, 3)

    # -- loops -----------------------------------------------------------------------

    def inner(self) -> None:
        """A loop in a loop."""
        if len(self.indices) > 2 or self.trips * 4 * STATEMENT > BUDGET:
            self.update()
            return
        self.traits.add("nested")
        kept, self.kept = self.kept, {}
        around = self.indices[-1] if self.indices else None
        if around is not None and around.low >= 0 and self.chance(0.25):
            self.traits.add("triangular")
            i = around.name
            if self.chance(0.5):
                text, low, high = f"range({i})", 0, around.high - 1
            else:
                text, low, high = f"range({i} + 1, {around.high + 1})", 1, around.high
                low = around.low + 1
            self.loop(text, low, high, max(1, (around.high - around.low) // 2))
        else:
            trips = self.whole(2, self.m + 1)
            self.loop(f"range({trips})", 0, trips - 1, trips)
        self.kept = kept

    def loop(self, text: str, low: int, high: int, trips: int) -> None:
        """`for i in ...` with a body."""
        name = "ijkl"[len(self.indices)]
        self.say(f"for {name} in {text}:")
        self.trips *= max(1, trips)
        self.indices.append(Index(name, low, max(low, high)))
        self.block(self.body)
        self.indices.pop()
        self.trips //= max(1, trips)

    def outer(self) -> None:
        """A loop of the program, with what it carries."""
        for _ in range(self.whole(1, 3)):
            self.carry()
        if self.vectors and not self.states and self.chance(0.7):
            name = self.fresh("w")
            self.say(f"{name} = {self.one(self.vectors)} * 1.0")
            self.vectors.append(name)
            self.states.append(name)
        if not self.writable and self.chance(0.2):
            self.list_of_state()
        grows = self.fresh("ys") if self.chance(self.keeps) else ""
        if grows:
            self.say(f"{grows} = []")
            self.kept = {grows: 0}
        if self.vectors and self.chance(0.3):
            self.kept[self.fresh("vs")] = 0
            self.say(f"{[*self.kept][-1]} = []")
        text, low, high, trips = self.bounds()
        self.loop(text, low, high, trips)
        for grown, each in self.kept.items():
            if each and grown[0] == "v":
                self.many[grown] = each * trips
                self.traits.add("kept arrays")
            elif each:
                self.rows[grown] = each * trips
                self.tracked.add(grown)
                self.traits.add("kept")
        self.kept = {}

    def bounds(self) -> tuple[str, int, int, int]:
        """What a loop runs over: text, least, greatest, trips."""
        n = self.n
        turn = self.rng.random()
        if turn < 0.5:
            return f"range({n})", 0, n - 1, n
        if turn < 0.65:
            return f"range({n - 1})", 0, n - 2, n - 1
        if turn < 0.8:
            return f"range(1, {n})", 1, n - 1, n - 1
        if turn < 0.9:
            return f"range({n - 1}, -1, -1)", 0, n - 1, n
        return f"range(0, {n}, 2)", 0, (n - 1) // 2 * 2, (n + 1) // 2

    def carry(self) -> None:
        """One more carried value."""
        if len(self.carried) >= 6:
            return
        name = self.fresh("s")
        start = self.one(
            ("0.0", "0.0", "1.0", "a", self.sure(1).text, self.leaf().text)
        )
        self.say(f"{name} = {start}")
        self.terms.append(Term(name, tracked=False))  # it may become a number
        self.carried.append(name)

    def list_of_state(self) -> None:
        """A list that loops write to."""
        name = self.fresh("u")
        if self.chance(0.3):  # an array, of which a write makes another one
            self.say(f"{name} = x * 1.0")
            self.rows[name] = self.writable[name] = self.rows["x"]
            self.tracked.add(name)
            return
        from_list = "p" in self.rows
        self.say(f"{name} = " + ("list(p)" if from_list else f"[a] * {self.n + 1}"))
        self.rows[name] = self.rows["p"] if from_list else self.n + 1
        self.writable[name] = self.rows[name]

    def idiom(self) -> None:
        """Loops as they are often written in one line, or without an index."""
        s, e = self.fresh("s"), self.leaf().text
        rows = [name for name in self.rows if name in self.tracked]
        x, y = self.one(rows), self.one(rows)
        turn = self.whole(0, 5)
        n = min(self.rows[x], self.rows[y])
        if turn == 0:
            self.say(f"{s} = sum([u * u for u in {x}])")
        elif turn == 1:
            self.say(f"{s} = 0.0")
            self.say(f"for u, w in zip({x}, {y}):")
            self.say(f"    {s} = {s} + u * w + {e}")
        elif turn == 2:
            self.say(f"{s} = a")
            self.say(f"for k, u in enumerate({x}):")
            self.say(f"    {s} = {s} * 0.5 + k * u")
        elif turn == 3:
            name = self.fresh("q")
            self.say(f"{name} = [u - 0.5 * w for u, w in zip({x}, {y})]")
            self.rows[name] = n
            self.tracked.add(name)
            return
        elif turn == 4:
            self.say(f"{s}, k = a, 0")
            self.say(f"while {s} * {s} > 0.01 and k < 9:")
            self.say(f"    {s}, k = 0.6 * {s}, k + 1")
        else:
            self.say(f"{s} = max({x})")
        self.terms.append(Term(s, True))

    # -- the whole -------------------------------------------------------------------

    def build(self) -> LoopProgram:
        self.arguments()
        if self.chance(0.3):
            self.temporary()
        for _ in range(1 + int(self.chance(0.45)) + int(self.chance(0.15))):
            if self.chance(0.12):
                self.idiom()
            self.outer()
            if self.chance(0.25):
                self.temporary()
        if self.chance(0.1):
            self.idiom()
        self.say(f"return {self.result()}")
        source = f"def f({', '.join(self.names)}):\n" + "\n".join(self.lines) + "\n"
        inputs = tuple(map(self.odd, self.inputs) if self.chance(0.12) else self.inputs)
        if self.chance(0.05):
            self.traits.add("float32")
            inputs = tuple(map(_narrow, inputs))
        traits = frozenset(self.traits)
        return LoopProgram(self.seed, self.flavour, source, inputs, traits)

    def result(self) -> str:
        parts = [*self.carried]
        parts += [
            f"{name}[-1]" for name in self.rows if name[0] in "yuq" and len(name) > 1
        ]
        if self.chance(0.3):
            parts.append(self.sure(1).text)
        if self.chance(0.65):
            text = " + ".join(f"{self.one((1.0, 1.0, 0.5, -2.0))} * {x}" for x in parts)
            extra = self.states or []
            entry = "".join(f" + {name}[0] * a" for name in extra)
            return f"{text}{entry} + 0.0 * a"
        self.traits.add("several")
        parts += [x for x in self.states if self.chance(0.5)]
        return f"[{', '.join([*parts, self.sure(1).text])}]"

    def odd(self, x: Any) -> Any:
        """Zeros of both signs, ties, infinities, NaN in place of some numbers."""
        if isinstance(x, list):
            return [self.odd(entry) for entry in x]
        if isinstance(x, np.ndarray):
            return np.array([self.odd(float(e)) for e in x.ravel()]).reshape(x.shape)
        if self.chance(0.5):
            return float(np.round(x))
        return float(self.one(ODD)) if self.chance(0.15) else x


def _narrow(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return x.astype(np.float32) if isinstance(x, np.ndarray) else x


def program(seed: int) -> LoopProgram:
    """The program of a seed."""
    return Grower(seed).build()
