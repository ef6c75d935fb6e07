"""The command line with files: tapes, and points in CSV and NPY."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from typer.testing import CliRunner

import tapegrad as tg
from tapegrad.cli import app

SCRIPT = """
    import numpy as np

    def f(x, y):
        return (x**2 + y) ** 0.5

    def listed(w, x, *, power=2):
        return [w[0] * x**power, w[1] + x]

    def branch(x):
        return x * x if x > 1.0 else -x

    def total(a):
        return (a * a).sum()

    def product(A, x):
        return ((A @ x) ** 2).sum()

    def named(p):
        return p["a"] * p["b"][0]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(
        app, arguments, env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    )
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    return result.stdout


def figures(*arguments):
    return json.loads(run(*arguments, "--json"))


def refused(*arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return " ".join(result.stderr.split())


@pytest.fixture
def tape(folder):
    run("record", "script.py:f", "--at", "1.2,0.7", "-o", "tape.safetensors")
    (folder / "script.py").unlink()  # the tape needs it no longer
    return "tape.safetensors"


# -- record ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["record", "replay"])
def test_help_has_an_example(name):
    text = " ".join(run(name, "--help").replace("│", " ").split())
    assert f"Example: tapegrad {name}" in text
    assert "--json" in text
    assert f" {name} " in run("--help")


def test_record_writes_a_tape(folder):
    found = figures("record", "script.py:f", "--at", "1.2,y=0.7", "-o", "t.tape")
    assert found == {
        "file": "t.tape",
        "bytes": (folder / "t.tape").stat().st_size,
        "steps": 5,
        "slots": 5,
        "inputs": ["x", "y"],
        "outputs": 1,
        "guards": 0,
    }
    again = tg.load("t.tape")
    assert again(1.0, y=3.0) == 2.0
    assert again.example == (1.2, 0.7)
    assert run("record", "x*y", "--at", "1,2").startswith("recorded: tape.safetensors,")
    assert tg.load("tape.safetensors")(3.0, 4.0) == 12.0


def test_record_refuses(folder):
    assert "say where to record f" in refused("record", "script.py:f")
    message = refused("record", "script.py:f", "--at", "1,2", "-o", "no/t")
    assert "no/t: No such file" in message
    (folder / "two.csv").write_text("1,2\n3,4\n")
    assert "at one point, and there are 2" in refused(
        "record", "script.py:f", "--csv", "two.csv"
    )
    assert "give the points once" in refused(
        "record", "script.py:f", "--csv", "two.csv", "--at", "1,2"
    )


# -- a tape file as the target --------------------------------------------------------


def test_replay_and_gradient_of_a_file(tape):
    assert figures("replay", tape, "--at", "0,4") == {
        "at": {"x": 0.0, "y": 4.0},
        "value": 2.0,
    }
    found = figures("gradient", tape, "--at", "y=0.7,x=1.2")
    value = math.sqrt(1.2**2 + 0.7)
    assert math.isclose(found["gradient"]["x"], 1.2 / value, rel_tol=1e-14)
    assert repr(found["gradient"]["y"]) in run("gradient", tape, "--at", "1.2,0.7")
    assert "2.0" in run("replay", tape, "--at", "0,4")


def test_a_file_without_a_point_is_looked_at_where_it_was_recorded(tape):
    assert figures("replay", tape)["at"] == {"x": 1.2, "y": 0.7}
    assert figures("gradient", tape)["at"] == {"x": 1.2, "y": 0.7}


def test_show_and_draw_a_file(tape, folder):
    assert "1.2" in run("show", tape)
    assert "100.0" in run("show", tape, "--at", "100,0.7")
    assert "v0_bar" in run("show", tape, "--trace")
    run("draw", tape, "--out", "g.dot")
    assert (folder / "g.dot").read_text().startswith("digraph")


def test_nested_arguments_and_statics():
    run("record", "script.py:listed", "--at", "[2,3],4", "-o", "t.tape")
    found = figures("gradient", "t.tape", "--at", "[1,5],x=2")
    assert found["value"] == [4.0, 7.0]
    assert found["gradient"][0] == {"w[0]": 4.0, "w[1]": 0.0, "x": 4.0}
    assert "w takes 2 numbers" in refused("replay", "t.tape", "--at", "[1,2,3],4")
    tape = tg.record(lambda p, n: p["a"] * p["b"][0] * n, {"a": 1.0, "b": [2.0]}, 3)
    tape.save("d.tape")
    assert figures("replay", "d.tape", "--at", "p=[5,7]")["value"] == 105.0
    assert figures("replay", "d.tape", "--at", "[5,7],3")["value"] == 105.0
    assert "n is 3 in the recording" in refused("replay", "d.tape", "--at", "[5,7],4")


def test_arrays_in_a_file():
    tape = tg.record(lambda a, s: (a * a).sum() * s, np.ones((2, 2)), 2.0)
    tape.save("a.tape")
    found = figures("gradient", "a.tape", "--at", "[[1,2],[3,4]],3")
    assert found["value"] == 90.0
    assert found["gradient"] == {"a": [[6.0, 12.0], [18.0, 24.0]], "s": 30.0}
    text = run("gradient", "a.tape", "--at", "[[1,2],[3,4]],3")
    assert "[[6.0, 12.0], [18.0, 24.0]]" in text
    assert "a takes shape (2, 2)" in refused("replay", "a.tape", "--at", "[1,2],3")
    assert "a takes shape (2, 2)" in refused(
        "replay", "a.tape", "--at", "[[1],[2,3]],3"
    )


def test_whole_numbers_are_whole():
    tape = tg.record(lambda a, i: a[i].sum(), np.arange(3.0), np.array([0, 2]))
    tape.save("i.tape")
    assert figures("replay", "i.tape", "--at", "[1,2,4],[1,1]")["value"] == 4.0
    assert "i takes int64" in refused("replay", "i.tape", "--at", "[1,2,4],[1,0.5]")
    assert "out of bounds" in refused("replay", "i.tape", "--at", "[1,2,4],[1,3]")
    assert figures("gradient", "i.tape", "--at", "[1,2,4],[1,1]")["gradient"] == {
        "a": [0.0, 2.0, 0.0]
    }


def test_a_branch_that_flips_names_the_line(folder):
    run("record", "script.py:branch", "--at", "2", "-o", "b.tape")
    assert figures("replay", "b.tape", "--at", "3")["value"] == 9.0
    message = refused("replay", "b.tape", "--at", "0.5")
    assert "script.py:" in message
    (folder / "p.csv").write_text("3\n0.5\n")
    assert refused("replay", "b.tape", "--csv", "p.csv").startswith(
        "tapegrad: p.csv:2: step"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--at", "1"], "lacks a value for y"),
        (["--at", "1,2,3"], "3 numbers, the tape 2 arguments"),
        (["--at", "1,2,z=3"], "value for z"),
        (["--at", "1,[2]"], "y takes shape ()"),
        (["--at", "1,two"], "no number"),
    ],
)
def test_points_that_do_not_fit(tape, arguments, message):
    for command in ("replay", "gradient", "show"):
        assert message in refused(command, tape, *arguments)


