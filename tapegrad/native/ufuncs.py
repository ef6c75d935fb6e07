"""Real NumPy ufuncs out of tapes. Floor 9; loads llvmlite.

A tape of numbers is recorded once more, on arrays of `LANES` lanes, and lowered like
any tape of arrays: so a ufunc runs the same loops, block by block, with what is between
steps in the fastest memory. A tape of arrays becomes a generalised ufunc, whose core
dimensions are those of its arguments, with a kernel of one lane. So does a tape of
numbers with loops in it, whose lanes would not end together. `batchloop` is the loop
that NumPy calls.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import differentiable, gradient_tape, scalar_output
from tapegrad.errors import CompileError
from tapegrad.expanding import expanded
from tapegrad.native import batchloop
from tapegrad.native.arraycalls import build_arrays
from tapegrad.native.arrayentry import ArrayKernel
from tapegrad.native.batchthreads import ENOUGH
from tapegrad.native.engine import Engine
from tapegrad.native.options import Options
from tapegrad.passes import prune
from tapegrad.recorder import VALUES
from tapegrad.recording import record
from tapegrad.rules import TABLE
from tapegrad.rules.movement import ASTYPE
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

# Lanes of a block: some twenty arrays of so many doubles stand in the second cache.
LANES = 512

# Places in NumPy's table of C functions for ufuncs, which no version changes.
FROM_FUNCTION, FROM_SIGNATURE = 1, 31
DOUBLE = 12
NO_IDENTITY = -1


@functools.cache
def _loop() -> tuple[int, Engine]:
    """The address of the loop, and the engine that keeps it."""
    engine = Engine(batchloop.source(), batchloop.CALLS, codegen=2, passes=2)
    return engine.address("loop"), engine


@functools.cache
def _table() -> Any:
    """NumPy's table of C functions for ufuncs."""
    from numpy._core import _multiarray_umath as extension  # type: ignore[attr-defined]

    found = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )(extension._UFUNC_API, None)  # noqa: SLF001 - it is for extension modules
    table = (ctypes.c_void_p * (FROM_SIGNATURE + 1)).from_address(found)
    if table[0] != id(np.ufunc):
        msg = f"NumPy {np.__version__} has another table of C functions for ufuncs"
        raise CompileError(msg)
    return table


def ufunc_of(tape: Tape, part: str, options: Options) -> tuple[np.ufunc, ArrayKernel]:
    """A ufunc that computes a tape at each of many points.

    Args:
        tape: any tape without guards whose inputs and outputs are float64.
        part: "value", "gradient", or "value_and_gradient" (of one number).
        options: of the `Compiled`.

    Returns:
        The ufunc, which keeps its code, and the kernel.

    Raises:
        CompileError: the tape has a guard, or inputs of another dtype, or none.
    """
    base = sweeps.flat(tape)
    _check(base)
    grown = expanded(_part(base, part), native=True)
    lanes = 1
    if not base.arrays and not any(TABLE[op].nested for op in grown.operations):
        lanes = LANES
        grown = _laned(grown)
    kernel = build_arrays(lambda: _floats(grown), options, lanes if lanes > 1 else 0)
    return _made(kernel, lanes, *_described(tape, part)), kernel


def _check(base: Tape) -> None:
    """Refuse what a ufunc cannot be.

    Raises:
        CompileError: says what, and where.
    """
    if base.guards:
        guard = base.guards[0]
        msg = (
            f"a ufunc computes many points, and each may take another branch than the "
            f"recorded one at {guard.file}:{guard.line}; write the choice as "
            "tg.where(condition, a, b), or call the compiled tape point by point"
        )
        raise CompileError(msg)
    if not base.inputs:
        msg = "the tape has no inputs, and a ufunc needs one; pass floats to record()"
        raise CompileError(msg)
    for slot in base.inputs:
        shape, dtype = base.aval_of(slot)
        if dtype != "float64" or 0 in shape:
            msg = (
                f"argument {base.label_of(slot)} is of shape {shape} and dtype "
                f"{dtype}, and the arguments of a ufunc are float64 and not empty; "
                "record the tape with such arguments"
            )
            raise CompileError(msg)


def _part(base: Tape, part: str) -> Tape:
    """What the ufunc computes of a tape."""
    if part == "value":
        return prune(base)
    scalar_output(base)
    return gradient_tape(base, values=part != "gradient", wrt=differentiable(base))


