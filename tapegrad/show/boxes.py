"""The boxes of a picture: slots, and what makes them; those of loops. Floor 9.

A loop that was found in steps is a frame around the boxes of its body: what an
iteration reads, what it computes, and what is carried on, which a dashed arrow brings
back to the beginning.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.show.loops import lines, trips_text
from tapegrad.show.text import array_text, aval_text, keywords, sign_of
from tapegrad.tape.tape import BOOLEAN, SCALAR, Aval, Step, Tape
from tapegrad.unrolling import found


@dataclass(frozen=True, slots=True)
class Box:
    """One slot as it is drawn.

    Args:
        key: its name in the picture.
        part: input, const, step or output: its colour.
        label: of the slot.
        aval: shape and dtype.
        data, grad: its numbers, None where they are not known.
        operation: what stands in the round node before it.
        operands: keys of what that reads.
        step: the first slot of the step: its slots share one node for the operation.
        loops: the frames that it stands in, from the outermost.
        made_in: those that its operation stands in, where they are others.
        back: of a carry, the key of what it is in the next iteration.
    """

    key: str
    part: str
    label: str
    aval: Aval
    data: Any
    grad: Any
    operation: str = ""
    operands: tuple[str, ...] = ()
    step: str = ""
    loops: tuple[str, ...] = ()
    made_in: tuple[str, ...] = ()
    back: str = ""


def operation(row: Primitive, params: Any, shape: tuple[int, ...]) -> str:
    """What stands in the round node: the sign, with parameters below it."""
    return "\n".join([sign_of(row, params, shape), *keywords(row, params, len(shape))])


def windows(tape: Tape) -> set[int]:
    """Steps that only say what loops read of an array: the frames show that."""
    if "window" not in tape.operations:
        return set()
    moving: set[int] = set()
    others: set[int] = set(tape.outputs)
    for step in tape:
        low, high = 0, 0
        if found(step):
            low = step.params["carry"]
            high = low + step.params["xs"]
        moving.update(step.operands[low:high])
        others.update(step.operands[:low] + step.operands[high:])
    code = tape.operations.index("window")
    made = tape.first[np.flatnonzero(tape.opcode == code)].tolist()
    return {tape.owner(slot) for slot in made if slot in moving - others}


def loop_boxes(
    tape: Tape,
    step: Step,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
) -> Iterator[Box]:
    """A loop that was found in steps, and what stands in it."""
    path: list[str] = []
    hidden: set[tuple[int, int]] = set()
    for line in lines(tape, step, lambda slot: f"v{slot}", apart=True):
        if line.step is not None and found(line.step):
            title = f"loop: {trips_text(line.step.params, line.depth)}"
            path = [*path[: line.depth], f"{line.name}|{title}"]
            inner = line.step.params["tape"]
            hidden |= {(id(inner), number) for number in windows(inner)}
            continue
        if line.slot is None:
            continue
        home = tuple(path[: line.depth])
        if line.step is not None:
            if (id(line.tape), line.step.number) not in hidden:
                yield from _of_step(line.tape, line.step, line.names, line.reads, home)
            continue
        outside = line.depth == 0
        end = line.operation in {"last", "stack"}
        smooth = line.tape.aval_of(line.slot)[1] in FLOATING
        known = outside and primals is not None
        yield Box(
            line.name,
            "output" if outside and line.slot in tape.outputs else "step",
            tape.labels.get(line.slot, "") if outside else "",
            line.tape.aval_of(line.slot),
            primals[line.slot] if known and primals is not None else None,
            adjoints[line.slot] if outside and adjoints and smooth else None,
            line.operation,
            line.reads,
            line.name,
            home,
            tuple(path[: line.depth + 1]) if end else (),
            line.back,
        )


def _of_step(
    tape: Tape, step: Step, names: Any, reads: tuple[str, ...], home: tuple[str, ...]
) -> Iterator[Box]:
    """The boxes of a step in a loop."""
    const = step.primitive.name == "const"
    shapes = [tape.aval_of(slot)[0] for slot in step.operands]
    for slot in step.slots:
        yield Box(
            names(slot),
            "const" if const else "step",
            tape.labels.get(slot, ""),
            tape.aval_of(slot),
            step.params["value"] if const else None,
            None,
            "" if const else operation(step.primitive, step.params, (*shapes, ())[0]),
            reads,
            names(step.slots.start),
            home,
        )


# -- what stands in a box ----------------------------------------------------------


def fields(box: Box) -> list[str]:
    """Label, numbers; of an array its shape too, data above grad."""
    numbers = [] if box.data is None else [f"data {_short(box.data)}"]
    if box.grad is not None:
        numbers.append(f"grad {_short(box.grad)}")
    label = [_escaped(box.label)] if box.label else []
    if box.aval in {SCALAR, BOOLEAN}:
        return label + numbers
    stacked = [f"{{ {' | '.join(numbers)} }}"] if numbers else []
    return [*label, aval_text(box.aval), *stacked]


def _short(value: Any) -> str:
    """Four decimals as in the lessons, unless they would hide the number."""
    if isinstance(value, np.ndarray):
        return array_text(value)
    if isinstance(value, bool | np.bool_ | np.integer):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return f"{value:.4f}"
    return f"{value:.4g}"


def _escaped(label: str) -> str:
    """A label as text of a record's field: braces, bars and angles are its syntax."""
    text = label.replace("\\", "\\\\")
    for sign in "{}|<>[] ":
        text = text.replace(sign, "\\" + sign)
    return text.replace("\n", "\\n").replace("\r", "")
