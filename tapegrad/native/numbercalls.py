"""What the methods of a `Compiled` are on a tape of numbers alone. Floor 9.

The counterpart of `arraycalls`: a kernel of floats takes up to a few dozen nanoseconds,
so what stands around it is a builtin, and Python comes in only where arguments have to
be taken apart, or where the kernel has no answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import binding, sweeps
from tapegrad.native.budget import level_within
from tapegrad.native.entry import Kernel
from tapegrad.native.keeping import Source, engine_of, part_of
from tapegrad.native.lowering import lower
from tapegrad.native.options import Options
from tapegrad.readings import SCALAR
from tapegrad.tape.tape import Tape

Floats = tuple[float, ...]

# Up to so many steps "auto" spends some 60 us a step on code that runs up to twice as
# fast; beyond, a quarter of that a step, whatever the length.
SHORT = 512
# Steps a function, of longer tapes: longer ones are built a bit quicker, but what does
# not fit into registers is stored and loaded again; shorter ones repeat more loads. The
# optimising levels take more than linear time over a function.
CHUNK = 350


def source(tape: Tape) -> str:
    """The LLVM text of a flat tape of numbers."""
    return lower(tape, chunk_of(len(tape))).text


def build(make: Callable[[], Tape], options: Options) -> Kernel:
    """Lower a flat tape of numbers and compile it.

    Args:
        make: gives the tape; its time counts as building.
        options: of the `Compiled`.

    Raises:
        CompileError: a step has no native code, or LLVM refuses.
    """
    start = time.perf_counter()

    def lowered_part() -> Source:
        tape = make()
        lowered = lower(tape, chunk_of(len(tape)))
        facts = {
            "inputs": len(tape.inputs),
            "outputs": len(tape.outputs),
            "steps": len(tape),
            "chunks": lowered.chunks,
        }
        level = level_of(options, len(tape))
        return Source(lowered.body, lowered.calls, level, facts)

    engine, facts = engine_of(make, ("numbers", options), lowered_part)
    took = time.perf_counter() - start
    return Kernel(
        engine,
        facts["inputs"],
        facts["outputs"],
        part_of(engine, facts, took),
    )


def chunk_of(steps: int) -> int:
    """Steps a function, of a tape of so many."""
    return max(CHUNK, steps) if steps <= SHORT else CHUNK


def level_of(options: Options, steps: int) -> int:
    """LLVM's level for so many steps of numbers."""
    level = 2 if steps <= SHORT else 0
    if options.level != "auto":
        level = int(options.level)
    return level_within(options, steps, level, arrays=False)


class Replay:
    """The interpreter, for when a kernel has no answer.

    A guard flipped: the replay raises `BranchChanged`. Or it holds here and not there,
    by the last bits of what it compares, or memory was short: here is the answer.
    """

    __slots__ = ("base", "part")

    def __init__(self, base: Tape, part: str) -> None:
        self.base = base
        self.part = part

    def __call__(self, *floats: float) -> Floats:
        """Outputs, and derivatives if the part is the gradient."""
        with np.errstate(all="ignore"):
            slots = sweeps.replay(self.base, SCALAR, floats)
            found = [slots[slot] for slot in self.base.outputs]
            if self.part == "gradient":
                for output in self.base.outputs:
                    bars = sweeps.adjoint(self.base, SCALAR, slots, {output: 1.0})
                    mine = [bars[slot] for slot in self.base.inputs]
                    found += [0.0 if bar is None else bar for bar in mine]
        return tuple(map(float, found))


class Checked:
    """Arguments taken apart and checked, then the kernel run on plain floats."""

    __slots__ = ("run", "tape")

    def __init__(self, tape: Tape, run: Callable[..., Floats]) -> None:
        self.tape = tape
        self.run = run

    def __call__(self, *args: Any, **kwargs: Any) -> Floats:
        """Any arguments that fit the tape."""
        leaves = binding.bind(self.tape, args, kwargs)
        leaves = binding.plain(self.tape, leaves)
        return self.run(*binding.numbers(self.tape, SCALAR, leaves))
