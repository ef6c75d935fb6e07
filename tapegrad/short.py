"""Short tapes of numbers, replayed and swept in plain Python. Floor 5.

    v_i = f(v_a, v_b)        v_bar_j += v_bar_i * p[i, j]

A sweep that serves every reading looks at each step from all sides. For a tape of some
dozen numbers that is most of the work, so what can be known of the steps is found once
and kept with the tape: the function and the operands of each, and the rows of columns
over which `pulls` runs. Values and adjoints are those of `sweeps`, bit for bit.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad import pulls, sweeps
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE
from tapegrad.tape.recorder import MANY, Columns
from tapegrad.tape.tape import BOOLEAN, Tape

# Longer tapes are swept in bulk, and soon by the native machine.
LONGEST = 512

# Python's own operators follow IEEE for these, on floats.
_PLAIN = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


class _Plan:
    """What is known of a tape before its inputs are.

    Attributes:
        values: of the constants; None elsewhere.
        steps: slot, function and operands of each step, -1 where there is no second
            one; more than two are a tuple, and a guard has the slot it reads.
        rows: the steps as rows of columns, without values.
    """

    __slots__ = ("rows", "steps", "values")

    def __init__(self, tape: Tape) -> None:
        self.values: list[Any] = []
        self.steps: list[tuple[int, Callable[..., Any], Any, int]] = []
        self.rows = Columns()
        self.rows.statics = list(tape.statics)
        rows = [TABLE[name] for name in tape.operations]
        codes = [TABLE.opcode(row) for row in rows]
        statics = [dict(static) for static in tape.statics]
        for _, code, static, reads in sweeps._rows(tape):  # noqa: SLF001
            row, slot, params = rows[code], len(self.values), statics[static]
            if row.name == "guard":
                self.steps.append((-1, params["guard"].holds, reads[0], -1))
                continue
            known = SCALAR.number(params["value"]) if row.name == "const" else None
            self.values.append(known)
            self._row(codes[code], static, reads)
            if row.kind == "structure":
                continue
            function = _PLAIN.get(row.name) or SCALAR.evaluator_of(row)
            if static:
                function = functools.partial(function, **params)
            if len(reads) == 2:
                self.steps.append((slot, function, reads[0], reads[1]))
            else:
                few = reads[0] if len(reads) == 1 else tuple(reads)
                self.steps.append((slot, function, few, -1))

    def _row(self, code: int, static: int, reads: list[int]) -> None:
        """A step as a row of the columns."""
        flat, many = self.rows.flat, self.rows.many
        if not reads:
            flat += code, 0, static, None
        elif len(reads) == 1:
            flat += code, reads[0], static, None
        elif len(reads) == 2 and not static:
            flat += code, *reads, None
        else:
            flat += code, MANY, len(many), None
            many.append((tuple(reads), static))


def plan_of(tape: Tape) -> _Plan | None:
    """The plan of a flat tape; None where the tape is too long, or of arrays."""
    if len(tape) > LONGEST:
        return None
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "short" not in known:
        known["short"] = _Plan(tape) if _fits(tape) else None
    return known["short"]  # type: ignore[no-any-return]


def _fits(tape: Tape) -> bool:
    """Whether every step is of numbers, and every choice between them is decided."""
    if tape.arrays:
        return False
    if "where" not in tape.operations:
        return True
    code = tape.operations.index("where")
    steps = (tape.opcode == code).nonzero()[0]
    chosen = tape.operands[tape.offsets[:-1][steps]].tolist()
    return all(tape.aval_of(slot) == BOOLEAN for slot in chosen)


def replay(tape: Tape, inputs: Sequence[Any]) -> list[Any] | None:
    """All slot values, as `sweeps.replay` gives them; None where it is to be asked.

    Args:
        tape: a flat tape.
        inputs: floats and truth values, one an input.
    """
    plan = plan_of(tape)
    if plan is None:
        return None
    values = plan.values[:]
    for slot, x in zip(tape.inputs, inputs, strict=True):
        values[slot] = x
    for slot, function, a, b in plan.steps:
        if b >= 0:
            values[slot] = function(values[a], values[b])
        elif slot < 0:
            if not function(values[a]):
                return None  # it raises with the line, and the numbers
        elif type(a) is int:
            values[slot] = function(values[a])
        else:
            values[slot] = function(*[values[i] for i in a])
    return values


def adjoint(
    tape: Tape, values: Sequence[Any], seeds: Mapping[int, float]
) -> list[Any] | None:
    """Adjoints of all slots that are reached; None where `sweeps.adjoint` is asked.

    Args:
        tape: a flat tape.
        values: of all slots, from a replay.
        seeds: adjoints of output slots.
    """
    plan = plan_of(tape)
    if plan is None:
        return None
    flat = plan.rows.flat[:]
    flat[3::4] = values
    bars: list[Any] = [None] * len(values)
    for slot, seed in seeds.items():
        bars[slot] = seed
    pulls.sweep(range(len(values) - 1, -1, -1), flat, bars, plan.rows)
    return bars
