"""How long a tape is, written out as one formula. Floor 9.

SymPy's functions recurse over expressions and take time that grows quickly with them,
so a tape is measured before it is written out:

    size of a step    =  1 + sum of its operands' sizes           entry by entry
    size of a sum     =  1 + entries * size of one                and so on
"""

from __future__ import annotations

import math

from tapegrad.errors import ShapeError
from tapegrad.rules.movement import MOVING
from tapegrad.rules.shapes import Shape
from tapegrad.tape.tape import Step, Tape

# A formula of more operations helps nobody, and SymPy's functions recurse over it.
MAX_STEPS = 2_000
MAX_SIZE = 20_000
MAX_DEPTH = 100
# The sums and products of arrays are wide, which SymPy takes longer over.
MAX_WIDE = 5_000
# Entries of all arrays on the way together.
MAX_ENTRIES = 20_000
# Derivatives times the size of what is differentiated.
MAX_DERIVATIVES = 40_000

# SymPy holds a sum of sums as one sum, so such a chain is not nested.
_FLATTENED = {"add": "+", "sub": "+", "neg": "+", "sum": "+", "mul": "*", "div": "*"}

# Rows that move entries, or add them where they meet.
_MOVING = MOVING | {"astype", "scatter_add"}


def limited(tape: Tape, *, derivative: bool = False) -> int:
    """The size of the outputs, written out; raises when it or the nesting is too much.

    Args:
        tape: a flat tape.
        derivative: every output is differentiated by every input, too.

    Raises:
        ShapeError: they do not; says what to do.
    """
    if len(tape) > MAX_STEPS:
        raise _too_long(tape)
    entries = limited_entries(tape)
    sizes: list[int] = []
    depths: list[int] = []
    families: list[str] = []
    for step in tape:
        family = _FLATTENED.get(step.primitive.name, "")
        moves = step.primitive.name in _MOVING
        size, depth = 0, 0
        for slot in step.operands:
            size += sizes[slot]
            nested = not moves and (not family or families[slot] != family)
            depth = max(depth, depths[slot] + nested)
        if moves and step.operands:
            family = families[step.operands[0]]
        if depth > MAX_DEPTH:
            raise _too_long(tape)
        shapes = [tape.aval_of(slot)[0] for slot in step.operands]
        size = 1 + size * (_terms(step, shapes) if step.primitive.whole else 1)
        for _ in step.slots:
            # capped, or the size of x = x*x a thousand times has 300 digits
            sizes.append(min(size, MAX_SIZE + 1))
            depths.append(depth)
            families.append(family)
    total = sum(sizes[slot] * entries[slot] for slot in tape.outputs)
    if total > (MAX_WIDE if tape.arrays else MAX_SIZE):
        raise _too_long(tape)
    count = sum(entries[slot] for slot in tape.inputs)
    if derivative and total * count > max(MAX_DERIVATIVES, MAX_SIZE * len(tape.inputs)):
        raise _too_many(tape, f"derivatives by {count:,} entries")
    return total


def limited_entries(tape: Tape) -> list[int]:
    """The number of entries of each slot; raises when they are too many together."""
    entries = [math.prod(tape.aval_of(slot)[0]) for slot in range(tape.slot_count)]
    if sum(entries) > MAX_ENTRIES:
        raise _too_many(tape, f"{sum(entries):,} entries of arrays")
    return entries


def _terms(step: Step, shapes: list[Shape]) -> int:
    """How many entries of its operands an entry of the result is made of."""
    row, params = step.primitive, step.params
    if row.name in _MOVING or not shapes:
        return 1
    first = shapes[0]
    if "axes" in params:
        return max(math.prod(first[int(axis)] for axis in params["axes"]), 1)
    if "axis" in params:
        return max(first[int(params["axis"])], 1)
    if row.name == "einsum":
        names, output = params["subscripts"].split("->")
        sizes: dict[str, int] = {}
        for text, shape in zip(names.split(","), shapes, strict=True):
            sizes.update(zip(text, shape, strict=True))
        return max(math.prod(n for name, n in sizes.items() if name not in output), 1)
    side = max(first[-1], 1) if first else 1
    if row.name == "matmul":
        return int(side)
    # elimination: every entry of a solution is a quotient of sums over permutations
    return int(side * math.factorial(min(side, 20)))


def _too_long(tape: Tape) -> ShapeError:
    return ShapeError(
        f"written out as one formula, this tape of {len(tape)} steps is too long or "
        "too deeply nested; print(tape) lists it, and tape.trace(symbolic=True) gives "
        "a formula for each step"
    )


def _too_many(tape: Tape, what: str) -> ShapeError:
    return ShapeError(
        f"written out entry by entry, this tape of {len(tape)} steps has {what}, too "
        "many for formulas; record it at smaller arrays, or see "
        "tape.trace(symbolic=True), which gives a formula for each step"
    )
