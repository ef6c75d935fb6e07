"""From a guard that flips to the path that holds. Floor 10."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import BranchChanged
from tapegrad.paths.running import MISS, Flip, walk
from tapegrad.paths.tree import Family, Path, digest_of
from tapegrad.tape.guards import Guard

# A path and the answer on it; or None, and the guard whose outcome is new.
Found = tuple[Path | None, Any, Guard | None]


@dataclass(slots=True)
class Call:
    """The arguments of a call.

    Args:
        args, kwargs: as they were passed.
        leaves: the inputs of a tape among them.
        key: what kind they are of.
        extra: a direction, or adjoints of the outputs.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaves: Sequence[Any]
    key: Hashable
    extra: tuple[Any, ...] = ()

    @property
    def given(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What a method of a tape is called with."""
        return ((self.args, *self.extra) if self.extra else self.args), self.kwargs


def follow(
    family: Family, path: Path, name: str, call: Call, *, missed: bool = False
) -> Found:
    """The answer of a method on the path whose guards hold.

    Native code tells which guard flipped, and the tree where to go on. It may disagree
    with the interpreter about a guard in the last bits, and a guard on an integer or
    inside of a step takes a number that it does not tell; so where it finds no way, the
    interpreter looks for one, and its word counts. Each looks at a path once at most,
    so this ends whatever the guards do.

    Args:
        family: of the arguments.
        path: where to begin.
        name: of the method.
        call: its arguments.
        missed: the path's native code was run already, and had no answer.
    """
    tried: list[Path] = []
    here: Path | None = path
    last = path
    while here is not None and here not in tried:
        native = here.runner.native(name)
        if native is None:
            break
        tried.append(here)
        known = missed and here is path and native.code.takes(call.leaves)
        found = MISS if known else native(call.leaves)
        if found is not MISS:
            if here is not path:
                family.switch(here)
            return here, found, None
        last = here
        depth = native.code.flipped(call.leaves)
        if depth < 0 or depth in here.masks or type(here.outcomes[depth]) is not bool:
            break
        here = family.after(here, depth, not here.outcomes[depth])
    return _interpreted(family, here or last, name, call)


def _interpreted(family: Family, path: Path, name: str, call: Call) -> Found:
    """The same, by the interpreter."""
    tried: set[Path] = set()
    here: Path | None = path
    why: Guard | None = None
    while here is not None and here not in tried:
        tried.add(here)
        try:
            if name == "value":
                found = walk(here.tape, call.leaves)
            else:
                found = here.runner.answer(name, *call.given)
        except Flip as flip:
            why = here.guards[flip.depth]
            here = _after(family, here, flip.depth, flip.outcome, call.leaves)
        except BranchChanged as problem:
            here, inside = _way(family, here, call.leaves, tried)
            why = inside or Guard(False, problem.file, problem.line)
        else:
            here.runner.count(name)
            family.switch(here)
            return here, found, None
    return None, None, why


def _way(
    family: Family, path: Path, leaves: Sequence[Any], tried: set[Path]
) -> tuple[Path | None, Guard | None]:
    """Where to go on from a path that some guard left, and which one it was."""
    try:
        walk(path.tape, leaves)
    except Flip as flip:
        guard = path.guards[flip.depth]
        return _after(family, path, flip.depth, flip.outcome, leaves), guard
    except BranchChanged:  # inside of a step: only trying tells
        others = [p for p in list(family.paths) if p.inner and p not in tried]
        return max(others, key=lambda p: p.used, default=None), None
    return None, None


def _after(
    family: Family, path: Path, depth: int, outcome: Any, leaves: Sequence[Any]
) -> Path | None:
    """The path to go on with after a flip."""
    found = family.after(path, depth, outcome)
    if found is None and depth in path.masks:
        mask = walk(path.until(depth), leaves, strict=False)
        found = family.after(path, depth, digest_of(mask))
    return found