def test_files_that_are_no_tapes(folder, tape):
    data = bytearray((folder / tape).read_bytes())
    data[len(data) // 2] ^= 4
    (folder / "bad.safetensors").write_bytes(data)
    assert "bad.safetensors: byte" in refused("replay", "bad.safetensors")
    (folder / "text.txt").write_text("hello, world, this is text")
    assert "text.txt: byte 0" in refused("show", "text.txt")
    assert "none.safetensors: No such file" in refused("gradient", "none.safetensors")
    assert "no ordinary file" in refused("show", "/dev/null")


# -- CSV ---------------------------------------------------------------------------


def test_points_from_csv(tape, folder):
    (folder / "p.csv").write_text("0,4\n\n3 , 16\r\n-1e0,inf\n")
    found = figures("replay", tape, "--csv", "p.csv")
    assert [row["value"] for row in found] == [2.0, 5.0, "inf"]
    assert found[2]["at"] == {"x": -1.0, "y": "inf"}
    text = run("replay", tape, "--csv", "p.csv")
    assert [line for line in text.splitlines() if "16.0" in line and "5.0" in line]
    (row, *_) = figures("gradient", tape, "--csv", "p.csv")
    assert row["gradient"] == {"x": 0.0, "y": 0.25}


def test_a_header_names_the_inputs_in_any_order(tape, folder):
    (folder / "p.csv").write_text('\ufeff"y",x\n4,0\n', encoding="utf-8")
    (row,) = figures("replay", tape, "--csv", "p.csv")
    assert row == {"at": {"x": 0.0, "y": 4.0}, "value": 2.0}


def test_csv_for_a_script_and_a_formula(folder):
    (folder / "p.csv").write_text("y,x\n4,0\n16,3\n")
    for target in ("script.py:f", "(x**2+y)**0.5"):
        found = figures("replay", target, "--csv", "p.csv")
        assert [row["value"] for row in found] == [2.0, 5.0]
        assert found[1]["at"] == {"x": 3.0, "y": 16.0}
    (folder / "q.csv").write_text("0,4\n")
    assert figures("gradient", "script.py:f", "--csv", "q.csv")[0]["value"] == 2.0


def test_csv_for_arrays(folder):
    tg.record(lambda a, s: (a * a).sum() * s, np.ones(2), 2.0).save("a.tape")
    (folder / "p.csv").write_text("s,a[1],a[0]\n3,2,1\n")
    (row,) = figures("replay", "a.tape", "--csv", "p.csv")
    assert row == {"at": {"a": [1.0, 2.0], "s": 3.0}, "value": 15.0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1,2\n3,four\n", "p.csv:2: column 2: 'four' is no number"),
        (b"1,2\n3,\n", "p.csv:2: column 2: an empty cell is no number"),
        (b"1,2\n3,4,5\n", "p.csv:2: this row has 3 cells, and 2 are needed"),
        (b"1\n", "p.csv:1: this row has 1 cells, and 2 are needed"),
        (b"x,z\n1,2\n", "p.csv:1: column 2: 'z' is no number and no name of an input"),
        (b"x,1\n1,2\n", "p.csv:1: column 1: 'x' is no number"),
        (b"x,x\n1,2\n", "p.csv:1: a name stands twice"),
        (b"x\n1\n", "p.csv:1: the header lacks y"),
        (b"x,y\n", "p.csv: the file holds no points"),
        (b"", "p.csv: the file holds no points"),
        (b'1,"2\n', "p.csv:1: this is no CSV"),
        (b"1,2\n\xff,3\n", "this is no text"),
        (b"1,2\n1_000,3\n", "p.csv:2: column 1: '1_000' is no number"),
        (b"1,2\n0x10,3\n", "p.csv:2: column 1: '0x10' is no number"),
        (b"1,__import__('os')\n", "column 2: \"__import__('os')\" is no number"),
        (b"\x93NUMPY\x01\x00", "no text"),
    ],
)
def test_bad_csv(tape, folder, text, message):
    (folder / "p.csv").write_bytes(text)
    for command in ("replay", "gradient"):
        assert message in refused(command, tape, "--csv", "p.csv")


