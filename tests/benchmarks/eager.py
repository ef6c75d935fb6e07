"""Eager recording and sweeps beside their peers; memory of long recordings.

    python tests/benchmarks/eager.py [--quick]

Every figure is the least of several runs; peers run in the same process, in turn, so a
ratio holds when the machine's speed drifts. Peers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import operator
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import tapegrad as tg
from tapegrad.native.machine.choice import forced

REPEATS = 5


@dataclass(frozen=True)
class Peer:
    """A library of scalars that remember.

    Args:
        leaf: a scalar of a number.
        tanh, exp: functions of one.
        start: called before a recording; gives what is kept until the sweep is done.
        sweep: the reverse sweep from a scalar.
    """

    leaf: Callable[[float], Any]
    tanh: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    start: Callable[[], Any] = object
    sweep: Callable[[Any], None] = operator.methodcaller("backward")


def chain(peer: Peer, steps: int) -> Any:
    """y = y * x + x."""
    y = x = peer.leaf(0.5)
    for _ in range(steps // 2):
        y = y * x + x
    return y


def numbers(peer: Peer, steps: int) -> Any:
    """y = y * 0.9999 + x: every other operand is a plain number."""
    y = x = peer.leaf(0.5)
    for _ in range(steps // 2):
        y = y * 0.9999 + x
    return y


def functions(peer: Peer, steps: int) -> Any:
    """y = exp(tanh(y * x) - x)."""
    y = x = peer.leaf(0.5)
    for _ in range(steps // 4):
        y = peer.exp(peer.tanh(y * x) - x)
    return y


def neurons(peer: Peer, steps: int) -> Any:
    """tanh of a bias and 16 products, again and again, as micrograd's neurons do."""
    weights = [peer.leaf(0.01 * (k + 1)) for k in range(16)]
    bias, x = peer.leaf(0.5), peer.leaf(0.5)
    outputs = [x + 0.1 * k for k in range(16)]
    for _ in range(steps // 33):
        total = bias
        for weight, output in zip(weights, outputs, strict=True):
            total = total + weight * output
        outputs = [*outputs[1:], peer.tanh(total)]
    return outputs[-1]


PROGRAMS = (chain, numbers, functions, neurons)


def timed(program: Any, peer: Peer, steps: int) -> tuple[float, float]:
    """Microseconds a step of recording and of the sweep, in time of the processor."""
    gc.collect()
    held = peer.start()
    start = time.process_time()
    y = program(peer, steps)
    recorded = time.process_time()
    peer.sweep(y)
    done = time.process_time()
    del held
    scale = 1e6 / steps
    return (recorded - start) * scale, (done - recorded) * scale


def peers() -> dict[str, Peer]:
    """Those that are installed, by name."""
    tanh, exp = operator.methodcaller("tanh"), operator.methodcaller("exp")
    found = {"tapegrad": Peer(tg.Value, tanh, exp)}
    for name, make in (("xad", _xad), ("micrograd", _micrograd), ("torch", _torch)):
        with contextlib.suppress(ImportError):
            found[name] = make()
    return found


def _xad() -> Peer:
    import xad.adj_1st as adjoint
    from xad import math

    tapes = []

    def start() -> Any:
        tapes[:] = [adjoint.Tape()]
        tapes[0].activate()
        tapes[0].newRecording()
        return None

    def leaf(x: float) -> Any:
        made = adjoint.Real(x)
        tapes[0].registerInput(made)
        return made

    def sweep(y: Any) -> None:
        tapes[0].registerOutput(y)
        y.derivative = 1.0
        tapes[0].computeAdjoints()
        tapes[0].deactivate()

    return Peer(leaf, math.tanh, math.exp, start, sweep)


def _micrograd() -> Peer:
    from micrograd.engine import Value

    # it has neither: a power and a relu stand in, with one step each
    return Peer(Value, operator.methodcaller("relu"), lambda x: x**2)


def _torch() -> Peer:
    import torch

    torch.set_num_threads(1)

    def leaf(x: float) -> Any:
        return torch.tensor(x, dtype=torch.float64, requires_grad=True)

    return Peer(leaf, torch.tanh, torch.exp)


def speed(steps: int) -> Table:
    """Record and backward of each program, each peer in turn."""
    table = Table(title=f"eager, {steps:,} steps: us a step (least of runs)")
    for column in ("", "", "record", "backward", "together", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    everybody = peers()
    with forced(True):  # native code is loaded before the first figure
        timed(chain, everybody["tapegrad"], steps)
    for program in PROGRAMS:
        best: dict[str, tuple[float, float]] = {}
        for _ in range(REPEATS):
            for name, peer in everybody.items():
                found = timed(program, peer, steps)
                best[name] = min(best.get(name, found), found, key=sum)
        base = sum(best["tapegrad"])
        for name, (a, b) in best.items():
            cells = (f"{a:.3f}", f"{b:.3f}", f"{a + b:.3f}", f"{(a + b) / base:.2f}")
            table.add_row(program.__name__, name, *cells)
    return table


SMALL = (5, 15, 30, 60)


def small() -> Table:
    """Graphs of a few steps, recorded and swept again and again, each peer in turn."""
    table = Table(title="eager, small graphs: us a graph (least of runs)")
    for column in ("", "steps", "together", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    everybody = peers()
    for program in (chain, numbers):
        for steps in SMALL:
            best: dict[str, float] = {}
            for _ in range(20 * REPEATS):
                for name, peer in everybody.items():
                    found = timed_often(program, peer, steps)
                    best[name] = min(best.get(name, found), found)
            for name, spent in best.items():
                ratio = f"{spent / best['tapegrad']:.2f}"
                cells = (str(steps), f"{spent:.1f}", ratio)
                table.add_row(f"{program.__name__}, {name}", *cells)
    return table


def timed_often(program: Any, peer: Peer, steps: int, times: int = 20) -> float:
    """Microseconds of recording and sweeping a small graph once."""
    start = time.process_time()
    for _ in range(times):
        held = peer.start()
        peer.sweep(program(peer, steps))
        del held
    return (time.process_time() - start) / times * 1e6


def machine(steps: int) -> Table:
    """One tape swept by the interpreter and by the machine."""
    tape = tg.record(lambda x, c: _iterated(x, c, steps // 3), 0.5, 0.9)
    table = Table(title=f"a tape of {len(tape):,} steps: ns a step (least of runs)")
    for column in ("", "interpreter", "machine", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    calls = (("replay", tape), ("value and gradient", tape.value_and_gradient))
    for name, call in calls:
        best = [math.inf, math.inf]
        for _ in range(REPEATS):
            for place, use in enumerate((False, True)):
                with forced(use):
                    start = time.process_time()
                    call(0.5, 0.9)
                    spent = (time.process_time() - start) / len(tape) * 1e9
                best[place] = min(best[place], spent)
        ratio = f"{best[0] / best[1]:.0f}"
        table.add_row(name, *(f"{x:.1f}" for x in best), ratio)
    return table


def _iterated(x: Any, c: Any, times: int) -> Any:
    y = x
    for _ in range(times):
        y = np.tanh(y * c) + x
    return y


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
    console.print(small())
    console.print(machine(1_000_000 // scale))
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
