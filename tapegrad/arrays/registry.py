"""The dispatch table of NumPy's functions, and errors of those not in it. Floor 7.

`implements` enters a function under its name in NumPy. The table is also what the
coverage page is made from, so a function cannot be recorded and not documented.
"""

from __future__ import annotations

import difflib
import inspect
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
    """

    name: str
    run: Callable[..., Any]
    how: str
    note: str
    names: frozenset[str] | None


FUNCTIONS: dict[Any, Entry] = {}
# NumPy's names of entries, in the order of the modules
BY_NAME: dict[str, Entry] = {}


def found(path: str) -> Any:
    """A function of NumPy by its name, or None in a version that has none."""
    here: Any = np
    for part in path.split("."):
        here = getattr(here, part, None)
    return here


def parameters(run: Callable[..., Any]) -> frozenset[str] | None:
    """The names of a function's parameters; None if it takes any keyword."""
    found = inspect.signature(run).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in found.values()):
        return None
    return frozenset(found)


def implements(
    *paths: str, how: str = "composed", note: str = ""
) -> Callable[[Run], Run]:
    """Enter a function in the table, under each of its names in NumPy."""

    def enter(run: Run) -> Run:
        names = parameters(run)
        for path in paths:
            target = found(path)
            if target is None:
                continue
            entry = Entry(path, run, how, note, names)
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
