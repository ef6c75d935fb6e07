"""What counts as a real number, or an array of them, in one place. Floor 3."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from tapegrad.errors import RecordError, ShapeError
from tapegrad.pages import reuse_pages

_LARGEST = np.iinfo(np.int64).max
DOUBLE, TRUTH = np.dtype(np.float64), np.dtype(np.bool_)


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
            "single number is needed"
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


def as_data(value: Any, *, integers: bool = False) -> Any:
    """A number as a float, an array-like as a new array of floats.

    Args:
        value: a real number, an array, or a nesting of lists of numbers.
        integers: keep integer and boolean arrays; else they become float64.

    Returns:
        A Python float, or an array of dtype float64 or float32 (int64, bool) that
        nobody else holds.

    Raises:
        RecordError: complex numbers, strings, objects that are no real numbers.
    """
    if type(value) is float:
        return value
    if not isinstance(value, np.ndarray | list | tuple):
        return as_number(value)
    check_array(value)
    reuse_pages(value)
    given = _array(value)
    kind = given.dtype.kind
    if kind == "O":
        return _of_objects(given)
    if kind == "c":
        msg = f"got an array of {given.dtype}; derivatives here are of real numbers"
        raise RecordError(msg)
    if kind not in "fiub":
        msg = (
            f"got an array of dtype {given.dtype}, and numbers are needed; convert it "
            "with .astype(float)"
        )
        raise RecordError(msg)
    if integers and kind != "f":
        check_range(given)
        given = given.astype(np.int64 if kind in "iu" else np.bool_)
    elif given.dtype != np.float32:
        given = given.astype(np.float64)
    if given.ndim:
        return given
    return given.item() if given.dtype in {DOUBLE, TRUTH} else given[()]


def check_array(value: Any) -> None:
    """Refuse an array with a mask, which a copy would drop without a word."""
    if type(value) is not np.ndarray and isinstance(value, np.ma.MaskedArray):
        msg = (
            f"got a masked array of shape {value.shape}, whose mask would be lost; "
            "pass value.filled(number), and the mask as an array of its own for "
            "tg.where"
        )
        raise RecordError(msg)


def check_range(given: Any) -> None:
    """Refuse unsigned integers that are none of int64, which is what tapes hold."""
    if given.dtype == np.uint64 and given.size and given.max() > _LARGEST:
        msg = (
            f"got {given.max()} in an array of uint64, and the integers of a tape end "
            "at 2**63 - 1; convert it with .astype(float)"
        )
        raise RecordError(msg)


def _array(value: Any) -> Any:
    try:
        return np.array(value, order="C")
    except ValueError as problem:
        msg = f"got lists that are no array: {problem}"
        raise ShapeError(msg) from None


def _of_objects(given: Any) -> Any:
    """An array of objects that are all real numbers, as floats."""
    flat = [as_number(entry) for entry in given.ravel().tolist()]
    return np.array(flat, np.float64).reshape(given.shape)


def frozen(data: Any) -> Any:
    """An array made read-only; a float as it is."""
    if isinstance(data, np.ndarray):
        data.flags.writeable = False
    return data


def listed(x: Any) -> Any:
    """A list or tuple of numbers as an array, as NumPy takes it; others as they are."""
    if not isinstance(x, list | tuple):
        return x
    try:
        found = np.asarray(x)
    except ValueError:  # rows of different lengths
        return x
    return found if found.dtype.kind in "fiub" else x
