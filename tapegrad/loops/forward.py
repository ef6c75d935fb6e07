"""How tangents pass a loop: a loop of iterations with tangents. Floor 9.

    carry_{i+1}, carry_dot_{i+1}, y_dot_i = body(carry_i, carry_dot_i, x_i, ...)

A carry that has no tangent at first may get one. Of a loop that stands for recorded
steps (`ordered`) the iterations before that are done apart, since a structural zero is
no number: 0 times an infinite partial would be NaN.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from tapegrad.loops import tapes
from tapegrad.loops.backward import entry, part
from tapegrad.loops.plan import APART
from tapegrad.loops.tapes import Layout
from tapegrad.loops.walker import in_turn, piled
from tapegrad.programs import program
from tapegrad.rules import Primitive


def pushed(
    m: Any,
    row: Primitive,
    layout: Layout,
    dots: Sequence[Any],
    ys: Sequence[Any],
    xs: Sequence[Any],
    params: Mapping[str, Any],
) -> list[Any]:
    """The tangent of each slot of a loop, None for nothing."""
    length = params["length"]
    if not length and not m.records:
        return [*dots[: layout.carry], *[None] * layout.ys]
    loop = _Forward(m, row, layout, dots, xs, params)
    if params.get("ordered", False):
        loop.apart()
    if loop.number < length or not length:
        loop.rest()
    carries = [loop.now.get(place) for place in range(layout.carry)]
    return carries + [
        loop.told(place, ys[place]) for place in range(layout.carry, len(ys))
    ]


class _Forward:
    """A loop and its tangents, iteration by iteration."""

    def __init__(
        self,
        m: Any,
        row: Primitive,
        layout: Layout,
        dots: Sequence[Any],
        xs: Sequence[Any],
        params: Mapping[str, Any],
    ) -> None:
        self.m, self.row, self.layout, self.params = m, row, layout, params
        self.xs, self.order = xs, in_turn(params)
        carry = layout.carry
        given = {p: dots[p] for p in layout.smooth(0) if dots[p] is not None}
        self.now = {place: dot for place, dot in given.items() if place < carry}
        self.fixed = {place: dot for place, dot in given.items() if place >= carry}
        self.state = list(xs[:carry])
        self.number = 0  # iterations that are done
        self.pieces: dict[int, list[tuple[int, Any]]] = {}

    def apart(self) -> None:
        """The iterations in which other carries have a tangent than before."""
        carry, last = self.layout.carry, min(len(self.order), APART)
        while self.number < last:
            moving = [*sorted(self.now), *self.fixed]
            tape, told = tapes.ahead(self.layout, moving, closed=False)
            if {place for place in told if place < carry} == self.now.keys():
                break
            place = self.order[self.number]
            one = functools.partial(entry, self.m, place=place)
            operands = self._operands(moving, one)
            found = program(tape, self.m)(*operands)
            self.state = found[:carry]
            dots = dict(zip(told, found[carry:], strict=True))
            self.now = {p: dot for p, dot in dots.items() if p < carry}
            for p, dot in dots.items():
                if p >= carry:
                    aval = self.layout.tape.aval_of(self.layout.tape.outputs[p])
                    self._tell(p, place, piled(self.m, [dot], aval))
            self.number += 1

    def rest(self) -> None:
        """All iterations that are left, as a loop."""
        m, layout = self.m, self.layout
        carry, constants = layout.carry, layout.carry + layout.xs
        left = len(self.order) - self.number
        low = min(self.order[self.number :], default=0)
        moving = tapes.reached(layout, [*sorted(self.now), *self.fixed])
        for place in moving:
            if place < carry and place not in self.now:
                self.now[place] = m.like(0, self.state[place])
        tape, told = tapes.ahead(layout, moving, closed=True)
        grown = dict(self.params) | {
            "tape": tape,
            "carry": carry + sum(place < carry for place in moving),
            "xs": layout.xs + sum(carry <= place < constants for place in moving),
            "length": left,
        }
        whole = not self.number
        cut = (lambda x: x) if whole else (lambda x: part(m, x, low, left))
        found = m.nested(self.row, self._operands(moving, cut), grown)[carry:]
        for place, dot in zip(told, found, strict=True):
            if place < carry:
                self.now[place] = dot
            else:
                self._tell(place, low, dot)

    def _operands(self, moving: Sequence[int], cut: Any) -> list[Any]:
        """Carry, x and constants, each with its tangents behind it."""
        carry, constants = self.layout.carry, self.layout.carry + self.layout.xs
        operands = [*self.state, *(self.now[p] for p in moving if p < carry)]
        operands += map(cut, self.xs[carry:constants])
        between = [p for p in moving if carry <= p < constants]
        operands += [cut(self.fixed[p]) for p in between]
        operands += self.xs[constants:]
        return operands + [self.fixed[p] for p in moving if p >= constants]

    def _tell(self, place: int, low: int, dot: Any) -> None:
        self.pieces.setdefault(place, []).append((low, dot))

    def told(self, place: int, y: Any) -> Any:
        """The tangents of a y; zeros where an iteration has none."""
        m, length = self.m, len(self.order)
        pieces = sorted(self.pieces.get(place, ()), key=lambda piece: piece[0])
        if not pieces:
            return None
        if len(pieces) == 1 and m.shape(pieces[0][1])[0] == length:
            return pieces[0][1]
        parts, at = [], 0
        for low, dot in (*pieces, (length, None)):
            if low > at:
                parts.append(m.like(0, part(m, y, at, low - at)))
            if dot is not None:
                parts.append(dot)
                at = low + m.shape(dot)[0]
        return m.concatenate(*parts, axis=0)
