"""What is lowered for a part of a tape, as numbers: whatever stands in arrays. Floor 9.

For a tape of numbers this is the tape that the recorder would make, in a third of the
time; for one that reads arrays entry by entry there are no arrays left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tapegrad.derivatives import SHORT, differentiable
from tapegrad.native.scalars.entries import Entries
from tapegrad.native.scalars.sweep import Sweep
from tapegrad.passes import prune, tidy
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Aval, Tape

# LLVM shares equal steps itself where it optimises at all.
OPTIMISED = 512


@dataclass(frozen=True, slots=True)
class Flat:
    """A tape of numbers, and the arrays that they stand in.

    Args:
        tape: its inputs and outputs are the entries, array by array.
        inputs, outputs: shape and dtype of each array or number.
    """

    tape: Tape
    inputs: tuple[Aval, ...]
    outputs: tuple[Aval, ...]


def derived(base: Tape, part: str) -> Flat:
    """The tape of a part, entry by entry; see `arraycalls.tape_of`.

    Args:
        base: a flat tape of numbers, or one of which `entries.fits` is true.
        part: "value", "gradient", "pullback <k>", or "pullback": of values, then of the
            adjoints for adjoints of all outputs.
    """
    entries = Entries(base)
    inputs = [base.aval_of(slot) for slot in base.inputs]
    places = differentiable(base)
    wrt = [base.inputs[place] for place in places]
    outputs, found = [], []
    if not part.startswith("pullback "):
        for slot in base.outputs:
            found += np.ravel(entries.ids[slot]).tolist()
            outputs.append(base.aval_of(slot))
    if part == "gradient":
        sweep = Sweep(entries, wrt)
        one = entries.out.constant(1.0)
        for slot in base.outputs:
            outputs += _avals(base, slot, wrt)
            found += _rows(sweep, slot, one)
    elif part != "value":
        number = part.removeprefix("pullback").strip()
        ends = [base.outputs[int(number)]] if number else list(base.outputs)
        seeds = [
            (slot, place, entries.out.input(truth=False))
            for slot in ends
            for place in range(math.prod(base.aval_of(slot)[0]))
        ]
        inputs += [base.aval_of(slot) for slot in ends]
        outputs += [base.aval_of(i) for i in wrt]
        for row in Sweep(entries, wrt).run(seeds, structural=False):
            found += row
    tape = entries.out.frozen(found)
    tape = tidy(tape) if OPTIMISED < len(tape) <= SHORT else prune(tape)
    return Flat(tape, tuple(inputs), tuple(outputs))


def _avals(base: Tape, output: int, wrt: list[int]) -> list[Aval]:
    lead = base.aval_of(output)[0]
    return [(lead + base.aval_of(i)[0], base.aval_of(i)[1]) for i in wrt]


def _rows(sweep: Sweep, output: int, one: int) -> list[int]:
    """One output's derivative by each input, an array after the other."""
    lead, dtype = sweep.base.aval_of(output)
    if dtype not in FLOATING:
        rows = [sweep.run((), structural=True)] * math.prod(lead)
    else:
        rows = [
            sweep.run([(output, place, one)], structural=True)
            for place in range(math.prod(lead))
        ]
    return [
        slot for place in range(len(sweep.wrt)) for row in rows for slot in row[place]
    ]
