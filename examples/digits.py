"""Handwritten digits told apart by logistic regression, on scikit-learn's data.

p(class c of x) = softmax(x W + b)[c]
loss = mean of -log p(right class) + penalty / 2 * sum of W^2

The data ships with scikit-learn; without it the example is skipped, with a word. Its
own LogisticRegression minimises the same loss and must find the same weights.
"""

import sys

import numpy as np
from scipy.optimize import minimize

import tapegrad as tg
from tapegrad import nn

try:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits
except ImportError:
    assert "sklearn" not in sys.modules
    print("skipped: scikit-learn is not installed")
    sys.exit()

PENALTY = 1e-3


def loss_of(parameters, x, classes):
    """Cross-entropy with a penalty on the weights."""
    w, b = parameters
    return nn.cross_entropy(x @ w + b, classes) + 0.5 * PENALTY * np.sum(w * w)


def gradient_by_hand(parameters, x, classes):
    """X' (p - one hot) / n + penalty W, and the mean of p - one hot."""
    w, b = parameters
    scores = x @ w + b
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    p[np.arange(len(x)), classes] -= 1
    p /= len(x)
    return x.T @ p + PENALTY * w, p.sum(axis=0)


def beside_jax(parameters, x, classes, gradients):
    """Compare with JAX, where it is installed."""
    try:
        import jax
    except ImportError:
        print("JAX is not installed: not compared with it")
        return
    jax.config.update("jax_enable_x64", True)

    def theirs(parameters):
        w, b = parameters
        logs = jax.nn.log_softmax(x @ w + b)[np.arange(len(x)), classes]
        return -logs.mean() + 0.5 * PENALTY * jax.numpy.sum(w * w)

    given = tuple(map(jax.numpy.asarray, parameters))
    for mine, other in zip(gradients, jax.grad(theirs)(given), strict=True):
        assert np.allclose(mine, other, rtol=1e-9, atol=1e-14)
    print("JAX agrees")


def main():
    """Compare the gradients, train, and score on digits that were held back."""
    x, classes = load_digits(return_X_y=True)
    x = x / 16.0
    train, test = slice(0, 1200), slice(1200, None)
    rng = np.random.default_rng(0)
    parameters = 0.1 * rng.normal(size=(64, 10)), np.zeros(10)

    tape = tg.record(loss_of, parameters, x[train], classes[train])
    # Of three arguments the classes are ints, and have no derivative.
    given = parameters, x[train], classes[train]
    value, ((dw, db), _) = tape.value_and_gradient(*given)
    by_hand = gradient_by_hand(parameters, x[train], classes[train])
    for mine, other in zip((dw, db), by_hand, strict=True):
        assert np.allclose(mine, other, rtol=1e-9, atol=1e-14)
    print(f"loss {value:.6f}; the gradient is the one by hand")
    beside_jax(parameters, x[train], classes[train], (dw, db))

    native = tg.compile(
        lambda w, b: loss_of((w, b), x[train], classes[train]), *parameters
    )

    def both(flat):
        value, (dw, db) = native.value_and_gradient(
            flat[:640].reshape(64, 10), flat[640:]
        )
        return value, np.concatenate([dw.ravel(), db])

    start = np.concatenate([part.ravel() for part in parameters])
    options = {"maxiter": 2000, "ftol": 1e-14, "gtol": 1e-7}
    best = minimize(both, start, jac=True, method="L-BFGS-B", options=options)
    w, b = best.x[:640].reshape(64, 10), best.x[640:]
    right = np.mean(np.argmax(x[test] @ w + b, axis=1) == classes[test])
    assert right > 0.9
    print(f"trained: loss {best.fun:.6f} after {best.nfev} calls, {right:.1%} right")

    theirs = LogisticRegression(C=1 / (PENALTY * 1200), tol=1e-6, max_iter=2000)
    theirs.fit(x[train], classes[train])
    assert np.allclose(theirs.coef_.T, w, rtol=0, atol=2e-3)
    assert right == theirs.score(x[test], classes[test])
    print("scikit-learn's LogisticRegression finds the same weights")


if __name__ == "__main__":
    # The matrices are small: several threads would mostly wait for each other.
    with threadpool_limits(1):
        main()
