"""Calling a tape: arguments in, values and derivatives out, nested alike. Floor 8."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import bulk, sweeps
from tapegrad.ambient import current
from tapegrad.derivatives import adjoint_tape, gradient_tree, scalar_output
from tapegrad.eager import accumulator
from tapegrad.errors import RecordError, ShapeError
from tapegrad.readings import SCALAR, reading
from tapegrad.real import as_number
from tapegrad.recorder import VALUES, Recorder
from tapegrad.rules import TABLE
from tapegrad.tape.structure import match
from tapegrad.tape.tape import Tape
from tapegrad.value import Value, make

# From this size on a gradient is swept in bulk.
BULK = 512


def bind(tape: Tape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """The leaves of a call's arguments, in the order of the tape's inputs.

    Raises:
        ShapeError: wrong number of arguments, another nesting or static value.
    """
    structure = tape.structure
    names = argument_names(tape)
    if len(args) > structure.positional or set(kwargs) - set(names):
        unknown = sorted(set(kwargs) - set(names))
        got = f"{len(args)} positional" + (f" and {unknown}" if unknown else "")
        raise _wrong_call(tape, got)
    given = dict(zip(names, args, strict=False))
    if doubled := sorted(set(given) & set(kwargs)):
        msg = f"argument {doubled[0]} is given twice"
        raise ShapeError(msg)
    given.update(kwargs)
    if len(given) != len(names):
        missing = ", ".join(name for name in names if name not in given)
        raise _wrong_call(tape, f"{len(given)}, {missing} missing")
    leaves: list[Any] = []
    for name, tree in zip(names, structure.arguments, strict=True):
        leaves += match(tree, given[name], name)
    return leaves


def _wrong_call(tape: Tape, got: str) -> ShapeError:
    names = argument_names(tape)
    return ShapeError(
        f"the tape takes {len(names)} arguments ({', '.join(names)}), got {got}"
    )


def argument_names(tape: Tape) -> list[str]:
    """Names of the arguments, positional ones first."""
    structure = tape.structure
    if len(structure.names) == len(structure.arguments):
        return list(structure.names)
    labels = iter(tape.input_labels())
    names = []
    for place, tree in enumerate(structure.arguments):
        mine = [next(labels) for _ in tree.dynamic]
        if place >= structure.positional:
            names.append(structure.keywords[place - structure.positional])
        elif mine:
            names.append(mine[0].split("[")[0].split(".")[0])
        else:
            names.append(f"x{place}")
    return (
        names if len(set(names)) == len(names) else [f"x{i}" for i in range(len(names))]
    )


def numbers(tape: Tape, m: Any, leaves: Sequence[Any]) -> list[Any]:
    """Argument leaves as numbers of a reading; bad ones are named."""
    found = []
    for label, leaf in zip(tape.input_labels(), leaves, strict=True):
        if _belongs(m, leaf):
            found.append(m.number(leaf))
            continue
        try:
            found.append(m.number(as_number(leaf)))
        except (RecordError, ShapeError) as problem:
            msg = f"argument {label}: {problem}"
            raise type(problem)(msg) from None
    return found


def _belongs(m: Any, leaf: Any) -> bool:
    """Whether a leaf is a number (or symbol) of the reading's own library."""
    if m.name == "sympy":
        import sympy

        return isinstance(leaf, sympy.Expr)
    return m.name.startswith("mpmath") and hasattr(leaf, "_mpf_")


def guarded(f: Callable[..., Any]) -> Callable[..., Any]:
    """Sweeps follow IEEE silently: no NumPy warning leaves them."""

    @functools.wraps(f)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*args, **kwargs)

    return quiet


def _result(m: Any, value: Any) -> Any:
    """A result as the user sees it: floats as floats, mpf as mpf."""
    return getattr(value, "value", value) if m.name.startswith("mpmath") else value


def replace_slots(tape: Tape, replace: Mapping[str, Any] | None, m: Any) -> Any:
    """Labels of intermediates as slots.

    Raises:
        RecordError: no slot has that label; lists those that have one.
    """
    if not replace:
        return None
    found = {}
    for label, value in replace.items():
        if label not in tape.labels.values():
            known = ", ".join(sorted(set(tape.labels.values()))) or "none"
            msg = f"no slot is labelled {label!r}; labels on this tape: {known}"
            raise RecordError(msg)
        slots = [slot for slot, name in tape.labels.items() if name == label]
        if len(slots) > 1:
            msg = f"slots {slots} are all labelled {label!r}; give them labels apart"
            raise RecordError(msg)
        found[slots[0]] = m.number(as_number(value))
    return found


@guarded
def replay(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
    replace: Mapping[str, Any] | None = None,
) -> Any:
    """The outputs at new inputs, nested as the function returned them."""
    leaves = _bind_for(tape, args, kwargs, arithmetic)
    if any(isinstance(leaf, Value) for leaf in leaves):
        if replace or arithmetic != "float64":
            msg = (
                "replace= and arithmetic= are for replays at numbers, and an argument "
                "is a Value; pass value.data, or leave them out"
            )
            raise RecordError(msg)
        return tape.structure.result.build(on_values(tape, leaves))
    m, base = reading(arithmetic), sweeps.flat(tape)
    slots = sweeps.replay(
        base, m, numbers(base, m, leaves), replace_slots(base, replace, m)
    )
    return tape.structure.result.build([_result(m, slots[i]) for i in base.outputs])


