"""tape.to_json(): trees while they are small, lists of nodes beyond."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.show.dump import TREE_DEPTH, TREE_NODES
from tapegrad.symbolic.parse import parse


def values(node):
    return node["value"], [values(child) for child in node["children"]]


def test_the_lesson():
    a, b = tg.Value(-2.0, label="a"), tg.Value(10.0, label="b")
    c, d = tg.Value(2.0, label="c"), tg.Value(-3.0, label="d")
    node = json.loads((a * (b + c * d)).tape.to_json())
    assert (node["operation"], node["value"]) == ("*", -8.0)
    first, second = node["children"]
    assert (first["label"], first["value"], first["children"]) == ("a", -2.0, [])
    assert values(second) == (4.0, [(10.0, []), (-6.0, [(2.0, []), (-3.0, [])])])
    assert first["adjoint"] == 4.0


def test_a_node_used_twice_is_written_twice_under_one_id():
    node = json.loads(tg.record(lambda x: x * x, 3.0).to_json())
    assert node["children"][0] == node["children"][1]
    assert node["children"][0]["id"] == "v0"
    assert node["children"][0]["adjoint"] == 6.0


def test_several_outputs_are_a_list():
    nodes = json.loads(tg.record(lambda x: [x + 1.0, x * 2.0], 3.0).to_json())
    assert [node["value"] for node in nodes] == [4.0, 6.0]


def test_without_an_example_values_are_null():
    node = json.loads(parse("x*2").to_json())
    assert node["value"] is None
    assert [child["value"] for child in node["children"]] == [None, 2.0]


def test_steps_that_no_output_needs_are_left_out():
    def f(x):
        np.exp(x)
        return x * 2.0

    assert "exp" not in tg.record(f, 1.0).to_json()


def test_json_has_no_nan_and_no_infinity():
    node = json.loads(tg.record(lambda x: np.log(x) - 1 / x, 0.0).to_json())
    assert node["value"] == "-inf"
    assert node["adjoint"] == 1.0


def test_conditions_are_booleans():
    node = json.loads(tg.record(lambda x: tg.where(x > 1.0, x, 0.0), 2.0).to_json())
    assert node["children"][0]["value"] is True
    assert "adjoint" not in node["children"][0]


def doubled(times):
    def f(x):
        for _ in range(times):
            x = x * x
        return x

    return tg.record(f, 1.0)


def test_shared_nodes_do_not_blow_up():
    text = doubled(1_000).to_json()
    found = json.loads(text)
    assert len(found["nodes"]) == 1_001
    assert found["outputs"] == ["v1000"]
    assert found["nodes"][5]["children"] == ["v4", "v4"]
    assert len(text) < 200_000


def test_deep_chains_are_flat_and_no_recursion():
    def chain(x):
        for _ in range(20_000):
            x = -x
        return x

    found = json.loads(tg.record(chain, 1.0).to_json())
    assert len(found["nodes"]) == 20_001
    ids = set()
    for node in found["nodes"]:  # in step order: children stand before
        assert ids.issuperset(node["children"])
        ids.add(node["id"])


def test_the_limits_of_a_tree():
    def nodes(node):
        return 1 + sum(map(nodes, node["children"]))

    assert 255 <= TREE_NODES < 1023
    assert nodes(json.loads(doubled(7).to_json())) == 255
    assert "nodes" in json.loads(doubled(9).to_json())


@pytest.mark.parametrize(
    ("steps", "tree"), [(TREE_DEPTH - 1, True), (TREE_DEPTH, False)]
)
def test_the_depth_of_a_tree(steps, tree):
    def chain(x):
        for _ in range(steps):
            x = -x
        return x

    assert ("children" in json.loads(tg.record(chain, 1.0).to_json())) is tree


# -- arrays ------------------------------------------------------------------------


def test_nodes_of_arrays():
    def f(x):
        return np.sum(x[1:] * x[:-1])

    node = json.loads(tg.record(f, np.array([1.0, 2.0, 3.0])).to_json())
    assert "shape" not in node
    assert (node["operation"], node["value"]) == ("sum", 8.0)
    (product,) = node["children"]
    assert (product["shape"], product["dtype"]) == ([2], "float64")
    assert (product["value"], product["adjoint"]) == ([2.0, 6.0], [1.0, 1.0])
    first, second = product["children"]
    assert (first["operation"], second["operation"]) == ("[1:]", "[:-1]")
    (x,) = first["children"]
    assert x["adjoint"] == [2.0, 4.0, 2.0]


def test_parameters_and_dtypes():
    def f(x, at):
        return np.std(x[at], axis=0, ddof=1)[0]

    node = json.loads(tg.record(f, np.eye(3), np.array([0, 2])).to_json())
    (std,) = node["children"]
    assert std["parameters"] == ["axis=0", "ddof=1"]
    gather = std["children"][0]
    assert gather["operation"] == "[[]]"
    at = gather["children"][1]
    assert (at["dtype"], at["value"]) == ("int64", [0, 2])
    assert "adjoint" not in at


def test_numbers_that_json_has_not_and_single_precision():
    x = np.array([0.0, 1.0], np.float32)
    with np.errstate(all="ignore"):
        node = json.loads(tg.record(lambda x: np.sum(np.log(x)), x).to_json())
    assert node["value"] == "-inf"
    assert node["dtype"] == "float32"
    assert node["children"][0]["value"] == ["-inf", 0.0]
    assert node["children"][0]["children"][0]["adjoint"] == ["inf", 1.0]


def test_a_large_array_is_its_short_text():
    text = tg.record(np.sum, np.zeros((1_000, 1_000))).to_json()
    assert len(text) < 1_000
    (x,) = json.loads(text)["children"]
    assert x["value"] == "[[0.0, 0.0 ... 0.0]]"
    assert x["shape"] == [1_000, 1_000]
