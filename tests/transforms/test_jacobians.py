"""Whole Jacobians: the cheaper mode, many seeds at once, sparse ones by colours."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.transforms import dense

RNG = np.random.default_rng(5)
TALL, WIDE = RNG.normal(size=(40, 3)), RNG.normal(size=(3, 40))
FULL = RNG.normal(size=(20, 20))


@pytest.fixture
def counted(monkeypatch):
    """How many sweeps are made, by mode."""
    found = {"tangent": 0, "adjoint": 0}

    def counting(name):
        sweep = getattr(sweeps, name)

        def one(*args, **kwargs):
            found[name] += 1
            return sweep(*args, **kwargs)

        monkeypatch.setattr(sweeps, name, one)

    for name in found:
        counting(name)
    return found


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [(TALL, {"tangent": 3, "adjoint": 0}), (WIDE, {"tangent": 0, "adjoint": 3})],
)
def test_few_sweeps_in_the_cheaper_mode(counted, matrix, expected):
    x = np.linspace(0.1, 1.0, matrix.shape[1])
    found = tg.jacobian(lambda x: np.sin(matrix @ x))(x)
    assert counted == expected
    exact = np.cos(matrix @ x)[:, None] * matrix
    np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-15)


def test_many_sweeps_are_lanes_of_one(counted):
    x = np.linspace(0.1, 1.0, 20)
    exact = np.cos(FULL @ x)[:, None] * FULL
    f = lambda x: np.sin(FULL @ x)  # noqa: E731
    np.testing.assert_allclose(tg.jacobian(f)(x), exact, rtol=1e-13)
    # one sweep is recorded, for all rows
    assert counted == {"tangent": 0, "adjoint": 1}
    twice = lambda x: np.concatenate([f(x), f(x)])  # noqa: E731
    np.testing.assert_allclose(tg.jacobian(twice)(x)[20:], exact, rtol=1e-13)
    assert counted == {"tangent": 1, "adjoint": 1}


def test_a_tape_keeps_what_is_linear(counted):
    tape = tg.record(lambda x: np.sin(FULL @ x), np.ones(20))
    for x in (np.linspace(0.1, 1.0, 20), np.linspace(-1.0, 1.0, 20)):
        exact = np.cos(FULL @ x)[:, None] * FULL
        np.testing.assert_allclose(tape.jacobian(x), exact, rtol=1e-13)
    assert counted["adjoint"] == 1


@pytest.mark.parametrize("transform", [tg.jacobian, tg.hessian])
def test_a_recorded_derivative_does_not_grow_with_the_entries(transform):
    def f(x):
        y = np.tanh(x) * x[::-1]
        return y if transform is tg.jacobian else np.sum(y)

    few, many = (tg.record(transform(f), np.ones(n)) for n in (8, 60))
    assert len(sweeps.flat(few)) == len(sweeps.flat(many)) < 40


def test_chunks_of_lanes_and_colours_give_the_same(monkeypatch):
    def f(x, y):
        z = x[1:] ** 2 * x[:-1] - 0.5 * x[1:]
        return {"z": z, "w": [np.outer(x[:9], y[:2]), np.sum(x) * y]}

    x, y = RNG.normal(size=30), RNG.normal(size=12)
    tape = tg.record(f, x, y)
    whole = tape.jacobian(x, y)
    rows = np.zeros((29, 30))
    rows[:, :29] = np.diag(x[1:] ** 2)
    rows[:, 1:] += np.diag(2 * x[1:] * x[:-1] - 0.5)
    np.testing.assert_allclose(whole["z"][0], rows, rtol=1e-14)
    assert not whole["z"][1].any()
    assert whole["w"][0][0].shape == (9, 2, 30)
    for setting, value in (("ROOM", 200), ("FEW", 10**9), ("HEAVY", 1)):
        monkeypatch.setattr(dense, setting, value)
        found = tg.record(f, x, y).jacobian(x, y)
        for mine, other in zip(_flat(found), _flat(whole), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-14, atol=1e-15)
        monkeypatch.undo()
    recorded = tg.record(tg.jacobian(f, (0, 1)), x + 1.0, y + 1.0)
    for mine, other in zip(_flat(recorded(x, y)), _flat(whole), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-14, atol=1e-15)


def _flat(found):
    return [*found["z"], *found["w"][0], *found["w"][1]]


def test_a_long_tape_of_numbers_is_swept_by_colours(counted):
    n = 300
    x = RNG.normal(size=n)

    def f(x):
        v = np.asarray(x)  # numbers, one by one
        return np.array([v[i] ** 2 * v[i + 1] - 0.5 * v[i] for i in range(n - 1)])

    found = tg.jacobian(f)(x)
    exact = np.zeros((n - 1, n))
    np.fill_diagonal(exact, 2 * x[:-1] * x[1:] - 0.5)
    np.fill_diagonal(exact[:, 1:], x[:-1] ** 2)
    np.testing.assert_allclose(found, exact, rtol=1e-14)
    assert counted["tangent"] + counted["adjoint"] <= 4


STEEP = {
    "wide": (np.sqrt, np.diag([np.inf, 0.5, 0.25])),
    "tall": (
        lambda x: np.concatenate([np.sqrt(x), x]),
        np.vstack([np.diag([np.inf, 0.5, 0.25]), np.eye(3)]),
    ),
    "mixed": (
        lambda x: np.sqrt(x) + x[::-1],
        [[np.inf, 0, 1], [0, 1.5, 0], [1, 0, 0.25]],
    ),
}


@pytest.mark.parametrize("case", STEEP)
@pytest.mark.parametrize("repeat", [1, 4])
def test_the_zeros_of_a_seed_are_structural(case, repeat):
    # 0 * inf is no entry of a Jacobian
    f, exact = STEEP[case]
    x = np.array([0.0, 1.0, 4.0])
    if repeat > 1:  # so many that they are lanes
        x = np.concatenate([x, np.ones(3 * repeat - 3)])
    found = {
        "function": tg.jacobian(f)(x),
        "tape": tg.record(f, x + 1.0).jacobian(x),
        "native": tg.record(f, x + 1.0).compile(level=0).jacobian(x),
    }
    if case != "tall":
        found["recorded"] = tg.record(tg.jacobian(f), x + 1.0)(x)
    for jacobian in found.values():
        assert not np.isnan(jacobian).any()
        assert jacobian[0, 0] == np.inf
        if repeat == 1:
            np.testing.assert_array_equal(jacobian, exact)


@pytest.mark.parametrize(
    ("f", "far"),
    [
        (np.exp, 1000.0),
        (np.sinh, 1000.0),
        (lambda x: np.fmod(1e300, x), 1e-300),
        (lambda x: np.cosh(x) + x**2, -1000.0),
        (lambda x: x**5, 1e100),
    ],
)
def test_what_overflows_in_one_entry_stays_there(f, far):
    x = np.linspace(0.5, 1.5, 10)
    tape = tg.record(tg.jacobian(f), x)
    x[3] = far
    found = tape(x)
    assert np.isinf(found[3, 3])
    found[3, 3] = 0.0
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, np.diag(np.diag(found)))


def test_tame_rows_need_no_masks():
    x = np.linspace(0.5, 1.5, 10)
    tame = tg.record(tg.jacobian(lambda x: np.tanh(x) * x**2), x)
    steep = tg.record(tg.jacobian(lambda x: np.exp(x) * x**2), x)
    names = [set(sweeps.flat(tape).operations) for tape in (tame, steep)]
    assert ["where" in found for found in names] == [False, True]


def test_blocks_of_a_matrix_with_a_pattern(monkeypatch):
    monkeypatch.setattr(dense, "HEAVY", 1)
    f = lambda x, y, s: (x * y, {"z": x * x + s, "one": x[3] * y[4]})  # noqa: E731
    x, y = RNG.normal(size=(2, 20))
    products, rest = tg.jacobian(f, (0, 1))(x, y, 1.0)
    np.testing.assert_array_equal(products, [np.diag(y), np.diag(x)])
    np.testing.assert_array_equal(rest["z"], [np.diag(2 * x), np.zeros((20, 20))])
    np.testing.assert_array_equal(rest["one"][0], np.eye(20)[3] * y[4])
    np.testing.assert_array_equal(rest["one"][1], np.eye(20)[4] * x[3])


@pytest.mark.parametrize("heavy", [1, 10**9])
def test_dtypes_and_inputs_without_a_derivative(monkeypatch, heavy):
    monkeypatch.setattr(dense, "HEAVY", heavy)
    x, at = np.linspace(0.1, 1.0, 12).astype(np.float32), np.arange(11, -1, -1)
    f = lambda x, at: x[at] * x  # noqa: E731
    found = tg.jacobian(f)(x, at)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, np.diag(x[::-1]) + np.fliplr(np.diag(x)), rtol=1e-6
    )
    tape = tg.record(f, x, at)
    np.testing.assert_array_equal(tape.jacobian(x, at), found)
    # the pattern depends on the integers
    rolled = np.roll(np.arange(12), 3)
    exact = np.diag(x[rolled]) + np.eye(12)[rolled] * x[:, None]
    np.testing.assert_allclose(tape.jacobian(x, rolled), exact, rtol=1e-6)


def test_shapes_of_blocks():
    f = lambda a, s, e: (a * s, s, np.sum(a), e)  # noqa: E731
    a = RNG.normal(size=(2, 5))
    found = tg.jacobian(f, (0, 1, 2))(a, 2.0, np.zeros((0, 3)))
    shapes = [[np.shape(part) for part in row] for row in found]
    lead = [(2, 5), (), (), (0, 3)]
    assert shapes == [[out + by for by in [(2, 5), (), (0, 3)]] for out in lead]
    np.testing.assert_array_equal(found[0][0].reshape(10, 10), 2.0 * np.eye(10))
    np.testing.assert_array_equal(found[0][1], a)
    recorded = tg.record(tg.jacobian(f, (0, 1, 2)), a, 2.0, np.zeros((0, 3)))
    again = recorded(a, 2.0, np.zeros((0, 3)))
    for row, other in zip(found, again, strict=True):
        for part, mine in zip(row, other, strict=True):
            np.testing.assert_array_equal(part, mine)
