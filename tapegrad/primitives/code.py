"""Python functions as the code of a user's row, by recording them. Floor 10.

A function in plain operators and NumPy's functions is recorded once, at one point; what
it did is the rule, and any reading reads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.errors import RecordError
from tapegrad.primitives.lower import swept_tape, tape_code
from tapegrad.primitives.text import Code, argument_names, number
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.recording import record
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape

_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# Example arguments: a little apart, and no special numbers.
START, STEP = 0.59375, 0.15625


def parameters(function: Callable[..., Any], what: str) -> list[str]:
    """The names of a function's arguments, which are all numbers.

    Raises:
        RecordError: it takes any number of them, or they are not known.
    """
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        msg = (
            f"{what}: its arguments are not known; wrap it in a lambda that names them"
        )
        raise RecordError(msg) from None
    odd = [p.name for p in found if p.kind not in _KINDS]
    if odd or not found:
        msg = (
            f"{what}: a primitive has a fixed number of arguments, at least one, and "
            f"no keywords; {', '.join(odd) or 'this function has none'}"
        )
        raise RecordError(msg)
    return [p.name for p in found]


def recorded(function: Callable[..., Any], count: int, outputs: int, what: str) -> Tape:
    """A function of numbers as a flat tape of elementwise steps.

    Args:
        function: gives a number, or as many as ``outputs`` in a tuple.
        count: of arguments.
        outputs: how many numbers it gives.
        what: it is, for messages.

    Raises:
        RecordError: a branch that depends on an argument, steps of whole arrays, other
            results than numbers, or another tape when it is recorded again.
    """
    start = [START + STEP * place for place in range(count)]
    try:
        tape, again = (sweeps.flat(record(function, *start)) for _ in range(2))
    except TypeError as problem:
        msg = f"{what} cannot be recorded: {problem}"
        raise RecordError(msg) from problem
    _checked(tape, outputs, what)
    if tape != again:
        msg = (
            f"{what}: a second recording differs from the first; random numbers, "
            "clocks and changing globals cannot be part of a primitive"
        )
        raise RecordError(msg)
    return tape


def _checked(tape: Tape, outputs: int, what: str) -> None:
    for guard in tape.guards:
        msg = (
            f"{what} takes a branch that depends on an argument ({guard.file}:"
            f"{guard.line}); a primitive is one rule for all arguments: use "
            "np.where, np.maximum, or a loop with a fixed number of turns"
        )
        raise RecordError(msg)
    for step in tape:
        row = step.primitive
        if row.whole or row.nested or row.slots != 1:
            msg = (
                f"{what}: step {step.number} is {row.name}, which takes whole arrays; "
                "a primitive is a function of numbers, and arrays go entry by entry"
            )
            raise RecordError(msg)
    if len(tape.outputs) != outputs or any(
        tape.aval_of(slot) != ((), "float64") for slot in tape.outputs
    ):
        wanted = "one number" if outputs == 1 else f"{outputs} numbers"
        msg = f"{what} gives {len(tape.outputs)} results; {wanted} is what it has to"
        raise RecordError(msg)


def value_code(function: Callable[..., Any], names: Sequence[str]) -> tuple[Tape, Code]:
    """The value of a primitive."""
    tape = recorded(function, len(names), 1, "the function")
    code = tape_code(tape, argument_names(names))
    if code.outputs[0] in code.constants:
        msg = "the function is the same number for all arguments; that is no primitive"
        raise RecordError(msg)
    return tape, code


def derived(tape: Tape, names: Sequence[str]) -> Code:
    """The partials by a sweep over the value's own tape."""
    return swept_tape(tape, argument_names(names), ())


def given(rule: Callable[..., Any], names: Sequence[str]) -> tuple[Code, bool]:
    """The partials that a user wrote, as code; and whether in the table's form.

    ``rule(y, *xs)`` in NumPy's words, or ``rule(m, y, *xs)`` in those of a reading.

    Raises:
        RecordError: another number of arguments, or of results.
    """
    count = len(names)
    found = parameters(rule, "partials")
    words = ["y", *argument_names(names)]
    if len(found) == count + 1:
        tape = recorded(
            lambda *xs: _tuple(rule(*xs), count), count + 1, count, "partials"
        )
        return _constants_kept(tape_code(tape, words)), False
    if len(found) == count + 2:
        return _constants_kept(tape_code(_by_reading(rule, count), words)), True
    ys = ", ".join(["y", *names])
    msg = (
        f"partials takes {len(found)} arguments; it is partials({ys}), the value and "
        f"the arguments, or partials(m, {ys}) in the words of a reading m"
    )
    raise RecordError(msg)


def _tuple(found: Any, count: int) -> tuple[Any, ...]:
    several = isinstance(found, tuple | list)
    if (len(found) if several else 1) != count:
        msg = (
            f"partials gives {len(found) if several else 1} results for {count} "
            "arguments; it gives one for each, in order"
        )
        raise RecordError(msg)
    return tuple(found) if several else (found,)


def _by_reading(rule: Callable[..., Any], count: int) -> Tape:
    recorder = Recorder()
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        xs = [recorder.variable(START + STEP * place) for place in range(count + 1)]
        partials = _tuple(rule(m, *xs), count)
        found = [
            recorder.slot_of(m.number(p) if isinstance(p, int | float) else p)
            for p in partials
        ]
    tape = recorder.freeze(
        inputs=tuple(x._i for x in xs),  # noqa: SLF001
        outputs=tuple(found),
        structure=Structure(tuple(Tree() for _ in xs)),
    )
    tape = sweeps.flat(tape)
    _checked(tape, count, "partials")
    return tape


def _constants_kept(code: Code) -> Code:
    """Results that are plain numbers, whatever the recording made of them."""
    constants = {
        slot: number(float(value)) if isinstance(value, bool) else value
        for slot, value in code.constants.items()
        if slot in code.outputs
    }
    return Code(
        code.steps, code.arguments, {**code.constants, **constants}, code.outputs
    )
