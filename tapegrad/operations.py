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
from tapegrad.readings import SCALAR
from tapegrad.real import as_number
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.kinks import MAX, WHERE
from tapegrad.value import Handle, Value, apply, constant, make, new, unsupported

# The slots are read at once after the check, with no call between: another thread may
# import the same leaf into columns of its own. A number met in an expression becomes a
# Value of the current columns, once, and the operator is applied again. 0.0 and -0.0
# are one key, so zeros take the long way.
_BINARY = """
def {dunder}(self, other):
    rec = current()
    if type(other) is {kind}:
        if self._rec is rec and other._rec is rec:
            a = self._i
            b = other._i
            {compute}
            {append}
    elif type(other) is float or type(other) is int:
        if other and self._rec is rec:
            return self.{dunder}(literal(rec, other))
    elif isinstance(other, ndarray):
        return NotImplemented
    return apply(ROW, self, other)

def {reflected}(self, other):
    rec = current()
    if (type(other) is float or type(other) is int) and other and self._rec is rec:
        return literal(rec, other).{dunder}(self)
    return apply(ROW, other, self)
"""
_UNARY = """
def {dunder}(self):
    rec = current()
    if type(self) is {kind} and self._rec is rec:
            a = self._i
            {compute}
            {append}
    return apply(ROW, self)
"""
_APPEND = """made = new({kind})
            made._data = data
            made._rec = rec
            made._i = slot = rec.n
            rec.n = slot + 1
            rec.flat += {code}, a, {second}, data
            if slot >= rec.limit:
                rec.full()
            return made"""
_QUICK = "data = self._data {symbol} other._data"
# Python raises where IEEE has a result.
_DIVISION = """try:
                data = self._data / other._data
            except ZeroDivisionError:
                data = function(self._data, other._data)"""
_CALL = "data = function(self._data)"


def _method(row: Primitive, dunder: str, kind: type[Value]) -> dict[str, Any]:
    """The methods of a row for one class, by name."""
    binary = row.arity == 2
    append = _APPEND.format(
        kind=kind.__name__,
        code=TABLE.opcode(row),
        second="b" if binary else "0",
    )
    compute = _CALL
    if binary:
        compute = _DIVISION if row.symbol == "/" else _QUICK.format(symbol=row.symbol)
    reflected = dunder.replace("__", "__r", 1)
    text = (_BINARY if binary else _UNARY).format(
        dunder=dunder,
        reflected=reflected,
        kind=kind.__name__,
        compute=compute,
        append=append,
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
        "function": lambda *xs: SCALAR.apply(row, *xs),
    }
    exec(text, space)  # noqa: S102 - our own text, as dataclasses do it
    names = [dunder, reflected] if binary else [dunder]
    for name in names:
        space[name].__doc__ = f"{row.name}, recorded. {row.source}."
    return {name: space[name] for name in names}


def literal(columns: Any, number: float) -> Any:
    """The Value of a number met in an expression: one for each number."""
    found = columns.literals.get(number)
    if found is None:
        value = float(number)
        slot = columns.constant(value)
        if columns.eager:
            found = constant(value)
            found._rec, found._i = columns, slot
        else:
            found = make(columns, slot, value)
        columns.literals[number] = found
    return found


def install(row: Primitive) -> None:
    """Give Value the operators or the method of a row."""
    if row.kind != "elementwise" or row.params != ({},):
        return
    if not row.operator and (row.arity != 1 or hasattr(Value, row.name)):
        return
    dunder = f"__{row.operator}__" if row.operator else row.name
    for kind in (Value, Handle):
        for name, method in _method(row, dunder, kind).items():
            setattr(kind, name, method)


for _row in TABLE:
    install(_row)


def where(condition: Any, a: Any, b: Any) -> Any:
    """Select: a where the condition holds, else b.

    The arm that is not selected contributes nothing to any derivative, whatever
    infinities it holds. For numbers without any Value the result is a plain float.

    Args:
        condition: a bool, a comparison of Values, or a number (non-zero is true).
        a: a Value or real number, the result where the condition holds.
        b: the same, the result elsewhere.

    Example:
        >>> x = Value(0.0)
        >>> y = where(x > 0, x.log(), x)
        >>> y.backward()
        >>> x.grad
        1.0
    """
    if not any(isinstance(x, Value) for x in (condition, a, b)):
        return as_number(a) if condition else as_number(b)
    if isinstance(condition, Value) and not isinstance(condition._data, bool):
        condition = condition != 0
    elif not isinstance(condition, Value):
        condition = bool(condition)
    return apply(WHERE, condition, a, b)


def array_function(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """``np.where`` of Values; every other function is an error that names it."""
    if function is np.where and len(args) == 3 and not kwargs:
        return where(*args)
    return unsupported(function, "__call__", kwargs)


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
