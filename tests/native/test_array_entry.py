"""The builtin around a kernel on arrays: what it takes, gives, refuses and frees."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import numpy as np
import pytest

from tapegrad.native import thunk
from tapegrad.native.arrayentry import LONG, Arena, ArrayKernel, array_builtin
from tapegrad.native.engine import Engine
from tapegrad.native.options import DEFAULT
from tapegrad.native.report import Part

PART = Part(0, 0, 1, 0, 0.0)
F8, F4, I8, TRUTH = "float64", "float32", "int64", "bool"

# y = a x (float64, shape (2,)), n + 1 (int64), the third: 2 s; status from n < 0
MIXED = """
define i32 @kernel(ptr %inputs, ptr %outputs, ptr %arena) {
  %in1 = getelementptr ptr, ptr %inputs, i64 1
  %in2 = getelementptr ptr, ptr %inputs, i64 2
  %ap = load ptr, ptr %inputs
  %xp = load ptr, ptr %in1
  %np = load ptr, ptr %in2
  %a = load double, ptr %ap
  %x = load <2 x double>, ptr %xp, align 8
  %n = load i64, ptr %np
  %out1 = getelementptr ptr, ptr %outputs, i64 1
  %out2 = getelementptr ptr, ptr %outputs, i64 2
  %s = load ptr, ptr %outputs
  %yp = load ptr, ptr %out1
  %mp = load ptr, ptr %out2
  %aa = fmul double %a, 2.0
  store double %aa, ptr %s
  %a0 = insertelement <2 x double> poison, double %a, i64 0
  %a1 = insertelement <2 x double> %a0, double %a, i64 1
  %y = fmul <2 x double> %a1, %x
  store <2 x double> %y, ptr %arena, align 64
  %z = load <2 x double>, ptr %arena, align 64
  store <2 x double> %z, ptr %yp, align 8
  %m = add i64 %n, 1
  store i64 %m, ptr %mp
  %bad = icmp slt i64 %n, 0
  %status = select i1 %bad, i32 3, i32 0
  ret i32 %status
}
"""
INPUTS = (((), F8), ((2,), F8), ((1, 1), I8))
OUTPUTS = (((), F8), ((2,), F8), ((1, 1), I8))

COPY = """
define i32 @kernel(ptr %inputs, ptr %outputs, ptr %arena) {{
entry:
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp slt i64 %i, {count}
  br i1 %more, label %body, label %done
body:
  %from_at = getelementptr ptr, ptr %inputs, i64 %i
  %from = load ptr, ptr %from_at
  %to_at = getelementptr ptr, ptr %outputs, i64 %i
  %to = load ptr, ptr %to_at
  %value = load i{bits}, ptr %from
  store i{bits} %value, ptr %to
  %next = add i64 %i, 1
  br label %head
done:
  ret i32 0
}}
"""


def kernel_of(text, inputs, outputs, arena=0, entries=0):
    engine = Engine(text, (), codegen=1, passes=1)
    return ArrayKernel(engine, inputs, outputs, Arena(arena), PART, DEFAULT, entries)


def refused(*args, **kwargs):
    return ("refused", args, kwargs)


@pytest.fixture(params=[0, LONG], ids=["short", "unlocked"])
def mixed(request):
    return kernel_of(MIXED, INPUTS, OUTPUTS, arena=16, entries=request.param)


def same(found, expected):
    """Equal values, types, dtypes and shapes, all the way down."""
    assert type(found) is type(expected)
    if isinstance(expected, tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        return
    if isinstance(expected, np.ndarray | np.generic):
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)


X = np.array([3.0, 5.0])
N = np.array([[7]])
Y, M = 1.5 * X, np.array([[8]])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (thunk.FLAT, (3.0, Y, M)),
        (thunk.VALUE, 3.0),
        (thunk.PAIR, (3.0, (Y, M))),
        (thunk.GRADIENT, (Y, M)),
    ],
)
def test_what_is_made_of_the_outputs(mixed, kind, expected):
    call = array_builtin("call", mixed, kind, refused)
    assert call.__name__ == "call"
    for number in (1.5, np.float64(1.5)):
        same(call(number, X, N), expected)
    with pytest.raises(OverflowError):
        10.0 ** (call(1.5, X, N) and 1000)  # no error is left behind


def test_one_gradient_stands_bare():
    two = kernel_of(COPY.format(count=2, bits=64), INPUTS[:2], OUTPUTS[:2])
    x = np.array([4.0, 0.0])
    for kind, expected in ((thunk.PAIR, 2.0), (thunk.GRADIENT, None)):
        found = array_builtin("call", two, kind, refused, bare=True)(2.0, x)
        slope = found if expected is None else found[1]
        assert slope.shape == (2,)
        assert slope[0] == 4.0
        if expected is not None:
            assert found[0] == expected


def test_what_is_refused_goes_to_the_fallback_as_it_came(mixed):
    call = array_builtin("call", mixed, thunk.FLAT, refused)

    class Sub(np.ndarray):
        pass

    wrong = [
        (),
        (1.5, X),
        (1.5, X, N, N),
        (1.5, [3.0, 5.0], N),
        (1.5, X[:1], N),
        (1.5, X.reshape(1, 2), N),
        (1.5, X.reshape(2, 1), N),
        (1.5, np.array(3.0), N),
        (1.5, np.zeros((2, 0)), N),
        (1.5, X.astype(F4), N),
        (1.5, X.astype(">f8"), N),
        (1.5, X.astype(complex), N),
        (1.5, X.astype(object), N),
        (1.5, np.arange(2), N),
        (1.5, np.arange(4.0)[::2], N),
        (1.5, np.arange(4.0)[::-2], N),
        (1.5, np.frombuffer(b"x" * 17, "f8", 2, 1), N),
        (1.5, X.view(Sub), N),
        (1.5, X, N.astype(np.int32)),
        (1.5, X, N.astype(np.uint64)),
        (1.5, X, N.astype(float)),
        (1.5, X, 7),
        (X, X, N),
        ("1.5", X, N),
        (None, X, N),
        (10**400, X, N),
        (1.5, X, -N),  # the kernel's status is not 0
    ]
    for args in wrong:
        found = call(*args)
        assert found[0] == "refused"
        assert len(found[1]) == len(args)
        assert all(a is b for a, b in zip(found[1], args, strict=True))
    assert call(1.5, X, n=N) == ("refused", (1.5, X), {"n": N})
    same(call(2, X, N), (4.0, 2 * X, M))


def test_what_the_fallback_raises_comes_through(mixed):
    def complain(*args):
        raise LookupError(len(args))

    call = array_builtin("call", mixed, thunk.FLAT, complain)
    with pytest.raises(LookupError, match="3"):
        call(1.5, X, -N)


def test_read_only_fortran_vectors_and_equal_dtypes_are_taken(mixed):
    call = array_builtin("call", mixed, thunk.VALUE, refused)
    x = X.copy()
    x.flags.writeable = False
    assert call(1.5, x, N) == 3.0
    assert call(1.5, X, np.asfortranarray(N)) == 3.0
    named = X.astype(np.dtype(F8, metadata={"unit": "m"}))
    assert call(1.5, named, N) == 3.0


@pytest.mark.parametrize(
    ("name", "bits", "value", "kind"),
    [
        (F8, 64, 2.5, float),
        (F4, 32, np.float32(2.5), np.float32),
        (I8, 64, np.int64(7), np.int64),
        (TRUTH, 8, True, bool),
        (TRUTH, 8, False, bool),
    ],
)
def test_scalars_out(name, bits, value, kind):
    one = kernel_of(COPY.format(count=1, bits=bits), (((1,), name),), (((), name),))
    found = array_builtin("call", one, thunk.VALUE, refused)(np.array([value], name))
    assert type(found) is kind
    assert found == value


@pytest.mark.parametrize("name", [F8, F4, I8, TRUTH])
def test_arrays_of_every_dtype_and_many_dimensions(name):
    bits = 8 * np.dtype(name).itemsize
    shape = (1,) * 9
    one = kernel_of(COPY.format(count=1, bits=bits), ((shape, name),), ((shape, name),))
    call = array_builtin("call", one, thunk.FLAT, refused)
    same(call(np.ones(shape, name)), (np.ones(shape, name),))
    zero = kernel_of(COPY.format(count=0, bits=8), (((), name),), (((0, 3), name),))
    call = array_builtin("call", zero, thunk.VALUE, refused)
    given = 1.0 if name == F8 else np.ones((), name)
    same(call(given), np.zeros((0, 3), name))


@pytest.mark.parametrize("count", [18, 19, 20, 200])
def test_more_arguments_than_stand_on_the_stack(count):
    avals = tuple(((), F8) if k % 2 else ((1,), F8) for k in range(count))
    many = kernel_of(COPY.format(count=count, bits=64), avals, avals)
    call = array_builtin("call", many, thunk.FLAT, refused)
    args = tuple(float(k) if k % 2 else np.array([float(k)]) for k in range(count))
    same(call(*args), args)
    bad = (*args[:-1], "no")
    assert call(*bad)[0] == "refused"


def test_nothing_leaks(mixed):
    calls = [
        array_builtin("call", mixed, kind, lambda *args: None)
        for kind in (thunk.FLAT, thunk.VALUE, thunk.PAIR, thunk.GRADIENT)
    ]
    x, n = np.array([3.0, 5.0]), np.array([[7]])
    descr, singles = sys.getrefcount(x.dtype), [sys.getrefcount(a) for a in (x, n)]
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(2000):
        for call in calls:
            call(1.5, x, n)
            call(1.5, x, -n)
            call(1.5, x[:1], n)
    gc.collect()
    assert sys.getallocatedblocks() - before < 500
    assert sys.getrefcount(x.dtype) - descr < 5
    assert [sys.getrefcount(a) for a in (x, n)] == singles


def test_outputs_are_new_writeable_arrays(mixed):
    call = array_builtin("call", mixed, thunk.FLAT, refused)
    _, one, _ = call(1.5, X, N)
    _, two, _ = call(1.5, X, N)
    one[0] = 0.0
    same(two, Y)
    assert one.flags.owndata
    assert one.flags.c_contiguous
    assert sys.getrefcount(one) == sys.getrefcount(two) == 2


def test_the_arena_is_kept_and_freed_with_the_kernel():
    kernel = kernel_of(MIXED, INPUTS, OUTPUTS, arena=16)
    call = array_builtin("call", kernel, thunk.FLAT, refused)
    assert not kernel.arena.cell.value
    call(1.5, X, N)
    kept = kernel.arena.cell.value
    assert kept
    call(1.5, X, N)
    call(1.5, X, -N)
    assert kernel.arena.cell.value == kept
    freed = []
    kernel.arena._free = freed.append  # the arena's own way to free it
    engine = weakref.ref(kernel.engine)
    del kernel
    call(1.5, X, N)
    assert not freed
    del call
    gc.collect()
    assert freed == [kept]
    assert engine() is None


def test_threads_have_arenas_of_their_own():
    kernel = kernel_of(MIXED, INPUTS, OUTPUTS, arena=16, entries=LONG)
    call = array_builtin("call", kernel, thunk.FLAT, refused)
    wrong = []

    def work(factor):
        for _ in range(3000):
            found = call(factor, X, N)
            if found[0] != 2 * factor or (found[1] != factor * X).any():
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(float(k),)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
