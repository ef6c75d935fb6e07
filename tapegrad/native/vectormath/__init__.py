"""Functions of a double that loops over arrays turn into vectors. Floor 9.

A call of C's ``exp`` keeps a loop from becoming one of vectors. These are straight
lines of arithmetic in LLVM's language, without branches, tables or fused operations
that a machine may lack; LLVM's loop vectoriser does the rest. `docs/accuracy.md` says
how exact they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from tapegrad.native.vectormath import error, exponential
from tapegrad.native.vectormath.lines import NAME

_MADE: dict[str, Callable[[], str]] = {
    "exp": exponential.exp,
    "expm1": exponential.expm1,
    "log": exponential.log,
    "tanh": exponential.tanh,
    "erf": error.erf,
    "erfc": error.erfc,
    "gaussian": error.gaussian,
}
# Names of the functions, by row of the table.
CALLS = {row: NAME.format(row) for row in _MADE}


def text(rows: Collection[str]) -> str:
    """The functions of some rows, as LLVM source.

    Args:
        rows: names among `CALLS`; others are passed over.
    """
    return "".join(make() for row, make in _MADE.items() if row in rows)
