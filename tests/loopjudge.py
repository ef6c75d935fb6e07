"""The judge of random loop programs: a rolled tape is the unrolled one, bit for bit.

Which checks a seed gets hangs on the seed: what is cheap on all, the tiers and files on
a share.
"""

from __future__ import annotations

import collections
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from loopsource import program
from loopwords import ODD, LoopProgram

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.errors import BranchChanged, TapegradError
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.tape import Tape

Counts = collections.Counter[str]
# The number of a loop's iterations from which on it is rolled, in these checks.
LEAST = 2
# Programs that get a check: one in so many.
SHARES = {"forward": 7, "again": 5, "file": 11, "machine": 9, "native": 61}


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
    return tape.rolled(least=LEAST)


def _judged(made: LoopProgram, counts: Counts, *, whole: bool) -> list[str]:
    tape = recorded(made)
    rolled = rolled_of(tape)
    tape.check()
    rolled.check()
    _tally(made, tape, rolled, counts)
    failures = []
    rng = np.random.default_rng([made.seed, 21])
    for name, inputs in _points(made, rng):
        wrong = compared(tape, rolled, leaves_of(inputs), rng, counts)
        failures += [f"{words} at {name}" for words in wrong]
    if (again := rolled.unrolled()) != tape:
        failures.append(f"written out again: {apart(tape, again)}")
    for name, share in SHARES.items():
        if whole or made.seed % share == 0:
            counts[f"check {name}"] += 1
            failures += CHECKS[name](made, tape, rolled)
    return failures


def leaves_of(inputs: Any) -> list[Any]:
    """The numbers of arguments, one a tape's input."""
    found: list[Any] = []
    for x in inputs:
        found += x if isinstance(x, list) else [x]
    return found


def _points(made: LoopProgram, rng: Any) -> Iterator[tuple[str, Any]]:
    """The point of the recording, one near it, and one of odd numbers."""
    yield "the recorded point", made.inputs
    yield "another point", [_moved(rng, x, 0.05) for x in made.inputs]
    yield "an odd point", [_moved(rng, x, 0.0, odd=0.15) for x in made.inputs]


def _moved(rng: Any, x: Any, by: float, odd: float = 0.0) -> Any:
    if isinstance(x, list):
        return _moved(rng, np.array(x), by, odd).tolist()
    found = np.array(x) * (1.0 + by * rng.normal(size=np.shape(x)))
    picked = rng.random(found.shape) < odd
    found = np.where(picked, rng.choice(ODD, found.shape), found)
    return found if found.shape else float(found)


# -- loops that were found -------------------------------------------------------------


def loops(tape: Tape, depth: int = 1) -> Iterator[tuple[int, Any]]:
    """The loops of a tape, with their depth."""
    for step in tape:
        if step.primitive.name == "scan":
            yield depth, step.params
            yield from loops(step.params["tape"], depth + 1)


def _tally(made: LoopProgram, tape: Tape, rolled: Tape, counts: Counts) -> None:
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


def bits(x: Any) -> bytes:
    """A number or an array; all NaN are one."""
    array = np.asarray(x)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.nan, array)
    return array.dtype.str.encode() + repr(array.shape).encode() + array.tobytes()


def interpreted(tape: Tape, inputs: Any, seeds: Any) -> Any:
    """Outputs and input adjoints by the plain sweeps; what a flipped guard tells."""
    base = sweeps.flat(tape)
    m: Any = MIXED if base.arrays else SCALAR
    given = [m.number(x) for x in inputs]
    try:
        values = sweeps.replay(base, m, given)
    except BranchChanged as flipped:
        return flipped
    bars = sweeps.adjoint(base, m, values, sweeps.summed(base.outputs, seeds))
    return (
        [values[slot] for slot in base.outputs],
        [
            np.zeros(np.shape(x)) if bars[slot] is None else bars[slot]
            for slot, x in zip(base.inputs, given, strict=True)
        ],
    )


def seeds_of(tape: Tape, rng: Any) -> list[Any]:
    """An adjoint for every output; not every output has one."""
    found: list[Any] = []
    for slot in tape.outputs:
        shape, _ = tape.aval_of(slot)
        seed = np.round(rng.normal(size=shape), 2)
        found.append(seed if shape else float(seed))
    if len(found) == 1:
        return [1.0 if not np.shape(found[0]) else found[0]]
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
                failures.append(f"{what} {place} is {z!r} rolled, {y!r} unrolled")
    return failures[:2]


def _flip(found: Any) -> Any:
    """What a flipped guard tells."""
    if not isinstance(found, BranchChanged):
        return "none"
    told = tuple(map(bits, found.operands))
    return found.file, found.line, found.recorded, told


