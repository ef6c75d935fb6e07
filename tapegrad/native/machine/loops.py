"""The two loops of the machine as LLVM text. Floor 6.

    i64 @forward(cases, reads, expected, v, steps)
    void @reverse(cases, reads, v, bars, reached, steps, slots)

``reads`` has the operands of all steps in one column, as a tape has them: a case knows
how many are its own, so both loops walk along it without offsets. A guard that flips
ends ``forward``, with the number of its step + 1. Products and sums are instructions of
their own: no contraction, no reassociation.

    reached[j] ? bar[j] + w * p : w * p       each operand j, in order

A slot that nothing has reached is skipped, whatever number stands there; so 0 * inf is
NaN just where the interpreter has it. Names that begin with ``%.`` are a case's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tapegrad.native.engine import Outside
from tapegrad.native.machine.cases import (
    IF_EQUAL,
    IF_FALSE,
    IF_TRUE,
    NOTHING,
    ROWS,
    Case,
    Texts,
    texts,
)
from tapegrad.native.reading import literal

FORWARD = """\
define i64 @forward(ptr noalias %cases, ptr noalias %reads, ptr noalias %expected,
                    ptr noalias %v, i64 %steps) {{
entry:
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %k1, %done ]
  %r = phi ptr [ %reads, %entry ], [ %r1, %done ]
  %s = phi ptr [ %v, %entry ], [ %s1, %done ]
  %e = phi ptr [ %expected, %entry ], [ %e1, %done ]
  %more = icmp slt i64 %k, %steps
  br i1 %more, label %step, label %exit
exit:
  ret i64 0
flipped:
  %number = add i64 %k, 1
  ret i64 %number
step:
  %case_at = getelementptr i16, ptr %cases, i64 %k
  %case = load i16, ptr %case_at
  switch i16 %case, label %wrong [
{arms}  ]
wrong:
  unreachable
{blocks}done:
  %reads_on = phi i64 {reads}
  %slots_on = phi i64 {slots}
  %expected_on = phi i64 {expected}
  %r1 = getelementptr i32, ptr %r, i64 %reads_on
  %s1 = getelementptr double, ptr %s, i64 %slots_on
  %e1 = getelementptr double, ptr %e, i64 %expected_on
  %k1 = add i64 %k, 1
  br label %next
}}
"""
REVERSE = """\
define void @reverse(ptr noalias %cases, ptr noalias %reads, ptr noalias %v,
                     ptr noalias %bars, ptr noalias %reached, i64 %steps, i64 %slots) {{
entry:
  br label %next
next:
  %k = phi i64 [ %steps, %entry ], [ %k1, %done ]
  %r = phi ptr [ %reads, %entry ], [ %r1, %done ]
  %s = phi i64 [ %slots, %entry ], [ %s1, %done ]
  %more = icmp sgt i64 %k, 0
  br i1 %more, label %step, label %exit
exit:
  ret void
step:
  %k1 = sub i64 %k, 1
  %slot = sub i64 %s, 1
  %case_at = getelementptr i16, ptr %cases, i64 %k1
  %case = load i16, ptr %case_at
  switch i16 %case, label %wrong [
{arms}  ]
wrong:
  unreachable
{blocks}done:
  %reads_on = phi i64 {reads}
  %slots_on = phi i64 {slots}
  %r1 = getelementptr i32, ptr %r, i64 %reads_on
  %s1 = add i64 %s, %slots_on
  br label %next
}}
"""

# Operand {0} of a step, {1} places from where ``reads`` stands.
INDEX = """\
  %.at{0} = getelementptr i32, ptr %r, i64 {1}
  %.n{0} = load i32, ptr %.at{0}
  %.i{0} = zext i32 %.n{0} to i64
"""
PRIMAL = """\
  %.p{0} = getelementptr double, ptr %v, i64 %.i{0}
  %.x{0} = load double, ptr %.p{0}
"""
STORE = "  store double {0}, ptr %s\n"
GUARD = "  br i1 %.holds, label %done, label %flipped\n"
COMPARED = "  %.holds = fcmp {0} double %.x0, {1}\n"
EQUAL = """\
  %.expect = load double, ptr %e
  %.whole = call double @llvm.trunc.f64(double %.x0)
  %.holds = fcmp oeq double %.whole, %.expect
"""
ON = "  br label %done\n"

REACHED = """\
  %.here = getelementptr i8, ptr %reached, i64 %slot
  %.mark = load i8, ptr %.here
  %.live = icmp ne i8 %.mark, 0
  br i1 %.live, label %live{0}, label %done
live{0}:
  %.bar_at = getelementptr double, ptr %bars, i64 %slot
  %.w = load double, ptr %.bar_at
"""
RESULT = """\
  %.y_at = getelementptr double, ptr %v, i64 %slot
  %.y = load double, ptr %.y_at
