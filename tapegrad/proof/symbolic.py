"""The claims that SymPy is asked to prove about a row. Floor 10.

On each open piece, with operands that are symbols of that piece:

    order 1   diff(f, x_i) - partial_i                 the rule, in the SymPy reading
    order k   diff(f, x_i, ..., x_j) - sweep_j         the rule, recorded as a tape and
                                                       swept in the SymPy reading
    body      body(x) - f(x)                           where a row has a body

must be zero. The closed form is differentiated at plain real symbols, and the piece is
put in afterwards, so that the kinks of |x| and max are seen by SymPy's own rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from tapegrad import sweeps
from tapegrad.proof.onestep import Instead, one_step, partials_tape, reading_for
from tapegrad.readings.sympy import SYMPY
from tapegrad.rules import Primitive
from tapegrad.symbolic.constants import meant
from tapegrad.tape import Tape

NAMES = "xyzuvw"


@dataclass(frozen=True, slots=True)
class Claim:
    """An expression that should be zero.

    Args:
        check: "order 1", "order 2", "body".
        what: which derivative, on which piece, with which static parameters.
        difference: the expression.
    """

    check: str
    what: str
    difference: Any


class Exactly(Instead):
    """The SymPy reading of a tape whose floats stand for a user's exact constants.

    A recorded derivative holds sqrt(2)/2 as the nearest float. Read as that float, it
    would refute what is right by its rounding.
    """

    def number(self, value: Any) -> Any:
        """The short form that a float is the nearest one to, where there is one."""
        form = meant(value) if isinstance(value, float) else None
        return self._m.number(value) if form is None else form


class Symbols:
    """The maker of symbols that a row's pieces are functions of."""

    true = sp.true
    false = sp.false

    @staticmethod
    def real(name: str) -> Any:
        """A symbol that is any real number."""
        return sp.Symbol(name, real=True)

    @staticmethod
    def positive(name: str) -> Any:
        """A symbol that is positive."""
        return sp.Symbol(name, positive=True)

    @staticmethod
    def negative(name: str) -> Any:
        """A symbol that is negative."""
        return sp.Symbol(name, negative=True)


def claims(row: Primitive, orders: int) -> Iterator[Claim]:
    """Everything to be proved about a differentiable row.

    Args:
        row: the row.
        orders: highest order of derivatives.
    """
    for params in row.params:
        for piece in row.pieces:
            operands = piece(Symbols)
            where = _describe(params, operands)
            yield from _first(row, params, operands, where)
            if row.body is not None:
                m = reading_for(SYMPY, row)
                closed = closed_form(row, params, operands, ())
                # 0.1 means 1/10 here, as it does in the closed form
                exact = {name: SYMPY.number(value) for name, value in params.items()}
                found = row.body(m, *operands, **exact)
                yield Claim("body", where, sp.sympify(found) - closed)
            if orders > 1:
                yield from _higher(row, params, operands, where, orders)


def closed_form(
    row: Primitive,
    params: Mapping[str, Any],
    operands: Sequence[Any],
    places: Sequence[int],
) -> Any:
    """SymPy's own derivative of a row's closed form, at some operands.

    Args:
        row: the row.
        params: static parameters.
        operands: expressions, or conditions.
        places: which operands to differentiate by, in turn.
    """
    plain = [
        operand if _is_condition(operand) else sp.Symbol(f"_{place}", real=True)
        for place, operand in enumerate(operands)
    ]
    form = sp.sympify(row.sympy(sp, *plain, **params))  # type: ignore[misc]
    form, jumps = held(form)
    for place in places:
        form = sp.diff(form, plain[place])
    form = form.xreplace(jumps)
    put = {p: x for p, x in zip(plain, operands, strict=True) if p is not x}
    return form.subs(put, simultaneous=True)


def held(form: Any) -> tuple[Any, dict[Any, Any]]:
    """A form with symbols for what is constant between jumps, and what they stand for.

    SymPy leaves the derivative of floor(x/y) unevaluated; on each open piece it is 0.
    """
    parts = form.atoms(sp.floor, sp.ceiling, sp.sign)
    constant = {part: sp.Dummy(real=True) for part in parts}
    return form.xreplace(constant), {dummy: part for part, dummy in constant.items()}


def _first(
    row: Primitive, params: Mapping[str, Any], operands: Sequence[Any], where: str
) -> Iterator[Claim]:
    m = reading_for(SYMPY, row)
    y = closed_form(row, params, operands, ())
    partials = row.partials(m, y, *operands, **params)  # type: ignore[misc]
    for place, partial in enumerate(partials):
        if not _is_condition(operands[place]):
            right = closed_form(row, params, operands, (place,))
            what = f"d/d{NAMES[place]} {where}"
            yield Claim("order 1", what, sp.sympify(partial) - right)
    if len(partials) != len(operands):
        msg = f"{row.name} has {len(operands)} operands and {len(partials)} partials"
        raise ValueError(msg)


def _higher(
    row: Primitive,
    params: Mapping[str, Any],
    operands: Sequence[Any],
    where: str,
    orders: int,
) -> Iterator[Claim]:
    fixed = [bool(x) if _is_condition(x) else None for x in operands]
    free = [place for place, x in enumerate(fixed) if x is None]
    m = Exactly(SYMPY, row) if row.digest else reading_for(SYMPY, row)
    inputs = [operands[place] for place in free]
    # tapes of derivatives, with the places that led to each of their outputs
    level: list[tuple[Tape, list[tuple[int, ...]]]] = [
        (one_step(row, params, fixed), [()])
    ]
    for order in range(1, orders):
        found: list[tuple[Tape, list[tuple[int, ...]]]] = []
        for tape, paths in level:
            for output, path in enumerate(paths):
                grown = partials_tape(tape, row, output)
                found.append((grown, [(*path, place) for place in free]))
        level = found
        for tape, paths in level:
            slots = sweeps.replay(tape, m, inputs)
            for slot, path in zip(tape.outputs, paths, strict=True):
                bars = sweeps.adjoint(tape, m, slots, {slot: sp.Integer(1)})
                for place, at in zip(free, tape.inputs, strict=True):
                    swept = sp.Integer(0) if bars[at] is None else sp.sympify(bars[at])
                    by = (*path, place)
                    names = "".join(f"d{NAMES[p]}" for p in by)
                    right = closed_form(row, params, operands, by)
                    yield Claim(
                        f"order {order + 1}", f"d/{names} {where}", swept - right
                    )


def _is_condition(operand: Any) -> bool:
    return operand in (sp.true, sp.false)


def _describe(params: Mapping[str, Any], operands: Sequence[Any]) -> str:
    """The piece and the parameters, as text."""
    parts = [f"{name}={value}" for name, value in params.items()]
    for operand in operands:
        for symbol in sorted(getattr(operand, "free_symbols", ()), key=str):
            if symbol.is_positive:
                parts.append(f"{symbol} > 0")
            elif symbol.is_negative:
                parts.append(f"{symbol} < 0")
        if _is_condition(operand):
            parts.append(f"condition {operand}".lower())
    return "where " + ", ".join(dict.fromkeys(parts)) if parts else "everywhere"
