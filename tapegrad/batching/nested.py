"""Lanes through steps with sub-tapes: loops, checkpoints, gradients of one's own.

Floor 10. The step stays what it is, with sub-tapes of lanes in the place of its own;
so its rule for derivatives stays, too. A loop's carry has lanes where the start has
them or the body gives them. A loop that ends by a condition runs while any lane goes
on, and the lanes that have ended keep their carry.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.batching.lanes import Lanes, bare, moved, wide
from tapegrad.batching.reading import (
    RULES,
    Batching,
    batched,
    lane_by_lane,
    tape_of_lanes,
)
from tapegrad.loops import inside
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules import Primitive
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

Params = Mapping[str, Any]


def _marks(xs: Sequence[Any]) -> list[bool]:
    return [isinstance(x, Lanes) for x in xs]


def _results(found: Sequence[Any], marks: Sequence[bool]) -> list[Any]:
    return [Lanes(y) if mark else y for y, mark in zip(found, marks, strict=True)]


def _operands(b: Batching, xs: Sequence[Any], marks: Sequence[bool]) -> list[Any]:
    """Operands as numbers, those that are to have lanes with all of them."""
    return [
        wide(b.m, x, b.size) if mark else x for x, mark in zip(xs, marks, strict=True)
    ]


def _scan(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> list[Any]:
    """The entries of each iteration have lanes: the loop's axis stays in front."""
    carry, last = params["carry"], params["carry"] + params["xs"]
    marks = _marks(xs)
    while True:
        tape, told = tape_of_lanes(params["tape"], marks, b.size, marks[:carry])
        if told[:carry] == marks[:carry]:
            break
        marks[:carry] = told[:carry]
    operands = _operands(b, xs[:carry], marks[:carry])
    operands += [
        moved(b.m, x.value, 0, 1) if isinstance(x, Lanes) else x for x in xs[carry:last]
    ]
    operands += map(bare, xs[last:])
    found = b.m.nested(row, operands, {**params, "tape": tape})
    ys = [
        moved(b.m, y, 1, 0) if mark else y
        for y, mark in zip(found[carry:], told[carry:], strict=True)
    ]
    return _results([*found[:carry], *ys], told)