def _bind_for(tape: Tape, args: Any, kwargs: Any, arithmetic: str) -> list[Any]:
    """Bind; other arithmetics take their own numbers where all arguments are bare."""
    if arithmetic in {"float64", "float32"} or kwargs:
        return bind(tape, args, kwargs)
    if all(tree.bare for tree in tape.structure.arguments):
        if len(args) != len(tape.inputs):
            raise _wrong_call(tape, f"{len(args)}")
        return list(args)
    return bind(tape, args, kwargs)


def on_values(tape: Tape, leaves: Sequence[Any]) -> list[Any]:
    """A tape applied to Values: one call step in a recording, else step by step."""
    columns, base = current(), sweeps.flat(tape)
    if isinstance(columns, Recorder):
        reads = [
            columns.slot_of(x)
            if isinstance(x, Value)
            else columns.constant(as_number(x))
            for x in leaves
        ]
        primals = [x._data if isinstance(x, Value) else as_number(x) for x in leaves]
        found = sweeps.replay(base, SCALAR, primals)
        values = [found[slot] for slot in base.outputs]
        made = columns.push_call(tape, reads, values)
        return [
            make(columns, slot, value) for slot, value in zip(made, values, strict=True)
        ]
    found = sweeps.replay(base, VALUES, leaves)
    return [found[slot] for slot in base.outputs]


# -- derivatives -----------------------------------------------------------------


