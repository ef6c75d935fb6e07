"""Every transform against JAX's numbers, in every tier. See cases.py, jax_values.py."""

import json
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tests.transforms.cases import CASES, leaves, mapped, wave, weighted

STORED = json.loads(Path(__file__).with_name("jax_values.json").read_text())["cases"]
# of what is largest among the entries: sums are added in another order there
TOLERANCE = 1e-12


class Subject:
    """A case with its arguments, and JAX's numbers."""

    def __init__(self, name):
        self.case, self.stored = CASES[name], STORED[name]
        self.args = self.case.args
        self.every = tuple(range(len(self.args)))
        self.value = self.f(*self.args)
        self.direction = wave(self.args)
        # of floats alone, in the shapes of what the function gives
        self.cotangents = wave(self.value, 2.0)
        self.g = weighted(self.case, np, self.value)

    def f(self, *xs):
        return self.case.f(np, *xs)

    def expected(self, what):
        """JAX's leaves in the nesting of the function transforms."""
        found, pairs = self.functions()[what](), []
        mapped(lambda x, y: pairs.append((np.shape(x), y)), found, self.stored[what])
        return [np.asarray(y, float).reshape(shape) for shape, y in pairs]

    def functions(self):
        """What each transform of functions gives."""
        f, g, every, args = self.f, self.g, self.every, self.args
        return {
            "value": lambda: tg.vjp(f, *args)[0],
            "jvp": lambda: tg.jvp(f, args, self.direction)[1],
            "vjp": lambda: tg.vjp(f, *args)[1](self.cotangents),
            "jacobian": lambda: tg.jacobian(f, every)(*args),
            "grad": lambda: tg.grad(g, every)(*args),
            "hessian": lambda: tg.hessian(g, every)(*args),
            "hvp": lambda: as_tuple(tg.hvp(g, args, self.direction), args),
            "third": lambda: tg.jacobian(tg.hessian(g))(*args),
        }


def as_tuple(found, args):
    return (found,) if len(args) == 1 else found


def same(found, expected):
    assert len(found) == len(expected)
    scale = max((np.abs(y).max(initial=0.0) for y in expected), default=0.0)
    for x, y in zip(found, expected, strict=True):
        assert np.shape(x) == y.shape
        np.testing.assert_allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE * max(scale, 1))


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def subject(request):
    return Subject(request.param)


def test_functions_at_numbers(subject):
    made = subject.functions()
    for what in subject.stored:
        same(leaves(made[what]()), subject.expected(what))
    _, pushforward = tg.linearize(subject.f, *subject.args)
    same(leaves(pushforward(*subject.direction)), subject.expected("jvp"))


def test_recorded_derivatives(subject):
    f, g, every, args = subject.f, subject.g, subject.every, subject.args
    for what, derivative in {
        "jacobian": tg.jacobian(f, every),
        "grad": tg.grad(g, every),
        "hessian": tg.hessian(g, every),
        "third": tg.jacobian(tg.hessian(g)),
        "jvp": lambda *xs: tg.jvp(f, xs, subject.direction)[1],
        "vjp": lambda *xs: tg.vjp(f, *xs)[1](subject.cotangents),
        "hvp": lambda *xs: tg.hvp(g, xs, subject.direction),
    }.items():
        if what in subject.stored:
            # recorded elsewhere: nothing of the point may be left on the tape
            elsewhere = mapped(lambda x: 1.1 * x, args)
            tape = tg.record(derivative, *elsewhere)
            tape.check()
            same(leaves(tape(*args)), subject.expected(what))
    push = tg.record(lambda *xs: tg.linearize(f, *xs)[1](*subject.direction), *args)
    same(leaves(push(*args)), subject.expected("jvp"))


def test_tapes(subject):
    args, direction = subject.args, subject.direction
    tape, number = tg.record(subject.f, *args), tg.record(subject.g, *args)
    same(leaves(tape(*args)), subject.expected("value"))
    same(leaves(tape.jacobian(*args)), subject.expected("jacobian"))
    same(leaves(tape.jvp(args, direction)[1]), subject.expected("jvp"))
    same(leaves(tape.vjp(args, subject.cotangents)[1]), subject.expected("vjp"))
    same(leaves(number.gradient(*args)), subject.expected("grad"))
    if subject.case.order > 1:
        same(leaves(number.hessian(*args)), subject.expected("hessian"))
        same(leaves(number.hvp(args, direction)), subject.expected("hvp"))


def test_native_code(subject):
    args, direction = subject.args, subject.direction
    native = tg.compile(subject.f, *args, level=0)
    same(leaves(native(*args)), subject.expected("value"))
    same(leaves(native.jacobian(*args)), subject.expected("jacobian"))
    number = tg.compile(subject.g, *args, level=0)
    same(leaves(number.gradient(*args)), subject.expected("grad"))
    if subject.case.order > 1:
        same(leaves(number.hvp(args, direction)), subject.expected("hvp"))
        same(leaves(number.hessian(*args)), subject.expected("hessian"))


def test_eager_values(subject):
    held = mapped(tg.Value, subject.args)
    root = subject.g(*held)
    if isinstance(root, tg.Value):
        root.backward()
    found = mapped(
        lambda v, x: np.broadcast_to(v.grad, np.shape(x)), held, subject.args
    )
    same(leaves(found), subject.expected("grad"))
