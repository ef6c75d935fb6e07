"""Lesson 9: the same expressions in PyTorch give the same gradients.

Skipped, with a word, where torch is not installed.
"""

import sys

import numpy as np

import tapegrad as tg
from tapegrad import Value

try:
    import torch
except ImportError:
    assert "torch" not in sys.modules
    print("skipped: torch is not installed")
    sys.exit()

# The neuron of the walkthrough.
numbers = [2.0, 0.0, -3.0, 1.0, 6.8813735870195432]
mine = [Value(number) for number in numbers]
theirs = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]


def neuron(x1, x2, w1, w2, b):
    return (x1 * w1 + x2 * w2 + b).tanh()


out, other = neuron(*mine), neuron(*theirs)
out.backward()
other.backward()
assert abs(out.data - other.item()) < 1e-15
for p, q in zip(mine, theirs, strict=True):
    assert abs(p.grad - q.grad.item()) < 1e-15
print("neuron:", out.data, [p.grad for p in mine])

# Everything of micrograd's own test: sums, products, powers, relu.
a, b = Value(-4.0), Value(2.0)
c, d = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (-4.0, 2.0))


def mixed(a, b):
    c = a + b
    d = a * b + b**3
    c = c + c + 1
    c = c + 1 + c + (-a)
    d = d + d * 2 + (b + a).relu()
    d = d + 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    return f / 2.0 + 10.0 / f


out, other = mixed(a, b), mixed(c, d)
out.backward()
other.backward()
assert abs(out.data - other.item()) < 1e-12
assert abs(a.grad - c.grad.item()) < 1e-12
assert abs(b.grad - d.grad.item()) < 1e-12
print("mixed expression:", out.data, a.grad, b.grad)

# Arrays: broadcasting, power by an array, a matrix product, a softmax.
rng = np.random.default_rng(0)
x, r, w = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=(3, 2))
e = np.array([2.0, 3.0, -1.0])


def pipeline(np_like, softmax, x, r, w, e):
    y = (x * r + x**2) @ w
    return np_like.sum(softmax(y) * y) + np_like.sum((r * r) ** e)


mine = [Value(part) for part in (x, r, w, e)]
theirs = [torch.tensor(part, requires_grad=True) for part in (x, r, w, e)]
out = pipeline(np, lambda y: tg.softmax(y, axis=1), *mine)
other = pipeline(torch, lambda y: torch.softmax(y, 1), *theirs)
out.backward()
other.backward()
assert abs(out.data - other.item()) < 1e-12 * abs(out.data)
for p, q in zip(mine, theirs, strict=True):
    assert p.grad.shape == tuple(q.grad.shape)
    assert np.allclose(p.grad, q.grad.numpy(), rtol=1e-11, atol=1e-12)
print("arrays:", out.data, "by r", mine[1].grad)

# Where the two part: a tie, and an arm that was not taken.
x, t = Value([0.0, 4.0]), torch.tensor([0.0, 4.0], requires_grad=True)
np.sum(np.where(x.data > 0, np.sqrt(x), x)).backward()
torch.where(t > 0, torch.sqrt(t), t).sum().backward()
assert np.array_equal(x.grad, [1.0, 0.25])
assert np.isnan(t.grad[0].item())
print("where(x > 0, sqrt(x), x) at 0: here", x.grad[0], "there", t.grad[0].item())
