"""A mixture of Gaussians with diagonal covariances, as three nested Python loops."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work

from works.hands import JIT, buffered, library, pointer, zeros

KINDS, SIZE = 10, 5


def data(n: int) -> tuple[list[Any], Any]:
    """Parameters (weights, means, logarithms of deviations) and points."""
    rng = np.random.default_rng(0)
    return [
        rng.standard_normal(KINDS),
        rng.standard_normal((KINDS, SIZE)),
        0.3 * rng.standard_normal((KINDS, SIZE)),
    ], rng.standard_normal((n, SIZE))


def logsumexp(terms: list[Any], xp: Any) -> Any:
    """The logarithm of the sum of exponentials, relative to the largest."""
    top = terms[0]
    for term in terms[1:]:
        top = xp.maximum(top, term)
    total = 0.0
    for term in terms:
        total = total + xp.exp(term - top)
    return top + xp.log(total)


def loops(x: Any, xp: Any) -> Callable[..., Any]:
    """The log-likelihood of points, but for constants, entry by entry."""

    def f(weights: Any, means: Any, scales: Any) -> Any:
        inverse = [[xp.exp(-scales[k, j]) for j in range(SIZE)] for k in range(KINDS)]
        norm = logsumexp([weights[k] for k in range(KINDS)], xp)
        base = []
        for k in range(KINDS):
            height = weights[k] - norm
            for j in range(SIZE):
                height = height - scales[k, j]
            base.append(height)
        total = 0.0
        for i in range(len(x)):
            terms = []
            for k in range(KINDS):
                square = 0.0
                for j in range(SIZE):
                    u = (x[i, j] - means[k, j]) * inverse[k][j]
                    square = square + u * u
                terms.append(base[k] - 0.5 * square)
            total = total + logsumexp(terms, xp)
        return total

    return f


def arrays(x: Any, xp: Any, logsumexp: Callable[[Any, int], Any]) -> Callable[..., Any]:
    """The same in arrays, in a library's words."""

    def f(weights: Any, means: Any, scales: Any) -> Any:
        u = (x[:, None, :] - means[None]) * xp.exp(-scales)[None]
        base = weights - logsumexp(weights, 0) - xp.sum(scales, 1)
        return xp.sum(logsumexp(base[None] - 0.5 * xp.sum(u * u, 2), 1))

    return f


def by_hand(parameters: list[Any], x: Any) -> list[Any]:
    """Value and slopes in NumPy."""
    weights, means, scales = parameters
    inverse, weight = np.exp(-scales), np.exp(weights)
    weight /= weight.sum()
    u = (x[:, None] - means) * inverse
    inner = np.log(weight) - scales.sum(1) - 0.5 * np.einsum("nkj,nkj->nk", u, u)
    top = inner.max(1)
    shares = np.exp(inner - top[:, None])
    total = shares.sum(1)
    shares /= total[:, None]
    return [
        math.fsum(top + np.log(total)),
        shares.sum(0) - len(x) * weight,
        np.einsum("nk,nkj->kj", shares, u) * inverse,
        np.einsum("nk,nkj->kj", shares, u * u - 1.0),
    ]


WORK = Work(
    "mixture_loops",
    "Three nested Python loops: a mixture of Gaussians",
    "The log-likelihood of n points of 5 numbers under 10 kinds with diagonal "
    "covariances, entry by entry: for each point, for each kind, for each number. The "
    "points are constants; slopes by 110 parameters. *Loops* are the plain Python "
    "loops, *arrays* the same written in arrays.",
    (500,),
    "n = {:,}",
    lambda n: by_hand(*data(n)),
    quick=6,
)


def four(found: Any) -> list[Any]:
    """Value and slopes as a list."""
    return [found[0], *found[1]]


@WORK.by("tapegrad", "loops", "tapegrad", "tapegrad.native.compiled")
def tapegrad(n: int) -> Ready:
    """Recorded and compiled."""
    import tapegrad as tg

    parameters, x = data(n)
    both = tg.compile(loops(x, np), *parameters).value_and_gradient
    return Ready("f(*p)", {"f": both, "p": parameters}, four)


