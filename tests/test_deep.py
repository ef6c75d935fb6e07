"""Slow and thorough: many points for every row, long tapes, and very many tapes."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad import Value
from tapegrad.rules import TABLE

sys.path.insert(0, str(Path(__file__).parent))

import randomrun
import tiers
from randomtapes import ROWS

pytestmark = pytest.mark.deep


def geometric(x, steps):
    """x + x**2 + ..., two steps a term; its limit x / (1 - x) has slope 4 at 1/2."""
    y = x
    for _ in range(steps // 2):
        y = y * x + x
    return y


def test_rows_of_whole_arrays():
    """The others are verified at 10,000 points in ``proof/test_verify.py``."""
    rows = [row for row in TABLE if row.whole]
    report = tg.verify(rows, points=10_000)
    assert report.ok, str(report)


def test_ten_million_recorded_steps():
    tape = tg.record(lambda x: geometric(x, 10_000_000), 0.5)
    assert len(tape) == 10_000_001
    assert tape.nbytes <= 64 * len(tape)
    assert tape.gradient(0.5) == pytest.approx(4.0, rel=1e-12)


def test_ten_million_eager_steps():
    x = Value(0.5)
    geometric(x, 10_000_000).backward()
    assert x.grad == pytest.approx(4.0, rel=1e-12)


def test_ten_million_steps_in_a_file(tmp_path):
    tape = tg.record(lambda x: geometric(x, 10_000_000), 0.5)
    tape.save(tmp_path / "long.tape")
    assert (tmp_path / "long.tape").stat().st_size <= 32 * len(tape)
    again = tg.load(tmp_path / "long.tape")
    assert again == tape
    assert again.gradient(0.5) == pytest.approx(4.0, rel=1e-12)


def sources(root):
    """What a verdict on a random tape depends on."""
    return sorted([*root.glob("tapegrad/**/*.py"), *root.glob("tests/random*.py")])


def test_a_hundred_thousand_random_tapes(root):
    """All tiers against 50 digits; what an earlier run of this code did is kept."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources(root)))
    state = root / ".pytest_cache" / f"random-tapes-{digest.hexdigest()[:16]}.jsonl"
    state.parent.mkdir(exist_ok=True)
    total = randomrun.run(0, 100_000, state)
    randomrun.say(randomrun.report(total))
    assert not total["failures"], total["failures"][:20]
    assert total["checks"]["programs"] == 100_000
    assert not randomrun.too_often(total)
    for row in ROWS:
        assert total["rows"][row.name] >= 500, row.name


def test_tiers_agree_step_by_step_on_very_many_tapes():
    """About two hours of one core; the state lets a run that was stopped go on."""
    total, failures = tiers.run(0, 100_000, processes=os.cpu_count() or 1)
    assert not failures, failures[:10]
    assert total["tapes"] == 100_000
    assert total["same bits"] > 0.8 * total["steps"]
