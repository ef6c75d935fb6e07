"""A mixture of Gaussians, 20 dimensions and 50 components, as ADBench has it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import Ready, Work

POINTS, DIMENSIONS, COMPONENTS = 1_000, 20, 50
GAMMA = 1.0


def data(n: int) -> tuple[list[Any], Any]:
    """Parameters (weights, means, inverse factors) and points."""
    rng = np.random.default_rng(0)
    d, k = DIMENSIONS, COMPONENTS
    return [
        rng.standard_normal(k),
        rng.standard_normal((k, d)),
        0.2 * rng.standard_normal((k, d * (d + 1) // 2)),
    ], rng.standard_normal((n, d))


def places() -> Any:
    """Where each entry of a factor stands among its lower ones; zero is the last."""
    d = DIMENSIONS
    found = np.full((d, d), d * (d - 1) // 2)
    rows, columns = np.triu_indices(d, 1)  # the lower triangle goes by columns
    found[columns, rows] = np.arange(len(rows))
    return found


def likelihood(
    xp: Any, logsumexp: Callable[..., Any], x: Any, where: Any, none: Any
) -> Callable[..., Any]:
    """The log-likelihood with its prior, but for constants, in a library's words."""

    def f(parameters: Any) -> Any:
        weights, means, factors = parameters
        (n, d) = x.shape
        diagonal, lower = factors[:, :d], factors[:, d:]
        scale, logs = xp.exp(diagonal), xp.sum(diagonal, 1)
        below = xp.concatenate((lower, none), 1)[:, where]
        centered = x[None, :, :] - means[:, None, :]
        mapped = scale[:, None, :] * centered + xp.matmul(
            centered, xp.swapaxes(below, 1, 2)
        )
        inner = (weights + logs)[:, None] - 0.5 * xp.sum(mapped * mapped, 2)
        prior = 0.5 * GAMMA**2 * (xp.sum(scale * scale) + xp.sum(lower * lower))
        return xp.sum(logsumexp(inner, 0)) - n * logsumexp(weights, 0) + prior

    return f


def by_hand(parameters: Any, x: Any) -> list[Any]:
    """Value and gradients in NumPy."""
    weights, means, factors = parameters
    (n, d), k = x.shape, COMPONENTS
    diagonal, lower = factors[:, :d], factors[:, d:]
    scale, logs = np.exp(diagonal), diagonal.sum(1)
    below = np.concatenate((lower, np.zeros((k, 1))), 1)[:, places()]
    below[:, range(d), range(d)] += scale
    centered = x[None] - means[:, None]
    mapped = centered @ below.swapaxes(1, 2)
    inner = (weights + logs)[:, None] - 0.5 * np.einsum("kni,kni->kn", mapped, mapped)
    shares = np.exp(inner - inner.max(0))
    total = shares.sum(0)
    weight = np.exp(weights - weights.max())
    value = (np.log(total) + inner.max(0)).sum()
    value -= n * (math.log(weight.sum()) + weights.max())
    value += 0.5 * GAMMA**2 * ((scale**2).sum() + (lower**2).sum())
    shares /= total
    mine = shares.sum(1)
    mapped *= -shares[:, :, None]
    slopes = mapped.swapaxes(1, 2) @ centered
    columns, rows = np.triu_indices(d, 1)
    onto = slopes[:, range(d), range(d)] + GAMMA**2 * scale
    return [
        value,
        mine - n * weight / weight.sum(),
        -np.einsum("kni,kij->kj", mapped, below),
        np.concatenate(
            (
                onto * scale + mine[:, None],
                slopes[:, rows, columns] + GAMMA**2 * lower,
            ),
            1,
        ),
    ]


WORK = Work(
    "mixture",
    "A mixture of Gaussians",
    "ADBench's log-likelihood with prior, without its constants: 1,000 points, 20 "
    "dimensions, 50 components, full covariances (11,550 parameters).",
    (POINTS,),
    "",
    lambda n: by_hand(*data(n)),
    tolerance=1e-8,
    quick=4,
)


def four(found: Any) -> list[Any]:
    """Value and gradients as a list."""
    return [found[0], *found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Compiled."""
    import tapegrad as tg

    parameters, x = data(n)
    f = likelihood(np, tg.logsumexp, x, places(), np.zeros((COMPONENTS, 1)))
    both = tg.compile(f, parameters).value_and_gradient
    return Ready("f(p)", {"f": both, "p": parameters}, four)


@WORK.by("NumPy", "gradients by hand", ahead=True)
def numpy(n: int) -> Ready:
    """NumPy and its BLAS."""
    parameters, x = data(n)
    return Ready("f(p, x)", {"f": by_hand, "p": parameters, "x": x})


@WORK.by("JAX", "jit", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Compiled by XLA."""
    import jax
    import jax.numpy as jnp

    parameters, x = jax.tree.map(jnp.asarray, data(n))
    none = jnp.zeros((COMPONENTS, 1))
    f = likelihood(jnp, jax.nn.logsumexp, x, places(), none)
    names = {"f": jax.jit(jax.value_and_grad(f)), "p": parameters}
    return Ready("block(f(p))", {**names, "block": jax.block_until_ready}, four)


def _torch(n: int, wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    arrays, x = data(n)
    parameters = [torch.tensor(a, requires_grad=True) for a in arrays]
    none, where = torch.zeros(COMPONENTS, 1), torch.tensor(places())
    f = wrap(likelihood(torch, torch.logsumexp, torch.tensor(x), where, none))

    def run() -> Any:
        value = f(parameters)
        return value, torch.autograd.grad(value, parameters)

    return Ready("f()", {"f": run}, four)


@WORK.by("torch", "eager", "torch", ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd."""
    return _torch(n, lambda f: f)


@WORK.by("torch", "torch.compile", "torch", "torch._dynamo")
def torch_compiled(n: int) -> Ready:
    """PyTorch's compiler."""
    import torch

    return _torch(n, lambda f: torch.compile(f, fullgraph=True))


@WORK.by("autograd", "", "autograd.numpy", "autograd.scipy.special", ahead=True)
def autograd(n: int) -> Ready:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    parameters, x = data(n)
    f = likelihood(anp, logsumexp, x, places(), np.zeros((COMPONENTS, 1)))
    return Ready("f(p)", {"f": value_and_grad(f), "p": parameters}, four)
