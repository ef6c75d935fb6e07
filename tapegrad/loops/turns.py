"""The adjoint of one iteration, as a tape. Floor 9.

A reverse loop takes *turns*: the first turn is the last iteration. Which adjoints are
there when a turn begins (all, some, those under a mask) says which of them it gives, so
there is a tape for every such state of affairs, made once:

    takes    adjoints of the next carry, and the sums of the constants so far
    reads    the carry, the x and the constants that partials hang on; adjoints of y
    gives    adjoints of the carry, and the sums with this turn's contributions
    told     adjoints of x

The sums of the constants go on from what came before, one contribution at a time. So
adjoints are added in the order in which the iterations, written out, would add them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad import sweeps
from tapegrad.arriving import Sums
from tapegrad.loops.tapes import Layout
from tapegrad.passes import prune, simplify
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape

# What there is of an adjoint: nothing, all of it, or what a mask says.
ABSENT, THERE, MASKED = range(3)


class Port(NamedTuple):
    """An adjoint that goes into a turn, or comes out of it; or its mask.

    Args:
        word: "bar" of a carry, "sum" of a constant, "start" of the operand that is the
            first carry, "seed" of a y, "x" of an x.
        place: among the inputs of the body; of a y, among its outputs.
        mask: it is the mask.
    """

    word: str
    place: int
    mask: bool = False


def started(port: Port, number: int) -> Port:
    """A start as the one of an iteration."""
    return port._replace(word=f"start {number}")


# What there is of each adjoint; what is not named is absent.
Have = Mapping[Port, int]


@dataclasses.dataclass(frozen=True)
class Turn:
    """The adjoint of an iteration.

    Its inputs are, in order, what it takes, the places of the carry and of x that it
    reads, the seeds, and then what is fixed, the starts and the constants.

    Args:
        tape: its steps.
        takes: adjoints that the turn before gave, and that are others after it.
        gives: adjoints for the next turn; unchanged ones go past it.
        state: places of the carry that are read.
        xs: places of the x that are read.
        seeds: adjoints of y.
        fixed: adjoints that are read, and the same after it.
        starts: what the operands of the first carry have received.
        constants: places of the constants that are read.
        told: adjoints of x.
        after: what there is of each adjoint of carry and constants when it is over.
    """

    tape: Tape
    takes: tuple[Port, ...]
    gives: tuple[Port, ...]
    state: tuple[int, ...]
    xs: tuple[int, ...]
    seeds: tuple[Port, ...]
    fixed: tuple[Port, ...]
    starts: tuple[Port, ...]
    constants: tuple[int, ...]
    told: tuple[Port, ...]
    after: Have


def ports(have: Have, word: str) -> list[Port]:
    """The adjoints of a kind that are there, each with its mask behind it."""
    found: list[Port] = []
    for port in sorted(have):
        if port.word == word and have[port] != ABSENT:
            found.append(port)
            if have[port] == MASKED:
                found.append(port._replace(mask=True))
    return found


def turn(
    layout: Layout,
    have: Have,
    live: Sequence[int],
    same: Mapping[int, int],
    *,
    marks: bool = True,
    again: bool = False,
) -> Turn:
    """The adjoint of an iteration; made once.

    Args:
        layout: of the body.
        have: what there is of each adjoint at first.
        live: places of the inputs whose adjoints are wanted.
        same: places of inputs that are one slot, and the place that stands for both.
        marks: give masks, too. Without, all that is there is there in every entry.
        again: give every adjoint of a carry that is taken, for another such turn: zeros
            where nothing arrives.
    """
    base = sweeps.flat(layout.tape)
    state = sorted((port, what) for port, what in have.items() if what)
    key = f"turn {layout.carry} {layout.xs} {state} {live} {sorted(same.items())}"
    known, key = base._known, f"{key} {marks} {again}"
    if key not in known:
        given = _Given(have, live, same, marks, again)
        made = _Recorded(layout, base, given).made(guards=False)
        if not made.state and "guard" in base.operations:
            # no loop is run to keep carries, so nobody else looks at the guards
            made = _Recorded(layout, base, given).made(guards=True)
        known[key] = made
    return known[key]  # type: ignore[no-any-return]


def merged(base: Tape, same: Mapping[int, int]) -> Tape:
    """The tape that reads one input in the place of another."""
    to = np.arange(base.slot_count, dtype=np.int32)
    for place, other in same.items():
        to[base.inputs[place]] = base.inputs[other]
    return dataclasses.replace(
        base,
        operands=to[base.operands],
        outputs=tuple(to[list(base.outputs)].tolist()),
    )


class _Unguarded(RecorderReading):
    """A recorder that leaves guards out."""

    def guard(self, guard: Guard, value: Any) -> None:
        """Nothing: the loop itself has looked at it."""


class _Given(NamedTuple):
    """What a turn is made from; see `turn`."""

    have: Have
    live: Sequence[int]
    same: Mapping[int, int]
    marks: bool
    again: bool


class _Recorded:
    """A turn as it is recorded."""

    def __init__(self, layout: Layout, base: Tape, given: _Given) -> None:
        self.layout, self.given = layout, given
        self.base = merged(base, given.same) if given.same else base
        self.variables: dict[Port, Any] = {}

    def made(self, *, guards: bool) -> Turn:
        """The turn; its guards are kept where nobody else looks at them."""
        base, recorder = self.base, Recorder(derives=True)
        with recording_onto(recorder):
            m = (RecorderReading if guards else _Unguarded)(recorder)
            inputs = inputs_onto(recorder, base)
            values = sweeps.replay(base, m, inputs)
            sums = self._seeded(m, values)
            given = {i: bar for i, bar in enumerate(sums.bars) if bar is not None}
            wrt = [base.inputs[place] for place in self.given.live]
            bars = sweeps.adjoint(base, m, values, given, wrt, masks=sums.masks)
            out, after = self._found(bars, sums.masks)
            if self.given.again:
                self._fill(m, values, out, after)
            changed = [
                port
                for port in sorted(out)
                if port.word == "x" or self._differs(recorder, port, out)
            ]
            made = tuple(recorder.slot_of(out[port]) for port in changed)
        return self._turn(recorder, inputs, changed, made, after)

    def _slot(self, port: Port) -> int:
        base, word = self.base, port.word
        own = base.outputs if word in {"bar", "seed"} else base.inputs
        return own[port.place]

    def _seeded(self, m: Any, values: Sequence[Any]) -> Sums:
        """What is there at first, in the order in which it would have arrived."""
        sums = Sums(m, [None] * self.base.slot_count)
        for word in ("sum", "start", "seed", "bar"):
            for port in ports(self.given.have, word):
                slot = self._slot(port)
                like: Any = MIXED.like(0, values[slot]._data)
                if port.mask:
                    like = plain(np.ones(np.shape(like), bool))
                name = "" if port.mask else word
                self.variables[port] = m.recorder.variable(like, name)
            for port in ports(self.given.have, word):
                if not port.mask:
                    mask = self.variables.get(port._replace(mask=True))
                    sums.add(self._slot(port), self.variables[port], mask)
        return sums

    def _found(
        self, bars: Sequence[Any], masks: Mapping[int, Any]
    ) -> tuple[dict[Port, Any], dict[Port, int]]:
        """Adjoints and masks of the inputs, and what there is of each."""
        carry, constants = self.layout.carry, self.layout.carry + self.layout.xs
        found: dict[Port, Any] = {}
        after: dict[Port, int] = {}
        for place in self.given.live:
            slot = self.base.inputs[place]
            word = "bar" if place < carry else "x" if place < constants else "sum"
            if place in self.given.same or bars[slot] is None:
                continue
            port = Port(word, place)
            found[port] = bars[slot]
            masked = self.given.marks and slot in masks
            if masked:
                found[port._replace(mask=True)] = masks[slot]
            if word != "x":
                after[port] = MASKED if masked else THERE
        return found, after

    def _fill(
        self, m: Any, values: Sequence[Any], out: dict[Port, Any], after: Any
    ) -> None:
        """Adjoints and masks of the carries in the form in which they are taken.

        Where nothing arrives that is -0.0; where all of it does, a mask that is set.
        """
        for port, what in self.given.have.items():
            if port.word != "bar" or not what or after.get(port) == what:
                continue
            nothing = port not in after
            zero = m.like(0, values[self.base.inputs[port.place]])
            if nothing:
                out[port] = -zero
            if what == MASKED:
                compare = m.not_equal if nothing else m.equal
                out[port._replace(mask=True)] = compare(zero, 0)
            if nothing or what == MASKED:
                after[port] = what

    def _differs(self, recorder: Recorder, port: Port, out: Mapping[Port, Any]) -> bool:
        """Whether an adjoint, or its mask, is another one after the turn."""
        for mine in (port._replace(mask=False), port._replace(mask=True)):
            here = self.variables.get(mine)
            if (here is None) != (mine not in out):
                return True
            if here is not None and recorder.slot_of(out[mine]) != here._i:
                return True
        return False

    def _turn(
        self,
        recorder: Recorder,
        inputs: Sequence[Any],
        changed: Sequence[Port],
        made: tuple[int, ...],
        after: Have,
    ) -> Turn:
        """The columns as a tape of what is read."""
        carry, constants = self.layout.carry, self.layout.carry + self.layout.xs
        order = [*self.variables.values(), *inputs]
        slots = tuple(handle._i for handle in order)
        example = tuple(handle._data for handle in order)
        whole = simplify(recorder.freeze(slots, made, example=example), "any")
        uses = np.bincount(whole.operands, minlength=whole.slot_count)
        uses[list(whole.outputs)] += 1
        names: list[Any] = [*self.variables, *range(len(inputs))]
        where = dict(zip(names, whole.inputs, strict=True))
        data = dict(zip(names, example, strict=True))
        read = [name for name in names if uses[where[name]]]
        mine = [port for port in read if isinstance(port, Port)]
        places = [place for place in read if not isinstance(place, Port)]
        gives = tuple(port for port in changed if port.word != "x")
        fixed = {port for port in mine if port.word in {"bar", "sum"}} - {*gives}
        parts: list[list[Any]] = [
            [port for port in gives if port in self.variables],
            [place for place in places if place < carry],
            [place for place in places if carry <= place < constants],
            [port for port in mine if port.word == "seed"],
            sorted(fixed),
            [port for port in mine if port.word == "start"],
            [place for place in places if place >= constants],
        ]
        flat = [name for part in parts for name in part]
        at = dict(zip(changed, whole.outputs, strict=True))
        told = tuple(port for port in changed if port.word == "x")
        tape = dataclasses.replace(
            whole,
            inputs=tuple(where[name] for name in flat),
            outputs=tuple(at[port] for port in (*gives, *told)),
            example=tuple(data[name] for name in flat),
        )
        groups: list[tuple[Any, ...]] = [tuple(part) for part in parts]
        return Turn(
            prune(tape),
            takes=groups[0],
            gives=gives,
            state=groups[1],
            xs=groups[2],
            seeds=groups[3],
            fixed=groups[4],
            starts=groups[5],
            constants=groups[6],
            told=told,
            after=after,
        )
