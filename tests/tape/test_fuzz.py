"""Tape files against mutations that know the format.

A mutation changes columns, arrays or the JSON of a real file, and the file gets a valid
digest again, so that the grammar itself is what stands between it and the program. Each
mutant is refused with a `TapeFormatError`, or it is a tape that obeys the grammar, can
be saved again, and replays without any error but the library's own.
"""

from __future__ import annotations

import copy
import hashlib
import json
import random

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE
from tapegrad.tape import Columns
from tapegrad.tape.files import container
from tapegrad.tape.structure import Structure, Tree, flatten
from tapegrad.tape.tape import BOOLEAN, SCALAR

# Mutants with larger slots are not replayed: their size is all that is wrong with them.
LARGEST = 10_000


def scalars():
    def f(x, y):
        z = x * y + 0.25 if x > y else x
        for _ in range(int(x)):
            z = np.tanh(z) ** 2 - abs(y) * 1.5
        return tg.where(z > 0.0, z, -z) / y

    return tg.record(f, 3.0, 2.0)


def nested():
    inner = tg.record(lambda a, b: (a * b, np.exp(a)), 1.0, 2.0)
    outer = tg.record(lambda a: inner(a, inner(a, 0.5)[1])[0] * a, 0.5)

    def f(p, *, scale=2):
        return {"v": outer(p["x"]) * scale, "w": [inner(p["x"], p["y"][0])[1], 1.0]}

    return tg.record(f, {"y": [1.0, 2.0], "x": 0.5}, scale=3)


def arrays():
    out = Columns()
    matrix, vector = ((3, 3), "float64"), ((3, 1), "float64")
    a, b = out.input(None, matrix), out.input(None, vector)

    def step(name, reads, aval, **params):
        return out.append(TABLE[name], reads, params, [aval])[0]

    solved = step("solve", [a, b], vector)
    flat = step("reshape", [solved], ((3,), "float64"), shape=(3,))
    at = out.constant(np.array([2, 0]))
    picked = step("gather", [flat, at], ((2,), "float64"), key=("a",))
    part = step("index", [a], ((2, 2), "float64"), key=((0, 2, 2), (0, 2, 1)))
    new = step("index_set", [part, picked], ((2, 2), "float64"), key=(1, (0, 2, 1)))
    both = step("concatenate", [new, part], ((4, 2), "float64"), axis=0)
    run = step("cumsum", [both], ((4, 2), "float64"), axis=0)
    product = step("einsum", [run, run], ((4, 4), "float64"), subscripts="ij,kj->ik")
    wide = step("broadcast_to", [flat], ((2, 3), "float64"), shape=(2, 3))
    soft = step("softmax", [wide], ((2, 3), "float64"), axes=(1,))
    marks = out.constant(np.array([True, False, True]))
    small = step("astype", [soft], ((2, 3), "float32"), dtype="float32")
    arm = out.constant(np.float32(-0.0))
    chosen = step("where", [marks, small, arm], ((2, 3), "float32"))
    total = step("sum", [chosen], ((), "float32"), axes=(0, 1))
    largest = step("amax", [product], SCALAR, axes=(0, 1))
    order = step("argsort", [flat], ((3,), "int64"), axis=0)
    lower = {"lower": True, "unit_diagonal": False, "transposed": False}
    back = step("solve_triangular", [a, b], vector, **lower)
    slope = step("polygamma", [largest], SCALAR, n=2)
    test = step("greater", [largest, out.constant(0.5)], BOOLEAN)
    values, vectors = out.append(TABLE["eigh"], [a], {}, [((3,), "float64"), matrix])
    outputs = (total, largest, test, order, values, vectors, back, slope)
    names = flatten([1.0] * len(outputs), lambda leaf: type(leaf) is float)[1]
    return out.freeze(
        (a, b),
        outputs,
        {a: "a", b: "b", total: "total"},
        Structure((Tree(), Tree()), (), names, ("a", "b")),
        (np.array([[4.0, 1, 0], [1, 5, 2], [0, 2, 6]]), np.array([[1.0], [2], [-3]])),
    )


SEEDS = {"scalars": scalars, "nested": nested, "arrays": arrays}

INTEGERS = (-1, 0, 1, 2, 3, 5, 7, 100, 65535, 2**31 - 1, -(2**31), 2**31, 2**63, 10**30)
THINGS = (
    *(None, True, False, 0.5, -0.0, 1e308, "", "x", "add", "exp", "float32", "int64"),
    *("bool", "a", "sum", "*", [], {}, [0], [[]], [None], {"tape": 0}, {"array": 0}),
    *({"tuple": []}, {"tuple": [0, 1]}, {"tuple": [0, 2, 1]}, {"tuple": ["a", "a"]}),
    *({"float": "7ff8000000000001"}, {"guard": True, "file": "f", "line": 1}),
    *({"int": "0xffffffffffffffffff"}, {"scalar": "<f4", "bits": "0000803f"}),
    *(["list", 1], ["dict", ["x"]], ["object", "a:B", ["x"]], ["named", "a:B", ["x"]]),
    *("ij,jk->ki", "i->", "ij->ii", "->", {"tuple": [{"tuple": [1, 2, -1]}]}),
)


