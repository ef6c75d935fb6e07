"""What a derivative is at an edge: each row of the page, in every way of getting it.

A way takes ``(f, at)``, a function of Values and a point, and returns the value and the
partials as plain floats.
"""

from __future__ import annotations

import math
import operator
import pickle
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, bulk, jacobians
from tapegrad.apply import apply
from tapegrad.native.machine.choice import forced
from tapegrad.rules import TABLE

INF, NAN = math.inf, math.nan

# Where functions are recorded: elsewhere than where they are asked, so that the replay
# is what is tested.
ELSEWHERE = (1.625, 0.375, 2.25)


def taped(f, at):
    return tg.record(f, *ELSEWHERE[: len(at)])


def listed(gradient, at):
    return [float(g) for g in (gradient if len(at) > 1 else [gradient])]


def eager(few, native=False):
    def way(f, at):
        with pytest.MonkeyPatch.context() as patch, forced(native):
            patch.setattr(bulk, "FEW", few)
            values = [Value(x) for x in at]
            result = f(*values)
            result.backward()
        return result.data, [v.grad for v in values]

    return way


def reverse(f, at):
    value, gradient = taped(f, at).value_and_gradient(*at)
    return value, listed(gradient, at)


def recorded_here(f, at):
    value, gradient = tg.record(f, *at).value_and_gradient(*at)
    return value, listed(gradient, at)


def by_the_machine(f, at):
    with forced(True):
        return reverse(f, at)


def in_bulk(f, at):
    with pytest.MonkeyPatch.context() as patch, forced(False):
        patch.setattr(jacobians, "BULK", 0)
        patch.setattr(bulk, "FEW", 0)
        return reverse(f, at)


def one_by_one(f, at):
    """f as a function of each operand alone, the others being constants.

    A tangent that is the number 0 meets an infinite partial as 0 * inf, which is NaN.
    """
    for place, x in enumerate(at):
        before, after = at[:place], at[place + 1 :]
        yield x, lambda v, b=before, a=after: f(*b, v, *a)


def forward(f, at):
    found = [taped(g, (x,)).jvp(x, 1.0) for x, g in one_by_one(f, at)]
    return found[0][0], [float(dot) for _, dot in found]


def tangent_tape(f, at):
    found = [taped(g, (x,)).tangent_tape()(x, 1.0) for x, g in one_by_one(f, at)]
    return reverse(f, at)[0], [float(dot) for dot in found]


def adjoint_tape(f, at):
    return reverse(f, at)[0], listed(taped(f, at).adjoint_tape()(*at), at)


def mpmath(f, at):
    value, gradient = taped(f, at).value_and_gradient(*at, arithmetic="mpmath:50")
    return float(value), listed(gradient, at)


def unpickled(f, at):
    tape = pickle.loads(pickle.dumps(taped(f, at)))
    value, gradient = tape.value_and_gradient(*at)
    return value, listed(gradient, at)


def loaded(f, at):
    value, gradient = tg.from_bytes(taped(f, at).to_bytes()).value_and_gradient(*at)
    return value, listed(gradient, at)


def as_entries(f, at):
    """Each operand as an array: what holds of numbers holds of entries."""
    where = [np.full(3, x) for x in ELSEWHERE[: len(at)]]
    tape = tg.record(f, *where)
    places = [np.full(3, x) for x in at]
    value = tape(*places)
    shape = np.shape(value)
    _, slopes = tape.vjp(tuple(places), np.ones(shape))
    slopes = slopes if len(at) > 1 else [slopes]
    return float(np.ravel(value)[0]), [float(np.ravel(g)[0]) for g in slopes]


def native(f, at):
    value, gradient = taped(f, at).compile().value_and_gradient(*at)
    return value, listed(gradient, at)


def native_entries(f, at):
    where = [np.full(3, x) for x in ELSEWHERE[: len(at)]]
    places = [np.full(3, x) for x in at]
    value = tg.record(f, *where).compile()(*places)
    total = tg.record(lambda *xs: np.sum(f(*xs)), *where).compile()
    slopes = total.gradient(*places)
    slopes = slopes if len(at) > 1 else [slopes]
    return float(np.ravel(value)[0]), [float(np.ravel(g)[0]) for g in slopes]


def native_adjoint_tape(f, at):
    compiled = taped(f, at).adjoint_tape().compile()
    return native(f, at)[0], listed(compiled(*at), at)


