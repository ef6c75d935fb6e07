"""Lesson 3: a neuron, swept step by step and all at once; tanh taken apart.

o = tanh(x1*w1 + x2*w2 + b)      tanh(n) = (exp(2n) - 1) / (exp(2n) + 1)
"""

import tempfile
from math import isclose
from shutil import which

import tapegrad as tg
from tapegrad import Value


def neuron(activation):
    """Build the neuron; return its inputs and steps by name."""
    x1 = Value(2.0, label="x1")
    x2 = Value(0.0, label="x2")
    w1 = Value(-3.0, label="w1")
    w2 = Value(1.0, label="w2")
    b = Value(6.8813735870195432, label="b")
    x1w1 = x1 * w1
    x1w1.label = "x1*w1"
    x2w2 = x2 * w2
    x2w2.label = "x2*w2"
    total = x1w1 + x2w2
    total.label = "x1*w1 + x2*w2"
    n = total + b
    n.label = "n"
    o = activation(n)
    o.label = "o"
    return {
        "x1": x1, "x2": x2, "w1": w1, "w2": w2, "b": b,
        "x1w1": x1w1, "x2w2": x2w2, "total": total, "n": n, "o": o,
    }  # fmt: skip


def check(v):
    """The numbers of the lesson."""
    assert isclose(v["o"].data, 0.7071067811865476, rel_tol=1e-15)
    for name, expected in [
        ("x1", -1.5), ("w1", 1.0), ("x2", 0.5), ("w2", 0.0),
        ("b", 0.5), ("n", 0.5), ("x1w1", 0.5), ("x2w2", 0.5),
    ]:  # fmt: skip
        assert isclose(v[name].grad, expected, rel_tol=1e-14), (name, v[name].grad)


# Step by step: each _backward() hands its own gradient down to its operands.
v = neuron(lambda n: n.tanh())
v["o"].grad = 1.0
v["o"]._backward()
assert isclose(v["n"].grad, 0.5, rel_tol=1e-14)
assert v["b"].grad == 0.0  # not reached yet
v["n"]._backward()
v["b"]._backward()  # a leaf has nothing to hand down
v["total"]._backward()
v["x2w2"]._backward()
v["x1w1"]._backward()
check(v)

# The same in one call: the tape is already in order, nothing needs sorting.
v = neuron(lambda n: n.tanh())
v["o"].backward()
check(v)
for name in ("x1", "w1", "x2", "w2"):
    print(f"{name}.grad = {v[name].grad:.6f}")


def trace(root):
    """Collect all values below a result, and who feeds whom."""
    nodes, edges, pending = set(), set(), [root]
    while pending:
        value = pending.pop()
        if value not in nodes:
            nodes.add(value)
            for operand in value._prev:
                edges.add((operand, value))
                pending.append(operand)
    return nodes, edges


nodes, edges = trace(v["o"])
assert nodes == set(v.values())
assert len(edges) == 9
picture = tg.draw(v["o"])
assert "tanh" in picture.source
if which("dot"):
    with tempfile.TemporaryDirectory() as folder:
        print("drawn:", picture.render(directory=folder, format="svg").split("/")[-1])
else:
    print("not drawn: the program `dot` of Graphviz is not installed")


def tanh_in_pieces(n):
    """How big a step is, is our choice: the gradients do not depend on it."""
    e = (2 * n).exp()
    return (e - 1) / (e + 1)


v = neuron(tanh_in_pieces)
assert v["o"]._op == "/"
operations = sorted(node._op for node in trace(v["o"])[0] if node._op)
assert operations == ["*", "*", "*", "+", "+", "+", "-", "/", "exp"]
v["o"].backward()
check(v)
print(f"o = {v['o'].data:.16f}, tanh in one piece or in five")
