"""The Wengert list of a tape as text: `print(tape)` and `repr(tape)`. Floor 9.

    slot  operation  operands  shape  label  primal  adjoint
    v0    input                ()     x         2.0      3.0
    v1    input                ()     y         3.0      2.0
    v2    *          v0, v1    ()               6.0      1.0

One line a step. Primals and adjoints are those at the inputs of the recording, where
the tape knows them and has one scalar output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.calls import sweep
from tapegrad.errors import TapegradError
from tapegrad.readings import SCALAR
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Step, Tape

# Steps listed at the head and at the tail of a long tape.
HEAD, TAIL = 150, 50
# A replay of a longer tape takes longer than its listing is worth.
REPLAYED = 100_000

HEADINGS = ("slot", "operation", "operands", "shape", "label", "primal", "adjoint")
RIGHT = frozenset({"primal", "adjoint"})
# Names of inputs in a headline.
NAMED = 6


def listing(tape: Tape) -> str:
    """The tape as a list, one aligned line a step.

    Args:
        tape: any tape. A very long one shows its head and its tail, and how many
            steps were left out between them.
    """
    columns: tuple[str, ...] = HEADINGS
    primals, adjoints = known(tape)
    if primals is None:
        columns = tuple(name for name in columns if name != "primal")
    if adjoints is None:
        columns = tuple(name for name in columns if name != "adjoint")
    total = len(tape)
    cut = total > HEAD + TAIL
    numbers = [*range(HEAD), *range(total - TAIL, total)] if cut else range(total)
    rows: list[Sequence[str]] = [columns]
    for number in numbers:
        cells = _cells(tape, tape.step(number), primals, adjoints)
        rows.append([cells[name] for name in columns])
    lines = aligned(rows, [name in RIGHT for name in columns])
    if cut:
        left_out = total - HEAD - TAIL
        lines.insert(HEAD + 1, f"... {left_out:,} steps left out ...")
    outputs = ", ".join(map(_named_slot, tape.outputs[:NAMED]))
    more = f", ... ({len(tape.outputs)} in all)" if len(tape.outputs) > NAMED else ""
    word = "output" if len(tape.outputs) == 1 else "outputs"
    return "\n".join([*lines, f"{word}: {outputs}{more}"])


def headline(tape: Tape) -> str:
    """The tape in one line, for ``repr``."""
    labels = tape.input_labels()
    names = ", ".join(labels[:NAMED]) + (", ..." if len(labels) > NAMED else "")
    parts = [
        _count(len(tape), "step"),
        _count(len(labels), "input") + (f" ({names})" if names else ""),
        _count(len(tape.outputs), "output"),
    ]
    if tape.guards:
        parts.append(_count(len(tape.guards), "guard"))
    return f"<Tape: {', '.join(parts)}>"


def known(tape: Tape) -> tuple[list[Any] | None, list[Any] | None]:
    """Primals and adjoints of all slots at the recording's inputs, where known.

    Adjoints need one scalar output. A sub-tape is one step here, though it is swept
    step by step: every slot is made an output, so that its place can be found again.
    """
    if tape.example is None or len(tape) > REPLAYED:
        return None, None
    base = sweeps.flat(dataclasses.replace(tape, outputs=tuple(range(tape.slot_count))))
    one = len(tape.outputs) == 1
    seeds: list[Any] = [None] * tape.slot_count
    if one:
        seeds[tape.outputs[0]] = 1.0
    try:
        with np.errstate(all="ignore"):
            values, bars = sweep(base, SCALAR, list(tape.example), seeds)
    except TapegradError:  # the example does not replay: nothing is known
        return None, None
    places = base.outputs
    adjoints = [0.0 if bars[i] is None else bars[i] for i in places] if one else None
    return [values[i] for i in places], adjoints


def number_text(value: Any) -> str:
    """A number, short: ten digits tell two steps apart, seventeen hide the list."""
    if not isinstance(value, float):
        return str(value)
    text = f"{value:.10g}"
    return f"{text}.0" if text.lstrip("-").isdecimal() else text


def aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """Rows of cells as lines, columns of equal width, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _cells(
    tape: Tape,
    step: Step,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
) -> dict[str, str]:
    slots = step.slots
    empty = not slots
    return {
        "slot": "-" if empty else _range(slots),
        "operation": step.sign,
        "operands": _operands(step),
        "shape": "" if empty else str(tape.aval_of(slots.start)[0]),
        "label": _label(tape, step),
        "primal": "" if primals is None or empty else _numbers(primals, slots),
        "adjoint": _adjoint(tape, step, adjoints),
    }


def _adjoint(tape: Tape, step: Step, adjoints: Sequence[Any] | None) -> str:
    if adjoints is None or not step.slots:
        return ""
    condition = tape.aval_of(step.slots.start)[1] == "bool"
    if condition or step.primitive.name == "const":  # no derivative is asked for
        return ""
    return _numbers(adjoints, step.slots)


def _numbers(values: Sequence[Any], slots: range) -> str:
    return ", ".join(number_text(values[slot]) for slot in slots)


def _range(slots: range) -> str:
    first = f"v{slots.start}"
    return first if len(slots) == 1 else f"{first}..v{slots.stop - 1}"


def _operands(step: Step) -> str:
    """Operand slots; a constant shows its number, a guard its outcome."""
    if step.primitive.name == "const":
        return number_text(step.params["value"])
    text = ", ".join(f"v{slot}" for slot in step.operands)
    guard = step.params.get("guard")
    return f"{text} is {guard.outcome}" if isinstance(guard, Guard) else text


def _label(tape: Tape, step: Step) -> str:
    """The label; for a guard the place in the source, for a call its size."""
    guard = step.params.get("guard")
    if isinstance(guard, Guard):
        return f"{guard.file}:{guard.line}"
    if step.primitive.name == "call":
        return f"{len(step.params['tape'])} steps"
    return ", ".join(tape.labels[slot] for slot in step.slots if slot in tape.labels)


def _named_slot(slot: int) -> str:
    return f"v{slot}"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" + ("" if number == 1 else "s")
