"""Runs of numbers: very many that are taken, or given, one by one as loops. Floor 9.

A function of a list of a thousand numbers packs them into arrays, and its gradient
takes a thousand sums apart again. Written out, that is a thousand loads and stores
through pointers of their own, which LLVM takes time over with the square of their
number. Here inputs that stand side by side are read by one loop, and outputs of one
kind are computed as one array and handed out by another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.native.arrays.graph import GIVEN, VIEWS, Graph, Node
from tapegrad.native.arrays.places import View
from tapegrad.native.arrays.plan import Item, Plan

# Fewer are written out.
FEW = 16
# Rows that give the same bits as vectors; what an output is made of at most.
ROWS = frozenset({"add", "sub", "mul", "div", "neg"})
LEAVES = 16

Form = tuple[Any, ...]


def lifted(graph: Graph, outputs: Sequence[Node]) -> tuple[list[Node], set[Node]]:
    """Outputs of one kind, in a run, as entries of one array.

    Args:
        graph: grows by these arrays.
        outputs: of the kernel.

    Returns:
        The outputs, and the arrays that must be stored.
    """
    forms: dict[Node, tuple[Form, tuple[int, ...]]] = {}
    found, stored = list(outputs), set()
    for low, high in _runs([_form(node, forms)[0] for node in outputs]):
        places = np.array([forms[node][1] for node in outputs[low:high]])
        if not places.size or high - low < FEW or outputs[low].dtype != "float64":
            continue
        steps = np.diff(places, axis=0)
        if (steps != steps[0]).any() or not steps[0].any():
            continue
        lines = [
            (int(start), high - low, int(step))
            for start, step in zip(places[0], steps[0], strict=True)
        ]
        whole = _along(graph, outputs[low], iter(lines))
        kept = whole if whole.op == "map" else whole.args[0]
        if kept.op not in {*GIVEN, *VIEWS}:
            stored.add(kept)
        for place in range(high - low):
            found[low + place] = _entry(graph, whole, place)
    return found, stored


def _runs(forms: Sequence[Form]) -> Iterator[tuple[int, int]]:
    """Stretches of equal forms."""
    low = 0
    for place in range(1, len(forms) + 1):
        if place == len(forms) or forms[place] != forms[low]:
            yield low, place
            low = place


def _form(node: Node, known: dict[Node, Any]) -> tuple[Form, tuple[int, ...]]:
    """What a number is made of, and the places of the entries that it reads."""
    if node in known:
        return known[node]  # type: ignore[no-any-return]
    form: Form = ("one", node.number)
    places: tuple[int, ...] = ()
    if _is_entry(node):
        form, places = ("entry", node.args[0].number), (node.params["key"][0],)
    elif node.op == "map" and not node.shape and node.params["row"].name in ROWS:
        parts = [_form(arg, known) for arg in node.args]
        places = tuple(place for _, mine in parts for place in mine)
        if places and len(places) <= LEAVES:
            form = (node.params["row"].name, *(part for part, _ in parts))
        else:
            places = ()
    known[node] = form, places
    return form, places


def _is_entry(node: Node) -> bool:
    """Whether a node is an entry of an array of one axis."""
    return node.op == "index" and not node.shape and len(node.params["key"]) == 1


def _along(graph: Graph, node: Node, lines: Iterator[tuple[int, int, int]]) -> Node:
    """The array of a run, from its first number."""
    if _is_entry(node):
        (x,), line = node.args, next(lines)
        if not line[2]:
            return node
        return graph.add("index", (x,), (line[1],), x.dtype, key=(line,))
    if not _form(node, {})[1]:
        return node
    args = [_along(graph, arg, lines) for arg in node.args]
    return graph.map(node.params["row"].name, *args, **node.params["params"])


def _entry(graph: Graph, whole: Node, place: int) -> Node:
    return graph.add("index", (whole,), (), whole.dtype, key=(place,))


# -- reading and handing out -------------------------------------------------------


def handed_out(plan: Plan) -> list[Item]:
    """Items with runs of outputs that are entries side by side as one each."""
    items: list[Item] = []
    run: list[Item] = []
    for item in [*plan.items, Item("", [])]:
        if run and not _next(plan, run, item):
            items += [_joined(plan, run)] if len(run) >= FEW else run
            run = []
        if item.kind == "number" and _copied(plan, item) is not None:
            run.append(item)
        elif item.kind:
            items.append(item)
    return items


def _copied(plan: Plan, item: Item) -> View | None:
    """Where an output that is a copy of an entry in memory stands."""
    (node,) = item.nodes
    if node.op != "axes" or node.shape or node not in plan.home:
        return None
    view = plan.views.get(node.args[0])
    base = None if view is None else view.base
    if base is None or (plan.is_number(base) and base in plan.stored):
        return None
    return view if base.dtype == node.dtype == "float64" else None


def _next(plan: Plan, run: Sequence[Item], item: Item) -> bool:
    """Whether an item goes on with a run."""
    if item.kind != "number":
        return False
    view, last = _copied(plan, item), _copied(plan, run[-1])
    if view is None or last is None or view.base is not last.base:
        return False
    if plan.home[item.nodes[0]] != plan.home[run[-1].nodes[0]] + 1:
        return False
    if len(run) == 1:
        return view.offset != last.offset
    before = _copied(plan, run[-2])
    return before is not None and view.offset - last.offset == (
        last.offset - before.offset
    )


def _joined(plan: Plan, run: Sequence[Item]) -> Item:
    first = _copied(plan, run[0])
    reads = set() if first is None else {first.base}
    return Item("handed out", [item.nodes[0] for item in run], (), reads, len(run))


def hand_out(text: Any, nodes: Sequence[Node]) -> None:
    """Write the entries of one array to outputs that stand side by side.

    Args:
        text: the functions of a kernel.
        nodes: the outputs, in order.
    """
    views = [text.plan.views[node.args[0]] for node in nodes[:2]]
    stride = views[1].offset - views[0].offset
    home = text.plan.home[nodes[0]]
    source = text.pointer(views[0].base.number)

    def body(i: str) -> None:
        value = _load(text, source, i, views[0].offset, stride)
        text.emit(f"store double {value}, ptr {_given(text, 'outputs', i, home, 1)}")

    text.loop(len(nodes), body)


def taken(node: Node, *, runs: bool) -> list[tuple[int, int]]:
    """Stretches of the parts of a concatenation: runs of single inputs, and others."""
    if not runs or node.ndim != 1 or node.dtype != "float64":
        return [(place, place + 1) for place in range(len(node.args))]
    inputs = np.array([_input(part) for part in node.args])
    found: list[tuple[int, int]] = []
    low = 0
    for at in range(1, len(inputs) + 1):
        goes_on = at < len(inputs) and inputs[at] >= 0 and inputs[low] >= 0
        if goes_on:
            step = inputs[at] - inputs[at - 1]
            goes_on = abs(step) == 1 and step == inputs[low + 1] - inputs[low]
        if not goes_on:
            single = [(place, place + 1) for place in range(low, at)]
            found += [(low, at)] if at - low >= FEW else single
            low = at
    return found


def _input(part: Node) -> int:
    """The place of an input that a part of one entry is; -1 for any other part."""
    while part.op == "axes" and part.size == 1:
        part = part.args[0]
    single = part.op == "input" and not part.shape
    return int(part.params["place"]) if single else -1


def take(text: Any, node: Node, low: int, high: int) -> None:
    """Put inputs that stand side by side into a concatenation."""
    first, second = map(_input, node.args[low : low + 2])

    def body(i: str) -> None:
        value = text.fresh()
        at = _given(text, "inputs", i, first, second - first)
        text.emit(f"{value} = load double, ptr {at}")
        place = text.fresh()
        text.emit(f"{place} = add nsw i64 {i}, {low}")
        text.store(node, "double", place, value)

    text.loop(high - low, body)


def _given(text: Any, which: str, i: str, first: int, stride: int) -> str:
    """The pointer to an input or output by the turn of a loop."""
    return _loaded(text, "ptr", f"%{which}", i, first, stride)


def _load(text: Any, pointer: str, i: str, offset: int, stride: int) -> str:
    """A number by the turn of a loop."""
    return _loaded(text, "double", pointer, i, offset, stride)


def _loaded(text: Any, kind: str, base: str, i: str, first: int, stride: int) -> str:
    """What stands at first + i*stride."""
    scaled, place, at, value = (text.fresh() for _ in range(4))
    text.emit(
        f"{scaled} = mul nsw i64 {i}, {stride}",
        f"{place} = add nsw i64 {scaled}, {first}",
        f"{at} = getelementptr inbounds {kind}, ptr {base}, i64 {place}",
        f"{value} = load {kind}, ptr {at}",
    )
    return str(value)
