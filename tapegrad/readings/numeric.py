"""The NumPy reading, and plain Python floats as its quick scalar form. Floor 3.

Arrays go through NumPy's ufuncs. Single floats go through ``math`` and ``operator``,
some ten times quicker; where those raise instead of following IEEE 754 (1/0, exp(1000),
log(-1)), the ufunc gives the answer. So scalars follow IEEE, not Python.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.readings.base import Reading
from tapegrad.readings.libm import ufunc
from tapegrad.rules import Primitive
from tapegrad.tape.recorder import NAMES

CONSTANTS = {
    "nan": math.nan,
    "half": 0.5,
    "pi": math.pi,
    "two_over_sqrt_pi": 2 / math.sqrt(math.pi),
    # the positive zero of digamma, in two parts: it is irrational
    "digamma_root": 1.4616321449683623,
    "digamma_root_low": 9.549995429965697e-17,
}

# What math and operator raise where IEEE has a result.
UNLIKE_IEEE = (ValueError, OverflowError, ZeroDivisionError)


class ArrayWords:
    """What rule text asks of arrays besides the rows."""

    def shape(self, x: Any) -> tuple[int, ...]:
        """The shape, () for a number."""
        return np.shape(x)

    def dtype(self, x: Any) -> str:
        """The name of the dtype."""
        if type(x) is float:
            return "float64"
        kind = getattr(x, "dtype", None)
        return NAMES.get(kind) or np.asarray(x).dtype.name  # type: ignore[arg-type]

    def count_up(self, shape: tuple[int, ...]) -> Any:
        """0, 1, 2, ... as floats."""
        return np.arange(math.prod(shape), dtype=np.float64).reshape(shape)


class NumpyReading(ArrayWords, Reading):
    """Arrays (and NumPy scalars) of one float type.

    Args:
        dtype: "float64" or "float32".
    """

    binary = True

    def __init__(self, dtype: str = "float64") -> None:
        self.name = dtype
        self.float = np.dtype(dtype)

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """The ufunc of the row; rows with a body use that, alike in every tier.

        What NumPy lacks, C's maths library may have.
        """
        if row.numpy is not None:
            return functools.partial(row.numpy, np)
        if row.kind == "select":
            return lambda *xs: np.where(*xs)[()]
        found = getattr(np, row.ufunc or row.name, None)
        if not isinstance(found, np.ufunc) and row.llvm.startswith("@"):
            found = ufunc(row.llvm[1:])
        if not isinstance(found, np.ufunc) or row.body is not None:
            return None
        if row.kind != "elementwise":
            return found

        def on_floats(*operands: Any) -> Any:
            # on truth values + would be `or`
            return found(*[_float(x, self.float) for x in operands])

        return on_floats

    def number(self, value: Any) -> Any:
        """A NumPy scalar: its operators follow IEEE and obey ``np.errstate``."""
        if isinstance(value, bool | np.integer):
            return value
        if isinstance(value, np.ndarray):
            return value.astype(self.float) if value.dtype.kind == "f" else value
        return self.float.type(value)

    def astype(self, x: Any, dtype: str) -> Any:
        """A conversion; every float is of this reading's type."""
        kind = np.dtype(dtype)
        return np.asarray(x).astype(self.float if kind.kind == "f" else kind)[()]

    def const(self, name: str) -> Any:
        return self.float.type(CONSTANTS[name])

    def like(self, value: int, other: Any) -> Any:
        return np.full(np.shape(other), value, self.float)[()]


def _float(x: Any, dtype: np.dtype[Any]) -> Any:
    truth = isinstance(x, bool) or getattr(x, "dtype", None) == np.bool_
    return np.asarray(x, dtype)[()] if truth else x


class ScalarReading(Reading):
    """Plain Python floats, IEEE where Python is not.

    A row whose ``scalar`` is no function of Python goes through NumPy: Python's floor
    gives an int, and its lgamma loses all digits beside 2.
    """

    name = "float64"
    binary = True

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        word = row.scalar or row.name
        found = getattr(math, word, None) or getattr(operator, word, None)
        if row.body is not None:
            return None
        if found is None:
            return self._through_numpy(row)
        if row.kind == "predicate":
            return found  # type: ignore[no-any-return]
        return self._like_ieee(row, found)

    def _through_numpy(self, row: Primitive) -> Callable[..., Any] | None:
        wide = NUMPY.atom(row)
        if wide is None:
            return None

        def narrow(*operands: float) -> float:
            with np.errstate(all="ignore"):
                return float(wide(*map(np.float64, operands)))

        return narrow

    def _like_ieee(
        self, row: Primitive, quick: Callable[..., float]
    ) -> Callable[..., float]:
        @functools.wraps(quick)
        def checked(*operands: float) -> float:
            try:
                return quick(*operands)
            except UNLIKE_IEEE:
                with np.errstate(all="ignore"):
                    return float(getattr(NUMPY, row.name)(*map(np.float64, operands)))

        return checked

    def number(self, value: Any) -> float | bool:
        return value if isinstance(value, bool) else float(value)

    def const(self, name: str) -> float:
        return CONSTANTS[name]

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """The selected arm, as a float: an int partial would be a structural zero."""
        return self.number(a if condition else b)

    def partials(self, row: Primitive, y: float, *xs: Any, **params: Any) -> Any:
        """A row's partials at floats.

        Rule text divides with Python's ``/``; where that raises, NumPy's scalars read
        the same text.
        """
        try:
            return row.partials(self, y, *xs, **params)  # type: ignore[misc]
        except UNLIKE_IEEE:
            with np.errstate(all="ignore"):
                wide = [x if isinstance(x, bool) else np.float64(x) for x in xs]
                found = row.partials(NUMPY, np.float64(y), *wide, **params)  # type: ignore[misc]
                return tuple(p if isinstance(p, int) else float(p) for p in found)

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """The function that applies a row; bodies divide with ``/`` as rules do."""
        quick = super().evaluator(row)
        if row.body is None and row.floats is None:
            return quick

        def checked(*xs: Any, **params: Any) -> Any:
            try:
                return quick(*xs, **params)
            except UNLIKE_IEEE:
                with np.errstate(all="ignore"):
                    wide = [x if isinstance(x, bool) else np.float64(x) for x in xs]
                    return float(NUMPY.evaluator(row)(*wide, **params))

        return checked

    def apply(self, row: Primitive, *xs: Any, **params: Any) -> Any:
        """A row's value at floats."""
        return self.evaluator_of(row)(*xs, **params)

    def evaluator_of(self, row: Primitive) -> Callable[..., Any]:
        """The evaluator of a row, looked up once."""
        return getattr(self, row.name)  # type: ignore[no-any-return]


NUMPY = NumpyReading()
FLOAT32 = NumpyReading("float32")
SCALAR = ScalarReading()
