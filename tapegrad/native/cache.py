"""Compiled code on disk, from process to process. Floor 4; standard library only.

A file holds one piece of code and is named by its key, the digest of all that the code
was made from. Its first bytes are `MAGIC` and the SHA-256 of key and content; whatever
does not fit them is damaged, and is removed and made again. Nothing that goes wrong
here is an error: a full disk, a folder that cannot be written, a file of somebody else
are all as if there were no cache.

Code is run, so who may write it matters: the folder is for its owner alone, and files
that others own, or may write to, are not read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"tapegrad code 1\n"
HEAD = len(MAGIC) + hashlib.sha256().digest_size

# The folder's name, or one of OFF for no cache at all.
VARIABLE = "TAPEGRAD_CACHE"
OFF = frozenset({"", "0", "off"})

# Bytes that the folder may take; what was used least recently goes first. A small file
# counts as SMALL: there are never so many of them that to look at all takes long.
MOST = 256 << 20
SMALL = 16 << 10

# Reading a file counts as use, but its time is not written again within the hour.
HOUR = 3600.0

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

# Links are not followed, a pipe is not waited for. Windows has none of these flags.
BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
READ = os.O_RDONLY | PLAIN | BINARY
WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY


@dataclass(frozen=True, slots=True)
class Store:
    """Files in a folder.

    Args:
        folder: where; it is there, and its owner's alone.
        most: bytes that it may take.
    """

    folder: Path
    most: int = MOST

    def get(self, key: str) -> bytes | None:
        """What was put there by that key, or None."""
        path = self.folder / key
        try:
            content = self._read(path)
        except FileNotFoundError:
            return None
        except OSError:
            content = b""
        payload = content[HEAD:]
        if not payload or content[:HEAD] != _head(key, payload):
            _remove(path)
            return None
        return payload

    def _read(self, path: Path) -> bytes:
        with os.fdopen(os.open(path, READ), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or not _mine(found):
                return b""
            if found.st_size > self.most:
                return b""
            content = file.read()
        if time.time() - found.st_mtime > HOUR:
            with contextlib.suppress(OSError):
                os.utime(path)
        return content

    def put(self, key: str, payload: bytes) -> bool:
        """Keep it, if that can be done.

        The file appears under its name all at once: a reader sees the whole of it or
        nothing, and of several writers the last one counts.
        """
        if not payload or len(payload) > self.most // 4:
            return False
        kept = False
        passing = self.folder / f"new-{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(passing, WRITE, 0o600), "wb") as file:
                file.write(_head(key, payload))
                file.write(payload)
            passing.replace(self.folder / key)
            kept = True
        except OSError:
            pass
        finally:
            if not kept:
                _remove(passing)
        # one small file in 16 makes way, without a count that processes would share
        if key.startswith("0") or len(payload) >= self.most >> 8:
            self.shrink()
        return kept

    def files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """The files that are there."""
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.is_file(follow_symlinks=False):
                        yield Path(entry.path), entry.stat(follow_symlinks=False)

    def shrink(self) -> None:
        """Remove what was used least recently, down to three quarters, if it is full.

        A file that a writer left behind when it was killed goes, too.
        """
        now, total, old = time.time(), 0, []
        for path, found in self.files():
            if path.name.startswith("new-") and now - found.st_mtime > HOUR:
                _remove(path)
                continue
            size = max(found.st_size, min(SMALL, self.most >> 8))
            total += size
            old.append((found.st_mtime, size, path.name))
        if total <= self.most:
            return
        for _, size, name in sorted(old):
            _remove(self.folder / name)
            total -= size
            if total <= self.most * 3 // 4:
                return

    def clear(self) -> int:
        """Remove all files; how many there were."""
        found = [path for path, _ in self.files()]
        for path in found:
            _remove(path)
        return len(found)


def opened() -> tuple[Store | None, str]:
    """The store of this user, and where it is; or None, and why there is none."""
    named = os.environ.get(VARIABLE)
    if named is not None and named.strip().lower() in OFF:
        return None, f"off: {VARIABLE}={named}"
    folder = _usual() if named is None else Path(named).absolute()
    if folder is None:
        return None, f"off: no home directory; set {VARIABLE} to a folder"
    try:
        if not folder.is_dir():
            _make(folder, anywhere=named is not None)
        found = folder.stat()
    except OSError as problem:
        return None, f"off: {folder}: {problem.strerror or problem}"
    if not _mine(found):
        return None, f"off: {folder} is not yours alone to write to"
    if not os.access(folder, os.R_OK | os.X_OK):
        return None, f"off: {folder} cannot be read"
    return Store(folder), str(folder)


def _usual() -> Path | None:
    """Where a system keeps a user's caches."""
    name = os.environ.get("HOME")
    if name is None:
        name = os.path.expanduser("~")  # noqa: PTH111 - Path.home raises without one
    home = Path(name)
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA", ""))
    elif sys.platform == "darwin":
        parent = home / "Library" / "Caches"
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not parent.is_absolute():  # is not to be looked at, the specification says
            parent = home / ".cache"
    return parent / "tapegrad" if parent.is_absolute() else None


def _make(folder: Path, *, anywhere: bool) -> None:
    """Make the folder, for its owner alone.

    In the home directory of somebody else (`sudo` may leave it in place) it would be in
    its owner's way for ever.

    Raises:
        OSError: it cannot be made.
    """
    parent = next(place for place in folder.parents if place.exists())
    if not anywhere and not _owned(parent.stat()):
        raise PermissionError(0, "the folder above it is somebody else's")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def _owned(found: os.stat_result) -> bool:
    return sys.platform == "win32" or found.st_uid == os.geteuid()


def _mine(found: os.stat_result) -> bool:
    """Whether nobody else may write there."""
    if sys.platform == "win32":
        return True
    return _owned(found) and not found.st_mode & OTHERS_WRITE


def _head(key: str, payload: bytes) -> bytes:
    """What a file begins with; the key is in it, so a file fits one name only."""
    digest = hashlib.sha256(key.encode())
    digest.update(payload)
    return MAGIC + digest.digest()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
