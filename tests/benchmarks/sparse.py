"""Sparse Hessians of a chain and a grid: pattern, colours, calls; beside CasADi.

    python tests/benchmarks/sparse.py [--length N]

One process, one thread; processor time, so that a busy machine disturbs little.
`prepared` is recording, pattern and colours; native code is made at the second call. A
later call is the least of 20. CasADi (an MX graph of slices, its result left in its own
format) is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table

import tapegrad as tg

Callback = Callable[[Any], Any]


def chain(x: Any) -> Any:
    """Rosenbrock's function of a chain, in slices."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def grid(side: int) -> Callback:
    """The energy of a membrane: fourth powers of differences."""

    def energy(x: Any) -> Any:
        u = x.reshape(side, side)
        return ((u[1:] - u[:-1]) ** 4).sum() + ((u[:, 1:] - u[:, :-1]) ** 4).sum()

    return energy


def casadi_chain(n: int) -> Callback | None:
    """The same chain as a CasADi function that returns a DM."""
    try:
        import casadi
    except ImportError:
        return None
    x = casadi.MX.sym("x", n)
    last, first = x[1:], x[:-1]
    value = casadi.sum1(100 * (last - first**2) ** 2 + (1 - first) ** 2)
    return casadi.Function("hessian", [x], [casadi.hessian(value, x)[0]])  # type: ignore[no-any-return]


def timed(make: Callable[[], Callback], at: Any) -> tuple[Callback, list[float]]:
    """What was made; seconds to prepare, for the first calls, and for a later one."""
    start = time.process_time()
    call = make()
    made = time.process_time()
    call(at)
    first = time.process_time()
    call(at)
    second = time.process_time()
    later = []
    for _ in range(20):
        before = time.process_time()
        call(at)
        later.append(time.process_time() - before)
    return call, [made - start, first - made, second - first, min(later)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=100_000)
    n = parser.parse_args().length
    side = int(n**0.5)
    rng = np.random.default_rng(0)
    columns = ("prepared s", "first call ms", "second ms", "later ms", "nonzeros")
    table = Table("work", "by", *columns)
    for name, f, at in (
        (f"chain of {n}", chain, rng.normal(size=n)),
        (f"grid of {side} x {side}", grid(side), rng.normal(size=side * side)),
    ):
        plain = tg.sparse_hessian(f, at)
        makers: dict[str, Any] = {
            "tapegrad": lambda f=f, at=at: tg.sparse_hessian(f, at)
        }
        if f is chain and casadi_chain(3) is not None:
            makers["CasADi MX"] = lambda: casadi_chain(n)
        for by, make in makers.items():
            call, (prepared, *calls) = timed(make, at)
            found = call(at)
            if by.startswith("CasADi"):
                found = sp.csr_array(found.sparse())
            assert abs(found - plain(at)).max() <= 1e-9 * abs(plain(at)).max()
            table.add_row(
                name,
                by,
                f"{prepared:.3f}",
                *(f"{seconds * 1e3:.2f}" for seconds in calls),
                str(found.nnz),
            )
    Console().print(table)


if __name__ == "__main__":
    main()
