"""One function of LLVM text as one of C. Floor 9.

Instructions become expressions, and a value that is read once stands where it is read.
Others have a line and a name: ``const double v12 = v3 * v4;``. Before anything in
memory or a variable changes, what was to be read from it before is written down.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.parse import BINARY, CASTS, Instruction
from tapegrad.native.c.pointers import Kinds
from tapegrad.native.c.scopes import Scope
from tapegrad.native.c.shape import Region
from tapegrad.native.c.variables import Plan

# An expression that is longer has a line of its own.
LONG = 64


class Outer(Protocol):
    """What a function needs to know of the file that it stands in."""

    def argument(self, body: Body, name: str) -> Expr:
        """What an argument's register stands for."""

    def given(self, body: Body, base: Expr, place: int) -> Expr | None:
        """The input, or output, at a place of the kernel's vectors."""

    def constant(self, name: str) -> Expr:
        """A constant outside of functions."""

    def call(self, body: Body, ins: Instruction, args: Sequence[Expr]) -> Expr:
        """A call."""

    def pure(self, name: str) -> bool:
        """Whether a function reads and changes nothing."""

    def shares(self, name: str) -> bool:
        """Whether a function is a part of this one, and takes what this one takes."""

    def named(self, body: Body, register: str) -> str:
        """The name of a register's variable."""

    def note(self, body: Body, register: str) -> str | None:
        """A comment on a register that must have a line; None for all others."""

    def status(self, body: Body, value: Expr) -> tuple[str, str]:
        """The status that is returned for one of the kernel's, and a comment."""


