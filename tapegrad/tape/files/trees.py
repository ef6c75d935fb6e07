"""The nesting of arguments as JSON, and back. Floor 2; optree does the nesting.

A tree is written as its nodes in preorder, without nesting, so that depth costs no
stack: ``"*"`` for a leaf, ``["list", 2]``, ``["dict", ["b", "a"]]``,
``["object", "module:Name", ["field", ...]]``.

Reading imports nothing. A class (a dataclass, a named tuple, a model) comes back as
itself when the program has it already: its module is loaded and the class has the same
fields. Otherwise a stand-in with the same attributes takes its place, and a call with
the class itself still fits, because the names are compared.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any, NoReturn, Self

import numpy as np

from tapegrad.errors import TapeFormatError
from tapegrad.tape.files.values import Reader, Writer
from tapegrad.tape.structure import NAMESPACE, Tree, register

LEAF = "*"
# What dicts may have as keys in a file.
KEYS = (str, int, float, tuple, type(None), np.generic)
# optree itself stops at 1000.
DEEPEST = 900


class StandIn:
    """An object of a class that the program does not have: the same attributes."""

    def __init__(self, kind: str, names: tuple[str, ...], parts: Iterable[Any]) -> None:
        self._kind = (kind, names)
        for name, part in zip(names, parts, strict=True):
            vars(self)[name] = part

    def __repr__(self) -> str:
        kind, names = self._kind
        inside = ", ".join(f"{name}={vars(self)[name]!r}" for name in names)
        return f"{kind.split(':')[-1]}({inside})"

    def take_apart(self) -> tuple[list[Any], Any, tuple[str, ...]]:
        """Parts, what they are put together by, and their names."""
        names = self._kind[1]
        return [vars(self)[name] for name in names], self._kind, names

    @classmethod
    def put_together(cls, kind: Any, parts: Iterable[Any]) -> Self:
        """The inverse of `take_apart`."""
        where, names = kind
        return cls(where, names, parts)


class NamedStandIn(StandIn):
    """A stand-in for a named tuple: it has places, too."""

    def __iter__(self) -> Iterator[Any]:
        return (vars(self)[name] for name in self._kind[1])

    def __getitem__(self, place: int) -> Any:
        return tuple(self)[place]

    def __len__(self) -> int:
        return len(self._kind[1])


STAND_INS: dict[str, type[StandIn]] = {"object": StandIn, "named": NamedStandIn}


def know_stand_ins() -> None:
    """Teach optree the stand-ins, once."""
    import optree

    known: list[Any] = list(STAND_INS.values())  # optree asks for Collections
    for kind in known:
        if registered(kind) is None:
            optree.register_pytree_node(
                kind,
                kind.take_apart,
                kind.put_together,
                path_entry_type=optree.GetAttrEntry,
                namespace=NAMESPACE,
            )


def registered(kind: type) -> Any:
    """How optree takes a class apart in this package, or None."""
    import optree

    registry: Any = optree.register_pytree_node
    return registry.get(kind, namespace=NAMESPACE)


# -- writing -----------------------------------------------------------------------


def write_tree(tree: Tree, writer: Writer) -> Any:
    """A tree as JSON; None for one bare leaf.

    Raises:
        TapeFormatError: a kind of node that a file cannot hold; names the type.
    """
    if tree.spec is None:
        return None
    return {
        "nodes": nodes(tree.spec, writer),
        "dynamic": list(tree.dynamic),
        "statics": [[place, writer.write(value)] for place, value in tree.statics],
    }


def nodes(spec: Any, writer: Writer | None = None) -> list[Any]:
    """The nodes of optree's description in preorder.

    Args:
        spec: the description.
        writer: writes keys of dicts; without it keys are left as they are, and those
            of plain dicts in optree's order, which makes two lists comparable.
    """
    found: list[Any] = []
    pending = [spec]
    while pending:
        current = pending.pop()
        if current.type is None:
            found.append(LEAF)
            continue
        node, order = _node(current, writer)
        found.append(node)
        children = current.children()
        pending.extend(children[place] for place in reversed(order))
    return found


def _node(spec: Any, writer: Writer | None) -> tuple[list[Any], list[int]]:
    """One node, and the order in which its children follow."""
    kind, count = spec.type, spec.num_children
    order = list(range(count))
    if kind in {list, tuple}:
        return [kind.__name__, count], order
    if kind in {dict, OrderedDict}:
        name = "dict" if kind is dict else "ordered"
        keys = spec.entries()
        if writer is None:
            return [name, keys], order
        made = spec.one_level().unflatten(order)  # the user's own order of keys
        return [name, [writer.write(key) for key in made]], list(made.values())
    if kind is deque:
        made = spec.one_level().unflatten(order)
        return ["deque", count, made.maxlen], order
    if kind in STAND_INS.values():
        stored, names = spec.one_level().unflatten(order)._kind  # noqa: SLF001
        return [_word(kind), stored, list(names)], order
    where = f"{kind.__module__}:{kind.__qualname__}"
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return ["named", where, list(kind._fields)], order
    entries = spec.entries()
    if _by_attributes(kind) and all(isinstance(entry, str) for entry in entries):
        return ["object", where, list(entries)], order
    msg = (
        f"a file cannot hold an argument that nests in a {kind.__qualname__}; it holds "
        "dict, OrderedDict, list, tuple, deque, named tuples, dataclasses and models"
    )
    raise TapeFormatError(msg)


def _word(kind: type) -> str:
    return next(word for word, mine in STAND_INS.items() if mine is kind)


def _by_attributes(kind: type) -> bool:
    """Whether this package takes a class apart by its attributes."""
    entry = registered(kind)
    ours = getattr(entry, "flatten_func", None)
    return getattr(ours, "__module__", "").startswith("tapegrad.")


def alike(one: Any, two: Any) -> bool:
    """Whether two descriptions nest alike, but for a stand-in in one of them."""
    if not _has_stand_in(one) and not _has_stand_in(two):
        return False
    try:
        return nodes(one) == nodes(two)
    except TapeFormatError:  # a class that no file could have held
        return False


def _has_stand_in(spec: Any) -> bool:
    pending = [spec]
    while pending:
        current = pending.pop()
        if current.type in STAND_INS.values():
            return True
        pending += current.children()
    return False


# -- reading -----------------------------------------------------------------------


def read_tree(given: Any, reader: Reader) -> Tree:
    """The tree that JSON stands for.

    Raises:
        TapeFormatError: JSON that stands for none.
    """
    if given is None:
        return Tree()
    if not isinstance(given, dict) or set(given) != {"nodes", "dynamic", "statics"}:
        _refuse(given)
    listed, dynamic, statics = (given[name] for name in ("nodes", "dynamic", "statics"))
    if not all(isinstance(part, list) for part in (listed, dynamic, statics)):
        _refuse(given)
    pairs = []
    for pair in statics:
        if not isinstance(pair, list) or len(pair) != 2:
            _refuse(pair)
        pairs.append((pair[0], reader.read(pair[1])))
    spec = _spec(listed, reader)
    places = [*dynamic, *(place for place, _ in pairs)]
    whole = all(type(place) is int for place in places)
    if not whole or sorted(places) != list(range(spec.num_leaves)):
        msg = f"a nesting of {spec.num_leaves} leaves has places {places!r:.80}"
        raise TapeFormatError(msg)
    return Tree(spec, tuple(dynamic), tuple(pairs))


def _spec(listed: list[Any], reader: Reader) -> Any:
    """optree's description of nodes in preorder: built from the last one back."""
    import optree

    know_stand_ins()
    built: list[tuple[Any, int]] = []  # what a node builds, and its depth
    for node in reversed(listed):
        if node == LEAF:
            built.append((LEAF, 0))
            continue
        count = _count(node)
        if count is None or count > len(built):
            _refuse(node)
        inside = [built.pop() for _ in range(count)]
        depth = 1 + max((deep for _, deep in inside), default=0)
        if depth > DEEPEST:
            msg = f"arguments nest more than {DEEPEST} deep"
            raise TapeFormatError(msg)
        built.append((_build(node, [part for part, _ in inside], reader), depth))
    if len(built) != 1:
        msg = f"{len(listed)} nodes make {len(built)} nestings, not one"
        raise TapeFormatError(msg)
    leaves, spec = optree.tree_flatten(
        built[0][0], none_is_leaf=True, namespace=NAMESPACE
    )
    if leaves != [LEAF] * listed.count(LEAF):
        msg = f"{len(listed)} nodes make {len(leaves)} leaves"
        raise TapeFormatError(msg)
    return spec


