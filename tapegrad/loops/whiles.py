"""`while_loop`: a loop whose number of iterations the numbers decide. Floor 9.

Forward it is run. A derivative first counts the iterations, and is then that of a scan
of so many; so every order and both modes follow from the scan's. What is done to the
loop is kept in the step, and the tape of it is made when the number of iterations is
known. Its ``ops`` are pullbacks and tangents, one after the other: "pull 0 2" takes
adjoints of the outputs 0 and 2, "push 1" the tangent of input 1; each gives what is
reached from there, whatever the number of iterations. (In native code: see `bounded`.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.errors import CompileError, DomainError, RecordError, ShapeError
from tapegrad.expanding import LAPS
from tapegrad.loops import bounded, inside, plainly
from tapegrad.loops.body import (
    check_carry,
    name_of,
    performed,
    recorded,
    same_nesting,
    settled,
    taken,
    unrecorded,
)
from tapegrad.loops.rule import SCAN
from tapegrad.nested import apply_nested
from tapegrad.programs import program
from tapegrad.recorder import Recorder, inputs_onto, recording_onto
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.tape.tape import Tape

Function = Callable[..., Any]

# Tapes for so many different numbers of iterations are kept.
KEPT = 16


# -- the row -----------------------------------------------------------------------


def _start(params: Mapping[str, Any]) -> tuple[int, int]:
    """Leaves of the carry, and what the body captured."""
    carry = len(params["body"].outputs)
    return carry, len(params["body"].inputs) - carry


def _outer(xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    """What the condition takes besides the carry."""
    carry, more = _start(params)
    return list(xs[carry + more : more + len(params["cond"].inputs)])


def _laps(
    m: Any, xs: Sequence[Any], params: Mapping[str, Any]
) -> tuple[int, list[Any]]:
    """The number of iterations, and the last carry."""
    carry, more = _start(params)
    cond, body = program(params["cond"], m), program(params["body"], m)
    now = list(xs[:carry])
    inner, outer = xs[carry : carry + more], _outer(xs, params)
    count = 0
    while cond(*now, *outer)[0]:
        now = body(*now, *inner)
        count += 1
    if (laps := LAPS.get()) is not None:
        laps[0] = max(laps[0], count)
    return count, now


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    if m.symbolic or m.name == "recorder":
        error = getattr(m, "error", DomainError)
        if error is CompileError:
            return bounded.run(m, xs, params, _tape(params, m.room))  # type: ignore[no-any-return]
        msg = (
            f"{params['name']}: the numbers decide how often it runs, so it has no "
            "formula; replay or differentiate the tape itself, or write it as tg.scan "
            "with a fixed length"
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
            tape = inside.done(tape, op)[0]
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
        inputs = inputs_onto(recorder, sweeps.flat(params["body"]))
        inputs += inputs_onto(recorder, sweeps.flat(params["cond"]), carry)
        found = apply_nested(SCAN, inputs[: carry + more], scan)
        outputs = tuple(recorder.slot_of(y) for y in found)
    places = tuple(handle._i for handle in inputs)
    return recorder.freeze(places, outputs)


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
    m: Any,
    bars: Sequence[Any],
    ys: Sequence[Any],
    xs: Sequence[Any],
    params: Any,
    masks: Sequence[Any],
) -> list[tuple[Any, Any]]:
    del ys
    if not m.records:
        count, _ = _laps(m, xs, params)
        return inside.adjoints_through(m, _tape(params, count), xs, bars, masks)
    reached = [k for k, bar in enumerate(bars) if bar is not None]
    op, told = _derived(params, "pull", reached)
    parts: list[tuple[Any, Any]] = [(None, None)] * len(xs)
    if not told:
        return parts
    found = m.nested(WHILE, [*xs, *(bars[k] for k in reached)], op)
    some = inside.any_of(m, [masks[k] for k in reached])
    ran = _ran(m, xs, params)
    for place, part in zip(told, found, strict=True):
        under = some
        if _asleep(params, place):
            under = ran if some is None else m.logical_and(some, ran)
        seen = part if under is None else m.where(under, part, m.number(0))
        parts[place] = seen, under
    return parts


def _ran(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """Whether there is an iteration at all."""
    carry, _ = _start(params)
    return sweeps.outputs(params["cond"], m, [*xs[:carry], *_outer(xs, params)])[0]


def _asleep(params: Mapping[str, Any], place: int) -> bool:
    """Whether an operand has no adjoint where there is no iteration."""
    carry, more = _start(params)
    taken = more + len(params["cond"].inputs)
    return place < taken if params["ops"] else carry <= place < taken


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    if not m.records:
        count, _ = _laps(m, xs, params)
        return inside.tangents_through(m, _tape(params, count), xs, dots)
    moving = [k for k, dot in enumerate(dots) if dot is not None]
    op, told = _derived(params, "push", moving)
    parts: list[Any] = [None] * len(ys)
    if told:
        found = m.nested(WHILE, [*xs, *(dots[k] for k in moving)], op)
        for place, part in zip(told, found, strict=True):
            parts[place] = part
    return parts


def _derived(
    params: Mapping[str, Any], word: str, places: Sequence[int]
) -> tuple[dict[str, Any], list[int]]:
    """The parameters of a derivative's step, and the places of what it gives."""
    op = " ".join([word, *map(str, places)])
    _, told = inside.done(_avals(params), op)
    grown = dict(params) | {"ops": (*params["ops"], op), "count": len(told)}
    return grown, told


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
        masks=True,
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
            Python's ints as in `scan`: a counter that starts at 0 stays an int.

    Returns:
        The last carry. A replay runs as often as its numbers say. Derivatives, in both
        modes and every order, are those of the iterations that were run.

    Raises:
        ShapeError: the carry changes; names the leaf.
        RecordError: cond gives no truth value.

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
    start, inner = settled(
        start,
        lambda start: recorded(
            lambda carry: same_nesting(start, body(carry), "while_loop"),
            [(start.tree, start.primals, start.labels)],
            name_of(body) or "while_loop",
        ),
    )
    check_carry(start, inner.tape, "while_loop")
    example = (start.tree, start.primals, start.labels)
    outer = recorded(cond, [example], name_of(cond) or "while_loop")
    count = len(start.values)
    try:
        places = plainly.moving(inner.tape, count, count)
        for tape in (inner.tape, outer.tape):
            plainly.check_places(tape, places, "while_loop")
    except plainly.TakenForANumber:
        if not unrecorded([*start.values, *inner.captured, *outer.captured]):
            raise
        return plainly.repeat(cond, body, init)
    outputs = outer.tape.outputs
    if len(outputs) != 1 or outer.tape.aval_of(outputs[0]) != ((), "bool"):
        found = [outer.tape.aval_of(slot) for slot in outputs]
        given = ", ".join(f"{dtype} of shape {shape}" for shape, dtype in found)
        msg = (
            f"while_loop: the condition gives {given or 'nothing'}; it "
            "is a comparison of the carry, one truth value (np.any, np.all)"
        )
        raise RecordError(msg)
    params = {
        "body": inner.tape,
        "cond": outer.tape,
        "count": count,
        "ops": (),
        "name": f"while_loop {name_of(body)}".strip(),
    }
    operands = [*start.values, *inner.captured, *outer.captured]
    return start.tree.build(performed(WHILE, operands, params))
