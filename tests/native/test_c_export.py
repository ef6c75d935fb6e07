"""Tapes as C: compiled by gcc without a warning, and called beside native code."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numpy as np
import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1]))

from ccode import COMPILER, Library, compiles, linked, run
from randomtapes import program
from rowfunctions import function_of

import tapegrad as tg
from tapegrad import sweeps
from tapegrad.apply import apply
from tapegrad.cli import app
from tapegrad.derivatives import gradient_tape
from tapegrad.errors import CompileError
from tapegrad.native import lowering, numbercalls
from tapegrad.native.c import names, parse
from tapegrad.proof import wholes
from tapegrad.readings.mixed import MIXED
from tapegrad.rules import TABLE

pytestmark = pytest.mark.skipif(COMPILER is None, reason="gcc is not installed")

NUMBERS = [
    (row, params)
    for row in TABLE
    if row.kind != "structure" and not row.whole
    for params in row.params
]
WHOLE = [row for row in TABLE if row.whole and row.samples]
# LAPACK says nothing of the sign of an eigenvector
SIGNS = {"eigh"}
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.3, -2.5, 40.0, math.inf, -math.inf, math.nan, 5e-324)


def same(one, other):
    """Equal bits; NaN equals NaN."""
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind != "f":
        return np.array_equal(one, other)
    equal = (one == other) & (np.signbit(one) == np.signbit(other))
    return bool(np.all(equal | (np.isnan(one) & np.isnan(other))))


def interpreted(tape, inputs):
    with np.errstate(all="ignore"):
        slots = sweeps.replay(tape, MIXED, inputs)
    return [np.asarray(slots[slot]) for slot in tape.outputs]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """All rows of numbers in one file: value and gradient of each."""
    tapes = [
        tg.record(function_of(row, params), *[0.75, 0.5, 0.25][: row.arity])
        for row, params in NUMBERS
    ]
    texts = [tape.to_c(f"f{number}") for number, tape in enumerate(tapes)]
    return Library(texts, tmp_path_factory.mktemp("numbers")), tapes


def test_rows_of_numbers_are_native_code_bit_for_bit(numbers):
    library, tapes = numbers
    chance = np.random.default_rng(5)
    for number, (tape, (row, params)) in enumerate(zip(tapes, NUMBERS, strict=True)):
        native = tape.compile("0").value_and_gradient
        points = [chance.choice(SPECIAL, row.arity).tolist() for _ in range(30)]
        points += chance.normal(size=(10, row.arity)).tolist()
        for point in points:
            status, found = library.call(f"f{number}", tape, point, "gradient")
            value, slopes = native(*point)
            want = [value, *(slopes if row.arity > 1 else [slopes])]
            assert status == 0
            assert same(found, want), (row.name, params, point, found, want)


def cases(count):
    """Rows of whole arrays at some samples, and their derivatives, as tapes."""
    for row in WHOLE:
        if row.name in SIGNS:
            continue
        for case in wholes.cases(row)[:: wholes.DIRECTIONS][:count]:

            def f(*xs, case=case):
                return apply(case.row, *xs, **case.params)

            tape = tg.record(f, *case.xs)
            yield row, tape, case.xs
            if row.kind != "discrete" and case.free:
                yield row, gradient_tape(tape), case.xs


@pytest.mark.parametrize("count", [1, pytest.param(99, marks=pytest.mark.deep)])
def test_rows_of_whole_arrays(count, tmp_path):
    found = list(cases(count))
    texts = [
        tape.to_c(f"f{number}", derivative=False)
        for number, (_, tape, _) in enumerate(found)
    ]
    library = Library(texts, tmp_path, optimise="-O0")
    for number, (row, tape, xs) in enumerate(found):
        inputs = [x for x in xs if x is not None]
        status, results = library.call(f"f{number}", tape, inputs)
        assert status == 0, row.name
        base = sweeps.flat(tape)
        for mine, want in zip(results, interpreted(base, inputs), strict=True):
            assert mine.dtype == want.dtype
            np.testing.assert_allclose(
                mine, want, rtol=1e-9, atol=1e-9, err_msg=row.name
            )


def test_eigenvectors_but_for_their_signs(tmp_path):
    a = np.array([[2.0, 1.0, 0.5], [1.0, -3.0, 0.25], [0.5, 0.25, 1.0]])
    tape = tg.record(lambda a: np.linalg.eigh(a)[1] ** 2, a)
    library = Library([tape.to_c("f")], tmp_path)
    status, (found, slopes) = library.call("f", tape, [a], "jacobian")
    assert status == 0
    np.testing.assert_allclose(found, tape(a), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slopes, tape.jacobian(a), rtol=1e-9, atol=1e-9)


# -- programs --------------------------------------------------------------------------


def black_scholes(spot, strike, years, rate, vol):
    drift = (rate + 0.5 * vol * vol) * years
    d1 = (np.log(spot / strike) + drift) / (vol * np.sqrt(years))
    return spot * np.tanh(d1) - strike * np.exp(-rate * years) * np.cos(d1)


def layers(params, x):
    h = x
    for w, b in params:
        h = np.tanh(h @ w + b)
    return np.sum(h * h)


def scanned(x, u):
    def body(c, v):
        return c * np.sin(v) + 0.25 * v, c + v

    c, ys = tg.scan(body, x, u)
    return c + ys.sum()


def repeated(x, y):
    found = tg.while_loop(
        lambda s: s[0] < 20.0, lambda s: (s[0] * 1.5 + 0.1, s[1] * y), (x, y)
    )
    return found[0] * found[1]


def by_places(x, k):
    return np.sum(np.sort(x) * x[k]) + np.cumsum(x)[-2] * np.max(x)


def chain(x):
    total = 0.0
    for i in range(len(x) - 1):
        total = total + (1.0 - x[i]) ** 2 + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2
    return total


def solved(a, b):
    return np.sum(np.linalg.solve(a, b) ** 2) + np.linalg.det(a)


RNG = np.random.default_rng(3)
NETWORK = [(RNG.normal(size=(4, 5)), RNG.normal(size=5)),
           (RNG.normal(size=(5, 3)), RNG.normal(size=3))]  # fmt: skip
PROGRAMS = {
    "numbers": (black_scholes, (100.0, 95.0, 0.5, 0.02, 0.25)),
    "network": (layers, (NETWORK, RNG.normal(size=(6, 4)))),
    "scan": (scanned, (0.3, RNG.normal(size=2000))),
    "repeat": (repeated, (0.5, 1.1)),
    "places": (by_places, (RNG.normal(size=7), np.array([1, 1, -2, 3, 0, 6, 5]))),
    "chain": (chain, ([0.1 * i for i in range(40)],)),
    "solve": (solved, (RNG.normal(size=(4, 4)) + 4 * np.eye(4), RNG.normal(size=4))),
    "product": (lambda a, b: np.sum(a @ b), (RNG.normal(size=(20, 30)),
                                             RNG.normal(size=(30, 20)))),
    "single": (lambda x: np.sum(np.exp(x) * x), (RNG.normal(size=9).astype("f4"),)),
}  # fmt: skip


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    tapes = {name: tg.record(f, *args) for name, (f, args) in PROGRAMS.items()}
    texts = {name: tape.to_c(name) for name, tape in tapes.items()}
    where = tmp_path_factory.mktemp("programs")
    return Library(texts.values(), where), tapes, texts


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name, programs):
    library, tapes, _ = programs
    tape = tapes[name]
    inputs = tape.example
    value, *_ = interpreted(sweeps.flat(tape), inputs)
    status, (mine,) = library.call(name, tape, inputs)
    assert status == 0
    grown = gradient_tape(tape)
    status, found = library.call(name, tape, inputs, "gradient")
    assert status == 0
    assert same(found[0], mine)
    rtol = 1e-5 if value.dtype == "float32" else 1e-11
    for one, want in zip(found, interpreted(grown, inputs), strict=True):
        np.testing.assert_allclose(one, want, rtol=rtol, atol=rtol)
    if name in {"numbers", "chain"}:
        assert same(mine, value)


def test_a_planted_bug_is_seen(tmp_path):
    tape = tg.record(black_scholes, *PROGRAMS["numbers"][1])
    text = tape.to_c("f").replace("exp(", "expm1(")
    _, found = Library([text], tmp_path).call("f", tape, tape.example, "gradient")
    assert not same(found[0], tape(*tape.example))


def test_jacobians_are_row_by_row(tmp_path):
    def f(w, x):
        return [w["a"] * x[0] + x[1], np.sum(w["b"]) * w["a"]]

    args = {"a": 2.0, "b": np.array([1.0, 2.0, 3.0])}, np.array([0.5, 0.25])
    tape = tg.record(f, *args)
    text = tape.to_c("f")
    head = " ".join(text.split())
    assert "double *value, double *jacobian_w, double *jacobian_x" in head
    library = Library([text], tmp_path)
    status, found = library.call("f", tape, tape.example, "jacobian")
    assert status == 0
    want = interpreted(gradient_tape(tape), tape.example)
    for one, other in zip(found, want, strict=True):
        np.testing.assert_allclose(one, other)


def test_random_programs(tmp_path):
    grown = [program(seed) for seed in range(24)]
    pairs = [(found, tg.record(found, *found.inputs)) for found in grown]
    texts, kept = [], []
    for number, (found, tape) in enumerate(pairs):
        if found.flavour in {"tame", "exact"} and "eigh" not in found.rows:
            texts.append(tape.to_c(f"f{number}"))
            kept.append((f"f{number}", found, tape))
    assert len(kept) > 6
    library = Library(texts, tmp_path, optimise="-O1")
    for name, found, tape in kept:
        status, results = library.call(name, tape, tape.example, "gradient")
        assert status == 0, found
        want = interpreted(gradient_tape(tape), tape.example)
        for one, other in zip(results, want, strict=True):
            if found.flavour == "exact":
                assert same(one, other), found
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


# -- guards and failures ---------------------------------------------------------------


def branching(x):
    y = x * 2.0 if x > 0 else x * 3.0
    if y < 10.0:
        y = y + 1.0
    return y


def test_a_branch_that_goes_another_way_has_a_status(tmp_path):
    tape = tg.record(branching, 1.0)
    library = Library([tape.to_c("f")], tmp_path)
    for part in ("value", "gradient"):
        assert library.call("f", tape, [2.0], part)[0] == 0
        assert library.call("f", tape, [-2.0], part)[0] == 1
        assert library.call("f", tape, [20.0], part)[0] == 2
    here = branching.__code__.co_firstlineno
    assert f"{Path(__file__).name}:{here + 1}, where True" in library.message("f", 1)
    assert f":{here + 2}," in library.message("f", 2)
    assert library.message("f", 0) == "done"
    assert library.message("f", 77) == "an unknown status"


def test_no_answer_has_a_status(tmp_path):
    a = np.eye(3) * 2.0
    tape = tg.record(lambda a: np.sum(np.linalg.inv(a)), a)
    other = tg.record(lambda x, k: x[k] * 2.0, np.ones(3), np.array([0, 1]))
    library = Library([tape.to_c("f"), other.to_c("g")], tmp_path)
    assert library.call("f", tape, [a], "gradient")[0] == 0
    assert library.call("f", tape, [a * 0.0], "gradient")[0] == -2
    assert "singular" in library.message("f", -2)
    assert library.call("g", other, [np.ones(3), [0, 7]])[0] == -3


def test_a_long_loop_of_the_derivative_says_so(tmp_path):
    tape = tg.record(repeated, 0.5, 1.0)
    library = Library([tape.to_c("f")], tmp_path)
    # near -0.2, which stays where it is, it takes many turns to get to 20
    assert library.call("f", tape, [-0.2 + 1e-15, 1.0])[0] == 0
    assert library.call("f", tape, [19.0, 1.0], "gradient")[0] == 0
    assert library.call("f", tape, [-0.2 + 1e-15, 1.0], "gradient")[0] == -2


# -- text ------------------------------------------------------------------------------


def test_constants_are_exact(tmp_path):
    constants = [0.1, 1 / 3, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e300, 2.5]
    constants += [1.7976931348623157e308, -1e-310, 123456789.0, 2.0**60]
    tape = tg.record(
        lambda x: [tg.where(x > 0, x * 0.0 + c, x) for c in constants], 1.0
    )
    library = Library([tape.to_c("f")], tmp_path)
    _, found = library.call("f", tape, [1.0])
    assert same(found, tape(1.0))


WEIRD = ["*/ int x; /*", "a\nb", "θ", "int", "a b", "9lives", "", "??/", "tail\\",
         "exp", "v3", "work", "\u202e", "value", "f", "i1"]  # fmt: skip


def test_names_that_c_would_not_bear(tmp_path):
    assert len(set(names.variables(WEIRD, ()))) == len(WEIRD)
    with tg.Tape.recording() as rec:
        xs = [rec.input(1.0 + i, name) for i, name in enumerate(WEIRD)]
        total = 0.0
        for x, name in zip(xs, WEIRD, strict=True):
            y = x * 2.0
            y.label = name
            total = total + y * y
        rec.output(total)
    text = rec.tape.to_c("f")
    assert text.isascii()
    for option in ("-std=c99", "-std=gnu11"):
        library = Library([text], tmp_path, standard=option)
        _, found = library.call("f", rec.tape, rec.tape.example, "gradient")
        assert found[0] == rec.tape(*rec.tape.example)


def test_comments_and_strings_stay_closed():
    for text in ("*/", "/*", "??/", "a\\", "\n", '"', "\u2028", "**//", "*\u200b/"):
        comment = names.comment(text)
        assert "*/" not in comment
        assert "/*" not in comment
        assert "\n" not in comment
        assert not comment.endswith("\\")
        quoted = names.quoted(text)
        assert quoted.isascii()
        assert "\n" not in quoted
        assert "??" not in quoted
    assert names.plain("Δθ") == "deltatheta"


@pytest.mark.parametrize(
    "name", ["", "9", "int", "class", "a-b", "exp", "ä", "f()", "_"]
)
def test_names_of_functions_are_checked(name):
    tape = tg.record(lambda x: x * x, 1.0)
    with pytest.raises(CompileError, match="no name for a function"):
        tape.to_c(name)


def test_steps_have_their_labels_and_lines():
    tape = tg.record(branching, 1.0, lines=True)
    text = tape.to_c("f")
    line = branching.__code__.co_firstlineno + 1
    assert f"x * 2.0; /* {Path(__file__).name}:{line} */" in text
    assert str(Path(__file__).parent) not in text


def test_text_is_the_same_each_time_and_has_no_addresses():
    f, args = PROGRAMS["network"]
    one, two = tg.record(f, *args).to_c("f"), tg.record(f, *args).to_c("f")
    assert one == two
    assert one.isascii()
    assert max(map(len, one.splitlines())) < 240


def test_long_tapes_are_cut_into_functions(tmp_path, monkeypatch):
    tape = tg.record(chain, [0.3 + 0.001 * i for i in range(60)])
    monkeypatch.setattr(numbercalls, "CHUNK", 100)
    text = tape.to_c("f")
    assert "f_chunk3(" in text
    library = Library([text], tmp_path, optimise="-O1")
    _, found = library.call("f", tape, tape.example, "gradient")
    native = tape.compile("0").value_and_gradient(list(tape.example))
    assert same(found, [native[0], *native[1]])


@pytest.mark.parametrize("on_stack", [4096, 4])
def test_long_tapes_with_branches_and_memory(on_stack, tmp_path, monkeypatch):
    def f(x):
        total = 0.0
        for i in range(len(x) - 1):
            total = total + 100.0 * (x[i + 1] - x[i] * x[i]) ** 2
            if total > 1e6:
                total = total * 0.5
        return total

    tape = tg.record(f, [0.1 + 0.01 * i for i in range(30)])
    monkeypatch.setattr(numbercalls, "CHUNK", 40)
    monkeypatch.setattr(lowering, "ON_STACK", on_stack)
    text = tape.to_c("f")
    assert "goto" in text
    assert ("malloc" in text) is (on_stack == 4)
    library = Library([text], tmp_path)
    status, found = library.call("f", tape, tape.example, "gradient")
    assert status == 0
    native = tape.compile("0").value_and_gradient(list(tape.example))
    assert same(found, [native[0], *native[1]])
    other = [*tape.example[:20], 1e4, *tape.example[21:]]
    assert library.call("f", tape, other, "gradient")[0] == 1


def test_unknown_instructions_are_refused_by_name():
    with pytest.raises(CompileError, match="fence"):
        parse.instruction("fence seq_cst")
    with pytest.raises(CompileError, match="vector"):
        parse.instruction("%x = shufflevector <2 x double> %a, %b")


def test_c_plus_plus_takes_it_too(programs, tmp_path):
    _, _, texts = programs
    if not compiles("g++"):
        pytest.skip("g++ is not installed")
    source = tmp_path / "all.cpp"
    source.write_text("\n".join(texts.values()))
    run(
        "g++",
        "-std=c++17",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-c",
        "-o",
        "/dev/null",
        source,
    )


# -- other sources, and the command line ----------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_llvm_text_stands_alone(name):
    f, args = PROGRAMS[name]
    text = tg.record(f, *args).to_llvm()
    assert text.startswith("; i32 @kernel(")
    assert "inttoptr" not in text
    context = llvm.create_context()
    module = llvm.parse_assembly(text, context=context)
    module.verify()
    assert text == tg.record(f, *args).to_llvm()


def test_the_command_writes_each_language(tmp_path):
    (tmp_path / "script.py").write_text("def f(x, y):\n    return x * y + x\n")
    words = ["export", f"{tmp_path}/script.py:f", "--at", "1.2,0.7"]
    out = tmp_path / "out.txt"
    for language, has in (
        ("c", "int g("),
        ("llvm", "@kernel"),
        ("python", "def value"),
    ):
        more = ["--language", language, "--name", "g", "-o", str(out)]
        found = CliRunner().invoke(app, [*words, *more])
        assert found.exit_code == 0, found.output
        assert has in out.read_text()
    assert "int f(" in CliRunner().invoke(app, words).stdout
    wrong = CliRunner().invoke(app, [*words, "--language", "fortran"])
    assert wrong.exit_code == 2
    wrong = CliRunner().invoke(app, [*words, "--name", "int"])
    assert wrong.exit_code == 2


# -- sanitizers ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["numbers", "network", "scan", "places", "solve"])
def test_sanitizers_find_nothing(name, programs, tmp_path):
    _, tapes, texts = programs
    sanitized(texts[name], name, tapes[name], tmp_path)


def sanitized(text, name, tape, where):
    """A program under the address and the undefined behaviour sanitizer."""
    flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    if not compiles(COMPILER, *flags):
        pytest.skip("gcc has no sanitizers here")
    found = linked(text, name, tape, tape.example, where, flags)
    want = interpreted(gradient_tape(tape), tape.example)
    flat = np.concatenate([np.ravel(x) for x in want])
    np.testing.assert_allclose(found, flat, rtol=1e-9, atol=1e-9)


@pytest.mark.deep
def test_sanitizers_find_nothing_in_any_row(tmp_path):
    for number, (row, tape, xs) in enumerate(cases(1)):
        if len(tape.outputs) != 1 or not xs:
            continue
        del row
        text = tape.to_c(f"f{number}", derivative=False)
        flags = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
        if not compiles(COMPILER, *flags):
            pytest.skip("gcc has no sanitizers here")
        found = linked(text, f"f{number}", tape, xs, tmp_path, flags, part="value")
        want = interpreted(sweeps.flat(tape), xs)
        flat = np.concatenate([np.ravel(x) for x in want])
        np.testing.assert_allclose(found, flat, rtol=1e-9, atol=1e-9)
