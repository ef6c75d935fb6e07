"""A module of LLVM text as functions of C: calls, constants, inputs. Floor 9."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native import vectormath
from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.function import Body
from tapegrad.native.c.parse import Function, Instruction, Module, parse
from tapegrad.native.c.pointers import Kinds, kinds_of
from tapegrad.native.c.signature import Leaf, Parameter
from tapegrad.native.c.variables import plan_of
from tapegrad.native.engine import Outside
from tapegrad.rules import TABLE

# Bytes that may stand on the stack.
ON_STACK = 1 << 15

# Functions of C's that keep their names; a float takes those with an f.
WORDS = frozenset(
    ["fabs", "sqrt", "trunc", "floor", "ceil", "rint", "nearbyint", "round", "copysign", "fma", "exp", "exp2", "log", "log2", "log10", "sin", "cos", "tan", "pow"]
)
CHOICES = {
    "maximum": "largest",
    "minimum": "smallest",
    "smax": "larger_int",
    "smin": "smaller_int",
}
TOP = re.compile(r"(kernel|part\d+|chunk\d+)$")
LINEAR = re.compile(r"(blas|lapack)_(\w+)$")
# The types that routines of linear algebra take, as helpers take them: v for a value,
# r and i for pointers to reals and integers, u for one that is not used.
TAKES = {
    "gemm": "vvvvvvrvrvvrv",
    "trsm": "vvvvvvvrvrv",
    "getrf": "vvrvii",
    "getrs": "vvvrvirvi",
    "getri": "vrvirvi",
    "potrf": "vvrvi",
    "syevd": "vvvrvrrvivi",
    "gesdd": "vvvrvruvuvrvii",
    "gels": "vvvvrvrvrvi",
}


@dataclass(slots=True)
class Source:
    """What is to be written, and under which names.

    Args:
        name: of the function.
        body: its LLVM text.
        calls: what that calls from outside.
        inputs, outputs: what the kernel takes and gives, in its order.
        parameters: of the function, in order.
        arena: bytes that it needs besides.
        statuses: the number that is returned for each of the kernel's.
        notes: comments on registers of the kernel, or None where it has no steps.
    """

    name: str
    body: str
    calls: Sequence[Outside]
    inputs: Sequence[Leaf]
    outputs: Sequence[Leaf]
    parameters: Sequence[Parameter]
    arena: int
    statuses: Mapping[int, tuple[int, str]]
    notes: Callable[[str], str] | None


@dataclass(slots=True)
class File:
    """The functions of one kernel.

    Args:
        source: what is written.

    Attributes:
        constants: the text of constants, by name.
    """

    source: Source
    constants: dict[str, str] = field(default_factory=dict)
    module: Module = field(init=False)
    _kinds: dict[str, Kinds] = field(default_factory=dict)
    _takes: dict[str, list[str]] = field(default_factory=dict)
    _used: dict[str, list[str]] = field(default_factory=dict)
    _doubles: bool = True

    def text(self) -> str:
        """All functions; the last one is the one that users call."""
        self.module = parse(self.source.body)
        functions = self._reached()
        for function in functions:
            self._infer(function)
        self._doubles = self._all_doubles(functions)
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

    def _inner(self, name: str) -> str:
        """A function of the module by its name; "" for any other."""
        return name if name in self.module.functions and not library(name) else ""

    def _infer(self, function: Function) -> None:
        for block in function.blocks:
            for ins in block.body:
                found = LINEAR.match(ins.word) if ins.op == "call" else None
                if found:
                    self._takes[ins.word] = _linear_kinds(found[2])
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

    def _top(self, body: Body) -> bool:
        return TOP.match(body.plan.function.name) is not None

    def _function(self, function: Function) -> str:
        jumps, plan = False, plan_of(function)
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

    def _all_parameters(self) -> list[Parameter]:
        arena = "double *" if self._doubles else "unsigned char *"
        return [
            *self.source.parameters,
            Parameter("work", arena, ""),
            Parameter("slots", "double *", ""),
        ]

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
            if self._doubles and source.arena <= ON_STACK:
                before = f"    double work[{max(source.arena // 8, 1)}];\n"
            else:
                kind = "double" if self._doubles else "unsigned char"
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

    # -- names -----------------------------------------------------------------

    def _global(self, name: str) -> str:
        return self.source.name + "_" + re.sub(r"\W", "_", name)

    def _local(self, register: str) -> str:
        name = "slots" if register == "s" else re.sub(r"\W", "_", register)
        if name[0].isdigit():
            name = f"v{name}"
        while name in self._taken() or name in {"double", "float", "int"}:
            name += "_"
        return name

    def _taken(self) -> set[str]:
        return {p.name for p in self.source.parameters} | {"work", "status"}

    def named(self, body: Body, register: str) -> str:
        """The name of a register's variable."""
        del body
        return self._local(register)

    def note(self, body: Body, register: str) -> str | None:
        """A comment on a step's line."""
        if self.source.notes is None or not self._top(body):
            return None
        if not re.fullmatch(r"v\d+", register):
            return None
        return self.source.notes(register)

    def status(self, body: Body, value: Expr) -> tuple[str, str]:
        """The status for the caller, and a comment."""
        if not self._top(body) or not value.text.isdigit() or value.text == "0":
            return value.text, ""
        number, note = self.source.statuses[int(value.text)]
        return str(number), note

    # -- what functions read ---------------------------------------------------

    def argument(self, body: Body, name: str) -> Expr:
        """The register of an argument."""
        function = body.plan.function
        kind = next(kind for kind, known in function.takes if known == name)
        if self._top(body):
            if name == "arena":
                body.used.add("work")
                kind = "double" if self._doubles else "i8"
                return Expr("work", kind=kind, free=True)
            if name == "s":
                body.used.add("slots")
                return Expr("slots", kind="double", free=True)
            return Expr(name, kind=f"all {name}", free=True)
        inner = self._kinds[function.name].get(name, "i8") if kind == "ptr" else ""
        return Expr(self._local(name), kind=inner, free=True)

    def given(self, body: Body, base: Expr, place: int) -> Expr | None:
        """An input or output of the kernel."""
        if not base.kind.startswith("all "):
            return None
        which = base.kind.removeprefix("all ")
        given = which in {"x", "inputs"}
        leaf = (self.source.inputs if given else self.source.outputs)[place]
        body.used.add(leaf.name)
        if which in {"x", "y"}:
            return Expr(base.text, kind=leaf.kind, entry=leaf.entry(), free=True)
        entry = leaf.address(fixed=given)
        return Expr(base.text, kind="ptr", entry=entry, free=True)

    def constant(self, name: str) -> Expr:
        """A constant outside of functions: an array, or one number."""
        kind, value = self.module.constants.get(name, ("", ""))
        if not kind:
            return self._stored_outside(name)
        known = self._global(name)
        if isinstance(value, str):
            self.constants[known] = (
                f"static const {TYPES[kind]} {known} = {ex.literal(value, kind).text};\n"
            )
            entry = ex.literal(value, kind)
            entry.free = True
            return Expr(
                f"&{known}", ex.UNARY, kind=kind, fixed=True, entry=entry, free=True
            )
        self.constants[known] = _array(
            known, kind, [ex.literal(x, kind).text for x in value]
        )
        return Expr(known, kind=kind, fixed=True, free=True)

    def _stored_outside(self, name: str) -> Expr:
        """The cell of a long constant: its entries stand in an array here."""
        outside = {call.name: call for call in self.source.calls}
        found = outside.get(name.removesuffix(".at"))
        if found is None or found.place is None:
            msg = f"native code reads {name!r}, which cannot stand in a file"
            raise CompileError(msg)
        known = self._global(name.removesuffix(".at"))
        place = np.ascontiguousarray(found.place)
        kind = {"float64": "double", "float32": "float", "int64": "i64",
                "int32": "i32", "bool": "i8"}[place.dtype.name]  # fmt: skip
        if known not in self.constants:
            self.constants[known] = _array(
                known, kind, [_entry(x, kind) for x in place.ravel().tolist()]
            )
        entry = Expr(known, kind=kind, fixed=True, free=True)
        return Expr(known, kind="ptr", entry=entry, free=True)

    # -- calls -----------------------------------------------------------------

    def pure(self, name: str) -> bool:
        """Whether a call has no effect but its result."""
        if name in self.module.functions and not library(name):
            return self.module.functions[name].gives in {"double", "float"}
        known = name.startswith("llvm.") and "mem" not in name
        outside = {call.name: call for call in self.source.calls}
        return known or bool(library(name)) or (name in outside and outside[name].pure)

    def shares(self, name: str) -> bool:
        """Whether a function is a part of the kernel."""
        return TOP.match(name) is not None

    def call(self, body: Body, ins: Instruction, args: Sequence[Expr]) -> Expr:
        """A call as C has it."""
        name = ins.word
        if name.startswith("llvm.mem"):
            return self._memory(name, args)
        if name.startswith("llvm."):
            return self._intrinsic(ins, args)
        linear = LINEAR.match(name)
        if linear:
            return self._routine(body, linear[2], args)
        if name in {"malloc", "free"}:
            found = ex.called(name, *args)
            found.kind = "void" if name == "malloc" else ""
            return found
        if self._inner(name):
            return self._function_of_module(body, name, args)
        return ex.called(library(name) or name, *args)

    def _memory(self, name: str, args: Sequence[Expr]) -> Expr:
        word = name.split(".")[1]
        if word not in {"memcpy", "memset", "memmove"}:
            raise CompileError(f"there are no words in C for a call of {name!r}")
        if args[2].text == "0":
            return Expr("")
        return ex.called(word, *args[:3])

    def _intrinsic(self, ins: Instruction, args: Sequence[Expr]) -> Expr:
        _, word, *rest = ins.word.split(".")
        suffix = "f" if rest[-1] == "f32" else ""
        if word == "fptosi":
            return ex.called("to_int64" if ins.kind == "i64" else "to_int32", *args,
                             wild=True)  # fmt: skip
        if word in CHOICES:
            return ex.called(CHOICES[word], *args, wild=rest[-1] in {"i64", "i32"})
        if word in WORDS:
            return ex.called(word + suffix, *args)
        raise CompileError(f"there are no words in C for a call of {ins.word!r}")

    def _routine(self, body: Body, name: str, args: Sequence[Expr]) -> Expr:
        """A routine of BLAS or LAPACK, which takes single values as they are."""
        real = "double" if name[0] == "d" else "float"
        texts = []
        for arg, how in zip(args, TAKES[name[1:]], strict=True):
            if how == "v":
                value = arg.entry
                if value is None:
                    raise CompileError(f"{name} is called with no constant")
                letter = arg.kind == "i8"
                texts.append(f"'{chr(int(value.text))}'" if letter else value.text)
            elif how == "u":
                texts.append(arg.text)
            else:
                kind = real if how == "r" else "i32"
                texts.append(body.pointer(arg, kind).text)
        return ex.made(f"{name}({', '.join(texts)})", ex.ATOM, *args)

    def _function_of_module(self, body: Body, name: str, args: Sequence[Expr]) -> Expr:
        function = self.module.functions[name]
        if TOP.match(name):
            texts = self._used[name]
            body.used |= {*texts}
            return Expr(f"{self._global(name)}({', '.join(texts)})", memory=True)
        typed = [
            body.pointer(arg, kind) if kind else arg
            for arg, kind in zip(args, self._takes[name], strict=True)
        ]
        typed = [
            Expr(f"({TYPES[kind]} *){arg.at(ex.UNARY)}", ex.UNARY) if arg.fixed else arg
            for arg, kind in zip(typed, self._takes[name], strict=True)
        ]
        found = ex.called(self._global(name), *typed)
        found.memory = found.memory or function.gives not in {"double", "float"}
        return found


