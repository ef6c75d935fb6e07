"""Points as the arguments of a tape, nested as they were recorded. Floor 13."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.binding import argument_names, bind
from tapegrad.cli.tables import Row, array_of
from tapegrad.errors import ParseError, TapegradError
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Tree, flatten
from tapegrad.tape.tape import Tape


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A point: the arguments of a call.

    Args:
        args, kwargs: as they are passed.
        where: the line of a file that it came from, or "".
    """

    args: Sequence[Any]
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = ""

    def leaves(self, tape: Tape) -> list[Any]:
        """One number or array for each input of a tape."""
        leaves: list[Any] = self._named(lambda: bind(tape, self.args, self.kwargs))
        return leaves

    def run(self, tape: Tape) -> tuple[list[Any], list[Any]]:
        """The leaves of the point, and the results."""
        found = self._named(lambda: tape(*self.args, **self.kwargs))
        return self.leaves(tape), leaves_of(found)

    def gradient(self, tape: Tape) -> tuple[list[Any], list[Any], list[list[Any]]]:
        """The leaves, the results, and each result's derivative by every input."""
        args, kwargs, inputs = self.args, self.kwargs, len(smooth(tape))
        shapes = [tape.aval_of(slot)[0] for slot in tape.outputs]
        one = tape.structure.result.bare and shapes == [()]
        if one:
            value, slopes = self._named(
                lambda: tape.value_and_gradient(*args, **kwargs)
            )
            return self.leaves(tape), [value], [leaves_of(slopes) if inputs else []]
        values = leaves_of(self._named(lambda: tape(*args, **kwargs)))
        leaves = leaves_of(self._named(lambda: tape.jacobian(*args, **kwargs)))
        rows = [leaves[i * inputs : (i + 1) * inputs] for i in range(len(values))]
        return self.leaves(tape), values, rows

    def _named(self, task: Callable[[], Any]) -> Any:
        """Run a task; an error says which point it is of."""
        try:
            return task()
        except TapegradError as problem:
            if not self.where:
                raise
            msg = f"{self.where}: {problem}"
            raise ParseError(msg) from None


def leaves_of(nested: Any) -> list[Any]:
    """The numbers and arrays of a nesting, in order."""
    kinds = (float, np.ndarray, np.generic, bool)
    leaves, _ = flatten(nested, lambda leaf: isinstance(leaf, kinds))
    return leaves


def smooth(tape: Tape) -> list[int]:
    """The input slots that a derivative is by: the floats."""
    return [slot for slot in tape.inputs if tape.aval_of(slot)[1] in FLOATING]


def columns(tape: Tape) -> list[str]:
    """A name for each number of a flat point."""
    names = []
    for slot, label in zip(tape.inputs, tape.input_labels(), strict=True):
        shape = tape.aval_of(slot)[0]
        if shape == ():
            names.append(label)
        else:
            names += [f"{label}{list(place)}" for place in np.ndindex(shape)]
    return names


def row_call(row: Row) -> Call:
    """A row of numbers as plain arguments, named by the header if there is one."""
    if row.names:
        return Call((), dict(zip(row.names, row.numbers, strict=True)), row.where)
    return Call(row.numbers, {}, row.where)


def flat_call(tape: Tape, row: Row) -> Call:
    """A row of numbers as the arguments of a tape, input after input."""
    numbers = row.numbers
    leaves, start = [], 0
    for slot in tape.inputs:
        shape = tape.aval_of(slot)[0]
        stop = start + int(np.prod(shape))
        part = numbers[start:stop]
        leaves.append(_leaf(tape, slot, np.reshape(part, shape), row.where))
        start = stop
    return nested(tape, leaves, row.where)


