"""What the commands print: tables, and figures as JSON. Floor 13; loads rich."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    from tapegrad.symbolic.derive import Derivation


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
    import sympy as sp

    from tapegrad.symbolic.latex import matrix_of_second

    lines = [f"f = {sp.latex(found.expression)}"]
    if found.rows and len(found.rows[0].names) > 1:
        lines.append(matrix_of_second({row.names: row.closed for row in found.rows}))
    for row in found.rows:
        lines.append(f"{_fraction(row.names)} = {sp.latex(row.closed)}")
        if row.tape is not None:
            lines.append(f"% tape {row.tape!r}, closed form {row.value!r}")
    return "\n".join(lines)


def _fraction(names: tuple[str, ...]) -> str:
    """The derivative's symbol in LaTeX."""
    import sympy as sp

    power = f"^{{{len(names)}}}" if len(names) > 1 else ""
    under = " ".join(rf"\partial {sp.latex(sp.Symbol(name))}" for name in names)
    return rf"\frac{{\partial{power} f}}{{{under}}}"


def replay_table(
    title: str, tape: Tape, found: Sequence[tuple[Sequence[Any], Sequence[Any]]]
) -> Table:
    """A row for each point: the inputs, and the results."""
    table = _titled(title)
    labels = tape.input_labels()
    for heading in (*labels, *_results(tape)):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for at, values in found:
        table.add_row(*map(Text, map(_text, (*at, *values))))
    return table


def _results(tape: Tape) -> list[str]:
    count = len(tape.outputs)
    return ["result"] if count == 1 else [f"result {place}" for place in range(count)]


def replay_json(tape: Tape, at: Sequence[Any], values: Sequence[Any]) -> dict[str, Any]:
    """Plain figures of one point: a bare result, or a list of several."""
    results = [plain(x) for x in values]
    return {
        "at": dict(zip(tape.input_labels(), map(plain, at), strict=True)),
        "value": results[0] if len(results) == 1 else results,
    }


# A point, the results there, and for each the derivative by every input of floats.
Slopes = tuple[Sequence[Any], Sequence[Any], Sequence[Sequence[Any]]]


def gradient_table(title: str, tape: Tape, found: Sequence[Slopes]) -> Table:
    """A row for each point, result and input of a tape."""
    table = _titled(title)
    for heading in ("result", "by", "at", "derivative"):
        right = heading != "by"
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for at, values, slopes in found:
        named = _smooth(tape, at)
        for value, row in zip(values, slopes, strict=True):
            for (label, x), slope in zip(named, row, strict=True):
                table.add_row(*map(Text, (_text(value), label, _text(x), _text(slope))))
            table.add_section()
    return table


def _smooth(tape: Tape, at: Sequence[Any]) -> list[tuple[str, Any]]:
    """Label and value of the inputs that a derivative is by."""
    places = zip(tape.inputs, tape.input_labels(), at, strict=True)
    return [
        (label, x) for slot, label, x in places if tape.aval_of(slot)[1] in FLOATING
    ]


def gradient_json(
    tape: Tape,
    at: Sequence[Any],
    values: Sequence[Any],
    slopes: Sequence[Sequence[Any]],
) -> dict[str, Any]:
    """Plain figures of one point: bare for one result, lists for several."""
    labels = [label for label, _ in _smooth(tape, at)]
    rows = [dict(zip(labels, map(plain, row), strict=True)) for row in slopes]
    one = len(rows) == 1
    return replay_json(tape, at, values) | {"gradient": rows[0] if one else rows}


def _text(x: Any) -> str:
    """A number as Python writes it; an array on one line."""
    if isinstance(x, np.ndarray) and x.size > 20:
        text = np.array2string(
            x, separator=", ", threshold=20, edgeitems=3, max_line_width=10**6
        )
        return " ".join(text.split())
    return repr(x.tolist() if isinstance(x, np.ndarray | np.generic) else x)


def plain(number: Any) -> Any:
    """What JSON can hold: it has no NaN, no infinity and no array."""
    if isinstance(number, np.ndarray | np.generic):
        return plain(number.tolist())
    if isinstance(number, list):
        return [plain(part) for part in number]
    if isinstance(number, float) and not isfinite(number):
        return str(number)
    return number


def _titled(title: str) -> Table:
    """A table whose title is text as it is: brackets in formulas are not markup."""
    return Table(title=Text(title), title_justify="left", caption_justify="left")
