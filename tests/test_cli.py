"""The command line: what it prints, its exit codes, and bad input of every kind."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

import tapegrad as tg
from tapegrad.cli import app
from tapegrad.cli.points import point
from tapegrad.errors import ParseError

COMMANDS = (
    *("derive", "record", "replay", "gradient", "show", "draw", "verify", "demo"),
    *("check", "rounding", "bench", "cache", "export"),
)

SCRIPT = """
    import sys
    import numpy as np
    from helper import scale

    print("imported: this goes to stderr, or no JSON could be read")

    def f(x, y):
        return scale * (x**2 + y) ** 0.5

    def listed(w, x):
        return [w[0] * x, w[1] + x]

    def branch(x):
        return x * x if x > 1.0 else -x

    def fails(x):
        raise ValueError("told you so")

    def stops(x):
        sys.exit(3)

    def constant(x):
        return "text"

    number = 5
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    (tmp_path / "helper.py").write_text("scale = 1.0\n")
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    (tmp_path / "broken.py").write_text("def f(x:\n")
    (tmp_path / "raising.py").write_text("x = 1\nraise RuntimeError('no')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(
        app, arguments, env={"COLUMNS": "120", "NO_COLOR": "1", "TERM": "dumb"}
    )
    assert result.exit_code == code, (result.output, result.stderr, result.exception)
    if code == 2:
        assert not isinstance(result.exception, Exception)
        assert "Traceback" not in result.output
    return result.stdout


def refused(*arguments):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    return result.stderr


def figures(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code))


def command(*arguments, where):
    """A real process, as a shell would start it."""
    return subprocess.run(
        [sys.executable, "-m", "tapegrad", *arguments],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
    )


# -- help --------------------------------------------------------------------------


def test_help_lists_every_command():
    text = run("--help")
    assert all(f" {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name):
    text = " ".join(run(name, "--help").replace("│", " ").split())
    assert f"Example: tapegrad {name}" in text
    assert run(name, "-h") == run(name, "--help")


@pytest.mark.parametrize("name", [n for n in COMMANDS if n not in {"draw", "export"}])
def test_every_command_with_figures_has_json(name):
    assert "--json" in run(name, "--help")


def test_gradient_says_that_it_runs_the_script():
    assert "imported, so its code runs" in " ".join(
        run("gradient", "--help").replace("│", " ").split()
    )


def test_version():
    import tapegrad

    assert run("--version") == f"tapegrad {tapegrad.__version__}\n"


def test_no_command_is_a_wrong_call():
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 2
    assert "Usage" in result.output


# -- derive ------------------------------------------------------------------------


def test_derive():
    text = run("derive", "x*tanh(y)+exp(x)**2", "--wrt", "x,y", "--at", "x=1,y=2")
    assert "f = x*tanh(y) + exp(2*x)" in text
    (row,) = (line for line in text.splitlines() if "df/dy" in line)
    _, name, closed, tape, value, difference, _ = (c.strip() for c in row.split("│"))
    assert (name, closed) == ("df/dy", "x/cosh(y)**2")
    assert math.isclose(float(tape), 1 / math.cosh(2) ** 2, rel_tol=1e-14)
    assert math.isclose(float(tape), float(value), rel_tol=1e-14)
    assert abs(float(difference)) < 1e-15


def test_derive_json():
    found = figures("derive", "x*tanh(y)", "--wrt", "y", "--at", "x=1,y=2")
    assert found["ok"]
    assert found["at"] == {"x": 1.0, "y": 2.0}
    (row,) = found["derivatives"]
    assert (row["wrt"], row["closed"]) == (["y"], "x/cosh(y)**2")
    assert math.isclose(row["tape"], row["closed_value"], rel_tol=1e-14)


def test_derive_second_order_of_all_names():
    found = figures("derive", "x**2*y", "--order", "2", "--at", "x=3,y=5")
    assert [(r["name"], r["closed"], r["tape"]) for r in found["derivatives"]] == [
        ("d2f/dxdx", "2*y", 10.0),
        ("d2f/dxdy", "2*x", 6.0),
        ("d2f/dydx", "2*x", 6.0),
        ("d2f/dydy", "0", 0.0),
    ]


def test_derive_latex():
    text = run("derive", "x*tanh(y)", "--wrt", "y", "--latex", "--at", "x=1,y=0")
    assert text.splitlines() == [
        r"f = x \tanh{\left(y \right)}",
        r"\frac{\partial f}{\partial y} = \frac{x}{\cosh^{2}{\left(y \right)}}",
        "% tape 1.0, closed form 1.0",
    ]


def test_derive_latex_of_second_order_is_a_matrix():
    text = run("derive", "x^2*y", "--order", "2", "--latex")
    assert text.splitlines()[1] == (
        r"\frac{\partial^{2} f}{\partial \left(x, y\right)^{2}} = "
        r"\left[\begin{matrix}2 y & 2 x\\2 x & 0\end{matrix}\right]"
    )


def test_derive_without_a_point_has_no_numbers():
    text = run("derive", "x**2")
    assert "2*x" in text
    assert "tape" not in text


def test_formulas_may_begin_with_a_minus():
    assert figures("derive", "-x**2+y", "--at", "x=-3,y=1")["value"] == -8.0
    assert figures("gradient", "-x*y", "--at", "-1,2")["gradient"] == {
        "x": -2.0,
        "y": 1.0,
    }


@pytest.mark.usefixtures("script")
def test_brackets_in_titles_are_no_markup():
    assert "script.py:f" in run("gradient", "script.py:f", "--at", "1,2")
    assert "[bold]" not in run("derive", "x")


def test_derive_ends_with_one_when_the_ways_disagree(monkeypatch):
    from tapegrad.symbolic import derive as module

    monkeypatch.setattr(module, "_swept", lambda *a: {("x",): 7.0})
    assert not figures("derive", "x**2", "--at", "x=3", code=1)["ok"]
    assert "7.0" in run("derive", "x**2", "--at", "x=3", code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["__import__('os')"], "unknown function '__import__'"),
        (["x.y"], "column 1: attribute access"),
        (["("], "not an expression"),
        (["(" * 5000], "nested more than"),
        ([""], "empty"),
        (["x", "--order", "3"], "order 1 and 2"),
        (["x", "--order", "two"], "Invalid value"),
        (["x*y", "--at", "x=1"], "lacks a value for y"),
        (["x", "--at", "x=1,y=2"], "values for y"),
        (["x", "--at", "1"], "write the point with names"),
        (["x", "--at", "x=[1,2]"], "write the point with names"),
        (["x", "--at", "x=one"], "'one' is no number"),
        (["x", "--at", "x=1,x=2"], "x is given twice"),
        (["x", "--wrt", "x y"], "not a name"),
        (["x", "--ordr", "2"], "unexpected extra argument"),
        ([], "Missing argument"),
    ],
)
def test_derive_refuses(arguments, message):
    assert message in " ".join(refused("derive", *arguments).replace("│", " ").split())