def _checkpoint(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> list[Any]:
    tape, told = tape_of_lanes(params["tape"], _marks(xs), b.size)
    found = b.m.nested(row, list(map(bare, xs)), {**params, "tape": tape})
    return _results(found, told)


def _custom(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> list[Any]:
    """The pullback gives each lane its adjoint, and their sum to what they share."""
    marks, places = _marks(xs), params["places"]
    base: Tape = params["tape"]
    ones = [True] * len(base.outputs)
    tape, _ = tape_of_lanes(base, marks, b.size, ones)
    seeds = len(params["pullback"].inputs) - len(xs)

    def ends(inner: Batching, bars: list[Any]) -> list[Any]:
        full = [wide(inner.m, bar, b.size) for bar in bars]
        return [
            bar if marks[place] else inner.m.sum(bar, axes=(0,))
            for place, bar in zip(places, full, strict=True)
        ]

    back = batched(params["pullback"], [*marks, *[True] * seeds], b.size, ends)
    grown = {**params, "tape": tape, "pullback": back}
    return _results(b.m.nested(row, list(map(bare, xs)), grown), ones)


# -- loops that end by a condition -------------------------------------------------


def _while(b: Batching, row: Primitive, xs: Sequence[Any], params: Params) -> list[Any]:
    """While any lane goes on; those that have ended keep their carry."""
    if params["ops"]:
        return _derivative(b, row, xs, params)
    cond, body = params["cond"], params["body"]
    carry, inner = len(body.outputs), len(body.inputs)
    marks = _marks(xs)
    while True:
        _, (some,) = tape_of_lanes(cond, marks[:carry] + marks[inner:], b.size)
        wanted = [some or mark for mark in marks[:carry]]
        _, told = tape_of_lanes(body, marks[:inner], b.size, wanted)
        if told == marks[:carry]:
            break
        marks[:carry] = told
    operands = _operands(b, xs[:carry], marks[:carry])
    within, around = list(map(bare, xs[carry:inner])), list(map(bare, xs[inner:]))
    grown = {
        **params,
        "cond": _any_lane(cond, marks[:carry] + marks[inner:], b.size),
        "body": _held(params, marks, b.size) if some else _body(body, marks, b.size),
    }
    captured = [*within, *around] if some else within
    found = b.m.nested(row, [*operands, *captured, *around], grown)
    return _results(found, marks[:carry])


def _any_lane(cond: Tape, marks: Sequence[bool], size: int) -> Tape:
    def ends(inner: Batching, outputs: list[Any]) -> list[Any]:
        (going,) = outputs
        if not isinstance(going, Lanes):
            return [going]
        return [inner.m.any(going.value, axes=(0,))]

    return batched(cond, marks, size, ends)


def _body(body: Tape, marks: Sequence[bool], size: int) -> Tape:
    marks = marks[: len(body.inputs)]
    return tape_of_lanes(body, marks, size, marks[: len(body.outputs)])[0]


def _held(params: Params, marks: Sequence[bool], size: int) -> Tape:
    """The body, for the lanes whose condition holds; it reads what that reads, too."""
    cond, body = sweeps.flat(params["cond"]), sweeps.flat(params["body"])
    carry, inner = len(body.outputs), len(body.inputs)
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        xs = inputs_onto(recorder, body) + inputs_onto(recorder, cond, carry)
        (going,) = sweeps.outputs(cond, m, [*xs[:carry], *xs[inner:]])
        found = sweeps.outputs(body, m, xs[:inner])
        kept = [
            _chosen(m, going, new, old, body.aval_of(slot)[1])
            for new, old, slot in zip(found, xs, body.outputs, strict=False)
        ]
        outputs = tuple(recorder.slot_of(y) for y in kept)
    tape = recorder.freeze(tuple(x._i for x in xs), outputs)
    return tape_of_lanes(tape, marks, size, marks[:carry])[0]


def _chosen(m: Any, going: Any, new: Any, old: Any, dtype: str) -> Any:
    """`where`, of truth values too: its arms are numbers."""
    if dtype != "bool":
        return m.where(going, new, old)
    rest = m.logical_and(m.logical_not(going), old)
    return m.logical_or(m.logical_and(going, new), rest)


# -- derivatives of such loops -----------------------------------------------------


def _derivative(
    b: Batching, row: Primitive, xs: Sequence[Any], params: Params
) -> list[Any]:
    """What is done to a loop (its `ops`), done to the loop of all lanes.

    Every float has lanes there: of what they shared the adjoint would be a sum.
    """
    loop, places = _alone(row, params), []
    base = sweeps.flat(loop)
    for op in params["ops"]:
        loop, told = inside.done(loop, op)
        places.append(told)
    if len(loop.inputs) != len(xs) or len(loop.outputs) != params["count"]:
        return list(lane_by_lane(b, row, xs, params))
    marks = [
        isinstance(x, Lanes) or loop.aval_of(slot)[1] in FLOATING
        for x, slot in zip(xs, loop.inputs, strict=True)
    ]
    ones = [True] * len(base.outputs)
    tape, _ = tape_of_lanes(base, marks[: len(base.inputs)], b.size, ones)
    for op, told in zip(params["ops"], places, strict=True):
        tape, found = inside.done(tape, op)
        if not set(told) <= set(found):
            return list(lane_by_lane(b, row, xs, params))
        outputs = tuple(tape.outputs[found.index(place)] for place in told)
        tape = prune(dataclasses.replace(tape, outputs=outputs))
    made = sweeps.outputs(tape, b.m, _operands(b, xs, marks))
    return [Lanes(y) for y in made]


def _alone(row: Primitive, params: Params) -> Tape:
    """The loop itself, as a tape of one step."""
    body, cond = sweeps.flat(params["body"]), sweeps.flat(params["cond"])
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        carry = len(body.outputs)
        xs = inputs_onto(recorder, body) + inputs_onto(recorder, cond, carry)
        found = apply_nested(row, xs, {**params, "ops": (), "count": carry})
        outputs = tuple(recorder.slot_of(y) for y in found)
    return recorder.freeze(tuple(x._i for x in xs), outputs)


RULES.update(scan=_scan, while_loop=_while, checkpoint=_checkpoint, custom=_custom)
