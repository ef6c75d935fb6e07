"""Functions with a gradient of their own: `custom_gradient`. Floor 8.

    value, pullback = f(*args)            args_bar = pullback(value_bar)

The function is recorded once a call, and its pullback with it, onto two sub-tapes of
one *nested* step: the value, and the pullback as a function of arguments and
cotangents. A pullback is linear in the cotangent, so forward mode is its transpose: an
adjoint sweep over the pullback's tape (Griewank & Walther section 3.3).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.ambient import current
from tapegrad.apply import apply
from tapegrad.custom.inputs import Inputs
from tapegrad.custom.rule import CUSTOM
from tapegrad.errors import RecordError, ShapeError
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.readings.mixed import MIXED
from tapegrad.recorder import Recorder, recording_onto
from tapegrad.recording import is_dynamic, is_output, output_slot
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Tree, flatten, match
from tapegrad.value import Value

Function = Callable[..., Any]


def custom_gradient(f: Function) -> Function:
    """Give a function a gradient of its own.

    Args:
        f: a function that returns ``(value, pullback)``. The value may nest; the
            pullback takes cotangents nested like it and returns the adjoints of the
            positional arguments: a tuple, one entry an argument (bare for one
            argument), each nested like its argument. None stands for zero.

    Returns:
        A function that returns the value. Its derivative is the pullback, in every
        order: second derivatives differentiate the pullback as it is written. Forward
        mode transposes it.

    Raises:
        RecordError: f returns no pair, or reads a Value that is no argument.
        ShapeError: the wrong number or shape of adjoints; names the argument.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> @tg.custom_gradient
        ... def log1pexp(x):
        ...     e = np.exp(x)
        ...     return np.log(1 + e), lambda bar: bar * (1 - 1 / (1 + e))
        >>> tg.grad(log1pexp)(100.0)
        1.0
    """

    @functools.wraps(f)
    def with_gradient(*args: Any, **kwargs: Any) -> Any:
        for name, argument in kwargs.items():
            leaves, _ = flatten(argument, is_dynamic)
            if any(isinstance(leaf, Value) for leaf in leaves):
                msg = (
                    f"keyword argument {name} of {_name(f)} holds a Value, and the "
                    "pullback has no place for its adjoint; pass it by position"
                )
                raise RecordError(msg)
        inputs = Inputs(f, args)
        if inputs.plain:
            return _pair(f, f(*args, **kwargs))[0]
        params, result = _recorded(f, inputs, kwargs)
        return result.build(apply_nested(CUSTOM, inputs.operands, params))

    return with_gradient


def _recorded(
    f: Function, inputs: Inputs, kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], Tree]:
    """The parameters of the step, and how its outputs nest."""
    around = current()
    recorder = Recorder(around if isinstance(around, Recorder) else None)
    mine = inputs.variables(recorder)
    slots = tuple(handle._i for handle in mine)
    with recording_onto(recorder):
        value, pullback = _pair(f, f(*inputs.nest(mine), **kwargs))
        leaves, tree = flatten(value, is_output)
        if not leaves or tree.statics:
            msg = f"{_name(f)} returned the value {value!r}, and numbers are needed"
            raise RecordError(msg)
        outputs = tuple(output_slot(recorder, leaf, _name(f)) for leaf in leaves)
        example = tuple(handle._data for handle in mine)
        tape = prune(recorder.freeze(slots, outputs, example=example))
        seeds: list[Any] = []
        cotangents: list[Any] = []
        for place, slot in enumerate(outputs):
            shape, dtype = recorder.aval_at(slot)
            if dtype in FLOATING:
                seed = MIXED.like(1, np.empty(shape, dtype)[()])
                seeds.append(recorder.variable(seed, f"cotangent{place}"))
                cotangents.append(seeds[-1])
            else:
                cotangents.append(np.zeros(shape))
        adjoints = _adjoints(f, inputs, pullback(tree.build(cotangents)))
        found = _fitted(recorder, f, inputs, slots, adjoints)
    if recorder.captured:
        outer = recorder.captured[0].where_from()
        msg = (
            f"{_name(f)} reads {outer} of the recording around it, which is no "
            "argument, and its pullback gives no adjoint for it; pass it as an "
            "argument, or tg.stop_gradient(v) of it if a constant is meant"
        )
        raise RecordError(msg)
    back = recorder.freeze(
        (*slots, *(seed._i for seed in seeds)), tuple(found.values())
    )
    params = {"tape": tape, "pullback": prune(back), "places": tuple(found)}
    return params | {"name": getattr(f, "__name__", "custom")}, tree


def _pair(f: Function, result: Any) -> tuple[Any, Function]:
    if isinstance(result, tuple) and len(result) == 2 and callable(result[1]):
        return result
    msg = (
        f"{_name(f)} returned {result!r:.80}; a function under tg.custom_gradient "
        "returns (value, pullback), the pullback a function of the cotangent"
    )
    raise RecordError(msg)


def _adjoints(f: Function, inputs: Inputs, given: Any) -> list[Any]:
    """Adjoints of all leaves; None where there is none."""
    count = len(inputs.trees)
    if count == 1 and not (isinstance(given, tuple) and len(given) == 1):
        given = (given,)
    if not isinstance(given, tuple | list) or len(given) != count:
        many = len(given) if isinstance(given, tuple | list) else 1
        msg = (
            f"the pullback of {_name(f)} returned {many} adjoints for {count} "
            f"arguments ({', '.join(inputs.names)}); return a tuple, one entry an "
            "argument, None where it is zero"
        )
        raise ShapeError(msg)
    found: list[Any] = []
    for name, tree, entry in zip(inputs.names, inputs.trees, given, strict=True):
        if entry is None or not tree.dynamic:
            found += [None] * len(tree.dynamic)
            continue
        try:
            found += match(tree, entry, name, statics=False)
        except ShapeError:
            msg = (
                f"the pullback of {_name(f)} returned an adjoint of argument {name} "
                "that does not nest like it; return the same lists, dicts and tuples"
            )
            raise ShapeError(msg) from None
    return found


def _fitted(
    recorder: Recorder,
    f: Function,
    inputs: Inputs,
    slots: Sequence[int],
    adjoints: Sequence[Any],
) -> dict[int, int]:
    """Slots of the adjoints by operand, in the operand's shape and dtype."""
    found = {}
    for place, (slot, label, adjoint) in enumerate(
        zip(slots, inputs.labels, adjoints, strict=True)
    ):
        shape, dtype = recorder.aval_at(slot)
        if adjoint is None or dtype not in FLOATING:
            continue
        made = output_slot(recorder, adjoint, f"the pullback of {_name(f)}")
        have, kind = recorder.aval_at(made)
        if have != shape:
            msg = (
                f"the pullback of {_name(f)} returned an adjoint of shape {have} for "
                f"{label}, which has shape {shape}; sum it over the axes that were "
                "broadcast, or give each entry its own adjoint"
            )
            raise ShapeError(msg)
        if kind != dtype:
            data = MIXED.like(0, np.zeros(shape, kind)) if shape else 0.0
            handle = recorder.handle(made, data)
            made = apply(TABLE["astype"], handle, dtype=dtype)._i
        found[place] = made
    return found


def _name(f: Function) -> str:
    return getattr(f, "__name__", type(f).__name__) + "()"
