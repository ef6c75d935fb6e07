"""Calls, in C: the maths library, linear algebra, parts of the kernel. Floor 9."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tapegrad.errors import CompileError
from tapegrad.native import vectormath
from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.parse import Instruction
from tapegrad.native.c.reads import TOP, Reads
from tapegrad.native.c.values import Values
from tapegrad.native.vectormath.outside import SUFFIX
from tapegrad.rules import TABLE

# Functions of C's that keep their names; a float takes those with an f.
_WORDS = """
fabs sqrt trunc floor ceil rint nearbyint round copysign fma exp exp2 log log2 log10
sin cos tan pow
"""
WORDS = frozenset(_WORDS.split())
CHOICES = {
    "maximum": "largest",
    "minimum": "smallest",
    "smax": "larger_int",
    "smin": "smaller_int",
}
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
class Calls(Reads):
    """The file, as far as its functions call others."""

    def _inner(self, name: str) -> str:
        """A function of the module by its name; "" for any other."""
        return name if name in self.module.functions and not library(name) else ""

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

    def call(self, body: Values, ins: Instruction, args: Sequence[Expr]) -> Expr:
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
        return ex.called(library(name) or name.removesuffix(SUFFIX), *args)

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

    def _routine(self, body: Values, name: str, args: Sequence[Expr]) -> Expr:
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

    def _function_of_module(
        self, body: Values, name: str, args: Sequence[Expr]
    ) -> Expr:
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
    return _library().get(name, "")


@functools.cache
def _library() -> dict[str, str]:
    words = {row.name: row.llvm for row in TABLE}
    return {
        name: words[row][1:]
        for row, name in vectormath.CALLS.items()
        if words.get(row, "").startswith("@")
    }


def linear_kinds(name: str) -> list[str]:
    """The types that a routine's pointers point to.

    Raises:
        CompileError: there is no such routine in C here.
    """
    real = "double" if name[0] == "d" else "float"
    if name[1:] not in TAKES:
        msg = f"{name} of LAPACK has no words in C here; compile the tape instead"
        raise CompileError(msg)
    kinds = {"v": "any", "u": "any", "r": real, "i": "i32"}
    return [kinds[how] for how in TAKES[name[1:]]]
