"""A shorter loop program that fails alike.

    python tests/loopshrink.py SEED

Statements are left out, expressions give way to their parts, ranges get shorter, while
the judge still finds the same kind of disagreement.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

from loopjudge import judged_program
from loopsource import program
from loopwords import LoopProgram

Wrong = Callable[[LoopProgram], bool]


def kind(words: str) -> str:
    """What sort of disagreement it is: the check, and its words without numbers."""
    check, _, rest = words.partition(": ")
    place = check.startswith("at ")
    return f"{'' if place else check} {re.sub(r'[^A-Za-z: ].*', '', rest)[:60]}"


def minimal(made: LoopProgram, wrong: Wrong) -> LoopProgram:
    """A program none of whose smaller neighbours is wrong."""
    smaller = True
    while smaller:
        smaller = False
        for source in _neighbours(made.source):
            other = dataclasses.replace(made, source=source)
            if _holds(wrong, other):
                made, smaller = other, True
                break
    return made


def _holds(wrong: Wrong, made: LoopProgram) -> bool:
    try:
        return wrong(made)
    except Exception:  # noqa: BLE001 - a name is missing, an index is out of range
        return False


def _neighbours(source: str) -> Iterator[str]:
    """Programs with a statement or a part of an expression less."""
    tree = ast.parse(source)
    for number in range(sum(1 for _ in _blocks(tree))):
        size = len(list(_blocks(tree))[number])
        for place in reversed(range(size)):
            other = copy.deepcopy(tree)
            block = list(_blocks(other))[number]
            if isinstance(block[place], ast.Return):
                continue
            inside = getattr(block[place], "body", [])
            for put in ([], inside) if inside else ([],):
                changed = copy.deepcopy(other)
                block = list(_blocks(changed))[number]
                block[place : place + 1] = put
                if block:
                    yield _text(changed)
    for number, (_, _, _, node) in enumerate(_places(tree)):
        for part in [*_parts(node)]:
            other = copy.deepcopy(tree)
            owner, field, place, _ = list(_places(other))[number]
            if place is None:
                setattr(owner, field, part)
            else:
                getattr(owner, field)[place] = part
            yield _text(other)


def _text(tree: ast.AST) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            found = getattr(node, field, None)
            if isinstance(found, list) and not isinstance(node, ast.Module) and found:
                yield found


def _places(tree: ast.AST) -> Iterator[tuple[Any, str, int | None, ast.expr]]:
    """Expressions that may give way, with where they stand."""
    for owner in ast.walk(tree):
        for field, value in ast.iter_fields(owner):
            if field in {"targets", "target", "func", "ops", "op", "ctx"}:
                continue
            several = value if isinstance(value, list) else [value]
            for place, node in enumerate(several):
                if isinstance(node, ast.expr):
                    yield owner, field, place if value is several else None, node


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """What may stand in place of an expression."""
    if isinstance(node, ast.Constant):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and not isinstance(node, ast.Name):
            yield copy.deepcopy(child)
    if isinstance(node, ast.BinOp | ast.Call | ast.Subscript | ast.Compare):
        yield ast.Name("a", ast.Load())
        yield ast.Constant(1.0)


def main() -> int:
    """The command line."""
    made = program(int(sys.argv[1]))
    found = judged_program(made, whole=True)[1]
    if not found:
        sys.stdout.write("nothing is wrong\n")
        return 0
    kinds = {kind(words) for words in found}

    def wrong(other: LoopProgram) -> bool:
        return any(kind(w) in kinds for w in judged_program(other, whole=True)[1])

    made = minimal(made, wrong)
    sys.stdout.write(f"{made}")
    for words in judged_program(made, whole=True)[1]:
        sys.stdout.write(f"# {words}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
