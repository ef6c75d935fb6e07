"""Lesson 7: a small network learns four rows by gradient descent.

loss = sum over the rows of (prediction - wanted)^2
p   <- p - 0.01 * d loss / d p       for each of the 41 parameters
"""

import numpy as np

from tapegrad import Value
from tapegrad.nn import MLP, SGD

xs = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
ys = [1.0, -1.0, -1.0, 1.0]


def losses(model):
    """One squared error a row."""
    return [(model(x) - y) ** 2 for x, y in zip(xs, ys, strict=True)]


# By hand, 20 steps, as in the walkthrough; the loss is a Python sum.
model = MLP(3, [4, 4, 1], seed=7)
assert len(model.parameters()) == 41
assert isinstance(model(xs[0]), Value)
history = []
for _ in range(20):
    loss = sum(losses(model))
    for p in model.parameters():
        p.grad = 0.0
    loss.backward()
    for p in model.parameters():
        p.data += -0.01 * p.grad
    history.append(loss.data)
assert history[-1] < history[0]
print(f"by hand: loss {history[0]:.4f} -> {history[-1]:.4f} in 20 steps")

# The same with an optimiser and 1000 steps; the loss is summed by NumPy.
model = MLP(3, [4, 4, 1], seed=7)
optimiser = SGD(model.parameters(), lr=0.01)
for step in range(1000):
    loss = np.array(losses(model)).sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    if step < 20:
        assert abs(loss.data - history[step]) < 1e-9  # the same path so far
    if step % 200 == 0:
        print(f"step {step:4d}: loss {loss.data:.6f}")
final = sum(losses(model)).data
assert final < 0.02
print(f"after 1000 steps: loss {final:.6f}")
for x, y in zip(xs, ys, strict=True):
    prediction = model(x).data
    assert abs(prediction - y) < 0.15
    print(f"{x} -> {prediction:+.3f} (wanted {y:+.0f})")
