"""Ways to native code: from a tape, from a function, and as text. Floor 9.

They check the choices, before anything is recorded, and hand them on as one object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad import sweeps
from tapegrad.derivatives import gradient_tape
from tapegrad.expanding import expanded
from tapegrad.native import arraycalls, numbercalls
from tapegrad.native.compiled import Compiled
from tapegrad.native.options import chosen
from tapegrad.native.scalars.derived import derived
from tapegrad.native.scalars.kernels import is_numbers, lowered
from tapegrad.recording import record
from tapegrad.tape.tape import Tape


def compile_tape(
    tape: Tape,
    level: str | int = "auto",
    *,
    accuracy: str = "default",
    threads: int = 1,
    budget: float | None = None,
) -> Compiled:
    """Native code for a tape; nothing is built before it is called.

    Args:
        tape: any tape.
        level: "auto", or LLVM's level 0 (quick to build) to 3 (quick to run).
        accuracy: "default", or "fast": vector functions within 4 ulps, not 2.
        threads: how many a long call of a ufunc may use.
        budget: seconds that building may take.

    Raises:
        CompileError: no such choice.
    """
    return Compiled(tape, chosen(level, accuracy, threads, budget))


def compile_function(
    f: Callable[..., Any],
    *args: Any,
    level: str | int = "auto",
    accuracy: str = "default",
    threads: int = 1,
    budget: float | None = None,
    **kwargs: Any,
) -> Compiled:
    """Record a function at example arguments and compile its tape.

    Args:
        f: a function of numbers in any nesting; see `tg.record`.
        *args: where to record it.
        level: "auto", or 0 (quick to build) to 3 (quick to run).
        accuracy: "default", or "fast": vector functions within 4 ulps, not 2.
        threads: how many a long call of a ufunc may use.
        budget: seconds that building may take.
        **kwargs: arguments of the function, by name.

    Example:
        >>> import tapegrad as tg
        >>> area = tg.compile(lambda r: 3.0 * r * r, 1.0)
        >>> area(2.0), area.gradient(2.0)
        (12.0, 12.0)
    """
    options = chosen(level, accuracy, threads, budget)
    return Compiled(record(f, *args, **kwargs), options)


GIVES = """\
; Outputs are the tape's and then, for each, its derivative by each input of floats.
; The result is 0; or the number of a guard's step, plus 1; or negative: no answer.
"""
NUMBERS = """\
; i32 @kernel(double *x, double *y): inputs in, outputs out.
"""
ARRAYS = """\
; i32 @kernel(void **inputs, void **outputs, void *arena): pointers to the entries of
; each input and output, row by row, and memory to work in, aligned to 64 bytes.
"""


def llvm_source(tape: Tape) -> str:
    """The LLVM source of a tape's values and gradients, with a comment on top."""
    base = sweeps.flat(tape)
    if base.arrays and is_numbers(base, "gradient"):
        return ARRAYS + GIVES + lowered(derived(base, "gradient")).text
    grown = expanded(gradient_tape(tape), native=True)
    if base.arrays:
        return ARRAYS + GIVES + arraycalls.source(grown)
    return NUMBERS + GIVES + numbercalls.source(grown)
