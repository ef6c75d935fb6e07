"""Rows of tables that iterations read entry by entry, as one constant each. Floor 10.

A loop in a loop whose constants are others in each of its iterations reads rows of a
table. Where both are written out, the entries of a row are the constants again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tapegrad.passes.slim import copied
from tapegrad.rolling.writing import entry_of
from tapegrad.rules.structure import INPUT
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

Key = tuple[int, ...]


def entrywise(body: Tape, places: Sequence[int]) -> tuple[Tape, dict[int, list[Key]]]:
    """A body that takes the entries of some inputs in their place.

    Args:
        body: one iteration, flat.
        places: of inputs that are read by whole entries alone.

    Returns:
        The body, and for each place the entries that stand there, in order.
    """
    out, moved = Columns(), dict[int, int]()
    entries: dict[int, dict[Key, int]] = {body.inputs[place]: {} for place in places}
    for step in body:
        known = entries.get(step.operands[0]) if step.operands else None
        if known is not None and (key := entry_of(step)) not in known:
            known[key or ()] = out.input(math.nan, body.aval_of(step.slots.start))
    for step in body:
        slot = step.slots.start
        known = entries.get(step.operands[0]) if step.operands else None
        if known is not None:
            moved[slot] = known[entry_of(step) or ()]
        elif step.primitive is not INPUT:
            copied(body, step, out, moved)
        elif slot not in entries:
            moved[slot] = out.input(math.nan, body.aval_of(slot))
    inputs: list[int] = []
    for slot in body.inputs:
        inputs += entries[slot].values() if slot in entries else [moved[slot]]
    outputs = tuple(moved[slot] for slot in body.outputs)
    keys = {place: [*entries[body.inputs[place]]] for place in places}
    return out.freeze(tuple(inputs), outputs), keys
