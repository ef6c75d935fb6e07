"""What the commands print: tables, and figures as JSON. Floor 13; loads rich."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import isfinite
from typing import Any

import sympy as sp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tapegrad.symbolic.derive import Derivation
from tapegrad.tape.tape import Tape


def display(what: Any) -> None:
    """Print a table, or whatever rich knows how to print.

    A terminal is as wide as it is; a file or a pipe gets whole lines.
    """
    console = Console(highlight=False, file=sys.stdout)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        natural = console.measure(what, options=console.options.update(width=1_000))
        console = Console(
            highlight=False, file=sys.stdout, width=max(80, natural.maximum)
        )
    console.print(what)


def derivation_table(found: Derivation) -> Table:
    """A row for each derivative; with a point, both values and their difference."""
    table = _titled(f"f = {found.expression}")
    table.add_column("", no_wrap=True)
    table.add_column("closed form", overflow="fold")
    if found.point:
        for heading in ("value by the tape", "closed form's value", "difference"):
            table.add_column(heading, justify="right", no_wrap=True)
    for row in found.rows:
        cells = [row.name, str(row.closed)]
        if found.point:
            cells += [repr(row.tape), repr(row.value), f"{row.difference:.1e}"]
        table.add_row(*map(Text, cells))
    if found.point:
        point = ", ".join(f"{name}={x!r}" for name, x in found.point.items())
        table.caption = Text(f"f = {found.value!r} at {point}")
    return table


def derivation_latex(found: Derivation) -> str:
    """A line for each derivative; values, with a point, as TeX comments."""
    lines = [f"f = {sp.latex(found.expression)}"]
    for row in found.rows:
        lines.append(f"{_fraction(row.names)} = {sp.latex(row.closed)}")
        if row.tape is not None:
            lines.append(f"% tape {row.tape!r}, closed form {row.value!r}")
    return "\n".join(lines)


def _fraction(names: tuple[str, ...]) -> str:
    """The derivative's symbol in LaTeX."""
    power = f"^{{{len(names)}}}" if len(names) > 1 else ""
    under = " ".join(rf"\partial {sp.latex(sp.Symbol(name))}" for name in names)
    return rf"\frac{{\partial{power} f}}{{{under}}}"


def gradient_table(
    title: str, tape: Tape, values: Sequence[float], slopes: Sequence[Sequence[float]]
) -> Table:
    """A row for each result and input of a tape."""
    table = _titled(title)
    for heading in ("result", "by", "at", "derivative"):
        right = heading != "by"
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    labels, at = tape.input_labels(), tape.example or ()
    for value, row in zip(values, slopes, strict=True):
        for label, x, slope in zip(labels, at, row, strict=True):
            table.add_row(*map(Text, (repr(value), label, repr(x), repr(slope))))
        table.add_section()
    return table


def gradient_json(
    tape: Tape, values: Sequence[float], slopes: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Plain figures: bare for one result, lists for several."""

    def by_label(row: Sequence[float]) -> dict[str, Any]:
        return dict(zip(tape.input_labels(), map(plain, row), strict=True))

    rows, results = [by_label(row) for row in slopes], [plain(x) for x in values]
    one = len(results) == 1
    return {
        "at": by_label(tape.example or ()),
        "value": results[0] if one else results,
        "gradient": rows[0] if one else rows,
    }


def plain(number: float) -> float | str:
    """JSON has no NaN and no infinity."""
    return number if isfinite(number) else str(number)


def _titled(title: str) -> Table:
    """A table whose title is text as it is: brackets in formulas are not markup."""
    return Table(title=Text(title), title_justify="left", caption_justify="left")
