"""What the methods of a `Compiled` are on a tape with arrays. Floor 9.

A call goes through up to three layers, each the fallback of the one before: a builtin
that takes the very arrays the kernel reads; a conversion of what was passed (lists,
other dtypes, strides), with the library's errors; the interpreter, for when the kernel
has no answer.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import jacobians, sweeps
from tapegrad.derivatives import (
    differentiable,
    gradient_tape,
    pullback_tape,
    tangent_tape,
)
from tapegrad.expanding import LAPS, ROOM, bounded, expanded
from tapegrad.native import thunk
from tapegrad.native.arrayentry import ArrayKernel, array_builtin, entries, kernel_of
from tapegrad.native.bound import Bound, Converted, Found
from tapegrad.native.budget import level_within
from tapegrad.native.keeping import Source, engine_of
from tapegrad.native.options import Options
from tapegrad.native.outs import by_keyword, takes_out
from tapegrad.native.scalars.derived import derived
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.tape.tape import Tape

# "auto": loops over arrays want the optimiser, which takes some 0.1 to 0.2 ms a line of
# text, up to so many lines; very many steps that are mostly numbers want to be done
# with it.
OPTIMISED, LONG_TAPE, LONG_TEXT = 2, 2048, 30_000

# From so many steps of numbers a gradient is written in pieces: quick for each step,
# and slow for each kind of step.
PIECES = 256

# Bytes that a kernel may take for the iterations of a while loop. The interpreter keeps
# no more than that of a loop, and computes the rest again.
MOST = 1 << 28


def tape_of(base: Tape, part: str, room: int = ROOM) -> Tape:
    """What is lowered for a part.

    Args:
        base: a flat tape.
        part: "value"; "gradient" (values, then derivatives); "tangent" (of inputs and
            their tangents); or "pullback <k>" (of inputs and the adjoint of output k).
        room: iterations that the derivative of a while loop has room for.
    """
    if part == "gradient" and not base.arrays and len(base) > PIECES:
        return derived(base, part).tape
    return expanded(_derived(base, part), native=True, room=room)


def _derived(base: Tape, part: str) -> Tape:
    if part == "value":
        return prune(base)
    if part == "gradient":
        return gradient_tape(base)
    if part == "tangent":
        return tangent_tape(base)
    output = base.outputs[int(part.removeprefix("pullback "))]
    single = dataclasses.replace(base, outputs=(output,))
    grown = pullback_tape(single, differentiable(base))
    return prune(dataclasses.replace(grown, outputs=grown.outputs[1:]))


def source(tape: Tape) -> str:
    """The LLVM text of a flat tape with arrays, calls declared."""
    from tapegrad.native.arrays import lower_arrays

    return lower_arrays(tape).text


def build_arrays(
    make: Callable[[], Tape], options: Options, lanes: int = 0
) -> ArrayKernel:
    """Lower a flat tape with arrays and compile it; see `numbercalls.build`.

    Args:
        make: gives the tape.
        options: of the `Compiled`.
        lanes: see `lower_arrays`.
    """
    from tapegrad.native.arrays import lower_arrays

    start = time.perf_counter()

    def lowered_part() -> Source:
        tape = make()
        fast = options.accuracy == "fast"
        lowered = lower_arrays(tape, lanes, fast=fast)
        counts = np.bincount(tape.aval, minlength=len(tape.avals)).tolist()
        level = level_of(options, tape, counts, lowered.body.count("\n"))
        facts = {
            "inputs": [tape.aval_of(slot) for slot in tape.inputs],
            "outputs": [tape.aval_of(slot) for slot in tape.outputs],
            "steps": len(tape),
            "chunks": 1,
            "arena": lowered.arena_bytes,
            "entries": entries(tape.avals, counts),
        }
        return Source(lowered.body, lowered.calls, level, facts)

    engine, facts = engine_of(make, ("arrays", options, lanes), lowered_part)
    return kernel_of(engine, facts, options, time.perf_counter() - start)


def level_of(options: Options, tape: Tape, counts: Sequence[int], lines: int) -> int:
    """LLVM's level for a tape with so many slots of each aval, and lines of text."""
    steps = len(tape)
    level = OPTIMISED if lines <= LONG_TEXT else 0
    if steps > LONG_TAPE:
        pairs = zip(tape.avals, counts, strict=True)
        numbers = sum(count for (shape, _), count in pairs if not shape)
        if 2 * numbers > steps:
            level = 0
    if options.level != "auto":
        level = int(options.level)
    return level_within(options, steps, level, arrays=True)


