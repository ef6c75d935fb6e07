"""A mixture of Gaussians: its log-likelihood with a Wishart prior, in ADBench's form.

log p = sum over points of logsumexp over k of
            (a_k + sum of q_k - |Q_k (x - m_k)|^2 / 2)   - n logsumexp(a) + prior

Q_k is lower triangular, with exp(q_k) on its diagonal and l_k below; the prior is
gamma^2 / 2 (|exp(q)|^2 + |l|^2), as in the benchmark (Srajer, Kukelova & Fitzgibbon
2018), whose constants are left out: they have no derivative.
"""

import numpy as np

import tapegrad as tg

POINTS, DIMENSIONS, COMPONENTS, GAMMA = 60, 3, 4, 1.0


def likelihood(parameters, x, xp=np, logsumexp=tg.logsumexp):
    """The logarithm of the likelihood and of the prior, without constants."""
    a, means, logs, below = (parameters[name] for name in ("a", "m", "q", "l"))
    k, d = logs.shape
    # Where each entry of a factor stands among the lower ones; zero is the last.
    places = np.full((d, d), d * (d - 1) // 2)
    places[np.tril_indices(d, -1)] = np.arange(d * (d - 1) // 2)
    lower = xp.concatenate([below, np.zeros((k, 1))], axis=1)[:, places]
    centred = x[None, :, :] - means[:, None, :]
    mapped = xp.exp(logs)[:, None, :] * centred + centred @ xp.swapaxes(lower, 1, 2)
    inner = (a + xp.sum(logs, axis=1))[:, None] - 0.5 * xp.sum(mapped**2, axis=2)
    prior = 0.5 * GAMMA**2 * (xp.sum(xp.exp(2 * logs)) + xp.sum(below * below))
    return xp.sum(logsumexp(inner, axis=0)) - len(x) * logsumexp(a) + prior


def by_loops(parameters, x):
    """The same in plain loops over points and components, on numbers."""
    a, means, logs, below = (parameters[name] for name in ("a", "m", "q", "l"))
    total = 0.0
    for point in x:
        terms = []
        for k in range(len(a)):
            factor = np.diag(np.exp(logs[k]))
            factor[np.tril_indices(DIMENSIONS, -1)] = below[k]
            off = factor @ (point - means[k])
            terms.append(a[k] + logs[k].sum() - 0.5 * off @ off)
        total += np.log(np.sum(np.exp(terms)))
    total -= len(x) * np.log(np.sum(np.exp(a)))
    return total + 0.5 * GAMMA**2 * (np.sum(np.exp(2 * logs)) + np.sum(below**2))


def beside_jax(parameters, x, gradient):
    """Compare with JAX, where it is installed."""
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared with it")
        return
    jax.config.update("jax_enable_x64", True)
    theirs = jax.grad(
        lambda p: likelihood(p, x, jax.numpy, jax.scipy.special.logsumexp)
    )({name: jax.numpy.asarray(part) for name, part in parameters.items()})
    for name, part in gradient.items():
        assert np.allclose(part, theirs[name], rtol=1e-10, atol=1e-12)
    print("JAX agrees")


def main():
    """Differentiate by all parameters, and compare."""
    rng = np.random.default_rng(11)
    k, d = COMPONENTS, DIMENSIONS
    x = rng.normal(size=(POINTS, d))
    parameters = {
        "a": rng.normal(size=k),
        "m": rng.normal(size=(k, d)),
        "q": 0.3 * rng.normal(size=(k, d)),
        "l": 0.3 * rng.normal(size=(k, d * (d - 1) // 2)),
    }
    tape = tg.record(lambda p: likelihood(p, x), parameters)
    value, gradient = tape.value_and_gradient(parameters)
    assert np.isclose(value, by_loops(parameters, x), rtol=1e-12)
    count = sum(part.size for part in parameters.values())
    print(f"log p = {value:.6f} in {len(tape)} steps, as plain loops say")

    native = tape.compile()
    again, same = native.value_and_gradient(parameters)
    assert np.isclose(again, value, rtol=1e-12)
    for name, part in gradient.items():
        assert np.allclose(same[name], part, rtol=1e-9, atol=1e-12)
    print(f"compiled: the same derivatives by {count} parameters")

    few = tg.record(lambda p: likelihood(p, x[:4]), parameters)
    exact = few.gradient(parameters, arithmetic="mpmath:50")
    for name, part in few.gradient(parameters).items():
        assert np.allclose(part, exact[name].astype(float), rtol=1e-11, atol=1e-14)
    print("50 digits agree")
    beside_jax(parameters, x, gradient)

    # The derivative by the weights sums to nothing: softmax knows no common offset.
    assert abs(np.sum(gradient["a"])) < 1e-10
    direction = {name: np.ones_like(part) for name, part in parameters.items()}
    curved = tape.hvp((parameters,), (direction,))
    step = 1e-5
    near = [
        tape.gradient({name: part + h for name, part in parameters.items()})
        for h in (step, -step)
    ]
    for name, part in curved.items():
        differences = (near[0][name] - near[1][name]) / (2 * step)
        assert np.allclose(part, differences, rtol=1e-5, atol=1e-5)
    print("second derivatives agree with differences of first ones")


if __name__ == "__main__":
    main()
