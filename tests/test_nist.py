"""Certified least-squares problems: NIST's parameters to at least six digits."""

from __future__ import annotations

import io
import json
import math
import runpy
from dataclasses import replace
from pathlib import Path
from shutil import which

import numpy as np
import pytest
from rich.console import Console

import tapegrad as tg
from tapegrad import demo
from tapegrad.demo import figures
from tapegrad.errors import DomainError, ShapeError

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
FILES = {"Thurber": 7, "Misra1a": 2, "MGH09": 4, "Hahn1": 7}
OBSERVATIONS = {"Thurber": 37, "Misra1a": 14, "MGH09": 11, "Hahn1": 236}


def model_of(name: str) -> demo.Model:
    """The model as the example of that name states it."""
    found: demo.Model = runpy.run_path(str(EXAMPLES / f"{name.lower()}.py"))["model"]
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_read_in_full(name: str) -> None:
    problem = demo.read_problem(name)
    assert problem.name == name
    assert len(problem.certified) == FILES[name]
    assert [len(start) for start in problem.starts] == [FILES[name]] * 2
    assert len(problem.x) == len(problem.y) == OBSERVATIONS[name]
    # The certified parameters give the certified sum only if the data are right too.
    model = model_of(name)
    pairs = zip(problem.x, problem.y, strict=True)
    total = math.fsum((float(model(x, *problem.certified)) - y) ** 2 for x, y in pairs)
    assert total == pytest.approx(problem.residual_sum, rel=1e-9)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", FILES)
def test_certified_parameters_are_found(name: str, start: int) -> None:
    problem = demo.read_problem(name)
    fit = demo.fit(problem, model_of(name), start)
    assert min(fit.digits) >= 6, fit
    assert fit.residual_sum == pytest.approx(problem.residual_sum, rel=1e-8)


@pytest.mark.parametrize("name", FILES)
def test_the_jacobian_is_exact(name: str) -> None:
    """Against complex steps through the plain function: no difference to cancel."""
    problem = demo.read_problem(name)
    model = model_of(name)
    point = problem.starts[1]
    tape = tg.record(lambda *b: [model(x, *b) for x in problem.x], *point)
    h = 1e-200
    expected = [
        [
            (model(x, *point[:i], complex(b, h), *point[i + 1 :])).imag / h
            for i, b in enumerate(point)
        ]
        for x in problem.x
    ]
    np.testing.assert_allclose(np.array(tape.jacobian(*point)), expected, rtol=1e-11)


def test_a_wrong_certified_value_is_noticed() -> None:
    problem = demo.read_problem("Misra1a")
    b1, b2 = problem.certified
    fit = demo.fit(problem, model_of("Misra1a"))
    damaged = replace(problem, certified=(b1 * (1 + 1e-5), b2))
    off = replace(fit, problem=damaged)
    assert min(off.digits) < 6 <= min(fit.digits)


@pytest.mark.parametrize(
    ("found", "certified", "digits"),
    [(1.0, 1.0, 11.0), (1.01, 1.0, 2.0), (-1.0, 1.0, -0.30103), (2e-7, 1e-7, 0.0)],
)
def test_matching_digits(found: float, certified: float, digits: float) -> None:
    assert demo.matching_digits(found, certified) == pytest.approx(digits)


def test_a_fit_that_is_nan_matches_nothing() -> None:
    assert demo.matching_digits(math.nan, 1.0) == -math.inf


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    text = (demo.data_folder() / "Misra1a.dat").read_text()
    short = tmp_path / "short.dat"
    short.write_text("\n".join(text.rstrip().splitlines()[:-1]))
    with pytest.raises(ShapeError, match=r"14 observations .* holds 13 rows"):
        demo.read_problem(short)
    other = tmp_path / "other.dat"
    other.write_text("something else\n")
    with pytest.raises(ShapeError, match="not a nonlinear-regression file"):
        demo.read_problem(other)
    with pytest.raises(FileNotFoundError):
        demo.read_problem("NoSuchProblem")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> demo.Report:
    """One quiet run of the whole demonstration."""
    target = tmp_path_factory.mktemp("demo") / "made" / "tape.svg"
    return demo.run(target, console=Console(quiet=True))


def test_the_demonstration_agrees(report: demo.Report) -> None:
    assert report.ok
    assert [fit.start for fit in report.fits] == [0, 1]
    assert all(min(fit.digits) >= 6 for fit in report.fits)
    assert [check.name for check in report.checks] == [
        "x", *(f"b{i}" for i in range(1, 8))
    ]  # fmt: skip
    assert all(max(check.apart) < 1e-13 for check in report.checks)
    assert set(report.derivatives) == {check.name for check in report.checks}


def test_the_demonstration_writes_its_picture(report: demo.Report) -> None:
    text = report.picture.read_text(encoding="utf-8")
    assert "exp" in text
    assert "b2" in text
    assert report.picture.suffix == (".svg" if which("dot") else ".dot")


def test_without_dot_the_source_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(figures, "which", lambda _: None)
    path = figures.draw_small_tape(tmp_path / "tape.svg")
    assert path == tmp_path / "tape.dot"
    assert path.read_text(encoding="utf-8").startswith("digraph")


@pytest.mark.skipif(not which("dot"), reason="needs the program `dot` of Graphviz")
@pytest.mark.parametrize(
    ("name", "magic"), [("t.svg", b"<?xml"), ("t.png", b"\x89PNG"), ("t.pdf", b"%PDF")]
)
def test_the_name_says_the_kind_of_picture(
    name: str, magic: bytes, tmp_path: Path
) -> None:
    path = figures.draw_small_tape(tmp_path / name)
    assert path == tmp_path / name
    assert path.read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["picture", "picture.xyz", "picture.SVG.gz"])
def test_an_unknown_kind_of_picture_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DomainError, match=r"end in one of \.svg"):
        demo.run(tmp_path / name, console=Console(quiet=True))
    assert list(tmp_path.iterdir()) == []


def test_the_figures_are_json(report: demo.Report) -> None:
    again = json.loads(json.dumps(report.to_json()))
    assert again["ok"] is True
    assert len(again["fits"]) == 2
    assert min(again["fits"][0]["digits"]) >= 6
    assert set(again["seconds_per_gradient"][0]) == {
        "of",
        "interpreter",
        "native",
        "relative_difference",
    }


def test_a_wrong_derivative_fails_the_demonstration(report: demo.Report) -> None:
    first, *others = report.checks
    for wrong in (
        replace(first, tape=first.tape * (1 + 1e-9)),
        replace(first, mpmath=-first.mpmath),
        replace(first, sympy=math.nan),
        replace(first, mpmath=math.nan),
    ):
        assert not replace(report, checks=(wrong, *others)).ok
    time, *others = report.timings
    for apart in (1e-9, math.nan):
        wrong = replace(time, apart=apart)
        assert not replace(report, timings=(wrong, *others)).ok
    fit = report.fits[0]
    off = replace(fit, found=(fit.found[0] * (1 + 1e-5), *fit.found[1:]))
    assert not replace(report, fits=(off,)).ok


def test_the_demonstration_prints_its_story(tmp_path: Path) -> None:
    console = Console(record=True, width=80, file=io.StringIO())
    demo.run(tmp_path / "tape.svg", console=console)
    text = console.export_text()
    for words in ("dy/db7 =", "1.2881396800e+03", "digits", "native", "all agree"):
        assert words in text
    figures_shown = text[text.index("One gradient") : text.index("Picture")]
    assert "…" not in figures_shown, "every figure fits in 80 columns"
