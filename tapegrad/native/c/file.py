"""A module of LLVM text as functions of C. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tapegrad.native.c.calls import LINEAR, Calls, linear_kinds
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.function import Body
from tapegrad.native.c.layout import wrapped
from tapegrad.native.c.parse import Function, parse
from tapegrad.native.c.pointers import kinds_of
from tapegrad.native.c.reads import TOP, Source
from tapegrad.native.c.values import Values
from tapegrad.native.c.variables import plan_of

# Bytes that may stand on the stack.
ON_STACK = 1 << 15

__all__ = ["File", "Source"]


@dataclass(slots=True)
class File(Calls):
    """The functions of one kernel."""

    def text(self) -> str:
        """All functions; the last one is the one that users call."""
        self.module = parse(self.source.body)
        functions = self._reached()
        for function in functions:
            self._infer(function)
        self.doubles = self._all_doubles(functions)
        return "\n".join(self._function(function) for function in functions)

    # -- before writing --------------------------------------------------------

    def _reached(self) -> list[Function]:
        """The functions that the kernel needs, callees first."""
        wanted, pending = {"kernel"}, ["kernel"]
        while pending:
            function = self.module.functions[pending.pop()]
            for block in function.blocks:
                for ins in block.body:
                    if ins.op == "call" and self._inner(ins.word) not in wanted:
                        name = self._inner(ins.word)
                        if name:
                            wanted.add(name)
                            pending.append(name)
        return [f for name, f in self.module.functions.items() if name in wanted]

    def _infer(self, function: Function) -> None:
        for block in function.blocks:
            for ins in block.body:
                found = LINEAR.match(ins.word) if ins.op == "call" else None
                if found:
                    self._takes[ins.word] = linear_kinds(found[2])
        kinds = self._kinds[function.name] = kinds_of(function, self._takes)
        self._takes[function.name] = [
            kinds.get(name, "i8") if kind == "ptr" else ""
            for kind, name in function.takes
        ]

    def _all_doubles(self, functions: Sequence[Function]) -> bool:
        """Whether the memory of the kernel holds nothing but doubles."""
        for function in functions:
            if not TOP.match(function.name):
                continue
            kinds, inside = self._kinds[function.name], {"arena"}
            for block in function.blocks:
                for ins in block.body:
                    for _, text in ins.operands:
                        if text[1:] not in inside or ins.op in {"load", "store"}:
                            continue
                        if ins.op == "call" and TOP.match(ins.word):
                            continue
                        if ins.op != "gep" or ins.word not in {"i8", "double"}:
                            return False
                        place = ins.operands[1][1]
                        odd = not place.isdigit() or int(place) % 8
                        if ins.word == "i8" and odd:
                            return False
                        if kinds.get(ins.name, "i8") != "double":
                            return False
        return True

    # -- functions -------------------------------------------------------------

    def _function(self, function: Function) -> str:
        jumps, plan = False, plan_of(function, self.pure)
        while True:
            body = Body(plan, self._kinds[function.name], self, jumps)
            text = body.text()
            if jumps or not body.targets:
                break
            jumps = True
        # labels are known once the text has been gone through
        if body.targets:
            known = body.targets
            body = Body(plan, self._kinds[function.name], self, jumps=True)
            body.targets |= known
            text = body.text()
        if function.name == "kernel":
            return self._kernel(body, text)
        if self._top(body):
            order = [p.name for p in self._all_parameters()]
            self._used[function.name] = sorted(body.used, key=order.index)
            known_as = {p.name: p for p in self._all_parameters()}
            texts = [known_as[name].text for name in self._used[function.name]]
        else:
            texts = []
            for kind, name in function.takes:
                inner = self._kinds[function.name].get(name, "i8")
                words = f"{TYPES[inner]} *" if kind == "ptr" else TYPES[kind]
                words = words.replace("* *", "**")
                texts.append(
                    words + ("" if words.endswith("*") else " ") + self._local(name)
                )
                if name not in plan.uses:
                    text = f"    (void){self._local(name)};\n{text}"
        gives = {"i32": "int", "void": "void"}.get(
            function.gives, TYPES.get(function.gives, "")
        )
        head = f"static {gives} {self._global(function.name)}"
        return f"{wrapped(head, texts or ['void'])} {{\n{text}}}\n"

    def _kernel(self, body: Body, text: str) -> str:
        """The function that users call; it has the memory that the others need."""
        source = self.source
        head = wrapped(f"int {source.name}", [p.text for p in source.parameters])
        unused = [
            f"    (void){p.name};\n"
            for p in source.parameters
            if p.name not in body.used
        ]
        before = after = ""
        if "work" in body.used:
            if self.doubles and source.arena <= ON_STACK:
                before = f"    double work[{max(source.arena // 8, 1)}];\n"
            else:
                kind = "double" if self.doubles else "unsigned char"
                before = (
                    f"    {kind} *work = ({kind} *)malloc({source.arena});\n"
                    "    int status;\n    if (work == NULL) return -1;\n"
                )
                inner = f"{source.name}_with_memory"
                parameters = [p for p in self._all_parameters() if p.name in body.used]
                names = ", ".join(p.name for p in parameters)
                first = wrapped(f"static int {inner}", [p.text for p in parameters])
                after = f"    status = {inner}({names});\n    free(work);\n"
                return (
                    f"{first} {{\n{text}}}\n\n{head} {{\n{before}{''.join(unused)}"
                    f"{after}    return status;\n}}\n"
                )
        return f"{head} {{\n{before}{''.join(unused)}{text}}}\n"

    def status(self, body: Values, value: Expr) -> tuple[str, str]:
        """The status for the caller, and a comment."""
        if not self._top(body) or not value.text.isdigit() or value.text == "0":
            return value.text, ""
        number, note = self.source.statuses[int(value.text)]
        return str(number), note
