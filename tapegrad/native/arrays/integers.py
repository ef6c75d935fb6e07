"""Rows of ints at one entry, as LLVM text. Floor 9.

NumPy's int64: sums and products go round at 2**63, and a remainder by 0 is 0. A machine
stops there, and at the least int by -1, so both divide by 1 instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.arrays.words import TRUTH, WHOLE
from tapegrad.rules import Primitive

_CHOSEN = """\
%v{{0}}.0t = icmp {word} i64 {{1}}, {{2}}
%v{{0}} = select i1 %v{{0}}.0t, i64 {{1}}, i64 {{2}}
"""
_CLIPPED = """\
%v{0}.0t = icmp sgt i64 {1}, {2}
%v{0}.1t = select i1 %v{0}.0t, i64 {1}, i64 {2}
%v{0}.2t = icmp slt i64 %v{0}.1t, {3}
%v{0} = select i1 %v{0}.2t, i64 %v{0}.1t, i64 {3}
"""
_SIZE = """\
%v{0}.0t = sub i64 0, {1}
%v{0}.1t = icmp slt i64 {1}, 0
%v{0} = select i1 %v{0}.1t, i64 %v{0}.0t, i64 {1}
"""
_REMAINDER = """\
%v{0}.0t = add i64 {2}, 1
%v{0}.1t = icmp ult i64 %v{0}.0t, 2
%v{0}.2t = select i1 %v{0}.1t, i64 1, i64 {2}
%v{0}.3t = srem i64 {1}, %v{0}.2t
%v{0}.4t = icmp ne i64 %v{0}.3t, 0
%v{0}.5t = xor i64 %v{0}.3t, %v{0}.2t
%v{0}.6t = icmp slt i64 %v{0}.5t, 0
%v{0}.7t = and i1 %v{0}.4t, %v{0}.6t
%v{0}.8t = add i64 %v{0}.3t, %v{0}.2t
%v{0} = select i1 %v{0}.7t, i64 %v{0}.8t, i64 %v{0}.3t
"""

_QUOTIENT = """\
%v{0}.0t = icmp eq i64 {2}, 0
%v{0}.1t = icmp eq i64 {2}, -1
%v{0}.2t = or i1 %v{0}.0t, %v{0}.1t
%v{0}.3t = select i1 %v{0}.2t, i64 1, i64 {2}
%v{0}.4t = sdiv i64 {1}, %v{0}.3t
%v{0}.5t = mul i64 %v{0}.4t, %v{0}.3t
%v{0}.6t = icmp ne i64 %v{0}.5t, {1}
%v{0}.7t = xor i64 {1}, %v{0}.3t
%v{0}.8t = icmp slt i64 %v{0}.7t, 0
%v{0}.9t = and i1 %v{0}.6t, %v{0}.8t
%v{0}.10t = sext i1 %v{0}.9t to i64
%v{0}.11t = add i64 %v{0}.4t, %v{0}.10t
%v{0}.12t = sub i64 0, {1}
%v{0}.13t = select i1 %v{0}.1t, i64 %v{0}.12t, i64 %v{0}.11t
%v{0} = select i1 %v{0}.0t, i64 0, i64 %v{0}.13t
"""

# By the row: `{0}` is the slot, `{1}` and so on are operands.
FORMS = {
    "add": "%v{0} = add i64 {1}, {2}\n",
    "sub": "%v{0} = sub i64 {1}, {2}\n",
    "mul": "%v{0} = mul i64 {1}, {2}\n",
    "neg": "%v{0} = sub i64 0, {1}\n",
    "abs": _SIZE,
    "mod": _REMAINDER,
    "floor_divide": _QUOTIENT,
    "max": _CHOSEN.format(word="sgt"),
    "min": _CHOSEN.format(word="slt"),
    "clip": _CLIPPED,
    "where": "%v{0} = select i1 {1}, i64 {2}, i64 {3}\n",
    "less": "%v{0} = icmp slt i64 {1}, {2}\n",
    "less_equal": "%v{0} = icmp sle i64 {1}, {2}\n",
    "greater": "%v{0} = icmp sgt i64 {1}, {2}\n",
    "greater_equal": "%v{0} = icmp sge i64 {1}, {2}\n",
    "equal": "%v{0} = icmp eq i64 {1}, {2}\n",
    "not_equal": "%v{0} = icmp ne i64 {1}, {2}\n",
}


def form(row: Primitive, kinds: Sequence[str]) -> str | None:
    """The template of a row whose operands are all ints; None for any other."""
    wanted = [WHOLE] * len(kinds)
    if row.kind == "select":
        wanted[0] = TRUTH
    return FORMS.get(row.name) if row.integers and list(kinds) == wanted else None
