"""The body of a loop, recorded onto a tape of its own. Floor 9.

Values that the body reads and that are no arguments (eager ones, or those of the
recording around) become further inputs, after the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ambient import current
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import Handle
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, recording_onto
from tapegrad.recording import argument_leaf, is_output, output_slot
from tapegrad.rules import Primitive
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.structure import Tree, flatten, match, paths
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

Function = Callable[..., Any]


class BodyRecorder(Recorder):
    """A recorder that takes eager Values of the code around as further inputs."""

    __slots__ = ("handles",)

    def __init__(self, around: Recorder | None) -> None:
        super().__init__(around)
        self.handles: dict[int, Handle] = {}

    def stand_in(self, value: Value) -> Handle | None:
        """The same for a recording inside of this one: the handle of that input."""
        slot = self.slot_of(value)
        if slot not in self.handles:
            self.handles[slot] = self.handle(slot, value._data)
        return self.handles[slot]

    def slot_of(self, value: Value) -> int:
        """The slot of a Value; one from outside becomes an input."""
        outside = not isinstance(value, Handle) and value._rec is not self
        if not outside or (value._is_leaf and value._born > self.born):
            return super().slot_of(value)
        for slot, known in zip(self.places, self.captured, strict=True):
            if known is value:
                return slot
        self.captured.append(value)  # type: ignore[arg-type]
        self.places.append(self.input(value._data, aval_of(value._data)))
        return self.places[-1]


@dataclass(frozen=True)
class Leaves:
    """A nesting taken apart.

    Args:
        values: Values, and frozen numbers and arrays.
        tree: how they nest.
        labels: of the leaves, such as ``carry['w']``.
        ints: places of Python's ints, which may turn out to be floats (see `settled`).
    """

    values: list[Any]
    tree: Tree
    labels: list[str]
    ints: tuple[int, ...] = ()

    @property
    def primals(self) -> list[Any]:
        """Their numbers."""
        return [getattr(x, "_data", x) for x in self.values]


def taken(value: Any, name: str) -> Leaves:
    """A nesting of numbers, arrays and Values; ints stay ints."""
    leaves, tree = flatten(value, _is_leaf)
    labels = paths(tree, name) if leaves else []
    ints = tuple(k for k, x in enumerate(leaves) if type(x) is int)
    made = [
        leaf if isinstance(leaf, np.integer) else argument_leaf(leaf, label)
        for leaf, label in zip(map(_whole, leaves), labels, strict=True)
    ]
    return Leaves(made, tree, labels, ints)


def _is_leaf(x: Any) -> bool:
    return is_output(x) or isinstance(x, np.integer)


def _whole(x: Any) -> Any:
    """An int as one of the tape's; too large ones become floats."""
    if type(x) is int or isinstance(x, np.integer):
        return np.int64(x) if -(1 << 63) <= x < 1 << 63 else float(x)
    return x


def settled(start: Leaves, record: Callable[[Leaves], Body]) -> tuple[Leaves, Body]:
    """A body recorded at a carry whose dtypes it keeps, as far as ints go.

    A carry that starts as Python's 0 stays an int where the body makes an int of it (a
    counter, a place), and is a float where the body makes one: then it is recorded
    once more.
    """
    while True:
        made = record(start)
        after = [made.tape.aval_of(slot)[1] for slot in made.tape.outputs]
        moved = [k for k in start.ints if after[k : k + 1] != ["int64"]]
        if not moved:
            return start, made
        values = [float(x) if k in moved else x for k, x in enumerate(start.values)]
        ints = tuple(k for k in start.ints if k not in moved)
        start = Leaves(values, start.tree, start.labels, ints)


@dataclass(frozen=True)
class Body:
    """What was recorded.

    Args:
        tape: of the arguments' leaves, then of what was captured.
        captured: Values of the code around.
        tree: how the results nest.
    """

    tape: Tape
    captured: list[Any]
    tree: Tree


