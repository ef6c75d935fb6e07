"""What the benchmark of arrays computes, and how the peers compute it.

Each work is written once, for any library that has NumPy's functions, and once more by
hand in NumPy with its gradient. The functions named after a peer return callables
without arguments by the work's name; one that is not installed raises ImportError.
"""

from __future__ import annotations

import ctypes
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[], Any]

POINTS, DIMENSIONS, COMPONENTS = 1000, 10, 25
GAMMA, DEGREES = 1.0, 0  # of the mixture's prior
SIZES = ((2, 16), (16,), (16, 16), (16,), (16, 1), (1,))
PENALTY, RATE = 1e-4, 0.5

rng = np.random.default_rng(0)


# -- Rosenbrock's function ---------------------------------------------------------


def start(n: int) -> Any:
    """Where it is evaluated."""
    return 1.0 + 0.1 * np.sin(np.arange(float(n)))


def rosenbrock(xp: Any, x: Any) -> Any:
    """The sum of 100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2."""
    a, b = x[1:], x[:-1]
    return xp.sum(100.0 * (a - b * b) ** 2 + (1.0 - b) ** 2)


def rosenbrock_by_hand(x: Any) -> tuple[Any, Any]:
    """Value and gradient in NumPy."""
    t, u = x[1:] - x[:-1] ** 2, 1.0 - x[:-1]
    slopes = np.zeros_like(x)
    slopes[:-1] = -400.0 * x[:-1] * t - 2.0 * u
    slopes[1:] += 200.0 * t
    return 100.0 * (t @ t) + u @ u, slopes


# -- a step of training on two moons -----------------------------------------------


def moons() -> tuple[list[Any], Any, Any]:
    """Parameters of the net 2-16-16-1, 100 points and their signs."""
    angle = math.pi * rng.random(50)
    outer = np.stack([np.cos(angle), np.sin(angle)], 1)
    inner = np.stack([1.0 - np.cos(angle), 0.5 - np.sin(angle)], 1)
    points = np.concatenate([outer, inner]) + 0.1 * rng.standard_normal((100, 2))
    signs = np.repeat([1.0, -1.0], 50)[:, None]
    return [rng.standard_normal(shape) * 0.4 for shape in SIZES], points, signs


def moons_loss(xp: Any, relu: Any, parameters: Any, x: Any, y: Any) -> Any:
    """The hinge loss with a penalty on all parameters."""
    w1, b1, w2, b2, w3, b3 = parameters
    hidden = relu(relu(x @ w1 + b1) @ w2 + b2)
    loss = xp.mean(relu(1.0 - y * (hidden @ w3 + b3)))
    return loss + PENALTY * sum(xp.sum(p * p) for p in parameters)


def moons_step_by_hand(parameters: Any, x: Any, y: Any) -> list[Any]:
    """One step of gradient descent in NumPy: the loss and the new parameters."""
    w1, b1, w2, b2, w3, b3 = parameters
    first = np.maximum(x @ w1 + b1, 0.0)
    second = np.maximum(first @ w2 + b2, 0.0)
    margin = 1.0 - y * (second @ w3 + b3)
    loss = np.maximum(margin, 0.0).mean()
    loss += PENALTY * sum((p * p).sum() for p in parameters)
    bar = np.where(margin > 0.0, -y / len(x), 0.0)
    slopes = [second.T @ bar, bar.sum(0)]
    bar = np.where(second > 0.0, bar @ w3.T, 0.0)
    slopes = [first.T @ bar, bar.sum(0), *slopes]
    bar = np.where(first > 0.0, bar @ w2.T, 0.0)
    slopes = [x.T @ bar, bar.sum(0), *slopes]
    return [
        loss,
        *(
            p - RATE * (g + 2.0 * PENALTY * p)
            for p, g in zip(parameters, slopes, strict=True)
        ),
    ]


# -- a mixture of Gaussians --------------------------------------------------------


