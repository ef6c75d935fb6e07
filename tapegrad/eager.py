"""Sweeps of eager Values: over the segments that lead to one. Floor 7.

Each sweep has adjoints of its own and adds them to what the slots and leaves hold, so a
second ``backward()`` doubles them exactly, intermediates included.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from tapegrad import bulk, passing
from tapegrad.ambient import Segment, current
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import Handle
from tapegrad.native.machine.choice import machine
from tapegrad.readings.mixed import MIXED
from tapegrad.real import as_data, frozen
from tapegrad.tape.recorder import Columns, aval_of
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape
from tapegrad.value import CONSTANT, Value

# Leaves may be shared by threads, and adding to a .grad is more than one operation.
_LEAVES = threading.Lock()


def backward(root: Value, seed: Any = None) -> None:
    """Reverse sweep from a Value: adds its adjoints to every ``.grad``.

    Args:
        root: an eager Value.
        seed: the adjoint of the root itself, of its shape; ones by default, so that
            an array is swept like its sum.

    Raises:
        RecordError: inside a recording.
        ShapeError: a seed of another shape.
    """
    if isinstance(root, Handle):
        msg = (
            f"backward() of {root.where_from()} inside a recording; return the value "
            "and ask the tape for its gradient, or use tg.grad on the function"
        )
        raise RecordError(msg)
    start = _seed(root, seed)
    if root._is_leaf:
        root.grad = root.grad + start
        return
    segment = root._rec
    older = _sweep(segment, {root._i: start})
    if older:
        _sweep_older(older)
    if current() is segment:
        segment.close()


def _sweep_older(found: list[tuple[Segment, int, Any]]) -> None:
    """Sweep the segments that adjoints have come to, the newest first."""
    pending: dict[Segment, dict[int, Any]] = {}
    by_serial: dict[int, Segment] = {}
    order: list[int] = []
    while True:
        for segment, slot, bar in found:
            if segment not in pending:
                pending[segment] = {}
                by_serial[segment.serial] = segment
                heapq.heappush(order, -segment.serial)
            bars = pending[segment]
            bars[slot] = bars[slot] + bar if slot in bars else bar
        if not order:
            return
        newest = by_serial.pop(-heapq.heappop(order))
        found = _sweep(newest, pending.pop(newest))


def _seed(root: Value, seed: Any) -> Any:
    """The adjoint to start from, in the shape and dtype of the root."""
    single = type(root._data) is float
    if seed is None and single:
        return 1.0
    start = 1.0 if seed is None else as_data(seed)
    if single and type(start) is float:
        return start
    shape = np.shape(start)
    if shape not in {(), root.shape}:
        msg = (
            f"backward() got a seed of shape {shape} for a Value of shape {root.shape}"
        )
        raise ShapeError(msg)
    full = np.full(root.shape, start, root.dtype if root.shape else np.float64)
    return full if full.ndim else full.item()


def _sweep(segment: Segment, seeds: dict[int, Any]) -> list[tuple[Segment, int, Any]]:
    """Sweep one segment; returns adjoints for slots of older ones."""
    found: Iterable[tuple[int, Any]]
    few: Any
    if segment.whole:
        with np.errstate(all="ignore"):
            few = bulk.adjoint_of_arrays(segment, seeds)
    else:
        few = bulk.adjoint_of_few(segment, seeds, bulk.FEW)
    if few is not None:
        stop = max(seeds) + 1
        found = [(slot, few[slot]) for slot in segment.imports if slot < stop]
    else:
        found = _sweep_many(segment, seeds)
    onward = []
    with _LEAVES:
        if few is not None:
            segment.add_few(few)
        for slot, bar in found:
            if bar is None:
                continue
            if slot in segment.origins:
                onward.append((*segment.origins[slot], bar))
            else:
                leaf = segment.imports[slot]
                leaf._grad = getattr(leaf, "_grad", 0.0) + bar
    return onward


def _sweep_many(segment: Segment, seeds: dict[int, Any]) -> Iterable[tuple[int, float]]:
    """A long sweep; returns slot and adjoint of the imports reached."""
    stop = max(seeds) + 1
    native = machine(stop)
    swept = None if native is None else native.adjoint_of_rows(segment, stop, seeds)
    if swept is None:
        lines = bulk.lines_of_columns(segment, stop)
        loop = None if native is None else accumulator(stop)
        swept = bulk.adjoint(lines, seeds, loop)
    bars, reached = swept
    segment.add_many(bars)
    return [
        (slot, float(bars[slot]))
        for slot in segment.imports
        if slot < stop and reached[slot]
    ]


def accumulator(slots: int) -> bulk.Accumulate | None:
    """The native accumulation loop where native code is used at all."""
    if slots < bulk.MANY_SLOTS or machine(slots) is None:
        return None
    from tapegrad.native.accumulate import accumulate

    return accumulate


def backward_step(value: Value) -> None:
    """Pass a Value's ``.grad`` on to its operands, this one step alone."""
    made = value._step
    if made is None:
        return
    row, params = made
    operands, grad = value._operands, value.grad
    if type(grad) is float and grad == 0 and value.shape:
        grad = np.zeros(value.shape)
    primals = [operand._data for operand in operands]
    with np.errstate(all="ignore"):
        if row.nested or row.slots > 1:
            parts = _parts_of_several(value, row, primals, grad, params)
        else:
            wanted = [True] * len(primals)
            parts = passing.contributions(
                MIXED, row, value._data, primals, grad, None, params, wanted
            )
        for operand, (_, share, _) in zip(operands, parts, strict=True):
            if share is not None:
                bar = passing.fit(MIXED, share, aval_of(operand._data))
                operand.grad = operand.grad + bar


