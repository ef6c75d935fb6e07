"""The judge of floats: SymPy's closed forms at 50 digits and more. Floor 10.

Independent of the rule text: the value is the row's closed form, a partial is SymPy's
derivative of it, both evaluated by mpmath. The closed form may cancel where the rule
does not (tanh' = 1 - tanh^2), so every number is computed twice, with digits added
until the two agree.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
from mpmath.ctx_mp import MPContext

from tapegrad.proof.symbolic import closed_form, held
from tapegrad.readings.bigatoms import ATOMS
from tapegrad.rules import Primitive

# Digits carried, one rung after the other, until two agree. 1 - tanh(x)^2 leaves the
# range of a float at x = 373, where it has lost 324 digits.
LADDER = (60, 100, 450, 1500)
# Up to this rung what is missing may be for want of digits.
ROOM = 2
# Two rungs agree to this, more than any float can tell.
AGREE = 30


@functools.cache
def contexts() -> tuple[Any, ...]:
    """An mpmath context for each rung; mpmath's global precision is left alone."""
    found = []
    for digits in LADDER:
        ctx = MPContext()
        ctx.dps = digits
        found.append(ctx)
    return tuple(found)


class Judge:
    """Exact values of an expression of some symbols, at floats.

    Args:
        symbols: in the order of the operands.
        form: the expression.
    """

    def __init__(self, symbols: Sequence[Any], form: Any) -> None:
        # SymPy's derivative of a jump, which is 0 beside it
        form = form.replace(sp.DiracDelta, lambda *_: sp.Integer(0))
        self.symbols, self.form = list(symbols), form
        self.rungs: list[Callable[..., Any]] = []
        # without a sum nothing cancels, and a zero is a zero
        self.cancels = form.has(sp.Add)

    def __call__(self, point: Sequence[float]) -> Any:
        """The exact number as an mpf; None where the function has no real value."""
        before = None
        for rung, ctx in enumerate(contexts()):
            if rung == len(self.rungs):  # most points need the first two alone
                self.rungs.append(_lambdified(ctx, self.symbols, self.form))
            found = _real(self.rungs[rung], ctx, point)
            if found is None:
                # 1/(exp(x) - 1) at 1e-300 is a pole until there are digits for it
                if rung < ROOM and self.cancels:
                    continue
                return None
            if before is not None and _agree(ctx, before, found):
                return found
            if before is not None and not self.cancels and before == found:
                return found
            before = found
        return before

    def roughly(self, point: Sequence[float]) -> Any:
        """The number to a few digits, of a form that does not cancel."""
        if not self.rungs:
            self.rungs.append(_lambdified(contexts()[0], self.symbols, self.form))
        return _real(self.rungs[0], contexts()[0], point)


def symbols_of(
    params: Mapping[str, Any], point: Sequence[Any]
) -> tuple[list[sp.Symbol], list[sp.Basic], dict[str, Any]]:
    """Operands of a closed form: names for a judge, what they stand for, parameters.

    Args:
        params: static parameters.
        point: any point; its bools are conditions, and kept.
    """
    symbols = [
        x if isinstance(x, bool) else sp.Symbol(f"a{place}", real=True)
        for place, x in enumerate(point)
    ]
    operands = [sp.sympify(x) for x in symbols]
    names = [sp.Dummy() if isinstance(x, bool) else x for x in symbols]
    # the float itself is meant here, not the decimal it looks like
    exact = {
        name: sp.Rational(value) if isinstance(value, float) else value
        for name, value in params.items()
    }
    return names, operands, exact


def judges(
    row: Primitive, params: Mapping[str, Any], point: Sequence[Any]
) -> tuple[Judge, list[Judge | None]]:
    """Judges of a row's value and of its partials (None for a condition).

    Args:
        row: the row.
        params: static parameters.
        point: any point; its bools are conditions, and kept.
    """
    names, operands, exact = symbols_of(params, point)
    value = Judge(names, closed_form(row, exact, operands, ()))
    partials = [
        None
        if isinstance(x, bool)
        else Judge(names, closed_form(row, exact, operands, (place,)))
        for place, x in enumerate(point)
    ]
    return value, partials


def sizes(
    row: Primitive, params: Mapping[str, Any], point: Sequence[Any]
) -> tuple[Judge, list[Judge | None]] | None:
    """Judges of how large the terms are that a value and its partials consist of.

    They are for rows that are said to cancel near zeros. Of a sum it is that of the
    absolute terms, of any other function sum |x_i df/dx_i|: what operands that are
    rounded make of it. None for rows that do not cancel.
    """
    if not row.cancels:
        return None
    found = judges(row, params, point)
    value, partials = found
    return _size(value), [judge and _size(judge) for judge in partials]


