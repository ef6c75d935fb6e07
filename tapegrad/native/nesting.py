"""Quick ways through nestings, of lists, tuples and dicts above all. Floor 9.

`match` takes any nesting apart and finds words for what does not fit, in some tens of
microseconds; a compiled step of training takes no longer than that itself. So nestings
are taken apart by closures made once, the plain ones without optree. They say no where
a nesting is not the recorded one, and leave the words to `match`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tapegrad.sweeps import flat
from tapegrad.tape.structure import NAMESPACE, Tree
from tapegrad.tape.tape import Tape

# Appends the leaves of a value to a list; false where it nests otherwise.
Taker = Callable[[Any, list[Any]], bool]
# Makes a value of leaves.
Maker = Callable[[Sequence[Any]], Any]

PLAIN = (list, tuple, dict)


def taker(tree: Tree) -> Taker:
    """How an argument is taken apart quickly."""
    if tree.spec is None:
        return _leaf
    plain = len(tree.dynamic) == tree.spec.num_leaves
    return (_taker(tree.spec) if plain else None) or _by_optree(tree)


def all_taker(trees: Sequence[Tree]) -> Taker:
    """How all arguments of a call are taken apart quickly, as a tuple."""
    takers = [taker(tree) for tree in trees]
    count = len(takers)
    pairs = [(take, take is _leaf) for take in takers]

    def from_arguments(args: Any, into: list[Any]) -> bool:
        if len(args) != count:
            return False
        for (take, is_leaf), value in zip(pairs, args, strict=True):
            if is_leaf:
                into.append(value)
            elif not take(value, into):
                return False
        return True

    return from_arguments


def _by_optree(tree: Tree) -> Taker:
    """Any nesting: models, dataclasses, named tuples, and static leaves."""
    import optree

    spec, statics = tree.spec, tree.statics
    chosen = tree.dynamic if statics else None

    def from_tree(value: Any, into: list[Any]) -> bool:
        leaves, found = optree.tree_flatten(
            value, none_is_leaf=True, namespace=NAMESPACE
        )
        if found != spec:
            return False
        for place, kept in statics:
            given = leaves[place]
            if type(given) is not type(kept) or given != kept:
                return False
        into += leaves if chosen is None else [leaves[place] for place in chosen]
        return True

    return from_tree


def _leaf(value: Any, into: list[Any]) -> bool:
    into.append(value)
    return True


def _taker(spec: Any) -> Taker | None:
    if spec.is_leaf():
        return _leaf
    kind = spec.type
    if kind not in PLAIN:
        return None
    inner = [_taker(child) for child in spec.children()]
    count = len(inner)
    if kind is dict:
        keys = spec.entries()

        def from_dict(value: Any, into: list[Any]) -> bool:
            if type(value) is not dict or len(value) != count:
                return False
            try:
                parts = [value[key] for key in keys]
            except KeyError:
                return False
            return all(
                take is not None and take(part, into)
                for take, part in zip(inner, parts, strict=True)
            )

        return None if None in inner else from_dict

    def from_leaves(value: Any, into: list[Any]) -> bool:
        if type(value) is not kind or len(value) != count:
            return False
        into += value
        return True

    def from_sequence(value: Any, into: list[Any]) -> bool:
        if type(value) is not kind or len(value) != count:
            return False
        return all(
            take is not None and take(part, into)
            for take, part in zip(inner, value, strict=True)
        )

    if None in inner:
        return None
    return from_leaves if all(take is _leaf for take in inner) else from_sequence


def builder(tree: Tree) -> Maker:
    """How a result is put together: quickly where it can be, else by optree."""
    if tree.spec is None or len(tree.dynamic) != tree.spec.num_leaves:
        return tree.build
    # what it looks like with each leaf's number in its place; dicts keep their order
    make = _maker(tree.build(range(tree.spec.num_leaves)))
    return make or tree.build


def result_maker(tape: Tape) -> tuple[Maker, bool]:
    """How a tape's result is put together, and whether it is the first output as it is.

    Kernels of numbers give floats, for truth values too.
    """
    base, result = flat(tape), tape.structure.result
    build = builder(result)
    truths = [base.aval_of(slot) == ((), "bool") for slot in base.outputs]
    if base.arrays or not any(truths):
        return build, result.bare

    def make(found: Sequence[Any]) -> Any:
        pairs = zip(found, truths, strict=True)
        return build([bool(y) if truth else y for y, truth in pairs])

    return make, False


def _maker(pattern: Any) -> Maker | None:
    if type(pattern) is int:
        return operator.itemgetter(pattern)
    if type(pattern) not in PLAIN:
        return None
    inner = [_maker(part) for part in _parts(pattern)]
    parts = [make for make in inner if make is not None]
    if len(parts) != len(inner):
        return None
    if type(pattern) is dict:
        keys = list(pattern)
        return lambda leaves: {
            key: make(leaves) for key, make in zip(keys, parts, strict=True)
        }
    if pattern and all(type(part) is int for part in pattern):
        first, end = pattern[0], pattern[-1] + 1  # leaves are numbered in order
        kind = type(pattern)
        return lambda leaves: kind(leaves[first:end])
    if type(pattern) is list:
        return lambda leaves: [make(leaves) for make in parts]
    if len(parts) == 2:
        one, two = parts
        return lambda leaves: (one(leaves), two(leaves))
    return lambda leaves: tuple([make(leaves) for make in parts])


def _parts(pattern: Any) -> Iterable[Any]:
    return pattern.values() if type(pattern) is dict else pattern
