"""Rows of the table as functions of floats, for the tests of native code and of C."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.rules import Primitive


def function_of(row: Primitive, params: Mapping[str, Any]) -> Callable[..., Any]:
    """The row as a function of floats; predicates choose between two of them."""
    if row.kind == "select":
        return lambda c, a, b: apply(row, c > 0, a, b)
    if row.name.startswith("logical"):
        return lambda *xs: tg.where(apply(row, *[x > 0 for x in xs]), xs[0], 2.0)
    if row.kind == "predicate":
        return lambda *xs: tg.where(apply(row, *xs), xs[0], 2.0 * xs[-1])
    return lambda *xs: apply(row, *xs, **params)
