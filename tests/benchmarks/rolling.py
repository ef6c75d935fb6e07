"""What finding loops costs, and what it gives: beside C by hand and other libraries.

    python tests/benchmarks/rolling.py [--figures] [--quick]

Four tables. A program that does not repeat: recording with loops looked for and not,
in turn in one process, and building; processor's time, the least of several runs. A
recorded loop of ten million steps: the seconds of ``rolled()``, and the memory that it
takes while it runs. Where the time of building goes. And the works of ``beside.py``
that are loops, as ratios to C by hand and to the quickest other library, from
``results.json``; ``--figures`` measures them before: tapegrad anew, the others again.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
os.environ["TAPEGRAD_CACHE"] = "0"  # read when the first code is made

import numpy as np  # noqa: E402
from harness.page import span  # noqa: E402
from harness.work import HAND_C, TAPEGRAD, Work  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from works import (  # noqa: E402
    distinct,
    mixture_loops,
    nbody,
    rosenbrock,
    straight,
)
from works.rolls import recorded  # noqa: E402

import tapegrad as tg  # noqa: E402

LOOPS = ("rosenbrock", "lorenz", "nbody", "mixture_loops", "minors", "distinct")
BUILT = [
    ("rosenbrock", 1_000),
    ("rosenbrock", 10_000),
    ("rosenbrock", 100_000),
    ("lorenz", 1_000),
    ("lorenz", 10_000),
    ("nbody", 1_000),
    ("mixture_loops", 500),
]
QUICK = [("rosenbrock", 1_000), ("lorenz", 100), ("nbody", 100), ("mixture_loops", 50)]
REPEATS = 7
LONG = 10_000_000


def recording(size: int, *, roll: bool) -> tuple[float, Any]:
    """Processor's seconds of recording a program that does not repeat; its tape."""
    f, x = distinct.program(size, np), distinct.start()
    gc.collect()
    start = time.process_time()
    tape = tg.record(f, x) if roll else recorded(f, x)
    return time.process_time() - start, tape


def building(tape: Any) -> float:
    """Processor's seconds from a tape to its first value and gradient."""
    gc.collect()
    start = time.process_time()
    tape.compile().value_and_gradient(distinct.start())
    return time.process_time() - start


def without_loops(sizes: list[int], repeats: int) -> Table:
    """What looking for loops adds where there are none."""
    table = Table(title="a program that does not repeat: recording and building")
    for column in ("statements", "steps", "recording", "roll=False"):
        table.add_column(column, justify="right")
    for column in ("code and first call", "ratio of all"):
        table.add_column(column, justify="right")
    for size in sizes:
        least = {True: float("inf"), False: float("inf")}
        tapes = {}
        for turn in range(4 * repeats):
            # in turn, and every other pair the other way round
            roll = turn % 4 in {0, 3}
            took, tapes[roll] = recording(size, roll=roll)
            least[roll] = min(least[roll], took)
        if tapes[True] != tapes[False]:
            msg = f"a loop was found in a program of {size} statements without one"
            raise AssertionError(msg)
        building(tapes[False])  # what a first time loads is not the program's
        # the tapes are equal, and so is what is done with them
        code = min(building(tapes[False]) for _ in range(repeats))
        table.add_row(
            f"{size:,}",
            f"{len(tapes[False]):,}",
            span(least[True]),
            span(least[False]),
            span(code),
            f"{(least[True] + code) / (least[False] + code):.3f}",
        )
    return table


