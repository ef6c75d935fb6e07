"""The paths of one function, and which of them are kept. Floor 10."""

from __future__ import annotations

import threading
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from tapegrad.errors import RecordError
from tapegrad.paths.tree import Family, Path
from tapegrad.paths.watch import Seen, changed
from tapegrad.tape.guards import Guard, user_line

# Keys that lead to one state: a function may change a list at each recording.
ALIASES = 1000


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
    """The families recorded in one state of what the function reads around itself.

    Attributes:
        seen: that state.
        keys: the keys that lead here.
        families: by the kind of the arguments; several keys may lead to one.
    """

    __slots__ = ("families", "keys", "seen")

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.keys: list[Hashable] = [seen.key]
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
        self.clear()

    def clear(self) -> None:
        """Forget all paths and figures."""
        with self._lock:
            self.clock = 0
            self.misses = 0
            self.size = 0
            self._states: dict[Hashable, State] = {}
            self._reasons: Counter[str] = Counter()
            self._warned = False

    def info(self) -> CacheInfo:
        """The figures."""
        with self._lock:
            hits = self.clock - self.misses
            return CacheInfo(hits, self.misses, self.maxsize, self.size)

    def _all(self) -> Iterator[tuple[State, Family, Path]]:
        for state in dict.fromkeys(self._states.values()):
            for family in dict.fromkeys(state.families.values()):
                for path in family.paths:
                    yield state, family, path

    def paths(self) -> tuple[Path, ...]:
        """All paths, oldest first in each family."""
        with self._lock:
            return tuple(path for _, _, path in self._all())

    def state(self, seen: Seen) -> State:
        """The families of a state."""
        return self._states.get(seen.key) or State(seen)

    def hit(self, path: Path) -> None:
        """A path answered a call."""
        self.clock = path.used = self.clock + 1

    def insert(
        self, state: State, family: Family, path: Path, reason: Guard | str
    ) -> None:
        """Keep a new path; the one not used for longest goes if there is no room.

        Args:
            state: where it was recorded.
            family: of the arguments.
            path: the new one.
            reason: the guard that flipped, or what else is new, for the warning.
        """
        with self._lock:
            self.misses += 1
            self.hit(path)
            self._reasons[_words(reason)] += 1
            # another thread may have been quicker with the same state or kind
            state = self._states.setdefault(state.keys[0], state)
            family = state.families.setdefault(family.key, family)
            self.size += 1 - len(family.insert(path))
            if self.maxsize is not None and self.size > self.maxsize:
                self._drop()

    def alias(self, state: State, seen: Seen) -> None:
        """A recording changed its state to this one: what was recorded stands."""
        with self._lock:
            state = self._states.get(state.keys[0], state)
            if self._states.setdefault(seen.key, state) is state:
                state.keys.append(seen.key)
            if len(state.keys) > ALIASES:
                self._states.pop(state.keys.pop(1), None)

    def alias_family(self, state: State, family: Family, key: Hashable) -> None:
        """A recording changed its arguments: they are of the same family still."""
        with self._lock:
            state = self._states.get(state.keys[0], state)
            state.families.setdefault(key, state.families.get(family.key, family))

    def reason(self, state: State, key: Any, names: Sequence[str]) -> str:
        """What is new about a call that no guard sent to a recording."""
        with self._lock:
            others = [family for family in state.families.values() if family.paths]
            if others:
                last = max(others, key=lambda f: max(p.used for p in f.paths))
                return _difference(last.key, key, names)
            states = [s for s in self._states.values() if s is not state]
            found = changed(states[-1].seen, state.seen) if states else ""
            return f"the value of {found}, which it reads" if found else "what it reads"

    def _drop(self) -> None:
        """Forget the path that was not used for longest."""
        state, family, path = min(self._all(), key=lambda found: found[2].used)
        family.remove(path)
        self.size -= 1
        if not family.paths:
            for key in [k for k, f in state.families.items() if f is family]:
                del state.families[key]
        if not state.families:
            for key in state.keys:
                self._states.pop(key, None)
        if not self._warned:
            self._warned = True
            warnings.warn_explicit(self._advice(), PathsWarning, *user_line())

    def _advice(self) -> str:
        ((reason, count),) = self._reasons.most_common(1)
        return (
            f"{self.name} has been recorded {self.misses} times, and maxsize="
            f"{self.maxsize} paths are kept: from now on old ones are dropped, and "
            f"recorded again when they come back. What changes most ({count} times) is "
            f"{reason}; or give tg.function a larger maxsize"
        )


def _words(reason: Guard | str) -> str:
    """What changes, and what to do about it."""
    if isinstance(reason, Guard):
        return (
            f"the branch at {reason.file}:{reason.line}; write the choice as "
            "tg.where(condition, a, b), the loop as tg.while_loop or tg.fori_loop"
        )
    return f"{reason}; pass what changes as a float, or as an array of one shape"


def _difference(old: Any, new: Any, names: Sequence[str]) -> str:
    """The argument in which two kinds of arguments differ."""
    one, two = (
        ((float,) * key, ()) if isinstance(key, int) else key for key in (old, new)
    )
    if one[1] == two[1] and len(one[0]) == len(two[0]) == len(names):
        for name, a, b in zip(names, one[0], two[0], strict=True):
            if a != b:
                return f"the argument {name}, its static values or shape"
    return "how many arguments there are"
