"""How exact the functions of vectors are, and what they take.

python tests/benchmarks/vectors.py [--points 36000] [--write docs/native.md] [names ...]

Four columns of errors against 50 digits: numbers on their own, which are those of C's
maths library in the interpreter and in native code alike; arrays in the interpreter,
which are NumPy's; native loops; the same with accuracy="fast". Then nanoseconds an
entry of the loops, of NumPy, and of a loop that calls C's function at each entry, all
in this process, over arrays that the first caches hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from vectorpoints import USUAL, Column, columns, distances, exact_values, looped

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.native import vectormath
from tapegrad.native.engine import Outside
from tapegrad.rules import TABLE

ROWS = [row for row in vectormath.CALLS if row in TABLE]
SHOWN = {"gaussian": "slope of erf", "pow": "x ** y"}
BEGIN, END = "<!-- functions of vectors -->\n", "<!-- end -->\n"
ENTRIES = 4096
ACCURACIES = ("default", "fast")


def row_of(name: str) -> Callable[..., Any]:
    """A row as a function of values."""
    return lambda *xs: apply(TABLE[name], *xs)


def errors(name: str, points: int) -> list[float]:
    """The largest errors: of numbers, arrays, vectors, and fast ones."""
    xs = columns(name, 100)
    xs = columns(name, points * 100 // len(xs[0]))
    exact = exact_values(name, xs)
    f, samples = row_of(name), [0.5] * len(xs)
    tape = tg.record(f, *samples)
    numbers = np.array([tape(*x) for x in zip(*xs, strict=True)])
    arrays = tg.record(f, *xs)
    loops = [arrays.compile(accuracy=accuracy)(*xs) for accuracy in ACCURACIES]
    found = [numbers, arrays(*xs), *loops]
    return [max(distances(np.asarray(y), exact)) for y in found]


def usual(name: str) -> list[Column]:
    """Operands that nothing is special about."""
    rng = np.random.default_rng(0)
    first = rng.uniform(*USUAL.get(name, (-3.0, 3.0)), ENTRIES)
    return [first, rng.uniform(-5.0, 5.0, ENTRIES)][: TABLE[name].arity]


def times(name: str) -> list[float]:
    """Nanoseconds an entry: of vectors, fast ones, NumPy, and C one by one."""
    xs = usual(name)
    out = np.empty(ENTRIES)
    tape = tg.record(row_of(name), *[0.5] * len(xs))
    ways: list[Any] = [tape.compile(accuracy=a).ufunc() for a in ACCURACIES]
    peer = TABLE[name].ufunc or name
    ways.append(getattr(np, {"pow": "power"}.get(peer, peer), None) or _special(peer))
    word = TABLE[name].llvm[1:]
    if word:
        takes = ("double",) * len(xs)
        ways.append(looped("", word, [Outside(word, takes=takes)], len(xs)))
    best = [float("inf")] * len(ways)
    for _ in range(25):
        for place, way in enumerate(ways):
            if way is None:
                continue
            start = time.process_time_ns()
            for _ in range(20):
                way(*xs, out=out)
            took = (time.process_time_ns() - start) / (20 * ENTRIES)
            best[place] = min(best[place], took)
    return best


def _special(name: str) -> Any:
    from scipy import special

    return getattr(special, name, None)


def table(names: Sequence[str], points: int) -> str:
    """The Markdown table; each line is printed once it is measured."""
    head = ["function", "numbers", "NumPy", "vectors", "fast"]
    head += ["vectors, ns", "fast, ns", "NumPy, ns", "C, ns"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for name in names:
        took = [*times(name), float("inf")][:4]
        cells = [f"{error:.2f}" for error in errors(name, points)]
        cells += ["–" if x == float("inf") else f"{x:.1f}" for x in took]
        lines.append(f"| {SHOWN.get(name, name)} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)  # noqa: T201 - it takes minutes
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="functions; all by default")
    parser.add_argument("--points", type=int, default=36_000)
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    made = table(given.names or ROWS, given.points)
    if given.write:
        page = given.write.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END, 1)[1]
        text = f"{before}{BEGIN}\n{made}\n{END}{after}"
        given.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
