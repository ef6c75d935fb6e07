"""The page: tables of figures, made of ``results.json`` alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.work import HAND_C, TAPEGRAD, Work

HEAD = """\
# Benchmarks

Value and full gradient, called from Python, beside other libraries. `make bench`
measures them anew on your machine and writes this page; a figure is the least of
several runs, each library in a process of its own, one thread on one core. *Build* is
all that happens from the plain Python function to the first result (recording,
differentiating, compiling, the first call), with caches on disk switched off; modules
are imported before. Every result is compared with the reference before it is timed.
Ratios are to the first line of the same column; more than 1 is slower than tapegrad.

Measured on {machine}.

Versions: {versions}.

C by hand is compiled by {compiler} with `-O3 -march=native`, without `-ffast-math`:
it may fuse a product and a sum, which tapegrad does not.
"""


def written(works: Sequence[Work], results: dict[str, Any]) -> str:
    """The whole page."""
    machine = dict(results.get("machine", {}))
    compiler = machine.pop("C compiler", "a C compiler")
    where = (
        f"{machine.pop('processor', 'an unknown processor')}, "
        f"{machine.pop('cores', '?')} cores, {machine.pop('system', '')}, on "
        f"{machine.pop('date', 'an unknown day')}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    parts = [HEAD.format(machine=where, versions=versions, compiler=compiler)]
    figures = results.get("figures", {})
    parts += [table(work, figures.get(work.name, {})) for work in works]
    return "\n".join(parts)


def table(work: Work, figures: dict[str, Any]) -> str:
    """A work's section."""
    unit = "a step" if work.per else "a call"
    head = [f"## {work.title}", "", work.says, ""]
    columns = ["library"]
    for size in work.sizes:
        label = work.label.format(size)
        columns += [f"{label}: build" if label else "build", unit, "ratio"]
    lines = [columns, ["---", *(["---:"] * 3 * len(work.sizes))]]
    names = sorted(work.ways, key=lambda name: _order(work, name, figures))
    base = next((n for n in names if work.ways[n].peer == TAPEGRAD), None)
    remarks = []
    for name in names:
        mine = figures.get(name, {})
        if not mine:
            continue
        cells = [name]
        for size in work.sizes:
            found = mine.get(str(size), {"left out": "not measured"})
            ours = figures.get(base, {}).get(str(size), {})
            cells += _cells(found, ours, work.per(size) if work.per else 1)
            where = f"{name}, {work.label.format(size)}" if work.label else name
            if "left out" in found:
                remarks.append(f"{where}: {_why(found)}")
            elif found.get("note"):
                remarks.append(f"{where}: {found['note']}")
        lines.append(cells)
    body = ["| " + " | ".join(line) + " |" for line in lines]
    if remarks:
        body += ["", *(f"* {remark}." for remark in remarks)]
    return "\n".join([*head, *body, ""])


def _why(found: dict[str, Any]) -> str:
    return str(found["left out"]).replace("|", "/").replace("`", "'")


def _order(work: Work, name: str, figures: dict[str, Any]) -> tuple[int, float, str]:
    """tapegrad first, then C, then the others by the last size they did."""
    peer = work.ways[name].peer
    place = {TAPEGRAD: 0, HAND_C: 1}.get(peer, 2)
    runs = [figures.get(name, {}).get(str(size), {}).get("run") for size in work.sizes]
    last = next((r for r in reversed(runs) if r is not None), float("inf"))
    done = sum(r is None for r in runs)
    if place == 0:
        return place, list(work.ways).index(name), name
    return place, last * 10.0 ** (3 * done), name


def _cells(found: dict[str, Any], ours: dict[str, Any], per: int) -> list[str]:
    if "run" not in found:
        return ["", "–", ""]
    build = "" if found["build"] is None else span(found["build"])
    ratio = ""
    if "run" in ours:
        ratio = _short(found["run"] / ours["run"])
    return [build, span(found["run"] / per), ratio]


def _short(ratio: float) -> str:
    return f"{ratio:,.2f}" if ratio < 10 else f"{ratio:,.0f}"


def span(seconds: float) -> str:
    """Seconds in a unit that suits them, three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size or unit == "ns":
            amount = seconds / size
            digits = 0 if amount >= 100 else 1 if amount >= 10 else 2
            return f"{amount:,.{digits}f} {unit}"
    raise AssertionError
