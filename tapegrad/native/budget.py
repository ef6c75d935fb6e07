"""What building will take, and what of it a budget allows. Floor 9.

    seconds = FIXED + steps * PACE[level]

The pace was measured on a slow machine, so that most builds stay well within. A budget
wins over a level that was asked for: what does not fit is built at level 0, and what
does not fit then is left to the interpreter. The report says so.
"""

from __future__ import annotations

import math

from tapegrad.native.options import Options
from tapegrad.tape.tape import Tape

# Seconds before the first step, and for each step, by level.
FIXED = 2e-3
NUMBERS = (25e-6, 80e-6, 250e-6, 400e-6)
ARRAYS = (250e-6, 400e-6, 600e-6, 700e-6)
# Steps of a derivative for each step of the tape.
SWEPT = 3


def level_within(options: Options, steps: int, level: int, *, arrays: bool) -> int:
    """The level, or 0 where that would take longer than the budget."""
    if options.budget is None or _seconds(steps, level, arrays) <= options.budget:
        return level
    return 0


def left_out(options: Options, base: Tape, part: str, *, arrays: bool) -> str:
    """Why a part of a flat tape is not built; empty if it is."""
    if options.budget is None:
        return ""
    steps = len(base)
    if part != "value":
        steps *= 1 + SWEPT * _sweeps(base, part)
    seconds = _seconds(steps, 0, arrays)
    if seconds <= options.budget:
        return ""
    return (
        f"left to the interpreter: building some {steps:,} steps would take "
        f"{seconds:.3g} s, and the budget is {options.budget:.3g} s"
    )


def _sweeps(base: Tape, part: str) -> int:
    """How many sweeps a part writes out: one an output for a gradient."""
    if part != "gradient":
        return 1
    return sum(math.prod(base.aval_of(slot)[0]) for slot in base.outputs)


def _seconds(steps: int, level: int, arrays: bool) -> float:
    return FIXED + steps * (ARRAYS if arrays else NUMBERS)[level]
