"""A tape as one self-contained file of C99: value and derivatives. Floor 9.

What is written is the LLVM text that native code is made of, instruction by instruction
in the words of C. So there is no second list of primitives here, and each operation is
rounded as in native code. The file needs nothing but C's own library: the maths
functions of its ``math.h``, and plain loops where native code calls BLAS and LAPACK.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import differentiable
from tapegrad.native import arraycalls, numbercalls
from tapegrad.native.c.file import File, Source
from tapegrad.native.c.helpers import written
from tapegrad.native.c.layout import wrapped
from tapegrad.native.c.names import WORDS, checked, comment, quoted
from tapegrad.native.c.signature import Side, inputs_of, outputs_of, size, slopes_of
from tapegrad.native.lowering import Lowered, lower
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape

# Functions that other headers declare.
OTHERS = {"malloc", "free", "memcpy", "memset"}
# Entries of the result, up to which there is a function for the Jacobian.
ROWS = 100
# The most lines of parameters in the comment at the top.
SHOWN = 200

INCLUDES = {
    "math.h": r"\b(NAN|INFINITY)\b",
    "stdbool.h": r"\bbool\b",
    "stddef.h": r"\b(NULL|size_t)\b",
    "stdint.h": r"\bu?int(32|64)_t\b",
    "stdlib.h": r"\bmalloc\(",
    "string.h": r"\bmem(cpy|set|move)\(",
}


def to_c(tape: Tape, name: str = "f", *, derivative: bool = True) -> str:
    """The source of one C99 file with a tape's value and derivatives.

    Args:
        tape: any tape that has native code.
        name: of the function; the other functions' names begin with it.
        derivative: write the function for the derivatives, too.

    Returns:
        The file's text, in ASCII. It defines ``int name(..., double *value)``, and, for
        one number as result, ``int name_value_and_gradient(...)``; for up to 100
        numbers ``int name_value_and_jacobian(...)``. Parameters stand in the order of
        the arguments, then come pointers to results; the comment at its top tells
        shapes and units of each. They return 0, or a number that ``name_message``
        gives words for: a branch that goes another way than when recorded, a singular
        matrix, no memory.

    Raises:
        CompileError: C does not take the name, or a step has no native code.

    Example:
        >>> import tapegrad as tg
        >>> tape = tg.record(lambda r, h: 3.0 * r * r * h, 1.0, 2.0)
        >>> print(tape.to_c("volume").split("*/")[1].split("int volume(")[1])
        double r, double h, double *value);
        ...
    """
    name = checked(name)
    base = sweeps.flat(tape)
    inputs = inputs_of(tape)
    outputs = outputs_of(tape)
    messages: dict[str, int] = {}
    named = _comments(base)
    parts = [_part(name, base, "value", inputs, outputs, messages, named)]
    title = _derivative(tape, base) if derivative else ""
    if title:
        slopes = slopes_of(base, inputs, single=title == "gradient")
        both = Side(
            [*outputs.parameters, *slopes.parameters],
            [*outputs.leaves, *slopes.leaves],
        )
        full = f"{name}_value_and_{title}"
        parts.append(_part(full, base, "gradient", inputs, both, messages, named))
    return _file(name, tape, parts, messages)


def _file(name: str, tape: Tape, parts: list[File], messages: Mapping[str, int]) -> str:
    """The file: what its functions need stands before them."""
    texts = [part.text() for part in parts]
    words = {*re.findall(r"\w+", "".join(texts))}
    constants = [
        text
        for part in parts
        for known, text in part.constants.items()
        if known in words
    ]
    helpers, body = written("\n".join([*constants, *texts]), name)
    heads = [_head(part.source) for part in parts]
    heads.append(f"const char *{name}_message(int status);")
    inner = "\n".join(text for text in (helpers, body) if text)
    inner += "\n" + _message(name, messages)
    called = {*re.findall(r"\b([a-z]\w*)\(", helpers + body)} - OTHERS
    includes = [
        f"#include <{header}>\n"
        for header, sign in INCLUDES.items()
        if re.search(sign, inner) or (header == "math.h" and called & WORDS)
    ]
    return "".join(
        [
            _about(tape, parts, messages),
            "\n",
            *includes,
            CONTRACTION,
            '\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n',
            "\n".join(heads),
            "\n\n",
            inner,
            "\n#ifdef __cplusplus\n}\n#endif\n",
        ]
    )


CONTRACTION = """
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif
"""


def _derivative(tape: Tape, base: Tape) -> str:
    """Which derivatives there are: "gradient", "jacobian", or none."""
    avals = [base.aval_of(slot) for slot in base.outputs]
    if not differentiable(base) or not avals:
        return ""
    if any(dtype not in FLOATING for _, dtype in avals):
        return ""
    single = len(avals) == 1 and tape.structure.result.bare and not avals[0][0]
    if single:
        return "gradient"
    return "jacobian" if sum(map(size, avals)) <= ROWS else ""


def _part(
    name: str,
    base: Tape,
    part: str,
    inputs: Side,
    outputs: Side,
    messages: dict[str, int],
    named: Mapping[Any, str],
) -> File:
    """One function: lowered, and what C calls its inputs and outputs."""
    tape = arraycalls.tape_of(base, part)
    statuses = _statuses(tape, messages)
    arena, notes = 0, None
    if tape.arrays or base.arrays:
        from tapegrad.native.arrays import lower_arrays

        found = lower_arrays(tape, apart=False, runs=False)
        body, calls, arena = found.body, found.calls, found.arena_bytes
    else:
        lowered = lower(tape, numbercalls.CHUNK)
        body, calls = lowered.body, lowered.calls
        notes = _notes(tape, lowered, named)
    source = Source(
        name=name,
        body=body,
        calls=calls,
        inputs=inputs.leaves,
        outputs=outputs.leaves,
        parameters=[*inputs.parameters, *outputs.parameters],
        arena=arena,
        statuses=statuses,
        notes=notes,
    )
    return File(source)


# -- comments --------------------------------------------------------------------------


def _keys(tape: Tape) -> list[Any]:
    """For each slot what it is: an operation of others, whatever their numbers."""
    places = {slot: place for place, slot in enumerate(tape.inputs)}
    statics = [repr(static) for static in tape.statics]
    found: list[Any] = [None] * tape.slot_count
    offsets, first = tape.offsets.tolist(), tape.first.tolist()
    operands, opcode = tape.operands.tolist(), tape.opcode.tolist()
    static = tape.static.tolist()
    for step in range(len(tape)):
        for slot in range(first[step], first[step + 1]):
            mine = tuple(found[i] for i in operands[offsets[step] : offsets[step + 1]])
            key = (
                tape.operations[opcode[step]],
                statics[static[step]],
                mine,
                slot - first[step],
                places.get(slot),
            )
            found[slot] = hash(key)
    return found


def _comments(base: Tape) -> dict[Any, str]:
    """Labels and source lines of steps, by what the steps are."""
    if base.arrays or (base.lines is None and len(base.labels) <= len(base.inputs)):
        return {}
    found: dict[Any, str] = {}
    inputs = {*base.inputs}
    for slot, key in enumerate(_keys(base)):
        place = base.line_of(slot)
        words = [] if slot in inputs else [base.labels.get(slot, "")]
        if place is not None:
            words.append(f"{PurePath(place[0]).name}:{place[1]}")
        text = ", ".join(word for word in words if word)
        if text:
            found.setdefault(key, comment(text))
    return found


def _notes(
    tape: Tape, lowered: Lowered, named: Mapping[Any, str]
) -> Callable[[str, str], str | None] | None:
    """A comment for the lines of steps, by function and register."""
    if not named:
        return None
    parts = np.repeat(np.arange(len(tape)), np.diff(tape.first))
    parts = parts // numbercalls.CHUNK if lowered.chunks > 1 else parts * 0
    found: dict[tuple[str, str], str] = {}
    keys = _keys(tape)
    for key, part, register in zip(keys, parts, lowered.registers, strict=True):
        if key in named:
            function = f"chunk{part}" if lowered.chunks > 1 else "kernel"
            found[function, str(register)] = f" /* {named[key]} */"
    for slot in tape.inputs:
        function = f"chunk{parts[slot]}" if lowered.chunks > 1 else "kernel"
        found.pop((function, str(lowered.registers[slot])), None)
    return lambda function, register: found.get((function, register))


def _statuses(tape: Tape, messages: dict[str, int]) -> dict[int, tuple[int, str]]:
    """The status of each guard; those of one place and outcome have one."""
    found = {}
    for step in tape.steps if "guard" in tape.operations else ():
        if step.primitive.name != "guard":
            continue
        guard: Guard = step.params["guard"]
        where = f"{PurePath(guard.file).name}:{guard.line}"
        seen = "another outcome" if guard.varies else guard.outcome
        text = f"another branch is taken at {where}, where {seen} was recorded"
        number = messages.setdefault(text, len(messages) + 1)
        found[step.number + 1] = number, f" /* {comment(where)} */"
    return found


FAILURES = {
    -1: "there is no memory",
    -2: "no answer: a matrix is singular, or a loop went another way or too long",
    -3: "an index is out of bounds",
}


def _message(name: str, messages: Mapping[str, int]) -> str:
    """The function that gives words for a status."""
    lines = [f"const char *{name}_message(int status) {{", "    switch (status) {"]
    words = {0: "done", **{n: text for text, n in messages.items()}, **FAILURES}
    lines += [
        f"    case {number}: return {quoted(text)};" for number, text in words.items()
    ]
    lines += ['    default: return "an unknown status";', "    }", "}"]
    return "\n".join(lines) + "\n"


def _head(source: Source) -> str:
    return wrapped(f"int {source.name}", [p.text for p in source.parameters]) + ";"


def _about(tape: Tape, parts: list[File], messages: Mapping[str, int]) -> str:
    """The comment at the top."""
    source = parts[-1].source
    lines = [
        f"{parts[0].source.name}: a tape of {len(tape):,} steps, as C99 by tapegrad.",
        "",
        *(
            f"    {parameter.name}: {parameter.about}"
            for parameter in source.parameters[:SHOWN]
        ),
        "",
        "Arrays are contiguous, row by row; results must not overlap arguments. The",
        "result is 0 if all went well, or a number that the message function explains;",
        "then nothing is to be read from the results.",
    ]
    if messages:
        lines += [
            "The function took branches when it was recorded, and has only those."
        ]
    memory = max(part.source.arena for part in parts)
    if memory:
        lines += [f"It works in {memory:,} bytes of memory of its own."]
    lines += [
        "",
        "Compile it without -ffast-math and, for the same last bits as the tape, with",
        "-ffp-contract=off -fno-builtin; link with -lm where the platform asks for it.",
    ]
    return "/* " + "\n * ".join(lines).replace(" * \n", " *\n") + "\n */\n"
