"""Methods of a `Compiled` that is not built, since its budget is too short. Floor 9.

They take and give what the others do, by the interpreter.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from tapegrad.native import arraycalls, numbercalls
from tapegrad.native.arraycalls import Shaped
from tapegrad.native.bound import Bound, Converted
from tapegrad.native.options import Options
from tapegrad.native.outs import takes_out
from tapegrad.tape.tape import Tape


def interpreted(
    tape: Tape,
    base: Tape,
    part: str,
    options: Options,
    shape: Callable[[Any], Any],
) -> Callable[..., Any]:
    """What a method is without a kernel.

    Args:
        tape: with the structure of arguments and result.
        base: the same tape, flat.
        part: "value" or "gradient".
        options: of the `Compiled`.
        shape: puts the outputs together.
    """
    if base.arrays:
        # a while loop that runs long is no reason to build a kernel
        replay = arraycalls.Replay(base, part, options, room=sys.maxsize)
        return Bound(tape, Converted(tape, replay), shape)
    run = numbercalls.Checked(tape, numbercalls.Replay(base, part))
    return Shaped(run, shape, out=takes_out(tape))
