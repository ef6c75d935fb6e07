"""Transforms of transforms: perturbations, orders, and what people build from them."""

import itertools

import numpy as np
import pytest
from scipy import optimize

import tapegrad as tg


def forward(f):
    return lambda x: tg.jvp(f, (x,), (1.0,))[1]


def linear(f):
    return lambda x: tg.linearize(f, x)[1](1.0)


def pulled(f):
    return lambda x: tg.vjp(f, x)[1](1.0)[0]


WAYS = {"jvp": forward, "grad": tg.grad, "linearize": linear, "vjp": pulled}


def waves(x):
    return np.sin(x) * np.exp(2.0 * x)


# (2 + i)^k is the factor of the k-th derivative of exp(2x) sin(x) = Im exp((2 + i) x)
def derivative(order, x):
    return ((2 + 1j) ** order * np.exp((2 + 1j) * x)).imag


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, repeat=2)))
def test_second_derivatives_by_all_ways(ways):
    f = WAYS[ways[0]](WAYS[ways[1]](waves))
    assert f(0.4) == pytest.approx(derivative(2, 0.4), rel=1e-13)
    tape = tg.record(f, 0.9)
    assert tape(0.4) == pytest.approx(derivative(2, 0.4), rel=1e-13)
    assert tape.gradient(0.4) == pytest.approx(derivative(3, 0.4), rel=1e-13)


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, repeat=3)))
def test_third_derivatives_by_all_ways(ways):
    f = waves
    for way in ways:
        f = WAYS[way](f)
    assert f(0.4) == pytest.approx(derivative(3, 0.4), rel=1e-13)


# -- perturbations -----------------------------------------------------------------


@pytest.mark.parametrize("outer", WAYS)
@pytest.mark.parametrize("inner", WAYS)
def test_a_closure_over_an_outer_variable(outer, inner):
    # Siskind and Pearlmutter (2005): d/dx [x * d/dy (x + y)] is 1, not 2
    f = WAYS[outer](lambda x: x * WAYS[inner](lambda y: x + y)(1.0))
    assert f(1.0) == 1.0
    # d/dx [x * d/dy (x * y)] at y = 2 is 2x
    assert WAYS[outer](lambda x: x * WAYS[inner](lambda y: x * y)(2.0))(3.0) == 6.0
    # the inner variable is the outer one
    assert WAYS[outer](lambda x: x * WAYS[inner](lambda y: x * y * y)(x))(3.0) == 54.0


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, repeat=3)))
def test_three_levels_read_each_other(ways):
    first, second, third = (WAYS[way] for way in ways)

    def f(x):
        def g(y):
            return third(lambda z: x * x * y * y * z * z)(x * y)

        return second(g)(x)

    # d/dz = 2 x^2 y^2 z at z = xy is 2 x^3 y^3; by y 6 x^3 y^2, at y = x: 6 x^5
    assert f(2.0) == 192.0
    assert first(f)(2.0) == 30 * 2.0**4


def test_the_curried_derivative_keeps_its_perturbation():
    # Manzyuk et al. (2019): D (x -> (g -> (y -> g(x + y)))) applied twice to itself
    def shift(x):
        return lambda g: lambda y: g(x + y)

    def d(f, x):
        return lambda g: lambda y: tg.jvp(lambda s: f(s)(g)(y), (x,), (1.0,))[1]

    slope = d(shift, 0.0)
    assert slope(slope(np.exp))(1.0) == pytest.approx(np.e, rel=1e-15)


def test_a_gradient_in_the_body_of_a_scan_in_a_gradient():
    def f(a):
        def body(x, t):
            slope = tg.grad(lambda y: a * y**3 + t * y)(x)
            return x + 0.1 * slope, slope

        end, slopes = tg.scan(body, a, np.array([0.5, -1.0, 2.0]))
        return end + slopes.sum()

    def by_hand(a):
        x, total = a, 0.0
        for t in (0.5, -1.0, 2.0):
            slope = 3 * a * x**2 + t
            x, total = x + 0.1 * slope, total + slope
        return x + total

    for f1, f2 in ((f, by_hand), (tg.grad(f), tg.grad(by_hand))):
        assert f1(0.4) == pytest.approx(f2(0.4), rel=1e-14)
    assert forward(tg.grad(f))(0.4) == pytest.approx(
        tg.grad(tg.grad(by_hand))(0.4), rel=1e-13
    )


def test_a_pushforward_captured_in_another_recording():
    _, push = tg.linearize(lambda x: x**3, 2.0)  # 12 dx
    assert tg.grad(lambda t: push(t) ** 2)(1.0) == 288.0
    assert tg.hessian(lambda t: push(t) ** 2)(1.0) == 288.0

    # linearized in a recording, at its Value, and used twice there
    def f(x):
        _, inner = tg.linearize(lambda z: z**3, x)
        return inner(x) + inner(1.0)

    assert tg.grad(f)(2.0) == 9 * 4.0 + 6 * 2.0  # 3x^3 + 3x^2
    _, pull = tg.vjp(lambda x: x * x, np.array([1.0, 2.0]))
    assert np.array_equal(
        tg.jacobian(lambda c: pull(c)[0])(np.ones(2)), [[2, 0], [0, 4]]
    )


def test_what_a_recording_made_is_of_no_use_after_it():
    kept = []

    def f(x):
        kept.append(tg.linearize(lambda z: z * x, x)[1])
        return x * x

    tg.grad(f)(2.0)
    with pytest.raises(tg.RecordError, match="recording"):
        kept[0](1.0)


