"""Tapes as graphs: each step becomes nodes. Floor 9.

An elementwise row is a map. The rules of rows of whole arrays make views, selections,
reductions and calls of them: ``movement``, ``folds``, ``algebra``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.arrays import algebra, folds, loops, movement
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.native.arrays.rules import RULES
from tapegrad.rules import TABLE
from tapegrad.tape.tape import Tape

# Registered by being imported.
REGISTERED = (movement, folds, algebra, loops)


def graph_of(tape: Tape) -> tuple[Graph, list[Node | None]]:
    """The graph of a flat tape, and the node of each slot.

    Raises:
        CompileError: a step has no native code.
    """
    g = Graph()
    slots: list[Node | None] = [None] * tape.slot_count
    places = {slot: place for place, slot in enumerate(tape.inputs)}
    for step in tape:
        row, params = step.primitive, dict(step.params)
        args: list[Any] = [slots[i] for i in step.operands]
        if row.name == "input":
            slot = step.slots.start
            aval = tape.aval_of(slot)
            slots[slot] = g.add("input", (), *aval, place=places[slot])
        elif row.name == "const":
            shape, dtype = tape.aval_of(step.slots.start)
            value = np.asarray(params["value"], dtype)
            slots[step.slots.start] = g.const(value.reshape(shape))
        elif row.name == "guard":
            outcome = params["guard"].outcome
            g.add("guard", args, (), "bool", step=step.number, outcome=outcome)
        elif row.name == "call" or (row.nested and row.name not in RULES):
            msg = "native code is for flat tapes; put sub-tapes in place first"
            raise CompileError(msg)
        elif not row.whole and not row.nested:
            slots[step.slots.start] = g.map(row.name, *args, **params)
        elif row.name in RULES:
            found = RULES[row.name](g, *args, **params)
            parts = found if isinstance(found, tuple) else (found,)
            for slot, part in zip(step.slots, parts, strict=True):
                slots[slot] = part
        else:
            msg = (
                f"step {step.number}, {row.name}, has no native code for arrays; sweep "
                "the tape itself, or give the row a rule in tapegrad.native.arrays"
            )
            raise CompileError(msg)
    return g, slots


def missing() -> list[str]:
    """Rows of whole arrays without a rule here; for tests."""
    return [row.name for row in TABLE if row.whole and row.name not in RULES]