def as_a_step(f, at):
    """The tape called inside another recording: one call step."""
    return reverse(taped(f, at), at)


def transform(f, at):
    value, gradient = tg.value_and_grad(f, argnums=tuple(range(len(at))))(*at)
    return float(value), [float(g) for g in gradient]


WAYS = {
    "eager": eager(10**9),
    "eager in bulk": eager(0),
    "eager by the machine": eager(0, native=True),
    "reverse": reverse,
    "recorded here": recorded_here,
    "in bulk": in_bulk,
    "by the machine": by_the_machine,
    "forward": forward,
    "tangent tape": tangent_tape,
    "adjoint tape": adjoint_tape,
    "mpmath": mpmath,
    "unpickled": unpickled,
    "loaded": loaded,
    "as entries": as_entries,
    "native": native,
    "native entries": native_entries,
    "native adjoint tape": native_adjoint_tape,
    "as a step": as_a_step,
    "transform": transform,
}


def same(found, expected, relative=0.0):
    """Equal, NaN equal to NaN; or close where a relative error is allowed."""
    if math.isnan(expected):
        return math.isnan(found)
    if relative and math.isfinite(expected):
        return math.isclose(found, expected, rel_tol=relative, abs_tol=0.0)
    return found == expected


ROW_EDGES = [
    pytest.param(row, edge, id=f"{row.name}{edge.at}{dict(edge.params) or ''}")
    for row in TABLE
    for edge in row.edges
]


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.mark.parametrize(("row", "edge"), ROW_EDGES)
def test_the_edges_of_every_row(row, edge, way):
    value, partials = way(lambda *xs: apply(row, *xs, **edge.params), edge.at)
    if edge.value is not None:
        assert same(value, edge.value, edge.relative), value
    for found, expected in zip(partials, edge.partials, strict=True):
        assert same(found, expected, edge.relative), partials


def square(x):
    return x * x


def one_step_in_both_arms(x):
    r = 1 / x
    return tg.where(x > 0, r, r * 0 + x)


