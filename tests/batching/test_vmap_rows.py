"""Every row of the table under vmap, against a loop over the lanes.

Values, gradients of one lane, gradients through vmap, and forward mode; every choice of
batched operands; lanes along the first axis and along the last. A new row is tested
unasked.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.batching import reading
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import operand
from tapegrad.rules import TABLE

LANES = 3
ENTRYWISE = [row for row in TABLE if row.kind in reading.ENTRYWISE]
WHOLE = [row for row in TABLE if row.whole]
# Shapes in one lane of the operands of an elementwise row.
SHAPES = {
    1: [[()], [(3,)], [(2, 3)], [(0,)]],
    2: [[(), ()], [(3,), (2, 3)], [(2, 1), (3,)], [(), (2,)], [(0,), ()]],
    3: [[(), (), ()], [(3,), (2, 3), ()], [(2, 3), (3,), (2, 1)], [(), (), (0,)]],
}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)
    assert np.shape(found) == np.shape(expected)


def inside(interval, shape, rng):
    """Numbers in an operand's domain, away from its ends."""
    low, high = max(interval[0], -0.9), min(interval[1], 2.5)
    if low >= high:
        low, high = interval[0] + 0.5, interval[0] + 2.0
    return rng.uniform(low + 0.1 * (high - low), high - 0.1 * (high - low), shape)


def entrywise(row, shapes, rng):
    found = []
    for place, shape in enumerate(shapes):
        wide = (LANES, *shape)
        truth = row.name.startswith("logical_") or (row.kind == "select" and not place)
        interval = row.domain[place]
        found.append(
            rng.normal(size=wide) > 0 if truth else inside(interval, wide, rng)
        )
    return found


def whole(sample, rng):
    kinds = sample.make or ("real",) * len(sample.shapes)
    return [
        np.stack([np.asarray(operand(kind, shape, rng)) for _ in range(LANES)])
        for kind, shape in zip(kinds, sample.shapes, strict=True)
    ]


def choices(count):
    """Which operands are batched: every choice, or each alone and all of them."""
    if count <= 3:
        return [c for c in itertools.product((True, False), repeat=count) if any(c)]
    return [tuple(i == k for i in range(count)) for k in range(count)] + [
        (True,) * count
    ]


def split(operands, chosen):
    """Arguments, and their in_axes: lanes in front or last by turns."""
    args, axes = [], []
    for place, (x, batched) in enumerate(zip(operands, chosen, strict=True)):
        if not batched:
            args.append(x[0] if x[0].ndim else x[0].copy())
            axes.append(None)
        elif place % 2:
            args.append(np.moveaxis(x, 0, -1))
            axes.append(-1)
        else:
            args.append(x)
            axes.append(0)
    return args, tuple(axes)


def lane(operands, chosen, k):
    return [
        np.array(x[k if batched else 0])
        for x, batched in zip(operands, chosen, strict=True)
    ]


def flat(ys):
    return ys if isinstance(ys, tuple) else (ys,)


def check(row, operands, params):
    """One row at operands that have lanes in front."""

    def f(*xs):
        return apply(row, *xs, **params)

    free = [i for i, x in enumerate(operands) if x.dtype.kind == "f"]
    smooth = row.kind in SMOOTH and free

    def total(*xs):
        weighted = 0.0
        for number, y in enumerate(flat(f(*xs))):
            weight = np.cos(np.arange(np.size(y)) + number).reshape(np.shape(y))
            weighted = weighted + np.sum(weight * y)
        return weighted

    if row.name == "lstsq":  # values of the first row only depend on the sample
        smooth = smooth and operands[0].shape[-2] >= operands[0].shape[-1]
    slopes = tg.grad(total, tuple(free)) if smooth else None
    for chosen in choices(len(operands)):
        args, axes = split(operands, chosen)
        lanes = [lane(operands, chosen, k) for k in range(LANES)]
        expected = [flat(tg.record(f, *xs)(*xs)) for xs in lanes]
        found = flat(tg.vmap(f, axes)(*args))
        for y, parts in zip(found, zip(*expected, strict=True), strict=True):
            close(y, np.stack(parts))
            assert np.asarray(y).dtype == np.asarray(parts[0]).dtype
        if not smooth:
            continue
        each = [slopes(*xs) for xs in lanes]
        made = tg.vmap(slopes, axes)(*args)
        for y, parts in zip(made, zip(*each, strict=True), strict=True):
            close(y, np.stack(parts))
        through(total, args, axes, free, each)
        forward(total, args, axes, free, each)


def through(total, args, axes, free, each):
    """The gradient of a weighted sum over the lanes."""
    weights = np.arange(1.0, LANES + 1)

    def all_lanes(*xs):
        return np.sum(weights * tg.vmap(total, axes)(*xs))

    found = tg.grad(all_lanes, tuple(free))(*args)
    for place, bar in zip(free, found, strict=True):
        mine = [
            w * slope[free.index(place)] for w, slope in zip(weights, each, strict=True)
        ]
        if axes[place] is None:
            close(bar, sum(mine))
        else:
            close(bar, np.moveaxis(np.stack(mine), 0, axes[place]))


def forward(total, args, axes, free, each):
    """Tangents along one direction, of all lanes at once."""
    rng = np.random.default_rng(5)
    dots = [
        rng.normal(size=x.shape) if i in free else np.zeros(x.shape)
        for i, x in enumerate(args)
    ]
    moving = [args[i] for i in free]

    def mapped(*xs):
        given = list(args)
        for i, x in zip(free, xs, strict=True):
            given[i] = x
        return tg.vmap(total, axes)(*given)

    _, found = tg.jvp(mapped, tuple(moving), tuple(dots[i] for i in free))
    expected = []
    for k, slopes in enumerate(each):
        parts = 0.0
        for i, slope in zip(free, slopes, strict=True):
            dot = dots[i] if axes[i] is None else np.take(dots[i], k, axes[i])
            parts += np.sum(dot * slope)
        expected.append(parts)
    close(found, np.array(expected))


@pytest.mark.parametrize("row", ENTRYWISE, ids=[row.name for row in ENTRYWISE])
def test_an_entrywise_row(row):
    rng = np.random.default_rng(len(row.name))
    for number, shapes in enumerate(SHAPES[row.arity]):
        params = row.params[number % len(row.params)]
        check(row, entrywise(row, shapes, rng), dict(params))


@pytest.mark.parametrize("row", WHOLE, ids=[row.name for row in WHOLE])
def test_a_row_of_whole_arrays(row):
    rng = np.random.default_rng(len(row.name))
    for sample in row.samples:
        check(row, whole(sample, rng), dict(sample.params))


@pytest.mark.parametrize("row", WHOLE, ids=[row.name for row in WHOLE])
def test_no_row_goes_lane_by_lane(row):
    assert reading.rule_of(row) is not reading.lane_by_lane, (
        "right, but slow: say at the row how it takes one more axis (`lanes=`)"
    )


def test_a_value_of_fewer_axes_is_written_in_every_lane():
    rng = np.random.default_rng(2)
    wide = [rng.normal(size=(LANES, *shape)) for shape in ((4, LANES), (LANES,), ())]
    key = ((0, 4, 1), (0, LANES, 1))
    for value in wide[1:]:
        check(TABLE["index_set"], [wide[0], value], {"key": key})
    at = rng.integers(0, 4, (LANES, 2))
    for value in wide[1:]:
        operands = [wide[0], value, at]
        check(TABLE["gather_set"], operands, {"key": ("a", (0, LANES, 1))})
