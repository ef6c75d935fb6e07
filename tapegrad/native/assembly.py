"""Machine code as people read it: the loops of a tape's kernel. Floor 9."""

from __future__ import annotations

import re

from tapegrad import sweeps
from tapegrad.native.arraycalls import OPTIMISED, tape_of
from tapegrad.native.objects import LOOPS, listed
from tapegrad.tape.tape import Tape

LABEL = re.compile(r"^(\.?L[\w.]*):")
JUMP = re.compile(r"^\tj?[\w.]+\s.*?(\.?L[\w.]+)$")


def assembly(tape: Tape, part: str = "gradient") -> str:
    """The machine code of a tape with arrays, as it is built on this machine.

    Args:
        tape: any tape with arrays.
        part: "value", "gradient", "tangent" or "pullback <k>".
    """
    from tapegrad.native.arrays import lower_arrays

    text = lower_arrays(tape_of(sweeps.flat(tape), part)).text
    return listed(text, OPTIMISED, OPTIMISED, LOOPS)


def inner_loops(code: str) -> list[str]:
    """The innermost loops of a listing, the one with most instructions first.

    Args:
        code: see `assembly`.
    """
    lines = [line.split("#")[0].rstrip() for line in code.splitlines()]
    lines = [line for line in lines if line and not line.startswith("\t.")]
    starts: dict[str, int] = {}
    loops: list[tuple[int, int]] = []
    for place, line in enumerate(lines):
        if label := LABEL.match(line):
            starts[label[1]] = place
        elif (jump := JUMP.match(line)) and jump[1] in starts:
            loops.append((starts[jump[1]], place))
    inner = [
        (low, high)
        for low, high in loops
        if not any((low < a and b <= high) or (low <= a and b < high) for a, b in loops)
    ]
    inner.sort(key=lambda loop: loop[0] - loop[1])
    return ["\n".join(lines[low : high + 1]) for low, high in inner]