def _parts_of_several(
    value: Value, row: Any, primals: list[Any], grad: Any, params: Any
) -> list[tuple[Any, Any, Any]]:
    """What one of the results of a step passes on."""
    first = value._rec.first_of(value._i)
    slots = range(first, first + row.owns(params))
    ys = {slot: value._rec.step_at(slot)[3] for slot in slots}
    bars = dict.fromkeys(slots) | {value._i: grad}
    if row.nested:
        return passing.pulled_nested(MIXED, row, slots, ys, primals, bars, params, {})
    return passing.pulled_several(MIXED, row, slots, ys, primals, bars, params)


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
    slots: dict[int, int] = {}
    for value in leaves:
        data = frozen(value._data)
        slots[id(value)] = out.input(data, aval_of(data))
    for value in roots:
        if value._born == CONSTANT:
            slots[id(value)] = out.constant(value._data)
    for value in ordered:
        made = value._step
        if made is not None:
            operands = [slots[id(operand)] for operand in value._operands]
            slots[id(value)] = _pushed(out, made, operands, value)
    labels = {slots[id(v)]: v.label for v in ordered if v.label}
    return out.freeze(
        inputs=tuple(slots[id(value)] for value in leaves),
        outputs=(slots[id(root)],),
        labels=labels,
        structure=Structure(arguments=tuple(Tree() for _ in leaves)),
        example=tuple(value._data for value in leaves),
    )


def _pushed(out: Columns, made: Any, operands: list[int], value: Value) -> int:
    """A step copied; where it owns several slots, the one of this Value."""
    row, params = made
    if row.slots == 1:
        avals = [aval_of(value._data)]
        return out.push_arrays(row, operands, params, [value._data], avals)[0]
    first = value._rec.first_of(value._i)
    steps = range(first, first + row.owns(params))
    primals = [value._rec.step_at(slot)[3] for slot in steps]
    avals = [value._rec.aval_at(slot) for slot in steps]
    made = out.push_arrays(row, operands, params, primals, avals)
    return int(made[value._i - first])


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
