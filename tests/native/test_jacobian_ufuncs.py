"""Jacobians at many points; tapes of short arrays run in lanes as numbers do."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native.arraycalls import build_arrays
from tapegrad.native.options import DEFAULT
from tapegrad.native.ufuncs import LANES, _laned, _numbers


def polar(r, angle, scale):
    return r * np.cos(angle) * scale, r * np.sin(angle) / scale, scale


def turned(axis, point, scale):
    """A rotation by Rodrigues' formula, entry by entry."""
    a, b, c = axis[0], axis[1], axis[2]
    x, y, z = point[0], point[1], point[2]
    angle = np.sqrt(a * a + b * b + c * c)
    sine, rest = np.sin(angle) / angle, (1.0 - np.cos(angle)) / (angle * angle)
    along = (a * x + b * y + c * z) * rest
    cosine = np.cos(angle)
    u = cosine * x + sine * (b * z - c * y) + along * a
    v = cosine * y + sine * (c * x - a * z) + along * b
    w = cosine * z + sine * (a * y - b * x) + along * c
    return np.stack([u / w, v / w]) * scale


def rotations(*shape):
    rng = np.random.default_rng(4)
    point = rng.normal(size=(*shape, 3)) + np.array([0.0, 0.0, 8.0])
    return rng.normal(size=(*shape, 3)), point, rng.uniform(0.5, 2.0, shape)


@pytest.mark.parametrize("count", [1, LANES - 1, LANES + 3])
def test_an_output_for_each_pair(count) -> None:
    made = tg.compile(polar, 1.0, 1.0, 1.0)
    rng = np.random.default_rng(0)
    points = rng.uniform(0.5, 2.0, (3, count))
    found = made.jacobian_ufunc()(*points)
    assert len(found) == 9
    for at in {0, count // 2, count - 1}:
        wanted = np.ravel(made.jacobian(*map(float, points[:, at])))
        got = [part[at] for part in found]
        np.testing.assert_allclose(got, wanted, rtol=4e-16, atol=2e-16)


def test_blocks_are_written_where_they_are_wanted() -> None:
    made = tg.compile(polar, 1.0, 1.0, 1.0)
    r, angle = np.linspace(0.5, 2.0, 700), np.linspace(-1.0, 1.0, 700)
    blocks = np.full((700, 3, 2), np.nan)
    out = tuple(blocks[:, i, j] for i in range(3) for j in range(2))
    by = made.jacobian_ufunc(argnums=(0, -2))
    by(r, angle, 2.0, out=out)
    np.testing.assert_array_equal(blocks.reshape(700, 6).T, by(r, angle, 2.0))
    np.testing.assert_array_equal(blocks[:, 2], 0.0)
    np.testing.assert_allclose(blocks[:, 0, 1], -2.0 * r * np.sin(angle), rtol=1e-15)
    assert "jacobian (0, -2) ufunc" in made.report.parts
    assert made.jacobian_ufunc(argnums=(0, -2)) is by


@pytest.mark.parametrize("count", [1, 30, LANES, 2 * LANES + 1])
def test_short_arrays_in_lanes(count) -> None:
    axis, point, scale = rotations(count)
    made = tg.compile(turned, axis[0], point[0], 1.0)
    u, by = made.ufunc(), made.jacobian_ufunc()
    assert by.signature == "(3),(3),()->(2,3),(2,3),(2)"
    values, parts = u(axis, point, scale), by(axis, point, scale)
    for at in {0, count // 2, count - 1}:
        given = axis[at], point[at], float(scale[at])
        np.testing.assert_allclose(values[at], made(*given), rtol=1e-15, atol=1e-15)
        for part, one in zip(parts, made.jacobian(*given), strict=True):
            np.testing.assert_allclose(part[at], one, rtol=1e-14, atol=1e-15)
    # wherever the entries stand
    wide = np.zeros((count, 7))
    wide[:, ::2][:, :3] = axis
    outs = tuple(np.empty((*p.shape[::-1],)).T for p in parts)
    by(wide[:, ::2][:, :3], np.asfortranarray(point), scale, out=outs)
    for part, out in zip(parts, outs, strict=True):
        np.testing.assert_array_equal(out, part)


def test_short_arrays_in_place() -> None:
    made = tg.compile(lambda x: np.stack([x[1] * 2.0, x[0] + x[1]]), np.ones(2)).ufunc()
    x = np.arange(2.0 * (LANES + 9)).reshape(-1, 2)
    wanted = np.stack([2.0 * x[:, 1], x[:, 0] + x[:, 1]], axis=1)
    made(x, out=x)
    np.testing.assert_array_equal(x, wanted)


def test_gradients_of_short_arrays() -> None:
    def f(x, y):
        return x[0] * y + np.exp(x[1] * x[2])

    made = tg.compile(f, np.ones(3), 1.0)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 1, 3)), rng.normal(size=4)
    value, dx, dy = made.gradient_ufunc(value=True)(x, y)
    assert dx.shape == (5, 4, 3)
    for i, j in np.ndindex(5, 4):
        one, (ex, ey) = made.value_and_gradient(x[i, 0], float(y[j]))
        np.testing.assert_allclose(value[i, j], one, rtol=1e-15)
        np.testing.assert_allclose(dx[i, j], ex, rtol=1e-15)
        np.testing.assert_allclose(dy[i, j], ey, rtol=1e-15)


def test_zeros_of_a_jacobian_are_structural() -> None:
    def roots(x):
        return np.stack([np.sqrt(x[0]) * x[1], x[1] * x[1], x[0] + x[1]])

    by = tg.compile(roots, np.ones(2)).jacobian_ufunc()
    found = by(np.array([[0.0, 1.0], [4.0, 0.0]]))
    assert found[0].tolist() == [[np.inf, 0.0], [0.0, 2.0], [1.0, 1.0]]
    assert found[1].tolist() == [[0.0, 2.0], [0.0, 0.0], [1.0, 1.0]]


def test_lanes_are_few_nests() -> None:
    """Everything but the functions that are called is one loop."""

    def numbers(*xs):
        found = turned(xs[:3], xs[3:6], xs[6])
        return found[0], found[1]

    # the angle, its sine and cosine stand in memory
    room = 4 * 8 * LANES + 64 * 8
    for tape, count in (
        (tg.record(numbers, *np.ones(7)), 7),
        (tg.record(turned, np.ones(3), np.ones(3), 1.0), 3),
    ):
        flat = _numbers(tape, "jacobian", range(count))
        assert flat is not None
        kernel = build_arrays(lambda flat=flat: _laned(flat), DEFAULT, LANES)
        assert kernel.arena.nbytes <= room


def test_refused() -> None:
    made = tg.compile(lambda m: m @ m, np.eye(3))
    with pytest.raises(tg.CompileError, match=r"output 0 is of shape \(3, 3\)"):
        made.jacobian_ufunc()
    with pytest.raises(tg.CompileError, match="argnums=\\(3,\\), but .* 3 positional"):
        tg.compile(polar, 1.0, 1.0, 1.0).jacobian_ufunc(argnums=(3,))
    with pytest.raises(tg.CompileError, match="branches|branch"):
        tg.compile(lambda x: x if x > 0 else -x, 1.0).jacobian_ufunc()
