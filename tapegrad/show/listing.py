"""The Wengert list of a tape as text: `print(tape)` and `repr(tape)`. Floor 9.

    slot  operation  operands    shape  label      primal     adjoint
    v0    input                  (2,)   x      [1.0, 2.0]  [2.0, 4.0]
    v1    *          v0, v0      (2,)          [1.0, 4.0]  [1.0, 1.0]
    v2    sum        v1          ()                   5.0         1.0

One line a step. Static parameters stand among the operands as NumPy names them, an
index is the operation itself (``[1:]``), and a dtype stands beside the shape where it
is not float64; where lines were noted, each step has its own. Primals and adjoints are
those at the inputs of the recording, where the tape knows them and has one scalar
output.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.binding import arithmetic_of
from tapegrad.calls import sweep
from tapegrad.errors import TapegradError
from tapegrad.rules.shapes import FLOATING
from tapegrad.show import loops
from tapegrad.show.text import aval_text, keywords, number_text, sign_of
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import SCALAR, Step, Tape
from tapegrad.unrolling import found, steps_of, unrolled_text

# Steps listed at the head and at the tail of a long tape.
HEAD, TAIL = 150, 50
# A replay of a longer tape takes longer than its listing is worth.
REPLAYED = 100_000
# ... and so does one of more entries than this, in all slots together.
REPLAYED_ENTRIES = 20_000_000

HEADINGS = (
    *("slot", "operation", "operands", "shape", "label", "line", "primal", "adjoint"),
)
RIGHT = frozenset({"primal", "adjoint"})
# Names of inputs in a headline; slots of one step in a cell.
NAMED = 6
# Operands of a step that are written out.
MANY = 12


def listing(tape: Tape) -> str:
    """The tape as a list, one aligned line a step.

    Args:
        tape: any tape. A very long one shows its head and its tail, and how many
            steps were left out between them.
    """
    columns: tuple[str, ...] = HEADINGS
    primals, adjoints = known(tape)
    if tape.lines is None:
        columns = tuple(name for name in columns if name != "line")
    if primals is None:
        columns = tuple(name for name in columns if name != "primal")
    if adjoints is None:
        columns = tuple(name for name in columns if name != "adjoint")
    total = len(tape)
    cut = total > HEAD + TAIL
    numbers = [*range(HEAD), *range(total - TAIL, total)] if cut else range(total)
    rows: list[Sequence[str]] = [columns]
    left_out = 0
    for place, number in enumerate(numbers):
        if cut and place == HEAD:
            left_out = len(rows)
        rows += [
            [cells.get(name, "") for name in columns]
            for cells in _shown(tape, tape.step(number), primals, adjoints)
        ]
    lines = aligned(rows, [name in RIGHT for name in columns])
    if cut:
        lines.insert(left_out, f"... {total - HEAD - TAIL:,} steps left out ...")
    outputs = ", ".join(map(_named_slot, tape.outputs[:NAMED]))
    more = f", ... ({len(tape.outputs)} in all)" if len(tape.outputs) > NAMED else ""
    word = "output" if len(tape.outputs) == 1 else "outputs"
    return "\n".join([*lines, f"{word}: {outputs}{more}"])


def headline(tape: Tape) -> str:
    """The tape in one line, for ``repr``."""
    labels = tape.input_labels()
    shown = [
        label
        if tape.aval_of(slot) == SCALAR
        else f"{label} {aval_text(tape.aval_of(slot))}"
        for label, slot in zip(labels[:NAMED], tape.inputs, strict=False)
    ]
    names = ", ".join(shown) + (", ..." if len(labels) > NAMED else "")
    steps = _count(len(tape), "step")
    if unrolled := unrolled_text(tape):
        steps += f" ({unrolled} unrolled)"
    parts = [
        steps,
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
    if (
        tape.example is None
        or steps_of(tape) > REPLAYED
        or _entries(tape) > REPLAYED_ENTRIES
    ):
        return None, None
    base = sweeps.flat(dataclasses.replace(tape, outputs=tuple(range(tape.slot_count))))
    one = one_number(tape)
    seeds: list[Any] = [None] * tape.slot_count
    m = arithmetic_of(base, "float64")
    try:
        with np.errstate(all="ignore"):
            if one:
                single = tape.aval_of(tape.outputs[0])[1] == "float32"
                seeds[tape.outputs[0]] = np.float32(1) if single else 1.0
            values, bars = sweep(base, m, list(tape.example), seeds)
    except TapegradError:  # the example does not replay: nothing is known
        return None, None
    places = base.outputs
    primals = [values[i] for i in places]
    if not one:
        return primals, None
    pairs = zip([bars[i] for i in places], primals, strict=True)
    return primals, [m.like(0, y) if bar is None else bar for bar, y in pairs]


def one_number(tape: Tape) -> bool:
    """Whether the one output is a single float, so that adjoints have a seed."""
    if len(tape.outputs) != 1:
        return False
    shape, dtype = tape.aval_of(tape.outputs[0])
    return not shape and dtype in FLOATING


def _entries(tape: Tape) -> int:
    """Entries of all slots together."""
    counts = np.bincount(tape.aval, minlength=len(tape.avals)).tolist()
    sizes = (math.prod(shape) for shape, _ in tape.avals)
    return sum(n * size for n, size in zip(counts, sizes, strict=True))


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


def _shown(
    tape: Tape,
    step: Step,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
) -> Iterator[dict[str, str]]:
    """The lines of a step: one, or those of a loop that was found in steps."""
    if not found(step):
        yield _cells(tape, step, primals, adjoints)
        return
    for line in loops.lines(tape, step, _named_slot):
        if line.step is None or found(line.step):
            cells = {"operation": line.operation, "operands": line.operands}
            if line.slot is not None:
                cells["shape"] = aval_text(line.tape.aval_of(line.slot))
            if line.step is not None:
                cells["operation"] = line.step.sign
                cells["label"] = _label(line.tape, line.step)
        else:
            cells = _cells(line.tape, line.step, None, None, line.names)
        cells["slot"] = "  " * line.depth + line.name
        if not line.depth and line.slot is not None:  # what it has given
            (cells["primal"], cells["adjoint"]) = _ends(
                tape, line.slot, primals, adjoints
            )
        yield cells


def _ends(
    tape: Tape,
    slot: int,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
) -> tuple[str, str]:
    smooth = tape.aval_of(slot)[1] in FLOATING
    return (
        "" if primals is None else number_text(primals[slot]),
        number_text(adjoints[slot]) if adjoints is not None and smooth else "",
    )


def _cells(
    tape: Tape,
    step: Step,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
    named: Callable[[int], str] | None = None,
) -> dict[str, str]:
    slots = step.slots
    empty = not slots
    avals = [aval_text(tape.aval_of(slot)) for slot in slots]
    shapes = [tape.aval_of(slot)[0] for slot in step.operands]
    first = shapes[0] if shapes else ()
    return {
        "slot": "-" if empty else _range(slots),
        "operation": sign_of(step.primitive, step.params, first),
        "operands": _operands(step, len(first), named or _named_slot),
        "shape": _joined(avals),
        "label": _label(tape, step),
        "line": _line(tape, step),
        "primal": "" if primals is None or empty else _numbers(primals, slots),
        "adjoint": _adjoint(tape, step, adjoints),
    }


def _line(tape: Tape, step: Step) -> str:
    """Where the step was recorded, if that is known; a guard says so itself."""
    place = tape.line_of(step.slots.start) if step.slots else None
    return "" if place is None else f"{Path(place[0]).name}:{place[1]}"


def _adjoint(tape: Tape, step: Step, adjoints: Sequence[Any] | None) -> str:
    if adjoints is None or step.primitive.name == "const":
        return ""  # no derivative is asked for
    smooth = [slot for slot in step.slots if tape.aval_of(slot)[1] in FLOATING]
    return _numbers(adjoints, smooth)


def _numbers(values: Sequence[Any], slots: Sequence[int]) -> str:
    return _joined([number_text(values[slot]) for slot in slots])


def _joined(texts: Sequence[str]) -> str:
    """What a step of several slots has in one cell; of very many the first."""
    if len(texts) > NAMED:
        return ", ".join(texts[:2]) + f", ... ({len(texts)} in all)"
    return ", ".join(texts)


def _range(slots: range) -> str:
    first = f"v{slots.start}"
    return first if len(slots) == 1 else f"{first}..v{slots.stop - 1}"


def _operands(step: Step, ndim: int, named: Callable[[int], str]) -> str:
    """Operands and parameters; of a constant its number, of a guard the outcome."""
    if step.primitive.name == "const":
        return number_text(step.params["value"])
    words = keywords(step.primitive, step.params, ndim)
    names = [named(slot) for slot in step.operands]
    if len(names) > MANY:
        names = [*names[:2], f"... ({len(names)} in all)"]
    text = ", ".join([*names, *words])
    guard = step.params.get("guard")
    if not isinstance(guard, Guard):
        return text
    return f"{text} is {guard.outcome}" + ", as recorded" * guard.varies


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
