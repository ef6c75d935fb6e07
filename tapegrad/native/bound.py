"""Arguments of a call on their way to a kernel on arrays. Floor 9.

`Bound` takes them apart as the tape nests them, and `Converted` makes of each leaf what
the kernel takes: floats, and C-contiguous arrays of the recorded dtype. Both raise the
library's errors. They are fallbacks of builtins, which take what is right already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad import binding
from tapegrad.native.nesting import all_taker
from tapegrad.native.outs import by_keyword, takes_out
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.tape import Aval, Tape
from tapegrad.value import Value

Found = tuple[Any, ...]


class Converted:
    """Argument leaves converted to what a kernel takes; bad ones are named."""

    __slots__ = ("run", "tape")

    def __init__(self, tape: Tape, run: Callable[..., Found]) -> None:
        self.tape = tape
        self.run = run

    def __call__(self, *leaves: Any) -> Found:
        """Run on leaves in the order of the inputs."""
        tape = self.tape
        given = binding.numbers(tape, MIXED, binding.plain(tape, leaves))
        avals = map(tape.aval_of, tape.inputs)
        return self.run(*map(exact, given, avals))


def exact(value: Any, aval: Aval) -> Any:
    """A number of the reading as the kernel takes it."""
    shape, dtype = aval
    if not shape and dtype == "float64":
        return float(value)
    wanted, data = np.dtype(dtype), np.asarray(value)
    if data.dtype.num != wanted.num or not data.flags.aligned:
        return np.array(data, wanted)
    return data


class Bound:
    """Arguments taken apart, the kernel run, and the result put together.

    Args:
        tape: with the structure.
        run: takes the leaves and gives the outputs, or raises.
        shape: puts the outputs together.
        quick: the same as `run`, or None where it would be slow.
    """

    __slots__ = ("keywords", "out", "quick", "run", "shape", "take", "tape")

    def __init__(
        self,
        tape: Tape,
        run: Callable[..., Found],
        shape: Callable[[Found], Any] = tuple,
        quick: Callable[..., Found | None] | None = None,
    ) -> None:
        self.tape = tape
        self.run = run
        self.shape = shape
        self.keywords = tape.structure.keywords
        self.take = all_taker(tape.structure.arguments)
        self.quick = quick
        self.out = takes_out(tape)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Any arguments that fit the tape."""
        if kwargs and "out" in kwargs and self.out:
            return by_keyword(self, args, kwargs)
        if self.quick is not None and len(kwargs) == len(self.keywords):
            leaves: list[Any] = []
            given = args
            if kwargs:
                given = (*args, *map(kwargs.get, self.keywords))
            if self.take(given, leaves):
                found = self.quick(*leaves)
                if found is None and any(isinstance(x, Value) for x in leaves):
                    found = self.quick(*binding.plain(self.tape, leaves))
                if found is not None:
                    return self.shape(found)
        return self.shape(self.run(*binding.bind(self.tape, args, kwargs)))
