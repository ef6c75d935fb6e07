"""`tg.function` sees what a function reads around itself, in whatever way it does."""

import collections
import dataclasses
import functools
import sys
import types

import numpy as np
import pytest

import tapegrad as tg

G = H = 1.0


def same_as_the_code(f, changes, args=(2.0,)):
    """The recorded function gives what the code gives, after each change."""
    recorded = tg.function(f)
    before = f(*args)
    assert recorded(*args) == before
    for change in changes:
        change()
        after = f(*args)
        assert after != before, "the change changes nothing"
        assert recorded(*args) == after
        before = after
    count = recorded.cache_info().misses
    assert recorded(*args) == before
    assert recorded.cache_info().misses == count  # and it is recorded once for each


def put(name, value):
    return lambda: globals().__setitem__(name, value)


@pytest.fixture(autouse=True)
def _globals_as_before():
    yield
    put("G", 1.0)()
    put("H", 1.0)()


class Pair(collections.namedtuple("Pair", "a b")):  # noqa: PYI024, SLOT002 - attributes
    pass


@pytest.mark.parametrize(
    "held",
    [
        collections.defaultdict(float, {0: 1.0}),
        collections.OrderedDict({0: 1.0}),
        collections.deque([1.0]),
        type("Mine", (list,), {})([1.0]),
        [1.0] * 3000,
        dict.fromkeys(range(3000), 1.0),
        [1.0, *(np.ones(2) for _ in range(100))],
        np.ones(300_000),
        np.ones((300_001, 2), np.float32)[:, 0],
    ],
    ids=lambda held: type(held).__name__,
)
def test_contents(held):
    same_as_the_code(lambda x: x * held[0], [lambda: held.__setitem__(0, 3.0)])


def test_deep_contents_and_cycles():
    held = [[[[[[[1.0]]]]]]]
    held.append(held)

    def change():
        held[0][0][0][0][0][0][0] = 3.0

    same_as_the_code(lambda x: x * held[1][0][0][0][0][0][0][0], [change])


def test_a_shuffled_array():
    held = np.arange(400_000.0)

    def change():
        held[:] = held[::-1].copy()

    same_as_the_code(lambda x: x * held[0] + x, [change])


def test_attributes_of_a_tuple():
    pair = Pair(1.0, 2.0)
    pair.c = 1.0
    same_as_the_code(lambda x: x * pair.c, [lambda: setattr(pair, "c", 3.0)])


def test_slots():
    class Slots:
        __slots__ = ("a",)

    @dataclasses.dataclass(slots=True)
    class Data:
        b: float = 1.0

    one, two = Slots(), Data()
    one.a = 1.0
    same_as_the_code(
        lambda x: x * one.a * two.b,
        [lambda: setattr(one, "a", 3.0), lambda: setattr(two, "b", 5.0)],
    )
    f = tg.function(lambda s, x: s.a * x)
    assert f(one, 2.0) == 6.0
    one.a = 4.0
    assert f(one, 2.0) == 8.0


class Base:
    rate = 1.0

    def inherited(self, x):
        return x * G

    @staticmethod
    def static(x):
        return x * G

    @classmethod
    def of_class(cls, x):
        return x * cls.rate


class Model(Base):
    def __init__(self):
        self.a = 1.0

    @property
    def seen(self):
        return G * self.a

    @functools.cached_property
    def once(self):
        return 1.0

    def inherited(self, x):
        return super().inherited(x)

    def __mul__(self, x):
        return x * G

    def __getitem__(self, i):
        return H


MODEL = Model()


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * MODEL.seen,
        lambda x: MODEL.inherited(x) + x,
        lambda x: MODEL * x,
        lambda x: Model.static(x) + x,
        lambda x: Model().inherited(x),
        lambda x: {"k": lambda y: y * G}["k"](x) + x,
        lambda x: sum(map(Base.static, [x, x])),
    ],
    ids=["property", "super", "operator", "static", "made", "dict", "map"],
)
def test_globals_that_methods_read(f):
    same_as_the_code(f, [put("G", 3.0), put("G", 4.0)])


def test_functions_in_containers():
    table = {"k": [lambda x: x * G]}
    same_as_the_code(lambda x: table["k"][0](x) * MODEL[0], [put("G", 3.0)])


def test_data_of_classes(monkeypatch):
    same_as_the_code(
        lambda x: x * MODEL.rate, [lambda: monkeypatch.setattr(Base, "rate", 3.0)]
    )
    same_as_the_code(
        lambda x: Model.of_class(x) + x,
        [lambda: monkeypatch.setattr(Model, "rate", 7.0)],
    )


def test_attributes_of_functions():
    def g(x):
        return x * g.rate

    g.rate = 1.0
    same_as_the_code(lambda x: g(x) + x, [lambda: setattr(g, "rate", 3.0)])


def test_what_arguments_read():
    def g(x):
        return x * G

    apply = tg.function(lambda f, x: f(x))
    for rate in (1.0, 3.0):
        put("G", rate)()
        assert apply(g, 2.0) == 2.0 * rate
        assert apply(MODEL.inherited, 2.0) == 2.0 * rate
        assert apply(functools.partial(g), 2.0) == 2.0 * rate

    class Loss:
        @tg.function
        def of(self, x):
            return self.inner(x)

        def inner(self, x):
            return x * G

    loss = Loss()
    for rate in (3.0, 5.0):
        put("G", rate)()
        assert loss.of(2.0) == 2.0 * rate
        assert loss.of.gradient(2.0) == rate


def test_a_function_with_paths_inside_another():
    inner = tg.function(lambda x: x * G)
    same_as_the_code(lambda x: inner(x) + x, [put("G", 3.0)])


def test_modules_imported_inside(monkeypatch):
    settings = types.ModuleType("settings_inside")
    settings.rate = settings.scale = 1.0
    settings.sub = types.ModuleType("settings_inside.sub")
    settings.sub.rate = 1.0
    monkeypatch.setitem(sys.modules, "settings_inside", settings)
    monkeypatch.setitem(sys.modules, "settings_inside.sub", settings.sub)

    def f(x):
        import settings_inside.sub
        from settings_inside import scale

        return x * settings_inside.rate * settings_inside.sub.rate * scale

    same_as_the_code(
        f,
        [
            lambda: setattr(settings, "rate", 3.0),
            lambda: setattr(settings.sub, "rate", 5.0),
            lambda: setattr(settings, "scale", 7.0),
        ],
    )


def test_objects_are_asked_for_nothing():
    """Looking at an object runs no code of it; a cached function is looked into."""

    class Shy:
        def __init__(self):
            self.rate = 1.0

        @property
        def func(self):
            msg = "nobody may ask"
            raise LookupError(msg)

        def __getattr__(self, name):
            raise LookupError(name)

    shy = Shy()
    same_as_the_code(lambda x: x * shy.rate, [lambda: setattr(shy, "rate", 3.0)])
    f = tg.function(lambda held, x: held.rate * x)
    assert f(shy, 2.0) == 6.0

    @functools.cache
    def cached(y):
        return y * G

    recorded = tg.function(lambda x: cached(2.0) * x)
    assert recorded(3.0) == 6.0
    cached.cache_clear()
    put("G", 2.0)()
    assert recorded(3.0) == 12.0
