"""Logistic regression by Newton's method, with exact Hessians and without any matrix.

    loss(w) = sum of softplus(x w) - y (x w)        y is 0 or 1, a row of x a case

First the O-rings of the space shuttle: 23 flights, two coefficients, Hessian by
`tg.hessian`, and the coefficients and standard errors that every textbook prints. Then
10,000 cases of 20 features, where conjugate gradients need only products of the Hessian
with a direction (`tg.hvp`): a forward sweep over a reverse sweep, no matrix. Both are
set beside the Hessian in closed form, x' diag(p (1 - p)) x.
"""

from pathlib import Path

import numpy as np

import tapegrad as tg

FLIGHTS = Path(__file__).parent / "data" / "challenger.csv"

# R: glm(distress ~ temperature, family = binomial)
PUBLISHED = ((15.0429, 7.3786), (-0.2322, 0.1082))


def loss(w, x, y):
    """Minus the logarithm of the likelihood; softplus(z) is log(1 + exp(z))."""
    z = x @ w
    return np.sum(tg.softplus(z) - y * z)


def closed_form(w, x, y):
    """Gradient and Hessian as a textbook has them."""
    p = 1 / (1 + np.exp(-(x @ w)))
    return x.T @ (p - y), x.T @ ((p * (1 - p))[:, None] * x)


def newton(slope, solve, w, rounds=30):
    """Where the slope is 0, and in how many steps of Newton's method."""
    for used in range(rounds):
        g = slope(w)
        if np.abs(g).max() < 1e-9:
            return w, used
        w = w - solve(w, g)
    raise RuntimeError("Newton's method did not settle")


def conjugate_gradients(product, b, rounds=100):
    """The solution of product(x) = b, and how many products it took."""
    x, r = np.zeros_like(b), b.copy()
    direction, size = r, r @ r
    enough = 1e-24 * size
    for used in range(rounds):
        if size <= enough:
            return x, used
        along = product(direction)
        step = size / (direction @ along)
        x, r = x + step * direction, r - step * along
        size, before = r @ r, size
        direction = r + size / before * direction
    raise RuntimeError("conjugate gradients did not settle")


def shuttle():
    """Two coefficients, beside the published ones."""
    table = np.loadtxt(FLIGHTS, delimiter=",", comments=["#", "temperature"])
    x = np.column_stack([np.ones(len(table)), table[:, 0]])
    y = table[:, 1]
    gradient, hessian = tg.grad(loss), tg.hessian(loss)

    w, rounds = newton(
        lambda w: gradient(w, x, y),
        lambda w, g: np.linalg.solve(hessian(w, x, y), g),
        np.zeros(2),
    )
    curvature = hessian(w, x, y)
    assert np.allclose(curvature, closed_form(w, x, y)[1], rtol=1e-12)
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
    print(f"O-rings: {rounds} steps of Newton's method")
    for name, mine, error, published in zip(
        ("intercept", "slope per F"), w, errors, PUBLISHED, strict=True
    ):
        print(f"  {name:12} {mine:9.4f} ({error:.4f})   R: {published[0]}")
        assert (round(mine, 4), round(error, 4)) == published
    for degrees in (31, 53, 70):
        chance = tg.sigmoid(w[0] + w[1] * degrees)
        print(f"  chance of distress at {degrees} F: {chance:.3f}")
    assert tg.sigmoid(w[0] + w[1] * 31) > 0.999, "the launch was at 31 F"


def without_a_matrix():
    """20 coefficients from 10,000 cases: the Hessian only ever meets a direction."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10_000, 20)) @ np.diag(np.linspace(0.3, 3.0, 20))
    truth = rng.normal(size=20)
    y = (rng.random(10_000) < 1 / (1 + np.exp(-(x @ truth)))).astype(float)

    start = np.zeros(20)
    native = tg.compile(lambda w: loss(w, x, y), start)
    products = []

    def solve(w, g):
        step, used = conjugate_gradients(lambda v: native.hvp(w, v), g)
        products.append(used)
        return step

    w, rounds = newton(native.gradient, solve, start)
    slope, curvature = closed_form(w, x, y)
    found = tg.hessian(loss)(w, x, y)
    direction = rng.normal(size=20)
    along = tg.hvp(lambda w: loss(w, x, y), (w,), (direction,))
    assert np.abs(slope).max() < 1e-8
    assert np.allclose(found, curvature, rtol=1e-11, atol=1e-9)
    assert np.allclose(along, curvature @ direction, rtol=1e-11, atol=1e-9)
    assert np.allclose(native.hvp(w, direction), along, rtol=1e-11, atol=1e-9)

    spread = np.sqrt(np.diag(np.linalg.inv(curvature)))
    off = np.abs((w - truth) / spread).max()
    print(f"10,000 x 20: {rounds} steps of Newton's method, {products} products each")
    print(f"  every coefficient within {off:.1f} standard errors of the true one")
    assert off < 4


def main():
    """Both."""
    shuttle()
    without_a_matrix()


if __name__ == "__main__":
    main()
