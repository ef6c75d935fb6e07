"""The tape machine against the interpreter: every row, both loops, odd tapes."""

from __future__ import annotations

import builtins
import dataclasses
import math
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_rows import CASES, ROWS, function_of, name_of, points_of, same

import tapegrad as tg
from tapegrad import Value, bulk, sweeps
from tapegrad.apply import apply
from tapegrad.errors import BranchChanged
from tapegrad.native.machine import build, cases, choice, plan, run
from tapegrad.native.machine.choice import forced
from tapegrad.readings import SCALAR
from tapegrad.rules import TABLE

# Where Python raises, the interpreter asks NumPy, whose functions are other ones.
ULPS = 2


def both(tape, *args):
    """Slots and adjoints of the interpreter, and of the machine."""
    found = []
    for use in (False, True):
        with forced(use):
            found.append((tape.slots(*args), tape.adjoints(*args)))
    return found


def agree(one, other, ulps=0):
    return len(one) == len(other) and all(
        type(x) is type(y) and same(x, y, ulps) for x, y in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_every_row(case):
    row, params = case
    tape = tg.record(function_of(row, params), *[0.75, 0.5, 0.25][: row.arity])
    assert plan.plan_of(tape) is not None
    made = plan.plan_of(tape).machine.engine
    assert made is build.common_machine().engine
    text = cases.texts((row, tuple(sorted(params.items()))))
    ulps = ULPS if any(not call.intrinsic for call in text.calls.values()) else 0
    for point in points_of(row, params):
        (slots, bars), (slots_here, bars_here) = both(tape, *point)
        assert agree(slots_here, slots, ulps), point
        assert agree(bars_here, bars, ulps), (point, bars_here, bars)


def test_the_common_machine_has_every_row():
    names = {key[0] for key in build.common_machine().numbers}
    assert names == {row.name for row in ROWS if not row.digest}


def test_a_planted_fault_is_seen(monkeypatch):
    """A partial that is read otherwise gives another adjoint."""
    wrong = dataclasses.replace(TABLE["sub"], partials=lambda m, y, a, b: (1, 1))
    rows = [wrong if row.name == "sub" else row for row in TABLE.rows]
    monkeypatch.setattr(TABLE, "rows", rows)
    machine = build._built(((wrong, ()),))
    monkeypatch.setattr(plan, "machine_for", lambda _: machine)
    tape = tg.record(lambda x, y: x - y, 3.0, 1.0)
    assert run.adjoint(tape, [3.0, 1.0, 2.0], {2: 1.0})[1] == 1.0


def test_guards_on_truth_values_and_whole_numbers():
    def f(x, n):
        y = x
        for _ in range(int(n)):
            y = y * x
        if y > 10.0:
            return y - 10.0
        return y if n != 0.0 else -y

    tape = tg.record(f, 1.5, 3.0)
    assert len(tape.guards) >= 3
    with forced(True):
        assert tape(1.25, 3.9) == 1.25**4
        assert tape.gradient(1.25, 3.0)[0] == pytest.approx(4 * 1.25**3)
    for point in ((1.5, 4.0), (2.0, 3.0), (1.5, math.nan), (math.nan, 3.0)):
        words = []
        for use in (False, True):
            with forced(use):
                try:
                    words.append(tape(*point))
                except BranchChanged as problem:
                    words.append((str(problem), problem.step, problem.operands))
        assert repr(words[0]) == repr(words[1])
    with forced(True), pytest.raises(BranchChanged, match=r"test_machine.py:\d+"):
        tape(2.0, 3.0)


def test_outputs_that_are_inputs_constants_and_truth_values():
    tape = tg.record(lambda x, c: (x, 2.5, x > c, tg.where(x < c, x, -x), c), 0.5, 1.0)
    for point in ((0.5, 1.0), (2.0, -1.0)):
        with forced(False):
            want = tape(*point)
        with forced(True):
            found = tape(*point)
        assert found == want
        assert list(map(type, found)) == list(map(type, want))


def test_an_operand_twice_and_structural_zeros():
    tape = tg.record(lambda x, y: x * x + (y - y) + tg.stop_gradient(y) * 2, 3.0, 4.0)
    assert agree(*(bars for _, bars in both(tape, 3.0, 4.0)))
    # what nothing reaches is skipped: its partial at 0 is infinite
    tape = tg.record(lambda x: tg.where(x > 0, np.sqrt(x), 3.0 * x), 1.0)
    with forced(True):
        assert tape.value_and_gradient(0.0) == (0.0, 3.0)
        assert tape.value_and_gradient(4.0) == (2.0, 0.25)
    # an adjoint that is the number 0 is there, and 0 * inf is NaN
    tape = tg.record(lambda x: np.sqrt(x) * 0.0, 1.0)
    with forced(True):
        assert math.isnan(tape.gradient(0.0))


def test_other_parameters_have_a_machine_of_their_own():
    tape = tg.record(lambda x: x**7 + x**2 - x**0.3, 2.0)
    made = plan.plan_of(tape)
    assert made.machine is not build.common_machine()
    again = plan.plan_of(tg.record(lambda x: x**0.3 + x**7 - x**2, 2.0))
    assert again.machine is made.machine
    assert agree(*(bars for _, bars in both(tape, 1.7)))


def test_tapes_that_are_none_for_the_machine():
    many = tg.record(lambda x: sum(x ** (k + 0.01) for k in range(100)), 1.1)
    arrays = tg.record(lambda x: np.sum(x * x), np.ones(3))
    for tape, point in ((many, 1.1), (arrays, np.ones(3))):
        assert plan.plan_of(tape) is None
        with forced(True):
            value, gradient = tape.value_and_gradient(point)
        assert np.all(np.isfinite(gradient)), value


def test_replacing_slots_and_other_arithmetic_stay_with_the_interpreter():
    def f(x):
        y = x * x
        y.label = "y"
        return y + 1.0

    tape = tg.record(f, 3.0)
    with forced(True):
        assert tape(3.0, replace={"y": 5.0}) == 6.0
        assert float(tape(3.0, arithmetic="mpmath:30")) == 10.0


def program(seed, steps):
    """A random program of numbers, with kinks and comparisons."""
    chance = random.Random(seed)
    rows = [r for r in ROWS if r.kind == "elementwise" and r.params == ({},)]

    def f(x, y):
        made = [x, y, x * 0.5 + 1.0]
        for _ in range(steps):
            a, b, c = (chance.choice(made[-12:]) for _ in range(3))
            row = chance.choice(rows)
            kind = chance.random()
            if kind < 0.1:
                made.append(tg.where(a > b, b, c))
            elif kind < 0.5:
                made.append(a + b if kind < 0.2 else a * b if kind < 0.35 else a - c)
            else:
                made.append(apply(row, *(a, b, c)[: row.arity]))
        return made[-1] + made[-2] * made[-3]

    return f


@pytest.mark.parametrize("seed", range(40))
def test_random_programs(seed):
    tape = tg.record(program(seed, 40), 0.75, -1.25)
    points = [(0.75, -1.25), (1e-9, 3.0), (-0.0, math.inf), (math.nan, 2.0)]
    for point in points:
        (slots, bars), (slots_here, bars_here) = both(tape, *point)
        # one step's ulps grow on the way, so each step is looked at by itself
        for step in tape:
            if step.operands:
                xs = [slots_here[i] for i in step.operands]
                want = SCALAR.apply(step.primitive, *xs, **step.params)
                assert same(slots_here[step.slots[0]], want, ULPS), (step, point)
        if agree(slots, slots_here):
            assert agree(bars_here, bars, 64), point


@pytest.mark.parametrize("outputs", [1, 3, 80])
def test_jacobians(outputs):
    """Some sweeps in reverse, or one forward, from the machine's values."""

    def several(x, y):
        z = x
        for _ in range(200):
            z = np.tanh(z * y + x) - z * 0.25
        return [z * k + x for k in range(outputs)]

    tape = tg.record(several, 0.75, -1.25)
    found = []
    for use in (False, True):
        with forced(use):
            found.append(np.array(tape.jacobian(0.75, -1.25), float))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)
    with forced(True):
        assert np.array_equal(found[1][0], tape.vjp((0.75, -1.25), _unit(outputs))[1])


