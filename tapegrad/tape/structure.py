"""How arguments and results nest. Floor 2; loads optree when something nests.

Plain positional floats, by far the most frequent case, need no tree at all.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import ShapeError

NAMESPACE = "tapegrad"


@dataclass(frozen=True, slots=True)
class Tree:
    """A nesting: the tree of its leaves, which are dynamic, and the other ones.

    Args:
        spec: optree's description, or None for one bare leaf.
        dynamic: places, among the leaves, of those that are slots.
        statics: the other leaves by place, part of the recording.
    """

    spec: Any = None
    dynamic: tuple[int, ...] = (0,)
    statics: tuple[tuple[int, Any], ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle: optree must know the classes before it meets the description."""
        if self.spec is None:
            return Tree, (None, self.dynamic, self.statics)
        kinds, pending = set(), [self.spec]
        while pending:
            node = pending.pop()
            if _is_dataclass_type(node.type):
                kinds.add(node.type)
            pending += node.children()
        inside = pickle.dumps(self.spec)
        return _rebuilt, (tuple(kinds), inside, self.dynamic, self.statics)

    @property
    def bare(self) -> bool:
        """Whether it is one bare leaf."""
        return self.spec is None

    def build(self, leaves: Sequence[Any], statics: bool = True) -> Any:
        """Nest the dynamic leaves again; static places get their value, or None."""
        if self.spec is None:
            return leaves[0]
        places: list[Any] = [None] * self.spec.num_leaves
        for place, leaf in zip(self.dynamic, leaves, strict=True):
            places[place] = leaf
        if statics:
            for place, value in self.statics:
                places[place] = value
        import optree

        return optree.tree_unflatten(self.spec, places)


def _rebuilt(
    kinds: tuple[type, ...],
    inside: bytes,
    dynamic: tuple[int, ...],
    statics: tuple[tuple[int, Any], ...],
) -> Tree:
    """Unpickle a tree."""
    from tapegrad.tape.files.trees import know_stand_ins, registered

    know_stand_ins()
    for kind in kinds:
        if registered(kind) is None:
            register(kind)
    return Tree(pickle.loads(inside), dynamic, statics)  # noqa: S301 - our own pickle


@dataclass(frozen=True, slots=True)
class Structure:
    """How a tape is called.

    Args:
        arguments: a tree for each argument, positional ones first.
        names: their names, where they are known.
        keywords: names of the arguments that were passed by keyword, last.
        result: the tree of the outputs.
    """

    arguments: tuple[Tree, ...] = ()
    keywords: tuple[str, ...] = ()
    result: Tree = Tree()
    names: tuple[str, ...] = ()

    @property
    def positional(self) -> int:
        """Number of positional arguments."""
        return len(self.arguments) - len(self.keywords)


def flatten(value: Any, is_dynamic: Callable[[Any], bool]) -> tuple[list[Any], Tree]:
    """Take a nesting apart.

    Args:
        value: any nesting of dict, list, tuple and dataclass.
        is_dynamic: tells the leaves that become slots.

    Returns:
        The dynamic leaves in order, and the tree.
    """
    if is_dynamic(value):
        return [value], Tree()
    leaves, spec = _taken_apart(value)
    dynamic = tuple(place for place, leaf in enumerate(leaves) if is_dynamic(leaf))
    statics = tuple(
        (place, leaf) for place, leaf in enumerate(leaves) if not is_dynamic(leaf)
    )
    return [leaves[place] for place in dynamic], Tree(spec, dynamic, statics)


def _taken_apart(value: Any) -> tuple[list[Any], Any]:
    """All leaves, and the tree that they hang on."""
    import optree

    while True:
        leaves, spec = optree.tree_flatten(
            value, none_is_leaf=True, namespace=NAMESPACE
        )
        unknown = {type(leaf) for leaf in leaves if _is_dataclass(leaf)}
        if not unknown:
            return leaves, spec
        for kind in unknown:
            register(kind)


def paths(tree: Tree, name: str) -> list[str]:
    """Names of the dynamic leaves: ``w``, ``w[0]``, ``w['a'].b``."""
    if tree.spec is None:
        return [name]
    accessors = tree.spec.accessors()
    return [accessors[place].codify(name) for place in tree.dynamic]


def match(tree: Tree, value: Any, name: str, *, statics: bool = True) -> list[Any]:
    """The leaves of an argument at the places of the recorded dynamic ones.

    What stands there need not be a float; whether it is a number is asked later.

    Args:
        tree: the recorded nesting.
        value: what was passed.
        name: of the argument, for messages.
        statics: the other leaves must be the recorded ones, too.

    Raises:
        ShapeError: another nesting, or another static value; names the argument.
    """
    if tree.spec is None:
        return [value]
    leaves, spec = _taken_apart(value)
    if spec != tree.spec and not _alike(spec, tree.spec):
        msg = (
            f"argument {name} nests as {spec}, but was recorded as "
            f"{_describe(tree)}; pass the same structure, or record again"
        )
        raise ShapeError(msg)
    for place, kept in tree.statics if statics else ():
        given = leaves[place]
        if type(given) is not type(kept) or given != kept:
            msg = (
                f"argument {name} holds the static value {given!r} at leaf {place}, "
                f"but was recorded with {kept!r}; static values are part of the "
                "recording: record again, or pass a float"
            )
            raise ShapeError(msg)
    return [leaves[place] for place in tree.dynamic]


def _alike(one: Any, two: Any) -> bool:
    """Whether classes differ only in that a stand-in from a file is one of them."""
    from tapegrad.tape.files.trees import alike

    return alike(one, two)


def _describe(tree: Tree) -> str:
    text = str(tree.spec)
    statics = ", ".join(repr(value) for _, value in tree.statics)
    return text + (f" with static {statics}" if statics else "")


def _is_dataclass(leaf: Any) -> bool:
    return dataclasses.is_dataclass(leaf) and not isinstance(leaf, type)


def _is_dataclass_type(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) and isinstance(kind, type)


def register(kind: type) -> None:
    """Teach optree a dataclass: its fields are its children."""
    import optree

    names = [field.name for field in dataclasses.fields(kind)]

    def take_apart(value: Any) -> tuple[list[Any], None, list[str]]:
        return [getattr(value, name) for name in names], None, names

    def put_together(_: object, children: Iterable[Any]) -> Any:
        made: Any = object.__new__(kind)  # no __init__: it may check or compute
        for name, child in zip(names, children, strict=True):
            object.__setattr__(made, name, child)
        return made

    optree.register_pytree_node(
        kind,
        take_apart,
        put_together,
        path_entry_type=optree.GetAttrEntry,
        namespace=NAMESPACE,
    )
