"""Transforms of steps with rules of their own, of vmap, and of tg.function."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.transforms import dense

X = np.linspace(0.2, 1.3, 10)


@tg.custom_gradient
def product(x):
    e = np.exp(x)
    return e * x, lambda bar: bar * (e * x + e)


def root(a):
    y = np.zeros_like(a)
    for _ in range(60):
        y = y - (y**3 + y - a) / (3 * y * y + 1)
    return y


solved = tg.implicit(lambda y, a: y**3 + y - a, root)
TIMES = np.array([0.5, 2.0, 1.0])

FUNCTIONS = {
    "scan": lambda x: tg.scan(lambda c, t: (np.sin(c) * t, c.sum()), x, TIMES)[0],
    "fori": lambda x: tg.fori_loop(0, 4, lambda _, c: c * np.cos(c) + x, x),
    "while": lambda x: tg.while_loop(
        lambda c: c.sum() < 30.0, lambda c: c * 1.5 + np.sin(x), x
    ),
    "checkpoint": tg.checkpoint(lambda z: np.sin(z) * z[::-1]),
    "custom": lambda x: product(x) * x[::-1],
    "implicit": lambda x: solved(x) * x,
    "solve": lambda x: np.linalg.solve(np.diag(x) + np.outer(x, x) + 3 * np.eye(10), x),
    "cholesky": lambda x: np.linalg.cholesky(np.outer(x, x) + 3 * np.eye(10))[:, 0],
    "eigh": lambda x: np.linalg.eigh(np.diag(x) + np.outer(x, x))[0],
    "sort": lambda x: np.sort(np.sin(5 * x)) * x,
    "gather": lambda x: x[np.array([3, 1, 0, 2, 2, 9, 8, 7, 6, 5])] * x,
    "function": tg.function(lambda x: np.sin(x) * x.sum()),
    "vmap": tg.vmap(lambda x: np.sin(x) * x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_seeds_together_give_what_they_give_one_by_one(name, monkeypatch):
    f = FUNCTIONS[name]
    number = lambda x: (f(x) ** 2).sum()  # noqa: E731
    together = tg.jacobian(f)(X), tg.hessian(number)(X)
    recorded = tg.record(tg.jacobian(f), X)(X)
    _, push = tg.linearize(f, X)
    _, pull = tg.vjp(f, X)
    pushed = np.stack([push(e) for e in np.eye(10)], axis=-1)
    pulled = np.stack([pull(e)[0] for e in np.eye(10)])
    monkeypatch.setattr(dense, "FEW", 10**9)
    jacobian, hessian = tg.jacobian(f)(X), tg.hessian(number)(X)
    close = {"rtol": 1e-12, "atol": 1e-12 * np.abs(jacobian).max()}
    for found in (together[0], recorded, pushed, pulled):
        np.testing.assert_allclose(found, jacobian, **close)
    np.testing.assert_allclose(
        together[1], hessian, rtol=1e-12, atol=1e-12 * np.abs(hessian).max()
    )


def test_vmap_of_transforms_and_the_reverse():
    f = lambda y: np.sin(y) * y.sum()  # noqa: E731
    exact = tg.jacobian(f)(X)
    close = {"rtol": 1e-13, "atol": 1e-14}
    pushed = tg.vmap(tg.linearize(f, X)[1], out_axes=1)(np.eye(10))
    np.testing.assert_allclose(pushed, exact, **close)
    (pulled,) = tg.vmap(tg.vjp(f, X)[1])(np.eye(10))
    np.testing.assert_allclose(pulled, exact, **close)
    slopes, aux = tg.vmap(tg.grad(lambda z: (z**3, 2.0 * z), has_aux=True))(X)
    np.testing.assert_allclose(slopes, 3 * X**2, **close)
    np.testing.assert_array_equal(aux, 2.0 * X)
    seconds = tg.vmap(tg.grad(lambda z: tg.linearize(np.tanh, z)[1](1.0)))(X)
    t = np.tanh(X)
    np.testing.assert_allclose(seconds, -2 * t * (1 - t * t), **close)


def test_transforms_of_a_function_with_paths():
    @tg.function
    def f(x):
        return x**3 if x > 0 else -x

    assert [tg.grad(f)(x) for x in (2.0, -2.0)] == [12.0, -1.0]
    assert [tg.hessian(f)(x) for x in (2.0, -2.0)] == [12.0, 0.0]
    assert tg.linearize(f, 2.0)[1](1.0) == 12.0
    assert tg.value_and_grad(lambda x: (f(x), {"x": x}), has_aux=True)(2.0) == (
        (8.0, {"x": 2.0}),
        12.0,
    )


def test_sparse_and_taylor_of_a_gradient():
    slope = tg.grad(lambda z: (z[1:] * z[:-1] ** 2).sum())
    dense_one = tg.jacobian(slope)(X)
    np.testing.assert_allclose(
        tg.sparse_jacobian(slope, X)(X).toarray(), dense_one, rtol=1e-14
    )
    found = tg.taylor(tg.grad(lambda z: z**3), 2.0, 1.0, 3)
    np.testing.assert_allclose(found, [12.0, 12.0, 3.0, 0.0])
