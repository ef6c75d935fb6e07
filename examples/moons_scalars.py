"""Two moons as in moons.py, with a Value for each of the 337 weights, as in micrograd.

    python examples/moons_scalars.py [STEPS]

A step is some 75,000 operations on scalars. The weights start as those of moons.py, so
the losses are those of its matrices. With all 100 steps the accuracy is 100%.
"""

import sys

from moons import PENALTY, SEED, eagerly, rate, two_moons

from tapegrad import Value
from tapegrad.nn import MLP


def loss_of(model, rows, signs):
    """The hinge loss with its penalty, and the share of rows on their own side."""
    scores = [model(row) for row in rows]
    losses = [(1 - y * s).relu() for y, s in zip(signs, scores, strict=True)]
    penalty = PENALTY * sum(p * p for p in model.parameters())
    right = sum((s.data > 0) == (y > 0) for y, s in zip(signs, scores, strict=True))
    return sum(losses) * (1.0 / len(losses)) + penalty, right / len(losses)


def main():
    """Train, and compare with the matrices."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    points, signs = two_moons()
    rows, wanted = points.tolist(), signs.tolist()
    model = MLP(2, [16, 16, 1], "relu", output="linear", seed=SEED)
    assert len(model.parameters()) == 337
    assert isinstance(model(rows[0]), Value)
    _, expected = eagerly(points, signs)
    for k in range(steps):
        loss, accuracy = loss_of(model, rows, wanted)
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= rate(k) * p.grad
        if k % 10 == 0 or k == steps - 1:
            print(f"step {k:3d}: loss {loss.data:.6f}, accuracy {accuracy:.0%}")
        assert abs(loss.data - expected[k]) < 1e-6 * expected[k]
    if steps >= 100:
        _, accuracy = loss_of(model, rows, wanted)
        assert accuracy == 1.0
        print(f"accuracy after {steps} steps: 100%")


if __name__ == "__main__":
    main()
