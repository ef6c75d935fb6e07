"""What a function reads besides its arguments. Floor 10.

A recording freezes the numbers that the function finds in its globals and closure. Here
they are looked at before each call, so that a changed learning rate is another
recording and never a stale number. Seen are the names that the function's code reads,
and that of the user's own code it may come to: functions it calls, methods and
properties of the objects it holds, functions in containers; attributes of modules and
classes among them; and, of objects, their attributes (`keys.token`). What is reached in
other ways (the contents of a file, a global of a library) cannot be seen, and names
that the code itself writes, a counter of its calls, are not looked at.
"""

from __future__ import annotations

import builtins
import dis
import functools
import operator
import re
import sys
import types
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from tapegrad.paths.keys import CODE, CONTAINERS, FOREIGN, attributes, own_class, token

# So many functions are looked into.
MOST = 500
_MISSING = object()
# What cannot change while it stays the same object, as far as is looked.
_FIXED = (
    *(int, float, bool, str, bytes, complex, type(None)),
    *(types.ModuleType, types.BuiltinFunctionType),
)

# Where methods of classes and properties keep the function.
_INNER = ("__func__", "fget", "func")
# Names in a class that are nobody's data, and no code.
_UNREAD = frozenset({"__dict__", "__weakref__", "__annotations__", "__module__"})

_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_CELLS = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_STORES = frozenset({"STORE_GLOBAL", "STORE_DEREF", "DELETE_GLOBAL"})

