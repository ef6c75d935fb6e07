"""Tape files: what is saved comes back, bit for bit; what is damaged does not."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from pathlib import Path

import numpy as np
import pytest
import safetensors

import tapegrad as tg
from tapegrad.native.machine.choice import forced
from tapegrad.rules import TABLE
from tapegrad.tape import Columns, Guard
from tapegrad.tape.files import atomic, container
from tapegrad.tape.files.trees import StandIn
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import BOOLEAN, SCALAR

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - the plain kind


@dataclasses.dataclass
class Parameters:
    """A nesting with names."""

    rate: float
    weights: list[float]


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    """One that refuses assignment."""

    x: float
    y: float


def is_float(leaf):
    return type(leaf) is float


def with_statics(values):
    """A tape whose first argument is a list of a float and static values."""
    tree = flatten([1.0] * (len(values) + 1), is_float)[1]
    tree = Tree(tree.spec, (0,), tuple(enumerate(values, 1)))
    structure = Structure((tree, Tree()), names=("x", "y"))
    return dataclasses.replace(scalar_tape(), structure=structure)


def again(tape):
    """Saved to bytes and read."""
    data = tape.to_bytes()
    found = tg.from_bytes(data)
    assert found == tape
    assert hash(found) == hash(tape)
    assert found.to_bytes() == data
    assert found.guards == tape.guards
    assert [(g.file, g.line) for g in found.guards] == [
        (g.file, g.line) for g in tape.guards
    ]
    assert found.labels == tape.labels
    assert found.structure == tape.structure
    assert repr(found.example) == repr(tape.example)
    for mine, theirs in zip(found._columns(), tape._columns(), strict=True):
        assert mine.dtype == theirs.dtype
        assert not mine.flags.writeable
    return found


def branching(x, y):
    if x > y:
        return x * y + 0.1
    return np.tanh(x) / y


def scalar_tape():
    return tg.record(branching, 3.0, 2.0)


def nested_tape():
    inner = tg.record(lambda a, b: (a * b, np.tanh(a)), 1.0, 2.0)

    def f(p, q, scale=2, mode="sum"):
        left, right = inner(p.rate, p.weights[0])
        if left > 0:
            left = left * -0.0
        return {"value": left + right * q["b"], "more": [q["a"] ** scale, mode and 1.0]}

    return tg.record(
        f, Parameters(1.5, [0.5, 2.0]), {"b": 2.0, "a": 1.0}, scale=3, mode="max"
    )


def array_tape():
    """By hand, of every dtype and of steps that own several slots."""
    out = Columns()
    x = out.input(np.zeros((2, 2)), ((2, 2), "float64"))
    y = out.input(np.zeros((2, 2), np.float32), ((2, 2), "float32"))
    at = out.constant(np.array([1, 0, 1]))
    picked = out.append(
        TABLE["gather"], [x, at], {"key": ("a", (0, 2, 1))}, [((3, 2), "float64")]
    )[0]
    wide = out.append(TABLE["astype"], [y], {"dtype": "float64"}, [((2, 2), "float64")])
    product = out.append(TABLE["matmul"], [picked, *wide], {}, [((3, 2), "float64")])
    more = out.constant(np.array([[0.5, -0.0], [5e-324, np.nan], [np.inf, 1e308]]))
    total = out.append(TABLE["mul"], [*product, more], {}, [((3, 2), "float64")])
    found = out.append(TABLE["sum"], total, {"axes": (0, 1)}, [SCALAR])
    half = out.constant(np.float32(0.1))
    scaled = out.append(TABLE["mul"], [y, half], {}, [((2, 2), "float32")])
    marks = out.constant(np.array([True, False]))
    arms = [marks, *scaled, y]
    chosen = out.append(TABLE["where"], arms, {}, [((2, 2), "float32")])
    empty = out.constant(np.zeros((0, 3)))
    return out.freeze(
        (x, y),
        (*found, *chosen, empty),
        {x: "x", y: "y"},
        Structure(
            (Tree(), Tree()),
            (),
            flatten([1.0, 2.0, 3.0], is_float)[1],
            ("x", "y"),
        ),
        (np.arange(4.0).reshape(2, 2), np.ones((2, 2), np.float32)),
    )


SAMPLES = {"scalar": scalar_tape, "nested": nested_tape, "arrays": array_tape}


# -- round trips -------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_a_tape_comes_back(name, tmp_path):
    tape = SAMPLES[name]()
    tape.check()
    again(tape)
    tape.save(tmp_path / "tape.safetensors")
    assert tg.load(tmp_path / "tape.safetensors") == tape
    tape.save(str(tmp_path / "text"))
    assert tg.load(str(tmp_path / "text")).labels == tape.labels
    assert (tmp_path / "text").read_bytes() == tape.to_bytes()


def test_it_computes_the_same():
    tape = scalar_tape()
    found = again(tape)
    assert found.value_and_gradient(3.0, 2.5) == tape.value_and_gradient(3.0, 2.5)
    assert found.hessian(3.0, 2.5) == tape.hessian(3.0, 2.5)
    assert found.compile().gradient(3.0, 2.5) == tape.gradient(3.0, 2.5)
    with pytest.raises(tg.BranchChanged, match=r"test_files\.py") as caught:
        found(1.0, 2.0)
    assert caught.value.line == branching.__code__.co_firstlineno + 1
    with pytest.raises(tg.ShapeError):
        found(1.0)
    again(tape.adjoint_tape())


def test_an_unpickled_loaded_tape():
    found = again(scalar_tape())
    assert pickle.loads(pickle.dumps(found)).gradient(3.0, 2.0) == (2.0, 3.0)


def bits(text):
    return struct.unpack(">d", bytes.fromhex(text))[0]


NUMBERS = [
    *(0.0, -0.0, 5e-324, -2.2e-308, 1.7976931348623157e308, 0.1, 1e22, 1.0),
    *(float("inf"), float("-inf")),
    *map(bits, ("7ff8000000000000", "fff8000000000000", "7ff8dead0000beef")),
    *map(bits, ("7ff0000000000001", "fff7ffffffffffff")),  # signalling
]


def test_constants_are_kept_bit_for_bit():
    out = Columns()
    x = out.input(1.0)
    slots = [out.constant(number) for number in NUMBERS]
    slots += [out.constant(np.array(NUMBERS)), out.constant(True)]
    small = np.array([0x7F800001, 0xFFC12345, 1, 0x80000000], np.uint32)
    slots.append(out.constant(small.view(np.float32)))
    powers = [
        out.append(TABLE["powc"], [x], {"exponent": n}, [SCALAR]) for n in NUMBERS
    ]
    tape = out.freeze((x,), tuple(slots), example=(bits("7ff8dead0000beef"),))
    found = again(tape)
    for one, two in zip(tape.statics, found.statics, strict=True):
        for (_, a), (_, b) in zip(one, two, strict=True):
            assert type(a) is type(b)
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert len(powers) == len(NUMBERS)
    assert struct.pack(">d", found.example[0]).hex() == "7ff8dead0000beef"


def test_static_values_of_every_kind():
    values = (
        *(None, True, False, 0, -1, 2**63, -(2**63) - 1, 10**5000, "", '\ud800 é\0"'),
        *((), (1, (2.0, "x", None)), np.float32(0.1), np.int64(-3), np.bool_(True)),
        *(np.float64(0.5), np.float64("nan"), np.float16(2.0), np.uint8(7)),
    )
    tape = with_statics(values)
    found = tg.from_bytes(tape.to_bytes())
    statics = found.structure.arguments[0].statics
    for value, (_, same) in zip(values, statics, strict=True):
        assert type(value) is type(same)
        assert value == same or value != value  # noqa: PLR0124 - NaN


def test_guards_on_integers():
    tape = tg.record(lambda x: x * [1.0, 2.0, 4.0][int(x)], 2.0)
    assert again(tape).guards == (Guard(2),)


ARGUMENTS = {
    "list": ([1.0, 2.0],),
    "order of keys": ({"b": 1.0, "a": {"d": 2.0, "c": 3.0}},),
    "mixed keys": ({1: 1.0, "x": 2.0, (3, "y"): 3.0, None: 4.0, 0.5: 5.0},),
    "ordered": (OrderedDict(b=1.0, a=2.0),),
    "named tuple": (Pair(1.0, Pair(2.0, 3.0)),),
    "dataclass": (Parameters(1.0, [2.0]), Frozen(3.0, 4.0)),
    "deque": (deque([1.0, 2.0], maxlen=3), deque([3.0])),
    "empty": ([], {}, (), None, "text", 7, 1.0),
    "statics": ({"n": 3, "mode": "fast", "w": [1.0, None, True]},),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_nesting_comes_back(name):
    arguments = ARGUMENTS[name]

    def f(*nested):
        leaves, _ = flatten(nested, lambda leaf: isinstance(leaf, tg.Value))
        found = 0.0
        for place, leaf in enumerate(leaves):
            found = found + leaf * float(place + 2)
        return found

    tape = tg.record(f, *arguments)
    found = again(tape)
    assert found(*arguments) == tape(*arguments)
    assert repr(found.gradient(*arguments)) == repr(tape.gradient(*arguments))
    with pytest.raises(tg.TapegradError):
        found(*arguments[:-1], object())


def test_models_come_back():
    from tapegrad.nn import MLP

    model = MLP(2, [3, 1], seed=1)
    tape = tg.record(lambda m, x: m([x, 0.5]), model, 2.0)
    found = again(tape)
    assert found(model, 2.0).data == tape(model, 2.0).data


OTHER_PROGRAM = """
import sys
import dataclasses
import tapegrad as tg

