"""Steps that forget what is inside: recomputed in reverse. Floor 9.

    pull: replay the sub-tape again, then sweep it        memory: one sub-tape at a time

(Griewank & Walther section 12.) On an adjoint tape the recomputation is a step of the
same kind, so that it forgets, too.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad import sweeps
from tapegrad.custom.rule import shape_of_call
from tapegrad.loops import inside
from tapegrad.loops.body import name_of, unrecorded
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.recording import argument_leaf, is_dynamic, record_inside
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.tape.structure import Structure, flatten


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    return sweeps.outputs(params["tape"], m, xs)


def _pull(
    m: Any,
    bars: Sequence[Any],
    ys: Sequence[Any],
    xs: Sequence[Any],
    params: Any,
    masks: Sequence[Any],
) -> list[tuple[Any, Any]]:
    del ys
    tape = params["tape"]
    if not m.records:
        return inside.adjoints_through(m, tape, xs, bars, masks)
    reached = tuple(k for k, bar in enumerate(bars) if bar is not None)
    masked = tuple(k for k in reached if masks[k] is not None)
    back, told, dark = inside.back(tape, reached, masked)
    parts: list[Any] = [None] * len(xs)
    unders: list[Any] = [None] * len(xs)
    if told:
        more = [*(bars[k] for k in reached), *(masks[k] for k in masked)]
        made = m.nested(CHECKPOINT, [*xs, *more], {**params, "tape": back})
        for place, part in zip(told, made, strict=False):
            parts[place] = part
        for place, under in zip(dark, made[len(told) :], strict=True):
            unders[place] = under
    return list(zip(parts, unders, strict=True))


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    tape = params["tape"]
    if not m.records:
        return inside.tangents_through(m, tape, xs, dots)
    moving = tuple(k for k, dot in enumerate(dots) if dot is not None)
    ahead, told = inside.ahead(tape, moving)
    parts: list[Any] = [None] * len(ys)
    if told:
        operands = [*xs, *(dots[k] for k in moving)]
        made = m.nested(CHECKPOINT, operands, {**params, "tape": ahead})
        for place, part in zip(told, made, strict=True):
            parts[place] = part
    return parts


CHECKPOINT = row(
    Primitive(
        "checkpoint",
        -1,
        kind="structure",
        slots=-1,
        symbol="{name}",
        params=({"tape": None, "name": "checkpoint"},),
        run=_run,
        shape=shape_of_call,
        pull=_pull,
        push=_push,
        masks=True,
        source="a sub-tape that is recomputed in reverse; Griewank & Walther, ch. 12",
    )
)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as one step, whose intermediates are forgotten.

    Args:
        f: any function of numbers and arrays in any nesting.

    Returns:
        A function with the same value and derivatives. A reverse sweep keeps the
        arguments and results of the step, and computes what is inside once more when
        it comes by: time for memory. Native code computes everything in one piece, and
        keeps what it likes.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> block = tg.checkpoint(lambda x: np.sin(np.exp(x)) ** 2)
        >>> tape = tg.record(lambda x: block(block(x)), 1.0)
        >>> len(tape)  # the input and two steps
        3
    """

    @functools.wraps(f)
    def forgetful(*args: Any, **kwargs: Any) -> Any:
        leaves: list[Any] = []
        for argument in [*args, *kwargs.values()]:
            leaves += flatten(argument, is_dynamic)[0]
        if unrecorded(leaves):
            return f(*args, **kwargs)
        tape, captured = record_inside(f, args, kwargs)
        labels = tape.input_labels()
        operands = [
            argument_leaf(leaf, label)
            for leaf, label in zip([*leaves, *captured], labels, strict=True)
        ]
        bare = dataclasses.replace(tape, structure=Structure())
        params = {"tape": prune(bare), "name": name_of(f) or "checkpoint"}
        result = tape.structure.result
        return result.build(apply_nested(CHECKPOINT, operands, params))

    return forgetful
