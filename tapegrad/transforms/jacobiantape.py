"""Whole Jacobians on a tape, for what is recorded or differentiated again. Floor 11.

The seeds are constants of the tape, and a replay for all of them together is its steps:
their number does not grow with the entries. Few entries are sweeps of their own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import basis, by_each, frozen_tape
from tapegrad.passing import partials_of
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Static, Tape
from tapegrad.transforms.linear import backward, forward, size_of, units_of
from tapegrad.transforms.split import Parts

# On a tape that is recorded fewer rows are steps of their own.
FEWER = 4
# Operands at which partials of rows have poles or overflow: ends of domains, and
# numbers whose squares and cubes still fit.
_ENDS = (0.0, 0.5, 1.0, 2.0, 3.0, 1e-300, 1e100)
ENDS = np.array([*(-x for x in _ENDS), *_ENDS])


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
        if size_of(base, chosen) < size_of(base, ends):
            columns = [_column(base, m, slots, place, ends) for place in wrt]
            rows: Any = zip(*columns, strict=True) if columns else [()] * len(ends)
        else:
            rows = [_recorded_row(base, m, slots, wrt, slot) for slot in ends]
        outputs += [part for row in rows for part in row]
        found = [recorder.slot_of(output) for output in outputs]
    return frozen_tape(recorder, inputs, found)


def _steep(base: Tape) -> bool:
    """Whether a partial may be infinite, so that a seed's zeros need masks.

    At numbers a NaN tells. What is recorded is good for other numbers, too.
    """
    for code, static in set(
        zip(base.opcode.tolist(), base.static.tolist(), strict=True)
    ):
        row = TABLE[base.operations[code]]
        if row.nested or row.digest:  # a row of a user may have its poles anywhere
            return True
        if row.kind == "elementwise" and not _tame(row.name, base.statics[static]):
            return True
    return False


@functools.lru_cache(1000)
def _tame(name: str, static: Static) -> bool:
    """Whether a row's partials are finite wherever its operands are, as `ENDS` tell."""
    row, params = TABLE[name], dict(static)
    xs = [grid.ravel() for grid in np.meshgrid(*[ENDS] * row.arity)]
    with np.errstate(all="ignore"):
        y = getattr(MIXED, row.name)(*xs, **params)
        found = partials_of(MIXED, row, y, xs, params)
        return all(bool(np.isfinite(partial).all()) for partial in found)


def _recorded_row(
    base: Tape, m: Any, slots: Sequence[Any], wrt: Sequence[int], output: int
) -> list[Any]:
    shape, dtype = base.aval_of(output)
    chosen = [base.inputs[place] for place in wrt]
    steep = bool(shape) and _steep(base)
    if dtype not in FLOATING or (math.prod(shape) < FEWER and not steep):
        return by_each(base, m, slots, output, chosen)
    parts = backward(base, wrt, output, masked=steep)
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
            if not each:
                yield m.broadcast_to(m.number(0.0), shape=shape + lead)
                continue
            rows = [m.reshape(part, shape=(1, *shape)) for part in each]
            yield _behind(m, m.concatenate(*rows, axis=0), lead)
        return
    inputs = [slots[slot] for slot in base.inputs]
    parts = forward(base, place, ends)
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
    seeds = m.number(units_of(shape, dtype, range(total)))
    return parts.lanes(m, parts.residuals(m, inputs), seeds, total)
