"""Applying a row to Values: the one place where eager code records steps. Floor 5.

Operands become slots of the current columns, the readings compute the primal, a step is
appended, and a new Value stands for its slot. Scalars come first, and quickly; arrays
take the second half of the module; their dtypes are settled in `dtypes`.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.ambient import SILENT, opened
from tapegrad.dtypes import DOUBLE, Operand, one_dtype, takes_bool
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import ArrayHandle, Handle
from tapegrad.passing import no_answer
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.real import as_number, listed
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.movement import ASTYPE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.guards import user_line
from tapegrad.tape.recorder import aval_of
from tapegrad.value import ARRAYS, Array, Arrays, Value, leaf, new

# The classes of single numbers.
NUMBERS = frozenset({Value, Handle})

# Arithmetic on arrays of truth values alone: the logic that it is, or a way round.
_OF_TRUTH = {"add": "logical_or", "mul": "logical_and", "sub": "a ^ b", "neg": "~a"}


def apply(row: Primitive, *operands: Any, **params: Any) -> Any:
    """Apply a primitive to Values, numbers and arrays, and record the step.

    Args:
        row: a row of the table.
        operands: Values, real numbers, or NumPy arrays (copied and frozen).
        params: static parameters of the step.

    Returns:
        A Value; a tuple of them for a row with several results. Outside a recording
        truth values and integers are plain.

    Raises:
        RecordError: an operand is no real number, or belongs to another recording.
        ShapeError: shapes do not fit; names both and the line.
        DomainError: a matrix is singular, or not positive definite.
    """
    columns = opened()
    if columns is SILENT:
        return _silent(row, operands, params)
    if row.whole:
        return _apply_arrays(columns, row, operands, params)
    if len(operands) == 2 and columns.eager and row.kind == "elementwise":
        one, other = operands
        if type(one) is Value is type(other) and not params:
            return _two(columns, row, one, other)
    slots, primals = [], []
    for x in operands:
        if type(x) in NUMBERS:  # the usual operand
            slots.append(x._i if x._rec is columns else columns.slot_of(x))
            primals.append(x._data)
        elif isinstance(x, Value):
            if isinstance(x, Arrays):
                return _apply_arrays(columns, row, operands, params)
            slots.append(columns.slot_of(x))
            primals.append(x._data)
        elif isinstance(x, bool | np.bool_) and takes_bool(row, len(slots)):
            slots.append(columns.constant(bool(x)))
            primals.append(bool(x))
        elif isinstance(x, np.ndarray) and x.ndim:
            return _apply_arrays(columns, row, operands, params)
        elif listed(x) is not x:
            return apply(row, *map(listed, operands), **params)
        else:
            number = as_number(x)
            slots.append(columns.constant(number))
            primals.append(number)
    y = SCALAR.apply(row, *primals, **params)
    return make(columns, columns.push(row, slots, params, y), y)


def _two(columns: Any, row: Primitive, a: Value, b: Value) -> Value:
    """The usual step: of two numbers, one of which stands on older columns."""
    i, j = columns.slot_of(a), columns.slot_of(b)
    made = new(Value)
    made._data = y = SCALAR.evaluator_of(row)(a._data, b._data)
    made._rec, made._i = columns, columns.put(TABLE.opcode(row), i, j, y)
    return made


def _silent(row: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    """The result as a Value without history."""
    for x in operands:
        if isinstance(x, Handle):
            raise x.frozen("no_record()")
    primals, _ = one_dtype(
        row, [Operand(x, None, row, i) for i, x in enumerate(operands)]
    )
    found = _computed(row, primals, params)
    return tuple(map(leaf, found)) if isinstance(found, tuple) else leaf(found)


def make(columns: Any, slot: int, primal: Any) -> Any:
    """The Value that stands for a slot."""
    if isinstance(primal, ARRAYS):
        made = new(Array if columns.eager else ArrayHandle)
    else:
        made = new(Value if columns.eager else Handle)
    made._data, made._rec, made._i = primal, columns, slot
    return made


# -- comparisons -----------------------------------------------------------------


def compare(name: str, *operands: Any) -> Any:
    """A comparison: steps where an operand belongs to a recording, else plain bools."""
    if name.startswith("logical_"):
        operands = tuple(map(_truth, operands))
    recorded = False
    for x in map(_unwrapped, operands):
        if isinstance(x, Value):
            recorded = recorded or isinstance(x, Handle)
        elif not isinstance(x, numbers.Real | np.bool_) and not (
            isinstance(x, np.ndarray) and x.dtype.kind in "fiub"
        ):
            if any(isinstance(y, Arrays) for y in operands) and listed(x) is not x:
                return compare(name, *map(listed, operands))
            return NotImplemented  # Python decides: == is False, < a TypeError
    if recorded:
        return apply(TABLE[name], *operands)
    plain = [x._data if isinstance(x, Value) else x for x in map(_unwrapped, operands)]
    if any(isinstance(x, np.ndarray) for x in plain):
        try:
            return getattr(MIXED, name)(*plain)
        except ValueError as problem:
            raise misfit(TABLE[name], plain, problem) from None
    return bool(getattr(SCALAR, name)(*plain))


def _unwrapped(x: Any) -> Any:
    """A 0-d array as its number: NumPy's scalars arrive like this, too."""
    return x[()] if isinstance(x, np.ndarray) and not x.ndim else x


