"""Heat in a rod, written in place as NumPy users write it, and its derivatives.

u[1:-1] += k[1:] * (u[2:] - u[1:-1]) - k[:-1] * (u[1:-1] - u[:-2])      each time step

u holds temperatures at equal distances, the ends stay cold, and k[i] (dimensionless,
conductivity * dt / dx^2) belongs to the piece between points i and i + 1. Each write
makes a new version of u on the tape. With the derivative by k, a conductivity that
varies along the rod is found from how the rod looks at the end.
"""

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg
from tapegrad import Value

POINTS, STEPS = 31, 25


def rod(u, k, steps=STEPS):
    """Temperatures after some time steps."""
    u = u.copy()  # the caller keeps the first ones
    for _ in range(steps):
        u[1:-1] += k[1:] * (u[2:] - u[1:-1]) - k[:-1] * (u[1:-1] - u[:-2])
    return u


def misfit(u, k, seen, steps=STEPS):
    """Summed squares of what differs at the end."""
    off = rod(u, k, steps) - seen
    return np.sum(off * off)


def step_matrix(k):
    """One time step as a matrix."""
    matrix = np.eye(len(k) + 1)
    for i in range(1, len(k)):
        matrix[i, i - 1 : i + 2] += [k[i - 1], -k[i - 1] - k[i], k[i]]
    return matrix


def beside_jax(u, k, seen, gradients):
    """Compare with JAX, where it is installed; there a write is u.at[...].add."""
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared with it")
        return
    jax.config.update("jax_enable_x64", True)

    def theirs(u, k):
        for _ in range(STEPS):
            change = k[1:] * (u[2:] - u[1:-1]) - k[:-1] * (u[1:-1] - u[:-2])
            u = u.at[1:-1].add(change)
        return jax.numpy.sum((u - seen) ** 2)

    given = jax.numpy.asarray(u), jax.numpy.asarray(k)
    for mine, other in zip(gradients, jax.grad(theirs, (0, 1))(*given), strict=True):
        assert np.allclose(mine, other, rtol=1e-10, atol=1e-13)
    print("JAX agrees")


def main():
    """Check the physics and the derivatives, then find the conductivity."""
    x = np.linspace(0, 1, POINTS)
    even = np.full(POINTS - 1, 0.4)

    # A sine wave keeps its shape and decays by a factor that is known.
    wave = np.sin(np.pi * x)
    wave[-1] = 0.0
    factor = (1 - 4 * 0.4 * np.sin(np.pi / 2 / (POINTS - 1)) ** 2) ** STEPS
    assert np.allclose(rod(wave, even), factor * wave, rtol=0, atol=1e-14)
    leaf = Value(even)
    total = np.sum(rod(Value(wave), leaf))
    total.backward()
    assert np.isclose(total.data, factor * wave.sum(), rtol=1e-13)
    assert leaf.grad.shape == even.shape
    print(f"after {STEPS} steps a sine wave has {factor:.6f} of its height")

    powers = np.column_stack([np.ones_like(even), x[:-1], x[:-1] ** 2])
    true = np.array([0.25, 0.3, -0.2])
    start = np.exp(-50 * (x - 0.3) ** 2) + np.exp(-80 * (x - 0.75) ** 2)
    start[[0, -1]] = 0.0
    seen = rod(start, powers @ true)

    tape = tg.record(misfit, start, even, seen)
    du, dk, _ = tape.gradient(start, even, seen)
    matrix = np.linalg.matrix_power(step_matrix(even), STEPS)
    assert np.allclose(du, 2 * matrix.T @ (matrix @ start - seen), rtol=1e-11)
    print(f"recorded: {len(tape)} steps; by the first state as the matrix says")

    few = tg.record(lambda u, k: misfit(u, k, seen[:9], 5), start[:9], even[:8])
    exact = few.gradient(start[:9], even[:8], arithmetic="mpmath:50")
    found = few.gradient(start[:9], even[:8])
    for mine, other in zip(found, exact, strict=True):
        assert np.allclose(mine, other.astype(float), rtol=1e-11, atol=1e-15)
    print("50 digits agree")
    beside_jax(start, even, seen, (du, dk))

    native = tape.compile()

    def by_coefficients(c):
        value, (_, dk, _) = native.value_and_gradient(start, powers @ c, seen)
        return value, powers.T @ dk

    first, slope = by_coefficients(np.array([0.4, 0.0, 0.0]))
    assert np.isclose(first, misfit(start, even, seen), rtol=1e-12)
    assert np.allclose(slope, powers.T @ dk, rtol=1e-10)
    best = minimize(
        by_coefficients,
        [0.4, 0.0, 0.0],
        jac=True,
        method="BFGS",
        options={"gtol": 1e-12},
    )
    off = np.abs(best.x - true).max()
    assert off < 1e-6
    print(f"conductivity found in {best.nfev} calls: {best.x.round(6)}")


if __name__ == "__main__":
    main()