@WORK.by("tapegrad", "arrays", "tapegrad", "tapegrad.native.compiled")
def tapegrad_arrays(n: int) -> Ready:
    """Written in arrays."""
    import tapegrad as tg

    parameters, x = data(n)
    f = arrays(x, np, lambda y, axis: tg.logsumexp(y, axis=axis))
    both = tg.compile(f, *parameters).value_and_gradient
    return Ready("f(*p)", {"f": both, "p": parameters}, four)


@WORK.by(HAND_C, "libm, slopes by hand", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes."""
    parameters, x = data(n)
    slopes, room = [np.empty_like(p) for p in parameters], np.empty(KINDS * (2 + SIZE))
    f = library("hand_loops.c").mixture
    f.restype = ctypes.c_double
    sizes = (ctypes.c_long(size) for size in (n, KINDS, SIZE))
    given = (pointer(a) for a in (x, *parameters, *slopes, room))
    names = {"f": f, "args": (*sizes, *given), "kept": (x, parameters, room)}
    return Ready("f(*args)", names, lambda value: [value, *slopes])


@WORK.by("NumPy", "arrays, slopes by hand", ahead=True)
def numpy(n: int) -> Ready:
    """NumPy in arrays."""
    parameters, x = data(n)
    return Ready("f(p, x)", {"f": by_hand, "p": parameters, "x": x})


@WORK.by("JAX", "jit, arrays", "jax", "jax.numpy")
def jax(n: int) -> Ready:
    """Compiled by XLA."""
    import jax
    import jax.numpy as jnp

    parameters, x = data(n)
    f = arrays(jnp.asarray(x), jnp, lambda y, axis: jax.nn.logsumexp(y, axis=axis))
    both = jax.jit(jax.value_and_grad(f, (0, 1, 2)))
    p = [jnp.asarray(a) for a in parameters]
    names = {"f": both, "p": p, "block": jax.block_until_ready}
    return Ready("block(f(*p))", names, four)


def _torch(n: int, wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    given, x = data(n)
    parameters = [torch.tensor(a, requires_grad=True) for a in given]
    f = wrap(arrays(torch.tensor(x), torch, torch.logsumexp))

    def run() -> Any:
        value = f(*parameters)
        return value, torch.autograd.grad(value, parameters)

    return Ready("f()", {"f": run}, four)


@WORK.by("torch", "eager, arrays", "torch", ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd."""
    return _torch(n, lambda f: f)


@WORK.by("torch", "torch.compile, arrays", "torch", "torch._dynamo")
def torch_compiled(n: int) -> Ready:
    """PyTorch's compiler."""
    import torch

    return _torch(n, lambda f: torch.compile(f, fullgraph=True))


class _Words:
    """CasADi's functions under NumPy's names."""

    def __init__(self) -> None:
        import casadi

        self.exp, self.log, self.maximum = casadi.exp, casadi.log, casadi.fmax


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    given, x = data(n)
    names = [casadi.SX.sym("p", *a.shape) for a in given]
    value = loops(x, _Words())(*names)
    v = casadi.vertcat(*(casadi.vec(name) for name in names))
    slopes = casadi.gradient(value, v)
    f = casadi.Function("f", names, [value, slopes], options)
    # CasADi's matrices go by columns
    inputs, (out, g) = [a.ravel(order="F") for a in given], zeros(1, slopes.numel())
    run, buffer = buffered(f, inputs, [out, g])

    def answer(_: Any) -> list[Any]:
        parts = np.split(g, np.cumsum([a.size for a in given])[:-1])
        shaped = zip(given, parts, strict=True)
        return [out, *(part.reshape(a.shape, order="F") for a, part in shaped)]

    return Ready("f()", {"f": run, "kept": (buffer, inputs)}, answer)


@WORK.by("CasADi", "SX of the loops, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX of the loops, compiled by C, raw buffer", "casadi", most=50)
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)
