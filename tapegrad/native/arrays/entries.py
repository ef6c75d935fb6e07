"""What is computed at one entry: operations on places, before there is text. Floor 9.

The value of a node at a place (`Term`s of the loops around) is an operation on the
values of its operands at theirs; it ends in loads of stored arrays, in numbers and in
registers. Equal ones are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.places import (
    FIRST,
    Box,
    Stored,
    Term,
    Terms,
    View,
    identity,
    span,
    within,
)
from tapegrad.native.arrays.words import KINDS, number


@dataclass(frozen=True, slots=True)
class Linear:
    """An affine function of all loop counters, each counted from 0."""

    constant: int
    steps: tuple[int, ...]


@dataclass(slots=True)
class Operation:
    """One value: what it is, its type, the values and places that it needs."""

    what: str
    kind: str
    args: tuple[int, ...] = ()
    place: Linear | None = None
    extra: Any = None


class Storage(Protocol):
    """What is known of arrays that stand in memory or in registers."""

    def view(self, node: Node) -> View | None:
        """Where a node's entries stand, if they do."""

    def register(self, node: Node) -> str | None:
        """The register of a number."""


@dataclass(slots=True)
class Entries:
    """The operations of a loop nest over one box.

    Args:
        storage: what stands in memory.
        box: the range of each counter.
        made: stored nodes that this nest itself makes, at the same entry.
    """

    storage: Storage
    box: Box
    made: frozenset[Node] = frozenset()
    operations: list[Operation] = field(default_factory=list)
    _known: dict[Any, int] = field(default_factory=dict)

    def add(
        self,
        what: str,
        kind: str,
        args: tuple[int, ...] = (),
        place: Linear | None = None,
        extra: Any = None,
    ) -> int:
        """The number of an operation, made when it is new."""
        key = (what, kind, args, place, extra)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.operations)
            self.operations.append(Operation(what, kind, args, place, extra))
        return found

    def linear(self, terms: Terms, strides: Sequence[int], offset: int = 0) -> Linear:
        """Terms and steps as one function of the counters."""
        steps = [0] * len(self.box)
        for (loop, coefficient, constant), stride in zip(terms, strides, strict=True):
            offset += stride * constant
            if loop >= 0:
                steps[loop] += stride * coefficient
                offset += stride * coefficient * self.box[loop][0]
        return Linear(offset, tuple(steps))

    def value(self, node: Node, terms: Terms) -> int:
        """The value of a node at a place."""
        key = (node.number, terms)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._value(node, terms)
        return found

    def _value(self, node: Node, terms: Terms) -> int:
        kind = KINDS[node.dtype]
        if node.op == "const" and not node.shape:
            return self.add(
                "number", kind, extra=number(node.params["value"][()], kind)
            )
        if node not in self.made or terms != identity(node.shape):
            name = self.storage.register(node)
            if name is not None:
                return self.add("register", kind, extra=name)
            view = self.storage.view(node)
            if view is not None:
                return self._load(view, terms, kind)
            if node in self.made:
                raise Stored(node)
        found: int = getattr(self, f"_{node.op}")(node, terms)
        return found

    def _load(self, view: View, terms: Terms, kind: str) -> int:
        if view.base.op == "const" and not view.base.shape:
            return self.value(view.base, ())
        name = self.storage.register(view.base)
        if name is not None and view.base.size == 1:
            return self.add("register", kind, extra=name)
        place = self.linear(terms, view.strides, view.offset)
        return self.add("load", kind, (), place, view.base.number)

    def _zero(self, node: Node) -> int:
        kind = KINDS[node.dtype]
        return self.add("number", kind, extra=number(0, kind))

    def settled(self, node: Node, made: int) -> int:
        """A value of a node, and 0.0 where that is -0.0."""
        extra = ("add", _Params())
        return self.add("map", KINDS[node.dtype], (made, self._zero(node)), extra=extra)

    # -- one function an op ----------------------------------------------------

    def _map(self, node: Node, terms: Terms) -> int:
        args = tuple(self.value(arg, _against(arg, terms)) for arg in node.args)
        extra = (node.params["row"].name, _Params(node.params["params"]))
        return self.add("map", KINDS[node.dtype], args, extra=extra)

    def _cast(self, node: Node, terms: Terms) -> int:
        arg = self.value(node.args[0], terms)
        if self.operations[arg].kind == KINDS[node.dtype]:
            return arg
        return self.add("cast", KINDS[node.dtype], (arg,))

    def _axes(self, node: Node, terms: Terms) -> int:
        where = node.params["where"]
        mine = tuple(FIRST if axis is None else terms[axis] for axis in where)
        return self.value(node.args[0], mine)

    def _index(self, node: Node, terms: Terms) -> int:
        mine = []
        left = iter(terms)
        for entry in node.params["key"]:
            if entry is None:
                next(left)
            elif isinstance(entry, tuple):
                mine.append(_moved(next(left), entry))
            else:
                mine.append(Term(-1, 0, entry))
        return self.value(node.args[0], tuple(mine))

    def _reshape(self, node: Node, terms: Terms) -> int:
        del terms
        raise Stored(node.args[0])

    def _inside(self, node: Node, terms: Terms) -> Terms | None:
        """The place in what a key cuts out; None outside it."""
        mine = []
        left = iter(terms)
        for entry in node.params["key"]:
            if entry is None:
                mine.append(FIRST)
                continue
            found = within(next(left), entry, self.box, node)
            if found is None:
                return None
            if isinstance(entry, tuple):
                mine.append(FIRST if entry[1] == 1 else found)
        return tuple(mine)

    def _scatter(self, node: Node, terms: Terms) -> int:
        mine = self._inside(node, terms)
        return self._zero(node) if mine is None else self.value(node.args[0], mine)

    def _set(self, node: Node, terms: Terms) -> int:
        mine = self._inside(node, terms)
        if mine is None:
            return self.value(node.args[0], terms)
        return self.value(node.args[1], mine)

    def _concat(self, node: Node, terms: Terms) -> int:
        axis, starts = node.params["axis"], node.params["starts"]
        low, _ = span(terms[axis], self.box)
        for part, start, end in zip(node.args, starts, starts[1:], strict=False):
            if start <= low < end:
                found = within(terms[axis], (start, end - start, 1), self.box, node)
                found = FIRST if found is None or end - start == 1 else found
                return self.value(part, (*terms[:axis], found, *terms[axis + 1 :]))
        raise Stored(node)

    def _tri(self, node: Node, terms: Terms) -> int:
        k, lower = node.params["k"], node.params["lower"]
        rows, columns = span(terms[-2], self.box), span(terms[-1], self.box)
        least, most = columns[0] - rows[1] - k, columns[1] - rows[0] - k
        if (most <= 0) if lower else (least >= 0):
            return self.value(node.args[0], terms)
        if (least > 0) if lower else (most < 0):
            return self._zero(node)
        arg = self.value(node.args[0], terms)
        place = self.linear(terms[-2:], (-1, 1), -k)
        word = "sle" if lower else "sge"
        return self.add("keep", KINDS[node.dtype], (arg,), place, word)

    def _gather(self, node: Node, terms: Terms) -> int:
        view = self.storage.view(node.args[0])
        if view is None:
            raise Stored(node.args[0])
        if not view.base.shape:  # spread from one number, which may have no address
            kind, name = KINDS[node.dtype], self.storage.register(view.base)
            if name is not None:
                return self.add("register", kind, extra=name)
            if view.base.op == "const":
                return self.value(view.base, ())
        terms, strides, indices = self.picked(node, terms, view, node.args[1:])
        place = self.linear(terms, strides, view.offset)
        args = tuple(place for place, _, _ in indices)
        extra = (view.base.number, tuple((step, size) for _, step, size in indices))
        return self.add("pick", KINDS[node.dtype], args, place, extra)

    def picked(
        self, node: Node, terms: Terms, view: View, at: Sequence[Node]
    ) -> tuple[Terms, tuple[int, ...], list[tuple[int, int, int]]]:
        """The fixed part of a place that integer arrays pick, and the other part.

        Returns:
            Terms and steps of the axes without an array; for each array its value, the
            step and the size of its axis.
        """
        wide, front = node.params["wide"], node.params["front"]
        shape = node.args[0].shape if node.op != "scatter_add" else node.shape
        spread = terms[front : front + wide]
        left = iter((*terms[:front], *terms[front + wide :]))
        arrays = iter(at)
        mine, strides, indices, axis = [], [], [], 0
        for entry in node.params["key"]:
            if entry is None:
                next(left)
                continue
            step = view.strides[axis]
            if entry == "a":
                array = next(arrays)
                place = self.value(array, _against(array, spread))
                indices.append((place, step, shape[axis]))
            else:
                found = Term(-1, 0, entry) if isinstance(entry, int) else None
                mine.append(found or _moved(next(left), entry))
                strides.append(step)
            axis += 1
        return tuple(mine), tuple(strides), indices


def _against(node: Node, terms: Terms) -> Terms:
    """The place in an operand that is broadcast."""
    mine = terms[len(terms) - node.ndim :]
    return tuple(
        FIRST if size == 1 else term
        for size, term in zip(node.shape, mine, strict=True)
    )


def _moved(term: Term, entry: tuple[int, int, int]) -> Term:
    """The place in the whole, of a place in a slice."""
    start, _, step = entry
    if term.loop < 0:
        return Term(-1, 0, start + step * term.offset)
    return Term(term.loop, step * term.coefficient, start + step * term.offset)


class _Params(dict[str, Any]):
    """Static parameters, hashable."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(sorted((name, repr(value)) for name, value in self.items())))
