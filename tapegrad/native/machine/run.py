"""Tapes of numbers swept by the machine. Floor 6.

The results are those of the interpreter (`sweeps`): bit for bit, except for functions
of the maths library where the interpreter has to ask NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tapegrad.native.machine.plan import Plan, plan_of
from tapegrad.native.machine.rows import adjoint as adjoint_of_rows
from tapegrad.sweeps import condition
from tapegrad.tape.tape import BOOLEAN, Tape

__all__ = ["Bars", "Slots", "adjoint", "adjoint_of_rows", "replay"]

Floats = npt.NDArray[np.float64]


class Slots:
    """The value of every slot, as the interpreter's list has it.

    Args:
        tape: the flat tape.
        values: a double for each slot; truth values are 1.0 and 0.0.
    """

    __slots__ = ("tape", "values")

    def __init__(self, tape: Tape, values: Floats) -> None:
        self.tape = tape
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, slot: int) -> float | bool:
        value = float(self.values[slot])
        return value if self.tape.aval_of(slot) != BOOLEAN else value != 0.0

    def __iter__(self) -> Iterator[float | bool]:
        truth = np.array([aval == BOOLEAN for aval in self.tape.avals])
        if not truth.any():
            return iter(self.values.tolist())
        marks = truth[self.tape.aval].tolist()
        pairs = zip(self.values.tolist(), marks, strict=True)
        return (value != 0.0 if mark else value for value, mark in pairs)


class Bars:
    """The adjoint of every slot, None where it is structurally 0."""

    __slots__ = ("bars", "reached")

    def __init__(self, bars: Floats, reached: npt.NDArray[np.uint8]) -> None:
        self.bars = bars
        self.reached = reached

    def __len__(self) -> int:
        return len(self.bars)

    def __getitem__(self, slot: int) -> float | None:
        return float(self.bars[slot]) if self.reached[slot] else None

    def __iter__(self) -> Iterator[float | None]:
        pairs = zip(self.bars.tolist(), self.reached.tolist(), strict=True)
        return (bar if mark else None for bar, mark in pairs)


def replay(tape: Tape, inputs: Sequence[float | bool]) -> Slots | None:
    """All slot values of a flat tape; None where it is none for the machine.

    Raises:
        BranchChanged: a guard does not hold.
    """
    plan = plan_of(tape)
    if plan is None:
        return None
    values = np.empty(tape.slot_count)
    slots, numbers = plan.constants
    values[slots] = numbers
    values[list(tape.inputs)] = inputs
    status = plan.machine.forward(
        plan.cases.ctypes.data,
        tape.operands.ctypes.data,
        plan.expected.ctypes.data,
        values.ctypes.data,
        len(tape),
    )
    found = Slots(tape, values)
    if status:
        raise _flipped(tape, status - 1, found)
    return found


def _flipped(tape: Tape, step: int, values: Slots) -> Exception:
    """The error of a guard, as the interpreter words it."""
    slot = int(tape.operands[tape.offsets[step]])
    guard = dict(tape.statics[tape.static[step]])["guard"]
    text, operands = condition(tape, slot, varies=guard.varies)
    shown = tuple(values[i] for i in operands)
    return guard.changed(step, text, shown)  # type: ignore[no-any-return]


def adjoint(
    tape: Tape, slots: Slots | Sequence[float | bool], seeds: Mapping[int, float]
) -> Bars | None:
    """The adjoint of every slot; None where the tape is none for the machine.

    Args:
        tape: a flat tape.
        slots: the values of a replay.
        seeds: adjoints of some slots.
    """
    plan = plan_of(tape)
    if plan is None:
        return None
    values = slots.values if isinstance(slots, Slots) else np.array(slots, np.float64)
    bars = np.zeros(len(values))
    reached = np.zeros(len(values), np.uint8)
    for slot, seed in seeds.items():
        bars[slot] = seed
        reached[slot] = 1
    _reverse(plan, tape.operands, values, bars, reached)
    return Bars(bars, reached)


def _reverse(
    plan: Plan,
    reads: npt.NDArray[np.int32],
    values: Floats,
    bars: Floats,
    reached: npt.NDArray[np.uint8],
) -> None:
    plan.machine.reverse(
        plan.cases.ctypes.data,
        reads.ctypes.data + reads.nbytes,
        values.ctypes.data,
        bars.ctypes.data,
        reached.ctypes.data,
        len(plan.cases),
        len(values),
    )