def _count(node: Any) -> int | None:
    """How many nodes stand inside of one; None for what is no node."""
    if not isinstance(node, list) or len(node) < 2 or not isinstance(node[0], str):
        return None
    word, inside = node[0], node[1]
    if word in {"list", "tuple", "deque"}:
        fits = len(node) == 2 + (word == "deque") and type(inside) is int
        return inside if fits and inside >= 0 else None
    if word in {"dict", "ordered"}:
        return len(inside) if len(node) == 2 and isinstance(inside, list) else None
    if word in STAND_INS and len(node) == 3 and isinstance(inside, str):
        names = node[2]
        if not isinstance(names, list) or len(names) != len(set(map(repr, names))):
            return None
        fits = all(isinstance(name, str) and name.isidentifier() for name in names)
        return len(names) if fits and "_kind" not in names else None
    return None


def _build(node: list[Any], parts: list[Any], reader: Reader) -> Any:
    word, inside = node[0], node[1]
    if word == "list":
        return parts
    if word == "tuple":
        return tuple(parts)
    if word == "deque":
        most = node[2]
        if most is not None and (
            type(most) is not int or not len(parts) <= most < 2**63
        ):
            _refuse(node)
        return deque(parts, most)
    if word in {"dict", "ordered"}:
        keys = [reader.read(key) for key in inside]
        if not all(isinstance(key, KEYS) for key in keys):
            _refuse(node)
        try:
            pairs = dict(zip(keys, parts, strict=True))
        except TypeError:  # a tuple with an array in it is no key
            _refuse(node)
        if len(pairs) != len(keys):
            _refuse(node)
        return pairs if word == "dict" else OrderedDict(pairs)
    names = tuple(node[2])
    made = _own(word, inside, names, parts)
    return STAND_INS[word](inside, names, parts) if made is None else made


