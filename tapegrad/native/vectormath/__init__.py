"""Functions of doubles that loops over arrays turn into vectors. Floor 9.

A call of C's ``exp`` keeps a loop from becoming one of vectors. These are straight
lines of arithmetic in LLVM's language, without tables; LLVM's loop vectoriser does the
rest. Where one has no answer (an operand that is huge, or a special number) C's own
function is called for that lane. `docs/native.md` says how exact they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from tapegrad.native.engine import Outside
from tapegrad.native.objects import fuses, lanes
from tapegrad.native.vectormath import (
    error,
    exponential,
    hyperbolic,
    inverse,
    logarithm,
    power,
    rounding,
    trigonometric,
)
from tapegrad.native.vectormath.apart import MARKS, PLACED, apart
from tapegrad.native.vectormath.lines import NAME, Lines
from tapegrad.rules import TABLE

_MADE: dict[str, Callable[[Lines], str]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "log": logarithm.log,
    "log1p": logarithm.log1p,
    "log2": logarithm.log2,
    "log10": logarithm.log10,
    "pow": power.pow,
    "tanh": exponential.tanh,
    "sinh": hyperbolic.sinh,
    "cosh": hyperbolic.cosh,
    "sin": trigonometric.sin,
    "cos": trigonometric.cos,
    "tan": trigonometric.tan,
    "asin": inverse.asin,
    "acos": inverse.acos,
    "atan": inverse.atan,
    "atan2": inverse.atan2,
    "hypot": inverse.hypot,
    "erf": error.erf,
    "erfc": error.erfc,
    "gaussian": error.gaussian,
    "floor": rounding.floor,
    "ceil": rounding.ceil,
    "trunc": rounding.trunc,
    "round": rounding.nearest,
    "copysign": rounding.copysign,
}
_MADE |= {f"pow {n}": power.whole(n) for n in power.WHOLE}
# Names of the functions, by row of the table; and by row and exponent.
CALLS = {row: NAME.format(row.replace(" ", ".")) for row in _MADE}
_CALL = re.compile(rf"call double @({NAME.format('[^(]+')})\(")


@dataclass(frozen=True, slots=True)
class Made:
    """Functions of vectors.

    Args:
        text: LLVM source.
        needs: what it calls.
    """

    text: str
    needs: tuple[Outside, ...]


def functions(
    rows: Collection[str],
    *,
    fast: bool = False,
    calls: Mapping[str, int] | None = None,
    mark: int = 0,
) -> Made:
    """The functions of some rows.

    Args:
        rows: names among `CALLS`; others are passed over.
        fast: whether 4 ulps are enough.
        calls: how many places call each function, by its name; 1 by default.
        mark: the first number of metadata that is free.
    """
    calls = calls or {}
    texts: list[str] = []
    needs: dict[str, Outside] = {}
    for row, make in _MADE.items():
        if row in rows:
            at = Lines(fused=fuses(), fast=fast, beside=frozenset(rows))
            takes = TABLE[row].arity if row in TABLE.by_name else 1  # x**3 is of one
            name = CALLS[row]
            text = at.function(name, make(at), takes)
            if len(at.lines) * calls.get(name, 1) > PLACED:
                text = apart(name, text, takes, lanes(), mark)
                mark += MARKS
            texts.append(text)
            needs |= at.needs
    return Made("".join(texts), tuple(needs.values()))


def called(parts: Sequence[str]) -> Counter[str]:
    """How many places of a text call each function."""
    return Counter(name for part in parts for name in _CALL.findall(part))


def chosen(row: str, operands: Sequence[float | None]) -> tuple[str, int]:
    """The function for some operands, and how many of them it takes.

    Args:
        row: a name among `CALLS`.
        operands: those that are known numbers, and None for others.
    """
    known = operands[-1]
    if row == "pow" and known is not None and known in power.WHOLE:
        return f"pow {int(known)}", 1
    return row, len(operands)
