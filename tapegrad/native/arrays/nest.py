"""Loop nests as LLVM text: entries computed at the outermost loop they allow. Floor 9.

Loops that always run on together become one (the entries of contiguous arrays are one
row, whatever their shape). What depends on outer counters only is computed there. A sum
runs in a register through the innermost loops that it reduces, in several parts at a
time: its order is free (`reassoc`). Entries of different turns of the innermost loop
are independent, and the text says so, so that LLVM makes vectors of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tapegrad.native.arrays.entries import Entries, Linear, Operation
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.words import (
    DOUBLE,
    TRUTH,
    WHOLE,
    converted,
    number,
    stored,
)

# A sum of so many entries waits for each addition, unless it runs in several parts.
LONG, PARTS = 256, 4

IDENTITIES = {
    "add": 0.0,
    "mul": 1.0,
    "maximum": -math.inf,
    "minimum": math.inf,
    "or": False,
    "and": True,
}


class Writer(Protocol):
    """The function that the text goes into."""

    def fresh(self, letter: str = "v") -> str:
        """A new name."""

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""

    def form(self, name: str, kinds: Sequence[str], params: object, gives: str) -> str:
        """The template of a row at one entry."""

    def parallel(self, parts: int) -> tuple[str, str]:
        """New marks: of loads and stores, and of the loop they are independent in.

        The loop runs in so many parts at a time.
        """

    def declare(self, name: str, kind: str, takes: Sequence[str]) -> None:
        """A function that is called."""


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
    """

    node: Node
    value: int
    place: Linear
    kind: str = ""
    before: str = ""
    pick: Pick | None = None


