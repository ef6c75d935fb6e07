"""mpmath and SymPy over arrays: entries, shapes, reductions, matrices."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
from tapegrad.errors import DomainError, ShapeError
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import cases, pulled, values
from tapegrad.readings import reading
from tapegrad.readings.mixed import MIXED
from tapegrad.readings.sympy import SYMPY
from tapegrad.rules import TABLE

BIG = reading("mpmath:50")
WHOLE = [row for row in TABLE if row.whole]
ELEMENTWISE = [row for row in TABLE if row.kind == "elementwise" and row.sympy]
NO_FORMULA = {"eigh", "svdvals"}
BOTH = pytest.mark.parametrize("m", [BIG, SYMPY], ids=["mpmath", "sympy"])


def names(rows):
    return [row.name for row in rows]


def floats(x):
    """An array of any reading as NumPy's."""
    if isinstance(x, np.ndarray) and x.dtype != object:
        return x
    flat = [float(entry) for entry in np.asarray(x, object).ravel()]
    return np.array(flat).reshape(np.shape(x))


@BOTH
@pytest.mark.parametrize("row", ELEMENTWISE, ids=names(ELEMENTWISE))
def test_elementwise_rows_broadcast_entry_by_entry(row, m):
    shapes = [(2, 1), (3,), ()][: row.arity]
    rng = np.random.default_rng(0)
    low = [max(interval[0], -4.0) for interval in row.domain]
    high = [min(interval[1], 4.0) for interval in row.domain]
    xs = [
        rng.uniform(a + 0.1 * (b - a), b - 0.1 * (b - a), shape)
        for a, b, shape in zip(low, high, shapes, strict=True)
    ]
    operands = [m.number(x if x.shape else float(x)) for x in xs]
    wide = np.broadcast_arrays(*xs)
    for params in row.params:
        one = m.evaluator(row)
        try:
            y = one(*operands, **params)
        except DomainError:
            assert m is SYMPY
            continue
        assert y.shape == wide[0].shape
        for place in np.ndindex(y.shape):
            alone = one(*(m.number(float(x[place])) for x in wide), **params)
            assert str(y[place]) == str(alone)


READ = [(BIG, row) for row in WHOLE] + [
    (SYMPY, row) for row in WHOLE if row.name not in NO_FORMULA
]


@pytest.mark.parametrize(
    ("m", "row"), READ, ids=[f"{m.name} {r.name}" for m, r in READ]
)
def test_whole_rows_and_their_pulls_agree_with_numpy(m, row):
    for case in cases(row)[::3]:
        xs = [m.number(x) for x in case.xs]
        expected = values(MIXED, case, case.xs)
        for y, exact in zip(values(m, case, xs), expected, strict=True):
            assert m.shape(y) == np.shape(exact)
            if m is BIG:
                assert m.dtype(y) == MIXED.dtype(exact).replace("32", "64")
            if row.name == "eigh":  # up to a sign
                np.testing.assert_allclose(abs(floats(y)), abs(exact), rtol=1e-12)
                continue
            np.testing.assert_allclose(floats(y), exact, rtol=1e-12, atol=1e-13)
        if row.kind not in SMOOTH or row.name == "eigh":
            continue
        bars = [m.number(bar) for bar in case.bars]
        wanted = pulled(MIXED, case, case.xs, case.bars)
        for part, exact in zip(pulled(m, case, xs, bars), wanted, strict=True):
            np.testing.assert_allclose(floats(part), exact, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("name", "shape", "params"),
    [
        ("sum", (2, 2), {"axes": (0,)}),
        ("mean", (3,), {"axes": (0,)}),
        ("prod", (3,), {"axes": (0,)}),
        ("norm", (3,), {"axes": (0,)}),
        ("logsumexp", (3,), {"axes": (0,)}),
        ("softmax", (3,), {"axes": (0,)}),
        ("cumsum", (3,), {"axis": 0}),
        ("inv", (2, 2), {}),
        ("det", (2, 2), {}),
        ("cofactor", (2, 2), {}),
        ("transpose", (2, 2), {"axes": (1, 0)}),
        ("tril", (2, 2), {"k": 0}),
    ],
)
def test_a_pull_is_the_derivative_that_sympy_finds(name, shape, params):
    """The rule, read with symbols, against SymPy's derivative of the row itself."""
    count = int(np.prod(shape))
    symbols = sp.symbols(f"x:{count}", positive=True)
    x = np.array(symbols, object).reshape(shape)
    row = TABLE[name]
    y = getattr(SYMPY, name)(x, **params)
    rng = np.random.default_rng(7)
    bar = SYMPY.number(rng.integers(1, 5, np.shape(y)).astype(float))
    case = cases(row)[0].__class__(row, params, (x,), (x,), (bar,))
    (found,) = pulled(SYMPY, case, [x], [bar])
    total = sp.Add(*(np.asarray(y * bar, object).ravel().tolist()))
    for symbol, part in zip(symbols, np.asarray(found, object).ravel(), strict=True):
        assert sp.simplify(sp.diff(total, symbol) - part) == 0


