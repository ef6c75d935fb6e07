"""The formulas of a trace, computed by NumPy: each line is what the sweep does."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import scipy.linalg
import scipy.special

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.passing import SMOOTH
from tapegrad.proof.wholes import cases
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE
from tapegrad.show.contributions import Contributions
from tapegrad.show.formulas import TEXT, Formula

ROWS = [row for row in TABLE if row.whole and row.kind in SMOOTH]


def axis_of(function):
    """A function of one axis or several, as the rows reduce."""

    def wide(x, axis=None, **more):
        axes = range(x.ndim) if axis is None else np.atleast_1d(axis).astype(int)
        return function(x, axis=tuple(axes), **more)

    return wide


def solve_triangular(a, b, lower=False, unit_diagonal=False, transposed=False):
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    out = np.empty((*lead, *b.shape[-2:]))
    a, b = (np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in (a, b))
    for place in np.ndindex(lead):
        out[place] = scipy.linalg.solve_triangular(
            a[place],
            b[place],
            trans=int(transposed),
            lower=lower,
            unit_diagonal=unit_diagonal,
        )
    return out


def cofactor(a):
    return np.swapaxes(np.linalg.inv(a), -1, -2) * np.linalg.det(a)[..., None, None]


def piecewise(*arms):
    """SymPy's: the first arm whose condition holds."""
    values, conditions = zip(*arms, strict=True)
    shape = np.broadcast_shapes(*map(np.shape, (*values, *conditions)))
    spread = [[np.broadcast_to(x, shape) for x in xs] for xs in (conditions, values)]
    return np.select(*spread, np.nan)


PLAIN = (
    "exp log sqrt tanh where zeros arange concatenate einsum tril triu reshape "
    "transpose broadcast_to cumsum nan logical_not float32 float64"
)
NAMES = {
    **{name: getattr(np, name) for name in PLAIN.split()},
    **{name: getattr(np.linalg, name) for name in ("solve", "inv", "det", "eigh")},
    **{
        name: axis_of(getattr(np, name))
        for name in ("sum", "prod", "mean", "std", "amax", "amin", "any")
    },
    "norm": axis_of(lambda x, axis: np.sqrt(np.sum(x * x, axis))),
    "logsumexp": axis_of(scipy.special.logsumexp),
    "softmax": axis_of(scipy.special.softmax),
    "astype": lambda x, dtype: x.astype(dtype),
    "solve_triangular": solve_triangular,
    "cofactor": cofactor,
    "logabsdet": lambda a: np.linalg.slogdet(a)[1],
    "sech": lambda x: 1 / np.cosh(x),
    "Piecewise": piecewise,
    "Eq": np.equal,
    "Ne": np.not_equal,
}


def computed(text, names):
    """A formula of a trace by NumPy; `x with [0] = y` is a copy with an entry set."""
    text = re.sub(r"\bnot\(", "logical_not(", text)
    parts = re.fullmatch(r"(.*) with (\[.*\]) (\+?=) (.*)", text)
    if not parts:
        return eval(text, {**NAMES, **names})  # noqa: S307 - text of our own rules
    names = {**names, "made": np.array(computed(parts[1], names))}
    names["value"] = computed(parts[4], names)
    names["add_at"] = np.add.at
    if parts[3] == "=":
        exec(f"made{parts[2]} = value", {**NAMES, **names})  # noqa: S102
    else:
        code = f"add_at(made, np.index_exp{parts[2]}, value)"
        exec(code, {**NAMES, **names, "np": np})  # noqa: S102
    return names["made"]


def walk(tape, args):
    """Every line of a reverse sweep with what the sweep adds; yields mismatches.

    Returns how many formulas there were, rules called by name left aside.
    """
    base = sweeps.flat(tape)
    m = MIXED
    inputs = [m.number(x) for x in args]
    values = sweeps.replay(base, m, inputs)
    texts = Contributions(base)
    texts.seed(base.outputs[0])
    names = {f"v{i}": np.asarray(value) for i, value in enumerate(values)}
    names[f"v{base.outputs[0]}_bar"] = np.asarray(1.0)
    counted: dict[int, int] = {}
    seen = []

    def watch(number, operand, partial, part):
        del partial
        step = base.step(number)
        place = step.operands.index(operand, counted.get(number, -1) + 1)
        counted[number] = place
        line = texts.line(step, place)
        onto, index, sign, text = re.fullmatch(
            r"(v\d+_bar)(\[.*?\])? ([+-])= (.*)", line
        ).groups()
        before = names.get(onto, np.zeros(np.shape(part)))
        head, written, _ = text.partition(" with ")  # a write among the operands
        inside = written and head.count("(") != head.count(")")
        if not text.startswith("pull_") and not inside:
            seen.append(line)
            if index:
                text = f"zeros({np.shape(part)}) with {index} += {text}"
            found = computed(text, names) * (1 if sign == "+" else -1)
            # what is added may have broadcast; the sweep says the shape
            assert np.shape(found) == np.shape(part), line
            np.testing.assert_allclose(found, part, rtol=1e-8, atol=1e-10, err_msg=line)
        names[onto] = before + part

    sweeps.adjoint(base, m, values, {base.outputs[0]: 1.0}, watch=watch)
    return seen


