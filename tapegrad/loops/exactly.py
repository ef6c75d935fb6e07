"""A reverse loop at numbers, each turn a sweep over the body. Floor 9.

Numbers may decide what is structurally 0: where a condition is known, the arm that is
not selected has no adjoint at all. No tape of a turn says that beforehand, so here the
sweep itself is made for every iteration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.arriving import Sums
from tapegrad.loops.backward import Backward, Now, Piece, truths
from tapegrad.loops.first import First
from tapegrad.loops.turns import Port, merged
from tapegrad.loops.walker import Walker, piled
from tapegrad.programs import program
from tapegrad.tape.tape import Tape


def through(
    loop: Backward,
    now: Now,
    seeds: Now,
    live: Sequence[int],
    first: First,
) -> Now:
    """Take all turns.

    Args:
        loop: the loop.
        now: adjoints at first.
        seeds: adjoints of y, arrays; and what the starts have received.
        live: places of the inputs whose adjoints are wanted.
        first: what is one slot in the first iterations.
    """
    m, layout = loop.m, loop.layout
    base = sweeps.flat(layout.tape)
    usual = _Body(merged(base, first.same), m)
    wrt = [base.inputs[place] for place in live]
    ports = [port for port in seeds if port.word == "seed"]
    entries = Walker(m, list(loop.entries.values()), loop.order).at
    marks = Walker(m, [seeds[port] for port in ports], loop.order).at
    fixed = list(loop.constants.values())
    told: dict[int, list[Any]] = {place: [] for place in live if place in loop.entries}
    for number, state in loop.backwards():
        early = number < len(first.joined)
        body = _Body(merged(base, first.joined[number]), m) if early else usual
        tape, values = body.tape, body.values(*state, *entries(number), *fixed)
        mine = dict(zip(ports, marks(number), strict=True))
        if early:
            mine |= {
                port._replace(word="start"): x
                for port, x in seeds.items()
                if port.word == f"start {number}"
            }
        sums = Sums(m, [None] * tape.slot_count)
        _add(sums, tape, {**now, **mine})
        given = {i: bar for i, bar in enumerate(sums.bars) if bar is not None}
        bars = sweeps.adjoint(tape, m, values, given, wrt, masks=sums.masks)
        now = _after(tape, layout.carry, live, told, bars, sums.masks)
        for place, rows in told.items():
            slot = tape.inputs[place]
            rows.append((bars[slot], sums.masks.get(slot), values[slot]))
    for place, rows in told.items():
        if loop.order.step > 0:  # the last iteration came first
            rows.reverse()
        if any(bar is not None for bar, _, _ in rows):
            aval = base.aval_of(base.inputs[place])
            loop.pieces[place] = [_piece(m, rows, aval)]
    return now


class _Body:
    """The body, and a quick way to the values of all its slots."""

    def __init__(self, tape: Tape, m: Any) -> None:
        self.tape = tape
        every = dataclasses.replace(tape, outputs=tuple(range(tape.slot_count)))
        self.values = program(every, m)


def _add(sums: Sums, tape: Tape, now: Now) -> None:
    """Adjoints onto their slots, in the order in which they would have arrived."""
    for word in ("sum", "start", "seed", "bar"):
        for port, bar in now.items():
            mask = now.get(port._replace(mask=True))
            if port.word != word or port.mask or mask is False:
                continue
            own = tape.outputs if word in {"bar", "seed"} else tape.inputs
            sums.add(own[port.place], bar, None if mask is True else mask)


def _after(
    tape: Tape,
    carry: int,
    live: Sequence[int],
    told: Mapping[int, Any],
    bars: Sequence[Any],
    masks: Mapping[int, Any],
) -> Now:
    """Adjoints of carry and constants when a turn is over."""
    now: Now = {}
    for place in live:
        slot = tape.inputs[place]
        if place in told or bars[slot] is None:
            continue
        port = Port("bar" if place < carry else "sum", place)
        now[port] = bars[slot]
        if slot in masks:
            now[port._replace(mask=True)] = masks[slot]
    return now


def _piece(m: Any, rows: Sequence[tuple[Any, Any, Any]], aval: Any) -> Piece:
    """The adjoints of an x, entry by entry."""
    bars = [-m.like(0, x) if bar is None else bar for bar, _, x in rows]
    whole = all(bar is not None and mask is None for bar, mask, _ in rows)
    mask = None
    if not whole:
        masks = [
            truths(aval[0], there=bar is not None) if mask is None else mask
            for bar, mask, _ in rows
        ]
        mask = np.array(masks, bool)
        mask.flags.writeable = False
    return Piece(0, len(rows), piled(m, bars, aval), mask)