class Mutator:
    """Mutations of one file, drawn by a seeded generator."""

    def __init__(self, data, seed):
        self.tensors = dict(container.unpack(data).arrays)
        self.documents = sorted(name for name in self.tensors if name.endswith(".json"))
        self.random = random.Random(seed)

    def mutant(self):
        """The bytes of a mutated file, with a valid digest."""
        draw = self.random
        tensors = dict(self.tensors)
        documents = {}
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            kind = draw.random()
            if kind < 0.55:
                name = draw.choice(self.documents)
                if name not in documents:
                    documents[name] = json.loads(self.tensors[name].tobytes())
                documents[name] = self.document(documents[name])
            elif kind < 0.95:
                name = draw.choice([n for n in sorted(tensors) if "json" not in n])
                tensors[name] = self.column(tensors[name])
            else:
                self.names(tensors)
        for name, document in documents.items():
            if name in tensors:
                text = json.dumps(document).encode()
                tensors[name] = np.frombuffer(text, np.uint8)
        data = container.pack(tensors)
        return self.container(bytearray(data)) if draw.random() < 0.1 else data

    def container(self, data):
        """Bytes of the container changed, the header's most of all."""
        draw = self.random
        head = 8 + int.from_bytes(data[:8], "little")
        for _ in range(draw.choice((1, 1, 2))):
            place = draw.randrange(head if draw.random() < 0.8 else len(data))
            digits = [k for k in range(8, head) if chr(data[k]).isdigit()]
            place = draw.choice((place, draw.choice(digits)))
            data[place] = draw.choice(b'0123456789[]{},:"FI \x00\xff')
        if draw.random() < 0.1:
            del data[draw.randrange(len(data)) :]
        place = data.find(b"sha256 ") + 7
        blank = data[:place] + container.BLANK.encode() + data[place + 64 :]
        digest = hashlib.sha256(blank).hexdigest().encode()
        return bytes(data[:place] + digest + data[place + 64 :])

    def column(self, array):
        """A tensor with other entries, another length, another dtype or shape."""
        draw = self.random
        flat = array.reshape(-1).copy()
        kind = draw.randrange(9)
        if kind <= 3 and flat.size:
            place = draw.randrange(flat.size)
            flat[place] = self.entry(flat, place)
        elif kind == 4 and flat.size:
            place = draw.randrange(flat.size)
            return np.delete(flat, place)
        elif kind == 5:
            return np.insert(flat, draw.randrange(flat.size + 1), flat[:1])
        elif kind == 6 and flat.size > 1:
            one, two = draw.sample(range(flat.size), 2)
            flat[[one, two]] = flat[[two, one]]
        elif kind == 7:
            dtypes = ("f8", "f4", "i8", "i4", "u2", "?", "u1")
            with np.errstate(all="ignore"):
                return array.astype(draw.choice(dtypes))
        elif kind == 8:
            shape = draw.choice([(-1, 1), (1, -1), (0, 2**40), (0,)])
            return flat.reshape(shape) if -1 in shape else np.zeros(shape, array.dtype)
        return flat.reshape(array.shape)

    def entry(self, flat, place):
        """Another entry for a column: a neighbour's, near, or far out."""
        draw = self.random
        if flat.dtype.kind in "fb":
            return draw.choice((0.0, -0.0, 1.0, np.nan, np.inf, 5e-324))
        information = np.iinfo(flat.dtype)
        near = int(flat[place]) + draw.choice((-1, 1, 2))
        far = draw.choice((int(draw.choice(flat.tolist())), draw.choice(INTEGERS)))
        return min(max(draw.choice((near, far)), information.min), information.max)

    def document(self, document):
        """A document with one part replaced, taken out, doubled or put elsewhere."""
        draw = self.random
        places = list(_places(document))
        holder, key = draw.choice(places)
        kind = draw.randrange(6)
        if kind <= 2:
            holder[key] = self.thing(holder[key])
        elif kind == 3:
            del holder[key]
        elif kind == 4:
            other, its = draw.choice(places)
            holder[key] = copy.deepcopy(other[its])
        elif isinstance(holder, list):
            holder.insert(draw.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        else:
            holder[draw.choice(("x", "tuple", "array", "guard"))] = holder.pop(key)
        return document

    def thing(self, before):
        """Another thing in the place of one."""
        draw = self.random
        if type(before) is int and draw.random() < 0.7:
            return draw.choice((before + 1, before - 1, draw.choice(INTEGERS)))
        if isinstance(before, str) and draw.random() < 0.4:
            return draw.choice([row.name for row in TABLE])
        return copy.deepcopy(draw.choice(THINGS))

    def names(self, tensors):
        """Tensors taken out, renamed, doubled or exchanged."""
        draw = self.random
        one, two = draw.choice(sorted(tensors)), draw.choice(sorted(tensors))
        kind = draw.randrange(4)
        if kind == 0:
            del tensors[one]
        elif kind == 1:
            tensors[draw.choice(("", "9.json", "array.9", "0.", one + "x"))] = tensors[
                two
            ]
        elif kind == 2:
            tensors[one] = tensors[two]
        else:
            tensors[one], tensors[two] = tensors[two], tensors[one]


def _places(document):
    """Every place of a document: what holds it, and the key."""
    pending = [document]
    while pending:
        holder = pending.pop()
        keys = range(len(holder)) if isinstance(holder, list) else list(holder)
        for key in keys:
            yield holder, key
            if isinstance(holder[key], list | dict):
                pending.append(holder[key])


def verdict(data, original):
    """What becomes of a mutant: "refused", "same" or "other"."""
    tape = problem = None
    try:
        tape = tg.from_bytes(data)
    except tg.TapeFormatError as found:
        problem = found
    if problem is not None:
        assert str(problem)
        assert 0 <= problem.offset <= len(data)
        return "refused"
    tape.check()
    saved = tape.to_bytes()
    again = tg.from_bytes(saved)
    assert again == tape
    assert again.to_bytes() == saved
    if tape != original:
        replayed(tape)
        return "other"
    assert repr(replayed(tape)) == repr(replayed(original))
    return "same"


def replayed(tape):
    """A replay of a loaded tape, and its adjoints; or the library's error."""
    base = sweeps.flat(tape)
    sizes = [np.prod(shape, dtype=object) for shape, _ in base.avals]
    if len(base) > LARGEST or max(sizes, default=0) > LARGEST:
        return "large"
    leaves = [_leaf(k, base.aval_of(slot)) for k, slot in enumerate(base.inputs)]
    try:
        with np.errstate(all="ignore"):
            slots = sweeps.replay(base, MIXED, leaves)
            seeds = {
                slot: np.ones_like(slots[slot]) if base.aval_of(slot)[0] else 1.0
                for slot in base.outputs
                if base.aval_of(slot)[1] == "float64"
            }
            bars = sweeps.adjoint(base, MIXED, slots, seeds)
    except tg.TapegradError as problem:
        return problem
    for slot, value in enumerate(slots):
        if base.aval_of(slot) == SCALAR and type(value) in {bool, int}:
            continue  # a truth value counts as 1 or 0 in a formula of scalars
        assert (np.shape(value), np.asarray(value).dtype.name) == base.aval_of(slot)
    return slots, bars


def _leaf(place, aval):
    shape, dtype = aval
    if aval == SCALAR:
        return 3.0 - place
    if aval == BOOLEAN:
        return True
    count = int(np.prod(shape))
    return (np.arange(count) % 5 + 1.0).reshape(shape).astype(dtype)[()]


@pytest.mark.parametrize("name", SEEDS)
def test_the_seeds_are_sound(name):
    tape = SEEDS[name]()
    assert verdict(tape.to_bytes(), tape) == "same"
    assert isinstance(replayed(tape), tuple)


@pytest.mark.parametrize("name", SEEDS)
def test_mutants_are_refused_or_sound(name):
    counts = fuzz(name, 1000, seed=1)
    assert counts["refused"] > 500
    assert counts["other"] > 5, "no mutation gets through: they are all of one kind"


@pytest.mark.deep
@pytest.mark.parametrize("name", SEEDS)
def test_two_hundred_thousand_mutants(name):
    assert sum(fuzz(name, 67_000, seed=2).values()) == 67_000


def fuzz(name, count, seed):
    """Verdicts of so many mutants of a seed file."""
    original = SEEDS[name]()
    mutator = Mutator(original.to_bytes(), seed)
    counts = {"refused": 0, "same": 0, "other": 0}
    for number in range(count):
        data = mutator.mutant()
        try:
            counts[verdict(data, original)] += 1
        except Exception as problem:
            problem.add_note(f"mutant {number} of {name}, seed {seed}")
            raise
    return counts


def test_the_fuzzer_finds_a_planted_hole(monkeypatch):
    """Without the rules for parameters and shapes, a mutant breaks a replay."""
    import tapegrad.tape.check as module

    monkeypatch.setattr(module, "steps_fit", lambda tape: None)
    with pytest.raises((AssertionError, IndexError, KeyError, TypeError, ValueError)):
        fuzz("scalars", 1500, seed=1)
