"""What was built for a tape, and what it took. Floor 9."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Part:
    """One kernel of a `Compiled`.

    Args:
        level: code generation level, 0 to 3.
        steps: steps that were lowered.
        chunks: functions that they were cut into.
        code_bytes: size of the object.
        seconds: what building took, the gradient's tape included.
        arena_bytes: memory for intermediate arrays, kept between calls.
        origin: where the code is from: "cache", read from disk; "kept", built, and
            written there; "built", and there is no cache.
    """

    level: int
    steps: int
    chunks: int
    code_bytes: int
    seconds: float
    arena_bytes: int = 0
    origin: str = "built"


@dataclass(frozen=True, slots=True)
class Report:
    """What has been built for a tape so far.

    Args:
        tier: 2, code for this very tape.
        level: as it was asked for.
        steps: steps of the tape.
        parts: the kernels built so far, by name: "value", "gradient" (with values), a
            direction's ("jvp"), a ufunc's ("value ufunc").
        left: what is left to the interpreter for want of a budget, and why.
    """

    tier: int
    level: str
    steps: int
    parts: Mapping[str, Part]
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def lowered_steps(self) -> int:
        """Steps lowered, all kernels together."""
        return sum(part.steps for part in self.parts.values())

    @property
    def chunks(self) -> int:
        """Functions, all kernels together."""
        return sum(part.chunks for part in self.parts.values())

    @property
    def code_bytes(self) -> int:
        """Bytes of code, all kernels together."""
        return sum(part.code_bytes for part in self.parts.values())

    @property
    def arena_bytes(self) -> int:
        """Bytes for intermediate arrays, all kernels together."""
        return sum(part.arena_bytes for part in self.parts.values())

    @property
    def seconds(self) -> float:
        """Seconds spent building."""
        return sum(part.seconds for part in self.parts.values())

    def __str__(self) -> str:
        lines = [f"tier {self.tier}, level {self.level}: a tape of {self.steps} steps"]
        lines += [
            f"  {name}: {part.steps} steps lowered at level {part.level} into "
            f"{part.chunks} functions, {part.code_bytes} bytes, "
            f"{'read' if part.origin == 'cache' else 'built'} in "
            f"{part.seconds * 1e3:.1f} ms"
            + (f", {part.arena_bytes} bytes of arrays" if part.arena_bytes else "")
            for name, part in self.parts.items()
        ]
        lines += [f"  {name}: {reason}" for name, reason in self.left.items()]
        return "\n".join(lines)
