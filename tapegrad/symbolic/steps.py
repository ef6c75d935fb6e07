"""Steps made of SymPy's operations: shared, and stable where the table has such a row.

Floor 9; loads SymPy. Equal steps of equal operands are one step, so an expression that
occurs twice is computed once, whether or not SymPy holds it twice. And a step that
completes the closed form of a row becomes that row:

    log(exp(x) + 1)  ->  softplus(x)         exp(x) - 1  ->  expm1(x)

which is the same function, but neither overflows nor cancels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from tapegrad.errors import ParseError
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import broadcast
from tapegrad.symbolic.heads import KINKED, closed_form, dummies
from tapegrad.tape.recorder import Columns

# A pattern: the place of an operand, a number, or a row's name with its operands.
Pattern = int | float | tuple[str, tuple["Pattern", ...], tuple[Any, ...]]

# Whole numbers up to here are floats without rounding.
EXACT = 2**53
# Digits for a constant: what a float holds, and as many again for what cancels.
DIGITS = 34


class Steps:
    """Columns that grow by value: what is there already is not appended again.

    Args:
        stable: whether closed forms become the rows that they are of.
    """

    def __init__(self, *, stable: bool = True) -> None:
        self.columns = Columns()
        self.stable = stable
        self.made: dict[int, tuple[str, tuple[int, ...], tuple[Any, ...]]] = {}
        self._found: dict[Any, int] = {}
        self._numbers: dict[int, float] = {}

    def number(self, value: float | bool) -> int:
        """The slot of a constant."""
        slot = self.columns.constant(value)
        if not isinstance(value, bool):
            self._numbers[slot] = value
        return slot

    def push(self, row: Primitive, *operands: int, **params: Any) -> int:
        """The slot of a step, of numbers or of arrays."""
        static = tuple(sorted(params.items())) if params else ()
        key = row.name, operands, static
        slot = self._found.get(key)
        if slot is None:
            slot = self._stable(key) if self.stable else None
            if slot is None:
                slot = self._pushed(row, operands, params)
                self.made[slot] = key
            self._found[key] = slot
        return slot

    def _pushed(self, row: Primitive, operands: tuple[int, ...], params: Any) -> int:
        known = self.columns.avals
        if not row.whole and known.keys().isdisjoint(operands):
            return self.columns.push(row, operands, params, math.nan)
        avals = [self.columns.aval_at(operand) for operand in operands]
        if row.whole:
            made = row.shape(*avals, **params)  # type: ignore[misc]
        else:
            shape = broadcast(*(aval[0] for aval in avals))
            made = shape, "bool" if row.kind == "predicate" else "float64"
        (slot,) = self.columns.push_arrays(row, operands, params, [math.nan], [made])
        return slot

    def matrix(self, entries: Sequence[int], shape: tuple[int, ...]) -> int:
        """Numbers in an array."""
        if not entries:
            return self.columns.constant(np.zeros(shape))
        parts = [self.push(TABLE["reshape"], entry, shape=(1,)) for entry in entries]
        joined = self.push(TABLE["concatenate"], *parts, axis=0)
        return self.push(TABLE["reshape"], joined, shape=shape)

    def power(self, slot: int, exponent: float | Any) -> int:
        """A power with a constant exponent; a parameter of the step, not an operand."""
        short = _SHORT.get(exponent)
        if short is not None:
            for name in short:
                slot = self.push(TABLE[name], slot)
            return slot
        if isinstance(exponent, sp.Integer) and abs(exponent) < EXACT:
            return self.push(TABLE["powc"], slot, exponent=int(exponent))
        return self.push(TABLE["powc"], slot, exponent=as_float(exponent))

    # -- patterns --------------------------------------------------------------

    def _stable(self, key: tuple[str, tuple[int, ...], tuple[Any, ...]]) -> int | None:
        for row, pattern in patterns().get(key[0], ()):
            found: dict[int, int] = {}
            if self._fits(pattern, key, found):
                return self.push(row, *(found[place] for place in range(row.arity)))
        return None

    def _fits(self, pattern: Any, key: Any, found: dict[int, int]) -> bool:
        name, parts, static = pattern
        if key is None or key[0] != name or key[2] != static:
            return False
        for part, operand in zip(parts, key[1], strict=True):
            if isinstance(part, int):
                if found.setdefault(part, operand) != operand:
                    return False
            elif isinstance(part, float):
                if self._numbers.get(operand) != part:
                    return False
            elif not self._fits(part, self.made.get(operand), found):
                return False
        return True

    def pattern(self, slot: int, operands: Sequence[int]) -> Any:
        """The steps below a slot as a pattern in some operands."""
        if slot in operands:
            return operands.index(slot)
        if slot in self._numbers:
            return self._numbers[slot]
        name, reads, static = self.made[slot]
        return name, tuple(self.pattern(read, operands) for read in reads), static


# Exponents that have a row of their own.
_SHORT: Mapping[Any, tuple[str, ...]] = {
    sp.Integer(1): (),
    sp.Integer(2): ("square",),
    sp.Integer(-1): ("reciprocal",),
    sp.Rational(1, 2): ("sqrt",),
    sp.Rational(-1, 2): ("sqrt", "reciprocal"),
}


def patterns() -> Mapping[str, Sequence[tuple[Primitive, Any]]]:
    """By the row of the last step: rows, and the steps of their closed forms."""
    return _patterns(len(TABLE))


@functools.lru_cache(maxsize=2)
def _patterns(rows: int) -> Mapping[str, Sequence[tuple[Primitive, Any]]]:
    del rows  # a row more is another table
    from tapegrad.symbolic.lowering import Lowering

    found: dict[str, list[tuple[int, Primitive, Any]]] = {}
    for row in TABLE:
        if row.kind != "elementwise" or row.helper or row.params != ({},):
            continue
        if row.digest:  # a user's row is meant where it is written
            continue
        xs = dummies(row.arity)
        form = closed_form(row, xs, {})
        if not isinstance(form, sp.Expr) or form.has(*KINKED):
            continue
        # x*log(y) is not xlogy(x, y): where x is 0 and y too, it has no value
        if row.arity == 2 and form.xreplace(dict(zip(xs, xs[::-1], strict=True))) != (
            form
        ):
            continue
        steps = Steps(stable=False)
        inputs = [steps.columns.input(math.nan) for _ in xs]
        lowering = Lowering(steps, dict(zip(xs, inputs, strict=True)))
        last = lowering.slot(form)
        made = steps.made.get(last)
        if made is None or made[0] == row.name or last in inputs:
            continue
        size = len(steps.made)
        # of one step with just these operands, it is a row already
        if size > 1 or made[1] != tuple(inputs):
            pattern = steps.pattern(last, inputs)
            found.setdefault(pattern[0], []).append((size, row, pattern))
    return {
        name: [(row, pattern) for _, row, pattern in sorted(rows_, key=_size)]
        for name, rows_ in found.items()
    }


def _size(entry: tuple[int, Primitive, Any]) -> int:
    """The largest first: log(exp(x) + 1) before log(x + 1)."""
    return -entry[0]


def as_float(number: Any) -> float:
    """The float nearest to a constant.

    Raises:
        ParseError: it is complex, or no number.
    """
    if number.is_Rational:
        try:
            return int(number.p) / int(number.q)
        except OverflowError:
            msg = "the expression holds a number too large for a float"
            raise ParseError(msg) from None
    if number.is_Float or number.is_NumberSymbol:
        return float(number)
    known = {sp.oo: math.inf, -sp.oo: -math.inf, sp.nan: math.nan}
    if number in known:
        return known[number]
    return _evaluated(number)


def _evaluated(number: Any) -> float:
    found = number.evalf(DIGITS)
    if found in {sp.oo, -sp.oo, sp.nan}:
        return as_float(found)
    real, imaginary = found.as_real_imag()
    if not (real.is_Float or real.is_Rational):
        msg = f"the constant {_text(number)} has no value that SymPy can compute"
        raise ParseError(msg)
    # roots of a cubic are real, but computed by way of complex numbers
    if imaginary != 0 and abs(imaginary) > abs(real) * sp.Float(10) ** (8 - DIGITS):
        msg = (
            f"{_text(number)} is a complex number, {found.evalf(6)}; tapes hold "
            "real ones: give the real and the imaginary part as two outputs"
        )
        raise ParseError(msg)
    return float(real)


def _text(number: Any) -> str:
    try:
        text = str(number)
    except RecursionError:
        return "a constant"
    return text if len(text) <= 60 else text[:57] + "..."
