"""Eager recording and sweeps beside their peers; memory of long recordings.

    python tests/benchmarks/eager.py [--quick]

Every figure is the least of several runs; peers run in the same process, in turn, so a
ratio holds when the machine's speed drifts. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

import tapegrad as tg

REPEATS = 5


def chain(make: Callable[[float], Any], steps: int) -> tuple[Any, Any]:
    """A scalar chain y = y * x + x of so many steps."""
    x = make(0.5)
    y = x
    for _ in range(steps // 2):
        y = y * x + x
    return x, y


def timed(make: Callable[[float], Any], steps: int) -> tuple[float, float]:
    """Microseconds a step of recording and of the sweep."""
    gc.collect()
    start = time.perf_counter()
    _, y = chain(make, steps)
    recorded = time.perf_counter()
    y.backward()
    done = time.perf_counter()
    scale = 1e6 / steps
    return (recorded - start) * scale, (done - recorded) * scale


def peers() -> dict[str, Callable[[float], Any]]:
    """Makers of a scalar that remembers, by name."""
    found: dict[str, Callable[[float], Any]] = {"tapegrad": tg.Value}
    try:
        from micrograd.engine import Value as Micrograd

        found["micrograd"] = Micrograd
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(1)
        found["torch"] = lambda x: torch.tensor(
            x, dtype=torch.float64, requires_grad=True
        )
    except ImportError:
        pass
    return found


def speed(steps: int) -> Table:
    """Record and backward of one chain, each peer in turn."""
    table = Table(title=f"eager chain of {steps:,} steps, us a step (least of runs)")
    for column in ("", "record", "backward", "together", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    best: dict[str, tuple[float, float]] = {}
    for _ in range(REPEATS):
        for name, make in peers().items():
            a, b = timed(make, steps)
            old = best.get(name, (a, b))
            best[name] = (min(old[0], a), min(old[1], b))
    base = sum(best["tapegrad"])
    for name, (a, b) in best.items():
        ratio = f"{(a + b) / base:.1f}"
        table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{a + b:.3f}", ratio)
    return table


LONG = """
import gc, resource, sys, time
import tapegrad as tg
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
def f(x, n):
    y = x
    for _ in range(n // 2):
        y = y * x + x
    return y
n = int(sys.argv[1])
import numpy, scipy, optree, llvmlite
tg.record(f, 0.5, 5000).gradient(0.5, 5000)
before = rss()
start = time.perf_counter()
held = []
def measured(x, n):
    y = f(x, n)
    held.append(rss())
    return y
tape = tg.record(measured, 0.5, n)
recorded = time.perf_counter()
gradient = tape.gradient(0.5, n)
swept = time.perf_counter()
assert abs(gradient - 4.0) < 1e-9
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
columns = tape.nbytes / len(tape)
del tape
gc.collect()
print((held[0] - before) / n, columns, (recorded - start) / n * 1e6,
      (swept - recorded) / n * 1e6, peak / 2**30, (rss() - before) / 2**20)
"""

LOOP = """
import gc, resource
from tapegrad import Value
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
w, b = Value(0.1), Value(0.0)
sizes = []
for step in range(100_000):
    loss = ((w * 2.0 + b).tanh() - 0.5) ** 2
    w.grad = b.grad = 0.0
    loss.backward()
    w.data -= 0.1 * w.grad
    b.data -= 0.1 * b.grad
    if step % 20_000 == 10_000:
        sizes.append(rss() / 2**20)
print(*sizes)
"""


def fresh(program: str, *args: object) -> list[float]:
    """The numbers that a program prints in a process of its own."""
    command = [sys.executable, "-c", program, *map(str, args)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def import_seconds() -> tuple[float, float]:
    """Seconds of `import tapegrad` and of `import numpy`, least of runs."""
    best = {"tapegrad": 9e9, "numpy": 9e9}
    for _ in range(2 * REPEATS):
        for name, seconds in best.items():
            code = (
                f"import time; t = time.perf_counter(); import {name}; "
                "print(time.perf_counter() - t)"
            )
            best[name] = min(seconds, fresh(code)[0])
    return best["tapegrad"], best["numpy"]


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    scale = 10 if parser.parse_args().quick else 1
    console = Console()
    console.print(speed(200_000 // scale))
    ours, numpys = import_seconds()
    console.print(f"import tapegrad {ours:.3f} s, of which NumPy {numpys:.3f} s")
    steps = 10_000_000 // scale
    held, columns, record, sweep, peak, left = fresh(LONG, steps)
    console.print(
        f"a recording of {steps:,} steps: {held:.0f} bytes a step on the recorder, "
        f"{columns:.0f} on the tape; record {record:.2f} us, replay and sweep "
        f"{sweep:.2f} us a step; peak {peak:.2f} GiB, {left:.0f} MiB left when freed"
    )
    sizes = fresh(LOOP)
    console.print(
        "100,000 eager training steps, MiB held on the way: "
        + ", ".join(f"{size:.1f}" for size in sizes)
    )


if __name__ == "__main__":
    # micrograd's backward() recurses once a step
    sys.setrecursionlimit(10**7)
    threading.stack_size(1 << 30)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
