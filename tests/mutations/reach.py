"""Which tests run a line: a map made by one run of the whole suite."""

from __future__ import annotations

import difflib
import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from coverage import CoverageData

HERE = Path(__file__).resolve().parent


def _environment(tree: Path) -> dict[str, str]:
    """Compiled files are wanted: every later run starts from them."""
    path = os.pathsep.join([str(tree), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def warm(tree: Path) -> None:
    """Have the modules of a tree, and its tests, compiled once."""
    if not any((tree / "tapegrad").glob("__pycache__/*.pyc")):
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only"]
        environment = {**_environment(tree), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        quiet = subprocess.DEVNULL
        subprocess.run(command, cwd=tree, env=environment, stdout=quiet, check=False)


def measure(state: Path, tree: Path, jobs: int, suite: Sequence[str]) -> None:
    """Run the suite in a tree once, lines noted by test; the map goes to `state`.

    Args:
        state: the folder for the map.
        tree: the checkout.
        jobs: processes.
        suite: files and folders of tests; all of them if empty.
    """
    for old in [
        *state.glob("reach.*.data"),
        *state.glob("costs.*"),
        state / "failing.txt",
    ]:
        old.unlink(missing_ok=True)
    several = ["-n", str(jobs)] if jobs > 1 else ["-p", "no:xdist"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "reach_plugin", *several]
    command += suite
    environment = {
        **_environment(tree),
        "MUTATIONS_STATE": str(state),
        "MUTATIONS_PACKAGE": str(tree / "tapegrad"),
    }
    with (state / "measure.log").open("w") as log:
        done = subprocess.run(
            command, cwd=tree, env=environment, stdout=log, stderr=log, check=False
        )
    if done.returncode > 1:  # 1: a test failed; it is left out, see `Reach`
        msg = f"the suite could not be run: see {state / 'measure.log'}"
        raise SystemExit(msg)
    (state / "measured").touch()


class Reach:
    """The map, read.

    Args:
        state: where it was made.
        tree: the tree that is asked about: the one it was made of, or one much like it,
            whose lines are then looked up where they stood.
    """

    def __init__(self, state: Path, tree: Path) -> None:
        self.tree, self.made_of = tree, state / "tree"
        self.files = sorted(state.glob("reach.*.data"))
        self.costs: dict[str, float] = {}
        for path in state.glob("costs.*.jsonl"):
            for line in path.read_text().splitlines():
                name, spent = json.loads(line)
                self.costs[name] = spent
        failing = state / "failing.txt"
        self.failing = (
            set(failing.read_text().split("\n")) if failing.exists() else set()
        )
        for name in self.failing:
            self.costs.pop(name, None)

    @functools.lru_cache(maxsize=4)  # noqa: B019 - one map a process
    def _lines(self, path: str) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for file in self.files:
            data = CoverageData(str(file))
            data.read()
            for line, names in data.contexts_by_lineno(
                str(self.made_of / path)
            ).items():
                found.setdefault(line, set()).update(names)
        return found

    @functools.lru_cache(maxsize=4)  # noqa: B019 - as above
    def _places(self, path: str) -> Callable[[int], int]:
        """Where a line of the tree stood when the map was made; 0 for a new one."""
        old = self.made_of / path
        if self.tree == self.made_of:
            return lambda line: line
        before = old.read_text().splitlines() if old.exists() else []
        after = (self.tree / path).read_text().splitlines()
        found = {}
        same = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for old_start, start, length in same.get_matching_blocks():
            for each in range(1, length + 1):
                found[start + each] = old_start + each
        return lambda line: found.get(line, 0)

    def tests(self, path: str, lines: range) -> list[str]:
        """Tests that run any of the lines, the cheapest first."""
        known = self._lines(path)
        places = self._places(path)
        names = set().union(*(known.get(places(line), set()) for line in lines))
        return sorted(
            names & self.costs.keys(), key=lambda name: (self.cost(name), name)
        )

    def cost(self, name: str) -> float:
        """Seconds of processor time that a test took without a fault."""
        return self.costs.get(name, 1.0)

    def within(self, places: tuple[str, ...]) -> list[str]:
        """All tests in files or folders, in that order, the cheapest first in each."""

        def inside(name: str, place: str) -> bool:
            return name.startswith((f"{place}::", f"{place}/"))

        by_cost = sorted(self.costs, key=lambda name: (self.cost(name), name))
        ordered = [name for place in places for name in by_cost if inside(name, place)]
        return list(dict.fromkeys(ordered))
