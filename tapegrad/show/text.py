"""Numbers, arrays, indices and parameters as text for people. Floor 9.

[0.0, 0.25 ... 1.75]        an array, short
[1:-1, ::-1]                a key of the table, as NumPy writes it
axis=0                      a static parameter, as NumPy names it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.rules import Primitive
from tapegrad.rules.shapes import Key, Shape
from tapegrad.rules.stacks import flat_key, row_key
from tapegrad.tape.tape import Aval

# Entries of an array that are written out; of a larger one the first two and the last.
ENTRIES = 4

# Rows whose parameter is a key; the index is their sign.
KEYED = frozenset({"index", "index_set", "gather", "gather_set"})
# Rows that read what a key says, too; their parameters are numbers.
PLACED = frozenset({"window", "entry"})
# Rows into zeros, whose key follows their operands.
SCATTERED = frozenset({"scatter", "scatter_add"})


def number_text(value: Any) -> str:
    """A number or an array, short.

    Ten digits tell two steps apart, seventeen hide the list; an entry gets four.
    """
    if isinstance(value, np.ndarray):
        return array_text(value)
    if not isinstance(value, float):
        return str(value)
    return _with_point(f"{value:.10g}")


def _with_point(text: str) -> str:
    return f"{text}.0" if text.lstrip("-").isdecimal() else text


def array_text(array: Any) -> str:
    """An array as a list: all of a small one, both ends of a large one."""
    if array.size <= ENTRIES:
        return _nested(array.tolist())
    flat = array.reshape(-1)
    first, second, last = (_entry(flat[place].item()) for place in (0, 1, -1))
    open_, close = "[" * array.ndim, "]" * array.ndim
    return f"{open_}{first}, {second} ... {last}{close}"


def _nested(part: Any) -> str:
    if isinstance(part, list):
        return "[" + ", ".join(map(_nested, part)) + "]"
    return _entry(part)


def _entry(value: Any) -> str:
    return _with_point(f"{value:.4g}") if isinstance(value, float) else str(value)


def aval_text(aval: Aval) -> str:
    """``(2, 3)``, and the dtype where it is not float64: ``(2, 3) float32``."""
    shape, dtype = aval
    return str(shape) if dtype == "float64" else f"{shape} {dtype}"


def key_text(key: Key, shape: Shape, arrays: Sequence[str] = ()) -> str:
    """An index as NumPy writes it, with its brackets.

    Args:
        key: the written-out key.
        shape: of the array that is indexed.
        arrays: names of the integer arrays in it.
    """
    names = iter(arrays)
    axis = 0
    parts = []
    for entry in key:
        if entry is None:
            parts.append("None")
            continue
        if entry == "a":
            parts.append(next(names))
        elif isinstance(entry, tuple):
            start, count, step = entry
            parts.append(_slice(start, count, step, shape[axis]))
        else:
            parts.append(str(entry))
        axis += 1
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return f"[{', '.join(parts) or '()'}]"


def _slice(start: int, count: int, step: int, size: int) -> str:
    """A slice; its stop counts from the nearer end."""
    if not count:
        return ":" if not size else ":0"
    last = start + (count - 1) * step
    if step < 0:
        begin = "" if start == size - 1 else str(start)
        return f"{begin}:{'' if last + step < 0 else last - 1}:{step}"
    begin = "" if start == 0 else str(start)
    stop = last + 1
    if last + step >= size:
        end = ""
    else:
        end = str(stop - size if size - stop < stop else stop)
    return f"{begin}:{end}" if step == 1 else f"{begin}:{end}:{step}"


def sign_of(row: Primitive, params: Mapping[str, Any], shape: Shape) -> str:
    """How an operation is written in a column of its own: ``[1:]``, ``sum``.

    Args:
        row: the row of the table.
        params: static parameters of the step.
        shape: of its first operand.
    """
    if row.name in PLACED:
        return place_text(row, params, shape)
    if row.name not in KEYED:
        return row.sign(params)
    places = params["key"].count("a")
    text = key_text(params["key"], shape, ["[]"] * places)
    return text + "=" if row.name.endswith("_set") else text


def place_text(row: Primitive, params: Mapping[str, Any], shape: Shape) -> str:
    """What a window or an entry reads: ``[1:]``, ``.flat[::4]``, ``[2]``."""
    if row.name == "entry":
        return key_text(row_key(shape, params["place"]), shape)
    where = {name: value for name, value in params.items() if name != "slots"}
    made, key = flat_key(shape, **where)
    return ("" if made == shape else ".flat") + key_text(key, made)


def index_text(
    shape: Shape, number: str, axes: int, start: int, stride: int, length: int
) -> str:
    """The entry that an iteration reads: ``[i + 1]``, ``[2, i]``, ``.flat[7*i]``.

    Args:
        shape: of the array.
        number: the letter of the iteration's number.
        axes: how many of its axes are counted along.
        start: place of the first entry.
        stride: from one to the next.
        length: how many there are.
    """
    lead = shape[:axes]
    places = np.unravel_index(start + stride * np.arange(length), lead)
    parts = []
    for index in places:
        steps = np.diff(index)
        if steps.size and (steps != steps[0]).any():
            return f".flat[{_moving(number, start, stride)}]"
        parts.append(_moving(number, int(index[0]), int(steps[0]) if steps.size else 0))
    return f"[{', '.join(parts)}]"


def _moving(number: str, start: int, stride: int) -> str:
    """``i``, ``i + 1``, ``2*i``, ``9 - i``: a place by the iteration's number."""
    if not stride:
        return str(start)
    if stride < 0:
        return f"{start} - {number if stride == -1 else f'{-stride}*{number}'}"
    text = number if stride == 1 else f"{stride}*{number}"
    return f"{text} + {start}" if start else text


def keywords(row: Primitive, params: Mapping[str, Any], ndim: int) -> list[str]:
    """Static parameters as NumPy's arguments, those that say nothing left out.

    What stands in the sign of the step (an index, an exponent) is not repeated, and
    a shape or dtype is that of the result.
    """
    if row.kind == "structure" or row.name in KEYED | PLACED:
        return []
    found = []
    for name, value in params.items():
        if f"{{{name}}}" in row.symbol or name in {"shape", "dtype", "key"}:
            continue
        if name == "axes":
            found += _axes(row, value, ndim)
        elif name in {"ddof", "k"} and value == 0:
            continue
        elif value is not False:
            found.append(f"{name}={value}")
    return found


def _axes(row: Primitive, axes: Sequence[int], ndim: int) -> list[str]:
    if row.name == "transpose":
        plain = tuple(axes) == tuple(range(ndim))[::-1]
        return [] if plain else [f"axes={tuple(axes)}"]
    if tuple(axes) == tuple(range(ndim)):
        return []
    return [f"axis={axes[0] if len(axes) == 1 else tuple(axes)}"]
