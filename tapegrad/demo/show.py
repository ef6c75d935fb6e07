"""What `tapegrad demo` prints. Floor 12.

Imports the other two files of the demonstration. rich is loaded when something is
printed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tapegrad as tg
from tapegrad.demo.figures import (
    Check,
    Report,
    Timing,
    check_picture,
    cross_check,
    draw_small_tape,
    thurber,
    timings,
)
from tapegrad.demo.nist import Fit, fit, read_problem

if TYPE_CHECKING:
    from rich.console import Console

PICTURE = "demo-output/small-tape.svg"


def run(picture: str | Path = PICTURE, *, console: Console | None = None) -> Report:
    """Show the whole way on Thurber's data, and return the figures.

    Args:
        picture: where to write the picture of a small tape; folders are made.
        console: where to print; None is standard output, and a quiet
            ``Console(quiet=True)`` prints nothing.

    Raises:
        DomainError: when the picture's name does not end in a known format.
    """
    from rich.console import Console as Terminal

    check_picture(Path(picture))  # now rather than after the work
    began = time.perf_counter()
    out = console or Terminal(highlight=False)
    problem = read_problem("Thurber")
    names = ("x", *(f"b{i}" for i in range(1, 8)))
    arguments = dict(zip(names, (problem.x[0], *problem.certified), strict=True))

    out.rule("A plain function, recorded")
    tape = tg.record(thurber, *arguments.values())
    lines = str(tape).splitlines()
    for line in lines[:16]:
        out.print(line, markup=False, no_wrap=True, overflow="ellipsis")
    out.print(f"... {max(0, len(lines) - 16)} more lines", style="dim")

    out.rule("Its derivatives, as formulas")
    derivatives = {
        name: str(formula) for name, formula in tape.to_sympy(derivative=True).items()
    }
    for name in names[1:]:
        out.print(f"dy/d{name} = {derivatives[name]}", markup=False)

    checks = cross_check(thurber, arguments)
    out.print(_checks_table(checks))

    fits = tuple(fit(problem, thurber, start) for start in (0, 1))
    out.print(_fits_table(fits))

    times = timings(problem)
    out.print(_timings_table(times))

    path = draw_small_tape(Path(picture))
    report = Report(derivatives, checks, fits, times, path, time.perf_counter() - began)
    out.print(f"Picture of a small tape: {path}", markup=False, soft_wrap=True)
    if path.suffix == ".dot":
        out.print("(its source only: the program `dot` of Graphviz is not installed)")
    verdict = "all agree" if report.ok else "SOMETHING DISAGREES"
    out.print(f"{verdict}; {report.seconds:.1f} s", style="bold")
    return report


def _table(title: str, *headings: str) -> Any:
    """Make a table of figures that fits in 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    shown = Text(title, no_wrap=True)
    table = Table(title=shown, box=SIMPLE_HEAD, pad_edge=False, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _checks_table(checks: Iterable[Check]) -> Any:
    table = _table(
        "One gradient, and its relative difference to two of 50 digits",
        "",
        "by the tape",
        "to mpmath",
        "to SymPy's formula",
    )
    for check in checks:
        apart = (f"{part:.1e}" for part in check.apart)
        table.add_row(f"dy/d{check.name}", f"{check.tape:.15e}", *apart)
    return table


def _fits_table(fits: Sequence[Fit]) -> Any:
    headings = ["", "certified"]
    for one in fits:
        headings += [f"from start {one.start + 1}", "digits"]
    table = _table("Thurber, fitted with the tape's exact Jacobian", *headings)
    for i, certified in enumerate(fits[0].problem.certified):
        cells = [f"b{i + 1}", f"{certified:.10e}"]
        for one in fits:
            cells += [f"{one.found[i]:.10e}", f"{one.digits[i]:.1f}"]
        table.add_row(*cells)
    return table


def _timings_table(times: Iterable[Timing]) -> Any:
    table = _table(
        "Time of one value and gradient, in microseconds",
        "",
        "interpreter",
        "native",
        "ratio",
        "difference",
    )
    table.columns[0].justify = "left"
    for one in times:
        faster = one.interpreter / one.native
        table.add_row(
            one.what,
            f"{one.interpreter * 1e6:.1f}",
            f"{one.native * 1e6:.3f}",
            f"{faster:.0f}",
            f"{one.apart:.1e}",
        )
    return table
