"""What a recording depends on besides its inputs, as keys of a dictionary. Floor 10.

A tape holds for one choice of static arguments, shapes and dtypes, and for one state of
what the function reads around itself. Both become *keys* here: plain values by value,
containers and arrays by content, objects by identity and by what they and their classes
hold.
"""

from __future__ import annotations

import collections
import enum
import functools
import marshal
import sys
import sysconfig
import types
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.tape.guards import PACKAGE
from tapegrad.value import Value

# A captured array of more bytes is known by a sum and a sample of its content: a copy
# would cost more than most functions do.
LARGEST, SAMPLE = 1 << 20, 4096
# Entries of a container, levels of nesting, and objects in all that are looked at; and
# levels of what a library made.
ENTRIES, LEVELS, MOST = 20_000, 8, 20_000
LIBRARY_LEVELS = 4
# Longer lists of plain values become bytes at once.
LONG = 50

BY_VALUE = frozenset({int, bool, str, bytes, type(None), type(...)})
CONTAINERS = (list, tuple, dict, set, frozenset, collections.deque)
_PLAIN = frozenset(CONTAINERS)
# Objects whose attributes are no state of the user's.
_WHOLE = (types.ModuleType, types.BuiltinFunctionType, enum.Enum)
# Code of the standard library, of installed packages, and of this one.
FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")} | {PACKAGE}
)
# What in a class is code, and not data.
CODE = (
    *(types.FunctionType, staticmethod, classmethod, property),
    *(functools.cached_property, functools.partialmethod),
    *(types.MemberDescriptorType, types.GetSetDescriptorType),
)

_CODE = frozenset(CODE)

# Containers and objects that a key has named already, by id, with their numbers.
Known = dict[int, int]


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


def token(value: Any, levels: int = LEVELS, known: Known | None = None) -> Hashable:
    """A key that differs where a recording that read the value could differ.

    Args:
        value: anything.
        levels: how deep containers and objects are looked into.
        known: what the key has named already; a cycle ends there.
    """
    kind = type(value)
    if kind in BY_VALUE:
        return kind, value
    if kind is float:
        return float.hex(value)  # unlike ==, tells -0.0 from 0.0 and knows NaN
    if kind is complex:
        return kind, repr(value)
    if kind not in _PLAIN:
        if isinstance(value, np.generic):
            return str(value.dtype), bytes(value.tobytes())
        if isinstance(value, np.ndarray):
            return _array(value)
        if isinstance(value, Value):
            return Same(value), token(data_of(value))
        if isinstance(value, _WHOLE):
            return Same(value)
    known = {} if known is None else known
    if id(value) in known:
        return "again", known[id(value)]
    known[id(value)] = len(known)
    if not levels or len(known) > MOST:
        return Same(value)
    if isinstance(value, CONTAINERS):
        return _container(value, levels - 1, known)
    return _object(value, levels - 1, known)


def data_of(value: Value) -> Any:
    """The number or array of a Value, without a copy."""
    return value._data  # noqa: SLF001 - .data would make a leaf's array anew


def _array(value: npt.NDArray[Any]) -> Hashable:
    if value.dtype.hasobject:
        return Same(value)
    if value.nbytes <= LARGEST:
        return value.dtype.str, value.shape, value.tobytes()
    data = np.ascontiguousarray(value).reshape(-1)
    whole = data.nbytes // 8 * 8
    words = data.view(np.uint8)[:whole].view(np.uint64)
    sample = words[:: len(words) // SAMPLE].tobytes()
    rest = data.view(np.uint8)[whole:].tobytes()
    return Same(value), value.shape, int(words.sum()), sample, rest


def _container(value: Any, levels: int, known: Known) -> Hashable:
    kind = type(value)
    if len(value) > LONG and kind in {list, tuple, dict}:
        try:
            return kind, len(value), marshal.dumps(value, 2)
        except ValueError:  # something in it is no plain value
            pass
    if len(value) > ENTRIES:
        return Same(value)
    found: Any
    if isinstance(value, dict):
        items = value.items()
        found = tuple((token(k), token(v, levels, known)) for k, v in items)
    elif isinstance(value, set | frozenset):
        found = frozenset(token(entry) for entry in value)
    else:
        found = tuple(token(entry, levels, known) for entry in value)
    if kind in _PLAIN:
        return kind, found
    return kind, found, tuple(_attributes(value, levels, known))


def _object(value: Any, levels: int, known: Known) -> Hashable:
    """An object is itself, and the plain values among its attributes."""
    kind = value if isinstance(value, type) else type(value)
    if kind.__module__.startswith(__package__):  # a function with paths
        return Same(value)
    if not own_class(kind):
        levels = min(levels, LIBRARY_LEVELS)
    held: list[Hashable] = []
    if not isinstance(value, type):
        held += _attributes(value, levels, known)
    for owner in kind.__mro__:
        if own_class(owner):
            held += [
                (name, token(entry, levels, known))
                for name, entry in vars(owner).items()
                if type(entry) not in _CODE and name[:2] != "__"
            ]
    return (Same(value), tuple(held)) if held else Same(value)


def _attributes(value: Any, levels: int, known: Known) -> Iterator[Hashable]:
    for name, held in attributes(value):
        yield name, token(held, levels, known)


def attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, in its dictionary and in its slots."""
    state = getattr(value, "__dict__", None)
    if isinstance(state, dict) and len(state) <= ENTRIES:
        yield from list(state.items())
    kind: Any = type(value)
    for name, slot in _slots(kind):
        try:
            yield name, slot.__get__(value)
        except AttributeError:
            yield name, None


@functools.lru_cache(1000)
def _slots(kind: Any) -> list[tuple[str, Any]]:
    """The slots of a class, which is made with them."""
    return [
        found
        for owner in kind.__mro__
        if "__slots__" in vars(owner)
        for found in vars(owner).items()
        if isinstance(found[1], types.MemberDescriptorType)
    ]


def own_class(kind: type) -> bool:
    """Whether a class is the user's own, and no library's."""
    return _own_module(kind.__module__)


@functools.cache
def _own_module(name: Any) -> bool:
    if str(name).partition(".")[0] in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(str(name)), "__file__", None) or ""
    return not file.startswith(FOREIGN)
