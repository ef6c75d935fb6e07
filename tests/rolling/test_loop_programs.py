"""Rolled and unrolled tapes of random loop programs; `make deep` does 50,000 of them.

A failure names its seed: `python tests/loop_programs.py --show SEED` prints the program
as a script, and `python tests/loopshrink.py SEED` a shorter one that fails alike.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

import loop_programs
import loopchecks
import loopjudge
from loopjudge import judged, judged_program, recorded, rolled_of
from loopshrink import kind, minimal
from loopsource import program

import tapegrad as tg
from tapegrad.loops import rule
from tapegrad.rules import TABLE
from tapegrad.tape.guards import Guard

PROGRAMS, PART = 100, 25
grown = functools.cache(program)


@pytest.mark.parametrize("start", range(0, PROGRAMS, PART))
def test_rolled_is_unrolled_to_the_last_bit(start):
    total = collections.Counter()
    for seed in range(start, start + PART):
        counts, failures = judged(seed)
        assert not failures, f"seed {seed}"
        total += counts
    assert total["adjoints"] > 10 * PART
    assert total["rolled"] >= 0.6 * PART
    assert total["steps when rolled"] < 0.75 * total["steps"]


def test_every_kind_of_loop_is_found():
    total = collections.Counter()
    with np.errstate(all="ignore"):
        for seed in range(PROGRAMS):
            made = grown(seed)
            tape = recorded(made)
            loopjudge.tally(made, tape, rolled_of(tape), total)
    for name in (
        "loops with a carry",
        "loops with ys",
        "loops with constants",
        "loops with guards",
        "loops at depth 2",
        "rolled nested",
        "rolled peeled",
        "rolled recurrence",
        "rolled several",
        "rolled triangular",
        "rolled vectors",
        "rolled written",
    ):
        assert total[name] >= 2, name
    assert total["rolled"] >= 0.7 * PROGRAMS


def test_a_seed_makes_its_program_again():
    assert str(program(5)) == str(program(5))
    assert str(program(5)) != str(program(6))


def test_a_program_is_a_script():
    space = {}
    exec(compile(str(grown(3)), "program", "exec"), space)  # noqa: S102
    with np.errstate(all="ignore"):
        assert space["tape"] == recorded(grown(3))


def test_rows_of_scalars_are_among_them():
    text = "".join(grown(seed).source for seed in range(PROGRAMS))
    for row in TABLE:
        if row.name in {"erf", "lgamma", "sigmoid", "inversion", "clip", "relu"}:
            assert f"{row.name!r}" in text or f".{row.name}" in text


def test_what_is_done_is_not_done_again(tmp_path, capsys):
    state = tmp_path / "state.jsonl"
    first, failures = loop_programs.run(0, 4, state)
    kept = state.read_text()
    assert loop_programs.run(0, 4, state) == (first, failures)
    assert state.read_text() == kept
    assert first["programs"] == 4
    assert "seed" not in capsys.readouterr().out


@pytest.mark.deep
def test_fifty_thousand_loop_programs(root):
    """About an hour of a core; what an earlier run of this code did is kept."""
    paths = [*root.glob("tapegrad/**/*.py"), *root.glob("tests/loop*.py")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths)))
    state = root / ".pytest_cache" / f"loop-programs-{digest.hexdigest()[:16]}.jsonl"
    state.parent.mkdir(exist_ok=True)
    total, failures = loop_programs.run(0, 50_000, state, os.cpu_count() or 1)
    assert not failures, failures[:10]
    assert total["programs"] == 50_000
    assert total["rolled"] >= 0.7 * total["programs"]


# -- planted bugs ----------------------------------------------------------------------


def seen(word, seeds):
    """Whether a kind of disagreement is found in one of some programs."""
    return any(word in kind(words) for seed in seeds for words in judged(seed)[1])


def seeds_with(name, count=6):
    """Programs whose loops have a step of a row."""
    seeds, seed = [], 0
    with np.errstate(all="ignore"):
        while len(seeds) < count:
            loops = loopjudge.loops(rolled_of(recorded(grown(seed))))
            if any(name in params["tape"].operations for _, params in loops):
                seeds.append(seed)
            seed += 1
    return seeds


def patched(monkeypatch, change):
    """The rolled tapes with something else in their loops."""
    right = loopjudge.rolled_of
    monkeypatch.setattr(loopjudge, "rolled_of", lambda tape: change(right(tape)))


def test_another_number_of_a_table_is_seen(monkeypatch):
    def change(tape):
        statics = [dict(static) for static in tape.statics]
        for static in statics:
            if np.ndim(static.get("value")) == 1:
                table = np.array(static["value"])
                table[-1] = np.nextafter(table[-1], 9.0)
                static["value"] = table
        return dataclasses.replace(tape, statics=tuple(statics))

    patched(monkeypatch, change)
    assert seen("value", range(12))


def test_another_order_of_additions_is_seen(monkeypatch):
    """A loop that is no ordered one: sums are rounded in another order."""

    def change(tape):
        statics = [dict(static) for static in tape.statics]
        for static in statics:
            if "ordered" in static:
                static["ordered"] = False
        return dataclasses.replace(tape, statics=tuple(statics))

    patched(monkeypatch, change)
    assert seen("adjoint", range(12))


def test_a_row_that_is_off_in_loops_alone_is_seen(monkeypatch):
    right = rule.piled

    def wrong(m, entries, aval):
        return right(m, [entries[-1], *entries[1:]] if entries else entries, aval)

    monkeypatch.setattr(rule, "piled", wrong)
    assert seen("", range(20))


def test_a_guard_that_tells_another_line_is_seen(monkeypatch):
    right = Guard.changed

    def wrong(self, step, text, operands):
        made = right(self, step, text, operands)
        made.line += any(f.f_code.co_name == "_run" for f in _frames())
        return made

    monkeypatch.setattr(Guard, "changed", wrong)
    seeds = seeds_with("guard", 25)
    assert seen("guard", seeds)


def _frames():
    frame = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_a_smaller_program_fails_alike():
    made = grown(seeds_with("sqrt", 1)[0])

    def wrong(other):
        with np.errstate(all="ignore"):
            return "sqrt" in recorded(other).operations

    smaller = minimal(made, wrong)
    assert wrong(smaller)
    assert len(smaller.source.splitlines()) <= 6
    assert not judged_program(smaller)[1]


def test_nearness_is_narrow():
    assert loopchecks.near([1.0, 2.0], [1.0, 2.0 + 1e-13], 1e-12)
    assert not loopchecks.near([1.0, 2.0], [1.0, 2.0 + 1e-11], 1e-12)
    assert loopchecks.bits(0.0) != loopchecks.bits(-0.0)
    assert loopchecks.bits(np.nan) == loopchecks.bits(-np.nan)
    assert loopchecks.bits(1.0) != loopchecks.bits(np.float32(1.0))
    assert tg.record(lambda x: x, 1.0) is not None
