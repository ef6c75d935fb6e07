"""What a step passes to its operands, as steps to be copied. Floor 9.

A rule is read once for each kind of step, by the recorder, and the steps that it gives
are copied for every step of that kind: they depend on its row and parameters, on which
operands are wanted, and on whether a mask is carried, and on no number.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.native.scalars.writer import Link, Writer
from tapegrad.passes import prune
from tapegrad.passing import contributions
from tapegrad.recorder import Recorder, RecorderReading, recording_onto
from tapegrad.rules import Primitive
from tapegrad.tape.tape import Tape


@dataclass(frozen=True, slots=True)
class Template:
    """The steps of a contribution, as one piece.

    They read from a row of slots: the result, the operands, the adjoint, the mask if
    there is one; then constants; then what the steps give.

    Args:
        kind: the kind of the piece.
        size: how many slots it has.
        constants: slots of the constants.
        reads: what the steps read, by places in the row.
        parts: for each operand that has a contribution its number, the place of the
            contribution, and that of its mask.
    """

    kind: int
    size: int
    constants: tuple[int, ...]
    reads: Callable[[Sequence[int]], Sequence[int]]
    parts: tuple[tuple[int, int, int | None], ...]

    def copy(self, out: Writer, known: Sequence[int]) -> list[int]:
        """Write the steps; gives the row."""
        n = out.n
        row = [*known, *self.constants, *range(n, n + self.size)]
        if self.size:
            out.pieces.append(self.kind)
            out.reads += self.reads(row)
            out.n = n + self.size
        return row


def template(
    out: Writer,
    row: Primitive,
    params: Any,
    truths: Sequence[bool],
    wanted: Sequence[bool],
    masked: bool,
) -> Template:
    """The template of a step.

    Args:
        out: what it will be written to.
        row: the step's.
        params: its static parameters.
        truths: which operands are truth values.
        wanted: which operands' contributions are wanted.
        masked: whether the adjoint carries a mask.
    """
    # 2 and 2.0 are equal, and 0.0 and -0.0, but they are not the same parameters
    known = _Rule(row, params, tuple(truths), tuple(wanted), masked)
    tape, pairs = _recorded(known)
    places = {slot: place for place, slot in enumerate(tape.inputs)}
    constants, links, reads = _piece(out, tape, places)
    ends = iter(tape.outputs)
    found = []
    for number, under in pairs:
        at = places[next(ends)]
        found.append((number, at, places[next(ends)] if under else None))
    return Template(
        out.kind(*links), len(links), constants, _getter(reads), tuple(found)
    )


class _Rule:
    """What a rule's steps depend on; a key."""

    __slots__ = ("key", "masked", "params", "row", "truths", "wanted")

    def __init__(
        self,
        row: Primitive,
        params: Any,
        truths: tuple[bool, ...],
        wanted: tuple[bool, ...],
        masked: bool,
    ) -> None:
        self.row, self.params = row, params
        self.truths, self.wanted, self.masked = truths, wanted, masked
        self.key = (id(row), repr(params), truths, wanted, masked)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rule) and self.key == other.key


@functools.lru_cache(maxsize=512)
def _recorded(rule: _Rule) -> tuple[Tape, tuple[tuple[int, bool], ...]]:
    """A rule's steps, and which operands it gives something, with a mask or not."""
    recorder = Recorder(derives=True)
    with recording_onto(recorder), np.errstate(all="ignore"):
        m = RecorderReading(recorder)
        y = recorder.variable(0.5)
        xs = [recorder.variable(True if truth else 0.5) for truth in rule.truths]
        bar = recorder.variable(0.5)
        mask = recorder.variable(True) if rule.masked else None
        parts = contributions(m, rule.row, y, xs, bar, mask, rule.params, rule.wanted)
        ends, pairs = [], []
        for number, (want, (_, part, under)) in enumerate(
            zip(rule.wanted, parts, strict=True)
        ):
            if want and part is not None:
                pairs.append((number, under is not None))
                both = (part,) if under is None else (part, under)
                ends += [recorder.slot_of(value) for value in both]
        given = [y, *xs, bar, *([] if mask is None else [mask])]
        inputs = tuple(handle._i for handle in given)  # noqa: SLF001 - our own handles
    grown = recorder.freeze(inputs=inputs, outputs=tuple(ends))
    return prune(grown), tuple(pairs)


def _piece(
    out: Writer, tape: Tape, places: dict[int, int]
) -> tuple[tuple[int, ...], list[Link], list[int]]:
    """Constants, steps and operands of a small tape; fills in where its slots are."""
    constants, steps = [], []
    for step in tape:
        if step.primitive.name == "const":
            places[step.slots.start] = len(places)
            constants.append(out.constant(step.params["value"]))
        elif step.primitive.name != "input":
            steps.append(step)
    links, reads = [], []
    for step in steps:
        slot = step.slots.start
        places[slot] = len(places)
        mine = [places[i] for i in step.operands]
        static = out.params(tuple(sorted(step.params.items())))
        truth = tape.aval_of(slot)[1] == "bool"
        links.append(Link(out.code(step.primitive.name), static, len(mine), truth))
        reads += mine
    return tuple(constants), links, reads


def _getter(places: Sequence[int]) -> Callable[[Sequence[int]], Sequence[int]]:
    """Takes entries at some places."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda row: [row[place] for place in places]
