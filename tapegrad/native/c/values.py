"""The values of a function's registers, as expressions of C. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.parse import BINARY, CASTS, Instruction
from tapegrad.native.c.pointers import Kinds
from tapegrad.native.c.variables import Plan


class Outer(Protocol):
    """What a function needs to know of the file that it stands in."""

    def argument(self, body: Values, name: str) -> Expr:
        """What an argument's register stands for."""

    def given(self, body: Values, base: Expr, place: int) -> Expr | None:
        """The input, or output, at a place of the kernel's vectors."""

    def constant(self, name: str) -> Expr:
        """A constant outside of functions."""

    def call(self, body: Values, ins: Instruction, args: Sequence[Expr]) -> Expr:
        """A call."""

    def pure(self, name: str) -> bool:
        """Whether a function reads and changes nothing."""

    def shares(self, name: str) -> bool:
        """Whether a function is a part of this one, and takes what this one takes."""

    def named(self, body: Values, register: str) -> str:
        """The name of a register's variable."""

    def note(self, body: Values, register: str) -> str | None:
        """A comment on a register that must have a line; None for all others."""

    def status(self, body: Values, value: Expr) -> tuple[str, str]:
        """The status that is returned for one of the kernel's, and a comment."""


@dataclass(slots=True)
class Values:
    """Registers, and what has been found out about them so far.

    Args:
        plan: what is known of the function.
        kinds: what its pointers point to.
        outer: the file.
        jumps: there are labels.

    Attributes:
        used: parameters that it reads.
        values: expressions of registers, by name.
        pending: those that wait to be read, and their types.
        cells: variables that stand for memory of one number.
    """

    plan: Plan
    kinds: Kinds
    outer: Outer
    jumps: bool = False
    used: set[str] = field(default_factory=set)
    values: dict[str, Expr] = field(default_factory=dict)
    pending: dict[str, tuple[Expr, str]] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)

    def operand(self, text: str, kind: str) -> Expr:
        """An operand; what was waiting for it is taken."""
        if text[0] == "%":
            name = text[1:]
            if name in self.pending:
                return self.pending.pop(name)[0]
            if name in self.plan.shared:
                name = self.plan.shared[name]
            found = self.values.get(name)
            return self.outer.argument(self, name) if found is None else found
        if text[0] == "@":
            return self.outer.constant(text[1:])
        return ex.literal(text, kind)

    def pointer(self, at: Expr, kind: str) -> Expr:
        """An address as one of entries of a type."""
        if at.kind == kind:
            return at
        const = "const " if at.fixed else ""
        space = "" if TYPES[kind].endswith("*") else " "
        text = f"({const}{TYPES[kind]}{space}*){at.at(ex.UNARY)}"
        found = ex.made(text, ex.UNARY, at)
        found.kind, found.fixed = kind, at.fixed
        return found

    def place(self, at: Expr, kind: str) -> Expr:
        """The entry that stands at an address."""
        if at.entry is not None and at.kind == kind:
            return at.entry
        at = self.pointer(at, kind)
        parts = [at] if at.index is None else [at, at.index]
        deps, _ = ex.joined(*parts)
        wild = kind in {"i64", "i32"}
        if at.index is not None:
            text = f"{at.base}[{at.index.text}]"
        elif at.level < ex.ATOM:
            found = Expr(f"*{at.at(ex.UNARY)}", ex.UNARY, deps, memory=True)
            found.wild = wild
            return found
        else:
            text = f"{at.text}[0]"
        return Expr(text, ex.ATOM, deps, memory=True, wild=wild)

    def _moved(self, ins: Instruction) -> Expr:
        """An address some entries further."""
        (_, base), (_, by) = ins.operands
        at, index = self.operand(base, "ptr"), self.operand(by, "i64")
        plain = index.text.isdigit()
        if plain:
            given = self.outer.given(self, at, int(index.text))
            if given is not None:
                return given
        if ins.word == "i8" and at.kind == "double" and plain:
            index = ex.whole(int(index.text) // 8)  # memory that holds doubles alone
        else:
            at = self.pointer(at, ins.word)
        if index.text == "0":
            return at
        base_text = at.base or at.at(ex.ATOM)
        if at.index is not None:
            index = ex.infix("+", ex.SUM, at.index, index)
        deps, memory = ex.joined(at, index)
        found = Expr(f"{base_text} + {index.at(ex.SUM)}", ex.SUM, deps, memory)
        found.base, found.index, found.kind = base_text, index, at.kind
        found.fixed, found.wild = at.fixed, False
        return found

    def _loaded(self, ins: Instruction) -> Expr:
        text = ins.operands[0][1]
        if text[1:] in self.cells:
            name = self.cells[text[1:]]
            return Expr(name, deps=frozenset([name]), memory=True)
        found = self.place(self.operand(text, "ptr"), ins.kind)
        if ins.kind == "ptr" and not found.kind:
            found.kind = "void"
            return self.pointer(found, self.kinds.get(ins.name, "i8"))
        return found

    def value(self, ins: Instruction) -> Expr:
        """The value of an instruction."""
        if ins.op == "gep":
            return self._moved(ins)
        if ins.op == "load":
            return self._loaded(ins)
        args = [self.operand(text, kind) for kind, text in ins.operands]
        if ins.op == "call":
            return self.outer.call(self, ins, args)
        if ins.op in BINARY:
            return ex.binary(ins, *args)
        if ins.op in CASTS:
            return ex.cast(ins, *args)
        if ins.op == "fneg":
            return ex.made(f"-{args[0].at(ex.ATOM)}", ex.UNARY, *args)
        if ins.op == "select":
            if ins.kind == "ptr":
                kind = self.kinds.get(ins.name, "i8")
                args[1:] = [self.pointer(arg, kind) for arg in args[1:]]
            found = ex.chosen(*args)
            found.kind = args[1].kind
            return found
        return ex.compared(ins.op, ins.operands[0][0], *args)
