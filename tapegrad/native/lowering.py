"""A tape as LLVM text. Floor 9. Knows nothing of any machine.

    i32 @kernel(double* x, double* y)       inputs in, outputs out, the status back

or entries of arrays, see `ends`. A status of 0 is success, k > 0 tells that the guard
of step k - 1 flipped, -1 that there was no memory. Steps become instructions one by
one, in tape order, without fast-math flags: no reassociation and no contraction, so the
results are the interpreter's.

A short tape is one function that lives in registers. A long one is cut into chunks of
steps, since code generators take more than linear time over a function: each chunk is a
function, and only slots that are read in a later chunk are stored, in a buffer ``%s``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tapegrad.errors import CompileError
from tapegrad.native.ends import AS_NUMBER, Columns, Ends, load
from tapegrad.native.engine import FREE, MALLOC, Outside
from tapegrad.native.reading import DOUBLE, TRUTH, LlvmReading, literal
from tapegrad.rules import TABLE
from tapegrad.tape.tape import BOOLEAN, SCALAR, Tape

# LLVM needs some 800 bytes a step while it works: 4 million are 3 GB.
LIMIT = 4_000_000

# A buffer of at most this many slots stands on the stack (32 KiB).
ON_STACK = 4096

# What stands in front of a function's first value, so that this is number 0.
ENTRY = "entry:\n"
# A slot of the buffer has the room of a number, whatever it holds.
SLOT = "double"

STORE = "%{0} = getelementptr double, ptr %s, i64 {1}\nstore double %{2}, ptr %{0}\n"
STORE_TRUTH = (
    "%{0} = getelementptr double, ptr %s, i64 {1}\n%c{0} = zext i1 %{2} to i8\n"
    "store i8 %c{0}, ptr %{0}\n"
)
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
        scratch: slots that are kept in the caller's memory, where it hands some over.
        registers: the number that each slot's value has in its function.
    """

    body: str
    calls: tuple[Outside, ...]
    steps: int
    chunks: int
    scratch: int = 0
    registers: Sequence[int] | npt.NDArray[np.signedinteger] = ()

    @property
    def text(self) -> str:
        """The whole module as source, calls declared."""
        return "".join([*(call.declared() for call in self.calls), self.body])


def lower(tape: Tape, chunk: int, ends: Ends | None = None) -> Lowered:
    """Lower a flat tape of scalars.

    Args:
        tape: a tape without call steps.
        chunk: steps a function; a tape that is not longer is one function.
        ends: where inputs and outputs stand; in columns by default.

    Raises:
        CompileError: a step has no native code, a slot is no scalar, or there are too
            many steps.
    """
    return _Lowering(tape, chunk, ends or Columns()).run()