def _own(word: str, where: str, names: tuple[str, ...], parts: list[Any]) -> Any:
    """An object of the program's own class, when it has it; else None.

    Nothing is imported and no constructor runs: the class is looked up among loaded
    modules, and its fields are put in place.
    """
    module, _, path = where.partition(":")
    kind: Any = sys.modules.get(module)
    for name in path.split("."):
        # a lazy module would load itself when asked for its names
        plain = type(kind) is ModuleType or isinstance(kind, type)
        kind = vars(kind).get(name) if plain else None
    if not isinstance(kind, type):
        return None
    if word == "named":
        if not issubclass(kind, tuple) or getattr(kind, "_fields", None) != names:
            return None
        return tuple.__new__(kind, parts)
    if dataclasses.is_dataclass(kind):
        if tuple(field.name for field in dataclasses.fields(kind)) != names:
            return None
        if registered(kind) is None:
            register(kind)
    if not _by_attributes(kind):
        return None
    try:
        made: Any = object.__new__(kind)
        for name, part in zip(names, parts, strict=True):
            object.__setattr__(made, name, part)
    except (TypeError, AttributeError):  # not an object of plain attributes
        return None
    return made


def _refuse(given: Any) -> NoReturn:
    msg = f"{given!r:.80} is no nesting of arguments"
    raise TapeFormatError(msg)
