"""Where a kernel of numbers finds its inputs and puts its outputs. Floor 9.

    i32 @kernel(double* x, double* y)              `Columns`: numbers one by one
    i32 @kernel(ptr* x, ptr* y, double* s)         `Arrays`: entries of arrays

In the second form ``x`` and ``y`` are the pointers that `arraythunk` hands over, and
``s`` is its arena, in place of a buffer on the stack or the heap.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from tapegrad.native.reading import literal
from tapegrad.tape.tape import Aval

POINTER = (
    "%{0}.at = getelementptr ptr, ptr %{1}, i64 {2}\n%{0} = load ptr, ptr %{0}.at\n"
)
LOAD = "%{0} = getelementptr double, ptr {2}, i64 {3}\n%{1} = load double, ptr %{0}\n"
LOAD_BYTE = (
    "%{0} = getelementptr {4}, ptr {2}, i64 {3}\n%b{0} = load i8, ptr %{0}\n"
    "%{1} = trunc i8 %b{0} to i1\n"
)
STORE = "%o{0} = getelementptr double, ptr {2}, i64 {3}\nstore double {1}, ptr %o{0}\n"
STORE_BYTE = (
    "%t{0} = zext i1 {1} to i8\n"
    "%o{0} = getelementptr i8, ptr {2}, i64 {3}\nstore i8 %t{0}, ptr %o{0}\n"
)
AS_NUMBER = f"{{0}} = select i1 {{1}}, double {literal(1.0)}, double {literal(0.0)}\n"


Name = int | str


def load(
    pointer: Name, value: Name, base: str, place: int, truth: bool, kind: str
) -> str:
    """Read a number, or a truth value in places of some kind."""
    return (LOAD_BYTE if truth else LOAD).format(pointer, value, base, place, kind)


class Columns:
    """Inputs in one column of doubles, outputs in another."""

    scratch = False
    head = "define i32 @kernel(ptr noalias %x, ptr noalias %y) {\n"

    def load(self, pointer: Name, value: Name, index: int, truth: bool) -> str:
        """Read an input."""
        del truth
        return load(pointer, value, "%x", index, False, "double")

    def store(self, index: int, name: str, truth: bool) -> str:
        """Write an output."""
        if not truth:
            return STORE.format(index, name, "%y", index)
        number = f"%t{index}"
        return AS_NUMBER.format(number, name) + STORE.format(index, number, "%y", index)

    def begin(self, inputs: Collection[int], outputs: Collection[int]) -> str:
        """What a function does first that reads and writes these."""
        del inputs, outputs
        return ""


class Arrays:
    """Inputs and outputs entry by entry in arrays.

    Args:
        inputs, outputs: shape and dtype of each array or number.
    """

    scratch = True
    head = "define i32 @kernel(ptr noalias %x, ptr noalias %y, ptr noalias %s) {\n"

    def __init__(self, inputs: Sequence[Aval], outputs: Sequence[Aval]) -> None:
        self.inputs = _entries(inputs)
        self.outputs = _entries(outputs)

    def load(self, pointer: Name, value: Name, index: int, truth: bool) -> str:
        """Read an input."""
        array, entry = self.inputs[index]
        return load(pointer, value, f"%x{array}", entry, truth, "i8")

    def store(self, index: int, name: str, truth: bool) -> str:
        """Write an output."""
        array, entry = self.outputs[index]
        return (STORE_BYTE if truth else STORE).format(index, name, f"%y{array}", entry)

    def begin(self, inputs: Collection[int], outputs: Collection[int]) -> str:
        """What a function does first that reads and writes these."""
        found = []
        for letter, places, used in (
            ("x", self.inputs, inputs),
            ("y", self.outputs, outputs),
        ):
            for array in sorted({places[index][0] for index in used}):
                found.append(POINTER.format(f"{letter}{array}", letter, array))  # noqa: PERF401 - two lists read better
        return "".join(found)


Ends = Columns | Arrays


def _entries(avals: Sequence[Aval]) -> list[tuple[int, int]]:
    """For each number its array and its entry."""
    sizes = [math.prod(shape) for shape, _ in avals]
    arrays = np.repeat(np.arange(len(sizes)), sizes).tolist()
    entries = [entry for size in sizes for entry in range(size)]
    return list(zip(arrays, entries, strict=True))
