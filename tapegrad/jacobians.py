"""Jacobians at numbers: for each output its derivative by each input. Floor 8.

The cheaper mode by shape: one forward sweep an input entry, or one reverse sweep an
output entry. In bulk the partials are computed once, and a reverse sweep costs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import bulk, short, sweeps
from tapegrad.binding import result
from tapegrad.derivatives import basis, differentiable
from tapegrad.eager import accumulator
from tapegrad.native.machine.choice import machine
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

# So many reverse sweeps of the machine take as long as a forward sweep in Python.
SWEEPS = 32
# From this size on a gradient is swept in bulk.
BULK = 512


def in_bulk(tape: Tape, m: Any) -> bool:
    """Whether a sweep of floats is worth NumPy's fixed costs.

    A step with very many operands would make the table of operands too wide.
    """
    widest = max((TABLE[name].arity for name in tape.operations), default=0)
    return m is SCALAR and len(tape) >= BULK and widest <= 8


def zero_of(tape: Tape, m: Any, slot: int, lead: tuple[int, ...] = ()) -> Any:
    """A structural zero in the shape of a slot."""
    shape, dtype = tape.aval_of(slot)
    shape = (*lead, *shape)
    if not shape:
        single = dtype == "float32" and m is MIXED
        return np.float32(0) if single else m.number(0)
    return m.like(0, np.empty(shape, dtype))


def ones_of(base: Tape, m: Any, slot: int) -> Any:
    """The seed of each entry of an output; None where it has no derivative."""
    shape, dtype = base.aval_of(slot)
    if dtype not in FLOATING:
        return None
    if not shape:
        return np.float32(1) if dtype == "float32" and m is MIXED else m.number(1)
    return m.like(1, np.empty(shape, dtype))


def derivatives(
    base: Tape,
    m: Any,
    inputs: Sequence[Any],
    wrt: Sequence[int] | None = None,
    count: int | None = None,
) -> tuple[Sequence[Any], list[list[Any]]]:
    """Slot values, and for each output its derivative by each of some inputs.

    Args:
        base: a flat tape.
        m: the reading.
        inputs: their numbers.
        wrt: places of the inputs asked for, all differentiable ones by default.
        count: so many of the outputs, the first ones; all by default.
    """
    places = differentiable(base) if wrt is None else wrt
    chosen, outputs = [base.inputs[place] for place in places], base.outputs[:count]
    native = machine(len(base)) if m is SCALAR else None
    found = None if native is None else native.replay(base, inputs)
    if found is not None and len(outputs) <= SWEEPS * len(chosen):
        return found, _machine_rows(native, base, found, chosen, outputs)
    if found is None and m is SCALAR:
        found = short.replay(base, inputs)
    slots = sweeps.replay(base, m, inputs) if found is None else list(found)
    if base.arrays:
        return slots, array_rows(base, m, slots, chosen, outputs)
    if in_bulk(base, m):
        return slots, _bulk_rows(base, slots, chosen, outputs)
    if 0 < len(chosen) < len(outputs):
        return slots, _forward_rows(base, m, slots, chosen, outputs)
    zero = result(m, m.number(0))
    rows = []
    for slot in outputs:
        seeds = {slot: m.number(1)}
        bars = short.adjoint(base, slots, seeds) if m is SCALAR else None
        if bars is None:
            bars = sweeps.adjoint(base, m, slots, seeds, chosen)
        mine = [bars[i] for i in chosen]
        rows.append([zero if bar is None else result(m, bar) for bar in mine])
    return slots, rows


def array_rows(
    base: Tape,
    m: Any,
    slots: Sequence[Any],
    chosen: Sequence[int] | None = None,
    ends: Sequence[int] | None = None,
) -> list[list[Any]]:
    """For each output its derivative by each chosen input, shapes joined."""
    outputs = base.outputs if ends is None else ends
    inputs = chosen
    if inputs is None:
        inputs = [base.inputs[place] for place in differentiable(base)]
    sizes = [
        [math.prod(base.aval_of(i)[0]) for i in places] for places in (inputs, outputs)
    ]
    if sum(sizes[0]) < sum(sizes[1]):
        found = forward_arrays(base, m, slots, inputs, outputs)
        # forward sweeps carry no masks: a seed's 0 * inf is none of the function's
        if m is not MIXED or not any(
            np.isnan(part).any() for row in found for part in row
        ):
            return found
    rows = []
    for output in outputs:
        lead, dtype = base.aval_of(output)
        if dtype not in FLOATING:
            rows.append([result(m, zero_of(base, m, i, lead)) for i in inputs])
            continue
        one = [ones_of(base, m, output)]
        seeds = map(m.number, basis(lead, dtype)) if lead else one
        bars = [_row(base, m, slots, output, seed, inputs) for seed in seeds]
        rows.append(
            [_piled(base, m, [bar[i] for bar in bars], i, lead) for i in inputs]
        )
    return rows


def _row(
    base: Tape,
    m: Any,
    slots: Sequence[Any],
    output: int,
    seed: Any,
    inputs: Sequence[int],
) -> list[Any]:
    """Adjoints for a seed with a single 1.

    The zeros of the seed are structural: other entries contribute nothing, even where
    their partials are infinite. A mask says so; it is asked for where a NaN is found.
    """
    seeds = {output: seed}
    bars = sweeps.adjoint(base, m, slots, seeds, inputs)
    if m is not MIXED or not np.shape(seed):
        return bars
    if not any(np.isnan(bars[i]).any() for i in inputs if bars[i] is not None):
        return bars
    return sweeps.adjoint(base, m, slots, seeds, inputs, masks={output: seed != 0})


def _piled(
    base: Tape, m: Any, parts: Sequence[Any], slot: int, lead: tuple[int, ...]
) -> Any:
    """Derivatives of a slot's shape as one array, an axis more for each of lead."""
    full = [zero_of(base, m, slot) if part is None else part for part in parts]
    if not lead:
        return result(m, full[0])
    shape = base.aval_of(slot)[0]
    if not full:
        return result(m, zero_of(base, m, slot, lead))
    return result(m, np.stack([np.asarray(p) for p in full]).reshape(lead + shape))


