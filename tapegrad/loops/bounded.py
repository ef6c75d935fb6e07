"""Derivatives of while loops for native code: loops of at most so many turns. Floor 9.

    count      the loop is run once, with a counter beside its carry
    derive     the derivative of a scan of `room` turns, whose scans stop at the count

So the carries have a place in memory whose size is known when the code is made. Where
the count is above the room the kernel has no answer: the interpreter gives it, and code
with more room is made for the next call (`native.arraycalls`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.expanding import Expanding
from tapegrad.loops.rule import SCAN
from tapegrad.recorder import Recorder, RecorderReading, inputs_onto, recording_onto
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.primitive import row
from tapegrad.tape.tape import Tape


def run(m: Expanding, xs: Sequence[Any], params: Mapping[str, Any], tape: Tape) -> Any:
    """The derivative of a loop whose number of iterations the numbers decide.

    Args:
        m: the reading that expands a tape for native code.
        xs: operands of the step.
        params: of the step.
        tape: what the step does in ``m.room`` iterations.
    """
    count = _count(m, xs, params)
    return sweeps.outputs(tape, _Bounded(m, count), xs)


def _count(m: Expanding, xs: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """The number of iterations, as a float."""
    body, cond = sweeps.flat(params["body"]), sweeps.flat(params["cond"])
    more = len(body.inputs) + len(cond.inputs) - len(body.outputs)
    loop = {
        "body": _counting(body),
        "cond": _counting(cond, condition=True),
        "count": len(body.outputs) + 1,
        "ops": (),
        "name": params["name"],
    }
    return m.nested(TABLE["while_loop"], [m.number(0), *xs[:more]], loop)[0]


def _counting(base: Tape, *, condition: bool = False) -> Tape:
    """A body with a counter as its first carry, or the condition beside it."""
    recorder = Recorder(derives=True)
    with recording_onto(recorder):
        m = RecorderReading(recorder)
        counter = recorder.variable(0.0, "count")
        inputs = inputs_onto(recorder, base)
        found = sweeps.outputs(base, m, inputs)
        if not condition:
            found = [m.add(counter, m.number(1)), *found]
        outputs = tuple(recorder.slot_of(y) for y in found)
    places = tuple(handle._i for handle in (counter, *inputs))
    return recorder.freeze(places, outputs)


class _Bounded(Expanding):
    """A reading that stops the scans of a tape at a count."""

    def __init__(self, m: Expanding, count: Any) -> None:
        super().__init__(m.recorder, m.error, m.room)
        self.count = count

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """Every scan of such a tape is one over the iterations of the loop."""
        if row is SCAN:
            return super().nested(BOUNDED, [self.count, *xs], params)
        return super().nested(row, xs, params)


# -- the row -----------------------------------------------------------------------


def _shape(given: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = SCAN.shape(given[1:], params)  # type: ignore[misc]
    return found


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    """The first turns of a scan; entries that are not reached are zeros."""
    carry, length = params["carry"], params["length"]
    count = int(xs[0])
    rest = [[(0, size, 1) for size in m.shape(x)[1:]] for x in xs[1:]]
    short = [
        m.index(x, key=((0, count, 1), *rest[place]))
        if carry <= place < carry + params["xs"]
        else x
        for place, x in enumerate(xs[1:])
    ]
    found = SCAN.run(m, short, dict(params) | {"length": count})  # type: ignore[misc]
    return [*found[:carry], *(_padded(m, y, length) for y in found[carry:])]


def _padded(m: Any, y: Any, length: int) -> Any:
    shape = m.shape(y)
    key = ((0, shape[0], 1), *((0, size, 1) for size in shape[1:]))
    return m.scatter(y, key=key, shape=(length, *shape[1:]))


BOUNDED = row(
    Primitive(
        "bounded_scan",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=SCAN.params,
        run=_run,
        shape=_shape,
        source="a scan that stops at its first operand; for native code alone",
    )
)
