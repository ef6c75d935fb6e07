"""Small programs as they are written in NumPy, unchanged: value, tape, gradient."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.special as sps

import tapegrad as tg
from tapegrad import Value

rng = np.random.default_rng(0)
normal = rng.normal


def logistic_regression(w, x, y):
    z = x @ w[:-1] + w[-1]
    return np.mean(np.logaddexp(0, z) - y * z) + 1e-3 * np.sum(w**2)


def softmax_regression(w, x, y):
    z = x @ w
    z = z - z.max(axis=1, keepdims=True)
    chance = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    return -chance[np.arange(len(y)), y].mean()


def gaussian_process(theta, x, y):
    d = (x[:, None, :] - x[None, :, :]) ** 2
    k = np.exp(theta[0]) * np.exp(-0.5 * np.sum(d * np.exp(-theta[1]), axis=-1))
    k = k + np.exp(theta[2]) * np.eye(len(x))
    factor = np.linalg.cholesky(k)
    a = np.linalg.solve(factor, y)
    return 0.5 * a @ a + np.sum(np.log(np.diag(factor)))


def kalman_filter(q, ys):
    step, look = np.array([[1.0, 0.1], [0, 1.0]]), np.array([[1.0, 0.0]])
    mean, cov, total = np.zeros(2), np.eye(2), 0.0
    for y in ys:
        mean = step @ mean
        cov = step @ cov @ step.T + q[0] * np.eye(2)
        v = y - look @ mean
        s = look @ cov @ look.T + q[1]
        gain = np.linalg.solve(s, look @ cov).T
        mean = mean + gain @ v
        cov = cov - gain @ s @ gain.T
        total = total - 0.5 * (np.linalg.slogdet(s)[1] + v @ np.linalg.solve(s, v))
    return total


def gaussian_mixture(alpha, mu, logs, x):
    z = (x[:, None, :] - mu) / np.exp(logs)
    parts = alpha - np.sum(logs, -1) - 0.5 * np.einsum("nkd,nkd->nk", z, z)
    top = parts.max(1)
    total = np.log(np.sum(np.exp(parts - top[:, None]), 1)) + top
    return np.sum(total) - len(x) * np.log(np.sum(np.exp(alpha)))


def heat_equation(u, k):
    u = u.copy()
    for _ in range(4):
        u[1:-1] = u[1:-1] + k * (u[2:] - 2 * u[1:-1] + u[:-2])
    return np.sum(u**2)


def recurrent(w, u, xs):
    h = np.zeros(w.shape[0])
    for x in xs:
        h = np.tanh(w @ h + u @ x)
    return h.sum()


def convolution(image, kernel):
    n = image.shape[0] - kernel.shape[0] + 1
    m = image.shape[1] - kernel.shape[1] + 1
    out = np.zeros_like(image, shape=(n, m))
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            out += image[i : i + n, j : j + m] * kernel[i, j]
    return np.sum(np.maximum(out, 0))


def lists(x):
    found = [a * np.sin(b) for a, b in itertools.pairwise(x)]
    return np.sum(np.array(found) ** 2) + np.prod(np.stack(found))


def loop(x):
    while np.linalg.norm(x) > 0.1:
        x = x * 0.5
    return x.sum()


def bodies(x):
    i, j = np.triu_indices(len(x), 1)
    return np.sum(1 / np.sqrt(np.sum((x[i] - x[j]) ** 2, axis=1)))


def lennard_jones(x):
    d = x[:, None] - x[None]
    squares = (d**2).sum(-1) + np.eye(len(x))
    inverse = 1 / squares[~np.eye(len(x), dtype=bool)] ** 3
    return np.sum(inverse**2 - inverse)


def huber(x):
    return np.where(np.abs(x) < 1, 0.5 * x**2, np.abs(x) - 0.5).mean()


def quadrature(c):
    grid = np.linspace(0, 1, 20)
    return np.trapezoid(np.polyval(c, grid) ** 2, grid)


def attention(q, k, v):
    s = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    e = np.exp(s - s.max(-1, keepdims=True))
    return np.sum((e / e.sum(-1, keepdims=True) @ v) ** 2)


def special(x):
    return np.sum(sps.ndtr(x) * sps.gammaln(x**2 + 1)) + np.sum(sps.erf(x))


def unpacked(p, x):
    mu, sd = p
    return np.sum(-0.5 * ((np.log(x) - mu) / sd) ** 2 - np.log(sd * x))


def equation_of_objects(y, k):
    def f(y):
        return np.array([-k * y[0] * y[1], k * y[0] * y[1] - y[1]])

    for _ in range(3):
        y = y + 0.1 * f(y + 0.05 * f(y))
    return np.sum(y**2)


def batch_norm(x, g):
    return np.sum(np.tanh(g * (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)) ** 3)


def order_statistics(x):
    middle = np.percentile(x, 30) + np.median(x) * np.sort(x)[-2]
    return middle + x[np.argsort(x)][0] ** 2


def masked(x):
    return x[x > 0].mean() + x[(x > 0) & (x < 1)].sum()


def segments(x, of):
    out = np.zeros(3, like=x)
    for s in range(3):
        out[s] = x[of == s].sum()
    return np.sum(out**3)


def least_squares(a, b):
    c, squares, _, s = np.linalg.lstsq(a, b, rcond=None)
    return np.sum(c**2) + squares[0] + s.sum()


PROGRAMS = [
    (logistic_regression, normal(size=5), normal(size=(9, 4)), rng.integers(0, 2, 9)),
    (
        softmax_regression,
        normal(size=(4, 3)),
        normal(size=(9, 4)),
        rng.integers(0, 3, 9),
    ),
    (gaussian_process, np.array([0.1, 0.2, -1]), normal(size=(6, 2)), normal(size=6)),
    (kalman_filter, np.array([0.1, 0.5]), normal(size=5)),
    (
        gaussian_mixture,
        normal(size=3),
        normal(size=(3, 2)),
        normal(size=(3, 2)) / 9,
        normal(size=(7, 2)),
    ),
    (heat_equation, normal(size=8), 0.1),
    (recurrent, normal(size=(3, 3)), normal(size=(3, 2)), normal(size=(4, 2))),
    (convolution, normal(size=(5, 5)), normal(size=(2, 2))),
    (lists, normal(size=4)),
    (loop, np.array([1.0, 2.0])),
    (bodies, normal(size=(4, 3))),
    (lennard_jones, normal(size=(4, 3)) * 2),
    (huber, normal(size=9) * 2),
    (quadrature, normal(size=4)),
    (attention, *(normal(size=(2, 4, 3)) for _ in range(3))),
    (special, normal(size=5)),
    (unpacked, np.array([0.3, 1.2]), rng.uniform(1, 2, 5)),
    (equation_of_objects, np.array([1.0, 0.5]), 0.7),
    (batch_norm, normal(size=(6, 3)), normal(size=3)),
    (order_statistics, normal(size=7)),
    (masked, normal(size=9)),
    (segments, normal(size=6), np.array([0, 1, 2, 0, 1, 2])),
    (least_squares, normal(size=(5, 2)), normal(size=5)),
]


@pytest.mark.parametrize(
    ("f", "xs"), [(f, xs) for f, *xs in PROGRAMS], ids=[p[0].__name__ for p in PROGRAMS]
)
def test_a_program(f, xs):
    tape = tg.record(f, *xs)
    tape.check()
    np.testing.assert_allclose(tape(*xs), f(*xs), 1e-10)
    floats = [i for i, x in enumerate(xs) if np.asarray(x).dtype.kind == "f"]
    bars = tg.grad(f, tuple(floats))(*xs)
    way = {i: np.cos(1.0 + np.arange(np.size(xs[i]))) for i in floats}
    way = {i: d.reshape(np.shape(xs[i])) for i, d in way.items()}
    h = 1e-6
    ahead = f(*(x + h * way[i] if i in way else x for i, x in enumerate(xs)))
    behind = f(*(x - h * way[i] if i in way else x for i, x in enumerate(xs)))
    slope = sum(np.sum(bar * way[i]) for bar, i in zip(bars, floats, strict=True))
    np.testing.assert_allclose(slope, (ahead - behind) / (2 * h), 1e-5, 1e-6)
    leaves = [Value(x) if i in floats else x for i, x in enumerate(xs)]
    f(*leaves).backward()
    for bar, i in zip(bars, floats, strict=True):
        np.testing.assert_allclose(leaves[i].grad, bar, 1e-9, 1e-12)
