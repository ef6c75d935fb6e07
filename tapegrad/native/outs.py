"""``out=``: results written into the caller's arrays. Floor 9.

Like NumPy's: ``out`` nests like the result, None stands for what is to be made new, and
the arrays come back in their places. Here the result is there already and is copied, so
arrays that overlap an argument, or have strides, are no matter; an exact array is
written by the entry thunk at once, where it can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import binding
from tapegrad.errors import RecordError, ShapeError
from tapegrad.real import check_array
from tapegrad.tape.structure import NAMESPACE, Tree, flatten, match, paths
from tapegrad.tape.tape import Tape


def takes_out(tape: Tape) -> bool:
    """Whether ``out=`` is ours: an argument of that name is the function's own."""
    return "out" not in binding.argument_names(tape)


def into(call: Callable[..., Any], args: Sequence[Any], out: Any) -> Any:
    """Call, and write the result into ``out``; nothing is written before all fits.

    Raises:
        ShapeError: ``out`` nests in another way, or an array has another shape; two
            arrays overlap.
        RecordError: something is no array, of another dtype or read-only.
    """
    found = call(*args)
    return found if out is None else written(found, out)


def by_keyword(
    call: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]
) -> Any:
    """The same, of a call whose keywords hold ``out``."""
    rest = dict(kwargs)
    out = rest.pop("out")
    found = call(*args, **rest)
    return found if out is None else written(found, out)


def written(found: Any, out: Any) -> Any:
    """A result with the arrays of ``out`` in place of its own, filled with it."""
    parts, tree = flatten(found, _is_part)
    given = _matched(tree, found, out)
    labels = paths(tree, "out")
    for label, part, target in zip(labels, parts, given, strict=True):
        if target is not None:
            _check(label, part, target)
    _check_apart(labels, given)
    for place, (part, target) in enumerate(zip(parts, given, strict=True)):
        if target is not None:
            np.copyto(target, part)
            parts[place] = target
    return tree.build(parts)


def _is_part(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic | float | int)


def _matched(tree: Tree, found: Any, out: Any) -> list[Any]:
    """The leaves of ``out``; a None stands for all that is below it."""
    try:
        return match(tree, out, "out", statics=False)
    except ShapeError:
        pass
    import optree

    try:
        leaves = optree.broadcast_prefix(
            out, found, none_is_leaf=True, namespace=NAMESPACE
        )
    except ValueError:
        leaves = [out]
    given = [id(leaf) for leaf in leaves if leaf is not None]
    if len(set(given)) == len(given) and len(leaves) > max(tree.dynamic, default=0):
        return [leaves[place] for place in tree.dynamic]
    wanted = tree.build([_Shape()] * len(tree.dynamic), statics=False)
    msg = (
        f"out nests in another way than the result, which is {wanted!r}; pass arrays "
        "in the same places, and None for what is to be made new"
    )
    raise ShapeError(msg)


class _Shape:
    """How a place for an array is written in messages."""

    def __repr__(self) -> str:
        return "array"


def _check(label: str, part: Any, target: Any) -> None:
    if not isinstance(target, np.ndarray):
        msg = (
            f"{label} is {target!r:.40} of type {type(target).__name__}, and results "
            "are written into arrays; pass an array, or None"
        )
        raise RecordError(msg)
    check_array(target)
    shape, dtype = np.shape(part), np.asarray(part).dtype
    if target.shape != shape:
        msg = f"{label} has shape {target.shape}, and the result has shape {shape}"
        raise ShapeError(msg)
    if target.dtype != dtype:
        msg = f"{label} has dtype {target.dtype}, and the result is of dtype {dtype}"
        raise RecordError(msg)
    if not target.flags.writeable:
        msg = f"{label} is read-only; pass an array that may be written to"
        raise RecordError(msg)


def _check_apart(labels: Sequence[str], given: Sequence[Any]) -> None:
    """Refuse arrays of which one would overwrite the other."""
    arrays = [(label, x) for label, x in zip(labels, given, strict=True)]
    arrays = [(label, x) for label, x in arrays if x is not None]
    for place, (label, one) in enumerate(arrays):
        for name, other in arrays[:place]:
            if np.may_share_memory(one, other) and np.shares_memory(one, other):
                msg = f"{name} and {label} overlap, and each is a result of its own"
                raise ShapeError(msg)
