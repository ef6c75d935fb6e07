"""Functions for loops: accuracy against mpmath, and edges."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.native import objects, vectormath
from tapegrad.native.engine import MEMORY, Outside
from tapegrad.native.vectormath import outside
from tapegrad.rules import TABLE

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import vectors
from vectorpoints import LOOP, LOOP_OF_TWO, columns, errors_of, looped

# the functions of rows; those of a row and an exponent have tests of their own
ROWS = [row for row in vectormath.CALLS if row in TABLE]
POWERS = [row for row in vectormath.CALLS if row not in TABLE]
# the largest error allowed, and that of nine in ten; then both where 4 ulps are enough
ULPS = {
    "exp": (0.9, 0.51),
    "sin": (0.8, 0.51),
    "cos": (0.8, 0.51),
    "tan": (1.1, 0.6),
    "pow": (0.9, 0.5),
    "exp2": (0.9, 0.51),
    "log1p": (1.0, 0.6),
    "log2": (0.8, 0.55),
    "log10": (0.8, 0.55),
    "sinh": (1.0, 0.6),
    "cosh": (1.0, 0.6),
    "asin": (1.2, 0.6),
    "acos": (1.2, 0.6),
    "atan": (0.8, 0.55),
    "atan2": (0.9, 0.6),
    "hypot": (1.2, 0.7),
    **dict.fromkeys(("floor", "ceil", "trunc", "round", "copysign"), (1e-9, 1e-9)),
    "expm1": (1.8, 0.9),
    "log": (1.0, 0.55),
    "tanh": (2.0, 0.8),
    "erf": (1.3, 0.55),
    "erfc": (2.0, 0.9),
    "gaussian": (1.3, 0.6),
}
FAST = ULPS | {
    "exp": (1.1, 0.6),
    "exp2": (1.3, 0.6),
    "expm1": (2.4, 0.9),
    "log": (3.0, 0.9),
    "pow": (1.4, 0.55),
    "tanh": (2.3, 0.9),
    "sin": (1.8, 0.9),
    "cos": (1.9, 0.9),
    "tan": (2.8, 1.3),
    "erf": (2.2, 0.7),
    "erfc": (2.5, 1.0),
    "gaussian": (1.4, 0.6),
}
ACCURACIES = ["default", "fast"]
# what is to be as for numbers
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, math.inf, -math.inf]
SPECIAL += [math.nan, 5e-324, -5e-324, 1e-310, -1e-310, 2.0**-1022, 1e300, -1e300]
SPECIAL += [0.75, -0.75, 30.0, -30.0, 709.782712893384, 709.782712893385, -745.13]
SPECIAL += [1.5, -1.5, 2.5, -2.5, 2.0**52 + 1.0, 2.0**51 + 0.5, 0.49999999999999994]
SPECIAL += [
    -745.14,
    -740.0,
    1e5,
    -1e5,
    1.00001e5,
    2.0**70,
    1e22,
    -1e22,
    27.0,
    1e308,
    1.7e308,
]


def replay_of(row):
    """What the interpreter makes of a row, number by number."""
    known = TABLE[row]
    tape = tg.record(lambda *xs: apply(known, *xs), *[0.5] * known.arity)
    return lambda *xs: np.array([tape(*x) for x in zip(*xs, strict=True)])


def compiled(row, level=2, *, fast=False):
    made = vectormath.functions({row}, fast=fast)
    arity = TABLE[row].arity if row in TABLE else 1
    return looped(made.text, vectormath.CALLS[row], made.needs, arity, level)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_accuracy(row, accuracy):
    xs = columns(row, 700)
    errors = errors_of(row, compiled(row, fast=accuracy == "fast")(*xs), xs)
    worst, most = ULPS[row] if accuracy == "default" else FAST[row]
    assert max(errors) < worst <= (2.0 if accuracy == "default" else 4.0)
    assert np.quantile(errors, 0.9) < most


def bits(x):
    return np.where(np.isnan(x), np.nan, x).view(np.int64)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_a_lane_does_not_depend_on_others(row, accuracy):
    """Nor on the level, nor on how many there are."""
    rng = np.random.default_rng(2)
    xs = columns(row, 200)
    # special numbers and huge ones among the others: some lanes are looked up in C
    for x in xs:
        x[rng.integers(0, x.size, 60)] = rng.choice(SPECIAL, 60)
    fast = accuracy == "fast"
    run = compiled(row, fast=fast)
    want = bits(run(*xs))
    order = rng.permutation(xs[0].size)
    assert (bits(run(*[x[order] for x in xs])) == want[order]).all()
    single = [run(*[x[i : i + 1] for x in xs])[0] for i in range(80)]
    assert (bits(np.array(single)) == want[:80]).all()
    assert (bits(compiled(row, 0, fast=fast)(*xs)) == want).all()


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_machines_without_vectors_or_fused_operations(row, accuracy, monkeypatch):
    target, _, _ = objects.host()
    monkeypatch.setattr(objects, "host", lambda: (target, "", "-fma,-avx"))
    assert not objects.fuses()
    xs = columns(row, 300)
    errors = errors_of(row, compiled(row, fast=accuracy == "fast")(*xs), xs)
    # a little more is lost where a product is rounded before it is added
    assert max(errors) < (2.0 if accuracy == "default" else 4.0)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_edges_are_those_of_numbers(row, accuracy):
    """Special numbers give what C's function, or the rule, gives of them."""
    arity = TABLE[row].arity
    mesh = np.meshgrid(*[np.array(SPECIAL)] * arity)
    xs = [x.ravel() for x in mesh]
    with np.errstate(all="ignore"):
        want = replay_of(row)(*xs)
    found = compiled(row, fast=accuracy == "fast")(*xs)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(want))
    there = ~np.isnan(want)
    np.testing.assert_allclose(found[there], want[there], rtol=1e-15, atol=1.5e-323)
    np.testing.assert_array_equal(np.signbit(found[there]), np.signbit(want[there]))


