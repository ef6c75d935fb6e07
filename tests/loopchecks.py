"""What is judged on a share of the random loop programs: files, tiers, other modes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from loopwords import ODD

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.errors import BranchChanged, TapegradError
from tapegrad.jacobians import zero_of
from tapegrad.native.machine.choice import forced
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.differing import difference
from tapegrad.tape.tape import Tape

if TYPE_CHECKING:
    from loopwords import LoopProgram

# What counts as a loop in these checks: programs are short, so that very many run.
SIZES = {"trips": 2, "steps": 4}
# Programs that get a check: one in so many.
SHARES = {
    "unrolled": 1,
    "forward": 13,
    "again": 7,
    "file": 17,
    "few": 11,
    "rows": 17,
    "lanes": 23,
    "simple": 13,
    "machine": 19,
    "native": 101,
}


def leaves_of(inputs: Any) -> list[Any]:
    """The numbers of arguments, one a tape's input."""
    found: list[Any] = []
    for x in inputs:
        found += x if isinstance(x, list) else [x]
    return found


def points(made: LoopProgram, rng: Any) -> Iterator[tuple[str, Any]]:
    """The point of the recording, one near it, and one of odd numbers."""
    yield "at the recorded point", made.inputs
    yield "at another point", [_moved(rng, x, 0.05) for x in made.inputs]
    yield "at an odd point", [_moved(rng, x, 0.0, odd=0.15) for x in made.inputs]


def _moved(rng: Any, x: Any, by: float, odd: float = 0.0) -> Any:
    if isinstance(x, list):
        return _moved(rng, np.array(x), by, odd).tolist()
    found = np.array(x) * (1.0 + by * rng.normal(size=np.shape(x)))
    picked = rng.random(found.shape) < odd
    found = np.where(picked, rng.choice(ODD, found.shape), found)
    return found.astype(np.asarray(x).dtype) if found.shape else float(found)


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
            zero_of(base, m, slot) if bars[slot] is None else bars[slot]
            for slot in base.inputs
        ],
    )


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


