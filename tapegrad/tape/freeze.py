"""From growing columns to a frozen tape, in bulk. Floor 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tapegrad.rules import TABLE
from tapegrad.rules.structure import CONST, GUARD
from tapegrad.tape.recorder import CONTINUED, MANY, Columns
from tapegrad.tape.structure import Structure
from tapegrad.tape.tape import SCALAR, Tape


def freeze(
    grown: Columns,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    labels: Mapping[int, str] | None,
    structure: Structure | None,
    example: tuple[Any, ...] | None,
) -> Tape:
    """Frozen columns: rows of slots become steps, guards are put in their places."""
    opcode, a, b, _ = grown.columns()
    begins = opcode != CONTINUED
    first = np.flatnonzero(begins).astype(np.int32)
    opcode, a, b = opcode[begins], a[begins], b[begins]

    arity = np.array([max(row.arity, 0) for row in TABLE] or [0], dtype=np.int32)
    count = arity[opcode] if len(opcode) else np.zeros(0, np.int32)
    variadic = np.array([row.arity < 0 for row in TABLE])
    many = (a == MANY) & (count > 0) | variadic[opcode]
    wide = np.flatnonzero(many)
    for step in wide.tolist():
        count[step] = len(grown.many[b[step]][0])
    offsets = np.zeros(len(opcode) + 1, np.int32)
    np.cumsum(count, out=offsets[1:])
    operands = np.zeros(int(offsets[-1]), np.int32)
    plain = ~many
    has_one, has_two = plain & (count >= 1), plain & (count == 2)
    operands[offsets[:-1][has_one]] = a[has_one]
    operands[offsets[:-1][has_two] + 1] = b[has_two]
    # rows with at most one operand keep their static index in b
    static = np.where(plain & (count <= 1), b, 0).astype(np.int32)
    static[opcode == TABLE.opcode(CONST)] = b[opcode == TABLE.opcode(CONST)]
    for step in wide.tolist():
        reads, index = grown.many[b[step]]
        operands[offsets[step] : offsets[step + 1]] = reads
        static[step] = index

    first = np.append(first, np.int32(grown.n))
    steps: tuple[npt.NDArray[Any], ...]
    steps = (opcode, offsets, operands, first, static)
    statics = list(grown.statics)
    if grown.guards:
        steps = _with_guards(grown, steps, statics)
    opcode, offsets, operands, first, static = steps
    avals, aval = _avals(grown)
    # the table's order is the order of registration; names make it canonical
    present = np.flatnonzero(np.bincount(opcode, minlength=len(TABLE))).tolist()
    names = sorted(TABLE.rows[code].name for code in present)
    rank = np.zeros(len(TABLE), np.uint16)
    rank[[TABLE.by_name[name] for name in names]] = range(len(names))
    return Tape(
        operations=tuple(names),
        opcode=rank[opcode],
        offsets=offsets,
        operands=operands,
        first=first,
        static=static,
        statics=tuple(statics),
        aval=aval,
        avals=avals,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        labels=dict(labels if labels is not None else grown.labels),
        structure=structure or Structure(),
        example=example,
        lines=None if grown.lines is None else grown.lines.frozen(),
    )


def _avals(grown: Columns) -> tuple[tuple[Any, ...], npt.NDArray[np.uint16]]:
    table = {SCALAR: 0}
    column = np.zeros(grown.n, np.uint16)
    for slot, aval in grown.avals.items():
        column[slot] = table.setdefault(aval, len(table))
    return tuple(table), column


def _with_guards(
    grown: Columns,
    steps: tuple[npt.NDArray[Any], ...],
    statics: list[Any],
) -> tuple[npt.NDArray[Any], ...]:
    """Put guard steps (one operand, no slot) before the slots they came before."""
    opcode, offsets, operands, first, static = steps
    places = np.searchsorted(first[:-1], [place for place, _, _ in grown.guards])
    reads = np.array([slot for _, slot, _ in grown.guards], np.int32)
    known: dict[Any, int] = {}
    indices = []
    for _, _, guard in grown.guards:
        key = guard.key
        if key not in known:
            known[key] = len(statics)
            statics.append((("guard", guard),))
        indices.append(known[key])
    operands = np.insert(operands, offsets[places], reads)
    count = np.insert(np.diff(offsets), places, 1)
    offsets = np.zeros(len(count) + 1, np.int32)
    np.cumsum(count, out=offsets[1:])
    return (
        np.insert(opcode, places, TABLE.opcode(GUARD)),
        offsets,
        operands.astype(np.int32),
        np.insert(first, places, first[places]).astype(np.int32),
        np.insert(static, places, indices).astype(np.int32),
    )
