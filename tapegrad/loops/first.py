"""The first iterations of a loop, where carries are slots from outside. Floor 9.

    a, b = 2.0, 3.0             in iteration 0 the carries are a and b,
    for ...: a, b = b, a + b    in iteration 1 the carry a is the slot b from outside

Such a slot may have received something before, and may be read as a constant of the
loop, too. Written out, all that is added to one number, in the order of the steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tapegrad import sweeps
from tapegrad.arriving import Before
from tapegrad.loops.tapes import Layout

# So many iterations are looked at: carries that only change places never end.
MOST = 8


@dataclasses.dataclass(frozen=True)
class First:
    """What is one slot in the first iterations.

    Args:
        same: constants that are another constant, by place.
        joined: for each of the first iterations, inputs of the body that are one slot,
            and the one that stands for them.
        starts: for each of them, the carries that are slots from outside and no later
            iteration's, and the operands that they are.
    """

    same: dict[int, int]
    joined: list[dict[int, int]]
    starts: list[dict[int, int]]

    def inputs(self, number: int) -> dict[int, int]:
        """The inputs that are one slot in an iteration."""
        return self.joined[number] if number < len(self.joined) else self.same

    def stands(self, place: int) -> int:
        """The operand that stands for one."""
        return self.inputs(0).get(place, place)


def beginnings(
    layout: Layout, length: int, before: Before | None, live: Sequence[int]
) -> First:
    """What is one slot in the first iterations; none of them where nothing is."""
    if before is None:
        return First({}, [], [])
    fixed = {
        place: before.slots[place]
        for place in live
        if place >= layout.carry + layout.xs and before.live[place]
    }
    same = _joined(fixed)
    joined, carries = [], _carries(layout, min(length, MOST), before, live)
    for mine in carries:
        slots = {place: before.slots[operand] for place, operand in mine.items()}
        joined.append(_joined(fixed | slots))
    starts: list[dict[int, int]] = [{} for _ in carries]
    seen = set(fixed.values())
    for number in range(len(carries) - 1, -1, -1):  # as a reverse loop comes to them
        for place, operand in carries[number].items():
            slot = before.slots[operand]
            if slot not in seen and place not in joined[number]:
                seen.add(slot)
                if before.bars[operand] is not None:
                    starts[number][place] = operand
    count = len(carries)
    while count and joined[count - 1] == same and not starts[count - 1]:
        count -= 1
    return First(same, joined[:count], starts[:count])


def _joined(slots: dict[int, int]) -> dict[int, int]:
    """Places of one slot, by the place that stands for them: constants come first."""
    first: dict[int, int] = {}
    found = {}
    for place, slot in slots.items():
        stands = first.setdefault(slot, place)
        if stands != place:
            found[place] = stands
    return found


def _carries(
    layout: Layout, most: int, before: Before, live: Sequence[int]
) -> list[dict[int, int]]:
    """For each iteration the carries that are slots from outside: which operands."""
    base = sweeps.flat(layout.tape)
    places = {base.inputs[place]: place for place in range(layout.carry)}
    source = {
        place: places[base.outputs[place]]
        for place in live
        if place < layout.carry and base.outputs[place] in places
    }
    now = {
        place: place for place in live if place < layout.carry and before.live[place]
    }
    found: list[dict[int, int]] = []
    while now and len(found) < most:
        found.append(now)
        now = {place: now[other] for place, other in source.items() if other in now}
    return found
