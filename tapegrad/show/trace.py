"""The two sweeps of a gradient, one line for each thing that happens. Floor 9.

    forward                     reverse
      v0 = x = 2.0                v2_bar = 1.0
      v1 = y = 3.0                v0_bar += v2_bar * v1 = 3.0
      v2 = v0 * v1 = 6.0          v1_bar += v2_bar * v0 = 2.0

The reverse lines stand in sweep order: what is added to which adjoint, and what it has
grown to (Griewank & Walther, table 3.4). With ``symbolic=True`` the partials are
formulas, the rule text read by SymPy; without, they are the numbers it gave. What a
step of whole arrays passes on is a formula always: ``v0_bar += v2_bar @ v1.T``.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.arriving import active
from tapegrad.binding import arithmetic_of, bind, numbers
from tapegrad.derivatives import scalar_output
from tapegrad.errors import ShapeError
from tapegrad.show.contributions import Contributions
from tapegrad.show.formulas import Formula, written
from tapegrad.show.text import number_text
from tapegrad.tape.tape import Step, Tape
from tapegrad.unrolling import written_out

# A longer trace is read by nobody; print(tape) shows head and tail.
LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Trace:
    """The lines of a replay and of the reverse sweep after it.

    Attributes:
        forward: one line a step, in step order.
        reverse: one line an accumulation, in sweep order.
    """

    forward: tuple[str, ...]
    reverse: tuple[str, ...]

    def __str__(self) -> str:
        lines = ["forward", *(f"  {line}" for line in self.forward)]
        return "\n".join([*lines, "reverse", *(f"  {line}" for line in self.reverse)])

    def _repr_html_(self) -> str:
        columns = "".join(
            f"<td style='vertical-align:top;text-align:left'><b>{title}</b>"
            f"<pre>{html.escape(chr(10).join(lines))}</pre></td>"
            for title, lines in (("forward", self.forward), ("reverse", self.reverse))
        )
        return f"<table><tr>{columns}</tr></table>"


def trace(tape: Tape, args: Sequence[Any] = (), *, symbolic: bool = False) -> Trace:
    """Replay a tape, sweep it in reverse, and write down each thing that happens.

    Args:
        tape: a tape with one scalar output.
        args: where; the inputs of the recording by default.
        symbolic: partials as formulas in the slots, read from the rules by SymPy,
            in place of numbers. Without any inputs the formulas stand alone.

    Raises:
        ShapeError: several outputs; no inputs to trace at; a tape too long to read.

    Example:
        >>> import tapegrad as tg
        >>> print(tg.record(lambda x, y: x * y, 2.0, 3.0).trace(symbolic=True))
        forward
          v0 = x = 2.0
          v1 = y = 3.0
          v2 = v0 * v1 = 6.0
        reverse
          v2_bar = 1.0
          v0_bar += v2_bar * v1 = 3.0
          v1_bar += v2_bar * v0 = 2.0
    """
    scalar_output(tape)
    tape = written_out(tape, LONGEST)
    base = sweeps.flat(tape)
    if len(base) > LONGEST:
        msg = (
            f"a trace of {len(base)} steps is too long to read (limit {LONGEST}); "
            "print(tape) shows head and tail"
        )
        raise ShapeError(msg)
    inputs = _inputs(tape, args)
    if inputs is None:
        if not symbolic:
            msg = (
                "this tape does not know the inputs of its recording: pass some, "
                "tape.trace(2.0, 3.0), or ask for formulas alone with symbolic=True"
            )
            raise ShapeError(msg)
        return _formulas_alone(base)
    with np.errstate(all="ignore"):
        m = arithmetic_of(base, "float64")
        values = sweeps.replay(base, m, inputs)
        forward = tuple(
            f"{_assignment(base, step)}{_equals(values, step)}" for step in base
        )
        return Trace(forward, tuple(_reverse(base, m, values, symbolic=symbolic)))


def _inputs(tape: Tape, args: Sequence[Any]) -> list[Any] | None:
    if args or not tape.inputs:
        return numbers(tape, arithmetic_of(tape, "float64"), bind(tape, args, {}))
    return None if tape.example is None else list(tape.example)


def _reverse(base: Tape, m: Any, values: Sequence[Any], *, symbolic: bool) -> list[str]:
    (output,) = base.outputs
    one = _one(base)
    texts = Contributions(base)
    texts.seed(output)
    lines = [f"v{output}_bar = {number_text(one)}"]
    grown: dict[int, Any] = {output: one}
    counted: dict[int, int] = {}

    def watch(number: int, operand: int, partial: Any, part: Any) -> None:
        step = base.step(number)
        place = _place(step, operand, counted)
        line = texts.line(
            step, place, None if symbolic else partial, _chosen(step, values)
        )
        before = grown.get(operand)
        grown[operand] = part if before is None else before + part
        lines.append(f"{line} = {number_text(grown[operand])}")

    sweeps.adjoint(base, m, values, {output: one}, watch=watch)
    return lines


def _one(base: Tape) -> Any:
    """The seed, in the output's dtype."""
    return np.float32(1) if base.aval_of(base.outputs[0])[1] == "float32" else 1.0


def _chosen(step: Step, values: Sequence[Any]) -> bool | None:
    """Which arm of a ``where`` is taken; None where entries are chosen one by one."""
    if step.primitive.kind != "select":
        return None
    condition = values[step.operands[0]]
    return condition if isinstance(condition, bool) else None


def _place(step: Step, operand: int, counted: dict[int, int]) -> int:
    """Which operand this is: in x*x the same slot comes twice, in order."""
    last = counted.get(step.number, -1)
    place = step.operands.index(operand, last + 1)
    counted[step.number] = place
    return place


def _formulas_alone(base: Tape) -> Trace:
    """A trace without numbers: both arms of every ``where``, no values."""
    live = active(base, base.inputs)
    (output,) = base.outputs
    texts = Contributions(base)
    texts.seed(output)
    lines = [f"v{output}_bar = {number_text(_one(base))}"]
    for number in range(len(base) - 1, -1, -1):
        step = base.step(number)
        if not step.operands or not texts.reached(step):
            continue
        for place, operand in enumerate(step.operands):
            if live[operand] and any(live[slot] for slot in step.slots):
                line = texts.line(step, place)
                lines += [] if line is None else [line]
    return Trace(tuple(_assignment(base, step) for step in base), tuple(lines))


def _assignment(tape: Tape, step: Step) -> str:
    """``v3 = v1 * v2``: how a step reads."""
    names = [f"v{slot}" for slot in step.operands]
    kind = step.primitive.name
    if kind == "guard":
        guard = step.params["guard"]
        seen = "as recorded" if guard.varies else guard.outcome
        return f"guard: {names[0]} is {seen} ({guard.file}:{guard.line})"
    slots = ", ".join(f"v{slot}" for slot in step.slots)
    if kind == "const":
        return f"{slots} = {number_text(step.params['value'])}"
    label = f" = {step.label}" if step.label else ""
    if kind == "input":
        return f"{slots}{label}"
    operands = [Formula(f"v{i}", *tape.aval_of(i)) for i in step.operands]
    made = written(step.primitive, operands, step.params)
    # the parts of a step of several slots end in [0], [1], ...
    text = made[0].text if isinstance(made, tuple) else made.text
    text = text[:-3] if len(step.slots) > 1 else text
    return f"{slots}{label} = {text}"


def _equals(values: Sequence[Any], step: Step) -> str:
    if not step.slots or step.primitive.name == "const":
        return ""
    return f" = {', '.join(number_text(values[slot]) for slot in step.slots)}"
