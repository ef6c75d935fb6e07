"""What reductions begin with, how they go on, and how long ones are cut. Floor 9."""

from __future__ import annotations

import math

from tapegrad.native.arrays.registers import Writer
from tapegrad.native.arrays.words import DOUBLE, SMALL_WHOLE, WHOLE, number

# Entries of a block of a long sum.
BLOCK, LEAST = 1024, 128

IDENTITIES = {
    "add": 0.0,
    "mul": 1.0,
    "maximum": -math.inf,
    "minimum": math.inf,
    "or": False,
    "and": True,
}
WHOLES = {"maximum": "smax", "minimum": "smin"}
LARGEST = 2**63 - 1


def identity_of(word: str, kind: str) -> str:
    """What a reduction begins with."""
    value = IDENTITIES[word]
    if kind in {WHOLE, SMALL_WHOLE} and math.isinf(value):
        return str(LARGEST if value > 0 else -LARGEST - 1)
    return number(value, kind)


def update(out: Writer, word: str, kind: str, *, ordered: bool = False) -> str:
    """The instruction that takes x to what has been reduced so far, a.

    Args:
        out: where functions are declared.
        word: the reduction.
        kind: the type.
        ordered: entries are taken in just this order.
    """
    whole = kind in {WHOLE, SMALL_WHOLE}
    if word in WHOLES:
        end = kind if whole else "f64" if kind == DOUBLE else "f32"
        name = f"llvm.{WHOLES[word] if whole else word}.{end}"
        out.declare(name, kind, (kind, kind))
        return f"call {kind} @{name}({kind} {{a}}, {kind} {{x}})"
    if word in {"add", "mul"} and not whole:
        return f"f{word}{'' if ordered else ' reassoc'} {kind} {{a}}, {{x}}"
    return f"{word} {kind} {{a}}, {{x}}"


def block_of(size: int) -> int:
    """The length of the blocks that a sum is cut into; 0 for none."""
    if size < 2 * BLOCK:
        return 0
    return next((n for n in range(BLOCK, LEAST, -1) if size % n == 0), 0)
