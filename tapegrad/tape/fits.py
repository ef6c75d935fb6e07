"""Whether each step fits its row: parameters, shapes, dtypes. Floor 2.

Slots that hold one float or one truth value are nearly all of a long scalar tape; their
steps are compared in bulk. Only steps that touch another slot are looked at one by one,
by the shape that their row states.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from tapegrad.errors import ShapeError, TapeFormatError
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING, broadcast
from tapegrad.tape.parameters import DTYPES, MOST, VALID

if TYPE_CHECKING:
    from tapegrad.tape.tape import Aval, Tape

SCALAR: Aval = ((), "float64")
BOOLEAN: Aval = ((), "bool")
# Linear rows that add entries; the other linear ones only move them.
ADDING = {"sum", "mean", "cumsum", "scatter_add"}


def steps_fit(tape: Tape) -> None:
    """Raise `TapeFormatError` unless each step has what its primitive takes and gives.

    The columns themselves have been checked.
    """
    known = _avals(tape)
    alone = np.array([aval == SCALAR for aval in tape.avals], bool)
    truth = np.array([aval == BOOLEAN for aval in tape.avals], bool)
    odd = ~(alone | truth)[tape.aval]
    one_by_one = np.zeros(len(tape), bool)
    if odd.any():
        owners = np.repeat(np.arange(len(tape)), np.diff(tape.first))
        one_by_one[owners[odd]] = True
        readers = np.repeat(np.arange(len(tape)), np.diff(tape.offsets))
        one_by_one[readers[odd[tape.operands]]] = True
    for code, name in enumerate(tape.operations):
        mine = tape.opcode == code
        row = TABLE[name]
        _parameters(tape, row, mine)
        if row.name == "const":
            _constants(tape, mine)
        elif row.name == "input":
            continue
        elif row.kind == "structure" or row.whole:
            one_by_one |= mine
        else:
            in_bulk = np.flatnonzero(mine & ~one_by_one)
            given = truth[tape.aval[tape.first[in_bulk]]]
            if row.kind == "cut":
                wanted = truth[tape.aval[tape.operands[tape.offsets[in_bulk]]]]
            else:
                wanted = np.full(len(in_bulk), row.kind == "predicate")
            for place in range(_conditions(row) if len(in_bulk) else 0):
                reads = truth[tape.aval[tape.operands[tape.offsets[in_bulk] + place]]]
                if not reads.all():
                    step = int(in_bulk[np.argmin(reads)])
                    _fail(step, name, "must read truth values; compare with 0 first")
            if (bad := np.flatnonzero(given != wanted)).size:
                right = "a truth value" if wanted[bad[0]] else "a float"
                _fail(int(in_bulk[bad[0]]), name, f"must be of {right}")
    _one_by_one(tape, np.flatnonzero(one_by_one), known)


def _fail(step: int, name: str, what: str) -> NoReturn:
    msg = (
        f"step {step} ({name}) {what}; the tape is damaged or was put together wrongly"
    )
    raise TapeFormatError(msg, step=step)


def _avals(tape: Tape) -> list[Aval]:
    """All avals, found to be shapes and dtypes."""
    for aval in tape.avals:
        shape, dtype = aval
        whole = all(type(size) is int and size >= 0 for size in shape)
        size = 8
        for extent in shape if whole else ():
            size *= max(extent, 1)
        if not whole or size > MOST or dtype not in DTYPES or len(shape) > 32:
            msg = f"avals has {aval!r:.80}, which is no shape and dtype of a slot"
            raise TapeFormatError(msg)
    return list(tape.avals)


# -- static parameters -------------------------------------------------------------


def _parameters(tape: Tape, row: Primitive, mine: npt.NDArray[np.bool_]) -> None:
    """The parameters of a row's steps, each distinct set once."""
    for index in np.unique(tape.static[mine]).tolist():
        static = tape.statics[index]
        if row.name == "const" and len(static) == 1 and static[0][0] == "value":
            continue  # there may be millions; their values are looked at below
        params = dict(static)
        wrong = _names(row, set(params))
        if wrong is None:
            wrong = next((name for name in params if not _valid(name, params)), None)
        if wrong is not None:
            step = int(np.flatnonzero(mine & (tape.static == index))[0])
            if wrong not in params:
                _fail(step, row.name, f"lacks its parameter {wrong!r}")
            found = repr(params[wrong])
            _fail(step, row.name, f"cannot have the parameter {wrong!r}: {found:.80}")


def _names(row: Primitive, given: set[str]) -> str | None:
    """The name of a parameter that is missing or too many, if there is one."""
    needed = {"const": "value", "guard": "guard", "call": "tape"}.get(row.name)
    if needed is not None:
        choices = [{needed}]
    elif row.whole:
        choices = [set(sample.params) for sample in row.samples]
    else:
        choices = [set(params) for params in row.params]
    if not choices or given in choices:
        return None
    return min(given ^ choices[0])


def _valid(name: str, params: Mapping[str, Any]) -> bool:
    return name not in VALID or VALID[name](params[name])


