"""Python builtins made of kernels. Floor 9.

``PyCFunction_NewEx`` makes a builtin of a C function and a ``self``. All builtins here
share one C function, the thunk; their ``self`` is a tuple that holds the layout, the
fallback, and everything that must live as long as the builtin: the kernel's code and
the method definition. So a builtin that outlives its `Compiled` goes on working, and
the code is freed with its last holder.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.native import thunk
from tapegrad.native.engine import Engine
from tapegrad.native.objects import BRANCHES
from tapegrad.native.report import Part

# The convention: (self, args, count, keyword names).
FASTCALL_KEYWORDS = 0x80 | 0x02


@dataclass(frozen=True, slots=True)
class Kernel:
    """Machine code of a tape.

    Args:
        engine: the code.
        inputs, outputs: how many numbers it takes and gives.
        part: what building it took.
    """

    engine: Engine
    inputs: int
    outputs: int
    part: Part


class Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@functools.cache
def _thunk() -> tuple[int, Engine]:
    """The address of the thunk, and the engine that keeps it."""
    engine = Engine(thunk.source(), thunk.CALLS, codegen=2, passes=BRANCHES)
    return engine.address("thunk"), engine


def builtin(
    name: str, kernel: Kernel, kind: int, fallback: Callable[..., Any]
) -> Callable[..., Any]:
    """A builtin function that runs a kernel.

    Args:
        name: its ``__name__``.
        kernel: what it runs.
        kind: what it makes of the outputs: FLAT, a tuple of all; VALUE, the first;
            PAIR, the first and the others as the gradient; GRADIENT, the others. A
            gradient is bare for one input.
        fallback: called with the same arguments when they are not plain numbers, and
            when the kernel's status is not 0.
    """
    address, engine = _thunk()
    layout = struct.pack(
        "qqqPP",
        kernel.inputs,
        kernel.outputs,
        kind,
        kernel.engine.address("kernel"),
        id(np.float64),
    )
    method = Method(name.encode(), address, FASTCALL_KEYWORDS, None)
    return make_builtin(method, (fallback, layout, method, kernel, engine))


def make_builtin(method: Method, owner: tuple[Any, ...]) -> Callable[..., Any]:
    """A builtin function with a ``self``, which must hold the method."""
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    made: Callable[..., Any] = make(ctypes.addressof(method), owner, None)
    return made
