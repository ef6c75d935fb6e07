"""Recording a function, or a stretch of code, onto a tape. Floor 7.

``record(f, *examples)`` calls f once with handles in place of the floats among its
arguments. What f does with them becomes the tape; everything else it does is Python,
and part of the recording.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from tapegrad.ambient import current
from tapegrad.apply import apply, check_fresh
from tapegrad.errors import RecordError, ShapeError
from tapegrad.handle import Handle
from tapegrad.real import as_data, frozen
from tapegrad.recorder import Recorder, recording_onto
from tapegrad.rules import TABLE
from tapegrad.tape.differing import difference
from tapegrad.tape.rolls import single
from tapegrad.tape.structure import Structure, Tree, flatten, paths
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

# Arguments of these types become inputs; everything else is static.
FLOATS = (float, np.floating, Value)
# Steps from which a tape is looked through for loops unasked.
ROLLED = 4096
# Steps that a loop must save for each number that it reads out of no array.
SINGLES = 16


class Recording:
    """Recording by hand.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> with tg.Tape.recording() as rec:
        ...     x = rec.input(2.0, label="x")
        ...     rec.output(np.exp(x) * x)
        >>> rec.tape.gradient(0.0)
        1.0
    """

    def __init__(self, *, lines: bool = False) -> None:
        self.recorder = Recorder(lines=lines)
        # by slot: a write into the handle gives it another one
        self._inputs: list[tuple[int, Any]] = []
        self._outputs: list[int] = []
        self._context: Any = None

    def __enter__(self) -> Self:
        self._context = recording_onto(self.recorder)
        self._context.__enter__()
        return self

    def __exit__(self, *problem: object) -> None:
        self._context.__exit__(*problem)

    def input(self, value: Any, label: str = "") -> Handle:
        """A new input.

        Args:
            value: the number or array to record at.
            label: its name.
        """
        self._check_open("input")
        handle = self.recorder.variable(as_data(value, integers=True), label)
        self._inputs.append((handle._i, handle._data))
        return handle

    def output(self, *values: Any) -> None:
        """Declare outputs: Values of this recording, or numbers."""
        self._check_open("output")
        for value in values:
            self._outputs.append(output_slot(self.recorder, value, "output"))

    def _check_open(self, what: str) -> None:
        if not self.recorder.open:
            msg = f"{what}() after the recording has ended; record again"
            raise RecordError(msg)

    @property
    def tape(self) -> Tape:
        """The frozen tape; to be asked for after the ``with`` block."""
        if self._context is None or self.recorder.open:
            msg = "the tape is there when the `with` block has ended"
            raise RecordError(msg)
        if len(self._outputs) == 1:
            result = Tree()
        else:
            _, result = flatten([0.0] * len(self._outputs), is_dynamic)
        return self.recorder.freeze(
            inputs=tuple(slot for slot, _ in self._inputs),
            outputs=tuple(self._outputs),
            structure=Structure(tuple(Tree() for _ in self._inputs), (), result),
            example=tuple(data for _, data in self._inputs),
        )


def is_dynamic(leaf: Any) -> bool:
    """Whether an argument leaf becomes an input."""
    return isinstance(leaf, (*FLOATS, np.ndarray))


def record(
    f: Callable[..., Any],
    *args: Any,
    check: bool = False,
    lines: bool = False,
    roll: bool | None = None,
    **kwargs: Any,
) -> Tape:
    """Record a function at example arguments.

    Args:
        f: a function of numbers and arrays in any nesting of dict, list, tuple and
            dataclass.
        *args: where to record it. Floats and arrays of floats (and Values) become
            inputs; arrays of ints and bools inputs without a derivative; ints, bools,
            strings and other objects are static, part of the recording.
        check: record twice, and refuse a function whose second tape differs
            (random numbers, clocks, global state).
        lines: note the source line of every step, for reports that name lines. A
            recorded step then takes some three times as long.
        roll: make loops of steps that repeat (see `Tape.rolled`). By default where it
            pays: on tapes of thousands of steps without lines. False keeps all steps.
        **kwargs: as args, by keyword.

    Returns:
        The tape. Call it for the value; ask it for derivatives.

    Raises:
        RecordError: the function is not deterministic, captures an eager Value,
            calls float() on a Value, or returns what is no number.
        ShapeError: shapes that do not fit; names both and the line.

    Example:
        >>> import tapegrad as tg
        >>> tape = tg.record(lambda x, y: x * y + y, 2.0, 3.0)
        >>> tape(4.0, 5.0), tape.gradient(4.0, 5.0)
        (25.0, (5.0, 5.0))
    """
    tape = _record(f, args, kwargs, Recorder(lines=lines))
    if check:
        second = _record(f, args, kwargs, Recorder(lines=lines))
        if tape != second:
            raise _differs(f, args, kwargs, (tape, second))
    if roll or (roll is None and len(tape) >= ROLLED and not lines):
        made = tape.rolled()
        # many single numbers are put together for a loop, and taken apart behind it
        tape = made if roll or SINGLES * single(made) < len(tape) else tape
    tape._known["function"] = f
    return tape


def with_lines(tape: Tape) -> Tape:
    """The tape with the source lines of its steps, where they can be had.

    A function that was recorded without lines is recorded once more, at the inputs of
    the first time; its lines count if that gives the same tape.
    """
    f, structure = tape._known.get("function"), tape.structure
    if tape.lines is not None or f is None or tape.example is None:
        return tape
    leaves = iter(tape.example)
    built = [
        tree.build([next(leaves) for _ in tree.dynamic]) for tree in structure.arguments
    ]
    kwargs = dict(zip(structure.keywords, built[structure.positional :], strict=True))
    try:
        again = _record(f, built[: structure.positional], kwargs, Recorder(lines=True))
    except Exception:  # noqa: BLE001 - the user's code, which need not work twice
        return tape
    if again == tape:
        return dataclasses.replace(tape, lines=again.lines)
    return again if again.rolled() == tape else tape


def record_inside(
    f: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    kind: type[Recorder] = Recorder,
) -> tuple[Tape, list[Handle]]:
    """Record for a transform, which may run inside a recording.

    Args:
        f: the function.
        args: what it is recorded at.
        kwargs: the same, by keyword.
        kind: the recorder; one may capture more than another.

    Returns:
        The tape, and the Values of enclosing recordings that f reads; they are the
        tape's last inputs, beyond its structure.
    """
    around = current()
    recorder = kind(around if isinstance(around, Recorder) else None)
    tape = _record(f, args, kwargs, recorder)
    return tape, recorder.captured


def _record(
    f: Callable[..., Any],
    args: Any,
    kwargs: dict[str, Any],
    recorder: Recorder | None = None,
) -> Tape:
    if not callable(f):
        msg = f"record() needs a function first, got {type(f).__name__}"
        raise RecordError(msg)
    recorder = recorder or Recorder()
    names = parameter_names(f, args, kwargs)
    trees: list[Tree] = []
    given: list[tuple[int, Any]] = []  # a write into a handle gives it another slot
    built: list[Any] = []
    for name, argument in zip(names, [*args, *kwargs.values()], strict=True):
        leaves, tree = flatten(argument, is_dynamic)
        labels = paths(tree, name) if leaves else []
        mine = [
            recorder.variable(_example(leaf, label), label)
            for leaf, label in zip(leaves, labels, strict=True)
        ]
        given += [(handle._i, handle._data) for handle in mine]
        trees.append(tree)
        built.append(tree.build(mine))
    with recording_onto(recorder):
        result = f(
            *built[: len(args)],
            **dict(zip(kwargs, built[len(args) :], strict=True)),
        )
        leaves, tree = flatten(result, is_output)
        _check_result(f, result, leaves, tree)
        outputs = [output_slot(recorder, leaf, _name(f)) for leaf in leaves]
    return recorder.freeze(
        inputs=(*(slot for slot, _ in given), *recorder.places),
        outputs=tuple(outputs),
        structure=Structure(tuple(trees), tuple(kwargs), tree, tuple(names)),
        example=(
            *(data for _, data in given),
            *(recorder.step_at(slot)[3] for slot in recorder.places),
        ),
    )


def _example(leaf: Any, label: str) -> Any:
    try:
        if isinstance(leaf, Value):
            return frozen(leaf._data)
        return as_data(leaf, integers=True)
    except (RecordError, ShapeError) as problem:
        msg = f"argument {label}: {problem}"
        raise type(problem)(msg) from None


def argument_leaf(leaf: Any, label: str) -> Any:
    """A leaf of an argument as an operand: a Value, or a number or array of its own."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O":
        leaf = _stacked(leaf)
    return leaf if isinstance(leaf, Value) else frozen(_example(leaf, label))


