"""Taylor coefficients of a composite function: interpreter, native code, JAX's jet.

    python tests/benchmarks/taylor.py [--order N]

One process, one thread; processor time, the least of 20 calls (of 3 where one takes
longer than a second). `prepared` is recording for the interpreter, and recording and
compiling for the others. JAX is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console
from rich.table import Table

import tapegrad as tg

Call = Callable[[], Any]


def composite(np: Any) -> Callable[[Any], Any]:
    """exp(sin x) log(1 + x^2) / sqrt(2 + cos x), in NumPy or what is like it."""
    return lambda x: np.exp(np.sin(x)) * np.log(1 + x * x) / np.sqrt(2 + np.cos(x))


def least(call: Call) -> float:
    """Seconds of a call."""
    start = time.process_time()
    call()
    times = []
    for _ in range(20 if time.process_time() - start < 1 else 3):
        start = time.process_time()
        for _ in range(10):
            call()
        times.append((time.process_time() - start) / 10)
    return min(times)


def interpreter(x: Any, order: int) -> Call:
    """The tape, read in series at each call."""
    tape = tg.record(composite(np), x)
    return lambda: tg.taylor(tape, x, x * 0 + 1.0, order)


def native(x: Any, order: int) -> Call:
    """The coefficients as a tape, compiled."""
    f, d = composite(np), x * 0 + 1.0
    compiled = tg.record(lambda x: tg.taylor(f, x, d, order), x).compile()
    compiled(x)
    return lambda: compiled(x)


def jet(x: Any, order: int) -> Call | None:
    """JAX's experimental jet, under jit."""
    try:
        import jax
        from jax.experimental import jet as jets
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    f, at = composite(jax.numpy), jax.numpy.asarray(x)
    series = [jax.numpy.ones_like(at)] + [jax.numpy.zeros_like(at)] * (order - 1)
    made = jax.jit(lambda at, series: jets.jet(f, (at,), (series,)))
    jax.block_until_ready(made(at, series))
    return lambda: jax.block_until_ready(made(at, series))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--order", type=int, default=20)
    order = parser.parse_args().order
    table = Table("entries", "", "prepared, s", "a call, ms")
    for x in (0.7, np.linspace(0.1, 0.9, 1000)):
        for make in (interpreter, native, jet):
            start = time.process_time()
            call = make(x, order)
            prepared = time.process_time() - start
            if call is not None:
                seconds = least(call)
                row = (make.__name__, f"{prepared:.2f}", f"{seconds * 1e3:.4f}")
                table.add_row(str(np.size(x)), *row)
    Console().print(table)


if __name__ == "__main__":
    main()
