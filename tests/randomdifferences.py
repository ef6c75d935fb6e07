"""Derivatives of a random program beside differences, at 50 digits or more.

The step follows the largest number on the way, and the digits follow the step: in units
of 1e200 it would be longer than a period of tan, and 50 digits hold no shorter one.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from randombounds import BIG, DIGITS, exact_entries

from tapegrad import sweeps
from tapegrad.errors import BranchChanged
from tapegrad.readings import reading

mpf, nstr, isfinite = BIG.ctx.mpf, BIG.ctx.nstr, BIG.ctx.isfinite
# The step in units of the inputs, as digits behind the point.
STEP = 20
# Up to this size of numbers 50 digits are enough; 2**MOST no float has.
USUAL, MOST = 2**27, 1100


class Steps:
    """Steps of a judged program along its direction.

    Args:
        judge: what is known of the program at its inputs.
    """

    def __init__(self, judge: Any) -> None:
        self.judge = judge

    @functools.cached_property
    def fine(self) -> tuple[Any, Any] | None:
        """A reading and the step in it; None where numbers leave every range."""
        entries = (x for y in self.judge.exact for x in exact_entries(y))
        sizes = [abs(x) for x in entries if isinstance(x, mpf) and isfinite(x)]
        top = max(sizes, default=mpf(0))
        if top <= USUAL:
            return BIG, mpf(10) ** -STEP
        if BIG.ctx.mag(top) > MOST:
            return None
        more = math.ceil(BIG.ctx.mag(top) * math.log10(2))
        m = reading(f"mpmath:{DIGITS + 2 * more}")
        return m, m.ctx.mpf(10) ** -(STEP + more)

    def beside(self, tape: Any, steps: int) -> list[Any]:
        """All slots of a tape, the inputs moved so many steps."""
        assert self.fine is not None
        m, h = self.fine
        found = []
        for x, dot in zip(self.judge.inputs, self.judge.direction, strict=True):
            big = m.number(x)
            if np.asarray(x).dtype.kind == "f":
                big = big + m.number(dot) * m.number(h * steps)
            found.append(big)
        with np.errstate(all="ignore"):
            return sweeps.replay(tape, m, found)

    def sides(self, tape: Any) -> list[list[Any]]:
        """A step up, one down, three up, and none; [] where they mean nothing.

        There a derivative is cut off on purpose, or a kink lies between.
        """
        judge = self.judge
        if "stop_gradient" in judge.base.operations or self.fine is None:
            return []
        try:
            found = [self.beside(tape, steps) for steps in (1, -1, 3, 0)]
        except BranchChanged:
            return []
        up, down = (judge.conditions(tape, slots) for slots in found[:2])
        return found if up == down else []

    def at_tie(self) -> bool:
        """Whether operands are equal here, and not a step further.

        clip(x, t, t) is t, and smooth; the partials share its slope among all three.
        """
        judge, moved = self.judge, self.beside(self.judge.whole, 1)
        here, there = (judge.conditions(judge.whole, x) for x in (judge.exact, moved))
        return bool(here != there)


def differences(judge: Any, slope: Any, size: Any) -> None:
    """The slope beside differences of the value, on both sides and at two steps."""
    steps = Steps(judge)
    found = steps.sides(judge.base)
    if not found or steps.fine is None:
        judge.count("kink: differences")
        return
    m, h = steps.fine
    if m is not BIG:
        given = tuple(judge.inputs), tuple(judge.direction)
        _, dot = judge.tape.jvp(*given, arithmetic=m.name)
        slope = mpf(getattr(dot, "value", dot))
    up, down, far, here = (slots[judge.base.outputs[0]].value for slots in found)
    middle, wide = (up - down) / (2 * h), (far - here) / (3 * h)
    # beside a kink, or where the curvature is larger than 1 / h, they do not meet
    room = 1e-9 * (abs(middle) + abs(slope))
    room += m.ctx.eps * (1e4 * judge.size(0) / h + 1e20 * size)
    gap = abs(up + down - 2 * here) / h + abs(middle - wide)
    if not gap <= room or (abs(middle - slope) > room and steps.at_tie()):
        judge.count("kink: differences")
        return
    judge.count("50 digits: differences")
    if abs(middle - slope) > room:
        words = f"{nstr(slope, 20)}, differences {nstr(middle, 20)}"
        judge.wrong("50 digits: differences", words)


def second_order(judge: Any) -> None:
    """Hessian times direction, beside differences of the gradient."""
    steps = Steps(judge)
    found = steps.sides(judge.whole)
    if not found or steps.fine is None:
        judge.count("kink: second order")
        return
    m, h = steps.fine
    given = tuple(judge.inputs), tuple(judge.direction)
    product = judge.tape.hvp(*given, arithmetic=m.name)
    flat = [x for part in judge.listed(product) for x in exact_entries(part)]
    judge.count("50 digits: second order")
    sides = [
        [x for slot in judge.whole.outputs[1:] for x in exact_entries(slots[slot])]
        for slots in found
    ]
    for place, (b, a, c, f, e) in enumerate(zip(flat, *sides, strict=True)):
        if not all(map(isfinite, (a, b, c, e, f))):
            continue
        slope, gap = (a - c) / (2 * h), abs(a + c - 2 * e) / h
        gap += abs((f - e) / (3 * h) - slope)  # a jump has 1 / h
        rest = abs(e) + judge.size(1 + place)
        # in units of such numbers everything is small
        rest *= 1e-8 if m is BIG else 1e4 * m.ctx.eps / h
        room = 1e-8 * (abs(b) + abs(slope)) + rest
        if abs(slope - b) > room and gap <= room and not steps.at_tie():
            words = f"entry {place}: {nstr(b, 20)}, differences {nstr(slope, 20)}"
            judge.wrong("50 digits: second order", words)
            return
