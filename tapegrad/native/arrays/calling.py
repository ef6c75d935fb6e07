"""How routines are called: pointers, constants, stacks, failures. Floor 9.

LAPACK counts columns first: a matrix as it stands here is its transpose there, and the
nodes (see ``algebra``) are arranged so that little is moved. Where a routine fails, the
kernel returns a negative number: the interpreter says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.memory import Arena
from tapegrad.native.arrays.plan import Plan
from tapegrad.native.arrays.words import DOUBLE, KINDS, EntryReading, number, stored
from tapegrad.native.engine import Outside

FAILED, OUT_OF_BOUNDS = -2, -3


class Text(Protocol):
    """The text that a routine's calls go into."""

    plan: Plan
    arena: Arena
    reading: EntryReading
    called: dict[str, Outside]
    globals: dict[str, str]
    metadata: list[str]

    def emit(self, *lines: str) -> None:
        """Append instructions."""

    def fresh(self, letter: str = "v") -> str:
        """A new name."""

    def pointer(self, base: int) -> str:
        """The register that points to a stored array."""

    def register(self, node: Node) -> str | None:
        """The register of a number."""

    def loop(self, count: int | str, body: Callable[[str], None]) -> None:
        """A loop."""

    def leave(self, good: str, status: int) -> None:
        """Return a status unless a condition holds."""

    def declare(self, name: str, kind: str, takes: Sequence[str]) -> None:
        """A function that is called."""

    def own(self, size: int) -> str:
        """Few bytes of this call's own; the optimiser makes registers of them."""

    def scratch(self, size: int) -> str:
        """Memory for this routine only."""


Routine = Callable[[Text, Node, Sequence[Node]], None]
ROUTINES: dict[str, Routine] = {}


def routine(f: Routine) -> Routine:
    """Register the routine that a call node names."""
    ROUTINES[f.__name__.strip("_")] = f
    return f


def whole(out: Text, value: int) -> str:
    """A pointer to an integer."""
    name = f"@n{value}" if value >= 0 else f"@m{-value}"
    out.globals[name] = f"{name} = internal constant i32 {value}\n"
    return name


def letter(out: Text, value: str) -> str:
    """A pointer to an option of LAPACK."""
    name = f"@letter{value}"
    out.globals[name] = f"{name} = internal constant i8 {ord(value)}\n"
    return name


def real(out: Text, value: float, kind: str) -> str:
    """A pointer to a whole number as a float."""
    name = f"@r{int(value)}.{kind}"
    out.globals[name] = f"{name} = internal constant {kind} {number(value, kind)}\n"
    return name


def library(out: Text, library: str, name: str, kind: str, *args: str) -> None:
    """Call a routine of BLAS or LAPACK; all its arguments are pointers."""
    full = f"{library}_{'d' if kind == DOUBLE else 's'}{name}"
    out.called[full] = Outside(full, "void", ("ptr",) * len(args), pure=False)
    out.emit(f"call void @{full}({', '.join(f'ptr {arg}' for arg in args)})")


def status_word(out: Text) -> str:
    """Room for what a routine of LAPACK reports."""
    return out.scratch(4)


def succeeded(out: Text, info: str) -> None:
    """Leave where it reports a failure."""
    code, good = out.fresh(), out.fresh()
    out.emit(f"{code} = load i32, ptr {info}", f"{good} = icmp eq i32 {code}, 0")
    out.leave(good, FAILED)


def copy_bytes(out: Text, target: str, source: str, size: int) -> None:
    """Copy so many bytes."""
    copy_declared(out)
    out.emit(
        f"call void @llvm.memcpy.p0.p0.i64(ptr {target}, ptr {source}, i64 {size}, "
        "i1 false)"
    )


def operand(out: Text, node: Node) -> str:
    """A pointer to the first entry of a stored node or view."""
    view = out.plan.views[node]
    base = out.pointer(view.base.number)
    return (
        moved(out, base, str(view.offset), KINDS[node.dtype]) if view.offset else base
    )


def moved(out: Text, pointer: str, by: str, kind: str) -> str:
    """A pointer moved by so many entries."""
    made = out.fresh("p")
    out.emit(f"{made} = getelementptr {stored(kind)}, ptr {pointer}, i64 {by}")
    return made


def each(
    out: Text,
    count: int,
    arrays: Sequence[tuple[str, int, str]],
    body: Callable[[list[str]], None],
) -> None:
    """Run over a stack: each array is a pointer, entries an element, and their type."""
    if count == 1:
        body([pointer for pointer, _, _ in arrays])
        return

    def turn(i: str) -> None:
        found = []
        for pointer, step, kind in arrays:
            by = out.fresh()
            out.emit(f"{by} = mul i64 {i}, {step}")
            found.append(moved(out, pointer, by, kind))
        body(found)

    out.loop(count, turn)


def stack(node: Node) -> tuple[int, int, int]:
    """How many matrices, and their rows and columns."""
    n, m = node.shape[-2:]
    return node.size // (n * m), n, m


def part(out: Text, parts: Sequence[Node], place: int, size: int) -> str:
    """Where a result goes; results that nobody reads go to scratch memory."""
    for part in parts:
        if part.params["place"] == place:
            return out.pointer(part.number)
    return out.scratch(size)


def copy_declared(out: Text) -> None:
    """What LLVM copies with."""
    name = "llvm.memcpy.p0.p0.i64"
    out.called[name] = Outside(name, "void", ("ptr", "ptr", "i64", "i1"), pure=False)


def finite_entries(out: Text, pointer: str, count: int, kind: str) -> None:
    """Leave where an entry is infinite or NaN: some searches of LAPACK never end."""

    def check(i: str) -> None:
        entry, none, good = out.fresh(), out.fresh(), out.fresh()
        at = moved(out, pointer, i, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{none} = fsub {kind} {entry}, {entry}",
            f"{good} = fcmp ord {kind} {none}, {none}",
        )
        out.leave(good, FAILED)

    out.loop(count, check)


def nonzero_diagonal(out: Text, pointer: str, size: int, kind: str) -> None:
    """Leave where a triangular factor is singular."""

    def check(i: str) -> None:
        place, entry, good = out.fresh(), out.fresh(), out.fresh()
        out.emit(f"{place} = mul i64 {i}, {size + 1}")
        at = moved(out, pointer, place, kind)
        out.emit(
            f"{entry} = load {kind}, ptr {at}",
            f"{good} = fcmp une {kind} {entry}, {number(0.0, kind)}",
        )
        out.leave(good, FAILED)

    out.loop(size, check)
