"""Loops that were found in steps: how long they were, and written out again. Floor 8.

A formula, or the source of a function, is written from single steps; what a loop of a
million iterations would give nobody reads.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tapegrad.errors import ShapeError
from tapegrad.tape.rolls import rolled
from tapegrad.tape.tape import Step, Tape

# Up to so many steps are written out to be counted.
COUNTED = 20_000
# What makes and reads stacks leaves no step when loops are written out.
STACKING = frozenset({"window", "entry", "pack"})


def found(step: Step) -> bool:
    """Whether a step is a loop that was found in steps (see `Tape.rolled`)."""
    return step.primitive.name == "scan" and bool(step.params.get("ordered", False))


def written_out(tape: Tape, most: int) -> Tape:
    """The tape with these loops as the steps that they were; itself without loops.

    Args:
        tape: any tape.
        most: steps that it may have then.

    Raises:
        ShapeError: they are more.
    """
    if not rolled(tape):
        return tape
    count = steps_of(tape)
    if count > most:
        msg = (
            f"written out, the loops of this tape are {about(count)} steps, which is "
            f"too long (limit {most:,}); print(tape) shows them as loops, and fewer "
            "iterations have a formula and a trace"
        )
        raise ShapeError(msg)
    return tape.unrolled()


def short(tape: Tape, most: int) -> Tape:
    """The same where they are no more; else the tape itself."""
    return written_out(tape, most) if steps_of(tape) <= most else tape


def unrolled_text(tape: Tape) -> str:
    """``592`` or ``about 960,000`` steps with loops written out; "" without loops."""
    if not rolled(tape):
        return ""
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "unrolled size" not in known:
        count = steps_of(tape)
        exact = count <= COUNTED
        known["unrolled size"] = f"{len(tape.unrolled()):,}" if exact else about(count)
    return str(known["unrolled size"])


def about(count: int) -> str:
    """A number of steps in two digits."""
    return f"about {int(float(f'{count:.2g}')):,}"


def steps_of(tape: Tape, *, inner: bool = False) -> int:
    """Steps of a tape with loops written out, up to a few constants.

    Args:
        tape: any tape.
        inner: whether it is the body of a loop, whose leaves are no steps each time.
    """
    leaves = ("const", "input") if inner else ()
    once = [name not in {*leaves, *STACKING, "scan"} for name in tape.operations]
    total = int(np.array(once, bool)[tape.opcode].sum())
    for step in _loops(tape):
        params = step.params
        if not found(step):
            total += 1
            continue
        low = params["carry"]
        reads = step.operands[low : low + params["xs"]]
        entries = sum(_reads_entries(tape, slot) for slot in reads)
        total += params["length"] * (steps_of(params["tape"], inner=True) + entries)
    return total


def _loops(tape: Tape) -> Iterator[Step]:
    if "scan" in tape.operations:
        code = tape.operations.index("scan")
        for number in np.flatnonzero(tape.opcode == code).tolist():
            yield tape.step(number)


def _reads_entries(tape: Tape, slot: int) -> bool:
    step = tape.step(tape.owner(slot))
    return step.primitive.name == "window" and not step.params["slots"]
