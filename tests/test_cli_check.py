"""The commands that judge a function: check, rounding."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
from typer.testing import CliRunner

import tapegrad as tg
from tapegrad.cli import app

SCRIPT = """
    import random
    import numpy as np
    import tapegrad as tg

    print("imported")

    def f(x, y):
        print("called")
        return (x**2 + y) ** 0.5

    def lost(x):
        return x * tg.Value(x._data)

    def several(w, x):
        return [w[0] * x, w[1] + x]

    def noisy(x):
        return x * random.random()

    def kink(x):
        return abs(x)

    def total(a):
        return np.sum(a * a)

    def complex_valued(x):
        return x * 1j

    def fails(x):
        raise ValueError("told you so")

    def quadratic(a, b, c):
        d = b * b - 4.0 * a * c
        r = np.sqrt(d)
        return (-b + r) / (2.0 * a)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*args):
    return CliRunner().invoke(app, [*map(str, args)])


@pytest.mark.usefixtures("script")
def test_a_right_gradient_ends_with_0():
    done = run("check", "script.py:f", "--at", "1.2,0.7", "--order", 1)
    assert done.exit_code == 0, done.output
    for word in ("reverse", "forward", "mpmath", "SymPy", "differences"):
        assert word in done.stdout
    assert "2 derivatives, 0 in doubt" in done.stdout
    assert "called" not in done.stdout


@pytest.mark.usefixtures("script")
def test_orders_names_and_json():
    done = run("check", "script.py:f", "--at", "x=1.2,y=0.7", "--order", 2, "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["ok"] is True
    labels = [row["derivative"] for row in found["rows"]]
    assert labels == ["x", "y", "x, x", "x, y", "y, x", "y, y"]
    third = run("check", "script.py:f", "--at", "1.2,0.7", "--order", 3, "--json")
    assert len(json.loads(third.stdout)["rows"]) == 14


@pytest.mark.usefixtures("script")
def test_a_lost_derivative_ends_with_1():
    done = run("check", "script.py:lost", "--at", "3")
    assert done.exit_code == 1
    assert "1 in doubt" in done.stdout
    found = json.loads(run("check", "script.py:lost", "--at", "3", "--json").stdout)
    assert found["rows"][0]["disagrees"] == "differences"


def test_formulas_tape_files_and_points_in_files(script):
    done = run("check", "x*tanh(y)", "--at", "x=1,y=2", "--order", 2)
    assert done.exit_code == 0
    assert "x, y" in done.stdout
    tg.record(lambda a, b: a * b, 2.0, 3.0).save(script / "t.safetensors")
    filed = run("check", "t.safetensors")
    assert filed.exit_code == 0
    assert " a " in filed.stdout
    (script / "points.csv").write_text("x,y\n1,2\n3,4\n")
    many = run("check", "script.py:f", "--csv", "points.csv", "--json")
    assert [report["ok"] for report in json.loads(many.stdout)] == [True, True]
    np.save(script / "a.npy", np.arange(4.0))
    array = run("check", "script.py:total", "--npy", "a.npy", "--json", "--order", 1)
    assert len(json.loads(array.stdout)[0]["rows"]) == 4
    nested = run(
        "check", "script.py:several", "--at", "[1,2],3", "--json", "--order", 1
    )
    assert len(json.loads(nested.stdout)["rows"]) == 6


@pytest.mark.usefixtures("script")
def test_a_kink_is_said():
    done = run("check", "script.py:kink", "--at", "0")
    assert done.exit_code == 0
    assert "a kink: slope -1 from the left and 1 from the right" in done.stdout


@pytest.mark.usefixtures("script")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("script.py:noisy", "--at", "1"),
            r"script\.py:19\); the function reads a random",
        ),
        (("script.py:complex_valued", "--at", "1"), "complex"),
        (("script.py:fails", "--at", "1"), "ValueError: told you so"),
        (("script.py:f",), "say where to record f"),
        (("script.py:g", "--at", "1"), "no function 'g'"),
        (("script.py:f", "--at", "1"), "TypeError"),
        (("script.py:f", "--at", "1,2", "--rtol", "1e-20"), "cannot be met"),
        (("script.py:f", "--at", "1,2", "--csv", "x.csv"), "points once"),
        (("script.py:f", "--at", "1,2", "--order", "4"), "order"),
        (("nothing.py:f", "--at", "1"), "no script"),
        (("x*y", "--at", "x=1"), "lacks a value for y"),
    ],
)
def test_bad_calls_end_with_2(args, words):
    import re

    done = run("check", *args)
    assert done.exit_code == 2, done.output
    assert re.search(words, done.stderr)
    assert "Traceback" not in done.output


@pytest.mark.usefixtures("script")
def test_rounding_by_source_line():
    done = run("rounding", "script.py:quadratic", "--at", "1,1e8,1")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    top = next(line for line in lines if "script.py:" in line)
    assert "r = np.sqrt(d)" in top
    assert "first order sees it" in done.stdout
    found = json.loads(
        run("rounding", "script.py:quadratic", "--at", "1,1e8,1", "--json").stdout
    )
    assert found["ok"] is True
    assert found["lines"][0]["code"] == "r = np.sqrt(d)"
    single = run("rounding", "exp(x)-1", "--at", "x=1e-3", "--float32")
    assert single.exit_code == 0
    assert "true error" in single.stdout
    assert run("rounding", "script.py:fails", "--at", "1").exit_code == 2
