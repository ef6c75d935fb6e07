"""Steps of tapes, of their values with gradients, and of those after the passes.

    python tests/benchmarks/passes.py

Steps count inputs and constants. `seconds` is the processor time of the passes alone.
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.nn import MLP

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def readme(a: Any, b: Any) -> Any:
    """The expression of the README."""
    c, d = a + b, a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    return f / 2.0 + 10.0 / f


def rosenbrock(x: Any) -> Any:
    """Rosenbrock's function, number by number."""
    return sum(
        (100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))
    )


def slices(x: Any) -> Any:
    """The same in NumPy slices."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def moons(model: Any) -> Any:
    """The hinge loss of a network of scalars at 20 points."""
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(20, 2)), np.sign(rng.normal(size=20))
    total = 0.0
    for point, label in zip(points.tolist(), labels, strict=True):
        total = total + tg.relu(1.0 - label * model(point))
    return total


def thurber(b: Any) -> Any:
    """The squared error of a rational function at 37 points."""
    total = 0.0
    for x in np.linspace(-3, 2, 37).tolist():
        top = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
        error = top / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3) - np.exp(x)
        total = total + error * error
    return total


def network(p: Any, x: Any) -> Any:
    """A network of arrays with one hidden layer."""
    return np.mean((np.tanh(x @ p["w"] + p["b"]) @ p["v"] - 1.0) ** 2)


def pendulum() -> Any:
    """The accelerations of three links from SymPy, and the symbols they are made of."""
    where = EXAMPLES / "pendulum.py"
    spec: Any = importlib.util.spec_from_file_location("pendulum", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.accelerations()


def benchmarks() -> dict[str, tg.Tape]:
    """Each function's tape."""
    weights = {"w": np.ones((2, 16)), "b": np.ones(16), "v": np.ones((16, 1))}
    accelerations, symbols = pendulum()
    return {
        "README expression": tg.record(readme, -4.0, 2.0),
        "Rosenbrock, 2,000 scalars": tg.record(rosenbrock, [1.1] * 2000, roll=False),
        "Rosenbrock, slices": tg.record(slices, np.ones(1000)),
        "two moons, scalars": tg.record(moons, MLP(2, [16, 16, 1], seed=1), roll=False),
        "Thurber, scalars": tg.record(thurber, [1.0] * 7),
        "network of arrays": tg.record(network, weights, np.ones((50, 2))),
        "pendulum, first link": tg.from_sympy(accelerations[0], symbols),
        "pendulum, second link": tg.from_sympy(accelerations[1], symbols),
        "pendulum, third link": tg.from_sympy(accelerations[2], symbols),
        "pendulum, all three": tg.from_sympy(accelerations, symbols),
    }


def main() -> None:
    """Print the table."""
    table = Table(
        "function", "steps", "with gradient", "simplified", "ratio", "seconds"
    )
    for name, tape in benchmarks().items():
        grown = gradient_tape(tape)
        start = time.process_time()
        short = grown.simplify()
        spent = time.process_time() - start
        counts = [len(tape), len(grown), len(short)]
        ratio = f"{counts[2] / counts[0]:.2f}"
        table.add_row(name, *map(str, counts), ratio, f"{spent:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
