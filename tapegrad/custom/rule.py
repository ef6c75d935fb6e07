"""The row of a function with its own gradient. Floor 8.

    bars of the operands = pullback(operands, bars of the outputs)

Forward mode is the transpose of the pullback, which is linear in what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.errors import RecordError, ShapeError
from tapegrad.linearity import nonlinear_step
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape


def shape_of_call(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    """Avals of a step that gives what its sub-tape gives.

    Raises:
        ShapeError: the sub-tape takes other shapes.
    """
    tape = params["tape"]
    wanted = [tape.aval_of(slot) for slot in tape.inputs]
    if list(given) != wanted:
        msg = f"the sub-tape takes {wanted}, and gets {list(given)}"
        raise ShapeError(msg)
    return [tape.aval_of(slot) for slot in tape.outputs]


def _shape(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    tape, pullback, places = params["tape"], params["pullback"], params["places"]
    found = shape_of_call(given, params)
    smooth = [aval for aval in found if aval[1] in FLOATING]
    takes = [pullback.aval_of(slot) for slot in pullback.inputs]
    if takes != [*given, *smooth]:
        msg = f"the pullback takes {takes}, and gets {[*given, *smooth]}"
        raise ShapeError(msg)
    gives = [pullback.aval_of(slot) for slot in pullback.outputs]
    if not all(0 <= place < len(tape.inputs) for place in places) or gives != [
        given[place] for place in places
    ]:
        msg = f"the pullback gives {gives} for the operands {places}"
        raise ShapeError(msg)
    return found


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    return sweeps.outputs(params["tape"], m, xs)


def _smooth_outputs(tape: Tape) -> list[int]:
    """Places of the outputs that have a derivative."""
    return [k for k, i in enumerate(tape.outputs) if tape.aval_of(i)[1] in FLOATING]


def _pull(
    m: Any, bars: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    places = _smooth_outputs(params["tape"])
    seeds = [m.like(0, ys[k]) if bars[k] is None else bars[k] for k in places]
    found = sweeps.outputs(params["pullback"], m, [*xs, *seeds])
    parts: list[Any] = [None] * len(xs)
    for place, part in zip(params["places"], found, strict=True):
        parts[place] = part
    return parts


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    """The transpose of the pullback, applied to the tangents."""
    places = _smooth_outputs(params["tape"])
    back = sweeps.flat(params["pullback"])
    cotangents = back.inputs[len(xs) :]
    if (step := nonlinear_step(back, cotangents)) is not None:
        msg = (
            f"forward mode through {params['name']}: its pullback is not linear in the "
            f"cotangent ({step}), so it is no transposed derivative; use reverse mode "
            "(tg.grad, tape.vjp), or write a linear pullback"
        )
        raise RecordError(msg)
    values = sweeps.replay(back, m, [*xs, *(m.like(0, ys[k]) for k in places)])
    seeds = sweeps.summed(back.outputs, [dots[place] for place in params["places"]])
    bars = sweeps.adjoint(back, m, values, seeds, cotangents)
    found: list[Any] = [None] * len(ys)
    for k, slot in zip(places, cotangents, strict=True):
        found[k] = bars[slot]
    return found


CUSTOM = row(
    Primitive(
        "custom",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=({"tape": None, "pullback": None, "places": (), "name": "custom"},),
        run=_run,
        shape=_shape,
        pull=_pull,
        push=_push,
        source="a function with its own pullback; it owns a slot for each output",
    )
)
