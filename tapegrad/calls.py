"""Calling a tape: arguments in, values and derivatives out, nested alike. Floor 8."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from tapegrad import bulk, short, sweeps
from tapegrad.ambient import current
from tapegrad.apply import apply, make
from tapegrad.arriving import active
from tapegrad.binding import (
    arithmetic_of,
    bind_for,
    numbers,
    plain,
    replace_slots,
    result,
)
from tapegrad.derivatives import (
    adjoint_tape,
    differentiable,
    gradient_tree,
    scalar_output,
)
from tapegrad.eager import accumulator
from tapegrad.errors import RecordError, ShapeError
from tapegrad.jacobians import in_bulk, ones_of, zero_of
from tapegrad.native.machine.choice import machine
from tapegrad.readings import SCALAR
from tapegrad.real import frozen
from tapegrad.recorder import VALUES, Recorder
from tapegrad.rules.movement import ASTYPE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.rolls import rolled, work
from tapegrad.tape.structure import match
from tapegrad.tape.tape import SCALAR as NUMBER
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

P = ParamSpec("P")
T = TypeVar("T")


def guarded(f: Callable[P, T]) -> Callable[P, T]:
    """Sweeps follow IEEE silently: no NumPy warning leaves them."""

    @functools.wraps(f)
    def quiet(*args: P.args, **kwargs: P.kwargs) -> T:
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return quiet


def steps_of(f: Any) -> Any:
    """What a transform records: the function; of compiled code its tape.

    Native code gives numbers, and a transform asks for steps.
    """
    tape = getattr(f, "tape", None)
    compiled = isinstance(tape, Tape) and hasattr(type(f), "value_and_gradient")
    return tape if compiled else f


@guarded
def replay(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
    replace: Mapping[str, Any] | None = None,
) -> Any:
    """The outputs at new inputs, nested as the function returned them."""
    leaves = bind_for(tape, args, kwargs, arithmetic)
    if any(isinstance(leaf, Value) for leaf in leaves):
        if replace or arithmetic != "float64":
            msg = (
                "replace= and arithmetic= are for replays at numbers, and an argument "
                "is a Value; pass value.data, or leave them out"
            )
            raise RecordError(msg)
        return tape.structure.result.build(on_values(tape, leaves))
    base = sweeps.flat(tape) if replace else laid_out(tape, arithmetic)
    m = arithmetic_of(base, arithmetic)
    slots = values(base, m, numbers(base, m, leaves), replace_slots(base, replace, m))
    return tape.structure.result.build([result(m, slots[i]) for i in base.outputs])


@guarded
def on_values(tape: Tape, leaves: Sequence[Any]) -> list[Any]:
    """A tape applied to Values: one call step in a recording, else step by step."""
    columns, base = current(), sweeps.flat(tape)
    leaves = [
        _converted(x, tape.aval_of(slot)[1])
        for x, slot in zip(leaves, tape.inputs, strict=True)
    ]
    m = arithmetic_of(base, "float64")
    plain = [x._data if isinstance(x, Value) else x for x in leaves]
    primals = numbers(base, m, plain)
    if not isinstance(columns, Recorder):
        given = [
            x if isinstance(x, Value) else primal
            for x, primal in zip(leaves, primals, strict=True)
        ]
        found = sweeps.replay(base, VALUES, given)
        return [found[slot] for slot in base.outputs]
    reads = [
        columns.slot_of(x) if isinstance(x, Value) else columns.constant(_own(primal))
        for x, primal in zip(leaves, primals, strict=True)
    ]
    found = sweeps.replay(base, m, primals)
    given = [found[slot] for slot in base.outputs]
    made = columns.push_call(tape, reads, given)
    return [make(columns, slot, value) for slot, value in zip(made, given, strict=True)]


def _converted(x: Any, dtype: str) -> Any:
    """A Value in the float dtype that the tape was recorded with."""
    if not isinstance(x, Value) or dtype not in FLOATING:
        return x
    found = aval_of(x._data)[1]
    if found == dtype or found not in FLOATING:
        return x
    return apply(ASTYPE, x, dtype=dtype)


def _own(data: Any) -> Any:
    """A frozen copy of an array that somebody else may write to."""
    return frozen(np.array(data)) if isinstance(data, np.ndarray) else data


def values(
    tape: Tape, m: Any, inputs: Sequence[Any], replace: Mapping[int, Any] | None = None
) -> Sequence[Any]:
    """All slot values of a flat tape, by the machine or by the interpreter."""
    if m is SCALAR and not replace and (native := machine(len(tape))) is not None:
        found: Sequence[Any] | None = native.replay(tape, inputs)
        if found is not None:
            return found
    if m is SCALAR and not replace:
        found = short.replay(tape, inputs)
        if found is not None:
            return found
    return sweeps.replay(tape, m, inputs, replace)


# -- derivatives -----------------------------------------------------------------


def sweep(
    tape: Tape, m: Any, inputs: Sequence[Any], seeds: Sequence[Any]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """Values of all slots, and adjoints of all slots (None where structurally 0)."""
    slots = values(tape, m, inputs)
    return slots, swept(tape, m, slots, sweeps.summed(tape.outputs, seeds))


def swept(
    tape: Tape,
    m: Any,
    slots: Sequence[Any],
    given: Mapping[int, Any],
    wrt: Sequence[int] | None = None,
) -> Sequence[Any]:
    """Adjoints of all slots, from their values and seeds by slot."""
    if m is SCALAR and (native := machine(len(tape))) is not None:
        bars: Sequence[Any] | None = native.adjoint(tape, slots, given)
        if bars is not None:
            return bars
    if in_bulk(tape, m):
        lines = bulk.lines_of_tape(tape, np.array(slots, dtype=np.float64))
        found, reached = bulk.adjoint(lines, given, accumulator(len(slots)))
        marked = zip(found.tolist(), reached.tolist(), strict=True)
        return [bar if mark else None for bar, mark in marked]
    few = short.adjoint(tape, slots, given) if m is SCALAR else None
    if few is not None:
        return few
    return sweeps.adjoint(tape, m, slots, given, wrt)


def _nest(tape: Tape, m: Any, bars: Sequence[Any]) -> Any:
    """Input adjoints nested like the arguments; structural zeros become 0."""
    leaves = [
        result(m, zero_of(tape, m, slot) if bars[slot] is None else bars[slot])
        for slot in (tape.inputs[place] for place in differentiable(tape))
    ]
    return nest_inputs(tape, leaves)


def nest_inputs(tape: Tape, leaves: Sequence[Any]) -> Any:
    """One leaf a differentiable input, nested like the arguments."""
    trees = tape.structure.arguments
    if all(tree.bare for tree in trees) and len(leaves) == len(trees):
        return leaves[0] if len(trees) == 1 else tuple(leaves)
    return gradient_tree(tape).build(leaves, statics=False)


@guarded
def value_and_gradient(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> tuple[Any, Any]:
    """(value, gradient nested like the arguments)."""
    scalar_output(tape)
    m, base, inputs = _start(tape, args, kwargs, arithmetic)
    slots, bars = sweep(base, m, inputs, [ones_of(base, m, base.outputs[0])])
    return result(m, slots[base.outputs[0]]), _nest(base, m, bars)


def _start(
    tape: Tape, args: Any, kwargs: Any, arithmetic: str, own: bool = False
) -> tuple[Any, Tape, list[Any]]:
    """Reading, flat tape and inputs of a sweep; `own` for the tape's own slots."""
    leaves = bind_for(tape, args, kwargs, arithmetic)
    base = sweeps.flat(tape) if own else laid_out(tape, arithmetic)
    m = arithmetic_of(base, arithmetic)
    return m, base, numbers(base, m, plain(tape, leaves))


