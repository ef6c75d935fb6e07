"""Which slots get an adjoint at all, loops taken as wholes. Floor 10.

A slot that no derivative reaches has no adjoint, and 0 times an infinite partial would
make one of it. So a loop stands only for iterations that agree about it: where the
slots that are asked for get an adjoint in all iterations, and where the carries do so
from one iteration to the one before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.passing import smooth
from tapegrad.rolling.order import SLOTS, Access
from tapegrad.rolling.read import CARRIED, FIXED, LOCAL, Loop, Made
from tapegrad.rolling.work import Column, Work
from tapegrad.rules import TABLE, Primitive
from tapegrad.rules.shapes import FLOATING

# A carry so many iterations back.
Carry = tuple[Made, int]


@dataclass
class Reached:
    """What adjoints do in a loop.

    Args:
        asked: the slots of the body that get one from outside, and in which iterations.
        steady: whether the carries that have one become always the same.
        before: iterations from the end until they are.
        uneven: whether what a read gets differs in those iterations.
    """

    asked: dict[Made, Column] = field(default_factory=dict)
    steady: bool = True
    before: int = 0
    uneven: bool = False


class Presence:
    """One reverse walk over the steps and the loops of a tape.

    Args:
        work: all steps.
        loops: in order, with their reads.
        asked: for each loop the slots of it that are read elsewhere.
    """

    def __init__(
        self,
        work: Work,
        loops: Sequence[tuple[Loop, Sequence[Access]]],
        asked: Sequence[Column],
    ) -> None:
        self.work, tape = work, work.tape
        self.rows = [TABLE[name] for name in tape.operations]
        self.floats = np.array([dtype in FLOATING for _, dtype in tape.avals])
        self.live = np.zeros(tape.slot_count, bool)
        self.live[list(tape.outputs)] = True
        self.found: list[Reached] = []
        high = len(work)
        for (loop, reads), slots in zip(loops[::-1], asked[::-1], strict=True):
            self._steps(loop.end, high)
            self.found.append(self._loop(loop, reads, slots))
            high = loop.start
        self.found.reverse()

    def _steps(self, low: int, high: int) -> None:
        """Steps that are in no loop, last one first."""
        work, tape, live = self.work, self.work.tape, self.live
        for at in range(high - 1, low - 1, -1):
            step = int(work.steps[at])
            if live[tape.first[step] : tape.first[step + 1]].any():
                row = self.rows[tape.opcode[step]]
                reads = tape.operands[tape.offsets[step] : tape.offsets[step + 1]]
                for place, slot in enumerate(reads.tolist()):
                    if passes(row, place):
                        live[slot] = True

    def _loop(self, loop: Loop, reads: Sequence[Access], slots: Column) -> Reached:
        work = self.work
        mine = slots[self.live[slots] & self.floats[work.tape.aval[slots]]]
        found = Reached(loop.turns(work, mine))
        lags = loop.lags
        always = {made for made in found.asked if made not in lags}
        state = {
            (made, 1) for made, turns in found.asked.items() if loop.trips - 1 in turns
        }
        once = {made for made in always if len(found.asked[made]) == 1}
        always -= once
        inner = {made for made in found.asked if made in lags}
        known: list[frozenset[Carry]] = []
        told: list[set[int]] = []
        while frozenset(state) not in known:
            known.append(frozenset(state))
            state, read = self._turn(loop, state, always, inner)
            told.append(read)
        found.steady = known[-1] == frozenset(state)
        found.before = len(known) - 1
        found.uneven = any(
            len({access.position in read for read in told}) > 1 for access in reads
        )
        self._pass_on(loop, reads, set().union(*told))
        return found

    def _turn(
        self, loop: Loop, state: set[Carry], always: set[Made], inner: set[Made]
    ) -> tuple[set[Carry], set[int]]:
        """An iteration in reverse: the carries before it, the operands reached."""
        work, tape = self.work, self.work.tape
        lags = loop.lags
        live = always | {made for made, back in state if back == 1}
        before = {(made, back - 1) for made, back in state if back > 1}
        before |= {(made, lags[made]) for made in inner}
        read: set[int] = set()
        position = len(loop.operands)
        for place in range(loop.period - 1, -1, -1):
            step = int(work.steps[loop.start + place])
            count = int(tape.offsets[step + 1] - tape.offsets[step])
            position -= count
            owns = int(tape.first[step + 1] - tape.first[step])
            if not any((place, k) in live for k in range(owns)):
                continue
            row = self.rows[tape.opcode[step]]
            for k in range(count):
                if not passes(row, k):
                    continue
                operand = loop.operands[position + k]
                if operand.kind == LOCAL:
                    live.add(operand.made)
                elif operand.kind == CARRIED:
                    before.add((operand.made, operand.lag))
                read.add(position + k)
        kept = {(made, back) for made, back in before if made in lags}
        return kept, read

    def _pass_on(self, loop: Loop, reads: Sequence[Access], read: set[int]) -> None:
        """What the loop's operands get: slots from outside."""
        for position in read:
            operand = loop.operands[position]
            if operand.kind == FIXED:
                self.live[loop.slots(self.work, position)[0]] = True
            elif operand.kind == CARRIED:
                self.live[loop.slots(self.work, position)[: operand.lag]] = True
        for access in reads:
            if access.position in read and access.source == SLOTS:
                self.live[access.elements] = True


def passes(row: Primitive, place: int) -> bool:
    """Whether a derivative goes through a row to an operand."""
    if row.kind == "select":
        return place > 0
    if row.indices and place >= row.indices:
        return False
    return smooth(row) or row.name == "call"
