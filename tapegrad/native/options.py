"""How a tape is to be compiled. Floor 9.

One object goes from the user's call down to the lowering, so that a choice is checked
once, in one place, and is part of what a compiled tape is pickled and cached by.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from numbers import Real

from tapegrad.errors import CompileError

LEVELS = ("auto", "0", "1", "2", "3")
ACCURACIES = ("default", "fast")


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose.

    Args:
        level: "auto", or LLVM's level "0" (quick to build) to "3" (quick to run).
        accuracy: "default", within 2 ulps, or "fast", within 4, of vector functions.
        threads: how many a long call may use.
        budget: seconds that building may take, or None; what does not fit is built at
            the quickest level.

    Raises:
        CompileError: no such choice.
    """

    level: str = "auto"
    accuracy: str = "default"
    threads: int = 1
    budget: float | None = None

    def __post_init__(self) -> None:
        """Check the choices."""
        if self.level not in LEVELS:
            msg = f"there is no level {self.level!r}; choose one of {', '.join(LEVELS)}"
            raise CompileError(msg)
        if self.accuracy not in ACCURACIES:
            msg = (
                f"there is no accuracy {self.accuracy!r}; choose 'default' (vector "
                "functions within 2 ulps) or 'fast' (within 4)"
            )
            raise CompileError(msg)
        if isinstance(self.threads, bool) or not isinstance(self.threads, int):
            msg = f"threads is a whole number, got {self.threads!r}"
            raise CompileError(msg)
        if not 1 <= self.threads <= MOST_THREADS:
            msg = (
                f"threads is from 1 to {MOST_THREADS}, got {self.threads}; "
                f"this machine has {os.cpu_count()} cores"
            )
            raise CompileError(msg)
        if self.budget is not None and not (
            isinstance(self.budget, Real) and 0.0 <= self.budget < math.inf
        ):
            msg = f"budget is in seconds, 0 or more, got {self.budget!r}"
            raise CompileError(msg)


MOST_THREADS = 1024
DEFAULT = Options()


def chosen(
    level: str | int = "auto",
    accuracy: str = "default",
    threads: int = 1,
    budget: float | None = None,
) -> Options:
    """Options as users write them; a level may be a number.

    Raises:
        CompileError: no such choice.
    """
    return Options(str(level), accuracy, threads, budget)
