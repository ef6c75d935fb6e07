"""What can be a primitive, what it is called, and what is said where it cannot."""

from __future__ import annotations

import inspect
import math
import random
import threading

import numpy as np
import pytest
import sympy as sp

import tapegrad as tg
import tapegrad.native.arrays.words
import tapegrad.native.reading
from tapegrad.primitives import Defined
from tapegrad.primitives.define import _reserved
from tapegrad.readings import FLOAT32, NUMPY, SCALAR, Reading, reading
from tapegrad.recorder import Recorder, RecorderReading
from tapegrad.rules import TABLE

X, Y = sp.symbols("x y")


def test_the_same_again_is_the_same(the):
    f = the("decay")
    again = tg.primitive(
        "t_decay",
        lambda x, y: x * np.exp(-y),
        partials=lambda m, v, x, y: (m.exp(-y), -v),
        sympy=sp.Symbol("x") * sp.exp(-sp.Symbol("y")),
    )
    assert again is f
    with pytest.raises(tg.RecordError, match=r"defined already, as x\*exp\(-y\)"):
        tg.primitive("t_decay", lambda x, y: x * np.exp(-2 * y))
    with pytest.raises(tg.RecordError, match="defined already"):
        tg.primitive("t_decay", X * sp.exp(-Y), [X, Y])


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a b", "identifier"),
        ("", "identifier"),
        (3, "identifier"),
        ("lambda", "identifier"),
        ("sin", "in the table already"),
        ("add", "in the table already"),
        ("input", "in the table already"),
        ("number", "word of readings"),
        ("const", "word of readings"),
        ("partials", "word of readings"),
        ("_hidden", "word of readings"),
    ],
)
def test_names_that_cannot_be(name, what):
    with pytest.raises(tg.RecordError, match=what):
        tg.primitive(name, X**2, [X])


def test_no_reading_has_a_word_that_a_primitive_could_take():
    made = [
        SCALAR,
        NUMPY,
        FLOAT32,
        reading("mpmath:50"),
        reading("sympy"),
        RecorderReading(Recorder()),
        tapegrad.native.reading.LlvmReading(),
        tapegrad.native.arrays.words.EntryReading(),
    ]
    for m in made:
        assert isinstance(m, Reading)
        # rows that were looked up are kept among its attributes
        own = {name for name in vars(m) if name not in TABLE}
        assert own <= _reserved(), (m.name, own - _reserved())


def test_it_does_not_answer_for_a_ufunc_of_its_name():
    f = tg.primitive("spacing", X**2, [X])
    assert f(3.0) == 9.0
    with pytest.raises(TypeError):
        np.spacing(tg.Value(3.0))
    assert not hasattr(tg.Value, "spacing")


