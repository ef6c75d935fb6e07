"""Calling a tape: arguments in, values and derivatives out, nested alike. Floor 8."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import bulk, sweeps
from tapegrad.ambient import current
from tapegrad.apply import make
from tapegrad.derivatives import (
    adjoint_tape,
    basis,
    differentiable,
    gradient_tree,
    scalar_output,
)
from tapegrad.eager import accumulator
from tapegrad.errors import RecordError, ShapeError
from tapegrad.readings import SCALAR, reading
from tapegrad.readings.mixed import MIXED
from tapegrad.readings.numeric import ArrayWords
from tapegrad.real import as_data, as_number, check_array, check_range, frozen
from tapegrad.recorder import VALUES, Recorder
from tapegrad.rules import TABLE
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import match
from tapegrad.tape.tape import Tape
from tapegrad.value import Value

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


def arithmetic_of(tape: Tape, name: str) -> Any:
    """The reading of an ``arithmetic=`` name for a tape, with arrays or without."""
    if name == "float64" and tape.arrays:
        return MIXED
    return reading(name)


def numbers(
    tape: Tape, m: Any, leaves: Sequence[Any], slots: Sequence[int] | None = None
) -> list[Any]:
    """Argument leaves as numbers and arrays of a reading; bad ones are named.

    Args:
        tape: the tape that is called.
        m: the reading.
        leaves: what was passed.
        slots: what they stand for, the inputs by default.

    Raises:
        ShapeError: another shape than recorded.
        RecordError: what is no real number.
    """
    found = []
    for slot, leaf in zip(tape.inputs if slots is None else slots, leaves, strict=True):
        shape, dtype = tape.aval_of(slot)
        if _belongs(m, leaf):
            found.append(m.number(leaf))
            continue
        try:
            if not shape and dtype == "float64":
                found.append(m.number(as_number(leaf)))
            else:
                found.append(m.number(as_array(m, leaf, shape, dtype)))
        except (RecordError, ShapeError) as problem:
            msg = f"argument {tape.label_of(slot)}: {problem}"
            raise type(problem)(msg) from None
    return found


def as_array(m: Any, leaf: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """A leaf as an array of a slot's shape and dtype, which nobody will write to.

    Raises:
        ShapeError: another shape.
        RecordError: no real numbers, or floats where a slot holds ints.
    """
    objects = isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O"
    own = objects and not isinstance(m, ArrayWords)
    plain = isinstance(leaf, np.ndarray) and leaf.dtype.kind in "fiub"
    data = leaf if own or plain else as_data(leaf, integers=True)
    check_array(data)
    if np.shape(data) != shape:
        msg = (
            f"got shape {np.shape(data)}, and the tape was recorded with shape "
            f"{shape}; pass that shape, or record again"
        )
        raise ShapeError(msg)
    if own:
        return data
    data = np.asarray(data)
    if dtype not in FLOATING and data.dtype.kind == "f":
        msg = (
            f"got floats, and the tape was recorded with {dtype}, which has no "
            "derivative; convert them, or record again with floats"
        )
        raise RecordError(msg)
    if dtype == "int64":
        check_range(data)
    data = data.astype(dtype, order="C", copy=False).view()
    data.flags.writeable = False
    return data if shape else data.item() if dtype in {"float64", "bool"} else data[()]


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


def result(m: Any, value: Any) -> Any:
    """A result as the user sees it: floats as floats, mpf as mpf, arrays of its own."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O" and m.name.startswith("mpmath"):
            return np.frompyfunc(lambda x: getattr(x, "value", x), 1, 1)(value)
        return np.array(value)
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
        found[slots[0]] = numbers(tape, m, [value], [slots[0]])[0]
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
    base = sweeps.flat(tape)
    m = arithmetic_of(base, arithmetic)
    slots = sweeps.replay(
        base, m, numbers(base, m, leaves), replace_slots(base, replace, m)
    )
    return tape.structure.result.build([result(m, slots[i]) for i in base.outputs])


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
    m = arithmetic_of(base, "float64")
    plain = [x._data if isinstance(x, Value) else x for x in leaves]
    primals = numbers(base, m, plain)
    if not isinstance(columns, Recorder):
        given = [
            x if isinstance(x, Value) else primal
            for x, primal in zip(leaves, primals, strict=True)
        ]
        found = sweeps.replay(base, VALUES, given)
        return [found[slot] for slot in base.outputs]
    reads = [
        columns.slot_of(x) if isinstance(x, Value) else columns.constant(_own(primal))
        for x, primal in zip(leaves, primals, strict=True)
    ]
    found = sweeps.replay(base, m, primals)
    values = [found[slot] for slot in base.outputs]
    made = columns.push_call(tape, reads, values)
    return [
        make(columns, slot, value) for slot, value in zip(made, values, strict=True)
    ]


