"""A tree of tapes: one for each path of control flow that was seen. Floor 10.

Tapes of one function, at arguments of one kind, are alike up to the first guard whose
outcome differs. There the tree *forks*: an arm for each outcome. A replay starts any
tape; where a guard flips, the outcome seen leads to the arm to go on with. Stretches
without a fork take no memory, so that a loop of a thousand turns is not a thousand
nodes.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tapegrad.sweeps import flat
from tapegrad.tape.guards import Guard
from tapegrad.tape.structure import Structure
from tapegrad.tape.tape import Tape

# An outcome of a guard: a truth value, an integer, or the digest of a mask.
Outcome = Any


class Path:
    """One path of control flow, and its tape.

    Attributes:
        tape: the recording.
        guards: the guards on it, in order: outcomes and source lines.
        outcomes: the outcomes alone.
        masks: guards that hold a whole array, by number: the slot that is compared.
        inner: whether there are guards inside of steps with sub-tapes.
        runner: runs the tape.
        used: when it was last called, by the function's own count of calls.
    """

    __slots__ = (
        "guards",
        "inner",
        "masks",
        "outcomes",
        "parent",
        "runner",
        "tape",
        "used",
    )

    def __init__(self, tape: Tape, runner: Any = None) -> None:
        base = flat(tape)
        self.tape = tape
        self.guards: tuple[Guard, ...] = base.guards
        self.masks, digests = _masks(base)
        self.outcomes: tuple[Outcome, ...] = tuple(
            digests.get(number, guard.outcome)
            for number, guard in enumerate(self.guards)
        )
        self.inner = _guards_inside(base)
        if self.inner:  # what those decided is in the tape alone
            self.outcomes += (tape.digest,)
        self.runner = runner
        self.used = 0
        self.parent: Fork | None = None

    def until(self, depth: int) -> Tape:
        """The tape up to a mask that a guard holds, which is its output."""
        base, slot = flat(self.tape), self.masks[depth]
        steps = base.owner(slot) + 1
        slots, reads = int(base.first[steps]), int(base.offsets[steps])
        return dataclasses.replace(
            base,
            opcode=base.opcode[:steps],
            offsets=base.offsets[: steps + 1],
            operands=base.operands[:reads],
            first=base.first[: steps + 1],
            static=base.static[:steps],
            aval=base.aval[:slots],
            outputs=(slot,),
            structure=Structure(),
        )

    def __repr__(self) -> str:
        taken = [f"{g.file}:{g.line} {g.outcome}" for g in self.guards[:3]]
        if len(self.guards) > len(taken):
            taken.append("...")
        way = ", ".join(taken) or "no branch"
        return f"<Path: {len(self.tape)} steps, {way}>"


class Fork:
    """Where paths part.

    Attributes:
        depth: number of the guard whose outcomes differ.
        arms: what follows, by outcome.
        parent: the fork before, None at the root.
        latest: the path below that was switched to last.
    """

    __slots__ = ("arms", "depth", "latest", "parent")

    def __init__(self, depth: int, parent: Fork | None, latest: Path) -> None:
        self.depth = depth
        self.arms: dict[Outcome, Fork | Path] = {}
        self.parent = parent
        self.latest = latest


class Family:
    """The paths of a function at arguments of one kind.

    Attributes:
        key: what kind.
        root: the tree, None when there is no path.
        latest: the path to try first.
        paths: all of them, oldest first.
    """

    __slots__ = ("key", "latest", "paths", "root")

    def __init__(self, key: Any) -> None:
        self.key = key
        self.root: Fork | Path | None = None
        self.latest: Path | None = None
        self.paths: dict[Path, None] = {}

    def after(self, path: Path, depth: int, outcome: Outcome) -> Path | None:
        """A path that shares all outcomes before a guard, and has this one there.

        Args:
            path: whose guard flipped.
            depth: the number of the guard.
            outcome: what was seen there.
        """
        fork = path.parent
        while fork is not None and fork.depth > depth:
            fork = fork.parent
        if fork is None or fork.depth != depth:
            return None
        arm = fork.arms.get(outcome)
        return arm.latest if isinstance(arm, Fork) else arm

    def switch(self, path: Path) -> None:
        """Try this path first from now on."""
        self.latest = path
        fork = path.parent
        while fork is not None:
            fork.latest = path
            fork = fork.parent

    def insert(self, path: Path) -> list[Path]:
        """Put a path into the tree; returns those that it takes the place of.

        A path whose outcomes are the same, or begin the other's, was recorded when the
        function read another state of the world: the newer recording is right.
        """
        place, fork, mine = self.root, None, path.outcomes
        while isinstance(place, Fork) and place.depth < len(mine):
            if shared(mine, place.latest.outcomes) < place.depth:
                break
            fork, place = place, place.arms.get(mine[place.depth])
        gone: list[Path] = []
        if place is not None:
            other = place.latest if isinstance(place, Fork) else place
            depth = shared(mine, other.outcomes)
            if depth in {len(mine), len(other.outcomes)}:
                gone = list(_below(place))
                for old in gone:
                    self.remove(old)
                return gone + self.insert(path)
            fork = self._split(place, depth, other, path)
        self._hang(path, fork)
        return gone

    def _split(self, place: Fork | Path, depth: int, other: Path, path: Path) -> Fork:
        """A new fork above a place of the tree."""
        above = place.parent
        fork = Fork(depth, above, path)
        fork.arms[other.outcomes[depth]] = place
        place.parent = fork
        if above is None:
            self.root = fork
        else:
            above.arms[other.outcomes[above.depth]] = fork
        return fork

    def _hang(self, path: Path, fork: Fork | None) -> None:
        path.parent = fork
        self.paths[path] = None
        if fork is None:
            self.root = path
        else:
            fork.arms[path.outcomes[fork.depth]] = path
        self.switch(path)

    def remove(self, path: Path) -> None:
        """Take a path out of the tree."""
        del self.paths[path]
        fork, path.parent = path.parent, None
        if fork is None:
            self.root = None
        else:
            del fork.arms[path.outcomes[fork.depth]]
            if len(fork.arms) == 1:  # no fork any more
                self._spliced(fork)
        if self.latest is path:
            self.latest = max(self.paths, key=lambda p: p.used, default=None)
        self._forget(path)

    def _spliced(self, fork: Fork) -> None:
        """Put the only arm of a fork in its place."""
        (arm,) = fork.arms.values()
        above = fork.parent
        arm.parent = above
        if above is None:
            self.root = arm
        else:
            inner = next(iter(_below(arm)))
            above.arms[inner.outcomes[above.depth]] = arm

    def _forget(self, path: Path) -> None:
        """No fork leads to a path that is gone."""
        for fork in _forks(self.root):
            if fork.latest is path:
                fork.latest = max(_below(fork), key=lambda p: p.used)


def _masks(base: Tape) -> tuple[dict[int, int], dict[int, Outcome]]:
    """Guards on all entries of an array: ``(mask == what was seen).all()``.

    An index made of a mask leaves such a guard. What was seen is a constant of the
    recording, so it is the constant that tells paths apart: the outcome is always true.
    """
    slots: dict[int, int] = {}
    digests: dict[int, Outcome] = {}
    if not {"all", "equal", "guard"} <= set(base.operations):
        return slots, digests
    code = base.operations.index("guard")
    for number, step in enumerate(np.flatnonzero(base.opcode == code).tolist()):
        whole = base.step(base.owner(int(base.operands[base.offsets[step]])))
        if whole.primitive.name != "all":
            continue
        equal = base.step(base.owner(whole.operands[0]))
        if equal.primitive.name != "equal":
            continue
        seen = base.step(base.owner(equal.operands[1]))
        if seen.primitive.name == "const":
            slots[number] = equal.operands[0]
            if base.step(step).params["guard"].outcome is True:
                digests[number] = digest_of(seen.params["value"])
    return slots, digests


def digest_of(mask: Any) -> Outcome:
    """A short key of an array's content."""
    data = np.ascontiguousarray(mask)
    found = hashlib.blake2b(data.tobytes(), digest_size=16)
    return data.shape, str(data.dtype), found.hexdigest()


def _guards_inside(tape: Tape) -> bool:
    """Whether a sub-tape of a step has guards."""
    pending = [tape]
    while pending:
        for static in pending.pop().statics:
            for _, held in static:
                if isinstance(held, Tape):
                    if "guard" in held.operations:
                        return True
                    pending.append(held)
    return False


def _forks(place: Fork | Path | None) -> Iterator[Fork]:
    pending = [place]
    while pending:
        here = pending.pop()
        if isinstance(here, Fork):
            yield here
            pending += here.arms.values()


def _below(place: Fork | Path) -> Iterator[Path]:
    pending = [place]
    while pending:
        here = pending.pop()
        if isinstance(here, Fork):
            pending += here.arms.values()
        else:
            yield here


def shared(one: tuple[Outcome, ...], two: tuple[Outcome, ...]) -> int:
    """How many outcomes two paths have in common before they part."""
    low, high = 0, min(len(one), len(two))
    if one[:high] == two[:high]:
        return high
    while high - low > 1:  # one[:low] agrees, one[:high] does not
        middle = (low + high) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle
    return low