REFUSED = {
    "a branch": (
        lambda x: x if x > 0 else 2 * x,
        r"takes a branch .*test_define\.py:\d",
    ),
    "whole arrays": (lambda x: np.sum(x * np.ones(2)), "takes whole arrays"),
    "two results": (lambda x: (x, x), "gives 2 results"),
    "no result": (lambda x: None, "returned None"),
    "a constant": (lambda x: 3.0, "the same number for all"),
    "random numbers": (lambda x: x * random.random(), "second recording differs"),
    "functions of math": (lambda x: math.sin(x), "functions of NumPy"),  # noqa: PLW0108
    "any number": (lambda *xs: xs[0], "fixed number of arguments"),
    "a keyword": (lambda x, *, k=1: x * k, "fixed number of arguments"),
    "no argument": (lambda: 1.0, "at least one"),
    "text": ("x**2", "never evaluated"),
    "a number": (3, "a SymPy expression or a function"),
    "a matrix": (sp.Matrix([X]), "a SymPy expression or a function"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_primitive(what):
    definition, said = REFUSED[what]
    with pytest.raises(tg.RecordError, match=said):
        tg.primitive("t_refused", definition)
    assert "t_refused" not in TABLE


@pytest.mark.parametrize(
    ("form", "symbols", "said"),
    [
        (X * Y, [X], "y of the expression is not among the symbols"),
        (sp.Function("foo")(X), [X], "unknown function 'foo' of 1 arguments"),
        (sp.I * X, [X], "is not real"),
        (X > 0, [X], "no expression of a number"),
        (sp.pi, [], "none is among the symbols"),
        (X, [sp.Symbol("x", imaginary=True)], "no real symbol"),
        (X, [X, sp.Symbol("x", real=True)], "have one name"),
        (sp.zeta(X), [X], "zeta"),
    ],
)
def test_expressions_that_are_none(form, symbols, said):
    with pytest.raises(tg.ParseError, match=said):
        tg.primitive("t_refused", form, symbols)
    assert "t_refused" not in TABLE


def test_partials_of_another_form_are_refused():
    def product(x, y):
        return x * y

    for partials, said in (
        (lambda x: 1, r"partials\(y, x, y\)"),
        (lambda v, x, y: y, "gives 1 results for 2 arguments"),
        (lambda m, v, x, y: (y, x, v), "gives 3 results for 2 arguments"),
        (lambda v, x, y: (y, x) if x > 0 else (x, y), "takes a branch"),
    ):
        with pytest.raises(tg.RecordError, match=said):
            tg.primitive("t_refused", product, partials=partials)
    with pytest.raises(tg.RecordError, match="go with a function"):
        tg.primitive("t_refused", X, [X], partials=lambda v, x: 1)


def test_domains_that_are_empty_are_refused():
    with pytest.raises(tg.RecordError, match="the domain of x is empty"):
        tg.primitive("t_refused", sp.sqrt(-X), [X], domain=(1, 2))


def test_symbols_by_name_in_order_and_by_default():
    f = tg.primitive("t_order", X - 2 * Y, "y x")
    assert f(1.0, 5.0) == 3.0
    assert f.arguments == ("y", "x")
    assert tg.primitive("t_default", X - 2 * Y).arguments == ("x", "y")


def test_what_it_looks_like(the):
    f = the("decay")
    assert repr(f) == "<primitive t_decay(x, y) = x*exp(-y)>"
    assert f.__name__ == f.name == "t_decay"
    assert isinstance(f, Defined)
    assert "t_decay(x, y) = x*exp(-y)" in inspect.getdoc(f)
    assert tg.primitive("t_doc", X**5, doc="Five times.").__doc__ == "Five times."
    g = the("planck")
    assert "0.001 <= x <= 600" in repr(g)
    assert "m.expm1(x)" in g.rule
    assert g._repr_latex_().startswith(r"$\displaystyle \operatorname{t\_planck}")
    assert repr(the("lambert")).startswith("<primitive t_lambert(x) = the code of lamb")


def test_another_number_of_arguments_is_an_error(the):
    with pytest.raises(tg.RecordError, match="takes 2 arguments, got 1"):
        the("decay")(1.0)


def test_one_of_many_threads_defines_it():
    found = []

    def define():
        found.append(tg.primitive("t_threads", sp.sin(X) ** 3, [X]))

    threads = [threading.Thread(target=define) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert sum(row.name == "t_threads" for row in TABLE) == 1


def test_a_definition_may_use_another():
    f = tg.primitive("t_inner_one", lambda x: np.exp(-x * x))
    g = tg.primitive("t_outer_one", lambda x: f(x) * x)
    assert math.isclose(
        tg.grad(g)(0.7), (1 - 2 * 0.49) * math.exp(-0.49), rel_tol=1e-14
    )
    h = tg.primitive("t_outer_two", sp.Function("t_inner_one")(2 * X) + X, [X])
    assert math.isclose(tg.grad(h)(0.3), 1 - 2.4 * math.exp(-0.36), rel_tol=1e-14)


def test_a_captured_array_or_number_is_frozen():
    scale = [2.0]
    f = tg.primitive("t_frozen", lambda x: x * x * scale[0])
    scale[0] = 3.0
    assert f(1.0) == 2.0
    assert tg.grad(f)(1.0) == 4.0
