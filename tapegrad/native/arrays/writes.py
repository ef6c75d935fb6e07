"""Chains of writes into one array, as one node. Floor 9.

    a1 = a0 + scatter(v1),  a2 = a1 + scatter(v2),  ...     or   a[k] = v, many times

Each step is a new array; where nobody reads those in between, it is the old one with a
few entries changed. A long chain (the adjoint of a loop over the entries of an array)
would be a quadratic number of entries otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.graph import Graph, Node

# Up to so many writes are left as they are: one loop reads them all.
FEW = {0: 6, 1: 6}
FEW_WIDE = 3
# Writes of one node: functions are cut between nodes.
MOST = 32


def join_writes(graph: Graph, outputs: Sequence[Node]) -> None:
    """Make nodes "writes" of the ends of long chains; nodes in between are not read.

    A node "writes" has the array it begins with, if any, and the values; its parameters
    are their keys, and whether they are added to what is there.
    """
    uses: dict[Node, int] = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes:
        for arg in node.args:
            uses[arg] += 1
    for node in outputs:
        uses[node] += 1
    # chain[a]: the write that makes a, what is written, and how many came before
    chain: dict[Node, tuple[Node, Node, bool, int]] = {}
    inner: set[Node] = set()
    for node in graph.nodes:
        found = _written(node, uses)
        if found is None:
            continue
        before, write, add = found
        known = chain.get(before)
        count = 0
        if known is not None and uses[before] == 1 and known[2] == add:
            inner.add(before)
            count = known[3]
        chain[node] = (before, write, add, count + 1)
    for node, (_, _, _, count) in chain.items():
        few = FEW.get(node.ndim, FEW_WIDE)
        if node not in inner and count > few:
            _join(node, chain, count)


def _written(node: Node, uses: dict[Node, int]) -> tuple[Node, Node, bool] | None:
    """What a write is made to, the node that holds key and value, whether it adds."""
    if node.op == "set":
        return node.args[0], node, False
    if node.op != "map" or node.params["row"].name != "add":
        return None
    for write, before in (node.args[::-1], node.args):
        if write.op == "scatter" and uses[write] == 1 and before.shape == node.shape:
            return before, write, True
    return None


def _join(
    end: Node, chain: dict[Node, tuple[Node, Node, bool, int]], count: int
) -> None:
    """Make the nodes of a chain, MOST writes each, from its end backwards."""
    node = end
    while count:
        part = min(MOST, count)
        here, keys, values = node, [], []
        for _ in range(part):
            before, write, add, _ = chain[node]
            keys.append(write.params["key"])
            values.append(write.args[-1])
            node = before
        count -= part
        base = (node,)
        here.op = "writes"
        here.args = (*base, *reversed(values))
        here.params = {"keys": keys[::-1], "add": add}
