"""Arguments on their way into a sub-tape. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.ambient import current
from tapegrad.recorder import Recorder
from tapegrad.recording import argument_leaf, is_dynamic, parameter_names
from tapegrad.tape.structure import Tree, flatten, paths
from tapegrad.value import Value


class Inputs:
    """The leaves of positional arguments, on their way into a sub-tape.

    Attributes:
        names: of the arguments.
        trees: how each nests.
        labels: of the leaves, such as ``args['w']``.
        operands: the leaves: Values of the code around, and frozen numbers.
    """

    def __init__(self, f: Callable[..., Any], args: Sequence[Any]) -> None:
        self.names = parameter_names(f, args, {})
        self.trees: list[Tree] = []
        self.labels: list[str] = []
        self.operands: list[Any] = []
        for name, argument in zip(self.names, args, strict=True):
            leaves, tree = flatten(argument, is_dynamic)
            labels = paths(tree, name) if leaves else []
            self.trees.append(tree)
            self.labels += labels
            self.operands += map(argument_leaf, leaves, labels)

    @property
    def plain(self) -> bool:
        """Whether nothing is to be recorded: numbers only, and no recording."""
        return not isinstance(current(), Recorder) and not any(
            isinstance(x, Value) for x in self.operands
        )

    def variables(self, recorder: Recorder) -> list[Any]:
        """Inputs of a sub-tape, one a leaf."""
        return [
            recorder.variable(getattr(x, "_data", x), label)
            for x, label in zip(self.operands, self.labels, strict=True)
        ]

    def nest(self, leaves: Sequence[Any]) -> list[Any]:
        """The arguments, made of other leaves."""
        built, start = [], 0
        for tree in self.trees:
            stop = start + len(tree.dynamic)
            built.append(tree.build(leaves[start:stop]))
            start = stop
        return built
