"""The functions that text goes into: names, pointers, numbers, marks. Floor 9."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from tapegrad.native.arrays import integers
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.memory import Arena
from tapegrad.native.arrays.places import View
from tapegrad.native.arrays.plan import Plan
from tapegrad.native.arrays.registers import Strip
from tapegrad.native.arrays.words import KINDS, TRUTH, EntryReading, number, stored
from tapegrad.native.engine import Outside
from tapegrad.rules import TABLE

# Constants of at most so many entries are written out; others are read where they are.
WRITTEN = 64

# What a loop counts for, in lines: LLVM takes the longer the more there are together.
LOOP = 60

ARGUMENTS = "ptr %inputs, ptr %outputs, ptr %arena"


class Functions:
    """The functions of a module, one after the other; a `Storage` and a `Writer`."""

    def __init__(self, plan: Plan, lanes: int = 0, *, fast: bool = False) -> None:
        self.plan = plan
        self.lanes = lanes
        self.reading = EntryReading(fast=fast)
        self.called = self.reading.called
        self.arena = Arena(plan)
        self.globals: dict[str, str] = {}
        self.done: list[str] = []
        self.metadata: list[str] = []
        self.nests = 0
        self.wanted: set[Node] = set()
        self.strip: Strip | None = None
        self._count = itertools.count()
        self._forms: dict[Any, str] = {}
        self._registers: dict[Node, tuple[str, int]] = {}
        self._cells: dict[Node, int] = {}
        self._begin()

    # -- functions -------------------------------------------------------------

    def _begin(self) -> None:
        self.lines: list[str] = []
        self.length = 0
        self.header: dict[str, str] = {}
        self.ending: list[str] = []
        self.local: dict[Node, str] = {}

    def _end(self) -> None:
        head = f"define internal i32 @part{len(self.done)}({ARGUMENTS}) noinline {{\n"
        parts = [head, *self.header.values(), *self.lines, *self.ending]
        self.done.append("".join([*parts, "ret i32 0\n}\n"]))
        self._begin()

    def _cross(self, place: int) -> None:
        """Keep the numbers of this function that items after a place read."""
        for node, (name, part) in self._registers.items():
            if part != len(self.done) or not self.arena.late(node, place):
                continue
            self._cells[node] = self.arena.cell()
            self.put(KINDS[node.dtype], name, self._at(self._cells[node]))

    def emit(self, *lines: str) -> None:
        """Append instructions."""
        self.lines += [f"{line}\n" for line in lines]
        for line in lines:
            self.length += 1 + line.count("\n") + LOOP * line.count("!llvm.loop")

    # -- Writer ----------------------------------------------------------------

    def fresh(self, letter: str = "v") -> str:
        """A new name."""
        return f"%{letter}{next(self._count)}"

    def form(
        self, name: str, kinds: Sequence[str], params: Any, gives: str, *, loops: bool
    ) -> str:
        """The template of a row at one entry."""
        key = (name, tuple(kinds), params, gives, loops)
        found = self._forms.get(key)
        if found is None:
            self.reading.loops = loops
            found = integers.form(TABLE[name], kinds)
            if found is None:
                found = self.reading.form(TABLE[name], kinds, params, gives)
            self._forms[key] = found
        return found

    def parallel(self, parts: int) -> tuple[str, str]:
        """New marks: of loads and stores, and of the loop they are independent in."""
        group = len(self.metadata)
        if not parts:
            self.metadata += [
                f"!{group} = distinct !{{!{group}, !{group + 1}, !{group + 2}}}\n",
                f'!{group + 1} = !{{!"llvm.loop.vectorize.enable", i1 false}}\n',
                f'!{group + 2} = !{{!"llvm.loop.unroll.disable"}}\n',
            ]
            return "", f"!{group}"
        self.metadata += [
            f"!{group} = distinct !{{}}\n",
            f'!{group + 1} = !{{!"llvm.loop.parallel_accesses", !{group}}}\n',
            f"!{group + 2} = distinct !{{!{group + 2}, !{group + 1}, !{group + 3}}}\n",
            f'!{group + 3} = !{{!"llvm.loop.interleave.count", i32 {parts}}}\n',
        ]
        return f", !llvm.access.group !{group}", f"!{group + 2}"

    def declare(self, name: str, kind: str, takes: Sequence[str]) -> None:
        """A function that is called."""
        self.called[name] = Outside(name, kind, tuple(takes))

    def extent(self, size: int) -> str:
        """The turns of a loop over so many entries: a literal, or a register."""
        if size != self.lanes or not size:
            return str(size)
        if "%lanes" not in self.header:
            place = sum(node.op == "input" for node in self.plan.graph.nodes)
            text = self._given("inputs", place, "%lanes")
            self.header["%lanes"] = text.replace("load ptr", "load i64")
        return "%lanes"

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""
        node = self.plan.graph.nodes[base]
        node = self.plan.same.get(node, node)
        base = node.number
        name = f"%m{base}"
        if name in self.header or self.wanted:  # else the text is thrown away
            return name
        if node.op == "input":
            text = self._given("inputs", node.params["place"], name)
        elif node.op == "const":
            return self._constant(node)
        elif node in self.plan.home:
            text = self._given("outputs", self.plan.home[node], name)
        else:
            place = self.arena.place(node)
            text = f"{name} = getelementptr inbounds i8, ptr %arena, i64 {place}\n"
        self.header[name] = text
        return name

    @staticmethod
    def _given(which: str, place: int, name: str) -> str:
        at = f"{name}a = getelementptr inbounds ptr, ptr %{which}, i64 {place}\n"
        return f"{at}{name} = load ptr, ptr {name}a\n"

    def _constant(self, node: Node) -> str:
        value, kind = node.params["value"], KINDS[node.dtype]
        name = f"@c{node.number}"
        if value.size <= WRITTEN:
            memory = stored(kind)
            entries = ", ".join(
                f"{memory} {int(x) if kind == TRUTH else number(x, kind)}"
                for x in value.ravel().tolist()
            )
            form = f"[{value.size} x {memory}] [{entries}]"
            self.globals[name] = f"{name} = internal constant {form}, align 64\n"
            return name
        cell = Outside(f"c{node.number}", "", (), place=value)
        self.called[cell.name] = cell
        here = f"%m{node.number}"
        self.header[here] = f"{here} = load ptr, ptr {name}.at\n"
        return here

    def _at(self, offset: int) -> str:
        name = f"%s{offset}"
        text = f"{name} = getelementptr inbounds i8, ptr %arena, i64 {offset}\n"
        self.header[name] = text
        return name

    def own(self, size: int) -> str:
        """Few bytes of this call's own; the optimiser makes registers of them."""
        name = self.fresh("l")
        self.header[name] = f"{name} = alloca [{max(size, 1)} x i8], align 32\n"
        return name

    def scratch(self, size: int) -> str:
        """Memory for the routine that is being written, only."""
        return self._at(self.arena.scratch(size))

    # -- Storage ---------------------------------------------------------------

    def view(self, node: Node) -> View | None:
        """Where a node's entries stand, if they do."""
        return self.plan.views.get(node)

    def register(self, node: Node) -> str | None:
        """The register of a number, loaded where another function has made it."""
        found = self._registers.get(node)
        if found is None:
            return None
        name, part = found
        if part == len(self.done):
            return name
        if node not in self.local:
            kind, here = KINDS[node.dtype], self.fresh("k")
            address = self._at(self._cells[node])
            text = f"{here} = load {stored(kind)}, ptr {address}\n"
            if kind == TRUTH:
                text += f"{here}t = icmp ne i8 {here}, 0\n"
            self.header[here] = text
            self.local[node] = f"{here}t" if kind == TRUTH else here
        return self.local[node]

    # -- pieces of text ---------------------------------------------------------

    def put(self, kind: str, name: str, address: str) -> None:
        """Store a register."""
        byte = name
        if kind == TRUTH:
            byte = self.fresh()
            self.emit(f"{byte} = zext i1 {name} to i8")
        self.emit(f"store {stored(kind)} {byte}, ptr {address}")

    def store(self, node: Node, kind: str, i: str, value: str) -> None:
        """Store a value at a place of a buffer."""
        at, memory = self.fresh("p"), stored(kind)
        self.emit(
            f"{at} = getelementptr {memory}, ptr {self.pointer(node.number)}, i64 {i}",
            f"store {memory} {value}, ptr {at}",
        )

    def loop(self, count: int | str, body: Any) -> None:
        """A loop; ``body(counter)`` emits its instructions."""
        head, inner, out = (self.fresh("b")[1:] for _ in range(3))
        i = self.fresh("i")
        before = self.fresh("b")[1:]
        self.emit(f"br label %{before}", f"{before}:", f"br label %{head}", f"{head}:")
        place = len(self.lines)
        self.emit("", f"{i}c = icmp slt i64 {i}, {count}")
        self.emit(f"br i1 {i}c, label %{inner}, label %{out}", f"{inner}:")
        body(i)
        last = self.fresh("b")[1:]
        self.emit(f"br label %{last}", f"{last}:", f"{i}n = add nuw nsw i64 {i}, 1")
        self.emit(f"br label %{head}", f"{out}:")
        self.lines[place] = f"{i} = phi i64 [ 0, %{before} ], [ {i}n, %{last} ]\n"

    def leave(self, good: str, status: int) -> None:
        """Return a status unless a condition holds."""
        yes, no = self.fresh("b")[1:], self.fresh("b")[1:]
        self.emit(
            f"br i1 {good}, label %{yes}, label %{no}",
            f"{no}:",
            f"ret i32 {status}",
            f"{yes}:",
        )
