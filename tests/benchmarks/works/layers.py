"""A step of training: a network of 784, 128 and 10, a batch of 128."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import Ready, Work

BATCH = 128
RATE = 0.1


def data() -> tuple[list[Any], Any, Any]:
    """Weights, inputs, and the right classes as ones."""
    rng = np.random.default_rng(0)
    weights = [
        rng.normal(size=(784, 128)) * 0.05,
        np.zeros(128),
        rng.normal(size=(128, 10)) * 0.1,
        np.zeros(10),
    ]
    classes = rng.integers(0, 10, BATCH)
    return weights, rng.normal(size=(BATCH, 784)), np.eye(10)[classes]


def loss_of(xp: Any, logsumexp: Callable[..., Any]) -> Callable[..., Any]:
    """The mean cross entropy, in the words of a library."""

    def loss(weights: Any, x: Any, y: Any) -> Any:
        w1, b1, w2, b2 = weights
        scores = xp.tanh(x @ w1 + b1) @ w2 + b2
        return (xp.sum(logsumexp(scores, 1)) - xp.sum(scores * y)) / BATCH

    return loss


def by_hand(weights: Any, x: Any, y: Any) -> list[Any]:
    """The loss and the weights after a step, in NumPy."""
    w1, b1, w2, b2 = weights
    hidden = np.tanh(x @ w1 + b1)
    scores = hidden @ w2 + b2
    top = scores.max(1, keepdims=True)
    shares = np.exp(scores - top)
    total = shares.sum(1, keepdims=True)
    loss = ((np.log(total) + top).sum() - (scores * y).sum()) / BATCH
    bar = (shares / total - y) / BATCH
    slopes = [hidden.T @ bar, bar.sum(0)]
    bar = (bar @ w2.T) * (1.0 - hidden * hidden)
    slopes = [x.T @ bar, bar.sum(0), *slopes]
    return [loss, *(w - RATE * g for w, g in zip(weights, slopes, strict=True))]


WORK = Work(
    "layers",
    "A step of training: 784-128-10, batch 128",
    "Softmax and cross entropy of a network with one hidden layer of tanh: the loss, "
    "and all weights after a step of gradient descent.",
    (1,),
    "",
    lambda _: by_hand(*data()),
    quick=1,
)


def stepper(both: Callable[..., Any]) -> Callable[..., Any]:
    """A step, of what gives value and gradient."""

    def step(weights: Any, x: Any, y: Any) -> Any:
        loss, slopes = both(weights, x, y)
        return loss, [w - RATE * g for w, g in zip(weights, slopes, strict=True)]

    return step


def five(found: Any) -> list[Any]:
    """Loss and weights as a list."""
    return [found[0], *found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(_: int) -> Ready:
    """The whole step as one compiled tape."""
    import tapegrad as tg

    step = stepper(tg.value_and_grad(loss_of(np, tg.logsumexp)))
    weights, x, y = data()
    run = tg.compile(step, weights, x, y).value
    return Ready("f(w, x, y)", {"f": run, "w": weights, "x": x, "y": y}, five)


@WORK.by("NumPy", "slopes by hand", ahead=True)
def numpy(_: int) -> Ready:
    """NumPy and its BLAS."""
    weights, x, y = data()
    return Ready("f(w, x, y)", {"f": by_hand, "w": weights, "x": x, "y": y})


@WORK.by("JAX", "jit", "jax", "jax.numpy")
def jax(_: int) -> Ready:
    """Compiled by XLA."""
    import jax
    import jax.numpy as jnp

    step = jax.jit(stepper(jax.value_and_grad(loss_of(jnp, jax.nn.logsumexp))))
    weights, x, y = jax.tree.map(jnp.asarray, data())
    names = {"f": step, "w": weights, "x": x, "y": y, "block": jax.block_until_ready}
    return Ready("block(f(w, x, y))", names, five)


def _torch(wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)
    loss = wrap(loss_of(torch, torch.logsumexp))
    arrays, x, y = data()
    weights = [torch.tensor(w, requires_grad=True) for w in arrays]
    x, y = torch.tensor(x), torch.tensor(y)

    def run() -> Any:
        value = loss(weights, x, y)
        slopes = torch.autograd.grad(value, weights)
        with torch.no_grad():
            moved = [w - RATE * g for w, g in zip(weights, slopes, strict=True)]
        return value, moved

    return Ready("f()", {"f": run}, five)


@WORK.by("torch", "eager", "torch", ahead=True)
def torch(_: int) -> Ready:
    """PyTorch's autograd."""
    return _torch(lambda f: f)


@WORK.by("torch", "torch.compile", "torch", "torch._dynamo")
def torch_compiled(_: int) -> Ready:
    """PyTorch's compiler."""
    import torch

    return _torch(lambda f: torch.compile(f, fullgraph=True))


@WORK.by("autograd", "", "autograd.numpy", "autograd.scipy.special", ahead=True)
def autograd(_: int) -> Ready:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    step = stepper(value_and_grad(loss_of(anp, logsumexp)))
    weights, x, y = data()
    return Ready("f(w, x, y)", {"f": step, "w": weights, "x": x, "y": y}, five)