def on_leaves(
    tape: Tape, base: Tape, part: str, kernel: ArrayKernel
) -> Callable[..., Found]:
    """A builtin of the leaves of a call, in the order of the tape's inputs."""
    sure = on_exact(base, part, kernel)
    return array_builtin(part, kernel, thunk.FLAT, Converted(tape, sure))


def on_exact(base: Tape, part: str, kernel: ArrayKernel) -> Callable[..., Found]:
    """The same, of leaves that are what the kernel takes."""
    replay = Replay(base, part, kernel.options)
    return array_builtin(part, kernel, thunk.FLAT, replay)


def door(
    tape: Tape,
    base: Tape,
    part: str,
    kernel: ArrayKernel,
    kind: int,
    shape: Callable[[Found], Any],
) -> Callable[..., Any]:
    """What a method is: a builtin where arguments and result are numbers and arrays.

    Args:
        tape: with the structure of arguments and result.
        base: the same tape, flat.
        part: "value" or "gradient".
        kernel: its code.
        kind: what the thunk makes of the outputs.
        shape: the same, for the outputs as a tuple.
    """
    structure = tape.structure
    run = on_leaves(tape, base, part, kernel)
    if structure.keywords or not all(tree.bare for tree in structure.arguments):
        # exact arrays are not looked at in Python, once they are taken apart
        quick = array_builtin(part, kernel, thunk.FLAT, _no_answer)
        return Bound(tape, run, shape, quick)
    if kind == thunk.FLAT or not structure.result.bare:
        flat = array_builtin(part, kernel, thunk.FLAT, Bound(tape, run))
        return Shaped(flat, shape, out=takes_out(tape))
    bound = Bound(tape, run, shape)
    single = len(differentiable(base)) == 1
    # where a guard flips, nothing is to be written
    return array_builtin(
        part, kernel, kind, bound, bare=single, out=bound.out and not base.guards
    )


def _no_answer(*leaves: Any) -> None:
    del leaves


class Replay:
    """The interpreter, for when a kernel has no answer; it raises the proper error.

    Where a while loop ran more often than its derivative had room for, it makes a
    kernel with more room, and asks that one from then on.

    Args:
        base: a flat tape.
        part: what the kernel computes of it.
        options: the kernel's.
    """

    __slots__ = ("base", "options", "part", "room", "wider")

    def __init__(
        self, base: Tape, part: str, options: Options, room: int = ROOM
    ) -> None:
        self.base = base
        self.part = part
        self.options = options
        self.room = room
        # the kernel with more room, and what stands behind that one
        self.wider: tuple[Callable[..., Found], Replay] | None = None

    def __call__(self, *inputs: Any) -> Found:
        """Outputs, and derivatives if the part is the gradient."""
        if self.wider is not None:
            self.wider = self.wider[1].wider or self.wider
            return self.wider[0](*inputs)
        laps = [0]
        token = LAPS.set(laps)
        try:
            found = self._found(inputs)
        finally:
            LAPS.reset(token)
        if laps[0] > self.room:
            self._widen(laps[0])
        return found

    def _widen(self, laps: int) -> None:
        """Make a kernel with room for so many iterations, and for some more."""
        self.room = 2 << laps.bit_length()
        tape = tape_of(self.base, self.part, self.room)
        if not bounded(tape):
            return
        kernel = build_arrays(lambda: tape, self.options)
        if kernel.arena.nbytes <= MOST:
            replay = Replay(self.base, self.part, self.options, self.room)
            run = array_builtin(self.part, kernel, thunk.FLAT, replay)
            self.wider = run, replay

    def _found(self, inputs: Found) -> Found:
        with np.errstate(all="ignore"):
            given = [plain(np.array(x)) for x in inputs]
            base = self.base
            if self.part not in {"value", "gradient"}:
                base = _derived(base, self.part)
            slots = sweeps.replay(base, MIXED, given)
            found = [_own(slots[slot]) for slot in base.outputs]
            if self.part == "gradient":
                for row in jacobians.array_rows(base, MIXED, slots):
                    found += row
        return tuple(found)


def _own(value: Any) -> Any:
    """A result that the caller may write to."""
    return np.array(value) if isinstance(value, np.ndarray) else value


class Shaped:
    """A result put together from a kernel's outputs.

    Args:
        run: gives the outputs.
        shape: puts them together.
        out: whether ``out=`` is where the result is to be written.
    """

    __slots__ = ("out", "run", "shape")

    def __init__(
        self,
        run: Callable[..., Found],
        shape: Callable[[Found], Any],
        *,
        out: bool = True,
    ) -> None:
        self.run = run
        self.shape = shape
        self.out = out

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Any arguments that fit the tape."""
        if kwargs and "out" in kwargs and self.out:
            return by_keyword(self, args, kwargs)
        return self.shape(self.run(*args, **kwargs))
