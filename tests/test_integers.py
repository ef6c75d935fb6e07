"""Arithmetic of recorded integers: int64 as in NumPy, in every reading and tier."""

from __future__ import annotations

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native.arrays.integers import FORMS
from tapegrad.rules import TABLE

RNG = np.random.default_rng(5)
LEAST, MOST = -(2**63), 2**63 - 1
A = np.concatenate(
    [RNG.integers(-20, 20, 30), [2**62, LEAST, MOST, 2**53 + 1, -(2**53) - 3, 7, -7, 0]]
)
B = np.concatenate([RNG.integers(-5, 6, 30), [3, -1, 7, 2, -2, 0, LEAST, 0]])

FUNCTIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "neg": lambda a, b: -a,
    "abs": lambda a, b: abs(a),
    "mod": lambda a, b: a % b,
    "floor_divide": lambda a, b: a // b,
    "divmod": lambda a, b: divmod(a, b)[0] - divmod(a, b)[1],
    "by a number": lambda a, b: (3 - a) // 7 + (b + 1) % 5 - np.int64(2) * b,
    "of a number": lambda a, b: 100 // b - 100 % b,
    "truth values": lambda a, b: a + (a > b),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "clip": lambda a, b: np.clip(a, -3, b),
    "clip below": lambda a, b: np.clip(a, -3, None),
    "where": lambda a, b: np.where(a < b, a, 5),
    "power": lambda a, b: a**3 - b**5,
    "sign": lambda a, b: np.where(a >= b, np.int64(1), 0) * a - np.where(a <= b, b, -1),
    "equal": lambda a, b: np.where((a == b) | (a != 7), a, b),
    "broadcast": lambda a, b: np.reshape(a, (-1, 1)) * b[:3] + np.int64(1),
    "one": lambda a, b: a[0] * b[1] - a[2] // 3,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ints_are_those_of_numpy(name: str) -> None:
    """Where they go round at 2**63, and where they are divided by 0, too."""
    f = FUNCTIONS[name]
    tape = tg.record(f, A, B)
    tape.check()
    with np.errstate(all="ignore"):
        wanted = f(A, B)
    runs = {
        "tape": tape,
        "file": tg.from_bytes(tape.to_bytes()),
        "simplified": tape.simplify(),
        "native": tape.compile(),
        "mpmath": lambda a, b: tape(a, b, arithmetic="mpmath:30"),
        "float32": lambda a, b: tape(a, b, arithmetic="float32"),
    }
    for tier, run in runs.items():
        found = run(A, B)
        assert found.dtype == np.int64, tier
        assert np.array_equal(found, wanted), tier


@pytest.mark.parametrize(
    "f",
    [
        lambda k: k / 2,
        lambda k: k + 0.5,
        lambda k: k * np.float64(2),
        np.sqrt,
        lambda k: k**0.5,
        lambda k: k**-1,
        lambda k: 2.0 % k,
    ],
)
def test_what_is_computed_with_floats_is_a_float(f) -> None:
    k = np.array([1, 2, 5])
    tape = tg.record(f, k)
    wanted = f(k.astype(float))
    assert tape(k).dtype == np.float64
    assert np.allclose(tape(k), wanted, rtol=1e-15)
    assert np.allclose(tape.compile()(k), wanted, rtol=1e-15)


def test_eager_arrays_of_ints_are_floats() -> None:
    assert (tg.Value(np.arange(3)) + 1).data.dtype == np.float64
    assert tg.maximum(np.arange(3), 1).data.dtype == np.float64


def test_an_int_has_no_derivative_and_takes_none_away() -> None:
    def f(x, k):
        return np.sum(x[(k + 1) % 3] ** 2 * (k * k - 1)) * 0.5

    x, k = np.array([0.5, -1.5, 2.0]), np.array([0, 1, 4])
    tape = tg.record(f, x, k)
    grown = np.zeros(3)
    np.add.at(grown, (k + 1) % 3, x[(k + 1) % 3] * (k * k - 1))
    for found in (tape.gradient, tape.compile().gradient, tg.grad(f)):
        assert np.allclose(found(x, k), grown, rtol=1e-15)
    second = np.zeros(3)
    np.add.at(second, (k + 1) % 3, k * k - 1.0)
    assert np.allclose(tape.hessian(x, k), np.diag(second))
    assert np.allclose(tape.compile().hessian(x, k), np.diag(second))
    assert tape.jvp((x, k), (x, k * 0))[1] == pytest.approx(grown @ x)
    sparse = tg.sparse_jacobian(lambda x, k: x[(k + 1) % 3] ** 2 * k, x, k)
    for at in (k, np.array([2, 2, 3])):  # other places are another pattern
        wanted = tg.jacobian(lambda x, at=at: x[(at + 1) % 3] ** 2 * at)(x)
        assert np.array_equal(sparse(x, at).toarray(), wanted)