def _size(judge: Judge) -> Judge:
    return Judge(judge.symbols, _terms(judge.form, judge.symbols))


def _terms(form: Any, symbols: Sequence[Any]) -> Any:
    """The sum of the absolute terms, arm by arm."""
    if isinstance(form, sp.Piecewise):
        return sp.Piecewise(
            *((_terms(arm, symbols), condition) for arm, condition in form.args)
        )
    if isinstance(form, sp.Add):
        return sp.Add(*map(sp.Abs, form.args))
    form, jumps = held(form)
    return sp.Add(*(sp.Abs(x * sp.diff(form, x)) for x in symbols)).xreplace(jumps)


def _lambdified(ctx: Any, symbols: Sequence[Any], form: Any) -> Callable[..., Any]:
    own = {name: getattr(ctx, name) for name in dir(ctx) if not name.startswith("_")}
    own["erfc"] = functools.partial(ATOMS["erfc"], ctx)
    return sp.lambdify(symbols, form, modules=[own, "mpmath"])  # type: ignore[no-any-return]


def _real(f: Callable[..., Any], ctx: Any, point: Sequence[float]) -> Any:
    """A real number, None where there is none: complex, a pole, NaN."""
    try:
        found = f(*map(ctx.mpf, point))
    except (ZeroDivisionError, ValueError, TypeError):
        return None
    if isinstance(found, ctx.mpc):
        return None
    found = ctx.mpf(found)
    return None if ctx.isnan(found) else found


def _agree(ctx: Any, a: Any, b: Any) -> bool:
    if a == 0 or b == 0 or ctx.isinf(b):
        return False
    return bool(abs(a - b) <= abs(b) * ctx.mpf(10) ** -AGREE)


@dataclass(frozen=True, slots=True)
class Format:
    """A binary format of floats.

    Args:
        digits: of the significand, in bits.
        least: exponent of the smallest positive number.
        top: exponent of what overflows.
    """

    digits: int
    least: int
    top: int

    def unit(self, exact: Any) -> Any:
        """A unit of the last place of the float nearest to a number."""
        ctx = contexts()[0]
        power = self.least
        if exact:
            power = min(int(ctx.frexp(exact)[1]), self.top) - self.digits
        return ctx.ldexp(1, max(self.least, power))

    @property
    def normal(self) -> float:
        """The smallest number with all digits."""
        return math.ldexp(1.0, self.least + self.digits - 1)


DOUBLE = Format(53, -1074, 1024)
SINGLE = Format(24, -149, 128)


def ulps(found: float, exact: Any, slack: Any = 0, form: Format = DOUBLE) -> float:
    """The distance of a float from the exact number, in units of its last place.

    Overflow is judged as if exponents went on: infinity stands for 2^1024. None is a
    number that does not exist, for which NaN is the right answer, or at a pole an
    infinity.

    Args:
        found: the float.
        exact: the number it should be, an mpf or None.
        slack: added to the unit, see `slack_of`.
        form: double precision, or single.
    """
    if exact is None:
        return math.inf if math.isfinite(found) else 0.0
    if math.isnan(found):
        return math.inf
    ctx = contexts()[0]
    top = ctx.ldexp(1, form.top)
    exact = max(-top, min(top, ctx.mpf(exact)))
    given = math.copysign(1.0, found) * top if math.isinf(found) else ctx.mpf(found)
    if given == exact:
        return 0.0
    return float(abs(given - exact) / (form.unit(exact) + slack))


def slack_of_terms(exact: Any, size: Any, form: Format = DOUBLE) -> Any:
    """What is added to the unit of a sum whose terms are larger than itself."""
    if exact is None or size is None:
        return 0
    if not contexts()[0].isfinite(size):
        return 0
    return max(0, form.unit(size) - form.unit(exact))


def slack_of(y: Any, exact: Any, form: Format = DOUBLE) -> Any:
    """What the rounding of a subnormal primal makes of a partial, an absolute error.

    A rule may use the primal result y, and one below 2^-1022 carries the relative error
    2^-1075 / |y|, however well it was computed: gradual underflow. The partial's bound
    is scaled by that much; for every other y it is not.
    """
    if exact is None or y == 0 or not abs(y) < form.normal:
        return 0
    return abs(exact) * contexts()[0].ldexp(1, form.least) / abs(y)
