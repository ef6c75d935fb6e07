"""Proofs that an expression is zero: proved, refuted, or unproved in time."""

from __future__ import annotations

import pytest
import sympy as sp

from tapegrad.proof import prover as proving
from tapegrad.proof.prover import Prover
from tapegrad.proof.worker import STRATEGIES, counterexample, decide

X, Y = sp.symbols("x y", real=True)
P = sp.Symbol("p", positive=True)
N = sp.Symbol("n", negative=True)


@pytest.fixture(scope="module")
def prover():
    with Prover(30) as prover:
        yield prover


ZERO = {
    "identical": X - X,
    "pythagoras": sp.sin(X) ** 2 + sp.cos(X) ** 2 - 1,
    "hyperbolic": 1 - sp.tanh(X) ** 2 - sp.sech(X) ** 2,
    "rewrite": sp.tanh(X) - (sp.exp(2 * X) - 1) / (sp.exp(2 * X) + 1),
    "powers": P ** (Y - 1) - P**Y / P,
    "logarithms": sp.log(1 + sp.exp(-P)) + P - sp.log(1 + sp.exp(P)),
    "sides": sp.sqrt(X**2) - sp.Max(X, -X),
    "arms": sp.Piecewise((sp.sin(X) ** 2 - 1, X > Y), (-(sp.cos(X) ** 2), True))
    + sp.cos(X) ** 2,
}
NOT_ZERO = {
    "sign": sp.sin(X) - sp.cos(X),
    "logarithm of a factor": sp.log(2 * P) - sp.log(P) - sp.Rational(69, 100),
    "constant": sp.Integer(1),
    "at one point": sp.Piecewise((1, sp.Eq(X, 0)), (0, True)),
    "on one side": sp.Abs(N) - N,
    "far digits": sp.Rational(1, 10**25) * X,
}


@pytest.mark.parametrize("name", ZERO)
def test_proved(prover, name):
    assert prover.decide(ZERO[name])[0] == "proved"


@pytest.mark.parametrize("name", NOT_ZERO)
def test_refuted_with_a_point(prover, name):
    status, detail = prover.decide(NOT_ZERO[name])
    assert status == "refuted"
    assert "the difference is" in detail


def test_what_no_strategy_decides_is_unproved():
    f = sp.Function("f")
    status, detail = decide(f(X) - f(sp.sin(X)))
    assert status == "unproved"
    assert all(name in detail for name in STRATEGIES)


def test_poles_and_nan_refute_nothing():
    assert counterexample(sp.zoo * X) == ""
    assert counterexample(sp.nan + X) == ""
    assert counterexample((X - X) / Y) == ""


def test_a_proof_that_takes_too_long_is_unproved(monkeypatch):
    # a multiplication of integers that no exception interrupts
    monkeypatch.setattr(proving, "START", 0.0)
    with Prover(0.01) as prover:
        status, detail = prover.decide(ZERO["rewrite"])
        assert status == "unproved"
        assert "no answer within" in detail
        # and the next proof has a process of its own
        prover.seconds = 60.0
        assert prover.decide(ZERO["pythagoras"])[0] == "proved"


def test_a_process_that_cannot_start_is_unproved(monkeypatch, tmp_path):
    monkeypatch.setattr(proving, "WORKER", tmp_path / "nothing.py")
    with Prover() as prover:
        status, detail = prover.decide(ZERO["rewrite"])
    assert status == "unproved"
    assert "failed" in detail


def test_what_cannot_be_sent_is_unproved():
    class Local(sp.Function):
        pass

    with Prover() as prover:
        assert prover.decide(Local(X) - 1)[0] == "unproved"
