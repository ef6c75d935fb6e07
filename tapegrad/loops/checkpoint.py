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
from tapegrad.derivatives import differentiable, pullback_tape, tangent_tape
from tapegrad.loops.body import name_of, unrecorded
from tapegrad.nested import apply_nested
from tapegrad.passes import prune
from tapegrad.recording import argument_leaf, is_dynamic, record_inside
from tapegrad.rules import Primitive
from tapegrad.rules.primitive import row
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import Structure, flatten
from tapegrad.tape.tape import Tape


def derived(tape: Tape, what: str) -> Tape:
    """The adjoints alone ("pull"), or tangents alone ("push"), of a tape; made once."""
    known = sweeps.flat(tape)._known
    if what not in known:
        if what == "pull":
            grown = pullback_tape(tape, differentiable(tape))
            outputs = grown.outputs[len(tape.outputs) :]
        else:
            grown = tangent_tape(tape)
            outputs = grown.outputs
        grown = dataclasses.replace(grown, outputs=outputs, structure=Structure())
        known[what] = prune(grown)
    return known[what]  # type: ignore[no-any-return]


def _run(m: Any, xs: Sequence[Any], params: Mapping[str, Any]) -> list[Any]:
    return sweeps.outputs(params["tape"], m, xs)


def _pull(
    m: Any, bars: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    tape = params["tape"]
    if not m.records:
        base = sweeps.flat(tape)
        values = sweeps.replay(base, m, xs)
        given = sweeps.summed(base.outputs, bars)
        found = sweeps.adjoint(base, m, values, given)
        return [found[slot] for slot in base.inputs]
    seeds = [
        m.like(0, y) if bar is None else bar for y, bar in zip(ys, bars, strict=True)
    ]
    back = params | {"tape": derived(tape, "pull")}
    parts: list[Any] = [None] * len(xs)
    for place, part in zip(
        differentiable(tape), m.nested(CHECKPOINT, [*xs, *seeds], back), strict=True
    ):
        parts[place] = part
    return parts


def _push(
    m: Any, dots: Sequence[Any], ys: Sequence[Any], xs: Sequence[Any], params: Any
) -> list[Any]:
    del ys
    tape = params["tape"]
    if not m.records:
        base = sweeps.flat(tape)
        values = sweeps.replay(base, m, xs)
        pairs = zip(base.inputs, dots, strict=True)
        seeds = {slot: dot for slot, dot in pairs if dot is not None}
        found = sweeps.tangent(base, m, values, seeds)
        return [found[slot] for slot in base.outputs]
    full = [
        m.like(0, x) if dot is None else dot for x, dot in zip(xs, dots, strict=True)
    ]
    ahead = params | {"tape": derived(tape, "push")}
    found = m.nested(CHECKPOINT, [*xs, *full], ahead)
    return [
        part if tape.aval_of(slot)[1] in FLOATING else None
        for part, slot in zip(found, tape.outputs, strict=True)
    ]


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
