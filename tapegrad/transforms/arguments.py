"""What transforms are called with: chosen arguments, directions, bad ones. Floor 11.

Messages name the leaf by its path from the call, such as ``args[0]['w']``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.calls import steps_of
from tapegrad.errors import RecordError, ShapeError
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.structure import Tree, flatten, match, paths
from tapegrad.tape.tape import Aval, Tape
from tapegrad.value import Value

Function = Callable[..., Any]
Argnums = int | Sequence[int]

FIX = "pass floats (2.0, not 2; x.astype(float))"


def function_of(f: Any, word: str) -> Function:
    """What is called: the function; of compiled code its tape.

    Raises:
        RecordError: it cannot be called.
    """
    if not callable(f):
        msg = f"{word}() needs a function first, got {f!r:.60} of {_kind(f)}"
        raise RecordError(msg)
    return steps_of(f)  # type: ignore[no-any-return]


def name_of(f: Any) -> str:
    """A function's name for messages."""
    while not hasattr(f, "__name__") and hasattr(f, "func"):
        f = f.func  # functools.partial
    return "tape" if isinstance(f, Tape) else getattr(f, "__name__", type(f).__name__)


def _kind(x: Any) -> str:
    return f"type {type(x).__name__}"


# -- which arguments ---------------------------------------------------------------


def numbers_of(argnums: Argnums, count: int, word: str) -> tuple[int, ...]:
    """Places of the chosen arguments, from 0 on, as often as they were named.

    Raises:
        RecordError: argnums is no int and holds others.
        ShapeError: there is no such argument.
    """
    many = isinstance(argnums, tuple | list)
    found = []
    chosen: Any = argnums if many else (argnums,)
    for number in chosen:
        truth = isinstance(number, bool | np.bool_)
        if truth or not isinstance(number, int | np.integer):
            msg = (
                f"{word}: argnums={argnums!r}; it is an int, or a tuple of ints: "
                "places of positional arguments"
            )
            raise RecordError(msg)
        place = int(number)
        if not -count <= place < count:
            given = "1 positional argument" if count == 1 else f"{count} positional"
            msg = (
                f"{word}: argnums={argnums}, but the function was called with {given}"
                f"{'' if count == 1 else ' arguments'}; arguments by keyword are not "
                "differentiated, pass them by position"
            )
            raise ShapeError(msg)
        found.append(place % count)
    return tuple(found)


