"""Derivatives of a formula: closed forms by SymPy, values by the tape. Floor 9.

    derive("x*tanh(y)")   ->   {"x": tanh(y), "y": x/cosh(y)**2}

Two ways that share nothing but the table of rows: SymPy differentiates the closed form,
and the tape is swept at a point. `derivation` sets them side by side.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import sympy as sp

from tapegrad.errors import ParseError, ShapeError
from tapegrad.symbolic.closed import expressions, keys_of, symbols_of, value_at
from tapegrad.symbolic.export import differentiated, to_sympy
from tapegrad.symbolic.parse import parse
from tapegrad.tape.structure import flatten
from tapegrad.tape.tape import Tape

# Two evaluations of one formula in float64, in different order of operations.
AGREEMENT = 1e-9


def derive(
    text: str | Tape | sp.Expr,
    wrt: str | Iterable[Any] | None = None,
    order: int = 1,
) -> dict[Any, Any]:
    """Derivatives in closed form.

    Args:
        text: an expression as text (parsed, never evaluated: see
            `tapegrad.symbolic.parse.parse`), a tape with one output, or a SymPy
            expression.
        wrt: the names to differentiate by: a list, or a text ``"x,y"``. By default
            all of them. A name that does not occur has the derivative 0.
        order: 1, or 2 for second derivatives.

    Returns:
        A dict of SymPy expressions in real symbols. The keys are names for order 1,
        and pairs of names for order 2: the Hessian's entries, row by row.

    Raises:
        ParseError: the text is outside the language; says what and where.
        ShapeError: an order other than 1 and 2; several outputs; a formula too long.

    Example:
        >>> import tapegrad as tg
        >>> tg.derive("x*tanh(y)", wrt=["x", "y"])
        {'x': tanh(y), 'y': x/cosh(y)**2}
        >>> tg.derive("x**2*y", order=2)[("x", "y")]
        2*x
    """
    _check_order(order)
    names = None if wrt is None else _names(wrt)
    if isinstance(text, sp.Basic):
        return _of_expression(text, names, order)
    tape = text if isinstance(text, Tape) else _parsed(text, names or ())
    return _closed_forms(tape, names, order)


@dataclass(frozen=True, slots=True)
class Row:
    """One derivative, by both ways.

    Attributes:
        names: what it is taken by, in order.
        closed: the closed form.
        tape: its value by the tape's sweep; None without a point.
        value: the closed form's value there, NaN where that is no real number.
    """

    names: tuple[str, ...]
    closed: Any
    tape: float | None = None
    value: float | None = None

    @property
    def name(self) -> str:
        """``df/dx`` or ``d2f/dxdy``."""
        order = str(len(self.names)) if len(self.names) > 1 else ""
        return f"d{order}f/" + "".join(f"d{name}" for name in self.names)

    @property
    def difference(self) -> float | None:
        """Tape minus closed form; 0 where both are the same infinity."""
        if self.tape is None or self.value is None:
            return None
        return 0.0 if self.tape == self.value else self.tape - self.value

    @property
    def ok(self) -> bool:
        """Whether both ways agree, where both give a number."""
        difference = self.difference
        if difference is None or self.value is None or not math.isfinite(difference):
            return True
        return abs(difference) <= AGREEMENT * max(1.0, abs(self.value))


@dataclass(frozen=True, slots=True)
class Derivation:
    """A formula, its derivatives, and their values at a point by both ways."""

    expression: Any
    rows: tuple[Row, ...]
    point: Mapping[str, float]
    value: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the sweep agrees with every closed form."""
        return all(row.ok for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """The figures as plain Python values; NaN and infinities as text."""
        return {
            "expression": str(self.expression),
            "at": {name: _plain(x) for name, x in self.point.items()},
            "value": _plain(self.value),
            "ok": self.ok,
            "derivatives": [
                {
                    "name": row.name,
                    "wrt": list(row.names),
                    "closed": str(row.closed),
                    "latex": sp.latex(row.closed),
                    "tape": _plain(row.tape),
                    "closed_value": _plain(row.value),
                    "difference": _plain(row.difference),
                }
                for row in self.rows
            ],
        }


def derivation(
    text: str,
    wrt: str | Iterable[Any] | None = None,
    order: int = 1,
    at: Mapping[str, float] | None = None,
) -> Derivation:
    """Derivatives of a text in closed form, beside their values by the tape.

    Args:
        text: an expression.
        wrt: the names to differentiate by, as for `derive`.
        order: 1 or 2.
        at: a value for every name of the text, to compare both ways there.

    Raises:
        ParseError: the text is outside the language, or `at` has not just its names.
    """
    _check_order(order)
    names = None if wrt is None else _names(wrt)
    tape = _parsed(text, names or ())
    keys = keys_of(tape)
    closed = _closed_forms(tape, names, order)
    expression = to_sympy(tape)
    as_tuples = {key if order > 1 else (key,): form for key, form in closed.items()}
    if not at:
        rows = tuple(Row(key, form) for key, form in as_tuples.items())
        return Derivation(expression, rows, {})
    _check_point(keys, at, text)
    values = [float(at[key]) for key in keys]
    tape = dataclasses.replace(tape, example=tuple(values))
    point = dict(zip(symbols_of(tape), values, strict=True))
    swept = _swept(tape, keys, values, order)
    rows = tuple(
        Row(key, form, swept.get(key, 0.0), value_at(form, point))
        for key, form in as_tuples.items()
    )
    if any(number != number for number in tape.slots(*values)):  # noqa: PLR0124 - NaN
        # A step is outside its domain. SymPy goes on with complex numbers there, and
        # may come back to a real one; that is no value of this function.
        rows = tuple(
            row if row.ok else dataclasses.replace(row, value=math.nan) for row in rows
        )
    return Derivation(expression, rows, dict(at), tape(*values))


def _check_order(order: int) -> None:
    if order not in {1, 2}:
        msg = f"derivatives of order 1 and 2 are given, not {order!r}"
        raise ShapeError(msg)


def _check_point(keys: Sequence[str], at: Mapping[str, float], text: str) -> None:
    missing = [key for key in keys if key not in at]
    unknown = [key for key in at if key not in keys]
    if missing:
        msg = f"the point lacks a value for {', '.join(missing)}"
        raise ParseError(msg)
    if unknown:
        msg = f"the point has values for {', '.join(unknown)}, not in {text!r}"
        raise ParseError(msg)


def _names(wrt: str | Iterable[Any]) -> list[str]:
    parts = wrt.split(",") if isinstance(wrt, str) else wrt
    names = list(dict.fromkeys(str(part).strip() for part in parts))
    for name in names:
        if not name.replace("[", "_").replace("]", "_").isidentifier():
            msg = f"{name!r} in wrt= is not a name; write wrt=['x', 'y'] or 'x,y'"
            raise ParseError(msg)
    return names


def _parsed(text: str, names: Sequence[str]) -> Tape:
    """The tape of a text; the names asked for are variables even if called e or pi."""
    return parse(text, free=names)


def _closed_forms(
    tape: Tape, names: Sequence[str] | None, order: int
) -> dict[Any, Any]:
    if len(tape.outputs) != 1:
        msg = (
            f"derive() takes a tape with one output, this one has {len(tape.outputs)}; "
            "tape.to_sympy(derivative=True) gives a dict for each"
        )
        raise ShapeError(msg)
    ordered = symbols_of(tape)
    symbols = dict(zip(keys_of(tape), ordered, strict=True))
    (output,) = expressions(tape, ordered)
    if names is None:
        names = list(symbols)
    return _entries(output, {n: symbols.get(n) for n in names}, order)


def _entries(expression: Any, symbols: Mapping[str, Any], order: int) -> dict[Any, Any]:
    """Derivatives by name; by pairs of names, each computed once."""

    def one(*by: Any) -> Any:
        absent = any(symbol is None for symbol in by)
        return sp.Integer(0) if absent else differentiated(expression, *by)

    if order == 1:
        return {name: one(symbol) for name, symbol in symbols.items()}
    found: dict[Any, Any] = {}
    for a, b in product(symbols, repeat=2):
        mirrored = found.get((b, a))
        found[a, b] = one(symbols[a], symbols[b]) if mirrored is None else mirrored
    return found


def _of_expression(
    expression: Any, names: Sequence[str] | None, order: int
) -> dict[Any, Any]:
    """SymPy's own derivative of SymPy's own expression, in its own symbols."""
    by_name = {s.name: s for s in sorted(expression.free_symbols, key=str)}
    if names is None:
        names = list(by_name)
    return _entries(expression, {name: by_name.get(name) for name in names}, order)


def _swept(
    tape: Tape, keys: Sequence[str], values: Sequence[float], order: int
) -> dict[tuple[str, ...], float]:
    """Derivatives by sweeps over the tape, by tuples of names."""
    if not keys:
        return {}
    found = tape.gradient(*values) if order == 1 else tape.hessian(*values)
    leaves, _ = flatten(found, lambda leaf: isinstance(leaf, float))
    return dict(zip(product(keys, repeat=order), leaves, strict=True))


def _plain(number: float | None) -> float | str | None:
    """JSON has no NaN and no infinity."""
    return number if number is None or math.isfinite(number) else str(number)
