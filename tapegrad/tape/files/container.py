"""The container of a tape file: safetensors, a version and a digest. Floor 2.

    8 bytes   length of the header, little endian
    header    JSON: each tensor's dtype, shape and place; and, as metadata,
              {"tapegrad": "version 1, sha256 <64 hex digits>"}
    data      the tensors, one after the other, nothing between them

The digest is SHA-256 over every byte of the file, its own 64 digits counted as "0": the
data, the header, its padding and its length. So no byte can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from tapegrad.errors import TapeFormatError

VERSION = 1
KEY = "tapegrad"
BLANK = "0" * 64
METADATA = re.compile(r"version ([1-9][0-9]{0,8}), sha256 ([0-9a-f]{64})")

# Names of dtypes in the container, and what NumPy calls them in files: little endian.
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a container holds.

    Args:
        arrays: the tensors by name, read-only.
        offsets: the byte of the file where each begins.
    """

    arrays: dict[str, npt.NDArray[Any]]
    offsets: dict[str, int]


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Tensors as the bytes of a file; the same ones give the same bytes."""
    from safetensors.numpy import save

    # one entry only: the order of several is not fixed by the library
    metadata = {KEY: f"version {VERSION}, sha256 {BLANK}"}
    plain = {
        name: np.asarray(x, x.dtype.newbyteorder("="), order="C")
        for name, x in arrays.items()
    }
    blank = save(plain, metadata=metadata)
    place = blank.index(BLANK.encode(), 8)
    digest = hashlib.sha256(blank).hexdigest().encode()
    return b"".join(
        (memoryview(blank)[:place], digest, memoryview(blank)[place + 64 :])
    )


def unpack(data: bytes) -> Tensors:
    """The tensors of a file's bytes, once all of it has been found undamaged.

    Raises:
        TapeFormatError: what is wrong, with the byte where it shows.
    """
    import safetensors

    length, header = _header(data)
    digest = _metadata(header)
    _verify(data, length, digest)
    try:
        parse: Any = safetensors.deserialize
        found = dict(parse(data))
    except safetensors.SafetensorError as problem:
        _damaged(f"is no safetensors container ({problem})", 8)
    offsets = {}
    arrays = {}
    for name, tensor in found.items():
        offsets[name] = 8 + length + int(header[name]["data_offsets"][0])
        arrays[name] = _array(name, tensor, offsets[name])
    return Tensors(arrays, offsets)


def _damaged(what: str, offset: int) -> NoReturn:
    msg = f"byte {offset}: the file {what}; it is damaged, or is no tape file"
    raise TapeFormatError(msg, offset=offset)


def _header(data: bytes) -> tuple[int, dict[str, Any]]:
    """Length and content of the header, sizes first."""
    if len(data) < 8:
        _damaged(f"ends within its first 8 bytes, after {len(data)}", len(data))
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        what = f"has {len(data)} bytes, but its header alone would take {length}"
        _damaged(what, 0)
    try:
        header = json.loads(
            data[8 : 8 + length], object_pairs_hook=_once, parse_constant=_refuse
        )
    except (ValueError, RecursionError) as problem:
        at = 8 + problem.pos if isinstance(problem, json.JSONDecodeError) else 8
        _damaged(f"has a header that cannot be read ({problem})", at)
    if not isinstance(header, dict):
        _damaged("has a header that is no JSON object", 8)
    end = length + 8
    for tensor in header.values():
        place = tensor.get("data_offsets") if isinstance(tensor, dict) else None
        if isinstance(place, list) and len(place) == 2 and type(place[1]) is int:
            end = max(end, length + 8 + place[1])
    if end > len(data):
        what = f"ends after {len(data)} bytes, but its header speaks of {end}"
        _damaged(what, len(data))
    return length, header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a key stands twice"
        raise ValueError(msg)
    return found


def _refuse(word: str) -> NoReturn:
    msg = f"{word} is no JSON"
    raise ValueError(msg)


def _metadata(header: Mapping[str, Any]) -> str:
    """The digest that the header states."""
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or KEY not in metadata:
        _damaged(f"has no metadata {KEY!r} in its header", 8)
    text = metadata[KEY]
    stated = METADATA.fullmatch(text) if isinstance(text, str) else None
    if stated is None or len(metadata) != 1:
        _damaged(f"has metadata that cannot be read: {str(metadata)[:200]}", 8)
    if int(stated[1]) != VERSION:
        msg = (
            f"byte 8: the file is of format version {stated[1]}, and this tapegrad "
            f"reads version {VERSION}; load it with the tapegrad that wrote it"
        )
        raise TapeFormatError(msg, offset=8)
    return stated[2]


def _verify(data: bytes, length: int, digest: str) -> None:
    """Every byte is the one that was written."""
    head = data[: 8 + length]
    if head.count(digest.encode()) != 1:
        _damaged("does not state its digest once", 8)
    place = head.index(digest.encode())
    sha = hashlib.sha256(head[:place] + BLANK.encode() + head[place + 64 :])
    sha.update(memoryview(data)[8 + length :])
    if sha.hexdigest() != digest:
        what = f"has another SHA-256 ({sha.hexdigest()[:8]}...) than its header states"
        _damaged(what, place)


def _array(name: str, tensor: Mapping[str, Any], offset: int) -> npt.NDArray[Any]:
    """A tensor as a read-only array; its bytes are there, their number is checked."""
    dtype = DTYPES.get(tensor["dtype"])
    if dtype is None:
        _damaged(
            f"has {name!r} of dtype {tensor['dtype']!r}, which no tape has", offset
        )
    try:
        array = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    except ValueError as problem:  # such as (0, 2**62), which holds nothing
        _damaged(f"has {name!r} of shape {tensor['shape']} ({problem})", offset)
    if dtype == "|b1" and (array.view(np.uint8) > 1).any():
        _damaged(f"has {name!r} with a truth value that is neither 0 nor 1", offset)
    if sys.byteorder == "big":
        array = array.astype(array.dtype.newbyteorder("="))
    array.setflags(write=False)
    return array
