"""Guards that do not see the same in all iterations. Floor 10.

    guard on c, which was True, False, True, ...    becomes    guard on c xor seen[i]

What was seen moves with the iteration like any table of constants, so sweeps and native
code look at such a guard as at any other. It says of itself that it varies; so errors
tell the condition and what was seen of it, and loops that are written out again have
the guards that were recorded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tapegrad.rolling.read import Loop
from tapegrad.rolling.work import Work
from tapegrad.rules import TABLE
from tapegrad.tape.guards import Guard
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import BOOLEAN

Truths = npt.NDArray[np.bool_]


def varying(loop: Loop, work: Work) -> dict[int, Truths]:
    """The guards of an iteration that vary, and what each iteration saw.

    Those of a place in the source do so together: of a loop inside of this one, each
    iteration is to look like the others.
    """
    tape = work.tape
    if "guard" not in tape.operations:
        return {}
    code = tape.operations.index("guard")
    first = work.steps[loop.start : loop.start + loop.period]
    seen: dict[int, Truths] = {}
    lines: dict[int, tuple[str, int]] = {}
    for place in np.flatnonzero(tape.opcode[first] == code).tolist():
        steps = work.steps[loop.start + place : loop.end : loop.period]
        statics, which = np.unique(tape.static[steps], return_inverse=True)
        guards = [dict(tape.statics[static])["guard"] for static in statics.tolist()]
        if type(guards[0].outcome) is bool and not guards[0].varies:
            seen[place] = np.array([guard.outcome for guard in guards])[which]
            lines[place] = guards[0].file, guards[0].line
    uneven = {lines[place] for place in seen if len(set(seen[place].tolist())) > 1}
    return {place: seen[place] for place in seen if lines[place] in uneven}


def put(columns: Columns, condition: int, seen: int, guard: Guard) -> None:
    """Append a guard that varies.

    Args:
        columns: of the body.
        condition: the slot that it is on.
        seen: the slot of what was seen in an iteration.
        guard: as one iteration has it.
    """
    row = TABLE["logical_xor"]
    (slot,) = columns.append(row, [condition, seen], {}, [BOOLEAN])
    columns.push_guard(slot, Guard(False, guard.file, guard.line, varies=True))
