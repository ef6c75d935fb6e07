"""The arena: where stored arrays stand, each as long as it is read. Floor 9.

Offsets are chosen in the order of the code, first fit, so that an array takes the place
of one that is not read any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tapegrad.native.arrays.graph import GIVEN, Node
from tapegrad.native.arrays.words import BYTES, KINDS

if TYPE_CHECKING:
    from tapegrad.native.arrays.plan import Plan

ALIGNMENT = 64


class Arena:
    """Places of stored arrays.

    Args:
        plan: what is stored, and when it is read.
    """

    def __init__(self, plan: Plan) -> None:
        self.nbytes = 0
        self._plan = plan
        self._free: list[tuple[int, int]] = []
        self._places: dict[Node, tuple[int, int]] = {}
        self._scratch: list[tuple[int, int]] = []
        self._cells: list[int] = []
        self._last: dict[Node, int] = {}
        for place, item in enumerate(plan.items):
            for node in (*item.nodes, *item.reads):
                self._last[plan.same.get(node, node)] = place

    def _held(self, node: Node) -> bool:
        plan = self._plan
        return (
            node in plan.stored
            and node.op not in GIVEN
            and node not in plan.home
            and not plan.is_number(node)
        )

    def begin(self, place: int) -> None:
        """Room for what an item makes."""
        for each in self._plan.items[place].nodes:
            node = self._plan.same.get(each, each)
            if self._held(node) and node not in self._places:
                size = max(node.size * BYTES[KINDS[node.dtype]], 1)
                self._places[node] = self._take(size)

    def end(self, place: int) -> None:
        """Free what no later item reads."""
        item = self._plan.items[place]
        for each in dict.fromkeys((*item.nodes, *item.reads)):
            node = self._plan.same.get(each, each)
            if node in self._places and self._last[node] == place:
                self._give(*self._places.pop(node))
        for block in self._scratch:
            self._give(*block)
        self._scratch = []

    def place(self, node: Node) -> int:
        """The offset of an array."""
        return self._places[node][0]

    def scratch(self, size: int) -> int:
        """Room for the item that is being made, only."""
        block = self._take(max(size, 1))
        self._scratch.append(block)
        return block[0]

    def cell(self) -> int:
        """Room for a number, for good."""
        if not self._cells:
            start, _ = self._take(ALIGNMENT)
            self._cells = list(range(start, start + ALIGNMENT, 8))
        return self._cells.pop(0)

    def late(self, node: Node, place: int) -> bool:
        """Whether an item after a place reads a node."""
        return self._last[node] > place

    def _take(self, size: int) -> tuple[int, int]:
        size = -(-size // ALIGNMENT) * ALIGNMENT
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

    def _give(self, start: int, size: int) -> None:
        blocks = sorted([*self._free, (start, size)])
        joined: list[tuple[int, int]] = []
        for begin, room in blocks:
            if joined and sum(joined[-1]) == begin:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((begin, room))
        self._free = joined
