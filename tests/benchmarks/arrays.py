"""Arrays: values and gradients by native code, beside other libraries.

    python tests/benchmarks/arrays.py [--quick] [--only NAME ...] [--no-memory]

Everything runs on one thread of one core, in one process, in turn; a figure is the
least of several runs. Each result is compared with NumPy's by hand before it is timed.
Peers that are not installed are left out. The memory of a gradient is the highest
resident size during calls after the first, above what stood before, in a process of
its own.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import subprocess
import sys
import time
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_PLATFORMS": "cpu",
}
os.environ.update(ONE_THREAD)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np  # noqa: E402 - after the number of threads is settled
from array_works import GMM, MOONS, PEERS, Data  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

RUN = 0.002  # seconds, at least one call
MEMORY_LENGTH = 4_000_000


def flat(result: Any) -> list[Any]:
    """Numbers and arrays of a result, in order."""
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in flat(part)]
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.asarray(result, dtype=float).ravel()]


def agree(name: str, work: str, found: Any, expected: Any) -> None:
    """Stop when a peer computes something else."""
    if name == "C by hand" and work == GMM:
        return  # it leaves the prior out
    pairs = list(zip(flat(found), flat(expected), strict=True))
    for one, other in pairs:
        np.testing.assert_allclose(
            one, other, rtol=1e-8, atol=1e-10, err_msg=f"{name}: {work}"
        )


def least(calls: dict[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Seconds a call takes, the least of short runs that are taken in turn."""
    timers = {name: timeit.Timer(call) for name, call in calls.items()}
    numbers = {
        name: max(int(RUN / max(timer.timeit(3) / 3, 1e-9)), 1)
        for name, timer in timers.items()
    }
    best = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + seconds * len(calls)
    while time.perf_counter() < end:
        for name, timer in timers.items():
            took = timer.timeit(numbers[name]) / numbers[name]
            best[name] = min(best[name], took)
    return best


def times(data: Data, only: list[str], seconds: float) -> Table:
    """A row a peer, a column a work."""
    works = [*data.starts, MOONS, GMM]
    found: dict[str, dict[str, Callable[[], Any]]] = {}
    for name, make in PEERS.items():
        if only and not any(part.lower() in name.lower() for part in only):
            continue
        try:
            found[name] = make(data)
        except ImportError as problem:
            Console(stderr=True).print(f"{name} is left out: {problem}")
    reference = PEERS["NumPy by hand"](data)
    table = Table(title="value and gradient, us a call (least of runs)")
    table.add_column("")
    cells: dict[str, list[str]] = {name: [] for name in found}
    for work in works:
        table.add_column(work, justify="right")
        calls = {name: mine[work] for name, mine in found.items() if work in mine}
        for name, call in calls.items():
            agree(name, work, call(), reference[work]())
        best = least(calls, seconds)
        for name, column in cells.items():
            us = best.get(name, 0.0) * 1e6
            column.append(f"{us:,.2f}" if us < 100 else f"{us:,.0f}")
            if name not in best:
                column[-1] = "-"
    for name, column in cells.items():
        table.add_row(name, *column)
    return table


def resident(field: str) -> int:
    """A line of the kernel's account of this process, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith(field)]
    return int(line.split()[1]) * 1024


def measure_memory(name: str) -> None:
    """Print the bytes that a gradient of Rosenbrock's function takes."""
    data = Data([MEMORY_LENGTH])
    call = PEERS[name](data)[next(iter(data.starts))]
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)  # what was freed while building
    before = resident("VmRSS")
    call()  # what is kept from call to call counts
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    for _ in range(3):
        call()
    sys.stdout.write(f"{resident('VmHWM') - before}\n")


def memory(only: list[str]) -> Table:
    """A row a peer: memory of a gradient, in arrays of the size of x."""
    table = Table(title=f"memory of a Rosenbrock gradient, {MEMORY_LENGTH:,} numbers")
    for column in ("", "MB", "times x"):
        table.add_column(column, justify="right" if column else "left")
    for name in PEERS:
        if only and not any(part.lower() in name.lower() for part in only):
            continue
        run = subprocess.run(
            [sys.executable, __file__, "--measure-memory", name],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            continue
        nbytes = int(run.stdout.split()[-1])
        table.add_row(name, f"{nbytes / 1e6:,.0f}", f"{nbytes / MEMORY_LENGTH / 8:.1f}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="no long arrays, one run")
    parser.add_argument("--only", nargs="*", default=[], help="parts of peers' names")
    parser.add_argument("--no-memory", action="store_true", help="times alone")
    parser.add_argument("--measure-memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure_memory:
        measure_memory(given.measure_memory)
        return
    data = Data([1000] if given.quick else [1000, 1_000_000])
    console = Console()
    console.print(times(data, given.only, 0.1 if given.quick else 2.0))
    if not given.no_memory and Path("/proc/self/clear_refs").exists():
        console.print(memory(given.only))


if __name__ == "__main__":
    main()
