"""`while_loop`: a loop whose number of iterations the numbers decide. Floor 9.

Forward it is run. A derivative first counts the iterations, and is then that of a scan
of so many; so every order and both modes follow from the scan's. What is done to the
loop (its ``ops``: pullbacks and tangents, one after the other) is kept in the step, and
the tape of it is made when the number of iterations is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.derivatives import pullback_tape, tangent_tape
from tapegrad.errors import DomainError, ShapeError
from tapegrad.loops.body import (
    bad_body,
    check_carry,
    name_of,
    performed,
    recorded,
    same_nesting,
    taken,
)
from tapegrad.loops.rule import SCAN
from tapegrad.loops.tapes import tangent_step, tangents_through, variables
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.programs import program
from tapegrad.recorder import Recorder, recording_onto
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Structure
from tapegrad.tape.tape import Tape

Function = Callable[..., Any]

# Tapes for so many different numbers of iterations are kept.
KEPT = 16


# -- the row -----------------------------------------------------------------------


def _start(params: Mapping[str, Any]) -> tuple[int, int]:
    """Leaves of the carry, and what the body captured."""
    carry = len(params["body"].outputs)
    return carry, len(params["body"].inputs) - carry


def _laps(
    m: Any, xs: Sequence[Any], params: Mapping[str, Any]
) -> tuple[int, list[Any]]:
    """The number of iterations, and the last carry."""
    carry, more = _start(params)
    cond, body = program(params["cond"], m), program(params["body"], m)
    now = list(xs[:carry])
    inner = xs[carry : carry + more]
    outer = xs[carry + more : carry + more + len(params["cond"].inputs) - carry]
    count = 0
    while cond(*now, *outer)[0]:
        now = body(*now, *inner)
        count += 1
    return count, now


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    if m.symbolic or m.name == "recorder":
        error = getattr(m, "error", DomainError)
        msg = (
            f"{params['name']}: the numbers decide how often it runs, so it has no "
            "formula, and its derivative no native code; replay or differentiate the "
            "tape itself, or write it as tg.scan with a fixed length"
        )
        raise error(msg)
    count, now = _laps(m, xs, params)
    if not params["ops"]:
        return now
    return sweeps.outputs(_tape(params, count), m, xs)


def _tape(params: Mapping[str, Any], count: int) -> Tape:
    """What the step does, for a number of iterations, as a tape."""
    body: Tape = params["body"]
    known = body._known.setdefault("laps", {})
    key = count, params["ops"], len(params["cond"].inputs)
    if key not in known:
        while len(known) >= KEPT:
            known.pop(next(iter(known)))
        tape = _unrolled(params, count)
        for op in params["ops"]:
            tape = _grown(tape, op)
        known[key] = tape
    return known[key]  # type: ignore[no-any-return]


def _unrolled(params: Mapping[str, Any], count: int) -> Tape:
    """The loop as a scan of a number of iterations."""
    carry, more = _start(params)
    scan = {
        "tape": params["body"],
        "carry": carry,
        "xs": 0,
        "length": count,
        "reverse": False,
        "snapshots": 0,
        "name": params["name"],
    }
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        inputs = variables(recorder, sweeps.flat(params["body"]))
        inputs += variables(recorder, sweeps.flat(params["cond"]), carry)
        found = apply_nested(SCAN, inputs[: carry + more], scan)
        outputs = tuple(recorder.slot_of(y) for y in found)
    places = tuple(handle._i for handle in inputs)
    return recorder.freeze(places, outputs)


def _grown(tape: Tape, op: str) -> Tape:
    """The adjoints ("pull") or tangents ("push") of a tape, as a tape."""
    smooth = [k for k, i in enumerate(tape.inputs) if tape.aval_of(i)[1] in FLOATING]
    if op == "pull":
        grown = pullback_tape(tape, smooth)
        outputs = grown.outputs[len(tape.outputs) :]
    else:
        grown = tangent_tape(tape)
        outputs = grown.outputs
    return prune(dataclasses.replace(grown, outputs=outputs, structure=Structure()))


def _avals(params: Mapping[str, Any]) -> Tape:
    """A tape with the step's inputs and outputs: for one iteration."""
    return _tape(params, 1)


