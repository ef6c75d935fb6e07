"""Loop nests as LLVM text: entries computed at the outermost loop they allow. Floor 9.

Loops that always run on together become one (the entries of contiguous arrays are one
row, whatever their shape). What depends on outer counters only is computed there. A sum
runs in a register through the innermost loops that it reduces, in several parts at a
time: its order is free (`reassoc`). Entries of different turns of the innermost loop
are independent, and the text says so, so that LLVM makes vectors of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tapegrad.native.arrays.entries import Linear
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.registers import Registers, moved_by
from tapegrad.native.arrays.sums import block_of, identity_of, update
from tapegrad.native.arrays.words import TRUTH, stored

# A sum of so many entries waits for each addition, unless it runs in several parts.
# (With many operations an entry there is other work to do meanwhile.)
LONG, PARTS, SHORT = 256, 4, 20


@dataclass(frozen=True, slots=True)
class Pick:
    """Places that integers say: their values, and the steps and sizes of the axes.

    Args:
        values: numbers of operations.
        axes: step and size of each.
        add: entries are added to what is there.
    """

    values: tuple[int, ...]
    axes: tuple[tuple[int, int], ...]
    add: bool


@dataclass(slots=True)
class Sink:
    """Where a value goes: an array, or a reduction of it.

    Args:
        node: what is made.
        value: the number of the operation.
        place: where an entry goes in its buffer.
        kind: how it is reduced; empty for a plain store.
        before: the register of a number that other boxes have reduced, or "".
        pick: further axes, whose places are computed; entries go there in order.
        into: entries go to memory one by one, joined by kind to what is there.
    """

    node: Node
    value: int
    place: Linear
    kind: str = ""
    before: str = ""
    pick: Pick | None = None
    into: bool = False


# A reduction in a register: the sink, the loop around it, and what is added each turn.
Running = tuple[Sink, int, str]
# With each: the register of the sum so far as each loop finds it, and as it leaves it.
Accumulators = list[tuple[Running, dict[int, str], list[str]]]


@dataclass(slots=True)
class Nest(Registers):
    """One nest, as text.

    Args:
        entries: its operations.
        sinks: what it makes.
        out: the function.
        boxes: whether other boxes add to the same reductions.

    Attributes:
        results: registers of reductions to one number, by node.
        begun: reductions whose buffer must hold the identity before.
    """

    sinks: Sequence[Sink] = ()
    boxes: bool = False
    results: dict[Node, str] = field(default_factory=dict)
    begun: set[Node] = field(default_factory=set)
    _tails: list[list[str]] = field(default_factory=list)

    def text(self) -> str:
        """The instructions; falls through at the end."""
        self._merge()
        depth = len(self._extents)
        self._lines = [[] for _ in range(depth + 1)]
        self._tails = [[] for _ in range(depth + 1)]
        self._counters = [self.out.fresh("i") for _ in range(depth + 1)]
        loop = ""
        if depth and not any(sink.pick for sink in self.sinks):
            sums = any(sink.kind and not sink.into for sink in self.sinks)
            short = len(self.entries.operations) <= SHORT
            long = sums and short and self._extents[-1] >= LONG
            few = self.strip is not None and self.strip.few
            parts = 0 if few else PARTS if long else 1
            self._mark, loop = self.out.parallel(parts)
        running: list[Running] = []
        for sink in self.sinks:
            self._value(sink.value)
        for sink in self.sinks:
            self._sink(sink, running)
        return self._nested(running, loop)

    # -- loops -----------------------------------------------------------------

    def _merge(self) -> None:
        """Drop loops of one turn, and join a loop to the next where all places do."""
        entries = self.entries
        sizes = [high - low for low, high in entries.box]
        places = [op.place for op in entries.operations if op.place is not None]
        places += [sink.place for sink in self.sinks]
        for axis, size in enumerate(sizes):
            if size == 1:
                continue
            if self._loops:
                last, _ = self._loops[-1]
                if all(p.steps[last] == p.steps[axis] * size for p in places):
                    self._loops[-1] = (axis, 1)
                    self._extents[-1] *= size
                    continue
            self._loops.append((axis, 1))
            self._extents.append(size)
        self._block()

    def _block(self) -> None:
        """Cut a long sum into blocks: sums of sums round less. A strip is a block."""
        if not self._loops or self.strip is not None:
            return
        axis, _ = self._loops[-1]
        size = self._extents[-1]
        sums = any(sink.kind and not sink.place.steps[axis] for sink in self.sinks)
        block = block_of(size) if sums else 0
        if block:
            self._loops[-1:] = [(axis, block), (axis, 1)]
            self._extents[-1:] = [size // block, block]

    def _accumulated(self, running: Sequence[Running]) -> Accumulators:
        """The sums that run through the innermost loops, added to in their bodies."""
        depth = len(self._extents)
        carried: list[dict[int, str]] = []
        updated: list[list[str]] = []
        for sink, level, value in running:
            kind = self.entries.operations[sink.value].kind
            identity = identity_of(sink.kind, kind)
            mine = {level: sink.before or identity}
            for inner in range(level + 1, depth + 1):
                mine[inner] = self.out.fresh("a")
            carried.append(mine)
            last, word = self.out.fresh("a"), update(self.out, sink.kind, kind)
            text = word.format(a=mine[depth], x=value)
            self._lines[depth].append(f"{last} = {text}")
            total = last
            if depth - level > 1:  # the innermost sum begins anew each time
                total = self.out.fresh("a")
                text = word.format(a=mine[depth - 1], x=last)
                self._tails[depth - 1].append(f"{total} = {text}")
            updated.append([total] * depth + [last])
            self._reduced(sink, level, total)
        return list(zip(running, carried, updated, strict=True))

    def _nested(self, running: Sequence[Running], loop: str) -> str:
        """The loops around all lines."""
        depth = len(self._extents)
        labels = [self.out.fresh("b")[1:] for _ in range(3 * (depth + 1))]
        accumulators = self._accumulated(running)
        lines = list(self._lines[0])
        turns = self._turns(lines)
        for level in range(1, depth + 1):
            enter, body = labels[3 * level], labels[3 * level + 1]
            latch = labels[3 * level + 2]
            i = self._counters[level]
            lines += [
                f"br label %{enter}",
                f"{enter}:",
                f"br label %{body}",
                f"{body}:",
            ]
            lines.append(f"{i} = phi i64 [ 0, %{enter} ], [ {i}n, %{latch} ]")
            for (sink, first, _), mine, ends in accumulators:
                if level > first:
                    kind = self.entries.operations[sink.value].kind
                    start = mine[level - 1]
                    if level == depth and depth - first > 1:
                        start = identity_of(sink.kind, kind)
                    lines.append(
                        f"{mine[level]} = phi {kind} [ {start}, %{enter} ], "
                        f"[ {ends[level]}, %{latch} ]"
                    )
            if level < depth:
                lines += self._lines[level]
            else:
                lines += [f"br label %{latch}", f"{latch}:", *self._lines[level]]
        for level in range(depth, 0, -1):
            latch, i = labels[3 * level + 2], self._counters[level]
            if level < depth:
                lines += [*self._tails[level], f"br label %{latch}", f"{latch}:"]
            leave = self.out.fresh("b")[1:]
            end = turns[level - 1]
            mark = f", !llvm.loop {loop}" if loop and level == depth else ""
            lines += [
                f"{i}n = add nuw nsw i64 {i}, 1",
                f"{i}c = icmp ult i64 {i}n, {end}",
                f"br i1 {i}c, label %{labels[3 * level + 1]}, label %{leave}{mark}",
                f"{leave}:",
            ]
        lines += self._tails[0]
        return "\n".join(lines) + "\n"

    def _turns(self, lines: list[str]) -> list[str]:
        """How often each loop turns: literals, or registers."""
        turns = [self.out.extent(size) for size in self._extents]
        low, high = self.entries.box[0] if self.entries.box else (0, 1)
        if self.strip is not None and high - low > 1:  # the first loop runs over rows
            inner, turns[0] = self._extents[0] // self.strip.most, self.strip.count
            if inner > 1:
                turns[0] = self.out.fresh()
                lines.append(f"{turns[0]} = mul nuw i64 {self.strip.count}, {inner}")
        return turns

    # -- sinks -----------------------------------------------------------------

    def _sink(self, sink: Sink, running: list[Running]) -> None:
        name, _ = self._value(sink.value)
        depth = len(self._extents)
        if sink.pick is not None:
            self._picked(sink, sink.pick, name)
            return
        if sink.into:
            if sink.kind:
                kind = self.entries.operations[sink.value].kind
                lines = self._lines[depth]
                node = sink.node.number
                address = self._address(node, sink.place, kind, depth, lines)
                old, total = self._loaded(address, kind, depth, lines), self.out.fresh()
                word = update(self.out, sink.kind, kind, ordered=True)
                lines.append(f"{total} = {word.format(a=old, x=name)}")
                name = total
            self._store(sink, name, depth)
            return
        if not sink.kind:
            if sink.node.shape:
                self._store(sink, name, depth)
            else:
                self.results[sink.node] = name
            return
        steps = self._steps(sink.place)
        level = max((at for at, step in enumerate(steps) if step), default=0)
        if level < depth:
            running.append((sink, level, name))
        else:
            self._reduced(sink, level, name, single=True)

    def _reduced(
        self, sink: Sink, level: int, name: str, *, single: bool = False
    ) -> None:
        """A reduction is done up to a level: to its buffer, or to a register."""
        depth = len(self._extents)
        lines = self._lines[level] if level == depth else self._tails[level]
        kind = self.entries.operations[sink.value].kind
        if not sink.node.shape:
            if single and sink.before:
                joined = self.out.fresh()
                text = update(self.out, sink.kind, kind).format(a=sink.before, x=name)
                lines.append(f"{joined} = {text}")
                name = joined
            self.results[sink.node] = name
            if self.strip is not None:
                cell = self.strip.cells[sink.node]
                name = self._joined(sink, cell, name, level, lines)
                self._put(cell, name, kind, lines)
            return
        steps = self._steps(sink.place)
        again = self.strip is not None and not sink.place.steps[0]
        if self.boxes or again or any(not step for step in steps[1 : level + 1]):
            self.begun.add(sink.node)
            address = self._address(sink.node.number, sink.place, kind, level, lines)
            name = self._joined(sink, address, name, level, lines)
        self._store(sink, name, level, lines)

    def _joined(
        self,
        sink: Sink,
        address: str,
        name: str,
        level: int,
        lines: list[str],
        *,
        ordered: bool = False,
    ) -> str:
        """What a reduction gives with what has been reduced before, at an address."""
        kind = self.entries.operations[sink.value].kind
        old, total = self._loaded(address, kind, level, lines), self.out.fresh()
        word = update(self.out, sink.kind, kind, ordered=ordered)
        lines.append(f"{total} = {word.format(a=old, x=name)}")
        return total

    def _store(
        self, sink: Sink, name: str, level: int, lines: list[str] | None = None
    ) -> None:
        lines = self._lines[level] if lines is None else lines
        kind = self.entries.operations[sink.value].kind
        address = self._address(sink.node.number, sink.place, kind, level, lines)
        mark = self._mark if level == len(self._extents) else ""
        self._put(address, name, kind, lines, mark)

    def _put(
        self, address: str, name: str, kind: str, lines: list[str], mark: str = ""
    ) -> None:
        if kind == TRUTH:
            byte = self.out.fresh()
            lines.append(f"{byte} = zext i1 {name} to i8")
            name = byte
        lines.append(f"store {stored(kind)} {name}, ptr {address}{mark}")

    def _picked(self, sink: Sink, pick: Pick, name: str) -> None:
        depth = len(self._extents)
        lines = self._lines[depth]
        kind = self.entries.operations[sink.value].kind
        names = [self._value(value)[0] for value in pick.values]
        address = self._address(sink.node.number, sink.place, kind, depth, lines)
        address = moved_by(self.out, lines, address, names, pick.axes, kind)
        if pick.add:
            old = self._loaded(address, kind, depth, lines)
            total = self.out.fresh()
            word = update(self.out, "add", kind, ordered=True)
            lines.append(f"{total} = {word.format(a=old, x=name)}")
            name = total
        self._put(address, name, kind, lines)
