"""Loops whose body takes its counter for a plain number. Floor 9.

An array of NumPy's own, a list, or range() asks a recorded integer which number it is.
The answer holds in one iteration, and in the next one it is another: such a body is no
tape. At plain numbers, where nothing is to be recorded, the loop is run as Python runs
it; inside a recording it is an error that says what to write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import RecordError
from tapegrad.recording import is_output
from tapegrad.tape.structure import flatten
from tapegrad.tape.tape import Tape

Function = Callable[..., Any]


class TakenForANumber(RecordError):
    """A body used an integer of its loop as a plain one."""


def moving(body: Tape, carry: int, own: int) -> list[int]:
    """Places of the inputs that are other numbers in the next iteration.

    Args:
        body: the body.
        carry: leaves of its carry.
        own: inputs that are the loop's; what it captured stays the same.
    """
    return [k for k in range(own) if k >= carry or body.outputs[k] != body.inputs[k]]


def check_places(tape: Tape, places: Sequence[int], loop: str) -> None:
    """Refuse a tape with a guard on which number something of its loop is.

    Args:
        tape: the body, or the condition.
        places: of the inputs that change.
        loop: which loop it is.

    Raises:
        TakenForANumber: names the line.
    """
    if "guard" not in tape.operations:
        return
    changing = {tape.inputs[place] for place in places}
    for step in tape:
        if step.primitive.name != "guard" or type(step.params["guard"].outcome) is bool:
            continue
        if changing & _sources(tape, step.operands[0]):
            guard = step.params["guard"]
            msg = (
                f"{loop}: {guard.file}:{guard.line} asks which number an integer of "
                f"the loop is ({guard.outcome} while it is recorded), and in the next "
                "iteration it is another. Arrays of NumPy's own, lists and range() do "
                "that: index a Value, such as tg.array(data)[i], or hand the entries "
                "over as the xs of tg.scan"
            )
            raise TakenForANumber(msg)


def _sources(tape: Tape, slot: int) -> set[int]:
    """The input slots that a slot is computed from."""
    found, todo = {slot}, [slot]
    while todo:
        for operand in tape.step(tape.owner(todo.pop())).operands:
            if operand not in found:
                found.add(operand)
                todo.append(operand)
    return found & set(tape.inputs)


def scan(f: Function, init: Any, xs: Any, length: int, *, reverse: bool) -> Any:
    """A scan, turn by turn."""
    leaves, tree = flatten(xs, is_output)
    carry, made = init, None
    rows: list[Any] = [None] * length
    for i in range(length - 1, -1, -1) if reverse else range(length):
        carry, y = f(carry, tree.build([np.asarray(leaf)[i] for leaf in leaves]))
        rows[i], made = flatten(y, is_output)
    if made is None:
        return carry, None
    return carry, made.build([np.stack(column) for column in zip(*rows, strict=True)])


def repeat(cond: Function, body: Function, carry: Any) -> Any:
    """A while loop, turn by turn."""
    while cond(carry):
        carry = body(carry)
    return carry
