"""A few figures of speed, on this machine, without other libraries. Floor 12.

Every figure stands beside plain Python or NumPy that does the same in the same process,
so a ratio says more than a time. The page of benchmarks has the other libraries.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import tapegrad as tg

# Seconds that are spent on each figure, and on one with ``quick``.
LONG, SHORT = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and what it is compared with.

    Args:
        work: what was done.
        seconds: what it took, the least of several runs.
        beside: what does the same, or "".
        other: seconds that took, or None.
    """

    work: str
    seconds: float
    beside: str = ""
    other: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as long the other takes."""
        return None if self.other is None else self.other / self.seconds


@dataclass(frozen=True, slots=True)
class Speeds:
    """All figures; ``to_json`` for programs, and a table for people."""

    figures: tuple[Figure, ...]

    def to_json(self) -> list[dict[str, Any]]:
        """A dict a figure, times in seconds."""
        return [{**asdict(each), "ratio": each.ratio} for each in self.figures]

    def __rich__(self) -> Any:
        """A row a figure."""
        from rich.table import Table

        table = Table(title="seconds, the least of several runs")
        table.add_column("work")
        for column in ("seconds", "times as long"):
            table.add_column(column, justify="right")
        table.add_column("beside")
        for each in self.figures:
            ratio = "" if each.ratio is None else f"{each.ratio:,.2f}"
            table.add_row(each.work, f"{each.seconds:.2e}", ratio, each.beside)
        return table


def run(*, quick: bool = False) -> Speeds:
    """Measure.

    Args:
        quick: short runs of small works; figures are rough.
    """
    seconds = SHORT if quick else LONG
    length = 2_000 if quick else 1_000_000
    return Speeds(
        (
            *_call(seconds),
            _arrays(length, seconds),
            _build(100 if quick else 2_000),
            _eager(1_000 if quick else 100_000, seconds),
        )
    )


def least(call: Callable[[], Any], seconds: float) -> float:
    """Seconds a call takes, the least of runs that fit in a time."""
    timer = timeit.Timer(call)
    number = max(int(0.01 / max(timer.timeit(1), 1e-8)), 1)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        best = min(best, timer.timeit(number) / number)
    return best


def _same(one: Any, other: Any) -> None:
    """Times are of the same results."""
    np.testing.assert_allclose(np.hstack(one), np.hstack(other), rtol=1e-9, atol=1e-12)


def _pendulum(angle: Any, speed: Any) -> Any:
    """The energy of a pendulum."""
    return 0.5 * speed * speed + 9.81 * (1.0 - np.cos(angle))


def _call(seconds: float) -> tuple[Figure, Figure]:
    """A call of a small function: native, interpreted, and by hand."""
    import math

    def by_hand(angle: float, speed: float) -> tuple[float, tuple[float, float]]:
        value = 0.5 * speed * speed + 9.81 * (1.0 - math.cos(angle))
        return value, (9.81 * math.sin(angle), speed)

    tape = tg.record(_pendulum, 0.3, 1.5)
    native = tape.compile().value_and_gradient
    _same(native(0.3, 1.5), by_hand(0.3, 1.5))
    python = least(lambda: by_hand(0.3, 1.5), seconds)
    name = "value and gradient of two numbers"
    by = "plain Python, gradient by hand"
    return (
        Figure(f"{name}, native", least(lambda: native(0.3, 1.5), seconds), by, python),
        Figure(
            f"{name}, interpreted",
            least(lambda: tape.value_and_gradient(0.3, 1.5), seconds),
            by,
            python,
        ),
    )


def _arrays(length: int, seconds: float) -> Figure:
    """A function of a long array."""

    def f(x: Any) -> Any:
        return np.sum(np.tanh(x) * np.exp(-x * x))

    def by_hand(x: Any) -> Any:
        t, e = np.tanh(x), np.exp(-x * x)
        return np.sum(t * e), (1.0 - t * t) * e - 2.0 * x * t * e

    x = np.linspace(-2.0, 2.0, length)
    native = tg.compile(f, x).value_and_gradient
    _same(native(x), by_hand(x))
    return Figure(
        f"sum of tanh(x) exp(-x^2) of {length:,} numbers, native",
        least(lambda: native(x), seconds),
        "NumPy, gradient by hand",
        least(lambda: by_hand(x), seconds),
    )


def _build(laps: int) -> Figure:
    """Recording and compiling a long loop, a step of the code."""

    def f(x: Any, y: Any) -> Any:
        for _ in range(laps):
            x, y = x + 0.001 * y, y - 0.001 * x * y
        return x * y

    start = time.perf_counter()
    native = tg.compile(f, 1.0, 0.5)
    native.value_and_gradient(1.0, 0.5)
    steps = native.report.lowered_steps
    took = (time.perf_counter() - start) / steps
    return Figure(f"building native code of {steps:,} steps, a step", took)


def _eager(count: int, seconds: float) -> Figure:
    """Values as they come, and a sweep: a step."""

    def chain() -> None:
        x = tg.Value(1.0)
        y: Any = x
        for _ in range(count // 2):
            y = y * 0.999 + x
        y.backward()

    took = least(chain, seconds) / count
    return Figure(f"eager chain of {count:,} steps and backward, a step", took)
