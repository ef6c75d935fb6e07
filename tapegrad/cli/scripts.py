"""Functions in scripts: importing runs the script's code. Floor 13."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tapegrad.errors import RecordError, TapegradError


def function_of(path: Path, name: str) -> Callable[..., Any]:
    """A function of a script. The script is imported: its code runs.

    Raises:
        TapegradError: no such file, or no such function in it; or the script fails.
    """
    if not path.is_file():
        msg = f"there is no script {str(path)!r}"
        raise RecordError(msg)
    module_name = f"_tapegrad_script_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        msg = f"{str(path)!r} cannot be imported"
        raise RecordError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up
    # as `python script.py` would: neighbours of the script can be imported
    sys.path.insert(0, str(path.parent.resolve()))
    loader = spec.loader
    try:
        guarded(lambda: loader.exec_module(module), f"importing {path}", str(path))
    finally:
        sys.path.pop(0)
    function = getattr(module, name, None)
    if not callable(function):
        there = [n for n, f in vars(module).items() if _is_own(f, module_name)]
        listed = f"its functions: {', '.join(there)}" if there else "it has none"
        msg = f"{str(path)!r} has no function {name!r}; {listed}"
        raise RecordError(msg)
    return function  # type: ignore[no-any-return]


def _is_own(thing: Any, module: str) -> bool:
    return callable(thing) and getattr(thing, "__module__", "") == module


def guarded(task: Callable[[], Any], what: str, path: str) -> Any:
    """Run the user's code; an error in it is a message with its line.

    What it prints goes to stderr: stdout is for the figures, JSON among them.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return task()
    except TapegradError:
        raise
    except SyntaxError as problem:
        msg = f"{what}: {problem.filename}:{problem.lineno}: {problem.msg}"
        raise RecordError(msg) from None
    except (Exception, SystemExit) as problem:
        name = Path(path).name
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(problem.__traceback__)
            if Path(frame.filename).name == name
        ]
        where = f"{path}:{lines[-1]}: " if lines else ""
        msg = f"{what} failed: {where}{type(problem).__name__}: {problem}"
        raise RecordError(msg) from problem
