"""The float64 reading of tapes with arrays. Floor 3.

A step whose operands are all Python floats goes through ``math``, as on a tape of
scalars; any other through NumPy. Numbers of rule text stay Python floats, which are
weak in NumPy's promotion: float32 arrays keep their dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.readings.base import Reading
from tapegrad.readings.numeric import (
    CONSTANTS,
    NUMPY,
    SCALAR,
    UNLIKE_IEEE,
    ArrayWords,
)
from tapegrad.rules import Primitive

_PLAIN = frozenset({float, bool})


def plain(y: Any) -> Any:
    """A float64 or truth value of shape () as Python's; any other array frozen."""
    if type(y) is float or type(y) is bool:
        return y
    if type(y) is np.ndarray:
        if y.ndim:
            y.flags.writeable = False
            return y
        y = y[()]
    if type(y) is np.float64:
        return float(y)
    if type(y) is np.bool_:
        return bool(y)
    return tuple(map(plain, y)) if isinstance(y, tuple) else y


class MixedReading(ArrayWords, Reading):
    """Python floats and NumPy arrays, side by side."""

    name = "float64"
    binary = True

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that applies a row, whatever its operands are."""
        own = getattr(type(self), row.name, None)
        if own is not None:
            return own.__get__(self)  # type: ignore[no-any-return]
        if row.numpy is not None:
            whole = row.numpy
            return lambda *xs, **params: plain(whole(np, *xs, **params))
        wide = super().evaluator(row)
        if row.kind == "elementwise" and self.atom(row) is None:
            wide = _narrow(wide)
        scalar = SCALAR.evaluator(row)

        def either(*xs: Any, **params: Any) -> Any:
            if _PLAIN.issuperset(map(type, xs)):
                return scalar(*xs, **params)
            try:
                return plain(wide(*xs, **params))
            except UNLIKE_IEEE:  # Python's division of two numbers in a body
                return plain(wide(*map(_strict, xs), **params))

        return either

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        found = getattr(np, row.ufunc or row.name, None)
        if isinstance(found, np.ufunc) and row.body is None and row.kind != "select":
            return found  # operands are floats here, or arrays of them
        return NUMPY.atom(row)

    def number(self, value: Any) -> Any:
        """A Python float; arrays as they are."""
        if isinstance(value, bool | np.ndarray | np.float32 | np.int64):
            return value
        return float(value)

    def const(self, name: str) -> float:
        return CONSTANTS[name]

    def like(self, value: int, other: Any) -> Any:
        """A number, spread over the shape of another value."""
        if type(other) is float or type(other) is bool:
            return float(value)
        kind = getattr(other, "dtype", None)
        floating = kind if kind is not None and kind.kind == "f" else np.float64
        return plain(np.full(np.shape(other), value, floating))

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """The selected entries."""
        if isinstance(condition, bool):
            chosen = a if condition else b
            if np.ndim(a) == np.ndim(b) == 0:
                return self.number(chosen)
            shape = np.broadcast_shapes(np.shape(a), np.shape(b))
            return plain(np.broadcast_to(chosen, shape))
        return plain(np.where(condition, _real(a), _real(b)))

    def floor_divide(self, a: Any, b: Any) -> Any:
        """The quotient of ints; a division by 0 is 0, without a warning."""
        with np.errstate(all="ignore"):
            return plain(np.floor_divide(a, b))

    def partials(self, row: Primitive, y: Any, *xs: Any, **params: Any) -> Any:
        """A row's partials at floats or arrays."""
        if not row.whole and _PLAIN.issuperset(map(type, xs)):
            return SCALAR.partials(row, y, *xs, **params)
        try:
            return row.partials(self, y, *xs, **params)  # type: ignore[misc]
        except UNLIKE_IEEE:
            return row.partials(  # type: ignore[misc]
                self, _strict(y), *map(_strict, xs), **params
            )


def _narrow(body: Callable[..., Any]) -> Callable[..., Any]:
    """A body whose result keeps float32: `where` of two numbers in it is a float64."""

    def narrowed(*xs: Any, **params: Any) -> Any:
        y = body(*xs, **params)
        kinds = {x.dtype for x in xs if isinstance(x, np.ndarray | np.float32)}
        if kinds != {np.dtype(np.float32)}:
            return y
        return np.asarray(y).astype(np.float32)[()]  # y may be a number of rule text

    return narrowed


def _strict(x: Any) -> Any:
    """A float that divides as IEEE says."""
    return np.float64(x) if type(x) is float else x


def _real(x: Any) -> Any:
    """An int of rule text as a float: arms of ints would make an array of ints."""
    return float(x) if type(x) is int else x


MIXED = MixedReading()
