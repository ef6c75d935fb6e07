"""print(tape) and repr(tape)."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

import tapegrad as tg
from tapegrad.show.listing import HEAD, TAIL, listing
from tapegrad.symbolic.parse import parse


def test_the_list_of_a_small_tape():
    tape = tg.record(lambda x, y: x * np.tanh(y) + 2.0, 2.0, 0.0)
    assert str(tape).splitlines() == [
        "slot  operation  operands  shape  label  primal  adjoint",
        "v0    input                ()     x         2.0      0.0",
        "v1    input                ()     y         0.0      2.0",
        "v2    tanh       v1        ()               0.0      2.0",
        "v3    *          v0, v2    ()               0.0      1.0",
        "v4    const      2.0       ()               2.0",
        "v5    +          v3, v4    ()               2.0      1.0",
        "output: v5",
    ]
    assert repr(tape) == "<Tape: 6 steps, 2 inputs (x, y), 1 output>"


def test_one_line_a_step_and_every_label():
    def f(w, x):
        z = w[0] * x
        z.label = "z"
        return z + w[1] ** 2

    tape = tg.record(f, [2.0, 3.0], 4.0)
    lines = listing(tape).splitlines()
    assert len(lines) == len(tape) + 2
    for label in ("w[0]", "w[1]", "x", "z"):
        assert sum(f" {label} " in line for line in lines) == 1
    assert any(line.split()[1:3] == ["**2", "v1"] for line in lines)


def test_numbers_are_those_of_the_sweeps():
    tape = tg.record(lambda x, y: np.exp(x) / y - np.sin(x * y), 1.2, 0.7)
    primals, adjoints = tape.slots(1.2, 0.7), tape.adjoints(1.2, 0.7)
    for line, primal, adjoint in zip(
        listing(tape).splitlines()[1:-1], primals, adjoints, strict=True
    ):
        cells = line.split()
        assert np.isclose(float(cells[-2]), primal, rtol=1e-9, atol=0)
        assert np.isclose(float(cells[-1]), adjoint, rtol=1e-9, atol=0)


def test_guards_show_their_outcome_and_their_place():
    def f(x):
        return x * x if x > 1.0 else x

    tape = tg.record(f, 2.0)
    (line,) = (text for text in str(tape).splitlines() if " guard " in text)
    assert line.startswith("-")
    assert "v2 is True" in line
    assert "test_listing.py:" in line
    assert "1 guard>" in repr(tape)
    (comparison,) = (text for text in str(tape).splitlines() if " > " in text)
    assert comparison.split()[-1] == "True"


def test_without_an_example_there_are_no_numbers():
    lines = str(parse("x*y")).splitlines()
    assert lines[0].split() == ["slot", "operation", "operands", "shape", "label"]
    assert lines[-1] == "output: v2"


def test_several_outputs_have_primals_and_no_adjoints():
    lines = str(tg.record(lambda x: [x, x * 2.0], 3.0)).splitlines()
    assert lines[0].split()[-1] == "primal"
    assert lines[-1] == "outputs: v0, v2"


def test_sub_tapes_are_one_step_with_numbers():
    inner = tg.record(lambda x, y: [x * y, x + y], 1.0, 2.0)

    def f(t):
        product, total = inner(t, t * 2.0)
        return product * total

    tape = tg.record(f, 3.0)
    (line,) = (text for text in str(tape).splitlines() if " call " in text)
    assert "v3..v4" in line
    assert "18.0, 9.0" in line
    assert "9.0, 18.0" in line  # adjoints: each gets the other's value
    assert np.isclose(float(str(tape).splitlines()[1].split()[-1]), tape.gradient(3.0))


def test_long_tapes_show_head_and_tail():
    def chain(x):
        for _ in range(1_000):
            x = x * 1.5
        return x

    tape = tg.record(chain, 1e-9)
    lines = str(tape).splitlines()
    assert len(lines) == HEAD + TAIL + 3
    (cut,) = [line for line in lines if line.startswith("...")]
    assert cut == f"... {len(tape) - HEAD - TAIL:,} steps left out ..."
    assert lines.index(cut) == HEAD + 1
    assert lines[-2].startswith(f"v{tape.slot_count - 1}")


def test_edges_print_as_they_are():
    tape = tg.record(lambda x: np.log(x) / x, 0.0)
    assert "-inf" in str(tape)
    assert "nan" in str(tape.adjoint_tape()) or "inf" in str(tape.adjoint_tape())


def test_an_empty_tape_and_the_identity():
    identity = tg.record(lambda x: x, 2.0)
    assert len(str(identity).splitlines()) == 3
    assert repr(identity) == "<Tape: 1 step, 1 input (x), 1 output>"


def test_many_inputs_are_counted_not_listed():
    tape = tg.record(lambda xs: xs[0] * xs[39], [1.0] * 40)
    assert repr(tape).startswith("<Tape: ")
    assert "40 inputs (xs[0], " in repr(tape)
    assert "..., " not in repr(tape).split(")")[1]
    assert len(repr(tape)) < 120


def test_an_example_that_does_not_replay_is_no_error():
    def f(x):
        return x * x if x > 1.0 else x

    tape = dataclasses.replace(tg.record(f, 2.0), example=(0.5,))
    assert "primal" not in str(tape)


# -- arrays ------------------------------------------------------------------------


def layer(x, w):
    z = np.tanh(x @ w)
    z.label = "z"
    return np.sum(z[1:, ::-1] * np.array([1.0, 4.0]))


def test_the_list_of_a_tape_with_arrays():
    tape = tg.record(layer, np.array([[0.0, 1.0], [0.5, 0.0]]), np.eye(2))
    columns = [re.split(r"  +", line) for line in str(tape).splitlines()]
    assert columns == [
        ["slot", "operation", "operands", "shape", "label", "primal", "adjoint"],
        [
            "v0",
            "input",
            "(2, 2)",
            "x",
            "[[0.0, 1.0], [0.5, 0.0]]",
            "[[0.0, 0.0], [3.146, 1.0]]",
        ],
        [
            "v1",
            "input",
            "(2, 2)",
            "w",
            "[[1.0, 0.0], [0.0, 1.0]]",
            "[[1.573, 0.5], [0.0, 0.0]]",
        ],
        [
            "v2",
            "@",
            "v0, v1",
            "(2, 2)",
            "[[0.0, 1.0], [0.5, 0.0]]",
            "[[0.0, 0.0], [3.146, 1.0]]",
        ],
        [
            "v3",
            "tanh",
            "v2",
            "(2, 2)",
            "z",
            "[[0.0, 0.7616], [0.4621, 0.0]]",
            "[[0.0, 0.0], [4.0, 1.0]]",
        ],
        ["v4", "[1:, ::-1]", "v3", "(1, 2)", "[[0.0, 0.4621]]", "[[1.0, 4.0]]"],
        ["v5", "const", "[1.0, 4.0]", "(2,)", "[1.0, 4.0]"],
        ["v6", "*", "v4, v5", "(1, 2)", "[[0.0, 1.848]]", "[[1.0, 1.0]]"],
        ["v7", "sum", "v6", "()", "1.848468629", "1.0"],
        ["output: v7"],
    ]
    assert repr(tape) == ("<Tape: 8 steps, 2 inputs (x (2, 2), w (2, 2)), 1 output>")


def test_lines_are_aligned_and_short_whatever_the_size():
    x = np.linspace(0.0, 1.0, 10_000).reshape(100, 100)
    tape = tg.record(lambda x: np.sum(np.exp(x) @ x.T, axis=1).mean(), x)
    lines = str(tape).splitlines()
    assert max(map(len, lines)) < 140
    assert "[[0.0, 0.000100" not in lines[1]  # four digits
    assert "[[0.0, 0.0001 ... 1.0]]" in lines[1]
    ends = {line.rstrip()[-3:] for line in lines[1:-1]}
    assert all(end[-1] in "]0123456789" for end in ends)


def test_parameters_stand_among_the_operands():
    def f(x):
        y = x.astype(np.float32).std(axis=(0, 2), ddof=1)
        return np.cumsum(np.concatenate([y, y]), axis=0)

    text = str(tg.record(f, np.arange(12.0).reshape(2, 3, 2)))
    assert re.search(r"std +v1, axis=\(0, 2\), ddof=1 +\(3,\) float32", text)
    assert re.search(r"concatenate +v2, v2, axis=0 +\(6,\) float32", text)
    assert "adjoint" not in text  # an array has no single seed


def test_places_conditions_and_dtypes():
    def f(x, at):
        return np.sum(np.where(x[at] > 1.0, x[at], 0.0))

    text = str(tg.record(f, np.arange(3.0), np.array([2, 0])))
    assert re.search(r"input +\(2,\) int64 +at +\[2, 0\]\n", text)  # no adjoint
    assert re.search(r"\[\[\]\] +v0, v1 +\(2,\) +\[2.0, 0.0\]", text)
    assert re.search(r"> .*\(2,\) bool +\[True, False\]\n", text)


def test_a_step_of_several_slots_is_one_line():
    def f(a):
        w, v = np.linalg.eigh(a)
        return np.sum(w) + v[0, 0]

    line = next(x for x in str(tg.record(f, np.eye(2))).splitlines() if "eigh" in x)
    assert line.startswith("v1..v2")
    assert "(2,), (2, 2)" in line
    assert "[1.0, 1.0], [[1.0, 0.0], [0.0, 1.0]]" in line


def test_a_call_of_many_slots_is_cut():
    inner = tg.record(lambda x: [x * float(k) for k in range(20)], 1.0)
    text = str(tg.record(lambda x: sum(inner(x)), 2.0))
    assert "0.0, 2.0, ... (20 in all)" in text


def test_float32_outputs_have_adjoints():
    tape = tg.record(lambda x: np.sum(x * x), np.ones(2, np.float32))
    assert str(tape).splitlines()[1].endswith("[2.0, 2.0]")


def test_very_large_tapes_are_listed_without_a_replay(monkeypatch):
    monkeypatch.setattr("tapegrad.show.listing.REPLAYED_ENTRIES", 5)
    text = str(tg.record(lambda x: np.sum(x * x), np.ones(3)))
    assert "primal" not in text
    assert "(3,)" in text


def test_tapes_of_eager_arrays():
    x = tg.Value(np.array([1.0, 2.0]), label="x")
    (x * x).sum().backward()
    assert re.search(r"v0 .* x +\[1.0, 2.0\] +\[2.0, 4.0\]", str((x * x).sum().tape))