def status(word: str) -> int:
    """Bytes that the system counts for this process, or 0 where it does not say."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(word):
                return int(line.split()[1]) * 1024
    return 0


def settle() -> None:
    """Give freed memory back, and let the high-water mark start from here."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def long_loop(steps: int) -> dict[str, Any]:
    """Roll a recorded loop: seconds, and memory before, meanwhile and after."""
    recorded(straight.loop(9), *straight.START).rolled()  # what a first time loads
    start = time.perf_counter()
    tape = recorded(straight.loop(steps // 71), *straight.START)
    found = {"record": time.perf_counter() - start, "steps": len(tape)}
    settle()
    found |= {"tape": tape.nbytes, "before": status("VmRSS")}
    start = time.perf_counter()
    rolled = tape.rolled()
    found["roll"] = time.perf_counter() - start
    found |= {"peak": status("VmHWM"), "left": len(rolled)}
    return found


def long_table(steps: int) -> Table:
    """The same, in a process of its own."""
    table = Table(title="a recorded loop of Lorenz' equations, rolled")
    for column in ("steps", "record", "rolled()", "steps left", "the tape"):
        table.add_column(column, justify="right")
    for column in ("most while rolling", "ratio"):
        table.add_column(column, justify="right")
    run = subprocess.run(
        [sys.executable, __file__, "--long", str(steps)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(run.stdout.splitlines()[-1])
    # the interpreter and its modules are there anyway: the tape, and what is added
    most = found["tape"] + found["peak"] - found["before"]
    mega = 2**20
    table.add_row(
        f"{found['steps']:,}",
        f"{found['record']:.1f} s",
        f"{found['roll']:.2f} s",
        f"{found['left']:,}",
        f"{found['tape'] / mega:,.0f} MB",
        f"{most / mega:,.0f} MB",
        f"{most / found['tape']:.2f}",
    )
    return table


PROGRAMS: dict[str, Callable[[int], tuple[Any, ...]]] = {
    "rosenbrock": lambda n: (rosenbrock.loop, rosenbrock.start(n)),
    "lorenz": lambda n: (straight.loop(n), *straight.START),
    "nbody": lambda n: (nbody.motion(n, np.sqrt), nbody.start()),
    "mixture_loops": lambda n: (
        mixture_loops.loops(mixture_loops.data(n)[1], np),
        *mixture_loops.data(n)[0],
    ),
}


def stages(programs: list[tuple[str, int]]) -> Table:
    """Where the time of building goes, in processor's seconds of one run."""
    table = Table(title="building loops: value and gradient")
    table.add_column("work")
    for column in ("size", "steps", "left", "recording", "rolled()"):
        table.add_column(column, justify="right")
    for column in ("code and first call", "all"):
        table.add_column(column, justify="right")
    for name, size in programs:
        f, *args = PROGRAMS[name](size)
        times = [time.process_time()]
        flat = recorded(f, *args)
        times.append(time.process_time())
        tape = flat.rolled()
        times.append(time.process_time())
        tape.compile().value_and_gradient(*args)
        times.append(time.process_time())
        spans = [b - a for a, b in itertools.pairwise(times)]
        row = [name, *(f"{n:,}" for n in (size, len(flat), len(tape)))]
        table.add_row(*row, *map(span, spans), span(sum(spans)))
    return table


def best(
    work: Work, size: int, figures: dict[str, Any], peers: set[str], *, value: bool
) -> tuple[str, float, float | None] | None:
    """Name, time and time of building of the quickest way of some libraries.

    What is another library's only in that it compiled slopes by hand does not count.
    """
    found = [
        (way.name, mine["run"], mine["build"])
        for way in work.ways.values()
        if way.peer in peers and way.value is value
        if way.peer == HAND_C or "by hand" not in way.form
        for mine in [figures.get(way.name, {}).get(str(size), {})]
        if "run" in mine
    ]
    return min(found, key=lambda row: row[1]) if found else None


def row(work: Work, size: int, figures: dict[str, Any]) -> list[str] | None:
    """tapegrad's first way beside others, or None where it has no figure."""
    first = next(way for way in work.ways.values() if way.peer == TAPEGRAD)
    others = {way.peer for way in work.ways.values()} - {TAPEGRAD, HAND_C}
    mine = figures.get(first.name, {}).get(str(size), {})
    if "run" not in mine:
        return None
    cells = [work.name, f"{size:,}", span(mine["build"]), span(mine["run"])]
    for peers, value in (({HAND_C}, False), ({HAND_C}, True), (others, False)):
        other = best(work, size, figures, peers, value=value)
        cell = f"{mine['run'] / other[1]:.2f}" if other else ""
        if other and peers is others:
            cell += f" {other[0]}: {span(other[1])}"
            cell += f", build {span(other[2])}" if other[2] else ""
        cells.append(cell)
    return cells


def ratios(results: dict[str, Any]) -> Table:
    """tapegrad's first way of each work that is a loop, beside others."""
    table = Table(title="value and gradient; ratios above 1: slower than that")
    for column in ("work", "size"):
        table.add_column(column)
    for column in ("build", "a call", "/ C by hand", "/ C's value alone"):
        table.add_column(column, justify="right")
    table.add_column("/ quickest other")
    for name in LOOPS:
        work: Work = importlib.import_module(f"works.{name}").WORK
        figures = results["figures"].get(name, {})
        for size in work.sizes:
            cells = row(work, size, figures)
            if cells:
                table.add_row(*cells)
    return table


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--figures", action="store_true", help="measure the works first"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, few repeats")
    parser.add_argument("--long", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.long:
        sys.stdout.write(json.dumps(long_loop(given.long)) + "\n")
        return
    beside = HERE / "beside.py"
    if given.figures:
        works = [importlib.import_module(f"works.{name}").WORK for name in LOOPS]
        others = {way.peer for work in works for way in work.ways.values()} - {TAPEGRAD}
        command = [sys.executable, str(beside), "--only", *LOOPS, "--peers"]
        subprocess.run([*command, TAPEGRAD, "--anew"], check=True)
        # others have not changed: the least of what was ever seen is theirs
        subprocess.run([*command, *sorted(others)], check=True)
    console = Console(width=120)
    sizes, repeats = ([2_000], 2) if given.quick else ([2_000, 20_000], REPEATS)
    console.print(without_loops(sizes, repeats))
    if hasattr(tg.Tape, "rolled"):
        console.print(long_table(LONG // 100 if given.quick else LONG))
        stages(QUICK)  # what a first time loads
        console.print(stages(QUICK if given.quick else BUILT))
    else:
        console.print("This version has no Tape.rolled().")
    results = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    console.print(ratios(results))


if __name__ == "__main__":
    main()
