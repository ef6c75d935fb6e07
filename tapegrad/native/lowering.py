"""A tape as LLVM text. Floor 9. Knows nothing of any machine.

    i32 @kernel(double* x, double* y)       inputs in, outputs out, the status back

A status of 0 is success, k > 0 tells that the k-th guard flipped, -1 that there was no
memory. Steps become instructions one by one, in tape order, without fast-math flags: no
reassociation and no contraction, so the results are the interpreter's.

A short tape is one function that lives in registers. A long one is cut into chunks of
steps, since code generators take more than linear time over a function: each chunk is a
function, and only slots that are read in a later chunk are stored, in a buffer ``%s``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.engine import FREE, MALLOC, Outside
from tapegrad.native.reading import DOUBLE, TRUTH, LlvmReading, literal
from tapegrad.rules import TABLE
from tapegrad.tape.tape import BOOLEAN, SCALAR, Tape

# A buffer of at most this many slots stands on the stack (32 KiB).
ON_STACK = 4096

LOAD = (
    "%p{0} = getelementptr double, ptr {1}, i64 {2}\n%v{0} = load double, ptr %p{0}\n"
)
LOAD_TRUTH = (
    "%p{0} = getelementptr double, ptr {1}, i64 {2}\n%b{0} = load i8, ptr %p{0}\n"
    "%v{0} = trunc i8 %b{0} to i1\n"
)
STORE = "%q{0} = getelementptr double, ptr %s, i64 {1}\nstore double %v{0}, ptr %q{0}\n"
STORE_TRUTH = (
    "%q{0} = getelementptr double, ptr %s, i64 {1}\n%c{0} = zext i1 %v{0} to i8\n"
    "store i8 %c{0}, ptr %q{0}\n"
)
OUTPUT = "%o{0} = getelementptr double, ptr %y, i64 {0}\nstore double {1}, ptr %o{0}\n"
OUTPUT_TRUTH = "%t{0} = uitofp i1 {1} to double\n"
COPY = "%i{0} = getelementptr double, ptr %x, i64 {1}\n%j{0} = load double, ptr %i{0}\n"
HEAP = (
    "%s = call ptr @malloc(i64 {0})\n%none = icmp eq ptr %s, null\n"
    "br i1 %none, label %poor, label %rich\npoor:\nret i32 -1\nrich:\n"
)
CHECK = (
    "store i32 %r{0}, ptr %status\n%z{0} = icmp eq i32 %r{0}, 0\n"
    "br i1 %z{0}, label %k{0}, label %leave\nk{0}:\n"
)
GUARD = "br i1 {1}, label %on{0}, label %off{0}\noff{0}:\nret i32 {0}\non{0}:\n"


@dataclass(frozen=True, slots=True)
class Lowered:
    """LLVM text of a tape.

    Args:
        body: the module; its function is ``@kernel``.
        calls: the functions that it calls.
        steps: steps of the lowered tape.
        chunks: functions that the steps were cut into.
    """

    body: str
    calls: tuple[Outside, ...]
    steps: int
    chunks: int

    @property
    def text(self) -> str:
        """The whole module as source, calls declared."""
        return "".join([*(call.declared() for call in self.calls), self.body])


def lower(tape: Tape, chunk: int) -> Lowered:
    """Lower a flat tape of scalars.

    Args:
        tape: a tape without call steps.
        chunk: steps a function; a tape that is not longer is one function.

    Raises:
        CompileError: a step has no native code, or a slot is no scalar.
    """
    return _Lowering(tape, chunk).run()


class _Lowering:
    """The columns as lists, and the text as it grows."""

    def __init__(self, tape: Tape, chunk: int) -> None:
        for aval in tape.avals:
            if aval not in {SCALAR, BOOLEAN}:
                msg = f"native code is for scalar slots, the tape has one of {aval}"
                raise CompileError(msg)
        self.tape = tape
        self.m = LlvmReading()
        self.rows = [TABLE[name] for name in tape.operations]
        self.kind = [row.name for row in self.rows]
        self.truth = np.array([aval == BOOLEAN for aval in tape.avals])[tape.aval]
        self.single = len(tape) <= chunk
        self.chunk = max(len(tape), 1) if self.single else chunk
        self.forms, self.form_of = self._forms()
        self._places()

    def _forms(self) -> tuple[list[Callable[..., str]], list[int]]:
        """One template for each kind of step, and which one each step has."""
        tape = self.tape
        count = np.diff(tape.offsets)
        position = np.arange(len(tape.operands)) - np.repeat(tape.offsets[:-1], count)
        owner = np.repeat(np.arange(len(tape)), count)
        plain = np.array([row.kind != "structure" for row in self.rows] or [True])
        static = np.where(plain[tape.opcode], tape.static, 0)
        width = int(count.max(initial=0)) if self.truth.any() else 0
        keys = (tape.opcode.astype(np.int64) * len(tape.statics) + static) << width
        if width:
            # operands that are truth values, a bit each: conversions differ with them
            bits = np.where(self.truth[tape.operands], 2.0**position, 0.0)
            mask = np.bincount(owner, weights=bits, minlength=len(tape))
            keys |= mask.astype(np.int64)
        _, at, which = np.unique(keys, return_index=True, return_inverse=True)
        forms = []
        for step in at.tolist():
            row = self.rows[tape.opcode[step]]
            if row.name == "call":
                msg = "native code is for flat tapes; put sub-tapes in place first"
                raise CompileError(msg)
            if row.kind == "structure":
                forms.append(str.format)
                continue
            reads = tape.operands[tape.offsets[step] : tape.offsets[step + 1]]
            types = [TRUTH if self.truth[slot] else DOUBLE for slot in reads]
            gives = TRUTH if self.truth[tape.first[step]] else DOUBLE
            params = dict(tape.statics[tape.static[step]])
            forms.append(self.m.form(row, types, params, gives).format)
        return forms, which.tolist()

    def _places(self) -> None:
        """Names of slots, and where those that cross chunks are stored."""
        tape = self.tape
        slots = tape.slot_count
        self.names = list(map("%v{}".format, range(slots)))
        code_of_slot = tape.opcode[np.diff(tape.first) > 0]
        constant = np.zeros(slots, bool)
        given = np.zeros(slots, bool)
        for code, kind in enumerate(self.kind):
            if kind == "const":
                constant = code_of_slot == code
            elif kind == "input":
                given = code_of_slot == code
        steps = np.flatnonzero(np.diff(tape.first) > 0)
        for slot in np.flatnonzero(constant).tolist():
            value = dict(tape.statics[tape.static[steps[slot]]])["value"]
            truth = bool(self.truth[slot])
            self.names[slot] = literal(bool(value) if truth else float(value))
        made = steps // self.chunk
        last = made.copy()
        reader = np.repeat(np.arange(len(tape)), np.diff(tape.offsets)) // self.chunk
        np.maximum.at(last, tape.operands, reader)
        crosses = (last > made) & ~constant & ~given
        self.buffer = int(crosses.sum())
        place = np.where(crosses, np.cumsum(crosses) - 1, -1)
        self.place: list[int] = place.tolist()
        self.fixed: list[bool] = constant.tolist()
        self.given: dict[int, int] = {}
        for index, slot in enumerate(tape.inputs):
            self.given[slot] = index
        # inputs and constants are outputs at the end, other slots where they are made
        self.results: dict[int, list[int]] = {}
        self.at_end: list[tuple[int, int]] = []
        for index, slot in enumerate(tape.outputs):
            if constant[slot] or given[slot]:
                self.at_end.append((index, slot))
            else:
                self.results.setdefault(slot, []).append(index)

    # -- text ------------------------------------------------------------------

    def run(self) -> Lowered:
        steps = len(self.tape)
        starts = range(0, max(steps, 1), self.chunk)
        bodies = [self._body(low, min(low + self.chunk, steps)) for low in starts]
        if self.single:
            functions = [
                "define i32 @kernel(ptr noalias %x, ptr noalias %y) {\n",
                *bodies,
                self._end(),
                "ret i32 0\n}\n",
            ]
        else:
            functions = self._chunked(bodies)
        calls = tuple(self.m.called.values())
        return Lowered("".join(functions), calls, steps, len(bodies))

    def _body(self, low: int, high: int) -> str:
        """The instructions of the steps low .. high - 1."""
        tape, names, place, fixed = self.tape, self.names, self.place, self.fixed
        forms, results, given = self.forms, self.results, self.given
        kind, opcode = self.kind, tape.opcode[low:high].tolist()
        offsets = tape.offsets[low : high + 1].tolist()
        base = offsets[0]
        operands = tape.operands[base : offsets[-1]].tolist()
        slot = start = int(tape.first[low])
        here: set[int] = set()
        out: list[str] = []
        push = out.append
        end = base
        for step, form in enumerate(self.form_of[low:high]):
            begin, end = end, offsets[step + 1]
            if begin == end and kind[opcode[step]] in {"input", "const"}:
                slot += 1
                continue
            reads = operands[begin - base : end - base]
            for read in reads:
                if (
                    (read < start or read in given)
                    and read not in here
                    and not fixed[read]
                ):
                    here.add(read)
                    push(self._load(read))
            if kind[opcode[step]] == "guard":
                push(self._guard(low + step, reads[0]))
                continue
            push(forms[form](slot, *[names[read] for read in reads]))
            if place[slot] >= 0:
                text = STORE_TRUTH if self.truth[slot] else STORE
                push(text.format(slot, place[slot]))
            if slot in results:
                for index in results[slot]:
                    push(self._output(index, slot, names[slot]))
            slot += 1
        return "".join(out)

    def _load(self, slot: int) -> str:
        if slot in self.given:
            return LOAD.format(slot, "%x", self.given[slot])
        text = LOAD_TRUTH if self.truth[slot] else LOAD
        return text.format(slot, "%s", self.place[slot])

    def _output(self, index: int, slot: int, name: str) -> str:
        if self.truth[slot]:
            return OUTPUT_TRUTH.format(index, name) + OUTPUT.format(index, f"%t{index}")
        return OUTPUT.format(index, name)

    def _guard(self, step: int, slot: int) -> str:
        """Leave with the guard's number when its outcome is another one."""
        static = dict(self.tape.statics[self.tape.static[step]])
        outcome, name, number = static["guard"].outcome, self.names[slot], step + 1
        if isinstance(outcome, bool):
            lines, truth = "", name
            if not self.truth[slot]:
                truth = f"%g{number}"
                lines = f"{truth} = fcmp une double {name}, {literal(0.0)}\n"
            expected = f"%h{number}"
            lines += f"{expected} = xor i1 {truth}, {literal(not outcome)}\n"
            return lines + GUARD.format(number, expected)
        whole = name
        lines = ""
        if self.truth[slot]:
            whole = f"%g{number}"
            lines = f"{whole} = uitofp i1 {name} to double\n"
        trunc = Outside("llvm.trunc.f64")
        self.m.called[trunc.name] = trunc
        return (
            f"{lines}%w{number} = call double @{trunc.name}(double {whole})\n"
            f"%h{number} = fcmp oeq double %w{number}, {literal(float(outcome))}\n"
            + GUARD.format(number, f"%h{number}")
        )

    def _end(self) -> str:
        """Outputs that are inputs or constants."""
        out = []
        for index, slot in self.at_end:
            name = self.names[slot]
            if slot in self.given:
                out.append(COPY.format(index, self.given[slot]))
                name = f"%j{index}"
            out.append(self._output(index, slot, name))
        return "".join(out)

    def _chunked(self, bodies: Sequence[str]) -> list[str]:
        """A function a chunk, and the kernel that calls them in order."""
        arguments = "ptr %x, ptr %s, ptr %y"
        out = []
        for number, body in enumerate(bodies):
            head = f"define internal i32 @chunk{number}({arguments}) noinline {{\n"
            out += [head, body, "ret i32 0\n}\n"]
        out.append("define i32 @kernel(ptr noalias %x, ptr noalias %y) {\n")
        out.append("%status = alloca i32\nstore i32 0, ptr %status\n")
        stack = self.buffer <= ON_STACK
        if stack:
            out.append(f"%s = alloca double, i64 {max(self.buffer, 1)}\n")
        else:
            out.append(HEAP.format(8 * self.buffer))
            self.m.called |= {call.name: call for call in (MALLOC, FREE)}
        guarded = "guard" in self.kind
        for number in range(len(bodies)):
            out.append(f"%r{number} = call i32 @chunk{number}({arguments})\n")
            if guarded:
                out.append(CHECK.format(number))
        out += [self._end(), "br label %leave\nleave:\n"]
        if not stack:
            out.append("call void @free(ptr %s)\n")
        out.append("%found = load i32, ptr %status\nret i32 %found\n}\n")
        return out
