"""Native code: what building costs by length of the tape, and what a call costs.

    python tests/benchmarks/compile.py [--quick]

A call is timed beside its peers in the same process, in turn, and every figure is the
least of several runs, so a ratio holds when the machine's speed drifts. Building is the
processor's time from a tape to code that can be called, the gradient's tape included.
Peers that are not installed are left out. Code that is kept on disk would be read, not
built: TAPEGRAD_CACHE=off is set.
"""

from __future__ import annotations

import argparse
import os
import random
import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tapegrad as tg

os.environ["TAPEGRAD_CACHE"] = "off"  # read when the first code is made

REPEATS = 7
INPUTS = 16

ARITHMETIC = ("add", "sub", "mul", "mul", "add")
FUNCTIONS = (*ARITHMETIC, "tanh", "sin", "exp")


def straight(steps: int, words: tuple[str, ...]) -> tg.Tape:
    """A random straight-line tape whose slots stay near 1."""
    chance = random.Random(0)
    binary = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
    }

    def f(*inputs: Any) -> Any:
        slots = list(inputs)
        for _ in range(steps - len(inputs)):
            word = chance.choice(words)
            a = slots[-1 - chance.randrange(min(len(slots), 50))]
            b = slots[-1 - chance.randrange(min(len(slots), 200))]
            slots.append(binary[word](a, b) if word in binary else getattr(a, word)())
        total = slots[-1]
        for slot in slots[-8:-1]:
            total = total + slot
        return total

    return tg.record(f, *[0.25 + 0.01 * k for k in range(INPUTS)])


def least(call: Callable[[], Any], seconds: float = 0.3) -> float:
    """Seconds a call takes: the least of the runs that fit in a time."""
    timer = timeit.Timer(call)
    number = max(int(0.002 / max(timer.timeit(1), 1e-9)), 1)
    best, spent = float("inf"), 0.0
    while spent < seconds:
        took = timer.timeit(number)
        spent += took
        best = min(best, took / number)
    return best


def building(lengths: list[int], repeats: int) -> Table:
    """Build and run by length, for values alone and with gradients."""
    table = Table(title="straight-line tapes: build us and run ns per lowered step")
    for column in ("operations", "code of"):
        table.add_column(column)
    for column in ("lowered", "chunks", "build us", "ms", "run ns", "bytes"):
        table.add_column(column, justify="right")
    for kind, words in (("+ - *", ARITHMETIC), ("+ - * and functions", FUNCTIONS)):
        for name in ("value", "gradient"):
            for steps in lengths:
                tape = straight(steps, words)
                seconds = float("inf")
                for _ in range(repeats):
                    start = time.process_time()
                    native = tape.compile()
                    call = native.value if name == "value" else native.gradient
                    seconds = min(seconds, time.process_time() - start)
                part = native.report.parts[name]
                point = tape.example
                run = least(lambda call=call, point=point: call(*point))
                table.add_row(
                    kind,
                    name,
                    f"{part.steps:,}",
                    f"{part.chunks:,}",
                    f"{seconds / part.steps * 1e6:.1f}",
                    f"{seconds * 1e3:.0f}",
                    f"{run / part.steps * 1e9:.2f}",
                    f"{part.code_bytes / part.steps:.0f}",
                )
            table.add_section()
    return table


def rosenbrock(x: Any) -> Any:
    """A chain over the entries of an array."""
    total = 0.0
    for i in range(len(x) - 1):
        total = total + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2 + (1.0 - x[i]) ** 2
    return total


def lorenz(steps: int) -> Callable[[Any], Any]:
    """Runge and Kutta's fourth-order steps of Lorenz's system, as a Python loop."""

    def f(p: Any) -> Any:
        u, (s, r, b), h = [p[0], p[1], p[2]], [p[3], p[4], p[5]], 0.01

        def slope(u: Any) -> list[Any]:
            x, y, z = u
            return [s * (y - x), x * (r - z) - y, x * y - b * z]

        def moved(u: Any, k: Any, by: float) -> list[Any]:
            return [a + by * c for a, c in zip(u, k, strict=True)]

        for _ in range(steps):
            k1 = slope(u)
            k2 = slope(moved(u, k1, h / 2))
            k3 = slope(moved(u, k2, h / 2))
            k4 = slope(moved(u, k3, h))
            u = [
                a + h / 6 * (b1 + 2 * b2 + 2 * b3 + b4)
                for a, b1, b2, b3, b4 in zip(u, k1, k2, k3, k4, strict=True)
            ]
        return u[0] * u[0] + u[1] + u[2]

    return f


