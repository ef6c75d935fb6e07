"""Lesson 1: what a derivative is, by nudging an input and by the tape.

    f'(x) = lim (f(x + h) - f(x)) / h      as h -> 0

The finite difference has an error of its own (it is cut off, and it cancels); the tape
has the slope exactly.
"""

from tapegrad import Value


def f(x):
    """A parabola; works on plain floats and on Values alike."""
    return 3 * x**2 - 4 * x + 5


assert f(3.0) == 20.0
assert f(6.0) == 89.0

h = 1e-6
nudged = (f(3.0 + h) - f(3.0)) / h
assert abs(nudged - 14.0) < 1e-4

x = Value(3.0, label="x")
y = f(x)
y.backward()
assert y.data == 20.0
assert x.grad == 14.0
print(f"f(3) = {y.data}, slope by nudging {nudged:.6f}, by the tape {x.grad}")

# Three inputs: how does d = a*b + c answer to each of them?
inputs = {"a": 2.0, "b": -3.0, "c": 10.0}


def d(a, b, c):
    """One product and one sum."""
    return a * b + c


slopes = {
    name: (d(**{**inputs, name: inputs[name] + h}) - d(**inputs)) / h for name in inputs
}
values = {name: Value(data, label=name) for name, data in inputs.items()}
out = d(**values)
out.backward()
assert out.data == 4.0
for name, expected in [("a", -3.0), ("b", 2.0), ("c", 1.0)]:
    assert abs(slopes[name] - expected) < 1e-6
    assert values[name].grad == expected
    print(f"d(a*b + c)/d{name}: nudged {slopes[name]:.6f}, tape {values[name].grad}")
