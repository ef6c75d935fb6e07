"""How many ulps values and first derivatives are off, beside other libraries.

python tests/benchmarks/accuracy.py [--points 10000] [--write docs/accuracy.md]

All libraries get the same points, spread by exponent over each function's domain, and
one judge: the closed form's value and derivative by SymPy, evaluated by mpmath with as
many digits as agree. Libraries that are not installed are left out, and said to be.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.proof import accuracy, entries
from tapegrad.proof.oracle import slack_of, ulps
from tapegrad.rules import TABLE

# not digamma: SciPy's polygamma, which autograd calls, does not return left of -1e9
NAMES = (
    "exp expm1 log log1p sqrt pow tanh sigmoid softplus logaddexp sinh cosh "
    "asinh acosh atanh sin cos tan asin acos atan atan2 hypot sinc erf erfc lgamma"
)
SHOWN = {"pow": "x ** y", "sinc": "sinc (NumPy's)", "lgamma": "log abs gamma"}
MODERATE = (1e-3, 1e3)
# Stands for the distance of an infinity from a number.
INFINITE = 1e300
OURS = ("tapegrad", "tapegrad native")

# Value and one derivative an operand, all arrays.
Found = Sequence[Any]
Library = Callable[[str, Sequence[Any]], Found]


def ours(way: str) -> Library:
    """A way of this project, by the verifier's own words for it."""

    def evaluate(name: str, columns: Sequence[Any]) -> Found:
        row = TABLE[name]
        points = [accuracy.Sample({}, p, None, {}) for p in zip(*columns, strict=True)]
        same = [accuracy.Sample(points[0].params, p.point, None, {}) for p in points]
        found = list(entries.entries(way, row, same))
        partials = [[p[place] for _, p in found] for place in range(row.arity)]
        return [np.array([y for y, _ in found]), *map(np.array, partials)]

    return evaluate


def named(words: str, module: Any, arc: str = "") -> dict[str, Any]:
    """Functions of a module by name; `arc` for asin that is called arcsin there."""
    return {
        word: getattr(module, arc + word[1:] if arc else word) for word in words.split()
    }


def pytorch() -> Library:
    """PyTorch, float64, eager."""
    import torch

    special = torch.special
    word = {
        **named(
            "exp expm1 log log1p sqrt pow tanh sigmoid logaddexp sinh cosh asinh "
            "acosh atanh sin cos tan asin acos atan atan2 hypot sinc erf erfc "
            "lgamma digamma",
            torch,
        ),
        "softplus": torch.nn.functional.softplus,
        "digamma": special.digamma,
    }

    def evaluate(name: str, columns: Sequence[Any]) -> Found:
        xs = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in columns]
        y = word[name](*xs)
        y.backward(torch.ones_like(y))
        return [y.detach().numpy(), *(x.grad.numpy() for x in xs)]

    return evaluate


def jax() -> Library:
    """JAX on the processor, float64."""
    import jax as library

    library.config.update("jax_enable_x64", True)
    jnp, special = library.numpy, library.scipy.special
    word = {
        **named(
            "exp expm1 log log1p sqrt tanh logaddexp sinh cosh sin cos tan hypot sinc",
            jnp,
        ),
        **named("asinh acosh atanh", jnp, "arc"),
        **named("asin acos atan atan2", jnp, "arc"),
        "pow": jnp.power,
        "sigmoid": library.nn.sigmoid,
        "softplus": library.nn.softplus,
        "erf": special.erf,
        "erfc": special.erfc,
        "lgamma": special.gammaln,
        "digamma": special.digamma,
    }

    def evaluate(name: str, columns: Sequence[Any]) -> Found:
        y, back = library.vjp(word[name], *map(jnp.asarray, columns))
        return [np.asarray(y), *map(np.asarray, back(jnp.ones_like(y)))]

    return evaluate


def autograd() -> Library:
    """Autograd over NumPy and SciPy."""
    import autograd.numpy as anp
    from autograd import elementwise_grad
    from autograd.scipy import special

    word = {
        **named(
            "exp expm1 log log1p sqrt tanh logaddexp sinh cosh sin cos tan sinc", anp
        ),
        **named("asinh acosh atanh", anp, "arc"),
        **named("asin acos atan atan2", anp, "arc"),
        "pow": anp.power,
        "sigmoid": special.expit,
        "softplus": lambda x: anp.logaddexp(0.0, x),
        "erf": special.erf,
        "erfc": special.erfc,
        "lgamma": special.gammaln,
        "digamma": special.psi,
    }

    def evaluate(name: str, columns: Sequence[Any]) -> Found:
        f = word[name]
        slopes = [elementwise_grad(f, i)(*columns) for i in range(len(columns))]
        return [f(*columns), *slopes]

    return evaluate


