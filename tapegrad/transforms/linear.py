"""The linear part of a derivative, for many seeds at once. Floor 11.

    pullback of one output:  all inputs' adjoints,  of that output's adjoint
    pushforward of one input:  all outputs' tangents,  of that input's tangent

Each is cut (`split`) into what is known early and what is linear in the seed; kept with
the tape.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.derivatives import pullback_tape, tangent_tape
from tapegrad.real import frozen
from tapegrad.tape.tape import Tape
from tapegrad.transforms.split import Parts, split


def size_of(base: Tape, slots: Sequence[int]) -> int:
    """Numbers that slots hold together."""
    return sum(math.prod(base.aval_of(slot)[0]) for slot in slots)


def of_outputs(base: Tape, outputs: Sequence[int]) -> Tape:
    """The tape with some of its outputs, made once."""
    if tuple(outputs) == base.outputs:
        return base
    key = f"of {tuple(outputs)}"
    made: Tape = once(
        base, key, lambda: dataclasses.replace(base, outputs=tuple(outputs))
    )
    return made


def once(base: Tape, key: str, make: Callable[[], Any]) -> Any:
    """What is made for a tape and kept with it."""
    known: dict[str, Any] = base._known
    if key not in known:
        known[key] = make()
    return known[key]


def backward(base: Tape, places: Sequence[int], output: int, *, masked: bool) -> Parts:
    """The pullback of one output, in two parts."""

    def make() -> Parts:
        grown = pullback_tape(of_outputs(base, [output]), places, masked=masked)
        return split(sweeps.flat(grown), len(base.inputs), 1)

    found: Parts = once(base, f"pullback {output} {masked} {tuple(places)}", make)
    return found


def forward(base: Tape, place: int, outputs: Sequence[int]) -> Parts:
    """The pushforward of one input, in two parts."""

    def make() -> Parts:
        grown = tangent_tape(of_outputs(base, outputs), values=True, wrt=[place])
        return split(sweeps.flat(grown), len(base.inputs), len(outputs))

    found: Parts = once(base, f"pushforward {place} {tuple(outputs)}", make)
    return found


def units_of(shape: tuple[int, ...], dtype: str, places: range) -> Any:
    """Arrays of a shape with a single 1, one for each of the places."""
    flat = np.zeros((len(places), math.prod(shape)), dtype)
    flat[np.arange(len(places)), places] = 1
    return frozen(flat.reshape(len(places), *shape))
