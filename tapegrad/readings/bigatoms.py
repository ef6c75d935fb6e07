"""Functions of mpmath numbers that mpmath lacks, or has with other edges. Floor 3.

Each takes a context and its numbers, and gives the answer that IEEE 754 has at poles
and ends; what stays outside the reals is left to the reading, which makes it NaN. Keys
are names of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.rules.gamma import cosines

Big = Any
Function = Callable[..., Any]

# Digits carried beyond the context's where terms cancel.
SPARE = 15


def _log1p(ctx: Any, x: Big) -> Big:
    return ctx.ninf if x == -1 else ctx.log1p(x)


def _logarithm(base: int) -> Function:
    def log(ctx: Any, x: Big) -> Big:
        if x <= 0:
            return ctx.ninf if x == 0 else ctx.nan
        return ctx.log(x) / ctx.log(base)

    return log


def _cbrt(ctx: Any, x: Big) -> Big:
    return -ctx.cbrt(-x) if x < 0 else ctx.cbrt(x)


def _atanh(ctx: Any, x: Big) -> Big:
    return x * ctx.inf if abs(x) == 1 else ctx.atanh(x)


def _asinh(ctx: Any, x: Big) -> Big:
    return x if ctx.isinf(x) else ctx.asinh(x)


def _atan2(ctx: Any, y: Big, x: Big) -> Big:
    if ctx.isinf(x) or ctx.isinf(y):
        unit = [ctx.sign(v) if ctx.isinf(v) else ctx.zero for v in (y, x)]
        return ctx.atan2(*unit)
    return ctx.atan2(y, x)


def _hypot(ctx: Any, x: Big, y: Big) -> Big:
    return ctx.inf if ctx.isinf(x) or ctx.isinf(y) else ctx.hypot(x, y)


def _trunc(ctx: Any, x: Big) -> Big:
    return ctx.ceil(x) if x < 0 else ctx.floor(x)


def _exactly(whole: Function) -> Function:
    """x - y * whole(x / y), with digits for the whole quotient."""

    def rest(ctx: Any, x: Big, y: Big) -> Big:
        if y == 0 or ctx.isinf(x):
            return ctx.nan
        if ctx.isinf(y):
            return x if whole(ctx, ctx.sign(x) * ctx.sign(y) / 2) == 0 else y
        digits = max(0, int(ctx.mag(x) - ctx.mag(y)) if x else 0) // 3
        with ctx.extradps(digits + SPARE):
            return x - y * whole(ctx, x / y)

    return rest


def _floor(ctx: Any, x: Big) -> Big:
    return ctx.floor(x)


def _copysign(ctx: Any, x: Big, y: Big) -> Big:
    return -abs(x) if y < 0 else ctx.fabs(x)


def _erfc(ctx: Any, x: Big) -> Big:
    # mpmath overflows where the result is below 10^(-10^18)
    return ctx.zero if x > 2**31 else ctx.erfc(x)


def _gamma_pole(ctx: Any, x: Big) -> bool:
    return bool(x <= 0 and x == ctx.floor(x))


def _lgamma(ctx: Any, x: Big) -> Big:
    if _gamma_pole(ctx, x) or ctx.isinf(x):
        return ctx.inf
    return ctx.re(ctx.loggamma(x))


def _digamma(ctx: Any, x: Big) -> Big:
    if _gamma_pole(ctx, x):
        return ctx.ninf if x == 0 else ctx.nan
    return ctx.digamma(x)


def _polygamma(ctx: Any, x: Big, n: int) -> Big:
    if n == 0:
        return _digamma(ctx, x)
    if _gamma_pole(ctx, x):
        return ctx.inf if n % 2 else ctx.nan
    if ctx.isinf(x):
        return ctx.zero
    if x > 0:
        return ctx.polygamma(n, x)
    # mpmath steps from -10^9 to 0 one by one; see the row's algorithm for floats
    r = x - ctx.nint(x)
    cotangent = ctx.polyval(cosines(n)[::-1], ctx.cospi(r))
    cotangent *= (ctx.pi / ctx.sinpi(r)) ** (n + 1)
    return (-1) ** n * (ctx.polygamma(n, 1 - x) - cotangent)


def _sinc(ctx: Any, x: Big) -> Big:
    return ctx.zero if ctx.isinf(x) else ctx.sincpi(x)


def _sinc_slope(ctx: Any, x: Big, n: int) -> Big:
    """The n-th derivative of sin(pi x) / (pi x); see the row's algorithm for floats."""
    if ctx.isinf(x):
        return ctx.zero
    with ctx.extradps(SPARE + max(0, int(ctx.mag(x)) if x else 0) // 3):
        if abs(x) < n + 1:
            # the terms pi^2j x^(2j-n) / (2j-n)!, each from the one before
            first = (n + 1) // 2
            part = (-1) ** first * ctx.pi ** (2 * first) * x ** (2 * first - n)
            found = ctx.zero
            for j in range(first, first + 61 + 4 * n + ctx.dps):
                found += part / (2 * j + 1)
                part *= -(ctx.pi**2) * x**2 / ((2 * j + 1 - n) * (2 * j + 2 - n))
            return found
        sine, cosine = ctx.sinpi(x), ctx.cospi(x)
        found = sine / (ctx.pi * x)
        for k in range(1, n + 1):
            turned = (sine, cosine, -sine, -cosine)[k % 4]
            found = (ctx.pi ** (k - 1) * turned - k * found) / x
        return found


ATOMS: dict[str, Function] = {
    "log1p": _log1p,
    "log2": _logarithm(2),
    "log10": _logarithm(10),
    "exp2": lambda ctx, x: ctx.power(2, x),
    "cbrt": _cbrt,
    "asinh": _asinh,
    "atanh": _atanh,
    "atan2": _atan2,
    "hypot": _hypot,
    "round": lambda ctx, x: ctx.nint(x),
    "trunc": _trunc,
    "mod": _exactly(_floor),
    "fmod": _exactly(_trunc),
    "copysign": _copysign,
    "erfc": _erfc,
    "lgamma": _lgamma,
    "digamma": _digamma,
    "polygamma": _polygamma,
    "sinc": _sinc,
    "sinc_slope": _sinc_slope,
}
