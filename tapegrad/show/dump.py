"""A tape as JSON: value, operation, children. Floor 9.

    {"id": "v2", "operation": "*", "value": 6.0, "adjoint": 1.0, "children": [...]}

A small expression is a tree, as one draws it, nodes that are used twice written out
twice under one ``id``. A large or deep one would be as large as its unfolded tree, and
too deep for JSON parsers; it is a flat list of nodes whose children are ids.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.rules.shapes import FLOATING
from tapegrad.show.listing import known
from tapegrad.show.loops import trips_text
from tapegrad.show.text import keywords, number_text, sign_of
from tapegrad.tape.tape import BOOLEAN, SCALAR, Step, Tape
from tapegrad.unrolling import found, short

# A tree of more nodes, unfolded, or deeper than this is written as a flat list.
TREE_NODES = 500
TREE_DEPTH = 50
# Loops that were found in steps are written out up to so many steps.
WRITTEN = 200_000
# An array of more entries is written as the short text of the list.
ENTRIES = 100


def to_json(tape: Tape) -> str:
    """The outputs of a tape with everything they are made of, as JSON text.

    Args:
        tape: any tape. Values and adjoints are those at the inputs of the recording;
            a tape that does not know these has null there.

    Returns:
        For a small tape with one output, its node: ``id``, ``operation`` (``input``,
        ``const``, ``+``, ``tanh``, ``**2``, ``[1:]``), ``label`` where there is one,
        ``value``, ``adjoint`` where known, and ``children``, a list of nodes. Nodes of
        arrays have a ``shape`` and ``dtype`` (values are nested lists, of more than
        100 entries a text such as "[0.0, 1.0 ... 9.0]"), those of steps with static
        parameters ``parameters``, a list such as ["axis=0"]. For a small tape
        with several outputs, a list of these. For a large one,
        ``{"outputs": [ids], "nodes": [...]}`` with ids for children, in step order.
        A loop that was found in steps, and is too long to be written out, is a node
        with ``times`` and a ``body`` of ``inputs``, ``outputs`` and ``nodes``.
        NaN and infinities, which JSON has not, are the texts "nan", "inf", "-inf".

    Example:
        >>> import json, tapegrad as tg
        >>> node = json.loads(tg.record(lambda x: x * x, 3.0).to_json())
        >>> node["value"], node["operation"], len(node["children"])
        (9.0, '*', 2)
    """
    tape = short(tape, WRITTEN)
    primals, adjoints = known(tape)
    needed = _needed(tape)
    nodes: dict[int, dict[str, Any]] = {}
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    for number in needed:
        step = tape.step(number)
        size = 1 + sum(sizes[slot] for slot in step.operands)
        depth = 1 + max((depths[slot] for slot in step.operands), default=0)
        for slot in step.slots:
            nodes[slot] = _node(step, slot, tape, primals, adjoints)
            # capped: the tree of x = x*x, a thousand times, has 2**1000 nodes
            sizes[slot], depths[slot] = min(size, TREE_NODES + 1), depth
    outputs = tape.outputs
    small = sum(sizes[slot] for slot in outputs) <= TREE_NODES
    if small and max((depths[slot] for slot in outputs), default=0) <= TREE_DEPTH:
        for node in nodes.values():  # operands come first: children are complete
            node["children"] = [nodes[slot] for slot in node["children"]]
        trees = [nodes[slot] for slot in outputs]
        return json.dumps(trees[0] if len(trees) == 1 else trees, allow_nan=False)
    for node in nodes.values():
        node["children"] = [f"v{slot}" for slot in node["children"]]
    flat = {"outputs": [f"v{slot}" for slot in outputs], "nodes": list(nodes.values())}
    return json.dumps(flat, allow_nan=False)


def _needed(tape: Tape) -> list[int]:
    """Numbers of the steps that the outputs need, in step order."""
    wanted = bytearray(tape.slot_count)
    for slot in tape.outputs:
        wanted[slot] = 1
    first, offsets = tape.first.tolist(), tape.offsets.tolist()
    operands = tape.operands.tolist()
    found = []
    for number in range(len(tape) - 1, -1, -1):
        if any(wanted[first[number] : first[number + 1]]):
            found.append(number)
            for slot in operands[offsets[number] : offsets[number + 1]]:
                wanted[slot] = 1
    return found[::-1]


def _node(
    step: Step,
    slot: int,
    tape: Tape,
    primals: Sequence[Any] | None,
    adjoints: Sequence[Any] | None,
) -> dict[str, Any]:
    node: dict[str, Any] = {"id": f"v{slot}"}
    if slot in tape.labels:
        node["label"] = tape.labels[slot]
    shapes = [tape.aval_of(operand)[0] for operand in step.operands]
    first = shapes[0] if shapes else ()
    node["operation"] = sign_of(step.primitive, step.params, first)
    if found(step):
        node["times"] = trips_text(step.params)
        node["body"] = _body(step.params["tape"])
    if words := keywords(step.primitive, step.params, len(first)):
        node["parameters"] = words
    aval = tape.aval_of(slot)
    if aval not in {SCALAR, BOOLEAN}:
        node["shape"], node["dtype"] = list(aval[0]), aval[1]
    if step.primitive.name == "const":
        node["value"] = _plain(step.params["value"])
    else:
        node["value"] = None if primals is None else _plain(primals[slot])
        if adjoints is not None and aval[1] in FLOATING:
            node["adjoint"] = _plain(adjoints[slot])
    node["children"] = list(step.operands)
    return node


def _body(inner: Tape) -> dict[str, Any]:
    """The body of a loop: its nodes, flat, without numbers."""
    nodes = []
    for step in inner:
        for slot in step.slots:
            node = _node(step, slot, inner, None, None)
            node["children"] = [f"v{operand}" for operand in node["children"]]
            nodes.append(node)
    ends = {"inputs": inner.inputs, "outputs": inner.outputs}
    names = {word: [f"v{slot}" for slot in slots] for word, slots in ends.items()}
    return names | {"nodes": nodes}


def _plain(value: Any) -> Any:
    """JSON has no NaN, no infinity and no arrays."""
    if isinstance(value, np.ndarray):
        return number_text(value) if value.size > ENTRIES else _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or math.isfinite(value):
        return value
    return str(float(value))