def _truth(x: Any) -> Any:
    """An operand of logic: a bool stays, a number is true where it is not 0."""
    data = x._data if isinstance(x, Value) else x
    if isinstance(data, np.ndarray):
        return x if data.dtype.kind == "b" else x != 0
    is_number = isinstance(data, numbers.Real) and not isinstance(data, bool)
    return x != 0 if is_number else x


# -- arrays ----------------------------------------------------------------------


def _apply_arrays(
    columns: Any, row: Primitive, operands: Sequence[Any], params: dict[str, Any]
) -> Any:
    if columns.stale:
        check_fresh(columns, operands)
    usual = _all_double(operands) and not takes_bool(row, 0)
    if usual:
        primals = [x._data if isinstance(x, Value) else float(x) for x in operands]
    else:
        given = [Operand(x, columns, row, place) for place, x in enumerate(operands)]
        if row.name in _OF_TRUTH and all(x.dtype == np.bool_ for x in given):
            return _of_truth(row, operands)
        with np.errstate(all="ignore"):  # 1e300 becomes an infinite float32
            primals, wanted = one_dtype(row, given)
    found = _computed(row, primals, params, columns.derives)
    if (
        columns.eager
        and row.kind in {"predicate", "discrete"}
        and aval_of(found)[1] not in FLOATING  # plain, it would lose what is written in
    ):
        return found
    if usual:
        slots = [
            columns.slot_of(x) if isinstance(x, Value) else columns.constant(primal)
            for x, primal in zip(operands, primals, strict=True)
        ]
    else:
        slots = [
            _slot(columns, operand, primal, dtype)
            for operand, primal, dtype in zip(given, primals, wanted, strict=True)
        ]
    results = found if row.slots > 1 else (found,)
    avals = [aval_of(y) for y in results]
    made = columns.push_arrays(row, slots, params, results, avals)
    values = [make(columns, slot, y) for slot, y in zip(made, results, strict=True)]
    return tuple(values) if row.slots > 1 else values[0]


def _of_truth(row: Primitive, operands: Sequence[Any]) -> Any:
    """NumPy's sum of truth values is their `or`, and the product their `and`."""
    word = _OF_TRUTH[row.name]
    if word.startswith("logical_"):
        return compare(word, *operands)
    file, line = user_line()
    msg = (
        f"{row.name} of truth values, of shape {np.shape(operands[0])} "
        f"({file}:{line}): NumPy has none; use {word}, or convert them with "
        ".astype(float)"
    )
    raise RecordError(msg)


def _all_double(operands: Sequence[Any]) -> bool:
    """Whether all operands are float64 Values or Python's numbers."""
    for x in operands:
        if isinstance(x, Value):
            data = x._data
            if type(data) is float:
                continue
            if not isinstance(data, np.ndarray) or data.dtype is not DOUBLE:
                return False
        elif type(x) is not float and type(x) is not int:
            return False
    return True


def _slot(columns: Any, operand: Operand, primal: Any, dtype: str | None) -> int:
    """The slot of an operand; a number or array of the code becomes a constant."""
    value = operand.value
    if value is None or (operand.weak and aval_of(primal)[1] != "float64"):
        return columns.constant(primal)  # type: ignore[no-any-return]
    slot = columns.slot_of(value)
    if dtype is None or aval_of(operand.data)[1] == dtype:
        return slot  # type: ignore[no-any-return]
    return columns.push_arrays(  # type: ignore[no-any-return]
        ASTYPE, [slot], {"dtype": dtype}, [primal], [aval_of(primal)]
    )[0]


def _computed(
    row: Primitive,
    primals: Sequence[Any],
    params: dict[str, Any],
    derives: bool = False,
) -> Any:
    """The result of a row at primals."""
    try:
        with np.errstate(all="ignore"):
            return getattr(MIXED, row.name)(*primals, **params)
    except np.linalg.LinAlgError as problem:
        if derives:
            return _unknown(row, primals, params)
        file, line = user_line()
        raise no_answer(row, primals, problem, f"{file}:{line}: ") from None
    except (ValueError, IndexError) as problem:
        if derives and row.indices and isinstance(problem, IndexError):
            return _unknown(row, primals, params)
        raise misfit(row, primals, problem) from None


def _unknown(row: Primitive, primals: Sequence[Any], params: dict[str, Any]) -> Any:
    """NaN in the shape of a result that there is none of."""
    found: Any = row.shape(*map(aval_of, primals), **params)  # type: ignore[misc]
    if row.slots == 1:
        return plain(np.full(found[0], np.nan, found[1]))
    return tuple(plain(np.full(shape, np.nan, dtype)) for shape, dtype in found)


def misfit(row: Primitive, primals: Sequence[Any], problem: Exception) -> ShapeError:
    """The error of shapes that do not fit."""
    shapes = " and ".join(str(np.shape(x)) for x in primals)
    file, line = user_line()
    return ShapeError(
        f"{row.name}: operands of shape {shapes} do not fit together "
        f"({file}:{line}): {problem}; reshape them, or index with None to line up axes"
    )


def check_fresh(columns: Any, operands: Sequence[Any]) -> None:
    """Refuse a view whose array was written since it was taken, and the reverse."""
    for value in operands:
        if not isinstance(value, Value) or value._rec is not columns:
            continue
        if value._i not in columns.stale:
            continue
        file, line = columns.stale[value._i]
        msg = (
            "of an array and a view of it, one is used after the other was written "
            f"({file}:{line}). In NumPy it would show the new entries; a Value keeps "
            "the old ones. Take the view again after the write, or .copy() it before; "
            "write to the array, x[key] += v, and not to a view"
        )
        raise RecordError(msg)
