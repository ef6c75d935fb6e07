"""A training step on two moons: scalars beside micrograd, and the ways of arrays.

    python tests/benchmarks/moons.py [--quick]

The network 2-16-16-1 with 337 weights on 100 points, hinge loss with L2 penalty: the
loss, the sweep and the step of gradient descent. Scalar steps of tapegrad and of
micrograd run the same code in turn from the same weights, and their losses are
compared; a figure is the least of several, in seconds of the processor's time.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import tapegrad as tg
from tapegrad.nn import MLP

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import moons

Step = Callable[[], float]


def scalar_step(model: Any, rows: list[Any], signs: list[float]) -> Step:
    """A step on scalars, in micrograd's words, for either library."""

    def step() -> float:
        scores = [model(row) for row in rows]
        losses = [(1 + -y * s).relu() for y, s in zip(signs, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses))
        loss = loss + moons.PENALTY * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.5 * p.grad
        return float(loss.data)

    return step


def scalar_steps(points: Any, signs: Any) -> dict[str, Step]:
    """Both libraries' steps, from the same weights."""
    rows, wanted = points.tolist(), signs.tolist()
    mine = MLP(2, [16, 16, 1], "relu", output="linear", seed=moons.SEED)
    found = {"tapegrad": scalar_step(mine, rows, wanted)}
    try:
        from micrograd import nn as peer
        from micrograd.engine import Value
    except ImportError:
        return found
    random.seed(0)
    theirs = peer.MLP(2, [16, 16, 1])
    for p, q in zip(theirs.parameters(), mine.parameters(), strict=True):
        p.data = q.data
    # as in micrograd's demonstration, the inputs are Values there
    wrapped = [list(map(Value, row)) for row in rows]
    found["micrograd"] = scalar_step(theirs, wrapped, wanted)
    return found


def array_steps(points: Any, signs: Any) -> dict[str, Step]:
    """The step on arrays: eagerly, replayed, compiled."""
    model, optimiser = moons.fresh()

    def eager() -> float:
        loss = moons.loss_of(model, points, signs)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss)

    def by(run: Any) -> Step:
        def step() -> float:
            loss, updated = run(model, optimiser, points, signs)
            optimiser.load(updated)
            return float(loss)

        return step

    tape = tg.record(moons.step, model, optimiser, points, signs)
    return {
        "eagerly": eager,
        "replayed": by(tape),
        "compiled": by(tape.compile()),
    }


def least(steps: dict[str, Step], rounds: int, each: int) -> dict[str, float]:
    """Milliseconds of a step, the least of rounds in turn."""
    best = dict.fromkeys(steps, float("inf"))
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            gc.collect()
            start = time.process_time()
            for _ in range(each):
                step()
            best[name] = min(best[name], (time.process_time() - start) / each)
    return {name: seconds * 1e3 for name, seconds in best.items()}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    rounds = 2 if parser.parse_args().quick else 5
    console = Console()
    points, signs = moons.two_moons()

    steps = scalar_steps(points, signs)
    first = {name: step() for name, step in steps.items()}
    for loss in first.values():
        assert abs(loss - first["tapegrad"]) < 1e-9
    best = least(steps, rounds, 1)
    table = Table(title="one eager step on scalars, 337 weights, 100 points")
    for column in ("", "ms", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for name, ms in best.items():
        table.add_row(name, f"{ms:.1f}", f"{ms / best['tapegrad']:.1f}")
    console.print(table)

    table = Table(title="the same step on arrays")
    for column in ("", "ms"):
        table.add_column(column, justify="right" if column else "left")
    for name, ms in least(array_steps(points, signs), rounds, 20).items():
        table.add_row(name, f"{ms:.3f}")
    console.print(table)


if __name__ == "__main__":
    sys.setrecursionlimit(10**6)  # micrograd's backward() recurses
    main()
