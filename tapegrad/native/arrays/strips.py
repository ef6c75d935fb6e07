"""Which loop nests run together, strip by strip. Floor 9.

Nests over long arrays, one after the other, read from main memory what the one before
has just written there. So nests over the same rows (entries of the first axis) make a
*group*: it runs over all rows in strips that fit into the fastest memory, and in each
strip nest after nest. What only the group reads has room for one strip.

A scan that reads the rows of the group runs along with it, in short strips: while each
turn waits for the one before, the processor makes the rows to come. Then nests over
other rows, which read nothing of the group, run *beside* it for the same reason.

What a nest of the group makes may be read there at the same row only: other rows belong
to strips that are gone, or have not come yet. What is made elsewhere may be read at any
place. A reduction of all rows is known when the whole group is done.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterator

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.plan import Item, Plan
from tapegrad.rules.shapes import Shape

# Entries of a strip, and of the shortest domain that is worth strips; of the longest
# row, of which a strip has at least one.
STRIP, LONG, WIDEST = 512, 8192, 4096
# Entrywise steps of a group, its nests, and groups that are looked back at.
MOST, NESTS, BACK = 600, 16, 4

# Rows of a strip with a scan: both it and the nests fit into what a processor looks
# ahead. Strips of the shortest such group; nests beside it.
TURNS, FEWEST, BESIDE = 8, 8, 4

# At an entry they read their operand's entry of the same row, if anything tells rows.
ROWWISE = frozenset({"map", "cast", "axes", "index", "reshape"})
# In a nest beside a group edges are cut off first.
EDGED = ROWWISE | {"scatter", "set", "concat"}


def grouped(plan: Plan) -> list[Item]:
    """The items of a plan, in an order that works as well, some of them in groups."""
    made: list[Item] = []
    groups: list[int] = []
    place: dict[Node, int] = {}
    lengths = {_domain(item)[0] for item in plan.items if _is_scan(item)}
    for item in _numbers_first(plan.items):
        found = None
        rows = _rows_read(plan, item, lengths)
        if rows is not None:
            found = _group_of(item, rows, made, groups[-BACK:], place)
        if found is None:
            found = _beside(plan, item, made, groups[-BACK:], place)
            if found is not None:
                made[found].beside.append(item)
                made[found].reads |= item.reads
                made[found].nodes += item.nodes
                place |= dict.fromkeys(item.nodes, found)
                continue
        if found is None:
            found = len(made)
            if rows is not None:
                groups.append(found)
                made.append(Item("strips", [], _domain(item)[:1]))
            else:
                made.append(item)
        if rows is not None:
            _join(made[found], item)
        place |= dict.fromkeys(item.nodes, found)
    return [part for item in made for part in _settled(item)]


def _settled(item: Item) -> list[Item]:
    """A group, or its nests one after the other where a group is of no use."""
    if not item.parts or item.beside:
        return [item]
    long = any(math.prod(part.domain) >= LONG for part in item.parts)
    if len(item.parts) > 1 and (long or item.back is not None):
        return [item]
    return item.parts


def _is_scan(item: Item) -> bool:
    """Whether an item is a scan that may run with nests, strip by strip."""
    params = item.nodes[0].params if item.kind == "call" else {}
    return (
        params.get("name") == "scanned"
        and not params["counted"]
        and params["xs"] > 0
        and params["length"] >= FEWEST * TURNS
    )


def _domain(item: Item) -> Shape:
    """The entries that an item runs over."""
    return (item.nodes[0].params["length"],) if _is_scan(item) else item.domain


def _sums(item: Item) -> bool:
    """Whether a nest reduces anything."""
    return any(node.op == "reduce" for node in item.nodes)


def _beside(
    plan: Plan,
    item: Item,
    made: list[Item],
    groups: list[int],
    place: dict[Node, int],
) -> int | None:
    """The group with a scan that a nest can run beside: nothing it reads is made there.

    (Or after it.)
    """
    if item.kind != "nest" or not item.domain or _sums(item):
        return None
    for at in groups:
        group = made[at]
        if group.back is None or len(group.beside) >= BESIDE:
            continue
        (rows,) = group.domain
        near = abs(item.domain[0] - rows) <= TURNS
        early = all(place.get(node, -1) < at for node in item.reads)
        if near and early and _within(plan, item):
            return at
    return None


def _within(plan: Plan, item: Item) -> bool:
    """Whether all that a nest computes goes along its rows."""
    stack = [*item.nodes]
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op not in EDGED:
            return False
        stack += [arg for arg in node.args if arg not in plan.views]
    return True


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
    if _is_scan(item):
        group.back = item.nodes[0].params["reverse"]
    inner = max(math.prod(part.domain[1:]) for part in group.parts)
    group.rows = max(STRIP // inner, 1) if group.back is None else TURNS


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
        if group.domain != _domain(item)[:1] or len(group.parts) >= NESTS:
            continue
        if not _goes_with(item, group):
            continue
        if group.work + item.work > MOST:
            continue
        if all(
            place.get(node, -1) < at or (place[node] == at and same)
            for node, same in rows.items()
        ):
            return at
    return None


def _goes_with(item: Item, group: Item) -> bool:
    """Whether a group with a scan, or a scan, takes what it is joined with."""
    if _is_scan(item):
        other = group.back not in {None, item.nodes[0].params["reverse"]}
        return not other and not any(map(_sums, group.parts))
    return group.back is None or not _sums(item)


def _rows_read(
    plan: Plan, item: Item, lengths: Container[int]
) -> dict[Node, bool] | None:
    """Stored nodes that a nest reads, and whether at its own row only.

    None for what cannot run in strips: it is no nest, or short, or it reads at places
    that are no affine functions of the row. (With a scan short ones run, too.)
    """
    if _is_scan(item):
        return _rows_of_scan(plan, item.nodes[0])
    domain = item.domain
    if item.kind != "nest" or not domain or domain[0] < 2:
        return None
    short = math.prod(domain) < LONG and (domain[0] not in lengths or _sums(item))
    if short or math.prod(domain[1:]) > WIDEST:
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


def _rows_of_scan(plan: Plan, node: Node) -> dict[Node, bool]:
    """What a scan reads, and whether at the row of its turn."""
    first = node.params["carry"]
    last = first + node.params["xs"]
    found: dict[Node, bool] = {}
    for place, arg in enumerate(node.args):
        base = plan.views[arg].base
        found[base] = found.get(base, True) and base is arg and first <= place < last
    return found


def has_rows(node: Node) -> bool:
    """Whether the first axis of what a nest makes is that of its domain."""
    if node.op == "part":
        return bool(node.params["place"] >= node.args[0].params.get("carry", 0))
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