# function, point, value, partials; None where the value is not the point
COMPOSITES = {
    "abs at -0.0": (abs, (-0.0,), 0.0, (0.0,)),
    "relu at NaN": (lambda x: x.relu(), (NAN,), NAN, (NAN,)),
    "relu of minus infinity": (lambda x: x.relu(), (-INF,), 0.0, (0.0,)),
    "max with a constant, tie": (lambda x: np.maximum(x, 0.0), (0.0,), 0.0, (0.5,)),
    "max of one Value twice": (lambda x: np.maximum(x, x), (3.0,), 3.0, (1.0,)),
    "max with NaN": (np.maximum, (NAN, 1.0), NAN, (NAN, NAN)),
    "sqrt(x*x) at 0": (lambda x: np.sqrt(x * x), (0.0,), 0.0, (NAN,)),
    "sqrt(x*x) at -3": (lambda x: np.sqrt(x * x), (-3.0,), 3.0, (-1.0,)),
    "x**0.0 at 0": (lambda x: x**0.0, (0.0,), 1.0, (0.0,)),
    "x**0 at NaN": (lambda x: x**0, (NAN,), 1.0, (0.0,)),
    "x**2 at a negative base": (lambda x: x**2, (-3.0,), 9.0, (-6.0,)),
    "x**3 at a negative base": (lambda x: x**3.0, (-2.0,), -8.0, (12.0,)),
    "(-8)**0.5": (lambda x: x**0.5, (-8.0,), NAN, (NAN,)),
    "(-8)**(1/3)": (lambda x: x ** (1 / 3), (-8.0,), NAN, (NAN,)),
    "pow(x, 1)": (lambda x: x**1, (0.1,), 0.1, (1.0,)),
    "constant base at 0": (lambda y: 0.0**y, (2.0,), 0.0, (0.0,)),
    "1/x at 0": (lambda x: 1 / x, (0.0,), INF, (-INF,)),
    "x**-1 at 0": (lambda x: x**-1, (0.0,), INF, (-INF,)),
    "x**-2 at 0": (lambda x: x**-2, (0.0,), INF, (-INF,)),
    "0/0": (lambda x, y: x / y, (0.0, 0.0), NAN, (INF, NAN)),
    "-1/0": (lambda x, y: x / y, (-1.0, 0.0), -INF, (INF, INF)),
    "x/y, huge": (lambda x, y: x / y, (1e200, 1e200), 1.0, (1e-200, -1e-200)),
    "exp(1000)": (np.exp, (1000.0,), INF, (INF,)),
    "exp(-1000)": (np.exp, (-1000.0,), 0.0, (0.0,)),
    "product overflows": (lambda x: x * x, (1e200,), INF, (2e200,)),
    "power overflows": (lambda x: x**4, (1e100,), INF, (4e300,)),
    "log(0)": (np.log, (0.0,), -INF, (INF,)),
    "log(-1)": (np.log, (-1.0,), NAN, (NAN,)),
    "log(1)": (np.log, (1.0,), 0.0, (1.0,)),
    "sin(inf)": (np.sin, (INF,), NAN, (NAN,)),
    "cos(0)": (np.cos, (0.0,), 1.0, (0.0,)),
    "tanh(inf)": (np.tanh, (INF,), 1.0, (0.0,)),
    "tanh(-inf)": (np.tanh, (-INF,), -1.0, (0.0,)),
    "tanh(1000)": (np.tanh, (1000.0,), 1.0, (0.0,)),
    "tanh(-1000)": (np.tanh, (-1000.0,), -1.0, (0.0,)),
    "inf - inf": (lambda x: x - x, (INF,), NAN, (0.0,)),
    "(exp(x)-1)^2 at 0": (lambda x: (np.exp(x) - 1) ** 2, (0.0,), 0.0, (0.0,)),
    "0 times inf in a live arm": (
        lambda x: tg.where(x >= 0, np.sqrt(x * x), x),
        (0.0,),
        0.0,
        (NAN,),
    ),
    "bad arm -inf": (lambda x: tg.where(x > 0, np.log(x), x), (0.0,), 0.0, (1.0,)),
    "bad arm NaN": (
        lambda x: tg.where(x > 0, np.sqrt(x), square(x)),
        (-1.0,),
        1.0,
        (-2.0,),
    ),
    "bad arm inf, first": (
        lambda x: tg.where(x > 1, x**3, np.exp(1000 * x)),
        (2.0,),
        8.0,
        (12.0,),
    ),
    "bad arm 0/0": (
        lambda x: tg.where(x == 0, 1.0, np.sin(x) / x),
        (0.0,),
        1.0,
        (0.0,),
    ),
    "both arms through one bad step": (
        one_step_in_both_arms,
        (2.0,),
        0.5,
        (-0.25,),
    ),
    "nested where": (
        lambda x: tg.where(x > 0, tg.where(x > 1, np.log(x - 1), 3 * x), 2 * x),
        (0.5,),
        1.5,
        (3.0,),
    ),
    "bad step of an arm, deep": (
        lambda x: tg.where(x > 0, np.sqrt(np.sqrt(x)) * np.log(x), x),
        (0.0,),
        0.0,
        (1.0,),
    ),
    "where of two inputs": (
        lambda x, y: tg.where(x < y, x / y, y / x),
        (0.0, 2.0),
        0.0,
        (0.5, -0.0),
    ),
    "where on NaN takes the second arm": (
        lambda x, y: tg.where(x > 0, y, 3 * y),
        (NAN, 2.0),
        6.0,
        (0.0, 3.0),
    ),
    "unused input": (lambda x, y: x * 2, (1.0, INF), 2.0, (2.0, 0.0)),
    "unused input in a dead NaN": (
        lambda x, y: (y * INF, x)[1] + 0,
        (1.0, 0.0),
        1.0,
        (1.0, 0.0),
    ),
    "operand twice": (lambda x: x * x, (3.0,), 9.0, (6.0,)),
    "operand twice in a sum": (lambda x: x + x, (3.0,), 6.0, (2.0,)),
    "operand twice in a quotient": (lambda x: x / x, (4.0,), 1.0, (0.0,)),
    "operand twice in a power": (lambda x: x**x, (1.0,), 1.0, (1.0,)),
    "x % 1 at an integer": (lambda x: apply(TABLE["mod"], x, 1.0), (3.0,), 0.0, (1.0,)),
    "floor at an integer": (np.floor, (3.0,), 3.0, (0.0,)),
    "x - floor(x) at an integer": (lambda x: x - np.floor(x), (3.0,), 0.0, (1.0,)),
    "sign at 0": (np.sign, (0.0,), 0.0, (0.0,)),
    "min(x, x)": (lambda x: np.minimum(x, x), (2.0,), 2.0, (1.0,)),
    "acosh at -2": (np.arccosh, (-2.0,), NAN, (NAN,)),
    "asin outside": (np.arcsin, (2.0,), NAN, (NAN,)),
    "hypot beside an axis": (lambda x: np.hypot(x, 0 * x), (-2.0,), 2.0, (-1.0,)),
    "log1p outside": (np.log1p, (-2.0,), NAN, (NAN,)),
    "a bad arm beside a special function": (
        lambda x: tg.where(x > 0, x.lgamma(), x.sinc()),
        (0.0,),
        1.0,
        (0.0,),
    ),
    "times zero": (lambda x: x * 0.0, (INF,), NAN, (0.0,)),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_composites(name, way):
    f, at, expected, derivatives = COMPOSITES[name]
    value, partials = way(f, at)
    assert same(value, expected), value
    for found, right in zip(partials, derivatives, strict=True):
        assert same(found, right), partials


def test_tanh_keeps_its_digits(way):
    assert same(way(np.tanh, (20.0,))[1][0], 1.6993417021166355e-17, 1e-15)
    assert same(way(lambda x: x.sech2(), (0.0,))[1][0], 0.0)


def test_user_settings_that_raise_change_nothing(way):
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        assert way(lambda x: 1 / x + np.exp(x * 1e4), (1.0,))[0] == INF
        assert math.isnan(way(lambda x: np.log(x) * 0, (-1.0,))[1][0])
        assert way(lambda x: x**-3, (0.0,))[1] == [-INF]


COMPARISONS = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
}
PAIRS = [(1.0, 2.0), (2.0, 1.0), (0.0, -0.0), (INF, INF), (-INF, 0.0), (5e-324, 0.0)]
PAIRS += [(NAN, 1.0), (1.0, NAN), (NAN, NAN)]


