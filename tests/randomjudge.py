"""A random program at its inputs: what is exact, and how far floats may be off.

A disagreement is explained, and counted, if 50 digits take another arm of a kink than
floats, if a number leaves the range of floats on its way, or if the tape is locally
right and its conditioning amplifies more than first order sees. Anything else fails.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from typing import Any

import numpy as np
from randombounds import (
    BIG,
    MARGIN,
    Bound,
    distance,
    exact_entries,
    negative_zero,
    wrong_step,
)
from randomtapes import EXACT

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.derivatives import gradient_tape
from tapegrad.errors import BranchChanged
from tapegrad.readings.mixed import MIXED

mpf = BIG.ctx.mpf
# How far results of one formula may differ at 50 digits, in the bound for floats.
SHARP = 1e-24


@dataclasses.dataclass
class Verdict:
    """What was found of a program.

    Args:
        counts: checks by name, and explained disagreements as "kink: ...".
        failures: what is wrong, in words.
    """

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    failures: list[str] = dataclasses.field(default_factory=list)


class Judge:
    """A program at its inputs: recorded, exact, and bounded.

    Args:
        program: the program.
    """

    def __init__(self, program: Any) -> None:
        self.program, self.inputs = program, program.inputs
        self.verdict = Verdict()
        rng = np.random.default_rng([program.seed, 1])
        self.tape = tg.record(program, *self.inputs)
        self.base = sweeps.flat(self.tape)
        self.free = [
            place
            for place, slot in enumerate(self.base.inputs)
            if self.base.aval_of(slot)[1].startswith("float")
        ]
        self.direction = [self._along(x, rng) for x in self.inputs]
        self.whole = gradient_tape(self.tape)  # value, then gradient
        self.floats = self.replayed(self.whole, MIXED, self.inputs)
        self.slope: Any = None
        self.rng = rng

    @functools.cached_property
    def dots(self) -> list[float]:
        """The direction, all entries of differentiable inputs in a row."""
        return [x for i in self.free for x in np.ravel(self.direction[i]).tolist()]

    def listed(self, gradient: Any) -> list[Any]:
        """A gradient as one entry an input, however many there are."""
        return list(gradient) if len(self.free) > 1 else [gradient]

    def _along(self, x: Any, rng: Any) -> Any:
        """A direction, of the size of the input where it has one."""
        if np.asarray(x).dtype.kind != "f":
            return np.zeros_like(x) if np.shape(x) else 0
        size = np.where((np.asarray(x) == 0) | ~np.isfinite(x), 1.0, np.abs(x))
        # some times as long it is still finite
        size = np.minimum(size, np.finfo(size.dtype).max / 64)
        dot = size * np.round(rng.normal(size=np.shape(x)), 3)
        if np.ndim(x) > 1 and np.array_equal(x, np.swapaxes(x, -1, -2)):
            # cholesky and eigh are functions of symmetric matrices
            dot = dot + np.swapaxes(dot, -1, -2)
        dot = dot.astype(np.asarray(x).dtype)
        return dot if np.shape(x) else dot.item() if type(x) is float else dot[()]

    @staticmethod
    def replayed(tape: Any, m: Any, inputs: Any) -> list[Any]:
        with np.errstate(all="ignore"):
            return sweeps.replay(tape, m, [m.number(x) for x in inputs])

    # -- explanations ------------------------------------------------------------

    @functools.cached_property
    def exact(self) -> list[Any]:
        """All slots of value and gradient at 50 digits."""
        return self.replayed(self.whole, BIG, self.inputs)

    @functools.cached_property
    def forks(self) -> bool:
        """Whether 50 digits take another branch of the code by rounding alone.

        They may where the operands of the comparison are closer, in floats, than the
        bound of their difference: 0 that is 1e-700. Any other branch is a failure.
        """
        try:
            return not self.exact
        except BranchChanged as change:
            *_, guard = (step for step in self.whole if step.number == change.step)
            owners = {slot: step for step in self.whole for slot in step.slots}
            a, b = owners[guard.operands[0]].operands
            floats = mpf(self.floats[a]) - mpf(self.floats[b])
            x, y = (mpf(getattr(x, "value", x)) for x in change.operands)
            room = MARGIN * self.bound.of({a: 1.0, b: -1.0})
            if abs(x - y - floats) <= room:
                return True
            raise

    @functools.cached_property
    def bound(self) -> Bound:
        return Bound(self.whole, self.floats)

    @functools.cached_property
    def excuse(self) -> str:
        """Why floats and 50 digits may differ by more than the bound, or ""."""
        worst = 0.0
        for slot, (x, e) in enumerate(zip(self.floats, self.exact, strict=True)):
            dtype = self.whole.aval_of(slot)[1]
            pairs = zip(np.ravel(x).tolist(), exact_entries(e), strict=True)
            for found, exact in pairs:
                if not dtype.startswith("float"):
                    if found != exact:
                        return "kink"
                    continue
                if BIG.ctx.isfinite(exact) and exact:
                    if not 1e-300 < abs(exact) < 1e300:
                        return "range"
                    if dtype == "float32" and not 1e-36 < abs(exact) < 1e37:
                        return "range"
                if not math.isfinite(found) and BIG.ctx.isfinite(exact):
                    worst = math.inf  # 1 / (x - x), exact in one of them alone
                elif math.isfinite(found) and exact:
                    worst = max(worst, distance(found, exact) / float(abs(exact)))
        if any(map(negative_zero, self.floats)):
            return "signed zero"  # mpmath has none
        return "conditioning" if worst > 1e-5 else ""

    def count(self, check: str) -> None:
        self.verdict.counts[check] += 1

    def wrong(self, check: str, words: str) -> None:
        """A disagreement that nothing explains."""
        self.verdict.failures.append(f"{check}: {words}")

    def miss(self, check: str, words: str) -> None:
        """A disagreement of the adjoint tape's floats: explained, or a failure."""
        problem = wrong_step(self.whole, self.floats)
        if self.excuse and not problem:
            self.count(f"{self.excuse}: {check}")
        else:
            self.wrong(check, f"{words}; step {problem}" if problem else words)

    def miss_of_tier(self, check: str, words: str, *, alone: bool) -> None:
        """A disagreement of another tier.

        What explains the adjoint tape explains it, too. A tier that is off alone has
        no excuse.
        """
        if alone:
            self.wrong(check, f"{words}, and the adjoint tape is right")
        else:
            self.count(f"{self.excuse or 'adjoint tape'}: {check}")

    # -- functionals of the gradient ------------------------------------------------

    @functools.cached_property
    def answers(self) -> list[Any]:
        """Value and gradient at 50 digits, all entries in a row."""
        found = []
        for slot in self.whole.outputs:
            found += exact_entries(self.exact[slot])
        return found

    @functools.cached_property
    def weights(self) -> list[tuple[Any, float, float]]:
        """Weights of the entries of value and gradient, each one's bound, and what
        rounding the inputs and constants to single precision adds to it.
        """
        count = len(self.answers)
        chosen = {0, int(self.rng.integers(count))}
        found = [np.eye(count)[place] for place in sorted(chosen)]
        found.append(np.append(0.0, self.rng.choice([-1.0, 1.0], count - 1)))
        return [
            (w, MARGIN * self.bound.of(self.seeds(w)), MARGIN * self.bound.given)
            for w in found
        ]

    def seeds(self, weights: Any) -> dict[int, Any]:
        seeds: dict[int, Any] = {}
        start = 0
        for slot in self.whole.outputs:
            shape = self.whole.aval_of(slot)[0]
            size = math.prod(shape)
            part = np.array(weights[start : start + size]).reshape(shape)
            start += size
            if np.any(part):
                seeds[slot] = seeds[slot] + part if slot in seeds else part
        return seeds

    @functools.cached_property
    def first(self) -> list[float]:
        """Value and gradient by the adjoint tape, all entries in a row."""
        outputs = [self.floats[slot] for slot in self.whole.outputs]
        return [entry for x in outputs for entry in np.ravel(x).tolist()]

    def off(self, flat: list[float], weights: Any, room: float) -> str:
        """How a weighted sum is outside its bound, in words; "" where it is inside."""
        away = mpf(0)
        for place in np.flatnonzero(weights).tolist():
            one, exact = flat[place], self.answers[place]
            gap = distance(one, exact)
            if math.isinf(gap):
                return f"entry {place} is {one!r}, not {exact}"
            if BIG.ctx.isfinite(exact):
                away += mpf(float(weights[place])) * (mpf(one) - exact)
        if abs(away) > room:
            places = np.flatnonzero(weights).tolist()
            sizes = f"{float(abs(away)):.3g}, {room:.3g} allowed"
            return f"entries {places} off by {sizes}: {flat}"
        return ""

    def within(self, check: str, found: list[Any], *, single: bool = False) -> None:
        """Hold value and gradient of a tier to the bound, functional by functional."""
        self.count(check)
        flat = [entry for x in found for entry in np.ravel(x).tolist()]
        if len(flat) != len(self.answers):
            self.wrong(check, f"{len(flat)} entries, not {len(self.answers)}")
            return
        for weights, bound, given in self.weights:
            room = (bound + given) * 2.0**29 if single else bound
            words = self.off(flat, weights, room)
            if not words:
                continue
            if check == "adjoint tape":
                self.miss(check, words)
            else:
                alone = not self.off(self.first, weights, room)
                self.miss_of_tier(check, words, alone=alone)
            return

    def sharp(self, check: str, found: Any, exact: Any, size: Any) -> None:
        """Two results at 50 digits."""
        self.count(check)
        if not (BIG.ctx.isfinite(found) and BIG.ctx.isfinite(exact)):
            same = found == exact or (BIG.ctx.isnan(found) and BIG.ctx.isnan(exact))
            if not same:
                self.wrong(check, f"{found} and {exact}")
            return
        if abs(found - exact) > SHARP * size:
            words = f"{BIG.ctx.nstr(found, 30)} and {BIG.ctx.nstr(exact, 30)}"
            self.wrong(check, f"{words}, of terms of {float(size):.3g}")

    @functools.cached_property
    def exactly(self) -> bool:
        """Whether every tier has to give the same bits."""
        return (
            EXACT.issuperset(self.whole.operations) and self.program.flavour == "exact"
        )

    def bits(self, check: str, found: Any, expected: Any) -> None:
        """The same floats; NaN is NaN, and -0 is 0."""
        if not self.exactly:
            return
        self.count(f"{check} bits")
        for place, (a, b) in enumerate(zip(found, expected, strict=True)):
            if not np.array_equal(a, b, equal_nan=True):
                words = f"entry {place} is {a!r}, not {b!r}"
                self.wrong(f"{check} bits", words)
                return

    def size(self, place: int) -> Any:
        """What rounding errors at 50 digits are measured by: the bound in ulps."""
        exact = self.answers[place]
        if not BIG.ctx.isfinite(exact):
            return mpf(0)
        spread = self.spread
        return abs(exact) + mpf(spread if math.isfinite(spread) else 1e12)

    @functools.cached_property
    def spread(self) -> float:
        """The largest bound that was asked for, in units of the last place."""
        return max(bound for _, bound, _ in self.weights) / (MARGIN * 2.0**-52)

    @staticmethod
    def conditions(tape: Any, slots: Any) -> list[Any]:
        """What was decided: all truth values, whole numbers and signs among slots."""
        if "sign" in tape.operations:
            steps = (step for step in tape if step.primitive.name == "sign")
            signs = {step.slots.start for step in steps}
        else:
            signs = set()
        return [
            exact_entries(x)
            for slot, x in enumerate(slots)
            if slot in signs or not tape.aval_of(slot)[1].startswith("float")
        ]

    def moderate(self, slots: Any) -> bool:
        """Whether single precision got along: in range, and close to 50 digits."""
        for slot, (x, e) in enumerate(zip(slots, self.exact, strict=True)):
            if not self.whole.aval_of(slot)[1].startswith("float"):
                continue
            for found, exact in zip(
                np.ravel(x).tolist(), exact_entries(e), strict=True
            ):
                if exact and not 1e-36 < abs(exact) < 1e36:
                    return False
                if not distance(found, exact) <= 1e-3 * abs(exact):
                    return False
        return True

    @functools.cached_property
    def poles(self) -> bool:
        """Whether an infinite or undefined partial occurs on the way."""
        entries = (x for y in self.exact for x in exact_entries(y))
        return not all(map(BIG.ctx.isfinite, entries))