def _shape(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    carry, _ = _start(params)
    body = params["body"]
    takes = [body.aval_of(slot) for slot in body.inputs[:carry]]
    gives = [body.aval_of(slot) for slot in body.outputs]
    cond = params["cond"]
    if takes != gives or [cond.aval_of(i) for i in cond.inputs[:carry]] != takes:
        msg = f"its carry {takes} becomes {gives}"
        raise ShapeError(msg)
    if [cond.aval_of(slot) for slot in cond.outputs] != [((), "bool")]:
        msg = "its condition is no truth value"
        raise ShapeError(msg)
    tape = _avals(params)
    wanted = [tape.aval_of(slot) for slot in tape.inputs]
    if list(given) != wanted:
        msg = f"the loop takes {wanted}, and gets {list(given)}"
        raise ShapeError(msg)
    return [tape.aval_of(slot) for slot in tape.outputs]


def _pull(
    m: Any, bars: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    tape = _avals(params)
    if not m.records:
        count, _ = _laps(m, xs, params)
        base = sweeps.flat(_tape(params, count))
        values = sweeps.replay(base, m, xs)
        seeds = sweeps.summed(base.outputs, bars)
        found = sweeps.adjoint(base, m, values, seeds)
        return [found[slot] for slot in base.inputs]
    full = [m.like(0, y) if b is None else b for y, b in zip(ys, bars, strict=True)]
    grown = _derived(params, "pull")
    found = m.nested(WHILE, [*xs, *full], grown)
    parts: list[Any] = [None] * len(xs)
    smooth = [k for k, i in enumerate(tape.inputs) if tape.aval_of(i)[1] in FLOATING]
    for place, part in zip(smooth, found, strict=True):
        parts[place] = part
    return parts


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    del ys
    if not m.records:
        count, _ = _laps(m, xs, params)
        return tangents_through(m, _tape(params, count), xs, dots)
    return tangent_step(m, WHILE, _derived(params, "push"), _avals(params), xs, dots)


def _derived(params: Mapping[str, Any], op: str) -> dict[str, Any]:
    grown = dict(params) | {"ops": (*params["ops"], op)}
    return grown | {"count": len(_avals(grown).outputs)}


WHILE = row(
    Primitive(
        "while_loop",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=(
            dict.fromkeys(("cond", "body", "count", "ops")) | {"name": "while_loop"},
        ),
        run=_run,
        shape=_shape,
        pull=_pull,
        push=_push,
        source="a loop that ends by a condition; Griewank & Walther, chapter 12",
    )
)


# -- recording ---------------------------------------------------------------------


def while_loop(cond: Function, body: Function, init: Any) -> Any:
    """``while cond(carry): carry = body(carry)``, as one step.

    Args:
        cond: ``cond(carry)`` gives a truth value.
        body: ``body(carry)`` gives the next carry.
        init: the first carry, in any nesting; it keeps its nesting, shapes and dtypes.

    Returns:
        The last carry. A replay runs as often as its numbers say. Derivatives, in both
        modes and every order, are those of the iterations that were run.

    Raises:
        ShapeError: the carry changes; names the leaf.
        RecordError: cond gives no truth value.
        CompileError: native code of a derivative of it is asked for.

    Example:
        >>> import tapegrad as tg
        >>> def root(a):  # Newton's method
        ...     return tg.while_loop(
        ...         lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a
        ...     )
        >>> round(tg.grad(root)(4.0), 12)
        0.25
    """
    start = taken(init, "carry")
    example = (start.tree, start.primals, start.labels)
    inner = recorded(
        lambda carry: same_nesting(start, body(carry), "while_loop"),
        [example],
        name_of(body) or "while_loop",
    )
    check_carry(start, inner.tape, "while_loop")
    outer = recorded(cond, [example], name_of(cond) or "while_loop")
    outputs = outer.tape.outputs
    if len(outputs) != 1 or outer.tape.aval_of(outputs[0]) != ((), "bool"):
        msg = "a comparison of the carry, one truth value"
        raise bad_body("while_loop", cond, msg)
    params = {
        "body": inner.tape,
        "cond": outer.tape,
        "count": len(start.values),
        "ops": (),
        "name": f"while_loop {name_of(body)}".strip(),
    }
    operands = [*start.values, *inner.captured, *outer.captured]
    return start.tree.build(performed(WHILE, operands, params))
