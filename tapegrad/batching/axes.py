"""Which axes of arguments and results are mapped over. Floor 10.

`in_axes` and `out_axes` are an int, None, or nested as the arguments or results are,
as far down as is needed: what stands in the place of a nest counts for all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.batching.lanes import shape_of
from tapegrad.errors import ShapeError
from tapegrad.recording import argument_leaf, is_dynamic
from tapegrad.tape.structure import NAMESPACE, Tree, flatten, paths

Axes = Any


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of an argument.

    Args:
        value: a Value, or a number or array.
        axis: which of its axes is mapped over, from 0 on; None for none.
        label: such as ``args[0]['w']``.
    """

    value: Any
    axis: int | None
    label: str


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument taken apart."""

    leaves: tuple[Leaf, ...]
    tree: Tree


def arguments_of(
    args: Sequence[Any], kwargs: Mapping[str, Any], in_axes: Axes
) -> list[Argument]:
    """All arguments, positional ones first, with the axes that are mapped over.

    Raises:
        ShapeError: `in_axes` does not fit; a leaf has no such axis.
    """
    prefixes = _prefixes(in_axes, len(args))
    named = [(f"args[{place}]", x) for place, x in enumerate(args)]
    named += [(f"kwargs[{name!r}]", x) for name, x in kwargs.items()]
    prefixes += [0] * len(kwargs)
    return [
        _argument(x, axes, label)
        for (label, x), axes in zip(named, prefixes, strict=True)
    ]


def _prefixes(in_axes: Axes, count: int) -> list[Axes]:
    if in_axes is None or _is_int(in_axes):
        return [in_axes] * count
    if not isinstance(in_axes, tuple | list):
        msg = (
            f"vmap: in_axes={in_axes!r}; it is an int, None, or a tuple with an entry "
            "for each positional argument (keyword arguments are mapped over axis 0)"
        )
        raise ShapeError(msg)
    if len(in_axes) != count:
        msg = (
            f"vmap: in_axes has {len(in_axes)} entries, and the function is called "
            f"with {count} positional arguments; give each one an entry"
        )
        raise ShapeError(msg)
    return list(in_axes)


def _is_int(x: Any) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def per_leaf(axes: Axes, tree: Tree, label: str, what: str) -> list[int | None]:
    """An entry of `in_axes` or `out_axes` for each leaf, static ones too."""
    count = 1 if tree.spec is None else tree.spec.num_leaves
    found: list[Any]
    if axes is None or _is_int(axes):
        found = [axes] * count
    elif tree.spec is None:
        msg = f"vmap: {what} of {label} is {axes!r}, and {label} does not nest"
        raise ShapeError(msg)
    else:
        import optree

        whole = optree.tree_unflatten(tree.spec, list(range(count)))
        try:
            found = optree.broadcast_prefix(
                axes, whole, none_is_leaf=True, namespace=NAMESPACE
            )
        except ValueError as problem:
            msg = (
                f"vmap: {what} of {label} is {axes!r}, which does not nest as "
                f"{label} does: {problem}"
            )
            raise ShapeError(msg) from None
    for axis in found:
        if axis is not None and not _is_int(axis):
            msg = f"vmap: {what} of {label} holds {axis!r}; axes are ints, or None"
            raise ShapeError(msg)
    return found


def _argument(value: Any, axes: Axes, label: str) -> Argument:
    leaves, tree = flatten(value, is_dynamic)
    labels = paths(tree, label) if leaves else []
    chosen = per_leaf(axes, tree, label, "in_axes")
    for place, leaf in tree.statics:
        if chosen[place] is not None and _is_int(leaf):
            path = tree.spec.accessors()[place].codify(label)
            # an object's own count, such as `model.depth`, is no number to map over
            if path.endswith("]"):
                raise _no_axis(path, leaf, chosen[place])
    found = []
    for place, leaf, text in zip(tree.dynamic, leaves, labels, strict=True):
        made = argument_leaf(leaf, text)
        found.append(Leaf(made, _axis(made, chosen[place], text), text))
    return Argument(tuple(found), tree)


def _axis(x: Any, axis: int | None, label: str) -> int | None:
    if axis is None:
        return None
    ndim = len(shape_of(x))
    if not ndim:
        raise _no_axis(label, getattr(x, "_data", x), axis)
    if not -ndim <= axis < ndim:
        msg = (
            f"vmap: {label} has shape {shape_of(x)} and no axis {axis}; give in_axes "
            "an axis that it has, or None"
        )
        raise ShapeError(msg)
    return int(axis) % ndim


def _no_axis(label: str, x: Any, axis: int | None) -> ShapeError:
    return ShapeError(
        f"vmap: {label} is the single number {x}, which has no axis {axis} to map "
        "over; pass an array, or in_axes=None for it"
    )


def size_of(arguments: Sequence[Argument], axis_size: int | None) -> int:
    """The number of lanes.

    Raises:
        ShapeError: two leaves disagree, or nothing is mapped over.
    """
    found: dict[int, str] = {}
    if axis_size is not None:
        found[int(axis_size)] = "axis_size="
    for argument in arguments:
        for leaf in argument.leaves:
            if leaf.axis is not None:
                size = shape_of(leaf.value)[leaf.axis]
                found.setdefault(size, f"axis {leaf.axis} of {leaf.label}")
    if not found:
        msg = (
            "vmap: no argument has an axis that is mapped over, so nothing says how "
            "many calls are meant; give in_axes one, or pass axis_size="
        )
        raise ShapeError(msg)
    if len(found) > 1:
        told = ", ".join(f"{label} has size {size}" for size, label in found.items())
        msg = (
            f"vmap: sizes do not agree: {told}; pass arrays of one size, or "
            "in_axes=None for what all calls share"
        )
        raise ShapeError(msg)
    (size,) = found
    if size < 0:
        msg = f"vmap: axis_size={size}; it is 0 or more"
        raise ShapeError(msg)
    return size
