"""Rule text as SymPy reads it has nested Piecewise; here they are made plain. Floor 3.

A rule that ends ``... else NaN`` (for a NaN operand) has, at a real symbol, no such
case left: x > 0, x < 0 and x = 0 are all there is.
"""

from __future__ import annotations

from typing import Any

import sympy as sp


def decided(expression: Any) -> Any:
    """A Piecewise flattened, without the NaN that is left when all cases are named."""
    if not isinstance(expression, sp.Piecewise):
        return expression
    arms: list[tuple[Any, Any]] = []
    rest = expression
    while isinstance(rest, sp.Piecewise):
        arms += rest.args[:-1]
        last, condition = rest.args[-1]
        if condition is not sp.true:
            return expression
        rest = last
    if rest is not sp.nan:
        return sp.Piecewise(*arms, (rest, sp.true))
    if sp.Or(*(condition for _, condition in arms)).simplify() is not sp.true:
        return sp.Piecewise(*arms, (rest, sp.true))
    return sp.Piecewise(*arms[:-1], (arms[-1][0], sp.true))
