"""Sweeps of eager Values: over the segments that lead to one. Floor 7.

Each sweep has adjoints of its own and adds them to what the slots and leaves hold, so a
second ``backward()`` doubles them exactly, intermediates included.
"""

from __future__ import annotations

import heapq
import threading

from tapegrad import bulk
from tapegrad.ambient import Segment, current
from tapegrad.errors import RecordError
from tapegrad.real import as_number
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape
from tapegrad.value import CONSTANT, Handle, Value

# Leaves may be shared by threads, and adding to a .grad is more than one operation.
_LEAVES = threading.Lock()


def backward(root: Value, seed: float | None = None) -> None:
    """Reverse sweep from a Value: adds its adjoints to every ``.grad``.

    Args:
        root: an eager Value.
        seed: the adjoint of the root itself, 1.0 by default.

    Raises:
        RecordError: inside a recording.
    """
    if isinstance(root, Handle):
        msg = (
            f"backward() of {root.where_from()} inside a recording; return the value "
            "and ask the tape for its gradient, or use tg.grad on the function"
        )
        raise RecordError(msg)
    start = 1.0 if seed is None else as_number(seed)
    if root._is_leaf:
        root.grad = root.grad + start
        return
    pending: dict[Segment, dict[int, float]] = {root._rec: {root._i: start}}
    order = [-root._rec.serial]
    by_serial = {root._rec.serial: root._rec}
    while order:
        segment = by_serial.pop(-heapq.heappop(order))
        for older, slot, bar in _sweep(segment, pending.pop(segment)):
            if older not in pending:
                pending[older] = {}
                by_serial[older.serial] = older
                heapq.heappush(order, -older.serial)
            bars = pending[older]
            bars[slot] = bars[slot] + bar if slot in bars else bar
    if current() is root._rec:
        root._rec.close()


def _sweep(
    segment: Segment, seeds: dict[int, float]
) -> list[tuple[Segment, int, float]]:
    """Sweep one segment; returns adjoints for slots of older ones."""
    few = bulk.adjoint_of_few(segment, seeds, bulk.FEW)
    if few is not None:
        segment.add_few(few)
        found = ((slot, few[slot]) for slot in segment.imports if slot in few)
    else:
        stop = max(seeds) + 1
        lines = bulk.lines_of_columns(segment, stop)
        bars, reached = bulk.adjoint(lines, seeds, accumulator(stop))
        segment.add_many(bars)
        found = (
            (slot, float(bars[slot]))
            for slot in segment.imports
            if slot < stop and reached[slot]
        )
    onward = []
    with _LEAVES:
        for slot, bar in found:
            if slot in segment.origins:
                onward.append((*segment.origins[slot], bar))
            else:
                leaf = segment.imports[slot]
                leaf._grad = getattr(leaf, "_grad", 0.0) + bar
    return onward


def accumulator(slots: int) -> bulk.Accumulate | None:
    """The native accumulation loop where it pays."""
    if slots < bulk.MANY_SLOTS:
        return None
    from tapegrad.native.accumulate import accumulate

    return accumulate


def backward_step(value: Value) -> None:
    """Pass a Value's ``.grad`` on to its operands, this one step alone."""
    made = value._step
    if made is None:
        return
    row, params = made
    operands = value._operands
    primals = [operand.data for operand in operands]
    found = bulk.partials_at(row, value.data, primals, params)
    for operand, partial in zip(operands, found, strict=False):
        if not (type(partial) is int and partial == 0):
            operand.grad = operand.grad + value.grad * partial


def tape_of(root: Value) -> Tape:
    """The frozen tape that leads to an eager Value.

    Its inputs are the leaves, in order of creation; numbers met in expressions are
    constants; labels of Values name its slots.
    """
    if isinstance(root, Handle):
        return root._rec.snapshot(root)  # type: ignore[no-any-return]
    out = Columns()
    ordered = history(root)
    roots = [value for value in ordered if value._is_leaf]
    leaves = sorted((v for v in roots if v._born != CONSTANT), key=lambda v: v._born)
    slots = {id(value): out.input(value.data) for value in leaves}
    for value in roots:
        if value._born == CONSTANT:
            slots[id(value)] = out.constant(value.data)
    for value in ordered:
        made = value._step
        if made is not None:
            operands = [slots[id(operand)] for operand in value._operands]
            slots[id(value)] = out.push(made[0], operands, made[1], value.data)
    labels = {slots[id(v)]: v.label for v in ordered if v.label}
    return out.freeze(
        inputs=tuple(slots[id(value)] for value in leaves),
        outputs=(slots[id(root)],),
        labels=labels,
        structure=Structure(arguments=tuple(Tree() for _ in leaves)),
        example=tuple(value.data for value in leaves),
    )


def history(root: Value) -> list[Value]:
    """Every Value that leads to one, operands first, each once; no recursion."""
    found: dict[int, Value] = {}
    stack: list[tuple[Value, bool]] = [(root, False)]
    while stack:
        value, done = stack.pop()
        if done:
            found[id(value)] = value
        elif id(value) not in found:
            stack.append((value, True))
            operands = value._operands
            stack.extend((operand, False) for operand in reversed(operands))
    return list(found.values())
