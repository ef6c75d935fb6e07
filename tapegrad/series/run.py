"""A tape read in power series: at numbers, or once more as a tape. Floor 10."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import differentiable
from tapegrad.passes import prune
from tapegrad.readings import reading
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.series.power import Series, head
from tapegrad.series.reading import SeriesReading
from tapegrad.tape.tape import Tape
from tapegrad.value import Value


def arithmetic_of(name: str) -> Any:
    """The reading of an ``arithmetic=`` name that knows shapes, as series have them."""
    return MIXED if name == "float64" else reading(name)


def read_in_series(
    base: Tape,
    m: Any,
    inputs: Sequence[Any],
    steps: Sequence[Sequence[Any]],
    order: int,
) -> list[list[Any]]:
    """The terms of each output of a flat tape.

    Args:
        base: the tape.
        m: the reading of the terms.
        inputs: term 0 of each input.
        steps: further terms of the first inputs that have a derivative.
        order: the last term.
    """
    series = SeriesReading(m, order)
    given = [series.lift(x) for x in inputs]
    for place, mine in zip(differentiable(base), steps, strict=False):
        given[place] = polynomial(series, inputs[place], mine[:order])
    slots = sweeps.replay(base, series, given)
    found = [terms_of(m, slots[slot], order) for slot in base.outputs]
    for y in slots:
        if isinstance(y, Series):
            y.forget()  # what others asked of it knows it in turn
    return found


def polynomial(m: SeriesReading, point: Any, steps: Sequence[Any]) -> Series:
    """The series of an input: structural zeros after the terms given."""
    made = Series(m, point, lambda k: steps[k - 1])
    made.reach(len(steps))
    made.forget()
    return made


def terms_of(m: Any, y: Any, order: int) -> list[Any]:
    """The terms of a series up to an order; zeros where there are none."""
    found = [head(y)]
    for k in range(1, order + 1):
        term = y.term(k) if isinstance(y, Series) else None
        found.append(m.like(0, found[0]) if term is None else term)
    return found


def taylor_tape(tape: Tape, order: int, moved: int, terms: int) -> Tape:
    """The Taylor coefficients as a tape: what differentiates once more.

    Args:
        tape: any tape.
        order: the last coefficient.
        moved: so many of the first inputs with a derivative move.
        terms: how many terms of each are given.

    Returns:
        A tape of the inputs and then the terms of each that moves. It gives for each
        output its coefficients, one after the other.
    """
    base = sweeps.flat(tape)
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        steps = [
            [
                recorder.variable(plain(np.zeros(*base.aval_of(base.inputs[place]))))
                for _ in range(terms)
            ]
            for place in differentiable(base)[:moved]
        ]
        found = read_in_series(base, m, inputs, steps, order)
        outputs = [
            m.number(y) if not isinstance(y, Value) else y for y in chain(*found)
        ]
        places = [*inputs, *chain(*steps)]
        slots = [[recorder.slot_of(y) for y in part] for part in (places, outputs)]
    return prune(recorder.freeze(tuple(slots[0]), tuple(slots[1])))


def stacked(terms: Sequence[Any]) -> Any:
    """Terms along a new first axis."""
    if any(isinstance(term, Value) for term in terms):
        return np.stack(terms)
    if isinstance(terms[0], np.ndarray):
        return np.stack(terms)
    numeric = isinstance(terms[0], float | np.generic | bool)
    found = np.empty(len(terms), None if numeric else object)
    found[:] = terms
    return found
