"""Problems as a calculus textbook prints them, with the answers that it prints.

The answers are written by hand, in a book's words, and read by SymPy's own parser, so
that neither our language nor SymPy's derivative has a part in them. Each is proved
equal to what `tg.derive` gives, and compared with what the command prints at points.
"""

from __future__ import annotations

import json
import math

import pytest
import sympy as sp
from typer.testing import CliRunner

import tapegrad as tg
from tapegrad.cli import app
from tapegrad.proof.prover import Prover
from tapegrad.symbolic.parse import parse

# Where x is: anywhere, above 0, between 0 and 1, or above 1.
ANY, ABOVE, UNIT, BEYOND = (-0.6, 0.9), (0.4, 2.3), (0.3, 0.8), (1.4, 2.5)

PROBLEMS = [
    # powers and polynomials
    ("x^7", "7x^6", ANY),
    ("5*x^3", "15x^2", ANY),
    ("x^4 - 3*x^2 + 2*x - 7", "4x^3 - 6x + 2", ANY),
    ("1/x^3", "-3/x^4", ABOVE),
    ("sqrt(x)", "1/(2 sqrt(x))", ABOVE),
    ("cbrt(x)", "1/(3 x^(2/3))", ABOVE),
    ("x^(5/2)", "(5/2) x^(3/2)", ABOVE),
    ("4/sqrt(x)", "-2/x^(3/2)", ABOVE),
    ("x^pi", "pi x^(pi - 1)", ABOVE),
    ("(x + 1/x)^2", "2x - 2/x^3", ABOVE),
    # products
    ("x^2*sin(x)", "2x sin(x) + x^2 cos(x)", ANY),
    ("x*e^x", "(1 + x) e^x", ANY),
    ("x*ln(x)", "1 + ln(x)", ABOVE),
    ("e^x*cos(x)", "e^x (cos(x) - sin(x))", ANY),
    ("(x^2 + 1)*(x^3 - 2*x)", "5x^4 - 3x^2 - 2", ANY),
    ("x^3*ln(x)", "x^2 (3 ln(x) + 1)", ABOVE),
    ("sin(x)*cos(x)", "cos(2x)", ANY),
    ("x*sin(x)*e^x", "e^x (sin(x) + x sin(x) + x cos(x))", ANY),
    ("sqrt(x)*(x - 1)", "(3x - 1)/(2 sqrt(x))", ABOVE),
    ("x^2*e^(-x)", "x (2 - x) e^(-x)", ANY),
    # quotients
    ("x/(x + 1)", "1/(x + 1)^2", ABOVE),
    ("(x - 1)/(x + 1)", "2/(x + 1)^2", ABOVE),
    ("(x^2 - 1)/(x^2 + 1)", "4x/(x^2 + 1)^2", ANY),
    ("sin(x)/x", "(x cos(x) - sin(x))/x^2", ABOVE),
    ("ln(x)/x", "(1 - ln(x))/x^2", ABOVE),
    ("e^x/(1 + e^x)", "e^x/(1 + e^x)^2", ANY),
    ("x/sqrt(x^2 + 1)", "1/(x^2 + 1)^(3/2)", ANY),
    ("sin(x)/(1 + cos(x))", "1/(1 + cos(x))", ANY),
    ("(2*x + 3)/(x^2 - 5)", "-(2x^2 + 6x + 10)/(x^2 - 5)^2", ANY),
    ("(1 - ln(x))/(1 + ln(x))", "-2/(x (1 + ln(x))^2)", BEYOND),
    # chains
    ("(3*x + 1)^5", "15 (3x + 1)^4", ANY),
    ("sqrt(x^2 + 1)", "x/sqrt(x^2 + 1)", ANY),
    ("sin(x^2)", "2x cos(x^2)", ANY),
    ("sin(x)^2", "sin(2x)", ANY),
    ("cos(3*x)^4", "-12 cos(3x)^3 sin(3x)", ANY),
    ("e^(-x^2)", "-2x e^(-x^2)", ANY),
    ("e^sin(x)", "cos(x) e^sin(x)", ANY),
    ("1/(1 + x^2)^3", "-6x/(1 + x^2)^4", ANY),
    ("sin(cos(tan(x)))", "-cos(cos(tan(x))) sin(tan(x)) sec(x)^2", ANY),
    ("sqrt(1 + sqrt(x))", "1/(4 sqrt(x) sqrt(1 + sqrt(x)))", ABOVE),
    ("sqrt(x + sqrt(x + sqrt(x)))", None, ABOVE),
    ("e^(e^x)", "e^(x + e^x)", ANY),
    # trigonometric
    ("tan(x)", "sec(x)^2", ANY),
    ("cot(x)", "-csc(x)^2", ABOVE),
    ("sec(x)", "sec(x) tan(x)", ANY),
    ("csc(x)", "-csc(x) cot(x)", ABOVE),
    ("tan(x) - x", "tan(x)^2", ANY),
    ("sec(x)^2 - tan(x)^2", "0", ANY),
    ("x*cot(x)", "cot(x) - x csc(x)^2", ABOVE),
    ("ln(sec(x) + tan(x))", "sec(x)", UNIT),
    ("tan(x)^2/2 + ln(cos(x))", "tan(x)^3", UNIT),
    ("sin(x)^3*cos(x)^2", "3 sin(x)^2 cos(x)^3 - 2 sin(x)^4 cos(x)", ANY),
    # inverse trigonometric
    ("arcsin(x)", "1/sqrt(1 - x^2)", UNIT),
    ("arccos(x)", "-1/sqrt(1 - x^2)", UNIT),
    ("arctan(x)", "1/(1 + x^2)", ANY),
    ("arccot(x)", "-1/(1 + x^2)", ANY),
    ("arcsec(x)", "1/(x sqrt(x^2 - 1))", BEYOND),
    ("arccsc(x)", "-1/(x sqrt(x^2 - 1))", BEYOND),
    ("arctan(x/3)/3", "1/(x^2 + 9)", ANY),
    ("arcsin(x/2)", "1/sqrt(4 - x^2)", UNIT),
    ("x*arcsin(x) + sqrt(1 - x^2)", "arcsin(x)", UNIT),
    ("x*arctan(x) - ln(1 + x^2)/2", "arctan(x)", ANY),
    ("arctan(sqrt(x))", "1/(2 sqrt(x) (1 + x))", ABOVE),
    ("arctan((1 + x)/(1 - x))", "1/(1 + x^2)", UNIT),
    ("arcsin(sqrt(x))", "1/(2 sqrt(x) sqrt(1 - x))", UNIT),
    ("(arctan(x))^2", "2 arctan(x)/(1 + x^2)", ANY),
    ("arcsin(2*x - 1)", "1/sqrt(x - x^2)", UNIT),
    # hyperbolic
    ("sinh(x)", "cosh(x)", ANY),
    ("cosh(x)", "sinh(x)", ANY),
    ("tanh(x)", "sech(x)^2", ANY),
    ("coth(x)", "-csch(x)^2", ABOVE),
    ("sech(x)", "-sech(x) tanh(x)", ANY),
    ("csch(x)", "-csch(x) coth(x)", ABOVE),
    ("ln(cosh(x))", "tanh(x)", ANY),
    ("arctan(sinh(x))", "sech(x)", ANY),
    ("arsinh(x)", "1/sqrt(x^2 + 1)", ANY),
    ("arcosh(x)", "1/sqrt(x^2 - 1)", BEYOND),
    ("artanh(x)", "1/(1 - x^2)", UNIT),
    ("arcoth(x)", "1/(1 - x^2)", BEYOND),
    ("arsech(x)", "-1/(x sqrt(1 - x^2))", UNIT),
    ("arcsch(x)", "-1/(x sqrt(x^2 + 1))", ABOVE),
    ("x*cosh(x) - sinh(x)", "x sinh(x)", ANY),
    # logarithms and exponentials
    ("ln(x)", "1/x", ABOVE),
    ("log(x, 2)", "1/(x ln(2))", ABOVE),
    ("log10(x)", "1/(x ln(10))", ABOVE),
    ("ln(x^2 + 1)", "2x/(x^2 + 1)", ANY),
    ("ln(ln(x))", "1/(x ln(x))", BEYOND),
    ("ln(x + sqrt(x^2 + 1))", "1/sqrt(x^2 + 1)", ABOVE),
    ("ln((1 + x)/(1 - x))/2", "1/(1 - x^2)", UNIT),
    ("ln(x)^3", "3 ln(x)^2/x", ABOVE),
    ("x*ln(x) - x", "ln(x)", ABOVE),
    ("2^x", "2^x ln(2)", ANY),
    ("10^(x^2)", "2x ln(10) 10^(x^2)", ANY),
    ("x^2*2^x", "x 2^x (2 + x ln(2))", ANY),
    ("ln(abs(x))", "1/x", ABOVE),
    # nested powers
    ("x^x", "x^x (1 + ln(x))", ABOVE),
    ("x^sin(x)", "x^sin(x) (cos(x) ln(x) + sin(x)/x)", ABOVE),
    ("sin(x)^x", "sin(x)^x (ln(sin(x)) + x cot(x))", ABOVE),
    ("x^(1/x)", "x^(1/x) (1 - ln(x))/x^2", ABOVE),
    ("x^ln(x)", "2 ln(x) x^(ln(x) - 1)", ABOVE),
    ("ln(x)^x", "ln(x)^x (ln(ln(x)) + 1/ln(x))", BEYOND),
    ("(1 + 1/x)^x", "(1 + 1/x)^x (ln(1 + 1/x) - 1/(1 + x))", ABOVE),
    ("x^(x^x)", "x^(x^x) x^x (ln(x)^2 + ln(x) + 1/x)", ABOVE),
    ("((x^2 + 1)^3 + 1)^2", "12x (x^2 + 1)^2 ((x^2 + 1)^3 + 1)", ANY),
    ("abs(x)", "sgn(x)", ANY),
]
ROOTS = (
    "(1 + (1 + 1/(2 sqrt(x)))/(2 sqrt(x + sqrt(x))))/(2 sqrt(x + sqrt(x + sqrt(x))))"
)
PROBLEMS = [(text, answer or ROOTS, at) for text, answer, at in PROBLEMS]

