"""Sub-tapes put in place of the steps that call them. Floor 2.

Sweeps and the lowering know only flat tapes; a call is expanded before they run. The
work list is explicit, so nesting of any depth is no recursion. A step of a sub-tape
keeps its source line where that is known, and has the line of the call where it is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tapegrad.rules import TABLE
from tapegrad.tape.lines import Place, Places
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape


def inline(tape: Tape) -> Tape:
    """The same tape without call steps; the tape itself when it has none."""
    if "call" not in tape.operations:
        return tape
    out = Columns()
    slots: list[int] = []  # slot of the frame's tape -> slot of the result
    places = Places()
    # a frame: tape, next step, its slot map, and the line that it is called from
    frames: list[tuple[Tape, int, list[int], Place | None]] = [(tape, 0, slots, None)]
    while frames:
        current, number, mine, place = frames.pop()
        while number < len(current):
            step = current.step(number)
            number += 1
            operands = [mine[slot] for slot in step.operands]
            if step.primitive.name == "call":
                inner = step.params["tape"]
                frames.append((current, number, mine, place))
                # inputs of the sub-tape are the caller's operands
                at = step.slots.start
                place = (current.line_of(at) if step.slots else None) or place
                frames.append((inner, 0, _Bound(inner, operands), place))
                break
            if step.primitive.name == "input" and isinstance(mine, _Bound):
                mine.append(mine.bound[len(mine)])
                continue
            mine.extend(_copy(out, step, operands, current))
            known = current.line_of(step.slots.start) if step.slots else None
            places.add(known or place, out.n - len(places.column))
        else:
            if frames:
                frames[-1][2].extend(mine[slot] for slot in current.outputs)
    flat = out.freeze(
        inputs=tuple(slots[slot] for slot in tape.inputs),
        outputs=tuple(slots[slot] for slot in tape.outputs),
        labels={slots[slot]: label for slot, label in tape.labels.items()},
        structure=tape.structure,
        example=tape.example,
    )
    known_lines = max(places.column, default=-1) >= 0
    return replace(flat, lines=places.frozen()) if known_lines else flat


class _Bound(list[int]):
    """A slot map of a sub-tape whose inputs stand for slots outside."""

    def __init__(self, tape: Tape, operands: list[int]) -> None:
        super().__init__()
        self.bound = dict(zip(tape.inputs, operands, strict=True))


def _copy(out: Columns, step: Any, operands: list[int], tape: Tape) -> list[int]:
    """Append a copy of a step; returns its slots."""
    row = TABLE[step.primitive.name]
    avals = [tape.aval_of(slot) for slot in step.slots]
    return out.append(row, operands, step.params, avals)
