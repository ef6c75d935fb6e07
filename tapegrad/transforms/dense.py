"""Whole Jacobians: many sweeps at once, forward or in reverse. Floor 11.

    J = (pullback of e_1, pullback of e_2, ...)        or columns, by pushforwards

The cheaper mode by shape: a row for each output entry, or a column for each input
entry. Few of them are swept one by one. Many are lanes of one replay: what is linear
in the seed is a tape of its own (`split`), which the batched reading computes for all
seeds together. A long tape whose Jacobian is mostly zeros is swept by colours
(`sparse`). Each output, or input, is seeded alone: the others' zeros are structural.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import jacobians, sweeps
from tapegrad.batching.lanes import Lanes, wide
from tapegrad.batching.reading import Batching
from tapegrad.binding import arithmetic_of, bind_for, numbers, plain
from tapegrad.calls import guarded, nest_inputs
from tapegrad.derivatives import (
    adjoint_tape,
    basis,
    by_each,
    differentiable,
    frozen_tape,
    inputs_onto,
    pullback_tape,
    scalar_output,
    tangent_tape,
)
from tapegrad.errors import ShapeError
from tapegrad.readings.mixed import MIXED
from tapegrad.real import frozen
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules.shapes import FLOATING
from tapegrad.sparse.plan import jacobian_plan
from tapegrad.tape.tape import Tape
from tapegrad.transforms.split import Parts, split

# Fewer sweeps are made one by one: to split a tape takes as long as 8 of them.
FEW = 8
# On a tape that is recorded fewer rows are steps of their own.
FEWER = 4
# Numbers that the slots of one replay may hold, over all lanes.
ROOM = 1 << 23
# Steps times sweeps from which on a pattern is looked for.
HEAVY = 1 << 18

Rows = list[list[Any]]


def derivatives(
    base: Tape,
    m: Any,
    inputs: Sequence[Any],
    wrt: Sequence[int] | None = None,
    count: int | None = None,
) -> tuple[list[Any], Rows]:
    """Slot values, and for each output its derivative by each of some inputs.

    As `jacobians.derivatives`, which makes sweep after sweep.
    """
    places = differentiable(base) if wrt is None else wrt
    chosen, outputs = [base.inputs[place] for place in places], base.outputs[:count]
    columns, rows = _size(base, chosen), _size(base, outputs)
    least = min(columns, rows)
    if m is not MIXED or least < FEW:
        return jacobians.derivatives(base, m, inputs, places, count)
    slots = sweeps.replay(base, m, inputs)
    found = None
    if least * len(base) >= HEAVY:
        found = _by_colours(base, m, inputs, places, outputs)
    if found is None and columns < rows:
        found = _by_columns(base, slots, inputs, places, outputs)
    if found is None:
        found = [_row(base, slots, inputs, places, output) for output in outputs]
    return slots, found


def _size(base: Tape, slots: Sequence[int]) -> int:
    return sum(math.prod(base.aval_of(slot)[0]) for slot in slots)


# -- at numbers --------------------------------------------------------------------


def _row(
    base: Tape,
    slots: Sequence[Any],
    inputs: Sequence[Any],
    places: Sequence[int],
    output: int,
) -> list[Any]:
    """One output's derivatives, by pullbacks of all its entries.

    Where a NaN is found they are made again with masks: the zeros of a seed are
    structural, and 0 * inf is none of the function's.
    """
    shape, dtype = base.aval_of(output)
    chosen = [base.inputs[place] for place in places]
    if dtype not in FLOATING or math.prod(shape) < FEW:
        return jacobians.array_rows(base, MIXED, slots, chosen, [output])[0]
    for masked in (False, True):
        parts = _backward(base, places, output, masked=masked)
        found = _lanes(parts, inputs, shape, dtype)
        if not any(np.isnan(part).any() for part in found):
            break
    return [
        part.reshape(shape + base.aval_of(slot)[0])
        for part, slot in zip(found, chosen, strict=True)
    ]


def _by_columns(
    base: Tape,
    slots: Sequence[Any],
    inputs: Sequence[Any],
    places: Sequence[int],
    outputs: Sequence[int],
) -> Rows | None:
    """All outputs' derivatives, by pushforwards of all input entries.

    None where a NaN is found: forward sweeps carry no masks.
    """
    rows: Rows = [[] for _ in outputs]
    for place in places:
        slot = base.inputs[place]
        lead, dtype = base.aval_of(slot)
        if math.prod(lead) < FEW:
            found = jacobians.forward_arrays(base, MIXED, slots, [slot], outputs)
            parts = [part for (part,) in found]
        else:
            lanes = _lanes(_forward(base, place, outputs), inputs, lead, dtype)
            parts = [_turned(part, lead) for part in lanes]
        if any(np.isnan(part).any() for part in parts):
            return None
        for row, part in zip(rows, parts, strict=True):
            row.append(part)
    return rows


def _turned(part: Any, lead: tuple[int, ...]) -> Any:
    """Lanes of an input's entries behind the output's axes."""
    moved = np.moveaxis(part, 0, -1)
    return np.array(moved.reshape(moved.shape[:-1] + lead))


def _by_colours(
    base: Tape,
    m: Any,
    inputs: Sequence[Any],
    places: Sequence[int],
    outputs: Sequence[int],
) -> Rows | None:
    """The Jacobian from its pattern, where that leaves few sweeps; else None."""
    smooth = set(differentiable(base))
    still = [place for place in range(len(base.inputs)) if place not in smooth]
    given = {base.inputs[place]: inputs[place] for place in still}
    chosen = [base.inputs[place] for place in places]
    one = _of(base, outputs)
    known = one._known
    plan = known.get(("plan", *chosen))
    if plan is None or not plan.fits(given):
        try:
            plan = jacobian_plan(one, chosen, given)
        except ShapeError:  # it is not sparse
            return None
        known["plan", *chosen] = plan
    if plan.count > min(plan.pattern.shape) // 4:
        return None
    whole = np.zeros(plan.pattern.shape)
    counts = np.diff(plan.pattern.indptr)
    row = np.repeat(np.arange(len(counts)), counts)
    whole[row, plan.pattern.indices] = plan.entries(m, inputs)
    return _blocks(base, whole, outputs, chosen)


def _blocks(
    base: Tape, whole: Any, outputs: Sequence[int], chosen: Sequence[int]
) -> Rows:
    """A matrix cut into a block for each output and input."""
    found: Rows = []
    top = 0
    for output in outputs:
        lead = base.aval_of(output)[0]
        mine = whole[top : top + math.prod(lead)]
        top += math.prod(lead)
        row, left = [], 0
        for slot in chosen:
            shape, dtype = base.aval_of(slot)
            part = mine[:, left : left + math.prod(shape)]
            left += math.prod(shape)
            part = np.array(part.reshape(lead + shape), dtype)
            row.append(part if part.ndim else part.item())
        found.append(row)
    return found


# -- what is linear ----------------------------------------------------------------


def _of(base: Tape, outputs: Sequence[int]) -> Tape:
    """The tape with some of its outputs, made once."""
    if tuple(outputs) == base.outputs:
        return base
    key = ("of", *outputs)
    made: Tape = _once(
        base, key, lambda: dataclasses.replace(base, outputs=tuple(outputs))
    )
    return made


def _once(base: Tape, key: Any, make: Callable[[], Any]) -> Any:
    known: dict[Any, Any] = base._known
    if key not in known:
        known[key] = make()
    return known[key]


def _backward(base: Tape, places: Sequence[int], output: int, *, masked: bool) -> Parts:
    """The pullback of one output, in two parts."""

    def make() -> Parts:
        grown = pullback_tape(_of(base, [output]), places, masked=masked)
        return split(sweeps.flat(grown), len(base.inputs), 1)

    found: Parts = _once(base, ("backward", output, masked, *places), make)
    return found


def _forward(base: Tape, place: int, outputs: Sequence[int]) -> Parts:
    """The pushforward of one input, in two parts."""

    def make() -> Parts:
        grown = tangent_tape(_of(base, outputs), values=True, wrt=[place])
        return split(sweeps.flat(grown), len(base.inputs), len(outputs))

    found: Parts = _once(base, ("forward", place, *outputs), make)
    return found


def _lanes(
    parts: Parts, inputs: Sequence[Any], shape: tuple[int, ...], dtype: str
) -> list[Any]:
    """The later part at every unit seed; lanes along the first axis."""
    early = sweeps.replay(parts.early, MIXED, inputs)
    residuals = [early[slot] for slot in parts.early.outputs[parts.count :]]
    later, total = parts.later, math.prod(shape)
    step = max(1, ROOM // max(1, _size(later, range(later.slot_count))))
    found: list[list[Any]] = [[] for _ in later.outputs]
    for low in range(0, total, step):
        seeds = _units(shape, dtype, range(low, min(low + step, total)))
        b = Batching(MIXED, len(seeds))
        values = sweeps.replay(later, b, [*residuals, Lanes(seeds)])
        for pile, slot in zip(found, later.outputs, strict=True):
            pile.append(wide(MIXED, values[slot], len(seeds)))
    return [np.concatenate(pile) for pile in found]


def _units(shape: tuple[int, ...], dtype: str, places: range) -> Any:
    """Arrays of a shape with a single 1, one for each of the places."""
    flat = np.zeros((len(places), math.prod(shape)), dtype)
    flat[np.arange(len(places)), places] = 1
    return frozen(flat.reshape(len(places), *shape))


# -- recorded ----------------------------------------------------------------------


def jacobian_tape(tape: Tape, wrt: Sequence[int], count: int) -> Tape:
    """A tape that gives all outputs, and the derivatives of the first ones.

    Args:
        tape: any tape.
        wrt: places of the inputs asked for.
        count: differentiate so many of the outputs.

    Returns:
        A tape with flat outputs: the values, then for each output the derivative by
        each input, in the output's shape followed by the input's.
    """
    base = sweeps.flat(tape)
    ends = base.outputs[:count]
    chosen = [base.inputs[place] for place in wrt]
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        outputs = [slots[slot] for slot in base.outputs]
        if _size(base, chosen) < _size(base, ends):
            columns = [_column(base, m, slots, place, ends) for place in wrt]
            rows: Any = zip(*columns, strict=True) if columns else [()] * len(ends)
        else:
            rows = [_recorded_row(base, m, slots, wrt, slot) for slot in ends]
        outputs += [part for row in rows for part in row]
        found = [recorder.slot_of(output) for output in outputs]
    return frozen_tape(recorder, inputs, found)


def _recorded_row(
    base: Tape, m: Any, slots: Sequence[Any], wrt: Sequence[int], output: int
) -> list[Any]:
    shape, dtype = base.aval_of(output)
    chosen = [base.inputs[place] for place in wrt]
    if dtype not in FLOATING or math.prod(shape) < FEWER:
        return by_each(base, m, slots, output, chosen)
    parts = _backward(base, wrt, output, masked=False)
    inputs = [slots[slot] for slot in base.inputs]
    found = _recorded_lanes(parts, m, inputs, shape, dtype)
    return [
        m.reshape(part, shape=shape + base.aval_of(slot)[0])
        for part, slot in zip(found, chosen, strict=True)
    ]


def _column(
    base: Tape, m: Any, slots: Sequence[Any], place: int, ends: Sequence[int]
) -> Iterator[Any]:
    """All outputs' derivatives by one input, on a recorder."""
    slot = base.inputs[place]
    lead, dtype = base.aval_of(slot)
    if math.prod(lead) < FEWER:
        one = np.float32(1) if dtype == "float32" else 1.0
        units = basis(lead, dtype) if lead else iter([one])
        dots = [sweeps.tangent(base, m, slots, {slot: m.number(u)}) for u in units]
        for output in ends:
            zero = slots[output]
            each = [m.like(0, zero) if d[output] is None else d[output] for d in dots]
            if not lead:
                yield each[0]
                continue
            shape = base.aval_of(output)[0]
            rows = [m.reshape(part, shape=(1, *shape)) for part in each]
            yield _behind(m, m.concatenate(*rows, axis=0), lead)
        return
    inputs = [slots[slot] for slot in base.inputs]
    parts = _forward(base, place, ends)
    for part in _recorded_lanes(parts, m, inputs, lead, dtype):
        yield _behind(m, part, lead)


