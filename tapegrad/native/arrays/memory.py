"""The arena: where stored arrays stand, each as long as it is read. Floor 9.

Offsets are chosen in the order of the code, first fit, so that an array takes the place
of one that is not read any more. What only a group of nests reads (see `strips`) has
room for one strip, in a block of the group's own: what the group reads from elsewhere
is read again in the next strip, and so its place is free only after the group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tapegrad.native.arrays.graph import GIVEN, Node
from tapegrad.native.arrays.strips import has_rows
from tapegrad.native.arrays.words import BYTES, KINDS

if TYPE_CHECKING:
    from tapegrad.native.arrays.plan import Item, Plan

ALIGNMENT = 64


class Room:
    """Memory that is taken and given back, block by block."""

    def __init__(self) -> None:
        self.nbytes = 0
        self._free: list[tuple[int, int]] = []

    def take(self, size: int) -> tuple[int, int]:
        """A block of at least so many bytes: where it begins, and its size."""
        size = -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
        for at, (start, room) in enumerate(self._free):
            if room >= size:
                self._free[at : at + 1] = (
                    [(start + size, room - size)] if room > size else []
                )
                return start, size
        start = self.nbytes
        if self._free and sum(self._free[-1]) == self.nbytes:
            start, _ = self._free.pop()
        self.nbytes = start + size
        return start, size

    def give(self, start: int, size: int) -> None:
        """Free a block."""
        blocks = sorted([*self._free, (start, size)])
        joined: list[tuple[int, int]] = []
        for begin, room in blocks:
            if joined and sum(joined[-1]) == begin:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((begin, room))
        self._free = joined


class Arena:
    """Places of stored arrays.

    Args:
        plan: what is stored, and when it is read.

    Attributes:
        strips: arrays of which there is one strip now, and its bytes.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._room = Room()
        self._places: dict[Node, tuple[int, int]] = {}
        self._scratch: list[tuple[int, int]] = []
        self._cells: list[int] = []
        self._last = self._last_uses(plan.items)
        self.strips: dict[Node, int] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of the arena."""
        return self._room.nbytes

    def _last_uses(self, items: Iterable[Item]) -> dict[Node, int]:
        same = self._plan.same
        return {
            same.get(node, node): place
            for place, item in enumerate(items)
            for node in (*item.nodes, *item.reads)
        }

    def _held(self, nodes: Iterable[Node]) -> list[Node]:
        """Those that have a place in the arena, or the nodes that they stand in."""
        plan = self._plan
        return [
            node
            for node in dict.fromkeys(plan.same.get(each, each) for each in nodes)
            if node in plan.stored
            and node.op not in GIVEN
            and node not in plan.home
            and not plan.is_number(node)
        ]

    def begin(self, place: int) -> None:
        """Room for what an item makes."""
        item = self._plan.items[place]
        self.strips = {}
        rows = {node for part in item.parts for node in part.nodes}
        for node in self._held(item.nodes):
            if node in rows and self._inner(node, place):
                self.strips[node] = item.rows * _bytes(node) // node.shape[0]
            elif node not in self._places:
                self._places[node] = self._room.take(_bytes(node))
        if self.strips:
            self._lay(item)

    def _inner(self, node: Node, place: int) -> bool:
        """Whether nothing but a group reads a node, which has the group's rows."""
        return has_rows(node) and self._last[node] == place

    def _lay(self, item: Item) -> None:
        """The group's block, and the places in it."""
        inner = Room()
        last = self._last_uses(item.parts)
        found: dict[Node, tuple[int, int]] = {}
        for place, part in enumerate(item.parts):
            for node in part.nodes:
                if node in self.strips:
                    found[node] = inner.take(self.strips[node])
            for node in dict.fromkeys((*part.nodes, *part.reads)):
                if node in found and last[node] == place:
                    inner.give(*found[node])
        base = self.scratch(inner.nbytes)
        for node, (start, size) in found.items():
            self._places[node] = base + start, size

    def end(self, place: int) -> None:
        """Free what no later item reads."""
        item = self._plan.items[place]
        for each in dict.fromkeys((*item.nodes, *item.reads)):
            node = self._plan.same.get(each, each)
            if node in self._places and self._last[node] == place:
                block = self._places.pop(node)
                if node not in self.strips:
                    self._room.give(*block)
        for block in self._scratch:
            self._room.give(*block)
        self._scratch, self.strips = [], {}

    def place(self, node: Node) -> int:
        """The offset of an array."""
        return self._places[node][0]

    def scratch(self, size: int) -> int:
        """Room for the item that is being made, only."""
        block = self._room.take(size)
        self._scratch.append(block)
        return block[0]

    def cell(self) -> int:
        """Room for a number, for good."""
        if not self._cells:
            start, _ = self._room.take(ALIGNMENT)
            self._cells = list(range(start, start + ALIGNMENT, 8))
        return self._cells.pop(0)

    def late(self, node: Node, place: int) -> bool:
        """Whether an item after a place reads a node."""
        return self._last[node] > place


def _bytes(node: Node) -> int:
    return node.size * BYTES[KINDS[node.dtype]]
