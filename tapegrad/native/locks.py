"""Locks and threads, forks and Ctrl-C. Floor 4; standard library only.

A child process has one thread. A lock that another thread held when it was forked would
stay locked in it for ever; here such locks are free again, and what they guard is in
order, since it is only changed at the end of what is done under them.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")
Self = TypeVar("Self")


class Lock:
    """A re-entrant lock that is free in a forked child."""

    __slots__ = ("__weakref__", "inner")

    def __init__(self) -> None:
        self.inner = threading.RLock()
        _LOCKS.add(self)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold it."""
        # the very one that was taken: after a fork in between there is another one
        inner = self.inner
        with inner:
            yield


class Once(Generic[Self, T]):
    """A property that is computed once, like `functools.cached_property`.

    That one holds a lock in Python 3.11, for all objects together and while it
    computes. Here several threads may compute, and all get what the first one made.

    Args:
        make: gives the value for an object.
    """

    def __init__(self, make: Callable[[Self], T]) -> None:
        self.make = make
        self.name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, owner: None, kind: Any) -> Once[Self, T]: ...

    @overload
    def __get__(self, owner: Self, kind: Any) -> T: ...

    def __get__(self, owner: Self | None, kind: Any) -> T | Once[Self, T]:
        """The value; the next look finds it in the object itself."""
        if owner is None:
            return self
        made: T = self.make(owner)
        found: T = owner.__dict__.setdefault(self.name, made)
        return found


def aside(work: Callable[[], T]) -> T:
    """Run what a Ctrl-C must not stop half-way in a thread of its own; wait for it.

    Only the main thread is interrupted. Inside of a library that could come up between
    a call and the release of a lock, which then stays locked; and it would come up only
    after the call. So the main thread waits here, where it can leave at once. The work
    goes on to its end, and what it made is thrown away.

    Args:
        work: takes no lock that its caller may hold.

    Returns:
        What the work returns; it raises what that raises.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    made: list[T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            made.append(work())
        except BaseException as problem:  # noqa: BLE001 - it is raised below
            problems.append(problem)

    thread = threading.Thread(target=run, name="tapegrad")
    try:
        thread.start()
    except RuntimeError:  # there are no threads here, or at the end of the process
        return work()
    thread.join()
    if problems:
        # the traceback holds this frame, the list, and so itself
        raise problems.pop()
    return made.pop()


_LOCKS: weakref.WeakSet[Lock] = weakref.WeakSet()


def _free() -> None:
    """In a forked child: no other thread is left that could give a lock back."""
    for lock in _LOCKS:
        lock.inner = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free)
