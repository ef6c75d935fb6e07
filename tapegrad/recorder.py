"""The recorder: the columns of one recording, and the readings that append. Floor 6.

As a reading the recorder turns rule text into steps, so that a derivative of a tape is
a tape. Eager Values are a reading in the same way: a tape is applied to them step by
step.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tapegrad.ambient import CURRENT, foreign
from tapegrad.apply import apply, compare, make
from tapegrad.errors import RecordError
from tapegrad.handle import Handle
from tapegrad.nested import apply_nested
from tapegrad.readings.base import Reading
from tapegrad.readings.mixed import MIXED, plain
from tapegrad.readings.numeric import CONSTANTS
from tapegrad.real import frozen
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.guards import Guard
from tapegrad.tape.lines import Noted, Places
from tapegrad.tape.recorder import Columns, aval_of
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape
from tapegrad.value import Value


class Recorder(Columns):
    """The columns of one recording.

    Args:
        around: the recording that a nested transform runs in. Its Values are captured
            as further inputs: each level of differentiation has slots of its own, so
            perturbations cannot be confused.
        derives: a derivative is recorded. Where linear algebra has no answer at the
            example, its numbers are NaN, and the tape is good for other points.
        lines: note the source line of every step; a recording inside of one that does
            notes them, too.
    """

    __slots__ = (
        "around",
        "born",
        "captured",
        "derives",
        "lines",
        "literals",
        "open",
        "places",
    )
    eager = False

    def __init__(
        self,
        around: Recorder | None = None,
        *,
        derives: bool = False,
        lines: bool = False,
    ) -> None:
        super().__init__()
        noted = lines or (around is not None and around.lines is not None)
        self.lines = Places() if noted else None
        self._begin()
        self.open = True
        self.derives = derives
        self.around = around
        self.captured: list[Handle] = []
        self.places: list[int] = []
        self.literals: dict[float, Any] = {}
        # eager Values older than this were captured; younger ones are literals that
        # the recorded code made
        self.born = Value(0.0)._born

    def _begin(self) -> None:
        if self.lines is not None:
            self.flat = Noted(self.lines)

    def full(self) -> None:
        """Turn the flat rows into columns; lines go on being noted."""
        super().full()
        self._begin()

    def slot_of(self, value: Value) -> int:
        """The slot of a Value used inside this recording."""
        if value._rec is self:
            if not self.open:
                raise foreign(value)
            return value._i
        if isinstance(value, Handle):
            return self._capture(value)
        if value._is_leaf and value._born > self.born:
            slot = self.constant(frozen(value._data))
            if value.label:
                self.labels.setdefault(slot, value.label)
            return slot
        if (taken := self.stand_in(value)) is not None:
            return self._capture(taken)
        name = f" {value.label!r}" if value.label else ""
        msg = (
            f"the eager Value{name} = {value._data} was captured by a recording, which "
            "would freeze it and lose its derivative; pass it to the function as an "
            "argument, or use value.data if a constant is meant"
        )
        raise RecordError(msg)

    def stand_in(self, value: Value) -> Handle | None:
        """What an eager Value is in a recording around this one that takes such."""
        return None if self.around is None else self.around.stand_in(value)

    def _capture(self, value: Handle) -> int:
        """The input that stands for a Value of an enclosing recording."""
        for slot, known in zip(self.places, self.captured, strict=True):
            if known is value:
                return slot
        around = self.around
        while around is not None and around is not value._rec:
            around = around.around
        if around is None or not around.open:
            raise foreign(value)
        self.captured.append(value)
        self.places.append(self.input(value._data, aval_of(value._data)))
        return self.places[-1]

    def handle(self, slot: int, primal: Any) -> Handle:
        """The Value that stands for a slot."""
        return make(self, slot, primal)  # type: ignore[no-any-return]

    def variable(self, primal: Any, label: str = "") -> Handle:
        """A new input and its handle."""
        slot = self.input(frozen(primal), aval_of(primal))
        if label:
            self.labels[slot] = label
        return self.handle(slot, primal)

    def snapshot(self, root: Handle) -> Tape:
        """The tape so far, with one of its Values as the output."""
        opcode = self.columns()[0]
        inputs = np.flatnonzero(opcode == TABLE.by_name["input"]).tolist()
        return self.freeze(
            inputs=tuple(inputs),
            outputs=(root._i,),
            structure=Structure(tuple(Tree() for _ in inputs)),
            example=tuple(self.step_at(slot)[3] for slot in inputs),
        )


@contextmanager
def recording_onto(recorder: Recorder) -> Iterator[Recorder]:
    """Make a recorder the current columns; it closes at the end."""
    token = CURRENT.set(recorder)
    try:
        yield recorder
    finally:
        CURRENT.reset(token)
        recorder.open = False
        recorder.literals.clear()  # or its handles would keep it alive in a cycle


def inputs_onto(recorder: Recorder, base: Tape, low: int = 0) -> list[Any]:
    """The inputs of a tape, from a place on, as variables of a recorder."""
    example = base.example or [
        plain(np.zeros(*base.aval_of(slot))) for slot in base.inputs
    ]
    return [
        recorder.variable(value, base.labels.get(slot, ""))
        for slot, value in zip(base.inputs[low:], example[low:], strict=True)
    ]


class RecorderReading(Reading):
    """The recorder as a reading: rule text becomes steps."""

    name = "recorder"
    records = True

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def nested(self, row: Primitive, xs: Any, params: Any) -> list[Any]:
        """A step with sub-tapes stays one, with its own rule for derivatives."""
        return apply_nested(row, xs, params)

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """Python's operator where there is one, else a recorded step."""
        if row.operator and row.kind == "elementwise":
            return getattr(operator, row.operator)  # type: ignore[no-any-return]

        def step(*operands: Any, **params: Any) -> Any:
            return apply(row, *operands, **params)

        return step

    def number(self, value: Any) -> Any:
        """A constant's handle, so that operators on it record, too."""
        value = float(value) if type(value) is int else value
        return self.recorder.handle(self.recorder.constant(value), value)

    def shape(self, x: Any) -> tuple[int, ...]:
        """The shape of a handle or number."""
        return x.shape if isinstance(x, Value) else np.shape(x)

    def dtype(self, x: Any) -> str:
        """The name of a handle's dtype."""
        return aval_of(x._data)[1] if isinstance(x, Value) else MIXED.dtype(x)

    def like(self, value: int, other: Any) -> Any:
        """A number, spread over the shape of another value."""
        if not self.shape(other) and self.dtype(other) != "float32":
            return self.number(value)
        single = np.float32(value) if self.dtype(other) == "float32" else float(value)
        handle = self.number(single)
        shape = self.shape(other)
        return apply(TABLE["broadcast_to"], handle, shape=shape) if shape else handle

    def count_up(self, shape: tuple[int, ...]) -> Any:
        """0, 1, 2, ... as a constant."""
        return self.number(frozen(MIXED.count_up(shape)))

    def const(self, name: str) -> Any:
        """A named constant, as a handle."""
        return self.number(CONSTANTS[name])

    def guard(self, guard: Guard, value: Handle) -> None:
        """Copy a guard."""
        self.recorder.push_guard(self.recorder.slot_of(value), guard)


class ValueReading(Reading):
    """Eager Values as a reading: a tape is applied to them step by step."""

    name = "Value"

    def nested(self, row: Primitive, xs: Any, params: Any) -> list[Any]:
        """A step with sub-tapes, recorded."""
        return apply_nested(row, xs, params)

    def atom(self, row: Primitive) -> Callable[..., Any] | None:
        """A recorded step; predicates give plain bools, as they do in eager use."""
        if row.kind == "predicate":
            return lambda *xs: compare(row.name, *xs)

        def step(*xs: Any, **params: Any) -> Any:
            if row.integers and _whole(xs[row.kind == "select" :]):
                return getattr(MIXED, row.name)(*xs, **params)
            return apply(row, *xs, **params)

        return step

    def number(self, value: Any) -> Any:
        """A constant stays a number."""
        return value


def _whole(xs: tuple[Any, ...]) -> bool:
    """Whether all operands are plain ints, which eager Values are not."""
    return all(
        isinstance(x, np.ndarray | np.generic) and x.dtype.kind == "i" for x in xs
    )


VALUES = ValueReading()
