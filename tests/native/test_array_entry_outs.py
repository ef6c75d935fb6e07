"""``out=`` at the builtin around a kernel on arrays, without Python in between."""

from __future__ import annotations

import gc
import sys
import threading

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.native import thunk
from tapegrad.native.arrayentry import LONG, Arena, ArrayKernel, array_builtin
from tapegrad.native.engine import Engine
from tapegrad.native.options import DEFAULT
from tapegrad.native.report import Part

PART = Part(0, 0, 1, 0, 0.0)
F8 = "float64"
NUMBER, PAIR, THREE = ((), F8), ((2,), F8), ((3,), F8)
X = np.array([3.0, 5.0])
Y = np.array([1.0, 2.0, 4.0])

# copies each input to the output of its place
COPY = """
define i32 @kernel(ptr %inputs, ptr %outputs, ptr %arena) {{
{moves}
  ret i32 0
}}
"""
MOVE = """
  %i{k}p{e} = getelementptr ptr, ptr %inputs, i64 {k}
  %i{k}q{e} = load ptr, ptr %i{k}p{e}
  %i{k}r{e} = getelementptr double, ptr %i{k}q{e}, i64 {e}
  %i{k}v{e} = load double, ptr %i{k}r{e}
  %o{k}p{e} = getelementptr ptr, ptr %outputs, i64 {k}
  %o{k}q{e} = load ptr, ptr %o{k}p{e}
  %o{k}r{e} = getelementptr double, ptr %o{k}q{e}, i64 {e}
  store double %i{k}v{e}, ptr %o{k}r{e}
"""


def refused(*args, **kwargs):
    return ("refused", args, kwargs)


def kernel(*avals):
    moves = [
        MOVE.format(k=k, e=e)
        for k, (shape, _) in enumerate(avals)
        for e in range(shape[0] if shape else 1)
    ]
    engine = Engine(COPY.format(moves="".join(moves)), (), codegen=1, passes=1)
    return ArrayKernel(engine, avals, avals, Arena(0), PART, DEFAULT)


def call(kind, *avals, bare=False, out=True):
    return array_builtin("call", kernel(*avals), kind, refused, bare=bare, out=out)


def test_a_value():
    one = call(thunk.VALUE, PAIR)
    out = np.zeros(2)
    assert one(X, out=out) is out
    assert out.tolist() == X.tolist()
    assert one(X, out=None).tolist() == X.tolist()
    assert one(X).tolist() == X.tolist()
    number = call(thunk.VALUE, NUMBER)
    assert number(2.0, out=None) == 2.0
    assert number(2.0, out=np.zeros(()))[0] == "refused"


def test_a_gradient():
    bare = call(thunk.GRADIENT, NUMBER, PAIR, bare=True)
    out = np.zeros(2)
    assert bare(1.0, X, out=out) is out
    assert out.tolist() == X.tolist()
    both = call(thunk.GRADIENT, NUMBER, PAIR, THREE)
    other = np.zeros(3)
    found = both(1.0, X, Y, out=(None, other))
    assert found[0].tolist() == X.tolist()
    assert found[1] is other
    assert other.tolist() == Y.tolist()
    assert both(1.0, X, Y, out=None)[1].tolist() == Y.tolist()
    for bad in [(other,), (None, None, None), [out, other], other, (other, out)]:
        assert both(1.0, X, Y, out=bad) == ("refused", (1.0, X, Y), {"out": bad})


def test_a_pair():
    bare = call(thunk.PAIR, NUMBER, PAIR, bare=True)
    out = np.zeros(2)
    value, slope = bare(1.5, X, out=(None, out))
    assert value == 1.5
    assert slope is out
    both = call(thunk.PAIR, PAIR, PAIR, NUMBER, THREE)
    first, last = np.zeros(2), np.zeros(3)
    found = both(X, X, 2.0, Y, out=(first, (None, None, last)))
    assert found[0] is first
    assert found[1][1] == 2.0
    assert found[1][2] is last
    assert first.tolist() == X.tolist()
    assert last.tolist() == Y.tolist()
    found = both(X, X, 2.0, Y, out=(first, None))
    assert found[0] is first
    assert found[1][2] is not last
    for bad in [None, first, (first,), (None, (None, None)), (None, first)]:
        assert both(X, X, 2.0, Y, out=bad)[0] == "refused"


