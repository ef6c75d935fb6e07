"""Rounding errors: how far off a result is, and which lines make it so. Floor 10.

    local error     d_i = v_i - f_i(v_a, v_b, ...)          of the operands as they were
    estimate        computed - exact = sum_i  v_bar_i d_i + higher order
    a priori        |d_i| <= u |v_i|, u = 2^-53 for float64

(Linnainmaa 1976; Griewank & Walther, section 3.4: adjoints as condition numbers.) The
local errors and the adjoints are computed with many digits, so that the estimate keeps
its sign. Beside it stands the truth: the whole tape replayed with those digits. Where
the two are apart, first order does not see what happens, and the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad import sweeps
from tapegrad.binding import arithmetic_of, bind, numbers, plain
from tapegrad.errors import BranchChanged, DomainError, ShapeError
from tapegrad.proof.localerrors import (
    EXACT,
    UNIT,
    Bounds,
    alike,
    by_line,
    entries,
    less,
    product,
    total,
)
from tapegrad.proof.roundingreport import (
    RoundingReport,
    StepError,
)
from tapegrad.readings import reading
from tapegrad.recording import record, with_lines
from tapegrad.rules.shapes import FLOATING
from tapegrad.tape.structure import paths
from tapegrad.tape.tape import Step, Tape

# What it takes to hold any sum of doubles.
MOST_DIGITS = 700


def rounding_error(
    f: Callable[..., Any] | Tape,
    *args: Any,
    arithmetic: str = "float64",
    digits: int = 50,
    **kwargs: Any,
) -> RoundingReport:
    """How far off a function's result is at a point, and which lines make it so.

    Args:
        f: a function of numbers and arrays, or a tape of one.
        *args: where, dimensionless floats and arrays of them.
        arithmetic: "float64", or "float32": what if everything were single.
        digits: decimal digits of the exact replay. Where they turn out too few, 700
            are taken, enough for any sum of doubles.
        **kwargs: as args, by keyword.

    Returns:
        The estimate to first order, with its sign; the bound without signs; the error
        that the exact replay shows; the worst source lines and steps. Of several
        results the entry that is furthest off, relative to its size.

    Raises:
        DomainError: another arithmetic.
        ShapeError: no result is a float; arguments that do not fit.

    Example:
        >>> import numpy as np, tapegrad as tg
        >>> report = tg.rounding_error(lambda x: (x + 1.0) - x, 1e15 / 3)
        >>> report.value, report.ok
        (1.0, True)
    """
    tape = f if isinstance(f, Tape) else record(f, *args, lines=True, **kwargs)
    return analysed(tape, args, kwargs, arithmetic, digits)


def analysed(
    tape: Tape,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    arithmetic: str = "float64",
    digits: int = 50,
) -> RoundingReport:
    """The same of a tape; without arguments, where it was recorded."""
    if arithmetic not in UNIT:
        msg = (
            f"rounding errors are those of float64 and float32, not of {arithmetic!r}; "
            "leave arithmetic= out, or give one of these"
        )
        raise DomainError(msg)
    tape = with_lines(tape)
    if not args and not kwargs and tape.example is not None:
        leaves = list(tape.example)
    else:
        leaves = plain(tape, bind(tape, args, kwargs))
    with np.errstate(all="ignore"):
        found = Analysis(tape, leaves, arithmetic, digits).report()
        if found.digits < MOST_DIGITS and _shaky(found):
            found = Analysis(tape, leaves, arithmetic, MOST_DIGITS).report()
    return found


def _shaky(report: RoundingReport) -> bool:
    """Whether the roundings of the exact replay itself would show."""
    if report.true_error is None or not math.isfinite(report.apriori):
        return False
    noise = report.apriori / report.unit * 10.0**-report.digits
    return noise > 1e-3 * max(abs(report.true_error), report.unit * abs(report.value))


class Analysis:
    """One tape at one point.

    Args:
        tape: with lines, if they are known.
        leaves: the inputs.
        arithmetic: the one that rounds.
        digits: of the one that does not.
    """

    def __init__(
        self, tape: Tape, leaves: Sequence[Any], arithmetic: str, digits: int
    ) -> None:
        self.digits = digits
        self.base = base = sweeps.flat(tape)
        self.steps = list(base)
        m = arithmetic_of(base, arithmetic)
        self.big: Any = reading(f"mpmath:{digits}")
        values = sweeps.replay(base, m, numbers(base, m, leaves))
        self.values = values
        self.bounds = Bounds(base, values, single=arithmetic == "float32")
        self.lifted = [self._lift(value) for value in values]
        self.given = dict(
            zip(base.inputs, numbers(base, self.big, leaves), strict=True)
        )
        self.note = ""
        self.exact: list[Any] | None = None
        try:
            self.exact = self._replayed()
        except BranchChanged as problem:
            self.note = (
                f"with {digits} digits the branch at {problem.file}:{problem.line} "
                "goes the other way, so there is no exact result of this tape"
            )
        except DomainError as problem:
            self.note = f"with {digits} digits there is no result: {problem}"

    def _replayed(self) -> list[Any]:
        """All slots with many digits; eigenvectors with the signs that they had."""
        given, replace = list(self.given.values()), {}
        found = sweeps.replay(self.base, self.big, given)
        for step in self.steps:
            if step.primitive.name == "eigh":
                slot = step.slots[1]
                replace[slot] = self._same_signs(found[slot], slot)
                found = sweeps.replay(self.base, self.big, given, replace)
        return found

    def _lift(self, value: Any) -> Any:
        """A value of the rounding arithmetic as a number of many digits."""
        return bool(value) if isinstance(value, np.bool_) else self.big.number(value)

    # -- which result ------------------------------------------------------------------

    def _entry(self) -> tuple[int, tuple[int, ...], str]:
        """Output slot and entry that are furthest off, and their name."""
        base = self.base
        result = base.structure.result
        names = [""] if result.bare else paths(result, "")
        best: tuple[float, int, tuple[int, ...], str] | None = None
        for slot, name in zip(base.outputs, names, strict=True):
            if base.aval_of(slot)[1] not in FLOATING:
                continue
            offs = self._relative(slot)
            if not offs.size:
                continue
            worst = np.unravel_index(int(np.argmax(offs)), offs.shape)
            index = tuple(map(int, worst))
            if best is None or offs[index] > best[0]:
                tail = f"[{', '.join(map(str, index))}]" if index else ""
                best = float(offs[index]), slot, index, name + tail
        if best is None:
            msg = "no result of the tape is a float, so nothing is rounded"
            raise ShapeError(msg)
        return best[1:]

    def _relative(self, slot: int) -> Any:
        """Relative errors of the entries of an output; 0 where they are not known."""
        shape = self.base.aval_of(slot)[0]
        found = np.zeros(shape)
        if self.exact is None:
            return found
        computed, exact = (entries(x[slot]) for x in (self.lifted, self.exact))
        size = max((abs(float(x)) for x in exact.flat), default=0.0)
        least = UNIT[self.bounds.kind(slot)] * size if math.isfinite(size) else 0.0
        for index in np.ndindex(shape):
            off = abs(less(computed[index], exact[index]))
            size = abs(float(exact[index])) + least
            found[index] = (off / size if size else math.inf) if off else 0.0
        return np.where(np.isnan(found), np.inf, found)

    # -- the analysis ------------------------------------------------------------------

    def report(self) -> RoundingReport:
        """Everything, of the entry that is furthest off."""
        slot, index, name = self._entry()
        bars = self._adjoints(slot, index)
        steps = [self._step(step, bars) for step in self.steps]
        found = [step for step in steps if step is not None]
        found.sort(key=lambda step: (-step.bound, -step.apriori, step.step))
        value = float(np.asarray(self.values[slot])[index])
        exact, true, size = "", None, abs(value)
        if self.exact is not None:
            truth = entries(self.exact[slot])[index]
            exact = self.big.ctx.nstr(truth.value, 20)
            true = less(entries(self.lifted[slot])[index], truth)
            size = size or abs(float(truth))
        return RoundingReport(
            output=name,
            value=value,
            exact=exact,
            true_error=true,
            estimate=total(step.estimate for step in found),
            bound=total(step.bound for step in found),
            apriori=total(step.apriori for step in found),
            unit=UNIT[self.bounds.kind(slot)],
            digits=self.digits,
            steps=tuple(step for step in found if step.bound or step.apriori),
            lines=by_line(found),
            cancellations=tuple(self.bounds.cancellations(bars, size)),
            note=self.note or self._other_way(),
        )

    def _adjoints(self, slot: int, index: tuple[int, ...]) -> list[Any]:
        """The adjoint of every slot with many digits, for one entry of an output.

        Constants are asked for, too: steps of them alone are rounded as well.
        """
        base, big = self.base, self.big
        shape = base.aval_of(slot)[0]
        seed = big.number(1.0)
        if shape:
            seed = entries(big.like(0, self.lifted[slot])).copy()
            seed[index] = big.number(1.0)
        starts = [
            step.slots.start
            for step in self.steps
            if step.primitive.name in {"input", "const"}
            and base.aval_of(step.slots.start)[1] in FLOATING
        ]
        return sweeps.adjoint(base, big, self.lifted, {slot: seed}, starts)

    def _step(self, step: Step, bars: Sequence[Any]) -> StepError | None:
        """The rounding of a step, where a result depends on it."""
        live = [
            slot
            for slot in step.slots
            if bars[slot] is not None and self.base.aval_of(slot)[1] in FLOATING
        ]
        row = step.primitive
        if not live or row.name in EXACT:
            return None
        exact = self._exactly(step)
        estimate = bound = apriori = local = size = slope = 0.0
        for slot in live:
            value, bar = entries(self.lifted[slot]), entries(bars[slot])
            truth = entries(exact[slot - step.slots.start])
            for v, t, b in zip(value.flat, truth.flat, bar.flat, strict=True):
                if alike(v, t):
                    continue
                off, share = less(v, t), product(b, v, t)
                estimate += share
                bound += abs(share)
                local = max(local, off, key=abs)
                size = max(size, float(v), key=abs)
                slope = max(slope, float(b), key=abs)
            apriori += self.bounds.apriori(step, slot, bar)
        file, line = self.base.line_of(step.slots.start) or ("", 0)
        return StepError(
            step=step.number,
            slot=step.slots.start,
            operation=step.sign,
            label=step.label,
            file=file,
            line=line,
            value=size,
            adjoint=slope,
            local=local,
            estimate=estimate,
            bound=bound,
            apriori=apriori,
        )

    def _exactly(self, step: Step) -> Sequence[Any]:
        """The results of a step with many digits, at the operands that it had."""
        row, big = step.primitive, self.big
        if row.name == "input":
            return [self.given[step.slots.start]]
        if row.name == "const":
            return [big.number(step.params["value"])]
        xs = [self.lifted[slot] for slot in step.operands]
        if row.nested:
            return list(big.nested(row, xs, step.params))
        try:
            found = getattr(big, row.name)(*xs, **step.params)
        except np.linalg.LinAlgError:  # singular to the last digit, and not before
            return [self.lifted[slot] for slot in step.slots]
        if row.name == "eigh":
            return [found[0], self._same_signs(found[1], step.slots[1])]
        return found if row.slots > 1 else [found]

    def _same_signs(self, vectors: Any, slot: int) -> Any:
        """Eigenvectors with the signs that the computed ones have."""
        turned = np.sum(vectors * self.lifted[slot], axis=-2, keepdims=True)
        signs = np.frompyfunc(lambda x: -1 if float(x) < 0 else 1, 1, 1)(turned)
        return vectors * signs

    # -- what else is worth a word -----------------------------------------------------

    def _other_way(self) -> str:
        """The first step that decides otherwise with many digits, in words."""
        for step in self.steps:
            if self.exact is None or step.primitive.kind not in {
                "predicate",
                "discrete",
            }:
                continue
            slot = step.slots.start
            if not np.array_equal(self.exact[slot], self.lifted[slot]):
                place = self.base.line_of(slot)
                at = f"{place[0]}:{place[1]}" if place else f"step {step.number}"
                return (
                    f"with {self.digits} digits {step.sign} at {at} decides otherwise"
                )
        return ""
