"""`tg.function`: a tape for each path, and never a stale one."""

from __future__ import annotations

import math
import pickle
import random
import threading
import types
import warnings

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn
from tapegrad.paths import Path, PathsWarning
from tapegrad.paths.tree import Family, Fork, shared

# -- random programs -----------------------------------------------------------------


class Program:
    """Source text of a function f(x, y, depth=0) of floats, with exact operations.

    Only + - * / and abs, which give the same bits in plain Python and in every tier; so
    the guards are decided alike, and the results can be compared bit by bit.
    """

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.lines = ["def f(x, y, depth=0):", "    a, b, c = x, y, x - y"]
        self.count = 0
        self.block(1, 3)
        self.lines.append(f"    return {self.expression()}")
        self.text = "\n".join(self.lines)

    def name(self):
        return self.rng.choice("abcxy")

    def expression(self):
        a, b, c = self.name(), self.name(), self.name()
        number = self.rng.randint(-3, 3) / 2
        return self.rng.choice(
            [
                f"{a} + {b}",
                f"{a} * {number} - {b}",
                f"{a} * {b} / (1 + {b} * {b})",
                f"abs({a}) - {number}",
                f"({a} + {b} * {c}) / (1 + abs({c} * {a}))",
            ]
        )

    def condition(self):
        sign = self.rng.choice(["<", ">", "<=", ">="])
        other = self.rng.choice([self.name(), str(self.rng.randint(-2, 2) / 2)])
        return f"{self.name()} {sign} {other}"

    def block(self, indent, size):
        for _ in range(self.rng.randint(1, max(size, 1))):
            self.statement(indent, size)

    def add(self, indent, text):
        self.lines.append("    " * indent + text)

    def statement(self, indent, size):
        kind = self.rng.choice(["assign"] * 3 + ["if", "if", "while", "for", "again"])
        target = self.rng.choice("abc")
        if kind == "assign" or indent > 3:
            self.add(indent, f"{target} = {self.expression()}")
        elif kind == "if":
            self.add(indent, f"if {self.condition()}:")
            self.block(indent + 1, size)
            if self.rng.random() < 0.4:
                self.add(indent + 1, f"return {self.expression()}")
            if self.rng.random() < 0.6:
                self.add(indent, "else:")
                self.block(indent + 1, size)
        elif kind == "while":
            self.count += 1
            n = f"n{self.count}"
            self.add(indent, f"{n} = 0")
            self.add(indent, f"while {self.condition()} and {n} < 4:")
            self.add(indent + 1, f"{n} += 1")
            self.block(indent + 1, size - 1)
        elif kind == "for":
            v = self.name()
            self.add(indent, f"for _ in range(int(3 * abs({v}) / (1 + abs({v})))):")
            self.block(indent + 1, size - 1)
        else:
            self.add(indent, f"if depth < 2 and {self.condition()}:")
            call = f"f({self.expression()}, {self.expression()}, depth + 1)"
            self.add(indent + 1, f"{target} = {call}")

    def made(self, **options):
        """The function, plain or with paths; it calls itself by name."""
        space = {}
        exec(self.text, space)  # noqa: S102 - text of our own
        if options:
            space["f"] = tg.function(**options)(space["f"])
        return space["f"]


def points(seed, count):
    rng = random.Random(seed)
    special = [0.0, -0.0, 0.5, -1.0, 1.0, math.inf, math.nan]
    for _ in range(count):
        pair = [
            rng.choice(special) if rng.random() < 0.1 else rng.gauss(0, 2)
            for _ in range(2)
        ]
        yield tuple(pair)


def same(one, two):
    return one == two or (one != one and two != two)  # noqa: PLR0124 - NaN


def outcome(f, *args):
    """A result, or the type of what was raised (int() of NaN)."""
    try:
        return f(*args)
    except (ValueError, OverflowError) as problem:
        return type(problem)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_in_the_interpreter(seed):
    program = Program(seed)
    plain, f = program.made(), program.made(maxsize=None, native_after=None)
    answered = 0
    for x, y in points(seed, 60):
        wanted, found = outcome(plain, x, y), outcome(f, x, y)
        assert same(wanted, found), (program.text, x, y, wanted, found)
        answered += not isinstance(wanted, type)
    info = f.cache_info()
    assert info.misses == info.currsize == len(f.paths)
    assert info.hits + info.misses == answered


@pytest.mark.parametrize("seed", range(40, 50))
def test_random_programs_natively(seed):
    program = Program(seed)
    plain, f = program.made(), program.made(maxsize=24, native_after=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathsWarning)
        for x, y in points(seed, 150):
            wanted, found = outcome(plain, x, y), outcome(f, x, y)
            assert same(wanted, found), (program.text, x, y, wanted, found)
    assert f.cache_info().currsize <= 24


@pytest.mark.parametrize("native_after", [None, 0])
@pytest.mark.parametrize("seed", range(50, 54))
def test_random_gradients(seed, native_after):
    program = Program(seed)
    f = program.made(maxsize=None, native_after=native_after)
    wanted = tg.value_and_grad(program.made(), (0, 1))
    for x, y in points(seed, 25):
        if math.isfinite(x + y):
            value, gradient = f.value_and_gradient(x, y)
            expected, slopes = wanted(x, y)
            assert same(value, expected)
            assert gradient == pytest.approx(slopes, rel=1e-13, nan_ok=True)


