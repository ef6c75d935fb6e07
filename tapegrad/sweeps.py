"""Sweeps over a tape, generic over the reading: replay, tangent, adjoint. Floor 3.

    replay    v_i     = f(v_a, v_b, ...)
    tangent   v_dot_i = sum_j  df/dv_j * v_dot_j                 in step order
    adjoint   v_bar_j += v_bar_i * df/dv_j                       in reverse step order

(Griewank & Walther sections 3.1 and 3.2.) A slot that no derivative reaches holds None,
a *structural* zero; a derivative that happens to be 0 is a number like any other, or
(exp(x) - 1)^2 would lose its second derivative at 0. The arm of a ``where`` that is not
selected is absent: what it receives carries the arm's mask, and contributes
``where(mask, adjoint * partial, 0)``. The order of accumulation, reverse step order, is
part of the tape's meaning: every tier adds in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tapegrad.arriving import Sums, absorbed, active
from tapegrad.masks import fit_mask
from tapegrad.passing import (
    applied,
    contributions,
    fit,
    partials_of,
    pulled_nested,
    pulled_several,
    pushed,
    scaled,
)
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.inline import inline
from tapegrad.tape.tape import Tape

# Steps whose columns are lists at a time: ten million of them would be gigabytes.
BLOCK = 1 << 16


def replay(
    tape: Tape,
    m: Any,
    inputs: Sequence[Any],
    replace: Mapping[int, Any] | None = None,
) -> list[Any]:
    """All slot values of a flat tape at new inputs.

    Args:
        tape: a tape without call steps (see `flat`).
        m: the reading.
        inputs: one value an input, already numbers of the reading.
        replace: values put into slots in place of what the step gives.

    Raises:
        BranchChanged: a guard does not hold.
        DomainError: a matrix is singular, or not positive definite.
    """
    rows = [TABLE[name] for name in tape.operations]
    functions: list[Any] = [
        None if row.kind == "structure" else getattr(m, row.name) for row in rows
    ]
    given = dict(zip(tape.inputs, inputs, strict=True))
    statics = [dict(static) for static in tape.statics]
    values: list[Any] = []
    push = values.append
    for step, code, static, reads in _rows(tape):
        function = functions[code]
        if rows[code].nested:
            xs = [values[i] for i in reads]
            values.extend(m.nested(rows[code], xs, statics[static]))
        elif function is None:
            _structure(tape, m, values, rows[code], step, statics[static], given)
        elif rows[code].whole:
            xs = [values[i] for i in reads]
            found = applied(function, rows[code], xs, statics[static], f"step {step}: ")
            values.extend(found if rows[code].slots > 1 else [found])
        elif static:
            push(function(*[values[i] for i in reads], **statics[static]))
        elif len(reads) == 2:  # the usual step, without a list
            push(function(values[reads[0]], values[reads[1]]))
        else:
            push(function(*[values[i] for i in reads]))
        if replace and len(values) - 1 in replace:
            values[-1] = replace[len(values) - 1]
    return values


def _rows(tape: Tape) -> Iterator[tuple[int, int, int, list[int]]]:
    """Step number, opcode, static index and operands; lists of one block at a time."""
    for start in range(0, len(tape), BLOCK):
        stop = min(start + BLOCK, len(tape))
        offsets = tape.offsets[start : stop + 1]
        operands = tape.operands[offsets[0] : offsets[-1]].tolist()
        bounds = (offsets - offsets[0]).tolist()
        low = 0
        for step, code, static, high in zip(
            range(start, stop),
            tape.opcode[start:stop].tolist(),
            tape.static[start:stop].tolist(),
            bounds[1:],
            strict=True,
        ):
            yield step, code, static, operands[low:high]
            low = high


def _structure(
    tape: Tape,
    m: Any,
    values: list[Any],
    row: Primitive,
    step: int,
    params: Mapping[str, Any],
    given: Mapping[int, Any],
) -> None:
    """Steps that are no functions: inputs, constants, guards."""
    if row.name == "input":
        values.append(given[len(values)])
    elif row.name == "const":
        values.append(m.number(params["value"]))
    elif not m.symbolic:  # a symbolic guard is an assumption
        slot = int(tape.operands[tape.offsets[step]])
        guard = params["guard"]
        if m.guard is not None:
            m.guard(guard, values[slot])
        elif not guard.holds(values[slot]):
            text, operands = condition(tape, slot, varies=guard.varies)
            shown = tuple(values[i] for i in operands)
            raise guard.changed(step, text, shown)


def outputs(tape: Tape, m: Any, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of any tape at numbers of a reading."""
    base = flat(tape)
    values = replay(base, m, inputs)
    return [values[slot] for slot in base.outputs]


