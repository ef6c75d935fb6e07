"""Scans and while loops in native code: around the kernel of the body. Floor 9.

The body's tape is lowered to a kernel of its own, whose text joins the module under
names of its own. The loop hands it pointers: to the carry, to the entries of xs and ys
of this iteration, and to what does not change. The next carry has a place of its own
and is copied, so that a body may read the one after it has written the other. A body
that reports a failure, or a flipped guard, ends the kernel: the interpreter says where.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import re
from collections.abc import Sequence
from typing import Any

from tapegrad.errors import CompileError
from tapegrad.native.arrays.calling import (
    FAILED,
    Text,
    copy_bytes,
    moved,
    operand,
    part,
    routine,
)
from tapegrad.native.arrays.graph import Graph, Node
from tapegrad.native.arrays.rules import rule
from tapegrad.native.arrays.words import BYTES, KINDS, TRUTH, stored
from tapegrad.native.engine import MEMORY, Outside
from tapegrad.native.objects import PAIRED
from tapegrad.tape.parameters import MOST
from tapegrad.tape.tape import Aval, Tape

# Bytes up to which memory is a function's own, and up to which a leaf of the carry is
# copied from turn to turn: of a longer one there are two places that change roles.
LOCAL, COPIED = 1024, 64
# Steps of numbers in a turn that are put together as vectors.
LONG = 200

DEFINED = re.compile(r"^(?:define [^@]*)?@([\w.]+)(?: =|\()", re.MULTILINE)
NAME = re.compile(r"@([\w.]+)")
MARK = re.compile(r"!(\d+)\b")


@rule
def _scan(
    g: Graph, *args: Node, counted: bool = False, **params: Any
) -> tuple[Node, ...]:
    tape, carry = params["tape"], params["carry"]
    length = params["length"]
    avals = [tape.aval_of(slot) for slot in tape.outputs]
    made = [
        (shape if place < carry else (length, *shape), dtype)
        for place, (shape, dtype) in enumerate(avals)
    ]
    _check_memory(made[carry:], params)
    # nodes are known by their parameters as text: the body goes by its content
    g.tapes[tape.digest] = tape
    words = {name: params[name] for name in ("carry", "xs", "length", "reverse")}
    words |= {"body": tape.digest, "counted": counted}
    return g.calls("scanned", args, made, **words)


def _check_memory(stacks: Sequence[Aval], params: Any) -> None:
    """Refuse stacks of entries that are no scratch memory.

    Raises:
        CompileError: they take more than half of the memory that there is.
    """
    size = sum(math.prod(shape) * BYTES[KINDS[kind]] for shape, kind in stacks)
    if size > memory() // 2:
        msg = (
            f"{params['name']}: {params['length']:,} iterations would keep "
            f"{size / 1e9:.1f} GB in native code, of {memory() / 1e9:.1f} GB that "
            "there are; in reverse all carries are kept there. tape.gradient keeps a "
            "few of them and computes the others again"
        )
        raise CompileError(msg)


@functools.cache
def memory() -> int:
    """Bytes of memory that the machine has; more than any where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return MOST


@rule
def _bounded_scan(g: Graph, *args: Node, **params: Any) -> tuple[Node, ...]:
    found: tuple[Node, ...] = _scan(g, *args, counted=True, **params)
    return found


@rule
def _while_loop(g: Graph, *args: Node, **params: Any) -> tuple[Node, ...]:
    body, cond = params["body"], params["cond"]
    g.tapes |= {tape.digest: tape for tape in (body, cond)}
    avals = [body.aval_of(slot) for slot in body.outputs]
    words = {"body": body.digest, "cond": cond.digest}
    return g.calls("repeated", args, avals, **words)


def _room(out: Text, size: int) -> str:
    """Memory that one turn hands to the next: registers, where it is little."""
    return out.own(size) if size <= LOCAL else out.scratch(size)


class Turns:
    """What the loops have in common: a carry, and the body's kernel.

    Args:
        out: the text.
        tape: the body.
        carry: number of leaves of the carry.
        arguments: pointers to the operands.
    """

    def __init__(
        self, out: Text, tape: Tape, carry: int, arguments: Sequence[str]
    ) -> None:
        self.out, self.carry = out, carry
        self.taken = [size_of(tape, slot) for slot in tape.inputs]
        self.given = [size_of(tape, slot) for slot in tape.outputs]
        self.now = [_room(out, size) for size in self.taken[:carry]]
        self.following = [_room(out, size) for size in self.taken[:carry]]
        for to, pointer, size in zip(self.now, arguments, self.taken, strict=False):
            copy_bytes(out, to, pointer, size)
        self.kernel = _Kernel(out, tape)
        constants = arguments[carry:]
        _fill(out, self.kernel.inputs, [*self.now, *constants[: len(self.taken)]], 0)
        _fill(out, self.kernel.outputs, self.following, 0)

    def turn(self, taken: Sequence[str] = (), given: Sequence[str] = ()) -> None:
        """One run of the body, which takes and gives entries of this turn."""
        _fill(self.out, self.kernel.inputs, taken, self.carry)
        _fill(self.out, self.kernel.outputs, given, self.carry)
        self.kernel.run()
        pairs = zip(self.now, self.following, self.taken, strict=False)
        for place, (to, pointer, size) in enumerate(pairs):
            if size <= COPIED:
                copy_bytes(self.out, to, pointer, size)
            else:
                self._swap(place)

    def _swap(self, place: int) -> None:
        """Let a leaf of the carry that was given be the one that is taken next."""
        out = self.out
        tables = [
            moved(out, table, str(place), "ptr")
            for table in (self.kernel.inputs, self.kernel.outputs)
        ]
        pointers = [out.fresh("p") for _ in tables]
        for pointer, table in zip(pointers, tables, strict=True):
            out.emit(f"{pointer} = load ptr, ptr {table}")
        for pointer, table in zip(pointers, reversed(tables), strict=True):
            out.emit(f"store ptr {pointer}, ptr {table}")

    def taking(self) -> list[str]:
        """Where the carry stands that is taken next."""
        out, found = self.out, []
        for place, (pointer, size) in enumerate(
            zip(self.now, self.taken, strict=False)
        ):
            found.append(pointer)
            if size > COPIED:
                found[-1] = out.fresh("p")
                at = moved(out, self.kernel.inputs, str(place), "ptr")
                out.emit(f"{found[-1]} = load ptr, ptr {at}")
        return found

    def end(self, into: Sequence[str]) -> None:
        """The last carry is the result."""
        for to, pointer, size in zip(into, self.taking(), self.given, strict=False):
            copy_bytes(self.out, to, pointer, size)


