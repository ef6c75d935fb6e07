"""A tape prepared for many replays: straight-line Python, made once. Floor 4.

A replay looks at the columns of a tape step by step. The body of a loop is replayed a
million times, so its steps are written out as the lines of a Python function, one a
step, whose names are bound to the reading's functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.passing import applied
from tapegrad.readings.mixed import MIXED
from tapegrad.readings.numeric import SCALAR
from tapegrad.rules import Primitive
from tapegrad.tape.tape import BOOLEAN, Step, Tape

# Longer tapes are replayed step by step: compiling them takes longer than it saves.
LONGEST = 4000

# Python's own operators follow IEEE for these, on floats.
INFIX = {"add": "+", "sub": "-", "mul": "*"}

Program = Callable[..., list[Any]]


def program(tape: Tape, m: Any) -> Program:
    """A function of a tape's inputs that gives the list of its outputs.

    Args:
        tape: any tape.
        m: a reading; the program is kept with the tape for the reading of floats.
    """
    base = sweeps.flat(tape)
    if m.name == "recorder" or len(base) > LONGEST:
        return lambda *inputs: sweeps.outputs(base, m, inputs)
    if m is not MIXED:
        return _made(base, m)
    known = base._known
    if "program" not in known:
        known["program"] = _made(base, m if base.arrays else SCALAR)
    return known["program"]  # type: ignore[no-any-return]


def _made(base: Tape, m: Any) -> Program:
    names: dict[str, Any] = {}
    lines: list[str] = []
    for step in base:
        lines += _line(base, m, step, names)
    inputs = ", ".join(f"v{slot}" for slot in base.inputs)
    outputs = ", ".join(f"v{slot}" for slot in base.outputs)
    body = "\n    ".join([*lines, f"return [{outputs}]"])
    source = f"def run({inputs}):\n    {body}\n"
    exec(source, names)  # noqa: S102 - made of slot numbers alone
    return names["run"]  # type: ignore[no-any-return]


def _line(base: Tape, m: Any, step: Step, names: dict[str, Any]) -> list[str]:
    """A step as a line; what it calls is bound to a name."""
    row, number = step.primitive, step.number
    reads = [f"v{slot}" for slot in step.operands]
    given = ", ".join(reads)
    owns = ", ".join(f"v{slot}" for slot in step.slots)
    if row.name == "input":
        return []
    if row.name == "const":
        names[owns] = m.number(step.params["value"])
        return []
    if row.name == "guard":
        if m.symbolic:
            return []
        guard = step.params["guard"]
        slot = step.operands[0]
        text, compared = sweeps.condition(base, slot, varies=guard.varies)
        names[f"h{number}"] = guard.holds
        names[f"c{number}"] = functools.partial(guard.changed, number, text)
        shown = "".join(f"v{slot}, " for slot in compared)
        return [f"if not h{number}({given}): raise c{number}(({shown}))"]
    if row.nested:
        names[f"f{number}"] = functools.partial(_nested, m, row, step.params)
        return [f"{owns}, = f{number}([{given}])"]
    floats = all(base.aval_of(slot) != BOOLEAN for slot in step.operands)
    if m is SCALAR and row.name in INFIX and floats:
        return [f"{owns} = {reads[0]} {INFIX[row.name]} {reads[1]}"]
    function = getattr(m, row.name)
    if row.whole:
        names[f"f{number}"] = functools.partial(_whole, function, row, step)
    elif step.params:
        names[f"f{number}"] = functools.partial(function, **step.params)
    else:
        names[f"f{number}"] = function
    return [f"{owns} = f{number}({given})"]


def _nested(m: Any, row: Primitive, params: Any, xs: Sequence[Any]) -> Any:
    return m.nested(row, xs, params)


def _whole(function: Callable[..., Any], row: Primitive, step: Step, *xs: Any) -> Any:
    return applied(function, row, xs, step.params, f"step {step.number}: ")
