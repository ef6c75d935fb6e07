"""Random tapes: every tier against 50 digits, at programs that nobody chose.

`make deep` judges 100,000 of them; here are the first few hundred. A failure names its
seed: `python tests/randomrun.py --seed 4711` shows the program, and a shorter one.
"""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

sys.path.insert(0, str(Path(__file__).parent))

from randomchecks import judged
from randomrun import added, minimal, run, tally, too_often
from randomtapes import FLAVOURS, ROWS, program

import tapegrad as tg
from tapegrad import bulk, sweeps
from tapegrad.native.engine import Engine
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE

PROGRAMS, PART = 300, 25
STARTS = range(0, PROGRAMS, PART)
grown = functools.cache(program)


@pytest.mark.parametrize("start", STARTS)
def test_all_tiers_agree(start):
    found = tally(range(start, start + PART))
    assert not found["failures"], found["failures"]
    assert found["checks"]["reverse"] == PART
    assert found["checks"]["native"] >= 1
    # of so few one may be explained; of very many 2 in a hundred are
    kinds = {name.split(":")[0] for name in too_often(found)}
    assert len(kinds) <= 1, too_often(found)


def test_every_row_and_every_flavour_occurs():
    programs = [grown(seed) for seed in range(PROGRAMS)]
    for row in ROWS:
        count = sum(row.name in found.rows for found in programs)
        assert count >= 3, row.name
    for flavour in FLAVOURS:
        share = sum(found.flavour == flavour for found in programs) / PROGRAMS
        assert share >= 0.04, flavour
    lengths = [len(found.lines) for found in programs]
    assert min(lengths) <= 2
    assert max(lengths) >= 40


def test_a_seed_makes_its_program_again():
    assert str(program(11)) == str(program(11))
    assert str(program(11)) != str(program(12))


def test_what_is_done_is_not_done_again(tmp_path, capsys):
    state = tmp_path / "state.jsonl"
    first = run(0, 4, state, processes=1)
    kept = state.read_text()
    again = run(0, 4, state, processes=1)
    assert state.read_text() == kept
    assert again["checks"] == first["checks"]
    assert again["checks"]["programs"] == 4
    assert "seed" not in capsys.readouterr().out


def test_rows_of_users_are_among_them():
    x, y = sp.symbols("x y")
    tg.primitive("t_random_decay", x * sp.exp(-y), [x, y])
    row = TABLE["t_random_decay"]
    assert row not in ROWS
    for seed in (1, 2, 3):
        found = program(seed, row)
        assert row.name in found.rows
        assert not judged(found, 1).failures


# -- planted bugs ----------------------------------------------------------------------


def checks_that_fail(seeds):
    found = added([tally([seed]) for seed in seeds])
    return {words.split(":")[0] for _, words in found["failures"]}


def seeds_with(name, count=3, wanted=lambda found: True):
    found, seed = [], 0
    while len(found) < count:
        one = grown(seed)
        reached = any(line.name == name for line in one.lines)
        if reached and one.flavour == "tame" and wanted(one):
            found.append(seed)
        seed += 1
    return found


def planted(name, **fields):
    """A row of the table with another rule, for a while."""
    row = TABLE[name]
    before = {key: getattr(row, key) for key in fields}
    for key, value in fields.items():
        object.__setattr__(row, key, value)
    return lambda: [
        object.__setattr__(row, key, value) for key, value in before.items()
    ]


@pytest.mark.parametrize(
    ("name", "partials"),
    [
        ("tanh", lambda m, y, x: (1 + y * y,)),
        ("atan", lambda m, y, x: (m.stop_gradient(1 / (1 + x * x)),)),
        ("mul", lambda m, y, a, b: (b, b)),
    ],
)
def test_a_wrong_partial_is_found(name, partials):
    seeds = [seed * 6 for seed in range(60)]
    seeds = [s for s in seeds if name in grown(s).rows][:3]
    undo = planted(name, partials=partials)
    try:
        failed = checks_that_fail(seeds)
    finally:
        undo()
    expected = "second order" if name == "atan" else "50 digits"
    assert any(expected in check or check == "50 digits" for check in failed)


def test_a_wrong_transpose_is_found():
    undo = planted(
        "cumsum",
        pull=lambda m, bar, y, x, axis: (m.cumsum(bar, axis=axis),),
    )
    try:
        failed = checks_that_fail(seeds_with("cumsum"))
    finally:
        undo()
    assert "50 digits" in failed


def test_a_wrong_instruction_is_found(monkeypatch):
    right = Engine.__init__

    def wrong(self, text, *rest, **options):
        right(self, text.replace(" fsub ", " fadd "), *rest, **options)

    monkeypatch.setattr(Engine, "__init__", wrong)
    seeds = [seed * 24 for seed in range(40) if "sub" in grown(seed * 24).rows]
    failed = checks_that_fail(seeds[:3])
    assert "native" in failed
    assert "reverse" not in failed


def test_an_inaccurate_function_is_found(monkeypatch):
    """Wrong by three hundred ulps, in floats alone: a program in four or so tells."""
    monkeypatch.setattr(
        MIXED, "sigmoid", lambda x: 1 / (1 + np.exp(-x)) * (1 + 300 * 2.0**-52)
    )
    failed = checks_that_fail(seeds_with("sigmoid", 8))
    assert failed & {"adjoint tape", "reverse"}


def test_a_lost_contribution_is_found(monkeypatch):
    right = bulk.sweep

    def wrong(reads, partials, *rest):
        return right(reads, np.where(reads == 0, 0.0, partials), *rest)

    monkeypatch.setattr(bulk, "sweep", wrong)
    seeds = [s for s in range(40) if all(not np.shape(x) for x in grown(s).inputs)]
    assert "bulk" in checks_that_fail(seeds)


def test_a_dropped_mask_is_found(monkeypatch):
    """An unselected arm that is not absent: the classical NaN."""
    found = [
        s for s in range(400) if any(x.name == "masked_sqrt" for x in grown(s).lines)
    ]
    right = sweeps.contributions

    def wrong(m, row, y, xs, bar, _mask, params, wanted):
        return right(m, row, y, xs, bar, None, params, wanted)

    monkeypatch.setattr(sweeps, "contributions", wrong)
    assert checks_that_fail(found[:12])


def test_a_smaller_program_fails_alike():
    found = grown(seeds_with("exp", 1)[0])

    def wrong(other):
        return "exp" in other.rows

    smaller = minimal(found, wrong)
    assert wrong(smaller)
    assert len(smaller.lines) <= min(3, len(found.lines))
    assert math.isfinite(float(tg.record(smaller, *smaller.inputs)(*smaller.inputs)))
    assert not judged(smaller).failures
