"""Lesson 5: micrograd's README expression, with only the import changed."""

from tapegrad import Value

a = Value(-4.0)
b = Value(2.0)
c = a + b
d = a * b + b**3
c += c + 1
c += 1 + c + (-a)
d += d * 2 + (b + a).relu()
d += 3 * d + (b - a).relu()
e = c - d
f = e**2
g = f / 2.0
g += 10.0 / f
assert f"{g.data:.4f}" == "24.7041"
g.backward()
assert f"{a.grad:.4f}" == "138.8338"
assert f"{b.grad:.4f}" == "645.5773"
print(f"g = {g.data:.4f}, a.grad = {a.grad:.4f}, b.grad = {b.grad:.4f}")

# The same numbers to the last digits that two ways of computing them share.
assert abs(g.data - 24.70408163265306) < 1e-13
assert abs(a.grad - 138.83381924198252) < 1e-12
assert abs(b.grad - 645.5772594752186) < 1e-11
