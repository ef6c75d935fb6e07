"""What is stored, and what is computed where it is read. Floor 9.

A node is *stored* when a routine takes or gives it, when it is an output, a reduction,
or one number (in a register), and when reading it in several loops would repeat much
work. All others are computed where they are read, so a chain of entrywise steps is one
loop with its intermediate results in registers.

Stored nodes become *items*: see `sequence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tapegrad.native.arrays.costs import (
    CALLED,
    layout,
    piecewise,
    repeats,
    squeezed,
    stacked,
    work_of,
)
from tapegrad.native.arrays.graph import GIVEN, VIEWS, Graph, Node
from tapegrad.native.arrays.places import View, contiguous, is_contiguous, viewed
from tapegrad.rules.shapes import Shape

# Work up to this (in additions an entry) is repeated rather than stored and loaded.
CHEAP = 12
# It may read so many arrays again.
LOADED = 2
# One nest computes at most this many entrywise steps.
WIDE = 150
# Lanes of up to this work are few nests, which store little but results: a loop over
# lanes is short, and what does not fit into registers stays in the first cache. Only
# functions that are called have nests of their own. ONE is the loop of all others.
LANED = 3000
ONE = -1

ROUTINES = frozenset({"call", "part", "scatter_add", "gather_set", "writes"})
# They read their operands entry by entry.
WRITERS = frozenset({"scatter_add", "gather_set", "writes"})
ALWAYS = ROUTINES | {"reduce"}


@dataclass(slots=True)
class Item:
    """One piece of code: a nest, a routine, a guard, a check or a number.

    Args:
        kind: "nest", or the op of the one node.
        nodes: what it makes.
        domain: the entries that a nest runs over.
        reads: stored nodes that it reads.
        work: entrywise steps.
        parts: of a group (see `strips`), its nests in order.
        rows: of a group, entries of the first axis in a strip.
        back: of a group with scans, whether they go from the last row to the first.
        beside: of such a group, nests over other rows that run at the same time.
    """

    kind: str
    nodes: list[Node]
    domain: Shape = ()
    reads: set[Node] = field(default_factory=set)
    work: int = 0
    parts: list[Item] = field(default_factory=list)
    rows: int = 0
    back: bool | None = None
    beside: list[Item] = field(default_factory=list)


def domain_of(node: Node) -> Shape:
    """The entries that a loop over a node's definition runs over."""
    return node.args[0].shape if node.op == "reduce" else node.shape


def called(node: Node) -> bool:
    """Whether a node is a function that takes far longer than arithmetic."""
    return node.op == "map" and work_of(node) > CALLED


