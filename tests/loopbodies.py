"""Statements of random loop programs: what stands in the body of a loop.

Updates of carried values, recurrences, swaps, small arrays, lists that are written,
lists that grow, iterations that are other ones, branches on recorded values.
"""

from __future__ import annotations

from typing import Any

from loopwords import Term, Writer

# What one statement costs, in steps, roughly.
STATEMENT = 6


class Bodies(Writer):
    """Statements over the names that are in reach."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed = seed
        self.n = self.whole(4, 8) if self.chance(0.93) else self.whole(9, 24)
        self.m = self.whole(2, 4)
        # some programs are full of loops in loops, others of lists that grow
        self.nests = 0.3 if self.chance(0.2) else 0.0
        self.keeps = 0.9 if self.chance(0.2) else 0.35
        self.trips = 1  # iterations of the loops around
        self.carried: list[str] = []
        self.states: list[str] = []  # vectors that are carried
        self.kept: dict[str, int] = {}  # lists that grow in this loop
        self.writable: dict[str, int] = {}  # lists of carried values

    # -- statements ----------------------------------------------------------------

    def body(self, most: int = 3) -> None:
        """Statements of a block; names that it makes end with it."""
        terms = len(self.terms)
        for _ in range(self.whole(1, most)):
            self.statement()
        if self.chance(0.8):
            self.update()
        del self.terms[terms:]

    def statement(self) -> None:
        turn = self.rng.random()
        if self.chance(self.nests):
            self.inner()
        elif turn < 0.36:
            self.temporary()
        elif turn < 0.62:
            self.update()
        elif turn < 0.70:
            self.recurrence()
        elif turn < 0.77:
            self.vector()
        elif turn < 0.83:
            self.write()
        elif turn < 0.87:
            self.peeled()
        elif turn < 0.91:
            self.guard()
        else:
            self.inner()

    def temporary(self) -> None:
        found = self.term(self.whole(1, 2))
        name = self.fresh("t")
        self.say(f"{name} = {found.text}")
        self.terms.append(Term(name, found.tracked))

    def update(self) -> None:
        """A carried value is given a new number, or a list grows."""
        kept = [name for name in self.kept if name[0] == "y"]
        if kept and self.chance(0.4):
            name = self.one(kept)
            self.say(f"{name}.append({self.sure(2).text})")
            self.kept[name] += 1
            return
        if not self.carried:
            self.temporary()
            return
        s, e = self.one(self.carried), self.term(self.whole(1, 2)).text
        forms = (
            f"{s} = {s} + {e}",
            f"{s} += {e}",
            f"{s} = {s} + {e}",
            f"{s} = 0.5 * {s} + {e}",
            f"{s} = {e} - {s}",
            f"{s} = np.maximum({s}, {e})",
            f"{s} = np.minimum({e}, {s})",
            f"{s} = {s} * (1.0 + 0.125 * {e})",
            f"{s} *= {e}",
            f"{s} = {e}",
            f"{s} = {s} / (2.0 + np.abs({e}) * a)",
        )
        self.say(self.one(forms))

    def recurrence(self) -> None:
        """Swaps, rotations, recurrences of order two and three."""
        if len(self.carried) < 2:
            self.update()
            return
        self.traits.add("recurrence")
        names = [str(x) for x in self.rng.permutation(self.carried)]
        s, u, w = (*names, names[0])[:3]
        e = self.term(2).text
        forms = [
            f"{s}, {u} = {u}, {s}",
            f"{s}, {u} = {u}, 0.5 * {u} - 0.25 * {s} + {e}",
            f"{s}, {u} = {u} + {e}, {s}",
            f"{s}, {u} = 0.8 * {s} - 0.6 * {u}, 0.6 * {s} + 0.8 * {u}",
        ]
        if len(names) >= 3:
            forms += [
                f"{s}, {u}, {w} = {u}, {w}, {s}",
                f"{s}, {u}, {w} = {u}, {w}, 0.3 * {w} + 0.2 * {u} - 0.1 * {s} + {e}",
            ]
        self.say(self.one(forms))

    def vector(self) -> None:
        """Small arrays: carried ones, and sums of their entries."""
        if not self.vectors:
            self.update()
            return
        self.traits.add("vectors")
        e, w = self.term(1).text, self.small()
        kept = [name for name in self.kept if name[0] == "v"]
        if kept and self.chance(0.3):
            self.say(f"{kept[0]}.append({w} * {e})")
            self.kept[kept[0]] += 1
            return
        if self.carried and (not self.states or self.chance(0.35)):
            s = self.one(self.carried)
            entry = "np.sum({})" if self.flavour == "smooth" else "{}[1]"
            self.say(f"{s} = {s} + {entry.format(w)}")
            return
        if not self.states:
            self.temporary()
            return
        v = self.one(self.states)
        product = "M @ {}" if "M" in self.matrices else "{} * a"
        forms = (
            f"{v} = 0.5 * {v} + {w} * {e}",
            f"{v} = 0.1 * {v} + {product.format(w)}",
            f"{v} = {v} * {w} + {e}",
            f"{v} = np.maximum({v}, 0.5 * {w})",
            f"{v} = np.where({v} > {e}, {w}, -{v})",
            f"{v} = {v}[::-1] + {w}",
        )
        self.say(self.one(forms))

    def write(self) -> None:
        """A list of carried values, written at a place."""
        fits = [x for x, length in self.writable.items() if self.rows.get(x)]
        if not fits:
            self.update()
            return
        name = self.one(fits)
        self.traits.add("written")
        place, e = self.place(self.rows[name]), self.sure(2).text
        keep = f"{name}[{place}] + " if self.chance(0.6) else ""
        self.say(f"{name}[{place}] = {keep}{e}")

    def peeled(self) -> None:
        """An iteration that is another one."""
        if not self.indices:
            self.update()
            return
        i = self.indices[-1]
        self.traits.add("peeled")
        middle = self.whole(i.low, max(i.low, i.high))
        tests = (
            f"{i.name} == {i.low}",
            f"{i.name} != {i.high}",
            f"{i.name} == {i.high}",
            f"{i.name} > {i.low}",
            f"{i.name} == {middle}",
            f"{i.name} < {middle}",
            f"{i.name} % 2 == 0",
        )
        self.either(self.one(tests))

    def guard(self) -> None:
        """A branch on a recorded value."""
        self.traits.add("guard")
        e = self.sure(1).text
        tests = (
            f"{e} > 0.0",
            f"{e} < {self.leaf().text}",
            f"{e} * {e} >= -1.0",
            f"np.abs({e}) < 1e3",
            f"{e} != {self.literal()}",
            f"int(tg.where({e} > 0.5, 1.0, 0.0)) == 1",
        )
        self.either(self.one(tests))

    def either(self, test: str) -> None:
        kept, self.kept = self.kept, {}  # a list keeps one length
        self.say(f"if {test}:")
        self.block(self.update if self.chance(0.6) else lambda: self.body(2))
        if self.chance(0.4):
            self.say("else:")
            self.block(self.update)
        self.kept = kept

    def block(self, inside: Any) -> None:
        self.depth += 1
        before = len(self.lines)
        terms = len(self.terms)
        inside()
        if len(self.lines) == before:
            self.say("pass")
        del self.terms[terms:]
        self.depth -= 1

    def inner(self) -> None:
        """A loop in a loop."""
        raise NotImplementedError
