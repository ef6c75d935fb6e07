"""Random programs, and their gradients, computed for several lanes at once.

Every step is judged by itself: from the numbers that its operands have in a lane, the
row gives what the batched step gave there. So no rounding error is magnified.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from randomtapes import program

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.batching.lanes import Lanes
from tapegrad.batching.reading import Batching
from tapegrad.derivatives import gradient_tape
from tapegrad.readings.mixed import MIXED

LANES = 3
PROGRAMS, PART = 150, 25


def spread(x, k):
    """An input in lane k: near by, zeros and what is no float as they are."""
    x = np.asarray(x)
    return x if x.dtype.kind != "f" else (x * (1 + k / 512)).astype(x.dtype)


def lane(x, k):
    y = x.value[k] if isinstance(x, Lanes) else x
    return y.item() if isinstance(y, np.float64 | np.bool_) else y


def judged(tape, inputs):
    """How many steps had lanes; raises where one of them is wrong."""
    b, count = Batching(MIXED, LANES), 0
    slots = sweeps.replay(tape, b, inputs)
    for step in tape:
        row = step.primitive
        if row.kind == "structure" or not isinstance(slots[step.slots[0]], Lanes):
            continue
        count += 1
        for k in range(LANES):
            xs = [lane(slots[slot], k) for slot in step.operands]
            ys = getattr(MIXED, row.name)(*xs, **step.params)
            for slot, y in zip(step.slots, ys if row.slots > 1 else (ys,), strict=True):
                found, shape = lane(slots[slot], k), tape.aval_of(slot)[0]
                assert np.shape(found) == shape, (step, k)
                finite = np.abs(y)[np.isfinite(y)] if np.size(y) else np.zeros(0)
                scale = float(np.max(finite, initial=0.0))
                single = np.asarray(y).dtype == np.float32
                np.testing.assert_allclose(
                    np.asarray(found, float),
                    np.asarray(y, float),
                    rtol=1e-4 if single else 1e-9,
                    atol=scale * (1e-5 if single else 1e-12),
                    err_msg=str((step, k)),
                )
    return count


@pytest.mark.parametrize("start", range(0, PROGRAMS, PART))
def test_each_lane_is_the_program_alone(start):
    mapped = guarded = 0
    for seed in range(start, start + PART):
        found = program(seed)
        rng = np.random.default_rng(seed)
        tape = sweeps.flat(tg.record(found, *found.inputs))
        shared = rng.random(len(found.inputs)) < 0.25
        inputs = [
            MIXED.number(x)
            if same
            else Lanes(np.stack([spread(x, k) for k in range(LANES)]))
            for x, same in zip(tape.example, shared, strict=True)
        ]
        with np.errstate(all="ignore"):
            try:
                mapped += judged(tape, inputs)
                if not sweeps.ruled(tape):
                    grown = sweeps.flat(gradient_tape(tape))
                    mapped += judged(grown, inputs)
            except tg.RecordError as problem:
                assert "under vmap" in str(problem)  # noqa: PT017 - the usual way is not to raise
                guarded += 1
            except tg.DomainError:  # a matrix near by is singular
                guarded += 1
    assert mapped > 100
    assert guarded < PART / 2
