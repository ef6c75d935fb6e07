"""How lists and heads of functions are laid out. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.c.expressions import TYPES


def array(name: str, kind: str, entries: Sequence[str]) -> str:
    """A constant array."""
    lines = filled(list(entries), "    ")
    return f"static const {TYPES[kind]} {name}[{len(entries)}] = {{\n{lines}\n}};\n"


def filled(parts: list[str], indent: str, width: int = 88) -> str:
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
    return f"{head}(\n{filled(list(parts), '    ')})"
