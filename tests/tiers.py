"""Tiers against each other, step by step, on very many random tapes.

    python tests/tiers.py --last 100000 [--state FILE] [--processes N] [--show SEED]

A random program's value and gradient are one tape. Native code of it gives every slot,
not its results alone; so each step is judged at the very operands that it had: bit for
bit where it promises that, otherwise within the sum of what both tiers may be off by.
Nothing is weighed by conditioning, so nothing can hide behind it. Points are the
program's own, and others of exact zeros of both signs, infinities, NaN, subnormals and
the largest numbers. Tapes of numbers go through the tape machine, too, and must give
the interpreter's bits.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from randombounds import local_error
from randomtapes import EXACT, program

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.errors import BranchChanged, TapegradError
from tapegrad.native import arraycalls, bound, numbercalls, thunk
from tapegrad.native.arrayentry import array_builtin
from tapegrad.native.entry import builtin
from tapegrad.native.machine.choice import forced
from tapegrad.native.options import Options
from tapegrad.readings import SCALAR
from tapegrad.readings.mixed import MIXED

BLOCK = 50
ODD = (0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, -3e-310, 1.7e308, 1e-160, 1e160)
# Points beside the program's own.
POINTS = 3

Counts = collections.Counter[str]


def judged(seed: int) -> tuple[Counts, list[str]]:
    """What was compared of a random program, and what disagrees."""
    counts: Counts = collections.Counter()
    made = program(seed)
    try:
        tape = tg.record(made, *made.inputs)
        base = sweeps.flat(tape)
        grown = arraycalls.tape_of(base, "gradient")
        whole, run = _native(grown, Options("2" if seed % 8 == 0 else "0"))
    except TapegradError as problem:
        # refused in words: linear algebra in integers, an array of Values, ...
        counts[f"refused: {type(problem).__name__}"] += 1
        return counts, []
    except TypeError as problem:
        if "a NumPy array cannot hold Values" not in str(problem):
            return counts, [f"raised TypeError: {problem}"]
        counts["refused: TypeError"] += 1
        return counts, []
    failures = []
    for inputs in _points(made, seed):
        try:
            failures += _compared(whole, run, inputs, counts)
            if not base.arrays:
                failures += _by_machine(made, tape, inputs, counts)
        except Exception as problem:  # noqa: BLE001 - the seed must be told
            failures.append(f"raised {type(problem).__name__}: {problem}")
    return counts, failures[:3]


def _native(grown: Any, options: Any) -> tuple[Any, Any]:
    """The tape whose outputs are all its slots, and native code of it."""
    given = {*grown.inputs}
    slots = [s for s in range(grown.slot_count) if s not in given]
    whole = dataclasses.replace(grown, outputs=tuple(slots))
    if whole.arrays:
        kernel: Any = arraycalls.build_arrays(lambda: whole, options)
        return whole, array_builtin("all", kernel, thunk.FLAT, _nothing)
    kernel = numbercalls.build(lambda: whole, options)
    return whole, builtin("all", kernel, thunk.FLAT, _nothing)


def _nothing(*_: Any) -> None:
    """No answer: a guard flipped, or linear algebra has none."""


def _points(made: Any, seed: int) -> Iterator[list[Any]]:
    yield made.inputs
    rng = np.random.default_rng([seed, 7])
    for _ in range(POINTS):
        yield [_odd(rng, x) for x in made.inputs]


def _odd(rng: Any, x: Any) -> Any:
    """Some entries of an input replaced by odd ones."""
    array = np.array(x)
    if array.dtype.kind != "f":
        return x
    with np.errstate(all="ignore"):
        odd = rng.choice(ODD, array.shape).astype(array.dtype)
    mixed = np.where(rng.random(array.shape) < 0.4, odd, array)
    if array.shape:
        return mixed
    return float(mixed) if type(x) is float else mixed[()]


def _compared(whole: Any, run: Any, inputs: Any, counts: Counts) -> list[str]:
    """Each slot of native code against the interpreter's."""
    reading = MIXED if whole.arrays else SCALAR
    given = [reading.number(x) for x in inputs]
    try:
        with np.errstate(all="ignore"):
            slots = sweeps.replay(whole, reading, given)
    except BranchChanged:
        counts["branch"] += 1
        return []
    except TapegradError:
        counts["no answer"] += 1
        return []
    exact = [
        bound.exact(x, whole.aval_of(slot))
        for slot, x in zip(whole.inputs, given, strict=True)
    ]
    found = run(*exact)
    if found is None:
        return _silent(whole, counts)
    native = list(slots)
    for slot, y in zip(whole.outputs, found, strict=True):
        native[slot] = y
    return steps_apart(whole, slots, native, counts)


