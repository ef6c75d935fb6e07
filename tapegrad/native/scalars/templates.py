"""What a step passes to its operands, as steps to be copied. Floor 9.

A rule is read once for each kind of step, by the recorder, and the steps that it gives
are copied for every step of that kind: they depend on its row and parameters, on which
operands are wanted, and on whether a mask is carried, and on no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.native.scalars.writer import Writer
from tapegrad.passes import prune
from tapegrad.passing import contributions
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import Primitive
from tapegrad.tape.tape import Tape

# In place of a row's number: the step is a constant.
CONSTANT = -1

# A step: its row's number, parameters, operands, and whether it gives a truth value; a
# constant has its value in place of the parameters. Operands are places in a list that
# begins with the result, the operands, the adjoint and the mask, and goes on with what
# the steps give.
Copied = tuple[int, Any, tuple[int, ...], bool]


@dataclass(frozen=True, slots=True)
class Template:
    """The steps of a contribution.

    Args:
        steps: in order.
        parts: for each operand the places of its contribution and of its mask.
    """

    steps: tuple[Copied, ...]
    parts: tuple[tuple[int | None, int | None], ...]

    def copy(self, out: Writer, known: list[int]) -> list[int]:
        """Write the steps; what they give is appended to what is known."""
        for code, static, reads, truth in self.steps:
            if code == CONSTANT:
                known.append(out.constant(static))
                continue
            slot = out.n
            out.n = slot + 1
            out.ops.append(code)
            out.static.append(static)
            out.counts.append(len(reads))
            out.reads += [known[place] for place in reads]
            if truth:
                out.truths.append(slot)
            known.append(slot)
        return known


def template(
    out: Writer,
    row: Primitive,
    params: Any,
    truths: Sequence[bool],
    wanted: Sequence[bool],
    masked: bool,
) -> Template:
    """The template of a step.

    Args:
        out: what it will be written to.
        row: the step's.
        params: its static parameters.
        truths: which operands are truth values.
        wanted: which operands' contributions are wanted.
        masked: whether the adjoint carries a mask.
    """
    recorder = Recorder(derives=True)
    with recording_onto(recorder), np.errstate(all="ignore"):
        m = RecorderReading(recorder)
        y = recorder.variable(0.5)
        xs = [recorder.variable(True if truth else 0.5) for truth in truths]
        bar = recorder.variable(0.5)
        mask = recorder.variable(True) if masked else None
        parts = contributions(m, row, y, xs, bar, mask, params, wanted)
        found = [
            recorder.slot_of(value)
            for want, (_, *pair) in zip(wanted, parts, strict=True)
            if want and pair[0] is not None
            for value in pair
            if value is not None
        ]
        given = [y, *xs, bar, *([] if mask is None else [mask])]
        inputs = tuple(handle._i for handle in given)  # noqa: SLF001 - our own handles
    tape = prune(recorder.freeze(inputs=inputs, outputs=tuple(found)))
    places = {slot: place for place, slot in enumerate(tape.inputs)}
    steps = _steps(out, tape, places)
    ends = iter(tape.outputs)
    pairs: list[tuple[int | None, int | None]] = []
    for want, (_, part, under) in zip(wanted, parts, strict=True):
        if not want or part is None:
            pairs.append((None, None))
        else:
            place = places[next(ends)]
            pairs.append((place, None if under is None else places[next(ends)]))
    return Template(tuple(steps), tuple(pairs))


def _steps(out: Writer, tape: Tape, places: dict[int, int]) -> list[Copied]:
    """The steps of a small tape; `places` is where each of its slots is found."""
    steps: list[Copied] = []
    for step in tape:
        name = step.primitive.name
        if name == "input":
            continue
        slot = step.slots.start
        if name == "const":
            steps.append((CONSTANT, step.params["value"], (), False))
        else:
            static = out.params(tuple(sorted(step.params.items())))
            reads = tuple(places[i] for i in step.operands)
            truth = tape.aval_of(slot)[1] == "bool"
            steps.append((out.code(name), static, reads, truth))
        places[slot] = len(places)
    return steps
