"""The arguments of a call, taken apart, and the key of what kind they are. Floor 10."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.paths.keys import BY_VALUE, data_of, token
from tapegrad.paths.watch import static_key
from tapegrad.recording import is_dynamic
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.structure import flatten
from tapegrad.value import Value


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
        statics = tuple((place, _static(static)) for place, static in tree.statics)
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


def _static(value: Any) -> Hashable:
    """The key of a static argument, and of what it reads if it has code."""
    return token(value) if type(value) in BY_VALUE else static_key(value)