def test_edges():
    inf, nan = math.inf, math.nan
    exp = [
        (0.0, 1.0),
        (-0.0, 1.0),
        (5e-324, 1.0),
        (inf, inf),
        (-inf, 0.0),
        (nan, nan),
        (709.782712893384, math.exp(709.782712893384)),
        (709.782712893385, inf),
        (1e300, inf),
        (-745.13, 5e-324),
        (-745.14, 0.0),
        (-1e300, 0.0),
        (-740.0, math.exp(-740.0)),
    ]
    tanh = [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (nan, nan)]
    tanh += [(1e300, 1.0), (-30.0, -1.0), (5e-324, 5e-324), (-1e-310, -1e-310)]
    expm1 = [(0.0, 0.0), (-0.0, -0.0), (inf, inf), (-inf, -1.0), (nan, nan)]
    expm1 += [(709.79, inf), (1e300, inf), (-1e300, -1.0), (-60.0, -1.0)]
    expm1 += [(709.78, math.expm1(709.78)), (5e-324, 5e-324), (-1e-310, -1e-310)]
    log = [(0.0, -inf), (-0.0, -inf), (inf, inf), (-inf, nan), (nan, nan)]
    log += [(1.0, 0.0), (-1.0, nan), (-5e-324, nan), (5e-324, math.log(5e-324))]
    log += [(1e308, math.log(1e308)), (2.0, math.log(2.0)), (1e-310, math.log(1e-310))]
    erf = [(0.0, 0.0), (-0.0, -0.0), (inf, 1.0), (-inf, -1.0), (nan, nan)]
    erf += [(1.0, math.erf(1.0)), (-7.0, -1.0), (1e300, 1.0), (5e-324, 5e-324)]
    erfc = [(0.0, 1.0), (-0.0, 1.0), (inf, 0.0), (-inf, 2.0), (nan, nan)]
    erfc += [(0.75, math.erfc(0.75)), (-0.75, math.erfc(-0.75)), (-30.0, 2.0)]
    erfc += [(27.0, math.erfc(27.0)), (30.0, 0.0), (1e300, 0.0), (5e-324, 1.0)]
    top = 2 / math.sqrt(math.pi)
    gaussian = [(0.0, top), (-0.0, top), (inf, 0.0), (-inf, 0.0), (nan, nan)]
    gaussian += [(1e300, 0.0), (-30.0, 0.0), (5e-324, top), (-1.0, top / math.e)]
    tables = {"exp": exp, "expm1": expm1, "log": log, "tanh": tanh}
    tables |= {"erf": erf, "erfc": erfc, "gaussian": gaussian}
    for row, cases in tables.items():
        xs, wanted = np.transpose(cases)
        found = compiled(row)(xs)
        np.testing.assert_allclose(found, wanted, rtol=4e-16, atol=0)
        exact = ~np.isnan(wanted)
        np.testing.assert_array_equal(
            np.signbit(found[exact]), np.signbit(wanted[exact])
        )


