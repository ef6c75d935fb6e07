"""The judge of random tapes, where it was too strict once: and a planted bug beside it.

Each program is what a seed came to; a bug planted in it must still be found.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from randomchecks import judged
from randomjudge import Judge
from randomprograms import Line, Name, Program
from randomrun import minimal

from tapegrad.errors import BranchChanged
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE


def written(flavour, inputs, *lines):
    """A program: lines of a row, or of a word after "np:", the places of operands."""
    made = []
    for number, (name, *places) in enumerate(lines, len(inputs)):
        params = places.pop() if isinstance(places[-1], dict) else {}
        xs = [Name("x", i) if i < len(inputs) else Name("v", i) for i in places]
        word = name.removeprefix("np:")
        made.append(Line(word != name, word, tuple(xs), params, (Name("v", number),)))
    return Program(1, flavour, list(inputs), made, [(made[-1].results[0], 1.0)])


def verdict(program, turn=6):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return judged(program, turn)


UNDERFLOW = written("edge", [-800.0], ("sigmoid", 0), ("square", 1), ("np:branch", 2))
HALF = written("tame", [0.705], ("square", 0), ("np:branch", 1))


def test_a_branch_that_rounding_alone_decides():
    found = verdict(UNDERFLOW)
    assert not found.failures
    assert found.counts == {"kink: branch": 1}
    assert "kink: branch" not in verdict(HALF).counts


def test_a_branch_that_a_bug_decides_is_found(monkeypatch):
    """Floats square wrongly, all alike, and 50 digits take the other branch."""
    for m in (MIXED, SCALAR):
        wrong = lambda x, right=m.square: right(x) * 1.02  # noqa: E731
        monkeypatch.setattr(m, "square", wrong)
    judge = Judge(HALF)
    with pytest.raises(BranchChanged, match=r"0\.497\d{40}"):
        assert judge.forks
    found = verdict(HALF)
    assert [words.split(":")[1] for words in found.failures] == [" BranchChanged"]
    assert not found.counts


TAN = written("edge", [1e200], ("tan", 0))
WIDE = written("wide", [3.7e88, 2.5e-9], ("mul", 0, 1), ("sin", 2))


# the last product has more than 50 digits, and more than a period is behind them
FAR = written("wide", [3.7e88, 2.5e-9], ("mul", 0, 1), ("mul", 2, 2), ("sin", 3))


@pytest.mark.parametrize("program", [TAN, WIDE, FAR])
def test_steps_are_shorter_than_a_period(program):
    found = verdict(program)
    assert not found.failures
    assert found.counts["50 digits: differences"] == 1
    assert found.counts["50 digits: second order"] == 1


@pytest.mark.parametrize("program", [TAN, WIDE, FAR])
def test_a_wrong_partial_is_found_beside_huge_numbers(program):
    row = TABLE[program.lines[-1].name]
    right = row.partials
    wrong = lambda m, y, x: (right(m, y, x)[0] * (1 + m.const("half")),)  # noqa: E731
    object.__setattr__(row, "partials", wrong)
    try:
        found = verdict(program)
    finally:
        object.__setattr__(row, "partials", right)
    assert any("50 digits: differences" in words for words in found.failures)


REST = written("wide", [-0.9924750307491008, -2.4315128492771473e-76], ("fmod", 0, 1))


def test_rounding_to_whole_numbers_keeps_errors_of_large_ones():
    assert not verdict(REST).failures


def test_a_large_whole_number_that_is_wrong_is_found(monkeypatch):
    right = MIXED.round
    monkeypatch.setattr(MIXED, "round", lambda x: right(x) * (1 + 2.0**-40))
    assert any(words.startswith("adjoint tape") for words in verdict(REST).failures)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_directions_of_the_largest_floats_are_finite(dtype):
    x = np.full((9,), np.finfo(dtype).max)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        judge = Judge(written("edge", [x], ("sin", 0)))
    assert judge.direction[0].dtype == dtype
    assert np.all(np.isfinite(judge.direction[0]))
    assert np.all(judge.direction[0] != 0)


def test_a_kink_that_a_square_hides():
    """|x| squared is smooth, but the slope of |x| at 0 is 0 on purpose."""
    hidden = written("edge", [0.0, 2.0], ("copysign", 0, 1), ("square", 2))
    assert not verdict(hidden).failures
    beside = written("edge", [0.5, 2.0], ("copysign", 0, 1), ("square", 2))
    assert verdict(beside).counts["50 digits: second order"] == 1


def test_a_program_with_writes_is_shortened():
    """Its lines run on plain arrays, which may be written to."""
    x = np.array([[[2.0, 0.5], [-1.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]]])
    program = written(
        "tame",
        [x, 0.75],
        ("signdet", 0),
        ("exp", 1),
        ("np:fancy_set", 2, 3, {"at": [0]}),
        ("sin", 4),
    )
    shorter = minimal(program, lambda other: "signdet" in other.rows)
    assert [line.name for line in shorter.lines] == ["signdet", "fancy_set", "sin"]
    assert not verdict(shorter).failures
