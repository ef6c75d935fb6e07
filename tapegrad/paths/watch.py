"""What a function reads besides its arguments. Floor 10.

A recording freezes the numbers that the function finds in its globals and closure. Here
they are looked at before each call, so that a changed learning rate is another
recording and never a stale number. Seen are the names that the function's code reads,
and that of the user's own functions it calls; attributes of modules and classes among
them; and, of objects, their attributes (`keys.token`). What is reached in other ways
(the contents of a file, a global of a library) cannot be seen.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import sysconfig
import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from tapegrad.paths.keys import token
from tapegrad.tape.guards import PACKAGE

# So many functions are looked into.
MOST = 500
_MISSING = object()
_FOREIGN = tuple(
    {sysconfig.get_path(name) for name in ("stdlib", "platlib", "purelib")} | {PACKAGE}
)
_FIXED = frozenset(
    {int, float, bool, str, bytes, type(None), complex, types.ModuleType}
    | {types.BuiltinFunctionType, type}
)


class Watch:
    """What a function reads around itself, and whether that has changed.

    Args:
        f: the function.
        own: the object that stands for f in its globals; it is not looked into.
    """

    def __init__(self, f: Callable[..., Any], own: object) -> None:
        self.f = f
        self.own = own
        self.key: Hashable = None
        # (namespace, name, what was found) and (cell, what was found)
        self._names: list[tuple[Any, str, Any]] | None = None
        self._cells: list[tuple[Any, Any]] = []
        # what can change while it stays the same object
        self._mutable: list[Any] = []
        self._contents: list[Hashable] = []

    def look(self) -> Hashable:
        """The key of the present state: the very object of the last call if equal."""
        if self._names is not None and self._unchanged():
            return self.key
        scan = _Scan(self.own)
        scan.function(self.f)
        self._names = scan.names
        self._cells = scan.cells
        fixed, self._mutable = scan.parts()
        self._contents = list(map(token, self._mutable))
        found = (tuple(fixed), tuple(self._contents))
        if found != self.key:
            self.key = found
        return self.key

    def _unchanged(self) -> bool:
        for space, name, before in self._names or ():
            if space.get(name, _MISSING) is not before:
                return False
        for cell, before in self._cells:
            if _content(cell) is not before:
                return False
        return not self._mutable or list(map(token, self._mutable)) == self._contents


class _Scan:
    """One look at everything that a function reads."""

    def __init__(self, own: object) -> None:
        self.own = own
        self.names: list[tuple[Any, str, Any]] = []
        self.cells: list[tuple[Any, Any]] = []
        self.values: list[Any] = []
        self._seen: set[int] = set()

    def parts(self) -> tuple[list[Hashable], list[Any]]:
        """Tokens of what cannot change within, and the rest."""
        fixed: list[Hashable] = []
        mutable: list[Any] = []
        for value in self.values:
            if type(value) in _FIXED or isinstance(value, types.FunctionType):
                fixed.append(token(value))
            elif value is not self.own:
                mutable.append(value)
        return fixed, mutable

    def function(self, f: Any) -> None:
        """Look into anything that can be called."""
        pending = [f]
        while pending and len(self._seen) < MOST:
            pending += self._called(pending.pop())

    def _called(self, f: Any) -> list[Any]:
        """What one callable reads; returns callables that it may call."""
        if id(f) in self._seen:
            return []
        self._seen.add(id(f))
        if isinstance(f, functools.partial):
            return self._read([f.func, *f.args, *f.keywords.values()])
        if isinstance(f, types.MethodType):
            return self._read([f.__func__, f.__self__])
        if isinstance(f, types.FunctionType):
            return self._code_of(f)
        if isinstance(f, type):
            held = [getattr(x, "__func__", x) for x in vars(f).values()]
            return [x for x in held if isinstance(x, types.FunctionType)]
        if type(f) is type(self.own):  # another function with paths
            return [] if f is self.own else [getattr(f, "__wrapped__", None)]
        inner = vars(type(f)).get("__call__")
        return [inner] if isinstance(inner, types.FunctionType) else []

    def _read(self, values: list[Any]) -> list[Any]:
        self.values += values
        return [value for value in values if _may_run(value)]

    def _code_of(self, f: types.FunctionType) -> list[Any]:
        found: list[Any] = []
        cells = dict(zip(f.__code__.co_freevars, f.__closure__ or (), strict=True))
        for cell in cells.values():
            self.cells.append((cell, _content(cell)))
            found.append(_content(cell))
        # defaults: the list may be the same while its entries change
        found += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]
        if not f.__code__.co_filename.startswith(_FOREIGN):
            for code in _codes(f.__code__):
                found += self._loads(code, f.__globals__, cells)
        return self._read([value for value in found if value is not _MISSING])

    def _loads(
        self, code: types.CodeType, space: dict[str, Any], cells: dict[str, Any]
    ) -> Iterator[Any]:
        """Globals that code reads, and attributes of modules, classes and objects."""
        holder: Any = _MISSING
        for step in dis.get_instructions(code):
            name = step.argval
            if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
                if name not in space and hasattr(builtins, name):
                    holder = _MISSING
                    continue
                holder = self._note(space, name)
                yield holder
            elif step.opname in {"LOAD_DEREF", "LOAD_CLASSDEREF"} and name in cells:
                holder = _content(cells[name])
            elif step.opname in {"LOAD_ATTR", "LOAD_METHOD"}:
                holder = self._attribute(holder, name)
                if holder is not _MISSING:
                    yield holder
            else:
                holder = _MISSING

    def _attribute(self, holder: Any, name: str) -> Any:
        """An attribute of a module or class, or a method of an object."""
        if isinstance(holder, types.ModuleType):
            if (getattr(holder, "__file__", None) or "").startswith(_FOREIGN):
                return _MISSING
            if holder.__name__ in sys.builtin_module_names:
                return _MISSING
            return self._note(vars(holder), name)
        kinds = holder.__mro__ if isinstance(holder, type) else type(holder).__mro__
        for kind in kinds:
            if name in vars(kind):
                if isinstance(holder, type):
                    return self._note(vars(kind), name)
                method = vars(kind)[name]
                return method if isinstance(method, types.FunctionType) else _MISSING
        return _MISSING

    def _note(self, space: Any, name: str) -> Any:
        value = space.get(name, _MISSING)
        self.names.append((space, name, value))
        return value


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


def _may_run(value: Any) -> bool:
    """Whether code of the user's may be behind a value."""
    return callable(value) and not isinstance(value, types.BuiltinFunctionType)
