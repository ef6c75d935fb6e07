"""What a model is: an object whose attributes hold parameters. Floor 12.

A model is also a tree, whose branches are its attributes, so it can be an argument of
`tg.record`: its Values become inputs, the rest is part of the recording.

Imports the public surface of tapegrad, and optree to say what the branches are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import optree

from tapegrad import Value

# The namespace in which tapegrad looks for trees.
NAMESPACE = "tapegrad"


class Module:
    """Base class of models.

    A subclass keeps its Values, or modules of its own, in attributes; plain lists,
    tuples and dicts of them are looked into. There is nothing to register:

    >>> from tapegrad import Value
    >>> class Line(Module):
    ...     def __init__(self):
    ...         self.slope, self.offset = Value(2.0), Value(1.0)
    ...     def __call__(self, x):
    ...         return self.slope * x + self.offset
    >>> [p.data for p in Line().parameters()]
    [2.0, 1.0]

    A model is an argument like any other. Called on it, the tape is one step of the
    eager code around it, swept with the rest:

    >>> import tapegrad as tg
    >>> tape = tg.record(lambda line, x: line(x) ** 2, Line(), 3.0)
    >>> line = Line()
    >>> loss = tape(line, 0.5)
    >>> loss.backward()
    >>> loss.data, line.slope.grad, line.offset.grad
    (4.0, 2.0, 4.0)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Tell optree the branches of each kind of model."""
        super().__init_subclass__(**kwargs)

        def take_apart(
            model: Any,
        ) -> tuple[list[Any], tuple[str, ...], tuple[str, ...]]:
            names = tuple(vars(model))
            return list(vars(model).values()), names, names

        def put_together(names: Any, branches: Iterable[Any]) -> Any:
            # Not through __init__, which draws new weights.
            model = object.__new__(cls)
            vars(model).update(zip(names, branches, strict=True))
            return model

        # optree's types ask for a Collection, which a tree of attributes need not be.
        kind: Any = cls
        optree.register_pytree_node(
            kind,
            take_apart,
            put_together,
            path_entry_type=optree.GetAttrEntry,
            namespace=NAMESPACE,
        )

    def parameters(self) -> list[Value]:
        """Return the model's Values in the order of its attributes.

        A Value that stands in several places (tied weights) is listed once, so that
        an optimiser does not move it twice.
        """
        found: list[Value] = leaves(self, Value)
        unique = {id(parameter): parameter for parameter in found}
        return list(unique.values())

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to zero.

        ``backward()`` adds to what is there, so a training step starts with this.
        """
        for parameter in self.parameters():
            parameter.grad = 0.0


def leaves(tree: Any, kinds: type | tuple[type, ...]) -> list[Any]:
    """Everything of some kinds in a model, or in a nesting of models and containers.

    Args:
        tree: a model, list, tuple or dict, or any nesting of them.
        kinds: the types to look for.

    Returns:
        What was found, in the order of the attributes and of the containers. A
        container that stands in several places is looked into once.
    """
    found: list[Any] = []
    seen: set[int] = set()
    # A stack instead of recursion: the depth of a model is the user's business.
    pending: list[object] = [tree]
    while pending:
        item = pending.pop()
        inside: list[object]
        if isinstance(item, kinds):
            found.append(item)
            continue
        if isinstance(item, Module):
            inside = list(vars(item).values())
        elif isinstance(item, dict):
            inside = list(item.values())
        elif isinstance(item, list | tuple):
            inside = list(item)
        else:
            continue
        if id(item) not in seen:
            seen.add(id(item))
            pending.extend(reversed(inside))
    return found
