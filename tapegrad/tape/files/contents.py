"""What stands in a tape file: the tapes, inner ones first. Floor 2.

A tape's columns are tensors ("0.opcode", "0.operands", ...); so are its constants that
are floats ("0.numbers", at the places "0.number_at" of the static parameters) and the
arrays ("array.0", ...). The rest is JSON, in the tensor "0.json" of bytes: operations,
the other static parameters, avals, labels, structure, example. A sub-tape has a lower
number than the tapes that call it, and the last tape is the one that was saved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.errors import TapeFormatError
from tapegrad.tape.files.atomic import read_whole, write_whole
from tapegrad.tape.files.container import Tensors, pack, unpack
from tapegrad.tape.files.document import read_document, write_document
from tapegrad.tape.files.values import Reader, Writer
from tapegrad.tape.tape import Tape

COLUMNS = {
    "opcode": np.uint16,
    "offsets": np.int32,
    "operands": np.int32,
    "first": np.int32,
    "static": np.int32,
    "aval": np.uint16,
    "inputs": np.int64,
    "outputs": np.int64,
    "number_at": np.int64,
    "numbers": np.float64,
    "json": np.uint8,
}
_SLOTS = ("inputs", "outputs")


def save(tape: Tape, path: str | os.PathLike[str]) -> None:
    """Write a tape file; it is there entirely, or the old one still is.

    Raises:
        TapeFormatError: the tape holds what a file cannot; nothing is written.
        OSError: the file cannot be written.
    """
    write_whole(path, to_bytes(tape))


def load(path: str | os.PathLike[str]) -> Tape:
    """Read a tape file. Nothing in it is executed.

    Args:
        path: the file.

    Returns:
        The tape: equal to the saved one, with its guards' lines, labels and example.

    Raises:
        TapeFormatError: a damaged file, or none of a tape; says what and where.
        OSError: the file cannot be read.

    Example:
        >>> import tempfile, tapegrad as tg
        >>> tape = tg.record(lambda x: x * x, 3.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tape.save(folder + "/square.safetensors")
        ...     again = tg.load(folder + "/square.safetensors")
        >>> again == tape, again.gradient(4.0)
        (True, 8.0)
    """
    data = read_whole(path)
    try:
        return from_bytes(data)
    except TapeFormatError as problem:
        msg = f"{os.fspath(path)}: {problem}"
        raise TapeFormatError(msg, offset=problem.offset, step=problem.step) from None


def to_bytes(tape: Tape) -> bytes:
    """A tape as the bytes of a tape file; equal recordings give equal bytes.

    Raises:
        TapeFormatError: the tape holds what a file cannot; names it.
    """
    tape.check()
    _callable(tape)
    tapes = _with_inner(tape)
    writer = Writer({id(inner): number for number, inner in enumerate(tapes)})
    tensors: dict[str, npt.NDArray[Any]] = {}
    for number, inner in enumerate(tapes):
        told = write_document(inner, writer)
        for name, dtype in COLUMNS.items():
            column = told[name] if name in told else getattr(inner, name)
            tensors[f"{number}.{name}"] = np.asarray(column, dtype)
    for place, array in enumerate(writer.arrays):
        tensors[f"array.{place}"] = array
    return pack(tensors)


def _with_inner(tape: Tape) -> list[Tape]:
    """A tape after all of its sub-tapes; a work list, so depth is no recursion."""
    found: dict[int, Tape] = {}
    pending = [tape]
    while pending:
        current = pending[-1]
        missing = [inner for inner in _inner(current) if id(inner) not in found]
        if missing:
            pending += missing
            continue
        pending.pop()
        found.setdefault(id(current), current)
    return list(found.values())


def _inner(tape: Tape) -> Iterator[Tape]:
    for static in tape.statics:
        for _, value in static:
            if isinstance(value, Tape):
                yield value


# -- reading -----------------------------------------------------------------------


def from_bytes(data: bytes | bytearray | memoryview) -> Tape:
    """The tape that `tape.to_bytes()` wrote. Nothing in the bytes is executed.

    Raises:
        TapeFormatError: damaged bytes, or none of a tape; says what and where.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = (
            f"from_bytes() takes bytes, got {type(data).__name__}; load() takes a path"
        )
        raise TapeFormatError(msg)
    tensors = unpack(bytes(data))
    arrays = _arrays(tensors)
    count = sum(name.endswith(".json") for name in tensors.arrays)
    expected = {f"{k}.{name}" for k in range(count) for name in COLUMNS}
    expected |= {f"array.{place}" for place in range(len(arrays))}
    if odd := sorted(expected ^ set(tensors.arrays)):
        msg = f"the file has tensors that no tape has, or lacks some: {odd}"
        raise TapeFormatError(msg, offset=8)
    if not count:
        msg = "the file holds no tape"
        raise TapeFormatError(msg, offset=8)
    tapes: list[Tape] = []
    reader = Reader(arrays, tapes)
    for number in range(count):
        last = number == count - 1
        tapes.append(_tape(number, tensors, reader, last=last))
        if not last:
            _ = tapes[-1].digest  # from inside out, so that depth is no recursion
    if len(reader.used) != len(arrays):
        msg = "the file has arrays that its tapes do not use"
        raise TapeFormatError(msg, offset=8)
    used = {id(inner) for tape in tapes for inner in _inner(tape)}
    if any(id(tape) not in used for tape in tapes[:-1]):
        msg = "the file has tapes that its last one does not call"
        raise TapeFormatError(msg, offset=8)
    return tapes[-1]


def _callable(tape: Tape) -> None:
    """The nesting of arguments and results holds the inputs and outputs.

    A tape without argument trees stands for flat ones, as in `Structure()`.
    """
    structure = tape.structure
    trees = structure.arguments
    inputs = sum(len(tree.dynamic) for tree in trees)
    if trees and inputs != len(tape.inputs):
        msg = f"the arguments hold {inputs} inputs, and the tape has {len(tape.inputs)}"
        raise TapeFormatError(msg)
    result = structure.result
    if not result.bare and len(result.dynamic) != len(tape.outputs):
        msg = (
            f"the result holds {len(result.dynamic)} outputs, and the tape has "
            f"{len(tape.outputs)}"
        )
        raise TapeFormatError(msg)
    if len(structure.keywords) > len(trees) or (
        structure.names and len(structure.names) != len(trees)
    ):
        msg = f"{len(trees)} arguments cannot have the names {structure.names}"
        raise TapeFormatError(msg)
    names = structure.names or structure.keywords
    if len(set(names)) != len(names):
        msg = f"two arguments have one name: {names}"
        raise TapeFormatError(msg)
    if tape.example is not None and len(tape.example) != len(tape.inputs):
        msg = (
            f"the example has {len(tape.example)} values for {len(tape.inputs)} inputs"
        )
        raise TapeFormatError(msg)


def _arrays(tensors: Tensors) -> list[npt.NDArray[Any]]:
    count = sum(name.startswith("array.") for name in tensors.arrays)
    return [
        tensors.arrays[f"array.{place}"]
        for place in range(count)
        if f"array.{place}" in tensors.arrays
    ]


def _tape(number: int, tensors: Tensors, reader: Reader, *, last: bool) -> Tape:
    """One tape, checked."""
    columns: dict[str, Any] = {}
    for name, dtype in COLUMNS.items():
        full = f"{number}.{name}"
        column = tensors.arrays[full]
        if column.dtype != dtype or column.ndim != 1:
            msg = (
                f"byte {tensors.offsets[full]}: tensor {full!r} is of dtype "
                f"{column.dtype} and shape {column.shape}, not a column of "
                f"{np.dtype(dtype)}; the file is damaged"
            )
            raise TapeFormatError(msg, offset=tensors.offsets[full])
        columns[name] = tuple(column.tolist()) if name in _SLOTS else column
    text = columns.pop("json").tobytes()
    numbers = columns.pop("number_at"), columns.pop("numbers")
    at = tensors.offsets[f"{number}.json"]
    try:
        try:
            fields = read_document(text, *numbers, reader)
        except RecursionError:  # Python's own stack is the limit, wherever it stands
            msg = "its JSON nests too deep"
            raise TapeFormatError(msg) from None
        tape = Tape(**fields, **columns)
        tape.check()
        if last:
            _callable(tape)
    except TapeFormatError as problem:
        if problem.step >= 0:
            at = tensors.offsets[f"{number}.opcode"] + 2 * problem.step
        msg = f"byte {at}: tape {number} of the file: {problem}"
        raise TapeFormatError(msg, offset=at, step=problem.step) from None
    return tape
