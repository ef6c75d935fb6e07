"""What planted faults in the sweeps showed to be tested nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(3,), ()])
def test_derivative_tapes_of_a_tape_without_an_example(shape, dtype):
    x, y = np.full(shape, 3, dtype)[()], dtype(2)
    tape = tg.record(lambda x, y: (x * y * y).sum(), x, y)
    bare = dataclasses.replace(tape, example=())
    adjoints = bare.adjoint_tape()
    for found in (adjoints, bare.tangent_tape()):
        for leaf, slot in zip(found.example, found.inputs, strict=True):
            assert np.shape(leaf) == found.aval_of(slot)[0]
            assert np.asarray(leaf).dtype == found.aval_of(slot)[1]
            assert not np.any(leaf)
    assert np.array_equal(adjoints(x, y)[0], np.full(shape, 4))
    assert bare.tangent_tape()(x, y, 0 * x, dtype(1)) == 12 * x.size


def test_the_tape_of_each_output_of_a_step_with_several():
    def pull(bars, x, y):
        return bars[0] * y + bars[1], bars[0] * x - bars[2]

    @tg.custom_gradient
    def three(x, y):
        return (x * y, x, -y), lambda bars: pull(bars, x, y)

    found = three(Value(2.0), Value(3.0))
    for value, expected in zip(found, (10.0, 5.0, -2.0), strict=True):
        assert value.tape(5.0, 2.0) == expected