def recorded(
    f: Function,
    arguments: Sequence[tuple[Tree, Sequence[Any], Sequence[str]]],
    name: str,
) -> Body:
    """Record a body at examples.

    Args:
        f: the body.
        arguments: for each argument how it nests, and its leaves' examples and labels.
        name: of the body, for messages.
    """
    around = current()
    recorder = BodyRecorder(around if isinstance(around, Recorder) else None)
    slots: list[int] = []
    built: list[Any] = []
    examples: list[Any] = []
    for tree, primals, labels in arguments:
        mine = [recorder.variable(x, s) for x, s in zip(primals, labels, strict=True)]
        slots += [handle._i for handle in mine]
        examples += primals
        built.append(tree.build(mine))
    with recording_onto(recorder):
        leaves, tree = flatten(f(*built), is_output)
        outputs = tuple(output_slot(recorder, leaf, name) for leaf in leaves)
    recorder.handles.clear()  # they would keep it alive in a cycle
    examples += [recorder.step_at(slot)[3] for slot in recorder.places]
    tape = recorder.freeze((*slots, *recorder.places), outputs, example=tuple(examples))
    return Body(prune(tape), list(recorder.captured), tree)


def check_carry(start: Leaves, tape: Tape, loop: str) -> None:
    """Refuse a body whose carry changes its shape or dtype.

    Raises:
        ShapeError: names the leaf.
    """
    for label, primal, slot in zip(
        start.labels, start.primals, tape.outputs, strict=False
    ):
        before, after = aval_of(primal), tape.aval_of(slot)
        if before != after:
            msg = (
                f"{loop}: {label} starts with shape {before[0]} and dtype {before[1]}, "
                f"and the body returns it with shape {after[0]} and dtype {after[1]}. "
                "A carry keeps its shape: give it its final one at the start "
                "(np.zeros(...)), or return the new part as an output"
            )
            raise ShapeError(msg)


def same_nesting(start: Leaves, given: Any, loop: str) -> list[Any]:
    """The leaves of a returned carry.

    Raises:
        ShapeError: it nests in another way.
    """
    try:
        found = match(start.tree, given, "carry")
    except ShapeError:
        found = [None]
    if all(map(is_output, found)):
        return found
    msg = (
        f"{loop}: the carry starts as {_shown(start)}, and the body returns "
        f"{_described(given)}; return the same lists, dicts and tuples"
    )
    raise ShapeError(msg)


def _shown(start: Leaves) -> str:
    if start.tree.bare:
        return "one number or array"
    return f"a nesting with the leaves {', '.join(start.labels)}"


def _described(given: Any) -> str:
    leaves, tree = flatten(given, is_output)
    if not leaves:
        return repr(given)
    if tree.bare:
        return "one number or array"
    return f"one with the leaves {', '.join(paths(tree, 'carry'))}"


def name_of(f: Function) -> str:
    """A body's name for lists of steps."""
    name = getattr(f, "__name__", "")
    return name if name.isidentifier() else ""


def is_recording() -> bool:
    """Whether a recording is going on here."""
    return isinstance(current(), Recorder)


def unrecorded(values: Sequence[Any]) -> bool:
    """Whether there is nothing to record: numbers only, and no recording."""
    return not is_recording() and not any(isinstance(x, Value) for x in values)


def bad_body(loop: str, result: Any, wanted: str) -> RecordError:
    """The error of a body that returns something else."""
    return RecordError(f"{loop}: the body returned {result!r:.80}; it returns {wanted}")


def performed(
    row: Primitive, operands: Sequence[Any], params: Mapping[str, Any]
) -> list[Any]:
    """A loop's step recorded, or computed where there is nothing to record."""
    if not unrecorded(operands):
        return apply_nested(row, operands, params)
    with np.errstate(all="ignore"):
        found = row.run(MIXED, list(operands), params)  # type: ignore[misc]
    # arrays of the caller's own
    return [np.array(y) if isinstance(y, np.ndarray) else y for y in found]