def summed(slots: Sequence[int], seeds: Sequence[Any]) -> dict[int, Any]:
    """Seeds by slot; an output that is given twice has both, None is no seed."""
    found: dict[int, Any] = {}
    for slot, seed in zip(slots, seeds, strict=True):
        if seed is not None:
            found[slot] = found[slot] + seed if slot in found else seed
    return found


def condition(
    tape: Tape, slot: int, *, varies: bool = False
) -> tuple[str, tuple[int, ...]]:
    """How a guarded slot reads (``a < b``), and the slots that it compares.

    Args:
        tape: with the guard.
        slot: that it is on.
        varies: whether that is ``condition xor recorded``; then the recorded outcome is
            the last of the slots.
    """
    made = tape.step(tape.owner(slot))
    if varies:
        inner, seen = slot, slot
        if made.primitive.name == "logical_xor":
            inner, seen = made.operands
        text, operands = condition(tape, inner)
        return text, (*operands, seen)
    names = [tape.label_of(i) for i in made.operands]
    if len(names) == 2:
        return f"{names[0]} {made.sign} {names[1]}", made.operands
    if made.primitive.kind == "predicate":
        return f"{made.sign} {names[0]}", made.operands
    return tape.label_of(slot), (slot,)


def flat(tape: Tape) -> Tape:
    """The tape as sweeps want it: sub-tapes in place of the steps that call them.

    Steps with sub-tapes and rules of their own (`Primitive.run`) stay.
    """
    if "call" not in tape.operations:
        return tape
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "flat" not in known:
        known["flat"] = inline(tape)
    return known["flat"]  # type: ignore[no-any-return]


def ruled(tape: Tape) -> bool:
    """Whether a tape has steps with sub-tapes and rules of their own."""
    return any(TABLE[name].nested for name in flat(tape).operations)


def tangent(
    tape: Tape, m: Any, values: Sequence[Any], seeds: Mapping[int, Any]
) -> list[Any]:
    """Forward sweep: the tangent of every slot, None where it is structurally 0.

    Args:
        tape: a flat tape.
        m: the reading.
        values: slot values of a replay in that reading.
        seeds: tangents of input slots.
    """
    dots: list[Any] = [None] * tape.slot_count
    for slot, seed in seeds.items():
        dots[slot] = seed
    live = active(tape, list(seeds))
    rows = [TABLE[name] for name in tape.operations]
    first = tape.first.tolist()
    arrays = tape.arrays
    for step, code, static, reads in _rows(tape):
        row, slot, end = rows[code], first[step], first[step + 1]
        # of several slots the first may be a truth value, which has no derivative
        if not reads or slot == end or not (live[slot] or any(live[slot + 1 : end])):
            continue
        xs = [values[i] for i in reads]
        params = dict(tape.statics[static])
        mine = [dots[i] if live[i] else None for i in reads]
        if all(dot is None for dot in mine):
            continue
        if row.nested:
            ys = values[slot : first[step + 1]]
            push: Any = row.push
            dots[slot : first[step + 1]] = push(m, mine, ys, xs, params)
            continue
        if row.whole:
            slots = slice(slot, first[step + 1])
            y = values[slot] if row.slots == 1 else tuple(values[slots])
            found = pushed(m, row, y, xs, mine, params)
            dots[slots] = found if row.slots > 1 else [found]
            continue
        if row.kind == "select":
            zero = m.like(0, values[slot])
            total = m.where(xs[0], *(zero if dot is None else dot for dot in mine[1:]))
        else:
            total = None
            partials = partials_of(m, row, values[slot], xs, params)
            for dot, partial in zip(mine, partials, strict=True):
                part = None if dot is None else scaled(dot, partial)
                if part is not None:
                    total = part if total is None else total + part
        if arrays and total is not None:
            total = fit(m, total, tape.aval_of(slot))
        dots[slot] = total
    return dots


