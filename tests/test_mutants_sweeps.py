"""What planted faults in the sweeps showed to be tested nowhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, sweeps
from tapegrad.passes import fold, prune, simplify
from tapegrad.readings import NUMPY


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


def test_derivative_tapes_where_linear_algebra_has_no_answer():
    a = np.array([[2.0, 1.0], [0.0, 4.0]])
    tape = tg.record(lambda a: np.linalg.inv(a).sum(), a)
    bare = dataclasses.replace(tape, example=())  # zeros stand in: a singular matrix
    dot = np.array([[0.0, 0.0], [0.0, 1.0]])
    expected = -(np.linalg.inv(a) @ dot @ np.linalg.inv(a)).sum()
    assert bare.tangent_tape()(a, dot) == pytest.approx(expected, rel=1e-14)
    assert bare.adjoint_tape()(a)[1, 1] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("columns", [2, 3])
def test_a_mask_at_a_matrix_product_counts_as_a_whole(columns):
    a = np.arange(1.0, 2 * columns + 1).reshape(2, columns)
    x = np.arange(5.0, columns + 5)
    one = np.array([True, False])

    def f(a, x, which):
        return np.where(which, a @ x, 0.0).sum()

    tape = tg.record(f, a, x, one)
    a_bar, x_bar = tape.gradient(a, x, one)
    assert np.array_equal(a_bar, [x, 0 * x])
    assert np.array_equal(x_bar, a[0])
    # nothing selected: absent, even where a partial is no number
    a_bar, x_bar = tape.gradient(a, np.inf * x, np.array([False, False]))
    assert np.array_equal(a_bar, 0 * a)
    assert np.array_equal(x_bar, 0 * x)


def test_long_tapes_are_read_block_by_block(monkeypatch):
    tape = tg.record(lambda x, y: np.sin(x * y + x) / (x + 2 * y), 1.0, 2.0)
    expected = sweeps.replay(tape, NUMPY, [3.0, 4.0])
    monkeypatch.setattr(sweeps, "BLOCK", 2)
    assert sweeps.replay(tape, NUMPY, [3.0, 4.0]) == expected
    assert expected[-1] == pytest.approx(np.sin(15.0) / 11, rel=1e-15)
    found = sweeps.tangent(tape, NUMPY, expected, {0: 1.0})
    slope = (5 * np.cos(15.0) * 11 - np.sin(15.0)) / 121
    assert found[-1] == pytest.approx(slope, rel=1e-14)


def test_dead_steps_of_a_tape_without_inputs():
    tape = tg.record(lambda: (2.0, 3.0, 4.0))
    pruned = prune(dataclasses.replace(tape, outputs=tape.outputs[1:]))
    assert len(pruned) == 2
    assert sweeps.replay(pruned, NUMPY, []) == [3.0, 4.0]
    assert pruned.statics[0] == ()
    assert len(set(pruned.statics)) == len(pruned.statics) == 3
    more = tg.record(lambda x: (x + 2.0, x * 3.0), 1.0)
    pruned = prune(dataclasses.replace(more, outputs=more.outputs[1:]))
    assert sweeps.replay(pruned, NUMPY, [5.0])[-1] == 15.0
    assert len(set(pruned.statics)) == len(pruned.statics) == 2


@pytest.mark.parametrize(
    ("x", "short"),
    [(0.0, True), (1.5, True), (-1e30, False), (0.1, False), (2.0**-140, False)],
)
def test_numbers_that_single_precision_holds(x, short):
    assert fold._short(x) is short


def test_a_slice_of_everything_is_no_step():
    x = np.ones((3, 2))
    whole = tg.record(lambda x: x[0:3, :] + 1.0, x)
    assert "index" in whole.operations
    assert "index" not in simplify(whole).operations
    part = tg.record(lambda x: x[1:3, :] + 1.0, x)
    assert "index" in simplify(part).operations
