"""What random programs found, each as small as it gets."""

from __future__ import annotations

import numpy as np

import tapegrad as tg
from tapegrad import Value, sweeps


def test_a_tape_of_doubles_takes_a_value_of_single_precision():
    inner = tg.record(lambda a: np.sin(a) * a, 0.5)
    x = np.array([0.25, 0.5], np.float32)
    tape = tg.record(lambda x: inner(np.sum(x)) * 2.0, x)
    sweeps.flat(tape).check()
    assert tape(x) == 2.0 * inner(0.75)
    expected = np.full(2, 2.0 * inner.gradient(0.75), np.float32)
    found = tape.gradient(x)
    assert found.dtype == np.float32
    assert found.tolist() == expected.tolist()
    eager = Value(x)
    (inner(np.sum(eager)) * 2.0).backward()
    assert eager.grad.dtype == np.float32
    assert eager.grad.tolist() == expected.tolist()
