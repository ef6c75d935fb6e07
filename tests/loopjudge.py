"""The judge of random loop programs: a rolled tape is the unrolled one, bit for bit.

Which checks a seed gets hangs on the seed: what is cheap on all, the tiers and files on
a share.
"""

from __future__ import annotations

import collections
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from loopchecks import CHECKS, SHARES, SIZES, bits, interpreted, leaves_of, points
from loopsource import program

import tapegrad as tg
from tapegrad.errors import BranchChanged
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    from loopwords import LoopProgram

Counts = collections.Counter[str]


def judged(seed: int, *, whole: bool = False) -> tuple[Counts, list[str]]:
    """What was compared of a random program, and what disagrees.

    Args:
        seed: the program.
        whole: all checks, whatever the seed.
    """
    return judged_program(program(seed), whole=whole)


def judged_program(
    made: LoopProgram, *, whole: bool = False
) -> tuple[Counts, list[str]]:
    """A program's counts and disagreements; see `judged`."""
    counts: Counts = collections.Counter(programs=1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return counts, _judged(made, counts, whole=whole)
        except Exception as problem:  # noqa: BLE001 - the seed must be told
            return counts, [f"raised {type(problem).__name__}: {problem}"]


def recorded(made: LoopProgram) -> Tape:
    """The tape of a program as its loops were run."""
    plainly = (
        {"roll": False} if "roll" in inspect.signature(tg.record).parameters else {}
    )
    return tg.record(made.function(), *made.inputs, **plainly)


def rolled_of(tape: Tape) -> Tape:
    """The tape with its loops."""
    return tape.rolled(**SIZES)


def _judged(made: LoopProgram, counts: Counts, *, whole: bool) -> list[str]:
    tape = recorded(made)
    tape.check()
    rolled = rolled_of(tape)
    tally(made, tape, rolled, counts)
    failures = _tried("check", rolled.check)
    rng = np.random.default_rng([made.seed, 21])
    for name, inputs in points(made, rng):
        leaves = leaves_of(inputs)
        failures += _tried(name, compared, tape, rolled, leaves, rng, counts)
    for name, share in SHARES.items():
        if whole or made.seed % share == 0:
            counts[f"check {name}"] += 1
            failures += _tried(name, CHECKS[name], made, tape, rolled)
    return failures


def _tried(name: str, check: Callable[..., Any], *given: Any) -> list[str]:
    """What a check finds; an error of its own does not hide the other checks."""
    try:
        return [f"{name}: {words}" for words in check(*given) or []]
    except Exception as problem:  # noqa: BLE001 - the seed must be told
        return [f"{name}: raised {type(problem).__name__}: {problem}"]


# -- loops that were found -------------------------------------------------------------


def loops(tape: Tape, depth: int = 1) -> Iterator[tuple[int, Any]]:
    """The loops of a tape, with their depth."""
    for step in tape:
        if step.primitive.name == "scan":
            yield depth, step.params
            yield from loops(step.params["tape"], depth + 1)


def tally(made: LoopProgram, tape: Tape, rolled: Tape, counts: Counts) -> None:
    counts["steps"] += len(tape)
    counts["steps when rolled"] += len(rolled)
    found = list(loops(rolled))
    counts["rolled"] += bool(found)
    counts[f"flavour {made.flavour}"] += 1
    for depth, params in found:
        counts["loops"] += 1
        counts[f"loops at depth {depth}"] += 1
        counts["iterations"] += params["length"]
        body = params["tape"]
        counts["loops with a carry"] += params["carry"] > 0
        counts["loops with ys"] += len(body.outputs) > params["carry"]
        counts["loops with constants"] += (
            len(body.inputs) > params["carry"] + params["xs"]
        )
        counts["loops with guards"] += bool(body.guards)
    for trait in made.traits:
        counts[f"wrote {trait}"] += 1
        counts[f"rolled {trait}"] += bool(found)


# -- value and gradient in the interpreter ---------------------------------------------


def seeds_of(tape: Tape, rng: Any) -> list[Any]:
    """An adjoint for every output; not every output has one."""
    found: list[Any] = []
    for slot in tape.outputs:
        shape, dtype = tape.aval_of(slot)
        seed = np.round(rng.normal(size=shape), 2)
        if dtype == "float32":
            found.append(np.float32(seed))
        else:
            found.append(seed if shape else float(seed))
    if len(found) == 1:
        return [found[0] if np.shape(found[0]) else type(found[0])(1)]
    return [None if rng.random() < 0.2 else seed for seed in found]


def compared(
    tape: Tape, rolled: Tape, inputs: Any, rng: Any, counts: Counts
) -> list[str]:
    """Both tapes at a point."""
    seeds = seeds_of(tape, rng)
    one = interpreted(tape, inputs, seeds)
    other = interpreted(rolled, inputs, seeds)
    counts["points"] += 1
    if isinstance(one, BranchChanged) or isinstance(other, BranchChanged):
        counts["flipped guards"] += 1
        mine, its = _flip(one), _flip(other)
        return [] if mine == its else [f"a guard: {its} rolled, {mine} unrolled"]
    failures = []
    for what, ys, zs in zip(("value", "adjoint"), one, other, strict=True):
        counts[f"{what}s"] += len(ys)
        for place, (y, z) in enumerate(zip(ys, zs, strict=True)):
            if bits(y) != bits(z):
                sort = f"{_sort(y, z)}{what} {place}"
                failures.append(f"{sort} is {z!r} rolled, {y!r} unrolled")
    return failures[:2]


def _sort(y: Any, z: Any) -> str:
    """What of two numbers differs: signs of zeros, or that one is NaN alone."""
    if bits(y + 0.0) == bits(z + 0.0):
        return "zero of "
    both = np.isnan(y) | np.isnan(z)
    return "NaN of " if bits(np.where(both, 0, y)) == bits(np.where(both, 0, z)) else ""


def _flip(found: Any) -> Any:
    """What a flipped guard tells."""
    if not isinstance(found, BranchChanged):
        return "none"
    told = tuple(map(bits, found.operands))
    return found.file, found.line, found.recorded, told
