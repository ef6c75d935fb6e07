"""Names and docstrings of transformed functions. Floor 11."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tapegrad.transforms.arguments import function_of, name_of

Function = Callable[..., Any]


def named(f: Function, word: str, text: str) -> Callable[[Function], Function]:
    """Give a made function the name of what it is: ``grad(energy)``.

    Raises:
        RecordError: f is no function.
    """
    function_of(f, word)

    def name(made: Function) -> Function:
        functools.update_wrapper(made, f)
        made.__dict__.pop("__wrapped__", None)
        made.__wrapped__ = f  # type: ignore[attr-defined]
        made.__name__ = f"{word}({name_of(f)})"
        made.__doc__ = f"{text}; see tapegrad.{word}."
        return made

    return name
