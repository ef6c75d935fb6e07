"""The row of a scan: a loop of a fixed number of iterations. Floor 9.

    carry_{i+1}, y_i = body(carry_i, x_i, constants)

Its tangent is a scan, and so is its adjoint, over the reversed x with the carries that
a first scan stored (Griewank & Walther section 12; as JAX does it). So every order is a
scan, in every reading. Where the carries are too many to keep, at numbers, they are
computed again from a few (see `revolve`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.errors import DomainError, ShapeError
from tapegrad.loops import tapes
from tapegrad.loops.revolve import states
from tapegrad.loops.tapes import Layout
from tapegrad.loops.walker import Walker
from tapegrad.passes import prune
from tapegrad.programs import program
from tapegrad.readings.mixed import plain
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.tape.tape import Tape

# Bytes of stored carries above which they are computed again.
ROOM = 1 << 28
# A Python float, and its place in a list.
FLOAT_BYTES = 32
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


def _order(params: Mapping[str, Any]) -> range:
    length = params["length"]
    return range(length - 1, -1, -1) if params["reverse"] else range(length)


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
    order = _order(params)
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


def piled(m: Any, entries: Sequence[Any], aval: Any) -> Any:
    """Entries as one array, along a new first axis."""
    shape, dtype = aval
    if not entries:
        return m.like(0, np.empty((0, *shape), dtype))
    if all(map(_plain, entries)):
        return plain(np.array(entries, _dtype(m, dtype)))
    parts = [m.reshape(y, shape=(1, *shape)) for y in entries]
    return m.concatenate(*parts, axis=0)


def _plain(y: Any) -> bool:
    if isinstance(y, np.ndarray):
        return bool(y.dtype.kind != "O")
    return isinstance(y, float | bool | np.generic)


def _dtype(m: Any, dtype: str) -> Any:
    """What arrays of a dtype are made of in a reading."""
    return np.float32 if m.name == "float32" and dtype == "float64" else dtype


# -- derivatives -------------------------------------------------------------------


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    layout = layout_of(params)
    carry, constants = layout.carry, layout.carry + layout.xs
    if not params["length"] and not m.records:
        return [*dots[:carry], *[None] * layout.ys]
    start = [place for place in layout.smooth(0) if dots[place] is not None]
    moving = tapes.reached(layout, start)
    first = [place for place in moving if place < carry]
    tape = tapes.ahead(layout, moving)
    tangents = {
        place: m.like(0, xs[place]) if dots[place] is None else dots[place]
        for place in moving
    }
    operands: list[Any] = []
    for low, high in ((0, carry), (carry, constants), (constants, len(xs))):
        operands += xs[low:high]
        operands += [dot for place, dot in tangents.items() if low <= place < high]
    grown = dict(params) | {
        "tape": tape,
        "carry": carry + len(first),
        "xs": layout.xs + sum(carry <= place < constants for place in moving),
    }
    found = m.nested(SCAN, operands, grown)
    parts: list[Any] = [None] * len(ys)
    places = [*first, *layout.smooth_out(carry)]
    for place, part in zip(places, found[carry:], strict=True):
        parts[place] = part
    return parts


def _pull(
    m: Any, bars: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    layout = layout_of(params)
    carry, constants = layout.carry, layout.carry + layout.xs
    if not params["length"] and not m.records:
        return [*bars[:carry], *[None] * (len(xs) - carry)]
    seeded = [place for place in layout.smooth_out(carry) if bars[place] is not None]
    ends = [place for place in layout.smooth_out(0, carry) if bars[place] is not None]
    carries = tapes.needed(layout, ends, seeded)
    start = [
        m.like(0, ys[place]) if bars[place] is None else bars[place]
        for place in carries
    ]
    tape, summed, told = tapes.back(layout, carries, seeded)
    start += [m.like(0, xs[place]) for place in summed]
    seeds = [bars[place] for place in seeded]
    grown = dict(params) | {
        "tape": tape,
        "carry": len(start),
        "xs": carry + layout.xs + len(seeds),
        "reverse": not params["reverse"],
    }
    few = snapshots_of(m, params, xs[:carry])
    if few is not None:
        found = _in_bounds(m, few, start, seeds, xs, params, tape)
    else:
        keeping = dict(params) | {"tape": tapes.stored(layout)}
        kept = m.nested(SCAN, xs, keeping)[carry:]
        operands = [*start, *kept, *xs[carry:constants], *seeds, *xs[constants:]]
        found = m.nested(SCAN, operands, grown)
    parts: list[Any] = [None] * len(xs)
    places = [*carries, *summed, *told]
    for place, part in zip(places, found, strict=True):
        parts[place] = part
    return parts


def snapshots_of(m: Any, params: Mapping[str, Any], carry: Sequence[Any]) -> int | None:
    """How many carries are kept, where they are not all; None for all."""
    if m.name == "recorder" or m.symbolic:
        return None
    length, asked = params["length"], params["snapshots"]
    each = sum(getattr(x, "nbytes", FLOAT_BYTES) for x in carry)
    if asked:
        return int(asked) if asked < length else None
    if length * each <= ROOM:
        return None
    return max(2, math.floor(ROOM / each))


def _in_bounds(
    m: Any,
    few: int,
    start: list[Any],
    seeds: Sequence[Any],
    xs: Sequence[Any],
    params: Mapping[str, Any],
    tape: Tape,
) -> list[Any]:
    """The reverse loop with few carries kept: the others are computed again."""
    layout = layout_of(params)
    carry, constants = layout.carry, layout.carry + layout.xs
    base = sweeps.flat(layout.tape)
    only = base._known.setdefault(
        f"carry {carry}",
        prune(dataclasses.replace(base, outputs=base.outputs[:carry])),
    )
    ahead, back = program(only, m), program(tape, m)
    order = _order(params)
    walk = Walker(m, xs[carry:constants], order).walk
    read = Walker(m, [*xs[carry:constants], *seeds], order).at
    fixed = xs[constants:]
    gives = [tape.aval_of(slot) for slot in tape.outputs[len(start) :]]
    kept: list[Any] = [np.empty((len(order), *s), _dtype(m, d)) for s, d in gives]
    if m.name.startswith("mpmath"):
        kept = [np.empty((len(order), *s), object) for s, _ in gives]

    def advance(state: list[Any], low: int, high: int) -> list[Any]:
        for entries in walk(low, high):
            state = ahead(*state, *entries, *fixed)
        return state

    now = start
    for at, state in states(len(order), few, list(xs[:carry]), advance):
        found = back(*now, *state, *read(at), *fixed)
        now = found[: len(start)]
        for into, part in zip(kept, found[len(start) :], strict=True):
            into[order[at]] = part
    return now + [plain(into) for into in kept]


SCAN = row(
    Primitive(
        "scan",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=(
            {
                "tape": None,
                "carry": 0,
                "xs": 0,
                "length": 0,
                "reverse": False,
                "snapshots": 0,
                "name": "scan",
            },
        ),
        run=_run,
        shape=_shape,
        pull=_pull,
        push=_push,
        source="a loop with a sub-tape as its body; Griewank & Walther, chapter 12",
    )
)