def unrolled(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Written out again, it is the tape that was recorded.

    Where a constant, or an entry that is read, stands among the other steps is not
    kept, nor a constant that nothing reads: what is computed of what, and in which
    order, is.
    """
    again = rolled.unrolled()
    if again == tape:
        return []
    if computed(again) != computed(tape):
        return [f"two tapes {difference(tape, again)}"]
    inputs = leaves_of(made.inputs)
    seeds = [1.0 if not tape.aval_of(slot)[0] else None for slot in tape.outputs]
    one, other = (interpreted(t, inputs, seeds) for t in (tape, again))
    if isinstance(one, BranchChanged):
        return []
    same = [*map(bits, one[0] + one[1])] == [*map(bits, other[0] + other[1])]
    return [] if same else ["other adjoints"]


def computed(tape: Tape) -> list[int]:
    """What each step computes, in order, and the outputs; of entries their number."""
    made: dict[int, int] = {}
    found = []
    entries = 0
    for step in tape:
        name, operands = step.primitive.name, tuple(made[i] for i in step.operands)
        if name == "input":
            operands = (step.number,)
        params = tuple((key, _content(x)) for key, x in sorted(step.params.items()))
        code = hash((name, operands, params))
        made.update(
            (slot, hash((code, slot - step.slots.start))) for slot in step.slots
        )
        if name not in {"const", "index", "input"}:
            found.append(code)
        entries += name == "index"
    return [*found, entries] + [made[slot] for slot in tape.outputs]


def _content(x: Any) -> Any:
    """A parameter as it counts: of a guard its place, too."""
    if hasattr(x, "outcome"):
        return x.outcome, x.file, x.line
    return bits(x) if isinstance(x, float | np.ndarray | np.generic) else x


def forward(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Forward mode, and Hessian-vector products, to tight tolerance."""
    rng = np.random.default_rng([made.seed, 22])
    dots = tuple(_direction(rng, x) for x in made.inputs)
    one, other = (flat_numbers(t.jvp(made.inputs, dots)) for t in (tape, rolled))
    failures = []
    if not near(other, one, 1e-12):
        failures.append(f"jvp: {other} rolled, {one} unrolled")
    if len(tape.outputs) == 1 and not tape.aval_of(tape.outputs[0])[0]:
        one, other = (flat_numbers(t.hvp(made.inputs, dots)) for t in (tape, rolled))
        if not near(other, one, 1e-9):
            failures.append(f"hvp: {other} rolled, {one} unrolled")
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
    return [] if same else [f"adjoint tape: {found[1]} rolled, {found[0]} unrolled"]


def file(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """A file of it is it."""
    del made, tape
    read = tg.from_bytes(rolled.to_bytes())
    return [] if read == rolled else ["another tape in the file"]


def few(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Few carries are kept, and the others computed again: the same bits."""
    del rolled
    fewer = tape.rolled(**SIZES, checkpoint=2)
    inputs = leaves_of(made.inputs)
    seeds = [1.0 if not tape.aval_of(slot)[0] else None for slot in tape.outputs]
    one, other = (interpreted(t, inputs, seeds) for t in (tape, fewer))
    if isinstance(one, BranchChanged):
        return []
    same = [*map(bits, one[0] + one[1])] == [*map(bits, other[0] + other[1])]
    return [] if same else [f"checkpoints: {other} and {one} unrolled"]


def rows(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Jacobians, output by output."""
    one, other = (flat_numbers(t.jacobian(*made.inputs)) for t in (tape, rolled))
    alike = np.array_equal(np.isnan(one), np.isnan(other)) and near(other, one, 1e-12)
    return [] if alike else [f"jacobian: {other} rolled, {one} unrolled"]


def lanes(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Many points at once."""
    if tape.guards:
        return []
    given = [
        [np.array([y, y]) for y in x] if isinstance(x, list) else np.stack([x, x])
        for x in made.inputs
    ]
    one, other = (flat_numbers(tg.vmap(t)(*given)) for t in (tape, rolled))
    return [] if near(other, one, 1e-12) else [f"vmap: {other} and {one} unrolled"]


def simple(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """Simplified, it has the same values."""
    less = rolled.simplify()
    less.check()
    inputs, seeds = leaves_of(made.inputs), [None] * len(tape.outputs)
    one, other = (interpreted(t, inputs, seeds) for t in (tape, less))
    if isinstance(one, BranchChanged):
        return []
    same = [*map(bits, one[0])] == [*map(bits, other[0])]
    return [] if same else [f"simplified: {other[0]} and {one[0]} unrolled"]


def machine(made: LoopProgram, tape: Tape, rolled: Tape) -> list[str]:
    """The tape machine, and NumPy's sweeps in bulk, by the public names."""
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
    """Compiled code of the rolled tape, at other points, too."""
    if len(tape.outputs) != 1 or tape.aval_of(tape.outputs[0])[0]:
        return []
    compiled = rolled.compile(level=2 if made.seed % 2 else 0)
    failures = []
    for name, inputs in points(made, np.random.default_rng([made.seed, 23])):
        one, other = _called(tape, inputs), _called(compiled, inputs)
        failures += _judge(made, f"native code {name}", one, other)
    return failures


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
        told = [(getattr(x, "file", ""), getattr(x, "line", 0)) for x in (one, other)]
        fine = (all(flips) and told[0] == told[1]) or made.flavour != "exact"
        return [] if fine else [f"{name}: {other!r}, and {one!r}"]
    exact = made.flavour == "exact"
    # the sign of a zero that nothing reaches is nobody's promise
    same = bits(one + 0.0) == bits(other + 0.0) if exact else near(other, one, 1e-6)
    return [] if same else [f"{name}: {other}, and {one} unrolled"]


CHECKS = {
    "unrolled": unrolled,
    "forward": forward,
    "again": again,
    "file": file,
    "few": few,
    "rows": rows,
    "lanes": lanes,
    "simple": simple,
    "machine": machine,
    "native": native,
}
