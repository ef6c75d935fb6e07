"""What the analysis of rounding errors found: by line, by step, in all. Floor 10."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

# Rows of a printed table, and steps in JSON.
SHOWN, WRITTEN = 12, 100
# Characters of a source line in a table.
WIDTH = 60
# How much larger than their sum errors are when their cancelling is worth a word.
CANCELS = 1e3
# What an estimate may be off by and still count.
FACTOR = 10.0


@dataclass(frozen=True, slots=True)
class StepError:
    """What the rounding of one step does to the result.

    Args:
        step: number on the tape, sub-tapes expanded.
        slot: the first slot of the step.
        operation: how it is written: ``+``, ``exp``.
        label: the slot's name, or "".
        file, line: where it stood in the source; "" and 0 where that is not known.
        value: the result of the step, in an array the largest by size.
        adjoint: how much the result of the tape moves with it; the largest of an array.
        local: computed less exact result, at the operands that it had; the largest.
        estimate: what that makes of the tape's result, with its sign.
        bound: the same without signs, summed over the entries.
        apriori: what any rounding to nearest could make of it: u |value| |adjoint|.
    """

    step: int
    slot: int
    operation: str
    label: str
    file: str
    line: int
    value: float
    adjoint: float
    local: float
    estimate: float
    bound: float
    apriori: float

    @property
    def place(self) -> str:
        """File and line in short; slot and label where no line is known."""
        if self.line:
            return f"{Path(self.file).name}:{self.line}"
        return f"v{self.slot}" + (f" ({self.label})" if self.label else "")


@dataclass(frozen=True, slots=True)
class LineError:
    """All steps of one source line together.

    Args:
        file, line, code: the line, and its text if the file is there.
        steps: how many steps rounded.
        estimate, bound, apriori: sums of theirs.
    """

    file: str
    line: int
    code: str
    steps: int
    estimate: float
    bound: float
    apriori: float

    @property
    def place(self) -> str:
        """File and line in short."""
        return f"{Path(self.file).name}:{self.line}"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A sum in which leading digits go, and errors of the operands come forward.

    Args:
        step, operation, file, line: which.
        digits: an error of the operands counts ten to this power times as much in the
            result.
    """

    step: int
    operation: str
    file: str
    line: int
    digits: float

    @property
    def place(self) -> str:
        """File and line in short, or the step."""
        return f"{Path(self.file).name}:{self.line}" if self.line else f"v{self.step}"


