"""Passes: the same bits in fewer steps, checked at every kind of float."""

from __future__ import annotations

import importlib.util
import itertools
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.derivatives import gradient_tape
from tapegrad.passes import prune, tidy

# Every kind of float: where an identity fails, it fails at one of these.
EVERY = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    -3.0,
    5e-324,
    -5e-324,
    1e-308,
    1e308,
    -1e308,
    math.inf,
    -math.inf,
    math.nan,
)


def same(a: Any, b: Any) -> bool:
    """Equal bits, but for what a NaN carries."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    signs = [np.signbit(x) & ~np.isnan(x) for x in (a, b)]
    return bool(np.array_equal(a, b, equal_nan=True) and np.array_equal(*signs))


def names(tape: tg.Tape) -> list[str]:
    return [step.primitive.name for step in tape]


def simple(f: Any, *args: Any, arithmetic: str = "float64") -> tg.Tape:
    """A simplified recording, checked."""
    tape = tg.record(f, *args)
    found = tape.simplify(arithmetic)
    found.check()
    assert found.simplify(arithmetic) == found, "not idempotent"
    assert (found.inputs, len(found.outputs)) == (tape.inputs, len(tape.outputs))
    assert found.structure == tape.structure
    return found


# -- one identity at a time ------------------------------------------------------

# what is written, and the rows that are left of it
GONE = {
    "times one": (lambda x, y: x * 1.0, []),
    "one times": (lambda x, y: 1.0 * x, []),
    "over one": (lambda x, y: x / 1.0, []),
    "less zero": (lambda x, y: x - 0.0, []),
    "plus minus zero": (lambda x, y: x + (-0.0), []),
    "minus zero plus": (lambda x, y: (-0.0) + x, []),
    "twice negated": (lambda x, y: np.negative(-x), []),
    "to the one": (lambda x, y: x**1, []),
    "times minus one": (lambda x, y: x * -1.0, ["neg"]),
    "over minus one": (lambda x, y: x / -1.0, ["neg"]),
    "minus zero less": (lambda x, y: (-0.0) - x, ["neg"]),
    "plus negated": (lambda x, y: x + (-y), ["sub"]),
    "negated plus": (lambda x, y: (-x) + y, ["sub"]),
    "less negated": (lambda x, y: x - (-y), ["add"]),
    "both negated": (lambda x, y: (-x) * (-y), ["mul"]),
    "both negated, divided": (lambda x, y: (-x) / (-y), ["div"]),
    "absolute of absolute": (lambda x, y: abs(abs(x)), ["abs"]),
    "absolute of negated": (lambda x, y: abs(-x), ["abs"]),
    "square of negated": (lambda x, y: (-x) ** 2, ["powc"]),
    "one choice": (lambda x, y: tg.where(x < y, x, x), []),
    "choice in a choice": (
        lambda x, y: tg.where(x < y, tg.where(x < y, x, y * y), x * y),
        ["less", "mul", "where"],
    ),
    "choice in the other arm": (
        lambda x, y: tg.where(x < y, x * y, tg.where(x < y, y * y, y)),
        ["less", "mul", "where"],
    ),
    "shared": (lambda x, y: (x * y) - (x * y + 3.0), ["mul", "const", "add", "sub"]),
    "turned": (lambda x, y: (x * y) / (y * x + 3.0), ["mul", "const", "add", "div"]),
    "a difference turned": (lambda x, y: (x - y) * (y - x), ["sub", "sub", "mul"]),
    "dead": (lambda x, y: (np.exp(x), x * y)[1], ["mul"]),
}  # fmt: skip


@pytest.mark.parametrize("case", GONE)
def test_an_identity_holds_for_every_float(case: str) -> None:
    f, left = GONE[case]
    tape, found = tg.record(f, 1.5, 2.0), simple(f, 1.5, 2.0)
    assert [name for name in names(found) if name != "input"] == left
    for x in EVERY:
        for y in EVERY:
            assert same(tape(x, y), found(x, y)), (x, y)
    # and for arrays, as well
    wide = np.array(EVERY)
    both = tg.record(f, wide, wide), simple(f, wide, wide)
    x, y = (a.ravel() for a in np.meshgrid(wide, wide))
    many = [np.resize(part, len(wide)) for part in (x, y)]
    assert same(both[0](*many), both[1](*many))


KEPT = {
    "times zero": lambda x: x * 0.0,
    "plus zero": lambda x: x + 0.0,
    "zero less": lambda x: 0.0 - x,
    "minus itself": lambda x: x - x,
    "over itself": lambda x: x / x,
    "sum regrouped": lambda x: (x + 1e16) - 1e16,
    "factors regrouped": lambda x: (x * 1e-200) * 1e-200,
    "negated difference": lambda x: -(x - 1.0),
    "times its reciprocal": lambda x: x * (1.0 / 3.0) * 3.0,
    "not less": lambda x: tg.where(np.logical_not(x < 1.0), x, 2.0),
    "stopped": tg.stop_gradient,
}


@pytest.mark.parametrize("case", KEPT)
def test_what_fails_somewhere_is_kept(case: str) -> None:
    tape, found = tg.record(KEPT[case], 1.5), simple(KEPT[case], 1.5)
    for x in EVERY:
        assert same(tape(x), found(x)), x
    # as many steps, but for a `not` that turns the arms
    fewer = {"not less": 1}.get(case, 0)
    assert len(found) == len(tape) - fewer


# -- arrays ----------------------------------------------------------------------

MOVES = {
    "twice transposed": (lambda x: np.transpose(np.transpose(x)), []),
    "three turns": (
        lambda x: np.moveaxis(np.moveaxis(x, 0, 1), 0, 1).reshape(2, 3),
        [],
    ),
    "reshaped twice": (lambda x: x.reshape(6).reshape(3, 2), ["reshape"]),
    "reshaped back": (lambda x: x.reshape(6).reshape(2, 3), []),
    "the whole": (lambda x: x[:, :], []),
    "joined alone": (lambda x: np.concatenate([x]), []),
    "broadcast beforehand": (
        lambda x: x * np.broadcast_to(np.sum(x), (2, 3)),
        ["sum", "mul"],
    ),
    "ones": (
        lambda x: (
            np.broadcast_to(tg.where(x[0, 0] < 9.0, 1.0, 1.0), (2, 3)) * np.sum(x)
        ),
        ["sum", "broadcast_to"],
    ),
    "turned in space": (
        lambda x: x.reshape(1, 2, 3).transpose(1, 2, 0).transpose(0, 2, 1) * 2.0,
        ["reshape", "transpose", "const", "mul"],
    ),
}


@pytest.mark.parametrize("case", MOVES)
def test_movement(case: str) -> None:
    f, left = MOVES[case]
    x = np.arange(6.0).reshape(2, 3) - 2.0
    tape, found = tg.record(f, x), simple(f, x)
    if left is not None:
        assert [name for name in names(found) if name != "input"] == left
    for values in (x, x - np.inf, x * 1e300):
        assert same(tape(values), found(values))


def test_a_number_keeps_its_shape() -> None:
    """x * 1 of a number by an array of ones is an array."""
    found = simple(lambda x: x * np.ones(3), 2.0)
    assert same(found(5.0), np.full(3, 5.0))
    halves = simple(lambda x: x * np.float32(1.0), np.ones(3, np.float32))
    assert halves(np.ones(3, np.float32)).dtype == np.float32


# -- constants -------------------------------------------------------------------


def test_constants_fold_as_the_interpreter_computes_them() -> None:
    f = lambda x: x * np.exp(tg.where(x < 0.0, 1.0, 1.0) * 0.1)  # noqa: E731
    tape, found = tg.record(f, 1.0), simple(f, 1.0)
    assert "exp" not in names(found)
    assert same(tape(1.0), found(1.0))


def test_other_arithmetics_keep_their_digits() -> None:
    """exp(1/10) folded to a float would be wrong at 50 digits."""

    def f(x: Any) -> Any:
        one = tg.where(x < 0.0, 1.0, 1.0)
        return x * np.exp(one / 10.0) + (one + 2.0) * x

    tape = tg.record(f, 1.0)
    found = simple(f, 1.0, arithmetic="any")
    assert "exp" in names(found)
    assert "div" in names(found)  # 1/10 is no float
    assert names(found).count("add") == 1  # but 1 + 2 is one
    digits = tape(1.0, arithmetic="mpmath:50")
    assert found(1.0, arithmetic="mpmath:50") == digits
    assert tape.simplify()(1.0, arithmetic="mpmath:50") != digits


def test_another_arithmetic_is_refused() -> None:
    with pytest.raises(tg.RecordError, match='"float64" or "any"'):
        tg.record(lambda x: x, 1.0).simplify("float16")


# -- what must stay --------------------------------------------------------------


def test_guards_stay_and_say_where_they_stood() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        if y > 0.0:
            y = y + (-0.0)
        if x > 0.0:
            return y
        return -y

    found = simple(f, 2.0)
    assert [guard.outcome for guard in found.guards] == [True, True]
    with pytest.raises(tg.BranchChanged, match=r"test_passes\.py"):
        found(-2.0)


def test_a_labelled_step_stays_and_can_be_nudged() -> None:
    with tg.Tape.recording() as rec:
        x = rec.input(2.0, label="x")
        e = x * 3.0
        e.label = "e"
        twin = x * 3.0
        rec.output(e + twin)
    found = rec.tape.simplify()
    found.check()
    assert rec.tape(2.0, replace={"e": 1.0}) == 7.0
    assert found(2.0, replace={"e": 1.0}) == 7.0


@pytest.mark.parametrize(
    "read",
    [lambda e, y: y + e, lambda e, y: y - e, lambda e, y: -e, lambda e, y: y],
    ids=["plus", "less", "negated", "unread"],
)
def test_no_identity_reads_past_a_label(read: Any) -> None:
    """y + (-x) is y - x, but not where the step -x has a name to be nudged by."""
    with tg.Tape.recording() as rec:
        x, y = rec.input(2.0, label="x"), rec.input(5.0, label="y")
        e = -x
        e.label = "e"
        rec.output(read(e, y))
    found = rec.tape.simplify()
    found.check()
    assert found.simplify() == found
    for nudged in (1.0, 7.0):
        want = rec.tape(2.0, 5.0, replace={"e": nudged})
        assert found(2.0, 5.0, replace={"e": nudged}) == want


def test_steps_with_several_slots_and_calls() -> None:
    def f(a: Any, x: Any) -> Any:
        inner = tg.grad(lambda t: t * t * t)
        first, second = np.linalg.eigh(a), np.linalg.eigh(a * 1.0)
        return first[0] + second[0] * inner(x), second[1] * inner(x)

    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    tape, found = tg.record(f, a, 2.0), simple(f, a, 2.0)
    assert names(found).count("eigh") == 1
    assert names(found).count("call") == 1
    for one, two in zip(tape(a, 2.0), found(a, 2.0), strict=True):
        assert same(one, two)


def test_inputs_and_outputs_stay() -> None:
    found = simple(lambda x, y, unused: (x * 1.0, x, y - y), 1.0, 2.0, 3.0)
    assert len(found.inputs) == 3
    assert found(4.0, 5.0, 6.0) == (4.0, 4.0, 0.0)
    assert tg.record(lambda x: x, 1.0).simplify()(3.0) == 3.0


def test_lines_stay_with_their_steps() -> None:
    tape = tg.record(lambda x: np.exp(x * 1.0) + 2.0 * np.exp(x), 1.0)
    lines = getattr(tape, "lines", None)
    found = tape.simplify()
    assert (found.lines is None) == (lines is None)


def test_prune_and_tidy_know_nothing_to_do() -> None:
    tape = tg.record(lambda x: x * x, 1.0)
    assert prune(tape) is tape
    assert tidy(tape) == tape


# -- at large --------------------------------------------------------------------

UNARY = ("neg", "abs", "sqrt", "exp", "sin", "tanh", "square", "one", "minus", "zero")
BINARY = ("add", "sub", "mul", "div", "maximum", "where", "nested")


@st.composite
def programs(draw: Any) -> Any:
    """A random program on three numbers, with plenty of what passes look for."""
    lines = []
    for place in range(draw(st.integers(1, 25))):
        read = st.integers(0, place + 2)
        if draw(st.booleans()):
            lines.append((draw(st.sampled_from(UNARY)), draw(read), draw(read)))
        else:
            lines.append((draw(st.sampled_from(BINARY)), draw(read), draw(read)))
    return lines


def run(lines: Any, *xs: Any) -> Any:
    """The program as a user would write it."""
    one = {
        "neg": lambda a: -a,
        "abs": abs,
        "sqrt": np.sqrt,
        "exp": np.exp,
        "sin": np.sin,
        "tanh": np.tanh,
        "square": lambda a: a**2,
        "one": lambda a: a * 1.0,
        "minus": lambda a: -1.0 * a,
        "zero": lambda a: a - 0.0,
    }
    two = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "maximum": np.maximum,
        "where": lambda a, b: tg.where(a < b, a, b),
        "nested": lambda a, b: tg.where(
            a < b, tg.where(a < b, np.negative(-a), b), a * b
        ),
    }
    found = list(xs)
    for name, i, j in lines:
        found.append(
            one[name](found[i]) if name in one else two[name](found[i], found[j])
        )
    return found[-1] + found[len(found) // 2]


@settings(max_examples=120, deadline=None)
@given(programs(), st.lists(st.sampled_from(EVERY), min_size=3, max_size=3))
def test_random_programs_keep_their_bits(lines: Any, at: Any) -> None:
    tape = tg.record(lambda *xs: run(lines, *xs), 1.5, -2.0, 0.5)
    found = tape.simplify()
    found.check()
    assert len(found) <= len(tape)
    assert found.simplify() == found
    assert same(tape(*at), found(*at))
    # the tape of the derivative, simplified, gives the sweep's own numbers
    grown = gradient_tape(tape)
    short = grown.simplify()
    short.check()
    for one, two in zip(grown(*at), short(*at), strict=True):
        assert same(one, two)


@settings(max_examples=60, deadline=None)
@given(programs(), st.integers(0, 2**32 - 1))
def test_derivatives_agree_with_those_of_the_original(lines: Any, seed: int) -> None:
    at = np.random.default_rng(seed).uniform(0.5, 2.0, 3).tolist()
    tape = tg.record(lambda *xs: run(lines, *xs), *at)
    want, got = tape.gradient(*at), tape.simplify().gradient(*at)
    size = [max(1.0, abs(w)) for w in want]
    for w, g, s in zip(want, got, size, strict=True):
        if math.isfinite(w) and s < 1e8:
            assert abs(w - g) <= 1e-9 * s


def test_a_long_chain_is_no_recursion() -> None:
    def f(x: Any) -> Any:
        for _ in range(50_000):
            x = np.negative(-(x * 1.0)) + 1.0
        return x

    tape = tg.record(f, 0.0, roll=False)
    found = tape.simplify()
    assert len(found) == 50_002
    assert found(0.5) == tape(0.5)


def test_value_and_gradient_take_at_most_four_steps_a_step() -> None:
    """Griewank & Walther, section 3.4: the cheap gradient principle, in steps."""

    def expression(a: Any, b: Any) -> Any:
        c, d = a + b, a * b + b**3
        c = c + c + 1
        c = c + 1 + c + (-a)
        d = d + d * 2 + tg.relu(b + a)
        d = d + 3 * d + tg.relu(b - a)
        e = c - d
        return e**2 / 2.0 + 10.0 / e**2

    def rosenbrock(x: Any) -> Any:
        return sum(
            100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x)
        )

    def every(x: Any, y: Any) -> Any:
        return np.tanh(x * y) + np.exp(x) / np.sqrt(y) + np.log(x) * np.sin(y)

    for f, args in (
        (expression, (-4.0, 2.0)),
        (rosenbrock, ([0.5] * 20,)),
        (every, (1.0, 2.0)),
        (lambda x: np.sum(np.tanh(x) ** 2), (np.ones(5),)),
    ):
        tape = tg.record(f, *args)
        assert len(gradient_tape(tape).simplify()) <= 4 * len(tape.simplify())


def test_the_benchmarks_take_at_most_four_steps_a_step() -> None:
    """The figures of docs/passes.md; several outputs have a gradient each."""
    where = Path(__file__).parent / "benchmarks" / "passes.py"
    spec: Any = importlib.util.spec_from_file_location("passes_benchmark", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (where.parents[2] / "docs" / "passes.md").read_text(encoding="utf-8")
    for name, tape in module.benchmarks().items():
        short = len(gradient_tape(tape).simplify())
        assert short <= 4 * len(tape) * len(tape.outputs), name
        if len(tape.outputs) == 1:
            assert short <= 4 * len(tape), name
        assert f"| {len(tape):,} |" in page, name
        assert f"| {short:,} |" in page, name


def test_float_bits_are_told_apart() -> None:
    """0.0 and -0.0, 1 and 1.0 and True are equal in Python, and not on a tape."""
    found = simple(lambda x: (x + 0.0) + (x / -0.0) + (x / 0.0), 1.0)
    assert len([name for name in names(found) if name == "const"]) == 2
    assert struct.pack("<d", found(-0.0)) == struct.pack("<d", math.nan) or math.isnan(
        found(-0.0)
    )
