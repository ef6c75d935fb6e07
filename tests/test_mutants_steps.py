"""What planted faults in steps with sub-tapes, and in passes, showed to be untested."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps


def names(tape):
    return [step.primitive.name for step in tape]


# -- masks at steps with several slots ---------------------------------------------


@tg.custom_gradient
def both(x):
    """Two results, with slopes that are told apart."""
    return (2.0 * x, 3.0 * x), lambda bars: bars[0] * 2.0 + bars[1] * 3.0


def body(c, _):
    return (c[0] * 2.0, c[1] * 3.0), None


def looped(x):
    return tg.scan(body, (x, x), None, 1)[0]


@pytest.mark.parametrize("f", [both, looped])
def test_arms_that_are_slots_of_one_step(f):
    # each slot has a mask of its own, and one of them is selected
    tape = tg.record(lambda x: tg.where(x > 0, *f(x)), 1.0)
    for derivative in (tape.gradient, tape.adjoint_tape()):
        assert [derivative(x) for x in (1.5, -1.5)] == [2.0, 3.0]


@pytest.mark.parametrize("f", [both, looped])
def test_a_step_whose_slots_nobody_selects_hands_the_mask_on(f):
    # the root before it has an infinite slope at 0
    tape = tg.record(lambda x: tg.where(x > 0, sum(f(np.sqrt(x))), 0.0), 1.0)
    for derivative in (tape.gradient, tape.adjoint_tape()):
        assert [derivative(x) for x in (0.0, 4.0)] == [0.0, 1.25]
    # one slot is read beside the choice as well: then nothing is masked
    tape = tg.record(lambda x: sum(tg.where(x > 0, y, y - 1) for y in f(x)), 1.0)
    assert [tape.gradient(x) for x in (0.0, 4.0)] == [5.0, 5.0]


def test_adjoints_go_to_the_operands_that_the_pullback_names():
    @tg.custom_gradient
    def second(n, x, k, y):
        return n * x + k * y, lambda bar: (None, bar * n, None, bar * k)

    tape = tg.record(lambda n, x, k, y: second(n, x, k, y) ** 2, 1.0, 2.0, 3.0, 4.0)
    assert tape.gradient(1.0, 2.0, 3.0, 4.0) == (0.0, 28.0, 0.0, 84.0)
    assert tape.jvp((1.0, 2.0, 3.0, 4.0), (9.0, 1.0, 9.0, 2.0))[1] == 28.0 + 168.0


def test_adjoints_of_another_dtype_are_converted():
    @tg.custom_gradient
    def doubled(x):
        return x * np.float32(2), lambda bar: bar.astype(np.float64) * 2.0

    x = np.array([1.0, 2.0], np.float32)
    tape = tg.record(lambda x: np.sum(doubled(x)), x)
    for mine in (tape, tg.from_bytes(tape.to_bytes())):
        assert mine.gradient(x).dtype == np.float32
        assert mine.gradient(x).tolist() == [2.0, 2.0]


@pytest.mark.parametrize("derived", ["at numbers", "recorded"])
def test_one_slot_that_is_given_twice(derived):
    @tg.checkpoint
    def twice(x):
        y = np.sin(x) * 2.0
        return y, y

    def arms(x):
        one, two = twice(x)
        return tg.where(x > 0, one, two * 3.0)

    def beside(x):
        one, two = twice(x)
        return tg.where(x > 0, one, 0.0) + two

    for f, factors in ((arms, (2.0, 6.0)), (beside, (4.0, 2.0))):
        tape = tg.record(f, 1.0)
        derivative = tape.gradient if derived == "at numbers" else tape.adjoint_tape()
        for x, factor in zip((0.5, -0.5), factors, strict=True):
            assert derivative(x) == pytest.approx(factor * np.cos(x), rel=1e-15)


def test_truth_values_among_the_results_have_the_cotangent_0():
    @tg.custom_gradient
    def signed(x):
        return (x * 2.0, x > 0), lambda bars: bars[0] * 2.0 + bars[1]

    tape = tg.record(lambda x: signed(x)[0], 1.0)
    assert tape.gradient(3.0) == tape.jvp((3.0,), (1.0,))[1] == 2.0


def test_operands_without_a_tangent():
    def block(x, c):
        return x * c

    def last(x, c):
        found = tg.while_loop(
            lambda u: u[0] < 9.0, lambda u: (u[0] * u[1], u[1]), (x, c)
        )
        return found[0]

    for f, slope in ((tg.checkpoint(block), 3.0), (last, 9.0)):
        tape = tg.record(lambda x, f=f: f(x, 3.0), 1.5)
        assert tape.jvp((1.5,), (1.0,))[1] == slope
        assert tape.tangent_tape()(1.5, 1.0) == slope
        assert tape.hvp((1.5,), (1.0,)) == 0.0


# -- loops -------------------------------------------------------------------------


def shifting(x):
    """What x is reaches the last carry after three iterations."""

    def step(c, _):
        a, b, d, e = c
        return (a * 1.5, a * a, b * 2.0, d * 3.0), e

    return tg.scan(step, (x, 0.0, 0.0, 0.0), None, 4)


@pytest.mark.parametrize("place", ["carry", "ys"])
def test_derivatives_wander_from_carry_to_carry(place):
    # e after 4 iterations: 6 (1.5 x)^2; the last y is 6 x^2
    factor = 6 * 1.5**2 if place == "carry" else 6.0

    def f(x):
        carry, ys = shifting(x)
        return carry[3] if place == "carry" else ys[-1]

    tape = tg.record(f, 2.0)
    assert tape(2.0) == factor * 4.0
    assert tape.gradient(2.0) == tape.adjoint_tape()(2.0) == factor * 4.0
    assert tape.jvp((2.0,), (1.0,))[1] == tape.tangent_tape()(2.0, 1.0) == factor * 4.0
    assert tape.hessian(2.0) == factor * 2.0


def test_adjoints_of_a_while_loop_go_to_floats_alone():
    def f(x):
        start = {"a": x > 100.0, "b": x, "c": x > 0.0, "d": x * 3.0}

        def step(u):
            return {"a": u["c"], "b": u["b"] * u["d"], "c": u["a"], "d": u["d"]}

        return tg.while_loop(lambda u: u["b"] < 50.0, step, start)["b"]

    tape = tg.record(f, 1.5)
    # 1.5 * 4.5^3: the fourth power of x, times 27
    slope, bend = 27 * 4 * 1.5**3, 27 * 12 * 1.5**2
    assert tape.gradient(1.5) == pytest.approx(slope, rel=1e-15)
    assert tape.adjoint_tape()(1.5) == pytest.approx(slope, rel=1e-15)
    assert tape.tangent_tape()(1.5, 1.0) == pytest.approx(slope, rel=1e-15)
    assert tape.hessian(1.5) == pytest.approx(bend, rel=1e-15)


@pytest.mark.parametrize("wrap", [tg.checkpoint, None, "scan"])
def test_the_first_slot_of_a_step_may_be_a_truth_value(wrap):
    def f(x):
        return x > 0, x * x * x

    if wrap is None:
        made = tg.custom_gradient(lambda x: (f(x), lambda bars: bars[1] * 3.0 * x * x))
    elif wrap == "scan":
        made = lambda x: tg.scan(lambda c, _: (f(c[1]), None), (x > 9, x), None, 1)[0]  # noqa: E731
    else:
        made = wrap(f)
    tape = tg.record(lambda x: made(x)[1], 1.0)
    assert tape.gradient(2.0) == tape.adjoint_tape()(2.0) == 12.0
    assert tape.jvp((2.0,), (1.0,))[1] == tape.tangent_tape()(2.0, 1.0) == 12.0
    assert tape.hessian(2.0) == tape.hvp((2.0,), (1.0,)) == 12.0


def test_sparse_jacobians_of_a_step_that_begins_with_a_truth_value():
    def f(x):
        return tg.checkpoint(lambda x: (x.sum() > 0, x * x * x))(x)[1]

    x = np.array([1.0, 2.0, 3.0])
    assert tg.sparse_jacobian(f, x)(x).toarray().tolist() == np.diag(3 * x**2).tolist()


# -- equations ---------------------------------------------------------------------


def test_equations_of_other_shapes_than_the_unknowns():
    matrix = np.array([[4.0, 1.0, 0.5], [2.0, 5.0, -1.0], [0.3, -0.7, 3.0]])

    def equations(u, b):
        whole = matrix @ np.concatenate([u["pair"], u["one"].reshape(1)]) - b
        return whole[:2], whole[2]  # and the unknowns are one, pair

    def solve(b):
        x = np.linalg.solve(matrix, b)
        return {"one": x[2], "pair": x[:2]}

    solution = tg.implicit(equations, solve)
    b, weights = np.array([1.0, -2.0, 0.5]), np.array([0.5, -3.0, 7.0])

    def weighed(b):
        found = solution(b)
        return np.sum(found["pair"] * weights[:2]) + found["one"] * weights[2]

    tape = tg.record(weighed, b)
    expected = np.linalg.solve(matrix.T, weights)
    assert np.allclose(tape.gradient(b), expected, rtol=1e-14)
    forward = tape.jvp((b,), (np.array([1.0, 2.0, -1.0]),))[1]
    assert forward == pytest.approx(expected @ [1.0, 2.0, -1.0], rel=1e-14)


def test_equations_without_a_tangent():
    coupled = tg.implicit(
        lambda u, a: (u[0] - a, u[0] * u[1] - 2.0, u[2] - 5.0),
        lambda a: (a, 2.0 / a, 5.0),
    )
    tape = tg.record(lambda a: coupled(a)[1] + coupled(a)[2] * 7.0, 4.0)
    assert tape.jvp((4.0,), (1.0,))[1] == tape.tangent_tape()(4.0, 1.0) == -0.125
    assert tape.gradient(4.0) == -0.125


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_what_counts_as_a_solution_goes_by_its_size(size):
    # large unknowns may be off in proportion, small ones as if they were 1
    def root(error):
        return tg.implicit(lambda x, a: x - a, lambda a: a + error)

    most = max(size, 1.0)
    assert root(5e-7 * most)(size) == pytest.approx(size, abs=1e-6 * most)
    with pytest.raises(tg.DomainError, match="leaves the residual"):
        root(2e-6 * most)(size)


# -- passes ------------------------------------------------------------------------


def test_a_new_axis_behind_is_no_broadcast():
    x = np.array([1.0, 2.0, 3.0])
    for wide in ((3, 3), (3, 2), (2, 3, 3)):
        tape = tg.record(lambda x, w=wide: np.broadcast_to(x.reshape(3, 1), w) * 2.0, x)
        assert np.array_equal(tape.simplify()(x), tape(x))
    front = tg.record(lambda x: np.broadcast_to(x.reshape(1, 3), (3, 3)).sum(0), x)
    assert np.array_equal(front.simplify()(x), 3 * x)


def test_a_sum_that_is_0_is_no_constant_in_every_arithmetic():
    def f(x):
        one = tg.where(x < 0.0, 1.0, 1.0)
        return x + (one - one) + (one + one)

    tape = tg.record(f, 1.0)
    found = tape.simplify("any")
    assert names(found).count("sub") == 1
    assert names(found).count("add") == 2
    assert "sub" not in names(tape.simplify())
    assert found(-0.5) == tape(-0.5)


@pytest.mark.parametrize(
    ("combine", "folds"),
    [
        (lambda one: one / 2.0, True),
        (lambda one: one / 3.0, False),
        (lambda one: one * (1 + 2.0**-40), True),  # times 1
        (lambda one: one + 2.0**-20, True),
        (lambda one: one + 2.0**-40, True),  # it rounds as its constant does
        (lambda one: one - (1 + 2.0**-40), False),  # that is no number of float32
    ],
)
def test_what_is_exact_folds_in_any_arithmetic(combine, folds):
    tape = tg.record(lambda x: combine(tg.where(x < 0.0, 1.0, 1.0)) * x, 1.0)
    left = [name for name in names(tape.simplify("any")) if name != "input"]
    assert (left in (["const", "mul"], ["mul"])) is folds
    found = tape.simplify("any")
    for arithmetic in ("float64", "float32", "mpmath:50"):
        one, two = (t(3.0, arithmetic=arithmetic) for t in (found, tape))
        assert one == two


def test_another_part_than_was_written_is_read():
    x = np.array([1.0, 2.0, 3.0, 4.0])

    def f(x, low):
        slope = tg.grad(lambda x: np.sum(x[:2] ** 2))(x)
        return slope[low : low + 2]

    for low in (0, 1, 2):
        tape = sweeps.flat(tg.record(lambda x, low=low: f(x, low), x))
        assert "scatter" in names(tape)
        found = tape.simplify()
        assert ("scatter" in names(found)) is (low > 0)
        assert np.array_equal(found(x), f(x, low))


def test_inputs_without_labels_are_two():
    tape = tg.record(lambda x, y: x - 2.0 * y, 1.0, 1.0)
    bare = dataclasses.replace(tape, labels={})
    for found in (bare.simplify(), bare.simplify("any")):
        assert len(set(found.inputs)) == 2
        assert found(5.0, 3.0) == -1.0


def test_a_result_stays_as_wide_as_it_was():
    wide = np.array([1.0, 2.0, 3.0])

    def times(x):
        return x * np.broadcast_to(tg.where(x < 0.0, -1.0, -1.0), (3,))

    def chosen(x):
        c = x > 0.0
        return tg.where(c, tg.where(c, x, wide), 2.0)

    for f in (times, chosen):
        tape = tg.record(f, 2.0)
        found = tape.simplify()
        found.check()
        for x in (5.0, -5.0):
            assert found(x).tolist() == tape(x).tolist()


@pytest.mark.parametrize("exponent", [2, 3, 4, -1])
def test_a_sign_under_a_power(exponent):
    tape = tg.record(lambda x: (-x) ** exponent, 2.0)
    assert tape.simplify()(3.0) == tape(3.0) == (-3.0) ** exponent


def test_a_labelled_step_of_several_slots_is_its_own():
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    tape = tg.record(lambda a: np.linalg.eigh(a)[0] + np.linalg.eigh(a)[1].sum(0), a)
    assert names(tape).count("eigh") == 2
    assert names(tape.simplify()).count("eigh") == 1
    for step in [step for step in tape if step.primitive.name == "eigh"]:
        for slot in step.slots:
            labels = {**tape.labels, slot: "mine"}
            found = dataclasses.replace(tape, labels=labels).simplify()
            assert names(found).count("eigh") == 2
            assert np.array_equal(found(a), tape(a))


def test_lines_follow_their_steps():
    def f(x):
        same = x * 1.0
        first = np.exp(same)
        return first + np.sin(x)

    tape = tg.record(f, 1.0, lines=True)
    found = tape.simplify()
    assert "mul" in names(tape)
    assert "mul" not in names(found)
    places = {
        name: found.lines.of(slot)[1] - f.__code__.co_firstlineno
        for slot, name in enumerate(names(found))
        if name != "input"
    }
    assert places == {"exp": 2, "sin": 3, "add": 3}
