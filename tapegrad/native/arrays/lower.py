"""From a tape with arrays to LLVM text. Floor 9.

    i32 @kernel(ptr %inputs, ptr %outputs, ptr %arena)

``inputs`` and ``outputs`` point to pointers, one an input or output, to contiguous
entries: doubles, floats, 64-bit ints, or a byte a truth value; numbers too. The arena
is scratch memory of ``arena_bytes``, aligned to 64. The result is 0, or the number of
the guard that has flipped plus 1, or negative where there is no native answer.

The text goes from item to item of the `Plan`. Functions are cut where they grow long,
because LLVM takes more than linear time over one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import CompileError
from tapegrad.native.arrays import routines
from tapegrad.native.arrays.entries import Entries, Linear
from tapegrad.native.arrays.graph import GIVEN, Node
from tapegrad.native.arrays.memory import Arena
from tapegrad.native.arrays.nest import IDENTITIES, Nest, Pick, Sink
from tapegrad.native.arrays.places import (
    Box,
    Cut,
    Stored,
    Terms,
    View,
    contiguous,
    identity,
)
from tapegrad.native.arrays.plan import Item, Plan, domain_of
from tapegrad.native.arrays.rows import graph_of
from tapegrad.native.arrays.words import (
    BYTES,
    FLOATS,
    KINDS,
    TRUTH,
    EntryReading,
    converted,
    number,
    stored,
)
from tapegrad.native.engine import MEMORY, Outside
from tapegrad.rules import TABLE
from tapegrad.tape.tape import Tape

# Lines of text a function.
LONG = 2500
# A nest that would be cut into more boxes than this stores a selection instead.
BOXES = 27
# Constants of at most so many entries are written out; others are read where they are.
WRITTEN = 64

ARGUMENTS = "ptr %inputs, ptr %outputs, ptr %arena"


@dataclass(frozen=True, slots=True)
class LoweredArrays:
    """LLVM text of a tape with arrays.

    Args:
        body: the module; its function is ``@kernel``.
        calls: what it calls or reads from outside.
        steps: steps of the lowered tape.
        arena_bytes: scratch memory that the caller hands over.
        chunks: functions that the text was cut into.
        nests: loop nests.
    """

    body: str
    calls: tuple[Outside, ...]
    steps: int
    arena_bytes: int
    chunks: int
    nests: int

    @property
    def text(self) -> str:
        """The whole module as source, calls declared."""
        return "".join([*(call.declared() for call in self.calls), self.body])


def lower_arrays(tape: Tape) -> LoweredArrays:
    """Lower a flat tape, of arrays and numbers.

    Args:
        tape: a tape without call steps.

    Raises:
        CompileError: a step has no native code.
    """
    graph, slots = graph_of(tape)
    outputs: list[Node] = []
    for slot in tape.outputs:
        node = slots[slot]
        if node is None:
            msg = f"output slot {slot} has no node"
            raise CompileError(msg)
        outputs.append(node)
    forced: set[Node] = set()
    before = len(graph.nodes)
    while True:
        del graph.nodes[before:]
        plan = Plan(graph, outputs, forced)
        try:
            return _Text(plan, len(tape)).run()
        except Stored as need:
            if need.node in forced or need.node in plan.stored:
                msg = f"no loop was found for {need.node}"
                raise CompileError(msg) from None
            forced.add(need.node)


class _Text:
    """The text of a plan; a `Storage` and a `Writer`."""

    def __init__(self, plan: Plan, steps: int) -> None:
        self.plan = plan
        self.steps = steps
        self.reading = EntryReading()
        self.called = self.reading.called
        self.arena = Arena(plan)
        self.globals: dict[str, str] = {}
        self.done: list[str] = []
        self.metadata: list[str] = []
        self.nests = 0
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

    def run(self) -> LoweredArrays:
        """The whole module."""
        for place, item in enumerate(self.plan.items):
            self.arena.begin(place)
            self._item(item)
            self.arena.end(place)
            if self.length > LONG:
                self._cross(place)
                self._end()
        self._end()
        body = [f"define i32 @kernel({ARGUMENTS}) {{\n"]
        for part in range(len(self.done)):
            body.append(
                f"%r{part} = call i32 @part{part}({ARGUMENTS})\n"
                f"%z{part} = icmp eq i32 %r{part}, 0\n"
                f"br i1 %z{part}, label %n{part}, label %e{part}\n"
                f"e{part}:\nret i32 %r{part}\nn{part}:\n"
            )
        body.append("ret i32 0\n}\n")
        text = "".join([*self.globals.values(), *self.done, *body, *self.metadata])
        if len(self.done) == 1:
            text = text.replace(") noinline {", ") {", 1)
        return LoweredArrays(
            text,
            (*MEMORY, *self.called.values()),
            self.steps,
            self.arena.nbytes,
            len(self.done),
            self.nests,
        )

    def _cross(self, place: int) -> None:
        """Keep the numbers of this function that items after a place read."""
        for node, (name, part) in self._registers.items():
            if part != len(self.done) or not self.arena.late(node, place):
                continue
            kind = KINDS[node.dtype]
            self._cells[node] = self.arena.cell()
            address = self._at(self._cells[node])
            if kind == TRUTH:
                byte = self.fresh()
                self.emit(f"{byte} = zext i1 {name} to i8")
                name = byte
            self.emit(f"store {stored(kind)} {name}, ptr {address}")

    def emit(self, *lines: str) -> None:
        """Append instructions."""
        self.lines += [f"{line}\n" for line in lines]
        self.length += len(lines)

    # -- Writer ----------------------------------------------------------------

    def fresh(self, letter: str = "v") -> str:
        """A new name."""
        return f"%{letter}{next(self._count)}"

    def form(self, name: str, kinds: Sequence[str], params: Any, gives: str) -> str:
        """The template of a row at one entry."""
        key = (name, tuple(kinds), params, gives)
        found = self._forms.get(key)
        if found is None:
            found = self.reading.form(TABLE[name], kinds, params, gives)
            self._forms[key] = found
        return found

    def parallel(self, parts: int) -> tuple[str, str]:
        """New marks: of loads and stores, and of the loop they are independent in."""
        group = len(self.metadata)
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

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""
        node = self.plan.graph.nodes[base]
        name = f"%m{base}"
        if name in self.header:
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

    # -- items -----------------------------------------------------------------

    def _item(self, item: Item) -> None:
        node = item.nodes[0]
        if item.kind in {"nest", "number"}:
            self._nest(item)
        elif item.kind == "guard":
            self._guard(node)
        elif item.kind == "check":
            routines.bounds(self, node)
        elif item.kind in {"scatter_add", "gather_set"}:
            self._written(node)
        else:
            parts = item.nodes[1:] if node.dtype == "several" else item.nodes
            routines.ROUTINES[node.params["name"]](self, node, parts)

    def _nest(self, item: Item) -> None:
        nodes = item.nodes
        node = nodes[0]
        if node.op in {"scatter", "set"} and _strided(node):
            for each in nodes:
                self._placed(each)
            return
        domain = item.domain
        box: Box = tuple((0, size) for size in domain)
        if 0 in domain:
            self._empty(nodes)
            return
        plain = [n for n in nodes if n.op != "reduce"]
        results: dict[Node, str] = {}
        begun: set[Node] = set()
        text = self._boxes(nodes, frozenset(plain), box, results, begun)
        for each in begun:
            self._fill(each, number(IDENTITIES[each.params["kind"]], KINDS[each.dtype]))
        self.emit(text)
        self.length += text.count("\n")
        for each, name in results.items():
            self._registers[each] = (name, len(self.done))
            if each in self.plan.home:
                self._put(each, name)

    def _boxes(
        self,
        nodes: Sequence[Node],
        made: frozenset[Node],
        box: Box,
        results: dict[Node, str],
        begun: set[Node],
    ) -> str:
        """The nests over a box, which is cut until no selection has an edge in it."""
        todo, ready = [box], []
        while todo:
            mine = todo.pop()
            entries = Entries(self, mine, made)
            try:
                values = [self._defined(entries, node) for node in nodes]
            except Cut as cut:
                low, high = mine[cut.loop]
                parts = ((cut.at, high), (low, cut.at))
                todo += [(*mine[: cut.loop], p, *mine[cut.loop + 1 :]) for p in parts]
                if len(todo) + len(ready) > BOXES:
                    raise Stored(self._edge(nodes)) from None
                continue
            ready.append((entries, values))
        out = []
        for entries, values in ready:
            sinks = []
            for node, value in zip(nodes, values, strict=True):
                kind = node.params["kind"] if node.op == "reduce" else ""
                place = self._target(entries, node)
                sinks.append(Sink(node, value, place, kind, results.get(node, "")))
            nest = Nest(entries, sinks, self, boxes=len(ready) > 1)
            out.append(nest.text())
            results.update(nest.results)
            begun |= nest.begun
            self.nests += 1
        return "".join(out)

    def _edge(self, nodes: Sequence[Node]) -> Node:
        """A selection that is read in a nest, to be stored instead."""
        stack = [arg for node in nodes for arg in node.args]
        while stack:
            node = stack.pop()
            if node in self.plan.views:
                continue
            if node.op in {"scatter", "set", "concat"}:
                return node
            stack += node.args
        raise Stored(nodes[0])

    def _defined(self, entries: Entries, node: Node) -> int:
        """The value that a node is made of, at the entry of the loops."""
        if node.op == "reduce":
            return entries.value(node.args[0], identity(node.args[0].shape))
        return entries.value(node, identity(node.shape))

    @staticmethod
    def _target(entries: Entries, node: Node) -> Linear:
        """Where the entry that the loops are at goes."""
        domain = domain_of(node)
        axes = node.params["axes"] if node.op == "reduce" else ()
        terms = identity(domain)
        kept: Terms = tuple(t for axis, t in enumerate(terms) if axis not in axes)
        return entries.linear(kept, contiguous(node.shape))

    def _put(self, node: Node, name: str) -> None:
        """Store a number that is an output."""
        kind = KINDS[node.dtype]
        if kind == TRUTH:
            byte = self.fresh()
            self.emit(f"{byte} = zext i1 {name} to i8")
            name = byte
        self.emit(f"store {stored(kind)} {name}, ptr {self.pointer(node.number)}")

    def _empty(self, nodes: Sequence[Node]) -> None:
        """Reductions of no entries."""
        for node in nodes:
            if node.op != "reduce" or 0 in node.shape:
                continue
            word, kind = node.params["kind"], KINDS[node.dtype]
            if word in {"maximum", "minimum"}:
                msg = f"there is no {word} of no entries"
                raise CompileError(msg)
            value = number(IDENTITIES[word], kind)
            if node.shape:
                self._fill(node, value)
                continue
            self._registers[node] = (value, len(self.done))
            if node in self.plan.home:
                self._put(node, value)

    # -- whole buffers ---------------------------------------------------------

    def _fill(self, node: Node, value: str) -> None:
        kind = KINDS[node.dtype]
        value = str(int(value == "true")) if kind == TRUTH else value
        self.loop(
            node.size,
            lambda i: self.store(node, kind, i, value),
        )

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

    def _placed(self, node: Node) -> None:
        """A scatter or write with a step: zeros or a copy, then the entries."""
        value = node.args[-1]
        if node.op == "scatter":
            self._fill(node, number(0, KINDS[node.dtype]))
        else:
            self._one_nest(node.args[0], node, View(node, 0, contiguous(node.shape)))
        base, offset, strides = View(node, 0, contiguous(node.shape))
        steps, axis = [], 0
        for entry in node.params["key"]:
            if entry is None:
                steps.append(0)
                continue
            start = entry[0] if isinstance(entry, tuple) else entry
            offset += start * strides[axis]
            if isinstance(entry, tuple):
                steps.append(entry[2] * strides[axis])
            axis += 1
        self._one_nest(value, node, View(base, offset, tuple(steps)))

    def _one_nest(self, value: Node, target: Node, view: View) -> None:
        """Every entry of a node, stored along a view."""
        if not value.size:
            return
        entries = Entries(self, tuple((0, size) for size in value.shape))
        terms = identity(value.shape)
        try:
            made = entries.value(value, terms)
        except Cut:
            raise Stored(value) from None
        place = entries.linear(terms, view.strides, view.offset)
        self.emit(Nest(entries, [Sink(target, made, place)], self).text())
        self.nests += 1

    def _written(self, node: Node) -> None:
        """Entries added, or put, at places of integer arrays, one after the other."""
        whole = View(node, 0, contiguous(node.shape))
        if node.op == "scatter_add":
            value, at = node.args[0], node.args[1:]
            self._fill(node, number(0, KINDS[node.dtype]))
        else:
            value, at = node.args[1], node.args[2:]
            self._one_nest(node.args[0], node, whole)
        if not value.size:
            return
        entries = Entries(self, tuple((0, size) for size in value.shape))
        terms = identity(value.shape)
        try:
            made = entries.value(value, terms)
            fixed, strides, indices = entries.picked(node, terms, whole, at)
        except Cut:
            raise Stored(value) from None
        place = entries.linear(fixed, strides)
        pick = Pick(
            tuple(index for index, _, _ in indices),
            tuple((step, size) for _, step, size in indices),
            add=node.op == "scatter_add",
        )
        sink = Sink(node, made, place, pick=pick)
        self.emit(Nest(entries, [sink], self).text())
        self.nests += 1

    # -- guards ----------------------------------------------------------------

    def leave(self, good: str, status: int) -> None:
        """Return a status unless a condition holds."""
        yes, no = self.fresh("b")[1:], self.fresh("b")[1:]
        self.emit(
            f"br i1 {good}, label %{yes}, label %{no}",
            f"{no}:",
            f"ret i32 {status}",
            f"{yes}:",
        )

    def _guard(self, node: Node) -> None:
        outcome, status = node.params["outcome"], node.params["step"] + 1
        entries = Entries(self, ())
        nest = Nest(entries, [Sink(node, entries.value(node.args[0], ()), _HERE)], self)
        self.emit(nest.text())
        name = nest.results[node]
        kind = KINDS[node.args[0].dtype]
        want = TRUTH if isinstance(outcome, bool) else kind
        if want == TRUTH and kind != TRUTH:
            truth = self.fresh()
            self.emit(f"{truth} = {converted(name, kind, TRUTH)}")
            name = truth
        good = self.fresh()
        if want == TRUTH:
            self.emit(f"{good} = xor i1 {name}, {number(not outcome, TRUTH)}")
        elif want in FLOATS:
            whole, suffix = self.fresh(), "f64" if want == "double" else "f32"
            self.declare(f"llvm.trunc.{suffix}", want, (want,))
            self.emit(f"{whole} = call {want} @llvm.trunc.{suffix}({want} {name})")
            self.emit(f"{good} = fcmp oeq {want} {whole}, {number(outcome, want)}")
        else:
            self.emit(f"{good} = icmp eq {want} {name}, {int(outcome)}")
        self.leave(good, status)


_HERE = Linear(0, ())


def _strided(node: Node) -> bool:
    """Whether a key skips entries."""
    return any(
        isinstance(entry, tuple) and abs(entry[2]) > 1 and entry[1] > 1
        for entry in node.params["key"]
    )


__all__ = ["BYTES", "GIVEN", "LoweredArrays", "lower_arrays"]
