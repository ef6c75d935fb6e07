"""Python builtins made of kernels on arrays. Floor 9.

The counterpart of ``entry``: the thunk is ``arraythunk``'s, and the layout says what
array each input and output is. NumPy's C functions are taken from the table that it
exports to extension modules; their addresses stand in the layout, not in any code.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native import arraythunk
from tapegrad.native.engine import Engine, symbol
from tapegrad.native.entry import FASTCALL_KEYWORDS, Method, make_builtin
from tapegrad.native.keeping import avals, part_of
from tapegrad.native.objects import BRANCHES
from tapegrad.native.options import Options
from tapegrad.native.report import Part
from tapegrad.tape.tape import BOOLEAN, SCALAR, Aval

# Places in NumPy's table of C functions, which no version changes.
ARRAY_TYPE, ARRAY_SCALAR, ARRAY_NEW = 2, 60, 93

# The keyword, as the interpreter has it in calls that are written out.
OUT = sys.intern("out")

# From so many entries, in all slots together, a kernel lets other threads run: taking
# the lock again may wait for another thread's turn, which is long for a short kernel.
LONG = 200_000


class Arena:
    """The memory for intermediate arrays, kept between calls, freed with this object.

    Args:
        nbytes: its size; nothing is allocated before the first call.
    """

    __slots__ = ("_free", "cell", "nbytes")

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self.cell = ctypes.c_void_p()
        self._free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(symbol("free") or 0)

    def __del__(self) -> None:
        if self.cell.value:
            self._free(self.cell.value)


@dataclass(frozen=True, slots=True)
class ArrayKernel:
    """Machine code of a tape with arrays.

    Args:
        engine: the code.
        inputs, outputs: shape and dtype of each.
        arena: the memory that it computes in.
        part: what building it took.
        options: what it was built with.
        entries: how many numbers all slots hold together.
    """

    engine: Engine
    inputs: tuple[Aval, ...]
    outputs: tuple[Aval, ...]
    arena: Arena
    part: Part
    options: Options
    entries: int = 0

    @property
    def unlocked(self) -> bool:
        """Whether it runs long enough to let other threads run."""
        return self.entries >= LONG


def kernel_of(
    engine: Engine, facts: Mapping[str, Any], options: Options, seconds: float
) -> ArrayKernel:
    """A kernel, from its code and what was found out when it was lowered.

    Args:
        engine: the code, and
        facts: what is known of it, as `keeping.engine_of` gives them.
        options: of the `Compiled`.
        seconds: that building took.
    """
    return ArrayKernel(
        engine,
        avals(facts["inputs"]),
        avals(facts["outputs"]),
        Arena(facts["arena"]),
        part_of(engine, facts, seconds),
        options,
        facts["entries"],
    )


@dataclass(slots=True)
class _Layout:
    """Words, and dimensions that they point to."""

    records: list[int] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)

    def add(self, aval: Aval) -> None:
        """The record of an input or output."""
        shape, name = aval
        dtype = np.dtype(name)
        dims = (ctypes.c_int64 * max(len(shape), 1))(*shape)
        self.kept += [dims, dtype]
        code: int = dtype.num
        if aval == SCALAR:
            code = arraythunk.NUMBER
        nbytes = math.prod(shape) * dtype.itemsize
        self.records += [code, len(shape), ctypes.addressof(dims), id(dtype), nbytes]


@functools.cache
def _numpy() -> tuple[int, int, int]:
    """The addresses of ndarray, PyArray_New and PyArray_Scalar."""
    from numpy._core import _multiarray_umath as extension  # type: ignore[attr-defined]

    found = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )(extension._ARRAY_API, None)  # noqa: SLF001 - it is for extension modules
    table = (ctypes.c_void_p * (ARRAY_NEW + 1)).from_address(found)
    if table[ARRAY_TYPE] != id(np.ndarray):
        msg = f"NumPy {np.__version__} has another table of C functions; use tape(...)"
        raise CompileError(msg)
    return table[ARRAY_TYPE] or 0, table[ARRAY_NEW] or 0, table[ARRAY_SCALAR] or 0


@functools.cache
def _thunk() -> tuple[int, Engine]:
    """The address of the thunk, and the engine that keeps it."""
    engine = Engine(arraythunk.source(), arraythunk.CALLS, codegen=2, passes=BRANCHES)
    return engine.address("thunk"), engine


def array_builtin(
    name: str,
    kernel: ArrayKernel,
    kind: int,
    fallback: Callable[..., Any],
    *,
    bare: bool = False,
    out: bool = False,
) -> Callable[..., Any]:
    """A builtin function that runs a kernel on arrays.

    Args:
        name: its ``__name__``.
        kernel: what it runs.
        kind: what it makes of the outputs; see `entry.builtin`.
        fallback: called with the same arguments when one is not the very array or
            number that the kernel takes, and when the kernel's status is not 0.
        bare: a gradient of one array stands alone, not in a tuple.
        out: write into the arrays of ``out=`` where they are the very ones to be made;
            they are filled, in part, where the kernel's status is not 0.
    """
    address, engine = _thunk()
    layout = _Layout()
    for aval in kernel.inputs:
        layout.add(aval)
    for aval in kernel.outputs:
        layout.add(aval)
        if aval == BOOLEAN:
            layout.records[-arraythunk.RECORD] = arraythunk.TRUTH
    array_type, array_new, array_scalar = _numpy()
    words = {
        "inputs": len(kernel.inputs),
        "outputs": len(kernel.outputs),
        "kind": kind,
        "kernel": kernel.engine.address("kernel"),
        "arena": kernel.arena.nbytes,
        "cell": ctypes.addressof(kernel.arena.cell),
        "unlock": kernel.unlocked,
        "array_type": array_type,
        "array_new": array_new,
        "array_scalar": array_scalar,
        "bare": bare,
        "float64": id(np.float64),
        "none": id(None),
        "tuple_type": id(tuple),
        "out_name": id(OUT) if out else 0,
    }
    column = [words[word] for word in arraythunk.WORDS] + layout.records
    packed = struct.pack(f"{len(column)}q", *column)
    method = Method(name.encode(), address, FASTCALL_KEYWORDS, None)
    owner = (fallback, packed, method, kernel, engine, layout.kept)
    return make_builtin(method, owner)


def entries(avals: Sequence[Aval], counts: Sequence[int]) -> int:
    """How many numbers slots hold, so many of each aval."""
    sizes = [math.prod(shape) for shape, _ in avals]
    return sum(size * count for size, count in zip(sizes, counts, strict=True))
