"""Lesson 8: a Value may hold an array, and shapes follow NumPy's rules.

sum over i, j of x[i, j] * r[j]      gradients: r in each row of x,  column sums for r
sum over i of b[i] ** e[i]           gradients: e * b**(e-1),  b**e * log(b)
"""

import numpy as np

import tapegrad as tg
from tapegrad import Value

# Broadcasting: a row meets every row of a matrix, and hears from all of them.
x = Value(np.arange(6.0).reshape(2, 3), label="x")
r = Value([10.0, 20.0, 30.0], label="r")
out = (x * r).sum()
out.backward()
assert out.data == np.sum(x.data * r.data) == 340.0
assert np.array_equal(x.grad, [[10.0, 20.0, 30.0], [10.0, 20.0, 30.0]])
assert np.array_equal(r.grad, [3.0, 5.0, 7.0])
print("sum of x * r:", out.data)
print("  by r, summed over the rows it met:", r.grad)

# A column against a row makes a table; each entry hears from its own line.
column, row = Value([[1.0], [2.0]]), Value([3.0, 4.0, 5.0])
table = column + row
assert table.shape == (2, 3)
weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
(table * weights).sum().backward()
assert np.array_equal(column.grad, [[6.0], [15.0]])
assert np.array_equal(row.grad, [5.0, 7.0, 9.0])
print("column + row: by the column", column.grad.ravel(), "by the row", row.grad)

# Power: an array of bases by an array of exponents.
b, e = Value([2.0, 3.0, 0.5], label="b"), Value([3.0, 2.0, -1.0], label="e")
power = b**e
assert np.array_equal(power.data, [8.0, 9.0, 2.0])
power.sum().backward()
assert np.allclose(b.grad, [12.0, 6.0, -4.0], rtol=1e-15)
assert np.allclose(e.grad, power.data * np.log(b.data), rtol=1e-15)
print("b ** e:", power.data, "by b", b.grad, "by e", e.grad)

# An exponent that is only a number never asks for the logarithm of a base.
negative = Value([-2.0, 0.0, 3.0])
(negative ** np.array([2.0, 3.0, 1.0])).sum().backward()
assert np.array_equal(negative.grad, [-4.0, 0.0, 1.0])
print("(-2)**2, 0**3, 3**1: slopes", negative.grad)

# Products of matrices, indices and NumPy's functions record like anything else.
a = Value([[1.0, 2.0], [3.0, 4.0]])
loss = np.sum(np.tanh(a @ [1.0, -1.0])[::-1] * [1.0, 2.0])
loss.backward()
slopes = 1 - np.tanh([-1.0, -1.0]) ** 2
by_hand = np.outer(slopes * [2.0, 1.0], [1.0, -1.0])
assert np.allclose(a.grad, by_hand, rtol=1e-15)
print("a matrix product:", a.grad.tolist())

# What fits in NumPy fits here; what does not is an error that names both shapes.
message = ""
try:
    x + Value([1.0, 2.0])
except tg.ShapeError as error:
    message = str(error)
assert "(2, 3)" in message
assert "(2,)" in message
print("refused:", message.split(" (/")[0])
