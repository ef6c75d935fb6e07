"""Lesson 2: the chain rule by hand, by the sweep, and by nudging a middle value.

L = d * f,   d = e + c,   e = a * b
"""

import tempfile
from shutil import which

import tapegrad as tg
from tapegrad import Value


def build(a, b, c, f):
    """The expression, with a name for every intermediate."""
    e = a * b
    e.label = "e"
    d = e + c
    d.label = "d"
    loss = d * f
    loss.label = "L"
    return e, d, loss


a = Value(2.0, label="a")
b = Value(-3.0, label="b")
c = Value(10.0, label="c")
f = Value(-2.0, label="f")
e, d, L = build(a, b, c, f)
assert (e.data, d.data, L.data) == (-6.0, 4.0, -8.0)

# The graph can be walked: operands in _prev, the operation in _op.
assert L._op == "*"
assert L._prev == {d, f}
assert d._op == "+"
assert e in d._prev
assert a._op == ""
assert a._prev == set()

# By hand, from the output back to the inputs: local slope times slope so far.
by_hand = {
    "L": 1.0,
    "d": f.data,  # L = d*f
    "f": d.data,
    "e": f.data * 1.0,  # d = e + c passes it on unchanged
    "c": f.data * 1.0,
    "a": f.data * b.data,  # e = a*b
    "b": f.data * a.data,
}
L.backward()
for value in (a, b, c, d, e, f, L):
    assert value.grad == by_hand[value.label], value.label
    print(f"{value.label}: data {value.data:6.1f}   grad {value.grad:5.1f}")
assert (a.grad, b.grad, c.grad, f.grad) == (6.0, -4.0, -2.0, 4.0)
assert e.grad == d.grad == -2.0

# The picture of the lesson: boxes "label | data | grad".
picture = tg.draw(L)
assert picture.source.startswith("digraph")
if which("dot"):
    with tempfile.TemporaryDirectory() as folder:
        print("drawn:", picture.render(directory=folder, format="svg").split("/")[-1])
else:
    print("not drawn: the program `dot` of Graphviz is not installed")

# The same slopes by nudging one entry of the tape, middle ones included.
tape = L.tape
inputs = [2.0, -3.0, 10.0, -2.0]
h = 1e-6
for value in (a, b, c, d, e, f):
    up = tape(*inputs, replace={value.label: value.data + h})
    down = tape(*inputs, replace={value.label: value.data - h})
    assert abs((up - down) / (2 * h) - value.grad) < 1e-6, value.label
assert tape(*inputs, replace={"d": 5.0}) == -10.0

# One step along the gradient raises L.
for leaf in (a, b, c, f):
    leaf.data += 0.01 * leaf.grad
_, _, L2 = build(a, b, c, f)
assert abs(L2.data - -7.286496) < 1e-12
print(f"L after one step of 0.01: {L2.data:.6f}")
