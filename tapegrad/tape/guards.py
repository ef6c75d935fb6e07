"""Guards: comparisons that reached Python control flow. Floor 2.

``if x > 0`` inside a recording fixes the branch that was taken. The tape keeps the
condition, its outcome and the place in the source, so that a replay which would have
gone another way is noticed and never returns a wrong number.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tapegrad.errors import BranchChanged

# Where frames of this package come from.
PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep


@dataclass(frozen=True, slots=True)
class Guard:
    """What a guard step remembers.

    Args:
        outcome: the recorded truth value, or integer for ``int(x)`` and indices.
        file, line: where the comparison stood in the user's source. Not part of the
            tape's content: two tapes that differ only there are equal.
        varies: the recorded truth value is not the same in all iterations of a loop.
            Then the guard is on ``condition xor recorded``, which is False.
    """

    outcome: bool | int
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    varies: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for guards that are the same in every way."""
        kind = type(self.outcome)
        return self.outcome, kind, self.file, self.line, self.varies

    def holds(self, value: object) -> bool:
        """Whether a replayed value has the recorded outcome."""
        if isinstance(self.outcome, bool):
            return bool(value) is self.outcome
        try:
            return int(value) == self.outcome  # type: ignore[call-overload,no-any-return]
        except (ValueError, OverflowError):  # NaN and infinities are no integers
            return False

    def changed(self, step: int, text: str, operands: tuple[object, ...]) -> Exception:
        """The error of a replay whose guard does not hold.

        Args:
            step: number of the guard step.
            text: of the condition.
            operands: what the condition compares; where the recorded outcome varies,
                that one behind them.
        """
        outcome = self.outcome
        if self.varies and operands:
            *others, recorded = operands
            operands, outcome = tuple(others), bool(recorded)
        values = ", ".join(repr(value) for value in operands)
        return BranchChanged(
            f"step {step}: the recording took the branch where {text} was "
            f"{outcome} ({self.file}:{self.line}), but with the operand values "
            f"({values}) it is not; record again at these inputs, or write the "
            "choice as tg.where(condition, a, b)",
            file=self.file,
            line=self.line,
            operands=operands,
            recorded=outcome,
            step=step,
        )


def user_line() -> tuple[str, int]:
    """File and line of the innermost frame outside this package."""
    frame = sys._getframe(1)  # noqa: SLF001 - the cheap way to a caller's line
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno
