"""What a step adds to the adjoints of its operands, as text. Floor 9.

    v3 = v1 * v2        v1_bar += sum(v3_bar * v2, axis=0)
    v4 = v0[1:]         v0_bar[1:] += v4_bar

The sweep's own rules, read as formulas: partials by SymPy for elementwise steps, the
pull of a step of whole arrays, and then what fits the result to the operand. A rule
that is too long for a line is called by its name: ``pull_eigh(v3_bar)``.
"""

from __future__ import annotations

from typing import Any

from tapegrad import arriving, masks, passing
from tapegrad.readings import reading
from tapegrad.show.formulas import NAME, TEXT, WORD, Formula
from tapegrad.show.text import number_text
from tapegrad.tape.tape import Step, Tape


class Contributions:
    """The lines of a reverse sweep; told step by step, it remembers masks.

    Args:
        tape: a flat tape.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        avals = [tape.aval_of(slot) for slot in range(tape.slot_count)]
        self.names = [Formula(f"v{i}", *aval) for i, aval in enumerate(avals)]
        self.bars = [Formula(f"v{i}_bar", *aval) for i, aval in enumerate(avals)]
        # what has arrived: a name for each slot that is reached, with its mask
        self.sums = arriving.Sums(TEXT, [None] * tape.slot_count)
        self._wholes: dict[int, Any] = {}

    def seed(self, slot: int) -> None:
        """An output's adjoint stands from the start."""
        self.sums.add(slot, self.bars[slot], None)

    def reached(self, step: Step) -> bool:
        """Whether anything arrives at a step."""
        return any(self.sums.bars[slot] is not None for slot in step.slots)

    def line(
        self, step: Step, place: int, partial: Any = None, chosen: bool | None = None
    ) -> str | None:
        """What a step adds to one operand; None for nothing.

        Args:
            step: the step.
            place: which of its operands.
            partial: the number or array to write; the formula by default.
            chosen: the condition of a scalar ``where``, where it is known.
        """
        operand = step.operands[place]
        part, under = self._part(step, place, partial, chosen)
        if part is None:
            return None
        aval = self.tape.aval_of(operand)
        part = passing.fit(TEXT, part, aval)
        self.sums.add(operand, part, masks.fit_mask(TEXT, under, aval[0]))
        self.sums.bars[operand] = self.bars[operand]  # named, however it grows
        mask = self.sums.masks.get(operand)
        if mask is not None and mask.text == "True":
            del self.sums.masks[operand]
        return _added(f"v{operand}_bar", part, step)

    def _part(
        self, step: Step, place: int, partial: Any, chosen: bool | None
    ) -> tuple[Formula | None, Any]:
        row = step.primitive
        if row.nested:  # its rule is sub-tapes, and no formula
            return Formula("", *self.tape.aval_of(step.operands[place])), None
        if row.whole or row.kind == "select":
            if step.number not in self._wholes:
                self._wholes[step.number] = self._whole(step, chosen)
            return self._wholes[step.number][place][1:]  # type: ignore[no-any-return]
        slot = step.slots.start
        part = passing.scaled(self.bars[slot], _factor(step, place, partial))
        mask = self.sums.masks.get(slot)
        if part is not None and mask is not None:
            part = TEXT.where(mask, part, TEXT.number(0))
        return part, mask

    def _whole(self, step: Step, chosen: bool | None) -> Any:
        row, slots = step.primitive, step.slots
        xs: list[Any] = [self.names[slot] for slot in step.operands]
        if chosen is not None:
            xs[0] = chosen
        if row.slots > 1:
            bars = self.sums.bars
            return passing.pulled_several(
                TEXT, row, slots, self.names, xs, bars, step.params
            )
        slot = slots.start
        return passing.contributions(
            TEXT,
            row,
            self.names[slot],
            xs,
            self.bars[slot],
            self.sums.masks.get(slot),
            step.params,
            [True] * len(xs),
        )


def _added(onto: str, part: Formula, step: Step) -> str:
    """``v0_bar += v3_bar * v1``; what is put into zeros is added where it goes."""
    if not part.text:
        come = ", ".join(f"v{slot}_bar" for slot in step.slots)
        return f"{onto} += pull_{step.sign}({come})"
    if part.onto is not None:
        key, what = part.onto
        return f"{onto}{key} += {what}"
    if part.text[0] == "-":
        return f"{onto} -= {part.text[1:]}"
    return f"{onto} += {part.text}"


def _factor(step: Step, place: int, partial: Any) -> Any:
    """A partial as a factor: a structural int as it is, else its text."""
    text = partial_text(step, place) if partial is None else number_text(partial)
    if text in {"1", "-1"} or (text == "0" and partial is None):
        return int(text)
    # its shape does not matter: the adjoint that it multiplies has the result's
    return Formula(text, level=NAME if _bare(text) else WORD)


def _bare(text: str) -> bool:
    """Whether a factor needs no parentheses after a ``*``."""
    try:
        return float(text) >= 0 or text == "nan"
    except ValueError:
        closed = text.startswith("Piecewise(") and text.endswith("))")
        listed = text[0] == "["
        return (
            closed
            or listed
            or (text[0] != "-" and not any(sign in text for sign in " /+"))
        )


def partial_text(step: Step, place: int) -> str:
    """A partial as a formula in the slots, as SymPy reads the rule."""
    import sympy as sp

    from tapegrad.readings.pieces import decided

    m = reading("sympy")
    y, *xs = (
        sp.Symbol(f"v{slot}", real=True) for slot in (step.slots.start, *step.operands)
    )
    found = passing.partials_of(m, step.primitive, y, xs, step.params)
    return str(decided(sp.sympify(found[place])))
