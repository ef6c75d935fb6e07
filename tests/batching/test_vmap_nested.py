"""Steps with sub-tapes under vmap: each lane as the function alone, in every order."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.batching import nested

RNG = np.random.default_rng(8)
X = RNG.normal(size=(4, 3))
A = np.array([3.0, 2.0, 9.0, 1.0])
S = np.array([1.5, 1.2, 1.1, 2.0])


def close(found, expected, rtol=1e-11):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-13)
    assert np.shape(found) == np.shape(expected)


@pytest.fixture
def slow(monkeypatch):
    """The steps that were computed lane by lane."""
    seen = []
    usual = nested.lane_by_lane

    def noted(b, row, xs, params):
        seen.append(row.name)
        return usual(b, row, xs, params)

    monkeypatch.setattr(nested, "lane_by_lane", noted)
    return seen


def lanes(args, axes):
    """What each call sees."""
    return [
        [
            x if axis is None else np.array(x[k])
            for x, axis in zip(args, axes, strict=True)
        ]
        for k in range(4)
    ]


def compare(f, args, axes):
    """f mapped, against f alone; every result."""
    given = [x[0] if axis is None else x for x, axis in zip(args, axes, strict=True)]
    found = tg.vmap(f, tuple(axes))(*given)
    alone = [tg.record(f, *lane)(*lane) for lane in lanes(given, axes)]
    several = isinstance(found, tuple)
    for y, parts in zip(
        found if several else (found,),
        zip(*alone, strict=True) if several else [alone],
        strict=True,
    ):
        close(y, np.stack([np.asarray(part) for part in parts]))


def all_orders(f, args, axes, orders=2):
    """Values, gradients and tangents of each lane, and gradients through vmap."""
    compare(f, args, axes)
    slopes = tg.grad(f, tuple(range(len(args))))
    compare(slopes, args, axes)

    def forward(*xs):
        dots = tuple(np.cos(x) for x in xs)
        return tg.jvp(f, xs, dots)[1]

    compare(forward, args, axes)
    if orders > 1:
        compare(tg.grad(lambda *xs: sum(np.sum(y**2) for y in slopes(*xs))), args, axes)
        compare(lambda *xs: tg.hvp(f, xs, tuple(np.cos(x) for x in xs)), args, axes)
    given = [x[0] if axis is None else x for x, axis in zip(args, axes, strict=True)]
    weights = np.arange(1.0, 5.0)

    def total(*xs):
        return np.sum(weights * tg.vmap(f, tuple(axes))(*xs))

    found = tg.grad(total, tuple(range(len(args))))(*given)
    each = [slopes(*lane) for lane in lanes(given, axes)]
    for place, (bar, axis) in enumerate(zip(found, axes, strict=True)):
        parts = [w * slope[place] for w, slope in zip(weights, each, strict=True)]
        close(bar, sum(parts) if axis is None else np.stack(parts))


AXES = [(0, 0), (0, None), (None, 0)]


# -- loops of a fixed length -----------------------------------------------------------


def weighted(x, a):
    """A carry that is batched, one that becomes it, one that never does."""

    def step(carry, e):
        c, d, n = carry
        return (c * np.tanh(e) + a, d + np.sum(c), n * 0.5), (c * e, n)

    (c, d, n), (ys, ns) = tg.scan(step, (np.ones(2), 0.0, 1.0), x)
    return np.sum(c) * d + n + np.sum(ys**2) + np.sum(ns)


@pytest.mark.parametrize("axes", AXES)
def test_a_scan(axes, slow):
    all_orders(weighted, (X, A), axes)
    assert not slow


def test_a_scan_stays_one_step_and_shares_what_it_can():
    def f(x):
        return tg.scan(lambda c, e: ((c[0] * e, c[1] * 0.5), c[1]), (1.0, 1.0), x)

    tape = tg.record(tg.vmap(f), X)
    (step,) = [step for step in tape if step.primitive.name == "scan"]
    body = step.params["tape"]
    assert [body.aval_of(slot)[0] for slot in body.inputs] == [(4,), (), (4,)]
    (_, shared), ys = tg.vmap(f)(X)
    close(shared, np.full(4, 0.125))
    close(ys, np.tile([1.0, 0.5, 0.25], (4, 1)))


def test_a_scan_in_reverse_with_snapshots_and_nested_results():
    def f(x, a):
        def step(carry, e):
            return {"c": carry["c"] * np.sin(e["x"]) + a}, [carry["c"]]

        carry, (ys,) = tg.scan(step, {"c": a}, {"x": x}, reverse=True, snapshots=2)
        return carry["c"] + np.sum(ys * x)

    for axes in AXES:
        all_orders(f, (X, A), axes, orders=1)


def test_places_of_a_loop():
    def f(x, a):
        return tg.fori_loop(0, 3, lambda i, c: c * x[i] + a, 1.0)

    for axes in AXES:
        all_orders(f, (X, A), axes)


def test_loops_in_loops_and_in_two_levels():
    def f(x, a):
        def step(c, e):
            return tg.fori_loop(0, 2, lambda i, d: np.sin(d * e) + a, c), None

        return tg.scan(step, 1.0, x)[0]

    for axes in AXES:
        all_orders(f, (X, A), axes, orders=1)
    both = tg.vmap(tg.vmap(tg.grad(f), (None, 0)), (0, None))(X, A)
    for i in range(4):
        for k in range(4):
            close(both[i, k], tg.grad(f)(X[i], A[k]))


def test_a_long_scan_in_native_code():
    def f(x):
        return tg.scan(lambda c, e: (np.sin(c + e), None), 0.0, x)[0]

    long = RNG.normal(size=(3, 2000))
    compiled = tg.compile(lambda x: np.sum(tg.vmap(f)(x)), long)
    value, slope = compiled.value_and_gradient(long)
    close(value, sum(f(x) for x in long))
    close(slope, np.stack([tg.grad(f)(x) for x in long]))


# -- loops that end by a condition -----------------------------------------------------


def newton(a):
    return tg.while_loop(
        lambda x: abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), a
    )


def growing(a, s):
    """A carry of several kinds; lanes end after 0 to 22 iterations."""

    def more(c):
        return c[0] < a

    def step(c):
        x, n, v = c
        return x * s + 0.01 * np.sum(v), n + 1, np.sin(v) * a

    x, n, v = tg.while_loop(more, step, (s, 0, np.array([0.1, 0.2]) * a))
    return x * x + np.sum(v * v) + n


@pytest.mark.parametrize("axes", AXES)
def test_a_while_loop(axes, slow):
    all_orders(growing, (A, S), axes)
    assert not slow


def test_lanes_that_have_ended_keep_their_carry():
    def f(a):
        return tg.while_loop(lambda c: c[1] < a, lambda c: (c[0] * 2, c[1] + 1), (a, 0))

    values, counts = tg.vmap(f)(np.array([3.0, 0.0, 1.0]))
    close(values, [24.0, 0.0, 2.0])
    assert counts.tolist() == [3, 0, 1]

    def steady(a):  # the numbers of an ended lane must not go on to infinity
        return tg.while_loop(lambda x: x < 1e3, lambda x: x * x, a)

    close(tg.vmap(steady)(np.array([1e3, 1.001])), [1e3, steady(1.001)])


def test_a_while_loop_whose_condition_all_lanes_share():
    def f(a, s):
        return tg.while_loop(
            lambda c: c[0] < a, lambda c: (c[0] + 1.0, c[1] * s), (0.0, s)
        )[1]

    all_orders(f, (A, S), (None, 0))
    tape = tg.record(tg.vmap(f, (None, 0)), 3.0, S)
    (step,) = [step for step in tape if step.primitive.name == "while_loop"]
    assert tape.aval_of(step.slots[0]) == ((), "float64"), "the counter is shared"


def test_roots_of_third_order_and_in_native_code(slow):
    third = tg.grad(tg.grad(tg.grad(newton)))
    compare(third, (A,), (0,))
    slopes = tg.vmap(tg.grad(newton))
    close(tg.compile(slopes, A)(A), slopes(A))
    close(tg.vmap(slopes)(A.reshape(2, 2)), slopes(A).reshape(2, 2))
    assert not slow


def test_a_truth_value_as_a_carry():
    def f(a):
        def step(c):
            x, _ = c
            return x * 1.5, x * 1.5 < a

        return tg.while_loop(lambda c: c[1], step, (1.0, np.array(True)))[0]

    compare(f, (A,), (0,))


# -- checkpoints, gradients of one's own, solutions ------------------------------------


@tg.checkpoint
def block(x, a):
    return np.sin(x * a) * np.sum(x), a * 2.0


def test_a_checkpoint(slow):
    def f(x, a):
        y, b = block(x, a)
        return np.sum(y**2) * b

    for axes in AXES:
        all_orders(f, (X, A), axes)
    tape = tg.record(tg.vmap(f), X, A)
    assert [s.primitive.name for s in tape].count("checkpoint") == 1
    assert not slow


@tg.custom_gradient
def scaled(x, a):
    """A pullback that is no derivative, so that one sees that it is used."""
    return np.sum(x) * a**2, lambda bar: (3 * bar * a * np.cos(x), 5 * bar * x[0])


def test_a_gradient_of_its_own(slow):
    def f(x, a):
        return scaled(x * 2, a) * a

    for axes in AXES:
        all_orders(f, (X, A), axes)
    found = tg.vmap(tg.grad(scaled, (0, 1)))(X, A)
    close(found[0], 3 * A[:, None] * np.cos(X))
    close(found[1], 5 * X[:, 0])
    assert not slow


def test_solutions_of_equations():
    root = tg.implicit(lambda y, a: y * y * y + a * y - 1, bisected)
    for make in (lambda f: f, tg.grad, lambda f: tg.grad(tg.grad(f))):
        compare(make(root), (A,), (0,))
    close(tg.grad(lambda a: np.sum(tg.vmap(root)(a)))(A), tg.vmap(tg.grad(root))(A))
    assert tg.vmap(root)(np.zeros(0)).shape == (0,)


def bisected(a):
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if middle**3 + a * middle - 1 > 0:
            high = middle
        else:
            low = middle
    return low


def test_no_lane_at_all():
    none = np.zeros((0, 3))
    assert tg.vmap(weighted)(none, np.zeros(0)).shape == (0,)
    assert tg.vmap(tg.grad(newton))(np.zeros(0)).shape == (0,)
    assert tg.vmap(tg.grad(scaled))(none, np.zeros(0)).shape == (0, 3)


def test_a_branch_inside_of_a_loop():
    def f(x, a):
        def step(c, e):
            return (c + e if c < a else c), None

        return tg.scan(step, 0.0, x)[0]

    with pytest.raises(tg.RecordError, match=r"test_vmap_nested\.py:\d+.*tg\.where"):
        tg.vmap(f)(X, A)
