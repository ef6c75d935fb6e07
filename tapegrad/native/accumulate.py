"""The accumulation of a bulk reverse sweep as one native loop. Floor 6; loads llvmlite.

    v_bar[j] += v_bar[i] * p[i, j]          for each operand j of i, i falling

The same loop as ``bulk._accumulate``, with the same result bit for bit: a product and a
sum are two roundings, never one. The operands of a slot are unrolled, so there is one
function for each number of them; each is compiled once in a process, when first needed.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.errors import CompileError
from tapegrad.native.engine import Engine

Floats = npt.NDArray[np.float64]

HEAD = """\
define void @accumulate(ptr noalias %reads, ptr noalias %partials, ptr noalias %bars,
                        ptr noalias %reached, i64 %n) {
entry:
  br label %next
next:
  %above = phi i64 [ %n, %entry ], [ %i, %done ]
  %more = icmp sgt i64 %above, 0
  br i1 %more, label %slot, label %exit
exit:
  ret void
slot:
  %i = sub i64 %above, 1
  %here = getelementptr i8, ptr %reached, i64 %i
  %mark = load i8, ptr %here
  %live = icmp ne i8 %mark, 0
  br i1 %live, label %sweep, label %done
sweep:
  %bar_at = getelementptr double, ptr %bars, i64 %i
  %w = load double, ptr %bar_at
  br label %operand0
"""

OPERAND = """\
operand{k}:
  %start{k} = mul i64 %n, {k}
  %place{k} = add i64 %start{k}, %i
  %read_at{k} = getelementptr i32, ptr %reads, i64 %place{k}
  %read{k} = load i32, ptr %read_at{k}
  %has{k} = icmp sge i32 %read{k}, 0
  br i1 %has{k}, label %add{k}, label %operand{after}
add{k}:
  %partial_at{k} = getelementptr double, ptr %partials, i64 %place{k}
  %partial{k} = load double, ptr %partial_at{k}
  %part{k} = fmul double %w, %partial{k}
  %j{k} = zext i32 %read{k} to i64
  %at{k} = getelementptr double, ptr %bars, i64 %j{k}
  %mark_at{k} = getelementptr i8, ptr %reached, i64 %j{k}
  %marked{k} = load i8, ptr %mark_at{k}
  %first{k} = icmp eq i8 %marked{k}, 0
  %old{k} = load double, ptr %at{k}
  %sum{k} = fadd double %old{k}, %part{k}
  %new{k} = select i1 %first{k}, double %part{k}, double %sum{k}
  store double %new{k}, ptr %at{k}
  store i8 1, ptr %mark_at{k}
  br label %operand{after}
"""

TAIL = """\
operand{k}:
  br label %done
done:
  br label %next
}}
"""


def source(operands: int) -> str:
    """LLVM text of the loop for slots of so many operands."""
    parts = [OPERAND.format(k=k, after=k + 1) for k in range(operands)]
    return HEAD + "".join(parts) + TAIL.format(k=operands)


@functools.cache
def _loop(operands: int) -> tuple[Callable[..., None], Engine]:
    """The loop, and the engine that its code lives in."""
    engine = Engine(source(operands), codegen=2, passes=2)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)
    return kind(engine.address("accumulate")), engine


def accumulate(
    reads: npt.NDArray[np.int32],
    partials: Floats,
    bars: Floats,
    reached: npt.NDArray[np.uint8],
) -> None:
    """Accumulate adjoints in reverse slot order, in place.

    Args:
        reads: shape (operands, slots), int32: the slot that each operand is, below the
            slot itself, or -1 where there is none.
        partials: shape (operands, slots), float64: the partials.
        bars: shape (slots,), float64: adjoints, seeded; updated.
        reached: shape (slots,), uint8: 1 where an adjoint is; updated.

    Raises:
        CompileError: an array has another shape, type or layout than that.
    """
    count, slots = np.shape(reads)
    expected: tuple[tuple[str, Any, type, tuple[int, ...]], ...] = (
        ("reads", reads, np.int32, (count, slots)),
        ("partials", partials, np.float64, (count, slots)),
        ("bars", bars, np.float64, (slots,)),
        ("reached", reached, np.uint8, (slots,)),
    )
    for name, array, dtype, shape in expected:
        written = name in {"bars", "reached"}
        if (
            array.dtype != dtype
            or array.shape != shape
            or not array.flags.c_contiguous
            or (written and not array.flags.writeable)
        ):
            msg = (
                f"{name} must be a contiguous {np.dtype(dtype)} array of shape "
                f"{shape}, got {array.dtype} {array.shape}"
            )
            raise CompileError(msg)
    loop, _ = _loop(count)
    loop(
        reads.ctypes.data,
        partials.ctypes.data,
        bars.ctypes.data,
        reached.ctypes.data,
        slots,
    )
