"""What the command line is told: targets, and points to look at them. Floor 13."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from tapegrad.cli.arguments import (
    Call,
    array_calls,
    columns,
    flat_call,
    nested,
    point_call,
    row_call,
)
from tapegrad.cli.scripts import function_of, guarded
from tapegrad.cli.tables import array_of, rows_of
from tapegrad.errors import ParseError
from tapegrad.tape.tape import Tape

SCRIPT = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")
NAMED = re.compile(r"\s*([^\W\d]\w*)\s*=(.*)", re.DOTALL)
FILES = {".safetensors", ".tape"}


def opened(
    target: str, at: str = "", csv: Path | None = None, npy: Path | None = None
) -> tuple[Tape, list[Call]]:
    """The tape of a target, and the points to look at it.

    Args:
        target: ``script.py:function``, a tape file, or a formula.
        at: a point, as the option ``--at`` gives it.
        csv: a file with a point in each row.
        npy: a file with an array.

    Returns:
        The tape, whose example is the first point, and at least one point.

    Raises:
        TapegradError: no such script or function; it fails; a point that does not fit.
    """
    _once(at, csv, npy)
    script = SCRIPT.fullmatch(target.strip())
    if script is not None:
        return _of_script(target, script, at, csv, npy)
    if is_file(target):
        from tapegrad.tape.files import load

        tape = load(target)
    else:
        tape = _of_formula(target)
    if csv is not None:
        calls = [flat_call(tape, row) for row in rows_of(csv, columns(tape))]
    elif npy is not None:
        calls = array_calls(tape, npy)
    elif at.strip():
        calls = [point_call(tape, *point(at))]
    elif tape.example is not None:
        calls = [nested(tape, tape.example)]
    elif not tape.inputs:
        calls = [Call(())]
    else:
        labels = ",".join(f"{label}=1" for label in tape.input_labels())
        msg = f"say where: the point lacks a value for every name: --at {labels}"
        raise ParseError(msg)
    return dataclasses.replace(tape, example=tuple(calls[0].leaves(tape))), calls


def asked(
    target: str, at: str = "", csv: Path | None = None, npy: Path | None = None
) -> tuple[Any, list[Call]]:
    """The function of a script, or the tape of another target, and the points.

    For those who call the function themselves. Arguments as of `opened`.
    """
    script = SCRIPT.fullmatch(target.strip())
    if script is None:
        return opened(target, at, csv, npy)
    _once(at, csv, npy)
    return _points(script, at, csv, npy)


def _once(*given: object) -> None:
    if sum(map(bool, given)) > 1:
        msg = "give the points once: --at, --csv or --npy"
        raise ParseError(msg)


def is_file(target: str) -> bool:
    """Whether a target names a tape file. A name alone is a formula, ``x``."""
    if target.isidentifier() or target.endswith(".py"):
        return False
    try:
        return Path(target).suffix in FILES or Path(target).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL in it
        return False


def _points(
    script: re.Match[str], at: str, csv: Path | None, npy: Path | None
) -> tuple[Any, list[Call]]:
    """The function of a script, and the points."""
    function = function_of(Path(script["path"]), script["name"])
    if csv is not None:
        calls = [row_call(row) for row in rows_of(csv)]
    elif npy is not None:
        calls = [Call((array_of(npy),))]
    else:
        calls = [Call(*point(at))]
    if not calls[0].args and not calls[0].kwargs:
        msg = f"say where to record {script['name']}: --at 1.2,0.7"
        raise ParseError(msg)
    return function, calls


def _of_script(
    target: str, script: re.Match[str], at: str, csv: Path | None, npy: Path | None
) -> tuple[Tape, list[Call]]:
    function, calls = _points(script, at, csv, npy)
    from tapegrad.recording import record

    tape: Tape = guarded(
        lambda: record(function, *calls[0].args, **calls[0].kwargs),
        target,
        script["path"],
    )
    return tape, calls


def _of_formula(text: str) -> Tape:
    from tapegrad.symbolic.parse import parse

    if re.fullmatch(r"[\w./\\~-]+\.py(:.*)?", text):
        msg = f"{text!r} names a script without a function; write script.py:f"
        raise ParseError(msg)
    return parse(text)


# -- text ------------------------------------------------------------------------------


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
    """A point: ``1.2,0.7``, ``x=1.2,y=0.7``, ``[1,2],3``, ``A=@matrix.npy``.

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
    """A float, a list of floats of any nesting, or the array of an NPY file."""
    if text.strip().startswith("@"):
        return array_of(Path(text.strip()[1:]))
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _floats(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        msg = (
            f"{text.strip()!r} is no number; write a point as 1.2,0.7 or x=1.2,y=0.7, "
            "and an array as @file.npy"
        )
        raise ParseError(msg) from None


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(part) for part in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