# -- gradient ----------------------------------------------------------------------


@pytest.mark.usefixtures("script")
def test_gradient_of_a_script():
    found = figures("gradient", "script.py:f", "--at", "1.2,0.7")
    value = math.sqrt(1.2**2 + 0.7)
    assert found["at"] == {"x": 1.2, "y": 0.7}
    assert math.isclose(found["value"], value, rel_tol=1e-15)
    assert math.isclose(found["gradient"]["x"], 1.2 / value, rel_tol=1e-14)
    assert math.isclose(found["gradient"]["y"], 0.5 / value, rel_tol=1e-14)
    text = run("gradient", "script.py:f", "--at", "y=0.7,x=1.2")
    assert repr(found["gradient"]["y"]) in text


@pytest.mark.usefixtures("script")
def test_gradient_of_a_function_with_lists():
    found = figures("gradient", "script.py:listed", "--at", "[2,3],x=4")
    assert found["value"] == [8.0, 7.0]
    assert found["gradient"] == [
        {"w[0]": 4.0, "w[1]": 0.0, "x": 2.0},
        {"w[0]": 0.0, "w[1]": 1.0, "x": 1.0},
    ]
    assert "w[1]" in run("gradient", "script.py:listed", "--at", "[2,3],4")


def test_gradient_at_infinities_is_json():
    assert figures("gradient", "log(x)", "--at", "0")["value"] == "-inf"


