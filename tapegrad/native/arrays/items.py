"""The items of a plan as text: nests, writes, guards, routines. Floor 9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapegrad.errors import CompileError
from tapegrad.native.arrays import numbers, orders
from tapegrad.native.arrays.cutting import (
    beginning,
    beside,
    cut_out,
    halves,
    stack,
)
from tapegrad.native.arrays.entries import Entries, Linear
from tapegrad.native.arrays.function import Functions
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.nest import Nest, Pick, Sink
from tapegrad.native.arrays.places import (
    Box,
    Cut,
    Stored,
    Terms,
    View,
    contiguous,
    identity,
)
from tapegrad.native.arrays.plan import Item, domain_of
from tapegrad.native.arrays.routines import ROUTINES
from tapegrad.native.arrays.sums import BLOCK, block_of, identity_of
from tapegrad.native.arrays.words import FLOATS, KINDS, TRUTH, converted, number

# A nest that would be cut into more boxes than this stores a selection instead.
BOXES = 27


class Items(Functions):
    """Functions, and how an item goes into them.

    Attributes:
        runs: whether very many inputs or outputs are gone through by loops.
    """

    runs = False

    # -- items -----------------------------------------------------------------

    def item(self, item: Item) -> None:
        """Write one item."""
        node = item.nodes[0]
        if item.kind in {"nest", "number"}:
            self._nest(item)
        elif item.kind == "guard":
            self._guard(node)
        elif item.kind == "check":
            orders.bounds(self, node)
        elif item.kind == "pieces":
            self._pieces(node)
        elif item.kind == "writes":
            self._writes(node)
        elif item.kind == "handed out":
            numbers.hand_out(self, item.nodes)
        elif item.kind in {"scatter_add", "gather_set"}:
            self._written(node)
        else:
            parts = item.nodes[1:] if node.dtype == "several" else item.nodes
            ROUTINES[node.params["name"]](self, node, parts)

    def _nest(self, item: Item) -> None:
        nodes = item.nodes
        domain = item.domain
        box: Box = tuple((0, size) for size in domain)
        if 0 in domain:
            self._empty(nodes)
            return
        results: dict[Node, str] = {}
        begun: set[Node] = set()
        text = self._boxes(nodes, box, results, begun)
        # a set has another order in each process, and code on disk is for all of them
        for each in sorted(begun, key=lambda node: node.number):
            self._fill(each, beginning(each))
        self.emit(text)
        for each, name in results.items():
            self._registers[each] = (name, len(self.done))
            if each in self.plan.home:
                self._result(each, name)

    def _boxes(
        self,
        nodes: Sequence[Node],
        box: Box,
        results: dict[Node, str],
        begun: set[Node],
    ) -> str:
        """The nests over a box."""
        ready = self._cut(nodes, box)
        out = []
        for entries, values in ready:
            sinks = self._sinks(entries, nodes, values, results)
            boxes = len(ready) > 1
            nest = Nest(entries, self, self.strip, sinks=sinks, boxes=boxes)
            out.append(nest.text())
            results.update(nest.results)
            begun |= nest.begun
            self.nests += 1
        return "".join(out)

    def _cut(
        self, nodes: Sequence[Node], box: Box
    ) -> list[tuple[Entries, list[list[int]]]]:
        """A box cut until no selection has an edge in it, and what is made there."""
        made = frozenset(node for node in nodes if node.op != "reduce")
        todo: list[Box] = [box]
        if any(node.op == "reduce" for node in nodes) and self.strip is None:
            _, high = box[-1]
            if high >= 2 * BLOCK and not block_of(high):  # a rest, and whole blocks
                todo = halves(box, Cut(len(box) - 1, high - high % BLOCK))
        ready: list[tuple[Entries, list[list[int]]]] = []
        while todo:
            mine = todo.pop()
            entries = Entries(self, mine, made)
            try:
                values = [self._defined(entries, node, mine) for node in nodes]
            except Cut as cut:
                todo += halves(mine, cut)
                if len(todo) + len(ready) > BOXES:
                    raise Stored(*self._edges(nodes)) from None
                continue
            ready.append((entries, values))
        return ready

    def _sinks(
        self,
        entries: Entries,
        nodes: Sequence[Node],
        values: Sequence[Sequence[int]],
        results: Mapping[Node, str],
    ) -> list[Sink]:
        """Where the values of a box go."""
        sinks = []
        for node, several in zip(nodes, values, strict=True):
            if len(entries.box) != len(domain_of(node)):
                sinks += stack(entries, node, several)
                continue
            kind = node.params["kind"] if node.op == "reduce" else ""
            place, before = self._target(entries, node), results.get(node, "")
            sinks.append(Sink(node, several[0], place, kind, before))
        return sinks

    def _edges(self, nodes: Sequence[Node]) -> set[Node]:
        """Selections that are read in a nest, to be stored instead."""
        stack = [arg for node in nodes for arg in node.args]
        found: set[Node] = set()
        seen: set[Node] = set()
        while stack:
            node = stack.pop()
            if node in seen or node in self.plan.views:
                continue
            seen.add(node)
            if node.op in {"scatter", "set", "concat"}:
                found.add(node)
            stack += node.args
        return found or {*nodes}

    def _defined(self, entries: Entries, node: Node, box: Box) -> list[int]:
        """The values that a node is made of, at the entry of the loops."""
        if len(box) != len(domain_of(node)):  # lanes side by side
            return [entries.value(part, identity(part.shape)) for part in node.args]
        part = node.args[0] if node.op == "reduce" else node
        return [entries.value(part, identity(part.shape))]

    @staticmethod
    def _target(entries: Entries, node: Node) -> Linear:
        """Where the entry that the loops are at goes."""
        domain = domain_of(node)
        axes = node.params["axes"] if node.op == "reduce" else ()
        terms = identity(domain)
        kept: Terms = tuple(t for axis, t in enumerate(terms) if axis not in axes)
        return entries.linear(kept, contiguous(node.shape))

    def _result(self, node: Node, name: str) -> None:
        """Store a number that is an output."""
        self.put(KINDS[node.dtype], name, self.pointer(node.number))

    def _empty(self, nodes: Sequence[Node]) -> None:
        """Reductions of no entries."""
        for node in nodes:
            if node.op != "reduce" or 0 in node.shape:
                continue
            word, kind = node.params["kind"], KINDS[node.dtype]
            if word in {"maximum", "minimum"}:
                msg = f"there is no {word} of no entries"
                raise CompileError(msg)
            value = identity_of(word, kind)
            if node.shape:
                self._fill(node, value)
                continue
            self._registers[node] = (value, len(self.done))
            if node in self.plan.home:
                self._result(node, value)

    # -- whole buffers ---------------------------------------------------------

    def _fill(self, node: Node, value: str, count: int | None = None) -> None:
        kind = KINDS[node.dtype]
        value = str(int(value == "true")) if kind == TRUTH else value
        self.loop(
            node.size if count is None else count,
            lambda i: self.store(node, kind, i, value),
        )

    def _pieces(self, node: Node) -> None:
        """A concatenation part by part; a scatter or write: all, and then entries."""
        if node.op == "concat":
            views = beside(node)
            for low, high in numbers.taken(node, runs=self.runs):
                if high - low > 1:
                    numbers.take(self, node, low, high)
                else:
                    self._one_nest(node.args[low], node, views[low])
            return
        if node.op == "scatter":
            self._fill(node, number(0, KINDS[node.dtype]))
        else:
            self._one_nest(node.args[0], node, View(node, 0, contiguous(node.shape)))
        self._one_nest(node.args[-1], node, cut_out(node, node.params["key"]))

    def _writes(self, node: Node) -> None:
        """A chain of writes; the array that it begins with may be this very one."""
        base, *values = node.args
        first, *settle = node.params["settle"]
        if first or self.plan.same.get(base) is not self.plan.same.get(node, node):
            whole = View(node, 0, contiguous(node.shape))
            self._one_nest(base, node, whole, settled=first)
        writes = zip(
            values, node.params["keys"], node.params["add"], settle, strict=True
        )
        for value, key, add, plus in writes:
            kind = "add" if add else ""
            self._one_nest(value, node, cut_out(node, key), kind, settled=plus)

    def _one_nest(
        self,
        value: Node,
        target: Node,
        view: View,
        kind: str = "",
        *,
        settled: bool = False,
    ) -> None:
        """Every entry of a node, stored along a view, or added to what is there.

        Settled, -0.0 is stored as 0.0.
        """
        if not value.size:
            return
        todo: list[Box] = [tuple((0, size) for size in value.shape)]
        terms = identity(value.shape)
        count = 0
        while todo:
            box = todo.pop()
            entries = Entries(self, box)
            try:
                made = entries.value(value, terms)
                if settled:
                    made = entries.settled(value, made)
            except Cut as cut:
                count += 1
                if count > BOXES:
                    raise Stored(*self._edges([value]), value) from None
                todo += halves(box, cut)
                continue
            place = entries.linear(terms, view.strides, view.offset)
            sink = Sink(target, made, place, kind, into=True)
            self.emit(Nest(entries, self, sinks=[sink], boxes=bool(kind)).text())
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
        self.emit(Nest(entries, self, sinks=[sink]).text())
        self.nests += 1

    # -- guards ----------------------------------------------------------------

    def _guard(self, node: Node) -> None:
        outcome, status = node.params["outcome"], node.params["step"] + 1
        entries = Entries(self, ())
        sink = Sink(node, entries.value(node.args[0], ()), _HERE)
        nest = Nest(entries, self, sinks=[sink])
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