def recorded(case):
    """A row at a sample, its results weighted and added up."""

    def weighted(*free):
        operands = list(case.xs)
        for i, x in zip(case.free, free, strict=True):
            operands[i] = x
        ys = apply(case.row, *operands, **case.params)
        ys = ys if case.row.slots > 1 else (ys,)
        total = 0.0
        for y, bar in zip(ys, case.bars, strict=True):
            axes = tuple(range(np.ndim(bar)))
            total = total + apply(TABLE["sum"], y * bar, axes=axes)
        return total

    free = [case.xs[i] for i in case.free]
    return tg.record(weighted, *free), free


# Rules whose text is longer than a line.
NAMED = {"prod", "cholesky", "eigh", "svdvals", "lstsq", "gather_set"}


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_rule_of_every_row_reads_as_what_it_computes(row):
    for case in cases(row):
        if not all(np.size(x) for x in case.xs):
            continue
        lines = walk(*recorded(case))
        # the weights, the sum, and the row itself
        assert len(lines) > 2 or row.name in NAMED


FUNCTIONS = {
    "broadcast": lambda x: np.sum(np.tanh(x * np.arange(3.0)[:, None, None]) / (x + 2)),
    "column": lambda x: np.sum(x[:, :1] ** x * x[:1]),
    "layers": lambda x: np.mean(np.tanh(x @ x.T + x[:, 0]) ** 2),
    "stacks": lambda x: np.sum((x[None] * np.ones((2, 1, 1))) @ x.T),
    "where": lambda x: np.sum(np.where(x > 1.0, np.log(x) * x[0], x / 3)[:, 1]),
    "outside an arm": lambda x: np.sum(np.where(x > 1.0, np.sqrt(x - 1.0) * 2.0, x)),
    "where of a scalar": lambda x: tg.where(x[0, 0] > 0.0, np.sum(x), x[0, 1]) * 2.0,
    "both arms": lambda x: np.sum(np.exp(np.where(x > 1.0, x * x, x))),
    "masked sums": lambda x: np.sum(np.where(x[0] > 0.6, np.sum(np.sqrt(x), 0), 1.0)),
    "a write": lambda x: np.sum(np.concatenate([x[::-1] * 2, x[1:]]) ** 3),
    "places": lambda x: np.sum(x[np.array([0, 0, 1])] * x[1]),
    "float32": lambda x: np.sum(x.astype(np.float32) * np.float32(2)),
    "a long chain": lambda x: np.sum(-(x - 1.0) / -(x * x + 3.0) * -x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_read_as_what_they_compute(name):
    x = np.array([[0.5, 1.25, 2.0], [0.75, 1.5, 0.25]])
    with np.errstate(all="ignore"):
        tape = tg.record(FUNCTIONS[name], x)
        lines = walk(tape, [x])
    assert not any("pull_" in line for line in lines)


def test_an_in_place_write_and_its_reverse():
    def f(x, v):
        y = x * 1.0
        y[1, ::2] = v
        return np.sum(y * y)

    x, v = np.arange(6.0).reshape(2, 3), np.array([5.0, 7.0])
    lines = walk(tg.record(f, x, v), [x, v])
    assert any(line.startswith("v1_bar += v4_bar[1, ::2]") for line in lines), lines
    assert any(line.endswith("with [1, ::2] = 0") for line in lines)


def test_a_broadcast_is_left_out_only_where_the_operation_makes_it():
    wide = Formula("v0", (3, 3))
    thin = Formula("v1", (3,))
    spread = TEXT.broadcast_to(thin, shape=(3, 3))
    assert (wide * spread).text == "v0 * v1"
    assert (spread * spread).text == "v1 * broadcast_to(v1, (3, 3))"
    assert (spread * 2).text == "broadcast_to(v1, (3, 3)) * 2"
    assert (spread * spread).shape == (3, 3)


def test_a_planted_bug_shows(monkeypatch):
    """A wrong pull is not what the formula, written of the right one, computes."""
    row = TABLE["cumsum"]
    case = cases(row)[0]
    wrong = dataclasses.replace(
        row, pull=lambda m, bar, y, x, axis: (m.cumsum(bar, axis=axis),)
    )
    right = Contributions._whole

    def planted(self, step, chosen):
        if step.primitive.name == "cumsum":
            step = dataclasses.replace(step, primitive=wrong)
        return right(self, step, chosen)

    monkeypatch.setattr(Contributions, "_whole", planted)
    with pytest.raises(AssertionError, match="cumsum"):
        walk(*recorded(case))