def test_programs_have_several_paths():
    """The tests above are worth what their programs do."""
    counts = []
    for seed in range(12):
        f = Program(seed).made(maxsize=None, native_after=None)
        for pair in points(seed, 60):
            outcome(f, *pair)
        counts.append(f.cache_info().currsize)
    assert max(counts) > 10
    assert sum(counts) > 60


# -- what control flow there is ------------------------------------------------------


def test_one_recording_a_path():
    seen = []

    @tg.function
    def f(x):
        seen.append(1)
        if x > 0:
            return x * x
        return -x

    assert [f(x) for x in (1.0, 2.0, -1.0, -5.0, 3.0)] == [1, 4, 1, 5, 9]
    assert len(seen) == 2
    assert f.cache_info() == (3, 2, 128, 2)
    assert {path.outcomes for path in f.paths} == {(True,), (False,)}
    assert all(isinstance(path, Path) and path.tape.guards for path in f.paths)
    assert [g.line for path in f.paths for g in path.guards] == [
        f.__wrapped__.__code__.co_firstlineno + 3
    ] * 2


def test_while_loops():
    @tg.function(maxsize=None, native_after=2)
    def newton(a):
        x, n = a, 0
        while abs(x * x - a) > 1e-12 * a:
            x = (x + a / x) / 2
            n += 1
        return x, float(n)

    for a in (2.0, 3.0, 1e6, 0.1, 1e-9, 2.5, 1e12) * 5:
        root, turns = newton(a)
        expected, count = newton.__wrapped__(a)
        assert (root, turns) == (expected, count)
        assert newton.jacobian(a)[0] == pytest.approx(0.5 / root, rel=1e-9)
    assert 3 < newton.cache_info().currsize < 8


@tg.function
def fact(x):
    return x if x < 2 else x * fact(x - 1)


def test_recursion_through_itself():
    fact.clear()
    assert fact(5.0) == 120.0
    assert fact(4.5) == 4.5 * 3.5 * 2.5 * 1.5
    assert fact.gradient(3.0) == pytest.approx(11.0)
    assert fact.cache_info().currsize == 3
    assert tg.grad(fact)(3.0) == pytest.approx(11.0)


@pytest.mark.parametrize("native_after", [None, 0])
def test_guards_on_integers(native_after):
    table = [1.0, 10.0, 100.0, 1000.0]

    @tg.function(native_after=native_after)
    def f(x, y):
        return table[int(x)] * y + sum(y for _ in range(int(x * 2)))

    for x in (0.0, 1.7, 3.2, 2.0, 0.9, 3.9, 1.2) * 3:
        assert f(x, 2.0) == f.__wrapped__(x, 2.0)
        assert f.gradient(x, 2.0) == (0.0, table[int(x)] + int(x * 2))
    with pytest.raises(ValueError, match="NaN"):
        f(math.nan, 1.0)
    with pytest.raises(IndexError):
        f(17.0, 1.0)


@pytest.mark.parametrize("native_after", [None, 0])
def test_nan_at_a_guard(native_after):
    @tg.function(native_after=native_after)
    def f(x):
        if x > 1:
            return 1 * x
        if x <= 1:
            return 2 * x
        return x * 0 + 3

    for _ in range(3):
        assert f(2.0) == 2.0
        assert math.isnan(f(math.nan))
        assert f(0.5) == 1.0
    assert f.cache_info().currsize == 3


def test_guards_on_arrays():
    @tg.function
    def f(x):
        if x.sum() > 0:
            return x * 2
        if (x < -1).any():
            return x[x < -1].sum()
        return -x

    for x in ([1.0, 2.0], [-2.0, 1.5], [-2.0, -3.0], [-0.5, 0.1], [3.0, -1.0]) * 3:
        assert np.array_equal(f(np.array(x)), f.__wrapped__(np.array(x)))
    assert f.cache_info().currsize == 4


def test_a_mask_as_a_guard():
    @tg.function(native_after=1)
    def f(x):
        return (x[x > 0] ** 2).sum()

    rng = np.random.default_rng(0)
    for _ in range(40):
        x = rng.normal(size=3)
        assert f(x) == pytest.approx((x[x > 0] ** 2).sum(), rel=1e-15)
        assert f.gradient(x) == pytest.approx(np.where(x > 0, 2 * x, 0))
    assert f.cache_info().currsize <= 8


@pytest.mark.parametrize("wrap", [tg.checkpoint, lambda f: f])
def test_guards_inside_of_a_step(wrap):
    """A checkpointed branch is decided on a sub-tape, beside guards outside."""

    @tg.function
    def f(x, y):
        z = wrap(lambda x: x * x if x > 0 else -x)(x)
        return z * y if y > 0 else z

    for x, y in ((1.0, 2.0), (-1.0, 2.0), (2.0, -2.0), (-2.0, -2.0), (3.0, 1.0)) * 3:
        plain = (x * x if x > 0 else -x) * (y if y > 0 else 1.0)
        assert f(x, y) == plain
        slope = (2 * x if x > 0 else -1.0) * (y if y > 0 else 1.0)
        assert f.gradient(x, y)[0] == slope
    assert f.cache_info().currsize == 4


