"""Scans as text: turn by turn, or a strip of turns at a time. Floor 9.

A scan reads and writes entries along their first axis. In a group of nests (see
`strips`) it takes the rows of a strip when the nests before it have made them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from tapegrad.native.arrays.calling import FAILED, Text, part, routine
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.loops import Turns, address_of, entry_at, size_of


class ScanLoop:
    """The text of a scan: what stands before its turns, one turn, what stands after.

    Args:
        out: the text.
        node: the call.
        parts: its results.

    Attributes:
        steps: of its body.
    """

    def __init__(self, out: Text, node: Node, parts: Sequence[Node]) -> None:
        tape = out.plan.graph.tapes[node.params["body"]]
        carry, length = node.params["carry"], node.params["length"]
        self.out, self.carry = out, carry
        self.steps = len(tape) - len(tape.inputs)
        self.gives = [
            part(out, parts, k, size_of(tape, slot) * (length if k >= carry else 1))
            for k, slot in enumerate(tape.outputs)
        ]
        makers = {each.params["place"]: each.number for each in parts}
        self.made = [makers.get(k, -1) for k in range(carry, len(tape.outputs))]
        self.arguments = [address_of(out, arg) for arg in node.args]
        first = node.params["counted"] + carry
        self.xs = slice(carry, carry + node.params["xs"])
        taken = node.args[first : first + node.params["xs"]]
        self.read = [out.plan.views[arg].base.number for arg in taken]
        self.turns, self.last = str(length), str(length - 1)
        if node.params["counted"]:
            count = self.arguments.pop(0)
            self.turns, self.last = _counted(out, count, length)
        self.loop = Turns(out, tape, carry, self.arguments)

    def turn(self, at: str, near: str = "", inner: Container[int] = ()) -> None:
        """The turn of an entry.

        Args:
            at: its place.
            near: its place in the strip.
            inner: numbers of the nodes of which there is one strip.
        """
        carry, loop = self.carry, self.loop
        taken = zip(
            self.arguments[self.xs], self.read, loop.taken[self.xs], strict=True
        )
        given = zip(self.gives[carry:], self.made, loop.given[carry:], strict=True)

        def entries(ends: Iterable[tuple[str, int, int]]) -> list[str]:
            return [
                entry_at(self.out, pointer, near if number in inner else at, size)
                for pointer, number, size in ends
            ]

        loop.turn(entries(taken), entries(given))

    def end(self) -> None:
        """The last carry is a result."""
        self.loop.end(self.gives)


@routine
def _scanned(out: Text, node: Node, parts: Sequence[Node]) -> None:
    """A scan by itself."""
    scan = ScanLoop(out, node, parts)

    def turn(i: str) -> None:
        at = i
        if node.params["reverse"]:
            at = out.fresh()
            out.emit(f"{at} = sub i64 {scan.last}, {i}")
        scan.turn(at)

    if node.params["length"]:
        out.loop(scan.turns, turn)
    scan.end()


def _counted(out: Text, count: str, room: int) -> tuple[str, str]:
    """The number of turns, and of the last one; leave where there is no room."""
    number, turns, last, fits = (out.fresh() for _ in range(4))
    out.emit(
        f"{number} = load double, ptr {count}",
        f"{turns} = fptosi double {number} to i64",
        f"{last} = sub i64 {turns}, 1",
        f"{fits} = icmp sle i64 {turns}, {room}",
    )
    out.leave(fits, FAILED)
    return turns, last
