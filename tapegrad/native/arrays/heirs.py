"""Arrays that stand, as long as they are read, where an output will. Floor 9.

The nest that makes an output reads an array of the same shape for the last time, at the
very entry that it writes: then both may be in one place, and long arrays are not
brought from main memory and back once more.
"""

from __future__ import annotations

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.plan import Item, Plan
from tapegrad.native.arrays.sequence import reads


def put_in_outputs(plan: Plan) -> None:
    """Find such arrays, when the items have got their order."""
    last = {
        node: place
        for place, item in enumerate(plan.items)
        for node in (*item.nodes, *item.reads)
    }
    taken = {*plan.same, *plan.same.values()}
    for place, item in enumerate(plan.items):
        parts = item.parts or [item]
        for at, part in enumerate(parts):
            for output in part.nodes:
                if part.kind != "nest" or output not in plan.home:
                    continue
                for node in sorted(part.reads, key=lambda node: node.number):
                    if (
                        _alike(plan, node, output)
                        and node not in taken
                        and output not in taken
                        and node not in item.nodes
                        and last[node] == place
                        and not any(node in each.reads for each in item.beside)
                        and _read_in_place(plan, node, parts, at)
                    ):
                        plan.same[node] = output
                        taken |= {node, output}


def _alike(plan: Plan, node: Node, output: Node) -> bool:
    """Whether a place for the one is a place for the other."""
    return (
        node.op in {"map", "cast"}
        and output.op != "reduce"
        and node in plan.stored
        and node not in plan.home
        and bool(node.shape)
        and (node.shape, node.dtype) == (output.shape, output.dtype)
    )


def _read_in_place(plan: Plan, node: Node, parts: list[Item], at: int) -> bool:
    """Whether nests read a node before it is overwritten, each at its own entry."""
    for place, part in enumerate(parts):
        if node not in part.reads:
            continue
        if place > at:
            return False
        for made in part.nodes:
            found, _ = reads(plan, made)
            if not found.get(node, True):
                return False
    return True