SECOND = [
    ("x^3*ln(x)", "6x ln(x) + 5x", ABOVE),
    ("e^(-x^2)", "(4x^2 - 2) e^(-x^2)", ANY),
    ("tan(x)", "2 sec(x)^2 tan(x)", ANY),
    ("x/(x + 1)", "-2/(x + 1)^3", ABOVE),
    ("arctan(x)", "-2x/(1 + x^2)^2", ANY),
    ("x^x", "x^x ((1 + ln(x))^2 + 1/x)", ABOVE),
    ("sqrt(x^2 + 1)", "1/(x^2 + 1)^(3/2)", ANY),
    ("e^x*sin(x)", "2 e^x cos(x)", ANY),
]

# Several variables: the partial derivative by each.
PARTIAL = [
    ("x^2*y^3", {"x": "2x y^3", "y": "3x^2 y^2"}),
    ("x/y", {"x": "1/y", "y": "-x/y^2"}),
    ("arctan(y/x)", {"x": "-y/(x^2 + y^2)", "y": "x/(x^2 + y^2)"}),
    ("ln(sqrt(x^2 + y^2))", {"x": "x/(x^2 + y^2)", "y": "y/(x^2 + y^2)"}),
    ("e^(x*y)*sin(y)", {"x": "y e^(x y) sin(y)", "y": "e^(x y)(x sin(y) + cos(y))"}),
    ("x^y", {"x": "y x^(y - 1)", "y": "x^y ln(x)"}),
    ("(x - y)/(x + y)", {"x": "2y/(x + y)^2", "y": "-2x/(x + y)^2"}),
    ("x*y*z*e^(-z)", {"x": "y z e^(-z)", "y": "x z e^(-z)", "z": "x y (1 - z) e^(-z)"}),
    ("1/sqrt(x^2 + y^2)", {v: f"-{v}/(x^2 + y^2)^(3/2)" for v in "xy"}),
]


