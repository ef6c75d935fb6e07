"""A tape of entries as one of arrays again, to be called and derived like any. Floor 9.

The gradient of a loop over entries adds an array for each entry that was read, when it
is recorded: time and memory go with the square of the length. Made of entries it has a
step an entry at both ends, and in between the steps of numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import derivatives, sweeps
from tapegrad.native.scalars.derived import Flat, derived
from tapegrad.native.scalars.kernels import is_numbers
from tapegrad.real import frozen
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import Aval, Tape

# Steps up to which the tape of a gradient is recorded: its derivatives are then the
# interpreter's to the last bit, as sums are added in the same order.
RECORDED = 2000


def adjoint_tape(tape: Tape) -> Tape:
    """The gradient of a tape with one output; see `derivatives.adjoint_tape`."""
    base = sweeps.flat(tape)
    if not _long(base):
        return derivatives.adjoint_tape(tape)
    flat = derived(base, "gradient")
    alone = dataclasses.replace(flat.tape, outputs=flat.tape.outputs[1:])
    result = derivatives.gradient_tree(tape)
    structure = dataclasses.replace(tape.structure, result=result)
    flat = Flat(alone, flat.inputs, flat.outputs[1:])
    return woven(flat, structure, tape.example)


def pullback_tape(tape: Tape, wrt: Sequence[int]) -> Tape:
    """Reverse mode as a tape; see `derivatives.pullback_tape`.

    Args:
        tape: any tape.
        wrt: places of the inputs asked for.
    """
    base = sweeps.flat(tape)
    smooth = all(base.aval_of(slot)[1] in FLOATING for slot in base.outputs)
    whole = list(wrt) == derivatives.differentiable(base) and smooth and base.outputs
    if not whole or not _long(base):
        return derivatives.pullback_tape(tape, wrt)
    flat = derived(base, "pullback")
    trees = tuple(Tree() for _ in flat.inputs)
    _, result = flatten([0.0] * len(flat.outputs), lambda x: isinstance(x, float))
    return woven(flat, Structure(trees, (), result), None)


def _long(base: Tape) -> bool:
    return len(base) > RECORDED and base.arrays and is_numbers(base, "gradient")


def woven(flat: Flat, structure: Structure, example: Any) -> Tape:
    """The same function, of arrays.

    Args:
        flat: a tape of entries.
        structure: how it is to be called.
        example: inputs that it may be recorded at again.
    """
    out = Columns()
    tape = flat.tape
    slots = [-1] * tape.slot_count
    left = iter(tape.inputs)
    inputs = [out.input(math.nan, aval) for aval in flat.inputs]
    for array, (shape, dtype) in zip(inputs, flat.inputs, strict=True):
        for key in np.ndindex(shape):
            slot = array
            if shape:
                params = {"key": key}
                (slot,) = out.append(TABLE["index"], [array], params, [((), dtype)])
            slots[next(left)] = slot
    for step in tape:
        if step.primitive.name != "input":
            avals = [tape.aval_of(slot) for slot in step.slots]
            reads = [slots[slot] for slot in step.operands]
            made = out.append(step.primitive, reads, step.params, avals)
            for slot, number in zip(step.slots, made, strict=True):
                slots[slot] = number
    ends = iter(tape.outputs)
    outputs = []
    for aval in flat.outputs:
        entries = [slots[next(ends)] for _ in range(math.prod(aval[0]))]
        outputs.append(_joined(out, entries, aval))
    return out.freeze(
        tuple(inputs), tuple(outputs), structure=structure, example=example
    )


def _joined(out: Columns, entries: Sequence[int], aval: Aval) -> int:
    """An array of entries, or the one number that it is."""
    shape, dtype = aval
    if not shape:
        return entries[0]
    if not entries:
        return out.constant(frozen(np.zeros(shape, dtype)))
    one: Aval = ((1,), dtype)
    row: Aval = ((len(entries),), dtype)
    params = {"shape": (1,)}
    ones = [out.append(TABLE["reshape"], [i], params, [one])[0] for i in entries]
    (made,) = out.append(TABLE["concatenate"], ones, {"axis": 0}, [row])
    if shape != row[0]:
        (made,) = out.append(TABLE["reshape"], [made], {"shape": shape}, [aval])
    return made