def _laned(tape: Tape) -> Tape:
    """A tape of numbers, recorded on an array of lanes for each input."""

    def lanes(*xs: Any) -> list[Any]:
        slots = sweeps.replay(tape, VALUES, xs)
        return [_lane(slots[slot], LANES) for slot in tape.outputs]

    return record(lanes, *(np.zeros(LANES) for _ in tape.inputs))


def _lane(y: Any, count: int) -> Any:
    """An output as an array, also where it is the same in each lane."""
    if isinstance(y, Value) and y.ndim:
        return y
    return y * np.ones(count)


def _floats(tape: Tape) -> Tape:
    """The same tape with float64 outputs: truth values as 0 and 1."""
    if all(tape.aval_of(slot)[1] == "float64" for slot in tape.outputs):
        return tape

    def converted(*xs: Any) -> list[Any]:
        slots = sweeps.replay(tape, VALUES, xs)
        return [_float(slots[slot]) for slot in tape.outputs]

    shapes = [tape.aval_of(slot)[0] for slot in tape.inputs]
    return record(converted, *(np.zeros(s) if s else 0.0 for s in shapes))


def _float(y: Any) -> Any:
    if isinstance(y, Value):
        return y if y.dtype == np.float64 else apply(ASTYPE, y, dtype="float64")
    return np.asarray(y, np.float64)[()]


# -- the object ----------------------------------------------------------------------


def _made(kernel: ArrayKernel, lanes: int, name: str, doc: str) -> np.ufunc:
    operands = (*kernel.inputs, *kernel.outputs)
    cores = [shape if lanes == 1 else shape[1:] for shape, _ in operands]
    address, engine = _loop()
    widest = max(math.prod(shape) for shape in cores)
    words = {
        "inputs": len(kernel.inputs),
        "outputs": len(kernel.outputs),
        "block": lanes,
        "arena": kernel.arena.nbytes,
        "kernel": kernel.engine.address("kernel"),
        "reach": 8 * lanes * widest,
        "threads": kernel.options.threads,
        "least": max(lanes, ENOUGH * lanes // max(kernel.entries, 1), 1),
    }
    column = [words[word] for word in batchloop.WORDS]
    for core in cores:
        column += [len(core), math.prod(core), *core]
    layout = ctypes.create_string_buffer(struct.pack(f"{len(column)}q", *column))
    functions = (ctypes.c_void_p * 1)(address)
    data = (ctypes.c_void_p * 1)(ctypes.addressof(layout))
    types = ctypes.create_string_buffer(bytes([DOUBLE] * len(operands)))
    words_of = [name.encode(), doc.encode()]
    counts = len(kernel.inputs), len(kernel.outputs)
    places = (ctypes.addressof(x) for x in (functions, data, types))
    arguments: list[Any] = [*places, 1, *counts, NO_IDENTITY, *words_of, 0]
    kinds: list[Any] = [ctypes.c_void_p] * 3 + [ctypes.c_int] * 4
    kinds += [ctypes.c_char_p] * 2 + [ctypes.c_int]
    place = FROM_FUNCTION
    if any(cores):
        place = FROM_SIGNATURE
        words_of.append(_signature(cores, counts[0]).encode())
        arguments.append(words_of[-1])
        kinds.append(ctypes.c_char_p)
    make: Callable[..., np.ufunc] = ctypes.PYFUNCTYPE(ctypes.py_object, *kinds)(
        _table()[place]
    )
    made = make(*arguments)
    # all of it lives as long as the ufunc
    made.kept = (kernel, engine, layout, functions, data, types, words_of)  # type: ignore[attr-defined]
    return made


def _signature(cores: Sequence[tuple[int, ...]], inputs: int) -> str:
    """The core dimensions, as NumPy writes them: ``(3),(2,3)->()``."""
    texts = [f"({','.join(map(str, core))})" for core in cores]
    return f"{','.join(texts[:inputs])}->{','.join(texts[inputs:])}"


def _described(tape: Tape, part: str) -> tuple[str, str]:
    """A name and a docstring."""
    f = tape._known.get("function")  # noqa: SLF001 - the notebook of the tape
    name = getattr(f, "__name__", "tape")
    name = name if name.isidentifier() else "tape"
    labels = ", ".join(tape.input_labels())
    doc = f"{name}({labels}) at each of many points"
    if part == "value":
        return name, f"{doc}."
    return f"{name}_{part}", f"The {part.replace('_', ' ')} of {doc}."
