"""Functions of C's maths library as NumPy ufuncs. Floor 3; uses ctypes and NumPy alone.

NumPy has no erf and no lgamma. The maths library that Python's own ``math`` is linked
to has them, good to the last places (SciPy's erfc is 400 ulp off at 26, its gammaln
loses all digits beside 2), and native code calls the very same functions. NumPy's C
interface makes a ufunc of a loop and a function pointer:

    PyUFunc_d_d(args, dimensions, steps, data)      out[i] = data(in[i])

The places in its table of functions are part of NumPy's binary interface
(numpy/__ufunc_api.h) and do not change.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from typing import Any

import numpy as np

# Places in NumPy's table.
FROM_FUNCTION, SINGLE_AS_DOUBLE, DOUBLE = 1, 4, 5
# operand and result of each loop: float32, then float64
TYPES = bytes(np.dtype(kind).num for kind in "ffdd")
LOOPS = 2
NO_IDENTITY = -1

# What a ufunc points to and does not copy; kept as long as the process lives.
_KEPT: list[Any] = []


@functools.cache
def ufunc(name: str) -> Any:
    """A function of one double as a ufunc, or None where there is no such symbol.

    Args:
        name: the C name, "erf".
    """
    place = _address(name)
    if place is None:
        return None
    table = ctypes.cast(_capsule(_interface()), ctypes.c_void_p)
    entries = ctypes.cast(table, ctypes.POINTER(ctypes.c_void_p))
    make = ctypes.PYFUNCTYPE(
        ctypes.py_object,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_char_p,
        *[ctypes.c_int] * 4,
        *[ctypes.c_char_p] * 2,
        ctypes.c_int,
    )(entries[FROM_FUNCTION])
    loops = (ctypes.c_void_p * LOOPS)(entries[SINGLE_AS_DOUBLE], entries[DOUBLE])
    data = (ctypes.c_void_p * LOOPS)(place, place)
    word, text = name.encode(), b"From C's maths library."
    _KEPT.extend((loops, data, word, text))
    return make(loops, data, TYPES, LOOPS, 1, 1, NO_IDENTITY, word, text, 0)


def _interface() -> Any:
    """What C code that is written for NumPy's ufuncs is linked to."""
    core = sys.modules["numpy._core._multiarray_umath"]
    return core._UFUNC_API  # noqa: SLF001 - NumPy's C interface


def _capsule(capsule: Any) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype = ctypes.c_void_p
    pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    found: int = pointer(capsule, None)
    return found


def _address(name: str) -> int | None:
    """Where a symbol is: in what ``math`` is linked to, or in the process."""
    own = getattr(math, "__file__", None)
    library = ctypes.CDLL(own) if own else ctypes.pythonapi
    try:
        return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    except AttributeError:
        return None
