"""What a build found out, kept beside its code. Floor 9.

To derive a long tape and to write its text takes longer than to read the code that was
made of it. So the cache holds a second kind of file: its key is that of a tape's part,
and it says which code that is, what it calls, and the few facts that its callers need.
It is used for tapes of the library's own rows alone, as every version of this very
installation lowers them: any file of the package that changes makes all of it stale.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native import cache
from tapegrad.native.engine import Engine, Outside
from tapegrad.native.objects import setting
from tapegrad.native.report import Part
from tapegrad.rules import TABLE
from tapegrad.tape.tape import Aval, Tape

# Steps below which a tape of numbers, and one with arrays, is derived and lowered while
# the files are looked at.
FEW = {False: 100, True: 5}

# Bytes of constant arrays that are kept with a part.
TABLES = 1 << 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A part of a tape: the call makes the tape that is lowered.

    Args:
        make: derives it.
        base: the tape, flat.
        part: what of it.
    """

    make: Callable[[], Tape]
    base: Tape
    part: str

    def __call__(self) -> Tape:
        """The tape of the part."""
        return self.make()


@dataclass(frozen=True, slots=True)
class Source:
    """A text to be compiled.

    Args:
        body: LLVM source.
        calls: what it calls from outside.
        level: of the optimiser and the code generator.
        facts: what the callers of the code have to know of it.
    """

    body: str
    calls: tuple[Outside, ...]
    level: int
    facts: Mapping[str, Any]


def engine_of(
    wanted: Callable[[], Tape], how: tuple[Any, ...], make: Callable[[], Source]
) -> tuple[Engine, dict[str, Any]]:
    """Code, and the facts about it: recalled, or made.

    Args:
        wanted: an `Asked`, if it may be recalled.
        how: whatever else has a say in the text, the options among it.
        make: lowers it.

    Returns:
        The code, and the facts, in which tuples have become lists; and the level.
    """
    key = _key(wanted, how) if isinstance(wanted, Asked) else ""
    if key:
        found = _recalled(key)
        if found is not None:
            return found
    source = make()
    level = source.level
    engine = Engine(source.body, source.calls, codegen=level, passes=level)
    facts = json.dumps({**source.facts, "level": level})
    # those that are no cells are in the code
    calls = [call for call in source.calls if not call.intrinsic]
    tables = sum(call.place.nbytes for call in calls if call.place is not None)
    store, _ = cache.opened()
    if key and engine.key and tables <= TABLES and store:
        noted = [_noted(call) for call in calls]
        text = json.dumps({"code": engine.key, "calls": noted, "facts": facts})
        store.put(key, text.encode())
    return engine, json.loads(facts)


def part_of(engine: Engine, facts: Mapping[str, Any], seconds: float) -> Part:
    """What a report says of code and its facts."""
    return Part(
        facts["level"],
        facts["steps"],
        facts["chunks"],
        engine.size,
        seconds,
        facts.get("arena", 0),
        engine.origin,
    )


def avals(found: Any) -> tuple[Aval, ...]:
    """Shapes and dtypes out of facts."""
    return tuple((tuple(shape), dtype) for shape, dtype in found)


def _recalled(key: str) -> tuple[Engine, dict[str, Any]] | None:
    store, _ = cache.opened()
    known = store.get(key) if store else None
    if known is None:
        return None
    found = json.loads(known)
    calls = [_call(**call) for call in found["calls"]]
    try:
        engine = Engine.recalled(found["code"], calls)
    except CompileError:  # this process lacks a function that it calls
        return None
    return None if engine is None else (engine, json.loads(found["facts"]))


def _noted(call: Outside) -> dict[str, Any]:
    """A call as text; the array that it reads, byte by byte."""
    noted = {
        field.name: getattr(call, field.name) for field in dataclasses.fields(call)
    }
    if call.place is not None:
        table = np.ascontiguousarray(call.place)
        words = base64.b64encode(table.tobytes()).decode()
        noted["place"] = [table.dtype.str, table.shape, words]
    return noted


def _call(takes: list[str], place: Any, **others: Any) -> Outside:
    """The same from text."""
    if place is not None:
        dtype, shape, words = place
        place = np.frombuffer(base64.b64decode(words), dtype).reshape(shape).copy()
    return Outside(takes=tuple(takes), place=place, **others)


def _key(wanted: Asked, how: tuple[Any, ...]) -> str:
    """The key of a part, or nothing where it is not to be recalled."""
    base = wanted.base
    if (
        len(base) < FEW[base.arrays]
        or cache.opened()[0] is None
        or TABLE.defined(TABLE.by_name)
    ):
        return ""
    installed = _installed()
    if not installed:
        return ""
    parts = (installed, base.digest, wanted.part, how)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@functools.cache
def _installed() -> tuple[Any, ...]:
    """What the text of a tape depends on, beside the tape.

    A file's times and number in its folder stand for its content, as in version
    control: to read all of them would take longer than most builds.
    """
    root = Path(__file__).resolve().parent.parent
    files = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)  # noqa: PTH118 - there are hundreds
                found = os.stat(path)  # noqa: PTH116 - as above
                times = found.st_mtime_ns, found.st_ctime_ns
                files.append((path, found.st_size, found.st_ino, *times))
    if not files:  # in an archive: no telling when they change
        return ()
    digest = hashlib.sha256(repr(files).encode()).hexdigest()
    return digest, sys.version, np.__version__, sys.platform, setting()
