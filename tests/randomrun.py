"""Many random programs: judged on several cores, resumed where a run was stopped.

    python tests/randomrun.py --last 100000 --state random.jsonl
    python tests/randomrun.py --seed 4711            one program, and a shorter one

The state is a file with a line for each block of seeds that is done; a run with the
same file leaves those out.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from randomchecks import judged
from randomprograms import Name, Program, shortened
from randomtapes import ROWS, program

BLOCK = 50
# Explained disagreements, as a share of the checks.
EXPLAINED = ("kink", "range", "conditioning", "signed zero", "pole")
MOST_EXPLAINED = dict.fromkeys(EXPLAINED, 0.02)

Tally = dict[str, Any]


def tally(seeds: Sequence[int]) -> Tally:
    """What was found at some seeds: checks, rows, failures."""
    checks: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    failures: list[list[Any]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no sweep may warn
        for seed in seeds:
            found = program(seed)
            verdict = judged(found, seed)
            rows.update(found.rows)
            checks.update(verdict.counts)
            checks["programs"] += 1
            failures += [[seed, words] for words in verdict.failures]
    return {"checks": dict(checks), "rows": dict(rows), "failures": failures}


def say(*words: object) -> None:
    """A line for whoever waits."""
    sys.stdout.write("\n".join(map(str, words)) + "\n")
    sys.stdout.flush()


def added(parts: Sequence[Tally]) -> Tally:
    """Tallies as one."""
    total: Tally = {"checks": Counter(), "rows": Counter(), "failures": []}
    for part in parts:
        total["checks"].update(part["checks"])
        total["rows"].update(part["rows"])
        total["failures"] += part["failures"]
    return total


def explained(total: Tally) -> dict[str, float]:
    """The share of each explanation among the checks that were made of floats."""
    checks = total["checks"]
    made = sum(n for name, n in checks.items() if name.split(":")[0] not in EXPLAINED)
    shares: dict[str, float] = dict.fromkeys(EXPLAINED, 0.0)
    for name, n in checks.items():
        kind, _, check = name.partition(": ")
        # differences beside a kink mean nothing, and need no excuse
        if kind in shares and check not in {"differences", "second order"}:
            shares[kind] += n / made
    return shares


def too_often(total: Tally) -> list[str]:
    """Explanations that are given more often than they should."""
    return [
        f"{kind}: {share:.2%} of the checks, {MOST_EXPLAINED[kind]:.0%} allowed"
        for kind, share in explained(total).items()
        if share > MOST_EXPLAINED[kind]
    ]


def report(total: Tally) -> str:
    """The counts, for people."""
    checks, rows = total["checks"], total["rows"]
    lines = [f"{n:10} {name}" for name, n in sorted(checks.items())]
    rare = sorted((rows.get(row.name, 0), row.name) for row in ROWS)[:8]
    lines.append("rarest rows: " + ", ".join(f"{name} {n}" for n, name in rare))
    shares = (f"{kind} {share:.2%}" for kind, share in explained(total).items())
    lines.append("explained: " + ", ".join(shares))
    lines += [f"seed {seed}: {words}"[:600] for seed, words in total["failures"][:40]]
    lines.append(f"{len(total['failures'])} failures")
    return "\n".join(lines)


def _block(start: int, stop: int) -> tuple[int, Tally]:
    return start, tally(range(start, min(start + BLOCK, stop)))


def _kept(state: Path | None) -> Iterator[tuple[int, Tally]]:
    if state is not None and state.exists():
        for line in state.read_text(encoding="utf-8").splitlines():
            try:
                start, found = json.loads(line)
            except ValueError:
                continue  # the run was stopped in the middle of a line
            yield start, found


def run(
    first: int, last: int, state: Path | None = None, processes: int | None = None
) -> Tally:
    """Judge all seeds of a range; blocks that a state holds are not judged again."""
    done = {start: found for start, found in _kept(state) if first <= start < last}
    starts = [start for start in range(first, last, BLOCK) if start not in done]
    if not starts:
        return added(list(done.values()))
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    count = processes or os.cpu_count() or 1
    with context.Pool(count, maxtasksperchild=40) as pool:
        work = functools.partial(_block, stop=last)
        for number, (start, found) in enumerate(pool.imap_unordered(work, starts), 1):
            done[start] = found
            if state is not None:
                with state.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([start, found]) + "\n")
            for seed, words in found["failures"]:
                say(f"seed {seed}: {words}"[:600])
            if number % 20 == 0:
                spent = time.monotonic() - began
                rate = spent / (number * BLOCK) * 1000
                say(f"{number * BLOCK} more, {rate:.0f} ms each")
    return added(list(done.values()))


# -- a smaller program --------------------------------------------------------------


def minimal(found: Program, wrong: Any) -> Program:
    """A shorter program that is wrong, too."""
    for sink in found.sinks:
        alone = pruned(shortened(found, found.lines, [sink]))
        if wrong(alone):
            found = alone
            break
    values = found.data()
    for line in reversed(found.lines):
        if len(found.lines) == 1:
            break
        kept = [other for other in found.lines if other is not line]
        known = {name: values[name] for name in line.results}
        sinks = [sink for sink in found.sinks if sink[0] not in known]
        smaller = pruned(
            shortened(found, [_with(other, known) for other in kept], sinks)
        )
        if sinks and wrong(smaller):
            found = smaller
    return found


def _with(line: Any, known: Any) -> Any:
    operands = tuple(
        known.get(x, x) if isinstance(x, Name) else x for x in line.operands
    )
    return type(line)(line.word, line.name, operands, line.params, line.results)


def pruned(found: Program) -> Program:
    """Without the lines that no sink needs."""
    needed = {name for name, _ in found.sinks}
    lines = []
    for line in reversed(found.lines):
        if needed & set(line.results):
            lines.append(line)
            needed |= {x for x in line.operands if isinstance(x, Name)}
    return shortened(found, lines[::-1], found.sinks)


def show(seed: int) -> None:
    """A program with its verdict, and the shortest one that fails alike."""
    found = program(seed)
    verdict = judged(found)
    say(found, *verdict.failures)
    if verdict.failures:
        check = verdict.failures[0].split(":")[0]

        def wrong(other: Program) -> bool:
            words = judged(other)
            return any(text.startswith(check) for text in words.failures)

        shorter = minimal(found, wrong)
        say(shorter, *judged(shorter).failures)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=1000)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--processes", type=int)
    parser.add_argument("--seed", type=int, help="show one program")
    given = parser.parse_args()
    if given.seed is not None:
        show(given.seed)
        return 0
    total = run(given.first, given.last, given.state, given.processes)
    say(report(total))
    return 1 if total["failures"] or too_often(total) else 0


if __name__ == "__main__":
    sys.exit(main())
