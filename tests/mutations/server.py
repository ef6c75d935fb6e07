"""Tests in a forked process: what is heavy to import is imported once.

Nothing of the package itself is loaded here, so a fork sees the planted fault.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import pytest

HEAVY = (
    *(
        "numpy.linalg",
        "numpy.random",
        "scipy.linalg",
        "scipy.special",
        "scipy.optimize",
    ),
    *("sympy", "sympy.printing.latex", "sympy.printing.numpy", "mpmath", "optree"),
    *("llvmlite.binding", "hypothesis.strategies", "safetensors.numpy", "graphviz"),
    *("typer.testing", "rich.console", "rich.table", "rich.progress", "_pytest.python"),
)
MEMORY = 10 << 30
OPTIONS = (
    *("-x", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider"),
    # hypothesis is loaded before pytest can rewrite its asserts
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Outcome(NamedTuple):
    """What became of a run.

    Args:
        what: "passed", "failed", "crashed", "hung", "nothing ran", or "broken" when the
            run itself went wrong.
        by: the test that failed first, or the one that was running.
        seconds: how long it took.
        ran: how many tests ran.
    """

    what: str
    by: str
    seconds: float
    ran: int


def preload() -> None:
    """Import what every run needs."""
    for name in HEAVY:
        importlib.import_module(name)
    loaded = [name for name in sys.modules if name.split(".")[0] == "tapegrad"]
    if loaded:
        msg = f"the package under test is loaded already: {loaded[0]}"
        raise SystemExit(msg)


class Chosen:
    """A pytest plugin: just these tests, in this order, reported through a pipe."""

    def __init__(self, names: list[str], pipe: int) -> None:
        self.order = {name: place for place, name in enumerate(names)}
        self.pipe = pipe
        self.ran = 0

    def _tell(self, what: str, name: str) -> None:
        os.write(self.pipe, (json.dumps([what, name, self.ran]) + "\n").encode())

    def can_import(self, name: str, tree: Path) -> bool:
        """Whether a package of the tree, if it has it, can be imported at all."""
        if (tree / name).exists():
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001 - whatever a fault raises is a catch
                self._tell("failed", f"import {name}")
                return False
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        """The chosen tests, the first one first."""
        mine = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(mine, key=lambda item: self.order[item.nodeid])

    def pytest_collectreport(self, report):
        """A file that cannot be imported."""
        if report.failed:
            self._tell("failed", f"{report.nodeid} (not importable)")

    def pytest_runtest_logstart(self, nodeid):
        """What runs, in case it never ends."""
        self.ran += 1
        self._tell("running", nodeid)

    def pytest_runtest_logreport(self, report):
        """The first failure ends the run."""
        if report.failed:
            self._tell("failed", report.nodeid)


def run(tree: Path, names: list[str], seconds: float) -> Outcome:
    """Run tests in a tree, up to the first that fails.

    Args:
        tree: the checkout.
        names: node ids.
        seconds: processor time after which the run hangs.
    """
    scratch = Path(tempfile.mkdtemp(prefix="mutation-"))
    receive, send = os.pipe()
    begin = time.monotonic()
    child = os.fork()
    if not child:
        os.close(receive)
        _inside(tree, names, seconds, scratch, send)
    os.close(send)
    text, timed_out = _read(receive, begin + 6 * seconds)
    os.close(receive)
    if timed_out:
        os.killpg(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests started and left behind
    log = (scratch / "log").read_text() if (scratch / "log").exists() else ""
    shutil.rmtree(scratch, ignore_errors=True)
    spent = time.monotonic() - begin
    events = [json.loads(line) for line in text.splitlines() if line.endswith("]")]
    failed = [name for what, name, _ in events if what == "failed"]
    last = events[-1] if events else ["", "import", 0]
    if failed:
        return Outcome("failed", failed[0], spent, last[2])
    if timed_out or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in _LIMITS):
        return Outcome("hung", last[1], spent, last[2])
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Outcome("crashed", f"{last[1]} ({name})", spent, last[2])
    code = os.waitstatus_to_exitcode(status)
    if code == pytest.ExitCode.OK:
        return Outcome("passed", "", spent, last[2])
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return Outcome("nothing ran", "", spent, 0)
    return Outcome("broken", f"pytest ends with {code}: {log[-2000:]}", spent, last[2])


_LIMITS = (signal.SIGXCPU, signal.SIGKILL)


def _read(pipe: int, until: float) -> tuple[str, bool]:
    """All that comes through a pipe; whether time ran out."""
    parts = []
    while True:
        left = until - time.monotonic()
        ready = select.select([pipe], [], [], max(left, 0))[0]
        if not ready:
            return b"".join(parts).decode(), True
        part = os.read(pipe, 1 << 16)
        if not part:
            return b"".join(parts).decode(), False
        parts.append(part)


def _inside(
    tree: Path, names: list[str], seconds: float, scratch: Path, pipe: int
) -> None:
    """The forked process: limits, a folder of its own, pytest."""
    code = 70
    try:
        os.setsid()
        os.set_inheritable(pipe, False)
        spent = time.process_time()  # a fork starts from 0, but not on every system
        limit = int(seconds + spent) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(tree)
        for variable in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
            os.environ[variable] = str(scratch)
        tempfile.tempdir = None
        os.environ["PYTHONPATH"] = str(tree)
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        # plugins that are installed may be of another tree than this one
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(tree))
        chosen = Chosen(names, pipe)
        code = pytest.ExitCode.TESTS_FAILED
        own = tree / "tapegrad" / "testing" / "plugin.py"
        if chosen.can_import("tapegrad", tree):
            plugin = ["-p", "tapegrad.testing.plugin"] if own.exists() else []
            files = list(dict.fromkeys(name.split("::")[0] for name in names))
            code = pytest.main(
                [*OPTIONS, *plugin, f"--basetemp={scratch / 'base'}", *files],
                plugins=[chosen],
            )
    except BaseException:  # noqa: BLE001 - the parent reads it in the log
        traceback.print_exc()
        code = 70
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code))
