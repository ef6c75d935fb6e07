"""Lines in braces, and where in them a variable is declared. Floor 9."""

from __future__ import annotations

from dataclasses import dataclass, field

from tapegrad.native.c.shape import Region


@dataclass(slots=True)
class Scope:
    """The lines of a function.

    Args:
        whole: the region of the function.
        jumps: whether there are labels; then all variables are declared before.
    """

    whole: Region
    jumps: bool = False
    lines: list[str | list[str]] = field(default_factory=lambda: [[]])
    declared: set[str] = field(default_factory=set)
    # regions that are open: the region, and where variables before it are declared
    _open: list[tuple[Region, list[str]]] = field(default_factory=list)

    @property
    def inner(self) -> Region:
        """The region that lines go to."""
        return self._open[-1][0] if self._open else self.whole

    @property
    def loop(self) -> Region | None:
        """The loop that lines go to."""
        return next((r for r, _ in reversed(self._open) if r.loop), None)

    def emit(self, text: str) -> None:
        """Append a line."""
        self.lines.append("    " * (len(self._open) + 1) + text)

    def label(self, text: str) -> None:
        """Append a label."""
        self.lines.append(f"{text}:;")

    def open(self, region: Region, head: str) -> None:
        """Begin a region."""
        slot: list[str] = []
        self.lines.append(slot)
        self.emit(f"{head} {{")
        self._open.append((region, slot))

    def close(self) -> Region:
        """End the innermost region."""
        region, _ = self._open.pop()
        self.emit("}")
        return region

    def declare(
        self, name: str, kind: str, home: Region, *, fixed: bool, apart: bool = False
    ) -> str:
        """What stands before the "=" where a variable is set.

        Args:
            name: of the variable.
            kind: its type.
            home: the region that it must be declared in.
            fixed: it is set once.
            apart: it is set in braces of their own.
        """
        if name in self.declared:
            return name
        self.declared.add(name)
        words = kind + ("" if kind.endswith("*") else " ") + name
        if self.jumps:
            assert isinstance(self.lines[0], list)  # noqa: S101 - it is made so
            self.lines[0].append(f"    {words};")
            return name
        if home is self.inner and apart:
            self.emit(f"{words};")
            return name
        if home is self.inner:
            return f"const {words}" if fixed and not kind.endswith("*") else words
        depth, slot = next(
            (depth, slot)
            for depth, (region, slot) in enumerate(self._open)
            if region.parent is home
        )
        slot.append("    " * (depth + 1) + f"{words};")
        return name

    def text(self) -> str:
        """All lines."""
        flat: list[str] = []
        for line in self.lines:
            flat += line if isinstance(line, list) else [line]
        return "".join(f"{line}\n" for line in flat)
