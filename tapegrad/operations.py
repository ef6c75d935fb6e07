"""Operators, methods and functions of Values, made from the table. Floor 6.

Importing this module completes the class: `+ - * /` and the methods of unary rows come
from the rows themselves. One text serves Values and the handles of a recording: two
attribute checks, the operation on floats, one row appended. It is a text and not a
shared function because the call would cost as much as the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.ambient import CURRENT, SILENT, current
from tapegrad.apply import NUMBERS, apply, compare, make
from tapegrad.handle import ArrayHandle, Handle
from tapegrad.readings import SCALAR
from tapegrad.readings.numeric import UNLIKE_IEEE
from tapegrad.real import as_number, listed
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.arithmetic import POW, POWC
from tapegrad.rules.kinks import MAX, WHERE
from tapegrad.value import ARRAYS, CONSTANT, Array, Value, new

# Powers of ints up to this one are products; any other is that of a float.
MOST = 64

# The slots are read at once after the check, with no call between: another thread may
# import the same leaf into columns of its own. A number met in an expression is a Value
# of the current columns, made once; 0.0 and -0.0 are one key, so zeros take the long
# way, and so does all that is no plain number. One of two Values may be older than the
# current columns; what imports it may be called before the slots are read.
_BINARY = """
def {dunder}(self, other):
    rec = current()
    if self._rec is rec:
        if type(other) is {kind}:
            if other._rec is rec:
                {forward}
            return older(rec, self, other)
        if (type(other) is float or type(other) is int) and other:
            try:
                other = rec.literals[other]
            except KeyError:
                return self.{dunder}(literal(rec, other))
            {known}
    elif type(other) is {kind} and other._rec is rec:
        return older(rec, self, other)
    if isinstance(other, ndarray):
        return NotImplemented
    return apply(ROW, self, other)

def older(rec, self, other):
    if type(self) is not Value or type(other) is not Value:
        return apply(ROW, self, other)
    a = self._i if self._rec is rec else rec.slot_of(self)
    b = other._i if other._rec is rec else rec.slot_of(other)
    {older}

def {reflected}(self, other):
    rec = current()
    if (type(other) is float or type(other) is int) and other and self._rec is rec:
        try:
            other = rec.literals[other]
        except KeyError:
            return literal(rec, other).{dunder}(self)
        {backward}
    return apply(ROW, other, self)
"""
_UNARY = """
def {dunder}(self):
    rec = current()
    if type(self) is {kind} and self._rec is rec:
        {forward}
    return apply(ROW, self)
"""
# One step appended: lines with the indentation of where they are put.
_STEP = (
    "a = {left}._i",
    "b = {right}._i",
    "{compute}",
    "made = new({kind})",
    "made._data = data",
    "made._rec = rec",
    "made._i = slot = rec.n",
    "rec.n = slot + 1",
    "flat = rec.flat",
    "flat += {code}, a, {second}, data",
    "if slot >= rec.limit:",
    "    rec.full()",
    "return made",
)
_OPERATOR = ("data = {left}._data {symbol} {right}._data",)
# Python raises where IEEE has a result.
_DIVISION = (
    "try:",
    "    data = {left}._data {symbol} {right}._data",
    "except ZeroDivisionError:",
    "    data = function({left}._data, {right}._data)",
)
_CALL = (
    "try:",
    "    data = quick({left}._data)",
    "except UNLIKE_IEEE:",
    "    data = function({left}._data)",
)


def _step(
    row: Primitive, kind: str, left: str, right: str, indent: int, start: int = 0
) -> str:
    """The text that appends a step, for a place in a method; or the later lines."""
    compute: tuple[str, ...] = _CALL
    if row.arity == 2:
        compute = _DIVISION if row.symbol == "/" else _OPERATOR
    lines: list[str] = []
    for line in _STEP[start:]:
        if line == "{compute}":
            lines += compute
        elif right or "{right}" not in line:
            lines.append(line)
    return (
        ("\n" + " " * indent)
        .join(lines)
        .format(
            kind=kind,
            left=left,
            right=right,
            symbol=row.symbol,
            code=TABLE.opcode(row),
            second="b" if right else "0",
        )
    )


def _quick(row: Primitive) -> Any:
    """What computes a row at a float: C's own function where there is one."""
    found = SCALAR.evaluator_of(row)
    return getattr(found, "__wrapped__", found)


def _method(row: Primitive, dunder: str, kind: type[Value]) -> dict[str, Any]:
    """The methods of a row for one class, by name."""
    binary, name = row.arity == 2, kind.__name__
    reflected = dunder.replace("__", "__r", 1)
    text = (_BINARY if binary else _UNARY).format(
        dunder=dunder,
        reflected=reflected,
        kind=name,
        forward=_step(
            row, name, "self", "other" if binary else "", 16 if binary else 8
        ),
        known=_step(row, name, "self", "other", 12) if binary else "",
        older=_step(row, name, "self", "other", 4, start=2) if binary else "",
        backward=_step(row, name, "other", "self", 8) if binary else "",
    )
    space: dict[str, Any] = {
        "Value": Value,
        "Handle": Handle,
        "new": new,
        "current": current,
        "apply": apply,
        "ROW": row,
        "literal": literal,
        "ndarray": np.ndarray,
        "UNLIKE_IEEE": UNLIKE_IEEE,
        "function": lambda *xs: SCALAR.apply(row, *xs),
        "quick": None if binary else _quick(row),
    }
    # named as a file of this package, so that a search for the user's line passes it
    code = compile(text, f"{__file__}:{row.name}", "exec")
    exec(code, space)  # noqa: S102 - our own text, as dataclasses do it
    names = [dunder, reflected] if binary else [dunder]
    for method in names:
        space[method].__doc__ = _words(row)
    return {method: space[method] for method in names}


