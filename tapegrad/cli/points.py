"""What the command line is told: targets, points, functions in scripts. Floor 13."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tapegrad.errors import ParseError, RecordError, TapegradError
from tapegrad.tape.structure import flatten
from tapegrad.tape.tape import Tape

SCRIPT = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")
NAMED = re.compile(r"\s*([^\W\d]\w*)\s*=(.*)", re.DOTALL)


def recorded(target: str, at: str) -> tuple[Tape, list[Any], dict[str, Any]]:
    """The tape of a target at a point, and the point as arguments.

    Args:
        target: ``script.py:function``, or a formula.
        at: the point, as the option ``--at`` gives it.

    Raises:
        TapegradError: no such script or function; it fails; a point that does not fit.
    """
    args, kwargs = point(at)
    found = SCRIPT.fullmatch(target.strip())
    if found is None:
        return _of_formula(target, args, kwargs)
    function = function_of(Path(found["path"]), found["name"])
    if not args and not kwargs:
        msg = f"say where to record {found['name']}: --at 1.2,0.7"
        raise ParseError(msg)
    from tapegrad.recording import record

    tape = _guarded(lambda: record(function, *args, **kwargs), target, found["path"])
    return tape, args, kwargs


def _of_formula(
    text: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[Tape, list[Any], dict[str, Any]]:
    from tapegrad.symbolic.parse import parse

    if re.fullmatch(r"[\w./\\~-]+\.py(:.*)?", text):
        msg = f"{text!r} names a script without a function; write script.py:f"
        raise ParseError(msg)
    tape = parse(text)
    labels = tape.input_labels()
    if len(args) > len(labels):
        msg = f"the point has {len(args)} numbers, the formula {len(labels)} names"
        raise ParseError(msg)
    given = dict(zip(labels, args, strict=False)) | dict(kwargs)
    missing = [label for label in labels if label not in given]
    unknown = [name for name in given if name not in labels]
    if missing:
        msg = f"the point lacks a value for {', '.join(missing)}: --at " + ",".join(
            f"{label}=1" for label in labels
        )
        raise ParseError(msg)
    if unknown:
        msg = f"the point has a value for {', '.join(unknown)}, not in the formula"
        raise ParseError(msg)
    values = [given[label] for label in labels]
    if any(isinstance(value, list) for value in values):
        msg = "a formula takes plain numbers, no lists"
        raise ParseError(msg)
    return dataclasses.replace(tape, example=tuple(values)), values, {}


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
        _guarded(lambda: loader.exec_module(module), f"importing {path}", str(path))
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


def _guarded(task: Callable[[], Any], what: str, path: str) -> Any:
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


def gradient_of(
    tape: Tape, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[float], list[list[float]]]:
    """Results, and for each the derivative by every input."""

    def numbers(nested: Any) -> list[float]:
        return flatten(nested, lambda leaf: isinstance(leaf, float))[0]

    inputs = len(tape.inputs)
    if tape.structure.result.bare:
        value, slopes = tape.value_and_gradient(*args, **kwargs)
        return [value], [numbers(slopes) if inputs else []]
    values = numbers(tape(*args, **kwargs))
    leaves = numbers(tape.jacobian(*args, **kwargs))
    rows = [leaves[i * inputs : (i + 1) * inputs] for i in range(len(values))]
    return values, rows


def by_name(at: str) -> dict[str, float]:
    """A point whose numbers all have names: ``x=1,y=2``.

    Raises:
        ParseError: a number without a name, or no number.
    """
    args, kwargs = point(at)
    if args or any(isinstance(value, list) for value in kwargs.values()):
        msg = f"write the point with names and numbers, as in --at x=1,y=2, not {at!r}"
        raise ParseError(msg)
    return kwargs


def point(at: str) -> tuple[list[Any], dict[str, Any]]:
    """A point: ``1.2,0.7``, ``x=1.2,y=0.7``, ``[1,2],3``.

    Raises:
        ParseError: says which part is no number.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for part in _parts(at):
        named = NAMED.fullmatch(part)
        if named is None:
            if kwargs:
                msg = f"in --at {at!r}: numbers without a name come first"
                raise ParseError(msg)
            args.append(_number(part))
        elif named[1] in kwargs:
            msg = f"in --at {at!r}: {named[1]} is given twice"
            raise ParseError(msg)
        else:
            kwargs[named[1]] = _number(named[2])
    return args, kwargs


def _parts(at: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for character in at:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts if at.strip() else []


def _number(text: str) -> Any:
    """A float, or a list of floats of any nesting."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _floats(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        msg = f"{text.strip()!r} is no number; write a point as 1.2,0.7 or x=1.2,y=0.7"
        raise ParseError(msg) from None


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