def _constants(tape: Tape, mine: npt.NDArray[np.bool_]) -> None:
    """A constant's slot has the shape and dtype of its value."""
    numbers = np.flatnonzero(mine)
    used, which = np.unique(tape.static[numbers], return_inverse=True)
    places = {aval: place for place, aval in enumerate(tape.avals)}
    wanted = np.array(
        [
            places.get(_aval_of(tape.statics[index][0][1]), -1)
            for index in used.tolist()
        ],
        np.int64,
    )[which]
    # two entries of avals may be equal: compare by the first of them
    first = np.array([places[aval] for aval in tape.avals], np.int64)
    given = first[tape.aval[tape.first[numbers]]]
    if (bad := np.flatnonzero(given != wanted)).size:
        step = int(numbers[bad[0]])
        aval = tape.aval_of(int(tape.first[step]))
        _fail(step, "const", f"has a value that is not of shape and dtype {aval}")


def _aval_of(value: Any) -> Any:
    if isinstance(value, float):
        return SCALAR
    if type(value) is bool:
        return BOOLEAN
    if isinstance(value, np.ndarray | np.generic):
        return tuple(value.shape), value.dtype.name
    return None


# -- shapes and dtypes -------------------------------------------------------------


def _one_by_one(tape: Tape, steps: npt.NDArray[Any], known: list[Aval]) -> None:
    """Steps whose result the row itself must tell."""
    if not len(steps):
        return
    aval, operands = tape.aval, tape.operands
    told: set[Any] = set()  # many steps are alike
    for step in steps.tolist():
        reads = operands[tape.offsets[step] : tape.offsets[step + 1]]
        owns = aval[tape.first[step] : tape.first[step + 1]].tolist()
        code, static = int(tape.opcode[step]), int(tape.static[step])
        given = aval[reads].tolist()
        if (key := (code, static, *given, None, *owns)) in told:
            continue
        told.add(key)
        row = TABLE[tape.operations[code]]
        if row.name in {"input", "const"}:
            continue
        params = dict(tape.statics[static])
        try:
            wanted = _result(row, [known[index] for index in given], params)
        except ShapeError as problem:
            _fail(step, row.name, f"reads what does not fit: {problem}")
        except (TypeError, ValueError, IndexError, KeyError) as problem:
            _fail(step, row.name, f"reads what it cannot take: {problem}")
        found = [known[index] for index in owns]
        if wanted != found:
            _fail(step, row.name, f"gives {wanted}, but its slots are {found}")


def _result(row: Primitive, given: list[Aval], params: Mapping[str, Any]) -> list[Aval]:
    """Shapes and dtypes of a step's slots.

    Raises:
        ShapeError: the operands do not fit together.
    """
    if row.name == "guard":
        if np.prod(given[0][0], dtype=object) != 1:
            msg = f"a guard is on one number, not on shape {given[0][0]}"
            raise ShapeError(msg)
        return []
    if row.name == "call":
        return _called(params["tape"], given)
    if row.nested:
        shape: Any = row.shape
        return list(shape(given, params))
    if row.whole:
        _axes(given, params)
        _dtypes(row, given)
        found = row.shape(*given, **params)  # type: ignore[misc]
        return list(found) if row.slots > 1 else [found]
    return [_elementwise(row, given)]


def _elementwise(row: Primitive, given: list[Aval]) -> Aval:
    """Operands broadcast; floats are of one kind, and so is the result, or ints."""
    shape = broadcast(*(shape for shape, _ in given))
    if row.kind == "cut":
        return given[0]
    if any(dtype != "bool" for _, dtype in given[: _conditions(row)]):
        msg = "it must read truth values; compare with 0 first"
        raise ShapeError(msg)
    moving = given[1:] if row.kind == "select" else given
    floats = {dtype for _, dtype in moving if dtype in FLOATING}
    if len(floats) > 1:
        msg = "float32 and float64 stand side by side; convert one of them"
        raise ShapeError(msg)
    if row.kind == "predicate":
        return shape, "bool"
    if row.integers and all(dtype == "int64" for _, dtype in moving):
        return shape, "int64"
    return shape, min(floats, default="float64")


def _conditions(row: Primitive) -> int:
    """How many operands, from the first on, are truth values."""
    if row.kind == "select":
        return 1
    return row.arity if row.name.startswith("logical_") else 0


def _called(inner: Any, given: list[Aval]) -> list[Aval]:
    wanted = [inner.aval_of(slot) for slot in inner.inputs]
    if given != wanted:
        msg = f"the sub-tape takes {wanted}, and gets {given}"
        raise ShapeError(msg)
    return [inner.aval_of(slot) for slot in inner.outputs]


def _axes(given: list[Aval], params: Mapping[str, Any]) -> None:
    """Axes are places of the first operand's shape, each named once."""
    if not given:
        msg = "it reads nothing"
        raise ShapeError(msg)
    axes = params.get("axes", (params["axis"],) if "axis" in params else ())
    if isinstance(axes, int):
        return  # how many axes: the row looks at that itself
    ndim = len(given[0][0])
    if len(set(axes)) != len(axes) or not all(0 <= axis < ndim for axis in axes):
        msg = f"axes {axes} are not of shape {given[0][0]}"
        raise ShapeError(msg)


def _dtypes(row: Primitive, given: list[Aval]) -> None:
    """Operands are of one dtype, floats where they are added; places are integers."""
    indices = given[row.indices :] if row.indices else []
    if any(dtype != "int64" for _, dtype in indices):
        msg = "an index is no array of integers"
        raise ShapeError(msg)
    dtypes = {dtype for _, dtype in given[: row.indices or None]}
    adds = row.kind in {"reduction", "matrix", "multilinear"} or row.name in ADDING
    if len(dtypes) != 1 or (adds and not dtypes <= set(FLOATING)):
        msg = f"operands are of {' and '.join(sorted(dtypes))}; convert them"
        raise ShapeError(msg)
