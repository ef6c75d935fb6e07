"""Steps of constants, evaluated. Floor 4.

    c = f(c_a, c_b, ...)

In float64 any step of numbers can be: the interpreter gives the bits. But a tape may be
read in any arithmetic, and exp(2) at 50 digits is not the float. So there is a narrow
kind of folding, too, of results that are the same in all of them: signs, choices, and
sums, differences, products and quotients that are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from tapegrad.readings import SCALAR
from tapegrad.rules import Primitive

# Rows whose result is a number that an operand is, up to its sign, or a truth value.
CHOICES = frozenset({"neg", "abs", "where", "max", "min", "relu"})


def folded(
    row: Primitive, values: Sequence[Any], params: Mapping[str, Any], *, exact: bool
) -> Any:
    """The value of a step of numbers; None where it is left alone.

    Args:
        row: an elementwise row, a choice or a comparison.
        values: floats and truth values.
        params: static parameters.
        exact: only what is the same in every arithmetic.
    """
    if row.kind not in {"elementwise", "select", "predicate"}:
        return None
    with np.errstate(all="ignore"):
        found = getattr(SCALAR, row.name)(*values, **params)
    if isinstance(found, np.bool_ | bool):
        found = bool(found)
    elif type(found) is not float:
        found = float(found)
    if exact and not _exact(row, values, found):
        return None
    return found


def _exact(row: Primitive, values: Sequence[Any], found: Any) -> bool:
    """Whether any arithmetic, float32 among them, would give just this."""
    floats = [x for x in values if type(x) is float]
    if not all(_short(x) for x in floats):
        return False
    if row.kind != "elementwise" or row.name in CHOICES:
        return True
    if not math.isfinite(found) or (not found and row.name != "mul"):
        return False  # a sum's zero has a sign that other arithmetics need not have
    if row.name not in {"add", "sub", "mul", "div"}:
        return False
    a, b = map(Fraction, floats)
    true = {"add": a + b, "sub": a - b, "mul": a * b}.get(row.name)
    return (a / b if true is None else true) == Fraction(found)


def _short(x: float) -> bool:
    """Whether a float is a number of float32, and not in the range of underflow."""
    with np.errstate(all="ignore"):
        same = float(np.float32(x)) == x
    return same and (x == 0 or abs(x) > 1e-30)
