"""Formulas of tapes that would be too long written out, with a name for what is shared.

Floor 9; loads SymPy. Every step that is read more than once gets a name, so the text is
as long as the tape, not as its tree:

    f = v_2**2 + v_2,   v_2 = v_1**2 + v_1,   v_1 = x**2 + x

The derivatives are those of the adjoint tape here, and do not swell either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import sympy as sp

from tapegrad.derivatives import gradient_tape
from tapegrad.expanding import expanded
from tapegrad.symbolic.closed import FORMULAS, careful, released, symbols_of
from tapegrad.symbolic.limits import MAX_STEPS
from tapegrad.tape.tape import Tape

# Names in one text, and operations in one formula.
MAX_NAMES = 200
MAX_OPERATIONS = 300


def shared_formulas(
    tape: Tape, names: Iterator[Any], *, derivative: bool
) -> tuple[list[tuple[Any, Any]], list[Any]] | None:
    """Names with what they stand for, and the outputs in them.

    Args:
        tape: any tape.
        names: symbols that are nobody else's.
        derivative: the derivative by each input, in place of the outputs.

    Returns:
        None where it would still be too long, where nothing is shared, and for tapes of
        arrays or with guards.
    """
    if tape.arrays or tape.guards or len(tape) > MAX_STEPS:
        return None
    base = expanded(gradient_tape(tape, values=False) if derivative else tape)
    if len(base) > MAX_STEPS or base.arrays or base.guards:
        return None
    symbols = symbols_of(tape)
    return careful(lambda: _walk(base, symbols, names), "the formula")  # type: ignore[no-any-return]


def _walk(base: Tape, symbols: list[Any], names: Iterator[Any]) -> Any:
    uses = Counter([*base.operands.tolist(), *base.outputs])
    given = dict(zip(base.inputs, symbols, strict=True))
    values: list[Any] = []
    sizes: list[int] = []
    found: list[tuple[Any, Any]] = []
    for step in base:
        row, reads = step.primitive, step.operands
        if row.nested or len(step.slots) != 1:
            return None
        (slot,) = step.slots
        if row.kind == "structure":
            value = given.get(slot)
            if value is None:
                value = FORMULAS.number(step.params["value"])
            values.append(value)
            sizes.append(1)
            continue
        size = 1 + sum(sizes[read] for read in reads)
        value = getattr(FORMULAS, row.name)(*(values[i] for i in reads), **step.params)
        if uses[slot] > 1 and not sp.sympify(value).is_Atom:
            name = next(names)
            found.append((name, released(sp.sympify(value))))
            value, size = name, 1
        if size > MAX_OPERATIONS or len(found) > MAX_NAMES:
            return None
        values.append(value)
        sizes.append(size)
    if not found:
        return None
    return found, [released(sp.sympify(values[slot])) for slot in base.outputs]
