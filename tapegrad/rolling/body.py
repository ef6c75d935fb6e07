"""One iteration of a loop as a tape of its own. Floor 10.

Inputs: the carries (one that is read several iterations back is handed on from one to
the next), what moves with the iteration, what stays. Outputs: the next carries, and the
slots that are asked for in all iterations; of a carry, what goes furthest back: so the
adjoints from outside come first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.rolling.outcomes import put, varying
from tapegrad.rolling.plan import Planned
from tapegrad.rolling.read import CARRIED, FIXED, LOCAL, TABLE, Made, step_of
from tapegrad.rolling.work import Column, Work, params_of
from tapegrad.rules import TABLE as ROWS
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import BOOLEAN, Aval, Tape


class Body:
    """The tape of an iteration, and what it takes and gives.

    Attributes:
        tape: of carries, moving reads, tables, fixed slots.
        inits: for each carry the slot that starts it and its aval; None for one that
            no iteration reads.
        tables: constants by iteration, and the outcomes of guards that vary.
        fixed: slots that are the same in all iterations.
        finals: for each carry that is a slot of the body: its place, and that slot.
        stacked: the slots that are given for all iterations.
    """

    def __init__(self, work: Work, one: Planned) -> None:
        self.work, self.one, self.loop = work, one, one.loop
        self.old = work.tape
        self.columns = Columns()
        self.inputs: list[int] = []
        self.inits: list[tuple[int | None, Aval]] = []
        self.finals: list[tuple[int, Made]] = []
        self.stacked = sorted(one.stacked)
        self.tables: list[Any] = []
        self.fixed: list[int] = []
        self._carries: dict[tuple[Made, int], int] = {}
        self._operands: dict[int, int] = {}  # by position
        self._made: dict[Made, int] = {}
        self._late: dict[int, int] = {}  # steps that read an entry: input's place
        self._seen: dict[int, int] = {}  # guards that vary: what was seen
        self._take_carries()
        self._take_moving()
        self._take_fixed()
        self._run()
        self.tape = self._frozen()

    def _aval(self, made: Made) -> Aval:
        return self.old.aval_of(self._old_slot(made))

    def _old_slot(self, made: Made) -> int:
        step = self.work.steps[self.loop.start + made[0]]
        return int(self.old.first[step]) + made[1]

    def _input(self, aval: Aval) -> int:
        self.inputs.append(self.columns.input(math.nan, aval))
        return self.inputs[-1]

    def _take_carries(self) -> None:
        for made, lag in sorted(self.loop.lags.items()):
            self.finals.append((len(self.inits), made))
            for back in range(1, lag + 1):
                self._carries[made, back] = self._input(self._aval(made))
                start = self.one.starts[made, back]
                self.inits.append((start, self._aval(made)))
        for made in sorted(self.one.last):
            self.finals.append((len(self.inits), made))
            self._input(self._aval(made))
            self.inits.append((None, self._aval(made)))

    def _take_moving(self) -> None:
        for access in self.one.reads:
            if access.step in self.loop.moving and access.operand == 0:
                # where it was read, for who writes the loop out again
                self._late[access.step] = len(self.inputs)
                self.inputs.append(-1)
            else:
                aval = self.old.aval_of(int(access.elements[0]))
                self._operands[access.position] = self._input(aval)
        known: dict[bytes, int] = {}
        for position, operand in enumerate(self.loop.operands):
            if operand.kind == TABLE:
                slots = self.loop.slots(self.work, position)
                key = slots.tobytes()
                if key not in known:
                    known[key] = self._input(self.old.aval_of(int(slots[0])))
                    self.tables.append(self._values(slots))
                self._operands[position] = known[key]
        for place, outcomes in varying(self.loop, self.work).items():
            self._seen[place] = self._input(BOOLEAN)
            self.tables.append(outcomes)

    def _values(self, slots: Column) -> Any:
        """Constants by iteration, as one array."""
        values = [self._constant(slot) for slot in slots.tolist()]
        return np.array(values, self.old.aval_of(int(slots[0]))[1])

    def _constant(self, slot: int) -> Any:
        return params_of(self.old, self.old.owner(slot))["value"]

    def _take_fixed(self) -> None:
        known: dict[int, int] = {}
        read = dict.fromkeys(self.loop.moving, True)
        for position, step in enumerate(step_of(self.loop, self.work)):
            if self.loop.operands[position].kind != FIXED or read.pop(step, False):
                continue  # the array of a moving read is read before the loop
            slot = int(
                self.work.operands[self.work.offsets[self.loop.start] + position]
            )
            if slot not in known:
                if self.work.const[slot]:
                    known[slot] = self.columns.constant(self._constant(slot))
                else:
                    known[slot] = self._input(self.old.aval_of(slot))
                    self.fixed.append(slot)
            self._operands[position] = known[slot]

    def _operand(self, position: int) -> int:
        operand = self.loop.operands[position]
        if operand.kind == LOCAL:
            return self._made[operand.made]
        if operand.kind == CARRIED:
            return self._carries[operand.made, operand.lag]
        return self._operands[position]

    def _run(self) -> None:
        """The steps of the iteration."""
        old, loop, position = self.old, self.loop, 0
        for place in range(loop.period):
            step = int(self.work.steps[loop.start + place])
            count = int(old.offsets[step + 1] - old.offsets[step])
            if place in self._seen:
                slot, seen = self._operand(position), self._seen[place]
                put(self.columns, slot, seen, params_of(old, step)["guard"])
            elif place not in loop.moving:
                slots = range(int(old.first[step]), int(old.first[step + 1]))
                made = self.columns.append(
                    ROWS[old.operations[old.opcode[step]]],
                    [self._operand(position + k) for k in range(count)],
                    params_of(old, step),
                    [old.aval_of(slot) for slot in slots],
                )
                self._made |= {(place, k): slot for k, slot in enumerate(made)}
            if place in self._late:
                slot = self.columns.input(math.nan, self._aval((place, 0)))
                self._made[place, 0] = self.inputs[self._late[place]] = slot
            position += count

    def _frozen(self) -> Tape:
        carries = []
        for made, back in self._carries:
            source = self._made[made] if back == 1 else self._carries[made, back - 1]
            carries.append(source)
        carries += [self._made[made] for made in sorted(self.one.last)]
        lags = self.loop.lags
        given = [
            self._carries[made, lags[made]] if made in lags else self._made[made]
            for made in self.stacked
        ]
        return self.columns.freeze(tuple(self.inputs), (*carries, *given))
