"""Derivatives of programs that take derivatives: three classics.

1. Gradient descent is differentiated by its learning rate, twice, and Newton's method
   then finds the best rate (Maclaurin, Duvenaud & Adams 2015; on a quadratic, where the
   answer is a formula).
2. A saddle point, min over x of max over y, by descent whose every slope is taken
   through an inner ascent (Pearlmutter & Siskind 2008).
3. The Hessian of a differential equation's solution by what it starts from, in all four
   orders of forward and reverse mode.
"""

import numpy as np

import tapegrad as tg

# ------------------------------------------------------------- 1. learning rate

STIFFNESS = np.array([0.5, 1.0, 4.0])
FIRST = np.array([1.0, -2.0, 0.5])
STEPS = 20


def loss(w):
    """A bowl."""
    return 0.5 * np.sum(STIFFNESS * w * w)


def after_descent(rate):
    """The loss after some steps of gradient descent."""
    slope = tg.grad(loss)
    return loss(tg.fori_loop(0, STEPS, lambda _, w: w - rate * slope(w), FIRST))


def in_closed_form(rate):
    """The same and its derivatives: w shrinks by 1 - rate * stiffness a step."""
    shrinks, n = 1 - rate * STIFFNESS, 2 * STEPS
    weight = 0.5 * FIRST**2
    return (
        np.sum(weight * STIFFNESS * shrinks**n),
        np.sum(-n * weight * STIFFNESS**2 * shrinks ** (n - 1)),
        np.sum(n * (n - 1) * weight * STIFFNESS**3 * shrinks ** (n - 2)),
    )


def learning_rate():
    """Slope and curvature by the rate, and the best rate."""
    slope = tg.grad(after_descent)
    curvature = tg.grad(slope)
    found = after_descent(0.3), slope(0.3), curvature(0.3)
    assert np.allclose(found, in_closed_form(0.3), rtol=1e-12)

    rate = 0.42
    for _ in range(20):
        step = slope(rate) / curvature(rate)
        rate -= step
        if abs(step) < 1e-12:
            break
    _, left, bent = in_closed_form(rate)
    assert abs(left) < 1e-9 * bent
    assert bent > 0
    print(f"best learning rate {rate:.10f}: loss {after_descent(rate):.3e}")
    print(f"  a hundredth more: {after_descent(rate + 0.01):.3e}")
    print(f"  a hundredth less: {after_descent(rate - 0.01):.3e}")
    assert after_descent(rate) < min(map(after_descent, (rate - 0.01, rate + 0.01)))


# --------------------------------------------------------------- 2. saddle point

A = np.array([[2.0, 0.3], [0.3, 1.0]])
B = np.array([[1.0, -0.5], [0.2, 0.8]])
C = np.array([[1.5, 0.1], [0.1, 1.0]])
P, Q = np.array([1.0, -1.0]), np.array([0.5, 2.0])


def height(x, y):
    """Rises in x, falls in y, and couples them."""
    return 0.5 * x @ A @ x + x @ B @ y - 0.5 * y @ C @ y - P @ x + Q @ y


def highest(x):
    """The maximum over y, by ascent."""
    uphill = tg.grad(height, 1)
    y = tg.fori_loop(0, 60, lambda _, y: y + 0.5 * uphill(x, y), np.zeros(2))
    return height(x, y), y


def saddle_point():
    """The minimum of that by x, by descent."""
    downhill = tg.compile(tg.grad(lambda x: highest(x)[0]), np.zeros(2))
    x = np.zeros(2)
    for _ in range(60):
        x = x - 0.3 * downhill(x)
    _, y = highest(x)
    matrix = np.block([[A, B], [B.T, -C]])
    exact = np.linalg.solve(matrix, np.concatenate([P, -Q]))
    off = np.abs(np.concatenate([x, y]) - exact).max()
    print(f"saddle point at x = {x.round(6)}, y = {y.round(6)}, within {off:.0e}")
    assert off < 1e-9


# ------------------------------------------------- 3. a differential equation


def grown(p):
    """u(2) of u' = r u (1 - u / limit), the logistic equation, by Runge and Kutta."""
    r, limit, u = p[0], p[1], p[2]
    h = 0.02

    def rate(u):
        return r * u * (1 - u / limit)

    def step(_, u):
        k1 = rate(u)
        k2 = rate(u + h / 2 * k1)
        k3 = rate(u + h / 2 * k2)
        return u + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(u + h * k3))

    return tg.fori_loop(0, 100, step, u)


def verhulst(p):
    """The solution as Verhulst wrote it in 1838."""
    r, limit, u = p[0], p[1], p[2]
    return limit / (1 + (limit - u) / u * np.exp(-2 * r))


def forward(f):
    """The gradient in forward mode: one sweep a direction."""
    return lambda p: np.stack([tg.jvp(f, (p,), (e,))[1] for e in np.eye(3)])


def forward_rows(f):
    """The Jacobian of a vector in forward mode; columns side by side."""
    return lambda p: np.stack([tg.jvp(f, (p,), (e,))[1] for e in np.eye(3)], axis=1)


def reverse_rows(f):
    """The Jacobian of a vector in reverse mode; row by row."""

    def rows(p):
        _, pullback = tg.vjp(f, p)
        return np.stack([pullback(e)[0] for e in np.eye(3)])

    return rows


def differential_equation():
    """Second derivatives by growth, limit and start, four ways."""
    p = np.array([1.2, 3.0, 0.4])
    exact = tg.hessian(verhulst)(p)
    ways = {
        "forward over reverse": forward_rows(tg.grad(grown)),
        "reverse over reverse": reverse_rows(tg.grad(grown)),
        "forward over forward": forward_rows(forward(grown)),
        "reverse over forward": reverse_rows(forward(grown)),
    }
    first = tg.hessian(grown)(p)
    for name, way in ways.items():
        found = way(p)
        off = np.abs(found - exact).max()
        print(f"Hessian of the solution, {name}: within {off:.0e} of Verhulst's")
        assert off < 1e-7, "what a step of 0.02 leaves"
        assert np.allclose(found, first, rtol=1e-11, atol=1e-12)


def main():
    """All three."""
    learning_rate()
    saddle_point()
    differential_equation()


if __name__ == "__main__":
    main()
