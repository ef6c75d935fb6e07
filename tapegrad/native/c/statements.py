"""Instructions as lines of C: variables, stores, calls. Floor 9.

A value that is read once stands where it is read. Others have a line and a name:
``const double v12 = v3 * v4;``. Before anything in memory or a variable changes, what
was to be read from it before is written down.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.parse import Instruction
from tapegrad.native.c.scopes import Scope
from tapegrad.native.c.shape import Region
from tapegrad.native.c.values import Values

# An expression that is longer has a line of its own.
LONG = 64

ROOM = re.compile(r"\[(\d+) x i8\]")


@dataclass(slots=True)
class Statements(Values):
    """Values, and the lines that some of them get."""

    scope: Scope = field(init=False)

    def __post_init__(self) -> None:
        self.scope = Scope(Region(0, 0, None, loop=False), self.jumps)

    def flush(self, keep: Callable[[Expr], bool] = lambda _: False) -> None:
        """Give lines to values that wait, but for some."""
        for name in [n for n, (value, _) in self.pending.items() if not keep(value)]:
            self._line(name, *self.pending.pop(name))

    def set(
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
        before = self.set(register, kind, value, fixed=True)
        note = self.outer.note(self, register) or ""
        self.scope.emit(f"{before} = {value.text};{note}")
        self.values[register] = Expr(
            self.outer.named(self, register),
            kind=value.kind if kind == "ptr" else "",
            fixed=value.fixed,
            wild=value.wild,
        )

    def phi(self, ins: Instruction) -> None:
        """The variable that stands for what several blocks may bring."""
        name = self.outer.named(self, ins.name)
        kind = self.kinds.get(ins.name, "i8") if ins.kind == "ptr" else ""
        self.values[ins.name] = Expr(name, deps=frozenset([name]), kind=kind)
        if ins.name in self.plan.counting:
            self.values[ins.name].deps = ex.NOTHING

    def changes(self, variable: str) -> None:
        """A variable is about to change."""
        self.flush(lambda value: variable not in value.deps)

    def instruction(self, ins: Instruction) -> None:
        """Write one instruction, or keep its value."""
        if ins.op == "phi" or ins.name in self.plan.hidden:
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
            value = self.value(ins)
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
        if ins.op in ex.ARITHMETIC and first == f"%{phi}" and ins.kind != "i64":
            _, (kind, text) = ins.operands
            value = self.operand(text, kind)
            self.changes(variable)
            word = ex.ARITHMETIC[ins.op][0]
            self.scope.emit(f"{variable} {word}= {value.text};")
            return
        value = self.value(ins)
        self.changes(variable)
        self.scope.emit(f"{variable} = {value.text};")

    def _store(self, ins: Instruction) -> None:
        (kind, text), (_, goes) = ins.operands
        value = self.operand(text, kind)
        if goes[1:] in self.cells:
            name = self.cells[goes[1:]]
            self.changes(name)
            self.scope.emit(f"{name} = {value.text};")
            return
        place = self.place(self.operand(goes, "ptr"), kind)
        if kind == "ptr":
            value = Expr(f"(void *){value.at(ex.UNARY)}", ex.UNARY, value.deps)
        self.flush(lambda waiting: not waiting.memory)
        self.scope.emit(f"{place.text} = {value.text};")

    def _room(self, ins: Instruction) -> None:
        """Memory on the stack: one number is a variable, several are an array."""
        name = self.outer.named(self, ins.name)
        count = ins.operands[0][1]
        found = ROOM.fullmatch(ins.word)
        if found:  # bytes: entries of one type, or of any up to 8
            kind = self.kinds.get(ins.name, "i8")
            kind = "double" if kind == "i8" else kind
            words = TYPES[kind] + ("" if kind == "ptr" else " ")
            self.scope.emit(f"{words}{name}[{-(-int(found[1]) // ex.BYTES[kind])}];")
            self.values[ins.name] = Expr(name, kind=kind, free=True)
            return
        if count == "1" and ins.word != "double":
            self.cells[ins.name] = name
            kind = TYPES[ins.word]
            before = self.scope.declare(name, kind, self.scope.whole, fixed=False)
            self.scope.emit(f"{before} = 0;")
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
