"""Proofs that an expression is zero, with a time limit that holds. Floor 10.

``simplify(e) == 0`` is a heuristic that may never return. The work is done in a process
of its own (`worker`), which is ended when its time is up: this works from any thread,
and whatever SymPy is doing. No answer is *unproved*, never *proved*.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WORKER = Path(__file__).with_name("worker.py")

# Seconds that a fresh process has for loading SymPy, beside the time for the proof.
START = 60.0


# An expression that cannot be sent, a process that does not start, or dies.
FAILURES = (
    OSError,
    EOFError,
    pickle.PickleError,
    AttributeError,
    TypeError,
    RecursionError,
)


class Prover:
    """Decides whether SymPy expressions are identically zero.

    Args:
        seconds: time limit of one proof.

    Example:
        >>> import sympy as sp
        >>> x = sp.Symbol("x", real=True)
        >>> with Prover() as prover:
        ...     prover.decide(sp.sin(x) ** 2 + sp.cos(x) ** 2 - 1)[0]
        'proved'
    """

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._known: dict[Any, tuple[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def decide(self, expression: Any) -> tuple[str, str]:
        """Whether an expression is zero everywhere.

        Returns:
            ("proved", how), ("refuted", a point and the value there) or
            ("unproved", why).
        """
        if expression == 0:
            return "proved", "identical"
        if expression not in self._known:
            self._known[expression] = self._ask(expression)
        return self._known[expression]

    def _ask(self, expression: Any) -> tuple[str, str]:
        limit = self.seconds
        try:
            request = pickle.dumps(expression)
            if self._process is None:
                self._process = _start()
                limit += START
            answer = _within(limit, lambda: self._exchange(request))
        except FAILURES as problem:
            self.close()
            return "unproved", f"the proving process failed: {problem!r}"
        if answer is None:
            self.close()
            return "unproved", f"no answer within {limit:g} s"
        status, detail = answer
        return status, detail

    def _exchange(self, request: bytes) -> tuple[str, str]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise EOFError
        process.stdin.write(request)
        process.stdin.flush()
        return pickle.load(process.stdout)  # type: ignore[no-any-return]  # noqa: S301 - our own worker


def _start() -> subprocess.Popen[bytes]:
    # the worker finds SymPy where this process did, and -P keeps the names of this
    # folder's modules out of its way
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(  # noqa: S603 - our own file, by our own interpreter
        [sys.executable, "-P", str(WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """The result of some work, None when the time is up; its error is raised here."""
    done: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            done.put((work(), None))
        except BaseException as problem:  # noqa: BLE001 - handed over to the caller
            done.put((None, problem))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, problem = done.get(timeout=seconds)
    except queue.Empty:
        return None
    if problem is not None:
        raise problem
    return result
