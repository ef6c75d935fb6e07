"""LLVM text, taken apart into functions, blocks and instructions. Floor 9.

This is no reader of all of LLVM's language: it knows the instructions that the lowering
of tapes writes, and refuses others by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tapegrad.errors import CompileError

# An operand, and the name of its type.
Operand = tuple[str, str]

_BINARY = """
fadd fsub fmul fdiv frem add sub mul sdiv udiv srem urem shl lshr ashr and or xor
"""
BINARY = frozenset(_BINARY.split())
_CASTS = """
bitcast zext sext trunc fpext fptrunc sitofp uitofp fptosi fptoui
"""
CASTS = frozenset(_CASTS.split())
# Words that say what may be assumed, and change no value here: contraction and other
# orders of a sum are allowed by them, not asked for.
_FLAGS = """
contract reassoc nsz nnan ninf arcp afn nuw nsw exact disjoint nneg inbounds tail
samesign
"""
FLAGS = frozenset(_FLAGS.split())
CALL = re.compile(r"(\w+) @([\w.-]+)\((.*?)\)")
EDGE = re.compile(r"\[ ([^,]+), %([\w.]+) \]")
HEAD = re.compile(r"define (?:\w+ )*?(\w+) @([\w.-]+)\((.*?)\)")
GLOBAL = re.compile(r"@([\w.-]+) = (?:\w+ )*?constant (.*?)(?:, align \d+)?$")


@dataclass(slots=True)
class Instruction:
    """One instruction.

    Args:
        name: its register, without the %; empty where it gives nothing.
        op: its word; of comparisons with the predicate, ``fcmp ogt``.
        kind: the type of the result.
        operands: with their types; of a phi, the values.
        word: what else there is: a function's name, the type that an address steps by.
        labels: of branches; of a phi, the blocks that the values come from.
    """

    name: str
    op: str
    kind: str
    operands: list[Operand]
    word: str = ""
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Block:
    """Instructions in a row, the last of which is a branch or a return."""

    label: str
    body: list[Instruction] = field(default_factory=list)

    @property
    def end(self) -> Instruction:
        """How the block ends."""
        return self.body[-1]


@dataclass(slots=True)
class Function:
    """A function of the module.

    Args:
        name, gives: its name, and the type of its result.
        takes: registers of its arguments, with types.
        blocks: in the order of the text.
    """

    name: str
    gives: str
    takes: list[Operand]
    blocks: list[Block]


@dataclass(slots=True)
class Module:
    """Functions in order, and constants by name: the type, and the entries' text."""

    functions: dict[str, Function] = field(default_factory=dict)
    constants: dict[str, tuple[str, list[str] | str]] = field(default_factory=dict)


def parse(text: str) -> Module:
    """Take a module apart.

    Raises:
        CompileError: it holds an instruction that is not known here.
    """
    module = Module()
    blocks: list[Block] | None = None
    for raw in text.splitlines():
        line = raw.strip()
        if blocks is None:
            if line.startswith("define "):
                function = _head(line)
                blocks = function.blocks
                module.functions[function.name] = function
            elif line.startswith("@"):
                _constant(line, module)
        elif line == "}":
            blocks = None
        elif line.endswith(":"):
            blocks.append(Block(line[:-1]))
        elif line and line[0] != ";":
            if not blocks:
                blocks.append(Block(""))
            blocks[-1].body.append(instruction(line))
    return module


def _head(line: str) -> Function:
    found = HEAD.match(line)
    if found is None:
        raise _unknown(line)
    takes = [_typed(part) for part in found[3].split(", ") if part]
    return Function(found[2], found[1], [(k, v[1:]) for k, v in takes], [])


def _constant(line: str, module: Module) -> None:
    """A constant: one number, or an array."""
    found = GLOBAL.match(line)
    if found is None:
        raise _unknown(line)
    name, text = found[1], found[2]
    if text.startswith("["):
        kind = text[1 : text.index("]")].split(" x ")[1]
        inside = text[text.index("] [") + 3 : -1]
        entries = [part.split()[-1] for part in inside.split(", ") if part]
        module.constants[name] = kind, entries
    else:
        kind, value = text.split()
        module.constants[name] = kind, value


