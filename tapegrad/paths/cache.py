"""The paths of one function, and which of them are kept. Floor 10."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

from tapegrad.errors import RecordError
from tapegrad.paths.tree import Family, Path
from tapegrad.tape.guards import Guard, user_line


class PathsWarning(RuntimeWarning):
    """A function goes more ways than are kept, and records again and again."""


class CacheInfo(NamedTuple):
    """Figures of a function's cache, named as those of `functools.lru_cache`.

    Attributes:
        hits: calls that a recorded path answered.
        misses: calls that recorded a path.
        maxsize: paths that are kept at most.
        currsize: paths that are kept now.
    """

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class State:
    """The families recorded in one state of what the function reads around itself."""

    __slots__ = ("families", "key")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.families: dict[Hashable, Family] = {}


class Cache:
    """Paths by state, family, and outcomes of guards; the latest used are kept.

    Args:
        name: of the function, for the warning.
        maxsize: how many paths, None for any number.
    """

    def __init__(self, name: str, maxsize: int | None) -> None:
        if maxsize is not None and (type(maxsize) is not int or maxsize < 1):
            msg = f"tg.function(maxsize={maxsize!r}): it is 1 or more, or None"
            raise RecordError(msg)
        self.name = name
        self.maxsize = maxsize
        self._lock = threading.RLock()
        self._warned = False
        self.clear()

    def clear(self) -> None:
        """Forget all paths and figures."""
        with self._lock:
            self.clock = 0
            self.misses = 0
            self.size = 0
            self._states: dict[Hashable, State] = {}
            self._flips: Counter[tuple[str, int]] = Counter()
            self._changes: Counter[str] = Counter()
            self._warned = False

    def info(self) -> CacheInfo:
        """The figures."""
        return CacheInfo(self.clock - self.misses, self.misses, self.maxsize, self.size)

    def paths(self) -> tuple[Path, ...]:
        """All paths, oldest first in each family."""
        with self._lock:
            return tuple(
                path
                for state in self._states.values()
                for family in state.families.values()
                for path in family.paths
            )

    def state(self, key: Hashable) -> State:
        """The families of a state."""
        with self._lock:
            found = self._states.get(key)
            if found is None:
                found = self._states[key] = State(key)
            return found

    def hit(self, path: Path) -> None:
        """A path answered a call."""
        self.clock = path.used = self.clock + 1

    def insert(
        self, state: State, family: Family, path: Path, why: Guard | str
    ) -> None:
        """Keep a new path; the one not used for longest goes if there is no room.

        Args:
            state: where it was recorded.
            family: of the arguments.
            path: the new one.
            why: the guard that flipped, or what else is new.
        """
        with self._lock:
            self.misses += 1
            self.hit(path)
            if isinstance(why, Guard):
                self._flips[why.file, why.line] += 1
            else:
                self._changes[why] += 1
            self._states[state.key] = state
            state.families[family.key] = family
            self.size += 1 - len(family.insert(path))
            family.switch(path)
            if self.maxsize is not None and self.size > self.maxsize:
                self._drop()

    def _drop(self) -> None:
        """Forget the path that was not used for longest."""
        state, family, path = min(
            (
                (state, family, path)
                for state in self._states.values()
                for family in state.families.values()
                for path in family.paths
            ),
            key=lambda found: found[2].used,
        )
        family.remove(path)
        self.size -= 1
        if not family.paths:
            del state.families[family.key]
        if not state.families:
            del self._states[state.key]
        if not self._warned:
            self._warned = True
            warnings.warn_explicit(self._advice(), PathsWarning, *user_line())

    def _advice(self) -> str:
        head = (
            f"{self.name} has been recorded {self.misses} times, and maxsize="
            f"{self.maxsize} paths are kept: from now on old ones are dropped, and "
            "recorded again when they come back. "
        )
        (flip, flips), (change, changes) = (
            (*counter.most_common(1), (None, 0))[0]
            for counter in (self._flips, self._changes)
        )
        if flip is not None and flips >= changes:
            return head + (
                f"The branch that keeps flipping is at {flip[0]}:{flip[1]} ({flips} "
                "recordings); write the choice as tg.where(condition, a, b), the loop "
                "as tg.while_loop or tg.fori_loop, or give tg.function a larger maxsize"
            )
        return head + (
            f"What keeps changing is {change} ({changes} recordings); pass what "
            "changes as a float or an array of one shape, or give tg.function a "
            "larger maxsize"
        )
