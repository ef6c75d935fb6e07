"""Dead steps dropped: what no output, input or guard needs. Floor 4.

A loop of which nobody reads anything stays where its body has a guard.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from tapegrad.rules import TABLE
from tapegrad.tape.lines import Lines
from tapegrad.tape.tape import Tape


def prune(tape: Tape, *, labels: bool = False) -> Tape:
    """Drop the steps that no output, input or guard needs.

    Inputs stay, used or not: they are the tape's signature. Steps with a label stay
    where that is asked for, as a replay may nudge them by their name.
    """
    uses = np.bincount(tape.operands, minlength=tape.slot_count)
    uses[list(tape.outputs)] += 1
    uses[list(tape.inputs)] += 1
    if labels:
        uses[list(tape.labels)] += 1
    if uses.all():  # the last dead step would be read by no step
        return tape
    keep = _kept(tape, uses)
    return tape if keep.all() else _only(tape, keep)


def guarded(tape: Tape) -> bool:
    """Whether a tape has guards, those of its sub-tapes among them."""
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "guarded" not in known:
        known["guarded"] = "guard" in tape.operations or bool(steps_with_guards(tape))
    return known["guarded"]  # type: ignore[no-any-return]


def steps_with_guards(tape: Tape) -> list[int]:
    """The steps with sub-tapes that have guards."""
    nested = [TABLE[name].nested or name == "call" for name in tape.operations]
    if not any(nested):
        return []
    return [
        number
        for number in np.flatnonzero(np.array(nested)[tape.opcode]).tolist()
        if any(
            isinstance(value, Tape) and guarded(value)
            for _, value in tape.statics[tape.static[number]]
        )
    ]


def _kept(tape: Tape, uses: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which steps are not dead: the unread are dropped, then what only they read."""
    owns = np.diff(tape.first)
    maker = np.repeat(np.arange(len(tape)), owns)
    read = np.zeros(len(tape), bool)
    read[maker[uses > 0]] = True
    held = steps_with_guards(tape)
    read[held] = True
    dead = np.flatnonzero(~read & (owns > 0)).tolist()  # a guard owns no slot and stays
    keep = np.ones(len(tape), bool)
    left, makers, operands = uses.tolist(), maker.tolist(), tape.operands.tolist()
    for step in held:  # as if somebody read it
        for slot in range(tape.first[step], tape.first[step + 1]):
            left[slot] += 1
    first, offsets = tape.first, tape.offsets
    while dead:
        step = dead.pop()
        keep[step] = False
        for slot in operands[offsets[step] : offsets[step + 1]]:
            left[slot] -= 1
            if not left[slot]:
                other = makers[slot]
                if not any(left[first[other] : first[other + 1]]):
                    dead.append(other)
    return keep


def _only(tape: Tape, keep: npt.NDArray[np.bool_]) -> Tape:
    """The kept steps, slots numbered anew."""
    owns, reads = np.diff(tape.first), np.diff(tape.offsets)
    slots = np.repeat(keep, owns)
    moved = np.cumsum(slots, dtype=np.int32) - 1
    names, opcode = np.unique(tape.opcode[keep], return_inverse=True)
    used, static = np.unique(tape.static[keep], return_inverse=True)
    if not len(used) or used[0] != 0:  # statics[0] is the empty one, always there
        used, static = np.insert(used, 0, 0), static + 1
    return dataclasses.replace(
        tape,
        operations=tuple(tape.operations[code] for code in names.tolist()),
        opcode=opcode.astype(np.uint16),
        offsets=np.append(0, np.cumsum(reads[keep])).astype(np.int32),
        operands=moved[tape.operands[np.repeat(keep, reads)]],
        first=np.append(0, np.cumsum(owns[keep])).astype(np.int32),
        static=static.astype(np.int32),
        statics=tuple(tape.statics[index] for index in used.tolist()),
        aval=tape.aval[slots],
        inputs=tuple(int(moved[slot]) for slot in tape.inputs),
        outputs=tuple(int(moved[slot]) for slot in tape.outputs),
        labels={
            int(moved[slot]): label
            for slot, label in tape.labels.items()
            if slots[slot]
        },
        lines=tape.lines and Lines(tape.lines.places, tape.lines.column[slots]),
    )
