"""What nodes cost, and how they lie in memory: facts that a plan goes by. Floor 9."""

from __future__ import annotations

import functools
from typing import Any

from tapegrad.native.arrays import integers
from tapegrad.native.arrays.graph import VIEWS, Node
from tapegrad.native.arrays.places import View, contiguous
from tapegrad.native.arrays.words import KINDS, EntryReading
from tapegrad.rules import TABLE

# What a call of the maths library and a division take, in additions.
CALLED = 20
SLOW = 4
# A concatenation of more parts is stored, part by part.
PARTS = 4


def piecewise(node: Node) -> bool:
    """Whether a node is written piece by piece: no loop reads its operands in turn."""
    if node.op == "concat":
        return len(node.args) > PARTS
    return node.op in {"scatter", "set"} and any(
        isinstance(entry, tuple) and abs(entry[2]) > 1 and entry[1] > 1
        for entry in node.params["key"]
    )


def stacked(node: Node) -> int:
    """The lanes of a concatenation of single lanes; 0 for any other node."""
    if node.op != "concat" or node.ndim < 2:
        return 0
    parts = {(part.shape, part.size) for part in node.args}
    shape, lanes = parts.pop()
    return lanes if not parts and shape[0] == lanes else 0


def layout(node: Node, view: View) -> tuple[bool, int] | None:
    """How BLAS reads the last two axes: whether transposed, and the leading dimension.

    None when neither axis is contiguous, or a stack of matrices is not.
    """
    *lead, n, k = node.shape
    *steps, row, column = view.strides
    if any(size != 1 for size in lead):
        outer = contiguous((*lead, n * k))[:-1]
        pairs = zip(steps, outer, lead, strict=True)
        if any(a != b and size != 1 for a, b, size in pairs):
            return None
    if (column == 1 or k == 1) and (row >= max(k, 1) or n == 1):
        return False, row if n != 1 else max(k, 1)
    if (row == 1 or n == 1) and (column >= max(n, 1) or k == 1):
        return True, column if k != 1 else max(n, 1)
    return None


def work_of(node: Node) -> int:
    """Additions that an entry of a node takes as long as."""
    if node.op in VIEWS:
        return 0
    if node.op != "map":
        return 2
    row, params = node.params["row"], node.params["params"]
    kinds = tuple(KINDS[arg.dtype] for arg in node.args)
    return _work_of(row.name, kinds, tuple(params.items()), KINDS[node.dtype])


@functools.lru_cache(maxsize=4096)
def _work_of(
    name: str, kinds: tuple[str, ...], params: tuple[Any, ...], gives: str
) -> int:
    text = integers.form(TABLE[name], kinds) or EntryReading().form(
        TABLE[name], kinds, dict(params), gives
    )
    lines = text.splitlines()
    calls = sum(" call " in line and "@llvm." not in line for line in lines)
    slow = sum("fdiv" in line or "sqrt" in line for line in lines)
    return len(lines) + CALLED * calls + SLOW * slow


def repeats(node: Node, arg: Node) -> bool:
    """Whether reading arg in the loops of a node computes its entries several times.

    An axis that arg does not have runs outside one that it has. (Inside it, what does
    not depend on it is computed before it begins.)
    """
    if arg.size <= 1:
        return False
    if node.op == "axes":
        mine = {a for a in node.params["where"] if a is not None}
        mine = {a for a in mine if node.shape[a] > 1}
    elif node.op == "map":
        if arg.shape == node.shape:
            return False
        lead = node.ndim - arg.ndim
        mine = {lead + a for a, size in enumerate(arg.shape) if size > 1}
    else:
        return False
    lost = [a for a, size in enumerate(node.shape) if size > 1 and a not in mine]
    return bool(lost) and bool(mine) and min(lost) < max(mine)


def squeezed(node: Node) -> bool:
    """Whether a view only adds or drops axes of size 1."""
    if node.op != "axes" or node.size != node.args[0].size:
        return False
    where = [axis for axis in node.params["where"] if axis is not None]
    return where == sorted(where)
