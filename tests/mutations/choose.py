"""Which faults are planted: the same ones every time, spread over every module.

Each module's faults are ranked by a hash of their names, and taken in turns over the
kinds of slip, at most two in one function. So a change of one function moves the choice
in its own module alone, and a fault keeps its name while lines move.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

from equivalent import changes_nothing
from faults import Fault, compiles, faults


class Area(NamedTuple):
    """A part of the package.

    Args:
        files: patterns of its modules, from the package's folder.
        share: how many of 250 faults it gets.
        tests: what is run where no test is known to reach a line, and after those that
            are, when none of them failed.
    """

    files: tuple[str, ...]
    share: int
    tests: tuple[str, ...]


AREAS = {
    "rules": Area(
        ("rules/*.py",),
        70,
        (
            "tests/test_rules.py",
            "tests/test_edges.py",
            "tests/test_edges_arrays.py",
            "tests/test_edges_second.py",
            "tests/test_array_rows.py",
            "tests/readings",
            "tests/proof",
            "tests/native/test_rows.py",
            "tests/symbolic",
            "tests/arrays",
        ),
    ),
    "readings": Area(
        ("readings/*.py",),
        36,
        (
            "tests/readings",
            "tests/test_arithmetics.py",
            "tests/test_array_rows.py",
            "tests/test_rules.py",
            "tests/proof",
            "tests/symbolic",
        ),
    ),
    "sweeps": Area(
        (
            "sweeps.py",
            "passing.py",
            "masks.py",
            "bulk.py",
            "derivatives.py",
            "eager.py",
        ),
        40,
        (
            "tests/test_sweeps.py",
            "tests/test_transforms.py",
            "tests/test_value.py",
            "tests/test_pitfalls.py",
            "tests/test_array_rows.py",
            "tests/test_arrays.py",
            "tests/test_edges_second.py",
            "tests/test_edges_arrays.py",
            "tests/arrays",
            "tests/show/test_trace.py",
        ),
    ),
    "passes": Area(
        ("passes.py", "passes/*.py", "tape/inline.py"),
        12,
        ("tests/tape", "tests/test_sweeps.py", "tests/test_transforms.py"),
    ),
    "lowering": Area(
        ("native/*.py", "native/machine/*.py"),
        36,
        ("tests/native", "tests/test_loops.py"),
    ),
    "lowering arrays": Area(
        ("native/arrays/*.py",),
        46,
        ("tests/native", "tests/test_loops.py"),
    ),
    "loader": Area(
        ("tape/files/*.py",),
        24,
        ("tests/tape", "tests/test_cli_files.py"),
    ),
}
TOTAL = sum(area.share for area in AREAS.values())
PER_FUNCTION = 2


class Choice(NamedTuple):
    """A fault to plant, and where its module belongs."""

    area: str
    fault: Fault


def choose(root: Path, count: int, seed: str = "") -> list[Choice]:
    """About `count` faults in the tree at `root`, the same ones for the same seed."""
    found = []
    for name, area in AREAS.items():
        paths = sorted(
            path
            for pattern in area.files
            for path in (root / "tapegrad").glob(pattern)
            if path.name != "__init__.py"
        )
        candidates = {path: _candidates(root, path) for path in paths}
        every = sum(map(len, candidates.values()))
        wanted = area.share * count / TOTAL
        for path, faults_ in candidates.items():
            # the square root of a share evens out long and short modules
            quota = max(2, math.ceil(wanted * len(faults_) / max(every, 1)))
            source = path.read_bytes()
            found += [
                Choice(name, fault) for fault in _some(faults_, quota, seed, source)
            ]
    return found


def _candidates(root: Path, path: Path) -> list[Fault]:
    """The faults of a file, without those that are known to change nothing."""
    name = path.relative_to(root).as_posix()
    every = faults(name, path.read_bytes(), llvm="/native/" in f"/{name}")
    return [fault for fault in every if not changes_nothing(fault)]


def _some(candidates: list[Fault], quota: int, seed: str, source: bytes) -> list[Fault]:
    """The first few by rank, kinds in turns, few in one function."""

    def rank(fault: Fault) -> str:
        return hashlib.sha256(f"{seed}|{fault.name}".encode()).hexdigest()

    kinds: defaultdict[str, int] = defaultdict(int)
    turns = []
    for fault in sorted(candidates, key=rank):
        turns.append((kinds[fault.kind], rank(fault), fault))
        kinds[fault.kind] += 1
    taken: list[Fault] = []
    functions: Counter[str] = Counter()
    for _, _, fault in sorted(turns, key=lambda turn: turn[:2]):
        if len(taken) == quota:
            break
        if functions[fault.where] < PER_FUNCTION and compiles(fault.planted(source)):
            functions[fault.where] += 1
            taken.append(fault)
    return taken
