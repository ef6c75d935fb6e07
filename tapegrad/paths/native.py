"""Native code of a path that says which guard flipped. Floor 10; loads llvmlite.

A compiled tape answers a flipped guard with a replay and an error. A function with
paths goes on to another tape, so here a flip is a plain result, `MISS`, and the
kernel's status tells the guard.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad import binding, sweeps
from tapegrad.derivatives import (
    differentiable,
    gradient_tree,
    scalar_output,
)
from tapegrad.native import thunk
from tapegrad.native.arraycalls import build_arrays, tape_of
from tapegrad.native.arrayentry import ArrayKernel, array_builtin
from tapegrad.native.bound import Converted
from tapegrad.native.entry import Kernel, builtin
from tapegrad.native.nesting import builder, result_maker
from tapegrad.native.numbercalls import build
from tapegrad.native.options import DEFAULT
from tapegrad.paths.running import MISS
from tapegrad.tape.tape import Tape

# Which kernel a method runs.
PARTS = {"value": "value", "value_and_gradient": "gradient", "gradient": "gradient"}
ALIGNMENT = 64
DOUBLE = np.dtype(np.float64)


def _miss(*leaves: Any) -> object:
    del leaves
    return MISS


class Code:
    """A kernel, and where its guards stand.

    Args:
        tape: of the path.
        part: "value", or "gradient".

    Raises:
        CompileError: a step has no native code.
    """

    def __init__(self, tape: Tape, part: str) -> None:
        base = sweeps.flat(tape)
        lowered = tape_of(base, part)
        self.base = base
        avals = [base.aval_of(slot) for slot in base.inputs]
        self.inputs = [(shape, np.dtype(dtype)) for shape, dtype in avals]
        self.kernel: Kernel | ArrayKernel
        if base.arrays:
            self.kernel = build_arrays(lambda: lowered, DEFAULT)
        else:
            self.kernel = build(lambda: lowered, DEFAULT)
        takes = [ctypes.c_void_p] * (3 if base.arrays else 2)
        address = self.kernel.engine.address("kernel")
        self._run = ctypes.CFUNCTYPE(ctypes.c_int, *takes)(address)
        self._depths = _guards(lowered, base)
        # what a flipped guard leaves in the outputs is never looked at
        self._in = ctypes.c_double * max(len(base.inputs), 1)
        self._pointers = ctypes.c_void_p * max(len(base.inputs), 1)
        self._results = ctypes.c_void_p * max(len(lowered.outputs), 1)
        self._out = (ctypes.c_double * max(len(lowered.outputs), 1))()

    def flipped(self, leaves: Sequence[Any]) -> int:
        """The number of the first guard that does not hold, -1 where it is not known.

        Args:
            leaves: the inputs.
        """
        if not self._depths:
            return -1
        if not self.takes(leaves):
            leaves = _numbers(self.base, leaves)
        if isinstance(self.kernel, ArrayKernel):
            status = self._on_arrays(self.kernel, leaves)
        else:
            status = self._run(self._in(*leaves), self._out)
        return self._depths.get(status - 1, -1)

    def takes(self, leaves: Sequence[Any]) -> bool:
        """Whether the kernel takes these very leaves, of shapes that fit the tape."""
        for leaf, (shape, dtype) in zip(leaves, self.inputs, strict=True):
            if type(leaf) is float:
                if shape or dtype is not DOUBLE:
                    return False
            elif (
                type(leaf) is not np.ndarray
                or leaf.dtype is not dtype
                or not leaf.flags.carray
                or not shape
            ):
                return False
        return True

    def _on_arrays(self, kernel: ArrayKernel, leaves: Sequence[Any]) -> int:
        held = [
            leaf if type(leaf) is np.ndarray else np.array(leaf, dtype)
            for leaf, (_, dtype) in zip(leaves, self.inputs, strict=True)
        ]
        out = [np.empty(shape, dtype) for shape, dtype in kernel.outputs]
        room = np.empty(kernel.arena.nbytes + ALIGNMENT, np.uint8)
        arena = _place(room)
        arena += -arena % ALIGNMENT
        ins, outs = self._pointers(*map(_place, held)), self._results(*map(_place, out))
        return self._run(ins, outs, arena)  # type: ignore[no-any-return]


def _numbers(base: Tape, leaves: Sequence[Any]) -> list[Any]:
    """Leaves of any kind as numbers and arrays of the tape's dtypes."""
    m = binding.arithmetic_of(base, "float64")
    return binding.numbers(base, m, binding.plain(base, leaves))


def _place(array: npt.NDArray[Any]) -> int:
    """Where the entries stand."""
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _guards(lowered: Tape, base: Tape) -> dict[int, int]:
    """The number of each guard by its step on the lowered tape.

    Sub-tapes that were written out may have brought guards of their own; then a step
    does not tell which guard of the path it is.
    """
    if "guard" not in lowered.operations:
        return {}
    code = lowered.operations.index("guard")
    steps = np.flatnonzero(lowered.opcode == code).tolist()
    if len(steps) != len(base.guards):
        return {}
    return {step: number for number, step in enumerate(steps)}


class Native:
    """A method of a path as native code, of the leaves of its arguments.

    Args:
        tape: of the path.
        code: of the method's part.
        name: of the method.
    """

    def __init__(self, tape: Tape, code: Code, name: str) -> None:
        self.code = code
        kind, self.shape = _made(tape, name)
        if isinstance(code.kernel, ArrayKernel):
            bare = len(differentiable(code.base)) == 1
            self.quick = array_builtin(name, code.kernel, kind, _miss, bare=bare)
            self._other: Callable[..., Any] = Converted(code.base, self.quick)
        else:
            self.quick = builtin(name, code.kernel, kind, _miss)
            self._other = _AsFloats(code.base, self.quick)

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """The result, or MISS."""
        found = self.quick(*leaves)
        if found is MISS and not self.code.takes(leaves):
            found = self._other(*leaves)
        if found is MISS or self.shape is None:
            return found
        return self.shape(found)


class _AsFloats:
    """Leaves as floats, the kernel run on them."""

    __slots__ = ("base", "run")

    def __init__(self, base: Tape, run: Callable[..., Any]) -> None:
        self.base = base
        self.run = run

    def __call__(self, *leaves: Any) -> Any:
        return self.run(*_numbers(self.base, leaves))


def _made(tape: Tape, name: str) -> tuple[int, Callable[[Any], Any] | None]:
    """What the thunk makes of the outputs, and what is then made of that."""
    base = sweeps.flat(tape)
    if name == "value":
        make, bare = result_maker(tape)
        return (thunk.VALUE, None) if bare else (thunk.FLAT, make)
    scalar_output(tape)
    trees = tape.structure.arguments
    places = differentiable(base)
    both = name == "value_and_gradient"
    if len(places) == len(trees) and all(tree.bare for tree in trees):
        return (thunk.PAIR if both else thunk.GRADIENT), None
    make = builder(gradient_tree(tape))
    if both:
        return thunk.FLAT, lambda found: (found[0], make(found[1:]))
    return thunk.FLAT, lambda found: make(found[1:])
