"""Derivatives as tapes: a sweep in the recorder's reading is a tape again. Floor 7.

So every order exists, and a second derivative is a sweep over the tape of the first.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import ShapeError
from tapegrad.passes import prune, tidy
from tapegrad.readings.mixed import MIXED
from tapegrad.real import frozen
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import Tape

# Up to so many steps of scalars the tape of a derivative is tidied. On a longer one
# that takes as long as making the tape, and steps of scalars cost next to nothing.
SHORT = 4096


def differentiable(tape: Tape) -> list[int]:
    """Places of the inputs that have a derivative: floats, not ints or truth values."""
    return [
        place
        for place, slot in enumerate(tape.inputs)
        if tape.aval_of(slot)[1] in FLOATING
    ]


def gradient_tape(
    tape: Tape, *, values: bool = True, wrt: Sequence[int] | None = None
) -> Tape:
    """A tape that gives the outputs and, after them, every output's gradient.

    Args:
        tape: any tape.
        values: put the outputs first.
        wrt: places of the inputs asked for, all differentiable ones by default.

    Returns:
        A tape with flat outputs: the values, then for each output the derivative by
        each input, in order, in the output's shape followed by the input's.
    """
    base = sweeps.flat(tape)
    places = differentiable(base) if wrt is None else wrt
    chosen = [base.inputs[place] for place in places]
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        outputs = [slots[slot] for slot in base.outputs] if values else []
        for slot in base.outputs:
            outputs += by_each(base, m, slots, slot, chosen)
        found = [recorder.slot_of(output) for output in outputs]
    return frozen_tape(recorder, inputs, found)


def by_each(
    base: Tape, m: Any, slots: Sequence[Any], output: int, chosen: Sequence[int]
) -> list[Any]:
    """One output's derivative by each of the chosen inputs."""
    shape, dtype = base.aval_of(output)
    if dtype not in FLOATING:
        return [
            m.like(0, m.broadcast_to(m.number(0.0), shape=shape + m.shape(slots[i])))
            for i in chosen
        ]
    if not shape:
        seed = m.like(1, slots[output])
        bars = sweeps.adjoint(base, m, slots, {output: seed}, chosen)
        return [m.like(0, slots[i]) if bars[i] is None else bars[i] for i in chosen]
    rows: list[list[Any]] = [[] for _ in chosen]
    for seed in basis(shape, dtype):
        bars = sweeps.adjoint(base, m, slots, {output: m.number(seed)}, chosen)
        for row, i in zip(rows, chosen, strict=True):
            bar = m.like(0, slots[i]) if bars[i] is None else bars[i]
            row.append(m.reshape(bar, shape=(1, *m.shape(slots[i]))))
    out = []
    for row, i in zip(rows, chosen, strict=True):
        full = (*shape, *m.shape(slots[i]))
        if row:
            out.append(m.reshape(m.concatenate(*row, axis=0), shape=full))
        else:
            out.append(m.broadcast_to(m.number(0.0), shape=full))
    return out


def basis(shape: tuple[int, ...], dtype: str) -> Iterator[Any]:
    """Arrays of a shape with a single 1, entry by entry."""
    for place in range(math.prod(shape)):
        unit = np.zeros(shape, dtype)
        unit.ravel()[place] = 1
        yield frozen(unit)


def pullback_tape(
    tape: Tape, wrt: Sequence[int], count: int | None = None, *, masked: bool = False
) -> Tape:
    """Reverse mode as a tape: inputs and output adjoints give values and adjoints.

    Args:
        tape: any tape.
        wrt: places of the inputs asked for.
        count: so many of the outputs have adjoints, the first ones; all by default.
        masked: zeros among the adjoints are structural, entry by entry.
    """
    base = sweeps.flat(tape)
    chosen = [base.inputs[place] for place in wrt]
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        ends = base.outputs[:count]
        seeds = [recorder.variable(MIXED.like(0, slots[slot]._data)) for slot in ends]
        given = sweeps.summed(ends, seeds)
        masks = {i: m.not_equal(bar, 0) for i, bar in given.items() if masked}
        bars = sweeps.adjoint(base, m, slots, given, chosen, masks=masks)
        outputs = [slots[slot] for slot in base.outputs]
        outputs += [m.like(0, slots[i]) if bars[i] is None else bars[i] for i in chosen]
        found = [recorder.slot_of(output) for output in outputs]
    return frozen_tape(recorder, [*inputs, *seeds], found)