class Plan:
    """Decisions about a graph.

    Args:
        graph: the graph.
        outputs: the node of each output.
        forced: nodes that must be stored.
        lanes: whether all arrays are of independent lanes.

    Attributes:
        views: where the entries of a node stand, for stored nodes and views of them.
        stored: nodes in memory or in a register, given ones aside.
        home: outputs into which a stored node is written.
        same: nodes that stand in the place of a later one.
        live: nodes that outputs, guards and checks need, in order.
        one: whether nests are few, since the lanes of one are.
        items: the code in order, once `sequence` has found it.
    """

    def __init__(
        self,
        graph: Graph,
        outputs: Sequence[Node],
        forced: set[Node],
        *,
        lanes: bool = False,
    ) -> None:
        self.graph = graph
        self.views: dict[Node, View] = {}
        self.stored: set[Node] = set()
        self.home: dict[Node, int] = {}
        self.same: dict[Node, Node] = {}
        self.items: list[Item] = []
        self._inside: dict[Node, frozenset[Node]] = {}
        self.live = self._live(outputs)
        self._outputs(outputs)
        self.one = lanes and sum(map(work_of, self.live)) <= LANED
        for node in self.live:
            self._decide(node, forced)
        self._share()
        self._alias()

    def _live(self, outputs: Iterable[Node]) -> list[Node]:
        seen = {n for n in self.graph.nodes if self.graph.stays(n)} | {*outputs}
        stack = list(seen)
        while stack:
            for arg in stack.pop().args:
                if arg not in seen:
                    seen.add(arg)
                    stack.append(arg)
        return [node for node in self.graph.nodes if node in seen]

    def _outputs(self, outputs: Sequence[Node]) -> None:
        """Which node is written into which output; a copy where none can be."""
        for place, node in enumerate(outputs):
            origin = node
            while origin.op == "reshape" or squeezed(origin):
                origin = origin.args[0]
            if origin.op in GIVEN or origin.op in VIEWS or origin in self.home:
                origin = self.graph.copy(
                    "axes",
                    (node,),
                    node.shape,
                    node.dtype,
                    where=tuple(range(node.ndim)),
                )
                self.live.append(origin)
            self.home[origin] = place
        # a copy of a node stands after it
        self.live.sort(key=lambda node: node.number)

    # -- what is stored --------------------------------------------------------

    def is_number(self, node: Node) -> bool:
        """Whether a stored node is held in a register."""
        return not node.shape and node.op not in ROUTINES

    def _store(self, node: Node) -> None:
        if node.op in GIVEN or node.dtype == "several":
            return
        self.stored.add(node)
        self.views[node] = View(node, 0, contiguous(node.shape))
        self._inside[node] = frozenset()

    def _decide(self, node: Node, forced: set[Node]) -> None:
        """Whether a node must be stored; its operands have been decided."""
        args = node.args
        if node.op in GIVEN:
            self.views[node] = View(node, 0, contiguous(node.shape))
            self._inside[node] = frozenset()
            return
        if node.op in {"guard", "check", "call"} or node.op in ROUTINES:
            for arg in args:
                self._needs(node, arg)
        elif node.op == "gather" and args[0] not in self.views:
            self._store(args[0])
        elif node.op == "reshape":
            view = self.views.get(args[0])
            if view is None or viewed(node, view) is None:
                self._store(args[0])
        for arg in args:
            if self._inside.get(arg) and repeats(node, arg):
                self._store(arg)
        alone = node.op in ALWAYS or piecewise(node)
        alone = alone or (self.one and (called(node) or stacked(node) > 0))
        if node in forced or node in self.home or alone:
            self._store(node)
        elif node.op in VIEWS and args[0] in self.views:
            found = viewed(node, self.views[args[0]])
            if found is not None:
                self.views[node] = found
                self._inside[node] = frozenset()
                return
        if node.op in {"guard", "check"}:
            return
        if not node.shape and node.op not in VIEWS:
            self._store(node)
        if node in self.stored or node.dtype == "several":
            self._inside[node] = frozenset()
            return
        inside = frozenset([node]).union(*(self._inside[arg] for arg in args))
        self._inside[node] = inside
        if len(inside) > WIDE and not self.one:
            self._store(node)

    def _needs(self, node: Node, arg: Node) -> None:
        """A routine takes contiguous arrays; a matrix product also transposed ones."""
        if node.op == "guard" or arg.dtype == "several":
            return
        if node.op in WRITERS:
            return
        view = self.views.get(arg)
        # what is seen of a number in a register stands nowhere in memory
        if view is not None and (
            view.base.op in GIVEN or not self.is_number(view.base)
        ):
            name = node.params.get("name")
            if name == "gemm" and layout(arg, view) is not None:
                return
            if is_contiguous(arg.shape, view.strides):
                return
        self._store(arg)

    def _cost(self, node: Node) -> int:
        return sum(work_of(inner) for inner in self._inside[node])

    def _share(self) -> None:
        """Store what several loops would compute again, if that is much."""
        several: list[Node] = []
        contexts: dict[Node, set[int]] = {node: set() for node in self.live}
        for node in reversed(self.live):
            mine = contexts[node]
            lazy = node not in self.stored and node.op not in VIEWS
            shared = lazy and len(mine) > 1 and self._inside.get(node)
            if shared and self._cost(node) > CHEAP:
                self._store(node)
                several.append(node)
            if node in self.stored or node.op in {"guard", "check"}:
                mine = {ONE if self.one and not called(node) else node.number}
            elif node.op not in {"map", "cast", *(VIEWS if self.one else ())}:
                mine = {hash((node.number, context)) for context in mine}
            for place, arg in enumerate(node.args):
                if len(contexts[arg]) < 3:
                    if node.op in WRITERS:  # a loop for each
                        contexts[arg].add(hash((node.number, place)))
                    else:
                        contexts[arg] |= mine

        for node in reversed(several):
            self._compute(node)

    def _compute(self, node: Node) -> None:
        """Do not store a node after all, if little is left of it by what is stored."""
        inside = {node}
        loaded: set[Node] = set()
        stack = [*node.args]
        while stack:
            arg = stack.pop()
            if arg in self.views:
                loaded |= {arg} if arg.shape else set()
            elif arg not in inside:
                inside.add(arg)
                stack += arg.args
        if sum(map(work_of, inside)) <= CHEAP and len(loaded) <= LOADED:
            self.stored.remove(node)
            del self.views[node]
            self._inside[node] = frozenset(inside)

    def _alias(self) -> None:
        """Writes to an array that nobody else reads are made where it stands."""
        uses: dict[Node, int] = {}
        for node in self.live:
            for arg in node.args:
                uses[arg] = uses.get(arg, 0) + 1
        for node in reversed(self.live):
            if node.op != "writes":
                continue
            base = node.args[0]
            if base.op == "writes" and uses[base] == 1 and base not in self.home:
                self.same[base] = self.same.get(node, node)