before = set(sys.modules)
tape = tg.load(sys.argv[1])
new = {name for name in set(sys.modules) - before}
assert "secret_module" not in sys.modules
(tree,) = tape.structure.arguments
stand_in = tree.build([3.0, 2.0, 1.0])
print(stand_in, stand_in.rate, stand_in.weights)
print(tape(stand_in), tape.gradient(stand_in).rate)

@dataclasses.dataclass
class Parameters:
    rate: float
    weights: list

Parameters.__module__ = "secret_module"
mine = Parameters(3.0, [2.0, 1.0])
print(tape(mine), tape.gradient(mine))
Parameters.__module__ = "another"

@dataclasses.dataclass
class Parameters:
    rate: float
    weights: list

Parameters.__module__ = "another"
try:
    tape(Parameters(3.0, [2.0, 1.0]))
except tg.ShapeError as problem:
    print("refused")
"""


def test_a_class_that_the_program_lacks_has_a_stand_in(tmp_path):
    (tmp_path / "secret_module.py").write_text(
        "import dataclasses\nprint('imported')\n"
        "@dataclasses.dataclass\nclass Parameters:\n"
        "    rate: float\n    weights: list\n"
    )
    maker = (
        "import sys; sys.path.insert(0, '.')\nimport secret_module, tapegrad as tg\n"
        "p = secret_module.Parameters(3.0, [2.0, 1.0])\n"
        "tg.record(lambda p: p.rate * p.weights[0] + p.weights[1], p).save('t.st')\n"
    )
    root = str(Path(tg.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    subprocess.run(
        [sys.executable, "-c", maker], cwd=tmp_path, env=environment, check=True
    )
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROGRAM, "t.st"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "Parameters(rate=3.0, weights=[2.0, 1.0]) 3.0 [2.0, 1.0]",
        "7.0 2.0",
        "7.0 Parameters(rate=2.0, weights=[3.0, 1.0])",
        "refused",
    ], done.stderr


def test_a_pickle_with_a_dataclass_in_another_program(tmp_path):
    (tmp_path / "points.py").write_text(
        "import dataclasses\n"
        "@dataclasses.dataclass\nclass Point:\n    x: float\n    y: float\n"
    )
    maker = (
        "import pickle, points, tapegrad as tg\n"
        "tape = tg.record(lambda p: p.x * p.y, points.Point(1.0, 2.0))\n"
        "pickle.dump(tape, open('t.pickle', 'wb'))\n"
        "tape.save('t.tape')\n"
    )
    reader = (
        "import pickle, tapegrad as tg\n"
        "stand_in = tg.load('t.tape')\n"
        "again = pickle.loads(pickle.dumps(stand_in))\n"
        "tape = pickle.load(open('t.pickle', 'rb'))\n"
        "import points\n"
        "print(tape.gradient(points.Point(3.0, 4.0)), again(points.Point(3.0, 4.0)))\n"
    )
    root = str(Path(tg.__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    for code in (maker, reader):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "Point(x=4.0, y=3.0) 12.0\n", done.stderr


def test_a_named_tuple_that_the_program_lacks(monkeypatch):
    pair = Pair(2.0, 3.0)
    data = tg.record(lambda p: p.left * p.right, pair).to_bytes()
    monkeypatch.delattr(sys.modules[__name__], "Pair")
    found = tg.from_bytes(data)
    gradient = found.gradient(pair)
    assert isinstance(gradient, StandIn)
    assert (gradient.left, gradient[1], *gradient) == (3.0, 2.0, 3.0, 2.0)
    assert found.to_bytes() == data


def test_sub_tapes_of_sub_tapes_at_any_depth():
    tape = scalar_tape()
    for _ in range(3000):
        out = Columns()
        inputs = [out.input(1.0), out.input(2.0)]
        slots = out.push_call(tape, inputs, [0.0])
        structure = Structure((Tree(), Tree()))
        tape = out.freeze(tuple(inputs), tuple(slots), structure=structure)
    found = again(tape)
    assert found(3.0, 2.0) == 6.1


def test_a_sub_tape_of_arrays():
    inner = tg.record(lambda a, s: (a * s, a.sum()), np.ones(3), 2.0)
    tape = tg.record(
        lambda x: (inner(x, inner(x, 2.0)[1])[0] * x).sum(), np.arange(3.0)
    )
    x = np.array([1.0, -0.0, 5.0])
    assert again(tape).gradient(x).tobytes() == tape.gradient(x).tobytes()


def test_loading_does_not_expand_sub_tapes():
    """Each level calls the one below twice: 2**60 steps, were they written out."""
    tape = tg.record(lambda x: x * 2.0, 1.0)
    for _ in range(60):
        out = Columns()
        x = out.input(1.0)
        (y,) = out.push_call(tape, [x], [0.0])
        slots = out.push_call(tape, [y], [0.0])
        tape = out.freeze((x,), tuple(slots), structure=Structure((Tree(),)))
    assert tg.from_bytes(tape.to_bytes()) == tape


EDGES = [(row, edge) for row in TABLE for edge in row.edges]


def test_every_edge_holds_after_a_save_and_load():
    for row, edge in EDGES:
        out = Columns()
        inputs = tuple(out.input(x) for x in edge.at)
        aval = BOOLEAN if row.kind == "predicate" else SCALAR
        slots = out.append(row, inputs, edge.params, [aval])
        structure = Structure(tuple(Tree() for _ in inputs))
        tape = out.freeze(inputs, tuple(slots), structure=structure, example=edge.at)
        found = tg.from_bytes(tape.to_bytes())
        # one tier for both: another one's NaN may have another sign
        with forced(False):
            one = found.value_and_gradient(*edge.at)
            two = tape.value_and_gradient(*edge.at)
        assert np.asarray(one[0]).tobytes() == np.asarray(two[0]).tobytes()
        assert np.asarray(one[1]).tobytes() == np.asarray(two[1]).tobytes()
        slopes = np.atleast_1d(one[1])
        for slope, expected in zip(slopes, edge.partials, strict=True):
            near = np.isclose(slope, expected, rtol=edge.relative, atol=0.0)
            assert near or (slope != slope and expected != expected), (row.name, edge)  # noqa: PLR0124


def test_a_sub_tape_that_is_called_twice_is_stored_once():
    inner = scalar_tape()
    once = tg.record(lambda x: inner(x, 2.0), 3.0).to_bytes()
    twice = tg.record(lambda x: inner(x, 2.0) + inner(x, x * 0.5), 3.0)
    assert len(again(twice).to_bytes()) < len(once) + len(inner.to_bytes()) // 2


# -- the container -----------------------------------------------------------------


def test_other_programs_read_the_container(tmp_path):
    path = tmp_path / "tape.safetensors"
    tape = array_tape()
    tape.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        assert list(file.metadata()) == ["tapegrad"]
        assert file.metadata()["tapegrad"].startswith("version 1, sha256 ")
        assert np.array_equal(file.get_tensor("0.operands"), tape.operands)
        told = json.loads(file.get_tensor("0.json").tobytes())
    assert told["operations"] == list(tape.operations)


def test_equal_recordings_have_equal_bytes():
    assert nested_tape().to_bytes() == nested_tape().to_bytes()


@pytest.mark.parametrize("name", SAMPLES)
def test_every_flipped_byte_is_refused(name):
    data = SAMPLES[name]().to_bytes()
    assert len(data) < 20_000
    for place in range(len(data)):
        flips = {1 << place % 8, 0x20, 0xFF} if name == "scalar" else {1 << place % 8}
        for flip in flips:
            wrong = bytearray(data)
            wrong[place] ^= flip
            with pytest.raises(tg.TapeFormatError) as caught:
                tg.from_bytes(wrong)
            assert 0 <= caught.value.offset <= len(data)


def test_truncated_and_longer_files_are_refused():
    data = scalar_tape().to_bytes()
    for end in range(len(data)):
        with pytest.raises(tg.TapeFormatError) as caught:
            tg.from_bytes(data[:end])
        assert str(caught.value).startswith("byte ")
    for more in (b"\0", b" ", data):
        with pytest.raises(tg.TapeFormatError):
            tg.from_bytes(data + more)


def test_the_padding_of_the_header_counts():
    data = scalar_tape().to_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    assert data[end - 1 : end] == b" ", "choose a sample whose header is padded"
    with pytest.raises(tg.TapeFormatError, match="SHA-256"):
        tg.from_bytes(data[: end - 1] + b"\n" + data[end:])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends within its first 8 bytes"),
        (b"hello, world", "header alone would take"),
        (b"\xff" * 100, "header alone would take"),
        (b"\2" + b"\0" * 7 + b"{}", "no metadata 'tapegrad'"),
        (b"\2" + b"\0" * 7 + b"{]", "cannot be read"),
        (b"\x09" + b"\0" * 7 + b'{"a":NaN}', "NaN is no JSON"),
        (b"\x0d" + b"\0" * 7 + b'{"a":1,"a":2}', "a key stands twice"),
        ((10**5).to_bytes(8, "little") + b"[" * 10**5, "cannot be read"),
        ((10**5).to_bytes(8, "little") + b"1" * 10**5, "cannot be read"),
    ],
)
def test_what_is_no_tape_file(data, message):
    with pytest.raises(tg.TapeFormatError, match=message):
        tg.from_bytes(data)


def test_a_safetensors_file_of_something_else():
    from safetensors.numpy import save

    for metadata in (None, {"format": "pt"}, {"tapegrad": "1"}):
        with pytest.raises(tg.TapeFormatError, match="metadata"):
            tg.from_bytes(save({"w": np.ones(3)}, metadata=metadata))


def test_a_later_version_says_so():
    data = scalar_tape().to_bytes().replace(b"version 1, ", b"version 2, ")
    with pytest.raises(tg.TapeFormatError, match=r"format version 2.*reads version 1"):
        tg.from_bytes(data)


@pytest.mark.parametrize("given", ["text", 5, None, [1, 2]])
def test_from_bytes_takes_bytes(given):
    with pytest.raises(tg.TapeFormatError, match="takes bytes, got"):
        tg.from_bytes(given)


def test_from_bytes_takes_any_bytes():
    tape = scalar_tape()
    data = tape.to_bytes()
    assert tg.from_bytes(bytearray(data)) == tape
    assert tg.from_bytes(memoryview(data)) == tape


# -- the grammar, behind a valid digest ----------------------------------------------


def edited(tape, tensors=None, **changes):
    """A file with other tensors or other JSON, and its own valid digest."""
    found = dict(container.unpack(tape.to_bytes()).arrays)
    last = max(int(name.split(".")[0]) for name in found if name[0] != "a")
    told = json.loads(found[f"{last}.json"].tobytes())
    told.update(changes)
    found[f"{last}.json"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    for name, array in (tensors or {}).items():
        if array is None:
            del found[name]
        else:
            found[name] = np.asarray(array)
    return container.pack(found)


def test_an_unknown_primitive_is_named_with_its_place():
    tape = scalar_tape()
    names = ["nonesuch" if name == "mul" else name for name in tape.operations]
    with pytest.raises(tg.TapeFormatError, match="unknown primitive 'nonesuch'"):
        tg.from_bytes(edited(tape, operations=names))


def test_an_error_says_step_and_byte(tmp_path):
    tape = scalar_tape()
    operands = tape.operands.copy()
    operands[2] = 6
    data = edited(tape, {"0.operands": operands})
    with pytest.raises(tg.TapeFormatError, match="reads slot 6") as caught:
        tg.from_bytes(data)
    step = int(np.searchsorted(tape.offsets, 2, side="right")) - 1
    assert caught.value.step == step
    start = caught.value.offset - 2 * step
    assert data[start : start + 2 * len(tape)] == tape.opcode.tobytes()
    (tmp_path / "wrong").write_bytes(data)
    with pytest.raises(tg.TapeFormatError, match=r"wrong: byte \d+: .*step") as caught:
        tg.load(tmp_path / "wrong")
    assert caught.value.step == step


MARKS = [["dict", [{"tuple": []}]], "*"]
WRONG = {
    "lacks some": lambda t: edited(t, {"0.first": None}),
    "that no tape has": lambda t: edited(t, {"0.more": np.zeros(3)}),
    "do not use": lambda t: edited(t, {"array.0": np.zeros(3)}),
    "not a column of": lambda t: edited(t, {"0.opcode": t.opcode.astype(np.int32)}),
    "JSON cannot be read": lambda t: edited(t, {"0.json": np.zeros(9, np.uint8)}),
    "the JSON cannot be": lambda t: edited(t, surprise=1),
    "operations cannot be": lambda t: edited(t, operations=[1]),
    "avals cannot be": lambda t: edited(t, avals=[[[1.5], "float64"]]),
    "no shape and dtype": lambda t: edited(t, avals=[[[-1], "float64"]] * 2),
    "labels cannot be": lambda t: edited(t, labels=[[0, "x"], [0, "y"]]),
    "'labels'": lambda t: edited(t, labels=[[99, "x"]]),
    "statics cannot be": lambda t: edited(t, statics=[[0, []], [0, []]]),
    "stands for no value": lambda t: edited(t, example=[{"pickle": "x"}, 1.0]),
    "example has": lambda t: edited(t, example=[1.0]),
    "is no nesting": lambda t: edited(t, structure=shaped([["set", 2]])),
    "nestings, not one": lambda t: edited(t, structure=shaped(["*", "*"])),
    "has places": lambda t: edited(t, structure=shaped([["list", 1], "*"], [1])),
    "hold 1 inputs": lambda t: edited(t, structure=shaped([["list", 1], "*"])),
    "more than 900 deep": lambda t: edited(
        t, structure=shaped([*[["list", 1]] * 5000, "*"])
    ),
}


def shaped(nodes, dynamic=(0,)):
    tree = {"nodes": nodes, "dynamic": list(dynamic), "statics": []}
    return {"arguments": [tree], "keywords": [], "names": [], "result": None}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_file_with_a_right_digest(message):
    with pytest.raises(tg.TapeFormatError, match=message) as caught:
        tg.from_bytes(WRONG[message](scalar_tape()))
    assert caught.value.offset >= 0


@pytest.mark.parametrize("where", ["os:system", "subprocess:Popen", "no.such:Thing"])
@pytest.mark.parametrize("word", ["object", "named"])
def test_names_in_a_file_are_never_called(where, word):
    nodes = [[word, where, ["a", "b"]], "*", "*"]
    found = tg.from_bytes(edited(scalar_tape(), structure=shaped(nodes, (0, 1))))
    (tree,) = found.structure.arguments
    assert isinstance(tree.build([1.0, 2.0]), StandIn)
    assert "no" not in sys.modules


def test_other_dtypes_of_arrays_are_refused():
    arrays = dict(container.unpack(array_tape().to_bytes()).arrays)
    name = next(n for n, a in arrays.items() if n[0] == "a" and a.dtype == np.int64)
    arrays[name] = arrays[name].astype(np.int32)
    with pytest.raises(tg.TapeFormatError, match="not of shape and dtype"):
        tg.from_bytes(container.pack(arrays))


def test_truth_values_are_0_or_1():
    data = array_tape().to_bytes()
    tensors = container.unpack(data)
    name = next(n for n, a in tensors.arrays.items() if a.dtype == np.bool_)
    wrong = bytearray(data)
    wrong[tensors.offsets[name]] = 2
    place = wrong.index(b"sha256 ") + 7
    wrong[place : place + 64] = container.BLANK.encode()
    import hashlib

    digest = hashlib.sha256(wrong).hexdigest().encode()
    wrong[place : place + 64] = digest
    with pytest.raises(tg.TapeFormatError, match="neither 0 nor 1"):
        tg.from_bytes(wrong)


# -- what cannot be saved ------------------------------------------------------------


class Choice:
    """Something that only this program knows."""


def test_what_a_file_cannot_hold_is_named(tmp_path):
    tape = tg.record(lambda x, how: x * 2.0, 1.0, Choice())
    with pytest.raises(tg.TapeFormatError, match=r"argument 1: .*of type Choice"):
        tape.save(tmp_path / "tape")
    assert not list(tmp_path.iterdir())


def test_what_it_cannot_nest_is_named():
    from collections import defaultdict

    tape = tg.record(lambda d: d["x"] * 2.0, defaultdict(float, x=1.0))
    with pytest.raises(tg.TapeFormatError, match="argument 0: .*defaultdict"):
        tape.to_bytes()


def test_deep_static_tuples_are_refused_not_a_crash():
    deep = ()
    for _ in range(500):
        deep = (deep,)
    with pytest.raises(tg.TapeFormatError, match="more than 100 deep"):
        with_statics([deep]).to_bytes()


# -- atomic files ------------------------------------------------------------------


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "tape"
    scalar_tape().save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        nested_tape().save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["tape"]


def test_saving_keeps_links_and_permissions(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    scalar_tape().save(real)
    assert real.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    real.chmod(0o640)
    link.symlink_to(real)
    nested_tape().save(link)
    assert link.is_symlink()
    assert tg.load(real) == nested_tape()
    assert real.stat().st_mode & 0o777 == 0o640


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_only_ordinary_files(tmp_path):
    for task in (scalar_tape().save, tg.load):
        with pytest.raises(IsADirectoryError):
            task(tmp_path)
        with pytest.raises(OSError, match="no ordinary file"):
            task("/dev/zero")
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        scalar_tape().save(tmp_path / "none" / "tape")
    assert list(tmp_path.iterdir()) == []


def test_every_parameter_of_the_table_is_looked_at():
    """A row with a parameter of a new name must say, in `fits`, what it may be."""
    from tapegrad.tape.fits import VALID

    names = {name for row in TABLE for params in row.params for name in params}
    names |= {name for row in TABLE for sample in row.samples for name in sample.params}
    assert names <= set(VALID)
    for row in TABLE:
        for sample in row.samples:
            wrong = [n for n, v in sample.params.items() if not VALID[n](v)]
            assert not wrong, (row.name, sample)
