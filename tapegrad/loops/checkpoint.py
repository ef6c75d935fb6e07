"""Steps that forget what is inside: recomputed in reverse. Floor 9.

    pull: replay the sub-tape again, then sweep it        memory: one sub-tape at a time

(Griewank & Walther section 12.) On an adjoint tape the recomputation is a step of the
same kind, so that it forgets, too.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.custom.rule import shape_of_call
from tapegrad.derivatives import tangent_tape
from tapegrad.loops.body import name_of, unrecorded
from tapegrad.loops.tapes import tangent_step, tangents_through, variables
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.recording import argument_leaf, is_dynamic, record_inside
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.tape.structure import Structure, flatten
from tapegrad.tape.tape import Tape


def _ahead(tape: Tape) -> Tape:
    """The tangents of a tape, as a tape; made once."""
    known = sweeps.flat(tape)._known
    if "ahead" not in known:
        grown = tangent_tape(tape)
        known["ahead"] = prune(dataclasses.replace(grown, structure=Structure()))
    return known["ahead"]  # type: ignore[no-any-return]


Back = tuple[Tape, list[int], list[int]]


def _back(tape: Tape, reached: tuple[int, ...], masked: tuple[int, ...]) -> Back:
    """The adjoint of a tape, as a tape; made once.

    Args:
        tape: the sub-tape.
        reached: places of the outputs that have an adjoint.
        masked: of those, the ones that have a mask.

    Returns:
        A tape of the inputs, adjoints and masks; and the places of the inputs whose
        adjoints, and then whose masks, it gives.
    """
    base = sweeps.flat(tape)
    key = f"back {reached} {masked}"
    if key in base._known:
        return base._known[key]  # type: ignore[no-any-return]
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        inputs = variables(recorder, base)
        slots = sweeps.replay(base, m, inputs)
        tops = [slots[base.outputs[k]]._data for k in reached]
        seeds = [recorder.variable(MIXED.like(0, y), "bar") for y in tops]
        marks = [
            recorder.variable(plain(np.ones(base.aval_of(base.outputs[k])[0], bool)))
            for k in masked
        ]
        places = [base.outputs[k] for k in reached]
        shades = dict(zip(masked, marks, strict=True))
        under = _under(m, places, [shades.get(k) for k in reached])
        given = sweeps.summed(places, seeds)
        found = sweeps.adjoint(base, m, slots, given, masks=under)
        told = [k for k, slot in enumerate(base.inputs) if found[slot] is not None]
        dark = [k for k in told if base.inputs[k] in under]
        outputs = [found[base.inputs[k]] for k in told]
        outputs += [under[base.inputs[k]] for k in dark]
        made = tuple(recorder.slot_of(output) for output in outputs)
    order = [*inputs, *seeds, *marks]
    grown = recorder.freeze(
        tuple(x._i for x in order), made, example=tuple(x._data for x in order)
    )
    base._known[key] = prune(grown), told, dark
    return base._known[key]  # type: ignore[no-any-return]


def _under(m: Any, slots: Sequence[int], masks: Sequence[Any]) -> dict[int, Any]:
    """Masks by slot; a slot that is given twice is there where either is."""
    found: dict[int, Any] = {}
    whole = {slot for slot, mask in zip(slots, masks, strict=True) if mask is None}
    for slot, mask in zip(slots, masks, strict=True):
        if slot not in whole:
            found[slot] = m.logical_or(found[slot], mask) if slot in found else mask
    return found


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    return sweeps.outputs(params["tape"], m, xs)


def _pull(
    m: Any,
    bars: Sequence[Any],
    ys: Sequence[Any],
    xs: Sequence[Any],
    params: Any,
    masks: Sequence[Any],
) -> list[tuple[Any, Any]]:
    del ys
    tape = params["tape"]
    reached = tuple(k for k, bar in enumerate(bars) if bar is not None)
    masked = tuple(k for k in reached if masks[k] is not None)
    if not m.records:
        base = sweeps.flat(tape)
        values = sweeps.replay(base, m, xs)
        slots = [base.outputs[k] for k in reached]
        given = sweeps.summed(slots, [bars[k] for k in reached])
        under = _under(m, slots, [masks[k] for k in reached])
        found = sweeps.adjoint(base, m, values, given, masks=under)
        return [(found[slot], under.get(slot)) for slot in base.inputs]
    back, told, dark = _back(tape, reached, masked)
    parts: list[Any] = [None] * len(xs)
    unders: list[Any] = [None] * len(xs)
    if told:
        more = [*(bars[k] for k in reached), *(masks[k] for k in masked)]
        made = m.nested(CHECKPOINT, [*xs, *more], {**params, "tape": back})
        for place, part in zip(told, made, strict=False):
            parts[place] = part
        for place, under in zip(dark, made[len(told) :], strict=True):
            unders[place] = under
    return list(zip(parts, unders, strict=True))


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    del ys
    tape = params["tape"]
    if not m.records:
        return tangents_through(m, tape, xs, dots)
    ahead = params | {"tape": _ahead(tape)}
    return tangent_step(m, CHECKPOINT, ahead, tape, xs, dots)


CHECKPOINT = row(
    Primitive(
        "checkpoint",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=({"tape": None, "name": "checkpoint"},),
        run=_run,
        shape=shape_of_call,
        pull=_pull,
        push=_push,
        masks=True,
        source="a sub-tape that is recomputed in reverse; Griewank & Walther, ch. 12",
    )
)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as one step, whose intermediates are forgotten.

    Args:
        f: any function of numbers and arrays in any nesting.

    Returns:
        A function with the same value and derivatives. A reverse sweep keeps the
        arguments and results of the step, and computes what is inside once more when
        it comes by: time for memory. Native code computes everything in one piece, and
        keeps what it likes.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> block = tg.checkpoint(lambda x: np.sin(np.exp(x)) ** 2)
        >>> tape = tg.record(lambda x: block(block(x)), 1.0)
        >>> len(tape)  # the input and two steps
        3
    """

    @functools.wraps(f)
    def forgetful(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        for argument in [*args, *kwargs.values()]:
            leaves += flatten(argument, is_dynamic)[0]
        if unrecorded(leaves):
            return f(*args, **kwargs)
        tape, captured = record_inside(f, args, kwargs)
        labels = tape.input_labels()
        operands = [
            argument_leaf(leaf, label)
            for leaf, label in zip([*leaves, *captured], labels, strict=True)
        ]
        bare = dataclasses.replace(tape, structure=Structure())
        params = {"tape": prune(bare), "name": name_of(f) or "checkpoint"}
        result = tape.structure.result
        return result.build(apply_nested(CHECKPOINT, operands, params))

    return forgetful
