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
        part: "value"; "gradient" (values, then derivatives); "pullback" (of inputs and
            output adjoints) or "tangent" (of inputs and their tangents), without the
            values.
    """
    if part == "value":
        return prune(base)
    if part == "gradient":
        return gradient_tape(base)
    if part == "tangent":
        return tangent_tape(base)
    grown = pullback_tape(base, differentiable(base))
    return prune(
        dataclasses.replace(
            grown, outputs=grown.outputs[len(base.outputs) :], _digest=[]
        )
    )


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
            if self.part in {"pullback", "tangent"}:
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
        return value
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


def mode(base: Tape) -> str:
    """The part that a Jacobian is made of: the cheaper one by sizes."""
    inputs = [base.inputs[place] for place in differentiable(base)]
    shapes = [base.aval_of(slot)[0] for slot in base.outputs]
    if len(shapes) <= FEW and not any(shapes):
        return "gradient"
    rows, columns = (_size(base, slots) for slots in (base.outputs, inputs))
    return "tangent" if columns < rows else "pullback"


def _size(base: Tape, slots: Sequence[int]) -> int:
    return sum(math.prod(base.aval_of(slot)[0]) for slot in slots)


class Jacobian:
    """Derivatives of every output by every input, an entry after the other.

    Args:
        tape: with the structure of arguments and result.
        base: the same tape, flat.
        part: "pullback" or "tangent".
        kernel: its code.
    """

    def __init__(self, tape: Tape, base: Tape, part: str, kernel: ArrayKernel) -> None:
        self.base = base
        self.result = tape.structure.result
        self.part = part
        self.seeds = kernel.inputs[len(base.inputs) :]
        run = array_builtin(part, kernel, thunk.FLAT, Replay(base, part))
        self.run: Callable[..., Found] = run
        self.inputs = [base.inputs[place] for place in differentiable(base)]
        self.bound = Bound(tape, Converted(tape, self._all))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Nested like the outputs, then like the arguments."""
        rows = self.bound(*args, **kwargs)
        return self.result.build([calls.nest_inputs(self.base, row) for row in rows])

    def _all(self, *given: Any) -> Found:
        """A row an output: its derivative by each input, shapes joined."""
        base = self.base
        found = [
            [self._zeros(output, slot) for slot in self.inputs]
            for output in base.outputs
        ]
        backward = self.part == "pullback"
        places = range(len(base.outputs)) if backward else differentiable(base)
        for number, place in enumerate(places):
            shape, _ = self.seeds[place]
            if backward and base.aval_of(base.outputs[place])[1] not in FLOATING:
                continue
            seeds = [np.zeros(*aval) for aval in self.seeds]
            for entry in range(math.prod(shape)):
                seeds[place].flat[entry] = 1
                parts = self.run(*given, *map(exact, seeds, self.seeds))
                seeds[place].flat[entry] = 0
                for other, values in enumerate(parts):
                    if backward:
                        target = found[place][other]
                        target.reshape(math.prod(shape), -1)[entry] = np.ravel(values)
                    else:
                        target = found[other][number]
                        target.reshape(-1, math.prod(shape))[:, entry] = np.ravel(
                            values
                        )
        return tuple([[_plain(part) for part in row] for row in found])

    def _zeros(self, output: int, slot: int) -> Any:
        (rows, _), (columns, dtype) = map(self.base.aval_of, (output, slot))
        return np.zeros(rows + columns, dtype)


def _plain(value: Any) -> Any:
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
