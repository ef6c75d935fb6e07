"""Scans in native code: a loop around the kernel of the body. Floor 9.

The body's tape is lowered to a kernel of its own, whose text joins the module under
names of its own. The loop hands it pointers: to the carry, to the entries of xs and ys
of this iteration, and to what does not change. The next carry has a place of its own
and is copied, so that a body may read the one after it has written the other. A body
that reports a failure, or a flipped guard, ends the kernel: the interpreter says where.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

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
from tapegrad.tape.tape import Tape

DEFINED = re.compile(r"^(?:define [^@]*)?@([\w.]+)(?: =|\()", re.MULTILINE)
NAME = re.compile(r"@([\w.]+)")
MARK = re.compile(r"!(\d+)\b")


@rule
def _scan(g: Graph, *args: Node, **params: Any) -> tuple[Node, ...]:
    tape, carry = params["tape"], params["carry"]
    length = params["length"]
    avals = [tape.aval_of(slot) for slot in tape.outputs]
    made = [
        (shape if place < carry else (length, *shape), dtype)
        for place, (shape, dtype) in enumerate(avals)
    ]
    # nodes are known by their parameters as text: the body goes by its content
    g.tapes[tape.digest] = tape
    words = {name: params[name] for name in ("carry", "xs", "length", "reverse")}
    return g.calls("scanned", args, made, body=tape.digest, **words)


@routine
def _scanned(out: Text, node: Node, parts: Sequence[Node]) -> None:
    from tapegrad.native.arrays.lower import lower_arrays

    tape = out.plan.graph.tapes[node.params["body"]]
    carry, xs = node.params["carry"], node.params["xs"]
    length, reverse = node.params["length"], node.params["reverse"]
    sizes = [_size(tape, slot) for slot in (*tape.inputs, *tape.outputs)]
    taken, given = sizes[: len(tape.inputs)], sizes[len(tape.inputs) :]
    gives = [
        part(out, parts, place, size * (length if place >= carry else 1))
        for place, size in enumerate(given)
    ]
    now = [out.scratch(size) for size in taken[:carry]]
    following = [out.scratch(size) for size in taken[:carry]]
    for place in range(carry):
        copy_bytes(out, now[place], _address(out, node.args[place]), taken[place])
    others = [_address(out, arg) for arg in node.args[carry:]]
    if length:
        lowered = lower_arrays(tape)
        kernel = _joined(out, lowered.body, lowered.calls)
        inputs = out.scratch(8 * len(taken))
        outputs = out.scratch(8 * max(len(given), 1))
        arena = out.scratch(lowered.arena_bytes)
        _fill(out, inputs, [*now, *others], 0)
        _fill(out, outputs, following, 0)

        def turn(i: str) -> None:
            at = i
            if reverse:
                at = out.fresh()
                out.emit(f"{at} = sub i64 {length - 1}, {i}")
            rows = [
                _entry(out, pointer, at, size)
                for pointer, size in zip(
                    [*others[:xs], *gives[carry:]],
                    [*taken[carry : carry + xs], *given[carry:]],
                    strict=True,
                )
            ]
            _fill(out, inputs, rows[:xs], carry)
            _fill(out, outputs, rows[xs:], carry)
            status, good = out.fresh(), out.fresh()
            out.emit(
                f"{status} = call i32 @{kernel}(ptr {inputs}, ptr {outputs}, "
                f"ptr {arena})",
                f"{good} = icmp eq i32 {status}, 0",
            )
            out.leave(good, FAILED)
            for one, two, size in zip(now, following, taken, strict=False):
                copy_bytes(out, one, two, size)

        out.loop(length, turn)
    for place in range(carry):
        copy_bytes(out, gives[place], now[place], given[place])


def _size(tape: Tape, slot: int) -> int:
    """Bytes of a slot."""
    shape, dtype = tape.aval_of(slot)
    size = BYTES[KINDS[dtype]]
    for extent in shape:
        size *= extent
    return size


def _address(out: Text, node: Node) -> str:
    """A pointer to an operand; a number in a register is put into memory."""
    name = out.register(out.plan.views[node].base)
    if name is None:
        return operand(out, node)
    kind = KINDS[node.dtype]
    cell, byte = out.scratch(8), name
    if kind == TRUTH:
        byte = out.fresh()
        out.emit(f"{byte} = zext i1 {name} to i8")
    out.emit(f"store {stored(kind)} {byte}, ptr {cell}")
    return cell


def _entry(out: Text, pointer: str, at: str, size: int) -> str:
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
