"""The checks of a random program: `judged` makes them all.

At 50 digits, where rounding plays no part: reverse, forward, the adjoint tape and the
tangent tape agree, the derivative is what differences of the value say, and the second
derivative what differences of the gradient say. In floats every tier is held to the
exact result within a bound by conditioning (`randombounds`), and to the last bit where
all rows are exact ones.
"""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
from randombounds import BIG, MARGIN, distance, exact_entries
from randomdifferences import differences, second_order
from randomjudge import Judge, Verdict

import tapegrad as tg
from tapegrad import bulk, sweeps
from tapegrad.errors import BranchChanged
from tapegrad.native.machine.choice import forced
from tapegrad.readings import FLOAT32
from tapegrad.readings.mixed import MIXED

mpf, nstr, isfinite = BIG.ctx.mpf, BIG.ctx.nstr, BIG.ctx.isfinite
# Dear checks are made of one program in so many.
NATIVE, SECOND, SEVERAL, SAVED, SINGLE, TANGENT, DIFFERENCES = 24, 6, 6, 3, 3, 2, 2


def judged(program: Any, turn: int = 0) -> Verdict:
    """The checks of a program. An error that is raised is a failure, too.

    Args:
        program: the program.
        turn: which of the dearer checks are made; 0 makes them all.
    """
    try:
        judge = Judge(program)
        judge.base.check()
        if judge.forks:  # there is nothing to hold the floats to
            judge.count("kink: branch")
            return judge.verdict
        many_digits(judge, turn)
        floats(judge, turn)
    except Exception as problem:  # noqa: BLE001 - whatever it is, the seed must be told
        verdict = Verdict()
        kind = type(problem).__name__
        if "a NumPy array cannot hold Values" in str(problem):
            # a program that writes one into a plain array, which is refused in words
            verdict.counts["refused"] += 1
            return verdict
        verdict.failures.append(f"raised: {kind}: {problem}")
        return verdict
    return judge.verdict


# -- 50 digits -----------------------------------------------------------------------


def many_digits(judge: Judge, turn: int) -> None:
    """Reverse, forward, tapes of derivatives and differences, at 50 digits."""
    tape, inputs = judge.tape, judge.inputs
    value, gradient = tape.value_and_gradient(*inputs, arithmetic=BIG.name)
    flat = exact_entries(np.asarray(value, object)[()])
    for bar in judge.listed(gradient):
        flat += exact_entries(bar)
    for place, (a, b) in enumerate(zip(flat, judge.answers, strict=True)):
        name = "50 digits: sweep, tape" if place else "50 digits: value"
        judge.sharp(name, a, b, judge.size(place))
    _, dot = tape.jvp(tuple(inputs), tuple(judge.direction), arithmetic=BIG.name)
    slope = judge.slope = mpf(getattr(dot, "value", dot))
    terms = [a * mpf(d) for a, d in zip(judge.answers[1:], judge.dots, strict=True)]
    if not all(map(isfinite, terms)):  # 0 * inf: forward mode has no structural zeros
        return
    if BIG.ctx.isnan(slope) and judge.poles:
        judge.count("pole: 50 digits: forward")  # an entry that does not move, 0 * inf
        return
    size = BIG.ctx.fsum(map(abs, terms))
    size += sum(judge.size(1 + i) * abs(mpf(d)) for i, d in enumerate(judge.dots))
    judge.sharp("50 digits: forward, reverse", slope, BIG.ctx.fsum(terms), size)
    if turn % DIFFERENCES == 0:
        differences(judge, slope, size)
    if turn % SECOND == 0:
        second_order(judge)
    if turn % SEVERAL == 0:
        several(judge)