def _silent(whole: Any, counts: Counts) -> list[str]:
    """Native code may leave it to the interpreter where linear algebra is singular."""
    names = set(whole.operations)
    if whole.guards:
        # a guard on the value of a function may flip within the function's ulps
        counts["guard within ulps"] += 1
        return []
    rows = {name for name in names if tg.rules.TABLE[name].kind == "matrix"}
    if rows:
        counts["linear algebra left to the interpreter"] += 1
        return []
    return ["native code has no answer, and the interpreter has one"]


def steps_apart(whole: Any, slots: Any, native: Any, counts: Counts) -> list[str]:
    """Steps whose slots are not what their own operands give."""
    failures = []
    for step in whole:
        row = step.primitive
        if row.name in {"input", "const", "guard"}:
            continue
        counts["steps"] += 1
        ys = [native[i] for i in step.slots]
        if all(_same(native[i], slots[i]) for i in step.slots):
            counts["same bits"] += 1
            continue
        xs = [_typed(native[i], slots[i]) for i in step.operands]
        if all(_same(native[i], slots[i]) for i in step.operands):
            own = [slots[i] for i in step.slots]
        else:
            own = _again(whole, row, xs, step.params)
        if own is None:
            counts["no local answer"] += 1
            continue
        for y, mine in zip(ys, own, strict=True):
            if not _same(y, mine) and not _within(row, y, mine, xs, step.params):
                shown = ", ".join(map(repr, xs))
                failures.append(
                    f"{step.number} {row.name}({shown}; {step.params}) = {y!r} "
                    f"natively, {mine!r} interpreted"
                )
    return failures


def _typed(y: Any, like: Any) -> Any:
    """A native result as the reading's number."""
    if isinstance(like, bool | np.bool_):
        return type(like)(y)
    if isinstance(like, int | np.integer) and not isinstance(y, np.ndarray):
        return type(like)(int(y))
    if isinstance(like, np.ndarray) and np.asarray(y).dtype != like.dtype:
        return np.asarray(y).astype(like.dtype)
    if isinstance(like, np.generic):
        return like.dtype.type(y)
    return y


def _again(whole: Any, row: Any, xs: Any, params: Any) -> list[Any] | None:
    """What the interpreter makes of native operands."""
    reading = MIXED if whole.arrays else SCALAR
    if row.nested:
        return None
    try:
        with np.errstate(all="ignore"):
            made = getattr(reading, row.name)(*xs, **params)
    except (TapegradError, np.linalg.LinAlgError):
        return None
    return list(made) if row.slots > 1 else [made]


def _same(one: Any, other: Any) -> bool:
    """The same numbers, NaN for NaN, and zeros of the same sign."""
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return False
    if a.dtype.kind != "f" or b.dtype.kind != "f":
        return bool(np.array_equal(a.astype(b.dtype), b))
    alike = (a == b) & (np.signbit(a) == np.signbit(b)) | np.isnan(a) & np.isnan(b)
    return bool(alike.all())


def _within(row: Any, y: Any, own: Any, xs: Any, params: Any) -> bool:
    """Whether both may be right: twice what the row may be off by."""
    a, b = np.asarray(y), np.asarray(own)
    if a.shape != b.shape or a.dtype.kind != "f":
        return False
    if row.kind == "matrix" or row.name == "signdet":
        return True  # signs of vectors, conditioning: judged at 50 digits elsewhere
    if row.name == "copysign" and any(np.isnan(x).any() for x in xs):
        return True  # NaN equals NaN: its sign is nobody's promise
    if row.name in EXACT and row.kind != "reduction":
        return False
    with np.errstate(all="ignore"):
        room = np.broadcast_to(2.0 * np.asarray(_room(row, b, xs, params)), a.shape)
        close = np.abs(a - b) <= room
        big = (np.abs(a) > 1e308) & (np.abs(b) > 1e308) & (np.sign(a) == np.sign(b))
    both = np.isnan(a) & np.isnan(b) | (a == b) | big & (room > 0)
    if row.kind in {"reduction", "multilinear"} or row.name in {
        "sum",
        "mean",
        "cumsum",
    }:
        # the order of sums and products is open: one may overflow on its way alone
        both |= ~(np.isfinite(a) & np.isfinite(b))
    return bool((close | both).all())