def array_calls(tape: Tape, path: Path) -> list[Call]:
    """An array as the one array argument, or a row of numbers for each point."""
    array, where = array_of(path), str(path)
    if len(tape.inputs) == 1:
        (slot,) = tape.inputs
        shape = tape.aval_of(slot)[0]
        if array.shape == shape:
            return [nested(tape, [_leaf(tape, slot, array, where)], where)]
        if array.shape[1:] == shape and len(array):
            return [
                nested(tape, [_leaf(tape, slot, part, f"{where}[{place}]")], where)
                for place, part in enumerate(array)
            ]
    width = len(columns(tape))
    flat = array[None] if array.ndim == 1 else array
    if flat.ndim != 2 or flat.shape[1] != width or not len(flat):
        shapes = ", ".join(str(tape.aval_of(slot)[0]) for slot in tape.inputs)
        msg = (
            f"{where} holds an array of shape {array.shape}; the tape takes inputs of "
            f"shape {shapes}: save one of those, or rows of {width} numbers"
        )
        raise ParseError(msg)
    rows = (Row((), part, f"{where}[{k}]") for k, part in enumerate(flat))
    return [flat_call(tape, row) for row in rows]


def _leaf(tape: Tape, slot: int, value: Any, where: str) -> Any:
    """A number or array as an input of a tape.

    Raises:
        ParseError: another shape; a fraction where a whole number belongs.
    """
    shape, dtype = tape.aval_of(slot)
    try:
        array = np.asarray(value)
    except ValueError:  # a list of lists of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub" or array.shape != shape:
        have = (
            f"an array of shape {array.shape}" if array.dtype != object else "no array"
        )
        msg = f"{where}: {tape.label_of(slot)} takes shape {shape}, and this is {have}"
        raise ParseError(msg)
    with np.errstate(all="ignore"):
        found = array.astype(dtype)
    if dtype not in FLOATING and not np.array_equal(found, array):
        msg = f"{where}: {tape.label_of(slot)} takes {dtype}, and this is {value!r:.60}"
        raise ParseError(msg)
    return float(found) if (shape, dtype) == ((), "float64") else found[()]


def nested(tape: Tape, leaves: Sequence[Any], where: str = "") -> Call:
    """One leaf an input as the arguments of a tape; static values are its own."""
    structure, start = tape.structure, 0
    if not structure.arguments:
        return Call(tuple(leaves), {}, where)
    built = []
    for tree in structure.arguments:
        stop = start + len(tree.dynamic)
        built.append(tree.build(leaves[start:stop]))
        start = stop
    count = structure.positional
    kwargs = dict(zip(structure.keywords, built[count:], strict=True))
    return Call(tuple(built[:count]), kwargs, where)


def point_call(tape: Tape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Call:
    """A point of the command line as the arguments of a tape.

    An argument that nests gets its numbers as a list, in order; one that is part of the
    recording need not be given.
    """
    names, trees = argument_names(tape), tape.structure.arguments
    if len(args) > len(names):
        msg = f"the point has {len(args)} numbers, the tape {len(names)} arguments"
        raise ParseError(msg)
    given = dict(zip(names, args, strict=False)) | dict(kwargs)
    wanted = [name for name, tree in zip(names, trees, strict=True) if tree.dynamic]
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in names]
    if missing:
        msg = f"the point lacks a value for {', '.join(missing)}: --at " + ",".join(
            f"{name}=1" for name in wanted
        )
        raise ParseError(msg)
    if unknown:
        msg = f"the point has a value for {', '.join(unknown)}, and takes " + ", ".join(
            names
        )
        raise ParseError(msg)
    leaves: list[Any] = []
    slots = iter(tape.inputs)
    for name, tree in zip(names, trees, strict=True):
        mine = [next(slots) for _ in tree.dynamic]
        leaves += _argument(tape, name, tree, mine, given.get(name))
    return nested(tape, leaves)


def _argument(
    tape: Tape, name: str, tree: Tree, slots: Sequence[int], value: Any
) -> list[Any]:
    """The leaves of one argument."""
    if not slots:
        kept = tree.build([])
        if value is not None and value != kept:
            msg = f"{name} is {kept!r:.60} in the recording; it cannot be {value!r:.60}"
            raise ParseError(msg)
        return []
    if tree.bare:
        return [_leaf(tape, slots[0], value, "--at")]
    parts = value if isinstance(value, list) else [value]
    if all(tape.aval_of(slot)[0] == () for slot in slots):
        parts = flatten(parts, lambda leaf: isinstance(leaf, float))[0]
    if len(parts) != len(slots):
        msg = f"{name} takes {len(slots)} numbers, {name}=[1,...], and has {len(parts)}"
        raise ParseError(msg)
    return [
        _leaf(tape, slot, part, "--at") for slot, part in zip(slots, parts, strict=True)
    ]
