"""What a tape file says in JSON: all of a tape but its columns. Floor 2.

Constants that are floats, of which a tape may have millions, are columns too: their
values, and their places among the static parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tapegrad.errors import TapeFormatError
from tapegrad.rules import TABLE
from tapegrad.tape.check import defined_alike
from tapegrad.tape.files.trees import read_tree, write_tree
from tapegrad.tape.files.values import Reader, Writer
from tapegrad.tape.structure import Structure, Tree
from tapegrad.tape.tape import Tape

FIELDS = {"operations", "statics", "avals", "labels", "structure", "example"}
PARTS = {"arguments", "keywords", "names", "result"}


def write_document(tape: Tape, writer: Writer) -> dict[str, Any]:
    """The columns "number_at", "numbers" and "json".

    Raises:
        TapeFormatError: the tape holds what a file cannot; names it.
    """
    numbers, others = {}, []
    for place, static in enumerate(tape.statics):
        if len(static) == 1 and static[0][0] == "value" and type(static[0][1]) is float:
            numbers[place] = static[0][1]
        else:
            pairs = [[name, writer.write(value)] for name, value in static]
            others.append([place, pairs])
    structure = tape.structure
    example = None
    if tape.example is not None:
        example = [writer.write(value) for value in tape.example]
    document: dict[str, Any] = {
        "operations": tape.operations,
        "statics": others,
        "avals": tape.avals,
        "labels": sorted(tape.labels.items()),
        "structure": {
            "arguments": [
                _named(tree, writer, f"argument {place}")
                for place, tree in enumerate(structure.arguments)
            ],
            "keywords": structure.keywords,
            "names": structure.names,
            "result": _named(structure.result, writer, "the result"),
        },
        "example": example,
    }
    definitions = TABLE.defined(tape.operations)
    if definitions:  # of users' rows; files without them are as they always were
        document["definitions"] = definitions
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode("ascii")
    return {
        "number_at": list(numbers),
        "numbers": list(numbers.values()),
        "json": np.frombuffer(text, np.uint8),
    }


def _named(tree: Tree, writer: Writer, what: str) -> Any:
    """A tree as JSON; an error says which argument it is of."""
    try:
        return write_tree(tree, writer)
    except TapeFormatError as problem:
        msg = f"{what}: {problem}"
        raise TapeFormatError(msg) from None


# -- reading -----------------------------------------------------------------------


def read_document(
    text: bytes,
    number_at: npt.NDArray[Any],
    numbers: npt.NDArray[Any],
    reader: Reader,
) -> dict[str, Any]:
    """The fields of a tape that its JSON holds.

    Raises:
        TapeFormatError: JSON of another form; names the field.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as problem:
        msg = f"its JSON cannot be read ({problem})"
        raise TapeFormatError(msg) from None
    if isinstance(given, dict) and "definitions" in given:
        defined_alike(_definitions(given.pop("definitions")))
    _keys(given, FIELDS, "the JSON")
    example = given["example"]
    if example is not None:
        example = tuple(reader.read(value) for value in _list(example, "example"))
    structure = given["structure"]
    _keys(structure, PARTS, "structure")
    trees = _list(structure["arguments"], "arguments")
    return {
        "operations": _texts(given["operations"], "operations"),
        "statics": _statics(given["statics"], number_at, numbers, reader),
        "avals": tuple(_aval(pair) for pair in _list(given["avals"], "avals")),
        "labels": _labels(given["labels"]),
        "structure": Structure(
            tuple(read_tree(tree, reader) for tree in trees),
            _texts(structure["keywords"], "keywords"),
            read_tree(structure["result"], reader),
            _texts(structure["names"], "names"),
        ),
        "example": example,
    }


def _definitions(given: Any) -> list[list[Any]]:
    found = [_list(entry, "definitions", 3) for entry in _list(given, "definitions")]
    if not all(isinstance(text, str) for entry in found for text in entry):
        _wrong("definitions", given)
    return found


def _statics(
    given: Any,
    number_at: npt.NDArray[Any],
    numbers: npt.NDArray[Any],
    reader: Reader,
) -> tuple[Any, ...]:
    """Static parameters: those in columns and the others, each place once."""
    others = _list(given, "statics")
    if len(number_at) != len(numbers):
        _wrong("numbers", f"{len(numbers)} at {len(number_at)} places")
    found: list[Any] = [None] * (len(others) + len(numbers))
    for place, number in zip(number_at.tolist(), numbers.tolist(), strict=True):
        _put(found, place, (("value", number),))
    for entry in others:
        pair = _list(entry, "statics", 2)
        pairs = [_list(item, "statics", 2) for item in _list(pair[1], "statics")]
        static = tuple((name, reader.read(value)) for name, value in pairs)
        if not all(isinstance(name, str) for name, _ in static):
            _wrong("statics", entry)
        _put(found, pair[0], static)
    return tuple(found)


def _put(found: list[Any], place: Any, static: Any) -> None:
    if (
        type(place) is not int
        or not 0 <= place < len(found)
        or found[place] is not None
    ):
        _wrong("statics", f"place {place!r} of {len(found)}")
    found[place] = static


def _aval(given: Any) -> tuple[tuple[int, ...], str]:
    shape, dtype = _list(given, "avals", 2)
    sizes = _list(shape, "avals")
    if not isinstance(dtype, str) or not all(type(size) is int for size in sizes):
        _wrong("avals", given)
    return tuple(sizes), dtype


def _labels(given: Any) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for entry in _list(given, "labels"):
        slot, label = _list(entry, "labels", 2)
        if type(slot) is not int or not isinstance(label, str) or slot in found:
            _wrong("labels", entry)
        found[slot] = label
    return found


def _texts(given: Any, what: str) -> tuple[str, ...]:
    texts = _list(given, what)
    if not all(isinstance(text, str) for text in texts):
        _wrong(what, given)
    return tuple(texts)


def _list(given: Any, what: str, length: int | None = None) -> list[Any]:
    if not isinstance(given, list) or len(given) != (length or len(given)):
        _wrong(what, given)
    return given


def _keys(given: Any, expected: set[str], what: str) -> None:
    if not isinstance(given, dict) or set(given) != expected:
        keys = sorted(given) if isinstance(given, dict) else given
        _wrong(what, keys)


def _wrong(what: str, given: Any) -> NoReturn:
    msg = f"{what} cannot be {given!r:.80}"
    raise TapeFormatError(msg)