def apart(tape: Tape, again: Tape) -> str:
    """How a tape that was rolled and written out again differs."""
    from tapegrad.tape.differing import difference

    return difference(tape, again)


# -- checks of a share -----------------------------------------------------------------


def near(one: Any, other: Any, digits: float) -> bool:
    """Equal to some digits of the largest; where one is not finite, neither is."""
    a, b = np.asarray(one, float).ravel(), np.asarray(other, float).ravel()
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a) & np.isfinite(b)
    scale = np.max(np.abs(b[finite]), initial=1e-300)
    apart = np.max(np.abs(a - b)[finite], initial=0.0)
    return bool(apart <= digits * scale)


def flat_numbers(found: Any) -> Any:
    """All numbers of nested results."""
    if isinstance(found, tuple | list):
        parts = [flat_numbers(x) for x in found]
        return np.concatenate(parts) if parts else np.zeros(0)
    return np.ravel(np.asarray(found, float))


def forward(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Forward mode, and Hessian-vector products, to tight tolerance."""
    rng = np.random.default_rng([made.seed, 22])
    dots = tuple(_direction(rng, x) for x in made.inputs)
    one, other = (flat_numbers(t.jvp(made.inputs, dots)) for t in (tape, rolled))
    failures = []
    if not near(other, one, 1e-12):
        failures.append(f"jvp {other} rolled, {one} unrolled")
    if len(tape.outputs) == 1 and not tape.aval_of(tape.outputs[0])[0]:
        one, other = (flat_numbers(t.hvp(made.inputs, dots)) for t in (tape, rolled))
        if not near(other, one, 1e-9):
            failures.append(f"hvp {other} rolled, {one} unrolled")
    return failures


def _direction(rng: Any, x: Any) -> Any:
    if isinstance(x, list):
        return [_direction(rng, entry) for entry in x]
    made = rng.normal(size=np.shape(x))
    return made if np.shape(x) else float(made)


def again(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """The gradient's tape: the bits of the sweep's gradient."""
    del made
    if len(tape.outputs) != 1 or tape.aval_of(tape.outputs[0])[0]:
        return []
    inputs = [tape.example[place] for place in range(len(tape.inputs))]
    found = []
    for one in (tape, rolled):
        grown = one.adjoint_tape()
        grown.check()
        found.append(interpreted(grown, inputs, [None] * len(grown.outputs))[0])
    same = list(map(bits, found[0])) == list(map(bits, found[1]))
    return [] if same else [f"adjoint tape {found[1]} rolled, {found[0]} unrolled"]


def file(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """A file of it is it."""
    del made, tape
    read = tg.from_bytes(rolled.to_bytes())
    return [] if read == rolled else ["another tape in the file"]


def machine(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """The tape machine, and NumPy's sweeps in bulk, by the public names."""
    from tapegrad.native.machine.choice import forced

    if len(tape.outputs) != 1 or tape.aval_of(tape.outputs[0])[0]:
        return []
    failures = []
    for use in (True, False):
        with forced(use):
            one, other = (_called(t, made.inputs) for t in (tape, rolled))
        name = "machine" if use else "public names"
        failures += _judge(made, name, one, other)
    return failures


def native(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Compiled code of the rolled tape."""
    if len(tape.outputs) != 1 or tape.aval_of(tape.outputs[0])[0]:
        return []
    compiled = rolled.compile(level=0)
    one, other = _called(tape, made.inputs), _called(compiled, made.inputs)
    return _judge(made, "native code", one, other)


def _called(f: Any, inputs: Any) -> Any:
    try:
        value, gradient = f.value_and_gradient(*inputs)
    except BranchChanged as flipped:
        return flipped
    return flat_numbers([value, *(gradient if len(inputs) > 1 else [gradient])])


def _judge(made: LoopProgram, name: str, one: Any, other: Any) -> list[str]:
    """The same bits for exact rows; else close, and guards may flip within ulps."""
    flips = [isinstance(x, TapegradError) for x in (one, other)]
    if any(flips):
        fine = flips[0] is flips[1] or made.flavour != "exact"
        return [] if fine else [f"{name}: {other!r}, and {one!r}"]
    exact = made.flavour == "exact"
    # the sign of a zero that nothing reaches is nobody's promise
    same = bits(one + 0.0) == bits(other + 0.0) if exact else near(other, one, 1e-6)
    return [] if same else [f"{name}: {other}, and {one} unrolled"]


CHECKS = {
    "forward": forward,
    "again": again,
    "file": file,
    "machine": machine,
    "native": native,
}
