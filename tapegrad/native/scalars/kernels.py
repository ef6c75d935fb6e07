"""Kernels of tapes that stand in arrays, lowered as numbers. Floor 9.

They are called as kernels on arrays are, by the same thunk: what differs is that each
entry is a number of its own, and stands in a register or in the arena.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from tapegrad.native.arrayentry import ArrayKernel, kernel_of
from tapegrad.native.ends import Arrays
from tapegrad.native.keeping import Source, engine_of
from tapegrad.native.lowering import Lowered, lower
from tapegrad.native.numbercalls import chunk_of, level_of
from tapegrad.native.options import Options
from tapegrad.native.scalars.derived import Flat, derived
from tapegrad.native.scalars.entries import fits
from tapegrad.tape.tape import Tape

# Steps that all rows of a Jacobian may have together, to be one kernel.
ROWS = 50_000

KNOWN = ("value", "gradient")


def is_numbers(base: Tape, part: str) -> bool:
    """Whether a part of a flat tape with arrays is lowered as numbers."""
    if part not in KNOWN and not part.startswith("pullback"):
        return False
    known = base._known  # noqa: SLF001 - the notebook of the tape
    if "numbers" not in known:
        known["numbers"] = fits(base)
    return bool(known["numbers"])


def rows_fit(base: Tape) -> bool:
    """Whether a Jacobian is one kernel, of the gradients of all outputs' entries."""
    sizes = [math.prod(base.aval_of(slot)[0]) for slot in base.outputs]
    return is_numbers(base, "gradient") and sum(sizes) * len(base) <= ROWS


def lowered(flat: Flat) -> Lowered:
    """The text of a tape of entries."""
    return lower(flat.tape, chunk_of(len(flat.tape)), Arrays(flat.inputs, flat.outputs))


def build_numbers(
    base: Tape, part: str, make: Callable[[], Tape], options: Options
) -> ArrayKernel:
    """Lower a part of a tape of which `is_numbers` is true; see `build_arrays`.

    Args:
        base: the tape.
        part: what of it.
        make: gives the tape of the part as one of arrays; it is not called.
        options: of the `Compiled`.
    """
    start = time.perf_counter()

    def lowered_part() -> Source:
        flat = derived(base, part)
        text = lowered(flat)
        facts = {
            "inputs": flat.inputs,
            "outputs": flat.outputs,
            "steps": text.steps,
            "chunks": text.chunks,
            "arena": 8 * text.scratch,
            "entries": text.steps,
        }
        level = level_of(options, len(flat.tape))
        return Source(text.body, text.calls, level, facts)

    engine, facts = engine_of(make, ("entries", options), lowered_part)
    return kernel_of(engine, facts, options, time.perf_counter() - start)
