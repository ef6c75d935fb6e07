"""Laws of the table of primitives, over every row: a new row is tested unasked."""

from __future__ import annotations

import ast
import keyword
import math
from pathlib import Path

import numpy as np
import pytest

import tapegrad.rules
from tapegrad.errors import RecordError
from tapegrad.readings import NUMPY, SCALAR, reading
from tapegrad.rules import TABLE, Primitive, Table
from tapegrad.value import Value

COMPUTING = {"math", "numpy", "scipy", "sympy", "mpmath"}
SHAPED = {
    *("shapes", "movement", "reductions", "products", "linalg", "factors", "stacks"),
}
MODULES = sorted(Path(tapegrad.rules.__file__).parent.glob("*.py"))
ROWS = list(TABLE)
FUNCTIONS = [row for row in ROWS if row.kind != "structure" and not row.whole]
KINDS = {"elementwise", "select", "predicate", "structure", "cut"}
WHOLE_KINDS = {"linear", "multilinear", "reduction", "matrix", "discrete"}
SMOOTH = [row for row in ROWS if row.partials is not None and not row.whole]
UNARY = [row for row in SMOOTH if row.arity == 1 and row.params == ({},)]


def names(rows):
    return [row.name for row in rows]


def floats_in_rules(source):
    """Lines with a float literal inside a function or lambda: rule text."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            body = node.body if isinstance(node.body, list) else [node.body]
            for inner in (n for part in body for n in ast.walk(part)):
                if isinstance(inner, ast.Constant) and isinstance(
                    inner.value, float | complex
                ):
                    found.add(inner.lineno)
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "float":
                    found.add(inner.lineno)
    return sorted(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_rule_text_holds_no_float_literals(path):
    assert floats_in_rules(path.read_text(encoding="utf-8")) == []


def test_a_planted_float_literal_is_found():
    text = "X = row(Primitive('x', 1, lambda m, y, x: (0.5 * x,)))\nY = 0.5\n"
    assert floats_in_rules(text) == [1]
    text = "def rule(m, y, x):\n    half = float('0.5')\n    return (half * x,)\n"
    assert floats_in_rules(text) == [2]


def test_rules_import_nothing_that_computes():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                named = {alias.name for alias in node.names}
                # rows of whole arrays count their entries
                allowed = {"math"} if path.stem in SHAPED else set()
                assert not named & COMPUTING - allowed, path.name


@pytest.mark.parametrize("row", SMOOTH, ids=names(SMOOTH))
def test_a_row_with_partials_is_complete(row):
    assert row.differentiable
    assert row.sympy is not None
    assert row.source
    assert row.pieces
    assert len(row.domain) == row.arity
    assert row.params
    for low, high in row.domain:
        assert low < high


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_a_row_is_well_formed(row):
    assert row.name.isidentifier()
    assert not keyword.iskeyword(row.name)
    assert row.source, "each row says where it comes from"
    assert row.kind in (WHOLE_KINDS if row.whole else KINDS)
    assert row.arity >= -1
    assert TABLE[row.name] is row
    assert TABLE.rows[TABLE.opcode(row)] is row
    params = row.samples[0].params if row.samples else row.params[0]
    assert row.sign(dict(params))
    with pytest.raises(AttributeError):
        row.name = "other"


@pytest.mark.parametrize("row", FUNCTIONS, ids=names(FUNCTIONS))
def test_a_function_can_be_lowered_and_written_as_a_formula(row):
    assert row.sympy is not None
    assert row.llvm or row.body is not None or row.floats is not None
    # one of them is what a reading takes, so a second would never be tested
    assert row.body is None or row.floats is None


@pytest.mark.parametrize("row", SMOOTH, ids=names(SMOOTH))
def test_edges_are_well_formed(row):
    allowed = {frozenset(params) for params in row.params}
    for edge in row.edges:
        assert len(edge.at) == row.arity
        assert len(edge.partials) == row.arity
        assert all(type(x) is float for x in (*edge.at, *edge.partials))
        assert edge.value is None or type(edge.value) is float
        assert 0 <= edge.relative < 1e-12
        assert frozenset(edge.params) in allowed
    points = [(edge.at, repr(edge.params)) for edge in row.edges]
    signed = [(tuple(math.copysign(1, x) for x in at), repr(at), p) for at, p in points]
    assert len(set(signed)) == len(signed), "each edge stands once"


def inside(row):
    """Operands inside a row's domain."""
    if row.kind == "select":
        return [True, 1.5, 0.5]
    found = []
    for x, (low, high) in zip((1.5, 0.5, 2.25), row.domain, strict=False):
        above = x + 1 if low == 1 else x
        found.append(above if above < high else (low + high) / 2 + 0.25)
    return found


@pytest.mark.parametrize("row", SMOOTH, ids=names(SMOOTH))
def test_there_is_a_partial_for_each_operand_in_each_reading(row):
    operands = inside(row)
    for params in row.params:
        found = {}
        for m in (SCALAR, NUMPY, reading("mpmath:50")):
            xs = [x if isinstance(x, bool) else m.number(x) for x in operands]
            # a formula for elsewhere, not selected here, may be inf or NaN
            with np.errstate(all="ignore"):
                y = m.evaluator(row)(*xs, **params)
                partials = row.partials(m, y, *xs, **params)
            assert len(partials) == row.arity
            found[m.name] = [float(y), *map(float, partials)]
        for other in found.values():
            np.testing.assert_allclose(other, found["float64"], rtol=1e-14)


@pytest.mark.parametrize("row", SMOOTH, ids=names(SMOOTH))
def test_arrays_are_read_as_their_entries(row):
    rng = np.random.default_rng(0)
    xs = [rng.uniform(0.9, 1.1, 7) * x for x in inside(row)]
    if row.kind == "select":
        xs[0] = xs[0] > 1.0
    for params in row.params:
        with np.errstate(all="ignore"):
            y = NUMPY.evaluator(row)(*xs, **params)
            partials = row.partials(NUMPY, y, *xs, **params)
        assert np.shape(y) == (7,)
        for i in range(7):
            point = [x[i] for x in xs]
            with np.errstate(all="ignore"):
                one = row.partials(NUMPY, y[i], *point, **params)
            for whole, single in zip(partials, one, strict=True):
                entry = np.broadcast_to(whole, (7,))[i]
                np.testing.assert_allclose(entry, single, rtol=1e-15)


@pytest.mark.parametrize("row", UNARY, ids=names(UNARY))
def test_unary_functions_are_methods_and_ufuncs_of_a_value(row):
    (at,) = inside(row)
    x = Value(at)
    expected = SCALAR.apply(row, at)
    if not row.operator:
        assert getattr(x, row.name)().data == expected
    ufunc = getattr(np, row.ufunc or row.name, None)
    if isinstance(ufunc, np.ufunc):
        assert ufunc(x).data == expected


def test_a_table_refuses_a_second_row_of_one_name_and_odd_names():
    table = Table()
    row = table.add(Primitive("f", 1))
    assert len(table) == 1
    assert "f" in table
    with pytest.raises(RecordError, match="already"):
        table.add(Primitive("f", 2))
    with pytest.raises(RecordError, match="identifier"):
        table.add(Primitive("f g", 1))
    with pytest.raises(RecordError, match="the table has: f"):
        table["g"]
    assert list(table) == [row]