# What code reads, with the name that it goes by.
Read = tuple[str, Any]
# Static arguments with code, by id, the latest last.
_WATCHES: dict[int, Watch] = {}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a function read at one time.

    Args:
        names: namespace, name, and what was found there.
        cells: cells of closures, and their contents.
        mutable: objects that can change while they stay the same.
        contents: keys of those.
        labels: the name of each entry of the key.
        fixed: keys of everything else.
    """

    names: list[tuple[Any, str, Any]]
    cells: list[tuple[Any, Any]]
    mutable: list[Any]
    contents: list[Hashable]
    labels: list[str]
    fixed: list[Hashable]

    @property
    def watched(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.names or self.cells or self.mutable)

    @property
    def key(self) -> tuple[tuple[Hashable, ...], tuple[Hashable, ...]]:
        """The key of the whole state."""
        return tuple(self.fixed), tuple(self.contents)

    def stands(self) -> bool:
        """Whether everything is as it was."""
        for space, name, before in self.names:
            if space.get(name, _MISSING) is not before:
                return False
        for cell, before in self.cells:
            if _content(cell) is not before:
                return False
        return not self.mutable or list(map(token, self.mutable)) == self.contents


class Watch:
    """What a function reads around itself.

    Args:
        f: the function.
        own: the object that stands for f in its globals; it is not looked into.
    """

    def __init__(self, f: Callable[..., Any], own: object) -> None:
        self.f = f
        self.own = own
        self._last: Seen | None = None

    def look(self) -> Seen:
        """The present state: the very object of the last look where nothing changed."""
        last = self._last
        if last is not None and last.stands():
            return last
        scan = _Scan(self.own)
        scan.function(self.f)
        self._last = found = scan.seen()
        return found


def changed(before: Seen, after: Seen) -> str:
    """The name of something that differs between two states, "" if there is none."""
    old = [*before.fixed, *before.contents]
    new = [*after.fixed, *after.contents]
    if before.labels == after.labels:
        for label, one, two in zip(after.labels, old, new, strict=True):
            if one != two:
                return label
    return ""


class _Scan:
    """One look at everything that a function reads."""

    def __init__(self, own: object) -> None:
        self.own = own
        self.names: list[tuple[Any, str, Any]] = []
        self.cells: list[tuple[Any, Any]] = []
        self.reads: list[Read] = []
        self._known: set[int] = set()

    def seen(self) -> Seen:
        """What was found."""
        reads = [read for read in self.reads if read[1] is not self.own]
        fixed = [read for read in reads if _is_fixed(read[1])]
        mutable = [read for read in reads if not _is_fixed(read[1])]
        return Seen(
            self.names,
            self.cells,
            [value for _, value in mutable],
            [token(value) for _, value in mutable],
            [label for label, _ in (*fixed, *mutable)],
            [token(value) for _, value in fixed],
        )

    def function(self, f: Any) -> None:
        """Look into anything that can be called."""
        pending: list[Read] = [("", f)]
        if not isinstance(f, types.FunctionType):
            self.reads += pending
        while pending and len(self._known) < MOST:
            label, value = pending.pop()
            if id(value) not in self._known:
                self._known.add(id(value))
                inner = list(self._inside(label, value))
                pending += [read for read in inner if _opens(read[1])]

    def _inside(self, label: str, f: Any) -> Iterator[Read]:
        """What one callable reads."""
        if isinstance(f, functools.partial):
            parts = [f.func, *f.args, *f.keywords.values()]
            yield from self._noted((label, part) for part in parts)
        elif isinstance(f, types.MethodType):
            yield from self._noted([(label, f.__func__), (label, f.__self__)])
        elif isinstance(f, types.FunctionType):
            yield from self._noted(self._code_of(f))
        elif isinstance(f, CONTAINERS):
            entries = f.values() if isinstance(f, dict) else f
            yield from [(label, entry) for entry in entries if _opens(entry)]
        else:
            yield from _parts(label, f)

    def _noted(self, reads: Any) -> Iterator[Read]:
        for read in reads:
            if read[1] is not _MISSING:
                self.reads.append(read)
                yield read

    def _code_of(self, f: types.FunctionType) -> Iterator[Read]:
        codes = list(_codes(f.__code__))
        written = {
            step.argval
            for code in codes
            for step in dis.get_instructions(code)
            if step.opname in _STORES
        }
        closure = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        cells = {name: c for name, c in closure.items() if name not in written}
        for name, cell in cells.items():
            self.cells.append((cell, _content(cell)))
            yield name, _content(cell)
        # defaults: the list may be the same while its entries change
        for held in (*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()):
            yield "a default", held
        if _own_code(f):
            for code in codes:
                yield from self._loads(code, f.__globals__, cells, written)

    def _loads(
        self,
        code: types.CodeType,
        space: dict[str, Any],
        cells: dict[str, Any],
        written: set[str],
    ) -> Iterator[Read]:
        """Globals that code reads, and attributes of modules, classes and objects."""
        holder: Any = _MISSING
        module, imported = _MISSING, dict[str, Any]()
        for step in dis.get_instructions(code):
            name, word = step.argval, step.opname
            if word == "IMPORT_NAME":
                module = self._note(sys.modules, name)
                # "import a.b" gives a, and "from a.b import c" names of a.b
                holder = sys.modules.get(name.partition(".")[0], _MISSING)
            elif word == "IMPORT_FROM":
                holder = self._attribute(module, name)
                yield name, holder
            elif word.startswith(("STORE_FAST", "LOAD_FAST")):
                for part, local in _locals(word, name):
                    if part == "LOAD":
                        holder = imported.get(local, _MISSING)
                    elif isinstance(holder, types.ModuleType):
                        imported[local] = holder
            elif word in _GLOBALS:
                known = name in space or not hasattr(builtins, name)
                read = known and name not in written
                holder = self._note(space, name) if read else _MISSING
                yield name, holder
            elif word in _CELLS:
                holder = _content(cells[name]) if name in cells else _MISSING
            elif word in _ATTRIBUTES:
                holder = self._attribute(holder, name)
                yield name, holder
            else:
                holder = _MISSING

    def _attribute(self, holder: Any, name: str) -> Any:
        """An attribute of a module or class, or a method of an object."""
        if isinstance(holder, types.ModuleType):
            known = holder.__name__ in sys.builtin_module_names
            if known or (getattr(holder, "__file__", None) or "").startswith(FOREIGN):
                return _MISSING
            return self._note(vars(holder), name)
        is_class = isinstance(holder, type)
        for kind in holder.__mro__ if is_class else type(holder).__mro__:
            if name in vars(kind):
                if is_class:
                    return self._note(vars(kind), name)
                method = vars(kind)[name]
                return method if isinstance(method, types.FunctionType) else _MISSING
        return _MISSING

    def _note(self, space: Any, name: str) -> Any:
        value = space.get(name, _MISSING)
        self.names.append((space, name, value))
        return value


def _is_fixed(value: Any) -> bool:
    """Whether it cannot change while it stays the same object."""
    if isinstance(value, type):
        return not own_class(value)
    if isinstance(value, types.FunctionType):
        return not value.__dict__
    return isinstance(value, _FIXED)


def _opens(value: Any) -> bool:
    """Whether there may be code in it."""
    if isinstance(value, CONTAINERS):
        return 0 < len(value) <= MOST
    return callable(value) or isinstance(value, CODE) or own_class(type(value))


def _parts(label: str, value: Any) -> Iterator[Read]:
    """The code that hangs on an object, a class, or a wrapper of a function."""
    if isinstance(value, CODE):
        yield from [(label, getattr(value, name, None)) for name in _INNER]
        return
    # no getattr: the objects of users may compute what they are asked for
    wrapped = getattr(value, "__dict__", {}).get("__wrapped__")
    if isinstance(wrapped, types.FunctionType):
        yield label, wrapped
        return
    kind = value if isinstance(value, type) else type(value)
    for owner in filter(own_class, kind.__mro__):
        for name, held in vars(owner).items():
            if name not in _UNREAD and _opens(held):
                yield name, held
    if kind is not value:
        for name, held in attributes(value):
            if _opens(held):
                yield name, held


def static_key(value: Any) -> Hashable:
    """The key of a static argument, and of what its code reads."""
    key = token(value)
    if not _opens(value):
        return key
    watch = _WATCHES.pop(id(value), None)
    if watch is None or watch.f is not value:
        watch = Watch(value, None)
    _WATCHES[id(value)] = watch
    while len(_WATCHES) > MOST:
        _WATCHES.pop(next(iter(_WATCHES)), None)
    return key, watch.look().key


def _locals(word: str, names: Any) -> Iterator[tuple[str, str]]:
    """What is done to local variables: later Pythons have one step for two of them."""
    parts = re.findall("LOAD|STORE", word)
    return zip(parts, names if isinstance(names, tuple) else (names,), strict=True)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return _MISSING


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function, and of those that are defined inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _own_code(f: Any) -> bool:
    """Whether a function is the user's own, and no library's."""
    code = getattr(f, "__code__", None)
    return code is not None and not code.co_filename.startswith(FOREIGN)


def same_but_contents(before: Seen, after: Seen) -> bool:
    """Whether two states differ in what is in lists, arrays and objects alone."""
    return (
        before.fixed == after.fixed
        and len(before.mutable) == len(after.mutable)
        and all(map(operator.is_, before.mutable, after.mutable))
    )