def several(judge: Judge) -> None:
    """Many outputs: weights times tangents are adjoints times direction."""
    tape = tg.record(judge.program.several, *judge.inputs)
    inputs, dots = tuple(judge.inputs), tuple(judge.direction)
    weights = []
    for slot in tape.outputs:
        shape, dtype = tape.aval_of(slot)
        weight = np.asarray(np.round(judge.rng.normal(size=shape), 2))
        weights.append(weight.astype(dtype))  # as cotangents are
    _, tangents = tape.jvp(inputs, dots, arithmetic=BIG.name)
    _, bars = tape.vjp(inputs, weights, arithmetic=BIG.name)
    left = [
        mpf(w) * x
        for weight, dot in zip(weights, tangents, strict=True)
        for w, x in zip(np.ravel(weight).tolist(), exact_entries(dot), strict=True)
    ]
    right = [
        mpf(d) * x
        for d, x in zip(
            judge.dots,
            [x for bar in judge.listed(bars) for x in exact_entries(bar)],
            strict=True,
        )
    ]
    if not all(map(isfinite, (*left, *right))):
        return
    size = BIG.ctx.fsum(map(abs, (*left, *right))) + judge.size(0)
    judge.sharp(
        "50 digits: several outputs", BIG.ctx.fsum(left), BIG.ctx.fsum(right), size
    )


# -- tiers of floats -----------------------------------------------------------------


def floats(judge: Judge, turn: int) -> None:
    """Every tier of floats, held to the exact result."""
    tape, inputs = judge.tape, judge.inputs
    first = [judge.floats[slot] for slot in judge.whole.outputs]
    judge.within("adjoint tape", first)  # the others are measured by it
    value, gradient = tape.value_and_gradient(*inputs)
    swept = [value, *judge.listed(gradient)]
    judge.within("reverse", swept)
    judge.bits("reverse", swept, first)
    if not any(line.name == "slope_around" for line in judge.program.lines):
        # a derivative inside would capture an eager Value, which is refused
        eager = eagerly(judge)
        judge.within("eager", eager)
        judge.bits("eager", eager, swept)
    forward(judge, turn)
    if not judge.base.arrays:
        lined = in_bulk(judge)
        judge.within("bulk", lined)
        judge.bits("bulk", lined, swept)
        found = by_the_machine(judge)
        judge.within("machine", found)
        judge.bits("machine", found, swept)
    if turn % NATIVE == 0:
        compiled = tape.compile()
        value, gradient = compiled.value_and_gradient(*inputs)
        found = [value, *judge.listed(gradient)]
        judge.within("native", found)
        judge.bits("native", found, swept)
        alone = [compiled(*inputs), *judge.listed(compiled.gradient(*inputs))]
        judge.within("native value", alone)
    if turn % SINGLE == 0:
        single(judge)
    if turn % SAVED == 0:
        saved(judge, swept)
        simplified(judge, swept)


def forward(judge: Judge, turn: int) -> None:
    """Forward mode beside reverse, in floats."""
    inputs, dots = tuple(judge.inputs), tuple(judge.direction)
    ways = {"forward": judge.tape.jvp(inputs, dots)[1]}
    if turn % TANGENT == 0:
        tape = judge.tape.tangent_tape()
        with np.errstate(all="ignore"):
            ways["tangent tape"] = tape(*inputs, *dots)
        judge.bits("tangent tape", [ways["tangent tape"]], [ways["forward"]])
    bound = 2 * MARGIN * judge.bound.of(judge.seeds([0.0, *judge.dots]))
    terms = sum(abs(a * d) for a, d in zip(judge.answers[1:], judge.dots, strict=True))
    if not (math.isfinite(bound) and isfinite(terms)):
        return
    terms += tangents_on_the_way(judge)
    room = bound + float(terms) * 2.0**-50 * (1 + len(judge.dots))
    for name, one in ways.items():
        judge.count(name)
        if distance(one, judge.slope) > room:
            words = f"{one!r}, not {nstr(judge.slope, 20)}, {room:.3g} allowed"
            alone = not judge.off(judge.first, np.array([0.0, *judge.dots]), room)
            judge.miss_of_tier(name, words, alone=alone)


