"""The bodies of a loop's derivatives, as tapes. Floor 9.

A body takes ``carry, x, constants`` and gives ``carry, y``, each of several leaves:

    stored    gives carries that it got as its y
    ahead     takes tangents beside carry, x and constants; gives the tangent of y

(For adjoints see `turns`.)
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.arriving import active
from tapegrad.passes import prune, simplify
from tapegrad.passes.grown import LESS
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the inputs and outputs of a body are divided.

    Args:
        tape: the body.
        carry: number of leaves of the carry.
        xs: number of leaves of x.
    """

    tape: Tape
    carry: int
    xs: int

    @property
    def ys(self) -> int:
        """Number of leaves of y."""
        return len(self.tape.outputs) - self.carry

    def smooth(self, low: int, high: int | None = None) -> list[int]:
        """Places of inputs that have a derivative, in a range."""
        slots = self.tape.inputs[low:high]
        return [
            low + k for k, i in enumerate(slots) if self.tape.aval_of(i)[1] in FLOATING
        ]

    def smooth_out(self, low: int, high: int | None = None) -> list[int]:
        """Places of outputs that have a derivative, in a range."""
        slots = self.tape.outputs[low:high]
        return [
            low + k for k, i in enumerate(slots) if self.tape.aval_of(i)[1] in FLOATING
        ]


def stored(layout: Layout, places: Sequence[int], *, ys: bool) -> Tape:
    """The body whose last y are carries that it got.

    Args:
        layout: of the body.
        places: of these carries.
        ys: give its own y before them. So the loop can stand in the place of the one
            that it is made of, and both are one (`passes.grown`).
    """
    tape = sweeps.flat(layout.tape)
    key = f"stored {layout.carry} {places} {ys}"
    if key not in tape._known:
        more = tuple(tape.inputs[place] for place in places)
        kept = tape.outputs if ys else tape.outputs[: layout.carry]
        made = prune(dataclasses.replace(tape, outputs=(*kept, *more)))
        if ys:
            made._known[LESS] = tape
        tape._known[key] = made
    return tape._known[key]  # type: ignore[no-any-return]


def reached(layout: Layout, moving: Sequence[int]) -> list[int]:
    """The inputs that have a tangent in some iteration, in order.

    A tangent of a carry may reach another carry in the next iteration. What none ever
    reaches has no tangent at all: 0 times an infinite partial would be NaN.

    Args:
        layout: of the body.
        moving: places of the inputs that have one at the start.
    """
    base, found = sweeps.flat(layout.tape), set(moving)
    carries = layout.smooth_out(0, layout.carry)
    while True:
        live = active(base, [base.inputs[place] for place in found])
        more = {place for place in carries if live[base.outputs[place]]} - found
        if not more:
            return sorted(found)
        found |= more


def ahead(
    layout: Layout, moving: Sequence[int], *, closed: bool
) -> tuple[Tape, list[int]]:
    """The body with tangents: carry, carry_dot; x, x_dot; constants, their dots.

    Args:
        layout: of the body.
        moving: places of the inputs that have a tangent, in order.
        closed: of the carry these are all that a tangent reaches in any iteration (see
            `reached`), and each is given, zeros where nothing comes.

    Returns:
        A body whose outputs are the carry, and tangents; and of which outputs.
    """
    base, carry = sweeps.flat(layout.tape), layout.carry
    known = base._known
    key = f"ahead {carry} {moving} {closed}"
    if key in known:
        return known[key]  # type: ignore[no-any-return]
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        dots = {
            place: recorder.variable(MIXED.like(0, inputs[place]._data), "dot")
            for place in moving
        }
        slots = sweeps.replay(base, m, inputs)
        seeds = {base.inputs[place]: dot for place, dot in dots.items()}
        found = sweeps.tangent(base, m, slots, seeds)
        told = [
            place
            for place in layout.smooth_out(0)
            if (closed and place in dots and place < carry)
            or found[base.outputs[place]] is not None
        ]
        outputs = [slots[i] for i in base.outputs[:carry]]
        for place in told:
            slot = base.outputs[place]
            outputs.append(
                m.like(0, slots[slot]) if found[slot] is None else found[slot]
            )
        made = tuple(recorder.slot_of(output) for output in outputs)
    ends = (0, carry, carry + layout.xs, len(inputs))
    order = []
    for low, high in itertools.pairwise(ends):
        order += inputs[low:high]
        order += [dots[place] for place in moving if low <= place < high]
    known[key] = _frozen(recorder, order, made), told
    return known[key]  # type: ignore[no-any-return]


def needed(layout: Layout, places: Sequence[int], seeded: Sequence[int]) -> list[int]:
    """The carries that have an adjoint in some iteration, in order.

    Args:
        layout: of the body.
        places: the carries that have one at the end.
        seeded: places of the y that have one.
    """
    base, found = sweeps.flat(layout.tape), set(places)
    leads = {
        place: active(base, [base.inputs[place]])
        for place in layout.smooth(0, layout.carry)
    }
    while True:
        slots = [base.outputs[place] for place in (*found, *seeded)]
        more = {place for place, live in leads.items() if any(live[i] for i in slots)}
        if more <= found:
            return sorted(found)
        found |= more


def _frozen(recorder: Recorder, order: Sequence[Any], outputs: tuple[int, ...]) -> Tape:
    """A body, in few steps: it runs often. It is read in every arithmetic."""
    inputs, example = tuple(x._i for x in order), tuple(x._data for x in order)
    return simplify(recorder.freeze(inputs, outputs, example=example), "any")
