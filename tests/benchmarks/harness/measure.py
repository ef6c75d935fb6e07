"""One figure, in a process of its own: nothing that was built before can help."""

from __future__ import annotations

import importlib
import json
import sys
import time
import timeit
from typing import Any

from harness.work import Ready, Way, Work

# Seconds: of one run of several calls, and of all of them.
RUN, ALL = 0.02, 1.0


def least(ready: Ready, seconds: float = ALL) -> float:
    """Seconds the statement takes, the least of runs."""
    timer = timeit.Timer(ready.statement, globals=ready.names)
    number, took = 1, timer.timeit(1)
    while took < RUN / 4:
        number = number * 2 if took > RUN / 64 else number * 8
        took = timer.timeit(number)
    best, spent = took / number, took
    while spent < seconds:
        took = timer.timeit(number)
        spent += took
        best = min(best, took / number)
    return best


def figure(work: Work, way: Way, size: int, seconds: float = ALL) -> dict[str, Any]:
    """What building and a call take; the results are compared before."""
    for module in way.needs:
        importlib.import_module(module)
    start = time.perf_counter()
    ready = way.make(size)
    found = eval(ready.statement, ready.names)  # noqa: S307 - a work's own text
    built = time.perf_counter() - start
    work.check(ready.answer(found), size, value=way.value)
    run = least(ready, seconds)
    return {"build": None if way.ahead else built, "run": run, "note": ready.note}


def main() -> None:
    """Print a figure as JSON: name of work, of way, and size are given."""
    name, way, size = sys.argv[1:]
    work: Work = importlib.import_module(f"works.{name}").WORK
    try:
        found = figure(work, work.ways[way], int(size))
    except ImportError as problem:
        found = {"left out": f"{problem.name or problem} is not installed"}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
