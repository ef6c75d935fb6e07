"""The loops and choices of a function, found again in its blocks. Floor 9.

The text has branches and labels; C has ``for``, ``break`` and ``if``. A loop is a run
of blocks whose last one goes back to the first; a choice is a run of blocks that one
branch skips. What is neither stays a ``goto``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tapegrad.native.c.parse import Block, Function, Instruction


@dataclass(slots=True)
class Region:
    """A run of blocks in braces.

    Args:
        first, last: its blocks.
        parent: the region around it.
        loop: whether it is a loop.
    """

    first: int
    last: int
    parent: Region | None
    loop: bool

    def around(self, other: Region) -> bool:
        """Whether another region is this one, or inside of it."""
        inner: Region | None = other
        while inner is not None:
            if inner is self:
                return True
            inner = inner.parent
        return False


@dataclass(slots=True)
class Shape:
    """A function's blocks and regions.

    Attributes:
        blocks: those that are left; a block that only returns stands at its branches.
        returns: the instruction of blocks that only return, by label.
        place: the number of each block, by label.
        region: the innermost region of each block.
        loops: the loop that begins at a block.
        choices: the region that begins after a block's branch.
        whole: the whole function.
        sources: for each block, the blocks that go to it.
    """

    blocks: list[Block]
    returns: dict[str, Instruction]
    place: dict[str, int]
    region: list[Region] = field(default_factory=list)
    loops: dict[int, Region] = field(default_factory=dict)
    choices: dict[int, Region] = field(default_factory=dict)
    whole: Region = field(default_factory=lambda: Region(0, 0, None, loop=False))
    sources: list[list[int]] = field(default_factory=list)


def common(one: Region, two: Region) -> Region:
    """The innermost region around both."""
    while not one.around(two):
        assert one.parent is not None  # noqa: S101 - the outermost is around all
        one = one.parent
    return one


def shape_of(function: Function) -> Shape:
    """Find the regions of a function."""
    shape = _blocks(function)
    blocks, place = shape.blocks, shape.place
    shape.sources = [[] for _ in blocks]
    ends: dict[int, int] = {}
    for number, block in enumerate(blocks):
        for label in dict.fromkeys(block.end.labels):
            goes = place.get(label)
            if goes is not None:
                shape.sources[goes].append(number)
                if goes <= number:
                    ends[goes] = max(number, ends.get(goes, 0))
    whole = shape.whole = Region(0, len(blocks) - 1, None, loop=False)
    stack = [whole]
    for number in range(len(blocks)):
        while number > stack[-1].last:
            stack.pop()
        if number in ends:
            last = min(ends[number], stack[-1].last)
            stack.append(Region(number, last, stack[-1], loop=True))
            shape.loops[number] = stack[-1]
        shape.region.append(stack[-1])
        last = _skipped(shape, number, stack[-1])
        if last:
            stack.append(Region(number + 1, last, stack[-1], loop=False))
            shape.choices[number] = stack[-1]
    return shape


def _blocks(function: Function) -> Shape:
    """The blocks, but for those that only return and are reached by a choice."""
    reached: dict[str, bool] = {}
    for block in function.blocks:
        labels = block.end.labels
        for label in labels:
            reached[label] = reached.get(label, True) and len(labels) == 2
    kept, returns = [], {}
    for block in function.blocks:
        alone = len(block.body) == 1 and block.end.op == "ret"
        if alone and reached.get(block.label) and block is not function.blocks[-1]:
            returns[block.label] = block.end
        else:
            kept.append(block)
    return Shape(kept, returns, {block.label: n for n, block in enumerate(kept)})


def _skipped(shape: Shape, number: int, inside: Region) -> int:
    """The last block of those that a branch skips on one side; 0 if it is no choice."""
    labels = shape.blocks[number].end.labels
    if len(labels) != 2 or any(label in shape.returns for label in labels):
        return 0
    places = sorted(shape.place[label] for label in labels)
    if places[0] != number + 1 or not number + 2 <= places[1] <= inside.last:
        return 0
    # nothing else may go there, or many choices would stand inside of each other
    whole = shape.sources[places[1]] == [number, places[1] - 1]
    return places[1] - 1 if whole else 0