@dataclass(slots=True)
class Body:
    """A function while it is written.

    Args:
        plan: what is known of it.
        kinds: what its pointers point to.
        outer: the file.
        jumps: there are labels.

    Attributes:
        used: parameters that it reads.
        targets: labels that it goes to.
    """

    plan: Plan
    kinds: Kinds
    outer: Outer
    jumps: bool = False
    used: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    values: dict[str, Expr] = field(default_factory=dict)
    pending: dict[str, tuple[Expr, str]] = field(default_factory=dict)
    cells: dict[str, str] = field(default_factory=dict)
    scope: Scope = field(init=False)
    _skipped: dict[int, list[str]] = field(default_factory=dict)
    _after: dict[int, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scope = Scope(Region(0, 0, None, loop=False), self.jumps)

    def text(self) -> str:
        """The lines of the function."""
        shape = self.plan.shape
        self.scope = Scope(shape.whole, self.jumps)
        for block in shape.blocks:
            for ins in block.body:
                if ins.op == "phi":
                    self._phi(ins)
        for number, block in enumerate(shape.blocks):
            self._close(number)
            if block.label in self.targets:
                self.scope.label(self._label(block.label))
            if number in shape.loops:
                self._loop(number)
            for ins in block.body[:-1]:
                self._instruction(ins)
            self._end(number, block.end)
        self._close(len(shape.blocks))
        return self.scope.text()

    # -- operands --------------------------------------------------------------

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

    def _place(self, at: Expr, kind: str) -> Expr:
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
        found = self._place(self.operand(text, "ptr"), ins.kind)
        if ins.kind == "ptr" and not found.kind:
            found.kind = "void"
            return self.pointer(found, self.kinds.get(ins.name, "i8"))
        return found

    def _value(self, ins: Instruction) -> Expr:
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

    # -- lines -----------------------------------------------------------------

    def flush(self, keep: Callable[[Expr], bool] = lambda _: False) -> None:
        """Give lines to values that wait, but for some."""
        for name in [n for n, (value, _) in self.pending.items() if not keep(value)]:
            self._line(name, *self.pending.pop(name))

    def _set(
        self,
        register: str,
        kind: str,
        value: Expr,
        *,
        fixed: bool = False,
        apart: bool = False,
    ) -> str:
        """What stands before the "=" where a register's variable is set."""
        name = self.outer.named(self, register)
        words = TYPES[kind]
        if kind == "ptr":
            const = "const " if value.fixed else ""
            inner = TYPES[value.kind]
            words = f"{const}{inner}{'' if inner.endswith('*') else ' '}*"
        home = self.plan.home.get(register, self.scope.whole)
        return self.scope.declare(name, words, home, fixed=fixed, apart=apart)

    def _line(self, register: str, value: Expr, kind: str) -> None:
        """A variable for a value."""
        before = self._set(register, kind, value, fixed=True)
        note = self.outer.note(self, register) or ""
        self.scope.emit(f"{before} = {value.text};{note}")
        self.values[register] = Expr(
            self.outer.named(self, register),
            kind=value.kind if kind == "ptr" else "",
            fixed=value.fixed,
            wild=value.wild,
        )

    def _phi(self, ins: Instruction) -> None:
        name = self.outer.named(self, ins.name)
        kind = self.kinds.get(ins.name, "i8") if ins.kind == "ptr" else ""
        self.values[ins.name] = Expr(name, deps=frozenset([name]), kind=kind)
        for counter in self.plan.counters.values():
            if counter.register == ins.name:
                self.values[ins.name].deps = ex.NOTHING

    def _changes(self, variable: str) -> None:
        self.flush(lambda value: variable not in value.deps)

    def _instruction(self, ins: Instruction) -> None:
        if ins.op == "phi" or any(
            ins.name in counter.hidden for counter in self.plan.counters.values()
        ):
            return
        if ins.op == "store":
            self._store(ins)
        elif ins.op == "alloca":
            self._room(ins)
        elif ins.op == "call" and not self.outer.pure(ins.word):
            self._effect(ins)
        elif ins.name not in self.plan.uses:
            return
        elif ins.name in self.plan.shared:
            self._update(ins)
        else:
            value = self._value(ins)
            if value.free or (value.entry is not None and not value.memory):
                self.values[ins.name] = value
                return
            alone = self.outer.note(self, ins.name) is None
            if alone and ins.name in self.plan.single and len(value.text) <= LONG:
                self.pending[ins.name] = value, ins.kind
            else:
                self._line(ins.name, value, ins.kind)

    def _update(self, ins: Instruction) -> None:
        """Set the variable of a loop to what it is in the next turn."""
        phi = self.plan.shared[ins.name]
        variable = self.values[phi].text
        first = ins.operands[0][1] if ins.operands else ""
        if ins.op in ex.ARITHMETIC and first == f"%{phi}" and not ins.kind == "i64":
            _, (kind, text) = ins.operands
            value = self.operand(text, kind)
            self._changes(variable)
            word = ex.ARITHMETIC[ins.op][0]
            self.scope.emit(f"{variable} {word}= {value.text};")
            return
        value = self._value(ins)
        self._changes(variable)
        self.scope.emit(f"{variable} = {value.text};")

    def _store(self, ins: Instruction) -> None:
        (kind, text), (_, goes) = ins.operands
        value = self.operand(text, kind)
        if goes[1:] in self.cells:
            name = self.cells[goes[1:]]
            self._changes(name)
            self.scope.emit(f"{name} = {value.text};")
            return
        place = self._place(self.operand(goes, "ptr"), kind)
        if kind == "ptr":
            value = Expr(f"(void *){value.at(ex.UNARY)}", ex.UNARY, value.deps)
        self.flush(lambda waiting: not waiting.memory)
        self.scope.emit(f"{place.text} = {value.text};")

    def _room(self, ins: Instruction) -> None:
        """Memory on the stack: one number is a variable, several are an array."""
        name = self.outer.named(self, ins.name)
        count = ins.operands[0][1]
        if count == "1" and ins.word != "double":
            self.cells[ins.name] = name
            self.scope.declare(name, TYPES[ins.word], self.scope.whole, fixed=False)
            self.scope.lines.append(f"    {TYPES[ins.word]} {name} = 0;")
            self.scope.declared.add(name)
            return
        self.scope.emit(f"{TYPES[ins.word]} {name}[{count}];")
        self.values[ins.name] = Expr(name, kind=ins.word)

    def _effect(self, ins: Instruction) -> None:
        """A call that does more than give a result."""
        operands = [] if self.outer.shares(ins.word) else ins.operands
        args = [self.operand(text, kind) for kind, text in operands]
        value = self.outer.call(self, ins, args)
        self.flush(lambda waiting: not waiting.memory)
        if not value.text:
            return
        if ins.name in self.plan.uses:
            if ins.kind == "ptr":
                value = self.pointer(value, self.kinds.get(ins.name, "i8"))
            self._line(ins.name, value, ins.kind)
        else:
            self.scope.emit(f"{value.text};")

    # -- branches --------------------------------------------------------------

    def _label(self, label: str) -> str:
        return re.sub(r"\W", "_", label)

    def _close(self, number: int) -> None:
        """End the regions that end before a block."""
        while self.scope.inner is not self.scope.whole and (
            self.scope.inner.last < number
        ):
            region = self.scope.close()
            if region.loop and region.first in self._after:
                for line in self._copies(*self._after.pop(region.first)):
                    self.scope.emit(line)
            other = self._skipped.pop(region.first, None) if not region.loop else None
            if other:
                last = self.scope.lines.pop()
                assert isinstance(last, str)  # noqa: S101 - a bracket
                self.scope.lines.append(f"{last} else {{")
                for line in other:
                    self.scope.emit(f"    {line}")
                self.scope.emit("}")

    def _loop(self, number: int) -> None:
        region, counter = self.plan.shape.loops[number], self.plan.counters.get(number)
        head = "for (;;)"
        if counter is not None:
            i = self.values[counter.register].text
            limit = self.operand(counter.limit, "i64").at(ex.SUM)
            head = f"for (int64_t {i} = 0; {i} < {limit}; {i}++)"
        self.scope.open(region, head)

    def _copies(self, number: int, label: str, *, apart: bool = False) -> list[str]:
        """The lines that set a block's variables where it is reached from another.

        Args:
            number: the block that is left.
            label: the one that is gone to.
            apart: the lines stand in braces of their own.
        """
        place = self.plan.shape.place.get(label)
        if place is None:
            return []
        here = self.plan.shape.blocks[number].label
        counter = self.plan.counters.get(place)
        pairs: list[tuple[Instruction, Expr]] = []
        for ins in self.plan.shape.blocks[place].body:
            if ins.op != "phi":
                break
            if counter is not None and counter.register == ins.name:
                continue
            values = dict(zip(ins.labels, ins.operands, strict=True))
            kind, text = values[here]
            if self.plan.shared.get(text[1:]) == ins.name:
                continue
            value = self.operand(text, kind)
            if value.text != self.values[ins.name].text:
                pairs.append((ins, value))
        return self._assigned(pairs, apart=apart)

    def _assigned(
        self, pairs: list[tuple[Instruction, Expr]], *, apart: bool
    ) -> list[str]:
        lines: list[str] = []
        names = [self.values[ins.name].text for ins, _ in pairs]
        for place, (ins, value) in enumerate(pairs):
            if any(name in value.deps for name in names[:place]):
                copy = f"{names[place]}_next"
                kind = TYPES[ins.kind]
                if ins.kind == "ptr":
                    kind = f"{TYPES[self.kinds.get(ins.name, 'i8')]} *"
                space = "" if kind.endswith("*") else " "
                lines.append(f"{kind}{space}{copy} = {value.text};")
                pairs[place] = ins, Expr(copy)
        for ins, value in pairs:
            typed = value
            if ins.kind == "ptr":
                typed = self.pointer(value, self.kinds.get(ins.name, "i8"))
            self._changes(self.values[ins.name].text)
            before = self._set(ins.name, ins.kind, typed, apart=apart)
            lines.append(f"{before} = {typed.text};")
        return lines

    def _goes(self, number: int, label: str) -> None:
        """Go to a block, whatever else there was to choose."""
        for line in self._copies(number, label):
            self.scope.emit(line)
        self.flush()
        jump = self._jump(number, label)
        if jump:
            self.scope.emit(jump)

    def _jump(self, number: int, label: str) -> str:
        """The word that goes to a block; none where it follows anyhow."""
        shape, loop = self.plan.shape, self.scope.loop
        if label in shape.returns:
            return self._returned(shape.returns[label])
        goes = shape.place[label]
        if goes == number + 1 and not (loop and goes == loop.last + 1):
            return ""
        if loop is not None and goes == loop.first:
            return "" if number == loop.last else "continue;"
        if loop is not None and goes == loop.last + 1:
            return "break;"
        self.targets.add(label)
        return f"goto {self._label(label)};"

    def _returned(self, ins: Instruction) -> str:
        if not ins.operands:
            return "return;"
        kind, text = ins.operands[0]
        value = self.operand(text, kind)
        if self.plan.function.gives == "i32":
            status, note = self.outer.status(self, value)
            return f"return {status};{note}"
        return f"return {value.text};"

    def _end(self, number: int, end: Instruction) -> None:
        """How a block ends."""
        if end.op == "ret":
            text = self._returned(end)
            last = number == len(self.plan.shape.blocks) - 1
            if not (last and text == "return;"):
                self.scope.emit(text)
        elif len(end.labels) == 1:
            self._goes(number, end.labels[0])
        else:
            self._choice(number, end)

    def _choice(self, number: int, end: Instruction) -> None:
        shape, loop = self.plan.shape, self.scope.loop
        yes, no = end.labels
        if loop is not None and loop.first in self.plan.counters:
            test = end.operands[0][1][1:]
            if test in self.plan.counters[loop.first].hidden:
                stays = [x for x in end.labels if shape.place.get(x) != loop.last + 1]
                leaves = next(x for x in end.labels if x != stays[0])
                self._after[loop.first] = number, leaves
                self._goes(number, stays[0])
                return
        condition = self.operand(end.operands[0][1], "i1")
        if number in shape.choices:
            region = shape.choices[number]
            if shape.place[yes] != number + 1:
                yes, no, condition = no, yes, ex.negated(condition)
            self._skipped[region.first] = self._copies(number, no, apart=True)
            self.flush()
            self.scope.open(region, f"if ({condition.text})")
            return
        leaves, stays = self._leaving(number, yes, no)
        if leaves == no:
            condition = ex.negated(condition)
        copies = self._copies(number, leaves, apart=True)
        jump = self._jump(number, leaves)
        self.flush()
        if copies:
            inside = " ".join(copies)
            self.scope.emit(f"if ({condition.text}) {{ {inside} {jump} }}")
        else:
            self.scope.emit(f"if ({condition.text}) {jump}")
        self._goes(number, stays)

    def _leaving(self, number: int, yes: str, no: str) -> tuple[str, str]:
        """The way that stands in an ``if``, and the one that goes on."""
        shape, loop = self.plan.shape, self.scope.loop
        if no in shape.returns:
            return no, yes
        if yes in shape.returns:
            return yes, no
        if loop is not None and number == loop.last:
            if shape.place[no] == loop.first:
                return yes, no
            if shape.place[yes] == loop.first:
                return no, yes
        return (no, yes) if shape.place[yes] == number + 1 else (yes, no)