def _behind(m: Any, part: Any, lead: tuple[int, ...]) -> Any:
    """Lanes of an input's entries behind the output's axes."""
    shape = m.shape(part)
    turned = m.transpose(part, axes=(*range(1, len(shape)), 0)) if shape[1:] else part
    return m.reshape(turned, shape=shape[1:] + lead)


def _recorded_lanes(
    parts: Parts, m: Any, inputs: Sequence[Any], shape: tuple[int, ...], dtype: str
) -> list[Any]:
    total = math.prod(shape)
    early = sweeps.replay(parts.early, m, inputs)
    residuals = [early[slot] for slot in parts.early.outputs[parts.count :]]
    seeds = Lanes(m.number(_units(shape, dtype, range(total))))
    values = sweeps.replay(parts.later, Batching(m, total), [*residuals, seeds])
    return [wide(m, values[slot], total) for slot in parts.later.outputs]


# -- of tapes ----------------------------------------------------------------------


@guarded
def jacobian(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> Any:
    """Each output's gradient: nested like the outputs, then like the arguments."""
    leaves = bind_for(tape, args, kwargs, arithmetic)
    base = sweeps.flat(tape)
    m = arithmetic_of(base, arithmetic)
    _, rows = derivatives(base, m, numbers(base, m, plain(tape, leaves)))
    return tape.structure.result.build([nest_inputs(base, row) for row in rows])


@guarded
def hessian(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> Any:
    """Second derivatives: the Jacobian of the gradient's tape."""
    scalar_output(tape)
    grown = tape._known.get("adjoint")
    if grown is None:
        grown = tape._known["adjoint"] = adjoint_tape(tape)
    return jacobian(grown, args, kwargs, arithmetic)
