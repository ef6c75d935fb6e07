"""A Kalman filter: the likelihood of noisy positions, by what moves and blurs them.

predict:   m <- F m,            P <- F P F' + q Q
update:    s = H P H' + r,      e = y - H m
           log p += -(e^2 / s + log(2 pi s)) / 2
           k = P H' / s,        m <- m + k e,      P <- P - k H P

F moves a position by its velocity. The loop is plain Python: its steps are recorded one
after the other. Parameters are the logarithms of q and r, and the first state.
"""

import math

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg

STEPS, DT = 20, 0.1
F = np.array([[1.0, DT], [0.0, 1.0]])
H = np.array([1.0, 0.0])
Q = np.array([[DT**3 / 3, DT**2 / 2], [DT**2 / 2, DT]])


def likelihood(parameters, observed, xp=np):
    """The logarithm of the likelihood of all observations."""
    logs, m = parameters["logs"], parameters["start"]
    q, r = xp.exp(logs[0]), xp.exp(logs[1])
    p = np.eye(2)
    total = 0.0
    for y in observed:
        m = F @ m
        p = F @ p @ F.T + q * Q
        seen = p @ H
        s = seen[0] + r
        e = y - m[0]
        total = total - 0.5 * (e * e / s + xp.log(2 * math.pi * s))
        k = seen / s
        m = m + k * e
        p = p - k[:, None] * seen[None, :]
    return total


def as_one_gaussian(parameters, observed):
    """The same by the covariance of all observations at once."""
    q, r = np.exp(parameters["logs"])
    steps = len(observed)
    powers = [np.linalg.matrix_power(F, k) for k in range(steps + 1)]
    mean = np.array([(powers[k] @ parameters["start"])[0] for k in range(1, steps + 1)])
    cov = np.empty((steps, steps))
    for a in range(1, steps + 1):
        for b in range(1, steps + 1):
            whole = powers[a] @ powers[b].T
            for j in range(1, min(a, b) + 1):
                whole = whole + powers[a - j] @ (q * Q) @ powers[b - j].T
            cov[a - 1, b - 1] = whole[0, 0] + r * (a == b)
    off = observed - mean
    _, logdet = np.linalg.slogdet(cov)
    log_two_pi = steps * math.log(2 * math.pi)
    return -0.5 * (off @ np.linalg.solve(cov, off) + logdet + log_two_pi)


def beside_jax(parameters, observed, value, gradient):
    """Compare with JAX, where it is installed."""
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared with it")
        return
    jax.config.update("jax_enable_x64", True)
    theirs = jax.value_and_grad(lambda p: likelihood(p, observed, jax.numpy))(
        {name: jax.numpy.asarray(part) for name, part in parameters.items()}
    )
    assert np.isclose(value, theirs[0], rtol=1e-12)
    for name, part in gradient.items():
        assert np.allclose(part, theirs[1][name], rtol=1e-10)
    print("JAX agrees")


def main():
    """Differentiate, compare, maximise."""
    rng = np.random.default_rng(5)
    state, observed = np.array([0.0, 1.0]), []
    for _ in range(STEPS):
        state = F @ state + np.linalg.cholesky(0.5 * Q) @ rng.normal(size=2)
        observed.append(state[0] + 0.2 * rng.normal())
    observed = np.array(observed)
    parameters = {"logs": np.log([0.3, 0.1]), "start": np.array([0.1, 0.5])}

    # Recorded with the observations as an argument, it serves any other series.
    tape = tg.record(likelihood, parameters, observed)
    value, (gradient, _) = tape.value_and_gradient(parameters, observed)
    print(f"log p = {value:.6f} in {len(tape)} steps")
    assert np.isclose(value, as_one_gaussian(parameters, observed), rtol=1e-11)
    print("one large Gaussian agrees")

    few = tg.record(lambda p: likelihood(p, observed[:10]), parameters)
    exact = few.gradient(parameters, arithmetic="mpmath:50")
    for name, part in few.gradient(parameters).items():
        assert np.allclose(part, exact[name].astype(float), rtol=1e-11)
    print("50 digits agree")
    beside_jax(parameters, observed, value, gradient)

    native = tape.compile()

    def down(flat):
        at = {"logs": flat[:2], "start": flat[2:]}
        value, (slopes, _) = native.value_and_gradient(at, observed)
        return -value, -np.concatenate([slopes["logs"], slopes["start"]])

    first = np.concatenate([parameters["logs"], parameters["start"]])
    best = minimize(down, first, jac=True, method="BFGS", options={"gtol": 1e-6})
    assert -best.fun > value
    assert np.abs(down(best.x)[1]).max() < 1e-5
    q, r = np.exp(best.x[:2])
    assert 0.01 < r < 0.16  # it was 0.04
    print(f"best: log p = {-best.fun:.6f} with q = {q:.3f}, r = {r:.4f}")


if __name__ == "__main__":
    main()