class _Kernel:
    """A tape's kernel, joined to the module, and its tables of pointers."""

    def __init__(self, out: Text, tape: Tape) -> None:
        from tapegrad.native.arrays.lower import lower_arrays

        lowered = lower_arrays(tape, fast=out.reading.fast)
        self.out = out
        if len(tape) >= LONG and not tape.arrays:
            out.globals[PAIRED] = PAIRED
        self.name = _joined(out, lowered.body, lowered.calls)
        self.inputs = _room(out, 8 * max(len(tape.inputs), 1))
        self.outputs = _room(out, 8 * max(len(tape.outputs), 1))
        self.arena = _room(out, lowered.arena_bytes)

    def run(self) -> None:
        """Call it; leave where it has no answer."""
        out = self.out
        status, good = out.fresh(), out.fresh()
        out.emit(
            f"{status} = call i32 @{self.name}(ptr {self.inputs}, ptr {self.outputs}, "
            f"ptr {self.arena})",
            f"{good} = icmp eq i32 {status}, 0",
        )
        out.leave(good, FAILED)


@routine
def _repeated(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """A loop as long as a condition holds."""
    body, cond = (out.plan.graph.tapes[node.params[k]] for k in ("body", "cond"))
    carry = len(body.outputs)
    gives = [part(out, parts, k, size_of(body, i)) for k, i in enumerate(body.outputs)]
    arguments = [address_of(out, arg) for arg in node.args]
    loop = Turns(out, body, carry, arguments)
    more, truth = _Kernel(out, cond), _room(out, 1)
    _fill(out, more.inputs, [*loop.now, *arguments[len(body.inputs) :]], 0)
    _fill(out, more.outputs, [truth], 0)
    head, inner, after = (out.fresh("b")[1:] for _ in range(3))
    out.emit(f"br label %{head}", f"{head}:")
    _fill(out, more.inputs, loop.taking(), 0)
    more.run()
    byte, on = out.fresh(), out.fresh()
    out.emit(f"{byte} = load i8, ptr {truth}", f"{on} = icmp ne i8 {byte}, 0")
    out.emit(f"br i1 {on}, label %{inner}, label %{after}", f"{inner}:")
    loop.turn()
    out.emit(f"br label %{head}", f"{after}:")
    loop.end(gives)


def size_of(tape: Tape, slot: int) -> int:
    """Bytes of a slot."""
    shape, dtype = tape.aval_of(slot)
    size = BYTES[KINDS[dtype]]
    for extent in shape:
        size *= extent
    return size


def address_of(out: Text, node: Node) -> str:
    """A pointer to an operand; a number in a register is put into memory."""
    name = out.register(out.plan.views[node].base)
    if name is None:
        return operand(out, node)
    kind = KINDS[node.dtype]
    cell, byte = _room(out, 8), name
    if kind == TRUTH:
        byte = out.fresh()
        out.emit(f"{byte} = zext i1 {name} to i8")
    out.emit(f"store {stored(kind)} {byte}, ptr {cell}")
    return cell


def entry_at(out: Text, pointer: str, at: str, size: int) -> str:
    """Where the entry of an iteration stands."""
    by = out.fresh()
    out.emit(f"{by} = mul i64 {at}, {size}")
    return moved(out, pointer, by, "i8")


def _fill(out: Text, table: str, pointers: Sequence[str], start: int) -> None:
    """Write pointers into a table of them."""
    for place, pointer in enumerate(pointers, start):
        at = moved(out, table, str(place), "ptr")
        out.emit(f"store ptr {pointer}, ptr {at}")


def _joined(out: Text, body: str, calls: Sequence[Outside]) -> str:
    """Put the text of a kernel into the module; returns the kernel's name."""
    prefix = f"body{out.fresh('b')[2:]}."
    own = set(DEFINED.findall(body))
    for call in calls:
        if call in MEMORY:  # every module has it
            continue
        outside = call
        if call.place is not None:
            own |= {call.name, f"{call.name}.at"}
            outside = dataclasses.replace(call, name=prefix + call.name)
        out.called[outside.name] = outside
    offset = len(out.metadata)

    def renamed(found: re.Match[str]) -> str:
        return f"@{prefix}{found[1]}" if found[1] in own else found[0]

    kernel = f"{prefix}kernel"
    text = NAME.sub(renamed, body)
    text = MARK.sub(lambda found: f"!{int(found[1]) + offset}", text)
    text = text.replace(f"define i32 @{kernel}", f"define internal i32 @{kernel}")
    lines = text.splitlines(keepends=True)
    out.metadata += [line for line in lines if line.startswith("!")]
    out.globals[prefix] = "".join(line for line in lines if not line.startswith("!"))
    return kernel
