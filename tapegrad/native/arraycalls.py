"""What the methods of a `Compiled` are on a tape with arrays. Floor 9.

A call goes through up to three layers, each the fallback of the one before: a builtin
that takes the very arrays the kernel reads; a conversion of what was passed (lists,
other dtypes, strides), with the library's errors; the interpreter, for when the kernel
has no answer. Jacobians run a kernel of the pullback, or of the tangent where there are
fewer inputs than outputs, once an entry.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import calls, sweeps
from tapegrad.derivatives import (
    differentiable,
    gradient_tape,
    pullback_tape,
    tangent_tape,
)
from tapegrad.native import thunk
from tapegrad.native.arrayentry import Arena, ArrayKernel, array_builtin, entries
from tapegrad.native.engine import Engine
from tapegrad.native.report import Part
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import match
from tapegrad.tape.tape import Aval, Tape

Found = tuple[Any, ...]

# "auto": loops over arrays want the optimiser; what is built of very many steps is
# mostly scalars, and they want to be done with it.
OPTIMISED, LONG_TAPE = 2, 4096

# So many numbers at most have their gradients on one tape, for a Jacobian.
FEW = 8


def tape_of(base: Tape, part: str) -> Tape:
    """What is lowered for a part.

    Args:
        base: a flat tape.
        part: "value"; "gradient" (values, then derivatives); "tangent" (of inputs and
            their tangents); or "pullback <k>" (of inputs and the adjoint of output k).
    """
    if part == "value":
        return prune(base)
    if part == "gradient":
        return gradient_tape(base)
    if part == "tangent":
        return tangent_tape(base)
    output = base.outputs[int(part.removeprefix("pullback "))]
    single = dataclasses.replace(base, outputs=(output,), _digest=[])
    grown = pullback_tape(single, differentiable(base))
    return prune(dataclasses.replace(grown, outputs=grown.outputs[1:], _digest=[]))


def source(tape: Tape) -> str:
    """The LLVM text of a flat tape with arrays, calls declared."""
    from tapegrad.native.arrays import lower_arrays

    lowered = lower_arrays(tape)
    return "".join([*(call.declared() for call in lowered.calls), lowered.body])


def build_arrays(make: Callable[[], Tape], level: str) -> ArrayKernel:
    """Lower a flat tape with arrays and compile it; see `compiled.build`."""
    from tapegrad.native.arrays import lower_arrays

    start = time.perf_counter()
    tape = make()
    lowered = lower_arrays(tape)
    codegen = int(level) if level != "auto" else OPTIMISED
    if level == "auto" and len(tape) > LONG_TAPE:
        codegen = 0
    engine = Engine(lowered.body, lowered.calls, codegen=codegen, passes=codegen)
    took = time.perf_counter() - start
    counts = np.bincount(tape.aval, minlength=len(tape.avals)).tolist()
    return ArrayKernel(
        engine,
        tuple(tape.aval_of(slot) for slot in tape.inputs),
        tuple(tape.aval_of(slot) for slot in tape.outputs),
        Arena(lowered.arena_bytes),
        Part(codegen, len(tape), 1, engine.size, took, lowered.arena_bytes),
        entries(tape.avals, counts),
    )


def on_leaves(
    tape: Tape, base: Tape, part: str, kernel: ArrayKernel
) -> Callable[..., Found]:
    """A builtin of the leaves of a call, in the order of the tape's inputs."""
    sure = array_builtin(part, kernel, thunk.FLAT, Replay(base, part))
    return array_builtin(part, kernel, thunk.FLAT, Converted(tape, sure))


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
    bound = Bound(tape, on_leaves(tape, base, part, kernel), shape)
    structure = tape.structure
    if structure.keywords or not all(tree.bare for tree in structure.arguments):
        return bound
    if kind == thunk.FLAT or not structure.result.bare:
        return Shaped(array_builtin(part, kernel, thunk.FLAT, bound.flat()), shape)
    single = len(differentiable(base)) == 1
    return array_builtin(part, kernel, kind, bound, bare=single)


class Replay:
    """The interpreter, for when a kernel has no answer; it raises the proper error."""

    __slots__ = ("base", "part")

    def __init__(self, base: Tape, part: str) -> None:
        self.base = base
        self.part = part

    def __call__(self, *inputs: Any) -> Found:
        """Outputs, and derivatives if the part is the gradient."""
        with np.errstate(all="ignore"):
            given = [MIXED.number(np.array(x)) for x in inputs]
            base = self.base
            if self.part not in {"value", "gradient"}:
                base = tape_of(base, self.part)
            slots = sweeps.replay(base, MIXED, given)
            found = [_own(slots[slot]) for slot in base.outputs]
            if self.part == "gradient":
                for row in calls.array_rows(base, MIXED, slots):
                    found += row
        return tuple(found)


def _own(value: Any) -> Any:
    """A result that the caller may write to."""
    return np.array(value) if isinstance(value, np.ndarray) else value


class Converted:
    """Argument leaves converted to what a kernel takes; bad ones are named."""

    __slots__ = ("run", "tape")

    def __init__(self, tape: Tape, run: Callable[..., Found]) -> None:
        self.tape = tape
        self.run = run

    def __call__(self, *leaves: Any) -> Found:
        """Run on leaves in the order of the inputs."""
        tape = self.tape
        given = calls.numbers(tape, MIXED, calls.plain(tape, leaves))
        avals = map(tape.aval_of, tape.inputs)
        return self.run(*map(exact, given, avals))


