"""What counts as a real number, in one place. Floor 3."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from tapegrad.errors import RecordError, ShapeError


def as_number(value: Any) -> float:
    """A real number as a Python float.

    Raises:
        ShapeError: an array that is not a single number.
        RecordError: an int too large for a float; anything that is no real number.
    """
    if type(value) is float:
        return value
    if isinstance(value, numbers.Real | np.bool_):
        try:
            return float(value)
        except OverflowError:
            msg = (
                f"got a number of type {type(value).__name__} that is too large for a "
                "float (they end near 1.8e308); scale it, or pass float('inf')"
            )
            raise RecordError(msg) from None
    if isinstance(value, np.ndarray):
        if value.ndim == 0 and value.dtype.kind in "fiub":
            return float(value)
        msg = (
            f"got an array of shape {value.shape} and dtype {value.dtype} where a "
            "number is needed; a Value is a scalar: make a list, or an object array, "
            "of one Value an entry"
        )
        raise ShapeError(msg)
    if isinstance(value, complex | np.complexfloating):
        msg = f"got the complex number {value!r}; derivatives here are of real numbers"
        raise RecordError(msg)
    msg = (
        f"got {value!r} of type {type(value).__name__} where a real number is needed; "
        "pass a float, an int or a Value"
    )
    raise RecordError(msg)