def _own(data: Any) -> Any:
    """A frozen copy of an array that somebody else may write to."""
    return frozen(np.array(data)) if isinstance(data, np.ndarray) else data


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
    leaves = [
        result(m, _zero(tape, m, slot) if bars[slot] is None else bars[slot])
        for slot in (tape.inputs[place] for place in differentiable(tape))
    ]
    return nest_inputs(tape, leaves)


def _zero(tape: Tape, m: Any, slot: int, lead: tuple[int, ...] = ()) -> Any:
    """A structural zero in the shape of a slot."""
    shape, dtype = tape.aval_of(slot)
    shape = (*lead, *shape)
    if not shape:
        single = dtype == "float32" and m is MIXED
        return np.float32(0) if single else m.number(0)
    return m.like(0, np.empty(shape, dtype))


def _ones(base: Tape, m: Any, slot: int) -> Any:
    """The seed of each entry of an output; None where it has no derivative."""
    shape, dtype = base.aval_of(slot)
    if dtype not in FLOATING:
        return None
    if not shape:
        return np.float32(1) if dtype == "float32" and m is MIXED else m.number(1)
    return m.like(1, np.empty(shape, dtype))


def nest_inputs(tape: Tape, leaves: Sequence[Any]) -> Any:
    """One leaf a differentiable input, nested like the arguments."""
    trees = tape.structure.arguments
    if all(tree.bare for tree in trees) and len(leaves) == len(trees):
        return leaves[0] if len(trees) == 1 else tuple(leaves)
    return gradient_tree(tape).build(leaves, statics=False)


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
    slots, bars = sweep(base, m, inputs, [_ones(base, m, base.outputs[0])])
    return result(m, slots[base.outputs[0]]), _nest(base, m, bars)


def _start(
    tape: Tape, args: Any, kwargs: Any, arithmetic: str
) -> tuple[Any, Tape, list[Any]]:
    leaves = _bind_for(tape, args, kwargs, arithmetic)
    base = sweeps.flat(tape)
    m = arithmetic_of(base, arithmetic)
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
    _, rows = derivatives(base, m, inputs)
    return tape.structure.result.build([nest_inputs(base, row) for row in rows])


def derivatives(
    base: Tape, m: Any, inputs: Sequence[Any]
) -> tuple[list[Any], list[list[Any]]]:
    """Slot values, and for each output its derivative by each differentiable input."""
    slots = sweeps.replay(base, m, inputs)
    if base.arrays:
        return slots, array_rows(base, m, slots)
    if _in_bulk(base, m):
        return slots, _bulk_rows(base, slots)
    if 0 < len(base.inputs) < len(base.outputs):
        return slots, _forward_rows(base, m, slots)
    zero = result(m, m.number(0))
    rows = []
    for slot in base.outputs:
        bars = sweeps.adjoint(base, m, slots, {slot: m.number(1)})
        mine = [bars[i] for i in base.inputs]
        rows.append([zero if bar is None else result(m, bar) for bar in mine])
    return slots, rows


def array_rows(base: Tape, m: Any, slots: Sequence[Any]) -> list[list[Any]]:
    """For each output its derivative by each differentiable input, shapes joined."""
    inputs = [base.inputs[place] for place in differentiable(base)]
    sizes = [
        [math.prod(base.aval_of(i)[0]) for i in places]
        for places in (inputs, base.outputs)
    ]
    if sum(sizes[0]) < sum(sizes[1]):
        return _forward_arrays(base, m, slots, inputs)
    rows = []
    for output in base.outputs:
        lead, dtype = base.aval_of(output)
        if dtype not in FLOATING:
            rows.append([result(m, _zero(base, m, i, lead)) for i in inputs])
            continue
        seeds = (
            [_ones(base, m, output)] if not lead else map(m.number, basis(lead, dtype))
        )
        bars = [sweeps.adjoint(base, m, slots, {output: seed}) for seed in seeds]
        rows.append(
            [_piled(base, m, [bar[i] for bar in bars], i, lead) for i in inputs]
        )
    return rows