def _unit(outputs):
    return [1.0] + [0.0] * (outputs - 1)


def test_the_order_of_accumulation_is_the_interpreters():
    """Sums of very different numbers come out in just one order."""
    chance = random.Random(5)
    scales = [
        chance.uniform(-1, 1) * 10.0 ** chance.randint(-12, 12) for _ in range(99)
    ]
    tape = tg.record(lambda x: sum(x * scale for scale in scales), 1.0)
    with forced(False):
        want = tape.gradient(1.0)
    with forced(True):
        assert tape.gradient(1.0) == want
    assert want != math.fsum(scales)
    # an operand twice: what its first place receives comes first
    tape = tg.record(lambda x: x / x + 0.1 * x, 1.0)
    points = [0.3 + k / 7 for k in range(20)]
    for point in points:
        with forced(False):
            want = tape.gradient(point)
        with forced(True):
            assert tape.gradient(point) == want


@pytest.mark.parametrize("fault", [-1, 99])
def test_columns_that_would_lead_out_of_memory_are_left_to_the_interpreter(fault):
    tape = tg.record(lambda x: x * x + 1.0, 3.0)
    operands = tape.operands.copy()
    operands[0] = fault
    assert plan.plan_of(dataclasses.replace(tape, operands=operands)) is None
    assert plan.plan_of(dataclasses.replace(tape, operands=operands[:-1])) is None
    wide = dataclasses.replace(tape, operands=tape.operands.astype(np.int64))
    assert plan.plan_of(wide) is None