def frozen():
    made = np.zeros(2)
    made.flags.writeable = False
    return made


class Sub(np.ndarray):
    pass


def test_what_is_not_written_at_once():
    one = call(thunk.VALUE, PAIR)
    x = X.copy()
    room = np.zeros(3)
    room[:2] = X
    for given, out in [
        (x, x),
        (room[:2], room[1:]),
        (room[1:], room[:2]),
        (X, np.zeros(4)[::2]),
        (X, np.zeros(3)),
        (X, np.zeros((2, 1))),
        (X, np.zeros(2, "f4")),
        (X, np.zeros(2, ">f8")),
        (X, np.zeros(2, complex)),
        (X, np.zeros(2).view(Sub)),
        (X, np.frombuffer(bytearray(17), "f8", 2, 1)),
        (X, frozen()),
        (X, [0.0, 0.0]),
        (X, 1.0),
    ]:
        before = np.array(out)
        found = one(given, out=out)
        assert found[0] == "refused"
        assert found[2]["out"] is out
        np.testing.assert_array_equal(out, before)
    # side by side is apart
    assert one(room[:2], out=np.zeros(2)).tolist() == room[:2].tolist()
    whole = np.zeros(4)
    whole[:2] = X
    assert one(whole[:2], out=whole[2:]).tolist() == X.tolist()
    two = call(thunk.GRADIENT, NUMBER, PAIR, PAIR)
    assert two(1.0, X, X, out=(x, x))[0] == "refused"
    assert two(1.0, X, X, out=(x, whole[1:3]))[0][0] == 3.0


def test_other_keywords_and_names_of_the_function_s_own():
    one = call(thunk.VALUE, PAIR)
    out = np.zeros(2)
    assert one(X, into=out) == ("refused", (X,), {"into": out})
    assert one(X, out=out, more=1)[0] == "refused"
    assert one(out=out)[0] == "refused"
    assert one(x=X, out=out)[0] == "refused"
    closed = call(thunk.VALUE, PAIR, out=False)
    assert closed(X, out=out)[0] == "refused"
    assert closed(X).tolist() == X.tolist()
    assert call(thunk.FLAT, PAIR)(X, out=(out,))[0] == "refused"


def test_nothing_leaks():
    both = call(thunk.PAIR, PAIR, PAIR, NUMBER, THREE)
    out = (np.zeros(2), (None, None, np.zeros(3)))
    bad = (np.zeros(2), (None, None, np.zeros(2)))
    arrays = [X, Y, out[0], out[1][2], bad[0], bad[1][2], out, out[1], bad, bad[1]]
    gc.collect()
    blocks, counts = sys.getallocatedblocks(), list(map(sys.getrefcount, arrays))
    for _ in range(5000):
        both(X, X, 2.0, Y, out=out)
        both(X, X, 2.0, Y, out=bad)
        both(X, X, "2.0", Y, out=out)
    gc.collect()
    assert list(map(sys.getrefcount, arrays)) == counts
    assert sys.getallocatedblocks() - blocks < 200


@pytest.mark.parametrize("count", [1000, LONG])
def test_indices_that_another_thread_changes(count):
    """They are checked before they are used; without the lock, in a copy."""
    x, places = np.ones(count), np.arange(count)
    native = tg.record(lambda x, i: (x[i] * x[i]).sum(), x, places).compile()
    for call_it in (native.value, native.value_and_gradient):
        call_it(x, places)
    done = threading.Event()

    def change():
        while not done.is_set():
            places[::7] = 1 << 40
            places[::7] = 5

    changer = threading.Thread(target=change)
    changer.start()
    seen = set()
    for _ in range(100):
        for call_it in (native.value, native.gradient):
            try:
                seen.add(float(np.sum(call_it(x, places))))
            except tg.TapegradError:
                seen.add(None)
    done.set()
    changer.join()
    assert seen <= {float(count), 2.0 * count, None}
    places[:] = np.arange(count)
    assert native.value(x, places) == count