def adjoint(
    tape: Tape,
    m: Any,
    values: Sequence[Any],
    seeds: Mapping[int, Any],
    wrt: Sequence[int] | None = None,
    watch: Callable[[int, int, Any, Any], None] | None = None,
    masks: dict[int, Any] | None = None,
) -> list[Any]:
    """Reverse sweep: the adjoint of every slot, None where it is structurally 0.

    Args:
        tape: a flat tape.
        m: the reading.
        values: slot values of a replay in that reading.
        seeds: adjoints of output slots.
        wrt: input slots asked for; all inputs by default.
        watch: called with (step, operand slot, partial, contribution) for each
            accumulation, for traces.
        masks: which entries of a seed are there; the others are structural zeros. The
            masks of the other slots are put beside them.
    """
    bars: list[Any] = [None] * tape.slot_count
    for slot, seed in seeds.items():
        bars[slot] = seed if bars[slot] is None else bars[slot] + seed
    live = active(tape, tape.inputs if wrt is None else wrt)
    rows = [TABLE[name] for name in tape.operations]
    statics = [dict(static) for static in tape.statics]
    opcode, static = tape.opcode.tolist(), tape.static.tolist()
    offsets, operands = tape.offsets.tolist(), tape.operands.tolist()
    first = tape.first.tolist()
    arrays = tape.arrays
    sums = Sums(m, bars)
    sums.masks = {} if masks is None else masks
    for step in range(len(opcode) - 1, -1, -1):
        slot, end = first[step], first[step + 1]
        low, high = offsets[step], offsets[step + 1]
        if slot == end or low == high or not (live[slot] or any(live[slot + 1 : end])):
            continue
        row = rows[opcode[step]]
        reads = operands[low:high]
        xs = [values[i] for i in reads]
        params = statics[static[step]]
        if row.absorbs:
            slots = range(slot, end)
            found = absorbed(sums, row, slots, values, xs, reads, live, params)
            for operand, (share, mask, whole) in zip(reads, found, strict=True):
                if share is None or not live[operand]:
                    continue
                if watch is not None:
                    watch(step, operand, None, share)
                (sums.put if whole else sums.add)(operand, share, mask)
            continue
        if row.nested:
            slots = range(slot, first[step + 1])
            parts = pulled_nested(m, row, slots, values, xs, bars, params, sums.masks)
        elif row.slots > 1:
            slots = range(slot, first[step + 1])
            parts = pulled_several(m, row, slots, values, xs, bars, params)
        elif bars[slot] is None:
            continue
        else:
            wanted = [live[i] for i in reads]
            y, bar, mask = values[slot], bars[slot], sums.masks.get(slot)
            parts = contributions(m, row, y, xs, bar, mask, params, wanted)
        for operand, (partial, part, under) in zip(reads, parts, strict=True):
            if part is None or not live[operand]:
                continue
            share, mask = part, under
            if arrays:
                aval = tape.aval_of(operand)
                share, mask = fit(m, part, aval), fit_mask(m, under, aval[0])
            if watch is not None:
                watch(step, operand, partial, share)
            sums.add(operand, share, mask)
    return bars