def adjoint_tape(tape: Tape) -> Tape:
    """The gradient of a tape with one output, as a tape called like it.

    Raises:
        ShapeError: the tape has several outputs; see `gradient_tape`.
    """
    scalar_output(tape)
    grown = gradient_tape(tape, values=False)
    structure = dataclasses.replace(tape.structure, result=gradient_tree(tape))
    return dataclasses.replace(grown, structure=structure)


def tangent_tape(
    tape: Tape,
    *,
    values: bool = False,
    wrt: Sequence[int] | None = None,
    count: int | None = None,
) -> Tape:
    """Forward mode as a tape: inputs and then their tangents give output tangents.

    Args:
        tape: any tape.
        values: put the outputs before their tangents.
        wrt: places of the inputs that have a tangent, and move; all have one by
            default, and those that are differentiable move.
        count: give the tangents of so many outputs, the first ones; all by default.
    """
    base = sweeps.flat(tape)
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = inputs_onto(recorder, base)
        labels = base.input_labels()
        moving = range(len(inputs)) if wrt is None else wrt
        dots = [
            recorder.variable(MIXED.like(0, inputs[i]._data), f"{labels[i]}_dot")
            for i in moving
        ]
        slots = sweeps.replay(base, m, inputs)
        smooth = set(differentiable(base))
        pairs = zip(moving, dots, strict=True)
        seeds = {base.inputs[place]: dot for place, dot in pairs if place in smooth}
        found = sweeps.tangent(base, m, slots, seeds)
        outputs = [slots[slot] for slot in base.outputs] if values else []
        outputs += [
            m.like(0, slots[i]) if found[i] is None else found[i]
            for i in base.outputs[:count]
        ]
        places = [recorder.slot_of(output) for output in outputs]
    structure = Structure(tape.structure.arguments * 2, (), tape.structure.result)
    whole = not values and wrt is None and count is None
    return frozen_tape(recorder, [*inputs, *dots], places, structure if whole else None)


def scalar_output(tape: Tape) -> None:
    """Raise unless the tape has one bare output that is one float."""
    if len(tape.outputs) != 1 or not tape.structure.result.bare:
        msg = (
            f"the tape has {len(tape.outputs)} outputs in a structure, and a gradient "
            "is of one number; use tape.jacobian, or return one number"
        )
        raise ShapeError(msg)
    shape, dtype = tape.aval_of(tape.outputs[0])
    if shape or dtype not in FLOATING:
        msg = (
            f"the tape gives an array of shape {shape} and dtype {dtype}, and a "
            "gradient is of one float; use tape.jacobian or tape.vjp, or return .sum()"
        )
        raise ShapeError(msg)


def gradient_tree(tape: Tape) -> Tree:
    """How a gradient nests: bare for one argument, a tuple for several.

    Arguments without a differentiable leaf are left out; None stands where a leaf
    among others has no derivative.
    """
    trees = gradient_trees(tape)
    if len(trees) == 1:
        return trees[0]
    nested = tuple(
        tree.build([0.0] * len(tree.dynamic), statics=False) for tree in trees
    )
    _, tree = flatten(nested, lambda leaf: isinstance(leaf, float))
    return tree


def gradient_trees(tape: Tape) -> list[Tree]:
    """The trees of the arguments that have a derivative, of just such leaves."""
    smooth = set(differentiable(tape))
    found, start = [], 0
    for tree in tape.structure.arguments:
        kept = tuple(
            place
            for number, place in enumerate(tree.dynamic, start=start)
            if number in smooth
        )
        start += len(tree.dynamic)
        if kept:
            found.append(Tree(tree.spec, kept))
    return found


def frozen_tape(
    recorder: Recorder,
    inputs: Sequence[Any],
    outputs: Sequence[int],
    structure: Structure | None = None,
) -> Tape:
    """The tape of a derivative: frozen, and tidied where that is worth it."""
    if structure is None:
        result = Tree()
        if len(outputs) != 1:
            _, result = flatten([0.0] * len(outputs), lambda x: isinstance(x, float))
        structure = Structure(tuple(Tree() for _ in inputs), (), result)
    grown = recorder.freeze(
        inputs=tuple(handle._i for handle in inputs),
        outputs=tuple(outputs),
        structure=structure,
        example=tuple(handle._data for handle in inputs),
    )
    return tidy(grown) if grown.arrays or len(grown) <= SHORT else prune(grown)
