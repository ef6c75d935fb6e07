"""Loops that stand for recorded steps: which they are, and how many steps. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tapegrad.tape.tape import Tape


def loops(tape: Tape) -> Iterator[dict[str, Any]]:
    """Parameters of those steps of a flat tape that stand for repeated ones."""
    if "scan" not in tape.operations:
        return
    code = tape.operations.index("scan")
    for static in tape.static[tape.opcode == code].tolist():
        params = dict(tape.statics[static])
        if params.get("ordered"):
            yield params


def rolled(tape: Tape) -> bool:
    """Whether a flat tape has such loops."""
    return next(loops(tape), None) is not None


def work(tape: Tape) -> int:
    """Steps that a replay does: those of a body in each iteration."""
    known = tape._known  # noqa: SLF001 - the notebook of the tape
    if "work" not in known:
        inner = sum(params["length"] * work(params["tape"]) for params in loops(tape))
        known["work"] = len(tape) + inner
    return known["work"]  # type: ignore[no-any-return]


def single(tape: Tape) -> int:
    """Slots that loops of a flat tape read one by one, because they are in no array."""
    if "pack" not in tape.operations:
        return 0
    packs = tape.opcode == tape.operations.index("pack")
    counts = tape.offsets[1:] - tape.offsets[:-1]
    return int(counts[packs].sum())