def tangents_on_the_way(judge: Judge) -> float:
    """The sizes of all terms adjoint times tangent: they may cancel in forward mode."""
    base, inputs = judge.base, judge.inputs
    slots = judge.replayed(base, MIXED, inputs)
    given = {base.inputs[i]: judge.direction[i] for i in judge.free}
    with np.errstate(all="ignore"):
        bars = sweeps.adjoint(base, MIXED, slots, {base.outputs[0]: 1.0})
        dots = sweeps.tangent(base, MIXED, slots, given)
        sizes = [
            float(np.sum(np.abs(np.asarray(bar) * np.asarray(dot))))
            for bar, dot in zip(bars, dots, strict=True)
            if bar is not None and dot is not None
        ]
    return sum(size for size in sizes if math.isfinite(size))


def eagerly(judge: Judge) -> list[Any]:
    """Value and gradient of the program run on Values."""
    leaves = [
        tg.Value(x) if np.asarray(x).dtype.kind == "f" else x for x in judge.inputs
    ]
    with np.errstate(all="ignore"):
        y = judge.program(*leaves)
    if isinstance(y, tg.Value):
        y.backward()
        y = y.data
    shapes = [np.shape(x) for x in judge.inputs]
    return [y, *(leaves[i].grad + np.zeros(shapes[i]) for i in judge.free)]


def in_bulk(judge: Judge) -> list[Any]:
    """The sweep of scalars with all partials of one operation at once."""
    base = judge.base
    slots = judge.replayed(base, MIXED, judge.inputs)
    with np.errstate(all="ignore"):
        lines = bulk.lines_of_tape(base, np.array(slots, dtype=float))
        bars, _ = bulk.adjoint(lines, {base.outputs[0]: 1.0})
    return [slots[base.outputs[0]], *(bars[i] for i in base.inputs)]


def by_the_machine(judge: Judge) -> list[Any]:
    """Replay and sweep by the native machine."""
    with forced(True):
        value, gradient = judge.tape.value_and_gradient(*judge.inputs)
    return [value, *judge.listed(gradient)]


def single(judge: Judge) -> None:
    """All arithmetic in single precision, where it decides as 50 digits do."""
    inputs = judge.inputs
    if judge.excuse:
        return
    try:
        slots = judge.replayed(judge.whole, FLOAT32, inputs)
        value, gradient = judge.tape.value_and_gradient(*inputs, arithmetic="float32")
    except BranchChanged:
        return
    coarse, fine = (judge.conditions(judge.whole, x) for x in (slots, judge.exact))
    if coarse != fine or not judge.moderate(slots):
        return
    found = [value, *judge.listed(gradient)]
    judge.within("float32", found, single=True)


def saved(judge: Judge, swept: list[Any]) -> None:
    """The tape after a file and a pickle: the same content, the same bits."""
    judge.count("saved")
    kept = judge.tape.to_bytes()
    again = tg.from_bytes(kept)
    twin = pickle.loads(pickle.dumps(judge.tape))
    value, gradient = again.value_and_gradient(*judge.inputs)
    for a, b in zip(swept, [value, *judge.listed(gradient)], strict=True):
        if not np.array_equal(a, b, equal_nan=True):
            judge.wrong("saved", f"{b!r} after a file, not {a!r}")
            return
    if again != judge.tape or twin != judge.tape or again.to_bytes() != kept:
        judge.wrong("saved", "another tape came back")


def simplified(judge: Judge, swept: list[Any]) -> None:
    """The passes keep every bit of the value, and a second time they find nothing."""
    tape = judge.tape.simplify()
    tape.check()
    value, gradient = tape.value_and_gradient(*judge.inputs)
    found = [value, *judge.listed(gradient)]
    judge.within("simplified", found)
    if not np.array_equal(value, swept[0], equal_nan=True):
        judge.wrong("simplified", f"{value!r}, not {swept[0]!r}")
    if tape.simplify() != tape:
        judge.wrong("simplified", "a second time it is another tape")
