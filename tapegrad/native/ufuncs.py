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
import dataclasses
import functools
import itertools
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.derivatives import differentiable, gradient_tape, scalar_output
from tapegrad.errors import CompileError
from tapegrad.expanding import bounded, expanded
from tapegrad.native import batchloop
from tapegrad.native.arraycalls import build_arrays
from tapegrad.native.arrayentry import ArrayKernel
from tapegrad.native.batchthreads import ENOUGH
from tapegrad.native.engine import Engine
from tapegrad.native.objects import BRANCHES
from tapegrad.native.options import Options
from tapegrad.native.scalars.derived import Flat, derived
from tapegrad.native.scalars.kernels import is_numbers
from tapegrad.passes import prune
from tapegrad.recorder import VALUES
from tapegrad.recording import record
from tapegrad.rules import TABLE
from tapegrad.rules.movement import ASTYPE
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

# Lanes of a block: some twenty arrays of so many doubles stand in the second cache.
LANES = 512
# A tape of arrays of up to so many entries, read entry by entry, runs in lanes, too.
ENTRIES, STEPS = 128, 2000

# Places in NumPy's table of C functions for ufuncs, which no version changes.
FROM_FUNCTION, FROM_SIGNATURE = 1, 31
DOUBLE = 12
NO_IDENTITY = -1


@functools.cache
def _loop() -> tuple[int, Engine]:
    """The address of the loop, and the engine that keeps it."""
    engine = Engine(batchloop.source(), batchloop.CALLS, codegen=2, passes=BRANCHES)
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


def ufunc_of(
    tape: Tape, part: str, options: Options, argnums: Sequence[int] | None = None
) -> tuple[np.ufunc, ArrayKernel]:
    """A ufunc that computes a tape at each of many points.

    Args:
        tape: any tape without guards whose inputs and outputs are float64.
        part: "value", "jacobian", "gradient", or "value_and_gradient" (of one number).
        options: of the `Compiled`.
        argnums: places of the arguments that derivatives are by; all by default.

    Returns:
        The ufunc, which keeps its code, and the kernel.

    Raises:
        CompileError: the tape has a guard, or inputs of another dtype, or none, or
            more than a ufunc may have; or derivatives of a while loop are asked for.
    """
    base = sweeps.flat(tape)
    _check(base)
    if part in {"gradient", "value_and_gradient"}:
        scalar_output(base)
    wrt = _wrt(tape, argnums)
    flat = _numbers(base, part, wrt)
    if flat is not None:
        grown, lanes = _laned(flat), LANES
    else:
        grown, lanes = expanded(_part(base, part, wrt), native=True), 1
    if bounded(grown):
        msg = (
            "the derivative of a while loop has room for a number of iterations, and a "
            "ufunc cannot ask for more at a point; call the compiled tape point by "
            "point, or use tg.vmap(tg.grad(f))"
        )
        raise CompileError(msg)
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


def _wrt(tape: Tape, argnums: Sequence[int] | None) -> list[int]:
    """Places of the inputs that derivatives are by.

    Raises:
        CompileError: there is no such argument.
    """
    base = sweeps.flat(tape)
    smooth = differentiable(base)
    if argnums is None:
        return smooth
    structure = tape.structure
    count = structure.positional
    starts = np.cumsum([0, *(len(tree.dynamic) for tree in structure.arguments)])
    found: list[int] = []
    for number in argnums:
        if not -count <= number < count:
            msg = f"argnums={argnums}, but the tape has {count} positional arguments"
            raise CompileError(msg)
        at = number % count
        found += [k for k in smooth if starts[at] <= k < starts[at + 1]]
    return found


def _part(base: Tape, part: str, wrt: Sequence[int]) -> Tape:
    """What the ufunc computes of a tape with arrays, or with loops.

    Raises:
        CompileError: the Jacobian of an output that is an array.
    """
    if part == "value":
        return prune(base)
    for place, slot in enumerate(base.outputs):
        shape, _ = base.aval_of(slot)
        if shape:
            msg = (
                f"output {place} is of shape {shape}, and the tape computes with whole "
                "arrays; write it with numbers, entry by entry, or use "
                "tg.vmap(tg.jacobian(f))"
            )
            raise CompileError(msg)
    return gradient_tape(base, values=part == "value_and_gradient", wrt=wrt)


# -- lanes ---------------------------------------------------------------------------


def _numbers(base: Tape, part: str, wrt: Sequence[int]) -> Flat | None:
    """What the ufunc computes as a tape of numbers, if that is what it is."""
    avals = [base.aval_of(slot) for slot in base.inputs]
    if not base.arrays:
        grown = expanded(_part(base, part, wrt), native=True)
        if any(TABLE[op].nested for op in grown.operations):
            return None
        outputs = tuple(grown.aval_of(slot) for slot in grown.outputs)
        return Flat(grown, tuple(avals), outputs)
    if not is_numbers(base, "gradient"):
        return None
    sizes = [math.prod(base.aval_of(slot)[0]) for slot in (*base.inputs, *base.outputs)]
    if sum(sizes) > ENTRIES or sum(sizes) * len(base) > STEPS * len(sizes):
        return None
    if part == "value":
        return derived(base, part)
    flat = derived(base, "gradient")
    smooth, count = differentiable(base), len(base.outputs)
    keep = list(range(count)) if part == "value_and_gradient" else []
    for row in range(count):
        keep += [count + row * len(smooth) + smooth.index(place) for place in wrt]
    return _kept(flat, keep)


def _kept(flat: Flat, keep: Sequence[int]) -> Flat:
    """Some of the outputs."""
    ends = np.cumsum([0, *(math.prod(shape) for shape, _ in flat.outputs)]).tolist()
    slots: list[int] = []
    for place in keep:
        slots += flat.tape.outputs[ends[place] : ends[place + 1]]
    tape = prune(dataclasses.replace(flat.tape, outputs=tuple(slots)))
    return Flat(tape, flat.inputs, tuple(flat.outputs[place] for place in keep))


def _laned(flat: Flat) -> Tape:
    """A tape of numbers, recorded on an array of lanes for each."""
    tape = flat.tape

    def lanes(*xs: Any) -> list[Any]:
        columns: list[Any] = []
        for x, (shape, _) in zip(xs, flat.inputs, strict=True):
            places = np.ndindex(*shape)
            columns += [x[(slice(None), *at)] if shape else x for at in places]
        slots = sweeps.replay(tape, VALUES, columns)
        ends = iter(tape.outputs)
        found = []
        for shape, _ in flat.outputs:
            some = itertools.islice(ends, math.prod(shape))
            each = [_lane(slots[slot], LANES) for slot in some]
            if shape:
                each = [np.reshape(np.stack(each, axis=1), (LANES, *shape))]
            found += each
        return found

    return record(lanes, *(np.zeros((LANES, *shape)) for shape, _ in flat.inputs))


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
    try:
        made = make(*arguments)
    except ValueError as problem:  # more operands than NumPy has room for
        msg = f"{problem}; hand many numbers over as one array"
        raise CompileError(msg) from problem
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
