"""Whether a tape is linear in some of its inputs, step by step. Floor 3.

What a transpose needs. The test is by the steps' rows, so it may call a linear tape
nonlinear (x / 2 * 3 is linear, exp(log(x)) is not seen to be), never the reverse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tapegrad.tape.tape import Step, Tape

# Linear in all operands together; others must be zero beside a moving one.
TOGETHER = frozenset({"add", "sub", "neg"})
# Linear in the operand at a place, whatever the others are.
PLACES = {"div": 0, "solve": 1, "solve_triangular": 1}


def nonlinear_step(tape: Tape, inputs: Sequence[int]) -> str | None:
    """What keeps a flat tape from being linear in the chosen inputs, in words."""
    moving, zeros = set(inputs), set[int]()
    for step in tape:
        mine = set(step.slots)
        reads = [slot in moving for slot in step.operands]
        if not any(reads):
            if _zero(step, zeros):
                zeros |= mine
            continue
        still = [
            slot for slot, read in zip(step.operands, reads, strict=True) if not read
        ]
        if not _linear(step, reads, still, zeros):
            return f"step {step.number}, {step.sign}"
        moving |= mine
    for slot in tape.outputs:
        if slot not in moving and slot not in zeros:
            return f"output {tape.label_of(slot)} does not depend on it"
    return None


def _linear(
    step: Step, reads: Sequence[bool], still: Sequence[int], zeros: set[int]
) -> bool:
    row = step.primitive
    if row.kind == "select":
        arms = [slot for slot in still if slot != step.operands[0]]
        return not reads[0] and zeros.issuperset(arms)
    if row.name in TOGETHER:
        return zeros.issuperset(still)
    if row.kind == "linear":
        data = step.operands[: row.indices or None]
        return not any(reads[row.indices :] if row.indices else ()) and all(
            slot in zeros for slot in still if slot in data
        )
    if row.name == "mul" or row.kind == "multilinear":
        return sum(reads) == 1
    return row.name in PLACES and not any(
        read for place, read in enumerate(reads) if place != PLACES[row.name]
    )


def _zero(step: Step, zeros: set[int]) -> bool:
    """Whether a step gives nothing but zeros, by its form."""
    row = step.primitive
    if row.name == "const":
        return not np.any(step.params["value"])
    if row.kind == "linear" or row.name in TOGETHER:
        data = step.operands[: row.indices or None]
        return bool(data) and zeros.issuperset(data)
    return False