def test_a_tape_with_ints_is_called_on_eager_values() -> None:
    def f(x, k):
        return np.sum(x[(k + 1) % 3] * ((k * k - 1) // 2)) + np.sum(
            np.where(k > 1, k, -k) * x
        )

    x, k = np.array([0.5, -1.5, 2.0]), np.array([0, 1, 4])
    tape = tg.record(f, x, k)
    eager = tg.Value(x)
    y = tape(eager, k)
    y.backward()
    assert y.data == pytest.approx(f(x, k), rel=1e-15)
    assert np.allclose(eager.grad, tape.gradient(x, k), rtol=1e-15)


def test_ints_under_vmap() -> None:
    def f(x, k):
        return x[(k + 1) // 2] * (k % 3) - np.minimum(k, 1)

    x, k = np.array([0.5, -1.5, 2.0]), np.arange(5)
    wanted = [f(x, at) for at in k]
    assert np.allclose(tg.vmap(f, in_axes=(None, 0))(x, k), wanted, rtol=1e-15)
    tape = tg.record(tg.vmap(f, in_axes=(None, 0)), x, k)
    assert [step.primitive.name for step in tape].count("floor_divide") == 1
    assert np.allclose(tape.compile()(x, k), wanted, rtol=1e-15)


def test_places_out_of_bounds_are_errors_in_every_tier() -> None:
    tape = tg.record(lambda x, k: x[k + 1], np.arange(3.0), np.array([0, 1]))
    for run in (tape, tape.jacobian, tape.compile()):
        with pytest.raises(tg.IndexOutOfBounds, match="out of bounds"):
            run(np.arange(3.0), np.array([0, 2]))


def test_formulas_with_ints() -> None:
    def f(x):
        return tg.fori_loop(0, 3, lambda i, s: s * x[(i + 1) % 3] + x[i // 2], 0.0)

    tape = tg.record(f, np.array([1.0, 2.0, 3.0]))
    import sympy

    names = sympy.symbols("x_0:3")
    formula = sympy.expand(tape.to_sympy())
    wanted = 0
    for i in range(3):
        wanted = wanted * names[(i + 1) % 3] + names[i // 2]
    assert str(formula) == str(sympy.expand(wanted))


def test_source_with_ints() -> None:
    """NumPy's own integers, in the source that a tape gives."""

    def f(x, k):
        places = np.where(k > 1, k // 2, -k) + np.minimum(k * k, 1)
        return np.sum(x[places % 3] * (abs(k) - np.clip(k, 0, 3)))

    x, k = np.array([0.5, -1.5, 2.0]), np.array([0, 1, 5])
    tape = tg.record(f, x, k)
    space: dict = {}
    exec(tape.to_python(), space)  # noqa: S102 - that is what the text is for
    for at in (k, k + 2, -3 * k):
        assert space["value"](x, at) == pytest.approx(f(x, at), rel=1e-15)
        value, slope = space["value_and_gradient"](x, at)
        assert value == space["value"](x, at)
        assert np.allclose(slope, tape.gradient(x, at), rtol=1e-15)


def test_a_float_in_the_place_of_an_index_is_refused() -> None:
    with pytest.raises(tg.IndexOutOfBounds, match=r"astype\(int\)"):
        tg.record(lambda x, k: x[k / 2], np.arange(3.0), np.array([0, 2]))


def test_the_grammar_knows_ints() -> None:
    """A sum of ints is no float, and a sine is no int."""
    from tapegrad.rules import TABLE
    from tapegrad.tape.fits import _result

    whole, real = ((3,), "int64"), ((3,), "float64")
    assert _result(TABLE["add"], [whole, whole], {}) == [whole]
    assert _result(TABLE["add"], [real, real], {}) == [real]
    assert _result(TABLE["where"], [((3,), "bool"), whole, whole], {}) == [whole]
    assert _result(TABLE["less"], [whole, whole], {}) == [((3,), "bool")]
    assert _result(TABLE["floor_divide"], [whole, whole], {}) == [whole]


def test_each_row_of_ints_has_its_native_text():
    """Without, such a row would be lowered as one of floats, on the bits of ints."""
    assert {row.name for row in TABLE if row.integers} == {*FORMS}