class _Lowering:
    """One text a step, made column by column; loads and stores are added to a few."""

    def __init__(self, tape: Tape, chunk: int, ends: Ends) -> None:
        if len(tape) > LIMIT:
            msg = (
                f"the code would have {len(tape):,} steps, and {LIMIT:,} are the most "
                "that fit into memory while it is made; sweep the tape itself, or "
                "split the function"
            )
            raise CompileError(msg)
        for aval in tape.avals:
            if aval not in {SCALAR, BOOLEAN}:
                msg = f"native code is for scalar slots, the tape has one of {aval}"
                raise CompileError(msg)
        self.tape = tape
        self.ends = ends
        self.m = LlvmReading()
        self.rows = [TABLE[name] for name in tape.operations]
        self.truth = np.array([aval == BOOLEAN for aval in tape.avals])[tape.aval]
        self.chunk = chunk if len(tape) > chunk else max(len(tape), 1)
        self.count = np.diff(tape.offsets)
        self.owner = np.repeat(np.arange(len(tape)), self.count)
        # each slot's step; steps without a slot are guards
        self.maker = np.flatnonzero(np.diff(tape.first))
        self.constant = self._steps_of("const")[self.maker]
        self.given = self._steps_of("input")[self.maker]
        self.index = {slot: index for index, slot in enumerate(tape.inputs)}
        self.literals = self._literals()
        self._number()

    def _steps_of(self, name: str) -> npt.NDArray[np.bool_]:
        """Which steps are of a primitive."""
        codes = [name == operation for operation in self.tape.operations]
        return np.array(codes or [False])[self.tape.opcode]

    def _literals(self) -> dict[int, str]:
        """The constants, by slot."""
        tape, found = self.tape, {}
        for slot in np.flatnonzero(self.constant).tolist():
            value = dict(tape.statics[tape.static[self.maker[slot]]])["value"]
            found[slot] = literal(bool(value) if self.truth[slot] else float(value))
        return found

    def _number(self) -> None:
        """Number the values of each function, as LLVM counts what has no name.

        Names take LLVM twice as long to read. A step's numbers are those of its loads,
        two each, its result, and the place where that is stored.
        """
        tape, chunk = self.tape, self.chunk
        made, reader = self.maker // chunk, self.owner // chunk
        last = made.copy()
        np.maximum.at(last, tape.operands, reader)
        self.crosses = (last > made) & ~self.constant & ~self.given
        self.place = np.cumsum(self.crosses) - 1
        self.buffer = int(self.crosses.sum())
        away = self.given[tape.operands] | (made[tape.operands] < reader)
        away &= ~self.constant[tape.operands]
        refs = np.flatnonzero(away)
        keys = reader[refs] * tape.slot_count + tape.operands[refs]
        _, at, which = np.unique(keys, return_index=True, return_inverse=True)
        self.loads = np.sort(refs[at])  # where in the operands, in step order
        steps = self.owner[self.loads]
        loaded = np.bincount(steps, minlength=len(tape))
        sizes = 2 * loaded
        sizes[self.maker[~self.constant & ~self.given]] += 1
        sizes[self.maker[self.crosses]] += 1
        ends = np.cumsum(sizes)
        starts = ends - sizes
        starts -= starts[np.arange(len(tape)) // chunk * chunk]
        self.result = (starts + 2 * loaded)[self.maker]
        turn = np.arange(len(steps)) - (np.cumsum(loaded) - loaded)[steps]
        self.load_at = starts[steps] + 2 * turn
        order = np.searchsorted(self.loads, refs[at])
        values = self.result[tape.operands]
        values[refs] = (self.load_at + 1)[order[which]]
        literals = self.literals
        names = list(map("%{}".format, values.tolist()))
        for ref in np.flatnonzero(self.constant[tape.operands]).tolist():
            names[ref] = literals[int(tape.operands[ref])]
        self.reads = names

    # -- text of the steps -----------------------------------------------------

    def _forms(self) -> list[Callable[..., str]]:
        """Each step's template; there is one for each kind of step."""
        tape = self.tape
        plain = np.array([row.kind != "structure" for row in self.rows] or [True])
        static = np.where(plain[tape.opcode], tape.static, 0)
        width = int(self.count.max(initial=0)) if self.truth.any() else 0
        keys = (tape.opcode.astype(np.int64) * len(tape.statics) + static) << width
        if width:
            # operands that are truth values, a bit each: conversions differ with them
            position = np.arange(len(self.owner)) - tape.offsets[self.owner]
            bits = np.where(self.truth[tape.operands], 2.0**position, 0.0)
            mask = np.bincount(self.owner, weights=bits, minlength=len(tape))
            keys |= mask.astype(np.int64)
        _, at, which = np.unique(keys, return_index=True, return_inverse=True)
        forms = [self._form(step) for step in at.tolist()]
        return [forms[kind] for kind in which.tolist()]

    def _form(self, step: int) -> Callable[..., str]:
        tape = self.tape
        row = self.rows[tape.opcode[step]]
        if row.name == "call" or row.nested:
            msg = "native code is for flat tapes; put sub-tapes in place first"
            raise CompileError(msg)
        if row.kind == "structure":  # no instruction, or a guard, which is added later
            return "".format
        reads = tape.operands[tape.offsets[step] : tape.offsets[step + 1]]
        types = [TRUTH if self.truth[slot] else DOUBLE for slot in reads]
        gives = TRUTH if self.truth[tape.first[step]] else DOUBLE
        params = dict(tape.statics[tape.static[step]])
        form = self.m.form(row, types, params, gives)
        return form.replace("%v{0}.", "%t{0}.").replace("%v{0}", "%{0}").format

    def _texts(self) -> list[str]:
        """The instructions of each step."""
        tape = self.tape
        operands = []
        for place in range(int(self.count.max(initial=0))):
            # a template takes the operands that it has; the padding is not looked at
            at = np.where(self.count > place, tape.offsets[:-1] + place, 0)
            operands.append(map(self.reads.__getitem__, at.tolist()))
        slots = np.minimum(tape.first[:-1], max(tape.slot_count - 1, 0))
        numbers = zip(self.result[slots].tolist(), *operands, strict=True)
        texts = [form(*mine) for form, mine in zip(self._forms(), numbers, strict=True)]
        for step in np.flatnonzero(self._steps_of("guard")).tolist():
            ref = int(tape.offsets[step])
            texts[step] = self._guard(step, int(tape.operands[ref]), self.reads[ref])
        inputs = self._cross(texts)
        outputs: dict[int, list[int]] = {}
        end = len(texts) - 1
        for index, slot in enumerate(tape.outputs):
            step, name = int(self.maker[slot]), f"%{self.result[slot]}"
            if self.given[slot]:
                place, copy = self.index[slot], f"c{index}"
                truth = bool(self.truth[slot])
                texts[end] += self.ends.load(f"p{copy}", copy, place, truth)
                inputs.setdefault(end // self.chunk, []).append(place)
                step, name = end, f"%{copy}"
            elif self.constant[slot]:
                step, name = end, self.literals[slot]
            texts[step] += self.ends.store(index, name, bool(self.truth[slot]))
            outputs.setdefault(step // self.chunk, []).append(index)
        for number in inputs.keys() | outputs.keys():
            begin = self.ends.begin(inputs.get(number, ()), outputs.get(number, ()))
            texts[number * self.chunk] = begin + texts[number * self.chunk]
        return texts

    def _cross(self, texts: list[str]) -> dict[int, list[int]]:
        """Store what later chunks read, and load it there before its first use.

        Returns:
            For each chunk the inputs that it reads.
        """
        result, place = self.result.tolist(), self.place.tolist()
        for slot in np.flatnonzero(self.crosses).tolist():
            text = STORE_TRUTH if self.truth[slot] else STORE
            number = result[slot]
            texts[self.maker[slot]] += text.format(number + 1, place[slot], number)
        inputs: dict[int, list[int]] = {}
        found: dict[int, list[str]] = {}
        slots = self.tape.operands[self.loads].tolist()
        steps, numbers = self.owner[self.loads].tolist(), self.load_at.tolist()
        for step, slot, number in zip(steps, slots, numbers, strict=True):
            truth = bool(self.truth[slot])
            if slot in self.index:
                index = self.index[slot]
                text = self.ends.load(number, number + 1, index, truth)
                inputs.setdefault(step // self.chunk, []).append(index)
            else:
                text = load(number, number + 1, "%s", place[slot], truth, SLOT)
            found.setdefault(step, []).append(text)
        for step, loads in found.items():
            texts[step] = "".join([*loads, texts[step]])
        return inputs

    def _guard(self, step: int, slot: int, name: str) -> str:
        """Leave with the guard's number when its outcome is another one."""
        static = dict(self.tape.statics[self.tape.static[step]])
        outcome, number = static["guard"].outcome, step + 1
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
            lines = AS_NUMBER.format(whole, name)
        trunc = Outside("llvm.trunc.f64")
        self.m.called[trunc.name] = trunc
        return (
            f"{lines}%w{number} = call double @{trunc.name}(double {whole})\n"
            f"%h{number} = fcmp oeq double %w{number}, {literal(float(outcome))}\n"
            + GUARD.format(number, f"%h{number}")
        )

    # -- functions -------------------------------------------------------------

    def run(self) -> Lowered:
        """The whole text."""
        texts = self._texts()
        starts = range(0, max(len(texts), 1), self.chunk)
        bodies = ["".join(texts[low : low + self.chunk]) for low in starts]
        if len(bodies) == 1:
            functions = [self.ends.head, ENTRY, *bodies, "ret i32 0\n}\n"]
        else:
            functions = self._chunked(bodies)
        calls = tuple(self.m.called.values())
        scratch = self.buffer if self.ends.scratch else 0
        text = "".join(functions)
        return Lowered(text, calls, len(texts), len(bodies), scratch, self.result)

    def _chunked(self, bodies: Sequence[str]) -> list[str]:
        """A function a chunk, and the kernel that calls them in order."""
        arguments = "ptr %x, ptr %s, ptr %y"
        out = []
        for number, body in enumerate(bodies):
            head = f"define internal i32 @chunk{number}({arguments}) noinline {{\n"
            out += [head, ENTRY, body, "ret i32 0\n}\n"]
        out.append(self.ends.head + "%status = alloca i32\nstore i32 0, ptr %status\n")
        heap = self.buffer > ON_STACK and not self.ends.scratch
        if self.ends.scratch:
            pass
        elif not heap:
            out.append(f"%s = alloca double, i64 {max(self.buffer, 1)}\n")
        else:
            out.append(HEAP.format(8 * self.buffer))
            self.m.called |= {call.name: call for call in (MALLOC, FREE)}
        guarded = "guard" in self.tape.operations
        for number in range(len(bodies)):
            out.append(f"%r{number} = call i32 @chunk{number}({arguments})\n")
            if guarded:
                out.append(CHECK.format(number))
        out.append("br label %leave\nleave:\n")
        if heap:
            out.append("call void @free(ptr %s)\n")
        out.append("%found = load i32, ptr %status\nret i32 %found\n}\n")
        return out
