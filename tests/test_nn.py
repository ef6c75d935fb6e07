"""Networks of scalar Values: micrograd's habits, and errors that say what to do."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value
from tapegrad.errors import DomainError, RecordError, ShapeError, TapegradError
from tapegrad.nn import ACTIVATIONS, MLP, SGD, Layer, Module, Neuron

PLAIN = {"tanh": math.tanh, "relu": lambda x: max(x, 0.0), "linear": lambda x: x}


def forward(model: MLP, x: list[float]) -> list[float]:
    """Compute a network on plain floats, with a formula of its own."""
    for layer in model.layers:
        x = [
            PLAIN[n.activation](
                sum((w.data * v for w, v in zip(n.w, x, strict=True)), n.b.data)
            )
            for n in layer.neurons
        ]
    return x


def test_the_lessons_network_has_41_parameters() -> None:
    model = MLP(3, [4, 4, 1])
    assert len(model.parameters()) == 41
    assert [len(layer.parameters()) for layer in model.layers] == [16, 20, 5]
    assert len({id(p) for p in model.parameters()}) == 41


def test_one_output_is_bare_and_several_are_a_list() -> None:
    assert isinstance(MLP(3, [4, 1], seed=0)([1.0, 2.0, 3.0]), Value)
    outputs = MLP(3, [4, 2], seed=0)([1.0, 2.0, 3.0])
    assert isinstance(outputs, list)
    assert len(outputs) == 2
    assert isinstance(Layer(2, 1)([1.0, 2.0]), Value)
    assert isinstance(Layer(2, 2)([1.0, 2.0]), list)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("output", [None, "linear", "tanh"])
def test_values_are_those_of_the_formula(activation: str, output: str | None) -> None:
    model = MLP(3, [4, 2], activation=activation, output=output, seed=3)
    kinds = [{n.activation for n in layer.neurons} for layer in model.layers]
    assert kinds == [{activation}, {output or activation}]
    x = [0.5, -1.0, 2.0]
    found = model(x)
    assert isinstance(found, list)
    assert [v.data for v in found] == pytest.approx(forward(model, x), rel=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_differences(activation: str) -> None:
    model = MLP(2, [3, 1], activation=activation, output="linear", seed=11)
    x = [0.7, -0.4]
    out = model(x)
    assert isinstance(out, Value)
    out.backward()
    h = 1e-6
    for p in model.parameters():
        kept = p.data
        p.data = kept + h
        up = forward(model, x)[0]
        p.data = kept - h
        down = forward(model, x)[0]
        p.data = kept
        assert p.grad == pytest.approx((up - down) / (2 * h), abs=1e-8)


def test_a_seed_fixes_the_weights() -> None:
    def weights(seed: int | None) -> list[float]:
        return [p.data for p in MLP(3, [4, 1], seed=seed).parameters()]

    assert weights(5) == weights(5)
    assert weights(5) != weights(6)
    assert all(-1 <= w <= 1 for w in weights(5))
    expected = random.Random(5)
    assert weights(5) == [expected.uniform(-1, 1) for _ in range(21)]


def test_without_a_seed_the_random_module_decides() -> None:
    state = random.getstate()
    try:
        random.seed(1337)
        first = [p.data for p in Neuron(4).parameters()]
        second = [p.data for p in Neuron(4).parameters()]
        random.seed(1337)
        again = [p.data for p in Neuron(4).parameters()]
    finally:
        random.setstate(state)
    assert first == again != second


def test_neurons_of_a_seeded_layer_differ() -> None:
    layer = Layer(2, 3, seed=0)
    assert len({neuron.w[0].data for neuron in layer.neurons}) == 3


def test_inputs_may_be_values_arrays_tuples_or_iterators() -> None:
    model = MLP(2, [2, 1], seed=1)
    expected = model([0.25, -3.0])
    assert isinstance(expected, Value)
    x = [Value(0.25), Value(-3.0)]
    for row in (
        x,
        (0.25, -3.0),
        np.array([0.25, -3.0]),
        iter([0.25, -3.0]),
        [0.25, -3],
    ):
        found = model(row)
        assert isinstance(found, Value)
        assert found.data == expected.data
    out = model(x)
    assert isinstance(out, Value)
    out.backward()
    assert x[0].grad != 0.0


def test_a_layer_of_one_feeds_the_next() -> None:
    model = MLP(2, [1, 3], seed=1)
    outputs = model([1.0, 2.0])
    assert isinstance(outputs, list)
    assert len(outputs) == 3
    assert isinstance(Layer(1, 2, seed=0)(Value(0.5)), list)
    assert Neuron(1, seed=0)(0.5).data == Neuron(1, seed=0)([0.5]).data


def test_repr_shows_the_shape() -> None:
    assert repr(Neuron(2, "relu")) == "ReluNeuron(2)"
    assert repr(MLP(2, [1])) == "MLP of [Layer of [TanhNeuron(2)]]"


class Nested(Module):
    """Parameters in every kind of place, some of them twice."""

    def __init__(self) -> None:
        self.first = Value(1.0)
        self.table = {"b": Value(2.0), "a": [Value(3.0), (Value(4.0), "text")]}
        self.inner = Neuron(1, seed=0)
        self.tied = self.first
        self.own = [self]
        self.count = 7


def test_parameters_are_found_once_each_in_order() -> None:
    model = Nested()
    found = model.parameters()
    expected = [model.first, model.table["b"], *model.table["a"][:1]]
    assert [p.data for p in found[:4]] == [1.0, 2.0, 3.0, 4.0]
    assert all(p is q for p, q in zip(found, expected, strict=False))
    assert len(found) == 6
    assert Module().parameters() == []


def test_zero_grad() -> None:
    model = MLP(2, [2, 1], seed=2)
    out = model([1.0, 1.0])
    assert isinstance(out, Value)
    out.backward()
    assert any(p.grad for p in model.parameters())
    model.zero_grad()
    assert all(p.grad == 0.0 for p in model.parameters())


def test_sgd_steps_against_the_gradient() -> None:
    a, b = Value(1.0), Value(-2.0)
    optimiser = SGD([a, b], lr=0.5)
    (3 * a + b * b).backward()
    optimiser.step()
    assert (a.data, b.data) == (1.0 - 0.5 * 3.0, -2.0 + 0.5 * 4.0)
    optimiser.zero_grad()
    assert (a.grad, b.grad) == (0.0, 0.0)
    optimiser.lr = 0.0
    (a * b).backward()
    optimiser.step()
    assert a.data == -0.5


def test_sgd_with_momentum() -> None:
    x = Value(1.0)
    optimiser = SGD([x], lr=0.1, momentum=0.5)
    expected, velocity = 1.0, 0.0
    for _ in range(5):
        optimiser.zero_grad()
        (x * x).backward()
        optimiser.step()
        velocity = 0.5 * velocity + 2 * expected
        expected -= 0.1 * velocity
        assert x.data == pytest.approx(expected, rel=1e-15)


def test_a_tied_parameter_is_moved_once() -> None:
    x = Value(1.0)
    optimiser = SGD([x, x], lr=0.25)
    (x * x).backward()
    optimiser.step()
    assert x.data == 0.5


def test_equal_parameters_are_two_parameters() -> None:
    assert len(SGD([Value(1.0), Value(1.0)]).parameters) == 2


@pytest.mark.parametrize("nin", [0, -1, 2.0, True, "3", None])
@pytest.mark.parametrize("make", [Neuron, lambda n: Layer(n, 2), lambda n: MLP(n, [1])])
def test_wrong_number_of_inputs_at_birth(make: object, nin: object) -> None:
    with pytest.raises(ShapeError, match="inputs must be a positive int"):
        make(nin)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("nouts", "message"),
    [
        ([], "nouts is empty"),
        (4, "nouts is a list"),
        ([4, 0], "positive int, not 0"),
        (["4"], "positive int, not '4'"),
    ],
)
def test_wrong_widths(nouts: object, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        MLP(3, nouts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Neuron(2, "tanhh"),
        lambda: Layer(2, 2, "tanhh"),
        lambda: MLP(2, [2, 1], activation="tanhh"),
        lambda: MLP(2, [1], activation="tanhh", output="tanh"),
        lambda: MLP(2, [2, 1], output="tanhh"),
    ],
)
def test_unknown_activation(make: object) -> None:
    with pytest.raises(DomainError, match=r"no activation 'tanhh'.*tanh, relu, linear"):
        make()  # type: ignore[operator]


def test_an_activation_must_be_a_name() -> None:
    with pytest.raises(DomainError, match="no activation"):
        MLP(2, [1], activation=math.tanh)  # type: ignore[arg-type]
    with pytest.raises(DomainError, match="no activation"):
        MLP(2, [1], activation=["tanh"])  # type: ignore[arg-type]


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 2.0, 3.0], 1.0])
def test_wrong_number_of_inputs_in_a_call(x: object) -> None:
    for model in (Neuron(2), Layer(2, 2), MLP(2, [1])):
        with pytest.raises(ShapeError, match=r"takes 2 inputs and was given \d"):
            model(x)  # type: ignore[operator]


@pytest.mark.parametrize("x", ["ab", b"ab", None, ["a", 1.0], [None, 1.0], [1j, 2.0]])
def test_inputs_that_are_not_numbers(x: object) -> None:
    for model in (Neuron(2), Layer(2, 2), MLP(2, [1])):
        with pytest.raises(RecordError):
            model(x)  # type: ignore[operator]


@pytest.mark.parametrize("lr", [-0.1, math.nan, math.inf, "0.1", None, 1j, True])
def test_wrong_learning_rate(lr: object) -> None:
    with pytest.raises(DomainError, match="learning rate"):
        SGD([Value(1.0)], lr=lr)  # type: ignore[arg-type]


@pytest.mark.parametrize("momentum", [-0.1, 1.0, math.nan, "0"])
def test_wrong_momentum(momentum: object) -> None:
    with pytest.raises(DomainError, match="momentum"):
        SGD([Value(1.0)], momentum=momentum)  # type: ignore[arg-type]


def test_wrong_parameters() -> None:
    with pytest.raises(DomainError, match="no parameters"):
        SGD([])
    with pytest.raises(RecordError, match="not a Value"):
        SGD([1.0])  # type: ignore[list-item]
    with pytest.raises(RecordError, match=r"SGD\(\[v\]\)"):
        SGD(Value(1.0))  # type: ignore[arg-type]
    with pytest.raises(TapegradError):
        SGD(None)  # type: ignore[arg-type]


def test_nan_in_gives_nan_out() -> None:
    out = MLP(2, [2, 1], seed=0)([math.nan, 1.0])
    assert isinstance(out, Value)
    assert math.isnan(out.data)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_lessons_training_converges(seed: int) -> None:
    xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
    ys = [1.0, -1.0, -1.0, 1.0]
    model = MLP(3, [4, 4, 1], seed=seed)
    optimiser = SGD(model.parameters(), lr=0.05)
    history = []
    for _ in range(100):
        loss = sum((model(x) - y) ** 2 for x, y in zip(xs, ys, strict=True))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        history.append(loss.data)
    assert history[-1] < 0.1 < history[0]


def test_a_model_is_an_argument_of_a_recording() -> None:
    def loss(model, x, wanted):
        return (model(x) - wanted) ** 2

    model, other = MLP(2, [3, 1], seed=1), MLP(2, [3, 1], seed=2)
    tape = tg.record(loss, model, [0.5, -1.0], 0.25)
    assert len(tape.inputs) == 13 + 3
    assert "model.layers[0].neurons[2].w[1]" in tape.input_labels()
    # Replayed with other weights and inputs it is what an eager pass gives.
    x = [Value(2.0), Value(0.1)]
    out = loss(other, x, 1.0)
    out.backward()
    expected = [p.grad for p in other.parameters()]
    assert any(expected)
    # On a tape the whole pass is one call, and what is swept is the same.
    other.zero_grad()
    replayed = tape(other, [2.0, 0.1], 1.0)
    assert replayed.data == out.data
    replayed.backward()
    found = [p.grad for p in other.parameters()]
    assert found == pytest.approx(expected, rel=1e-15)


def test_a_layer_takes_an_iterator() -> None:
    layer = Layer(2, 3, seed=4)
    expected = [v.data for v in layer([1.0, 2.0])]
    assert [v.data for v in layer(iter([1.0, 2.0]))] == expected


def test_another_model_is_another_structure() -> None:
    tape = tg.record(lambda m: m([1.0, 2.0]), MLP(2, [3, 1], seed=1))
    with pytest.raises(ShapeError, match="argument m"):
        tape(MLP(2, [4, 1], seed=1))
    with pytest.raises(ShapeError, match="'tanh'"):
        tape(MLP(2, [3, 1], activation="relu", seed=1))


def test_a_captured_model_is_refused() -> None:
    model = MLP(1, [1], seed=0)
    with pytest.raises(RecordError, match="pass it to the function as an argument"):
        tg.record(lambda x: model([x]), 1.0)