def printed(answer):
    """A book's answer by SymPy's own parser, with multiplication understood."""
    from sympy.parsing import sympy_parser as read

    words = {
        "e": sp.E,
        "sgn": sp.sign,
        **{f"arc{name}": getattr(sp, f"a{name}") for name in ("sin", "tan")},
        **{name: sp.Symbol(name, real=True) for name in "xyz"},
    }
    steps = (*read.standard_transformations, read.convert_xor)
    return read.parse_expr(
        answer, words, (*steps, read.implicit_multiplication), evaluate=True
    )


@pytest.fixture(scope="module")
def prover():
    with Prover() as found:
        yield found


def prove(prover, difference, at):
    """Zero for every x where the problem is stated."""
    names = {"x", "y", "z"} if at in {ABOVE, UNIT, BEYOND} else set()
    known = {
        symbol: sp.Symbol(symbol.name, positive=True)
        for symbol in difference.free_symbols
        if symbol.name in names
    }
    difference = difference.xreplace(known)
    for x in known.values() if at != ABOVE else ():
        # between 0 and 1: 1/(1 + t) of a positive t; above 1: 1 + t
        t = sp.Symbol("t", positive=True)
        difference = difference.subs(x, 1 + t if at == BEYOND else 1 / (1 + t))
    status, detail = prover.decide(difference)
    assert status == "proved", (difference, detail)


