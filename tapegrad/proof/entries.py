"""A row applied to whole arrays, entry by entry, in every way there is. Floor 10.

    arrays           the interpreter on a tape whose inputs are arrays
    eager arrays     Values that hold arrays, and their backward
    native arrays    loops of machine code, from the adjoint tape
    float32          the first and the last, in single precision

Each gives values and partials of all points at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.eager import backward
from tapegrad.proof.accuracy import Found, Sample
from tapegrad.proof.onestep import reading_for
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape import Tape
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.value import Value

Columns = list[Any]
# Value, and a partial for each operand that has one.
Results = Sequence[Any]


def by_parameters(judged: Sequence[Sample]) -> Iterator[tuple[Any, list[Sample]]]:
    """Samples of the same static parameters, which one tape can hold."""
    for _, same in itertools.groupby(judged, key=lambda sample: id(sample.params)):
        group = list(same)
        yield group[0].params, group


def entries(
    how: str, row: Primitive, judged: Sequence[Sample], dtype: str = "float64"
) -> Iterator[Found]:
    """Values and partials of all samples.

    Args:
        how: "arrays", "eager arrays", "native arrays".
        row: the row.
        judged: where.
        dtype: of the arrays, "float64" or "float32".
    """
    for params, group in by_parameters(judged):
        xs = _columns(group, dtype)
        free = [place for place, x in enumerate(xs) if x.dtype != np.bool_]
        with np.errstate(all="ignore"):
            found = [np.asarray(part) for part in WAYS[how](row, params, xs, free)]
        for part in found:
            if part.dtype != dtype:
                msg = f"{how} of {dtype} give {part.dtype} for {row.name}"
                raise TypeError(msg)
        columns = [np.broadcast_to(part, len(group)).tolist() for part in found]
        for y, *partials in zip(*columns, strict=True):
            yield y, dict(zip(free, partials, strict=True))


def _columns(group: Sequence[Sample], dtype: str) -> Columns:
    columns = zip(*(sample.point for sample in group), strict=True)
    return [
        np.array(column) if isinstance(column[0], bool) else np.array(column, dtype)
        for column in columns
    ]


def _interpreted(
    row: Primitive, params: Any, xs: Columns, free: Sequence[int]
) -> Results:
    tape = _step(row, params, xs, free)
    m = reading_for(MIXED, row)
    slots = sweeps.replay(tape, m, [xs[place] for place in free])
    out = tape.outputs[0]
    bars = sweeps.adjoint(tape, m, slots, {out: np.ones_like(slots[out])})
    found = [bars[slot] for slot in tape.inputs]
    zero = np.zeros_like(slots[out])
    return [slots[out], *(zero if part is None else part for part in found)]


def _eager(row: Primitive, params: Any, xs: Columns, free: Sequence[int]) -> Results:
    operands = [Value(x) if place in free else x for place, x in enumerate(xs)]
    y = apply(row, *operands, **params)
    backward(y, np.ones_like(y.data))
    # an adjoint that never came is the float 0
    parts = [np.asarray(operands[place].grad, y.dtype) for place in free]
    return [y.data, *parts]


def _native(row: Primitive, params: Any, xs: Columns, free: Sequence[int]) -> Results:
    compiled = _sweep(row, params, xs, free).compile()
    found = compiled(*[xs[place] for place in free])
    return list(found)


WAYS: dict[str, Callable[..., Results]] = {
    "arrays": _interpreted,
    "eager arrays": _eager,
    "native arrays": _native,
}


def ways(row: Primitive) -> list[str]:
    """The ways that read the row itself: eager code takes the table's."""
    mine = row.name in TABLE and TABLE[row.name] is row
    return [name for name in WAYS if mine or name != "eager arrays"]


def _step(row: Primitive, params: Any, xs: Columns, free: Sequence[int]) -> Tape:
    """The step on a tape whose inputs are arrays."""

    def outputs(recorder: Recorder, operands: Columns) -> list[Any]:
        del recorder
        return [apply(row, *operands, **params)]

    return _recorded(xs, free, outputs)


def _sweep(row: Primitive, params: Any, xs: Columns, free: Sequence[int]) -> Tape:
    """The step and its reverse sweep on a tape: arrays in, value and partials out."""
    step = _step(row, params, xs, free)

    def outputs(recorder: Recorder, operands: Columns) -> list[Any]:
        m = reading_for(RecorderReading(recorder), row)
        inputs = [operands[place] for place in free]
        slots = sweeps.replay(step, m, inputs)
        out = step.outputs[0]
        bars = sweeps.adjoint(step, m, slots, {out: m.like(1, slots[out])})
        found = [bars[slot] for slot in step.inputs]
        zero = m.like(0, slots[out])
        return [slots[out], *(zero if part is None else part for part in found)]

    return _recorded(xs, free, outputs)


def _recorded(
    xs: Columns, free: Sequence[int], outputs: Callable[[Recorder, Columns], list[Any]]
) -> Tape:
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        operands = [
            recorder.variable(x) if place in free else m.number(x)
            for place, x in enumerate(xs)
        ]
        found = [recorder.slot_of(x) for x in outputs(recorder, operands)]
        inputs = [recorder.slot_of(operands[place]) for place in free]
    _, result = flatten(found, lambda leaf: isinstance(leaf, int))
    return recorder.freeze(
        inputs=tuple(inputs),
        outputs=tuple(found),
        structure=Structure(tuple(Tree() for _ in inputs), (), result),
        example=tuple(xs[place] for place in free),
    )
