"""Derivatives as tapes: a sweep in the recorder's reading is a tape again. Floor 7.

So every order exists, and a second derivative is a sweep over the tape of the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.errors import ShapeError
from tapegrad.passes import prune
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import Tape


def gradient_tape(
    tape: Tape, *, values: bool = True, wrt: Sequence[int] | None = None
) -> Tape:
    """A tape that gives the outputs and, after them, every output's gradient.

    Args:
        tape: a tape of scalars.
        values: put the outputs first.
        wrt: places of the inputs asked for, all by default.

    Returns:
        A tape with flat outputs: the values, then for each output the adjoint of each
        input, in order.
    """
    base = sweeps.flat(tape)
    chosen = base.inputs if wrt is None else [base.inputs[place] for place in wrt]
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = _inputs(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        outputs = [slots[slot] for slot in base.outputs] if values else []
        for slot in base.outputs:
            bars = sweeps.adjoint(base, m, slots, {slot: m.number(1.0)}, chosen)
            outputs += [m.number(0.0) if bars[i] is None else bars[i] for i in chosen]
        found = [recorder.slot_of(output) for output in outputs]
    return _frozen(recorder, inputs, found)


def adjoint_tape(tape: Tape) -> Tape:
    """The gradient of a tape with one output, as a tape called like it.

    Raises:
        ShapeError: the tape has several outputs; see `gradient_tape`.
    """
    scalar_output(tape)
    grown = gradient_tape(tape, values=False)
    structure = dataclasses.replace(
        tape.structure, result=gradient_tree(tape.structure)
    )
    return dataclasses.replace(grown, structure=structure, _digest=[])


def tangent_tape(tape: Tape, *, values: bool = False) -> Tape:
    """Forward mode as a tape: inputs and then their tangents give output tangents.

    Args:
        tape: a tape of scalars.
        values: put the outputs before their tangents.
    """
    base = sweeps.flat(tape)
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = _inputs(recorder, base)
        dots = [recorder.variable(0.0, f"{label}_dot") for label in base.input_labels()]
        slots = sweeps.replay(base, m, inputs)
        seeds = dict(zip(base.inputs, dots, strict=True))
        found = sweeps.tangent(base, m, slots, seeds)
        outputs = [slots[slot] for slot in base.outputs] if values else []
        outputs += [
            m.number(0.0) if found[i] is None else found[i] for i in base.outputs
        ]
        places = [recorder.slot_of(output) for output in outputs]
    structure = Structure(tape.structure.arguments * 2, (), tape.structure.result)
    return _frozen(recorder, [*inputs, *dots], places, None if values else structure)


def scalar_output(tape: Tape) -> None:
    """Raise unless the tape has one bare output."""
    if len(tape.outputs) != 1 or not tape.structure.result.bare:
        msg = (
            f"the tape has {len(tape.outputs)} outputs in a structure, and a gradient "
            "is of one number; use tape.jacobian, or return one number"
        )
        raise ShapeError(msg)


def gradient_tree(structure: Structure) -> Tree:
    """How a gradient nests: bare for one argument, a tuple for several."""
    trees = [tree for tree in structure.arguments if tree.dynamic]
    if len(trees) == 1:
        return trees[0]
    nested = tuple(
        tree.build([0.0] * len(tree.dynamic), statics=False) for tree in trees
    )
    _, tree = flatten(nested, lambda leaf: isinstance(leaf, float))
    return tree


def _inputs(recorder: Recorder, base: Tape) -> list[Any]:
    example = base.example or [0.0] * len(base.inputs)
    return [
        recorder.variable(value, base.labels.get(slot, ""))
        for slot, value in zip(base.inputs, example, strict=True)
    ]


def _frozen(
    recorder: Recorder,
    inputs: Sequence[Any],
    outputs: Sequence[int],
    structure: Structure | None = None,
) -> Tape:
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
    return prune(grown)
