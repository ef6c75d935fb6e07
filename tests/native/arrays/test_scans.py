"""Scans of the same carries are one loop in native code, and give what each gave."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.native.arraycalls import tape_of
from tapegrad.native.arrays import lower_arrays

LENGTH = 300


def swing(state, force):
    angle, speed = state
    speed = speed - 0.01 * np.sin(angle) * force
    return (angle + 0.01 * speed, speed), angle * speed


def last(angle, forces):
    (angle, speed), _ = tg.scan(swing, (angle, 0.5), forces)
    return angle * speed


def energy(angle, forces):
    (angle, speed), seen = tg.scan(swing, (angle, 0.5), forces)
    return angle * speed + np.sum(seen**2)


def twice(angle, forces):
    (one, _), seen = tg.scan(swing, (angle, 0.5), forces)
    (other, _), _ = tg.scan(swing, (angle, 0.5), forces)
    return one + other * np.sum(seen)


def different(angle, forces):
    (one, _), _ = tg.scan(swing, (angle, 0.5), forces)
    (other, _), _ = tg.scan(
        lambda s, x: ((s[0] + 0.1 * x * s[1], s[1] * 0.99), None), (angle, 0.5), forces
    )
    return one * other


def bodies(f, *args):
    """Loops in the code of a function's value and gradient."""
    tape = tape_of(sweeps.flat(tg.record(f, *args)), "gradient")
    return lower_arrays(tape).body.count(".kernel(ptr %inputs")


@pytest.mark.parametrize(
    ("f", "loops"), [(last, 2), (energy, 2), (twice, 3), (different, 3)]
)
def test_a_scan_and_its_stored_carries_are_one_loop(f, loops) -> None:
    forces = np.linspace(0.5, 1.5, LENGTH)
    assert bodies(f, 0.7, forces) == loops
    tape = tg.record(f, 0.7, forces)
    native = tape.compile()
    for angle in (0.7, -1.3):
        value, (by_angle, by_forces) = native.value_and_gradient(angle, forces)
        expected, (slope, slopes) = tape.value_and_gradient(angle, forces)
        assert value == pytest.approx(expected, rel=1e-14)
        assert by_angle == pytest.approx(slope, rel=1e-12)
        np.testing.assert_allclose(by_forces, slopes, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(
        native.hvp((0.7, forces), (1.0, forces))[1],
        tape.hvp((0.7, forces), (1.0, forces))[1],
        rtol=1e-10,
    )


def test_outputs_of_both_scans_are_told_apart() -> None:
    """The carries that are kept are no outputs of the first scan."""

    def f(x):
        end, ys = tg.scan(
            lambda c, _: (c * 0.999, (c, 2.0 * c)), x, None, length=LENGTH
        )
        return end + np.sum(ys[0] * ys[1])

    tape = tg.record(f, 1.5)
    assert tape.compile().gradient(0.5) == pytest.approx(tape.gradient(0.5), rel=1e-13)


def test_a_branch_inside_is_seen_once_joined() -> None:
    def f(x):
        def body(c, _):
            return (c * 1.01 if c < 100.0 else c), c * c

        end, ys = tg.scan(body, x, None, length=LENGTH)
        return end * np.sum(ys)

    tape = tg.record(f, 1.0)
    native = tape.compile()
    assert native.gradient(1.1) == pytest.approx(tape.gradient(1.1), rel=1e-12)
    with pytest.raises(tg.BranchChanged):
        native.value_and_gradient(50.0)


@pytest.mark.parametrize("turns", [200, 201])
def test_long_and_short_leaves_of_a_carry_change_places(turns) -> None:
    """A long leaf has two places, which change roles from turn to turn."""

    def body(state, x):
        a, b, count, c = state
        c = 0.5 * c[::-1] + x
        return (b, 0.9 * a + c, count + b[0], c), a[3] + count

    def ahead(a, c):
        xs = np.linspace(-1.0, 1.0, turns)
        (a, b, count, c), ys = tg.scan(body, (a, 2.0 * a, 0.0, c), xs)
        return np.sum(a * b) + count + np.sum(c) + np.sum(ys)

    def until(a, c):
        def step(state):
            *state, k = state
            state, _ = body(state, 0.25)
            return (*state, k + 1.0)

        a, b, count, c, _ = tg.while_loop(
            lambda state: state[-1] < turns, step, (a, 2.0 * a, 0.0, c, 0.0)
        )
        return np.sum(a * b) + count + np.sum(c)

    a, c = np.linspace(0.0, 1.0, 20), np.linspace(1.0, 2.0, 20)
    for f in (ahead, until):
        tape = tg.record(f, a, c)
        native = tape.compile()
        for _ in range(2):  # a call that runs out of room makes more
            value, slopes = native.value_and_gradient(a, c)
        wanted, exact = tape.value_and_gradient(a, c)
        assert value == pytest.approx(wanted, rel=1e-13)
        assert native(a, c) == value
        for slope, one in zip(slopes, exact, strict=True):
            np.testing.assert_allclose(slope, one, rtol=1e-12, atol=1e-14)