def exact(value: Any, aval: Aval) -> Any:
    """A number of the reading as the kernel takes it."""
    shape, dtype = aval
    if not shape and dtype == "float64":
        return float(value)
    wanted, data = np.dtype(dtype), np.asarray(value)
    if data.dtype.num != wanted.num or not data.flags.aligned:
        return np.array(data, wanted)
    return data


class Bound:
    """Arguments taken apart, the kernel run, and the result put together."""

    __slots__ = ("quick", "run", "shape", "tape")

    def __init__(
        self,
        tape: Tape,
        run: Callable[..., Found],
        shape: Callable[[Found], Any] = tuple,
    ) -> None:
        self.tape = tape
        self.run = run
        self.shape = shape
        structure = tape.structure
        names = calls.argument_names(tape)
        self.quick = list(zip(structure.arguments, names, strict=True))
        if structure.keywords:
            self.quick = []

    def flat(self) -> Bound:
        """The same, with the outputs as they are."""
        return Bound(self.tape, self.run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Any arguments that fit the tape."""
        if kwargs or len(args) != len(self.quick):
            return self.shape(self.run(*calls.bind(self.tape, args, kwargs)))
        leaves: list[Any] = []
        for (tree, name), value in zip(self.quick, args, strict=True):
            leaves += match(tree, value, name)
        return self.shape(self.run(*leaves))


class Shaped:
    """A result put together from a kernel's outputs."""

    __slots__ = ("run", "shape")

    def __init__(
        self, run: Callable[..., Found], shape: Callable[[Found], Any]
    ) -> None:
        self.run = run
        self.shape = shape

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Any arguments that fit the tape."""
        return self.shape(self.run(*args, **kwargs))


# -- Jacobians and directions ----------------------------------------------------


def few_numbers(base: Tape) -> bool:
    """Whether a Jacobian is best computed with all gradients on one tape."""
    shapes = [base.aval_of(slot)[0] for slot in base.outputs]
    return len(shapes) <= FEW and not any(shapes)


class Jacobian:
    """Derivatives of every output by every input, an entry after the other.

    Each output has a pullback of its own, and the tangent is taken for a single input
    alone: an adjoint of 0 for the others would be NaN where a partial is infinite.

    Args:
        tape: with the structure of arguments and result.
        base: the same tape, flat.
        kernel: gives the kernel of a part.
    """

    def __init__(
        self, tape: Tape, base: Tape, kernel: Callable[[str], ArrayKernel]
    ) -> None:
        self.base = base
        self.result = tape.structure.result
        self.inputs = [base.inputs[place] for place in differentiable(base)]
        sizes = [_size(base, slots) for slots in (self.inputs, base.outputs)]
        self.forward = len(self.inputs) == 1 and sizes[0] < sizes[1]
        parts = {
            place: f"pullback {place}"
            for place, slot in enumerate(base.outputs)
            if base.aval_of(slot)[1] in FLOATING
        }
        if self.forward:
            parts = {differentiable(base)[0]: "tangent"}
        self.runs: dict[int, Callable[..., Found]] = {}
        self.seeds: dict[int, list[Aval]] = {}
        for place, part in parts.items():
            code, replay = kernel(part), Replay(base, part)
            self.runs[place] = array_builtin(part, code, thunk.FLAT, replay)
            self.seeds[place] = list(code.inputs[len(base.inputs) :])
        self.bound = Bound(tape, Converted(tape, self._rows))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Nested like the outputs, then like the arguments."""
        rows = self.bound(*args, **kwargs)
        return self.result.build([calls.nest_inputs(self.base, row) for row in rows])

    def _rows(self, *given: Any) -> Found:
        """A row an output: its derivative by each input, shapes joined."""
        found = [
            [self._zeros(output, slot) for slot in self.inputs]
            for output in self.base.outputs
        ]
        for place, run in self.runs.items():
            avals = self.seeds[place]
            seeds = [np.zeros(*aval) for aval in avals]
            unit = seeds[place if self.forward else 0]
            for entry in range(unit.size):
                unit.flat[entry] = 1
                parts = run(*given, *map(exact, seeds, avals))
                unit.flat[entry] = 0
                if self.forward:
                    for row, part in zip(found, parts, strict=True):
                        row[0].reshape(-1, unit.size)[:, entry] = np.ravel(part)
                else:
                    for target, part in zip(found[place], parts, strict=True):
                        target.reshape(unit.size, -1)[entry] = np.ravel(part)
        return tuple([list(map(plain_number, row)) for row in found])

    def _zeros(self, output: int, slot: int) -> Any:
        (rows, _), (columns, dtype) = map(self.base.aval_of, (output, slot))
        return np.zeros(rows + columns, dtype)


def _size(base: Tape, slots: Sequence[int]) -> int:
    return sum(math.prod(base.aval_of(slot)[0]) for slot in slots)


def plain_number(value: Any) -> Any:
    """An array of shape () as a number; others stay writeable."""
    return value if value.ndim else plain(value)


def along(tape: Tape, derived: Tape, run: Callable[..., Found]) -> Callable[..., Any]:
    """A Hessian times a direction.

    Args:
        tape: the function's tape.
        derived: of inputs and then tangents.
        run: the derived tape's code, on leaves.
    """
    smooth = set(differentiable(tape))
    labels = derived.inputs[len(tape.inputs) :]

    def call(args: Sequence[Any], direction: Sequence[Any]) -> Any:
        leaves = calls.bind(tape, args, {})
        dots = calls.bind(tape, direction, {})
        for place, slot in enumerate(labels):
            if place not in smooth:  # ints have no tangent, whatever stands there
                dots[place] = np.zeros(*derived.aval_of(slot))
        return calls.nest_inputs(tape, list(run(*leaves, *dots)))

    return call
