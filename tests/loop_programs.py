"""Rolled tapes against unrolled ones, on very many random loop programs.

    python tests/loop_programs.py --last 50000 [--state FILE] [--processes N]
    python tests/loop_programs.py --show SEED

Each program is recorded as it is, and rolled. Value and gradient of both are the same
bits in the interpreter, at the point of the recording and at others; a guard that
flips is told alike; written out again, the loops are the steps that were recorded. On
a share of the programs files, forward mode, Hessian-vector products, the tape machine
and native code are judged, too.
"""

from __future__ import annotations

import argparse
import collections
import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loopjudge import Counts, judged
from loopsource import program

BLOCK = 50


def _block(start: int, stop: int) -> tuple[int, dict[str, int], list[Any]]:
    total: Counts = collections.Counter()
    failures = []
    for seed in range(start, min(start + BLOCK, stop)):
        counts, wrong = judged(seed)
        total += counts
        failures += [(seed, words) for words in wrong]
    return start, dict(total), failures


def _done(state: Path | None) -> Iterator[tuple[int, dict[str, int], list[Any]]]:
    """Blocks that an earlier run has judged."""
    if state is None or not state.exists():
        return
    for line in state.read_text(encoding="utf-8").splitlines():
        try:
            yield tuple(json.loads(line))
        except ValueError:
            continue  # the run was stopped in the middle of a line


def run(
    first: int, last: int, state: Path | None = None, processes: int = 1
) -> tuple[Counts, list[Any]]:
    """Judge a range of seeds; blocks that a state holds are not judged again."""
    total: Counts = collections.Counter()
    failures: list[Any] = []
    done = set()
    for start, counts, wrong in _done(state):
        if first <= start < last:
            done.add(start)
            total.update(counts)
            failures += wrong
    starts = [start for start in range(first, last, BLOCK) if start not in done]
    work = functools.partial(_block, stop=last)
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=40) as pool:
        began = time.monotonic()
        for number, found in enumerate(pool.imap_unordered(work, starts), 1):
            start, counts, wrong = found
            total.update(counts)
            failures += wrong
            if state is not None:
                with state.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([start, counts, wrong]) + "\n")
            for seed, words in wrong:
                sys.stdout.write(f"seed {seed}: {words}\n"[:600])
            if number % 20 == 0:
                rate = (time.monotonic() - began) / (number * BLOCK) * 1e3
                sys.stdout.write(f"{number * BLOCK} more, {rate:.0f} ms each\n")
            sys.stdout.flush()
    return total, failures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=50_000)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--show", type=int, help="one seed")
    given = parser.parse_args()
    if given.show is not None:
        counts, failures = judged(given.show, whole=True)
        sys.stdout.write(f"{program(given.show)}\n# {dict(counts)}\n")
        sys.stdout.writelines(f"# {words}\n" for words in failures)
        return bool(failures)
    total, failures = run(given.first, given.last, given.state, given.processes)
    for name, count in sorted(total.items()):
        sys.stdout.write(f"{count:>10,}  {name}\n")
    sys.stdout.write(f"{len(failures)} disagreements\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
