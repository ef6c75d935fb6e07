"""Groups of nests as text: a loop over strips, and the nests of a strip in it. Floor 9.

A reduction of all rows goes on from strip to strip in memory. (A strip is one of the
blocks whose sums are summed, so that long sums round little.)
"""

from __future__ import annotations

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.items import Items, beginning
from tapegrad.native.arrays.plan import Item
from tapegrad.native.arrays.registers import Strip
from tapegrad.native.arrays.words import KINDS, TRUTH, stored


class StripLoops(Items):
    """Items, groups of nests among them."""

    def item(self, item: Item) -> None:
        """Write one item, or a group."""
        if not item.parts:
            super().item(item)
            return
        numbers = [node for node in item.nodes if not node.shape]
        cells = {node: self._at(self.arena.cell()) for node in numbers}
        own = frozenset(node.number for node in self.arena.strips)
        first, count = self.fresh("t"), self.fresh("n")
        self.strip = Strip(first, count, item.rows, own, cells)
        before, self.lines = self.lines, []
        try:
            begun = [node for part in item.parts for node in self._part(part)]
        finally:
            inner, self.lines, self.strip = self.lines, before, None
        for node in begun:
            self._fill(node, beginning(node))
        for node, cell in cells.items():
            self.put(KINDS[node.dtype], beginning(node), cell)
        (rows,) = item.domain

        def turn(i: str) -> None:
            left, few = self.fresh(), self.fresh()
            self.emit(
                f"{first} = mul nuw nsw i64 {i}, {item.rows}",
                f"{left} = sub nuw nsw i64 {rows}, {first}",
                f"{few} = icmp ult i64 {left}, {item.rows}",
                f"{count} = select i1 {few}, i64 {left}, i64 {item.rows}",
            )
            self.lines += inner

        self.loop(-(-rows // item.rows), turn)
        for node, cell in cells.items():
            self._reduced(node, cell)

    def _part(self, part: Item) -> list[Node]:
        """One nest of a strip; gives reductions over strips, which begin before."""
        results: dict[Node, str] = {}
        begun: set[Node] = set()
        rows = self.strip.most if self.strip else 0
        box = ((0, rows), *((0, size) for size in part.domain[1:]))
        text = self._boxes(part.nodes, box, results, begun)
        for (
            node
        ) in part.nodes:  # not of the set: its order is not that of all processes
            if node in begun and node in self.arena.strips:
                self._fill(node, beginning(node), rows * node.size // node.shape[0])
        self.emit(text)
        return [node for node in part.nodes if node in begun - self.arena.strips.keys()]

    def _reduced(self, node: Node, cell: str) -> None:
        """The register of a number that all strips have reduced to."""
        kind, name = KINDS[node.dtype], self.fresh()
        self.emit(f"{name} = load {stored(kind)}, ptr {cell}")
        if kind == TRUTH:
            truth = self.fresh()
            self.emit(f"{truth} = icmp ne i8 {name}, 0")
            name = truth
        self._registers[node] = name, len(self.done)
        if node in self.plan.home:
            self._result(node, name)
