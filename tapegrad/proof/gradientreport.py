"""What a check of derivatives found: one row a derivative. Floor 10."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

# In the order of their columns; "native" stands in reports of compiled functions.
WITNESSES = ("native", "forward", "mpmath", "SymPy", "differences")
ALWAYS = WITNESSES[1:]


@dataclass(frozen=True, slots=True)
class GradientRow:
    """One derivative and what the witnesses say of it.

    Args:
        derivative: of what by which input, or inputs: "x", "x, y", "f[1] by x".
        reverse: the derivative that is checked.
        witnesses: what the others found; None where one has no answer.
        error: the worst relative difference.
        disagrees: the witness that it comes from, "" when all are within tolerance.
        note: what else there is to say: a kink with its two slopes, rounding.
        input: the input it is by, the last one of several; "" for all at once.
    """

    derivative: str
    reverse: float
    witnesses: Mapping[str, float | None]
    error: float
    disagrees: str
    note: str = ""
    input: str = ""

    @property
    def ok(self) -> bool:
        """Whether no witness disagrees."""
        return not self.disagrees


@dataclass(frozen=True, slots=True)
class GradientReport:
    """All derivatives that were checked.

    Args:
        rows: one a derivative, the Hessian's after the gradient's.
    """

    rows: tuple[GradientRow, ...]

    @property
    def ok(self) -> bool:
        """Whether all witnesses agree on every derivative."""
        return all(row.ok for row in self.rows)

    @property
    def failures(self) -> tuple[GradientRow, ...]:
        """The rows that a witness disagrees with."""
        return tuple(row for row in self.rows if not row.ok)

    @property
    def inputs(self) -> dict[str, GradientRow]:
        """By input its worst row: one in doubt, else that of the largest error."""
        found: dict[str, GradientRow] = {}
        for row in self.rows:
            known = found.get(row.input)
            if row.input and (
                known is None or (known.ok, row.error) > (row.ok, known.error)
            ):
                found[row.input] = row
        return found

    @property
    def worst(self) -> float:
        """The worst relative error among the rows, differences left aside."""
        return max((row.error for row in self.rows), default=0.0)

    def summary(self) -> str:
        """One line: how many rows, and how many are in doubt."""
        bad, count = len(self.failures), len(self.rows)
        return f"{count} derivative{'s' * (count != 1)}, {bad} in doubt"

    # -- forms -------------------------------------------------------------------------

    def to_json(self) -> str:
        """The rows as JSON; what is no finite number as a string."""
        rows = [_plain(asdict(row)) for row in self.rows]
        inputs = {
            name: _plain({"error": row.error, "disagrees": row.disagrees})
            for name, row in self.inputs.items()
        }
        found = {"ok": self.ok, "inputs": inputs, "rows": rows}
        return json.dumps(found, indent=1, allow_nan=False)

    def to_markdown(self) -> str:
        """The rows as a Markdown table."""
        head, rows = self._table()
        lines = [_bars(head), "|" + "---|" * len(head), *map(_bars, rows)]
        return "\n".join([*lines, "", self.summary()])

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """The heading, and the cells of every row; notes have a column if there are."""
        names = [
            name
            for name in WITNESSES
            if name in ALWAYS or any(name in row.witnesses for row in self.rows)
        ]
        notes = any(row.note for row in self.rows)
        head = ("derivative", "reverse", *names, "worst error", "disagrees")
        rows = [_cells(row, names) for row in self.rows]
        if notes:
            head = (*head, "note")
            rows = [
                (*cells, row.note) for cells, row in zip(rows, self.rows, strict=True)
            ]
        return head, rows

    def __str__(self) -> str:
        head, rows = self._table()
        table = [head, *rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
            for cells in table
        )

    def __repr__(self) -> str:
        bad = len(self.failures)
        return f"<GradientReport: {len(self.rows)} derivatives, {bad} in doubt>"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Any:
        del console, options
        from rich.table import Table
        from rich.text import Text

        head, rows = self._table()
        table = Table(caption=self.summary(), caption_justify="left")
        for name in head:
            right = name not in {"derivative", "disagrees", "note"}
            side: Any = "right" if right else "left"
            table.add_column(name, justify=side, overflow="fold")
        for cells, row in zip(rows, self.rows, strict=True):
            style = "red" if not row.ok else "yellow" if row.note else ""
            table.add_row(*(Text(cell, style) for cell in cells))
        yield table


def _cells(row: GradientRow, names: Iterable[str]) -> tuple[str, ...]:
    found = [row.witnesses.get(name) for name in names]
    shown = ["-" if x is None else f"{x:.9g}" for x in found]
    reverse, error = f"{row.reverse:.9g}", f"{row.error:.1e}"
    return row.derivative, reverse, *shown, error, row.disagrees


def _bars(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _plain(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
