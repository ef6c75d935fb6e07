"""The SymPy reading: expressions, conditions as relations. Floor 3; loads SymPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from sympy.logic.boolalg import Boolean

from tapegrad.errors import DomainError
from tapegrad.readings.objects import ObjectReading, entrywise
from tapegrad.readings.sympymatrices import MATRICES
from tapegrad.rules import TABLE, Primitive

# A float whose shortest decimal has at most this many characters is read as that
# decimal (0.1 as 1/10), which is what its author meant and keeps the algebra exact.
SHORT = 8


class SympyReading(ObjectReading):
    """SymPy expressions. Each row brings its closed form."""

    name = "sympy"
    symbolic = True
    matrices = MATRICES

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        form = row.sympy
        if form is None:
            return None

        def closed(*operands: Any, **params: Any) -> Any:
            if row.kind == "elementwise":
                operands = tuple(map(_as_number, operands))
            return form(sp, *operands, **params)

        return closed

    def number(self, value: Any) -> Any:
        """An exact number where the float is one, or plainly means one."""
        if isinstance(value, np.ndarray):
            return self.numbers(value)
        if isinstance(value, np.integer):
            return value
        if isinstance(value, np.floating):
            value = float(value)
        if isinstance(value, bool):
            return sp.true if value else sp.false
        if not isinstance(value, int | float):
            return sp.sympify(value, strict=True)  # never evaluates text
        if math.isnan(value):
            return sp.nan
        if math.isinf(value):
            return sp.oo if value > 0 else -sp.oo
        if value == int(value):
            return sp.Integer(int(value))
        text = repr(float(value))
        return sp.Rational(text) if len(text) <= SHORT else sp.Float(text)

    def partials(self, row: Primitive, y: Any, *xs: Any, **params: Any) -> Any:
        """A row's partials, static floats read as exactly as those on the tape."""
        exact = {
            name: self.number(value) if isinstance(value, float) else value
            for name, value in params.items()
        }
        return row.partials(self, y, *xs, **exact)  # type: ignore[misc]

    def const(self, name: str) -> Any:
        return {
            "nan": sp.nan,
            "half": sp.Rational(1, 2),
            "pi": sp.pi,
            "two_over_sqrt_pi": 2 / sp.sqrt(sp.pi),
        }[name]

    def exact(self, constant: Any) -> Any:
        """A constant of a user's row as the expression it is."""
        return constant.form

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """A Piecewise, or the arm itself when the condition is decided."""
        return sp.Piecewise((sp.sympify(a), condition), (sp.sympify(b), sp.true))

    def is_condition(self, x: Any) -> bool:
        """Whether an entry is a relation, or a truth value."""
        return isinstance(x, bool) or (
            isinstance(x, Boolean) and not isinstance(x, sp.Symbol)
        )

    def any(self, x: Any, axes: Any) -> Any:
        """Whether one of the conditions holds."""
        return self._joined("any", sp.Or, x, axes)

    def all(self, x: Any, axes: Any) -> Any:
        """Whether all of the conditions hold."""
        return self._joined("all", sp.And, x, axes)

    def _joined(self, name: str, join: Callable[..., Any], x: Any, axes: Any) -> Any:
        if isinstance(x, np.ndarray) and (x.dtype == bool or not x.size):
            return self._moved(TABLE[name], x.astype(bool), axes=axes)
        return self._folded(entrywise(join), x, axes)

    def argsort(self, x: Any, axis: int) -> Any:
        """Places in rising order, of numbers only."""
        return self._ordered(np.argsort, x, axis, kind="stable")

    def argmax(self, x: Any, axis: int) -> Any:
        """The place of the largest, of numbers only."""
        return self._ordered(np.argmax, x, axis)

    def argmin(self, x: Any, axis: int) -> Any:
        """The place of the smallest, of numbers only."""
        return self._ordered(np.argmin, x, axis)

    def _ordered(self, find: Callable[..., Any], x: Any, axis: int, **how: Any) -> Any:
        try:
            return find(x, axis, **how)
        except TypeError:
            msg = (
                "the order of symbols is not known, so they cannot be sorted; "
                "give numbers for them, or use max and min"
            )
            raise DomainError(msg) from None


def _as_number(operand: Any) -> Any:
    """A truth value in arithmetic is 1 or 0, as in Python."""
    if isinstance(operand, Boolean) and not isinstance(operand, sp.Expr):
        return sp.Piecewise((sp.Integer(1), operand), (sp.Integer(0), sp.true))
    return operand


SYMPY = SympyReading()
