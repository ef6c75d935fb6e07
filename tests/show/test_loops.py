"""Loops that were found in steps, in lists, pictures, JSON and traces."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import ShapeError

SIZES = {"trips": 2, "steps": 4}


def chain(x, a):
    total = a
    for i in range(len(x) - 1):
        total = total * 0.5 + x[i + 1] * x[0]
    return total


def rows(m, v):
    total = 0.0
    for i in range(m.shape[0]):
        s = 0.0
        for j in range(m.shape[1]):
            s = s + m[i, j] * v[j]
        total = total + s * s
    return total


def kept(xs):
    squares = [x * x for x in xs]
    total = 0.0
    for x, square in zip(xs, squares, strict=True):
        total = total + square * x
    return total + squares[3]


def rolled(f, *args):
    return tg.record(f, *args, roll=False).rolled(**SIZES)


LINE = np.linspace(1.0, 2.0, 6)


def test_the_body_stands_below_its_loop():
    tape = rolled(chain, LINE, 3.0)
    lines = str(tape).splitlines()
    places = [place for place, line in enumerate(lines) if " loop " in line]
    assert len(places) == 1
    head = lines[places[0]]
    assert "5 times, i = 0 .. 4" in head
    body = [line.split() for line in lines if line.startswith("  a")]
    assert body[0][:5] == ["a0", "carried", "v1,", "then", body[-1][0]]
    assert ["[i", "+", "1]", "v0"] in [line[1:5] for line in body]
    assert body[-1][1] == "+"
    (last,) = [line for line in lines if " last " in line]
    assert last.split()[:3] == [head.split()[0], "last", body[-1][0]]
    assert float(last.split()[-2]) == pytest.approx(tape(LINE, 3.0))


def test_all_numbers_but_those_of_the_body_are_there():
    tape = rolled(chain, LINE, 3.0)
    adjoints = tape.adjoints(LINE, 3.0)
    for line in str(tape).splitlines()[1:-1]:
        if line.startswith("  ") or " loop " in line:
            assert "." not in line.replace("..", "").split("const")[0]
        elif line.startswith("v1 "):
            assert float(line.split()[-1]) == pytest.approx(adjoints[1])


def test_loops_in_loops_stand_further_in():
    tape = rolled(rows, np.ones((6, 5)), np.ones(5))
    text = str(tape)
    assert "6 times, i = 0 .. 5" in text
    assert "5 times, j = 0 .. 4" in text
    inner = [line.split() for line in text.splitlines() if line.startswith("    b")]
    assert ["[j]", "v1"] in [line[1:3] for line in inner]


def test_stacks_and_their_entries():
    lines = str(rolled(kept, LINE.tolist() * 4)).splitlines()
    (stack,) = [line.split() for line in lines if " stack " in line]
    entries = [line.split() for line in lines if f" {stack[0]} " in line]
    assert "[3]" in [line[1] for line in entries if line[2] == stack[0]]
    assert any("(24 in all)" in line for line in lines if " pack " in line)


def test_long_bodies_are_cut():
    def long(x):
        for i in range(8):
            for _ in range(60):
                x = np.sin(x) * float(i)
        return x

    lines = str(rolled(long, 0.5).rolled()).splitlines()
    assert len(lines) < 120


def test_the_headline_has_both_sizes():
    tape = rolled(chain, LINE, 3.0)
    raw = tape.unrolled()
    assert repr(tape).startswith(f"<Tape: {len(tape)} steps ({len(raw)} unrolled), ")
    assert "unrolled" not in repr(raw)
    far = tg.record(chain, np.ones(8_000), 1.0)
    assert "(about 40,000 unrolled)" in repr(far)


def test_a_picture_has_a_frame_for_each_loop():
    source = tg.draw(rolled(rows, np.ones((6, 5)), np.ones(5))).source
    assert source.count("subgraph") == 2
    assert "loop: 6 times, i = 0 .. 5" in source
    assert "loop: 5 times, j = 0 .. 4" in source
    assert source.count("dashed") == 2
    assert "[j]" in source
    edges = [line for line in source.splitlines() if "->" in line]
    nodes = {line.split()[0] for line in source.splitlines() if "[" in line}
    for edge in edges:  # nothing is drawn that is no node
        left, right = edge.split("[")[0].split("->")
        assert {left.strip(), right.strip()} <= nodes


def test_bodies_count_in_a_picture():
    rows = [np.sin, np.cos, np.tanh, np.square]
    order = np.random.default_rng(3).integers(0, 4, 2_500).tolist()

    def long(x):
        for _ in range(8):
            for k in order:
                x = rows[k](x)
        return x

    tape = tg.record(long, 0.5)
    assert len(tape) < 10
    with pytest.raises(ShapeError, match="shows nothing"):
        tg.draw(tape)
    assert len(str(tape).splitlines()) < 80


def test_traces_and_json_are_of_the_steps():
    tape = rolled(chain, LINE, 3.0)
    raw = tape.unrolled()
    assert str(tape.trace()) == str(raw.trace())
    assert json.loads(tape.to_json()) == json.loads(raw.to_json())
    long = tg.record(chain, np.ones(3_000), 1.0)
    with pytest.raises(ShapeError, match="about 15,000 steps, which is too long"):
        long.trace()


def test_json_of_very_long_loops_has_bodies():
    tape = tg.record(chain, np.ones(50_000), 1.0)
    (loop,) = [node for node in walked(json.loads(tape.to_json())) if "body" in node]
    assert loop["times"] == "49,999 times, i = 0 .. 49,998"
    body = loop["body"]
    ids = {node["id"] for node in body["nodes"]}
    assert ids.issuperset(body["inputs"] + body["outputs"])


def walked(node):
    nodes, found = [node], []
    while nodes:
        found.append(nodes.pop())
        nodes += found[-1].get("children", [])
    return found
