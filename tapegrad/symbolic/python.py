"""Tapes as NumPy source: value and gradient. Floor 9.

    def value(x, y):
        return x * np.sin(y)

Written from the tape and from the tape of its derivatives, one line for each step that
is used twice or is long; the others stand where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.derivatives import differentiable, gradient_tape
from tapegrad.errors import DomainError
from tapegrad.expanding import expanded
from tapegrad.rules.shapes import FLOATING
from tapegrad.symbolic.source import SourceReading, usable
from tapegrad.symbolic.text import LONG, Lines, Numpy, Text, called, number
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Step, Tape
from tapegrad.unrolling import written_out

# Steps of loops that are written out line by line.
LONGEST = 200_000

# How a function takes its inputs: in their precision, or as what is being recorded.
GIVEN = '''def given(x, kind):
    """A number or an array in its precision; anything else, such as a tracer, as is."""
    plain = isinstance(x, (int, float, list, tuple, np.generic, np.ndarray))
    return np.asarray(x, kind)[()] if plain else x'''


def to_python(tape: Tape) -> str:
    """The source of a module with a tape's value and gradient, in NumPy.

    Args:
        tape: any tape.

    Returns:
        Text that runs by itself. ``value(...)`` takes the inputs in order, nested
        arguments leaf by leaf, and returns the output, or a tuple of outputs. For one
        number as output there is ``value_and_gradient(...)``, which returns the value
        and the derivative by the input, or a tuple of them by the inputs;
        for other tapes ``value_and_jacobian(...)``: the outputs, and for each a tuple
        of derivatives. A guard is an ``if`` that raises ValueError where another
        branch would be taken than the recorded one.

    Raises:
        DomainError: a row that NumPy has no words for.
        ShapeError: loops that were found in the steps are too long to be written out.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> scope = {}
        >>> exec(tg.record(lambda x: x * np.sin(x), 1.0).to_python(), scope)
        >>> scope["value_and_gradient"](0.5) == (0.5 * np.sin(0.5), 0.5 * np.cos(0.5)
        ...     + np.sin(0.5))
        np.True_
    """
    base = sweeps.flat(written_out(tape, LONGEST))
    plain = expanded(base)
    names = _names(base)
    helpers: dict[str, str] = {"given": GIVEN} if base.inputs else {}
    functions = [_function("value", plain, names, helpers, _results)]
    places = differentiable(base)
    floats = all(base.aval_of(slot)[1] in FLOATING for slot in base.outputs)
    if places and floats and base.outputs:
        grown = expanded(gradient_tape(base))
        count, by = len(base.outputs), len(places)
        single = count == 1 and tape.structure.result.bare
        single = single and not base.aval_of(base.outputs[0])[0]
        title = "value_and_gradient" if single else "value_and_jacobian"

        def results(texts: Sequence[str]) -> str:
            rows = [
                _results(texts[start : start + by])
                for start in range(count, len(texts), by)
            ]
            if single:
                return f"{texts[0]}, {_grouped(rows[0], by)}"
            rows = [called([], {}) if not by else f"({row},)" for row in rows]
            return f"{_grouped(_results(texts[:count]), count)}, ({', '.join(rows)},)"

        functions.append(_function(title, grown, names, helpers, results))
    head = "import math\n\n" if any("math." in x for x in helpers.values()) else ""
    parts = [f"{head}import numpy as np", *helpers.values(), *functions]
    return "\n\n\n".join(parts) + "\n"


def _results(texts: Sequence[str]) -> str:
    return ", ".join(texts) if texts else "()"


def _grouped(text: str, count: int) -> str:
    return text if count == 1 else f"({text})"


def _names(tape: Tape) -> list[str]:
    """A name for each input."""
    found: list[str] = []
    for label, slot in zip(tape.input_labels(), tape.inputs, strict=True):
        good = usable(label) and label not in found
        found.append(label if good else f"v{slot}")
    return found


def _function(
    title: str, tape: Tape, names: Sequence[str], helpers: dict[str, str], results: Any
) -> str:
    """A function of a tape's inputs."""
    lines = Lines(helpers, set(names))
    m = SourceReading(lines)
    uses = _uses(tape)
    slots: dict[int, Text] = {}
    for slot, name in zip(tape.inputs, names, strict=True):
        aval = tape.aval_of(slot)
        kind = "bool_" if aval[1] == "bool" else aval[1]
        lines.add(f"{name} = given({name}, np.{kind})")
        slots[slot] = Text(name, lines, aval)
    for step in tape:
        if step.primitive.name == "input":
            continue
        if step.primitive.name == "guard":
            _guard(slots[step.operands[0]], step.params["guard"], lines)
            continue
        made = _step(m, step, [slots[slot] for slot in step.operands])
        for slot, text in zip(step.slots, made, strict=True):
            text.aval = tape.aval_of(slot)
            simple = text.literal or (
                uses.get(slot, 0) <= 1 and len(text.text) <= LONG and len(made) == 1
            )
            plain = text.text.isidentifier() or simple
            label = step.label if usable(step.label) else f"v{slot}"
            slots[slot] = text if plain else lines.named(text, label)
    lines.add(f"return {results([slots[slot].text for slot in tape.outputs])}")
    body = "\n    ".join(lines.found)
    head = '@np.errstate(all="ignore")\n'
    return f"{head}def {title}({', '.join(names)}):\n    {body}"


def _step(m: SourceReading, step: Step, operands: Sequence[Text]) -> list[Text]:
    """The texts of a step's slots."""
    row = step.primitive
    if row.name == "const":
        return [number(step.params["value"], m.lines)]
    ints = row.integers and all(x.aval and x.aval[1] == "int64" for x in operands)
    if ints and (row.body or row.floats):  # whose text is for floats
        return [getattr(Numpy(m.lines), row.ufunc or row.name)(*operands)]
    try:
        made = getattr(m, row.name)(*operands, **step.params)
    except (AttributeError, TypeError, ValueError, NotImplementedError) as problem:
        msg = f"step {step.number}, {row.name}, cannot be written in NumPy: {problem}"
        raise DomainError(msg) from None
    if len(step.slots) == 1:
        return [made]
    if isinstance(made, Text):  # a function of NumPy's with several results
        made = m.lines.named(made)
        return [made[place] for place in range(len(step.slots))]
    return list(made)


def _uses(tape: Tape) -> dict[int, int]:
    """How often each slot is read."""
    found: dict[int, int] = {}
    for slot in [*tape.operands.tolist(), *tape.outputs]:
        found[slot] = found.get(slot, 0) + 1
    return found


def _guard(value: Text, guard: Guard, lines: Lines) -> None:
    kind = "bool" if isinstance(guard.outcome, bool) else "int"
    sign = "is not" if kind == "bool" else "!="
    lines.add(f"if {kind}({value.text}) {sign} {guard.outcome}:")
    lines.add('    raise ValueError("another branch is taken than when recorded")')