def mixture() -> tuple[list[Any], Any]:
    """Parameters (weights, means, inverse factors) and points."""
    d, k = DIMENSIONS, COMPONENTS
    return [
        rng.standard_normal(k),
        rng.standard_normal((k, d)),
        0.3 * rng.standard_normal((k, d * (d + 1) // 2)),
    ], rng.standard_normal((POINTS, d))


def table(d: int) -> Any:
    """Where each entry of a factor stands among its lower ones; zero is the last."""
    places = np.full((d, d), d * (d - 1) // 2)
    rows, columns = np.triu_indices(d, 1)  # the lower triangle goes by columns
    places[columns, rows] = np.arange(len(rows))
    return places


def constant(n: int, d: int, k: int) -> float:
    """The terms of the log-likelihood without parameters."""
    half = 0.5 * (d + DEGREES + 1)
    gammas = 0.25 * d * (d - 1) * math.log(math.pi)
    gammas += sum(math.lgamma(half - 0.5 * j) for j in range(d))
    scale = 2.0 * half * d * (math.log(GAMMA) - 0.5 * math.log(2.0)) - gammas
    return -n * d * 0.5 * math.log(2.0 * math.pi) - k * scale


def gmm(
    xp: Any, logsumexp: Any, parameters: Any, x: Any, places: Any, none: Any
) -> Any:
    """The log-likelihood of a mixture with a Wishart prior, in ADBench's form.

    Args:
        xp: the library.
        logsumexp: its function, of an array and an axis.
        parameters: weights, means, inverse factors.
        x: points, (n, d).
        places: see `table`.
        none: zeros of shape (k, 1).
    """
    weights, means, factors = parameters
    (n, d), k = x.shape, COMPONENTS
    diagonal, lower = factors[:, :d], factors[:, d:]
    scale, logs = xp.exp(diagonal), xp.sum(diagonal, 1)
    below = xp.concatenate((lower, none), 1)[:, places]
    centered = x[None, :, :] - means[:, None, :]
    mapped = scale[:, None, :] * centered + xp.matmul(
        centered, xp.swapaxes(below, 1, 2)
    )
    inner = (weights + logs)[:, None] - 0.5 * xp.sum(mapped * mapped, 2)
    prior = 0.5 * GAMMA**2 * (xp.sum(scale * scale) + xp.sum(lower * lower))
    return (
        constant(n, d, k)
        + xp.sum(logsumexp(inner, 0))
        - n * logsumexp(weights, 0)
        + prior
        - DEGREES * xp.sum(logs)
    )


def gmm_by_hand(parameters: Any, x: Any, places: Any) -> list[Any]:
    """Value and gradients in NumPy."""
    weights, means, factors = parameters
    (n, d), k = x.shape, COMPONENTS
    diagonal, lower = factors[:, :d], factors[:, d:]
    scale, logs = np.exp(diagonal), diagonal.sum(1)
    below = np.concatenate((lower, np.zeros((k, 1))), 1)[:, places]
    below[:, range(d), range(d)] += scale
    centered = x[None] - means[:, None]
    mapped = centered @ below.swapaxes(1, 2)
    inner = (weights + logs)[:, None] - 0.5 * np.einsum("kni,kni->kn", mapped, mapped)
    shares = np.exp(inner - inner.max(0))
    total = shares.sum(0)
    weight = np.exp(weights - weights.max())
    value = constant(n, d, k) + (np.log(total) + inner.max(0)).sum()
    value -= n * (math.log(weight.sum()) + weights.max())
    value += 0.5 * GAMMA**2 * ((scale**2).sum() + (lower**2).sum())
    value -= DEGREES * logs.sum()
    shares /= total
    mine = shares.sum(1)
    mapped *= -shares[:, :, None]
    slopes = mapped.swapaxes(1, 2) @ centered
    columns, rows = np.triu_indices(d, 1)
    return [
        value,
        mine - n * weight / weight.sum(),
        -np.einsum("kni,kij->kj", mapped, below),
        np.concatenate(
            (
                (slopes[:, range(d), range(d)] + GAMMA**2 * scale) * scale
                + mine[:, None]
                - DEGREES,
                slopes[:, rows, columns] + GAMMA**2 * lower,
            ),
            1,
        ),
    ]


# -- who computes it ---------------------------------------------------------------


class Data:
    """The inputs of all works, alike for all peers.

    Args:
        sizes: lengths for Rosenbrock's function.
    """

    def __init__(self, sizes: list[int]) -> None:
        self.starts = {f"Rosenbrock {n:,}": start(n) for n in sizes}
        self.net, self.points, self.signs = moons()
        self.mixture, self.x = mixture()
        self.places = table(DIMENSIONS)
        self.none = np.zeros((COMPONENTS, 1))


MOONS, GMM = "moons step", "GMM gradient"


def numpy_by_hand(data: Data) -> dict[str, Call]:
    """NumPy, gradients by hand."""
    calls: dict[str, Call] = {
        name: lambda x=x: rosenbrock_by_hand(x) for name, x in data.starts.items()
    }
    calls[MOONS] = lambda: moons_step_by_hand(data.net, data.points, data.signs)
    calls[GMM] = lambda: gmm_by_hand(data.mixture, data.x, data.places)
    return calls


def tapegrad(data: Data) -> dict[str, Call]:
    """This library, compiled."""
    import tapegrad as tg

    def step(parameters: Any, x: Any, y: Any) -> Any:
        loss, slopes = tg.value_and_grad(lambda p: moons_loss(np, tg.relu, p, x, y))(
            parameters
        )
        return loss, [p - RATE * g for p, g in zip(parameters, slopes, strict=True)]

    calls: dict[str, Call] = {}
    for name, x in data.starts.items():
        native = tg.compile(lambda x: rosenbrock(np, x), x).value_and_gradient
        calls[name] = lambda f=native, x=x: f(x)
    run = tg.compile(step, data.net, data.points, data.signs).value
    calls[MOONS] = lambda: run(data.net, data.points, data.signs)
    both = tg.compile(
        lambda *p: gmm(np, tg.logsumexp, p, data.x, data.places, data.none),
        *data.mixture,
    ).value_and_gradient
    calls[GMM] = lambda: both(*data.mixture)
    return calls


def hand_c(data: Data) -> dict[str, Call]:
    """C, gradients by hand; of the mixture what takes the time."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ImportError("cc")
    source = Path(__file__).with_name("hand.c")
    target = Path(tempfile.mkdtemp()) / "hand.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", target, "-lm"], check=True)
    library = ctypes.CDLL(str(target))
    library.rosenbrock.restype = library.gmm.restype = ctypes.c_double

    def at(array: Any) -> Any:
        return ctypes.c_void_p(array.ctypes.data)

    calls: dict[str, Call] = {}
    kept = []
    for name, x in data.starts.items():
        slopes = np.empty_like(x)
        args = (ctypes.c_long(len(x)), at(x), at(slopes))
        calls[name] = lambda args=args, g=slopes: (library.rosenbrock(*args), g)
    weights, means, factors = data.mixture
    d = DIMENSIONS
    below = np.concatenate((factors[:, d:], data.none), 1)[:, data.places]
    below[:, range(d), range(d)] += np.exp(factors[:, :d])
    logs = factors[:, :d].sum(1)
    kept += [below, logs]
    out = [np.empty_like(a) for a in (weights, means, below)]
    sizes = [ctypes.c_long(n) for n in (POINTS, d, COMPONENTS)]
    arrays = [at(a) for a in (weights, means, below, logs, data.x, *out)]
    calls[GMM] = lambda: (library.gmm(*sizes, *arrays), out[0], out[1], kept)[:3]
    return calls


def jax(data: Data) -> dict[str, Call]:
    """JAX, compiled by XLA, in float64."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    calls: dict[str, Call] = {}

    def settled(f: Any, *args: Any) -> Call:
        on_device = jax.tree.map(jnp.asarray, args)
        return lambda: jax.block_until_ready(f(*on_device))

    both = jax.jit(jax.value_and_grad(lambda x: rosenbrock(jnp, x)))
    for name, x in data.starts.items():
        calls[name] = settled(both, x)

    @jax.jit
    def step(parameters: Any, x: Any, y: Any) -> Any:
        loss, slopes = jax.value_and_grad(
            lambda p: moons_loss(jnp, jax.nn.relu, p, x, y)
        )(parameters)
        return loss, [p - RATE * g for p, g in zip(parameters, slopes, strict=True)]

    calls[MOONS] = settled(step, data.net, data.points, data.signs)
    x, none = jnp.asarray(data.x), jnp.asarray(data.none)
    likelihood = jax.jit(
        jax.value_and_grad(
            lambda p: gmm(jnp, jax.nn.logsumexp, p, x, data.places, none)
        )
    )
    calls[GMM] = settled(likelihood, data.mixture)
    return calls


def casadi(data: Data) -> dict[str, Call]:
    """CasADi's MX, as long as its arguments are dense vectors and matrices."""
    import casadi as ca

    calls: dict[str, Call] = {}
    for name, x in data.starts.items():
        if len(x) > 100_000:
            continue  # it takes minutes there
        v = ca.MX.sym("x", len(x))
        a, b = v[1:], v[:-1]
        value = ca.sum1(100.0 * (a - b * b) ** 2 + (1.0 - b) ** 2)
        f = ca.Function("f", [v], [value, ca.gradient(value, v)])
        calls[name] = lambda f=f, x=x: f(x)
    parameters = [ca.MX.sym("p", *shape) for shape in SIZES]
    w1, b1, w2, b2, w3, b3 = parameters
    ones = ca.DM.ones(100, 1)
    hidden = ca.fmax(data.points @ w1 + ones @ b1.T, 0.0)
    hidden = ca.fmax(hidden @ w2 + ones @ b2.T, 0.0)
    margin = 1.0 - data.signs * (hidden @ w3 + ones @ b3.T)
    loss = ca.sum1(ca.fmax(margin, 0.0)) / 100.0
    loss += PENALTY * sum(ca.sumsqr(p) for p in parameters)
    moved = [p - RATE * ca.gradient(loss, p) for p in parameters]
    step = ca.Function("step", parameters, [loss, *moved])
    calls[MOONS] = lambda: step(*data.net)
    return calls


def autograd(data: Data) -> dict[str, Call]:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    calls: dict[str, Call] = {}
    both = value_and_grad(lambda x: rosenbrock(anp, x))
    for name, x in data.starts.items():
        calls[name] = lambda x=x: both(x)

    def relu(x: Any) -> Any:
        return anp.maximum(x, 0.0)

    loss = value_and_grad(lambda p: moons_loss(anp, relu, p, data.points, data.signs))

    def step() -> Any:
        value, slopes = loss(data.net)
        return value, [p - RATE * g for p, g in zip(data.net, slopes, strict=True)]

    calls[MOONS] = step
    likelihood = value_and_grad(
        lambda p: gmm(anp, logsumexp, p, data.x, data.places, data.none)
    )
    calls[GMM] = lambda: likelihood(data.mixture)
    return calls


def torch(data: Data) -> dict[str, Call]:
    """PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)

    def leaves(arrays: Any) -> list[Any]:
        return [torch.tensor(a, requires_grad=True) for a in arrays]

    def both(f: Any, given: list[Any]) -> Any:
        value = f(given)
        return value, torch.autograd.grad(value, given)

    calls: dict[str, Call] = {}
    for name, x in data.starts.items():
        given = leaves([x])
        calls[name] = lambda g=given: both(lambda p: rosenbrock(torch, p[0]), g)
    net, points, signs = leaves(data.net), *map(torch.tensor, (data.points, data.signs))

    def step() -> Any:
        value, slopes = both(
            lambda p: moons_loss(torch, torch.relu, p, points, signs), net
        )
        with torch.no_grad():
            return value, [p - RATE * g for p, g in zip(net, slopes, strict=True)]

    calls[MOONS] = step
    mine, x, none = leaves(data.mixture), torch.tensor(data.x), torch.tensor(data.none)
    places = torch.tensor(data.places)
    calls[GMM] = lambda: both(
        lambda p: gmm(torch, torch.logsumexp, p, x, places, none), mine
    )
    return calls


PEERS: dict[str, Callable[[Data], dict[str, Call]]] = {
    "tapegrad, compiled": tapegrad,
    "C by hand": hand_c,
    "NumPy by hand": numpy_by_hand,
    "JAX": jax,
    "CasADi MX": casadi,
    "torch": torch,
    "autograd": autograd,
}