def is_output(leaf: Any) -> bool:
    """Whether a leaf of a result becomes an output."""
    return isinstance(leaf, (*FLOATS, int, np.ndarray)) and not isinstance(leaf, bool)


def output_slot(recorder: Recorder, leaf: Any, where: str) -> int:
    """The slot of a leaf of a result; a number becomes a constant."""
    if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O":
        leaf = _stacked(leaf)
    if isinstance(leaf, Value):
        check_fresh(recorder, [leaf])
        return recorder.slot_of(leaf)
    try:
        return recorder.constant(frozen(as_data(leaf, integers=True)))
    except RecordError as problem:
        msg = f"{where} returned what cannot be an output: {problem}"
        raise RecordError(msg) from None


def _stacked(objects: Any) -> Any:
    """An object array of scalar Values as one array."""
    entries = objects.ravel().tolist()
    if not any(isinstance(entry, Value) for entry in entries):
        return objects
    parts = [apply(TABLE["reshape"], entry, shape=(1,)) for entry in entries]
    joined = apply(TABLE["concatenate"], *parts, axis=0)
    return apply(TABLE["reshape"], joined, shape=objects.shape)


def _check_result(f: Any, result: Any, leaves: Sequence[Any], tree: Tree) -> None:
    if not leaves or tree.statics:
        other = tree.statics[0][1] if tree.statics else result
        if isinstance(other, complex):
            msg = f"{_name(f)} returned the complex number {other!r}; return its parts"
            raise RecordError(msg)
        where = ""
        if tree.statics and tree.spec is not None:
            place = tree.spec.accessors()[tree.statics[0][0]].codify("result")
            where = f" as {place}" if place != "result" else ""
        msg = (
            f"{_name(f)} returned {other!r}{where}; a recorded function returns "
            "Values, numbers or arrays, nested in lists, tuples, dicts or dataclasses. "
            + ("Leave it out." if where else "Is a `return` missing?")
        )
        raise RecordError(msg)


def _name(f: Any) -> str:
    return getattr(f, "__name__", type(f).__name__) + "()"


def parameter_names(f: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[str]:
    """Parameter names of the positional arguments, then the keywords."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        parameters = []
    names = []
    for place in range(len(args)):
        if place < len(parameters) and parameters[place].kind in {
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        }:
            names.append(parameters[place].name)
        else:
            names.append(f"x{place}")
    return names + list(kwargs)


def _differs(
    f: Any, args: Any, kwargs: dict[str, Any], tapes: tuple[Tape, Tape]
) -> RecordError:
    """The error of a function that two recordings tell apart.

    Two more note the lines; what only those differ by would have no line.
    """
    again = [_record(f, args, kwargs, Recorder(lines=True)) for _ in range(2)]
    first, second = again if again[0] != again[1] else tapes
    return RecordError(
        f"two recordings at the same inputs {difference(first, second)}; the function "
        "reads a random number, a clock or global state: pass that as an argument"
    )
