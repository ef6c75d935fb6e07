"""Derivatives of a step that holds one tape and runs it once. Floor 9.

At numbers a sweep over the tape; where a derivative is recorded, a tape of the sweep,
so that a step of the same kind holds it. Only what a derivative reaches is there: a
structural zero stays one, since 0 times an infinite partial further up would be NaN.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

# A tape, the places of the inputs whose adjoints it gives, and of those the ones whose
# masks it gives after them.
Back = tuple[Tape, list[int], list[int]]
# A tape, and the places of the outputs whose tangents it gives.
Ahead = tuple[Tape, list[int]]


def back(tape: Tape, reached: Sequence[int], masked: Sequence[int] = ()) -> Back:
    """The adjoint of a tape, as a tape; made once.

    Args:
        tape: the sub-tape.
        reached: places of the outputs that have an adjoint.
        masked: of those, the ones that have a mask.

    Returns:
        A tape of the inputs, adjoints and masks; see `Back`.
    """
    base = sweeps.flat(tape)
    key = f"back {tuple(reached)} {tuple(masked)}"
    if key not in base._known:
        base._known[key] = _back(base, reached, masked)
    return base._known[key]  # type: ignore[no-any-return]


def _back(base: Tape, reached: Sequence[int], masked: Sequence[int]) -> Back:
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        tops = [slots[base.outputs[k]]._data for k in reached]
        seeds = [recorder.variable(MIXED.like(0, y), "bar") for y in tops]
        marks = [
            recorder.variable(plain(np.ones(base.aval_of(base.outputs[k])[0], bool)))
            for k in masked
        ]
        places = [base.outputs[k] for k in reached]
        shades = dict(zip(masked, marks, strict=True))
        under = _under(m, places, [shades.get(k) for k in reached])
        given = sweeps.summed(places, seeds)
        found = sweeps.adjoint(base, m, slots, given, masks=under)
        told = [k for k, slot in enumerate(base.inputs) if found[slot] is not None]
        dark = [k for k in told if base.inputs[k] in under]
        outputs = [found[base.inputs[k]] for k in told]
        outputs += [under[base.inputs[k]] for k in dark]
        made = tuple(recorder.slot_of(output) for output in outputs)
    return _frozen(recorder, [*inputs, *seeds, *marks], made), told, dark


def ahead(tape: Tape, moving: Sequence[int]) -> Ahead:
    """The tangents of a tape, as a tape; made once.

    Args:
        tape: the sub-tape.
        moving: places of the inputs that have a tangent.

    Returns:
        A tape of the inputs and tangents; see `Ahead`.
    """
    base = sweeps.flat(tape)
    key = f"inside {tuple(moving)}"
    if key not in base._known:
        base._known[key] = _ahead(base, moving)
    return base._known[key]  # type: ignore[no-any-return]


def _ahead(base: Tape, moving: Sequence[int]) -> Ahead:
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        dots = [
            recorder.variable(MIXED.like(0, inputs[place]._data), "dot")
            for place in moving
        ]
        slots = sweeps.replay(base, m, inputs)
        seeds = {base.inputs[place]: x for place, x in zip(moving, dots, strict=True)}
        found = sweeps.tangent(base, m, slots, seeds)
        told = [
            k
            for k, slot in enumerate(base.outputs)
            if found[slot] is not None and base.aval_of(slot)[1] in FLOATING
        ]
        made = tuple(recorder.slot_of(found[base.outputs[k]]) for k in told)
    return _frozen(recorder, [*inputs, *dots], made), told


def done(tape: Tape, op: str) -> tuple[Tape, list[int]]:
    """The adjoints or tangents of a tape as a tape, and the places of what it gives.

    Args:
        tape: any tape.
        op: "pull" or "push", and the places of the outputs, or inputs, that have an
            adjoint, or a tangent.
    """
    word, *given = op.split()
    places = tuple(map(int, given))
    if word == "push":
        return ahead(tape, places)
    grown, told, dark = back(tape, places)
    if dark:  # masks follow the adjoints
        grown = dataclasses.replace(grown, outputs=grown.outputs[: len(told)])
    return grown, told


def _frozen(recorder: Recorder, order: Sequence[Any], outputs: tuple[int, ...]) -> Tape:
    inputs, example = tuple(x._i for x in order), tuple(x._data for x in order)
    return prune(recorder.freeze(inputs, outputs, example=example))


def _under(m: Any, slots: Sequence[int], masks: Sequence[Any]) -> dict[int, Any]:
    """Masks by slot; a slot that is given twice is there where either is."""
    found: dict[int, Any] = {}
    whole = {slot for slot, mask in zip(slots, masks, strict=True) if mask is None}
    for slot, mask in zip(slots, masks, strict=True):
        if slot not in whole:
            found[slot] = m.logical_or(found[slot], mask) if slot in found else mask
    return found


def any_of(m: Any, masks: Sequence[Any]) -> Any:
    """Whether any entry of several adjoints is there; None where one has no mask."""
    if any(mask is None for mask in masks):
        return None
    marks = [m.any(mask, axes=tuple(range(len(m.shape(mask))))) for mask in masks]
    return functools.reduce(m.logical_or, marks)


def adjoints_through(
    m: Any, tape: Tape, xs: Sequence[Any], bars: Sequence[Any], masks: Sequence[Any]
) -> list[tuple[Any, Any]]:
    """Adjoints of the inputs and their masks, by a sweep over the tape.

    Args:
        m: the reading.
        tape: the sub-tape.
        xs: its inputs.
        bars: adjoints of its outputs, None for a structural zero.
        masks: of those, None for none.
    """
    base = sweeps.flat(tape)
    values = sweeps.replay(base, m, xs)
    reached = [k for k, bar in enumerate(bars) if bar is not None]
    slots = [base.outputs[k] for k in reached]
    given = sweeps.summed(slots, [bars[k] for k in reached])
    under = _under(m, slots, [masks[k] for k in reached])
    found = sweeps.adjoint(base, m, values, given, masks=under)
    return [(found[slot], under.get(slot)) for slot in base.inputs]


def tangents_through(
    m: Any, tape: Tape, xs: Sequence[Any], dots: Sequence[Any]
) -> list[Any]:
    """Tangents of the outputs, by a sweep over the tape. None is a structural zero."""
    base = sweeps.flat(tape)
    values = sweeps.replay(base, m, xs)
    pairs = zip(base.inputs, dots, strict=True)
    seeds = {slot: dot for slot, dot in pairs if dot is not None}
    found = sweeps.tangent(base, m, values, seeds)
    return [found[slot] for slot in base.outputs]
