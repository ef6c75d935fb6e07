"""Running a path: by the interpreter, natively when it is called often. Floor 10."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad import binding, sweeps
from tapegrad.derivatives import adjoint_tape, scalar_output
from tapegrad.errors import CompileError
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    from tapegrad.native.compiled import Compiled
    from tapegrad.paths.native import Code, Native

# The methods that have native code: of our own, and of `Compiled`.
NATIVE = frozenset({"value", "value_and_gradient", "gradient"})
COMPILED = frozenset({"jacobian", "hessian", "hvp"})

# "auto": measured microseconds, of building (a tape, one with arrays, each step) and of
# a replay (a tape, each step, so many entries of arrays).
BUILDING, BUILDING_ARRAYS, BUILDING_STEP = 7000, 60_000, 20
REPLAY, REPLAY_STEP, REPLAY_ENTRIES = 50, 1, 500


# What native code gives where a guard flipped, or where it has no answer.
MISS = object()


class Flip(Exception):
    """A guard has another outcome: no error, the way on to another path.

    Attributes:
        depth: its number among the guards.
        outcome: what was seen, None where it is no integer.
    """

    def __init__(self, depth: int, outcome: Any) -> None:
        super().__init__(depth, outcome)
        self.depth = depth
        self.outcome = outcome


def walk(tape: Tape, leaves: Sequence[Any], *, strict: bool = True) -> Any:
    """The result of a path, by the interpreter.

    Args:
        tape: of the path.
        leaves: the inputs.
        strict: notice guards; without, they are passed over.

    Raises:
        Flip: a guard of the tape does not hold.
        BranchChanged: one inside of a step does not.
    """
    base = sweeps.flat(tape)
    depth = -1

    def on_guard(guard: Guard, value: Any) -> None:
        nonlocal depth
        depth += 1
        if strict and not guard.holds(value):
            raise Flip(depth, _outcome(guard, value))

    usual = binding.arithmetic_of(base, "float64")
    m = copy.copy(usual)
    m.guard = on_guard
    m.nested = usual.nested  # sub-tapes keep the programs of the usual reading
    with np.errstate(all="ignore"):
        inputs = binding.numbers(base, m, binding.plain(base, leaves))
        slots = sweeps.replay(base, m, inputs)
    found = [binding.result(m, slots[slot]) for slot in base.outputs]
    return tape.structure.result.build(found)


def _outcome(guard: Guard, value: Any) -> Any:
    if isinstance(guard.outcome, bool):
        return bool(value)
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def worthwhile(base: Tape) -> int:
    """Replays after which native code would have been cheaper, building included."""
    steps = len(base)
    build = (BUILDING_ARRAYS if base.arrays else BUILDING) + BUILDING_STEP * steps
    counts: list[int] = np.bincount(base.aval, minlength=len(base.avals)).tolist()
    sizes = [math.prod(shape) for shape, _ in base.avals]
    entries = sum(size * count for size, count in zip(sizes, counts, strict=True))
    return build // (REPLAY + REPLAY_STEP * steps + entries // REPLAY_ENTRIES)


class Runner:
    """What can be asked of one path, in the tier that its use calls for.

    Args:
        tape: the path's.
        native_after: calls of a method before its native code is built; "auto" goes by
            the length of the tape; None, never.
    """

    def __init__(self, tape: Tape, native_after: int | str | None) -> None:
        self.tape = tape
        if isinstance(native_after, str):
            native_after = worthwhile(sweeps.flat(tape))
        self.native_after = native_after
        self.natives: dict[str, Native] = {}
        self._counts: dict[str, int] = {}
        self._codes: dict[str, Code] = {}
        self._compiled: Compiled | None = None
        self._adjoint: Tape | None = None

    def native(self, name: str) -> Native | None:
        """The native code of a method, or None: it is the interpreter's turn."""
        found = self.natives.get(name)
        if found is None and self.native_after == 0 and name in NATIVE:
            return self._build(name)
        return found

    def count(self, name: str) -> None:
        """One more answer from the interpreter; builds native code when it is time."""
        if self.native_after is None:
            return
        count = self._counts[name] = self._counts.get(name, 0) + 1
        if count >= self.native_after and name in NATIVE:
            self._build(name)

    def _build(self, name: str) -> Native | None:
        from tapegrad.paths.native import PARTS, Code, Native

        part = PARTS[name]
        try:
            if part not in self._codes:
                self._codes[part] = Code(self.tape, part)
        except CompileError:
            self.native_after = None
            return None
        found = Native(self.tape, self._codes[part], name)
        self.natives[name] = found
        return found

    def answer(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A method's answer: from `Compiled` if it has one, or the interpreter."""
        after = self.native_after
        if name in COMPILED and after is not None:
            if self._counts.get(name, 0) >= after:
                try:
                    return getattr(self.compiled, name)(*args, **kwargs)
                except CompileError:
                    self.native_after = None
            self._counts[name] = self._counts.get(name, 0) + 1
        if name == "hessian":
            return self.adjoint.jacobian(*args, **kwargs)
        if name == "hvp":
            return self.adjoint.jvp(*args)[1]
        return getattr(self.tape, name)(*args, **kwargs)

    @property
    def compiled(self) -> Compiled:
        """The tape as native code."""
        if self._compiled is None:
            self._compiled = self.tape.compile()
        return self._compiled

    @property
    def adjoint(self) -> Tape:
        """The gradient's tape, made once."""
        if self._adjoint is None:
            scalar_output(self.tape)
            self._adjoint = adjoint_tape(self.tape)
        return self._adjoint
