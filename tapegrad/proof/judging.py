"""What witnesses say of a derivative, set against it: one row each. Floor 10.

A witness disagrees where it is further off than its kind may be. At a kink it has a
choice: any number between the slopes on both sides will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.errors import BranchChanged, DomainError
from tapegrad.proof.differences import Found
from tapegrad.proof.gradientreport import GradientRow
from tapegrad.proof.witnesses import Ask, Direction, Witness

# What a witness may differ by, relative to the derivative: exact ones, differences.
EXACT, ROUGH = 1e-9, 1e-4
# The same where float32 takes part.
EXACT_SINGLE, ROUGH_SINGLE = 1e-3, 1e-2
# Relative distance of neighbouring floats: no tolerance below some of these is met.
SPACING, SPACING_SINGLE = 2.0**-52, 2.0**-23
# Beside the largest derivative, what rounding may leave of one that is 0.
CANCELS = 1e-4


@dataclass(frozen=True, slots=True)
class Limits:
    """What witnesses may differ by.

    Args:
        exact: those that compute the derivative, relative.
        rough: differences, relative.
        noise: beside the largest derivative, what is as good as 0.
    """

    exact: float
    rough: float
    noise: float

    def of(self, name: str) -> float:
        """What one witness may differ by."""
        return self.rough if name == "differences" else self.exact


def limits_of(rtol: float | None, *, single: bool, arrays: bool) -> Limits:
    """The usual limits, or those that are asked for.

    Raises:
        DomainError: floats cannot be that near to each other.
    """
    noise = CANCELS if arrays else 0.0
    exact, rough = (EXACT_SINGLE, ROUGH_SINGLE) if single else (EXACT, ROUGH)
    if rtol is None:
        return Limits(exact, rough, noise)
    spacing = SPACING_SINGLE if single else SPACING
    if not 4 * spacing <= rtol < math.inf:
        msg = (
            f"rtol={rtol!r} cannot be met: two floats of this precision that are not "
            f"equal are {spacing:.1e} apart, relative, and a sweep rounds more than "
            f"once; ask for {4 * spacing:.1e} or more"
        )
        raise DomainError(msg)
    return Limits(rtol, max(rough, rtol), noise)


def asked(ask: Ask, directions: Sequence[Direction]) -> tuple[Witness, str]:
    """A witness's answers; where it takes another way, none, and a word about that."""
    try:
        return ask(directions), ""
    except BranchChanged as problem:
        where = f"{problem.file}:{problem.line}"
        return [None] * len(directions), f"with 50 digits the branch at {where} changes"
    except DomainError as problem:
        return [None] * len(directions), f"with 50 digits: {problem}"


def rows(
    directions: Sequence[Direction],
    bars: Sequence[Any],
    found: Mapping[str, tuple[Witness, str]],
    said: Mapping[str, Found],
    limits: Limits,
    size: float,
) -> Iterator[GradientRow]:
    """A row for each direction.

    Args:
        directions: along which.
        bars: the adjoints that are checked.
        found: by witness, its answers and a word about them.
        said: by direction, what differences said.
        limits: what witnesses may differ by.
        size: the largest derivative among them all.
    """
    for place, direction in enumerate(directions):
        answers = {name: answers[place] for name, (answers, _) in found.items()}
        words = [text for _, text in found.values()]
        swept, differences = direction.along(bars), said[direction.label]
        yield _row(direction, swept, answers, differences, words, limits, size)


def _row(
    direction: Direction,
    swept: float,
    answers: dict[str, float | None],
    said: Found,
    words: Sequence[str],
    limits: Limits,
    size: float,
) -> GradientRow:
    # what is small beside the others is noise: to differences, and where sums cancel
    floors = {"differences": 1e-3 * size}
    said = _closer(said, swept, floors["differences"], limits.rough)
    answers["differences"] = said.value
    if said.slopes is not None and not _between(swept, said.slopes):
        answers["differences"] = min(said.slopes, key=lambda slope: abs(slope - swept))
    errors = {
        name: _error(name, swept, x, floors.get(name, limits.noise * size))
        for name, x in answers.items()
        if x is not None and (name == "differences" or not _between(x, said.slopes))
    }
    excess = {name: error / limits.of(name) for name, error in errors.items()}
    worst = max(excess, key=lambda name: excess[name], default="")
    bad = bool(worst) and excess[worst] > 1
    exact = [error for name, error in errors.items() if name != "differences"]
    error = errors[worst] if bad else max(exact, default=0.0)
    notes = [said.note, *words]
    if excess.get("mpmath", 0.0) > 1 and errors["mpmath"] < math.inf:
        notes.append(
            f"rounding: the same sweep with 50 digits is {errors['mpmath']:.1e} away, "
            "so floats meet no smaller tolerance"
        )
    note = "; ".join(filter(None, notes))
    disagrees = worst if bad else ""
    label, name = direction.label, direction.name
    return GradientRow(label, swept, answers, error, disagrees, note, name)


def _closer(said: Found, swept: float, floor: float, limit: float) -> Found:
    """What differences say, at 100 digits where floats know of no such derivative."""
    rough = said.value
    if rough is not None and _error("differences", swept, rough, floor) <= limit:
        return said
    found = said.closer()
    if found is None or (
        rough is not None and _error("differences", found, rough, floor) <= limit
    ):
        return said
    return Found(found, "floats are too coarse for differences: these have 100 digits")


def _between(x: float, slopes: tuple[float, float] | None) -> bool:
    """Whether a number lies between the slopes of a kink, their noise aside."""
    if slopes is None:
        return False
    low, high = min(slopes), max(slopes)
    slack = 1e-3 * max(abs(low), abs(high))
    return low - slack <= x <= high + slack


def _error(name: str, swept: float, witness: float, floor: float) -> float:
    if swept == witness or (math.isnan(swept) and math.isnan(witness)):
        return 0.0
    if not (math.isfinite(swept) and math.isfinite(witness)):
        return 0.0 if name == "differences" else math.inf
    scale = max(abs(swept), abs(witness), floor, 5e-324)
    return abs(swept - witness) / scale
