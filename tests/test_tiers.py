"""Tiers against each other on random tapes; `make deep` does 100,000 of them."""

import collections
import sys
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.readings import SCALAR

sys.path.insert(0, str(Path(__file__).parent))

import tiers


@pytest.mark.parametrize("start", range(0, 100, 10))
def test_steps_agree(start):
    total = collections.Counter()
    for seed in range(start, start + 10):
        counts, failures = tiers.judged(seed)
        assert not failures, f"seed {seed}"
        total += counts
    assert total["steps"] > 100
    assert total["same bits"] > 0.8 * total["steps"]


FAULTS = {
    "sum by an ulp": (1, np.spacing, True),
    "exponential by an ulp": (2, np.spacing, False),
    "exponential by 30 ulps": (2, lambda y: 30 * np.spacing(y), True),
    "quotient by an ulp": (4, np.spacing, True),
    "quotient is NaN": (4, lambda y: np.nan, True),
}


@pytest.mark.parametrize(("place", "fault", "seen"), FAULTS.values(), ids=FAULTS)
def test_a_step_that_is_off_is_seen(place, fault, seen):
    """Steps after it take what it gave: it alone is named."""
    tape = tg.record(lambda x: (x + 0.1).exp() / 3.0, 0.7)
    tape = sweeps.flat(tape)
    slots = sweeps.replay(tape, SCALAR, [0.7])
    names = [step.primitive.name for step in tape]
    makers = [name for name in names if name in {"add", "exp", "div", "mul"}]
    (slot,) = [
        step.slots[0]
        for step in tape
        if step.primitive.name == {1: "add", 2: "exp", 4: makers[-1]}[place]
    ]
    native = list(slots)
    native[slot] += fault(native[slot])
    for step in tape:
        if step.slots and step.slots[0] > slot and step.operands:
            given = [native[i] for i in step.operands]
            native[step.slots[0]] = getattr(SCALAR, step.primitive.name)(
                *given, **step.params
            )
    found = tiers.steps_apart(tape, slots, native, collections.Counter())
    assert len(found) == seen
