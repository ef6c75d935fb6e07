"""The row of a scan: a loop of a fixed number of iterations. Floor 9.

    carry_{i+1}, y_i = body(carry_i, x_i, constants)

Its tangent is a scan, and so is its adjoint, over the reversed x with the carries that
a first scan stored (Griewank & Walther section 12; as JAX does it). So every order is a
scan, in every reading. Where the carries are too many to keep, at numbers, they are
computed again from a few (see `revolve`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.arriving import Before
from tapegrad.errors import DomainError, ShapeError
from tapegrad.loops.adjoints import pulled
from tapegrad.loops.backward import Backward, Part
from tapegrad.loops.forward import pushed
from tapegrad.loops.tapes import Layout
from tapegrad.loops.walker import Walker, in_turn, piled
from tapegrad.programs import program
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row

# Steps that a loop may have when it is written out.
UNROLLED = 200_000


def layout_of(params: Mapping[str, Any]) -> Layout:
    """How the body of a step is divided."""
    return Layout(params["tape"], params["carry"], params["xs"])


def _shape(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    layout, length = layout_of(params), params["length"]
    tape, carry = layout.tape, layout.carry
    if carry > len(tape.outputs) or carry + layout.xs > len(tape.inputs):
        msg = f"the body has no {carry} leaves of a carry and {layout.xs} of x"
        raise ShapeError(msg)
    wanted = [tape.aval_of(slot) for slot in tape.inputs]
    for place in range(carry, min(carry + layout.xs, len(wanted))):
        shape, dtype = wanted[place]
        wanted[place] = ((length, *shape), dtype)
    if list(given) != wanted:
        msg = f"the loop takes {wanted}, and gets {list(given)}"
        raise ShapeError(msg)
    gives = [tape.aval_of(slot) for slot in tape.outputs]
    if gives[:carry] != wanted[:carry]:
        msg = f"its carry {wanted[:carry]} becomes {gives[:carry]}"
        raise ShapeError(msg)
    return gives[:carry] + [((length, *shape), dtype) for shape, dtype in gives[carry:]]


# -- running -----------------------------------------------------------------------


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    layout = layout_of(params)
    tape, carry, length = layout.tape, layout.carry, params["length"]
    if m.name == "recorder" and length * len(tape) > UNROLLED:
        error = getattr(m, "error", DomainError)
        msg = (
            f"{params['name']} has {length:,} iterations of {len(tape):,} steps, and "
            f"at most {UNROLLED:,} steps are written out; replay or differentiate the "
            "tape itself"
        )
        raise error(msg)
    body = program(tape, m)
    now = list(xs[:carry])
    order = in_turn(params)
    walk = Walker(m, xs[carry : carry + layout.xs], order).walk
    constants = xs[carry + layout.xs :]
    ys: list[list[Any]] = [[None] * length for _ in range(layout.ys)]
    if not ys:
        for entries in walk(0, length):
            now = body(*now, *entries, *constants)
    else:
        for i, entries in zip(order, walk(0, length), strict=True):
            found = body(*now, *entries, *constants)
            now = found[:carry]
            for kept, y in zip(ys, found[carry:], strict=True):
                kept[i] = y
    avals = [tape.aval_of(slot) for slot in tape.outputs[carry:]]
    return now + [piled(m, kept, aval) for kept, aval in zip(ys, avals, strict=True)]


# -- derivatives -------------------------------------------------------------------


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    return pushed(m, SCAN, layout_of(params), dots, ys, xs, params)


def _pull(
    m: Any,
    bars: Sequence[Any],
    ys: Sequence[Any],
    xs: Sequence[Any],
    params: Any,
    masks: Sequence[Any],
    before: Before | None = None,
) -> list[Part]:
    reverse = Backward(m, SCAN, layout_of(params), xs, params)
    return pulled(reverse, bars, ys, masks, before)


USUAL: dict[str, Any] = {
    "tape": None,
    "carry": 0,
    "xs": 0,
    "length": 0,
    "reverse": False,
    "snapshots": 0,
    "name": "scan",
}
SCAN = row(
    Primitive(
        "scan",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=(USUAL, USUAL | {"ordered": True}),
        run=_run,
        shape=_shape,
        pull=_pull,
        push=_push,
        masks=True,
        absorbs=True,
        source="a loop with a sub-tape as its body; Griewank & Walther, chapter 12",
    )
)
