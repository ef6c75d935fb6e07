"""Code lives as long as its holders, and is called from anywhere.

Threads, forked and spawned processes, interrupts; and no growth, however often
something is compiled or called.
"""

from __future__ import annotations

import concurrent.futures
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import arrayentry
from tapegrad.native.cache import VARIABLE
from tapegrad.native.engine import Engine
from tapegrad.native.locks import Lock, Once

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def run(program, *arguments, **environment):
    """Run a program in a process of its own; what it prints."""
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def together(work, count=16):
    """Run `work(number)` in threads that begin at once; what they return."""
    barrier = threading.Barrier(count)

    def begin(number):
        barrier.wait()
        return work(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def wave(x, y):
    return np.sin(x) * y + x / y


# -- the life of code ------------------------------------------------------------------


def test_code_is_freed_with_its_last_holder():
    compiled = tg.compile(wave, 1.0, 2.0)
    kept = compiled.value, compiled.gradient
    engines = [weakref.ref(part.engine) for part in compiled._parts.values()]
    assert len(engines) == 2
    expected = tg.record(wave, 1.0, 2.0)(3.0, 4.0)
    del compiled
    gc.collect()
    assert kept[0](3.0, 4.0) == expected
    assert all(engine() is not None for engine in engines)
    del kept
    gc.collect()
    assert all(engine() is None for engine in engines)


def test_no_engine_is_left_after_many_compilations():
    def live():
        gc.collect()
        return sum(isinstance(each, Engine) for each in gc.get_objects())

    def compile_and_call(number):
        scale = 1.0 + number
        one = tg.compile(lambda x, y: scale * x * y, 1.0, 2.0, level=0)
        assert one.gradient(3.0, 4.0) == (4.0 * scale, 3.0 * scale)
        if number % 10 == 0:
            two = tg.compile(lambda x: (scale * x * x).sum(), np.ones(2), level=0)
            assert two.gradient(np.ones(2)).tolist() == [2.0 * scale] * 2
            assert one.ufunc()(np.ones(2), 2.0).tolist() == [2.0 * scale] * 2

    compile_and_call(0)
    before = live()
    for number in range(1, 101):
        compile_and_call(number)
    assert live() == before


GROWTH = """
    import gc, sys
    import numpy as np
    import tapegrad as tg

    def size():
        gc.collect()
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def once(number):
        scale = 1.0 + number
        one = tg.compile(lambda x, y: scale * x * y, 1.0, 2.0, level=0)
        one.value_and_gradient(3.0, 4.0)
        if number % 20 == 0:
            two = tg.compile(lambda x: (scale * x * x).sum(), np.ones(2), level=0)
            two.value_and_gradient(np.ones(2))
            one.ufunc()(np.ones(2), 2.0)

    def calls(count):
        one = tg.compile(lambda x, y: x * y + x, 1.0, 2.0)
        two = tg.compile(lambda x: (x * x).sum(), np.ones(5))
        x, loop = np.ones(5), one.ufunc()
        for number in range(count):
            one(1.0, 2.0)
            one.value_and_gradient(1.0, 2)
            two.value_and_gradient(x)
            two([1, 2, 3, 4, 5]) if number % 50 == 0 else None
            loop(x, x) if number % 10 == 0 else None
            try:
                one("no", 2.0) if number % 500 == 0 else None
            except tg.TapegradError:
                pass

    what, count = sys.argv[1], int(sys.argv[2])
    def work(count):
        if what == "calls":
            calls(count)
        else:
            for number in range(count):
                once(number)
    work(count // 10)
    before = size()
    work(count)
    print(size() - before)
"""


@pytest.mark.deep
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")  # noqa: PTH110 - a condition
@pytest.mark.parametrize("cache", ["off", "on"])
def test_10_000_compilations_do_not_grow(tmp_path, cache):
    where = "off" if cache == "off" else str(tmp_path / "cache")
    grown = int(run(GROWTH, "compilations", "10000", TAPEGRAD_CACHE=where))
    # less than 400 bytes each: one kernel that stays is ten times more
    assert grown < 4_000_000


@pytest.mark.deep
@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")  # noqa: PTH110 - a condition
def test_a_million_calls_do_not_grow():
    # one byte a call: the smallest object that stays is 24 of them
    assert int(run(GROWTH, "calls", "1000000")) < 1_000_000


# -- threads ---------------------------------------------------------------------------


def test_threads_that_compile_and_call_the_same(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    tape = tg.record(wave, 1.0, 2.0)
    expected = tape.value_and_gradient(3.0, 4.0)
    for _ in range(3):
        compiled = tape.compile()

        def work(number, compiled=compiled):
            x = 3.0 + number
            found = compiled.value_and_gradient(3.0, 4.0)
            same = compiled(x, 4.0) == tape(x, 4.0)
            return found == expected and same and compiled.jacobian is not None

        assert all(together(work))
        assert set(compiled.report.parts) == {"value", "gradient"}
        assert compiled.value is compiled.value


def test_threads_that_compile_different_ones(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))

    def work(number):
        scale = number % 5 + 1.0
        one = tg.compile(lambda x, y: scale * x * y, 1.0, 2.0)
        two = tg.compile(lambda x: scale * (x * x).sum(), np.ones(3))
        found = [one.gradient(3.0, 4.0), two.gradient(np.ones(3)).tolist()]
        found.append(one.ufunc()(np.ones(2), 2.0).tolist())
        wanted = [(4.0 * scale, 3.0 * scale), [2.0 * scale] * 3, [2.0 * scale] * 2]
        return found == wanted

    assert all(together(work))


def test_threads_in_one_long_kernel():
    """It runs without Python's lock; each call has memory of its own."""
    size = arrayentry.LONG // 2

    def f(x):
        y = np.cumsum(np.sin(x) * x)
        return (y[::-1] * x).sum() + (y * y).mean()

    compiled = tg.compile(f, np.ones(size))
    kernel = compiled._kernel("gradient")
    assert kernel.unlocked
    assert kernel.arena.nbytes > 8 * size
    points = [np.linspace(0.0, 1.0 + number, size) for number in range(16)]
    alone = [compiled.value_and_gradient(point) for point in points]

    def work(number):
        good = True
        for _ in range(4):
            value, slope = compiled.value_and_gradient(points[number])
            good &= value == alone[number][0]
            good &= np.array_equal(slope, alone[number][1])
        return good

    assert all(together(work))


def test_a_fallback_that_calls_the_same_kernel():
    """A call inside of a call, while the arguments of the outer one are looked at."""
    depth = []

    def f(x, scale):
        return np.cumsum(np.cumsum(x * x)[::-1]) * scale

    x, compiled = np.arange(4.0), tg.compile(f, np.ones(4), 1.0)
    expected = tg.record(f, np.ones(4), 1.0)(x, 3.0)

    class Sly(int):
        def __float__(self):
            if len(depth) < 5:
                depth.append(1)
                assert np.array_equal(compiled(x, Sly(3)), expected)
            return 3.0

    assert np.array_equal(compiled(x, Sly(3)), expected)
    assert len(depth) == 5


# -- processes -------------------------------------------------------------------------


def call_in_worker(compiled, number):
    assert not compiled.report.parts
    return compiled.value_and_gradient(3.0 + number, 4.0)


def array_in_worker(compiled, x):
    return compiled.value_and_gradient(x), compiled.ufunc()(x[None])


@pytest.mark.parametrize(
    "method", [pytest.param("fork", marks=forks), "spawn"], ids=str
)
def test_processes_take_it_along(method):
    compiled = tg.compile(wave, 1.0, 2.0)
    arrays = tg.compile(lambda x: (x * x).sum(), np.ones(3))
    expected = compiled.value_and_gradient(3.0, 4.0)
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        calls = [pool.submit(call_in_worker, compiled, 0) for _ in range(4)]
        other = pool.submit(array_in_worker, arrays, np.arange(3.0))
        assert [call.result(300) for call in calls] == [expected] * 4
        (value, slope), many = other.result(300)
    assert value == 5.0
    assert slope.tolist() == [0.0, 2.0, 4.0]
    assert many.tolist() == [5.0]


def in_child(work):
    """What `work` gives in a forked child, which has 60 seconds."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            signal.alarm(60)
            os.write(write, pickle.dumps(work()))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    assert found, "the child did not come to an end"
    return pickle.loads(found)


@forks
def test_code_works_in_a_forked_child():
    compiled = tg.compile(wave, 1.0, 2.0)
    expected = compiled(3.0, 4.0)
    assert in_child(lambda: compiled(3.0, 4.0)) == expected
    assert in_child(lambda: compiled.gradient(3.0, 4.0)) == compiled.gradient(3.0, 4.0)


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_while_a_thread_builds(monkeypatch):
    """The child has the locks of a thread that it has not: it builds all the same."""
    monkeypatch.setenv(VARIABLE, "off")
    compiled = tg.compile(wave, 1.0, 2.0)
    expected = tg.record(wave, 1.0, 2.0).gradient(3.0, 4.0)
    inside, leave = threading.Event(), threading.Event()
    make = compiled._once

    def slow(part, how):
        with compiled._lock.held():
            inside.set()
            leave.wait()
            return make(part, how)

    monkeypatch.setattr(compiled, "_once", slow)
    thread = threading.Thread(target=lambda: compiled.gradient)
    thread.start()
    inside.wait()

    def work():
        del compiled.__dict__["_once"]
        return compiled.gradient(3.0, 4.0)

    try:
        assert in_child(work) == expected
    finally:
        leave.set()
        thread.join()
    assert compiled.gradient(3.0, 4.0) == expected


@forks
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_while_a_thread_is_in_llvm(monkeypatch):
    monkeypatch.setenv(VARIABLE, "off")

    def long(x):
        for _ in range(4000):
            x = x * 0.5 + x / 3.0
        return x

    tapes = [tg.record(long, 1.0 + number) for number in range(2)]
    # what is imported in a thread while the process forks is lost in the child
    expected = tapes[1].compile(level=0)(1.5)
    stop = threading.Event()

    def build():
        while not stop.is_set():
            tapes[0].compile(level=0).value(1.0)

    thread = threading.Thread(target=build)
    thread.start()
    try:
        for _ in range(5):
            assert in_child(lambda: tapes[1].compile(level=0)(1.5)) == expected
            time.sleep(0.01)
    finally:
        stop.set()
        thread.join()


def test_a_lock_is_given_back_after_an_error():
    lock = Lock()
    with pytest.raises(ValueError, match="mine"), lock.held(), lock.held():
        raise ValueError("mine")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(lock.inner.acquire, blocking=False).result()


def test_once():
    made = []

    class Holder:
        @Once
        def number(self):
            """A number."""
            made.append(1)
            return len(made)

    assert Holder.number.__doc__ == "A number."
    holder = Holder()
    assert [holder.number, holder.number, Holder().number] == [1, 1, 2]


# -- interrupts ------------------------------------------------------------------------

INTERRUPTED = """
    import os, signal, sys, threading, time
    import numpy as np
    import tapegrad as tg
    from tapegrad.native import objects

    def long(x):
        for _ in range(int(sys.argv[2])):
            x = x * 0.5 + np.sin(x) / 3.0
        return x

    place = sys.argv[1]
    tape = tg.record(long, 1.0, roll=False)
    expected = tape.value_and_gradient(0.7)
    compiled = tape.compile()
    # the signal comes before LLVM makes the object, or so many seconds after the start
    if place == "emit":
        emitted = objects.machine_at
        def machine(level):
            os.kill(os.getpid(), signal.SIGINT)
            objects.machine_at = emitted
            return emitted(level)
        objects.machine_at = machine
    else:
        timer = threading.Timer(float(place), os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
    try:
        compiled.value_and_gradient(0.7)
        # it may have come too late
        if place != "emit":
            timer.join(); time.sleep(0.01)
        print("done")
    except KeyboardInterrupt:
        print("interrupted", len(compiled._parts))
    found = compiled.value_and_gradient(0.7)
    assert abs(found[0] - expected[0]) <= 1e-12 * abs(expected[0])
    other = tg.compile(lambda x: x * x, 2.0)
    assert other(3.0) == 9.0
    print("good")
"""


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_an_interrupt_comes_through_llvm():
    found = run(INTERRUPTED, "emit", "2500", TAPEGRAD_CACHE="off")
    assert found.split() == ["interrupted", "0", "good"]


@pytest.mark.deep
@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("seconds", ["0.05", "0.3", "0.7", "1.1", "1.5", "2.0"])
def test_an_interrupt_at_any_time(seconds, tmp_path):
    where = str(tmp_path / "cache")
    found = run(INTERRUPTED, seconds, "30000", TAPEGRAD_CACHE=where).split()
    assert found in (["interrupted", "0", "good"], ["done", "good"])
    assert not list((tmp_path / "cache").glob("new-*"))


# -- memory under watch ----------------------------------------------------------------

# Python fills and fences its memory, and finds who writes or reads where nothing is.
WATCHED = {"PYTHONMALLOC": "debug", "PYTHONDEVMODE": "1", VARIABLE: "off"}

CALLS = """
    import gc
    import numpy as np
    import tapegrad as tg

    def numbers(x, y):
        return np.sin(x) * y + x / y, x

    def arrays(x, a):
        return (a @ np.exp(x)).sum(), np.cumsum(x)

    one = tg.compile(numbers, 1.0, 2.0)
    two = tg.compile(arrays, np.ones(40), np.ones((40, 40)))
    x, a = np.linspace(0.0, 1.0, 40), np.ones((40, 40))
    for number in range(200):
        one(1.0, 2.0), one.jacobian(1, True), one(np.float64(3.0), 2)
        two(x, a), two.jacobian(x, a), two(x[::-1], a.T), two(list(x), a)
        one.ufunc()(x, x[:, None])
        for wrong in (("a", 1.0), (1.0,), (1.0, 2.0, 3.0), (None, None)):
            for each in (one, two):
                try:
                    each(*wrong)
                except tg.TapegradError:
                    pass
    del one, two
    gc.collect()
    print("good")
"""


def test_calls_under_watch():
    assert run(CALLS, **WATCHED) == "good\n"


@pytest.mark.deep
def test_all_native_tests_under_watch(root):
    """All of them but these, which would start themselves."""
    here = root / "tests" / "native"
    arguments = ["-q", "-p", "no:cacheprovider", f"--ignore={here / 'test_stress.py'}"]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, str(here)],
        env={**os.environ, **WATCHED},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-5000:]