def _piled(
    base: Tape, m: Any, parts: Sequence[Any], slot: int, lead: tuple[int, ...]
) -> Any:
    """Derivatives of a slot's shape as one array, an axis more for each of lead."""
    full = [_zero(base, m, slot) if part is None else part for part in parts]
    if not lead:
        return result(m, full[0])
    shape = base.aval_of(slot)[0]
    if not full:
        return result(m, _zero(base, m, slot, lead))
    return result(m, np.stack([np.asarray(p) for p in full]).reshape(lead + shape))


def _forward_arrays(
    base: Tape, m: Any, slots: Sequence[Any], inputs: Sequence[int]
) -> list[list[Any]]:
    """Jacobians by forward mode: few inputs, many outputs."""
    rows: list[list[Any]] = [[] for _ in base.outputs]
    for i in inputs:
        lead, dtype = base.aval_of(i)
        seeds = [np.float32(1) if dtype == "float32" else 1.0] if not lead else None
        units = map(m.number, basis(lead, dtype) if seeds is None else seeds)
        dots = [sweeps.tangent(base, m, slots, {i: unit}) for unit in units]
        for row, output in zip(rows, base.outputs, strict=True):
            piled = _piled(base, m, [dot[output] for dot in dots], output, lead)
            if lead and base.aval_of(output)[0]:
                order = (*range(len(lead), piled.ndim), *range(len(lead)))
                piled = np.array(np.transpose(piled, order))
            row.append(piled)
    return rows


def _bulk_rows(base: Tape, slots: Sequence[Any]) -> list[Any]:
    lines = bulk.lines_of_tape(base, np.array(slots, dtype=np.float64))
    reads, partials = bulk.linearised(lines)
    loop = accumulator(len(slots) * len(base.outputs))
    places = list(base.inputs)
    rows = []
    for slot in base.outputs:
        bars, _ = bulk.sweep(reads, partials, {slot: 1.0}, loop)
        rows.append(bars[places].tolist())
    return rows


def _forward_rows(base: Tape, m: Any, slots: Sequence[Any]) -> list[Any]:
    zero = result(m, m.number(0))
    columns = []
    for slot in base.inputs:
        dots = sweeps.tangent(base, m, slots, {slot: m.number(1)})
        columns.append(
            [zero if dots[i] is None else result(m, dots[i]) for i in base.outputs]
        )
    return [list(row) for row in zip(*columns, strict=True)]


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
    pairs = list(zip(base.inputs, _tangents(base, m, leaves), strict=True))
    seeds = dict(pairs[place] for place in differentiable(base))
    slots = sweeps.replay(base, m, inputs)
    dots = sweeps.tangent(base, m, slots, seeds)
    found = [_zero(base, m, i) if dots[i] is None else dots[i] for i in base.outputs]
    build = tape.structure.result.build
    return (
        build([result(m, slots[i]) for i in base.outputs]),
        build([result(m, dot) for dot in found]),
    )


def _tangents(base: Tape, m: Any, leaves: Sequence[Any]) -> list[Any]:
    """Tangents of the inputs; ints have none, whatever stands there."""
    smooth = set(differentiable(base))
    return [
        numbers(base, m, [leaf], [slot])[0] if place in smooth else None
        for place, (slot, leaf) in enumerate(zip(base.inputs, leaves, strict=True))
    ]


@guarded
def vjp(tape: Tape, args: Any, cotangents: Any, arithmetic: str = "float64") -> Any:
    """(value, adjoints of the arguments) for adjoints nested like the outputs."""
    m, base, inputs = _start(tape, _as_tuple(tape, args), {}, arithmetic)
    leaves = match(tape.structure.result, cotangents, "cotangents")
    seeds = numbers(base, m, leaves, base.outputs)
    slots, bars = sweep(base, m, inputs, seeds)
    value = tape.structure.result.build([result(m, slots[i]) for i in base.outputs])
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
    return [result(m, value) for value in sweeps.replay(base, m, inputs)]


@guarded
def adjoints(tape: Tape, args: Sequence[Any], arithmetic: str = "float64") -> list[Any]:
    """The adjoint of every slot for seed 1 on each output; 0 where none arrives."""
    m, base, inputs = _start(tape, args, {}, arithmetic)
    seeds = [_ones(base, m, slot) for slot in base.outputs]
    _, bars = sweep(base, m, inputs, seeds)
    return [
        result(m, _zero(base, m, slot) if bar is None else bar)
        for slot, bar in enumerate(bars)
    ]