def eager(use, steps=300, few=0):
    with pytest.MonkeyPatch.context() as patch, forced(use):
        patch.setattr(bulk, "FEW", few)
        x, y = Value(0.7), Value(-1.3)
        z = x
        for k in range(steps):
            z = (z * y + x).tanh() - z / (y * y + 1.0) + abs(x) ** (k % 3)
            z = tg.where(z > 0.0, z, tg.maximum(z, -0.5) * 0.5).relu() - 0.25 * z
        z.backward()
        return z.data, x.grad, y.grad


def test_eager_steps():
    # plain floats, slot by slot, are the specification
    want = eager(False, few=10**9)
    assert eager(True) == want
    assert eager(False) == pytest.approx(want, rel=1e-9)


def test_eager_steps_with_other_parameters_go_another_way():
    def swept():
        x = Value(1.25)
        y = sum(((x * k) ** 0.37 for k in range(1, 200)), x * 0.0)
        y.backward()
        return x.grad

    with forced(False):
        want = swept()
    with forced(True):
        assert swept() == pytest.approx(want, rel=1e-14)


def test_eager_segments_that_lead_to_each_other(monkeypatch):
    from tapegrad.ambient import Segment

    class Short(Segment):
        def __init__(self):
            super().__init__()
            self.limit = 150

    monkeypatch.setattr("tapegrad.ambient.Segment", Short)
    assert eager(True) == eager(False, few=10**9)


def test_two_threads_replay_one_tape():
    tape = tg.record(program(3, 4000), 0.75, -1.25)
    points = [(0.75 + k / 100, -1.25) for k in range(20)]
    with forced(True):
        want = [tape.value_and_gradient(*point) for point in points]
    found = {}

    def work(name):
        with forced(True):
            found[name] = [tape.value_and_gradient(*point) for point in points]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repr(found[0]) == repr(found[1]) == repr(want)


# -- when it is used -----------------------------------------------------------------


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has swept nothing."""
    for name, value in (("spent", 0), ("loaded", None), ("missing", False)):
        monkeypatch.setattr(choice._State, name, value)


@pytest.mark.usefixtures("fresh")
def test_it_is_loaded_when_enough_was_swept():
    half = choice.PRICE // 2
    assert choice.machine(half) is None
    assert choice.machine(choice.LEAST - 1) is None  # costs nothing, counts nothing
    assert choice.machine(half) is run
    assert choice.machine(choice.LEAST) is run
    assert choice.machine(choice.LEAST - 1) is None


@pytest.mark.usefixtures("fresh")
def test_without_llvmlite_the_interpreter_goes_on(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("tapegrad.native.machine"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert choice.machine(2 * choice.PRICE) is None
    assert choice._State.missing
    with forced(True):
        assert tg.record(lambda x: x * x, 3.0).value_and_gradient(3.0) == (9.0, 6.0)


def test_short_work_loads_no_compiler():
    code = (
        "import sys, tapegrad as tg\n"
        "tape = tg.record(lambda x: sum(x * k for k in range(5000)), 1.0)\n"
        "x = tg.Value(1.0); sum((x * k for k in range(5000)), x).backward()\n"
        "tape.gradient(1.0)\n"
        "assert 'llvmlite' not in sys.modules\n"
        "for _ in range(40): tape.gradient(1.0)\n"
        "assert 'llvmlite' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.deep
def test_ten_million_steps_in_bounded_memory():
    import resource

    def f(x, n):
        y = x
        for _ in range(n // 2):
            y = y * 0.5 + x
        return y

    tape = tg.record(f, 0.5, 10_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with forced(True):
        value, gradient = tape.value_and_gradient(0.5, 10_000_000)
    assert (value, gradient) == (1.0, 2.0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < 30 * len(tape)


def test_the_interpreter_is_what_it_is_held_to():
    """`forced` does choose: the two tiers are not one."""
    tape = tg.record(lambda x: x * x, 3.0)
    with forced(True):
        assert isinstance(run.replay(tape, [3.0]), run.Slots)
        assert choice.machine(1) is run
    with forced(False):
        assert choice.machine(10**9) is None
    assert sweeps.replay(tape, SCALAR, [3.0]) == [3.0, 9.0]