# -- scipy's Rosenbrock function, unchanged ----------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_scipy_rosen(n):
    rng = np.random.default_rng(n)
    x, p = rng.uniform(-1.5, 1.5, (2, n))
    gradient, second = optimize.rosen_der(x), optimize.rosen_hess(x)
    product = optimize.rosen_hess_prod(x, p)
    tape = tg.record(optimize.rosen, np.zeros(n))
    close = {"rtol": 1e-12, "atol": 1e-12 * np.abs(second).max()}
    for found in (tg.grad(optimize.rosen)(x), tape.gradient(x)):
        np.testing.assert_allclose(found, gradient, **close)
    for found in (tg.hessian(optimize.rosen)(x), tape.hessian(x)):
        np.testing.assert_allclose(found, second, **close)
    for found in (tg.hvp(optimize.rosen, (x,), (p,)), tape.hvp(x, p)):
        np.testing.assert_allclose(found, product, **close)
    _, push = tg.linearize(tg.grad(optimize.rosen), x)
    np.testing.assert_allclose(push(p), product, **close)


def test_scipy_rosen_of_a_thousand_variables():
    n = 1000
    x, p = np.random.default_rng(0).uniform(-1.5, 1.5, (2, n))
    tape = tg.record(optimize.rosen, x)
    second = optimize.rosen_hess(x)
    close = {"rtol": 1e-12, "atol": 1e-12 * np.abs(second).max()}
    np.testing.assert_allclose(tape.gradient(x), optimize.rosen_der(x), **close)
    np.testing.assert_allclose(tape.hessian(x), second, **close)
    np.testing.assert_allclose(tape.hvp(x, p), optimize.rosen_hess_prod(x, p), **close)


# -- what people build -------------------------------------------------------------


def test_the_best_learning_rate_by_the_gradient_through_a_descent():
    # x_k = (I - rate A)^k x_0, so the loss is 1/2 x_0' A (I - rate A)^2k x_0
    a, start, steps = np.array([1.0, 3.0, 5.0]), np.array([1.0, -2.0, 0.5]), 6

    def loss(x):
        return 0.5 * (a * x * x).sum()

    def after(rate):
        x = start
        for _ in range(steps):
            x = x - rate * tg.grad(loss)(x)
        return loss(x)

    def scanned(rate):
        body = lambda _, x: x - rate * tg.grad(loss)(x)  # noqa: E731
        return loss(tg.fori_loop(0, steps, body, start))

    rate, k = 0.21, 2 * steps
    left = 1 - rate * a
    slope = -0.5 * k * (a**2 * left ** (k - 1) * start**2).sum()
    curve = 0.5 * k * (k - 1) * (a**3 * left ** (k - 2) * start**2).sum()
    for f in (after, scanned):
        assert tg.grad(f)(rate) == pytest.approx(slope, rel=1e-12)
        assert tg.hessian(f)(rate) == pytest.approx(curve, rel=1e-12)
    native = tg.compile(after, 0.1, level=0)
    assert native.gradient(rate) == pytest.approx(slope, rel=1e-12)
    assert native.hessian(rate) == pytest.approx(curve, rel=1e-12)


def test_the_hessian_of_the_solution_of_an_ode():
    # y' = -k y, y(0) = y0: Runge-Kutta's step multiplies by a polynomial of z = -k h
    steps, h = 50, 0.02

    def end(p):
        k, y0 = p

        def step(_, y):
            f = lambda y: -k * y  # noqa: E731
            a = f(y)
            b = f(y + 0.5 * h * a)
            c = f(y + 0.5 * h * b)
            d = f(y + h * c)
            return y + h / 6.0 * (a + 2.0 * b + 2.0 * c + d)

        return tg.fori_loop(0, steps, step, y0)

    k, y0 = 1.3, 2.0
    z = -k * h
    r = 1 + z + z**2 / 2 + z**3 / 6 + z**4 / 24
    r1, r2 = -h * (1 + z + z**2 / 2 + z**3 / 6), h * h * (1 + z + z**2 / 2)
    kk = y0 * (
        steps * (steps - 1) * r ** (steps - 2) * r1**2 + steps * r ** (steps - 1) * r2
    )
    ky = steps * r ** (steps - 1) * r1
    exact = [[kk, ky], [ky, 0.0]]
    found = tg.hessian(end)(np.array([k, y0]))
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-13)
    tape = tg.record(end, np.array([1.0, 1.0]))
    np.testing.assert_allclose(
        tape.hessian(np.array([k, y0])), exact, rtol=1e-12, atol=1e-13
    )
    # and of the equation: y0 t^2 exp(-kt), up to the error of the method
    t = steps * h
    assert found[0, 0] == pytest.approx(y0 * t * t * np.exp(-k * t), rel=1e-6)


def test_a_saddle_point_by_nested_descent():
    # min over x of max over y of f, with f concave in y: the saddle is at (c, A c)
    a = np.array([[1.0, 0.5], [-0.3, 0.8]])
    c = np.array([0.7, -1.1])

    def f(x, y):
        return ((x - c) ** 2).sum() + y @ (a @ x) - 0.5 * (y * y).sum()

    def inner(x):
        climb = lambda _, y: y + 0.5 * tg.grad(f, 1)(x, y)  # noqa: E731
        return tg.fori_loop(0, 60, climb, np.zeros(2))

    def outer(x):
        return f(x, inner(x))

    x = np.zeros(2)
    for _ in range(24):
        x = x - 0.35 * tg.grad(outer)(x)
    # grad of (x - c)^2 + 1/2 |A x|^2 is zero
    exact = np.linalg.solve(2 * np.eye(2) + a.T @ a, 2 * c)
    np.testing.assert_allclose(x, exact, rtol=1e-9)
    np.testing.assert_allclose(inner(x), a @ exact, rtol=1e-9)
    np.testing.assert_allclose(
        tg.hessian(outer)(x), 2 * np.eye(2) + a.T @ a, rtol=1e-9, atol=1e-9
    )
