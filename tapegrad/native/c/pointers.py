"""Which entries each pointer is to. Floor 9.

LLVM's pointers say nothing of what they point to; C's do. What is read and written
through a register, and which functions it is handed to, tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from tapegrad.native.c.parse import Function

# The types of entries by register.
Kinds = dict[str, str]


def kinds_of(function: Function, known: Mapping[str, list[str]]) -> Kinds:
    """The type that each pointer of a function is declared with.

    Args:
        function: a function.
        known: the types of the arguments of functions that it may call, "" for those
            that are no pointers.
    """
    uses: dict[str, set[str]] = {}
    stepped: dict[str, str] = {}
    alike: list[list[str]] = []
    for block in function.blocks:
        for ins in block.body:
            if ins.op == "load":
                _add(uses, ins.operands[0][1], ins.kind)
            elif ins.op == "store":
                _add(uses, ins.operands[1][1], ins.operands[0][0])
            elif ins.op == "gep":
                _add(uses, ins.operands[0][1], ins.word)
                stepped[ins.name] = ins.word
            elif ins.op == "alloca" and ins.word[0] != "[":
                stepped[ins.name] = ins.word
            elif ins.op == "call":
                kinds = known.get(ins.word, [])
                for (_, text), kind in zip(ins.operands, kinds, strict=False):
                    if kind and kind != "any":
                        _add(uses, text, kind)
            elif ins.op in {"phi", "select"} and ins.kind == "ptr":
                texts = [text for kind, text in ins.operands if kind == "ptr"]
                alike.append([f"%{ins.name}", *texts])
    for _ in alike:  # as far as it spreads
        for group in alike:
            together = set().union(*(uses.get(text[1:], set()) for text in group))
            for text in group:
                for kind in together:
                    _add(uses, text, kind)
    found = {name: _declared(kinds) for name, kinds in uses.items()}
    for name, kind in stepped.items():
        found.setdefault(name, kind)
    return found


def _add(uses: dict[str, set[str]], text: str, kind: str) -> None:
    if text[0] == "%":
        uses.setdefault(text[1:], set()).add(kind)


def _declared(kinds: set[str]) -> str:
    """The one type, bytes aside; bytes where there are several."""
    typed = kinds - {"i8"}
    return typed.pop() if len(typed) == 1 else "i8"
