"""Tapes as graphs of a dozen kinds of nodes, before loops are made. Floor 9.

A node gives one array. What it is, is its ``op``:

    input, const        read where they stand
    map, cast           entry by entry; operands broadcast
    axes, index, reshape        views: other places of the same entries
    scatter, set, concat, tri   at each place one operand's entry, or zero
    gather              places read from integer arrays
    reduce              add, mul, maximum, minimum, and, or over axes
    call                a routine that takes and gives whole arrays; part of one
    guard               the outcome of a comparison

``lower`` decides which nodes are stored; all others are computed where they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.passes.dead import guarded
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING, Shape, reduced

VIEWS = frozenset({"axes", "index", "reshape"})
PURE = VIEWS | {
    "map",
    "cast",
    "scatter",
    "set",
    "concat",
    "tri",
    "gather",
    "reduce",
    "call",
}
GIVEN = frozenset({"input", "const"})


class Node:
    """One array of the graph.

    Args:
        number: place in the graph; operands stand below.
        op: see the module's text.
        args: operands.
        shape, dtype: of the array.
        params: what else the op needs.
    """

    __slots__ = ("args", "dtype", "number", "op", "params", "shape", "size")

    def __init__(
        self,
        number: int,
        op: str,
        args: Sequence[Node],
        shape: Shape,
        dtype: str,
        params: Mapping[str, Any],
    ) -> None:
        self.number = number
        self.op = op
        self.args = tuple(args)
        self.shape = shape
        self.dtype = dtype
        self.params = params
        self.size = math.prod(shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __repr__(self) -> str:
        args = ", ".join(str(arg.number) for arg in self.args)
        return f"{self.number}: {self.op}({args}) {self.shape} {self.dtype}"


class Graph:
    """Nodes in order, and the words that append them."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._known: dict[Any, Node] = {}
        self.tapes: dict[str, Any] = {}  # bodies of loops, by their digests

    def add(
        self, op: str, args: Sequence[Node], shape: Shape, dtype: str, **params: Any
    ) -> Node:
        """A node; of equal ones without memory of their own there is one."""
        if op not in PURE:
            return self.copy(op, args, shape, dtype, **params)
        words = [
            (name, value.name if name == "row" else repr(value))
            for name, value in params.items()
        ]
        key = (op, tuple(arg.number for arg in args), tuple(shape), dtype, *words)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self.copy(op, args, shape, dtype, **params)
        return found

    def copy(
        self, op: str, args: Sequence[Node], shape: Shape, dtype: str, **params: Any
    ) -> Node:
        """A new node."""
        node = Node(len(self.nodes), op, args, tuple(shape), dtype, params)
        self.nodes.append(node)
        return node

    # -- words -----------------------------------------------------------------

    def const(self, value: Any) -> Node:
        """A constant; an array of equal entries is one number, spread."""
        array = np.asarray(value)
        if array.ndim and array.size:
            first = array.reshape(-1)[:1]
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            if (raw.reshape(array.size, -1) == first.view(np.uint8)).all():
                return self.spread(self.const(first[0]), array.shape, ())
        return self.add("const", (), array.shape, array.dtype.name, value=array)

    def number(self, value: float, like: Node) -> Node:
        """A number in the dtype of a node."""
        return self.const(np.dtype(like.dtype).type(value))

    def map(self, name: str, *args: Node, **params: Any) -> Node:
        """A row, entry by entry."""
        row = TABLE[name]
        truth = row.kind == "predicate"
        arms = args[1:] if row.kind == "select" else args
        kinds = [arg.dtype for arg in arms]
        floats = [kind for kind in kinds if kind in FLOATING]
        dtype = "bool" if truth else (*floats, *kinds)[0]
        shape = np.broadcast_shapes(*(arg.shape for arg in args))
        return self.add("map", args, shape, dtype, row=row, params=params)

    def cast(self, x: Node, dtype: str) -> Node:
        """Another dtype."""
        return x if x.dtype == dtype else self.add("cast", (x,), x.shape, dtype)

    def axes(self, x: Node, shape: Shape, where: Sequence[int | None]) -> Node:
        """A view: axis a of x runs along axis ``where[a]``; None for one of size 1."""
        if tuple(where) == tuple(range(len(shape))) and shape == x.shape:
            return x
        return self.add("axes", (x,), shape, x.dtype, where=tuple(where))

    def spread(self, x: Node, shape: Shape, lost: Sequence[int]) -> Node:
        """x against a shape that has some further axes, ``lost``."""
        kept = [axis for axis in range(len(shape)) if axis not in lost]
        kept = kept[len(kept) - len(x.shape) :]
        where = [a if n != 1 else None for a, n in zip(kept, x.shape, strict=True)]
        return self.axes(x, tuple(shape), where)

    def broadcast(self, x: Node, shape: Shape) -> Node:
        """NumPy's broadcasting."""
        return x if x.shape == tuple(shape) else self.spread(x, shape, ())

    def transpose(self, x: Node, axes: Sequence[int]) -> Node:
        """Axes in another order."""
        shape = tuple(x.shape[axis] for axis in axes)
        return self.axes(x, shape, [list(axes).index(a) for a in range(len(axes))])

    def swapped(self, x: Node) -> Node:
        """Each matrix of a stack transposed."""
        n = len(x.shape)
        return self.transpose(x, (*range(n - 2), n - 1, n - 2))

    def reshape(self, x: Node, shape: Shape) -> Node:
        """The same entries in another shape."""
        if x.shape == tuple(shape):
            return x
        mine = [a for a, n in enumerate(x.shape) if n != 1]
        other = [a for a, n in enumerate(shape) if n != 1]
        if [x.shape[a] for a in mine] == [shape[a] for a in other]:
            there = dict(zip(mine, other, strict=True))
            return self.axes(x, tuple(shape), [there.get(a) for a in range(x.ndim)])
        return self.add("reshape", (x,), shape, x.dtype)

    def reduce(self, kind: str, x: Node, axes: Sequence[int]) -> Node:
        """One of the reductions that a loop has; over no axes it is x."""
        if not axes:
            return x
        shape = reduced(x.shape, axes)
        return self.add("reduce", (x,), shape, x.dtype, kind=kind, axes=tuple(axes))

    def call(self, name: str, args: Sequence[Node], aval: Any, **params: Any) -> Node:
        """A routine with one result."""
        return self.add("call", args, *aval, name=name, **params)

    def calls(
        self, name: str, args: Sequence[Node], avals: Sequence[Any], **params: Any
    ) -> tuple[Node, ...]:
        """A routine with several results; asked for twice it is called once."""
        key = (name, tuple(arg.number for arg in args), tuple(sorted(params.items())))
        owner = self._known.get(key)
        if owner is None:
            owner = self.add("call", args, (), "several", name=name, **params)
            self._known[key] = owner
            for place, (shape, dtype) in enumerate(avals):
                part = self.add("part", (owner,), shape, dtype, place=place)
                self._known[key, place] = part
        return tuple(self._known[key, place] for place in range(len(avals)))

    def stays(self, node: Node) -> bool:
        """Whether a node is needed though nobody reads it: for a guard, or a check."""
        if node.op in {"guard", "check"}:
            return True
        if node.op != "call" or node.params.get("joined", False):
            return False
        bodies = [node.params[name] for name in ("body", "cond") if name in node.params]
        return any(guarded(self.tapes[body]) for body in bodies)