def test_eigenvalues_have_no_formula():
    x = SYMPY.number(np.eye(2))
    with pytest.raises(DomainError, match="eigh of shape"):
        SYMPY.eigh(x)
    with pytest.raises(DomainError, match="svdvals"):
        SYMPY.svdvals(x)


@BOTH
def test_singular_and_indefinite_matrices(m):
    one = m.number(np.ones((2, 2)))
    with pytest.raises(np.linalg.LinAlgError):
        m.inv(one)
    with pytest.raises(np.linalg.LinAlgError):
        m.solve(one, one)
    assert floats(m.det(one)) == 0
    assert floats(m.cofactor(one)).tolist() == [[1, -1], [-1, 1]]
    if m is BIG:
        with pytest.raises(np.linalg.LinAlgError, match="definite"):
            m.cholesky(-one)


@BOTH
def test_words_of_rule_text(m):
    x = m.number(np.array([[1.0, 2.0, 3.0]]))
    assert m.shape(x) == (1, 3)
    assert m.shape(m.number(2.0)) == ()
    assert m.dtype(x) == m.dtype(m.number(2.0)) == "float64"
    assert floats(m.like(7, x)).tolist() == [[7, 7, 7]]
    assert float(m.like(7, m.number(2.0))) == 7
    assert floats(m.count_up((2, 2))).tolist() == [[0, 1], [2, 3]]
    assert m.dtype(m.less(x, 2)) == "bool"
    chosen = m.where(m.less(x, 2), 0, x)
    assert floats(chosen).tolist() == [[0, 2, 3]]
    assert m.number(np.array([1, 2])).dtype == np.int64
    assert m.dtype(m.number(np.array([True]))) == "bool"


@BOTH
def test_numbers_and_arrays_meet_in_operators(m):
    x, a = m.number(3.0), m.number(np.array([1.0, 2.0]))
    assert floats(x + a).tolist() == [4, 5]
    assert floats(a - x).tolist() == [-2, -1]
    assert floats(x - a).tolist() == [2, 1]
    assert floats(x * a).tolist() == [3, 6]
    assert floats(x / a).tolist() == [3, 1.5]
    assert floats(a / x)[0] == pytest.approx(1 / 3)
    assert floats(1 - a).tolist() == [0, -1]


@BOTH
def test_zeros_that_numpy_makes_are_numbers_of_the_reading(m):
    a = m.number(np.array([[1.0, 2.0], [3.0, 4.0]]))
    kind = type(m.number(0.5))
    for y in (
        m.tril(a, k=0),
        m.scatter(a, key=((0, 2, 1), (0, 2, 1)), shape=(3, 3)),
        m.sum(m.number(np.zeros((0, 2))), axes=(0,)),
        m.matmul(m.number(np.zeros((2, 0))), m.number(np.zeros((0, 2)))),
    ):
        assert not any(type(entry) is int for entry in y.flat)
        if m is BIG:
            assert {type(entry) for entry in y.flat} == {kind}


@BOTH
def test_nothing_to_choose_from(m):
    with pytest.raises(ShapeError, match="no entries"):
        m.amax(m.number(np.zeros((0, 2))), axes=(0,))


@BOTH
def test_empty_matrices(m):
    empty = m.number(np.zeros((0, 0)))
    assert float(m.det(empty)) == 1
    assert m.inv(empty).shape == (0, 0)
    assert m.solve(m.number(np.zeros((2, 0, 0))), empty).shape == (2, 0, 0)


def test_conversions():
    a = BIG.number(np.array([1.5, -2.5]))
    assert BIG.astype(a, "int64").tolist() == [1, -2]
    assert BIG.astype(a, "bool").tolist() == [True, True]
    assert floats(BIG.astype(np.array([True, False]), "float64")).tolist() == [1, 0]
    assert floats(BIG.astype(np.array([3]), "float32")).tolist() == [3]
    with pytest.raises(DomainError, match="integer value"):
        SYMPY.astype(np.array([sp.Symbol("x")], object), "int64")


def test_symbols_are_not_sorted():
    x = np.array(sp.symbols("x:3", real=True), object)
    with pytest.raises(DomainError, match="order of symbols"):
        SYMPY.argsort(x, axis=0)
    assert SYMPY.amax(x, axes=(0,)) == sp.Max(*x)
    numbers = SYMPY.number(np.array([3.0, 1.0, 2.0]))
    assert SYMPY.argsort(numbers, axis=0).tolist() == [1, 2, 0]


def test_tapes_of_arrays_in_fifty_digits():
    x = np.array([[2.0, 1.0], [0.5, 3.0]])
    tape = tg.record(lambda a: (a * a).sum() / 3.0, x)
    exact = tape(x, arithmetic="mpmath:50")
    assert str(exact).startswith("4.75")
    third = tg.record(lambda a: (a / 3.0).sum(), x)(x, arithmetic="mpmath:50")
    assert str(third).startswith("2.1666666666666666666666666666666666666666")
