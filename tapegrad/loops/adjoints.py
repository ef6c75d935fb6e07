"""The adjoints of a loop's operands: what it begins with, what comes out. Floor 9.

A loop that stands for recorded steps (`ordered`) gives whole sums: what its constants,
and the operands of its first carry, had received before, with its own contributions
added one by one. Any other gives its share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.arriving import Before
from tapegrad.loops import exactly, tapes
from tapegrad.loops.backward import Backward, Now, Part
from tapegrad.loops.first import First, beginnings
from tapegrad.loops.plan import Beginning, Run, lifted, plan, stretches
from tapegrad.loops.turns import MASKED, THERE, Port, started
from tapegrad.masks import masked, some_of
from tapegrad.tape.tape import Tape

NOTHING: Part = (None, None, False)


def pulled(
    loop: Backward,
    bars: Sequence[Any],
    ys: Sequence[Any],
    masks: Sequence[Any],
    before: Before | None,
) -> list[Part]:
    """The adjoint of each operand.

    Args:
        loop: the loop.
        bars: adjoints of what it gives, None for nothing.
        ys: what it gives.
        masks: of those adjoints, None for none.
        before: what its operands have received.
    """
    layout, count = loop.layout, len(loop.layout.tape.inputs)
    smooth = layout.smooth(0)
    if before is not None:
        smooth = [place for place in smooth if before.live[place]]
    if not loop.length and not loop.m.records:
        found = list(zip(bars, masks, strict=True))[: layout.carry]
        whole = [(bar, mask, False) for bar, mask in found]
        return whole + [NOTHING] * (count - layout.carry)
    live = tapes.reached(layout, smooth)
    if loop.params.get("ordered", False):
        return _recorded(loop, bars, ys, masks, before, live)
    return _written(loop, bars, ys, masks, live)


# -- a loop that was written as one ------------------------------------------------


def _written(
    loop: Backward, bars: Any, ys: Any, masks: Any, live: Sequence[int]
) -> list[Part]:
    """All turns are alike: zeros stand where nothing has arrived yet."""
    m, layout = loop.m, loop.layout
    carry = layout.carry
    seeded = [place for place in layout.smooth_out(carry) if bars[place] is not None]
    ends = [place for place in layout.smooth_out(0, carry) if bars[place] is not None]
    needed = [place for place in tapes.needed(layout, ends, seeded) if place in live]
    seeds = {Port("seed", place): bars[place] for place in seeded}
    now = {Port("bar", p): bars[p] for p in needed if bars[p] is not None}
    have = dict.fromkeys([*seeds, *(Port("bar", p) for p in needed)], THERE)
    made = lifted(layout, have, live, {}, marks=False)
    now = loop.through([Run(made, 0, loop.length, True)], now, seeds, _likes(loop, ys))
    parts = _shares(loop, now)
    reached = [place for place, bar in enumerate(bars) if bar is not None]
    if any(masks[place] is None for place in reached):
        return parts
    some = some_of(m, masks[reached[0]])
    for place in reached[1:]:
        some = m.logical_or(some, some_of(m, masks[place]))
    return [(*masked(m, part, some)[1:], False) for part, _, _ in parts]


def _likes(loop: Backward, ys: Sequence[Any]) -> dict[Port, Any]:
    """For each adjoint of carry and constants a number of its shape."""
    carries = {Port("bar", place): ys[place] for place in range(loop.layout.carry)}
    sums = {Port("sum", place): x for place, x in loop.constants.items()}
    return carries | sums


def _shares(loop: Backward, now: Now) -> list[Part]:
    """What came out of the turns, for each operand."""
    carry, constants = loop.layout.carry, loop.layout.carry + loop.layout.xs
    parts: list[Part] = []
    for place in range(len(loop.layout.tape.inputs)):
        if carry <= place < constants:
            parts.append((*loop.told(place), False))
        else:
            port = Port("bar" if place < carry else "sum", place)
            parts.append((now.get(port), now.get(port._replace(mask=True)), False))
    return parts


# -- a loop that stands for recorded steps -----------------------------------------


def _recorded(
    loop: Backward,
    bars: Any,
    ys: Any,
    masks: Any,
    before: Before | None,
    live: Sequence[int],
) -> list[Part]:
    m, layout, carry = loop.m, loop.layout, loop.layout.carry
    first = beginnings(layout, loop.length, before, live)
    now: Now = {}
    for place in layout.smooth_out(0, carry):
        if place in live:
            _put(now, Port("bar", place), bars[place], masks[place])
    seeds: Now = {}
    for place in layout.smooth_out(carry):
        _put(seeds, Port("seed", place), bars[place], masks[place])
    if before is not None:
        for place in live:
            if place >= carry + layout.xs and place not in first.same:
                _put(now, Port("sum", place), before.bars[place], before.masks[place])
        for number, starts in enumerate(first.starts):
            for place, operand in starts.items():
                port = started(Port("start", place), number)
                _put(seeds, port, before.bars[operand], before.masks[operand])
    if not m.records and not m.symbolic and _decides(loop, [*now, *seeds]):
        now = exactly.through(loop, now, seeds, live, first)
    else:
        now = _planned(loop, now, seeds, live, first, _likes(loop, ys))
    parts = _shares(loop, now)
    if before is None:
        return parts
    for place in live:
        if not carry <= place < carry + layout.xs and before.live[place]:
            bar, mask, _ = parts[first.stands(place)]
            parts[place] = bar, mask, True
    return parts


def _put(now: Now, port: Port, bar: Any, mask: Any) -> None:
    """Note an adjoint; a mask that is one truth value says whether there is one."""
    if bar is None or mask is False:
        return
    now[port] = bar
    if mask is not None and mask is not True:
        now[port._replace(mask=True)] = mask


def _planned(
    loop: Backward,
    now: Now,
    seeds: Now,
    live: Sequence[int],
    first: First,
    likes: Mapping[Port, Any],
) -> Now:
    """The adjoints by way of tapes of turns."""
    mine = {port.place: x for port, x in seeds.items() if port[::2] == ("seed", False)}
    marks = {port.place: x for port, x in seeds.items() if port[::2] == ("seed", True)}
    which, few = stretches(loop.length, loop.order, mine, marks)
    begin = Beginning(
        have=_have(now),
        stretches=which,
        starts=[
            _have(
                {
                    port: seeds[started(port, number)]
                    for place in starts
                    for port in (Port("start", place), Port("start", place, mask=True))
                    if started(port, number) in seeds
                }
            )
            for number, starts in enumerate(first.starts)
        ],
        live=live,
        first=first,
    )
    runs, exact = plan(loop.layout, begin)
    m = loop.m
    if not (exact and few) and not m.records and not m.symbolic:
        return exactly.through(loop, now, seeds, live, first)
    return loop.through(runs, now, seeds, likes)


def _have(now: Now) -> dict[Port, int]:
    """What there is of each adjoint."""
    return {
        port: MASKED if port._replace(mask=True) in now else THERE
        for port in now
        if not port.mask
    }


def _decides(loop: Backward, given: Sequence[Port]) -> bool:
    """Whether numbers say what is there: a choice of numbers leaves an arm out."""
    return any(port.mask for port in given) or _chooses(loop.layout.tape)


def _chooses(tape: Tape) -> bool:
    base = sweeps.flat(tape)
    known = base._known
    if "chooses" not in known:
        inner = [x for static in base.statics for _, x in static if isinstance(x, Tape)]
        known["chooses"] = "where" in base.operations or any(map(_chooses, inner))
    return known["chooses"]  # type: ignore[no-any-return]
