"""Files that are there entirely or not at all. Floor 2."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one piece: a new one takes the old one's place at the end.

    The bytes go to a file of another name in the same directory, are on the disk before
    it is renamed, and the rename is one step for every reader. Whatever fails, the old
    file is untouched and nothing is left over.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    mode = _mode(target)
    beside = target.with_name(f".{target.name[:64]}.{secrets.token_hex(8)}.part")
    try:
        # opened like any new file, so that the user's umask holds
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            beside.chmod(mode)
        beside.replace(target)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            beside.unlink()
        if isinstance(problem, OSError) and problem.filename:
            problem.filename = str(path)  # the name that the caller knows
        raise
    _sync_directory(target.parent)


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an ordinary file: pipes and devices have no end to wait for.

    Raises:
        OSError: the file cannot be read.
    """
    _mode(Path(path), must=True)
    return Path(path).read_bytes()


def _mode(path: Path, *, must: bool = False) -> int | None:
    """Permissions of a file; None when it is not there yet."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if must:
            raise
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "is no ordinary file", str(path))
    return stat.S_IMODE(found.st_mode)


def _sync_directory(folder: Path) -> None:
    """Make the rename itself last; some file systems cannot, and that is no error."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
