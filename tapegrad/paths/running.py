"""Running a path: by the interpreter, natively when it is called often. Floor 10."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import binding, calls, sweeps
from tapegrad.derivatives import adjoint_tape, scalar_output
from tapegrad.errors import CompileError
from tapegrad.paths.tree import Outcome, Path
from tapegrad.tape.guards import Guard
from tapegrad.tape.tape import Tape

# The methods that have native code.
NATIVE = frozenset({"value", "value_and_gradient", "gradient", "jacobian", "hessian"})


class Flip(Exception):
    """A guard has another outcome.

    Attributes:
        depth: its number among the guards.
        outcome: what was seen, None where it is no integer.
    """

    def __init__(self, depth: int, outcome: Outcome) -> None:
        super().__init__(depth, outcome)
        self.depth = depth
        self.outcome = outcome


def walk(path: Path, leaves: Sequence[Any], *, strict: bool = True) -> Any:
    """The result on a path, by the interpreter.

    Args:
        path: which.
        leaves: the inputs.
        strict: notice guards; without, they are passed over.

    Raises:
        Flip: a guard of the tape does not hold.
        BranchChanged: one inside of a step does not.
    """
    base = sweeps.flat(path.tape)
    depth = -1

    def on_guard(guard: Guard, value: Any) -> None:
        nonlocal depth
        depth += 1
        if strict and not guard.holds(value):
            raise Flip(depth, _outcome(guard, value))

    m = _reading(base, on_guard)
    with np.errstate(all="ignore"):
        inputs = binding.numbers(base, m, binding.plain(base, leaves))
        slots = sweeps.replay(base, m, inputs)
    found = [binding.result(m, slots[slot]) for slot in base.outputs]
    return path.tape.structure.result.build(found)


def _reading(base: Tape, on_guard: Callable[[Guard, Any], None]) -> Any:
    """The interpreter's reading, with an eye on guards."""
    usual = binding.arithmetic_of(base, "float64")
    m = copy.copy(usual)
    m.guard = on_guard
    # sub-tapes keep the programs that they have for the usual reading
    m.nested = usual.nested
    return m


def _outcome(guard: Guard, value: Any) -> Outcome:
    if isinstance(guard.outcome, bool):
        return bool(value)
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


class Runner:
    """What can be asked of one path, in the tier that its use calls for.

    Args:
        tape: the path's.
        native_after: calls of a method before its native code is built; None, never.
    """

    def __init__(self, tape: Tape, native_after: int | None) -> None:
        self.tape = tape
        self.native_after = native_after
        self.native: dict[str, Callable[..., Any]] = {}
        self._counts: dict[str, int] = {}
        self._compiled: Any = None
        self._adjoint: Tape | None = None

    def method(self, name: str) -> Callable[..., Any] | None:
        """Native code for a method, or None: the interpreter's turn."""
        found = self.native.get(name)
        if found is not None or self.native_after is None or name not in NATIVE:
            return found
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return self._build(name) if count > self.native_after else None

    def _build(self, name: str) -> Callable[..., Any] | None:
        if self._compiled is None:
            self._compiled = self.tape.compile()
        try:
            found = getattr(self._compiled, name)
        except CompileError:
            self.native_after = None
            return None
        self.native[name] = found
        return found  # type: ignore[no-any-return]

    def interpret(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """A method's answer from the interpreter."""
        if name == "value":
            return calls.replay(self.tape, args, kwargs)
        if name == "gradient":
            return calls.value_and_gradient(self.tape, args, kwargs)[1]
        if name == "hessian":
            return calls.jacobian(self.adjoint, args, kwargs)
        if name == "hvp":
            return calls.jvp(self.adjoint, *args)[1]
        if name in {"jvp", "vjp"}:
            return getattr(calls, name)(self.tape, *args)
        return getattr(calls, name)(self.tape, args, kwargs)

    @property
    def adjoint(self) -> Tape:
        """The gradient's tape, made once."""
        if self._adjoint is None:
            scalar_output(self.tape)
            self._adjoint = adjoint_tape(self.tape)
        return self._adjoint
