"""The container of tape files: where a refusal says that the damage is."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.files import container, trees, values
from tapegrad.tape.files.values import Reader, Writer

GOOD = container.pack({"a": np.arange(3.0), "b": np.arange(2, dtype=np.int16)})
STATED = f"version 1, sha256 {'0' * 64}"


def with_header(header, rest=b""):
    """A file with this header, and nothing else right."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def signed(header, rest=b""):
    """The digest is right as well."""
    blank = with_header({"__metadata__": {"tapegrad": STATED}, **header}, rest)
    place = blank.index(b"0" * 64)
    digest = hashlib.sha256(blank).hexdigest().encode()
    return blank[:place] + digest + blank[place + 64 :]


def tensor(dtype, shape, start, stop):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_a_good_one_is_read_and_says_where_each_tensor_begins():
    found = container.unpack(GOOD)
    assert found.arrays["a"].tolist() == [0.0, 1.0, 2.0]
    assert found.arrays["b"].tolist() == [0, 1]
    start = found.offsets["a"]
    assert GOOD[start : start + 24] == np.arange(3.0).tobytes()
    assert container.pack(found.arrays) == GOOD


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (GOOD[:5], 5, "after 5"),
        (GOOD[:8], 0, "header alone would take"),
        (GOOD[:-1], len(GOOD) - 1, f"ends after {len(GOOD) - 1} bytes"),
        (with_header(b'{"a": ]'), 14, "cannot be read"),
        (with_header(b"[1]"), 8, "no JSON object"),
        (with_header({}), 8, "no metadata 'tapegrad'"),
        (with_header({"__metadata__": 1}), 8, "no metadata 'tapegrad'"),
        (with_header({"__metadata__": {"tapegrad": "?"}}), 8, "cannot be read"),
        (
            with_header({"__metadata__": {"tapegrad": STATED, "more": ""}}),
            8,
            "cannot be read",
        ),
        (
            with_header({"__metadata__": {"tapegrad": STATED.replace(" 1", " 7")}}),
            8,
            "format version 7",
        ),
        (
            with_header({"__metadata__": {"tapegrad": STATED}, "x": "0" * 64}),
            8,
            "its digest once",
        ),
        (with_header({"__metadata__": {"tapegrad": STATED}}), 57, "SHA-256"),
        (signed({"a": tensor("U16", [1], 0, 3)}, b"abc"), 8, "no safetensors"),
    ],
)
def test_a_refusal_names_the_byte(data, offset, words):
    with pytest.raises(tg.TapeFormatError, match=words) as caught:
        container.unpack(data)
    assert caught.value.offset == offset
    assert str(caught.value).startswith(f"byte {offset}: ")


def test_a_dtype_that_no_tape_has_is_refused_where_its_bytes_begin():
    data = signed({"a": tensor("BF16", [1], 0, 2)}, b"ab")
    with pytest.raises(tg.TapeFormatError, match="'BF16'") as caught:
        container.unpack(data)
    assert caught.value.offset == len(data) - 2


@pytest.mark.parametrize("value", [0, 127, 1000, -(2**63), 2**63 - 1])
def test_integers_of_64_bits_stand_as_they_are(value):
    assert Writer({}).write(value) == value
    assert Writer({}).write((value,)) == {"tuple": [value]}


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**30])
def test_larger_ones_are_hexadecimal(value):
    assert Writer({}).write(value) == {"int": hex(value)}


def nested(depth):
    """Tuples in tuples, as JSON; the innermost one is empty."""
    found = {"tuple": []}
    for _ in range(depth - 1):
        found = {"tuple": [found]}
    return found


def test_tuples_are_read_as_deep_as_they_are_written():
    deepest = Reader([], []).read(nested(values.DEEPEST))
    assert Writer({}).write(deepest) == nested(values.DEEPEST)
    for read in (Reader([], []).read, lambda given: Writer({}).write((deepest,))):
        with pytest.raises(tg.TapeFormatError, match=r"more than 100 deep"):
            read(nested(values.DEEPEST + 1))


def tree(*nodes):
    return {"nodes": [*nodes], "dynamic": [0], "statics": []}


@pytest.mark.parametrize(
    "given",
    [
        tree("*"),
        tree(["list", 1], "*"),
        tree(["deque", 1, None], "*"),
        tree(["dict", ["a"]], "*"),
        tree(["object", "no.such:Name", ["a"]], "*"),
    ],
)
def test_a_nesting_is_read(given):
    found = trees.read_tree(given, Reader([], []))
    assert trees.write_tree(found, Writer({})) == given


@pytest.mark.parametrize(
    "given",
    [
        [],
        {"nodes": ["*"], "dynamic": [0]},
        {"nodes": ["*"], "dynamic": 1, "statics": []},
        {"nodes": ["*"], "dynamic": [0], "statics": None},
        {"nodes": "*", "dynamic": [0], "statics": []},
        {"nodes": ["*"], "dynamic": [], "statics": [[0]]},
        tree("**"),
        tree(["list"], "*"),
        tree(["list", 1, 1], "*"),
        tree(["list", "1"], "*"),
        tree(["deque", 1], "*"),
        tree(["dict", 1], "*"),
        tree(["dict"], "*"),
        tree(["object", "no.such:Name"], "*"),
        tree(["named", "no.such:Name", ["a"], 1], "*"),
        tree(["named", ["no.such:Name"], ["a"]], "*"),
        tree(["named", "no.such:Name", "a"], "*"),
        tree(["named", "no.such:Name", ["a", "a"]], "*", "*"),
        tree(["nobody", "no.such:Name", ["a"]], "*"),
        tree(["nobody", 1, ["a"]], "*"),
        tree([1, "no.such:Name", ["a"]], "*"),
    ],
)
def test_what_is_no_nesting_is_refused(given):
    with pytest.raises(tg.TapeFormatError, match="is no nesting of arguments"):
        trees.read_tree(given, Reader([], []))
