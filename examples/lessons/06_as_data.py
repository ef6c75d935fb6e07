"""Lesson 6: an expression is data: it can be swept, listed and dumped.

a * (b + c*d)      gradients: b + c*d,  a,  a*d,  a*c
"""

import json

from tapegrad import Value

a = Value(-2.0, label="a")
b = Value(10.0, label="b")
c = Value(2.0, label="c")
d = Value(-3.0, label="d")
out = a * (b + c * d)
out.label = "out"
out.backward()
assert out.data == -8.0
assert (a.grad, b.grad, c.grad, d.grad) == (4.0, -2.0, 6.0, -4.0)
print("a*(b + c*d):", a.grad, b.grad, c.grad, d.grad)

# The dump is a tree of nodes: what each value is, its operation and its children.
dump = json.loads(out.tape.to_json())


def show(node, depth=0):
    """Print a node and, indented, what it is made of."""
    name = node.get("label", node["id"])
    values = f"{node['value']:6.1f}   adjoint {node['adjoint']:5.1f}"
    print(f"{'  ' * depth + name:12s} {node['operation']:6s} {values}")
    for child in node["children"]:
        show(child, depth + 1)


def plain(node):
    """Only value, operation and children."""
    children = [plain(child) for child in node["children"]]
    return [node["value"], node["operation"], *children]


show(dump)
leaf = "input"
product = [-6.0, "*", [2.0, leaf], [-3.0, leaf]]
assert plain(dump) == [-8.0, "*", [-2.0, leaf], [4.0, "+", [10.0, leaf], product]]

# b is used twice, so it hears from both uses.
for at, value, slopes in [
    ((2.0, 3.0), 9.0, (3.0, 3.0)),
    ((2.0001, 3.01), 9.030301, (3.01, 3.0001)),
]:
    a, b = Value(at[0], label="a"), Value(at[1], label="b")
    c = a * b + b
    c.backward()
    assert abs(c.data - value) < 1e-12
    assert abs(a.grad - slopes[0]) < 1e-12
    assert abs(b.grad - slopes[1]) < 1e-12
    print(f"a*b + b at {at}: {c.data:.6f}, slopes {a.grad:.4f} and {b.grad:.4f}")

x, y = Value(1.0, label="x"), Value(2.0, label="y")
z = x**2 + y**2
z.backward()
assert (x.grad, y.grad) == (2.0, 4.0)
print("x^2 + y^2 at (1, 2): slopes", x.grad, y.grad)