# -- the cache -----------------------------------------------------------------------


def test_a_guard_that_flips_for_ever():
    @tg.function(maxsize=5)
    def f(x):
        n = 0
        while x > n:
            n += 1
        return x * n

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x in [float(n) for n in range(30)] * 2:
            assert f(x) == x * x
    (warning,) = caught
    assert issubclass(warning.category, PathsWarning)
    line = f.__wrapped__.__code__.co_firstlineno + 3
    assert f"{__file__}:{line}" in str(warning.message)
    assert "while_loop" in str(warning.message)
    assert "maxsize" in str(warning.message)
    assert warning.filename == __file__
    assert f.cache_info().currsize == len(f.paths) == 5


def test_the_oldest_path_goes():
    @tg.function(maxsize=2)
    def f(x):
        if x < 0:
            return x
        return x * 2 if x < 1 else x * 3

    assert [f(-1.0), f(0.5), f(-2.0)] == [-1, 1, -2]
    with pytest.warns(PathsWarning):
        assert f(2.0) == 6.0
    assert {path.outcomes for path in f.paths} == {(True,), (False, False)}
    assert f(-3.0) == -3.0
    assert f.cache_info().misses == 3


def test_a_warning_about_arguments():
    @tg.function(maxsize=3)
    def f(x, n):
        return x * n

    with pytest.warns(PathsWarning, match="argument n"):
        assert [f(2.0, n) for n in range(6)] == [0, 2, 4, 6, 8, 10]


def test_clear():
    @tg.function
    def f(x):
        return x * 2

    f(1.0)
    f.clear()
    assert f.cache_info() == (0, 0, 128, 0)
    assert f.paths == ()
    assert f(2.0) == 4.0
    assert f.cache_info().misses == 1


@pytest.mark.parametrize("options", [{"maxsize": 0}, {"maxsize": 2.5}])
def test_bad_maxsize(options):
    with pytest.raises(tg.RecordError, match="1 or more"):
        tg.function(**options)(abs)


def test_bad_use():
    with pytest.raises(tg.RecordError, match="needs a function"):
        tg.function(3)
    with pytest.raises(tg.RecordError, match="0 or more"):
        tg.function(abs, native_after=-1)


@pytest.mark.parametrize("seed", range(20))
def test_trees_against_a_list(seed):
    """Insert, look up and remove, beside a plain list of outcomes."""
    rng = random.Random(seed)
    tape = tg.record(lambda x: x, 1.0)
    family, model = Family(None), {}
    for clock in range(120):
        if model and rng.random() < 0.3:
            gone = rng.choice(list(model.values()))
            family.remove(gone)
            del model[gone.outcomes]
        else:
            path = Path(tape)
            size = rng.randint(0, 6)
            path.outcomes = tuple(rng.choice([0, 1, 1, 2]) for _ in range(size))
            path.used = clock
            gone = family.insert(path)
            begins = [
                key
                for key in model
                if shared(key, path.outcomes) in {len(key), len(path.outcomes)}
            ]
            assert {old.outcomes for old in gone} == set(begins)
            for key in begins:
                del model[key]
            model[path.outcomes] = path
        assert set(family.paths) == set(model.values())
        assert family.latest in family.paths or not model
        for path in model.values():
            for depth in range(len(path.outcomes)):
                for seen in range(3):
                    if seen == path.outcomes[depth]:
                        continue
                    start = (*path.outcomes[:depth], seen)
                    wanted = [o for o in model if o[: depth + 1] == start]
                    found = family.after(path, depth, seen)
                    assert (found is None) == (not wanted)
                    assert found is None or found.outcomes in wanted
                    assert found is None or model[found.outcomes] is found


def test_a_tree_has_no_more_forks_than_paths():
    tape = tg.record(lambda x: x, 1.0)
    family = Family(None)
    for turns in range(100):
        path = Path(tape)
        path.outcomes = (True,) * turns + (False,)
        family.insert(path)
    forks, place = 0, family.root
    while isinstance(place, Fork):
        forks += 1
        place = place.arms.get(True)
    assert forks == 99


# -- static arguments, kinds, captured state -----------------------------------------


def test_static_arguments_and_kinds():
    @tg.function
    def f(x, power=2, *, mode="up", scale=None):
        y = x**power
        if mode == "up":
            y = y + 1
        return y if scale is None else y * scale["by"]

    assert f(3.0) == 10.0
    assert f(3.0, 3) == 28.0
    assert f(3.0, True) == 4.0
    assert f(3.0, 1) == 4.0
    assert f(3.0, mode="down") == 9.0
    assert f(3.0, scale={"by": 2.0}) == 20.0
    assert f(3.0, scale={"by": 4.0}) == 40.0
    assert f(3.0, scale={"by": 4}) == 40.0
    assert np.array_equal(f(np.array([1.0, 2.0])), [2.0, 5.0])
    assert f(np.array([1.0, 2.0], np.float32)).dtype == np.float32
    assert f.cache_info().misses == 9
    assert f(5.0, mode="down") == 25.0
    assert f(np.float64(5.0), mode="down") == 25.0
    assert f.cache_info().misses == 9


