"""Scans along the same entries, as one. Floor 9.

    c_{i+1}, y_i = f(c_i, x_i)        c_{i+1}, z_i = g(c_i, x_i)

A reverse sweep runs a scan once more, to keep the carries that it got. That is the same
loop with other outputs: where two scans have the same operands and the same next carry,
one loop gives the outputs of both.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.passes import prune, tidy
from tapegrad.rules.structure import CALL
from tapegrad.tape.inline import inline
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

# Scans of other carries along the same entries that one is compared with.
TRIED = 4


def join_scans(graph: Graph, outputs: list[Node]) -> None:
    """Make one scan of several; whoever reads the others, reads the first.

    Args:
        graph: changed where it stands.
        outputs: nodes of the outputs, changed where they stand.
    """
    known: dict[Any, list[Node]] = {}
    moved: dict[Node, Node] = {}
    for node in graph.nodes:
        node.args = tuple(moved.get(arg, arg) for arg in node.args)
        if node.op != "call" or node.params["name"] != "scanned":
            continue
        words = {k: v for k, v in node.params.items() if k != "body"}
        alike = known.setdefault((node.args, *sorted(words.items())), [])
        for one in alike[:TRIED]:
            parts = _joined(graph, one, node)
            if parts is not None:
                moved |= parts
                break
        else:
            alike.append(node)
    outputs[:] = [moved.get(node, node) for node in outputs]


def _joined(graph: Graph, one: Node, other: Node) -> dict[Node, Node] | None:
    """Let one scan give the outputs of another, too; the parts that stand for others.

    None where their carries go different ways.
    """
    bodies = [graph.tapes[node.params["body"]] for node in (one, other)]
    carry, count = one.params["carry"], len(bodies[0].outputs)
    body = _beside(*bodies)
    slots, further = body.outputs[:count], body.outputs[count:]
    if slots[:carry] != further[:carry]:
        return None
    parts: dict[Node, dict[int, Node]] = {one: {}, other: {}}
    for node in graph.nodes:
        if node.op == "part" and node.args[0] in parts:
            parts[node.args[0]][node.params["place"]] = node
    moved: dict[Node, Node] = {}
    kept = list(slots)
    for place, slot in enumerate(further):
        if place >= carry and slot not in kept[carry:]:
            kept.append(slot)
            mine = parts[other][place]
            mine.args = (one,)
            mine.params = {"place": len(kept) - 1}
            parts[one][len(kept) - 1] = mine
            continue
        at = place if place < carry else kept.index(slot, carry)
        moved[parts[other][place]] = parts[one][at]
    body = prune(dataclasses.replace(body, outputs=tuple(kept)))
    graph.tapes[body.digest] = body
    one.params = {**one.params, "body": body.digest}
    other.params = {**other.params, "joined": True}
    return moved


def _beside(one: Tape, other: Tape) -> Tape:
    """Both functions as one tape of the same inputs; what they share is made once."""
    out = Columns()
    inputs = [out.input(math.nan, one.aval_of(slot)) for slot in one.inputs]
    outputs: list[int] = []
    for tape in (one, other):
        avals = [tape.aval_of(slot) for slot in tape.outputs]
        outputs += out.append(CALL, inputs, {"tape": tape}, avals)
    return tidy(inline(out.freeze(tuple(inputs), tuple(outputs))))
