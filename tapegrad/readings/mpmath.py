"""The mpmath reading: many digits, with IEEE's answers outside the reals. Floor 3.

The reference by which every float result is judged. mpmath raises at poles and turns
complex outside real domains; here 1/0 is inf and log(-1) is NaN, as in the other
readings. There is no negative zero in mpmath: a pole reached from -0.0 has the sign of
the one from 0.0.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from mpmath.ctx_mp import MPContext

from tapegrad.readings.bigatoms import ATOMS
from tapegrad.readings.bigmatrices import matrices
from tapegrad.readings.numeric import CONSTANTS
from tapegrad.readings.objects import ObjectReading, boxed
from tapegrad.rules import Primitive


class Big:
    """A number of many digits whose operators follow IEEE 754."""

    __slots__ = ("ctx", "value")

    def __init__(self, ctx: Any, value: Any) -> None:
        self.ctx = ctx
        self.value = value

    def _other(self, other: Any) -> Any:
        return other.value if isinstance(other, Big) else self.ctx.mpf(other)

    # NotImplemented hands an array its turn: it goes entry by entry

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Big(self.ctx, self.value + self._other(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Big(self.ctx, self.value - self._other(other))

    def __rsub__(self, other: Any) -> Big:
        return Big(self.ctx, self._other(other) - self.value)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Big(self.ctx, self.value * self._other(other))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Big(self.ctx, _divide(self.ctx, self.value, self._other(other)))

    def __rtruediv__(self, other: Any) -> Big:
        return Big(self.ctx, _divide(self.ctx, self._other(other), self.value))

    def __neg__(self) -> Big:
        return Big(self.ctx, -self.value)

    def __pos__(self) -> Big:
        return self

    def __abs__(self) -> Big:
        return Big(self.ctx, abs(self.value))

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return self.ctx.nstr(self.value, self.ctx.dps)  # type: ignore[no-any-return]


def _plain(x: Any) -> Any:
    """What Python's comparisons and logic understand."""
    return x.value if isinstance(x, Big) else x


def _divide(ctx: Any, a: Any, b: Any) -> Any:
    if b != 0:
        return a / b
    if a == 0 or ctx.isnan(a):
        return ctx.nan
    return ctx.inf if a > 0 else ctx.ninf


class MpmathReading(ObjectReading):
    """mpmath at a number of decimal digits, in a context of its own.

    Args:
        digits: decimal digits carried.
    """

    def __init__(self, digits: int = 50) -> None:
        self.name = f"mpmath:{digits}"
        self.digits = digits
        # own context: the precision of the caller's mpmath.mp is not touched
        self.ctx: Any = MPContext()
        self.ctx.dps = digits
        self.matrices = matrices(self.ctx, Big)

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        if row.kind == "predicate":
            compare = getattr(operator, row.scalar)
            return lambda *xs: bool(compare(*(_plain(self.number(x)) for x in xs)))
        if row.operator:  # arithmetic: Big's own operators
            return getattr(operator, row.operator)  # type: ignore[no-any-return]
        ctx = self.ctx
        found = getattr(ctx, row.name, None)
        if row.name in ATOMS:
            found = functools.partial(ATOMS[row.name], ctx)
        if row.body is not None or not callable(found):
            return None

        def real(*operands: Big, **params: Any) -> Big:
            values = [x.value if isinstance(x, Big) else ctx.mpf(x) for x in operands]
            if any(map(ctx.isnan, values)):
                return Big(ctx, ctx.nan)
            try:
                result = found(*values, **params)
            except (ValueError, ZeroDivisionError):
                result = ctx.nan
            # mpmath leaves digits to spare on some; they differ from their own copies
            return Big(ctx, +result if isinstance(result, ctx.mpf) else ctx.nan)

        return real

    def number(self, value: Any) -> Any:
        """A float, exactly; a string of digits; or an mpf. Arrays entry by entry."""
        if isinstance(value, bool | Big | np.integer):
            return value
        if isinstance(value, np.ndarray):
            return self.numbers(value)
        if isinstance(value, np.floating):
            value = float(value)
        return Big(self.ctx, self.ctx.mpf(value))

    def const(self, name: str) -> Big:
        if name == "pi":
            return self.number(+self.ctx.pi)  # type: ignore[no-any-return]
        if name == "two_over_sqrt_pi":
            return self.number(2 / self.ctx.sqrt(self.ctx.pi))  # type: ignore[no-any-return]
        return self.number(CONSTANTS[name])  # type: ignore[no-any-return]

    def exact(self, constant: Any) -> Big:
        """A constant of a user's row to as many digits as there are."""
        return self.number(constant.digits(self.digits + 5))  # type: ignore[no-any-return]

    # -- atoms with other edges than mpmath's ------------------------------------

    def log(self, a: Any) -> Any:
        x = a.value
        if x == 0:
            return Big(self.ctx, self.ctx.ninf)
        return Big(self.ctx, self.ctx.log(x) if x > 0 else self.ctx.nan)

    def pow(self, x: Any, y: Any) -> Any:
        base, exponent = self.number(x).value, self.number(y).value
        ctx = self.ctx
        if exponent == 0 or base == 1:
            return Big(ctx, ctx.mpf(1))
        if ctx.isnan(base) or ctx.isnan(exponent):
            return Big(ctx, ctx.nan)
        if base == 0:
            return Big(ctx, ctx.mpf(0) if exponent > 0 else ctx.inf)
        if ctx.isinf(exponent):  # mpmath gives NaN, IEEE a limit
            grows = (abs(base) > 1) == (exponent > 0)
            return Big(
                ctx, ctx.one if abs(base) == 1 else ctx.inf if grows else ctx.zero
            )
        if base < 0 and exponent != ctx.floor(exponent):
            return Big(ctx, ctx.nan)
        return Big(ctx, ctx.power(base, exponent))

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return self.number(a if condition else b)

    # -- arrays: places are found by comparing the numbers themselves --------------

    def argsort(self, x: Any, axis: int) -> Any:
        return np.argsort(_bare(x), axis, kind="stable")

    def argmax(self, x: Any, axis: int) -> Any:
        return np.argmax(_bare(x), axis)

    def argmin(self, x: Any, axis: int) -> Any:
        return np.argmin(_bare(x), axis)


def _bare(x: Any) -> Any:
    """An array of mpf, which compare."""
    return np.frompyfunc(_plain, 1, 1)(boxed(x))
