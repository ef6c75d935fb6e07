"""Parts of arrays and of boxes: where they stand, how they are cut. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.native.arrays.entries import Entries
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.nest import Sink
from tapegrad.native.arrays.places import Box, Cut, View, contiguous, identity
from tapegrad.native.arrays.sums import identity_of
from tapegrad.native.arrays.words import KINDS


def beginning(node: Node) -> str:
    """What a reduction begins with."""
    return identity_of(node.params["kind"], KINDS[node.dtype])


def halves(box: Box, cut: Cut) -> list[Box]:
    """A box cut in two, the lower part last."""
    low, high = box[cut.loop]
    parts = ((cut.at, high), (low, cut.at))
    return [(*box[: cut.loop], part, *box[cut.loop + 1 :]) for part in parts]


def beside(node: Node) -> list[View]:
    """Where the parts of a concatenation stand in it."""
    axis, starts = node.params["axis"], node.params["starts"]
    found = []
    for part, start in zip(node.args, starts, strict=False):
        key = [(0, size, 1) for size in part.shape]
        key[axis] = (start, part.shape[axis], 1)
        found.append(cut_out(node, key))
    return found


def stack(entries: Entries, node: Node, values: Sequence[int]) -> list[Sink]:
    """Lanes that are written side by side."""
    sinks = []
    for part, view, value in zip(node.args, beside(node), values, strict=True):
        place = entries.linear(identity(part.shape), view.strides, view.offset)
        sinks.append(Sink(node, value, place, into=True))
    return sinks


def cut_out(node: Node, key: Any) -> View:
    """The part of a stored array that a key cuts out."""
    offset, strides = 0, contiguous(node.shape)
    steps, axis = [], 0
    for entry in key:
        if entry is None:
            steps.append(0)
            continue
        start = entry[0] if isinstance(entry, tuple) else entry
        offset += start * strides[axis]
        if isinstance(entry, tuple):
            steps.append(entry[2] * strides[axis])
        axis += 1
    return View(node, offset, tuple(steps))
