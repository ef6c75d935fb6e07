"""The independent witness: a value of many digits, differentiated numerically.

Floor 10; loads SymPy and mpmath.

    df/dx  ~  (f(x + h) - f(x - h)) / (2 h),      h = |x| 10^(-d/3) at d digits

No rule takes part, ours or the user's: a definition is evaluated, and subtracted. With
d digits the quotient is good to 2d/3 of them, so two precisions that agree settle it,
and where none do (at a kink, or a jump) there is nothing to compare.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from mpmath.ctx_mp import MPContext

from tapegrad.readings import reading
from tapegrad.readings.bigatoms import ATOMS
from tapegrad.readings.mpmath import Big

# Digits, one rung after the other. exp(x) - 1 - x at 1e-100 loses the first 200.
RUNGS = (50, 110, 320, 800)
# Two rungs agree to so many digits.
AGREE = 20
# So many times the last rung is asked; then points that need it are left out. Without a
# limit, a function that is 0 on a half line takes a minute where erf is part of it.
PATIENCE = 100
LESS_PATIENCE = 16
SLOW = frozenset(
    {"erf", "erfc", "gaussian", "lgamma", "loggamma", "digamma", "polygamma"}
)
# Numbers beyond are infinite as floats, and not compared.
LARGEST = "1e320"

# What mpmath raises at poles, outside of domains, and where a number is too large.
FAILS = (ArithmeticError, ValueError, TypeError, MemoryError, NotImplementedError)

# A value at one precision: a context, and numbers of it, to a number or None.
Value = Callable[[Any, Sequence[Any]], Any]


@functools.cache
def context(digits: int) -> Any:
    """An mpmath context; mpmath's global precision is left alone."""
    ctx = MPContext()
    ctx.dps = digits
    return ctx


def of_expression(form: Any, symbols: Sequence[Any]) -> Value:
    """The value of a SymPy expression, by mpmath's own functions."""
    made: dict[int, Callable[..., Any]] = {}

    def value(ctx: Any, point: Sequence[Any]) -> Any:
        if ctx.dps not in made:
            own = {n: getattr(ctx, n) for n in dir(ctx) if not n.startswith("_")}
            own["erfc"] = functools.partial(ATOMS["erfc"], ctx)
            made[ctx.dps] = sp.lambdify(
                symbols, form, modules=[own, "mpmath"], cse=True
            )
        return _real(ctx, made[ctx.dps], point)

    return value


def of_code(function: Callable[..., Any]) -> Value:
    """The value of rule text: what the user's code is, step by step."""

    def value(ctx: Any, point: Sequence[Any]) -> Any:
        m = reading(f"mpmath:{ctx.dps}")
        return _real(ctx, lambda *xs: plain(m, function(m, *map(m.number, xs))), point)

    return value


def plain(m: Any, x: Any) -> Any:
    """A number of the mpmath reading as mpmath's own."""
    x = m.number(x)
    return x.value if isinstance(x, Big) else m.ctx.mpf(x)


def _real(ctx: Any, function: Callable[..., Any], point: Sequence[Any]) -> Any:
    """A finite real number, None where there is none."""
    try:
        found = function(*map(ctx.mpf, point))
        if isinstance(found, (bool, complex, ctx.mpc)):
            return None
        found = ctx.mpf(found)
    except FAILS:
        return None
    return found if ctx.isfinite(found) else None


class Witness:
    """Exact values and derivatives of a definition, at floats.

    Args:
        value: the definition.
    """

    def __init__(self, value: Value) -> None:
        self.value_at = value
        self._values: dict[Any, Any] = {}
        self._slopes: dict[Any, Any] = {}
        self.patience = PATIENCE

    def value(self, point: Sequence[float]) -> Any:
        """The value, an mpf; None where it is not real, or not finite."""
        key = tuple(point)
        if key not in self._values:
            self._values[key] = self._settled(lambda ctx: self.value_at(ctx, point))
        return self._values[key]

    def derivative(self, point: Sequence[float], place: int) -> Any:
        """The derivative by one argument, None where there is none."""
        key = (place, *point)
        if key not in self._slopes:
            self._slopes[key] = self._derivative(point, place)
        return self._slopes[key]

    def surely(self, point: Sequence[float], place: int | None = None) -> Any:
        """Value or derivative once more, by the longest numbers alone.

        Few digits may agree on what is wrong: (x + 1)**2 - x**2 is 0 at 1e92 with 50
        digits, and with 110.
        """
        found = []
        for rung in RUNGS[-2:]:
            ctx = context(rung)
            if place is None:
                found.append(self.value_at(ctx, point))
            else:
                found.append(self._quotient(ctx, point, place, 0))
        if None in found:
            return None
        near = abs(found[1]) * context(50).mpf(10) ** -AGREE
        return found[1] if abs(found[0] - found[1]) <= near else None

    def _derivative(self, point: Sequence[float], place: int) -> Any:
        if self.value(point) is None:
            return None
        return self._settled(lambda ctx: self._quotient(ctx, point, place, 0))

    def sides(self, point: Sequence[float], place: int) -> tuple[Any, Any] | None:
        """The derivatives to the left and right of a kink; None at a jump."""
        found = []
        for side in (-1, 1):
            ask = functools.partial(self._quotient, point=point, place=place, side=side)
            found.append(self._settled(ask, digits=8))
        return None if None in found else (found[0], found[1])

    def _quotient(self, ctx: Any, point: Sequence[float], place: int, side: int) -> Any:
        x = ctx.mpf(point[place])
        step = (abs(x) or 1) * ctx.mpf(10) ** (-ctx.dps // 3)
        ends = []
        for shift in (step if side >= 0 else 0, -step if side <= 0 else 0):
            moved = [*point[:place], x + shift, *point[place + 1 :]]
            ends.append(self.value_at(ctx, moved))
        if None in ends:
            return None
        return (ends[0] - ends[1]) / (step if side else 2 * step)

    def _settled(self, ask: Callable[[Any], Any], digits: int = AGREE) -> Any:
        """What two rungs agree on; a zero is one only where all of them find it.

        (1 + erf(x))/2 is 0 at x = -20 as long as there are less than 176 digits.
        """
        before = None
        for rung in RUNGS:
            if rung == RUNGS[-1]:
                if not self.patience or before is None:
                    return None
                self.patience -= 1
            ctx = context(rung)
            found = ask(ctx)
            if found is None:  # 1/(exp(x) - 1) exists with more digits
                before = None
                continue
            if abs(found) > ctx.mpf(LARGEST):
                return None
            near = ctx.mpf(10) ** -digits * abs(found)
            if before is not None and found and abs(found - before) <= near:
                return found
            before = found
        return None if before else before  # zero, or nothing


# -- figures ---------------------------------------------------------------------------


def ulps(found: float, exact: Any) -> float:
    """How far a float is from the exact number, in units of its last place."""
    ctx = context(RUNGS[0])
    if math.isnan(found):
        return math.inf
    top = ctx.ldexp(1, 1024)
    exact = max(-top, min(top, ctx.mpf(exact)))
    given = math.copysign(1.0, found) * top if math.isinf(found) else ctx.mpf(found)
    exponent = min(int(ctx.frexp(exact)[1]), 1024) - 53 if exact else -1074
    return float(abs(given - exact) / ctx.ldexp(1, max(-1074, exponent)))
