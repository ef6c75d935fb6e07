"""Tapes that hold a user's primitive: digest, files, pickles, other processes."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
import textwrap

import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.rules import TABLE


def in_another_process(text, *words):
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADS = """
    import sys
    import pickle
    import numpy as np
    import sympy as sp
    import tapegrad as tg

    how, path, definition = sys.argv[1:]
    exec(definition)
    try:
        if how == "file":
            tape = tg.load(path)
        else:
            with open(path, "rb") as file:
                tape = pickle.load(file)
        print("loaded", tape.gradient(2.0, 0.5), tape.digest)
    except tg.TapegradError as problem:
        print(type(problem).__name__, problem)
"""
SAME = (
    "tg.primitive('t_decay', lambda x, y: x * np.exp(-y),"
    " partials=lambda m, v, x, y: (m.exp(-y), -v))"
)
OTHER = "tg.primitive('t_decay', lambda x, y: x * np.exp(-2 * y))"


@pytest.mark.parametrize("how", ["file", "pickle"])
def test_files_and_pickles_ask_for_the_definition(the, how, tmp_path):
    tape = tg.record(lambda x, y: the("decay")(x, y) * y, 2.0, 0.5)
    path = tmp_path / "tape"
    if how == "file":
        tape.save(path)
        assert tg.load(path) == tape
    else:
        path.write_bytes(pickle.dumps(tape))
        assert pickle.loads(path.read_bytes()) == tape
    told = in_another_process(LOADS, how, str(path), SAME)
    assert told.split() == [
        "loaded",
        *str(tape.gradient(2.0, 0.5)).split(),
        tape.digest,
    ]
    told = in_another_process(LOADS, how, str(path), "pass")
    assert told.startswith("TapeFormatError")
    assert "'t_decay' (x*exp(-y))" in told
    assert "not defined here" in told
    assert "run tg.primitive('t_decay', ...)" in told
    told = in_another_process(LOADS, how, str(path), OTHER)
    assert told.startswith("TapeFormatError")
    assert "is another one here (x*exp(-2*y))" in told


def test_a_primitive_pickles_by_name(the, tmp_path):
    path = tmp_path / "primitive"
    path.write_bytes(pickle.dumps(the("decay")))
    assert pickle.loads(path.read_bytes()) is the("decay")
    text = """
        import pickle, sys
        import tapegrad as tg
        import tapegrad.primitives
        try:
            pickle.load(open(sys.argv[1], "rb"))
        except tg.RecordError as problem:
            print(problem)
    """
    told = in_another_process(text, str(path))
    assert "'t_decay' (x*exp(-y)) is not defined in this process" in told


def test_the_definition_is_part_of_a_tapes_content(the, monkeypatch):
    before = tg.record(the("decay"), 2.0, 0.5).digest
    mine = TABLE["t_decay"]
    changed = dataclasses.replace(mine, digest="another")
    rows = [changed if row is mine else row for row in TABLE]
    monkeypatch.setattr(TABLE, "rows", rows)
    assert tg.record(the("decay"), 2.0, 0.5).digest != before


def test_inner_tapes_carry_their_definitions(the, tmp_path):
    f = the("decay")
    tape = tg.record(lambda x: tg.grad(lambda y: f(x, y))(0.5) * x, 2.0)
    tape.save(tmp_path / "nested")
    assert tg.load(tmp_path / "nested") == tape
    told = in_another_process(LOADS, "file", str(tmp_path / "nested"), "pass")
    assert "TapeFormatError" in told
    assert "'t_decay' (x*exp(-y)), which is not defined here" in told


def test_compiled_code_pickles(the):
    compiled = tg.record(the("decay"), 2.0, 0.5).compile()
    again = pickle.loads(pickle.dumps(compiled))
    assert again(2.0, 0.5) == compiled(2.0, 0.5)


def test_the_digest_is_of_the_content_alone():
    x, z = sp.symbols("x z")
    one = tg.primitive("t_named", sp.sin(x) / 2, [x])
    # another letter is the same function, and so is the same again
    assert tg.primitive("t_named", sp.sin(z) / 2, [z]) is one
    assert tg.primitive("t_other_name", sp.sin(x) / 2).digest == one.digest
    assert tg.primitive("t_third", sp.sin(x) / 3).digest != one.digest
    assert tg.primitive("t_bounded", sp.sin(x) / 2, domain=(0, 1)).digest != one.digest


def test_the_digest_covers_the_primitives_that_are_used(monkeypatch):
    f = tg.primitive("t_used", lambda x: x * x * x)
    one = tg.primitive("t_using", lambda x: f(x) + x)
    mine = TABLE["t_used"]
    changed = dataclasses.replace(mine, digest="another")
    monkeypatch.setattr(TABLE, "rows", [changed if r is mine else r for r in TABLE])
    with pytest.raises(tg.RecordError, match="defined already"):
        tg.primitive("t_using", lambda x: f(x) + x)
    monkeypatch.undo()
    assert tg.primitive("t_using", lambda x: f(x) + x) is one
