"""How adjoints pass a loop: a loop of turns, in the recorded order. Floor 9.

    bar_i, x_bar_i = turn(bar_{i+1}, carry_i, x_i, y_bar_i, constants)

Where a loop stands for steps that were recorded one by one (`ordered`), its adjoints
are theirs to the last bit. So the constants, and what the first carry was made of, go
on adding to what they have received before; and what is structurally 0 in some turns
is no number there. Of a loop that was written as one only the sum is asked for.

The carries of all iterations are stored by a first loop, but for those that no turn
reads. Where they are too many to keep, at numbers, they are computed again from a few
(Griewank & Walther, chapter 12; see `revolve`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.loops import tapes
from tapegrad.loops.plan import Run, together
from tapegrad.loops.revolve import states
from tapegrad.loops.tapes import Layout
from tapegrad.loops.turns import MASKED, THERE, Port, Turn, started
from tapegrad.loops.walker import Walker, in_turn, piled
from tapegrad.passes import prune
from tapegrad.programs import program
from tapegrad.rules import Primitive

# Bytes of stored carries above which they are computed again.
ROOM = 1 << 28
# A Python float, and its place in a list.
FLOAT_BYTES = 32

# The adjoint of an operand, its mask, and whether it is the whole sum by now.
Part = tuple[Any, Any, bool]
# Adjoints and masks on their way through the turns.
Now = dict[Port, Any]


@dataclasses.dataclass
class Piece:
    """Adjoints of an x in some iterations: of consecutive entries, from a place on."""

    low: int
    count: int
    bar: Any
    mask: Any


class Backward:
    """A loop whose adjoints are asked for.

    Args:
        m: the reading.
        row: the row of a scan.
        layout: of its body.
        xs: operands of the step.
        params: of the step.
    """

    def __init__(
        self,
        m: Any,
        row: Primitive,
        layout: Layout,
        xs: Sequence[Any],
        params: Mapping[str, Any],
    ) -> None:
        self.m, self.row, self.layout, self.params = m, row, layout, params
        self.length: int = params["length"]
        self.order = in_turn(params)
        carry, constants = layout.carry, layout.carry + layout.xs
        self.first = list(xs[:carry])
        self.entries = dict(enumerate(xs[carry:constants], carry))
        self.constants = dict(enumerate(xs[constants:], constants))
        self.kept: dict[int, Any] = {}
        self.pieces: dict[int, list[Piece]] = {}

    # -- the turns -------------------------------------------------------------

    def through(self, runs: Sequence[Run], now: Now, seeds: Now, likes: Any) -> Now:
        """Take the turns of some runs.

        Args:
            runs: from the last iteration to the first.
            now: adjoints at first.
            seeds: adjoints of y, arrays; and what the starts have received.
            likes: for each adjoint of carry and constants a number of its shape.
        """
        few = snapshots_of(self.m, self.params, self.first)
        again = None if few is None else self._again(few)
        if again is None:
            self._keep(runs)
        for run in runs:
            if again is None and not run.turn.tape.outputs:
                self._after(run.turn, now, [])
                continue
            self._default(run, now, likes)
            if again is not None:
                self._step_by_step(run, now, seeds, again)
            elif run.loop:
                self._as_loop(run, now, seeds)
            else:
                self._apart(run, now, seeds)
        return now

    def _default(self, run: Run, now: Now, likes: Mapping[Port, Any]) -> None:
        """What is not there yet, where zeros stand in its place."""
        m, made, had = self.m, run.turn, set(now)
        for port in (*made.takes, *made.fixed):
            if port in now:
                continue
            whole = port._replace(mask=False)
            if port.mask:
                now[port] = truths(m.shape(likes[whole]), there=whole in had)
            else:  # to -0.0 everything may be added
                zero = m.like(0, likes[whole])
                now[port] = -zero if self.params.get("ordered") else zero

    def _after(self, made: Turn, now: Now, found: Sequence[Any]) -> None:
        """What there is after a run."""
        after = made.after
        for port in list(now):
            whole = port._replace(mask=False)
            gone = port.word == "bar" and whole not in after
            bare = port.mask and after.get(whole, MASKED) == THERE
            if gone or bare:
                del now[port]
        now.update(zip(made.gives, found, strict=False))

    def _as_loop(self, run: Run, now: Now, seeds: Now) -> None:
        made, low, count = run.turn, self._low(run), run.turns
        operands = [now[port] for port in made.takes]
        operands += [self._part(self.kept[p], low, count) for p in made.state]
        operands += [self._part(self.entries[p], low, count) for p in made.xs]
        operands += [self._part(seeds[port], low, count) for port in made.seeds]
        operands += [now[port] for port in made.fixed]
        operands += [self.constants[place] for place in made.constants]
        grown = dict(self.params) | {
            "tape": made.tape,
            "carry": len(made.takes),
            "xs": len(made.state) + len(made.xs) + len(made.seeds),
            "length": count,
            "reverse": not self.params["reverse"],
        }
        found = self.m.nested(self.row, operands, grown)
        self._after(made, now, found)
        self._tell(made, found[len(made.gives) :], low, count)

    def _apart(self, run: Run, now: Now, seeds: Now) -> None:
        """One turn, by its steps."""
        made, m = run.turn, self.m
        number = self.length - 1 - run.first
        place = self.order[number]
        state = [
            entry(m, self.kept[p], place) if number else self.first[p]
            for p in made.state
        ]
        operands = [now[port] for port in made.takes]
        operands += state
        operands += [entry(m, self.entries[p], place) for p in made.xs]
        operands += [entry(m, seeds[port], place) for port in made.seeds]
        operands += [now[port] for port in made.fixed]
        operands += [seeds[started(port, number)] for port in made.starts]
        operands += [self.constants[p] for p in made.constants]
        found = program(made.tape, m)(*operands)
        self._after(made, now, found)
        self._tell_one(made, found[len(made.gives) :], place)

    def _low(self, run: Run) -> int:
        """The lowest entry of a run; its entries are consecutive."""
        if not run.turns:
            return 0
        ends = run.first, run.first + run.turns - 1
        return min(self.order[self.length - 1 - turn] for turn in ends)

    def _part(self, x: Any, low: int, count: int) -> Any:
        return x if count == self.length else part(self.m, x, low, count)

    # -- what the turns tell of x ----------------------------------------------

    def _tell(self, made: Turn, found: Sequence[Any], low: int, count: int) -> None:
        told = dict(zip(made.told, found, strict=True))
        for port, bar in told.items():
            if not port.mask:
                mask = told.get(port._replace(mask=True))
                pieces = self.pieces.setdefault(port.place, [])
                pieces.append(Piece(low, count, bar, mask))

    def _tell_one(self, made: Turn, found: Sequence[Any], place: int) -> None:
        """The entry of one iteration, as an array of one."""
        tape, outputs = made.tape, made.tape.outputs[len(made.gives) :]
        rows = [
            piled(self.m, [bar], tape.aval_of(slot))
            for bar, slot in zip(found, outputs, strict=True)
        ]
        self._tell(made, rows, place, 1)

    def told(self, place: int) -> tuple[Any, Any]:
        """The adjoint of an x, and its mask."""
        pieces = sorted(self.pieces.get(place, ()), key=lambda piece: piece.low)
        if not pieces:
            return None, None
        if len(pieces) == 1 and pieces[0].count == self.length:
            return pieces[0].bar, pieces[0].mask
        m, x = self.m, self.entries[place]
        every: list[Piece] = []
        at = 0
        for piece in (*pieces, Piece(self.length, 0, None, None)):
            if piece.low > at:  # nothing came there
                count = piece.low - at
                nothing = -m.like(0, self._part(x, at, count))
                gap = truths((count, *m.shape(x)[1:]), there=False)
                every.append(Piece(at, count, nothing, gap))
            if piece.count:
                every.append(piece)
            at = piece.low + piece.count
        bar = m.concatenate(*(piece.bar for piece in every), axis=0)
        if all(piece.mask is None for piece in every):
            return bar, None
        masks = [
            truths(m.shape(piece.bar), there=True) if piece.mask is None else piece.mask
            for piece in every
        ]
        return bar, together(m, masks)

    # -- the carries -----------------------------------------------------------

    def _keep(self, runs: Sequence[Run]) -> None:
        """The carries that turns read, of all iterations."""
        wanted = {
            place
            for run in runs
            if run.loop or run.first < self.length - 1
            for place in run.turn.state
        }
        if wanted:
            places = sorted(wanted)
            body = tapes.stored(self.layout, places, ys=self.m.records)
            grown = dict(self.params) | {"tape": body}
            xs = [*self.first, *self.entries.values(), *self.constants.values()]
            found = self.m.nested(self.row, xs, grown)
            self.kept = dict(zip(places, found[-len(places) :], strict=True))

    def backwards(self) -> Iterator[tuple[int, list[Any]]]:
        """The carries before each iteration at numbers, last one first."""
        few = snapshots_of(self.m, self.params, self.first)
        return self._again(self.length if few is None else few)

    def _again(self, few: int) -> Iterator[tuple[int, list[Any]]]:
        """The same with few of them kept."""
        m, carry = self.m, self.layout.carry
        base = sweeps.flat(self.layout.tape)
        only = base._known.setdefault(
            f"carry {carry}",
            prune(dataclasses.replace(base, outputs=base.outputs[:carry])),
        )
        ahead = program(only, m)
        walk = Walker(m, list(self.entries.values()), self.order).walk
        fixed = list(self.constants.values())

        def advance(state: list[Any], low: int, high: int) -> list[Any]:
            for entries in walk(low, high):
                state = ahead(*state, *entries, *fixed)
            return state

        return states(self.length, few, self.first, advance)

    def _step_by_step(
        self, run: Run, now: Now, seeds: Now, again: Iterator[tuple[int, list[Any]]]
    ) -> None:
        """A run at numbers, with few carries kept."""
        made, m = run.turn, self.m
        back = program(made.tape, m)
        moving = [self.entries[p] for p in made.xs]
        moving += [seeds[port] for port in made.seeds]
        read = Walker(m, moving, self.order).at
        fixed = [now[port] for port in made.fixed]
        number = self.length - 1 - run.first
        fixed += [seeds[started(port, number)] for port in made.starts]
        fixed += [self.constants[place] for place in made.constants]
        gives = len(made.gives)
        taken = [now[port] for port in made.takes]
        rows: list[Any] = []
        for _ in range(run.turns):
            number, state = next(again)
            mine = [state[place] for place in made.state]
            found = back(*taken, *mine, *read(number), *fixed)
            taken = found[:gives]
            rows.append(found[gives:])
        self._after(made, now, taken)
        if self.order.step > 0:  # the last iteration came first
            rows.reverse()
        avals = [made.tape.aval_of(slot) for slot in made.tape.outputs[gives:]]
        columns = list(zip(*rows, strict=True)) or [() for _ in avals]
        found = [piled(m, y, aval) for y, aval in zip(columns, avals, strict=True)]
        self._tell(made, found, self._low(run), run.turns)


def entry(m: Any, x: Any, place: int) -> Any:
    """One entry along the first axis."""
    rest = [(0, size, 1) for size in m.shape(x)[1:]]
    return m.index(x, key=(place, *rest))


def part(m: Any, x: Any, low: int, count: int) -> Any:
    """Consecutive entries along the first axis."""
    rest = [(0, size, 1) for size in m.shape(x)[1:]]
    return m.index(x, key=((low, count, 1), *rest))


def truths(shape: tuple[int, ...], *, there: bool) -> Any:
    """A mask that is known."""
    if not shape:
        return there
    made = np.full(shape, there)
    made.flags.writeable = False
    return made


def snapshots_of(m: Any, params: Mapping[str, Any], carry: Sequence[Any]) -> int | None:
    """How many carries are kept, where they are not all; None for all."""
    if m.name == "recorder" or m.symbolic:
        return None
    length, asked = params["length"], params["snapshots"]
    each = sum(getattr(x, "nbytes", FLOAT_BYTES) for x in carry)
    if asked:
        return int(asked) if asked < length else None
    if length * each <= ROOM:
        return None
    return max(2, math.floor(ROOM / each))
