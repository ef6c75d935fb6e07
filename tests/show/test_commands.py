"""tapegrad show and draw on tape files with arrays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import tapegrad as tg
from tapegrad.cli import app


@pytest.fixture
def file(tmp_path):
    def f(x, at):
        z = np.tanh(x @ x.T)
        z.label = "z"
        return np.sum(z[at, ::-1] ** 2)

    path = tmp_path / "t.tape"
    tg.record(f, np.arange(6.0).reshape(2, 3), np.array([1, 1])).save(path)
    return path


def run(*args):
    done = CliRunner().invoke(app, list(map(str, args)))
    assert done.exit_code == 0, done.output
    return done.output


def test_show_lists_the_arrays_of_a_file(file):
    text = run("show", file)
    assert text.strip() == str(tg.load(file))
    assert "[[0.0, 1.0 ... 5.0]]" in text
    assert "(2,) int64" in text
    assert "[[], ::-1]" in text


def test_show_traces_the_arrays_of_a_file(file):
    text = run("show", file, "--symbolic")
    assert "v0_bar += v3_bar @ v2.T" in text
    assert "v4_bar[v1, ::-1] += v5_bar" in text


def test_show_json(file):
    node = json.loads(run("show", file, "--json"))
    assert node["children"][0]["shape"] == [2, 2]


@pytest.mark.usefixtures("dot")
def test_draw_a_file_with_arrays(file, tmp_path):
    for name in ("t.svg", "t.dot"):
        run("draw", file, "--out", tmp_path / name)
    assert "z | (2, 2) | { data [[" in (tmp_path / "t.dot").read_text()
    assert "(2, 3)" in (tmp_path / "t.svg").read_text().replace("&#160;", " ")
