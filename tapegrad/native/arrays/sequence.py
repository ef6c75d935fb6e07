"""In what order stored nodes are computed, and which of them together. Floor 9.

Stored nodes become *items*: a nest makes one or several that run over the same entries,
so that an operand is read from memory once for all of them. A node joins an earlier
nest where all that it reads is there by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tapegrad.native.arrays.costs import piecewise, stacked
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.plan import ROUTINES, WIDE, Item, Plan, called, domain_of
from tapegrad.rules.shapes import Shape

# Nodes made together in one nest.
TOGETHER = 8
# Nests that are looked back at.
BACK = 4


def ordered(plan: Plan) -> list[Item]:
    """The items of a plan."""
    items: list[Item] = []
    place: dict[Node, int] = {}
    nests: dict[Shape, list[int]] = {}
    for node in plan.live:
        if node.op == "part":
            place[node] = place[node.args[0]]
            items[place[node]].nodes.append(node)
            continue
        kind, domain = _kind(plan, node)
        if not kind:
            continue
        found, work = reads(plan, node)
        item = Item(kind, [node], domain, set(found), work)
        if kind == "nest":
            earlier = nests.setdefault(domain, [])
            at = _nest_for(plan, item, found, items, earlier[-BACK:], place)
            if at is not None:
                items[at].nodes.append(node)
                items[at].reads |= item.reads
                items[at].work += work
                place[node] = at
                continue
            earlier.append(len(items))
        place[node] = len(items)
        items.append(item)
    return items


def _kind(plan: Plan, node: Node) -> tuple[str, Shape]:
    """What item a node is, and the entries that it runs over; "" if it is none."""
    owner = node.op in {"guard", "check"} or node.dtype == "several"
    domain = domain_of(node)
    if owner:
        return node.op, domain
    if node not in plan.stored:
        return "", domain
    if node.op in ROUTINES:
        return node.op, domain
    if plan.is_number(node) and node.op != "reduce":
        return "number", domain
    if plan.one and stacked(node):
        return "nest", (stacked(node),)  # with what is one number a lane
    return ("pieces" if piecewise(node) else "nest"), domain


def _nest_for(
    plan: Plan,
    new: Item,
    found: Mapping[Node, bool],
    items: Sequence[Item],
    nests: Sequence[int],
    place: Mapping[Node, int],
) -> int | None:
    """The nest that a node is made in, with others; None where there is none."""
    for at in nests:
        item = items[at]
        full = len(item.nodes) >= TOGETHER or item.work + new.work > WIDE
        light = plan.one and not any(map(called, (*new.nodes, *item.nodes)))
        if full and not light:
            continue
        if all(
            place.get(dep, -1) < at
            or (place[dep] == at and same and dep.op != "reduce")
            for dep, same in found.items()
        ):
            return at
    return None


def reads(plan: Plan, node: Node) -> tuple[dict[Node, bool], int]:
    """What making a node takes.

    Returns:
        The stored nodes that it reads, and whether at its own entry only; and the
        number of entrywise steps.
    """
    found: dict[Node, bool] = {}
    seen: set[tuple[Node, bool]] = set()
    domain = domain_of(node)
    plain = node.op in {"map", "cast", "reduce"}
    stack = [(arg, plain and arg.shape == domain) for arg in node.args]
    work = 0
    while stack:
        pair = stack.pop()
        if pair in seen:
            continue
        seen.add(pair)
        arg, same = pair
        view = plan.views.get(arg)
        if view is not None:
            same = same and view.base is arg
            found[view.base] = found.get(view.base, True) and same
            continue
        work += 1
        entrywise = arg.op in {"map", "cast"}
        stack += [
            (inner, same and entrywise and inner.shape == arg.shape)
            for inner in arg.args
        ]
    return found, work
