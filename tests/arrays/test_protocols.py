"""The two protocols: what is handed over, what is refused, and with which words."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special

import tapegrad as tg
from tapegrad import Value

X = np.array([1.3, 0.7, 0.8, 1.9, 1.2])
M = np.arange(6.0).reshape(2, 3) / 5


def test_rosen_of_scipy_unchanged():
    rosen, der = scipy.optimize.rosen, scipy.optimize.rosen_der
    np.testing.assert_allclose(tg.grad(rosen)(X), der(X), 1e-12)
    tape = tg.record(rosen, X)
    np.testing.assert_allclose(tape(X * 1.1), rosen(X * 1.1), 1e-14)
    leaf = Value(X)
    rosen(leaf).backward()
    np.testing.assert_allclose(leaf.grad, der(X), 1e-12)
    scalars = [Value(x) for x in X]
    rosen(scalars).backward()
    np.testing.assert_allclose([v.grad for v in scalars], der(X), 1e-12)
    scalars = np.array([Value(x) for x in X])
    rosen(scalars).backward()
    np.testing.assert_allclose([v.grad for v in scalars], der(X), 1e-12)
    hessian = np.asarray(tg.hessian(rosen)(X))
    np.testing.assert_allclose(hessian, scipy.optimize.rosen_hess(X), 1e-10, 1e-9)


def test_softmax_of_scipy_unchanged():
    weights = np.arange(5.0)
    ours = tg.grad(lambda x: np.sum(weights * tg.softmax(x)))(X)
    theirs = tg.grad(lambda x: np.sum(weights * scipy.special.softmax(x)))(X)
    np.testing.assert_allclose(theirs, ours, 1e-12)
    np.testing.assert_allclose(tg.softmax(X), scipy.special.softmax(X), 1e-15)


def test_a_minimiser_of_scipy():
    tape = tg.record(lambda x: np.sum((x - np.arange(5.0)) ** 4 + x**2), X)
    found = scipy.optimize.minimize(tape, X, jac=tape.gradient, method="BFGS")
    assert np.linalg.norm(tape.gradient(found.x)) < 1e-4


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda v: np.sum(v, out=np.zeros(())), r"np\.sum\(\.\.\., out=\)"),
        (lambda v: np.sum(v, where=v > 1), r"np\.sum\(\.\.\., where=\).*np\.where"),
        (lambda v: v.sum(where=v > 1), r"sum\(\.\.\., where=\)"),
        (lambda v: np.max(v, initial=3.0), r"initial="),
        (lambda v: np.add(v, 1, where=[True] * 5), r"np\.add\(\.\.\., where=\)"),
        (lambda v: np.add(v, 1, out=np.zeros(5)), r"np\.add with out="),
        (lambda v: np.sum(v, dtype=int), r"dtype="),
        (lambda v: np.multiply.at(v, [0], 1.0), r"np\.multiply\.at.*np\.add\.at"),
        (lambda v: np.add.reduceat(v, [0, 1]), r"np\.add\.reduceat"),
        (lambda v: np.multiply.reduce(v, initial=2.0), r"initial="),
        (lambda v: np.quantile(v, 0.5, method="lower"), r"method="),
        (lambda v: np.linalg.svd(v[:, None] * v), r"vectors"),
        (lambda v: np.einsum(v, [0], v, [0]), r"lists of ints"),
        (lambda v: v.astype(int), r"astype\(int64\)"),
        (lambda v: v.sort(), r"np\.sort"),
        (scipy.special.gamma, r"scipy\.special\.gamma"),
        (lambda v: np.convolve(v, v, mode="odd"), r"'odd'"),
        (lambda v: np.linalg.norm(v, "fro"), r"'fro'"),
    ],
)
def test_what_is_not_recorded_is_named(call, text):
    with pytest.raises(tg.RecordError, match=text):
        call(Value(X))
    with pytest.raises(tg.RecordError, match=text):
        tg.record(call, X)


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (lambda m: m + np.ones(4), (r"\(2, 3\)", r"\(4,\)")),
        (lambda m: np.hypot(np.ones((3, 1, 2)), m), (r"\(3, 1, 2\)", r"\(2, 3\)")),
        (lambda m: m @ m, (r"\(2, 3\)", r"\(2, 3\)")),
        (lambda m: np.dot(m, np.ones(2)), (r"\(2, 3\)", r"\(2,\)")),
        (lambda m: np.where(m > 0, m, np.ones(2)), (r"\(2, 3\)", r"\(2,\)")),
        (lambda m: np.concatenate([m, m.T]), (r"\(2, 3\)", r"\(3, 2\)")),
        (lambda m: np.stack([m, m[0]]), (r"\(2, 3\)", r"\(3,\)")),
        (lambda m: m.reshape(4, 2), (r"\(2, 3\)", r"\(4, 2\)")),
        (lambda m: m.reshape(-1, 4), (r"\(2, 3\)", r"\(-1, 4\)")),
        (lambda m: np.broadcast_to(m, (3, 2)), (r"\(2, 3\)", r"\(3, 2\)")),
        (lambda m: np.einsum("ij,j", m, np.ones(4)), (r"\(2, 3\)", r"\(4,\)")),
        (lambda m: np.tensordot(m, m, 1), (r"\(2, 3\)", r"\(2, 3\)")),
        (lambda m: np.linalg.solve(m, m), (r"\(2, 3\)", "square")),
        (lambda m: np.linalg.solve(m @ m.T, m[0]), (r"\(2, 2\)", r"\(3,\)")),
        (np.linalg.det, (r"\(2, 3\)", "square")),
        (np.linalg.cholesky, (r"\(2, 3\)", "square")),
        (lambda m: np.squeeze(m, 0), (r"\(2, 3\)", "axes")),
        (lambda m: np.cross(m, np.ones(2)), (r"\(2, 3\)", r"\(2,\)")),
        (lambda m: np.split(m, 2, axis=1), (r"\(2, 3\)", "equal")),
        (lambda m: m.sum(axis=2), ("axis 2", "2 dimensions")),
        (lambda m: np.max(m[:, :0]), (r"\(2, 0\)", "no entries")),
        (lambda m: np.vecdot(m, m[:, :2]), (r"\(2, 3\)", r"\(2, 2\)")),
        (lambda m: np.interp(m, [1.0, 2.0], [1.0]), (r"\(2,\)", r"\(1,\)")),
    ],
)
def test_misfits_name_shapes_and_line(call, shapes):
    for run in (lambda: call(Value(M)), lambda: tg.record(call, M)):
        with pytest.raises(ValueError, match=shapes[0]) as caught:
            run()
        assert isinstance(caught.value, tg.TapegradError)
        assert "test_protocols.py:" in str(caught.value)
        for text in shapes:
            assert __import__("re").search(text, str(caught.value))


@pytest.mark.parametrize(
    "junk",
    [
        None,
        "text",
        1j,
        np.array([1j, 2, 3, 4, 5]),
        np.array(["a"] * 5),
        np.array([object()] * 5),
        np.array([None] * 5),
        [1.0, [2.0, 3.0]],
        {},
        np.array(["2020-01-01"] * 5, "datetime64[D]"),
    ],
)
def test_junk_is_a_typed_error(junk):
    for call in (
        lambda v: v + junk,
        lambda v: np.add(v, junk),
        lambda v: np.maximum(v, junk),
        lambda v: np.concatenate([v, junk]),
        lambda v: np.where(v > 0, v, junk),
        lambda v: np.dot(v, junk),
    ):
        with pytest.raises((tg.TapegradError, TypeError, ValueError)):
            call(Value(X))


def test_singular_and_indefinite_matrices():
    flat = np.ones((2, 2))
    tape = tg.record(np.linalg.inv, np.eye(2))
    for run in (
        lambda: np.linalg.solve(Value(flat), np.ones(2)),
        lambda: np.linalg.inv(Value(flat)),
        lambda: np.linalg.cholesky(Value(-np.eye(2))),
        lambda: tape(flat),
    ):
        with pytest.raises(tg.DomainError, match=r"\(2, 2\)"):
            run()
    assert np.linalg.det(Value(flat)).data == 0.0


def test_arrays_of_any_layout_are_taken_as_they_stand():
    def f(x, y):
        return np.sum(x * y + x @ y.T.copy()[: x.shape[1], :3].sum(axis=0))

    base = np.arange(24.0).reshape(4, 6)
    x, y = base[:3, ::2], base[::-1][:3, 1::2]
    assert not x.flags.c_contiguous
    y.flags.writeable = False
    want = np.sum(x * y + x @ y.T.copy()[: x.shape[1], :3].sum(axis=0))
    assert tg.record(f, x, y)(x, y) == pytest.approx(want)
    assert tg.record(f, x, y)(x.copy(order="F"), y) == pytest.approx(want)
    assert f(Value(x), Value(y)).data == pytest.approx(want)
    whole = np.arange(12).reshape(3, 4)
    assert (Value(base[:3, :4]) * whole).data[2, 3] == base[2, 3] * 11
    assert np.sum(Value(np.float64(2.0)) * np.arange(3)).data == 6.0


def test_empty_and_zero_dimensional_arrays():
    e = Value(np.zeros((0, 3)))
    assert np.sum(e).data == 0.0
    assert np.prod(e).data == 1.0
    assert np.sum(e, axis=0).shape == (3,)
    assert np.concatenate([e, np.ones((1, 3))]).shape == (1, 3)
    assert (e @ np.ones((3, 2))).shape == (0, 2)
    assert np.max(e, axis=1).shape == (0,)
    root = np.sum(np.exp(e)) + 1.0
    root.backward()
    assert e.grad.shape == (0, 3)
    s = Value(np.array(2.0))
    assert (s.shape, s.ndim, np.sum(s).data, s.T.data) == ((), 0, 2.0, 2.0)
    assert np.reshape(s, (1, 1)).shape == (1, 1)
    assert tg.record(lambda x: x.reshape(-1)[0] * 2, np.array(3.0))(3.0) == 6.0


def test_float32_stays_float32():
    v = Value(np.float32([1, 2, 3]))
    for made in (
        v * 2,
        v * 2.5,
        np.exp(v),
        np.mean(v),
        v @ v,
        np.where(v > 1, v, 0.0),
        np.zeros_like(v),
        np.sort(v),
        np.linalg.norm(v),
        v**2,
        np.clip(v, 0, 2),
        v.std(),
        np.diff(v),
        np.concatenate([v, v]),
    ):
        assert made.dtype == np.float32
    assert (v * np.ones(3)).dtype == np.float64
    assert np.concatenate([v, np.ones(3)]).dtype == np.float64
    np.sum(v * v).backward()
    assert v.grad.dtype == np.float32


def test_without_recording_functions_give_values_without_history():
    with tg.no_record():
        y = np.sum(np.exp(Value(X)[1:]) @ np.ones((4, 2)))
    assert y._op == ""
    assert y.data == pytest.approx(2 * np.sum(np.exp(X[1:])))


def test_functions_of_tapegrad_itself():
    v = Value([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(tg.relu(v).data, [0.0, 0.0, 2.0])
    np.testing.assert_array_equal(tg.relu([-1.0, 3.0]), [0.0, 3.0])
    assert tg.sigmoid(0.0) == 0.5
    assert tg.softplus(800.0) == 800.0
    assert tg.logsumexp([1000.0, 1000.0]) == pytest.approx(1000 + np.log(2))
    np.testing.assert_allclose(
        tg.log_softmax(v, axis=0).data, scipy.special.log_softmax(v.data), 1e-15
    )
    np.testing.assert_allclose(
        tg.logsumexp(v, axis=0, b=[1.0, 2.0, 3.0]).data,
        scipy.special.logsumexp(v.data, b=[1.0, 2.0, 3.0]),
        1e-15,
    )
    assert tg.minimum(v, 0.5).data.tolist() == [-1.0, 0.0, 0.5]
    np.testing.assert_allclose(
        tg.polygamma(1, [0.5, 2.0]), scipy.special.polygamma(1, [0.5, 2.0]), 1e-14
    )


def test_triangular_systems():
    import scipy.linalg

    rng = np.random.default_rng(3)
    a = rng.normal(size=(3, 3)) + 4 * np.eye(3)
    b = rng.normal(size=3)
    for lower in (True, False):
        for trans in (0, 1):
            for unit in (True, False):
                how = {"lower": lower, "trans": trans, "unit_diagonal": unit}
                want = scipy.linalg.solve_triangular(a, b, **how)
                made = tg.linalg.solve_triangular(Value(a), b, **how)
                np.testing.assert_allclose(made.data, want, 1e-12)
                np.testing.assert_allclose(
                    tg.linalg.solve_triangular(a, b, **how), want, 1e-12
                )
    spd = a @ a.T
    for lower in (True, False):
        factor = tg.linalg.cho_factor(Value(spd), lower)
        np.testing.assert_allclose(
            tg.linalg.cho_solve(factor, b).data, np.linalg.solve(spd, b), 1e-10
        )
    with pytest.raises(tg.ShapeError, match=r"\(3, 3\).*\(2,\)"):
        tg.linalg.solve_triangular(Value(a), b[:2])


def test_named_writes():
    def f(a):
        b = a * 1.0
        np.fill_diagonal(b, 7.0)
        np.put(b, [1, 5], [3.0, 4.0])
        np.put_along_axis(b, np.array([[2], [0]]), a[:, :1] * 2, axis=1)
        c = np.zeros_like(b)
        np.copyto(c, b)
        np.copyto(c, 1.5, where=b > 3.5)
        np.putmask(c, c < 0.1, 9.0)
        np.place(c, np.abs(c - 3.0) < 1e-9, [8.0])
        return c * a

    np.testing.assert_allclose(tg.record(f, M)(M), f(M.copy()), 1e-14)


def test_places_and_texts_of_values():
    v = Value(M)
    assert np.array_str(v) == str(M)
    assert np.array_repr(v)
    assert np.array2string(v)
    assert np.einsum_path("ij,jk", v, v.T)[0]
    assert np.result_type(v, np.float32) == np.float64
    assert np.isreal(v).all()
    assert not np.iscomplex(v).any()
    assert np.isrealobj(v)
    assert not np.iscomplexobj(v)
    assert np.array_equiv(v, M)
    assert np.argpartition(v, 1).shape == (2, 3)
    assert np.nonzero(v)[0].tolist() == np.nonzero(M)[0].tolist()
    assert np.flatnonzero(v).tolist() == np.flatnonzero(M).tolist()
    assert np.argwhere(v).tolist() == np.argwhere(M).tolist()
    assert np.real_if_close(v).data.tolist() == M.tolist()
    assert np.concat([v, v]).shape == (4, 3)
    assert np.empty_like(v).shape == (2, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: np.array([[1, 2]], like=v),
        lambda v: np.asarray([1.0, 2.0], like=v),
        lambda v: np.asanyarray(v, like=v),
        lambda v: np.ascontiguousarray([1.0], like=v),
        lambda v: np.zeros((2, 2), like=v),
        lambda v: np.ones(3, like=v),
        lambda v: np.empty(3, like=v),
        lambda v: np.full((2,), 7.0, like=v),
        lambda v: np.eye(3, like=v),
        lambda v: np.identity(2, like=v),
        lambda v: np.arange(3, like=v),
        lambda v: np.tri(3, like=v),
    ],
)
def test_arrays_made_like_a_value_are_values(make):
    plain = make(M)
    made = make(Value(M) * 1.0)
    assert isinstance(made, Value)
    assert made.shape == plain.shape

    def f(x):
        out = make(x)
        out[..., 0] = x[0, 1]
        return np.sum(out)

    assert isinstance(tg.record(f, M)(M), float)


def test_where_and_maximum_take_lists():
    a, b = Value(2.0), Value(-1.0)
    made = tg.where([True, False], [a, a], [b, b])
    assert made.data.tolist() == [2.0, -1.0]
    np.sum(made * made).backward()
    assert (a.grad, b.grad) == (4.0, -2.0)
    assert tg.maximum([1.0, 5.0], Value([3.0, 3.0])).data.tolist() == [3.0, 5.0]
    assert type(tg.where(True, 1.0, 2.0)) is float
    assert tg.where(np.array([a, 0.0]), 1.0, b).data.tolist() == [1.0, -1.0]


def test_arguments_by_place_are_numpys():
    v = Value(M)
    same = np.testing.assert_allclose
    same(np.sum(v, 0, None, None, True).data, np.sum(M, 0, None, None, True))
    same(v.sum(0, None, None, True).data, M.sum(0, None, None, True))
    same(np.var(v, 0, None, None, 1).data, np.var(M, 0, None, None, 1))
    same(v.std(0, None, None, 1).data, M.std(0, None, None, 1))
    same(np.max(v, 0, None, True).data, np.max(M, 0, None, True))
    same(np.cumsum(v, 0, None, None).data, np.cumsum(M, 0))
    same(np.clip(v, 0.2, 0.5, None).data, np.clip(M, 0.2, 0.5))
    same(np.full_like(v, 2.0, None, "K").data, np.full_like(M, 2.0))
    same(np.linalg.norm(v, None, 1, True).data, np.linalg.norm(M, None, 1, True))
    with pytest.raises(tg.RecordError, match="out="):
        np.sum(v, 0, None, np.zeros(3))
    with pytest.raises(TypeError):
        v.sum(0, None, None, True, None, True, 7)


@pytest.mark.parametrize("order", [-1, 161, 10**6, 1.5])
def test_polygamma_of_an_order_that_is_not_there(order):
    with pytest.raises(tg.DomainError, match=r"orders 0 to 160"):
        tg.polygamma(order, Value(1.5))
