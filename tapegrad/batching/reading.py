"""The batched reading: a tape of one lane, computed for all of them. Floor 10.

    f(x_1), f(x_2), ...  =  the steps of f once, on arrays with one more axis

A word of the vocabulary finds out how its row takes a further axis from the row's
*kind*, or from what the row says of its axes (`Primitive.lanes`); only data movement
and products have a text of their own, since their parameters are shapes and keys
(`movement`, `products`). What no rule is known for is computed lane by lane: slow, and
never wrong. Values that are the same in every lane stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.batching.lanes import (
    Lanes,
    all_aligned,
    aval_in_lane,
    bare,
    lane_of,
    stacked,
    wide,
)
from tapegrad.errors import RecordError
from tapegrad.passes import prune
from tapegrad.readings.base import Reading
from tapegrad.readings.mixed import plain
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import Primitive
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

Rule = Callable[["Batching", Primitive, Sequence[Any], Mapping[str, Any]], Any]

# Kinds of rows that go entry by entry.
ENTRYWISE = frozenset({"elementwise", "select", "predicate", "cut"})
# Rules of rows by name; the modules beside this one put theirs in.
RULES: dict[str, Rule] = {}


class Batching(Reading):
    """The reading of a tape at lanes.

    Args:
        m: the reading that computes.
        size: number of lanes.
    """

    name = "batched"

    def __init__(self, m: Any, size: int) -> None:
        self.m = m
        self.size = size

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        """A row, applied to lanes and to what is the same in all of them."""
        alone, rule = getattr(self.m, row.name), rule_of(row)

        def function(*xs: Any, **params: Any) -> Any:
            if not any(isinstance(x, Lanes) for x in xs):
                return alone(*xs, **params)
            try:
                return rule(self, row, xs, params)
            except np.linalg.LinAlgError as problem:
                raise self._in_a_lane(row, xs, params) or problem from None

        return function

    def _in_a_lane(
        self, row: Primitive, xs: Sequence[Any], params: Any
    ) -> Exception | None:
        """The same problem, told of the first lane that has it."""
        for place in range(self.size):
            operands = [lane_of(self.m, x, place) for x in xs]
            try:
                getattr(self.m, row.name)(*operands, **params)
            except np.linalg.LinAlgError as problem:
                return np.linalg.LinAlgError(f"{problem}, in lane {place}")
        return None

    def nested(self, row: Primitive, xs: Any, params: Any) -> Any:
        """A step with sub-tapes: one with batched sub-tapes, where there is a rule."""
        if not any(isinstance(x, Lanes) for x in xs):
            return self.m.nested(row, xs, params)
        rule: Rule = RULES.get(row.name, lane_by_lane)
        return rule(self, row, xs, params)

    def number(self, value: Any) -> Any:
        """A constant: the same in every lane."""
        return self.m.number(value)

    def guard(self, guard: Guard, value: Any) -> None:
        """Keep a guard whose condition is the same in every lane.

        Raises:
            RecordError: it is not.
        """
        if isinstance(value, Lanes):
            raise _differs(guard)
        if self.m.guard is not None and isinstance(value, Value):
            self.m.guard(guard, value)
        elif not guard.holds(value):
            raise guard.changed(0, "its condition", (value,))


def _differs(guard: Guard) -> RecordError:
    where = f"{guard.file}:{guard.line}"
    if isinstance(guard.outcome, bool):
        msg = (
            f"under vmap the branch at {where} asks for the truth of a batched value, "
            "and each lane may go another way; write the choice as "
            "tg.where(condition, a, b), or map over other arguments (in_axes=None)"
        )
    else:
        msg = (
            f"under vmap a batched value becomes a Python int at {where} (int(), or an "
            "index), and each lane may give another; index with an array of ints, "
            "choose with tg.where, or map over other arguments (in_axes=None)"
        )
    return RecordError(msg)


# -- rules by kind -----------------------------------------------------------------


def rule_of(row: Primitive) -> Rule:
    """How a row takes lanes."""
    if row.kind in ENTRYWISE:
        return _entrywise
    if row.name in RULES:
        return RULES[row.name]
    return BY_WORD.get(row.lanes, lane_by_lane)


def _found(row: Primitive, y: Any) -> Any:
    return tuple(map(Lanes, y)) if row.slots > 1 else Lanes(y)


def _entrywise(b: Batching, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
    return Lanes(getattr(b.m, row.name)(*all_aligned(b.m, xs), **params))


def _stack(b: Batching, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
    """Lanes are a further axis of a stack of matrices."""
    return _found(row, getattr(b.m, row.name)(*all_aligned(b.m, xs), **params))


def _along(b: Batching, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
    """The axes that it works along stand one place further."""
    shifted = dict(params)
    if "axes" in params:
        shifted["axes"] = tuple(axis + 1 for axis in params["axes"])
    if "axis" in params:
        shifted["axis"] = params["axis"] + 1
    return _found(row, getattr(b.m, row.name)(*map(bare, xs), **shifted))


# What rows of whole arrays say of their axes.
BY_WORD: dict[str, Rule] = {"entries": _entrywise, "stack": _stack, "axes": _along}


def lane_by_lane(b: Batching, row: Primitive, xs: Sequence[Any], params: Any) -> Any:
    """Each lane a step of its own: right for whatever a row is."""
    m, avals = b.m, [aval_in_lane(x) for x in xs]
    lanes = [[lane_of(m, x, place) for x in xs] for place in range(b.size)]
    shape: Any = row.shape
    if row.nested:
        gives = shape(avals, params)
        made = [m.nested(row, operands, params) for operands in lanes]
    else:
        function = getattr(m, row.name)
        gives = shape(*avals, **params)
        gives = gives if row.slots > 1 else (gives,)
        made = [function(*operands, **params) for operands in lanes]
        made = made if row.slots > 1 else [(y,) for y in made]
    parts = zip(*made, strict=True) if made else [()] * len(gives)
    found = [stacked(m, part, aval) for part, aval in zip(parts, gives, strict=True)]
    return found if row.nested or row.slots > 1 else found[0]


# -- tapes -------------------------------------------------------------------------


def batched(
    tape: Tape,
    marks: Sequence[bool],
    size: int,
    ends: Callable[[Any, list[Any]], list[Any]],
) -> Tape:
    """A tape of lanes: the body of a loop, or a sub-tape of another step.

    Args:
        tape: of one lane.
        marks: which inputs are batched.
        size: number of lanes.
        ends: ``ends(b, outputs)``, the outputs as they are wanted, as numbers of the
            reading ``b.m``.
    """
    base = sweeps.flat(tape)
    recorder = Recorder(derives=True)
    given: list[Any] = []
    with recording_onto(recorder):
        b = Batching(RecorderReading(recorder), size)
        for slot, mark in zip(base.inputs, marks, strict=True):
            shape, dtype = base.aval_of(slot)
            example = plain(np.zeros((size, *shape) if mark else shape, dtype))
            label = base.labels.get(slot, "")
            given.append(recorder.variable(example, label))
        places = tuple(handle._i for handle in given)
        inputs = [
            Lanes(handle) if mark else handle
            for handle, mark in zip(given, marks, strict=True)
        ]
        values = sweeps.replay(base, b, inputs)
        found = ends(b, [values[slot] for slot in base.outputs])
        outputs = tuple(recorder.slot_of(y) for y in found)
    example = tuple(handle._data for handle in given)
    return prune(recorder.freeze(places, outputs, example=example))


def tape_of_lanes(
    tape: Tape, marks: Sequence[bool], size: int, wanted: Sequence[bool] = ()
) -> tuple[Tape, list[bool]]:
    """A tape of lanes, and which of its outputs are batched.

    Args:
        tape: of one lane.
        marks: which inputs are batched.
        size: number of lanes.
        wanted: outputs that are to be batched, whether they depend on the lane or not.
    """
    told: list[bool] = []

    def ends(b: Batching, outputs: list[Any]) -> list[Any]:
        told.extend(isinstance(y, Lanes) for y in outputs)
        for place, want in enumerate(wanted):
            told[place] = told[place] or want
        return [
            wide(b.m, y, size) if mark else y
            for y, mark in zip(outputs, told, strict=True)
        ]

    return batched(tape, marks, size, ends), told
