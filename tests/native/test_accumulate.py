"""The native accumulation is the one in Python, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import bulk
from tapegrad.errors import CompileError
from tapegrad.native import accumulate as native
from tapegrad.native.machine import run
from tapegrad.native.machine.choice import forced

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e308, 1.0, -1.0])


def table(operands, slots, seed):
    rng = np.random.default_rng(seed)
    below = np.maximum(np.arange(slots), 1)
    reads = rng.integers(0, below, (operands, slots)).astype(np.int32)
    reads[rng.random(reads.shape) < 0.3] = -1
    reads[:, 0] = -1
    partials = rng.standard_normal(reads.shape)
    some = rng.random(reads.shape) < 0.02
    partials[some] = rng.choice(SPECIAL, some.sum())
    bars, reached = np.zeros(slots), np.zeros(slots, np.uint8)
    bars[-1], reached[-1] = 1.0, 1
    bars[slots // 2], reached[slots // 2] = -0.3, 1
    return reads, partials, bars, reached


@pytest.mark.parametrize("operands", range(1, 9))
@pytest.mark.parametrize("slots", [1, 2, 37, 3000])
def test_same_bits_as_python(operands, slots):
    reads, partials, bars, reached = table(operands, slots, operands * slots)
    want, marks = bars.copy(), reached.copy()
    with np.errstate(all="ignore"):
        bulk._accumulate(reads, partials, want, marks)
    native.accumulate(reads, partials, bars, reached)
    np.testing.assert_array_equal(reached, marks)
    np.testing.assert_array_equal(np.isnan(bars), np.isnan(want))
    ours, theirs = bars[~np.isnan(bars)], want[~np.isnan(want)]
    np.testing.assert_array_equal(ours.view(np.int64), theirs.view(np.int64))


def test_a_product_and_a_sum_round_twice():
    """A fused multiply-add would keep the product's last bits."""
    x = 1 + 2.0**-30
    reads = np.array([[-1, 0, 0]], np.int32)
    partials = np.array([[0.0, x, 1.0]])
    bars, reached = np.array([0.0, x, -(x * x)]), np.array([0, 1, 1], np.uint8)
    native.accumulate(reads, partials, bars, reached)
    assert bars[0] == 0.0


def test_an_unreached_zero_is_skipped_by_its_mark():
    reads = np.array([[-1, 0]], np.int32)
    partials = np.array([[0.0, np.inf]])
    bars, reached = np.zeros(2), np.zeros(2, np.uint8)
    native.accumulate(reads, partials, bars, reached)
    assert bars[0] == 0.0
    reached[1] = 1
    native.accumulate(reads, partials, bars, reached)
    assert np.isnan(bars[0])


def test_the_text_holds_no_address():
    assert "inttoptr" not in native.source(3)
    assert native.source(3) == native.source(3)


@pytest.mark.parametrize("name", ["reads", "partials", "bars", "reached"])
@pytest.mark.parametrize("fault", ["dtype", "layout"])
def test_bad_arrays_are_refused(name, fault):
    names = ("reads", "partials", "bars", "reached")
    arrays = dict(zip(names, table(2, 8, 0), strict=True))
    if fault == "dtype":
        arrays[name] = arrays[name].astype(np.float32)
    else:
        arrays[name] = np.repeat(arrays[name], 2, axis=-1)[..., ::2]
    with pytest.raises(CompileError, match=f"{name} must be"):
        native.accumulate(**arrays)


def test_a_read_only_result_is_refused():
    reads, partials, bars, reached = table(2, 8, 0)
    bars.setflags(write=False)
    with pytest.raises(CompileError, match="bars must be"):
        native.accumulate(reads, partials, bars, reached)


def test_rows_of_a_jacobian_use_it(monkeypatch):
    """Swept by Python and by native code, all rows are the same bits."""

    def f(x, y):
        z = x
        for _ in range(300):
            z = np.tanh(z * y + x) - z / (y * y + 1.0)
        return z, z * y

    called = []

    def watched(*arrays):
        called.append(len(arrays[2]))
        native_loop(*arrays)

    native_loop = native.accumulate
    monkeypatch.setattr(native, "accumulate", watched)
    monkeypatch.setattr(run, "plan_of", lambda _: None)  # none for the machine
    tape = tg.record(f, 0.7, -1.3)
    with forced(False):
        in_python = tape.jacobian(0.7, -1.3)
    assert not called
    monkeypatch.setattr(bulk, "MANY_SLOTS", 1000)
    with forced(True):
        assert tape.jacobian(0.7, -1.3) == in_python
    assert len(called) == 2
