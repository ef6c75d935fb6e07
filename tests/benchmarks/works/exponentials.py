"""log sum exp of a long array."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import library, pointer


def point(n: int) -> Any:
    """Where it is evaluated."""
    return np.random.default_rng(0).normal(size=n)


def by_hand(x: Any) -> list[Any]:
    """Value and gradient in NumPy."""
    top = x.max()
    shares = np.exp(x - top)
    total = shares.sum()
    return [top + np.log(total), shares / total]


WORK = Work(
    "exponentials",
    "log-sum-exp of a million numbers",
    "Value and gradient, by each library's own function where it has one.",
    (1_000_000,),
    "",
    lambda n: by_hand(point(n)),
    tolerance=1e-9,
    quick=9,
)


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Compiled."""
    import tapegrad as tg

    x = point(n)
    f = tg.compile(tg.logsumexp, x).value_and_gradient
    return Ready("f(x)", {"f": f, "x": x}, list)


@WORK.by(HAND_C, "libm", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes."""
    f, x, g = library().exponentials, point(n), np.empty(n)
    f.restype = ctypes.c_double
    args = ctypes.c_long(n), pointer(x), pointer(g)
    return Ready("f(*args), g", {"f": f, "args": args, "g": g, "kept": x}, list)


@WORK.by("NumPy", "gradient by hand", ahead=True)
def numpy(n: int) -> Ready:
    """NumPy."""
    return Ready("f(x)", {"f": by_hand, "x": point(n)})


@WORK.by("numba", "gradient by hand", "numba")
def numba(n: int) -> Ready:
    """Loops written out, compiled."""
    from numba import njit

    @njit
    def f(x: Any) -> Any:
        top, total, g = x.max(), 0.0, np.empty_like(x)
        for i in range(len(x)):
            g[i] = np.exp(x[i] - top)
            total += g[i]
        return top + np.log(total), g / total

    return Ready("f(x)", {"f": f, "x": point(n)}, list)


@WORK.by("JAX", "jit", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Compiled by XLA."""
    import jax

    f = jax.jit(jax.value_and_grad(jax.nn.logsumexp))
    x = jax.numpy.asarray(point(n))
    names = {"f": f, "x": x, "block": jax.block_until_ready}
    return Ready("block(f(x))", names, list)


def _torch(n: int, wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)
    f = wrap(lambda x: torch.logsumexp(x, 0))
    x = torch.tensor(point(n), requires_grad=True)

    def run() -> list[Any]:
        value = f(x)
        return [value, torch.autograd.grad(value, x)[0]]

    return Ready("f()", {"f": run})


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
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    return Ready("f(x)", {"f": value_and_grad(logsumexp), "x": point(n)}, list)