@pytest.mark.parametrize("name", COMPARISONS)
def test_comparisons_follow_ieee(name, way):
    row, right = TABLE[name], COMPARISONS[name]
    for at in PAIRS:
        value, partials = way(lambda x, y: tg.where(apply(row, x, y), 1.0, x * 0), at)
        assert (value == 1.0) is right(*at), at
        assert right(*at) is False or partials == [0.0, 0.0]


def test_every_comparison_is_tried():
    assert {
        row.name
        for row in TABLE
        if row.kind == "predicate" and not row.name.startswith("logical")
    } == set(COMPARISONS)


@pytest.mark.parametrize("at", [(1.0, 2.0), (2.0, 1.0), (-1.0, 2.0), (-2.0, -3.0)])
def test_logic(at, way):
    def f(x, y):
        both = np.logical_and(x > 0, x < y)
        one = np.logical_or(x < 0, y < 0)
        no = np.logical_not(one)
        return tg.where(both, x, 0.0) + tg.where(one, 10 * y, 0.0) + tg.where(no, 5, 0)

    (x, y), (value, partials) = at, way(f, at)
    both, one = 0 < x < y, x < 0 or y < 0
    assert value == both * x + one * 10 * y + (not one) * 5
    assert partials == [float(both), 10.0 * one]


@pytest.mark.parametrize("at", [(1.0, 2.0), (-1.0, 2.0), (1.0, -2.0), (-1.0, -2.0)])
def test_exclusive_or(at, way):
    def f(x, y):
        return tg.where(np.logical_xor(x > 0, y > 0), 3 * x, y * y)

    (x, y), (value, partials) = at, way(f, at)
    odd = (x > 0) != (y > 0)
    assert value == (3 * x if odd else y * y)
    assert partials == ([3.0, 0.0] if odd else [0.0, 2 * y])


def test_numbers_in_logic_are_true_where_they_are_not_0(way):
    def f(x, y):
        return tg.where(np.logical_and(x, np.logical_or(y, False)), x * y, x)

    assert way(f, (2.0, 3.0)) == (6.0, [3.0, 2.0])
    assert way(f, (2.0, 0.0)) == (2.0, [1.0, 0.0])
    assert way(f, (0.0, 3.0)) == (0.0, [1.0, 0.0])
    assert way(lambda x: tg.where(np.logical_not(x), x + 1, x), (0.0,))[0] == 1.0


def test_logic_of_what_is_no_number_is_an_error():
    with pytest.raises(TypeError):
        np.logical_and(Value(1.0), "text")
