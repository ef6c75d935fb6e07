"""Networks on arrays, losses and optimisers: numbers, trees, recorded steps."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value
from tapegrad.errors import DomainError, RecordError, ShapeError
from tapegrad.nn import (
    MLP,
    SGD,
    Adam,
    Dense,
    Layer,
    Module,
    cross_entropy,
    hinge_loss,
    l2,
    squared_loss,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 3))
Y = np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0)
PLAIN = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "linear": lambda x: x,
}
OPTIMISERS = {
    "SGD": lambda parameters: SGD(parameters, lr=0.1),
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
    "Adam": lambda parameters: Adam(parameters, lr=0.05),
}


def networks(activation="tanh", widths=(4, 2), output=None):
    """The same network of scalars and of arrays."""
    made = (
        MLP(3, list(widths), activation, output, seed=3, arrays=arrays)
        for arrays in (False, True)
    )
    return tuple(made)


def data_of(rows):
    return np.array([[v.data for v in row] for row in rows])


@pytest.mark.parametrize("activation", PLAIN)
@pytest.mark.parametrize("output", [None, "linear"])
def test_scalars_columns_and_matrices_agree(activation, output):
    scalar, dense = networks(activation, output=output)
    expected = X
    kinds = [activation, output or activation]
    for layer, kind in zip(dense.layers, kinds, strict=True):
        assert layer.activation == kind
        expected = PLAIN[kind](expected @ layer.w.data + layer.b.data)
    np.testing.assert_allclose(dense(X).data, expected, rtol=1e-13)
    np.testing.assert_allclose(scalar(X).data, expected, rtol=1e-13)
    np.testing.assert_allclose(data_of(map(scalar, X)), expected, rtol=1e-13)
    np.testing.assert_allclose(dense(X[0]).data, expected[0], rtol=1e-13)
    np.testing.assert_allclose(dense(X.tolist()).data, expected, rtol=1e-13)
    np.testing.assert_allclose(dense(Value(X)).data, expected, rtol=1e-13)
    np.testing.assert_allclose(scalar(Value(X)).data, expected, rtol=1e-13)


@pytest.mark.parametrize("activation", PLAIN)
def test_gradients_of_scalars_and_matrices_agree(activation):
    scalar, dense = networks(activation)
    for model in (scalar, dense):
        out = model(X)
        np.sum(out * out * np.arange(1.0, 3.0)).backward()
    for layer, other in zip(scalar.layers, dense.layers, strict=True):
        w = np.array([[w.grad for w in neuron.w] for neuron in layer.neurons]).T
        b = np.array([neuron.b.grad for neuron in layer.neurons])
        np.testing.assert_allclose(other.w.grad, w, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(other.b.grad, b, rtol=1e-11, atol=1e-12)
        assert np.any(w)


def test_a_batch_keeps_its_last_axis():
    scalar, dense = networks(widths=(4, 1))
    assert scalar(X).shape == dense(X).shape == (7, 1)
    assert dense(X[0]).shape == (1,)
    assert scalar(X[0]).shape == ()
    assert Layer(3, 2, seed=0)(X).shape == (7, 2)
    assert dense(np.zeros((0, 3))).shape == (0, 1)
    assert dense(np.zeros((2, 5, 3))).shape == (2, 5, 1)


def test_parameters_of_a_dense_network():
    _, dense = networks()
    assert [p.shape for p in dense.parameters()] == [(3, 4), (4,), (4, 2), (2,)]
    assert repr(dense) == "MLP of [TanhDense(3, 4), TanhDense(4, 2)]"
    dense(X).sum().backward()
    assert all(np.any(p.grad) for p in dense.parameters())
    dense.zero_grad()
    assert not any(np.any(p.grad) for p in dense.parameters())
    assert np.all(np.abs(dense.layers[0].w.data) <= 1.0)
    other = pickle.loads(pickle.dumps(dense))
    np.testing.assert_array_equal(other(X).data, dense(X).data)


@pytest.mark.parametrize("arrays", [False, True])
@pytest.mark.parametrize("shape", [(7, 2), (3, 7), (0,), (3, 4)])
def test_a_batch_of_another_width(arrays, shape):
    model = MLP(3, [2, 1], seed=0, arrays=arrays)
    with pytest.raises(ShapeError, match=r"takes 3 inputs"):
        model(np.zeros(shape))


@pytest.mark.parametrize("x", ["abc", None, b"abc"])
def test_a_dense_layer_takes_numbers(x):
    with pytest.raises(RecordError, match="takes a row of 3 numbers"):
        Dense(3, 2)(x)
    with pytest.raises(ShapeError, match="takes 3 inputs"):
        Dense(3, 2)(1.0)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Dense(0, 2), ShapeError, "inputs must be a positive int"),
        (lambda: Dense(2, True), ShapeError, "neurons in a layer must be"),
        (lambda: Dense(2, 2, "tanhh"), DomainError, "no activation"),
        (lambda: MLP(2, [], arrays=True), ShapeError, "nouts is empty"),
    ],
)
def test_wrong_sizes(make, error, message):
    with pytest.raises(error, match=message):
        make()


# -- losses ------------------------------------------------------------------------


def test_losses_are_their_formulas():
    scores = RNG.normal(size=(7, 4))
    classes = RNG.integers(0, 4, size=7)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    expected = -np.log(p[np.arange(7), classes]).mean()
    assert cross_entropy(Value(scores), classes).data == pytest.approx(expected)
    single = cross_entropy(Value(scores[2]), int(classes[2]))
    assert single.data == pytest.approx(-math.log(p[2, classes[2]]))
    wanted = RNG.normal(size=(7, 4))
    found = squared_loss(Value(scores), wanted).data
    assert found == pytest.approx(np.mean((scores - wanted) ** 2))
    margins = np.maximum(1 - Y * scores[:, 0], 0)
    found = hinge_loss(Value(scores[:, 0]), Y).data
    assert found == pytest.approx(margins.mean())
    model = MLP(3, [2, 1], seed=0, arrays=True)
    squares = sum(np.sum(p.data**2) for p in model.parameters())
    assert l2(model).data == pytest.approx(squares)
    found = hinge_loss(Value(scores[:, 0]), Y, model, 0.1).data
    assert found == pytest.approx(margins.mean() + 0.1 * squares)
    assert l2(Value([1.0, 2.0])).data == 5.0
    assert l2([Value(1.0), Value(2.0)]).data == 5.0


def test_gradients_of_losses():
    scores = RNG.normal(size=(7, 4))
    classes = RNG.integers(0, 4, size=7)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    p[np.arange(7), classes] -= 1.0
    slope = tg.grad(cross_entropy)(scores, classes)
    np.testing.assert_allclose(slope, p / 7, rtol=1e-12)
    slope = tg.grad(hinge_loss)(np.array([2.0, 0.5, 1.0]), np.array([1.0, 1.0, 1.0]))
    # At the kink 1 - score = 0 the hinge takes relu's 0.
    np.testing.assert_allclose(slope, [0.0, -1 / 3, 0.0])
    slope = tg.grad(squared_loss)(np.array([2.0, 0.5]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(slope, [1.0, -0.5])


def test_large_scores_do_not_overflow():
    scores = Value([[1000.0, 0.0], [-1000.0, 1000.0]])
    loss = cross_entropy(scores, [0, 0])
    loss.backward()
    assert loss.data == 1000.0
    np.testing.assert_array_equal(scores.grad, [[0.0, 0.0], [-0.5, 0.5]])


def test_losses_take_lists_of_scalar_values():
    model = MLP(3, [4, 1], seed=0)
    scores = [model(x) for x in X]
    plain = np.array([s.data for s in scores])
    found = squared_loss(scores, Y)
    assert found.data == pytest.approx(np.mean((plain - Y) ** 2))
    found.backward()
    assert all(p.grad for p in model.parameters()[-5:])
    expected = np.maximum(1 - Y * plain, 0).mean()
    assert hinge_loss(scores, Y.tolist()).data == pytest.approx(expected)
    three = MLP(3, [3], seed=0)
    rows = [three(x) for x in X]
    classes = [0, 1, 2, 0, 1, 2, 0]
    joined = cross_entropy(Value(data_of(rows)), classes)
    assert cross_entropy(rows, classes).data == pytest.approx(joined.data)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: squared_loss(Value(X), X[:, 0]), ShapeError, r"\(7, 3\) and \(7,\)"),
        (lambda: hinge_loss(Value(X[:, :1]), Y), ShapeError, r"\(7, 1\) and \(7,\)"),
        (lambda: cross_entropy(Value(X), [0, 1]), ShapeError, r"\(7, 3\).*\(2,\)"),
        (lambda: cross_entropy(Value(X), Y), DomainError, "classes are ints"),
        (lambda: cross_entropy(Value(X), [0] * 6 + [3]), IndexError, "3"),
        (lambda: cross_entropy(Value(1.0), 0), ShapeError, r"pass \(points"),
    ],
)
def test_losses_of_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


# -- optimisers ----------------------------------------------------------------------


def test_adam_is_the_paper_s_algorithm():
    x = Value([1.0, -2.0])
    y = Value(0.5)
    optimiser = Adam([x, y], lr=0.1, betas=(0.8, 0.9), epsilon=1e-3)
    theta, m, v = np.array([1.0, -2.0, 0.5]), np.zeros(3), np.zeros(3)
    for t in range(1, 6):
        optimiser.zero_grad()
        (np.sum(x**3) + y * y).backward()
        optimiser.step()
        g = np.array([*(3 * theta[:2] ** 2), 2 * theta[2]])
        m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g * g
        theta -= 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-3)
        np.testing.assert_allclose([*x.data, y.data], theta, rtol=1e-12)
    assert type(y.data) is float
    assert optimiser.state[0] == 5.0


def test_sgd_with_momentum_on_arrays():
    x = Value([1.0, -1.0])
    optimiser = SGD([x], lr=0.1, momentum=0.5)
    expected, velocity = np.array([1.0, -1.0]), np.zeros(2)
    for _ in range(4):
        optimiser.zero_grad()
        np.sum(x * x).backward()
        optimiser.step()
        velocity = 0.5 * velocity + 2 * expected
        expected = expected - 0.1 * velocity
        np.testing.assert_allclose(x.data, expected, rtol=1e-14)


def test_momentum_may_be_switched_on_later():
    x = Value(1.0)
    optimiser = SGD([x], lr=0.25)
    optimiser.momentum = 0.5
    for expected in (0.5, 0.0):
        optimiser.zero_grad()
        (x * x).backward()
        optimiser.step()
        assert x.data == expected
        assert len(optimiser.state) == 1


def test_float32_stays_float32():
    x = Value(np.ones(3, np.float32))
    for optimiser in (SGD([x], 0.1, 0.5), Adam([x], 0.1)):
        optimiser.zero_grad()
        np.sum(x * x).backward()
        optimiser.step()
        assert x.data.dtype == np.float32


@pytest.mark.parametrize(
    "options",
    [
        {"lr": -1.0},
        {"lr": math.nan},
        {"betas": (0.9, 1.0)},
        {"betas": (-0.1, 0.9)},
        {"betas": 0.9},
        {"betas": (0.9,)},
        {"betas": "ab"},
        {"epsilon": -1e-8},
        {"epsilon": None},
    ],
)
def test_wrong_numbers_of_adam(options):
    with pytest.raises(DomainError):
        Adam([Value(1.0)], **options)


# -- trees ---------------------------------------------------------------------------


def loss_of(model, x, y):
    return hinge_loss(model(x)[:, 0], y, model, 1e-3)


def step(model, optimiser, x, y):
    loss, slopes = tg.value_and_grad(loss_of)(model, x, y)
    return loss, optimiser.update(model, slopes)


@pytest.mark.parametrize("arrays", [True, False])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_recorded_step_trains_like_an_eager_one(name, arrays):
    def fresh():
        model = MLP(3, [4, 1], "relu", "linear", seed=2, arrays=arrays)
        return model, OPTIMISERS[name](model.parameters())

    model, optimiser = fresh()
    losses = []
    for k in range(4):
        loss = loss_of(model, X, Y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.lr = 0.1 / (k + 1)
        optimiser.step()
        losses.append(loss.data)
    assert len(set(losses)) == 4
    tape = tg.record(step, *fresh(), X, Y)
    ways = [tape, tape.compile(), step] if arrays else [tape]
    for run in ways:
        other, its = fresh()
        for k, expected in enumerate(losses):
            its.lr = 0.1 / (k + 1)
            loss, updated = run(other, its, X, Y)
            its.load(updated)
            assert float(loss) == pytest.approx(expected, rel=1e-12)
        for p, q in zip(other.parameters(), model.parameters(), strict=True):
            np.testing.assert_allclose(p.data, q.data, rtol=1e-11, atol=1e-12)


def test_update_changes_nothing_by_itself():
    model = MLP(3, [1], seed=2, arrays=True)
    optimiser = Adam(model.parameters())
    before = [p.data.copy() for p in model.parameters()]
    moved, state = step(model, optimiser, X, Y)[1]
    for p, kept, new in zip(model.parameters(), before, moved, strict=True):
        np.testing.assert_array_equal(p.data, kept)
        assert not np.array_equal(new.data, kept)
    assert optimiser.state[0] == 0.0
    assert state[0] == 1.0


def test_a_gradient_has_the_model_s_shape():
    model = MLP(3, [4, 1], seed=2, arrays=True)
    tape = tg.record(loss_of, model, X, Y)
    assert tape.input_labels()[0] == "model.layers[0].w"
    value, (slopes, dx, _) = tape.value_and_gradient(model, X, Y)
    assert isinstance(slopes, MLP)
    loss = loss_of(model, X, Y)
    loss.backward()
    assert value == loss.data
    for layer, found in zip(model.layers, slopes.layers, strict=True):
        np.testing.assert_allclose(found.w, layer.w.grad, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(found.b, layer.b.grad, rtol=1e-12, atol=1e-14)
    assert dx.shape == X.shape
    again = tg.grad(loss_of)(model, X, Y)
    np.testing.assert_array_equal(again.layers[0].w.data, slopes.layers[0].w)


class Table(Module):
    """Parameters in a dict, whose order is the user's, not the alphabet's."""

    def __init__(self):
        self.parts = {"z": Value([1.0, 2.0]), "a": Value(3.0)}

    def __call__(self, x):
        return np.sum(self.parts["z"] * x) + 5.0 * self.parts["a"]


def test_the_order_of_a_dict_is_the_model_s_own():
    def step(model, optimiser, x):
        loss, slopes = tg.value_and_grad(lambda m: m(x))(model)
        return loss, optimiser.update(model, slopes)

    model = Table()
    optimiser = SGD(model.parameters(), lr=1.0)
    x = np.array([1.0, 1.0])
    _, updated = tg.record(step, model, optimiser, x)(model, optimiser, x)
    optimiser.load(updated)
    np.testing.assert_array_equal(model.parts["z"].data, [0.0, 1.0])
    assert model.parts["a"].data == -2.0


def test_update_and_load_of_what_does_not_fit():
    model = MLP(3, [2, 1], seed=2, arrays=True)
    optimiser = SGD(model.parameters())
    with pytest.raises(ShapeError, match="4 parameters and 3 gradients"):
        optimiser.update(model, [1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match="1 new values for 4 parameters"):
        optimiser.load(([1.0], []))
    with pytest.raises(ShapeError, match="state"):
        Adam(model.parameters()).update([1.0], [2.0])


def test_an_optimiser_is_a_tree_of_its_numbers():
    model = MLP(3, [1], seed=2, arrays=True)
    optimiser = SGD(model.parameters(), lr=0.5, momentum=0.5)
    tape = tg.record(lambda o, g: o.update([g], [g])[0][0], SGD([Value(1.0)]), 2.0)
    assert tape.input_labels() == ("o.lr", "o.momentum", "g")
    with pytest.raises(ShapeError, match="argument o"):
        tape(optimiser, 2.0)
    with pytest.raises(ShapeError, match="argument o"):
        tape(Adam([Value(1.0)]), 2.0)
    assert tape(SGD([Value(1.0)], lr=0.25), 4.0) == 3.0


@pytest.mark.parametrize("name", OPTIMISERS)
def test_a_recorded_step_is_saved_and_loaded(name):
    model = MLP(3, [4, 1], "relu", "linear", seed=2, arrays=True)
    optimiser = OPTIMISERS[name](model.parameters())
    tape = tg.record(step, model, optimiser, X, Y)
    again = tg.from_bytes(tape.to_bytes())
    assert again == tape
    loss, (moved, _) = tape(model, optimiser, X, Y)
    other, (same, state) = again(model, optimiser, X, Y)
    assert other.data == loss.data
    for p, q in zip(moved, same, strict=True):
        np.testing.assert_array_equal(p.data, q.data)
    optimiser.load((same, state))
    np.testing.assert_array_equal(model.parameters()[0].data, moved[0].data)


def test_a_gradient_of_a_model_is_shown():
    x = np.ones(3)
    loss = lambda model: np.sum(model(x))  # noqa: E731
    assert repr(tg.grad(loss)(Dense(3, 4, seed=0))) == "Dense(3, 4)"
    shown = repr(tg.grad(lambda model: model(x))(MLP(3, [2, 1], seed=0)))
    assert shown == "MLP of [Layer of [Neuron(3), Neuron(3)], Layer of [Neuron(2)]]"
