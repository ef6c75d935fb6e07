"""The cases of the machine: which there are, and their text. Floor 6.

A case is a row of the table with its static parameters. Every slot is a double, truth
values are 1.0 and 0.0, so a row needs one case whatever its operands are. What stands
here is the frame; what a row computes is its own text, read as instructions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import CompileError, DomainError
from tapegrad.native.engine import Outside
from tapegrad.native.reading import DOUBLE, LlvmReading, Name
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.tape import Static

# A row and its static parameters.
Case = tuple[Primitive, Static]

# Cases that are no rows: inputs and constants, whose slots are filled before; guards.
NOTHING, IF_TRUE, IF_FALSE, IF_EQUAL = range(4)
ROWS = 4

# Rows whose steps the machine takes, by kind.
KINDS = frozenset({"elementwise", "select", "predicate", "cut"})


def takes(row: Primitive) -> bool:
    """Whether a row may be a case."""
    return row.kind in KINDS and not row.whole and not row.nested


def standing() -> Iterator[Case]:
    """The cases of the common machine: the table's own rows, with usual parameters."""
    for row in TABLE:
        if takes(row) and not row.digest:
            for params in row.params:
                yield row, tuple(sorted(params.items()))


@dataclass(frozen=True, slots=True)
class Texts:
    """LLVM text of one case.

    Args:
        forward: lines that compute the result from ``%.x0``, ``%.x1``, ...
        result: the name or literal of the result, a double.
        reverse: lines that compute the partials, from ``%.y`` besides; empty where no
            derivative passes.
        partials: for each operand its partial: a name, a literal, or the ints 0, 1 and
            -1, which are structural.
        calls: the functions that are called.
    """

    forward: tuple[str, ...]
    result: str
    reverse: tuple[str, ...]
    partials: tuple[str | int, ...]
    calls: Mapping[str, Outside]


class _CaseReading(LlvmReading):
    """The LLVM reading, with names that are a case's own."""

    def _emit(self, kind: str, text: str) -> Name:
        name = f"%.t{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return Name(self, name, kind)

    def double(self, value: Any) -> str:
        """The text of a number as a double."""
        return self._as(value, DOUBLE)


def texts(case: Case) -> Texts:
    """What a case computes.

    Raises:
        CompileError: the row has no native code.
    """
    row, static = case
    params = dict(static)
    m = _CaseReading()
    xs = [Name(m, f"%.x{place}", DOUBLE) for place in range(row.arity)]
    try:
        result = m.double(m.evaluator(row)(*xs, **params))
        forward, m.lines = tuple(m.lines), []
        partials: tuple[str | int, ...] = ()
        if row.partials is not None and row.kind == "elementwise":
            found = row.partials(m, Name(m, "%.y", DOUBLE), *xs, **params)
            partials = tuple(_partial(m, partial) for partial in found)
    except DomainError as problem:
        msg = f"a step {row.sign(params)!r} has no native code: {problem}"
        raise CompileError(msg) from problem
    return Texts(forward, result, tuple(m.lines), partials, m.called)


def _partial(m: _CaseReading, partial: Any) -> str | int:
    if type(partial) is int and partial in {0, 1, -1}:
        return partial
    return m.double(partial)
