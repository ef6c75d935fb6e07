"""What transforms of functions take, beside autograd and JAX where they are installed.

    python tests/benchmarks/transforms.py

Every call records anew, as autograd and JAX without jit do. Processor time, so that a
busy machine disturbs little; the best of several rounds.
"""

from __future__ import annotations

import importlib
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from scipy import optimize

import tapegrad as tg

if TYPE_CHECKING:
    from collections.abc import Callable


say = Console(width=100, highlight=False, markup=False).print


def best(f: Callable[[], Any], calls: int, rounds: int = 5) -> float:
    """Microseconds a call."""
    f()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            f()
        found.append((time.process_time() - start) / calls)
    return 1e6 * min(found)


def libraries() -> dict[str, tuple[Any, Any]]:
    """Namespace of transforms and of functions, by name."""
    found: dict[str, tuple[Any, Any]] = {"tapegrad": (tg, np)}
    for name, inner in (("autograd", "autograd.numpy"), ("jax", "jax.numpy")):
        try:
            found[name] = importlib.import_module(name), importlib.import_module(inner)
        except ImportError:
            continue
        if name == "jax":
            found[name][0].config.update("jax_enable_x64", True)
    return found


def small(name: str, library: Any, xp: Any) -> None:
    """A formula of one number, and Rosenbrock's function of ten."""

    def formula(x: Any) -> Any:
        return xp.sin(x) * xp.exp(x) + x * x / 3.0

    def valley(x: Any) -> Any:
        return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    x = np.linspace(0.5, 1.5, 10)
    slope, second = library.grad(formula), library.hessian(valley)
    gradient = library.grad(valley)
    row = [
        best(lambda: np.asarray(slope(0.7)), 50),
        best(lambda: np.asarray(gradient(x)), 20),
        best(lambda: np.asarray(second(x)), 3),
    ]
    say(f"| {name} | " + " | ".join(f"{entry / 1e3:.2f}" for entry in row) + " |")


def large() -> None:
    """Hessians of scipy's own function and of slices."""

    def slices(x: Any) -> Any:
        return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    for n in (100, 1000):
        x = np.linspace(0.5, 1.5, n)
        exact = optimize.rosen_hess(x)
        for name, f in (("slices", slices), ("scipy's rosen", optimize.rosen)):
            start = time.process_time()
            found = tg.hessian(f)(x)
            first = time.process_time() - start
            tape = tg.record(f, x)
            tape.hessian(x)
            start = time.process_time()
            tape.hessian(x)
            again = time.process_time() - start
            worst = np.abs(found - exact).max() / np.abs(exact).max()
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            say(
                f"| {name} | {n} | {first:.3f} | {again:.4f} | {worst:.0e} "
                f"| {held:.0f} |"
            )


if __name__ == "__main__":
    say("| ms a call | gradient, 1 number | gradient, 10 | Hessian, 10 x 10 |")
    say("|---|---|---|---|")
    for name, (library, xp) in libraries().items():
        small(name, library, xp)
    say("\n| function | n | first, s | of a tape again, s | error | MB |")
    say("|---|---|---|---|---|---|")
    large()
