"""Static values as JSON, and back, bit for bit. Floor 2.

null true false "text" 12 0.5 -0.0     themselves (a float prints with . or e)
{"float": "7ff8000000000001"}          NaN and the infinities, by their bits
{"int": "-0x1ff..."}                   integers beyond 64 bits
{"tuple": [...]}
{"scalar": "<f4", "bits": "0000803f"}  a NumPy scalar
{"array": 3}                           the tensor "array.3" of the file
{"guard": true, "file": "f.py", "line": 12}
{"tape": 0}                            another tape of the file, with a lower number
"""

from __future__ import annotations

import struct
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from tapegrad.errors import TapeFormatError
from tapegrad.tape.files.container import DTYPES
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Deeper tuples are refused on both ways: nothing here may exhaust the stack.
DEEPEST = 100
LARGE = 1 << 63


class Writer:
    """Values to JSON; arrays and tapes are collected on the way.

    Attributes:
        arrays: arrays met, one entry an object.
        tapes: numbers of the tapes that may be named, by identity.
    """

    def __init__(self, tapes: Mapping[int, int]) -> None:
        self.arrays: list[npt.NDArray[Any]] = []
        self.tapes = tapes
        self._places: dict[int, int] = {}

    def write(self, value: Any, depth: int = 0) -> Any:
        """A value as JSON.

        Raises:
            TapeFormatError: a value that a file cannot hold; names its type.
        """
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -LARGE <= value < LARGE else {"int": hex(value)}
        if kind is float:
            if isfinite(value):
                return value
            return {"float": struct.pack(">d", value).hex()}
        if kind is tuple:
            if depth >= DEEPEST:
                msg = f"a static tuple nests more than {DEEPEST} deep"
                raise TapeFormatError(msg)
            return {"tuple": [self.write(part, depth + 1) for part in value]}
        if kind is Guard:
            outcome = self.write(value.outcome)
            made = {"guard": outcome, "file": value.file, "line": value.line}
            return made | {"varies": True} if value.varies else made
        if isinstance(value, Tape):
            return {"tape": self.tapes[id(value)]}
        # a class of a higher floor says itself why it cannot be saved
        if hasattr(value, "unsaved"):
            raise TapeFormatError(value.unsaved)
        dtype = value.dtype if isinstance(value, np.ndarray | np.generic) else None
        if dtype is None or dtype.newbyteorder("<").str not in DTYPES.values():
            msg = (
                f"a file cannot hold the static value {value!r:.80} of type "
                f"{kind.__name__}; it holds None, bool, int, float, str, tuples of "
                "them, and NumPy's numbers and arrays: pass one of these instead"
            )
            raise TapeFormatError(msg)
        if isinstance(value, np.generic):
            little = np.asarray(value, dtype.newbyteorder("<"))
            return {"scalar": little.dtype.str, "bits": little.tobytes().hex()}
        return {"array": self._array(value)}

    def _array(self, value: npt.NDArray[Any]) -> int:
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = len(self.arrays)
            self.arrays.append(value)
        return place


class Reader:
    """JSON to values.

    Args:
        arrays: the arrays of the file.
        tapes: its tapes so far; a value can name no other.
    """

    def __init__(self, arrays: Sequence[Any], tapes: Sequence[Tape]) -> None:
        self.arrays = arrays
        self.tapes = tapes
        self.used: set[int] = set()

    def read(self, given: Any, depth: int = 0) -> Any:
        """The value that JSON stands for.

        Raises:
            TapeFormatError: JSON that stands for none.
        """
        if given is None or isinstance(given, bool | str):
            return given
        if isinstance(given, int | float):
            if -LARGE <= given < LARGE or (type(given) is float and isfinite(given)):
                return given
            _refuse(given)
        if not isinstance(given, dict) or not given:
            _refuse(given)
        what = next(iter(given))
        inside = given[what]
        keys = set(given)
        if what == "tuple" and keys == {what} and isinstance(inside, list):
            if depth >= DEEPEST:
                msg = f"a tuple nests more than {DEEPEST} deep"
                raise TapeFormatError(msg)
            return tuple(self.read(part, depth + 1) for part in inside)
        if what == "guard" and keys - {"varies"} == {"guard", "file", "line"}:
            return self._guard(given)
        if what == "array" and keys == {what} and _below(inside, len(self.arrays)):
            self.used.add(inside)
            return self.arrays[inside]
        if what == "tape" and keys == {what} and _below(inside, len(self.tapes)):
            return self.tapes[inside]
        try:
            if what == "float" and keys == {what}:
                (value,) = struct.unpack(">d", bytes.fromhex(inside))
                return value if not isfinite(value) else _refuse(given)
            if what == "int" and keys == {what}:
                large = int(inside, 16)
                return large if not -LARGE <= large < LARGE else _refuse(given)
            if what == "scalar" and keys == {what, "bits"}:
                return _scalar(inside, bytes.fromhex(given["bits"]))
        except (ValueError, TypeError, struct.error):
            _refuse(given)
        return _refuse(given)

    def _guard(self, given: Mapping[str, Any]) -> Guard:
        outcome = self.read(given["guard"])
        file, line = given["file"], given["line"]
        varies = given.get("varies", False)
        if (
            not isinstance(outcome, int)
            or (varies is not False and (varies is not True or outcome is not False))
            or not isinstance(file, str)
            or type(line) is not int
        ):
            _refuse(given)
        return Guard(outcome, file, line, varies)


def _below(number: Any, bound: int) -> bool:
    return type(number) is int and 0 <= number < bound


def _scalar(name: Any, bits: bytes) -> Any:
    """A NumPy scalar; ValueError unless it is one of the file's dtypes."""
    if name not in DTYPES.values() or (name == "|b1" and bits not in {b"\0", b"\1"}):
        raise ValueError
    (scalar,) = np.frombuffer(bits, name)
    return scalar.astype(scalar.dtype.newbyteorder("="))


def _refuse(given: Any) -> NoReturn:
    msg = f"{given!r:.80} stands for no value"
    raise TapeFormatError(msg)