def casadi() -> Library:
    """CasADi, scalar symbols; what it has no word for is left out."""
    import casadi as ca

    word = {
        **named(
            "exp expm1 log log1p sqrt tanh sinh cosh asinh acosh atanh sin cos tan "
            "asin acos atan atan2 hypot erf",
            ca,
        ),
        "pow": lambda x, y: x**y,
        "sigmoid": lambda x: 1 / (1 + ca.exp(-x)),
        "softplus": lambda x: ca.log1p(ca.exp(x)),
    }

    def evaluate(name: str, columns: Sequence[Any]) -> Found:
        xs = [ca.SX.sym("x") for _ in columns]
        y = word[name](*xs)
        f = ca.Function("f", xs, [y, *(ca.gradient(y, x) for x in xs)])
        found = f.map(len(columns[0]))(*(c[None, :] for c in columns))
        return [np.asarray(part).ravel() for part in found]

    return evaluate


PEERS = {
    "PyTorch": ("torch", pytorch),
    "JAX": ("jax", jax),
    "autograd": ("autograd", autograd),
    "CasADi": ("casadi", casadi),
}


@dataclass
class Cell:
    """What one library makes of one function."""

    value: float = 0.0
    partial: float = 0.0
    moderate: float = 0.0
    good: int = 0
    count: int = 0
    at: tuple[float, ...] = ()
    gave: float = 0.0
    exact: float = 0.0

    def see(self, sample: Any, found: Sequence[float]) -> None:
        """Judge a value and the partials at one point."""
        y, *partials = found
        slack = sample.slack
        value = ulps(y, sample.value, slack.get(-1, 0))
        self.value = max(self.value, capped(value, y))
        usual = all(MODERATE[0] <= abs(x) <= MODERATE[1] for x in sample.point)
        for place, exact in sample.partials.items():
            p = float(partials[place])
            off = ulps(p, exact, slack_of(y, exact) + slack.get(place, 0))
            off = capped(off, p)
            self.count += 1
            self.good += off <= 4
            if usual:
                self.moderate = max(self.moderate, off)
            if off > self.partial or not self.at:
                self.partial, self.at, self.gave = off, sample.point, p
                self.exact = math.nan if exact is None else float(exact)


def measured(
    names: Sequence[str], libraries: dict[str, Library], points: int
) -> dict[str, dict[str, Cell]]:
    """A cell for each function and library."""
    table: dict[str, dict[str, Cell]] = {}
    for name in names:
        judged = accuracy.samples(TABLE[name], points)
        columns = [np.array(c) for c in zip(*(s.point for s in judged), strict=True)]
        table[name] = {}
        for title, library in libraries.items():
            try:
                with np.errstate(all="ignore"):
                    found = library(name, columns)
            except KeyError:  # it has no word for it
                continue
            cell = table[name][title] = Cell()
            for sample, *numbers in zip(judged, *found, strict=True):
                cell.see(sample, [float(x) for x in numbers])
        shown = ", ".join(f"{t} {figure(c.partial)}" for t, c in table[name].items())
        sys.stdout.write(f"{name}: {shown}\n")
        sys.stdout.flush()
    return table


def capped(off: float, found: float) -> float:
    """The distance of an infinity as a number, so that it is not taken for NaN's."""
    return off if math.isnan(found) else min(off, INFINITE)


def figure(x: float) -> str:
    """A number of ulps."""
    if x >= INFINITE:
        return "inf" if x == INFINITE else "NaN"
    return f"{x:.2f}" if x < 100 else f"{x:.1e}".replace("e+0", "e").replace("e+", "e")


def grid(
    table: dict[str, dict[str, Cell]],
    titles: Sequence[str],
    cell: Callable[[Cell], str],
) -> list[str]:
    """A Markdown table, a line a function."""
    lines = ["| function | " + " | ".join(titles) + " |"]
    lines.append("|---|" + "---:|" * len(titles))
    for name, cells in table.items():
        shown = [cell(cells[t]) if t in cells else "–" for t in titles]
        lines.append(f"| {SHOWN.get(name, name)} | " + " | ".join(shown) + " |")
    return lines


def points_table(table: dict[str, dict[str, Cell]], titles: Sequence[str]) -> list[str]:
    """The worst point of each library's derivatives, where it is off by much."""
    lines = ["| function | library | ulps | at | it gives | exact |"]
    lines.append("|---|---|---:|---|---|---|")
    for name, cells in table.items():
        for title in titles:
            if title in cells and (cells[title].partial > 4 or title in OURS[:1]):
                c = cells[title]
                at = ", ".join(f"{x!r}" for x in c.at)
                lines.append(
                    f"| {SHOWN.get(name, name)} | {title} | {figure(c.partial)} | {at} "
                    f"| {c.gave!r} | {c.exact!r} |"
                )
    return lines


