"""Loops taken apart for native code: what turns can do alone, and the rest. Floor 7.

    before    steps that depend on no leaf of the carry that varies: array steps
    core      a scan of what leads from carry to carry, in order
    after     what only reads the carries: array steps over their stacks

A step is *fixed* where it is the same in every turn, of *lanes* where turns do not
depend on each other, *serial* else. A leaf of the carry that is made without any carry
is one of lanes, too, moved by a turn. Entries are computed as the body says, and what
is added to a carry is added in the same order: only where the loop turns has changed.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from tapegrad.lifting import RULES, lifted, lifts
from tapegrad.nested import apply_nested
from tapegrad.passes.slim import copied
from tapegrad.rules import Primitive
from tapegrad.rules.structure import CONST, GUARD, INPUT
from tapegrad.spreading import spread
from tapegrad.tape.guards import Guard
from tapegrad.tape.recorder import Columns
from tapegrad.tape.tape import Tape

FIXED, LANES, SERIAL = range(3)

# What a function takes, in additions, where turns are computed side by side and not.
CALLED = 8
# Steps of a body that is taken apart: as loops they take longer to build. Bytes of the
# arrays between the parts.
LONG, ROOM = 4000, 1 << 30
# What an array costs that goes from one loop to the other, in additions.
CROSSING = 2


def taken_apart(
    m: Any,
    scan: Primitive,
    xs: Sequence[Any],
    params: Mapping[str, Any],
    *,
    whole: bool = False,
) -> list[Any] | None:
    """The results of a scan, from array steps and a scan of its core.

    Args:
        m: the recorder's reading.
        scan: its row.
        xs: operands.
        params: of the step; its body is flat.
        whole: only where no core is left.

    Returns:
        A value for each slot; None where it is better left as it is.
    """
    more = None if whole else spread(m, xs, params)
    if more is not None:
        loop = _Loop(m, more.xs, more.params)
        if loop.pays():
            return more.gathered(m, xs, loop.results(scan))
    loop = _Loop(m, xs, params)
    if loop.core if whole else not loop.pays():
        return None
    return loop.results(scan)


class _Loop:
    """A scan that is looked at, and then written in parts."""

    def __init__(self, m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> None:
        self.m, self.xs, self.params = m, xs, params
        self.body: Tape = params["tape"]
        self.carry, self.length = params["carry"], params["length"]
        self.steps = [step for step in self.body if step.primitive is not INPUT]
        inputs, outputs = self.body.inputs, self.body.outputs
        self.start = dict(zip(inputs[: self.carry], xs, strict=False))
        self.following = dict(zip(inputs[: self.carry], outputs, strict=False))
        self.kind = self._kinds()
        self.core = self._core()
        self.values: dict[int, Any] = {}
        self.done: set[int] = set()

    # -- what is what ----------------------------------------------------------

    def _kinds(self) -> dict[int, int]:
        """Of each slot: fixed, of lanes, or serial."""
        carry, last = self.carry, self.carry + self.params["xs"]
        inputs = self.body.inputs
        given = dict.fromkeys(inputs, FIXED)
        given |= dict.fromkeys(inputs[carry:last], LANES)
        for slot, made in self.following.items():
            given[slot] = FIXED if made == slot else SERIAL
        while True:
            kind = dict(given)
            for step in self.steps:
                most = max((kind[slot] for slot in step.operands), default=FIXED)
                if most == LANES and not lifts(step):
                    most = SERIAL
                kind |= dict.fromkeys(step.slots, most)
            moved = [
                slot
                for slot, made in self.following.items()
                if given[slot] == SERIAL and kind[made] != SERIAL
            ]
            if not moved:
                return kind
            given |= dict.fromkeys(moved, LANES)

    def _core(self) -> set[int]:
        """Numbers of the steps that the loop keeps."""
        kind = self.kind
        maker = {slot: step for step in self.steps for slot in step.slots}
        core: set[int] = set()

        def keep(slots: Iterable[int]) -> None:
            stack = [*slots]
            while stack:
                step = maker.get(stack.pop())
                if step is None or step.number in core:
                    continue
                if any(kind[slot] == SERIAL for slot in step.slots):
                    core.add(step.number)
                    stack += step.operands

        keep(self.following.values())
        guards = [step for step in self.steps if step.primitive is GUARD]
        for step in self.steps:
            if any(kind[slot] == SERIAL for slot in step.slots) and not lifts(step):
                keep(step.slots)
        for guard in guards:
            if not lifts(guard):
                keep(guard.operands)
        for guard in guards:
            (slot,) = guard.operands
            if kind[slot] != FIXED and (not lifts(guard) or self._looped(slot, core)):
                core.add(guard.number)
        return core

    def _looped(self, slot: int, core: Container[int]) -> bool:
        """Whether a slot is made in the loop, turn by turn."""
        if self.kind[slot] != SERIAL:
            return False
        return slot in self.start or self.body.owner(slot) in core

    def _crossing(self) -> tuple[list[int], list[int]]:
        """Slots that the core reads of what was before, and gives to what comes."""
        reads = {slot: 0 for step in self._kept() for slot in step.operands}
        taken = [slot for slot in sorted(reads) if self.kind[slot] != SERIAL]
        given = {*self.body.outputs[self.carry :]}
        for step in self.steps:
            if step.number not in self.core:
                given |= {*step.operands}
        return taken, [slot for slot in sorted(given) if self._looped(slot, self.core)]

    def _kept(self) -> list[Any]:
        return [step for step in self.steps if step.number in self.core]

    def pays(self) -> bool:
        """Whether what leaves the loop is worth the arrays that go to and fro.

        Where more stays than leaves, a processor does the one while it waits for the
        other.
        """
        if not self.core:
            return True
        given = {*self.body.inputs}
        taken, stacked = self._crossing()
        between = [
            slot for slot in taken if self.kind[slot] == LANES and slot not in given
        ]
        seen = {*self.body.outputs}
        between += [slot for slot in stacked if slot not in seen]
        crossing = sum(map(self._size, between))
        if len(self.steps) > LONG or 8 * self.length * crossing > ROOM:
            return False
        work = [0, 0]
        for step in self.steps:
            moving = [slot for slot in step.slots if self.kind[slot] != FIXED]
            each = _work(step.primitive) * sum(map(self._size, moving))
            work[step.number in self.core] += each
        leaves, stays = work
        return leaves >= max(1, CROSSING * crossing, stays)

    def _size(self, slot: int) -> int:
        """Entries of a slot in one turn."""
        return math.prod(self.body.aval_of(slot)[0])

    # -- the parts -------------------------------------------------------------

    def results(self, scan: Primitive) -> list[Any]:
        """The values of the step's slots."""
        for slot, x in zip(self.body.inputs, self.xs, strict=True):
            if slot not in self.start or self.kind[slot] == FIXED:
                self.values[slot] = x
        self._evaluate()
        ends = self._run(scan)
        self._evaluate()
        found = []
        for slot, made in self.following.items():
            kind = self.kind[slot]
            if kind == SERIAL:
                found.append(ends[slot])
            else:
                found.append(self.start[slot] if kind == FIXED else self._last(made))
        return found + [self._stack(slot) for slot in self.body.outputs[self.carry :]]

    def _evaluate(self) -> None:
        """Every step whose operands are there and that the loop does not keep."""
        again = True
        while again:
            again = False
            for slot, made in self.following.items():
                moves = self.kind[slot] == LANES and slot not in self.values
                if moves and made in self.values:
                    self.values[slot] = self._before(slot, made)
                    again = True
            for step in self.steps:
                if step.number in self.core or step.number in self.done:
                    continue
                if all(slot in self.values for slot in step.operands):
                    self.done.add(step.number)
                    self._do(step)
                    again = True

    def _do(self, step: Any) -> None:
        """One step: of all turns at once, or the same in all."""
        xs = [self.values[slot] for slot in step.operands]
        row, slots = step.primitive, step.slots
        if row is GUARD:
            self._guard(step.params["guard"], xs[0], self.kind[step.operands[0]])
        elif row is CONST:
            self.values[slots.start] = self.m.number(step.params["value"])
        elif any(self.kind[slot] != FIXED for slot in slots):
            marks = [self.kind[slot] != FIXED for slot in step.operands]
            self.values[slots.start] = lifted(
                self.m, self.body, step, xs, self.length, marks
            )
        else:
            found = _plain(self.m, row, xs, step.params)
            self.values |= zip(slots, found, strict=True)

    def _guard(self, guard: Guard, value: Any, kind: int) -> None:
        """A guard of all turns: native code says that one flipped, not which."""
        if kind != FIXED:
            every = self.m.all if guard.outcome else self.m.any
            value = every(value, axes=(0,))
        self.m.guard(guard, value)

    def _stack(self, slot: int) -> Any:
        """The entries of a slot, one a turn."""
        value = self.values[slot]
        if self.kind[slot] != FIXED:
            return value
        shape, _ = self.body.aval_of(slot)
        return self.m.broadcast_to(value, shape=(self.length, *shape))

    def _last(self, slot: int) -> Any:
        """The entry of the last turn."""
        if self.kind[slot] == FIXED:
            return self.values[slot]
        place = 0 if self.params["reverse"] else self.length - 1
        rest = [(0, size, 1) for size in self.body.aval_of(slot)[0]]
        return self.m.index(self.values[slot], key=(place, *rest))

    def _before(self, slot: int, made: int) -> Any:
        """Of a leaf of the carry: what it begins with, then what turns have made."""
        m, (shape, _) = self.m, self.body.aval_of(slot)
        first = m.reshape(self.start[slot], shape=(1, *shape))
        if self.length == 1:
            return first
        rest = [(0, size, 1) for size in shape]
        back = self.params["reverse"]
        key = ((int(back), self.length - 1, 1), *rest)
        others = m.index(self._stack(made), key=key)
        parts = (others, first) if back else (first, others)
        return m.concatenate(*parts, axis=0)

    def _run(self, scan: Primitive) -> dict[int, Any]:
        """The core; its last carries, by the slots of their inputs."""
        carries = [slot for slot in self.following if self.kind[slot] == SERIAL]
        if not carries and not self.core:
            return {}
        taken, stacked = self._crossing()
        if not carries and not stacked:  # guards alone: a step owns a slot
            last = self._kept()[-1]
            stacked = [*(last.operands if last.primitive is GUARD else last.slots)[:1]]
        constants = {step.slots.start: step for step in self.steps}
        fixed = [
            slot
            for slot in taken
            if self.kind[slot] == FIXED
            and not (slot in constants and constants[slot].primitive is CONST)
        ]
        lanes = [slot for slot in taken if self.kind[slot] == LANES]
        out, moved = Columns(), dict[int, int]()
        for slot in (*carries, *lanes, *fixed):
            moved[slot] = out.input(0.0, self.body.aval_of(slot))
        inputs = tuple(moved.values())
        for slot in taken:
            if slot not in moved:
                moved[slot] = out.constant(constants[slot].params["value"])
        for step in self._kept():
            copied(self.body, step, out, moved)
        ends = [self.following[slot] for slot in carries]
        tape = out.freeze(inputs, tuple(moved[slot] for slot in (*ends, *stacked)))
        params = dict(self.params)
        params |= {"tape": tape, "carry": len(carries), "xs": len(lanes)}
        operands = [self.start[slot] for slot in carries]
        operands += [self.values[slot] for slot in (*lanes, *fixed)]
        found = apply_nested(scan, operands, params)
        self.values |= zip(stacked, found[len(carries) :], strict=True)
        return dict(zip(carries, found, strict=False))


# -- steps of all turns ------------------------------------------------------------


def _work(row: Primitive) -> int:
    """Additions that a step takes as long as."""
    if row.name in RULES:
        return 0
    return 1 if row.operator or row.kind in {"predicate", "select"} else CALLED


def _plain(m: Any, row: Primitive, xs: Sequence[Any], params: Any) -> Sequence[Any]:
    """A step that is the same in every turn."""
    if row.nested:
        return apply_nested(row, xs, params)
    found = getattr(m, row.name)(*xs, **params)
    return found if row.slots > 1 else [found]