def test_another_default_is_another_recording():
    weights = [1.0]

    @tg.function
    def f(x, w=weights):
        return x * w[0]

    assert f(2.0) == 2.0
    weights[0] = 5.0
    assert f(2.0) == 10.0


def test_kinds_of_nested_arrays():
    f = tg.function(lambda p: p["a"][0].sum() + len(p["a"][0]))
    for shape, dtype in (((2,), float), ((3,), float), ((3,), np.float32), ((2,), int)):
        x = np.ones(shape, dtype)
        assert f({"a": [x]}) == 2 * len(x)
    assert f.cache_info().misses == 4


def test_what_the_recording_itself_writes():
    """A list of calls, a counter: the function is not another one for them."""
    calls, count = [], 0

    @tg.function
    def f(x):
        nonlocal count
        count += 1
        calls.append("f")
        return x if x > 0 else -x

    assert [f(x) for x in (1.0, -1.0, 2.0, -2.0, 3.0)] == [1, 1, 2, 2, 3]
    assert calls == ["f", "f"]
    assert count == 2
    calls.clear()
    assert f(5.0) == 5.0
    assert calls == []


def test_what_an_object_notes_of_itself():
    class Counting:
        calls = 0

        @tg.function
        def value(self, x):
            self.calls += 1
            return x * 2

    one = Counting()
    assert [one.value(x) for x in (1.0, 2.0, 3.0)] == [2, 4, 6]
    assert one.calls == 1


def test_a_number_that_changes_during_a_recording():
    rate = 1.0

    def change():
        nonlocal rate
        rate = 5.0

    hidden = [change]

    @tg.function
    def f(x):
        y = x * rate
        while hidden:
            hidden.pop()()
        return y

    assert f(1.0) == 1.0
    assert f(1.0) == 5.0


def test_wrong_calls():
    @tg.function
    def f(x, y):
        return x * y

    with pytest.raises(TypeError, match="missing 1 required"):
        f(1.0)
    with pytest.raises(TypeError, match="unexpected keyword"):
        f(1.0, z=2.0)
    assert f(y=2.0, x=3.0) == 6.0
    assert f(3.0, y=2.0) == 6.0
    assert f.gradient(x=3.0, y=2.0) == (2.0, 3.0)


RATE = 0.5
TABLE = np.array([1.0, 2.0])
settings = types.ModuleType("settings")
settings.rate = 1.0


def helper(x):
    return x * RATE


class Config:
    scale = 3.0

    def __init__(self):
        self.rate = 1.0
        self.deeper = {"list": [1.0]}

    def twice(self, x):
        return x * RATE * 2


config = Config()


@tg.function
def reads_globals(x):
    return helper(x) * TABLE[1]


@tg.function
def reads_objects(x):
    return (
        x * config.rate * config.deeper["list"][0] * settings.rate * Config.scale
        + config.twice(x) * 0
    )


def test_changed_globals(monkeypatch):
    reads_globals.clear()
    assert reads_globals(2.0) == 2.0
    monkeypatch.setattr(f"{__name__}.RATE", 2.0)
    assert reads_globals(2.0) == 8.0
    TABLE[1] = 3.0
    try:
        assert reads_globals(2.0) == 12.0
    finally:
        TABLE[1] = 2.0
    monkeypatch.setattr(f"{__name__}.helper", lambda x: -x)
    assert reads_globals(2.0) == -4.0
    monkeypatch.undo()
    assert reads_globals(3.0) == 3.0
    assert reads_globals.cache_info() == (1, 4, 128, 4)


def test_changed_objects(monkeypatch):
    reads_objects.clear()
    assert reads_objects(2.0) == 6.0
    for change in (
        (config, "rate", 2.0),
        ([], 0, 7.0),
        (settings, "rate", 5.0),
        (Config, "scale", 1.0),
    ):
        before = reads_objects(2.0)
        if isinstance(change[0], list):
            monkeypatch.setitem(config.deeper, "list", [1.0])
            reads_objects(2.0)
            config.deeper["list"][0] = 7.0
        else:
            monkeypatch.setattr(*change)
        after = reads_objects(2.0)
        assert after == reads_objects.__wrapped__(2.0) != before
    monkeypatch.setattr(f"{__name__}.RATE", 9.0)
    count = reads_objects.cache_info().misses
    assert reads_objects(2.0) == 140.0
    assert reads_objects.cache_info().misses == count + 1  # config.twice reads it


