"""From a tape with arrays to LLVM text. Floor 9.

    i32 @kernel(ptr %inputs, ptr %outputs, ptr %arena)

``inputs`` and ``outputs`` point to pointers, one an input or output, to contiguous
entries: doubles, floats, 64-bit ints, or a byte a truth value; numbers too. The arena
is scratch memory of ``arena_bytes``, aligned to 64. The result is 0, or the number of
the guard that has flipped plus 1, or negative where there is no native answer.

The text goes from item to item of the `Plan`. Functions are cut where they grow long,
because LLVM takes more than linear time over one.
"""

from __future__ import annotations

from dataclasses import dataclass

from tapegrad.errors import CompileError
from tapegrad.native.arrays.function import ARGUMENTS
from tapegrad.native.arrays.graph import Node
from tapegrad.native.arrays.heirs import put_in_outputs
from tapegrad.native.arrays.numbers import handed_out, lifted
from tapegrad.native.arrays.places import Stored
from tapegrad.native.arrays.plan import Plan
from tapegrad.native.arrays.rows import graph_of
from tapegrad.native.arrays.scans import join_scans
from tapegrad.native.arrays.sequence import ordered
from tapegrad.native.arrays.striploops import StripLoops
from tapegrad.native.arrays.strips import grouped
from tapegrad.native.arrays.writes import join_writes
from tapegrad.native.engine import MEMORY, Outside
from tapegrad.tape.tape import Tape

# Lines of text a function, loops counted as more.
LONG = 1000


@dataclass(frozen=True, slots=True)
class LoweredArrays:
    """LLVM text of a tape with arrays.

    Args:
        body: the module; its function is ``@kernel``.
        calls: what it calls or reads from outside.
        steps: steps of the lowered tape.
        arena_bytes: scratch memory that the caller hands over.
        chunks: functions that the text was cut into.
        nests: loop nests.
    """

    body: str
    calls: tuple[Outside, ...]
    steps: int
    arena_bytes: int
    chunks: int
    nests: int

    @property
    def text(self) -> str:
        """The whole module as source, calls declared."""
        return "".join([*(call.declared() for call in self.calls), self.body])


def lower_arrays(
    tape: Tape,
    lanes: int = 0,
    *,
    fast: bool = False,
    apart: bool = True,
    runs: bool = True,
) -> LoweredArrays:
    """Lower a flat tape, of arrays and numbers.

    Args:
        tape: a tape without call steps.
        lanes: if not 0, arrays are of this many independent lanes, and the kernel runs
            on as many of them as the word after the pointers to inputs says.
        fast: whether functions of vectors may be off by 4 ulps.
        apart: whether those that many loops call may take vectors as operands.
        runs: whether very many numbers that are taken or given may be gone through by
            loops over the pointers to them.

    Raises:
        CompileError: a step has no native code.
    """
    graph, slots = graph_of(tape)
    outputs: list[Node] = []
    for slot in tape.outputs:
        node = slots[slot]
        if node is None:
            msg = f"output slot {slot} has no node"
            raise CompileError(msg)
        outputs.append(node)
    join_scans(graph, outputs)
    join_writes(graph, outputs)
    forced: set[Node] = set()
    runs = runs and not lanes
    if runs:
        outputs, forced = lifted(graph, outputs)
    before = len(graph.nodes)
    while True:
        del graph.nodes[before:]
        plan = Plan(graph, outputs, forced, lanes=lanes > 0)
        plan.items = ordered(plan)
        plan.items = grouped(plan)
        if runs:
            plan.items = handed_out(plan)
        put_in_outputs(plan)
        text = _Text(plan, lanes, fast=fast)
        text.runs = runs
        lowered = text.run(len(tape), apart=apart)
        if not text.wanted:
            return lowered
        if text.wanted <= forced:
            msg = f"no loop was found for {text.wanted}"
            raise CompileError(msg)
        forced |= text.wanted


class _Text(StripLoops):
    """The text of a plan."""

    def run(self, steps: int, *, apart: bool) -> LoweredArrays:
        """The whole module."""
        for place, item in enumerate(self.plan.items):
            self.arena.begin(place)
            try:
                self.item(item)
            except Stored as need:
                # this text is thrown away; the rest is looked at for further needs
                self.wanted |= {*need.nodes}
            self.arena.end(place)
            if self.length > LONG:
                self._cross(place)
                self._end()
        self._end()
        body = [f"define i32 @kernel({ARGUMENTS}) {{\n"]
        for part in range(len(self.done)):
            body.append(  # noqa: PERF401 - a line a step reads better
                f"%r{part} = call i32 @part{part}({ARGUMENTS})\n"
                f"%z{part} = icmp eq i32 %r{part}, 0\n"
                f"br i1 %z{part}, label %n{part}, label %e{part}\n"
                f"e{part}:\nret i32 %r{part}\nn{part}:\n"
            )
        body.append("ret i32 0\n}\n")
        inner = ""
        if self.reading.inner:
            parts = self.done if apart else []
            inner = self.reading.vectors(parts, len(self.metadata))
        parts = [*self.globals.values(), inner, *self.done, *body, *self.metadata]
        text = "".join(parts)
        if len(self.done) == 1:
            text = text.replace(") noinline {", ") {", 1)
        return LoweredArrays(
            text,
            (*MEMORY, *self.called.values()),
            steps,
            self.arena.nbytes,
            len(self.done),
            self.nests,
        )
