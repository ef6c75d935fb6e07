"""What the verifier found: one row a primitive and check. Floor 10.

A symbolic check is *proved*, *unproved* (no answer in time: never counted as right) or
*refuted* (with the point that refutes it). A numeric check is *held* or *refuted*: it
gives a figure, and points are no proof.
"""

from __future__ import annotations

import html
import itertools
import json
import math
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.table import Table

GOOD = ("proved", "held")
STYLES = {"proved": "green", "held": "green", "unproved": "yellow", "refuted": "red"}


@dataclass(frozen=True, slots=True)
class Row:
    """One check of one primitive.

    Args:
        primitive: its name.
        check: what was checked.
        status: "proved", "unproved" or "refuted"; "held" for a numeric check.
        count: how many claims, or points, it covers.
        figure: the worst of them, in ulps; None where there is no such figure.
        limit: what the figure may be.
        at: the operands of the worst point.
        detail: how it was proved, or what went wrong.
        each: the worst of each partial, where first partials are judged in float64.
        helper: whether the row stands for a derivative of another.
    """

    primitive: str
    check: str
    status: str
    count: int = 0
    figure: float | None = None
    limit: float | None = None
    at: tuple[float, ...] | None = None
    detail: str = ""
    each: tuple[float, ...] = ()
    helper: bool = False

    @property
    def ok(self) -> bool:
        """Whether the check came out well; *unproved* has not."""
        return self.status in GOOD


HEAD = (
    "primitive",
    "check",
    "status",
    "of",
    "worst ulps",
    "limit",
    "worst point",
    "detail",
)
# What first partials are aimed at: all within the first, nine in ten within the second.
GOALS = (4.0, 2.0)


@dataclass(frozen=True, slots=True)
class Report:
    """All rows of a verification.

    Args:
        rows: one a primitive and check.

    Example:
        >>> import tapegrad as tg
        >>> report = tg.verify(["mul"], points=20)
        >>> report.ok, report.rows[0].status
        (True, 'proved')
    """

    rows: tuple[Row, ...]

    @property
    def ok(self) -> bool:
        """Whether there is something, and all of it is proved or held."""
        return bool(self.rows) and all(row.ok for row in self.rows)

    @property
    def failures(self) -> tuple[Row, ...]:
        """The rows that are not proved, and not held."""
        return tuple(row for row in self.rows if not row.ok)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def summary(self) -> str:
        """One line: how many rows of each status."""
        counts = dict.fromkeys(STYLES, 0)
        for row in self.rows:
            counts[row.status] += 1
        said = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
        names = len({row.primitive for row in self.rows})
        rows = f"{names} primitive{'s' * (names != 1)}, {len(self.rows)} checks"
        return f"{rows}: {said or 'nothing'}"

    def partials(self, *, helpers: bool = False) -> dict[tuple[str, int], float]:
        """The worst ulps of each first partial over all float64 tiers.

        Args:
            helpers: those of helper rows, which are second derivatives, in place of
                all others.

        Returns:
            By primitive and place of the operand, from 1.
        """
        found: dict[tuple[str, int], float] = {}
        for row in self.rows:
            for place, figure in enumerate(row.each, 1):
                if row.helper == helpers:
                    key = row.primitive, place
                    found[key] = max(figure, found.get(key, 0.0))
        return found

    def goals(self) -> str:
        """One line: how many first partials are within 4 ulps, and within 2."""
        said = []
        for helpers, what in ((False, "first partials"), (True, "of helper rows")):
            worst = self.partials(helpers=helpers).values()
            if worst:
                within = ", ".join(
                    f"{count} within {goal:g} ulps ({count / len(worst):.0%})"
                    for goal, count in _reached(worst).items()
                )
                said.append(f"of {len(worst)} {what} {within}")
        return "; ".join(said)

    def to_json(self) -> str:
        """The rows as JSON; infinite figures as the string "inf"."""
        rows = [{key: _plain(x) for key, x in asdict(row).items()} for row in self.rows]
        first = {}
        for helpers, what in ((False, "first_partials"), (True, "of_helper_rows")):
            worst = self.partials(helpers=helpers).values()
            reached = {f"within_{g:g}": n for g, n in _reached(worst).items()}
            first[what] = {"count": len(worst), **reached}
        said = {"ok": self.ok, **first, "rows": rows}
        return json.dumps(said, indent=1, allow_nan=False)

    def to_markdown(self) -> str:
        """The rows as a Markdown table."""
        lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
        for row in self.rows:
            cells = [cell.replace("|", "\\|") for cell in _cells(row)]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", "  \n".join(self._said())])

    def _said(self) -> list[str]:
        return [line for line in (self.summary(), self.goals()) if line]

    def __str__(self) -> str:
        table = [HEAD, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()
            for cells in table
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, *self._said()])

    def __repr__(self) -> str:
        return f"<Report: {self.summary()}>"

    def _repr_html_(self) -> str:
        def line(cells: tuple[str, ...], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        body = "".join(line(_cells(row), "td") for row in self.rows)
        table = f"<table><thead>{line(HEAD, 'th')}</thead><tbody>{body}</tbody></table>"
        return table + "".join(f"<p>{html.escape(line)}</p>" for line in self._said())

    def to_rich(self) -> Table:
        """The rows as a rich table, failures in colour."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            title="Verification",
            caption="\n".join(self._said()),
        )
        for name in HEAD[1:]:  # the first has a line of its own, to save width
            right = name in {"of", "worst ulps", "limit"}
            # a point is of use only with all its digits
            table.add_column(
                name, justify="right" if right else "left", overflow="fold"
            )
        for name, rows in itertools.groupby(self.rows, lambda row: row.primitive):
            table.add_section()
            table.add_row(Text(name, style="bold"))
            for row in rows:
                cells = [Text(cell) for cell in _cells(row)[1:]]
                cells[1].stylize(STYLES[row.status])
                table.add_row(*cells)
        return table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Any:
        del console, options
        yield self.to_rich()


def _reached(worst: Collection[float]) -> dict[float, int]:
    """How many figures are within each goal."""
    return {goal: sum(figure <= goal for figure in worst) for goal in GOALS}


def _cells(row: Row) -> tuple[str, ...]:
    figure = "" if row.figure is None else f"{row.figure:.3g}"
    limit = "" if row.limit is None else f"{row.limit:g}"
    at = "" if row.at is None else ", ".join(map(repr, row.at))
    name, status = row.primitive, row.status
    return name, row.check, status, str(row.count), figure, limit, at, row.detail


def _plain(x: Any) -> Any:
    if isinstance(x, tuple):
        return [_plain(part) for part in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