"""
ADD = """\
  %.bar_at{0} = getelementptr double, ptr %bars, i64 %.i{0}
  %.mark_at{0} = getelementptr i8, ptr %reached, i64 %.i{0}
  %.mark{0} = load i8, ptr %.mark_at{0}
  %.first{0} = icmp eq i8 %.mark{0}, 0
  %.old{0} = load double, ptr %.bar_at{0}
  %.sum{0} = fadd double %.old{0}, {1}
  %.new{0} = select i1 %.first{0}, double {1}, double %.sum{0}
  store double %.new{0}, ptr %.bar_at{0}
  store i8 1, ptr %.mark_at{0}
"""
ARM = """\
  %.chosen = fcmp une double %.x0, {0}
  %.i3 = select i1 %.chosen, i64 %.i1, i64 %.i2
"""

# The end of a case: its label, and by how many operands, slots and expected outcomes
# the loop goes on.
End = tuple[str, int, int, int]


class _Loop:
    """A loop as it is put together."""

    def __init__(self) -> None:
        self.arms: list[str] = []
        self.blocks: list[str] = []
        self.ends: list[End] = []

    def case(self, number: int, body: str, *ends: End) -> None:
        """Add a case."""
        self.arms.append(f"    i16 {number}, label %case{number}\n")
        self.blocks.append(f"case{number}:\n{body}".replace("%.", f"%c{number}."))
        self.ends += ends

    def text(self, frame: str) -> str:
        """The whole function."""
        reads, slots, expected = (
            ", ".join(f"[ {end[column]}, %{end[0]} ]" for end in self.ends)
            for column in (1, 2, 3)
        )
        return frame.format(
            arms="".join(self.arms),
            blocks="".join(self.blocks),
            reads=reads,
            slots=slots,
            expected=expected,
        )


def source(cases: Sequence[Case]) -> tuple[str, tuple[Outside, ...]]:
    """The module for some rows, whose numbers are their places from `ROWS` on.

    Returns:
        The text, and the functions that it calls.

    Raises:
        CompileError: a row has no native code.
    """
    found = [texts(case) for case in cases]
    arities = [row.arity for row, _ in cases]
    selects = [row.kind == "select" for row, _ in cases]
    calls = {"llvm.trunc.f64": Outside("llvm.trunc.f64")}
    for text in found:
        calls.update(text.calls)
    parts = [_forward(found, arities), _reverse(found, arities, selects)]
    return "".join(parts), tuple(calls.values())


def _operands(places: Iterable[int], shift: int = 0) -> str:
    return "".join(INDEX.format(i, i + shift) + PRIMAL.format(i) for i in places)


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


def _forward(found: Sequence[Texts], arities: Sequence[int]) -> str:
    loop, zero = _Loop(), literal(0.0)
    loop.case(NOTHING, ON, (f"case{NOTHING}", 0, 1, 0))
    guards = {
        IF_TRUE: COMPARED.format("une", zero),
        IF_FALSE: COMPARED.format("oeq", zero),
        IF_EQUAL: EQUAL,
    }
    for number, test in guards.items():
        end = f"case{number}", 1, 0, int(number == IF_EQUAL)
        loop.case(number, _operands(range(1)) + test + GUARD, end)
    for number, (text, arity) in enumerate(zip(found, arities, strict=True), ROWS):
        body = _operands(range(arity)) + _lines(text.forward)
        body += STORE.format(text.result) + ON
        loop.case(number, body, (f"case{number}", arity, 1, 0))
    return loop.text(FORWARD)


def _reverse(
    found: Sequence[Texts], arities: Sequence[int], selects: Sequence[bool]
) -> str:
    loop = _Loop()
    loop.case(NOTHING, ON, (f"case{NOTHING}", 0, -1, 0))
    for number in (IF_TRUE, IF_FALSE, IF_EQUAL):
        loop.case(number, ON, (f"case{number}", -1, 0, 0))
    rows = zip(found, arities, selects, strict=True)
    for number, (text, arity, select) in enumerate(rows, ROWS):
        body = _arms(arity) if select else _contributions(text, arity)
        ends: list[End] = [(f"case{number}", -arity, -1, 0)]
        if body:
            ends.append((f"live{number}", -arity, -1, 0))
            body = REACHED.format(number) + body
        loop.case(number, body + ON, *ends)
    return loop.text(REVERSE)


def _arms(arity: int) -> str:
    """What a ``where`` passes on: all to the arm that is selected."""
    indices = "".join(INDEX.format(i, i - arity) for i in range(arity))
    return indices + PRIMAL.format(0) + ARM.format(literal(0.0)) + ADD.format(3, "%.w")


def _contributions(text: Texts, arity: int) -> str:
    """What an elementwise step passes on; empty where that is nothing."""
    passed = [place for place, partial in enumerate(text.partials) if partial != 0]
    if not passed:
        return ""
    body = RESULT + _operands(range(arity), -arity) + _lines(text.reverse)
    for place in passed:
        partial, part = text.partials[place], f"%.w{place}"
        if partial == 1:
            part = "%.w"
        elif partial == -1:
            body += f"  {part} = fneg double %.w\n"
        else:
            body += f"  {part} = fmul double %.w, {partial}\n"
        body += ADD.format(place, part)
    return body
