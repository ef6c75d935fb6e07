"""Black and Scholes: the price of a call and its slopes by all five arguments."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from harness.work import HAND_C, Ready, Work
from scipy.special import erf

from works.hands import JIT, buffered, library, pointer, zeros

LOW = (80.0, 80.0, 0.1, 0.0, 0.1)
HIGH = (120.0, 120.0, 2.0, 0.05, 0.5)


def market(n: int) -> list[Any]:
    """Spots, strikes, years, rates and volatilities."""
    rng = np.random.default_rng(0)
    return [rng.uniform(a, b, n) for a, b in zip(LOW, HIGH, strict=True)]


def one() -> list[float]:
    """The first option's numbers."""
    return [float(x[0]) for x in market(1)]


def pricer(xp: Any, erf: Callable[[Any], Any]) -> Callable[..., Any]:
    """The price, in the words of a library."""

    def price(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
        def normal(x: Any) -> Any:
            return 0.5 * (1.0 + erf(x / 2.0**0.5))

        deviation = v * xp.sqrt(t)
        d1 = (xp.log(s / k) + (r + 0.5 * v * v) * t) / deviation
        return s * normal(d1) - k * xp.exp(-r * t) * normal(d1 - deviation)

    return price


def by_hand(s: Any, k: Any, t: Any, r: Any, v: Any) -> list[Any]:
    """Price and slopes in NumPy."""
    root = np.sqrt(t)
    deviation = v * root
    d1 = (np.log(s / k) + (r + 0.5 * v * v) * t) / deviation
    n1 = 0.5 * (1.0 + erf(d1 / 2.0**0.5))
    n2 = 0.5 * (1.0 + erf((d1 - deviation) / 2.0**0.5))
    slope = np.exp(-0.5 * d1 * d1) / (2.0 * np.pi) ** 0.5
    down = k * np.exp(-r * t) * n2
    by_time = 0.5 * s * slope * v / root + r * down
    return [s * n1 - down, n1, -down / k, by_time, t * down, s * slope * root]


WORK = Work(
    "options",
    "Black and Scholes: price and five slopes",
    "One option with numbers in and out, and a million with arrays in and out.",
    (1, 1_000_000),
    "{:,} option(s)",
    lambda n: by_hand(*market(n)),
    tolerance=1e-9,
    quick=3,
)


def six(found: Any) -> list[Any]:
    """(price, five slopes) as a list."""
    return [found[0], *found[1]]


@WORK.by("tapegrad", "compiled", "tapegrad", "tapegrad.native.compiled", "scipy")
def tapegrad(n: int) -> Ready:
    """Numbers by the compiled tape, arrays by its ufunc."""
    import tapegrad as tg

    native = tg.compile(pricer(np, erf), *one())
    if n == 1:
        text = f"f({', '.join(map(repr, one()))})"
        return Ready(text, {"f": native.value_and_gradient}, six)
    return Ready("f(*m)", {"f": native.gradient_ufunc(value=True), "m": market(n)})


@WORK.by("tapegrad", 'accuracy="fast"', "tapegrad", "tapegrad.native.compiled", "scipy")
def tapegrad_fast(n: int) -> Ready:
    """Vector functions within 4 ulps."""
    import tapegrad as tg

    native = tg.compile(pricer(np, erf), *one(), accuracy="fast")
    return Ready("f(*m)", {"f": native.gradient_ufunc(value=True), "m": market(n)})


@WORK.by("tapegrad", "ufunc, out=", "tapegrad", "tapegrad.native.compiled", "scipy")
def tapegrad_out(n: int) -> Ready:
    """Into arrays that are there, as C and CasADi have them."""
    import tapegrad as tg

    f = tg.compile(pricer(np, erf), *one()).gradient_ufunc(value=True)
    names = {"f": f, "m": market(n), "out": tuple(np.empty((6, n)))}
    return Ready("f(*m, out=out)", names, list)


@WORK.by(HAND_C, "libm", ahead=True)
def hand_c(n: int) -> Ready:
    """C through ctypes, the mathematical library's functions."""
    given, out = market(n), np.empty((6, n))
    f = library().options
    args = ctypes.c_long(n), *(pointer(x) for x in [*given, out])
    names = {"f": f, "args": args, "kept": (given, out)}
    return Ready("f(*args)", names, lambda _: list(out))


@WORK.by("NumPy", "slopes by hand", "scipy.special", ahead=True)
def numpy(n: int) -> Ready:
    """NumPy and SciPy."""
    return Ready("f(*m)", {"f": by_hand, "m": market(n)})


@WORK.by("numba", "slopes by hand, vectorize", "numba")
def numba(n: int) -> Ready:
    """A loop written out, compiled."""
    import math

    from numba import njit

    @njit
    def f(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
        out = np.empty((6, len(s)))
        for i in range(len(s)):
            root = math.sqrt(t[i])
            deviation = v[i] * root
            d1 = math.log(s[i] / k[i]) + (r[i] + 0.5 * v[i] * v[i]) * t[i]
            d1 /= deviation
            n1 = 0.5 * (1.0 + math.erf(d1 / 2.0**0.5))
            n2 = 0.5 * (1.0 + math.erf((d1 - deviation) / 2.0**0.5))
            slope = math.exp(-0.5 * d1 * d1) / (2.0 * math.pi) ** 0.5
            down = k[i] * math.exp(-r[i] * t[i]) * n2
            out[0, i] = s[i] * n1 - down
            out[1, i] = n1
            out[2, i] = -down / k[i]
            out[3, i] = 0.5 * s[i] * slope * v[i] / root + r[i] * down
            out[4, i] = t[i] * down
            out[5, i] = s[i] * slope * root
        return out

    return Ready("f(*m)", {"f": f, "m": market(n)}, list)


def _casadi(n: int, **options: Any) -> Ready:
    import casadi

    v = casadi.SX.sym("x", 5)
    price = pricer(casadi, casadi.erf)(*(v[i] for i in range(5)))
    f = casadi.Function("f", [v], [price, casadi.gradient(price, v)], options)
    if n > 1:
        f = f.map(n)
    # CasADi's matrices go by columns: an option's five numbers stand together
    x = np.stack(market(n), axis=1).ravel()
    value, slopes = zeros(n, 5 * n)
    run, buffer = buffered(f, [x], [value, slopes])
    names = {"f": run, "kept": (buffer, x, f)}
    return Ready("f()", names, lambda _: [value, *slopes.reshape(n, 5).T])


@WORK.by("CasADi", "SX, interpreter, raw buffer", "casadi")
def casadi(n: int) -> Ready:
    """Its virtual machine."""
    return _casadi(n)


@WORK.by("CasADi", "SX, compiled by C, raw buffer", "casadi")
def casadi_c(n: int) -> Ready:
    """Compiled by the C compiler."""
    return _casadi(n, **JIT)


class _HeyokaWords:
    """heyoka's functions under NumPy's names."""

    def __init__(self) -> None:
        import heyoka as hy

        self.sqrt, self.log, self.exp = hy.sqrt, hy.log, hy.exp


@WORK.by("heyoka", "cfunc", "heyoka")
def heyoka(n: int) -> Ready:
    """Compiled by LLVM, in vectors."""
    import heyoka as hy

    names = hy.make_vars("s", "k", "t", "r", "v")
    price = pricer(_HeyokaWords(), hy.erf)(*names)
    f = hy.cfunc([price, *(hy.diff(price, x) for x in names)], vars=names)
    x, out = np.stack(market(n)), np.zeros((6, n))
    if n == 1:
        x, out = x[:, 0].copy(), np.zeros(6)
    space = {"f": f, "x": x, "out": out}
    return Ready("f(x, outputs=out)", space, lambda _: list(out))


@WORK.by("SymEngine", "LLVM", "symengine")
def symengine(n: int) -> Ready:
    """Compiled by SymEngine, one option after the other."""
    import symengine

    names = symengine.symbols("s k t r v")
    price = pricer(symengine, symengine.erf)(*names)
    outputs = [price, *(price.diff(x) for x in names)]
    f = symengine.Lambdify(names, outputs, backend="llvm", cse=True)
    x = np.stack(market(n), axis=1)
    if n == 1:
        x, out = x[0].copy(), np.zeros(6)
        space = {"f": f.unsafe_real, "x": x, "out": out}
        return Ready("f(x, out)", space, lambda _: list(out))
    return Ready("f(x)", {"f": f, "x": x}, lambda y: list(np.transpose(y)))


@WORK.by("JAX", "jit, vmap", "jax", "jax.numpy", "jax.scipy.special")
def jax(n: int) -> Ready:
    """Compiled by XLA, batched by hand."""
    import jax
    import jax.numpy as jnp

    f = jax.value_and_grad(pricer(jnp, jax.scipy.special.erf), (0, 1, 2, 3, 4))
    names = {"block": jax.block_until_ready}
    if n == 1:
        text = f"block(f({', '.join(map(repr, one()))}))"
        return Ready(text, {**names, "f": jax.jit(f)}, six)
    m = [jnp.asarray(x) for x in market(n)]
    return Ready("block(f(*m))", {**names, "f": jax.jit(jax.vmap(f)), "m": m}, six)


def _torch(n: int, wrap: Callable[[Any], Any]) -> Ready:
    import torch

    torch.set_num_threads(1)
    price = wrap(pricer(torch, torch.erf))
    m = [torch.tensor(x, requires_grad=True) for x in market(n)]

    def run() -> list[Any]:
        value = price(*m)
        return [value, *torch.autograd.grad(value.sum(), m)]

    return Ready("f()", {"f": run})


@WORK.by("torch", "eager", "torch", ahead=True)
def torch(n: int) -> Ready:
    """PyTorch's autograd of the sum."""
    return _torch(n, lambda f: f)


@WORK.by("torch", "torch.compile", "torch", "torch._dynamo")
def torch_compiled(n: int) -> Ready:
    """PyTorch's compiler, C++ behind it."""
    import torch

    return _torch(n, lambda f: torch.compile(f, fullgraph=True, dynamic=False))


@WORK.by("autograd", "", "autograd.numpy", "autograd.scipy.special", ahead=True)
def autograd(n: int) -> Ready:
    """HIPS autograd of the sum."""
    import autograd.numpy as anp
    from autograd import make_vjp
    from autograd.scipy.special import erf as their_erf

    price = pricer(anp, their_erf)

    def run(*m: Any) -> list[Any]:
        pull, value = make_vjp(lambda m: price(*m))(m)
        return [value, *pull(np.ones(n))]

    return Ready("f(*m)", {"f": run, "m": market(n)})
