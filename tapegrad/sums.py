"""Sums of products of scalars, recorded in one go. Floor 7.

    start + a_1 b_1 + a_2 b_2 + ...

The steps are those of the same sum written with operators, one by one and in order:
the same tape, the same bits. What is saved is the Values in between, which nobody would
hold: making them is most of the cost of a network of scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import Any

from tapegrad.ambient import current
from tapegrad.handle import Handle
from tapegrad.rules import TABLE
from tapegrad.value import Value, new

MUL, ADD = TABLE.opcode(TABLE["mul"]), TABLE.opcode(TABLE["add"])
# The kinds of scalars that stand on columns.
SCALARS = (Value, Handle)


def sum_of_products(a: Sequence[Any], b: Sequence[Any], start: Any = 0.0) -> Any:
    """start + a[0] * b[0] + a[1] * b[1] + ..., summed from the left.

    Args:
        a: Values and numbers.
        b: as many of them.
        start: what the sum begins with.

    Returns:
        A Value; or a plain number, where nothing is a Value.

    Raises:
        ValueError: when a and b are not equally long.

    Example:
        >>> import tapegrad as tg
        >>> w = tg.Value(2.0)
        >>> y = tg.sum_of_products([w, 3.0], [5.0, w], 1.0)
        >>> y.backward()
        >>> y.data, w.grad
        (17.0, 8.0)
    """
    if len(a) != len(b):
        msg = f"{len(a)} numbers by {len(b)}: the two are to be equally long"
        raise ValueError(msg)
    made = _at_once(a, b, start)
    return sum(map(mul, a, b), start) if made is None else made


def _at_once(a: Any, b: Any, start: Any) -> Any:
    """The sum of scalars that stand on the current columns; None where one does not.

    Then the operators bring it there, and the next sum with it is quick.
    """
    columns = current()
    kind = type(start)
    if kind not in SCALARS or start._rec is not columns or not a:
        return None
    literals = columns.literals
    first = slot = columns.n
    place, total = start._i, start._data
    rows: list[Any] = []
    for x, y in zip(a, b, strict=True):
        if type(y) is float:  # zeros, which have a sign, are not among these
            y = literals.get(y)  # noqa: PLW2901
        if type(x) is not kind or type(y) is not kind:
            return None
        if x._rec is not columns or y._rec is not columns:
            return None
        product = x._data * y._data
        total += product
        rows += (MUL, x._i, y._i, product, ADD, place, slot, total)
        place = slot + 1
        slot += 2
    made = new(kind)
    made._data, made._rec, made._i = total, columns, place
    # Nothing between the question and the last line lets another thread append.
    if columns.n != first or slot > columns.limit:
        return None
    columns.n = slot
    columns.flat += rows
    return made
