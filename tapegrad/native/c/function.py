"""One function of LLVM text as one of C: its loops, choices and returns. Floor 9."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.parse import Instruction
from tapegrad.native.c.scopes import Scope
from tapegrad.native.c.statements import Statements


@dataclass(slots=True)
class Body(Statements):
    """A function while it is written.

    Attributes:
        targets: labels that it goes to.
    """

    targets: set[str] = field(default_factory=set)
    _skipped: dict[int, list[str]] = field(default_factory=dict)
    _after: dict[int, tuple[int, str]] = field(default_factory=dict)

    def text(self) -> str:
        """The lines of the function."""
        shape = self.plan.shape
        self.scope = Scope(shape.whole, self.jumps)
        for block in shape.blocks:
            for ins in block.body:
                if ins.op == "phi":
                    self.phi(ins)
        for number, block in enumerate(shape.blocks):
            self._close(number)
            if block.label in self.targets:
                self.scope.label(self._label(block.label))
            if number in shape.loops:
                self._loop(number)
            for ins in block.body[:-1]:
                self.instruction(ins)
            self._end(number, block.end)
        self._close(len(shape.blocks))
        return self.scope.text()

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
            self.changes(self.values[ins.name].text)
            before = self.set(ins.name, ins.kind, typed, apart=apart)
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
                self._after[loop.first] = (
                    number,
                    next(x for x in end.labels if x != stays[0]),
                )
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
        away, on = self._leaving(number, yes, no)
        if away == no:
            condition = ex.negated(condition)
        copies = self._copies(number, away, apart=True)
        jump = self._jump(number, away)
        self.flush()
        if copies:
            inside = " ".join(copies)
            self.scope.emit(f"if ({condition.text}) {{ {inside} {jump} }}")
        else:
            self.scope.emit(f"if ({condition.text}) {jump}")
        self._goes(number, on)

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
