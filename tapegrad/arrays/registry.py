"""The dispatch table of NumPy's functions, and errors of those not in it. Floor 7.

`implements` enters a function under its name in NumPy. The table is also what the
coverage page is made from, so a function cannot be recorded and not documented.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tapegrad.arrays.hints import HINTS
from tapegrad.arrays.lift import line
from tapegrad.errors import RecordError

Run = TypeVar("Run", bound=Callable[..., Any])

# What NumPy puts where a keyword was not given.
NO_VALUE = inspect.signature(np.sum).parameters["keepdims"].default

# Keywords that say how, not what: layout in memory, or a choice among equal results.
# Those that also matter (order="F" of reshape) are in the functions' own signatures.
HARMLESS: dict[str, set[Any]] = {
    "order": {None, "C", "K", "A"},
    "kind": {None, "quicksort", "heapsort", "mergesort", "stable"},
    "stable": {None, True, False},
    "subok": {True, False},
    "casting": {"same_kind", "no", "equiv", "safe"},
    "optimize": {True, False, "greedy", "optimal"},
    "hermitian": {False},
    "overwrite_input": {False},
    "where": {True},
    "initial": {None},
    "device": {None, "cpu"},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One function of NumPy that Values answer.

    Args:
        name: as in NumPy, "linalg.norm".
        run: the function that is called in its place.
        how: "row" (one step of the table), "composed" (several) or "plain" (no step:
            a shape, a truth value).
        note: what differs from NumPy.
        names: the parameters that are taken; None for any.
        places: how many arguments are taken by place.
        target: NumPy's function, which knows the names of those beyond.
    """

    name: str
    run: Callable[..., Any]
    how: str
    note: str
    names: frozenset[str] | None
    places: int
    target: Any

    def order(self) -> tuple[str, ...]:
        """The names of NumPy's parameters."""
        try:
            return tuple(inspect.signature(self.target).parameters)
        except (TypeError, ValueError):  # functions in C have no signature
            return ()


FUNCTIONS: dict[Any, Entry] = {}
# NumPy's names of entries, in the order of the modules
BY_NAME: dict[str, Entry] = {}


def found(path: str) -> Any:
    """A function of NumPy by its name, or None in a version that has none."""
    here: Any = np
    for part in path.split("."):
        here = getattr(here, part, None)
    return here


def entry_of(
    name: str, run: Callable[..., Any], how: str, note: str, target: Any
) -> Entry:
    """The entry of a function, with the parameters that it takes."""
    code = run.__code__  # inspect.signature would take half of the import's time
    places = sys.maxsize if code.co_flags & inspect.CO_VARARGS else code.co_argcount
    names = None
    if not code.co_flags & inspect.CO_VARKEYWORDS:
        count = code.co_argcount + code.co_kwonlyargcount
        names = frozenset(code.co_varnames[:count])
    return Entry(name, run, how, note, names, places, target)


def implements(
    *paths: str, how: str = "composed", note: str = ""
) -> Callable[[Run], Run]:
    """Enter a function in the table, under each of its names in NumPy."""

    def enter(run: Run) -> Run:
        for path in paths:
            target = found(path)
            if target is None:
                continue
            entry = entry_of(path, run, how, note, target)
            FUNCTIONS.setdefault(target, entry)
            BY_NAME[path] = entry
        return run

    return enter


def array_function(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call what stands in the table for a function of NumPy.

    Raises:
        RecordError: it is not in the table, or a keyword is not taken.
    """
    entry = FUNCTIONS.get(function)
    if entry is None:
        raise unsupported(name_of(function))
    return call(entry, args, kwargs)


def call(entry: Entry, args: Any, kwargs: dict[str, Any]) -> Any:
    """Call an entry; keywords at their defaults may be there, others are refused."""
    taken = {}
    if len(args) > entry.places:
        names = entry.order()[entry.places :]
        if len(names) < len(args) - entry.places:
            raise refused(f"np.{entry.name}", f"argument {len(args)}")
        kwargs = dict(zip(names, args[entry.places :], strict=False)) | kwargs
        args = args[: entry.places]
    for name, value in kwargs.items():
        if (entry.names is None or name in entry.names) and value is not NO_VALUE:
            taken[name] = value
        elif not _harmless(name, value):
            raise refused(f"np.{entry.name}", name)
    return entry.run(*args, **taken)


def _harmless(name: str, value: Any) -> bool:
    if value is None or value is NO_VALUE:
        return True
    return isinstance(value, str | bool) and value in HARMLESS.get(name, ())


def refused(name: str, keyword: str) -> RecordError:
    """The error of a keyword that is not recorded."""
    known = {
        "out": "write `y = ...`, or `y[...] = ...` into an array made with "
        "np.zeros_like(v)",
        "where": "use np.where(condition, a, b) on the operand or the result",
        "dtype": "use .astype() on the operand or the result",
        "initial": "combine the result with the number",
    }
    way = known.get(keyword, "leave it out, or do that step by itself")
    return RecordError(
        f"{name}(..., {keyword}=) cannot be recorded on a Value ({line()}): {way}"
    )


def name_of(function: Any) -> str:
    """``np.linalg.qr`` for the function of that name."""
    module = getattr(function, "__module__", "") or "numpy"
    module = module.replace("numpy", "np", 1) if module.startswith("numpy") else module
    return f"{module}.{getattr(function, '__name__', function)}"


def unsupported(name: str, extra: str = "") -> RecordError:
    """The error of a function that is not recorded, with the nearest way round."""
    short = name.removeprefix("np.").removeprefix("scipy.special.")
    hint = extra or HINTS.get(short, "")
    if not hint:
        near = difflib.get_close_matches(short, BY_NAME, 3, 0.75)
        hint = f"nearest: {', '.join('np.' + text for text in near)}; " if near else ""
        hint += (
            "write it in functions that are (docs, page numpy), or convert with "
            "value.data where no derivative is needed"
        )
    return RecordError(f"{name} cannot be recorded on a Value ({line()}); {hint}")