def sweep(
    tape: Tape, m: Any, inputs: Sequence[Any], seeds: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Values of all slots, and adjoints of all slots (None where structurally 0)."""
    slots = sweeps.replay(tape, m, inputs)
    if _in_bulk(tape, m):
        lines = bulk.lines_of_tape(tape, np.array(slots, dtype=np.float64))
        given: dict[int, float] = {}
        for slot, seed in zip(tape.outputs, seeds, strict=True):
            if seed is not None:
                given[slot] = given.get(slot, 0.0) + seed
        bars, reached = bulk.adjoint(lines, given, accumulator(len(slots)))
        marked = zip(bars.tolist(), reached.tolist(), strict=True)
        return slots, [bar if mark else None for bar, mark in marked]
    found: dict[int, Any] = {}
    for slot, seed in zip(tape.outputs, seeds, strict=True):
        if seed is not None:
            found[slot] = found[slot] + seed if slot in found else seed
    return slots, sweeps.adjoint(tape, m, slots, found)


def _in_bulk(tape: Tape, m: Any) -> bool:
    """Whether a sweep of floats is worth NumPy's fixed costs.

    A step with very many operands would make the table of operands too wide.
    """
    widest = max((TABLE[name].arity for name in tape.operations), default=0)
    return m is SCALAR and len(tape) >= BULK and widest <= 8


def _nest(tape: Tape, m: Any, bars: Sequence[Any]) -> Any:
    """Input adjoints nested like the arguments; structural zeros become 0."""
    zero = _result(m, m.number(0))
    leaves = [
        zero if bars[slot] is None else _result(m, bars[slot]) for slot in tape.inputs
    ]
    return nest_inputs(tape, leaves)


def nest_inputs(tape: Tape, leaves: Sequence[Any]) -> Any:
    """One number an input, nested like the arguments."""
    trees = tape.structure.arguments
    if all(tree.bare for tree in trees):
        return leaves[0] if len(trees) == 1 else tuple(leaves)
    return gradient_tree(tape.structure).build(leaves, statics=False)


@guarded
def value_and_gradient(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> tuple[Any, Any]:
    """(value, gradient nested like the arguments)."""
    scalar_output(tape)
    m, base, inputs = _start(tape, args, kwargs, arithmetic)
    slots, bars = sweep(base, m, inputs, [m.number(1)])
    return _result(m, slots[base.outputs[0]]), _nest(base, m, bars)


def _start(
    tape: Tape, args: Any, kwargs: Any, arithmetic: str
) -> tuple[Any, Tape, list[Any]]:
    leaves = _bind_for(tape, args, kwargs, arithmetic)
    m, base = reading(arithmetic), sweeps.flat(tape)
    return m, base, numbers(base, m, plain(tape, leaves))


def plain(tape: Tape, leaves: Sequence[Any]) -> list[Any]:
    """Leaves with the numbers of eager leaves, such as a model's parameters.

    Raises:
        RecordError: a Value that was computed, whose history would be lost.
    """
    found = []
    for label, leaf in zip(tape.input_labels(), leaves, strict=True):
        if isinstance(leaf, Value) and not leaf._is_leaf:
            msg = (
                f"argument {label} is a Value with a history, and this is computed at "
                "numbers; pass value.data, or call tape(...) or "
                "tape.adjoint_tape()(...) on Values"
            )
            raise RecordError(msg)
        found.append(leaf._data if isinstance(leaf, Value) else leaf)
    return found


@guarded
def jacobian(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> Any:
    """Each output's gradient: nested like the outputs, then like the arguments.

    The cheaper mode by shape: one forward sweep an input, or one reverse an output. In
    bulk the partials are computed once, and a reverse sweep an output costs little.
    """
    m, base, inputs = _start(tape, args, kwargs, arithmetic)
    slots = sweeps.replay(base, m, inputs)
    rows: list[Any]
    if _in_bulk(base, m):
        rows = _bulk_rows(base, slots)
    elif 0 < len(base.inputs) < len(base.outputs):
        rows = _forward_rows(base, m, slots)
    else:
        rows = [
            _nest(base, m, sweeps.adjoint(base, m, slots, {slot: m.number(1)}))
            for slot in base.outputs
        ]
    return tape.structure.result.build(rows)


def _bulk_rows(base: Tape, slots: Sequence[Any]) -> list[Any]:
    lines = bulk.lines_of_tape(base, np.array(slots, dtype=np.float64))
    reads, partials = bulk.linearised(lines)
    loop = accumulator(len(slots) * len(base.outputs))
    places = list(base.inputs)
    rows = []
    for slot in base.outputs:
        bars, _ = bulk.sweep(reads, partials, {slot: 1.0}, loop)
        rows.append(nest_inputs(base, bars[places].tolist()))
    return rows


def _forward_rows(base: Tape, m: Any, slots: Sequence[Any]) -> list[Any]:
    zero = _result(m, m.number(0))
    columns = []
    for slot in base.inputs:
        dots = sweeps.tangent(base, m, slots, {slot: m.number(1)})
        columns.append(
            [zero if dots[i] is None else _result(m, dots[i]) for i in base.outputs]
        )
    return [nest_inputs(base, row) for row in zip(*columns, strict=True)]


@guarded
def hessian(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
) -> Any:
    """Second derivatives: the Jacobian of the gradient's tape."""
    scalar_output(tape)
    return jacobian(adjoint_tape(tape), args, kwargs, arithmetic)


def _as_tuple(tape: Tape, args: Any) -> tuple[Any, ...]:
    if isinstance(args, tuple):
        return args
    if len(tape.structure.arguments) == 1:
        return (args,)
    msg = f"pass a tuple, one entry an argument, got {type(args).__name__}"
    raise ShapeError(msg)


@guarded
def jvp(tape: Tape, args: Any, tangents: Any, arithmetic: str = "float64") -> Any:
    """(value, tangent) along a direction; tuples, one entry an argument."""
    m, base, inputs = _start(tape, _as_tuple(tape, args), {}, arithmetic)
    leaves = _bind_for(tape, _as_tuple(tape, tangents), {}, arithmetic)
    seeds = dict(zip(base.inputs, numbers(base, m, leaves), strict=True))
    slots = sweeps.replay(base, m, inputs)
    dots = sweeps.tangent(base, m, slots, seeds)
    zero = m.number(0)
    found = [zero if dots[i] is None else dots[i] for i in base.outputs]
    build = tape.structure.result.build
    return (
        build([_result(m, slots[i]) for i in base.outputs]),
        build([_result(m, dot) for dot in found]),
    )


@guarded
def vjp(tape: Tape, args: Any, cotangents: Any, arithmetic: str = "float64") -> Any:
    """(value, adjoints of the arguments) for adjoints nested like the outputs."""
    m, base, inputs = _start(tape, _as_tuple(tape, args), {}, arithmetic)
    leaves = match(tape.structure.result, cotangents, "cotangents")
    seeds = [m.number(as_number(leaf)) for leaf in leaves]
    slots, bars = sweep(base, m, inputs, seeds)
    value = tape.structure.result.build([_result(m, slots[i]) for i in base.outputs])
    return value, _nest(base, m, bars)


@guarded
def hvp(tape: Tape, args: Any, direction: Any, arithmetic: str = "float64") -> Any:
    """Hessian times a direction: the tangent of the gradient's tape."""
    scalar_output(tape)
    return jvp(adjoint_tape(tape), args, direction, arithmetic)[1]


@guarded
def slots(tape: Tape, args: Sequence[Any], arithmetic: str = "float64") -> list[Any]:
    """The value of every slot of the tape, sub-tapes expanded."""
    m, base, inputs = _start(tape, args, {}, arithmetic)
    return [_result(m, value) for value in sweeps.replay(base, m, inputs)]


@guarded
def adjoints(tape: Tape, args: Sequence[Any], arithmetic: str = "float64") -> list[Any]:
    """The adjoint of every slot for seed 1 on each output; 0 where none arrives."""
    m, base, inputs = _start(tape, args, {}, arithmetic)
    _, bars = sweep(base, m, inputs, [m.number(1)] * len(base.outputs))
    zero = m.number(0)
    return [_result(m, zero if bar is None else bar) for bar in bars]