def _room(row: Any, y: Any, xs: Any, params: Any) -> Any:
    """What the row may be off by; infinities among operands are left out of account."""
    finite = [
        np.where(np.isfinite(x), x, 1.0) if np.asarray(x).dtype.kind == "f" else x
        for x in xs
    ]
    room = local_error(row, np.where(np.isfinite(y), y, 0.0), finite, params)
    if row.name == "prod" and any((np.abs(x) < 1e-290).any() for x in finite):
        return np.inf  # a part of the product may vanish in one order alone
    return room


def _by_machine(made: Any, tape: Any, inputs: Any, counts: Counts) -> list[str]:
    """The tape machine: all slots step by step, then value and gradient.

    They are the interpreter's bits where every row is an exact one; elsewhere C's
    functions may differ in a last digit, and the gradient with them.
    """
    found = []
    for use in (True, False):
        try:
            with forced(use), np.errstate(all="ignore"):
                value, gradient = tape.value_and_gradient(*inputs)
                slots = tape.slots(*inputs)
            found.append(([value, *np.ravel(gradient).tolist()], slots))
        except TapegradError as problem:
            found.append(([str(problem)], None))
    counts["machine"] += 1
    (one, mine), (other, slots) = found
    if mine is None or slots is None:
        if mine is slots and one == other:
            return []
        # a guard on the value of a function may flip within the function's ulps
        return [] if tape.guards else [f"the machine says {one}, not {other}"]
    apart = steps_apart(sweeps.flat(tape), slots, mine, collections.Counter())
    if made.flavour == "exact" or all(map(_same, one, other)):
        close = all(map(_same, one, other))
    else:
        close = _near(np.array(one, float), np.array(other, float))
    if not close:
        apart.append(f"the machine gives {one}, the interpreter {other}")
    return apart


def _near(one: Any, other: Any) -> bool:
    """Six digits of the largest; steps are judged closer, by themselves."""
    finite = np.isfinite(one) & np.isfinite(other)
    if not finite.all():
        return True  # an overflow on the way, of one alone
    scale = np.max(np.abs(other), initial=1e-300)
    return bool(np.max(np.abs(one - other), initial=0.0) <= 1e-6 * scale)


# -- very many ------------------------------------------------------------------------


def _block(start: int, stop: int) -> tuple[int, dict[str, int], list[Any]]:
    total: Counts = collections.Counter()
    failures = []
    for seed in range(start, min(start + BLOCK, stop)):
        counts, wrong = judged(seed)
        counts["tapes"] += 1
        total += counts
        failures += [(seed, words) for words in wrong]
    return start, dict(total), failures


def run(
    first: int, last: int, state: Path | None = None, processes: int = 1
) -> tuple[Counts, list[Any]]:
    """Judge a range of seeds; blocks that a state holds are not judged again."""
    total: Counts = collections.Counter()
    failures: list[Any] = []
    done = set()
    if state is not None and state.exists():
        for line in state.read_text(encoding="utf-8").splitlines():
            try:
                start, counts, wrong = json.loads(line)
            except ValueError:
                continue  # the run was stopped in the middle of a line
            if first <= start < last:
                done.add(start)
                total.update(counts)
                failures += wrong
    starts = [start for start in range(first, last, BLOCK) if start not in done]
    work = functools.partial(_block, stop=last)
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=40) as pool:
        began = time.monotonic()
        for number, found in enumerate(pool.imap_unordered(work, starts), 1):
            start, counts, wrong = found
            total.update(counts)
            failures += wrong
            if state is not None:
                with state.open("a", encoding="utf-8") as file:
                    file.write(json.dumps([start, counts, wrong]) + "\n")
            for seed, words in wrong:
                sys.stdout.write(f"seed {seed}: {words}\n"[:800])
            if number % 20 == 0:
                rate = (time.monotonic() - began) / (number * BLOCK) * 1e3
                sys.stdout.write(f"{number * BLOCK} more, {rate:.0f} ms each\n")
            sys.stdout.flush()
    return total, failures


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--last", type=int, default=100_000)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--show", type=int, help="one seed")
    given = parser.parse_args()
    if given.show is not None:
        sys.stdout.write(f"{program(given.show)}\n{judged(given.show)}\n")
        return 0
    total, failures = run(given.first, given.last, given.state, given.processes)
    sys.stdout.write(f"{dict(total)}\n{len(failures)} disagreements\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
