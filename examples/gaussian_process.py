"""A Gaussian process: the marginal likelihood by Cholesky, and its best parameters.

log p(y) = -y' K^-1 y / 2 - sum of log diag(L) - n/2 log(2 pi),      K = L L'
K = signal^2 exp(-(x_i - x_j)^2 / (2 length^2)) + noise^2 I

(Rasmussen & Williams 2006, algorithm 2.1; equation 5.9 gives the gradient by hand.)
"""

import math

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg

N = 25


def covariance(xp, logs, x):
    """K by the logarithms of length, signal and noise."""
    length, signal, noise = (xp.exp(log) for log in logs)
    distance = (x[:, None] - x[None, :]) / length
    smooth = signal**2 * xp.exp(-0.5 * distance**2)
    return smooth + noise**2 * np.eye(len(x))


def likelihood(logs, x, y, xp=np, solve_triangular=tg.linalg.solve_triangular):
    """The logarithm of the marginal likelihood."""
    factor = xp.linalg.cholesky(covariance(xp, logs, x))
    white = solve_triangular(factor, y, lower=True)
    logs_of_diagonal = xp.log(xp.diagonal(factor))
    return (
        -0.5 * (white @ white)
        - xp.sum(logs_of_diagonal)
        - 0.5 * len(x) * math.log(2 * math.pi)
    )


def gradient_by_hand(logs, x, y):
    """Half the trace of (a a' - K^-1) dK, with a = K^-1 y."""
    length, _, noise = np.exp(logs)
    k = covariance(np, logs, x)
    square = ((x[:, None] - x[None, :]) / length) ** 2
    smooth = k - noise**2 * np.eye(len(x))
    inverse = np.linalg.inv(k)
    a = inverse @ y
    inner = np.outer(a, a) - inverse
    changes = [smooth * square, 2 * smooth, 2 * noise**2 * np.eye(len(x))]
    return np.array([0.5 * np.sum(inner * change) for change in changes])


def beside_jax(logs, x, y, value, gradient):
    """Compare with JAX, where it is installed."""
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared with it")
        return
    jax.config.update("jax_enable_x64", True)
    from jax.scipy.linalg import solve_triangular

    theirs = jax.value_and_grad(
        lambda logs: likelihood(logs, x, y, jax.numpy, solve_triangular)
    )(logs)
    assert np.isclose(value, theirs[0], rtol=1e-12)
    assert np.allclose(gradient, theirs[1], rtol=1e-8)
    print("JAX agrees")


def main():
    """Differentiate, compare, maximise."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(-3, 3, N))
    y = np.sin(2 * x) + 0.1 * rng.normal(size=N)
    logs = np.log([0.8, 1.3, 0.3])

    tape = tg.record(lambda logs: likelihood(logs, x, y), logs)
    value, gradient = tape.value_and_gradient(logs)
    print(f"log p(y) = {value:.6f} in {len(tape)} steps; gradient {gradient}")
    assert np.allclose(gradient, gradient_by_hand(logs, x, y), rtol=1e-9)

    # Six points in 50 digits: products of matrices are slow there.
    few = tg.record(lambda logs: likelihood(logs, x[::4], y[::4]), logs)
    exact = few.gradient(logs, arithmetic="mpmath:50").astype(float)
    assert np.allclose(few.gradient(logs), exact, rtol=1e-11)
    print("50 digits agree")
    beside_jax(logs, x, y, value, gradient)

    native = tape.compile()
    assert np.allclose(native.gradient(logs), gradient, rtol=1e-9)

    def down(logs):
        value, gradient = native.value_and_gradient(logs)
        return -value, -gradient

    best = minimize(down, logs, jac=True, method="BFGS", options={"gtol": 1e-6})
    length, signal, noise = np.exp(best.x)
    assert -best.fun > value
    assert np.abs(tape.gradient(best.x)).max() < 1e-4
    assert 0.05 < noise < 0.2  # it was 0.1
    print(
        f"best: log p(y) = {-best.fun:.6f} with length {length:.3f}, "
        f"signal {signal:.3f}, noise {noise:.3f} after {best.nfev} calls"
    )
    # The curvature there says how sure it is.
    spread = np.sqrt(np.diag(np.linalg.inv(-tape.hessian(best.x))))
    assert np.all(np.isfinite(spread))
    print("standard errors of the logarithms:", spread.round(3))


if __name__ == "__main__":
    main()
