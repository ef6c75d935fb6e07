"""Lesson 4: a value used twice gets both gradients; gradients add up until reset.

b = a + a   =>   db/da = 1 + 1
"""

from tapegrad import Value

a = Value(3.0, label="a")
b = a + a
b.label = "b"
b.backward()
assert a.grad == 2.0
print("b = a + a: a.grad =", a.grad)

# Two ways from each input to the output.
a = Value(-2.0, label="a")
b = Value(3.0, label="b")
d = a * b
d.label = "d"
e = a + b
e.label = "e"
f = d * e
f.label = "f"
f.backward()
assert f.data == -6.0
assert (a.grad, b.grad) == (-3.0, -8.0)
assert (d.grad, e.grad, f.grad) == (1.0, -6.0, 1.0)
print("f = (a*b)*(a+b): a.grad =", a.grad, " b.grad =", b.grad)

# Without a reset a second pass adds the same again: every gradient is doubled.
f.backward()
assert (a.grad, b.grad) == (-6.0, -16.0)
assert (d.grad, e.grad) == (2.0, -12.0)
print("second pass, not reset: a.grad =", a.grad)

# With a reset of the inputs the next pass is right again.
a.grad = 0.0
b.grad = 0.0
f.backward()
assert (a.grad, b.grad) == (-3.0, -8.0)
print("after a reset: a.grad =", a.grad)

# Adding up is what one wants for a sum of losses handled one by one.
a = Value(2.0)
(a * a).backward()
(3 * a).backward()
assert a.grad == 4.0 + 3.0