def test_csv_that_is_not_there(tape):
    assert "none.csv: No such file" in refused("replay", tape, "--csv", "none.csv")


# -- NPY ---------------------------------------------------------------------------


def test_points_from_npy(tape):
    np.save("p.npy", np.array([[0, 4], [3, 16]]))
    found = figures("replay", tape, "--npy", "p.npy")
    assert [row["value"] for row in found] == [2.0, 5.0]
    for dtype in (np.float16, ">f8", "<f4", np.longdouble, ">i4", np.uint8):
        np.save("p.npy", np.array([0.0, 4.0], dtype))
        assert figures("replay", tape, "--npy", "p.npy")[0]["value"] == 2.0


def test_an_array_for_an_array():
    tg.record(lambda a: (a * a).sum(), np.ones((2, 2))).save("a.tape")
    np.save("p.npy", np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]))
    (row,) = figures("gradient", "a.tape", "--npy", "p.npy")
    assert row["value"] == 30.0
    assert row["gradient"] == {"a": [[2.0, 4.0], [6.0, 8.0]]}
    np.save("p.npy", np.ones((3, 2, 2)) * np.array([1, 2, 3])[:, None, None])
    found = figures("replay", "a.tape", "--npy", "p.npy")
    assert [row["value"] for row in found] == [4.0, 16.0, 36.0]
    np.save("p.npy", np.array([[1.0, 2, 3, 4], [0, 0, 0, 1]]))
    found = figures("replay", "a.tape", "--npy", "p.npy")
    assert [row["value"] for row in found] == [30.0, 1.0]


