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

    A node "writes" has the array it begins with and the values; its parameters are
    their keys, and for each whether it is added to what is there.
    """
    live = {node for node in graph.nodes if graph.stays(node)} | {*outputs}
    stack = list(live)
    uses: dict[Node, int] = dict.fromkeys(outputs, 1)
    while stack:
        for arg in stack.pop().args:
            uses[arg] = uses.get(arg, 0) + 1
            if arg not in live:
                live.add(arg)
                stack.append(arg)
    length: dict[Node, int] = {}
    inner: set[Node] = set()
    for node in graph.nodes:
        write, before = written(node)
        if node not in live or write is None or before is None:
            continue
        known = length.get(before, 0) if uses[before] == 1 else 0
        if known:
            inner.add(before)
        length[node] = known + 1
    for node, count in length.items():
        if node not in inner and count > FEW.get(node.ndim, FEW_WIDE):
            _join(node, count)


def written(node: Node) -> tuple[Node | None, Node | None]:
    """The node that holds key and value of a write, and what it is made to."""
    if node.op == "set":
        return node, node.args[0]
    if node.op == "map" and node.params["row"].name == "add":
        for write, before in (node.args[::-1], node.args):
            if write.op == "scatter" and before.shape == node.shape:
                return write, before
    return None, None


def _join(node: Node, count: int) -> None:
    """Make the nodes of a chain, MOST writes each, from its end backwards.

    An addition adds 0.0 to every other entry, too, and so makes 0.0 of -0.0. Here it
    does not touch them: what is put before one of them, and the array that a chain
    begins with, are settled instead.
    """
    later = False
    while count:
        here, keys, values, adds, settle = node, [], [], [], []
        for _ in range(min(MOST, count)):
            write, before = written(node)
            if write is None or before is None:
                break
            keys.append(write.params["key"])
            values.append(write.args[-1])
            adds.append(write is not node)
            settle.append(later and write is node)
            later |= adds[-1]
            node = before
            count -= 1
        here.op = "writes"
        here.args = (node, *reversed(values))
        first = later and not count
        here.params = {
            "keys": keys[::-1],
            "add": adds[::-1],
            "settle": [first, *reversed(settle)],
        }
