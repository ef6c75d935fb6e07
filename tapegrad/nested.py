"""Steps with sub-tapes, recorded for Values. Floor 5.

A *nested* row (`Primitive.run`) is a step whose sub-tapes the sweeps do not expand,
since derivatives pass it by a rule of its own: a function with its own gradient, a
solution of equations, a loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.ambient import SILENT, opened
from tapegrad.apply import check_fresh, make
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.recorder import aval_of
from tapegrad.value import Value, leaf


def apply_nested(
    row: Primitive, operands: Sequence[Any], params: Mapping[str, Any]
) -> list[Any]:
    """Record a step with sub-tapes.

    Args:
        row: a row with `run`.
        operands: Values and numbers, of the shapes and dtypes that its sub-tapes take;
            arrays must be frozen already.
        params: static parameters of the step.

    Returns:
        A Value for each of its slots.
    """
    columns = opened()
    primals = [x._data if isinstance(x, Value) else x for x in operands]
    if getattr(columns, "derives", False):
        found = unknown(row, primals, params)
    else:
        with np.errstate(all="ignore"):
            found = row.run(MIXED, primals, params)  # type: ignore[misc]
    if columns is SILENT:
        return [leaf(y) for y in found]
    if columns.stale:
        check_fresh(columns, operands)
    slots = [
        columns.slot_of(x) if isinstance(x, Value) else columns.constant(x)
        for x in operands
    ]
    avals = [aval_of(y) for y in found]
    made = columns.push_arrays(row, slots, params, found, avals)
    return [make(columns, slot, y) for slot, y in zip(made, found, strict=True)]


def unknown(row: Primitive, primals: Sequence[Any], params: Any) -> list[Any]:
    """Numbers in the shapes of the slots, for a derivative that is recorded.

    It is good for other points than the one that it is recorded at, so nobody asks for
    its numbers there; and a loop, or a solver, takes its time.
    """
    shape: Any = row.shape
    avals = shape([aval_of(x) for x in primals], params)
    return [
        plain(np.full(shape, np.nan if dtype in FLOATING else 0, dtype))
        for shape, dtype in avals
    ]