def test_gradient_of_a_script_elsewhere(script, monkeypatch):
    monkeypatch.chdir("/")
    assert figures("gradient", f"{script}/script.py:f", "--at", "0,4")["value"] == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.py:f", "--at", "1"], "there is no script 'nowhere.py'"),
        (["script.py:g", "--at", "1"], "no function 'g'; its functions: f, listed"),
        (["script.py:number", "--at", "1"], "no function 'number'"),
        (["script.py", "--at", "1"], "write script.py:f"),
        (["script.py:f"], "--at 1.2,0.7"),
        (["script.py:f", "--at", "1"], "missing 1 required positional argument"),
        (["script.py:f", "--at", "1,2,3"], "takes 2 positional arguments"),
        (["script.py:f", "--at", "1,z=3"], "unexpected keyword"),
        (["script.py:f", "--at", "x=1,2"], "without a name come first"),
        (["script.py:f", "--at", "1,,2"], "'' is no number"),
        (["script.py:f", "--at", "[1,2"], "is no number"),
        (["script.py:f", "--at", "[1,true]"], "is no number"),
        (["script.py:f", "--at", "__import__('os')"], "is no number"),
        (["script.py:fails", "--at", "1"], "ValueError: told you so"),
        (["script.py:stops", "--at", "1"], "SystemExit: 3"),
        (["script.py:constant", "--at", "1"], "text"),
        (["broken.py:f", "--at", "1"], "broken.py:1"),
        (["raising.py:f", "--at", "1"], "raising.py:2: RuntimeError: no"),
        (["x*y", "--at", "1"], "lacks a value for y"),
        (["x*y", "--at", "1,2,3"], "3 numbers, the tape 2 arguments"),
        (["x*y", "--at", "x=1,z=2,y=3"], "value for z"),
        (["x*y", "--at", "[1],2"], "x takes shape ()"),
        (["foo(x)", "--at", "1"], "unknown function"),
    ],
)
@pytest.mark.usefixtures("script")
def test_gradient_refuses(arguments, message):
    assert message in " ".join(refused("gradient", *arguments).split())


@pytest.mark.usefixtures("script")
def test_what_a_script_prints_goes_to_stderr():
    result = CliRunner().invoke(app, ["show", "script.py:f", "--at", "1,2"])
    assert "imported" in result.stderr
    assert "imported" not in result.stdout


def test_an_error_in_the_script_names_its_line(script):
    lines = (script / "script.py").read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if "told you so" in text)
    assert f"script.py:{line}: ValueError" in refused(
        "gradient", "script.py:fails", "--at", "1"
    )


# -- show, draw --------------------------------------------------------------------


@pytest.mark.usefixtures("script")
def test_show():
    lines = run("show", "script.py:branch", "--at", "2").splitlines()
    assert lines[0].split()[-2:] == ["primal", "adjoint"]
    assert any("script.py:" in line and "guard" in line for line in lines)
    assert run("show", "x*y", "--at", "1,2").splitlines()[-1] == "output: v2"


@pytest.mark.usefixtures("script")
def test_show_traces_and_json():
    assert "v0_bar += v2_bar * 3.0 = 3.0" in run(
        "show", "x*y", "--at", "2,3", "--trace"
    )
    assert "v0_bar += v2_bar * v1 = 3.0" in run(
        "show", "x*y", "--at", "2,3", "--symbolic"
    )
    assert figures("show", "x*y", "--at", "2,3")["value"] == 6.0


def test_draw_writes_the_source_without_dot(script, monkeypatch):
    monkeypatch.setenv("PATH", "")
    text = run("draw", "script.py:f", "--at", "1,2", "--out", "g.dot")
    assert text == "drawn: g.dot\n"
    assert (script / "g.dot").read_text().startswith("digraph")
    message = refused("draw", "script.py:f", "--at", "1,2", "--out", "g.svg")
    assert "apt install graphviz" in message


@pytest.mark.usefixtures("dot")
def test_draw_writes_a_picture(script):
    run("draw", "x*tanh(y)", "--at", "1,2", "--out", "g.svg")
    assert "<svg" in (script / "g.svg").read_text()


@pytest.mark.usefixtures("script")
def test_draw_refuses():
    assert "no picture format" in refused("draw", "x", "--at", "1", "--out", "g.xyz")
    assert "cannot write" in refused(
        "draw", "x", "--at", "1", "--out", "no/folder/g.dot"
    )


# -- verify, demo ------------------------------------------------------------------


def test_verify_of_one_row():
    found = figures("verify", "mul", "--points", "5")
    assert found["ok"]
    assert {row["primitive"] for row in found["rows"]} == {"mul"}
    assert "proved" in run("verify", "neg", "--points", "5", "--orders", "1")
    assert run("verify", "neg", "--points", "5", "--markdown").startswith("| primitive")


def test_verify_ends_with_one_when_a_check_fails(monkeypatch):
    """Planted: a wrong sign in a row."""
    import dataclasses

    from tapegrad.rules import TABLE

    right = TABLE["cos"]
    wrong = dataclasses.replace(right, partials=lambda m, y, x: (m.sin(x),))
    rows = [wrong if row is right else row for row in TABLE.rows]
    monkeypatch.setattr(TABLE, "rows", rows)
    found = figures("verify", "cos", "--points", "5", code=1)
    assert not found["ok"]
    assert any(row["status"] == "refuted" for row in found["rows"])


