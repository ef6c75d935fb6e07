"""Constants folded, equal steps shared, exact algebra, dead steps dropped. Floor 4.

What the result gives is what the tape gave, bit for bit, at every input, only a NaN's
payload aside. Derivatives of the result are those of the tape up to rounding: where two
steps have become one, adjoints that were propagated apart are added first. So passes
are made on the tape of a derivative, after the sweep, and the numbers stay.
"""

from __future__ import annotations

from tapegrad.errors import RecordError
from tapegrad.passes.dead import prune
from tapegrad.passes.grown import grown
from tapegrad.passes.walk import Walk
from tapegrad.tape.tape import Tape


def simplify(tape: Tape, arithmetic: str = "float64") -> Tape:
    """The same function in fewer steps.

    Args:
        tape: any tape. Inputs, guards and labelled steps are kept, and sub-tapes are
            as they were.
        arithmetic: "float64" folds all constants, as the interpreter computes them;
            "any" those alone whose value is the same in every arithmetic, so that the
            result can still be read at 50 digits, or as a formula.

    Returns:
        A tape that is called like it.
    """
    if arithmetic not in {"float64", "any"}:
        msg = f'arithmetic is "float64" or "any", got {arithmetic!r}'
        raise RecordError(msg)
    tape = grown(tape)
    while True:
        found = prune(Walk(tape, arithmetic).frozen(), labels=True)
        if len(found) == len(tape):
            return found
        tape = found


def tidy(tape: Tape) -> Tape:
    """One pass that holds in every arithmetic: for the tapes of derivatives."""
    return prune(Walk(grown(tape), "any").frozen())
