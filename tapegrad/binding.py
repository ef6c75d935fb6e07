"""Binding arguments: from what a call passes to numbers and arrays. Floor 7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import RecordError, ShapeError
from tapegrad.pages import reuse_pages
from tapegrad.readings import reading
from tapegrad.readings.mixed import MIXED
from tapegrad.readings.numeric import ArrayWords
from tapegrad.real import as_data, as_number, check_array, check_range
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import match
from tapegrad.tape.tape import Tape
from tapegrad.value import Value


def bind(tape: Tape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The leaves of a call's arguments, in the order of the tape's inputs.

    Raises:
        ShapeError: wrong number of arguments, another nesting or static value.
    """
    structure = tape.structure
    names = argument_names(tape)
    if len(args) > structure.positional or set(kwargs) - set(names):
        unknown = sorted(set(kwargs) - set(names))
        got = f"{len(args)} positional" + (f" and {unknown}" if unknown else "")
        raise _wrong_call(tape, got)
    given = dict(zip(names, args, strict=False))
    if doubled := sorted(set(given) & set(kwargs)):
        msg = f"argument {doubled[0]} is given twice"
        raise ShapeError(msg)
    given.update(kwargs)
    if len(given) != len(names):
        missing = ", ".join(name for name in names if name not in given)
        raise _wrong_call(tape, f"{len(given)}, {missing} missing")
    leaves: list[Any] = []
    for name, tree in zip(names, structure.arguments, strict=True):
        leaves += match(tree, given[name], name)
    return leaves


def _wrong_call(tape: Tape, got: str) -> ShapeError:
    names = argument_names(tape)
    return ShapeError(
        f"the tape takes {len(names)} arguments ({', '.join(names)}), got {got}"
    )


def argument_names(tape: Tape) -> list[str]:
    """Names of the arguments, positional ones first."""
    structure = tape.structure
    if len(structure.names) == len(structure.arguments):
        return list(structure.names)
    labels = iter(tape.input_labels())
    names = []
    for place, tree in enumerate(structure.arguments):
        mine = [next(labels) for _ in tree.dynamic]
        if place >= structure.positional:
            names.append(structure.keywords[place - structure.positional])
        elif mine:
            names.append(mine[0].split("[")[0].split(".")[0])
        else:
            names.append(f"x{place}")
    return (
        names if len(set(names)) == len(names) else [f"x{i}" for i in range(len(names))]
    )


def arithmetic_of(tape: Tape, name: str) -> Any:
    """The reading of an ``arithmetic=`` name for a tape, with arrays or without."""
    if name == "float64" and tape.arrays:
        return MIXED
    return reading(name)


def numbers(
    tape: Tape, m: Any, leaves: Sequence[Any], slots: Sequence[int] | None = None
) -> list[Any]:
    """Argument leaves as numbers and arrays of a reading; bad ones are named.

    Args:
        tape: the tape that is called.
        m: the reading.
        leaves: what was passed.
        slots: what they stand for, the inputs by default.

    Raises:
        ShapeError: another shape than recorded.
        RecordError: what is no real number.
    """
    found = []
    for slot, leaf in zip(tape.inputs if slots is None else slots, leaves, strict=True):
        shape, dtype = tape.aval_of(slot)
        if _belongs(m, leaf):
            found.append(m.number(leaf))
            continue
        try:
            if not shape and dtype == "float64":
                found.append(m.number(as_number(leaf)))
            else:
                found.append(m.number(as_array(m, leaf, shape, dtype)))
        except (RecordError, ShapeError) as problem:
            msg = f"argument {tape.label_of(slot)}: {problem}"
            raise type(problem)(msg) from None
    return found


def as_array(m: Any, leaf: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A leaf as an array of a slot's shape and dtype, which nobody will write to.

    Raises:
        ShapeError: another shape.
        RecordError: no real numbers, or floats where a slot holds ints.
    """
    objects = isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O"
    own = objects and not isinstance(m, ArrayWords)
    plain = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fiub"
    plain = plain or isinstance(leaf, bool | np.bool_ | np.integer | np.floating)
    data = leaf if own or plain else as_data(leaf, integers=True)
    check_array(data)
    reuse_pages(data)
    if np.shape(data) != shape:
        msg = (
            f"got shape {np.shape(data)}, and the tape was recorded with shape "
            f"{shape}; pass that shape, or record again"
        )
        raise ShapeError(msg)
    if own:
        return data
    data = np.asarray(data)
    if dtype not in FLOATING and data.dtype.kind == "f":
        msg = (
            f"got floats, and the tape was recorded with {dtype}, which has no "
            "derivative; convert them, or record again with floats"
        )
        raise RecordError(msg)
    if dtype == "int64":
        check_range(data)
    data = data.astype(dtype, order="C", copy=False).view()
    data.flags.writeable = False
    return data if shape else data.item() if dtype in {"float64", "bool"} else data[()]


def _belongs(m: Any, leaf: Any) -> bool:
    """Whether a leaf is a number (or symbol) of the reading's own library."""
    if m.name == "sympy":
        import sympy

        return isinstance(leaf, sympy.Expr)
    return m.name.startswith("mpmath") and hasattr(leaf, "_mpf_")


def bind_for(tape: Tape, args: Any, kwargs: Any, arithmetic: str) -> list[Any]:
    """Bind; other arithmetics take their own numbers where all arguments are bare."""
    if arithmetic in {"float64", "float32"} or kwargs:
        return bind(tape, args, kwargs)
    if all(tree.bare for tree in tape.structure.arguments):
        if len(args) != len(tape.inputs):
            raise _wrong_call(tape, f"{len(args)}")
        return list(args)
    return bind(tape, args, kwargs)


def plain(tape: Tape, leaves: Sequence[Any]) -> list[Any]:
    """Leaves with the numbers of eager leaves, such as a model's parameters.

    Raises:
        RecordError: a Value that was computed, whose history would be lost.
    """
    found = []
    for label, leaf in zip(tape.input_labels(), leaves, strict=True):
        if isinstance(leaf, Value) and not leaf._is_leaf:
            msg = (
                f"argument {label} is a Value with a history, and this is computed at "
                "numbers; pass value.data, or call tape(...) or "
                "tape.adjoint_tape()(...) on Values"
            )
            raise RecordError(msg)
        found.append(leaf._data if isinstance(leaf, Value) else leaf)
    return found


def replace_slots(tape: Tape, replace: Mapping[str, Any] | None, m: Any) -> Any:
    """Labels of intermediates as slots.

    Raises:
        RecordError: no slot has that label; lists those that have one.
    """
    if not replace:
        return None
    found = {}
    for label, value in replace.items():
        if label not in tape.labels.values():
            known = ", ".join(sorted(set(tape.labels.values()))) or "none"
            msg = f"no slot is labelled {label!r}; labels on this tape: {known}"
            raise RecordError(msg)
        slots = [slot for slot, name in tape.labels.items() if name == label]
        if len(slots) > 1:
            msg = f"slots {slots} are all labelled {label!r}; give them labels apart"
            raise RecordError(msg)
        found[slots[0]] = numbers(tape, m, [value], [slots[0]])[0]
    return found


def result(m: Any, value: Any) -> Any:
    """A result as the user sees it: floats as floats, mpf as mpf, arrays of its own."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O" and m.name.startswith("mpmath"):
            return np.frompyfunc(lambda x: getattr(x, "value", x), 1, 1)(value)
        return np.array(value)
    return getattr(value, "value", value) if m.name.startswith("mpmath") else value
