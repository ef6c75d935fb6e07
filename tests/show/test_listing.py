"""print(tape) and repr(tape)."""

from __future__ import annotations

import dataclasses

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