PAGE = """# Accuracy, beside other libraries

How far values and first derivatives are from the true numbers, in units of the last
place of a float (ulps). A correctly rounded result is off by at most 0.5.
All libraries got the same {points} points a function, spread by exponent over the
function's whole domain: half of the operands have an exponent drawn from all that a
float has, half one near 0. The judge is the function's closed form, differentiated by
SymPy and evaluated by mpmath with more and more digits until two evaluations agree.
Beside a zero of a derivative that is a sum of terms (log abs gamma, sinc,
logaddexp) the unit is that of the terms, for everybody.

NaN, and inf, stand for such results where there is a finite number. A dash stands for a
function that a library has not. A derivative that underflows or overflows where the
true one does not is off by 10^15 ulps and more. This page is written by

```text
python tests/benchmarks/accuracy.py --write docs/accuracy.md
```

with {versions}, on {machine}.
{absent}
## First derivatives, operands of every size

The worst of all points, and over both operands where there are two. *tapegrad* is
eager arrays, *tapegrad native* compiled loops.

{partials}

## First derivatives, operands between {low:g} and {high:g} in size

{moderate}

## First derivatives within 4 ulps

The share of the points of every size.

{share}

## Values, operands of every size

{values}

## Worst points of first derivatives

Every derivative that is off by more than 4 ulps, and tapegrad's own worst.

{points_table}

## What is behind it

{notes}
"""
NOTES = """* `tanh`, `sigmoid`, `erf`, `sinc`, `expm1`: a derivative made of the rounded
  value (1 - y², y (1 - y), y + 1) has lost its digits where y is near 1 or -1. Helper
  rows (`sech2`, `gaussian`, `sinc_slope`) compute it from the operand.
* `asin`, `acos`, `atanh`, `acosh`: 1 - x² cancels near 1; (1 - x) (1 + x) does not.
* `asinh`, `atan`, `hypot`, `atan2`: x² overflows at 1e154, and underflows likewise.
* Some libraries set subnormal numbers to zero, for speed. That alone is up to 10^15
  ulps, at operands or results below 2.2e-308; the second table is without most of it.
* A few ulps in a peer's value are as good as they need be; what the tables show is
  the worst of {points} points, not what is usual. The third table says what is.
* Where others are better: {better}."""


def better(table: dict[str, dict[str, Cell]]) -> str:
    """Functions whose derivative some peer has nearer than tapegrad's eager arrays."""
    found = []
    for name, cells in table.items():
        mine = cells[OURS[0]].partial
        near = {
            t: c.partial for t, c in cells.items() if t in PEERS and c.partial < mine
        }
        if near:
            said = ", ".join(f"{t} {figure(x)}" for t, x in near.items())
            found.append(f"{SHOWN.get(name, name)} ({figure(mine)} here; {said})")
    return "; ".join(found) or "nowhere among these"


def page(table: dict[str, dict[str, Cell]], titles: Sequence[str], points: int) -> str:
    """The whole page."""
    absent = [title for title in PEERS if title not in titles]
    packages = {"NumPy": "numpy", "SymPy": "sympy", "mpmath": "mpmath"}
    packages |= {t: PEERS[t][0] for t in PEERS if t in titles}
    versions = [f"{t} {importlib.metadata.version(p)}" for t, p in packages.items()]
    system = f"{platform.system()} on {platform.machine()}, {platform.libc_ver()[0]}"
    return PAGE.format(
        points=f"{points:,}",
        versions=", ".join(versions),
        machine=f"{system} {platform.libc_ver()[1]}",
        absent=f"\nNot installed, and left out: {', '.join(absent)}.\n"
        if absent
        else "",
        low=MODERATE[0],
        high=MODERATE[1],
        partials="\n".join(grid(table, titles, lambda c: figure(c.partial))),
        moderate="\n".join(grid(table, titles, lambda c: figure(c.moderate))),
        share="\n".join(grid(table, titles, lambda c: share(c.good, c.count))),
        values="\n".join(grid(table, titles, lambda c: figure(c.value))),
        points_table="\n".join(points_table(table, titles)),
        notes=NOTES.format(points=f"{points:,}", better=better(table)),
    )


def share(good: int, count: int) -> str:
    """A percentage that is 100 only if all are good."""
    percent = math.floor(1000 * good / count) / 10
    return "100 %" if good == count else f"{percent:.1f} %"


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="functions; all by default")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--write", type=Path, help="the page to write")
    given = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    libraries = {
        OURS[0]: ours("eager arrays"),
        OURS[1]: ours("native arrays"),
    }
    for title, (package, make) in PEERS.items():
        try:
            libraries[title] = make()
        except ImportError:
            sys.stdout.write(f"skipped: {title} ({package} is not installed)\n")
    table = measured(given.names or NAMES.split(), libraries, given.points)
    text = page(table, list(libraries), given.points)
    if given.write:
        given.write.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