def _words(row: Primitive) -> str:
    """The docstring of a row's method; bars would be markup."""
    source = row.source.replace("|", "\\|")
    return f"{row.name}, recorded. {source}."


def literal(columns: Any, number: float) -> Any:
    """The Value of a number met in an expression: one for each number."""
    found = columns.literals.get(number)
    if found is None:
        value = float(number)
        slot = columns.constant(value)
        found = make(columns, slot, value)
        if columns.eager:
            found._label, found._born = "", CONSTANT
        columns.literals[number] = found
    return found


def _array_method(row: Primitive, dunder: str) -> dict[str, Any]:
    """The methods of a row for arrays, which take the long way."""

    def method(*operands: Any) -> Any:
        if _objects(operands[-1]):
            return NotImplemented
        return apply(row, *operands)

    def reflected(self: Any, other: Any) -> Any:
        return NotImplemented if _objects(other) else apply(row, other, self)

    method.__name__, method.__doc__ = dunder, _words(row)
    if row.arity == 1:
        return {dunder: method}
    return {dunder: method, dunder.replace("__", "__r", 1): reflected}


def install(row: Primitive) -> None:
    """Give Value the operators or the method of a row."""
    if row.kind == "predicate" and row.operator in {"lt", "le", "gt", "ge", "eq", "ne"}:
        setattr(Value, f"__{row.operator}__", _comparison(row))
    if row.kind != "elementwise" or row.params != ({},):
        return
    if not row.operator and (row.arity != 1 or hasattr(Value, row.name)):
        return
    dunder = f"__{row.operator}__" if row.operator else row.name
    for kind in (Value, Handle):
        for name, method in _method(row, dunder, kind).items():
            setattr(kind, name, method)
    for kind in (Array, ArrayHandle):
        for name, method in _array_method(row, dunder).items():
            setattr(kind, name, method)


def _comparison(row: Primitive) -> Any:
    def method(self: Any, other: Any) -> Any:
        return compare(row.name, self, other)

    method.__name__, method.__doc__ = (
        f"__{row.operator}__",
        f"{row.name}. {row.source}.",
    )
    return method


def power(base: Any, exponent: Any) -> Any:
    """x**y; a constant exponent keeps negative bases, and never takes a log."""
    if isinstance(exponent, Value) or not isinstance(base, Value):
        return apply(POW, base, exponent)
    exponent = listed(exponent)
    if isinstance(exponent, np.ndarray) and exponent.ndim:
        return apply(POW, base, exponent)
    if type(exponent) is int and 0 < exponent <= MOST and _whole(base):
        half = power(base, exponent // 2) if exponent > 1 else None
        square = base if half is None else apply(TABLE["mul"], half, half)
        odd = half is not None and exponent % 2
        return apply(TABLE["mul"], square, base) if odd else square
    return apply(POWC, base, exponent=_exponent(exponent))


def _whole(base: Value) -> bool:
    """Whether a Value is of ints, whose powers are ints, as in NumPy."""
    return isinstance(base._data, ARRAYS) and base._data.dtype.kind == "i"


def _exponent(exponent: Any) -> int | float:
    """A constant exponent as it was written: 2 stays an int, 0.5 a float."""
    if type(exponent) is int and abs(exponent) < 2**53:
        return exponent
    return as_number(exponent)


def _power(self: Value, exponent: Any) -> Any:
    if type(exponent) in {int, float} and type(self) in NUMBERS:
        rec, exponent = current(), _exponent(exponent)
        if self._rec is not rec:
            return apply(POWC, self, exponent=exponent)
        primal = SCALAR.apply(POWC, self._data, exponent=exponent)
        slot = rec.push(POWC, (self._i,), {"exponent": exponent}, primal)
        return make(rec, slot, primal)
    return NotImplemented if _objects(exponent) else power(self, exponent)


def _objects(x: Any) -> bool:
    """Whether NumPy is to take an operand entry by entry."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "O"


for _name, _function in (
    ("__pow__", _power),
    ("__rpow__", lambda self, base: apply(POW, base, self)),
    ("__pos__", lambda self: self),
):
    setattr(Value, _name, _function)

for _row in TABLE:
    install(_row)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Select: a where the condition holds, else b, entry by entry.

    The arm that is not selected contributes nothing to any derivative, whatever
    infinities it holds. For numbers without any Value the result is a plain float.

    Args:
        condition: a bool, a comparison of Values, an array of bools, or numbers
            (non-zero is true).
        a: a Value, real number or array: the result where the condition holds.
        b: the same, the result elsewhere.

    Example:
        >>> x = Value(0.0)
        >>> y = where(x > 0, x.log(), x)
        >>> y.backward()
        >>> x.grad
        1.0
    """
    if not any(isinstance(x, Value) for x in (condition, a, b)):
        if all(np.ndim(x) == 0 for x in (condition, a, b)):
            return as_number(a) if condition else as_number(b)
        return np.where(condition, a, b)
    return apply(WHERE, truth(condition), a, b)


def truth(condition: Any) -> Any:
    """A condition as truth values: a number is true where it is not 0."""
    data = condition._data if isinstance(condition, Value) else condition
    if type(data) is bool:
        return condition
    kind = np.asarray(data).dtype.kind
    if kind == "b":
        return condition
    return compare("not_equal", condition, 0)


def maximum(a: Any, b: Any) -> Any:
    """The larger of two; at a tie each gets half of the derivative."""
    return apply(MAX, a, b)


@contextmanager
def no_record() -> Iterator[None]:
    """``with tg.no_record():`` operations give numbers and leave no history."""
    token = CURRENT.set(SILENT)
    try:
        yield
    finally:
        CURRENT.reset(token)