def test_verify_refuses():
    assert "no primitive 'cosine'" in refused("verify", "cosine")
    assert "Invalid value" in refused("verify", "cos", "--points", "0")


def test_cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TAPEGRAD_CACHE", str(folder))
    tg.compile(lambda x: x * x, 2.0).value(3.0)
    kept = len(list(folder.iterdir()))
    assert kept >= 1
    found = figures("cache")
    assert (found["folder"], found["files"], found["removed"]) == (str(folder), kept, 0)
    assert found["bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    lines = run("cache").splitlines()
    assert lines[0] == str(folder)
    assert lines[1].startswith(f"{kept} files, ")
    assert f"; {kept} removed" in run("cache", "--clear")
    assert list(folder.iterdir()) == []
    monkeypatch.setenv("TAPEGRAD_CACHE", "0")
    assert run("cache") == "off: TAPEGRAD_CACHE=0\n"
    assert figures("cache", "--clear")["off"] == "off: TAPEGRAD_CACHE=0"


def test_demo_passes_its_report_on(monkeypatch, tmp_path):
    from tapegrad import demo

    asked = {}

    class Report:
        ok = False

        def to_json(self):
            return {"ok": self.ok}

    def pretend(picture="default", *, console):
        asked.update(picture=picture, quiet=console.quiet)
        return Report()

    monkeypatch.setattr(demo, "run", pretend)
    assert figures("demo", "--out", str(tmp_path / "p.svg"), code=1) == {"ok": False}
    assert asked == {"picture": tmp_path / "p.svg", "quiet": True}
    monkeypatch.setattr(Report, "ok", True)
    assert run("demo") == ""
    assert asked == {"picture": "default", "quiet": False}


# -- points ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("", [], {}),
        ("1.2,-0.7", [1.2, -0.7], {}),
        (" 1 , 2e3 ", [1.0, 2000.0], {}),
        ("x=1,y=-2", [], {"x": 1.0, "y": -2.0}),
        ("1,y=2", [1.0], {"y": 2.0}),
        ("[1,[2,3]],4", [[1.0, [2.0, 3.0]], 4.0], {}),
        ("w=[1,2],x=inf", [], {"w": [1.0, 2.0], "x": math.inf}),
    ],
)
def test_points(text, args, kwargs):
    assert point(text) == (args, kwargs)


@pytest.mark.parametrize(
    "text", ["a", "1,", "[", "]", "{}", "'1'", "1=2", "x==1", "[" * 9999]
)
def test_bad_points(text):
    with pytest.raises(ParseError):
        point(text)


# -- as a process ------------------------------------------------------------------


def test_a_real_process(script):
    done = command("derive", "x*y", "--at", "x=2,y=3", where=script)
    assert done.returncode == 0, done.stderr
    assert "df/dx" in done.stdout
    assert done.stderr == ""
    piped = done.stdout.splitlines()
    assert len({len(line) for line in piped if line.startswith(("┏", "│", "└"))}) == 1


def test_a_real_process_that_is_called_wrongly(script):
    for arguments in (
        ["derive", "__import__('os').system('touch run')"],
        ["derive", "-" * 9_000 + "x"],
        ["gradient", "missing.py:f", "--at", "1"],
        ["gradient", "broken.py:f", "--at", "1"],
        ["frobnicate"],
    ):
        done = command(*arguments, where=script)
        assert done.returncode == 2, (arguments, done)
        assert done.stdout == ""
        assert done.stderr
        assert "Traceback" not in done.stderr
    assert not (script / "run").exists()


def test_help_does_not_load_what_it_does_not_need():
    code = (
        "import sys; sys.argv = ['tapegrad', '--help']\n"
        "from tapegrad.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'sympy', 'mpmath', 'llvmlite', 'graphviz', 'scipy'}\n"
        "heavy &= set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout


def test_a_picture_that_cannot_be_written_is_a_message():
    result = CliRunner().invoke(app, ["demo", "--out", "/proc/nowhere/x.svg"])
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
    assert "Traceback" not in result.stderr


def test_bench_prints_figures_beside_others():
    found = json.loads(run("bench", "--quick", "--json"))
    assert all(each["seconds"] > 0.0 for each in found)
    assert sum(each["ratio"] is not None for each in found) == 3
    assert "NumPy, gradient by hand" in run("bench", "--quick")