@pytest.mark.parametrize("row", POWERS)
def test_whole_powers_are_rounded_once(row):
    rng = np.random.default_rng(3)
    n = int(row.split()[1])
    sizes = 2.0 ** rng.uniform(-1020.0 / abs(n), 1020.0 / abs(n), 400)
    xs = np.concatenate(
        [rng.standard_normal(300), sizes * rng.choice([-1.0, 1.0], 400)]
    )
    run = compiled(row)
    assert max(errors_of(row, run(xs), [xs])) < 0.51
    edges = np.array(SPECIAL)
    with np.errstate(all="ignore"):
        want = np.array([*map(replay_of("pow"), edges[:, None], [[n]] * edges.size)])
    np.testing.assert_allclose(run(edges), want[:, 0], rtol=3e-16, atol=1e-323)
    there = ~np.isnan(want[:, 0])
    signs = np.signbit(run(edges)) == np.signbit(want[:, 0])
    assert signs[there].all()


@pytest.mark.parametrize("exponent", [3, -2, 2.5, 17, 0.5, -3])
def test_constant_exponents(exponent):
    x = np.linspace(-2.0, 3.0, 41)
    with np.errstate(all="ignore"):
        want = x**exponent if exponent == 0.5 else np.power(x, float(exponent))
        tape = tg.record(lambda x: x**exponent, x)
        np.testing.assert_allclose(tape.compile()(x), want, rtol=4e-16)
    known = vectormath.chosen("pow", (None, float(exponent)))
    name = f"pow {exponent}"
    assert known == ((name, 1) if name in POWERS else ("pow", 2))


def optimised(text, calls):
    """What LLVM's optimiser makes of the kernel of a text, as text."""
    return whole(text, calls).split("@kernel(")[1].split("\n}")[0]


def whole(text, calls):
    """What it makes of all of a text."""
    text = "".join([*(call.through_cell() for call in calls), text])
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context=context)
    machine = objects.machine_at(2)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    for name, value in objects.LOOPS.items():
        setattr(options, name, value)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return str(module)


@pytest.mark.parametrize("row", ROWS)
def test_loops_of_them_are_vectors(row):
    made = vectormath.functions([row])
    loop = LOOP if TABLE[row].arity == 1 else LOOP_OF_TWO
    calls = (*MEMORY, *made.needs)
    found = optimised(made.text + loop.format(name=vectormath.CALLS[row]), calls)
    assert "vector.body" in found
    assert re.search(r"store <\d+ x (double|i64)>", found)
    # a function that C alone has keeps the loop as it is
    plain = Outside(row, takes=("double",) * TABLE[row].arity)
    found = optimised(loop.format(name=row), (*MEMORY, plain))
    assert "vector.body" not in found


def apart(row, *, fast=False):
    """A function that stands apart from loops."""
    calls = {vectormath.CALLS[row]: 10_000}
    return vectormath.functions([row], fast=fast, calls=calls)


@pytest.mark.parametrize("row", ROWS + POWERS[:3])
@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_a_function_apart_gives_the_same(row, accuracy):
    fast, name = accuracy == "fast", vectormath.CALLS[row]
    xs = [*columns(row, 100)] if row in TABLE else [np.linspace(-9.0, 9.0, 403)]
    rng = np.random.default_rng(3)
    for x in xs:
        x[rng.integers(0, x.size, 30)] = rng.choice(SPECIAL, 30)
    made = apart(row, fast=fast)
    assert f"@{name}.lanes" in made.text
    assert ".lanes" not in vectormath.functions([row], fast=fast).text
    run = looped(made.text, name, made.needs, len(xs), 2)
    want = compiled(row, fast=fast)(*xs)
    np.testing.assert_array_equal(bits(run(*xs)), bits(want))
    # without vectors, too; and one by one after them
    slow = looped(made.text, name, made.needs, len(xs), 0)
    np.testing.assert_array_equal(bits(slow(*xs)), bits(want))
    few = [x[:7] for x in xs]
    np.testing.assert_array_equal(bits(run(*few)), bits(want[:7]))