def test_changed_cells():
    rate, layers = 0.5, [1.0, 2.0]

    @tg.function
    def f(x):
        inner = [x * rate * w for w in layers]
        return sum(inner)

    assert f(2.0) == 3.0
    rate = 1.0
    assert f(2.0) == 6.0
    layers.append(3.0)
    assert f(2.0) == 12.0
    rate = -0.0
    assert math.copysign(1.0, f(2.0)) == math.copysign(1.0, f.__wrapped__(2.0))
    rate = 0.0
    assert math.copysign(1.0, f(2.0)) == 1.0
    rate = math.nan
    f(1.0)
    count = f.cache_info().misses
    rate = float("nan")
    assert math.isnan(f(1.0))
    assert f.cache_info().misses == count


def test_partials_bound_methods_and_callables():
    import functools

    class Scale:
        def __init__(self, by):
            self.by = by

        def __call__(self, x):
            return x * self.by

        def halved(self, x):
            return x * self.by / 2

    scale = Scale(4.0)
    whole, half = tg.function(scale), tg.function(scale.halved)
    part = tg.function(functools.partial(lambda s, x: x * s.by, scale))
    assert (whole(2.0), half(2.0), part(2.0)) == (8.0, 4.0, 8.0)
    scale.by = 10.0
    assert (whole(2.0), half(2.0), part(2.0)) == (20.0, 10.0, 20.0)


def test_a_captured_value_is_refused():
    w = tg.Value(2.0)
    f = tg.function(lambda x: x * w)
    with pytest.raises(tg.RecordError, match="pass it to the function as an argument"):
        f(1.0)
    assert f.paths == ()


# -- errors --------------------------------------------------------------------------


def test_exceptions_leave_no_trace():
    @tg.function
    def f(x):
        y = x * 2
        if x < 0:
            msg = "negative"
            raise LookupError(msg)
        return y

    for _ in range(2):
        with pytest.raises(LookupError, match="negative"):
            f(-1.0)
    assert f.cache_info() == (0, 0, 128, 0)
    assert f(1.0) == 2.0
    with pytest.raises(LookupError, match="negative"):
        f(-1.0)
    with pytest.raises(LookupError, match="negative"):
        f.gradient(-1.0)
    assert f(2.0) == 4.0
    assert f.cache_info() == (1, 1, 128, 1)


def test_results_that_are_none_or_constant():
    with pytest.raises(tg.RecordError, match="Is a `return` missing"):
        tg.function(lambda x: None)(1.0)
    constant = tg.function(lambda x: 3.0)
    assert constant(1.0) == constant(2.0) == 3.0
    assert constant.gradient(1.0) == 0.0
    assert constant.cache_info().misses == 1


def test_gradients_of_several_outputs_are_refused():
    f = tg.function(lambda x: (x, x))
    with pytest.raises(tg.ShapeError, match="jacobian"):
        f.gradient(1.0)
    assert f.jacobian(1.0) == (1.0, 1.0)


# -- methods and transforms ----------------------------------------------------------


@tg.function
def smooth(x, y):
    if x > y:
        return np.sin(x) * y * y
    return x * np.exp(y) + x * x


@pytest.mark.parametrize("native_after", [None, 0])
def test_methods_give_what_tapes_give(native_after):
    f = tg.function(smooth.__wrapped__, native_after=native_after)
    for x, y in ((1.0, 0.5), (0.2, 0.7), (2.0, 1.0), (-1.0, 1.0)):
        tape = tg.record(smooth.__wrapped__, x, y)
        near = lambda found: pytest.approx(found, rel=1e-13)  # noqa: E731
        assert f(x, y) == near(tape(x, y))
        value, gradient = f.value_and_gradient(x, y)
        assert (value, *gradient) == near((tape(x, y), *tape.gradient(x, y)))
        assert f.gradient(x, y) == near(tape.gradient(x, y))
        assert f.jacobian(x, y) == near(tape.jacobian(x, y))
        assert np.array(f.hessian(x, y)) == near(np.array(tape.hessian(x, y)))
        assert f.jvp((x, y), (1.0, 2.0)) == near(tape.jvp((x, y), (1.0, 2.0)))
        assert f.vjp((x, y), 2.0)[1] == near(tape.vjp((x, y), 2.0)[1])
        assert f.hvp((x, y), (1.0, 2.0)) == near(tape.hvp((x, y), (1.0, 2.0)))
    assert f.cache_info().currsize == 2


def test_methods_and_nested_arguments():
    @tg.function
    def f(p, x):
        if x > 0:
            return p["w"][0] * x + (p["v"] ** 2).sum()
        return p["w"][1] * x

    p = {"w": (2.0, 3.0), "v": np.array([1.0, 2.0])}
    for x in (1.0, -1.0, 2.0):
        gradient, slope = f.gradient(p, x)
        plain, other = tg.grad(f.__wrapped__, (0, 1))(p, x)
        assert gradient["w"] == plain["w"]
        assert np.array_equal(gradient["v"], plain["v"])
        assert slope == other


