"""What a recording depends on besides its inputs, as keys of a dictionary. Floor 10.

A tape holds for one choice of static arguments, shapes and dtypes, and for one state of
what the function reads around itself. Both become *keys* here: plain values by value,
containers and small arrays by content, objects by identity and by the plain values
among their attributes.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.recording import is_dynamic
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.structure import flatten
from tapegrad.value import Value

# A captured array of more bytes is known by identity alone: comparing it at each call
# would cost more than most functions do.
LARGEST = 1 << 20
# So many entries of a container, and levels of nesting, are looked at.
ENTRIES, LEVELS = 1000, 4

_BY_VALUE = frozenset({int, bool, str, bytes, type(None), type(...)})
# Objects whose attributes are no state of the user's.
_WHOLE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType)


class Same:
    """A key that is equal to itself alone, and keeps its object alive."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    def __repr__(self) -> str:
        return f"<the {type(self.value).__name__} at {id(self.value):#x}>"


def token(value: Any, levels: int = LEVELS) -> Hashable:
    """A key that differs where a recording that read the value could differ.

    Args:
        value: anything.
        levels: how deep containers and objects are looked into.
    """
    kind = type(value)
    if kind in _BY_VALUE:
        return kind, value
    if kind is float:
        return float.hex(value)  # unlike ==, tells -0.0 from 0.0 and knows NaN
    if kind is complex:
        return kind, repr(value)
    if isinstance(value, np.generic):
        return str(value.dtype), bytes(value.tobytes())
    if isinstance(value, np.ndarray):
        return _array(value)
    if levels and kind in {list, tuple, dict, set, frozenset}:
        return _container(value, levels - 1)
    if isinstance(value, Value):
        return Same(value), token(data_of(value))
    if not levels or isinstance(value, _WHOLE):
        return Same(value)
    return _object(value, levels - 1)


def data_of(value: Value) -> Any:
    """The number or array of a Value, without a copy."""
    return value._data  # noqa: SLF001 - .data would make a leaf's array anew


def _array(value: npt.NDArray[Any]) -> Hashable:
    if value.nbytes > LARGEST or value.dtype.hasobject:
        return Same(value)
    return value.dtype.str, value.shape, value.tobytes()


def _container(value: Any, levels: int) -> Hashable:
    if len(value) > ENTRIES:
        return Same(value)
    if isinstance(value, dict):
        items = [(token(k, levels), token(v, levels)) for k, v in value.items()]
        return dict, tuple(items)
    found = [token(entry, levels) for entry in value]
    if isinstance(value, set | frozenset):
        return type(value), frozenset(found)
    return type(value), tuple(found)


def _object(value: Any, levels: int) -> Hashable:
    """An object is itself, and the plain values among its attributes."""
    state = getattr(value, "__dict__", None)
    if not isinstance(state, dict):
        return Same(value)
    if len(state) > ENTRIES:
        return Same(value)
    held = tuple((name, token(held, levels)) for name, held in state.items())
    return Same(value), held


@dataclasses.dataclass(slots=True)
class Taken:
    """The arguments of a call, taken apart.

    Args:
        leaves: the dynamic ones, in the order of a tape's inputs.
        key: how they nest, their shapes and dtypes, and the static ones.
        values: whether a Value is among them.
    """

    leaves: list[Any]
    key: Hashable
    values: bool


def taken(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Taken:
    """Take the arguments of a call apart."""
    leaves: list[Any] = []
    parts: list[Hashable] = []
    values = False
    for argument in (*args, *kwargs.values()):
        if type(argument) is float:
            leaves.append(argument)
            parts.append(float)
            continue
        if type(argument) is np.ndarray and argument.dtype.char != "O":
            leaves.append(argument)
            parts.append((argument.shape, argument.dtype.char))
            continue
        mine, tree = flatten(argument, is_dynamic)
        kinds = []
        for leaf in mine:
            kind, is_value = _kind(leaf)
            kinds.append(kind)
            values = values or is_value
        leaves += mine
        statics = tuple((place, token(static)) for place, static in tree.statics)
        bare = tree.bare and not statics
        parts.append(kinds[0] if bare else (tree.spec, tuple(kinds), statics))
    if not kwargs and all(part is float for part in parts):
        return Taken(leaves, len(parts), values)  # the key that is quickest to make
    return Taken(leaves, (tuple(parts), tuple(kwargs)), values)


def _kind(leaf: Any) -> tuple[Hashable, bool]:
    """What a leaf is recorded as, and whether it is a Value."""
    if isinstance(leaf, np.ndarray):
        return (leaf.shape, leaf.dtype.char), leaf.dtype.char == "O"
    if isinstance(leaf, Value):
        data = data_of(leaf)
        return (float if type(data) is float else aval_of(data)), True
    return float, False
