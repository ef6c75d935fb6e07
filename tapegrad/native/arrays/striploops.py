"""Groups of nests as text: a loop over strips, and the nests of a strip in it. Floor 9.

A reduction of all rows goes on from strip to strip in memory, and so does the carry of
a scan. (A strip is one of the
blocks whose sums are summed, so that long sums round little.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tapegrad.native.arrays.cutting import beginning
from tapegrad.native.arrays.entries import Entries
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.items import Items
from tapegrad.native.arrays.nest import Nest, Sink
from tapegrad.native.arrays.plan import Item
from tapegrad.native.arrays.registers import Strip
from tapegrad.native.arrays.scanning import ScanLoop
from tapegrad.native.arrays.strips import TURNS
from tapegrad.native.arrays.words import KINDS, TRUTH, stored

# A scan of a body of so many steps takes the turns of a strip without a loop: where
# each waits for the one before, a wrong guess of the loop's end would cost as much.
STRAIGHT = 8


class StripLoops(Items):
    """Items, groups of nests among them."""

    def item(self, item: Item) -> None:
        """Write one item, or a group."""
        if not item.parts:
            super().item(item)
            return
        if item.back is not None:
            self._in_turns(item)
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

    # -- groups with scans ------------------------------------------------------

    def _in_turns(self, item: Item) -> None:
        """Strips of whole turns, and then the rest; nests beside run along."""
        (rows,), few = item.domain, item.rows
        scans = {
            part.nodes[0]: ScanLoop(self, part.nodes[0], part.nodes[1:])
            for part in item.parts
            if part.kind == "call"
        }
        boxes = [box for each in item.beside for box in self._boxes_beside(each)]
        full = rows // few
        both = min([full, *(box.rows // few for box in boxes)])
        for start, count, along in ((0, both, boxes), (both, full - both, [])):

            def turn(i: str, start: int = start, along: list[_Box] = along) -> None:
                at, first = self.fresh(), self.fresh()
                self.emit(
                    f"{at} = add nuw nsw i64 {i}, {start}",
                    f"{first} = mul nuw nsw i64 {at}, {few}",
                )
                for box in along:
                    self._along(box, first, few)
                if item.back:
                    last, first = first, self.fresh()
                    self.emit(f"{first} = sub nuw nsw i64 {rows - few}, {last}")
                self._turned(item, scans, first, few)

            if count:
                self.loop(count, turn)
        if rest := rows - full * few:
            self._turned(item, scans, "0" if item.back else str(full * few), rest)
        for box in boxes:
            if rest := box.rows - both * few:
                self._along(box, str(both * few), rest)
        for scan in scans.values():
            scan.end()

    def _turned(
        self, item: Item, scans: Mapping[Node, ScanLoop], first: str, count: int
    ) -> None:
        """The nests and scans of one strip."""
        own = frozenset(node.number for node in self.arena.strips)
        for part in item.parts:
            scan = scans.get(part.nodes[0])
            if scan is None:
                few = count < item.rows
                self.strip = Strip(first, str(count), item.rows, own, {}, few=few)
                try:
                    self._part(part)
                finally:
                    self.strip = None
                continue

            def turn(i: str, scan: ScanLoop = scan) -> None:
                near, at = i, self.fresh()
                if item.back:
                    near = self.fresh()
                    self.emit(f"{near} = sub nuw nsw i64 {count - 1}, {i}")
                self.emit(f"{at} = add nuw nsw i64 {near}, {first}")
                scan.turn(at, near, own)

            if count == item.rows and scan.steps <= STRAIGHT:
                for i in range(count):
                    turn(str(i))
            else:
                self.loop(count, turn)

    def _boxes_beside(self, item: Item) -> list[_Box]:
        """The long boxes of a nest; the short ones, at edges, are written here."""
        found = []
        box = tuple((0, size) for size in item.domain)
        for entries, values in self._cut(item.nodes, box):
            sinks = self._sinks(entries, item.nodes, values, {})
            low, high = entries.box[0]
            if high - low >= TURNS:
                found.append(_Box(entries, sinks, high - low))
            else:
                self.emit(Nest(entries, self, sinks=sinks).text())
            self.nests += 1
        return found

    def _along(self, box: _Box, first: str, count: int) -> None:
        """Some rows of a nest beside a group."""
        few = not first.startswith("%")
        strip = Strip(first, str(count), box.rows, frozenset(), {}, few=few)
        self.emit(Nest(box.entries, self, strip, sinks=box.sinks).text())


class _Box(NamedTuple):
    """A box of a nest that runs beside a group."""

    entries: Entries
    sinks: list[Sink]
    rows: int