@pytest.mark.parametrize("point", [(1.0, 0.5), (0.2, 0.7)])
def test_transforms_of_it(point):
    plain = smooth.__wrapped__
    assert tg.grad(smooth, (0, 1))(*point) == tg.grad(plain, (0, 1))(*point)
    assert tg.hessian(smooth)(*point) == tg.hessian(plain)(*point)
    assert tg.jvp(smooth, point, (1.0, 1.0)) == tg.jvp(plain, point, (1.0, 1.0))
    assert tg.hvp(smooth, point, (1.0, 0.0)) == tg.hvp(plain, point, (1.0, 0.0))
    assert tg.vjp(smooth, *point)[1](1.0) == tg.vjp(plain, *point)[1](1.0)
    nested = tg.grad(lambda x: x * tg.grad(smooth)(x, point[1]))
    assert nested(point[0]) == tg.grad(lambda x: x * tg.grad(plain)(x, point[1]))(
        point[0]
    )
    tape = tg.record(smooth, *point)
    assert tape == tg.record(plain, *point)


def test_inside_of_loops_and_custom_gradients():
    @tg.function
    def step(x, y):
        return np.sin(x) * y

    found = tg.grad(lambda x: tg.fori_loop(0, 5, lambda i, c: step(c, 1.1), x))(0.7)
    plain = tg.grad(lambda x: tg.fori_loop(0, 5, lambda i, c: np.sin(c) * 1.1, x))(0.7)
    assert found == plain

    @tg.function
    @tg.custom_gradient
    def doubled(x):
        return x * x, lambda bar: bar * 100.0

    assert doubled(3.0) == 9.0
    assert doubled.gradient(3.0) == 100.0


@pytest.mark.parametrize("native_after", [None, 0])
def test_a_function_of_a_gradient(native_after):
    slope = tg.function(tg.grad(smooth.__wrapped__, (0, 1)), native_after=native_after)
    for x, y in ((1.0, 0.5), (0.2, 0.7), (2.0, 1.0), (-1.0, 1.0)) * 2:
        wanted = tg.grad(smooth.__wrapped__, (0, 1))(x, y)
        assert slope(x, y) == pytest.approx(wanted, rel=1e-14)
    assert slope.cache_info().misses == 2
    second = tg.function(tg.grad(tg.grad(smooth)))
    assert second(1.0, 0.5) == pytest.approx(-math.sin(1.0) * 0.25)
    assert second(0.2, 0.7) == 2.0


def test_gradients_notice_a_changed_global(monkeypatch):
    slope = tg.function(tg.grad(helper))
    assert slope(1.0) == 0.5
    monkeypatch.setattr(f"{__name__}.RATE", 8.0)
    assert slope(1.0) == 8.0


def test_a_value_of_the_recording_around():
    """It is read by the code as it stands, and no constant of a recording."""

    def outer(x):
        inner = tg.function(lambda y: y * x)
        return inner(2.0) + inner(3.0)

    assert tg.grad(outer)(1.0) == 5.0
    assert tg.record(outer, 1.0)(10.0) == 50.0


@pytest.mark.parametrize("method", ["__call__", "value_and_gradient", "gradient"])
def test_native_code_finds_the_way_itself(monkeypatch, method):
    """Alternating between native paths takes no interpreter and no recording."""

    @tg.function(native_after=1)
    def f(x, y):
        n = 0
        while x > n:
            n += 1
        return x * y * n if y < 0 else x * y

    for _ in range(2):
        for x in range(6):
            for y in (1.0, -1.0):
                getattr(f, method)(float(x), y)
    wanted = {
        (x, y): getattr(f, method)(float(x), y) for x in range(6) for y in (1.0, -1.0)
    }

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("tapegrad.paths.following.walk", refuse)
    monkeypatch.setattr("tapegrad.paths.running.sweeps.replay", refuse)
    monkeypatch.setattr("tapegrad.paths.functions.record_inside", refuse)
    rng = random.Random(1)
    for _ in range(60):
        x, y = rng.randrange(6), rng.choice([1.0, -1.0])
        assert getattr(f, method)(float(x), y) == wanted[x, y]


def test_native_code_finds_the_way_on_arrays(monkeypatch):
    @tg.function(native_after=1)
    def f(x):
        n = 0
        while (x * x).sum() > n:
            n += 1
        return x * n

    xs = [np.array([float(a), 0.5]) for a in range(4)]
    for _ in range(2):
        for x in xs:
            f(x)
    wanted = [f(x) for x in xs]

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("tapegrad.paths.following.walk", refuse)
    for k in (0, 3, 1, 2, 3, 0, 2):
        assert np.array_equal(f(xs[k]), wanted[k])


