"""``threads=``: the loop of a ufunc in several threads, with the results of one."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native.ufuncs import LANES, _loop

COUNT = 300_001


def mixed(x, y):
    return np.exp(-x * x) * y + tg.where(y > 1.0, np.log(y), y - 1.0) / (x * x + y)


def made(threads, f=mixed, *args):
    return tg.compile(f, *(args or (1.0, 2.0)), threads=threads)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(3)
    return rng.uniform(-2.0, 2.0, COUNT), rng.uniform(0.5, 3.0, COUNT)


@pytest.mark.parametrize("threads", [2, 3, 16, 1024])
def test_the_bits_are_those_of_one_thread(points, threads):
    one, many = (
        made(1).gradient_ufunc(value=True),
        made(threads).gradient_ufunc(value=True),
    )
    for expected, found in zip(one(*points), many(*points), strict=True):
        assert expected.tobytes() == found.tobytes()
    # strides, broadcasting, few lanes, and results in the place of arguments
    x, y = points
    one, many = made(1).ufunc(), made(threads).ufunc()
    for args in [
        (x[::-2], y[::2]),
        (x, 2.0),
        (x[:200_000].reshape(400, 500).T, y[:400]),
        (x[: 2 * LANES + 7], y[: 2 * LANES + 7]),
        (x[:0], y[:0]),
    ]:
        assert one(*args).tobytes() == many(*args).tobytes()
    expected = one(x, y)
    place = x.copy()
    assert many(place, y, out=place) is place
    assert place.tobytes() == expected.tobytes()
    room = np.concatenate([x, [0.0]])
    many(room[:-1], y, out=room[1:])
    assert room[1:].tobytes() == expected.tobytes()


def test_lanes_that_read_what_others_write(points):
    one, many = made(1).ufunc(), made(4).ufunc()
    assert one.accumulate(points[1]).tobytes() == many.accumulate(points[1]).tobytes()
    assert one.reduce(points[1]).tobytes() == many.reduce(points[1]).tobytes()


def test_generalised():
    def f(a, b):
        return tg.linalg.solve(a, b) @ np.tanh(b)

    rng = np.random.default_rng(4)
    matrices = rng.standard_normal((9000, 4, 4))
    matrices[4000] = 0.0  # NaN, in its own place
    vectors = rng.standard_normal((9000, 4))
    args = (np.eye(4), np.ones(4))
    one, many = made(1, f, *args).ufunc(), made(3, f, *args).ufunc()
    expected, found = one(matrices, vectors), many(matrices, vectors)
    assert expected.tobytes() == found.tobytes()
    assert np.flatnonzero(np.isnan(found)).tolist() == [4000]


def test_threads_that_call_it_at_once(points):
    many = made(3).ufunc()
    expected, wrong = many(*points).tobytes(), []

    def work():
        wrong.extend(many(*points).tobytes() != expected for _ in range(5))

    callers = [threading.Thread(target=work) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not any(wrong)
    assert len(wrong) == 30


def test_threads_that_cannot_be_started(points):
    """The others do all of the work; what was made for a lock is freed again."""
    _, engine = _loop()
    tried = []

    def refuse(*_):
        tried.append(1)
        return -1

    many = made(3).ufunc()
    expected = many(*points).tobytes()
    name = "PyThread_start_new_thread.at"
    cell = ctypes.c_void_p.from_address(engine._engine.get_global_value_address(name))
    kind = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p)
    other, before = kind(refuse), cell.value
    cell.value = ctypes.cast(other, ctypes.c_void_p).value
    try:
        found = many(*points).tobytes()
    finally:
        cell.value = before
    assert found == expected
    assert tried == [1]
    assert many(*points).tobytes() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
@pytest.mark.parametrize("threads", [1, 3])
def test_they_are_there_in_long_calls_alone(points, threads):
    def running():
        return len(list(Path("/proc/self/task").iterdir()))

    def most(call, args):
        """The most threads seen while it runs."""
        done, seen = threading.Event(), [0]

        def look():
            while not done.is_set():
                seen[0] = max(seen[0], running())

        looker = threading.Thread(target=look)
        looker.start()
        for _ in range(30):
            call(*args)
        done.set()
        looker.join()
        return seen[0]

    def settled():
        """Threads that stay; one that has done its work may take a moment to go."""
        found = []
        for _ in range(20):
            time.sleep(0.002)
            found.append(running())
        return min(found)

    call = made(threads).ufunc()
    before = settled() + 1  # who looks is one more
    assert most(call, tuple(x[:LANES] for x in points)) <= before
    long = tuple(np.concatenate([x] * 3) for x in points)
    found = most(call, long)
    assert found <= before if threads == 1 else found > before