def test_a_script_takes_the_array_whole():
    np.save("p.npy", np.arange(4.0))
    run("record", "script.py:total", "--npy", "p.npy", "-o", "s.tape")
    assert tg.load("s.tape")(np.ones(4)) == 4.0
    assert figures("replay", "script.py:total", "--npy", "p.npy")[0]["value"] == 14.0


def test_arrays_by_name():
    np.save("A.npy", np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.save("x.npy", np.array([1.0, -1.0]))
    point = ("--at", "x=@x.npy,A=@A.npy")
    run("record", "script.py:product", *point, "-o", "p.tape")
    for target in ("p.tape", "script.py:product"):
        row = figures("gradient", target, *point)
        assert row["value"] == 2.0
        assert row["gradient"]["x"] == [-8.0, -12.0]
    assert "no.npy" in refused("replay", "p.tape", "--at", "x=@no.npy,A=@A.npy")


def test_bad_npy(tape, folder):
    def message():
        return refused("replay", tape, "--npy", "p.npy")

    np.save("p.npy", np.zeros((100, 2)))
    data = (folder / "p.npy").read_bytes()
    for end in (len(data) - 1, len(data) // 2, 128):
        (folder / "p.npy").write_bytes(data[:end])
        assert "p.npy: the file is truncated" in message()
    for end in (0, 3, 9, 40):
        (folder / "p.npy").write_bytes(data[:end])
        assert "p.npy: this is no NPY file" in message()
    vast = data.replace(b"(100, 2), }" + b" " * 10, b"(100" + b"0" * 10 + b", 2), }")
    assert len(vast) == len(data)
    (folder / "p.npy").write_bytes(vast)
    assert "truncated" in message()
    np.save("p.npy", np.array([1, "x", None], object), allow_pickle=True)
    assert "of dtype object, not of numbers" in message()
    np.save("p.npy", np.array(["1", "2"]))
    assert "not of numbers" in message()
    np.save("p.npy", np.array([1j, 2]))
    assert "not of numbers" in message()
    for shape in ((3,), (2, 3), (0, 2), (), (2, 2, 2)):
        np.save("p.npy", np.zeros(shape))
        assert f"holds an array of shape {shape}" in message()
    np.savez("p.npz", np.zeros(2))
    assert "no NPY file" in refused("replay", tape, "--npy", "p.npz")


def test_a_replay_loads_no_symbolic_library(tape):
    code = (
        f"import sys; sys.argv = ['tapegrad', 'replay', {tape!r}, '--at', '0,4']\n"
        "from tapegrad.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'sympy', 'mpmath', 'llvmlite', 'graphviz'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2.0" in done.stdout
