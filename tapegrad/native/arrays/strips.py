"""Which loop nests run together, strip by strip. Floor 9.

Nests over long arrays, one after the other, read from main memory what the one before
has just written there. So nests over the same rows (entries of the first axis) make a
*group*: it runs over all rows in strips that fit into the fastest memory, and in each
strip nest after nest. What only the group reads has room for one strip.

What a nest of the group makes may be read there at the same row only: other rows belong
to strips that are gone, or have not come yet. What is made elsewhere may be read at any
place. A reduction of all rows is known when the whole group is done.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.plan import Item, Plan

# Entries of a strip, and of the shortest domain that is worth strips; of the longest
# row, of which a strip has at least one.
STRIP, LONG, WIDEST = 512, 8192, 4096
# Entrywise steps of a group, its nests, and groups that are looked back at.
MOST, NESTS, BACK = 600, 16, 4

# At an entry they read their operand's entry of the same row, if anything tells rows.
ROWWISE = frozenset({"map", "cast", "axes", "index", "reshape"})


def grouped(plan: Plan) -> list[Item]:
    """The items of a plan, in an order that works as well, some of them in groups."""
    made: list[Item] = []
    groups: list[int] = []
    place: dict[Node, int] = {}
    for item in _numbers_first(plan.items):
        found = None
        rows = _rows_read(plan, item)
        if rows is not None:
            found = _group_of(item, rows, made, groups[-BACK:], place)
        if found is None:
            found = len(made)
            if rows is not None:
                groups.append(found)
                made.append(Item("strips", [], item.domain[:1]))
            else:
                made.append(item)
        if rows is not None:
            _join(made[found], item)
        place |= dict.fromkeys(item.nodes, found)
    return [item.parts[0] if len(item.parts) == 1 else item for item in made]


def _numbers_first(items: list[Item]) -> list[Item]:
    """Numbers that need no array come first: nests that read them may be together."""
    early: list[Item] = []
    known: set[Node] = set()
    for item in items:
        if item.kind == "number" and all(
            node in known or node.op in {"input", "const"} for node in item.reads
        ):
            early.append(item)
            known |= {*item.nodes}
    ready = {id(item) for item in early}
    return early + [item for item in items if id(item) not in ready]


def _join(group: Item, item: Item) -> None:
    group.parts.append(item)
    group.nodes += item.nodes
    group.reads |= item.reads
    group.work += item.work
    inner = max(math.prod(part.domain[1:]) for part in group.parts)
    group.rows = max(STRIP // inner, 1)


def _group_of(
    item: Item,
    rows: dict[Node, bool],
    made: list[Item],
    groups: list[int],
    place: dict[Node, int],
) -> int | None:
    """The group that an item can be part of: all it reads is there by then."""
    for at in groups:
        group = made[at]
        if group.domain != item.domain[:1] or len(group.parts) >= NESTS:
            continue
        if group.work + item.work > MOST:
            continue
        if all(
            place.get(node, -1) < at or (place[node] == at and same)
            for node, same in rows.items()
        ):
            return at
    return None


def _rows_read(plan: Plan, item: Item) -> dict[Node, bool] | None:
    """Stored nodes that a nest reads, and whether at its own row only.

    None for what cannot run in strips: it is no nest, or short, or it reads at places
    that are no affine functions of the row.
    """
    domain = item.domain
    if item.kind != "nest" or not domain or domain[0] < 2:
        return None
    if math.prod(domain) < LONG or math.prod(domain[1:]) > WIDEST:
        return None
    found: dict[Node, bool] = {}
    seen: set[tuple[Node, bool]] = set()
    stack: list[tuple[Node, bool]] = []
    for node in item.nodes:
        if node.op == "reduce":
            stack.append((node.args[0], True))
        elif node.op in ROWWISE:
            stack += _operands(node, same=True)
        else:
            return None
    own = {*item.nodes}
    while stack:
        pair = stack.pop()
        if pair in seen:
            continue
        seen.add(pair)
        node, same = pair
        view = plan.views.get(node)
        if node in own and same:
            continue
        if view is not None and view.base is node:
            found[node] = found.get(node, True) and same and has_rows(node)
        elif node.op not in ROWWISE:
            return None
        else:
            stack += _operands(node, same=same)
    return found


def has_rows(node: Node) -> bool:
    """Whether the first axis of what a nest makes is that of its domain."""
    return node.op != "reduce" or 0 not in node.params["axes"]


def _operands(node: Node, *, same: bool) -> Iterator[tuple[Node, bool]]:
    """Operands, and whether each is read at the row that the node is read at."""
    for arg in node.args:
        kept = bool(arg.shape) and bool(node.shape) and arg.shape[0] == node.shape[0]
        if node.op in {"map", "cast"}:
            kept = kept and arg.ndim == node.ndim
        elif node.op == "axes":
            kept = kept and node.params["where"][0] == 0
        elif node.op == "index":
            kept = kept and node.params["key"][0] == (0, arg.shape[0], 1)
        yield arg, same and kept
