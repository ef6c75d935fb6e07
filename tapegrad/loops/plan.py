"""Which turns a reverse loop takes: runs of turns that are alike. Floor 9.

What is structurally 0 in some turns stays so: the turns that differ from the ones
before are done apart, until they repeat. Nothing of this hangs on a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.loops.first import First
from tapegrad.loops.tapes import Layout
from tapegrad.loops.turns import ABSENT, MASKED, THERE, Have, Port, Turn, turn

# So many turns in a row are done apart before zeros are put in the place of nothing.
APART = 8
# So many stretches of turns with the same adjoints of y are told apart.
STRETCHES = 16


class Run(NamedTuple):
    """Turns that are alike.

    Args:
        turn: what they do.
        first: the number of the first one; 0 is the last iteration.
        turns: how many.
        loop: they are a loop; else there is one, and its steps stand by themselves.
    """

    turn: Turn
    first: int
    turns: int
    loop: bool


class Stretch(NamedTuple):
    """Turns in which the same adjoints of y are there: up to a number of one."""

    stop: int
    seeds: Have


class Beginning(NamedTuple):
    """What a reverse loop begins with.

    Args:
        have: what there is of the adjoints of the last carry, and of the constants.
        stretches: what there is of the adjoints of y, in order.
        starts: for each of the first iterations, what its carries have received as
            slots from outside.
        live: places of the inputs whose adjoints are wanted.
        first: what is one slot in the first iterations.
    """

    have: Have
    stretches: Sequence[Stretch]
    starts: Sequence[Have]
    live: Sequence[int]
    first: First


def plan(layout: Layout, begin: Beginning) -> tuple[list[Run], bool]:
    """The turns of a reverse loop, as runs of turns that are alike.

    Returns:
        The runs, and whether what is structurally 0 stays so in all of them.
    """
    runs: list[Run] = []
    have, at, exact = dict(begin.have), 0, True
    live, first = begin.live, begin.first
    length = begin.stretches[-1].stop if begin.stretches else 0
    last = max(0, length - len(first.joined))
    for stretch in begin.stretches:
        apart = 0
        while at < stretch.stop:
            number, now = length - 1 - at, {**have, **stretch.seeds}
            stop = min(stretch.stop, last)
            if at >= last:
                now |= begin.starts[number]
            made = turn(layout, now, live, first.inputs(number))
            alike = _carries(have) == _carries(made.after)
            if stop - at > 1 and (alike or apart >= APART):
                exact = exact and alike
                made = lifted(layout, now, live, first.same, alike=alike)
                runs.append(Run(made, at, stop - at, loop=True))
                at = stop
            else:
                runs.append(Run(made, at, 1, loop=False))
                apart, at = apart + 1, at + 1
            have = dict(made.after)
    return runs, exact


def _carries(have: Have) -> set[Port]:
    return {port for port, what in have.items() if what and port.word == "bar"}


def lifted(
    layout: Layout,
    have: Have,
    live: Sequence[int],
    same: Mapping[int, int],
    *,
    marks: bool = True,
    alike: bool = True,
) -> Turn:
    """The turn that gives what it takes.

    An adjoint that is there is one under a mask that is set. A sum that is not there
    yet begins with -0.0, to which everything may be added; under a mask, with an empty
    one. So does an adjoint that comes and goes, where turns are not alike: its zeros
    are added then, which are nothing in the steps themselves.
    """
    now = dict(have)
    while True:
        made = turn(layout, now, live, same, marks=marks, again=alike)
        grown = now | {
            port: max(now.get(port, ABSENT), what) for port, what in made.after.items()
        }
        if not alike:
            grown |= dict.fromkeys(_carries(now) ^ _carries(made.after), MASKED)
        if grown == now:
            break
        now = grown
    return turn(layout, now, live, same, marks=marks, again=True)


# -- what is there in which turns --------------------------------------------------


def stretches(
    length: int, order: range, seeds: Mapping[int, Any], masks: Mapping[int, Any]
) -> tuple[list[Stretch], bool]:
    """Which adjoints of y are there in which turns.

    Args:
        length: number of iterations.
        order: the place of each iteration in the arrays.
        seeds: adjoints of y, by place.
        masks: theirs. One that is an array is known: what it leaves out is absent.

    Returns:
        The stretches, and whether there are few enough. Where there are not, what is
        known is left to the masks: their zeros are added, which are nothing in the
        steps themselves.
    """
    always: dict[Port, int] = {}
    known: dict[Port, Any] = {}
    for place in seeds:
        port, mask = Port("seed", place), masks.get(place)
        rows = _rows(mask, length)
        if rows is not None:
            known[port] = rows[list(order)][::-1]
        else:
            always[port] = THERE if mask is None else MASKED
    if not known:
        return [Stretch(length, always)], True
    table = np.stack(list(known.values()))
    changes = np.flatnonzero((table[:, 1:] != table[:, :-1]).any(0)) + 1
    if len(changes) >= STRETCHES:
        return [Stretch(length, always | dict.fromkeys(known, MASKED))], False
    found = []
    for stop in (*changes.tolist(), length):
        there = {
            port: THERE for port, row in zip(known, table, strict=True) if row[stop - 1]
        }
        found.append(Stretch(stop, always | there))
    return found, True


def _rows(mask: Any, length: int) -> Any:
    """Of a mask that is known, which iterations it leaves in; else None."""
    if not isinstance(mask, np.ndarray) or mask.dtype != bool:
        return None
    flat = mask.reshape(length, -1)
    every = flat.all(1)
    return every if bool((every == flat.any(1)).all()) else None


def together(m: Any, masks: Sequence[Any]) -> Any:
    """Masks one after the other; what is known stays known."""
    if all(isinstance(mask, np.ndarray) for mask in masks):
        made = np.concatenate(masks)
        made.flags.writeable = False
        return made
    return m.concatenate(*masks, axis=0)
