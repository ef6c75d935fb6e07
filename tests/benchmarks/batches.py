"""Batches: prices of many options, and a gradient for each example of a batch.

OPENBLAS_NUM_THREADS=1 python tests/benchmarks/batches.py

Wall time on one machine, the best of several runs. NumPy by hand is the formula on
whole arrays, as SciPy's `erf` takes it. JAX is compared where it is installed, in
float64, on arrays that it has already.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from scipy.special import erf

import tapegrad as tg

CONSOLE = Console(highlight=False)
RUNS = 15
OPTIONS = 100_000
BATCH = 128
SIZES = (32, 64, 64, 10)
RNG = np.random.default_rng(0)

SPOT, STRIKE, YEARS, SIGMA = RNG.uniform(
    [[50], [50], [0.1], [0.1]], [[150], [150], [2], [0.5]], (4, OPTIONS)
)
RATE = 0.03
MARKET = (SPOT, STRIKE, YEARS, RATE, SIGMA)
AXES = (0, 0, 0, None, 0)
GREEKS = (0, 1, 2, 4)

LAYERS = [
    (RNG.normal(size=(wide, deep)) / np.sqrt(deep), np.zeros(wide))
    for deep, wide in itertools.pairwise(SIZES)
]
INPUTS = RNG.normal(size=(BATCH, SIZES[0]))
TARGETS = RNG.normal(size=(BATCH, SIZES[-1]))


def price(xp: Any, erf: Any) -> Callable[..., Any]:
    """Black and Scholes' price of a call, in the words of a library."""

    def call(s: Any, k: Any, t: Any, r: Any, v: Any) -> Any:
        def normal(x: Any) -> Any:
            return 0.5 * (1 + erf(x / 2**0.5))

        deviation = v * xp.sqrt(t)
        above = (xp.log(s / k) + (r + v * v / 2) * t) / deviation
        return s * normal(above) - k * xp.exp(-r * t) * normal(above - deviation)

    return call


def loss(xp: Any) -> Callable[..., Any]:
    """The squared error of a small network at one example."""

    def error(layers: Any, x: Any, target: Any) -> Any:
        for w, b in layers[:-1]:
            x = xp.tanh(w @ x + b)
        w, b = layers[-1]
        return xp.sum((w @ x + b - target) ** 2)

    return error


def best(f: Callable[[], Any]) -> float:
    """Milliseconds."""
    f()
    found = []
    for _ in range(RUNS):
        start = time.perf_counter()
        f()
        found.append(time.perf_counter() - start)
    return 1e3 * min(found)


def say(what: str, ms: float) -> None:
    CONSOLE.print(f"  {what:<34} {ms:9.2f} ms")


def ours() -> None:
    call, error = price(np, erf), loss(np)
    mapped = tg.vmap(call, AXES)
    greeks = tg.vmap(tg.value_and_grad(call, GREEKS), AXES)
    assert np.allclose(mapped(*MARKET), call(*MARKET), rtol=1e-12)
    CONSOLE.print(f"prices of {OPTIONS:,} options")
    say("NumPy by hand", best(lambda: call(*MARKET)))
    say("tg.vmap", best(lambda: mapped(*MARKET)))
    compiled = tg.compile(mapped, *MARKET)
    say("tg.vmap, compiled", best(lambda: compiled(*MARKET)))
    CONSOLE.print("prices and four Greeks")
    say("tg.vmap", best(lambda: greeks(*MARKET)))
    fast = tg.compile(greeks, *MARKET)
    say("tg.vmap, compiled", best(lambda: fast(*MARKET)))

    slopes = tg.grad(error)
    each = tg.vmap(slopes, (None, 0, 0))
    one = [slopes(LAYERS, INPUTS[k], TARGETS[k])[0][0] for k in range(3)]
    assert np.allclose(each(LAYERS, INPUTS, TARGETS)[0][0][:3], one, rtol=1e-10)
    CONSOLE.print(f"gradients of {BATCH} examples, a network of {SIZES}")

    def loop() -> Any:
        return [slopes(LAYERS, INPUTS[k], TARGETS[k]) for k in range(BATCH)]

    say("tg.grad in a loop", best(loop))
    say("tg.vmap", best(lambda: each(LAYERS, INPUTS, TARGETS)))
    quick = tg.compile(each, LAYERS, INPUTS, TARGETS)
    say("tg.vmap, compiled", best(lambda: quick(LAYERS, INPUTS, TARGETS)))


def jax_too() -> None:
    try:
        import jax
        import jax.numpy as jnp
        from jax.scipy.special import erf as their_erf
    except ImportError:
        CONSOLE.print("JAX is not installed")
        return
    jax.config.update("jax_enable_x64", val=True)
    done = jax.block_until_ready
    call, error = price(jnp, their_erf), loss(jnp)
    market = jax.tree.map(jnp.asarray, MARKET)
    batch = jax.tree.map(jnp.asarray, (LAYERS, INPUTS, TARGETS))
    CONSOLE.print(f"JAX {jax.__version__}")
    for what, f, args in (
        ("prices", jax.vmap(call, AXES), market),
        (
            "prices and Greeks",
            jax.vmap(jax.value_and_grad(call, GREEKS), AXES),
            market,
        ),
        ("gradients", jax.vmap(jax.grad(error), (None, 0, 0)), batch),
    ):
        fast = jax.jit(f)
        say(f"{what}, jax.vmap", best(lambda f=f, args=args: done(f(*args))))
        say(f"{what}, jit", best(lambda f=fast, args=args: done(f(*args))))


if __name__ == "__main__":
    ours()
    jax_too()
