"""Sums and products over ranges of numbers, written out. Floor 9; loads SymPy.

Sum(x**k, (k, 1, 3))   ->   x, x**2, x**3
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from tapegrad.errors import ParseError

# Terms of a sum over a range, written out.
MAX_TERMS = 1_000_000


def terms(e: Any) -> list[Any]:
    """The terms of a sum, or the factors of a product, over a range of numbers."""
    *inner, (index, low, high) = e.limits
    if not (low.is_Integer and high.is_Integer):
        msg = (
            f"{e.func.__name__} over {index} from {low} to {high}: the bounds must be "
            "whole numbers; put numbers in, or evaluate it with .doit()"
        )
        raise ParseError(msg)
    if high < low - 1:
        msg = f"{e.func.__name__} over {index} from {low} to {high} runs backwards"
        raise ParseError(msg)
    if high - low >= MAX_TERMS:
        msg = f"{e.func.__name__} over {index} has more than {MAX_TERMS:,} terms"
        raise ParseError(msg)
    terms = []
    for value in range(int(low), int(high) + 1):
        here = {index: sp.Integer(value)}
        body = e.function.xreplace(here)
        limits = [limit.xreplace(here) for limit in inner]
        terms.append(e.func(body, *limits) if limits else body)
    return terms