def _typed(text: str) -> Operand:
    """An operand after its type; words between them are about memory."""
    words = text.split()
    return words[0], words[-1]


def _unknown(line: str) -> CompileError:
    return CompileError(f"there are no words in C for the instruction {line!r}")


def instruction(line: str) -> Instruction:
    """Take one instruction apart.

    Raises:
        CompileError: it is not known here.
    """
    mark = line.find(", !")
    if mark > 0:
        line = line[:mark]
    name, text = "", line
    if line[0] == "%":
        name, _, text = line.partition(" = ")
        name = name[1:]
    op, _, rest = text.partition(" ")
    try:
        return _by_word(name, op, rest)
    except (KeyError, ValueError, IndexError, TypeError):
        raise _unknown(line) from None


def _by_word(name: str, op: str, rest: str) -> Instruction:
    if op in BINARY:
        rest = _unmarked(rest)
        kind, _, both = rest.partition(" ")
        one, two = both.split(", ")
        return Instruction(name, op, kind, [(kind, one), (kind, two)])
    if op in CASTS:
        one, kind = _unmarked(rest).split(" to ")
        return Instruction(name, op, kind, [_typed(one)])
    if op in {"fcmp", "icmp"}:
        predicate, kind, both = _unmarked(rest).split(" ", 2)
        one, two = both.split(", ")
        return Instruction(name, f"{op} {predicate}", "i1", [(kind, one), (kind, two)])
    return _READERS[op](name, _unmarked(rest))


def _unmarked(rest: str) -> str:
    while True:
        word, _, more = rest.partition(" ")
        if word not in FLAGS:
            return rest
        rest = more


def _negative(name: str, rest: str) -> Instruction:
    one = _typed(rest)
    return Instruction(name, "fneg", one[0], [one])


def _select(name: str, rest: str) -> Instruction:
    parts = [_typed(part) for part in rest.split(", ")]
    return Instruction(name, "select", parts[1][0], parts)


def _call(name: str, rest: str) -> Instruction:
    found = CALL.search(rest)
    if found is None:
        raise ValueError(rest)
    parts = [_typed(part) for part in found[3].split(", ") if part]
    return Instruction(name, "call", found[1], parts, found[2])


def _load(name: str, rest: str) -> Instruction:
    kind, place, *_ = rest.split(", ")
    return Instruction(name, "load", kind, [_typed(place)])


def _store(name: str, rest: str) -> Instruction:
    value, place, *_ = rest.split(", ")
    return Instruction(name, "store", "", [_typed(value), _typed(place)])


def _address(name: str, rest: str) -> Instruction:
    step, base, by = rest.split(", ")
    return Instruction(name, "gep", "ptr", [_typed(base), _typed(by)], step)


def _phi(name: str, rest: str) -> Instruction:
    kind, _, edges = rest.partition(" ")
    pairs = EDGE.findall(edges)
    values = [(kind, value) for value, _ in pairs]
    return Instruction(name, "phi", kind, values, "", tuple(b for _, b in pairs))


def _room(name: str, rest: str) -> Instruction:
    kind, *count = rest.split(", ")
    size = [_typed(part) for part in count if not part.startswith("align")]
    return Instruction(name, "alloca", "ptr", size or [("i64", "1")], kind)


def _branch(name: str, rest: str) -> Instruction:
    parts = [_typed(part) for part in rest.split(", ")]
    labels = tuple(value[1:] for kind, value in parts if kind == "label")
    return Instruction(
        name, "br", "", [p for p in parts if p[0] != "label"], "", labels
    )


def _return(name: str, rest: str) -> Instruction:
    value = [] if rest == "void" else [_typed(rest)]
    return Instruction(name, "ret", "", value)


_READERS = {
    "fneg": _negative,
    "select": _select,
    "call": _call,
    "load": _load,
    "store": _store,
    "getelementptr": _address,
    "phi": _phi,
    "alloca": _room,
    "br": _branch,
    "ret": _return,
}