def library(name: str) -> str:
    """The function of C's maths library for a function of vectors; "" for others."""
    for row, known in vectormath.CALLS.items():
        if known == name:
            word = TABLE[row].llvm
            return word[1:] if word and word[0] == "@" else ""
    return ""


def _linear_kinds(name: str) -> list[str]:
    real = "double" if name[0] == "d" else "float"
    if name[1:] not in TAKES:
        msg = f"{name} of LAPACK has no words in C here; compile the tape instead"
        raise CompileError(msg)
    kinds = {"v": "any", "u": "any", "r": real, "i": "i32"}
    return [kinds[how] for how in TAKES[name[1:]]]


def _entry(value: float | bool, kind: str) -> str:
    if kind in {"double", "float"}:
        return ex.real(float(value), "f" if kind == "float" else "").text
    return ex.whole(int(value)).text


def _array(name: str, kind: str, entries: Sequence[str]) -> str:
    """A constant array."""
    lines = _filled(list(entries), "    ")
    return f"static const {TYPES[kind]} {name}[{len(entries)}] = {{\n{lines}\n}};\n"


def _filled(parts: list[str], indent: str, width: int = 88) -> str:
    """Parts of a list in lines."""
    lines, line = [], indent
    for place, part in enumerate(parts):
        word = part + ("," if place < len(parts) - 1 else "")
        if len(line) + len(word) > width and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += word + " "
    return "\n".join([*lines, line.rstrip()])


def wrapped(head: str, parts: Sequence[str]) -> str:
    """A function's head."""
    one = f"{head}({', '.join(parts)})"
    if len(one) <= 86:
        return one
    return f"{head}(\n{_filled(list(parts), '    ')})"