@pytest.mark.parametrize("native_after", [None, 0])
def test_gradients_by_one_and_several_arguments(native_after):
    """Alike in every tier: bare for one argument, of numbers and of arrays."""
    looped = tg.function(
        lambda x: tg.while_loop(lambda c: c < 9.0, lambda c: c * 2, x) if x > 0 else x,
        native_after=native_after,
    )
    assert [looped(1.0), looped(-1.0), looped(3.0)] == [16.0, -1.0, 12.0]
    assert [looped.gradient(x) for x in (1.0, -1.0, 3.0)] == [16.0, 1.0, 4.0]
    assert looped.value_and_gradient(1.0) == (16.0, 16.0)

    def total(x, s=None, n=None):
        y = x.sum() if s is None else x.sum() * s
        y = y if n is None else y * n.sum()
        return y if y > 0 else 2 * y

    f = tg.function(total, native_after=native_after)
    x, n = np.array([1.0, 2.0]), np.array([1, 2])
    for _ in range(2):
        for sign in (1.0, -1.0):
            found = f.gradient(x * sign)
            assert np.array_equal(found, np.full(2, 1.5 - sign / 2))
            by_x, by_s = f.gradient(x, sign * 2.0)
            assert np.array_equal(by_x, np.full(2, 2.0 if sign > 0 else -4.0))
            assert by_s == (3.0 if sign > 0 else 6.0)
            value, (by_x, by_s) = f.value_and_gradient(x, sign, n=n)
            assert value == (9.0 if sign > 0 else -18.0)
            assert by_s == (9.0 if sign > 0 else 18.0)
            assert np.array_equal(by_x, np.full(2, 3.0 if sign > 0 else -6.0))


def test_eager_parameters_are_numbers_to_the_methods():
    w = tg.Value(3.0)
    for native_after in (None, 0):
        f = tg.function(lambda w, x: w * x if x > 0 else w, native_after=native_after)
        assert [f.gradient(w, x) for x in (2.0, -2.0, 2.0)] == [
            (2.0, 3.0),
            (1.0, 0.0),
            (2.0, 3.0),
        ]
        with pytest.raises(tg.RecordError, match="a Value with a history"):
            f.gradient(w * 2, 1.0)


def test_strided_arrays_go_to_native_code(monkeypatch):
    f = tg.function(lambda x: x * 2 if x.sum() > 0 else -x, native_after=0)
    x = np.array([1.0, -5.0, 2.0, -5.0])
    f(np.ones(2))
    f(-np.ones(2))

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("tapegrad.paths.following.walk", refuse)
    for _ in range(2):
        assert np.array_equal(f(x[::2]), [2.0, 4.0])
        assert np.array_equal(f(x[1::2]), [5.0, 5.0])
        assert np.array_equal(f(x[::-2]), [5.0, 5.0])


def test_the_path_of_the_last_call_is_tried_first(monkeypatch):
    f = tg.function(lambda x: x * 2 if x > 0 else -x, native_after=0)
    assert [f(1.0), f(-1.0), f(1.0)] == [2, 1, 2]

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("tapegrad.paths.native.Code.flipped", refuse)
    assert [f(2.0), f(3.0)] == [4, 6]


@pytest.mark.parametrize("native_after", [None, 0])
def test_tapes_that_contradict_each_other(native_after):
    """A hidden state: no tape is right about another, and each call ends."""
    hidden = iter([5.0, 1.0, 3.0, -2.0, 4.0, 0.0, 2.0] * 40)

    @tg.function(native_after=native_after, maxsize=3)
    def f(x):
        if x > next(hidden):
            return x
        return 2 * x if x > next(hidden) else 3 * x

    rng = random.Random(5)
    for _ in range(60):
        x = rng.choice([6.0, 3.5, 2.5, 1.5, 0.5, -1.0, -3.0])
        assert f(x) in {x, 2 * x, 3 * x}
        assert f.gradient(x) in {1.0, 2.0, 3.0}


def test_dropped_states_are_forgotten():
    rate = 0.0
    f = tg.function(maxsize=3)(lambda x: x * rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathsWarning)
        for number in range(20):
            rate = float(number)
            assert f(2.0) == 2.0 * rate
    assert f.cache_info().currsize == 3
    assert len(f._cache._states) == 3


def test_eager_values_run_the_code():
    x = tg.Value(1.0)
    y = smooth(x, 0.5)
    assert isinstance(y, tg.Value)
    y.backward()
    assert x.grad == pytest.approx(math.cos(1.0) * 0.25)
    with tg.no_record():
        assert smooth(1.0, 0.5) == pytest.approx(math.sin(1.0) * 0.25)


def leaves_of(gradient):
    import optree

    found = optree.tree_leaves(gradient, namespace="tapegrad")
    return [np.asarray(x) for x in found if x is not None]


def test_models_as_arguments():
    model = nn.MLP(2, [4, 1], seed=1)

    @tg.function(native_after=2)
    def loss(model, x, wanted):
        error = model(x) - wanted
        return (error * error).sum() if error.sum() > 0 else abs(error).sum()

    xs = np.random.default_rng(0).normal(size=(5, 2))
    apart = []
    for k in range(8):
        value, (gradient, *_) = loss.value_and_gradient(model, xs, float(k % 2) - 0.5)
        tape = tg.record(loss.__wrapped__, model, xs, float(k % 2) - 0.5)
        expected, (slopes, *_) = tape.value_and_gradient(model, xs, float(k % 2) - 0.5)
        assert value == pytest.approx(expected, rel=1e-13)
        pairs = zip(leaves_of(gradient), leaves_of(slopes), strict=True)
        apart += [float(np.max(np.abs(one - two))) for one, two in pairs]
    assert len(apart) > 16
    assert max(apart) < 1e-12
    assert loss.cache_info().currsize == 2
    eager = loss(model, xs, 0.5)
    eager.backward()
    assert np.any(model.parameters()[0].grad)