@dataclass(slots=True)
class Nest:
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

    entries: Entries
    sinks: Sequence[Sink]
    out: Writer
    boxes: bool = False
    results: dict[Node, str] = field(default_factory=dict)
    begun: set[Node] = field(default_factory=set)
    _extents: list[int] = field(default_factory=list)
    _loops: list[list[int]] = field(default_factory=list)
    _lines: list[list[str]] = field(default_factory=list)
    _tails: list[list[str]] = field(default_factory=list)
    _named: dict[int, tuple[str, int]] = field(default_factory=dict)
    _addresses: dict[tuple[str, int, int], str] = field(default_factory=dict)
    _counters: list[str] = field(default_factory=list)
    _mark: str = ""

    def text(self) -> str:
        """The instructions; falls through at the end."""
        self._merge()
        depth = len(self._extents)
        self._lines = [[] for _ in range(depth + 1)]
        self._tails = [[] for _ in range(depth + 1)]
        self._counters = [self.out.fresh("i") for _ in range(depth + 1)]
        loop = ""
        if depth and not any(sink.pick for sink in self.sinks):
            long = self._extents[-1] >= LONG and any(s.kind for s in self.sinks)
            self._mark, loop = self.out.parallel(PARTS if long else 1)
        running: list[tuple[Sink, int, str]] = []
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
                last = self._loops[-1][-1]
                if all(p.steps[last] == p.steps[axis] * size for p in places):
                    self._loops[-1].append(axis)
                    self._extents[-1] *= size
                    continue
            self._loops.append([axis])
            self._extents.append(size)

    def _steps(self, place: Linear) -> list[int]:
        """The steps of the loops that are left; the first is of no loop."""
        return [0, *(place.steps[loop[-1]] for loop in self._loops)]

    def _nested(self, running: Sequence[tuple[Sink, int, str]], loop: str) -> str:
        depth = len(self._extents)
        labels = [self.out.fresh("b")[1:] for _ in range(3 * (depth + 1))]
        # carried[s][l]: the accumulator of a sink as loop l finds it
        carried: list[dict[int, str]] = []
        updated: list[str] = []
        for sink, level, value in running:
            kind = self.entries.operations[sink.value].kind
            start = sink.before or number(IDENTITIES[sink.kind], kind)
            mine = {level: start}
            for inner in range(level + 1, depth + 1):
                mine[inner] = self.out.fresh("a")
            carried.append(mine)
            updated.append(self.out.fresh("a"))
            name, word = updated[-1], self._update(sink.kind, kind)
            text = word.format(a=mine[depth], x=value)
            self._lines[depth].append(f"{name} = {text}")
            self._reduced(sink, level, name)
        lines = list(self._lines[0])
        for level in range(1, depth + 1):
            enter, body = labels[3 * level], labels[3 * level + 1]
            latch = labels[3 * level + 2]
            i = self._counters[level]
            lines += [f"br label %{enter}", f"{enter}:", f"br label %{body}", f"{body}:"]
            lines.append(f"{i} = phi i64 [ 0, %{enter} ], [ {i}n, %{latch} ]")
            for (sink, first, _), mine, end in zip(
                running, carried, updated, strict=True
            ):
                if level > first:
                    kind = self.entries.operations[sink.value].kind
                    lines.append(
                        f"{mine[level]} = phi {kind} [ {mine[level - 1]}, %{enter} ], "
                        f"[ {end}, %{latch} ]"
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
            mark = f", !llvm.loop {loop}" if loop and level == depth else ""
            lines += [
                f"{i}n = add nuw nsw i64 {i}, 1",
                f"{i}c = icmp ult i64 {i}n, {self._extents[level - 1]}",
                f"br i1 {i}c, label %{labels[3 * level + 1]}, label %{leave}{mark}",
                f"{leave}:",
            ]
        lines += self._tails[0]
        return "\n".join(lines) + "\n"

    def _update(self, word: str, kind: str) -> str:
        if word in {"add", "mul"}:
            return f"f{word} reassoc {kind} {{a}}, {{x}}"
        if word in {"maximum", "minimum"}:
            name = f"llvm.{word}.{'f64' if kind == DOUBLE else 'f32'}"
            self.out.declare(name, kind, (kind, kind))
            return f"call {kind} @{name}({kind} {{a}}, {kind} {{x}})"
        return f"{word} {kind} {{a}}, {{x}}"

    # -- sinks -----------------------------------------------------------------

    def _sink(self, sink: Sink, running: list[tuple[Sink, int, str]]) -> None:
        name, _ = self._value(sink.value)
        depth = len(self._extents)
        if sink.pick is not None:
            self._picked(sink, sink.pick, name)
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
                text = self._update(sink.kind, kind).format(a=sink.before, x=name)
                lines.append(f"{joined} = {text}")
                name = joined
            self.results[sink.node] = name
            return
        steps = self._steps(sink.place)
        if self.boxes or any(not step for step in steps[1 : level + 1]):
            self.begun.add(sink.node)
            address = self._address(sink.node.number, sink.place, kind, level, lines)
            old = self._loaded(address, kind, level, lines)
            total = self.out.fresh()
            text = self._update(sink.kind, kind).format(a=old, x=name)
            lines.append(f"{total} = {text}")
            name = total
        self._store(sink, name, level, lines)

    def _store(
        self, sink: Sink, name: str, level: int, lines: list[str] | None = None
    ) -> None:
        lines = self._lines[level] if lines is None else lines
        kind = self.entries.operations[sink.value].kind
        address = self._address(sink.node.number, sink.place, kind, level, lines)
        if kind == TRUTH:
            byte = self.out.fresh()
            lines.append(f"{byte} = zext i1 {name} to i8")
            name = byte
        mark = self._mark if level == len(self._extents) else ""
        lines.append(f"store {stored(kind)} {name}, ptr {address}{mark}")

    def _picked(self, sink: Sink, pick: Pick, name: str) -> None:
        depth = len(self._extents)
        lines = self._lines[depth]
        kind = self.entries.operations[sink.value].kind
        names = [self._value(value)[0] for value in pick.values]
        address = self._address(sink.node.number, sink.place, kind, depth, lines)
        address = picked(self.out, lines, address, names, pick.axes, kind)
        if pick.add:
            old = self._loaded(address, kind, depth, lines)
            total = self.out.fresh()
            lines.append(f"{total} = fadd {kind} {old}, {name}")
            name = total
        if kind == TRUTH:
            byte = self.out.fresh()
            lines.append(f"{byte} = zext i1 {name} to i8")
            name = byte
        lines.append(f"store {stored(kind)} {name}, ptr {address}")

    # -- values ----------------------------------------------------------------

    def _value(self, number_of: int) -> tuple[str, int]:
        """The register of an operation, and the loop that it stands in."""
        for place in range(len(self._named), number_of + 1):
            self._named[place] = self._made(self.entries.operations[place])
        return self._named[number_of]

    def _made(self, op: Operation) -> tuple[str, int]:
        if op.what in {"number", "register"}:
            return op.extra, 0
        args = [self._named[arg] for arg in op.args]
        level = max((at for _, at in args), default=0)
        makers: dict[str, Callable[..., tuple[str, int]]] = {
            "map": self._map,
            "cast": self._cast,
            "load": self._load,
            "keep": self._keep,
            "pick": self._pick,
        }
        return makers[op.what](op, [name for name, _ in args], level)

    def _map(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        kinds = [self.entries.operations[arg].kind for arg in op.args]
        name, params = op.extra
        made = self.out.fresh()
        text = self.out.form(name, kinds, params, op.kind).format(made[2:], *args)
        self._lines[level].append(text.rstrip("\n"))
        return made, level

    def _cast(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        have = self.entries.operations[op.args[0]].kind
        text = converted(args[0], have, op.kind)
        if "@llvm.fptosi" in text:
            self.out.declare(text.split("@")[1].split("(")[0], op.kind, (have,))
        made = self.out.fresh()
        self._lines[level].append(f"{made} = {text}")
        return made, level

    def _load(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        del args, level
        assert op.place is not None  # noqa: S101 - a load has one
        steps = self._steps(op.place)
        level = max((at for at, step in enumerate(steps) if step), default=0)
        lines = self._lines[level]
        address = self._address(op.extra, op.place, op.kind, level, lines)
        return self._loaded(address, op.kind, level, lines), level

    def _loaded(self, address: str, kind: str, level: int, lines: list[str]) -> str:
        made = self.out.fresh()
        mark = self._mark if level == len(self._extents) else ""
        lines.append(f"{made} = load {stored(kind)}, ptr {address}{mark}")
        if kind != TRUTH:
            return made
        truth = self.out.fresh()
        lines.append(f"{truth} = icmp ne i8 {made}, 0")
        return truth

    def _keep(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        assert op.place is not None  # noqa: S101
        steps = self._steps(op.place)
        level = max(level, *(at for at, step in enumerate(steps) if step), 0)
        lines = self._lines[level]
        total = str(op.place.constant)
        for at, step in enumerate(steps):
            if step:
                part, whole = self.out.fresh(), self.out.fresh()
                lines.append(f"{part} = mul i64 {self._counters[at]}, {step}")
                lines.append(f"{whole} = add i64 {part}, {total}")
                total = whole
        keeps, made = self.out.fresh(), self.out.fresh()
        lines.append(f"{keeps} = icmp {op.extra} i64 {total}, 0")
        zero = number(0, op.kind)
        lines.append(
            f"{made} = select i1 {keeps}, {op.kind} {args[0]}, {op.kind} {zero}"
        )
        return made, level

    def _pick(self, op: Operation, args: list[str], level: int) -> tuple[str, int]:
        assert op.place is not None  # noqa: S101
        steps = self._steps(op.place)
        level = max(level, *(at for at, step in enumerate(steps) if step), 0)
        lines = self._lines[level]
        base, axes = op.extra
        address = self._address(base, op.place, op.kind, level, lines)
        address = picked(self.out, lines, address, args, axes, op.kind)
        return self._loaded(address, op.kind, level, lines), level

    def _address(
        self, base: int, place: Linear, kind: str, level: int, lines: list[str]
    ) -> str:
        """The address of an entry; its parts stand at the loops they depend on."""
        memory = stored(kind)
        address = self.out.pointer(base)
        if place.constant:
            address = self._moved(address, place.constant, memory)
        for at, step in enumerate(self._steps(place)):
            if not step:
                continue
            key = (address, at, step)
            if key not in self._addresses:
                i = self._counters[at]
                here = lines if at == level else self._lines[at]
                if step != 1:
                    scaled = self.out.fresh()
                    here.append(f"{scaled} = mul nsw i64 {i}, {step}")
                    i = scaled
                made = self.out.fresh("p")
                here.append(f"{made} = getelementptr inbounds {memory}, ptr {address}, i64 {i}")
                if here is not self._lines[at]:  # a tail: not seen from inside
                    address = made
                    continue
                self._addresses[key] = made
            address = self._addresses[key]
        return address

    def _moved(self, address: str, by: int, memory: str) -> str:
        key = (address, -1, by)
        if key not in self._addresses:
            made = self.out.fresh("p")
            self._lines[0].append(
                f"{made} = getelementptr inbounds {memory}, ptr {address}, i64 {by}"
            )
            self._addresses[key] = made
        return self._addresses[key]


def picked(
    out: Writer,
    lines: list[str],
    address: str,
    indices: Sequence[str],
    axes: Sequence[tuple[int, int]],
    kind: str,
) -> str:
    """An address moved along axes by integers; a negative one counts from the end."""
    for index, (step, size) in zip(indices, axes, strict=True):
        below, back, place, scaled, moved = (out.fresh() for _ in range(5))
        lines += [
            f"{below} = icmp slt {WHOLE} {index}, 0",
            f"{back} = add {WHOLE} {index}, {size}",
            f"{place} = select i1 {below}, {WHOLE} {back}, {WHOLE} {index}",
            f"{scaled} = mul {WHOLE} {place}, {step}",
            f"{moved} = getelementptr {stored(kind)}, ptr {address}, {WHOLE} {scaled}",
        ]
        address = moved
    return address
