"""How a derivative passes one step, forward and in reverse. Floor 3.

    tangent   v_dot  = sum_j  df/dv_j * v_dot_j
    adjoint   v_bar_j += v_bar * df/dv_j

An elementwise step multiplies by its partials; a step of whole arrays has a rule of its
own (see ``rules.primitive``). What arrives at an operand is then fitted to it: summed
over the axes that were broadcast, and brought to its dtype. The arm of a ``where`` that
is not selected is absent: what it receives carries the arm's mask.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.errors import DomainError, IndexOutOfBounds
from tapegrad.masks import fit_mask, known, masked, read, some_of, through
from tapegrad.rules import Primitive
from tapegrad.rules.movement import spread, unbroadcast
from tapegrad.rules.shapes import FLOATING

# Kinds of rows that a derivative passes through.
SMOOTH = frozenset(
    {"elementwise", "select", "linear", "multilinear", "reduction", "matrix"}
)


def smooth(row: Primitive) -> bool:
    """Whether a derivative passes through a row."""
    return row.kind in SMOOTH or row.nested


# How messages begin where a derivative has no answer.
SLOPE = "the derivative of "


def applied(
    function: Callable[..., Any],
    row: Primitive,
    xs: Sequence[Any],
    params: Any,
    at: str,
) -> Any:
    """A row of whole arrays, applied.

    Raises:
        DomainError: NumPy's linear algebra has no answer.
        IndexOutOfBounds: an index is out of bounds at these inputs.
    """
    try:
        return function(*xs, **params)
    except np.linalg.LinAlgError as problem:
        raise no_answer(row, xs, problem, at) from None
    except IndexError as problem:
        msg = f"{at}{row.name}: {problem}; check the indices at these inputs"
        raise IndexOutOfBounds(msg) from None


def no_answer(
    row: Primitive, xs: Sequence[Any], problem: Exception, at: str
) -> Exception:
    """The error of linear algebra without a result."""
    shapes = " and ".join(str(np.shape(x)) for x in xs)
    return DomainError(
        f"{at}{row.name} of shape {shapes}: {problem}; check the matrix at these "
        "inputs, or add a small multiple of the identity to it"
    )


def partials_of(m: Any, row: Primitive, y: Any, xs: Sequence[Any], params: Any) -> Any:
    """A row's partials, through the reading's own way if it has one."""
    if m.partials is not None:
        return m.partials(row, y, *xs, **params)
    return row.partials(m, y, *xs, **params)  # type: ignore[misc]


def scaled(derivative: Any, partial: Any) -> Any:
    """derivative * partial, without the multiplication where it is structural."""
    if type(partial) is int:
        if partial == 0:
            return None
        if partial == 1:
            return derivative
        if partial == -1:
            return -derivative
    return derivative * partial


def pushed(
    m: Any,
    row: Primitive,
    y: Any,
    xs: Sequence[Any],
    dots: Sequence[Any],
    params: Mapping[str, Any],
) -> Any:
    """The tangent of a step of whole arrays."""
    if row.push is not None:
        return applied(functools.partial(row.push, m, dots, y), row, xs, params, SLOPE)
    function = getattr(m, row.name)
    if row.kind == "reduction":
        partial = _whole_partial(m, row, y, xs[0], params)
        return m.sum(partial * dots[0], axes=params["axes"])
    if row.kind == "linear":
        full = [
            x if m.dtype(x) not in FLOATING else m.like(0, x) if dot is None else dot
            for x, dot in zip(xs, dots, strict=True)
        ]
        return function(*full, **params)
    total = None  # multilinear
    for place, dot in enumerate(dots):
        if dot is not None:
            part = function(*xs[:place], dot, *xs[place + 1 :], **params)
            total = part if total is None else total + part
    return total


def _whole_partial(m: Any, row: Primitive, y: Any, x: Any, params: Any) -> Any:
    """The partials of a reduction, an array like its operand."""
    wide = spread(m, y, m.shape(x), params["axes"])
    return partials_of(m, row, wide, [x], params)[0]


def fit(m: Any, x: Any, aval: Any) -> Any:
    """A derivative in the shape and dtype of its slot: summed, stretched, converted."""
    shape, dtype = aval
    have = m.shape(x)
    if have != shape:
        if len(have) > len(shape) or any(
            size != 1 and mine == 1
            for size, mine in zip(have[::-1], shape[::-1], strict=False)
        ):
            x = unbroadcast(m, x, shape)
        if m.shape(x) != shape:
            x = m.broadcast_to(x, shape=shape)
    return x if m.dtype(x) == dtype else m.astype(x, dtype=dtype)


def contributions(
    m: Any,
    row: Primitive,
    y: Any,
    xs: Sequence[Any],
    bar: Any,
    mask: Any,
    params: Mapping[str, Any],
    wanted: Sequence[bool],
) -> list[tuple[Any, Any, Any]]:
    """What a step passes to each operand: partial, contribution, mask."""
    if row.whole:
        return _pulled(m, row, y, xs, bar, mask, params)
    if row.kind == "select":
        return _arms(m, xs[0], bar, mask)
    parts = []
    found = partials_of(m, row, y, xs, params)
    for partial, want in zip(found, wanted, strict=True):
        part = scaled(bar, partial) if want else None
        if part is not None and mask is not None:
            part = m.where(mask, part, m.number(0))
        parts.append((partial, part, mask))
    return parts


def _pulled(
    m: Any,
    row: Primitive,
    y: Any,
    xs: Sequence[Any],
    bar: Any,
    mask: Any,
    params: Mapping[str, Any],
) -> list[tuple[Any, Any, Any]]:
    """What a step of whole arrays passes on.

    Through data movement and reductions a mask goes entry by entry; through products
    and systems by rows, columns and matrices of a stack (see `masks`).
    """
    if row.kind == "reduction":
        shape, axes = m.shape(xs[0]), params["axes"]
        partial = _whole_partial(m, row, y, xs[0], params)
        part = spread(m, bar, shape, axes) * partial
        if mask is not None:
            mask = spread(m, mask, shape, axes)
            part = m.where(mask, part, m.number(0))
        return [(partial, part, mask)]
    rule: Any = row.pull
    given = params
    if row.marks is not None and known(mask):
        given = {**params, "mask": mask}
    parts = applied(functools.partial(rule, m, bar, y), row, xs, given, SLOPE)
    if mask is None and row.marks is None:
        return [(None, part, None) for part in parts]
    if row.kind == "linear":
        moved = row.marks is not None or (m.records and not row.indices)
        if (mask is None or known(mask)) and moved:
            unders = through(m, row, mask, y, xs, params)
            return [
                (None, None if under is False else part, under)
                for part, under in zip(parts, unders, strict=True)
            ]
        marks = m.where(mask, m.like(1, y), m.like(0, y))
        seen = rule(m, marks, y, *xs, **params)
        unders = [None if mark is None else m.not_equal(mark, 0) for mark in seen]
        return [(None, part, under) for part, under in zip(parts, unders, strict=True)]
    unders = read(m, row, mask, xs, params)
    return [
        masked(m, part, fit_mask(m, under, m.shape(x)))
        for part, under, x in zip(parts, unders, xs, strict=True)
    ]


def pulled_several(
    m: Any,
    row: Primitive,
    slots: Sequence[int],
    values: Any,
    xs: Sequence[Any],
    bars: Any,
    params: Mapping[str, Any],
) -> list[tuple[Any, Any, Any]]:
    """What a step that owns several slots passes on."""
    mine = [bars[slot] for slot in slots]
    if all(bar is None for bar in mine):
        return [(None, None, None)] * len(xs)
    ys = tuple(values[slot] for slot in slots)
    full = tuple(
        m.like(0, y) if bar is None else bar for y, bar in zip(ys, mine, strict=True)
    )
    rule: Any = row.pull
    parts = applied(functools.partial(rule, m, full, ys), row, xs, params, SLOPE)
    return [(None, part, None) for part in parts]


def pulled_nested(
    m: Any,
    row: Primitive,
    slots: Sequence[int],
    values: Any,
    xs: Sequence[Any],
    bars: Any,
    params: Mapping[str, Any],
    masks: Mapping[int, Any],
) -> list[tuple[Any, Any, Any]]:
    """What a step with sub-tapes passes on.

    Masks are left at: is any entry of any slot selected? Some rows know better.
    """
    reached = [slot for slot in slots if bars[slot] is not None]
    if not reached:
        return [(None, None, None)] * len(xs)
    mine = [bars[slot] for slot in slots]
    ys = [values[slot] for slot in slots]
    rule: Any = row.pull
    if row.masks:
        found = rule(m, mine, ys, xs, params, [masks.get(slot) for slot in slots])
        return [(None, part, under) for part, under, *_ in found]
    parts = rule(m, mine, ys, xs, params)
    if any(masks.get(slot) is None for slot in reached):
        return [(None, part, None) for part in parts]
    some = functools.reduce(m.logical_or, (some_of(m, masks[i]) for i in reached))
    return [masked(m, part, some) for part in parts]


def _arms(m: Any, chosen: Any, bar: Any, mask: Any) -> list[tuple[Any, Any, Any]]:
    """What a ``where`` passes to its condition and its two arms, with their masks.

    A condition that is decided (a plain bool) makes the other arm absent outright.
    """
    nothing = (0, None, None)
    if isinstance(chosen, bool | np.bool_):
        taken = (1, bar, mask)
        return [nothing, taken, nothing] if chosen else [nothing, nothing, taken]
    other = m.logical_not(chosen)
    zero = m.number(0)
    masks = (chosen, other)
    if mask is not None:
        masks = (m.logical_and(mask, chosen), m.logical_and(mask, other))
    return [
        nothing,
        (1, m.where(chosen, bar, zero), masks[0]),
        (1, m.where(chosen, zero, bar), masks[1]),
    ]