def determinant(a: Any) -> Any:
    """By minors, of rows."""
    if len(a) == 1:
        return a[0][0]
    total = 0.0
    for j in range(len(a)):
        minor = [[row[k] for k in range(len(row)) if k != j] for row in a[1:]]
        total = total + (-1.0) ** j * a[0][j] * determinant(minor)
    return total


def entrywise(quick: bool) -> Table:
    """Programs over the entries of an array: value and gradient."""
    table = Table(title="loops over entries: us a step to record and build, ns to run")
    for column in ("program", "lowered", "record ms", "build ms", "us a step"):
        table.add_column(column, justify="left" if column == "program" else "right")
    for column in ("run us", "ns a step"):
        table.add_column(column, justify="right")
    system = np.array([1.0, 1.0, 1.0, 10.0, 28.0, 8 / 3])
    chance = np.random.default_rng(0)
    works: list[tuple[str, Callable[[Any], Any], Any]] = [
        (f"Rosenbrock, n = {n:,}", rosenbrock, np.linspace(-1.0, 1.0, n))
        for n in ((10, 1_000) if quick else (10, 100, 1_000, 10_000))
    ]
    works += [
        (f"Lorenz, {n:,} steps", lorenz(n), system)
        for n in ((100,) if quick else (100, 1_000))
    ]
    works += [
        (f"determinant, {n} x {n}", determinant, chance.normal(size=(n, n)))
        for n in ((5,) if quick else (6, 8))
    ]
    for name, f, x in works:
        start = time.process_time()
        tape = tg.record(f, x)
        recorded = time.process_time()
        native = tape.compile()
        call = native.value_and_gradient
        built = time.process_time() - recorded
        steps = native.report.parts["gradient"].steps
        run = least(lambda call=call, x=x: call(x))
        table.add_row(
            name,
            f"{steps:,}",
            f"{(recorded - start) * 1e3:.1f}",
            f"{built * 1e3:.1f}",
            f"{built / steps * 1e6:.1f}",
            f"{run * 1e6:.1f}",
            f"{run / steps * 1e9:.2f}",
        )
    return table


def readme(a: Any, b: Any) -> Any:
    """The expression of micrograd's README."""
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    return g + 10.0 / f


def swept(make: Callable[[float], Any]) -> Callable[[], tuple[float, float]]:
    """Value and gradient of the expression by eager recording and a sweep."""

    def run() -> tuple[float, float]:
        a, b = make(-4.0), make(2.0)
        readme(a, b).backward()
        return a.grad, b.grad

    return run


def calls() -> Table:
    """One call of the README's expression, value and gradient, by each means."""
    tape = tg.record(readme, -4.0, 2.0)
    native = tape.compile()

    def nothing(a: float, b: float) -> None:
        del a, b

    ways: dict[str, tuple[str, Callable[..., Any]]] = {
        "native, value and gradient": ("f(-4.0, 2.0)", native.value_and_gradient),
        "native, value": ("f(-4.0, 2.0)", native.value),
        "a Python function that does nothing": ("f(-4.0, 2.0)", nothing),
        "interpreter, value and gradient": ("f(-4.0, 2.0)", tape.value_and_gradient),
        "eager": ("f()", swept(tg.Value)),
    }
    try:
        from micrograd.engine import Value as Micrograd

        ways["micrograd"] = ("f()", swept(Micrograd))
    except ImportError:
        pass
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):
        for name, (text, f) in ways.items():
            timer = timeit.Timer(text, globals={"f": f})
            number = max(int(0.02 / max(timer.timeit(3) / 3, 1e-8)), 1)
            best[name] = min(best[name], timer.timeit(number) / number)
    table = Table(title="micrograd's README expression, one call (least of runs)")
    table.add_column("")
    table.add_column("ns", justify="right")
    table.add_column("ratio", justify="right")
    base = best["native, value and gradient"]
    for name, seconds in best.items():
        table.add_row(name, f"{seconds * 1e9:,.0f}", f"{seconds / base:,.1f}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter tapes, one run")
    quick = parser.parse_args().quick
    lengths = [1_000, 10_000] if quick else [1_000, 10_000, 100_000]
    console = Console()
    console.print(calls())
    console.print(building(lengths, 1 if quick else 3))
    console.print(entrywise(quick))


if __name__ == "__main__":
    main()