def check_leaves(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse what is no real number and would fail later, without a path.

    Raises:
        RecordError: a complex number, or an array of something else than numbers.
    """
    for label, leaf in _leaves(args, kwargs):
        array = isinstance(leaf, np.ndarray)
        if isinstance(leaf, complex | np.complexfloating) or (
            array and leaf.dtype.kind == "c"
        ):
            msg = (
                f"{label} is {_what(leaf)}; derivatives here are of real numbers: pass "
                "its real and imaginary parts"
            )
            raise RecordError(msg)
        if array and leaf.dtype.kind not in "fiubO":
            msg = (
                f"{label} is an array of dtype {leaf.dtype}, and numbers are needed; "
                "convert it with .astype(float)"
            )
            raise RecordError(msg)


def _leaves(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    named = [(f"args[{place}]", x) for place, x in enumerate(args)]
    for name, x in [*named, *((f"kwargs[{k!r}]", v) for k, v in kwargs.items())]:
        if type(x) is float or isinstance(x, np.ndarray | Value):
            yield name, x
            continue
        _, tree = flatten(x, lambda _: False)
        everything = Tree(tree.spec, tuple(place for place, _ in tree.statics))
        labels = paths(everything, name) if tree.statics else []
        for label, (_, leaf) in zip(labels, tree.statics, strict=True):
            yield label, leaf


def check_differentiable(args: Sequence[Any], chosen: Sequence[int], word: str) -> None:
    """Refuse a chosen argument that holds no float.

    Raises:
        ShapeError: names the first leaf, and what it is.
    """
    for place in chosen:
        seen: list[str] = []
        for label, leaf in _leaves([args[place]], {}):
            if _is_float(leaf):
                break
            name = label.replace("args[0]", f"args[{place}]", 1)
            seen.append(f"{name} is {_what(leaf)}")
        else:
            check_leaves(args, {})  # of complex numbers there is more to say
            what = seen[0] if seen else f"args[{place}] is empty"
            if len(seen) > 1:
                what += f" (and {len(seen) - 1} more leaves like it)"
            msg = (
                f"{word}: {what}, and there is nothing to differentiate by in "
                f"args[{place}]; {FIX}, or choose another argument by argnums="
            )
            raise ShapeError(msg)


def holds_floats(argument: Any) -> bool:
    """Whether there is anything to differentiate by in an argument."""
    return any(_is_float(leaf) for _, leaf in _leaves([argument], {}))


def _is_float(leaf: Any) -> bool:
    data = leaf._data if isinstance(leaf, Value) else leaf
    if isinstance(data, np.ndarray):
        return data.dtype.kind in "fO"
    return isinstance(data, float | np.floating)


def _what(leaf: Any) -> str:
    data = leaf._data if isinstance(leaf, Value) else leaf
    if isinstance(data, np.ndarray):
        words = {"i": "integers", "u": "integers", "b": "truth values"}
        word = words.get(data.dtype.kind, str(data.dtype))
        return f"an array of {word} of shape {data.shape}"
    if data is None:
        return "None"
    return f"the {type(data).__name__} {data!r:.40}"


# -- directions --------------------------------------------------------------------


def as_tuple(given: Any, name: str, word: str) -> tuple[Any, ...]:
    """A tuple with an entry for each argument.

    Raises:
        RecordError: it is none; an array, say, would be taken apart.
    """
    if isinstance(given, tuple | list):
        return tuple(given)
    msg = (
        f"{word}: {name} is a tuple with one entry an argument, got "
        f"{_kind(given)}; for one argument write ({name[:-1]},)"
    )
    raise RecordError(msg)


def matched(tree: Tree, given: Any, name: str, like: str) -> list[Any]:
    """The leaves of a direction at the places of the dynamic ones.

    Raises:
        ShapeError: it nests in another way; names a leaf.
    """
    try:
        return match(tree, given, name, statics=False)
    except ShapeError:
        pass
    _, found = flatten(given, lambda _: False)
    names, others = (set(_all_paths(one, name)) for one in (tree, found))
    missing, more = sorted(names - others), sorted(others - names)
    told = []
    if missing:
        told.append(f"{missing[0]} is missing")
    if more:
        told.append(f"{more[0]} is one too many")
    what = ", and ".join(told) or "lists, tuples or classes are others"
    msg = f"{name} nests in another way than {like}: {what}; pass the same structure"
    raise ShapeError(msg)


def _all_paths(tree: Tree, name: str) -> list[str]:
    if tree.spec is None:
        return [name]
    return paths(Tree(tree.spec, tuple(range(tree.spec.num_leaves))), name)


def check_direction(x: Any, aval: Aval, label: str, like: str) -> Any:
    """A leaf of a direction: a real number or array of the shape of its slot.

    Returns:
        The leaf; None for a slot without a derivative, whatever stands there.

    Raises:
        RecordError: it is no real number.
        ShapeError: another shape.
    """
    shape, dtype = aval
    if dtype not in FLOATING:
        return None
    data = x._data if isinstance(x, Value) else x
    if type(data) is float and not shape:
        return x
    kind = np.asarray(data).dtype.kind
    if kind not in "fiubO" or data is None:
        msg = f"{label} is {_what(x)}, and a number or array is needed; pass floats"
        raise RecordError(msg)
    if np.shape(data) != shape:
        msg = (
            f"{label} has shape {np.shape(data)}, and {like} has shape {shape}; give "
            "each entry its own (np.ones(shape), np.zeros(shape))"
        )
        raise ShapeError(msg)
    return x


def avals(given: Sequence[Any]) -> list[Aval]:
    """Shapes and dtypes of Values and numbers."""
    return [aval_of(getattr(x, "_data", x)) for x in given]
