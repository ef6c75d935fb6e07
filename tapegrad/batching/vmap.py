"""`vmap`: a function of one thing as a function of many. Floor 10.

The function is recorded at one lane; its tape is computed for all of them by the
batched reading. Inside a recording the result is steps of that recording, so that every
other transform goes through it, in either order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.ambient import current
from tapegrad.batching.axes import Argument, Axes, arguments_of, per_leaf, size_of
from tapegrad.batching.lanes import Lanes, moved, shape_of, wide
from tapegrad.batching.reading import Batching
from tapegrad.binding import result
from tapegrad.calls import steps_of
from tapegrad.errors import RecordError, ShapeError
from tapegrad.loops.body import BodyRecorder
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import VALUES, Recorder, RecorderReading
from tapegrad.recording import is_output, record_inside
from tapegrad.tape.structure import Tree, flatten, paths
from tapegrad.value import Value

Function = Callable[..., Any]


def vmap(
    f: Function,
    in_axes: Axes = 0,
    out_axes: Axes = 0,
    axis_size: int | None = None,
) -> Function:
    """A function of one thing as a function of many, without a loop in Python.

    Args:
        f: a function of numbers and arrays, as `record` takes it; a tape; compiled
            code.
        in_axes: which axis of each positional argument to map over: an int for all of
            them, or a tuple with an int, None (the same for every call) or a nesting
            of them for each. Arguments by keyword are mapped over axis 0.
        out_axes: where the new axis stands in the results: an int, or nested as they
            are; None for a result that is the same in every call.
        axis_size: number of calls, where no argument says it.

    Returns:
        A function whose arguments and results have one axis more.

    Raises:
        ShapeError: sizes do not agree; names the arguments, such as ``args[0]['w']``.
        RecordError: a branch of Python depends on what is mapped over; names the line.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> tg.vmap(lambda x, y: x @ y)(np.ones((2, 3)), np.ones((2, 3)))
        array([3., 3.])
        >>> square = tg.vmap(lambda x, a: a * x**2, in_axes=(0, None))
        >>> square(np.array([1.0, 2.0, 3.0]), 10.0)
        array([10., 40., 90.])
        >>> tg.vmap(tg.grad(lambda x: x**3))(np.array([1.0, 2.0]))
        array([ 3., 12.])
    """
    if not callable(f):
        msg = f"vmap() needs a function first, got {type(f).__name__}"
        raise RecordError(msg)
    f = steps_of(f)

    def mapped(*args: Any, **kwargs: Any) -> Any:
        arguments = arguments_of(args, kwargs, in_axes)
        size = size_of(arguments, axis_size)
        built = [
            argument.tree.build([_example(leaf) for leaf in argument.leaves])
            for argument in arguments
        ]
        count = len(args)
        named = dict(zip(kwargs, built[count:], strict=True))
        called, trees = _bare(f)
        tape, captured = record_inside(called, built[:count], named, BodyRecorder)
        given = _given(arguments, captured)
        b = Batching(_computing(given), size)
        with np.errstate(all="ignore"):
            slots = sweeps.replay(sweeps.flat(tape), b, _inputs(b.m, given))
            found = [slots[slot] for slot in sweeps.flat(tape).outputs]
            tree = trees[0]
            axes = per_leaf(out_axes, tree, "result", "out_axes")
            chosen = [axes[place] for place in tree.dynamic]
            leaves = [
                _output(b, y, axis, label)
                for y, axis, label in zip(
                    found, chosen, paths(tree, "result"), strict=True
                )
            ]
        return tree.build(leaves)

    functools.update_wrapper(mapped, f)
    mapped.__name__ = f"vmap({getattr(f, '__name__', 'function')})"
    mapped.__doc__ = "The function, mapped over an axis; see tapegrad.vmap."
    return mapped


def _bare(f: Function) -> tuple[Function, list[Tree]]:
    """The function without what is no number in its result, and how that nested.

    The gradient of a model has None where the model has a word, such as "tanh".
    """
    trees: list[Tree] = []

    @functools.wraps(f)
    def called(*args: Any, **kwargs: Any) -> Any:
        found = f(*args, **kwargs)
        leaves, tree = flatten(found, is_output)
        trees.append(tree)
        odd = any(isinstance(leaf, complex) for _, leaf in tree.statics)
        return found if odd or not leaves else leaves

    return called, trees


def _example(leaf: Any) -> Any:
    """What the function is recorded at: the first lane, an array of its own."""
    data = getattr(leaf.value, "_data", leaf.value)
    if leaf.axis is None:
        return leaf.value if isinstance(leaf.value, Value) else data
    lanes = np.moveaxis(data, leaf.axis, 0)
    return np.array(lanes[0]) if len(lanes) else _blank(lanes)


def _blank(lanes: Any) -> Any:
    """Where there is no lane: ones, and matrices that can be inverted."""
    shape = lanes.shape[1:]
    if len(shape) > 1 and shape[-1] == shape[-2]:
        return np.broadcast_to(np.eye(shape[-1], dtype=lanes.dtype), shape).copy()
    return np.full(shape, lanes.dtype.kind == "f", lanes.dtype)


def _given(
    arguments: Sequence[Argument], captured: Sequence[Value]
) -> list[tuple[Any, int | None]]:
    """What the inputs of the tape stand for, and the axis that is mapped over."""
    leaves = [leaf for argument in arguments for leaf in argument.leaves]
    found = [(leaf.value, leaf.axis) for leaf in leaves]
    return [*found, *((value, None) for value in captured)]


def _computing(given: Sequence[tuple[Any, Any]]) -> Any:
    """The reading that computes: numbers, eager Values, or the recording around."""
    if not any(isinstance(x, Value) for x, _ in given):
        return MIXED
    around = current()
    return RecorderReading(around) if isinstance(around, Recorder) else VALUES


def _inputs(m: Any, given: Sequence[tuple[Any, int | None]]) -> list[Any]:
    found = []
    for x, axis in given:
        y = x if isinstance(x, Value) else m.number(x)
        found.append(y if axis is None else Lanes(moved(m, y, axis, 0)))
    return found


def _output(b: Batching, y: Any, axis: int | None, label: str) -> Any:
    if axis is None:
        if isinstance(y, Lanes):
            msg = (
                f"vmap: {label} differs from call to call, and out_axes says "
                "None for it; give it an axis"
            )
            raise ShapeError(msg)
        return _own(y)
    value = wide(b.m, y, b.size)
    ndim = len(shape_of(value))
    if not -ndim <= axis < ndim:
        msg = (
            f"vmap: out_axes={axis} for {label}, which has {ndim} axes with "
            f"the new one; choose from {-ndim} to {ndim - 1}"
        )
        raise ShapeError(msg)
    return _own(moved(b.m, value, 0, axis % ndim))


def _own(y: Any) -> Any:
    return y if isinstance(y, Value) else result(MIXED, y)