def forward_arrays(
    base: Tape,
    m: Any,
    slots: Sequence[Any],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> list[list[Any]]:
    """Jacobians by forward mode: few inputs, many outputs."""
    rows: list[list[Any]] = [[] for _ in outputs]
    for i in inputs:
        lead, dtype = base.aval_of(i)
        seeds = [np.float32(1) if dtype == "float32" else 1.0] if not lead else None
        units = map(m.number, basis(lead, dtype) if seeds is None else seeds)
        dots = [sweeps.tangent(base, m, slots, {i: unit}) for unit in units]
        for row, output in zip(rows, outputs, strict=True):
            piled = _piled(base, m, [dot[output] for dot in dots], output, lead)
            if lead and base.aval_of(output)[0]:
                order = (*range(len(lead), piled.ndim), *range(len(lead)))
                piled = np.array(np.transpose(piled, order))
            row.append(piled)
    return rows


def _machine_rows(
    native: Any,
    base: Tape,
    slots: Sequence[Any],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> list[list[float]]:
    """A sweep of the machine for each output."""
    rows = []
    for slot in outputs:
        bars = native.adjoint(base, slots, {slot: 1.0})
        found = [bars[i] for i in inputs]
        rows.append([0.0 if bar is None else bar for bar in found])
    return rows


def _bulk_rows(
    base: Tape, slots: Sequence[Any], inputs: Sequence[int], outputs: Sequence[int]
) -> list[Any]:
    lines = bulk.lines_of_tape(base, np.array(slots, dtype=np.float64))
    reads, partials = bulk.linearised(lines)
    loop = accumulator(len(slots) * len(outputs))
    places = list(inputs)
    rows = []
    for slot in outputs:
        bars, _ = bulk.sweep(reads, partials, {slot: 1.0}, loop)
        rows.append(bars[places].tolist())
    return rows


def _forward_rows(
    base: Tape,
    m: Any,
    slots: Sequence[Any],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> list[Any]:
    zero = result(m, m.number(0))
    columns = []
    for slot in inputs:
        dots = sweeps.tangent(base, m, slots, {slot: m.number(1)})
        columns.append(
            [zero if dots[i] is None else result(m, dots[i]) for i in outputs]
        )
    return [list(row) for row in zip(*columns, strict=True)]
