"""The one dtype that the operands of a step are brought to. Floor 5.

On the tape all operands of an elementwise step have one dtype, and a conversion is a
step of its own. It is that of floats, unless all are ints and the row is one for ints,
too (`Primitive.integers`). Python's numbers are weak, as in NumPy: they take the dtype
of what they meet.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.readings.mixed import MIXED
from tapegrad.real import as_data, as_number, frozen, listed
from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.value import CONSTANT, Value

DOUBLE, WHOLE = np.dtype(np.float64), np.dtype(np.int64)
# Python's ints from here on are none of int64.
LEAST = 1 << 63


class Operand:
    """An operand on its way to a slot.

    Attributes:
        value: the Value, where it is one; else None.
        data: its primal.
        weak: a Python number, which takes the dtype of what it meets.
        whole: it is a Python int, and data that int.
        index: an integer operand of a gather, which keeps its dtype.
    """

    __slots__ = ("data", "index", "value", "weak", "whole")

    def __init__(self, x: Any, columns: Any, row: Primitive, place: int) -> None:
        self.index = bool(row.indices) and place >= row.indices
        self.value = x if isinstance(x, Value) else None
        self.whole = type(x) is int and -LEAST <= x < LEAST
        if self.value is not None:
            self.data = x._data
            self.weak = type(self.data) is float and _is_number(x, columns)
            return
        self.weak = type(x) in {float, int} or (
            isinstance(x, numbers.Real) and not isinstance(x, np.generic | bool)
        )
        x = listed(x)
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub":
            self.data = frozen(as_data(x, integers=True))
        elif isinstance(x, np.float32 | np.bool_ | np.integer):
            self.data = bool(x) if isinstance(x, np.bool_) else x
        elif isinstance(x, bool):
            self.data = x
        elif isinstance(x, np.ndarray) and x.ndim:
            self.data = as_data(x)  # raises: complex numbers, strings, objects
        else:
            self.data = x if self.whole else as_number(x)

    @property
    def dtype(self) -> Any:
        """The NumPy dtype of the data."""
        return np.asarray(self.data).dtype


def _is_number(x: Value, columns: Any) -> bool:
    """Whether a Value stands for a number in the code."""
    if columns is None or x._rec is not columns:
        return x._is_leaf and x._born == CONSTANT
    return columns.is_constant(x._i)  # type: ignore[no-any-return]


def takes_bool(row: Primitive, place: int) -> bool:
    """Whether an operand is a condition, so that True is not the number 1."""
    if row.kind == "select":
        return place == 0
    return row.name.startswith("logical_")


def one_dtype(
    row: Primitive, given: Sequence[Operand]
) -> tuple[list[Any], list[str | None]]:
    """Primals in the dtype of the step, and the dtypes that they were brought to.

    None stands for an operand that stays as it is: an index, a condition, or the only
    operand of data movement.
    """
    free = [operand for operand in given if not operand.index]
    if row.name == "astype" or (row.whole and not any(_floats(x) for x in free)):
        return [operand.data for operand in given], [None] * len(given)
    moving = [
        operand
        for place, operand in enumerate(given)
        if not operand.index and not takes_bool(row, place)
    ]
    strong = [operand.dtype for operand in moving if not operand.weak]
    dtype = np.result_type(*strong) if strong else DOUBLE
    integral = (
        row.integers
        and dtype == WHOLE
        and any(x.value is not None for x in given)
        and not any(x.weak and not x.whole for x in moving)
    )
    if dtype.name not in FLOATING and not integral:
        dtype = DOUBLE
    primals: list[Any] = []
    wanted: list[str | None] = []
    for operand in given:
        if operand not in moving:
            primals.append(operand.data)
            wanted.append(None)
            continue
        wanted.append(dtype.name)
        data = operand.data
        if type(data) is float and dtype == np.float64:
            primals.append(data)
        elif operand.whole:
            primals.append(dtype.type(data) if dtype != DOUBLE else as_number(data))
        else:
            primals.append(MIXED.astype(data, dtype.name))
    return primals, wanted


def _floats(operand: Operand) -> bool:
    return operand.weak or operand.dtype.kind == "f"
