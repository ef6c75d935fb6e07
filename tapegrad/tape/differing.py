"""What two tapes differ by, in words. Floor 2."""

from __future__ import annotations

from tapegrad.tape.tape import Step, Tape


def difference(first: Tape, second: Tape) -> str:
    """The first step that is another one, with its line where that is known.

    Args:
        first: a tape.
        second: another one, that is not equal to it.

    Returns:
        A clause that goes on after "two recordings".
    """
    for one, two in zip(first, second, strict=False):
        shapes = [_avals(first, one), _avals(second, two)]
        alike = (one.primitive, one.operands) == (two.primitive, two.operands)
        if alike and shapes[0] == shapes[1] and repr(one.params) == repr(two.params):
            continue
        what = [f"{step.sign} {dict(step.params)}" for step in (one, two)]
        if shapes[0] != shapes[1]:
            what = [f"{one.sign} of shape {shapes[0]}", f"{two.sign} of {shapes[1]}"]
        place = first.line_of(one.slots.start) if one.slots else None
        at = "" if place is None else f" ({place[0]}:{place[1]})"
        return f"differ at step {one.number}: {what[0]} and {what[1]}{at}"
    sizes = [f"{len(x)} steps and {len(x.outputs)} results" for x in (first, second)]
    return f"have {sizes[0]}, and {sizes[1]}"


def _avals(tape: Tape, step: Step) -> list[object]:
    return [tape.aval_of(slot) for slot in step.slots]