@pytest.mark.parametrize("row", ROWS)
def test_loops_call_a_function_apart_by_vectors(row):
    made = apart(row)
    loop = LOOP if TABLE[row].arity == 1 else LOOP_OF_TWO
    text = made.text + loop.format(name=vectormath.CALLS[row])
    found = optimised(text, (*MEMORY, *made.needs))
    assert re.search(rf"call <\d x double> @{vectormath.CALLS[row]}.lanes", found)
    # and what they call has no loop, and no memory
    lanes = whole(text, (*MEMORY, *made.needs)).split(".lanes(<")
    body = next(part for part in lanes if "local_unnamed_addr" in part.split("\n")[0])
    body = body.split("\n}")[0]
    assert "!llvm.loop" not in body
    assert "alloca" not in body


@pytest.mark.parametrize(("count", "stands"), [(2, False), (12, True)])
def test_many_calls_of_one_function_make_it_stand_apart(count, stands):
    def f(x):
        y = x
        for _ in range(count):
            y = np.sin(y) + x
        return y

    x = np.linspace(0.1, 3.0, 50)
    tape = tg.record(f, x)
    assert ("@array_sin.lanes" in tape.to_llvm()) == stands
    sine, want = compiled("sin"), x
    for _ in range(count):
        want = sine(want) + x
    np.testing.assert_array_equal(tape.compile()(x), want)
    # in C they are those of its library
    assert "sin(" in tape.to_c("waves")
    assert "lanes" not in tape.to_c("waves")


def test_others_are_not_made():
    assert vectormath.functions(["digamma"]).text == ""


def test_a_missing_function_of_vectors_shows(monkeypatch):
    """The loop stays one of numbers where lanes cannot be looked up."""
    monkeypatch.setattr(outside, "VECTORS", "no-such-attribute")
    made = vectormath.functions(["sin"])
    text = made.text + LOOP.format(name=vectormath.CALLS["sin"])
    assert "vector.body" not in optimised(text, (*MEMORY, *made.needs))


def test_the_page_has_all_of_them():
    page = (Path(__file__).parents[2] / "docs" / "native.md").read_text("utf-8")
    table = page.split(vectors.BEGIN)[1].split(vectors.END)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table]
    assert [line[0] for line in cells] == [vectors.SHOWN.get(row, row) for row in ROWS]
    for name, _, _, default, fast, *_ in cells:
        assert float(default) < 2.0, name
        assert float(fast) < 4.0, name
    others = [
        f"`{row.name}`"
        for row in TABLE
        if row.llvm[:1] == "@" and "llvm." not in row.llvm and row.name not in ROWS
    ]
    assert f"{', '.join(others[:-1])} and {others[-1]}." in page


@pytest.mark.parametrize("accuracy", ACCURACIES)
def test_accuracy_reaches_what_is_compiled(accuracy):
    """Loops of arrays, ufuncs, and loops in the bodies of scans."""
    x = np.linspace(0.1, 3.0, 500)
    f = tg.record(np.sin, x)
    want = compiled("sin", fast=accuracy == "fast")(x)
    other = compiled("sin", fast=accuracy != "fast")(x)
    assert (want != other).any()
    number = tg.record(np.sin, 0.5).compile(accuracy=accuracy)
    turn = lambda c, _: (np.sin(c), None)  # noqa: E731
    scan = tg.record(lambda x: tg.scan(turn, x, None, length=1)[0], x)
    found = f.compile(accuracy=accuracy)(x), number.ufunc()(x)
    for y in (*found, scan.compile(accuracy=accuracy)(x)):
        np.testing.assert_array_equal(y, want)
    # one number is as in the interpreter
    assert number(0.7) == math.sin(0.7)


def test_a_sine_and_its_slope_share_their_work():
    """Within 4 ulps there is a shorter way to each, and together they are cheaper."""
    alone = vectormath.functions(["sin"], fast=True).text
    both = vectormath.functions(["sin", "cos"], fast=True).text
    assert alone not in both
    assert (
        vectormath.functions(["sin"]).text in vectormath.functions(["sin", "cos"]).text
    )
