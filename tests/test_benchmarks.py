"""The benchmark page: its harness computes what it says, and the page is current."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import beside  # noqa: E402
import rolling  # noqa: E402
from harness import measure, page  # noqa: E402
from harness.work import Ready, Work, flat  # noqa: E402

WORKS = {name: importlib.import_module(f"works.{name}").WORK for name in beside.WORKS}
HERE = {"tapegrad", "NumPy", "Python", "C by hand"}
# the times of these are of a million numbers, or of nothing else
OWN = [
    (name, way.name)
    for name, work in WORKS.items()
    for way in work.ways.values()
    if way.peer in HERE
]


@pytest.mark.parametrize(("name", "way"), OWN)
def test_what_needs_no_peer_computes_the_reference(name, way):
    work = WORKS[name]
    if work.ways[way].peer == "C by hand":
        pytest.importorskip("ctypes")
        if beside.shutil.which("cc") is None:
            pytest.skip("there is no C compiler")
    found = measure.figure(work, work.ways[way], work.quick, seconds=0.0)
    assert 0.0 < found["run"] < 60.0
    assert (found["build"] is None) == work.ways[way].ahead


def small(answer, **options):
    work = Work("w", "A work", "It is small.", (1, 20), "n = {}", lambda n: [n, [n, 2]])
    work.by("tapegrad", "", **options)(
        lambda n: Ready("f()", {"f": lambda: [n, [n, 2]]})
    )
    work.by("other", "odd")(lambda n: Ready("f()", {"f": lambda: answer(n)}, note="so"))
    return work


@pytest.mark.parametrize(
    "answer", [lambda n: [n, [n, 2.001]], lambda n: [n, [n, float("nan")]]]
)
def test_a_wrong_answer_is_not_timed(answer):
    work = small(answer)
    with pytest.raises(ArithmeticError, match="result 2"):
        measure.figure(work, work.ways["other: odd"], 5, seconds=0.0)


def test_a_missing_answer_is_not_timed():
    work = small(lambda n: [n])
    with pytest.raises(ValueError, match="zip"):
        measure.figure(work, work.ways["other: odd"], 5, seconds=0.0)


def test_the_value_alone_is_compared_where_no_slopes_are_made():
    work = small(lambda n: [n])
    work.by("C by hand", "value alone", ahead=True, value=True)(
        lambda n: Ready("f()", {"f": lambda: n})
    )
    work.by("C by hand", "wrong value", ahead=True, value=True)(
        lambda n: Ready("f()", {"f": lambda: n + 0.001})
    )
    found = measure.figure(work, work.ways["C by hand: value alone"], 5, seconds=0.0)
    assert found["run"] > 0.0
    with pytest.raises(ArithmeticError, match="result 0"):
        measure.figure(work, work.ways["C by hand: wrong value"], 5, seconds=0.0)


def test_ratios_are_to_c_its_value_and_the_quickest_other_way():
    run = {"one": 2.0, "C": 4.0, "value": 1.0, "slow": 3.0, "fast": 0.5, "quick": 1.0}
    ways = (
        ("tapegrad", "one"),
        ("C by hand", "C"),
        ("C by hand", "value"),
        ("a", "slow"),
        ("a", "fast by hand"),
        ("b", "quick"),
    )
    work = Work("w", "A work", "It is small.", (1,), "n = {}", lambda n: n)
    for peer, form in ways:
        work.by(peer, form, value=form == "value")(lambda n: Ready("0", {}))
    figures = {
        f"{peer}: {form}": {"1": {"build": 8.0, "run": run[form.split()[0]]}}
        for peer, form in ways
    }
    found = rolling.row(work, 1, figures)
    assert found[:4] == ["w", "1", "8.00 s", "2.00 s"]
    assert found[4:] == ["0.50", "2.00", "2.00 b: quick: 1.00 s, build 8.00 s"]
    del figures["tapegrad: one"]
    assert rolling.row(work, 1, figures) is None


def test_a_program_that_does_not_repeat_is_built_with_and_without_rolling():
    assert len(list(rolling.without_loops([20], 1).rows)) == 1
    tape = rolling.recorded(rolling.straight.loop(40), 1.0, 1.0, 1.0)
    assert len(tape) > 40 * 70  # every step by itself


def test_a_loop_is_rolled_and_its_memory_is_counted():
    found = rolling.long_loop(71 * 500)
    assert found["steps"] > 71 * 499
    assert found["left"] < 20
    assert found["tape"] > 10 * found["steps"]  # bytes
    assert 0 < found["before"] <= found["peak"] or not Path("/proc").exists()
    (row,) = rolling.stages([("lorenz", 100)]).rows
    assert row is not None


def test_results_are_flattened_in_order():
    assert [list(x) for x in flat((1.0, [[2.0, 3.0], 4.0]))] == [[1], [2], [3], [4]]


def test_two_ways_do_not_share_a_name():
    work = small(lambda n: n)
    with pytest.raises(ValueError, match="two ways"):
        work.by("other", "odd")(lambda n: Ready("0", {}))


def test_the_table_of_a_work():
    work = small(lambda n: n, ahead=True)
    figures = {
        "tapegrad": {
            "1": {"build": None, "run": 2e-6, "note": ""},
            "20": {"build": None, "run": 4e-3, "note": ""},
        },
        "other: odd": {
            "1": {"build": 1.5, "run": 3e-6, "note": "so"},
            "20": {"left out": "no result in 60 s"},
        },
    }
    lines = page.table(work, figures).splitlines()
    assert lines[0] == "## A work"
    assert "| tapegrad |  | 2.00 µs | 1.00 |  | 4.00 ms | 1.00 |" in lines
    assert "| other: odd | 1.50 s | 3.00 µs | 1.50 |  | – |  |" in lines
    assert "* other: odd, n = 1: so." in lines
    assert "* other: odd, n = 20: no result in 60 s." in lines


def test_the_lesser_of_two_figures_is_kept():
    first = {"build": 2.0, "run": 1.0, "note": ""}
    second = {"build": 1.0, "run": 3.0, "note": "n"}
    assert beside.merged(first, second) == {"build": 1.0, "run": 1.0, "note": "n"}
    gone = {"left out": "no result"}
    assert beside.merged(first, gone) == first
    assert beside.merged(gone, second) == second
    assert beside.merged(None, gone) == gone


def test_a_figure_of_its_own_process():
    found = beside.measured(
        WORKS["call"], WORKS["call"].ways["Python: gradient by hand"], 1
    )
    assert found["build"] is None
    assert found["run"] > 0.0


def test_what_is_too_large_fails_or_is_not_installed_is_said():
    work = WORKS["call"]
    way = work.ways["Python: gradient by hand"]
    assert "in 0 s" in beside.measured(work, way, 1, limit=0.01)["left out"]
    limited = type(way)(way.peer, way.form, way.make, most=3)
    assert "beyond 3" in beside.measured(work, limited, 4)["left out"]
    missing = type(way)("no", "such way", way.make)
    assert "failed: KeyError" in beside.measured(work, missing, 1)["left out"]


def test_the_page_is_made_of_the_results():
    results = json.loads(beside.RESULTS.read_text(encoding="utf-8"))
    written = page.written(list(WORKS.values()), results)
    assert beside.PAGE.read_text(encoding="utf-8") == written


def test_every_work_has_figures_of_ours():
    figures = json.loads(beside.RESULTS.read_text(encoding="utf-8"))["figures"]
    for name, work in WORKS.items():
        ours = next(way.name for way in work.ways.values() if way.peer == "tapegrad")
        assert all("run" in figures[name][ours][str(size)] for size in work.sizes)