def laid_out(tape: Tape, arithmetic: str = "float64") -> Tape:
    """The flat tape as a sweep at numbers reads it.

    The machine reads steps. So the loops of a tape of numbers are written out for it,
    once it takes over; until then the interpreter runs them as loops.
    """
    base = sweeps.flat(tape)
    known = base._known
    if arithmetic != "float64" or not known.setdefault("rolled", rolled(base)):
        return base
    if any(base.aval_of(slot) != NUMBER for slot in base.inputs):
        return base
    if machine(work(base)) is None:
        return base
    if "laid out" not in known:
        flat = base.unrolled()
        known["laid out"] = base if flat.arrays else flat
    return known["laid out"]  # type: ignore[no-any-return]


def jacobian(tape: Tape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Each output's gradient: nested like the outputs, then like the arguments."""
    return tape.jacobian(*args, **kwargs)


def as_tuple(tape: Tape, args: Any) -> tuple[Any, ...]:
    """One entry an argument; a single argument may stand alone.

    Raises:
        ShapeError: there are several, and no tuple.
    """
    if isinstance(args, tuple):
        return args
    if len(tape.structure.arguments) == 1:
        return (args,)
    msg = f"pass a tuple, one entry an argument, got {type(args).__name__}"
    raise ShapeError(msg)


@guarded
def jvp(tape: Tape, args: Any, tangents: Any, arithmetic: str = "float64") -> Any:
    """(value, tangent) along a direction; tuples, one entry an argument."""
    m, base, inputs = _start(tape, as_tuple(tape, args), {}, arithmetic)
    leaves = bind_for(tape, as_tuple(tape, tangents), {}, arithmetic)
    pairs = list(zip(base.inputs, tangents_of(base, m, leaves), strict=True))
    seeds = dict(pairs[place] for place in differentiable(base))
    slots = list(values(base, m, inputs))
    dots = sweeps.tangent(base, m, slots, seeds)
    found = [zero_of(base, m, i) if dots[i] is None else dots[i] for i in base.outputs]
    build = tape.structure.result.build
    return (
        build([result(m, slots[i]) for i in base.outputs]),
        build([result(m, dot) for dot in found]),
    )


def tangents_of(base: Tape, m: Any, leaves: Sequence[Any]) -> list[Any]:
    """Tangents of the inputs; ints have none, whatever stands there."""
    smooth = set(differentiable(base))
    return [
        numbers(base, m, [leaf], [slot])[0] if place in smooth else None
        for place, (slot, leaf) in enumerate(zip(base.inputs, leaves, strict=True))
    ]


@guarded
def vjp(tape: Tape, args: Any, cotangents: Any, arithmetic: str = "float64") -> Any:
    """(value, adjoints of the arguments) for adjoints nested like the outputs."""
    m, base, inputs = _start(tape, as_tuple(tape, args), {}, arithmetic)
    leaves = match(tape.structure.result, cotangents, "cotangents")
    seeds = numbers(base, m, leaves, base.outputs)
    slots, bars = sweep(base, m, inputs, seeds)
    value = tape.structure.result.build([result(m, slots[i]) for i in base.outputs])
    return value, _nest(base, m, bars)


@guarded
def hvp(tape: Tape, args: Any, direction: Any, arithmetic: str = "float64") -> Any:
    """Hessian times a direction: the tangent of the gradient's tape."""
    scalar_output(tape)
    return jvp(adjoint_tape(tape), args, direction, arithmetic)[1]


@guarded
def slots(tape: Tape, args: Sequence[Any], arithmetic: str = "float64") -> list[Any]:
    """The value of every slot of the tape, sub-tapes expanded."""
    m, base, inputs = _start(tape, args, {}, arithmetic, own=True)
    return [result(m, value) for value in values(base, m, inputs)]


@guarded
def adjoints(tape: Tape, args: Sequence[Any], arithmetic: str = "float64") -> list[Any]:
    """The adjoint of every slot for seed 1 on each output; 0 where none arrives."""
    m, base, inputs = _start(tape, args, {}, arithmetic, own=True)
    seeds = [ones_of(base, m, slot) for slot in base.outputs]
    _, bars = sweep(base, m, inputs, seeds)
    # the quick tiers do not look at what depends on an input
    live = active(base, base.inputs)
    return [
        result(m, zero_of(base, m, slot) if bar is None or not mine else bar)
        for slot, (bar, mine) in enumerate(zip(bars, live, strict=True))
    ]