def commanded(text, order, at):
    """The derivatives that the command prints at a point."""
    point = ",".join(f"{name}={x!r}" for name, x in at.items())
    call = ["derive", text, "--order", str(order), "--at", point, "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    return json.loads(result.output)["derivatives"]


CASES = [
    *((text, answer, at, 1) for text, answer, at in PROBLEMS),
    *((text, answer, at, 2) for text, answer, at in SECOND),
]


@pytest.mark.parametrize(
    ("text", "answer", "at", "order"), CASES, ids=[f"{c[0]}:{c[3]}" for c in CASES]
)
def test_the_printed_answer(text, answer, at, order, prover):
    answer = printed(answer)
    closed = tg.derive(text, order=order)["x" if order == 1 else ("x", "x")]
    prove(prover, closed - answer, at)
    x = sp.Symbol("x", real=True)
    wanted = [float(answer.subs(x, place).evalf(30)) for place in at]
    (found,) = commanded(text, order, {"x": at[0]})
    tape = parse(text)
    swept = (tape.gradient if order == 1 else tape.hessian)(at[1])
    for value, right in [
        (found["tape"], wanted[0]),
        (found["closed_value"], wanted[0]),
        (swept, wanted[1]),
    ]:
        assert math.isclose(value, right, rel_tol=1e-12, abs_tol=1e-13)


@pytest.mark.parametrize(("text", "answers"), PARTIAL, ids=[p[0] for p in PARTIAL])
def test_the_printed_partial_derivatives(text, answers, prover):
    closed = tg.derive(text)
    assert set(closed) == set(answers)
    at = dict(zip("xyz", (0.7, 1.9, 0.4), strict=True))
    point = {sp.Symbol(name, real=True): x for name, x in at.items()}
    found = commanded(text, 1, {name: at[name] for name in answers})
    for entry in found:
        answer = printed(answers[entry["wrt"][0]])
        prove(prover, closed[entry["wrt"][0]] - answer, ABOVE)
        wanted = float(answer.subs(point).evalf(30))
        assert math.isclose(entry["tape"], wanted, rel_tol=1e-12)


def test_there_are_enough_of_them():
    assert len({text for text, *_ in PROBLEMS}) >= 100


def test_a_misprint_is_found(prover):
    """A sign, a factor, a forgotten inner derivative: none is proved."""
    for text, answer in [
        ("cos(3*x)", "-sin(3x)"),
        ("x^2*sin(x)", "2x sin(x) - x^2 cos(x)"),
        ("arctan(x/3)", "1/(x^2 + 9)"),
    ]:
        with pytest.raises(AssertionError):
            prove(prover, tg.derive(text)["x"] - printed(answer), ANY)
