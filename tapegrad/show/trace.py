"""The two sweeps of a gradient, one line for each thing that happens. Floor 9.

    forward                     reverse
      v0 = x = 2.0                v2_bar = 1.0
      v1 = y = 3.0                v0_bar += v2_bar * v1 = 3.0
      v2 = v0 * v1 = 6.0          v1_bar += v2_bar * v0 = 2.0

The reverse lines stand in sweep order: what is added to which adjoint, and what it has
grown to (Griewank & Walther, table 3.4). With ``symbolic=True`` the partials are
formulas, the rule text read by SymPy; without, they are the numbers it gave.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad import passing, sweeps
from tapegrad.calls import bind, numbers
from tapegrad.derivatives import scalar_output
from tapegrad.errors import ShapeError
from tapegrad.readings import SCALAR, reading
from tapegrad.show.listing import number_text
from tapegrad.tape.tape import Step, Tape

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
        values = sweeps.replay(base, SCALAR, inputs)
        forward = tuple(
            f"{_assignment(base, step)}{_equals(values, step)}" for step in base
        )
        return Trace(forward, tuple(_reverse(base, values, symbolic=symbolic)))


def _inputs(tape: Tape, args: Sequence[Any]) -> list[Any] | None:
    if args or not tape.inputs:
        return numbers(tape, SCALAR, bind(tape, args, {}))
    return None if tape.example is None else list(tape.example)


def _reverse(base: Tape, values: Sequence[Any], *, symbolic: bool) -> list[str]:
    (output,) = base.outputs
    lines = [f"v{output}_bar = 1.0"]
    grown: dict[int, float] = {output: 1.0}
    counted: dict[int, int] = {}

    def watch(number: int, operand: int, partial: Any, part: Any) -> None:
        step = base.step(number)
        place = _place(step, operand, counted)
        text = number_text(partial)
        if symbolic:
            text = _partial(step, place)
        before = grown.get(operand)
        grown[operand] = part if before is None else before + part
        lines.append(
            _contribution(step, operand, text) + f" = {number_text(grown[operand])}"
        )

    sweeps.adjoint(base, SCALAR, values, {output: 1.0}, watch=watch)
    return lines


def _place(step: Step, operand: int, counted: dict[int, int]) -> int:
    """Which operand this is: in x*x the same slot comes twice, in order."""
    last = counted.get(step.number, -1)
    place = step.operands.index(operand, last + 1)
    counted[step.number] = place
    return place


def _contribution(step: Step, operand: int, partial: str) -> str:
    """``v0_bar += v3_bar * v1``; a partial of 1 or -1 is no multiplication."""
    onto, come = f"v{operand}_bar", f"v{step.slots.start}_bar"
    if partial == "1":
        return f"{onto} += {come}"
    if partial == "-1":
        return f"{onto} -= {come}"
    return f"{onto} += {come} * {_factor(partial)}"


def _factor(partial: str) -> str:
    """In parentheses, where it would read wrongly after a ``*``."""
    try:
        bare = float(partial) >= 0 or partial == "nan"
    except ValueError:
        closed = partial.startswith("Piecewise(") and partial.endswith("))")
        bare = closed or (
            partial[0] != "-" and not any(sign in partial for sign in " /+")
        )
    return partial if bare else f"({partial})"


def _partial(step: Step, place: int) -> str:
    """A partial as a formula in the slots, as SymPy reads the rule."""
    if step.primitive.kind == "select":
        return "1"
    import sympy as sp

    from tapegrad.readings.pieces import decided

    m = reading("sympy")
    y, *xs = (
        sp.Symbol(f"v{slot}", real=True) for slot in (step.slots.start, *step.operands)
    )
    found = passing.partials_of(m, step.primitive, y, xs, step.params)
    return str(decided(sp.sympify(found[place])))


def _formulas_alone(base: Tape) -> Trace:
    """A trace without numbers: both arms of every ``where``, no values."""
    live = sweeps.active(base, base.inputs)
    reached = {base.outputs[0]}
    lines = [f"v{base.outputs[0]}_bar = 1.0"]
    for number in range(len(base) - 1, -1, -1):
        step = base.step(number)
        if not step.slots or step.slots.start not in reached:
            continue
        for place, operand in enumerate(step.operands):
            if not live[operand] or not live[step.slots.start]:
                continue
            partial = _partial(step, place)
            if partial == "0":
                continue
            if step.primitive.kind == "select":
                sign = "" if place == 1 else "not "
                partial = f"1 if {sign}v{step.operands[0]} else 0"
            reached.add(operand)
            lines.append(_contribution(step, operand, partial))
    forward = tuple(_assignment(base, step) for step in base)
    return Trace(forward, tuple(lines))


def _assignment(tape: Tape, step: Step) -> str:
    """``v3 = v1 * v2``: how a step reads."""
    names = [f"v{slot}" for slot in step.operands]
    kind = step.primitive.name
    if kind == "guard":
        guard = step.params["guard"]
        return f"guard: {names[0]} is {guard.outcome} ({guard.file}:{guard.line})"
    slot = f"v{step.slots.start}"
    if kind == "const":
        return f"{slot} = {number_text(step.params['value'])}"
    if kind == "input":
        label = tape.labels.get(step.slots.start)
        return f"{slot} = {label}" if label else slot
    if step.params:
        # a sign with its parameter, **2, follows its operand
        text = f"{names[0]}{step.sign}"
    elif len(names) == 2 and (  # infix
        not step.sign.isidentifier() or step.sign in {"and", "or"}
    ):
        text = f"{names[0]} {step.sign} {names[1]}"
    else:
        text = f"{step.sign}({', '.join(names)})"
    label = f" = {step.label}" if step.label else ""
    return f"{slot}{label} = {text}"


def _equals(values: Sequence[Any], step: Step) -> str:
    if not step.slots or step.primitive.name == "const":
        return ""
    return f" = {number_text(values[step.slots.start])}"