def test_derivatives_inside_of_a_recording_name_the_transform():
    with pytest.raises(tg.RecordError, match=r"tg\.grad\(f\)"):
        tg.record(lambda x: smooth.gradient(x, 1.0)[0], 2.0)


# -- methods of classes --------------------------------------------------------------


class Model:
    def __init__(self, rate):
        self.rate = rate

    @tg.function
    def value(self, x, y=1.0):
        if x > self.rate:
            return x * self.rate * y
        return x

    @tg.function(maxsize=4)
    def other(self, x):
        return x + self.rate


def test_methods_of_objects():
    one, two = Model(2.0), Model(3.0)
    assert (one.value(4.0), two.value(4.0), one.value(1.0)) == (8.0, 12.0, 1.0)
    assert one.value.gradient(4.0) == 2.0
    assert one.value.value_and_gradient(4.0, 2.0) == (16.0, (4.0, 8.0))
    assert one.value.jvp((4.0, 1.0), (1.0, 0.0)) == (8.0, 2.0)
    assert one.value.hvp((4.0, 1.0), (1.0, 1.0)) == (2.0, 2.0)
    assert one.value.vjp((4.0, 1.0), 1.0)[1] == (2.0, 8.0)
    assert Model.value(one, 4.0) == 8.0
    one.rate = 10.0
    assert one.value(4.0) == 4.0
    assert one.value.cache_info() == Model.value.cache_info()
    assert one.other(1.0) == 11.0
    assert Model.other.cache_info().maxsize == 4


# -- results, threads, names ---------------------------------------------------------


@pytest.mark.parametrize("native_after", [None, 0])
def test_results_are_the_callers_own(native_after):
    @tg.function(native_after=native_after)
    def f(x):
        x[0] = x[0] * 2
        return x, x

    x = np.array([1.0, 2.0])
    for _ in range(3):
        a, b = f(x)
        assert np.array_equal(x, [1.0, 2.0])
        a[0] = 100.0
        b[1] = 200.0
        assert np.array_equal(f(x)[0], [2.0, 2.0])


def test_what_a_recording_read_is_not_changed_by_its_caller():
    f = tg.function(lambda x: x * 2)
    x = np.array([1.0, 2.0])
    f(x)
    x[:] = 5.0
    assert np.array_equal(f(x), [10.0, 10.0])
    assert np.array_equal(f(x[::-1]), [10.0, 10.0])
    assert f.cache_info().misses == 1


@pytest.mark.parametrize("native_after", [None, 0])
def test_arrays_as_they_come(native_after):
    """Strides, byte order and 0-d arrays; each on both branches, in turns."""
    f = tg.function(
        lambda x: x * 2 if x.sum() > 0 else -x.sum(), native_after=native_after
    )
    base = np.arange(1.0, 7.0)
    kinds = [
        base[:3],
        base[::2],
        base[:3][::-1],
        base[:3].astype(">f8"),
        base[:3].astype(np.float32),
        np.asfortranarray(base.reshape(2, 3)),
        base.reshape(3, 2).T,
        np.array(3.0),
        np.float32(3.0),
        np.float64(3.0),
    ]
    for x in kinds * 2:
        assert np.array_equal(f(x), x * 2)
        assert np.array_equal(f(-x), x.sum())
        assert np.array_equal(f(x), x * 2)


def test_arrays_of_integers():
    @tg.function
    def f(x, n):
        return (x * n).sum() if n[0] > 0 else x.sum()

    x = np.array([1.0, 2.0])
    assert f(x, np.array([1, 2])) == 5.0
    assert f(x, np.array([-1, 2])) == 3.0
    assert f(x, np.array([2, 2])) == 6.0
    assert np.array_equal(f.gradient(x, np.array([2, 3])), [2.0, 3.0])
    assert f.cache_info().currsize == 2


def test_threads():
    program = Program(7)
    plain, f = program.made(), program.made(maxsize=20, native_after=3)
    wrong = []

    def work(seed):
        for x, y in points(seed, 80):
            wanted, found = outcome(plain, x, y), outcome(f, x, y)
            if not same(wanted, found):
                wrong.append((x, y, wanted, found))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PathsWarning)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert f.cache_info().currsize == len(f.paths) <= 20


def test_it_looks_like_the_function():
    assert fact.__name__ == "fact"
    assert "fact" in repr(fact)
    assert pickle.loads(pickle.dumps(fact)) is fact
    assert "True" in repr(Path(tg.record(fact, 3.0))) or "False" in repr(
        Path(tg.record(fact, 3.0))
    )


def test_no_native_code_for_a_step_means_the_interpreter(monkeypatch):
    from tapegrad.paths import native

    asked = []

    def refuse(*_):
        asked.append(1)
        msg = "no native code today"
        raise tg.CompileError(msg)

    monkeypatch.setattr(native, "build", refuse)
    f = tg.function(lambda x: x * x if x > 0 else x, native_after=0)
    assert [f(2.0), f(-1.0), f(3.0), f(-2.0)] == [4.0, -1.0, 9.0, -2.0]
    assert f.gradient(3.0) == 6.0
    assert asked
