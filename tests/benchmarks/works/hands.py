"""Work by hand: C through ctypes, and CasADi's functions on memory of arrays."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FLAGS = ("-O3", "-march=native", "-shared", "-fPIC")


def library(name: str = "hand.c") -> Any:
    """A file of C beside this one, compiled.

    Raises:
        ImportError: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ImportError(name="a C compiler")
    source = Path(__file__).with_name(name)
    target = Path(tempfile.mkdtemp()) / "hand.so"
    subprocess.run([compiler, *FLAGS, source, "-o", target, "-lm"], check=True)
    return ctypes.CDLL(str(target))


def pointer(array: Any) -> Any:
    """An array as C takes it."""
    return ctypes.c_void_p(array.ctypes.data)


def buffered(f: Any, inputs: list[Any], outputs: list[Any]) -> tuple[Any, Any]:
    """A CasADi function on the memory of arrays: what runs it, and its buffer."""
    buffer, run = f.buffer()
    for place, array in enumerate(inputs):
        buffer.set_arg(place, memoryview(array))
    for place, array in enumerate(outputs):
        buffer.set_res(place, memoryview(array))
    return run, buffer


# CasADi's own way of compiling by C: a function generated, built, and loaded again
JIT = {
    "jit": True,
    "compiler": "shell",
    "jit_options": {"flags": ["-O3", "-march=native"], "verbose": False},
}


def zeros(*shapes: Any) -> list[Any]:
    """Arrays for results."""
    return [np.zeros(shape) for shape in shapes]
