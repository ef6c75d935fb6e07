"""Whole Jacobians: many sweeps at once, forward or in reverse. Floor 11.

    J = (pullback of e_1, pullback of e_2, ...)        or columns, by pushforwards

The cheaper mode by shape: a row for each output entry, or a column for each input
entry. Few of them are swept one by one. Many are lanes of one replay: what is linear
in the seed is a tape of its own (`split`), which the batched reading computes for all
seeds together. A long tape whose Jacobian is mostly zeros is swept by colours
(`sparse`). Each output, or input, is seeded alone: the others' zeros are structural.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import jacobians, sweeps
from tapegrad.binding import arithmetic_of, bind_for, numbers, plain
from tapegrad.calls import guarded, nest_inputs
from tapegrad.derivatives import adjoint_tape, differentiable, scalar_output
from tapegrad.errors import ShapeError
from tapegrad.readings.mixed import MIXED
from tapegrad.rules.shapes import FLOATING
from tapegrad.sparse.plan import jacobian_plan
from tapegrad.tape.tape import Tape
from tapegrad.transforms.linear import backward, forward, of_outputs, size_of, units_of
from tapegrad.transforms.split import Parts

# Fewer sweeps are made one by one: to split a tape takes as long as 8 of them.
FEW = 8
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
) -> tuple[Sequence[Any], Rows]:
    """Slot values, and for each output its derivative by each of some inputs.

    As `jacobians.derivatives`, which makes sweep after sweep.
    """
    places = differentiable(base) if wrt is None else wrt
    chosen, outputs = [base.inputs[place] for place in places], base.outputs[:count]
    columns, rows = size_of(base, chosen), size_of(base, outputs)
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
        parts = backward(base, places, output, masked=masked)
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
            lanes = _lanes(forward(base, place, outputs), inputs, lead, dtype)
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
    one = of_outputs(base, outputs)
    known = one._known
    key = f"plan {chosen}"
    plan = known.get(key)
    if plan is None or not plan.fits(given):
        try:
            plan = jacobian_plan(one, chosen, given)
        except ShapeError:  # it is not sparse
            return None
        known[key] = plan
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


# -- lanes ----------------------------------------------------------------------


def _lanes(
    parts: Parts, inputs: Sequence[Any], shape: tuple[int, ...], dtype: str
) -> list[Any]:
    """The later part at every unit seed; lanes along the first axis."""
    residuals = parts.residuals(MIXED, inputs)
    later, total = parts.later, math.prod(shape)
    step = max(1, ROOM // max(1, size_of(later, range(later.slot_count))))
    found: list[list[Any]] = [[] for _ in later.outputs]
    for low in range(0, total, step):
        seeds = units_of(shape, dtype, range(low, min(low + step, total)))
        made = parts.lanes(MIXED, residuals, seeds, len(seeds))
        for pile, part in zip(found, made, strict=True):
            pile.append(part)
    return [np.concatenate(pile) for pile in found]


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