@dataclass(frozen=True, slots=True)
class RoundingReport:
    """Rounding errors of a tape at a point.

    Args:
        output: which entry of which result, "" for the only one.
        value: the computed result.
        exact: the result of the replay at many digits, twenty of them; "" without one.
        true_error: computed less exact; None where there is no such replay.
        estimate: of that error to first order: adjoint times local error, summed with
            signs over all steps.
        bound: the same summed without signs.
        apriori: what roundings to nearest could give at most, to first order.
        unit: the unit roundoff, 2^-53 for float64.
        digits: of the replay that it is compared with.
        steps: steps with a rounding error, the worst first.
        lines: source lines, the worst first; none where lines are not known.
        cancellations: where digits go, the most first.
        note: what else there is to say.
    """

    output: str
    value: float
    exact: str
    true_error: float | None
    estimate: float
    bound: float
    apriori: float
    unit: float
    digits: int
    steps: tuple[StepError, ...]
    lines: tuple[LineError, ...]
    cancellations: tuple[Cancellation, ...]
    note: str = ""

    @property
    def relative_error(self) -> float | None:
        """The size of the true error over that of the exact result."""
        if self.true_error is None:
            return None
        size = abs(float(self.exact))
        if not self.true_error:
            return 0.0
        return abs(self.true_error) / size if size else math.inf

    @property
    def ok(self) -> bool:
        """Whether first order sees the error that is there, within a factor of 10.

        Errors below one rounding of the result count as seen.
        """
        if self.true_error is None:
            return False
        one, other = abs(self.true_error), abs(self.estimate)
        if one == other:
            return True
        if max(one, other) <= self.unit * abs(self.value) < math.inf:
            return True
        return other <= FACTOR * one and one <= FACTOR * other

    @property
    def verdict(self) -> str:
        """One sentence: whether the estimate holds, and how good the result is."""
        if self.true_error is None:
            return f"first order alone: {self.note}"
        size = self.relative_error or 0.0
        good = math.floor(-math.log10(min(size, 1.0))) if size else 0
        sure = f"the result is good to {good} digit{'s' * (good != 1)}"
        if not good:
            sure = "no digit of the result is right" if size else "the result is exact"
        if not self.true_error and not self.bound:
            return f"no step that counts is rounded: {sure}"
        sees = "sees it" if self.ok else "does not see it"
        text = (
            f"first order {sees}: error {self.true_error:.3g} by the replay at "
            f"{self.digits} digits, {self.estimate:.3g} by the estimate; {sure}"
        )
        least = max(abs(self.true_error), self.unit * abs(self.value))
        if CANCELS * least < self.bound < math.inf:
            text += f"; errors of {self.bound:.3g} together cancel, by their signs"
        return f"{text}; {self.note}" if self.note else text

    # -- forms -------------------------------------------------------------------------

    def to_json(self) -> str:
        """All figures as JSON, the worst 100 steps; what is not finite as a string."""
        found = asdict(self) | {
            "steps": [asdict(step) for step in self.steps[:WRITTEN]],
            "relative_error": self.relative_error,
            "ok": self.ok,
            "verdict": self.verdict,
        }
        return json.dumps(_plain(found), indent=1, allow_nan=False)

    def _figures(self) -> list[tuple[str, str]]:
        true = "unknown" if self.true_error is None else f"{self.true_error:.6g}"
        named = f"result {self.output}".strip()
        return [
            (named, repr(self.value)),
            ("exact", self.exact or "unknown"),
            ("true error", true),
            ("estimate", f"{self.estimate:.6g}"),
            ("bound", f"{self.bound:.6g}"),
            ("a priori", f"{self.apriori:.6g}"),
        ]

    def _table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]], int]:
        """Heading, rows of the worst, and how many there are in all."""
        total = sum(step.bound for step in self.steps if math.isfinite(step.bound))

        def figures(x: StepError | LineError) -> tuple[str, ...]:
            share = x.bound / total if total else 0.0
            share = share if math.isfinite(x.bound) else 1.0
            numbers = (f"{y:.2e}" for y in (x.estimate, x.bound, x.apriori))
            return (*numbers, f"{share:.1%}")

        tail = ("estimate", "bound", "a priori", "share")
        if self.lines:
            rows = [
                (x.place, _short(x.code), str(x.steps), *figures(x))
                for x in self.lines[:SHOWN]
            ]
            return ("line", "code", "steps", *tail), rows, len(self.lines)
        rows = [
            (f"v{x.slot}", x.operation, x.label, *figures(x))
            for x in self.steps[:SHOWN]
        ]
        return ("slot", "operation", "label", *tail), rows, len(self.steps)

    def _ends(self, total: int) -> list[str]:
        """What stands below the table."""
        left = [f"and {total - SHOWN} more"] if total > SHOWN else []
        lost = [
            f"cancellation: {x.operation} at {x.place}, {x.digits:.1f} digits"
            for x in self.cancellations[:3]
        ]
        return [*left, *lost, self.verdict]

    def __str__(self) -> str:
        head, rows, total = self._table()
        figures = self._figures()
        wide = max(len(name) for name, _ in figures)
        lines = [f"{name.ljust(wide)}  {figure}" for name, figure in figures]
        if rows:
            lines += ["", *_aligned([head, *rows]), ""]
        return "\n".join([*lines, *self._ends(total)])

    def __repr__(self) -> str:
        true = "" if self.true_error is None else f", true error {self.true_error:.3g}"
        return (
            f"<RoundingReport: value {self.value!r}, estimate {self.estimate:.3g}, "
            f"bound {self.bound:.3g}{true}>"
        )

    def to_markdown(self) -> str:
        """The report as Markdown: figures, then a table."""
        head, rows, total = self._table()
        lines = [f"* {name}: {figure}" for name, figure in self._figures()]
        if rows:
            lines += ["", _bars(head), "|" + "---|" * len(head), *map(_bars, rows)]
        return "\n".join([*lines, "", *self._ends(total)])

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells)
            return f"<tr>{inner}</tr>"

        head, rows, total = self._table()
        figures = "".join(line(pair, "td") for pair in self._figures())
        body = "".join(line(row, "td") for row in rows)
        ends = "".join(f"<p>{html.escape(text)}</p>" for text in self._ends(total))
        return (
            f"<table>{figures}</table><table><thead>{line(head, 'th')}</thead>"
            f"<tbody>{body}</tbody></table>{ends}"
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Any:
        del console, options
        from rich.table import Table
        from rich.text import Text

        head, rows, total = self._table()
        figures = Table.grid(padding=(0, 2))
        for pair in self._figures():
            figures.add_row(*map(Text, pair))
        yield figures
        if rows:
            table = Table()
            for name in head:
                right = name not in {"line", "code", "slot", "operation", "label"}
                side: Any = "right" if right else "left"
                table.add_column(name, justify=side, overflow="fold")
            for row in rows:
                table.add_row(*map(Text, row))
            yield table
        for text in self._ends(total):
            yield Text(text)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _short(code: str) -> str:
    return code if len(code) <= WIDTH else code[: WIDTH - 3] + "..."


def _bars(cells: Sequence[str]) -> str:
    escaped = [cell.replace("|", "\\|") for cell in cells]
    return "| " + " | ".join(escaped) + " |"


def _plain(x: Any) -> Any:
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(part) for part in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
