"""Eager Values: micrograd's habits, on a tape of segments."""

import asyncio
import contextvars
import copy
import gc
import math
import pickle
import threading

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Value, bulk
from tapegrad.ambient import Segment
from tapegrad.native.machine.choice import forced


def readme_expression(a, b):
    """micrograd's README."""
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).relu()
    d += 3 * d + (b - a).relu()
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    return g


@pytest.fixture(params=["floats", "bulk", "machine"])
def sweep(request, monkeypatch):
    """Each way of sweeping a segment."""
    if request.param != "floats":
        monkeypatch.setattr(bulk, "FEW", 0)
    with forced(request.param == "machine"):
        yield request.param


@pytest.mark.usefixtures("sweep")
def test_micrograd_readme():
    a, b = Value(-4.0), Value(2.0)
    g = readme_expression(a, b)
    g.backward()
    assert round(g.data, 4) == 24.7041
    assert round(a.grad, 4) == 138.8338
    assert round(b.grad, 4) == 645.5773


@pytest.mark.usefixtures("sweep")
def test_where_is_swept_alike_everywhere():
    x = Value(0.0)
    y = tg.where(x > 0, x.log(), x * 3) + tg.where(x <= 0, x.exp(), x.log())
    y.backward()
    assert x.grad == 4.0


def test_exponents_keep_the_way_they_were_written():
    x = Value(3.0)
    assert (x**2)._op == "**2"
    assert (x**2.0)._op == "**2.0"
    assert (x**-1)._op == "**-1"


@pytest.mark.parametrize(
    ("made", "sign"),
    [
        (lambda a, b: a + b, "+"),
        (lambda a, b: a - b, "-"),
        (lambda a, b: a * b, "*"),
        (lambda a, b: a / b, "/"),
        (lambda a, b: -a, "neg"),
        (lambda a, b: a.exp(), "exp"),
        (lambda a, b: a.tanh(), "tanh"),
        (lambda a, b: a.relu(), "ReLU"),
        (lambda a, b: abs(a), "abs"),
        (lambda a, b: a**b, "**"),
    ],
)
def test_operation_names(made, sign):
    a, b = Value(2.0), Value(3.0)
    result = made(a, b)
    assert result._op == sign
    assert a in result._prev
    assert result._prev <= {a, b}


def test_prev_gives_back_the_very_objects():
    a, b = Value(2.0), Value(3.0)
    c = a * b
    assert {id(v) for v in c._prev} == {id(a), id(b)}
    d = a * 2.0
    constant = next(v for v in d._prev if v is not a)
    assert constant.data == 2.0
    assert constant in d._prev
    assert a in (0.0 - a)._prev
    assert (0.0 - a).data == -2.0
    assert math.copysign(1.0, (a * -0.0).data) == -1.0
    assert Value(1.0)._prev == set()
    assert Value(1.0)._op == ""


def test_operands_that_nobody_holds_are_made_anew():
    a, b = Value(2.0, label="a"), Value(0.0)
    c = (a * 3.0) * b - a * 3.0
    c.backward()
    left, right = c._operands
    assert (left._op, left.data, right.data) == ("*", 0.0, 6.0)
    assert right.grad == -1.0
    product, factor = left._operands
    assert factor is b
    assert product._operands[0] is a
    assert product._operands[1].data == 3.0
    assert left is c._operands[0]  # as long as it is held, it is the same
    held = a * b
    held.label = "held"
    top = held + 1.0
    assert next(v for v in top._prev if v.label) is held
    del held
    assert {v.label for v in top._prev} == {"held", ""}


def test_a_leaf_used_by_two_threads_at_once():
    shared = Value(1.5)
    slopes = []

    def work():
        for _ in range(40):
            y = shared * shared + shared * shared
            found = tg.Value(0.0) + y
            slopes.append(found.tape.gradient(*found.tape.example)[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(slopes) == {6.0}


@pytest.mark.usefixtures("sweep")
def test_second_backward_doubles_exactly_intermediates_included():
    a = Value(2.0)
    b = a * 3.0
    c = b * b
    c.backward()
    assert (a.grad, b.grad, c.grad) == (36.0, 12.0, 1.0)
    c.backward()
    assert (a.grad, b.grad, c.grad) == (72.0, 24.0, 2.0)


@pytest.mark.usefixtures("sweep")
def test_reuse_after_backward_reaches_older_segments():
    a = Value(2.0)
    b = a * a
    b.backward()
    assert a.grad == 4.0
    c = b * a
    c.backward()
    assert a.grad == 4.0 + 12.0
    assert b.grad == 1.0 + 2.0


def test_shared_older_value_is_imported_once_and_summed():
    a = Value(3.0)
    b = a * 2
    b.backward()
    a.grad = 0.0
    c = b * b + b
    c.backward()
    assert a.grad == 2 * (2 * 6.0 + 1)


def test_seed():
    a = Value(2.0)
    (a * a).backward(seed=10.0)
    assert a.grad == 40.0


def test_backward_of_a_leaf():
    a = Value(2.0)
    a.backward()
    assert a.grad == 1.0


def test_step_by_step_backward():
    x, w = Value(2.0), Value(-3.0)
    n = x * w
    o = n.tanh()
    o.grad = 1.0
    o._backward()
    n._backward()
    by_hand = (x.grad, w.grad, n.grad)
    x.grad = w.grad = n.grad = o.grad = 0.0
    o.backward()
    assert (x.grad, w.grad, n.grad) == by_hand
    Value(1.0)._backward()  # a leaf passes nothing on


def test_assigning_data_is_a_new_version():
    w = Value(1.0)
    y = w * w
    w.data = 5.0
    y.backward()
    assert w.grad == 2.0  # the step keeps the number it was recorded with
    w.grad = 0.0
    z = w * w
    z.backward()
    assert w.grad == 10.0
    w.data += 1
    assert w.data == 6.0


def test_assigning_data_of_an_intermediate_makes_a_leaf():
    a = Value(2.0)
    b = a * 3
    b.data = 10.0
    (b * b).backward()
    assert b.grad == 20.0
    assert a.grad == 0.0


def test_scalars_follow_ieee():
    zero = Value(0.0)
    assert (1 / zero).data == math.inf
    assert (-1 / zero).data == -math.inf
    assert math.isnan((zero / zero).data)
    assert Value(1000.0).exp().data == math.inf
    assert math.isnan((Value(-8.0) ** 0.5).data)
    assert (zero**-1).data == math.inf
    assert (Value(1e300) ** 2).data == math.inf
    assert (Value(1e300) * Value(1e300)).data == math.inf
    assert (Value(10.0) ** Value(400.0)).data == math.inf
    assert math.isnan(Value(math.inf).sin().data)


def test_comparisons_are_bools_by_value_and_hash_is_by_identity():
    a, b = Value(2.0), Value(2.0)
    assert a == b
    assert (a < 3) is True
    assert (a < 3) is True
    assert (a != 2.0) is False
    assert len({a, b}) == 2
    assert a != "2"


def test_conversions():
    a = Value(2.5)
    assert float(a) == 2.5
    assert int(a) == 2
    assert bool(Value(0.0)) is False
    assert repr(a) == "Value(data=2.5)"
    assert f"{a:.3f}" == "2.500"
    assert f"{a}" == "Value(data=2.5)"
    assert type(Value(np.float32(2)).data) is float
    assert (a.shape, a.ndim, a.size, a.dtype) == ((), 0, 1, np.dtype("f8"))
    assert a.T is a


def test_numpy_records_and_object_arrays_work():
    a, b = Value(2.0), Value(3.0)
    assert np.tanh(a)._op == "tanh"
    assert isinstance(np.float64(2.0) * a, Value)
    assert isinstance(np.add(1.0, a), Value)
    total = np.array([a, b]).sum()
    total.backward()
    assert (a.grad, b.grad) == (1.0, 1.0)
    row = a * np.array([1.0, 2.0])  # an array of floats makes an array of floats
    assert isinstance(row, Value)
    assert row.shape == (2,)
    assert row[1].data == 4.0
    row = a * np.array([b, 2.0], dtype=object)  # one of objects stays one
    assert row.dtype == object
    assert row[1].data == 4.0
    assert np.exp(np.array([a, b]))[1]._op == "exp"
    boxed = np.asarray(a)
    assert boxed.dtype == object
    assert boxed.shape == ()
    assert boxed[()] is a


def test_means_of_object_arrays_keep_the_derivative():
    a, b = Value(1.0), Value(2.0)
    for mean in (np.mean, np.average, lambda x: x.mean()):
        loss = mean(np.array([a, b]))
        a.grad = b.grad = 0.0
        loss.backward()
        assert (loss.data, a.grad, b.grad) == (1.5, 0.5, 0.5)


def test_numpy_scalars_on_either_side():
    v = Value(4.0)
    assert (np.float64(2) < v) is True
    assert (v < np.array(2.0)) is False
    assert (np.float64(4) == v) is True
    assert (v ** np.array(2.0)).data == 16.0
    assert (np.array(2.0) ** v).data == 16.0
    assert (np.float64(2) - v).data == -2.0


def test_an_intermediate_given_other_data_passes_on_what_was_used_before():
    x = Value(3.0)
    y = x * x
    y.backward()
    x.grad = 0.0
    z = y * 3
    y.data = 5.0
    z.backward()
    assert x.grad == 18.0
    assert y.grad == 0.0


def test_unknown_ufunc_is_named():
    with pytest.raises(tg.RecordError, match=r"np\.spacing cannot be recorded"):
        np.spacing(Value(0.5))
    with pytest.raises(tg.RecordError, match=r"np\.subtract\.reduce .*np\.add\."):
        np.subtract.reduce(Value([0.5, 1.0]))


@pytest.mark.parametrize("junk", ["2", None, 1j, {}, object()])
def test_bad_data_is_a_typed_error(junk):
    with pytest.raises(tg.RecordError, match="real number|complex"):
        Value(junk)
    with pytest.raises((tg.RecordError, TypeError)):
        Value(1.0) * junk
    a = Value(1.0)
    with pytest.raises(tg.RecordError):
        a.data = junk


def test_a_value_of_a_value_is_refused():
    with pytest.raises(tg.RecordError, match="already"):
        Value(Value(1.0))


def test_nan_and_inf_are_numbers():
    x = Value(math.nan)
    y = x * 2
    y.backward()
    assert math.isnan(y.data)
    assert x.grad == 2.0


def test_detach_and_no_record():
    a = Value(2.0, label="a")
    d = a.detach()
    assert (d.data, d.label, d._prev) == (2.0, "a", set())
    with tg.no_record():
        b = a * a
        assert b._prev == set()
    (b * a).backward()
    assert a.grad == 4.0


def test_copies_are_leaves():
    a = Value(2.0, label="a") * 3
    for made in (copy.copy(a), copy.deepcopy(a), pickle.loads(pickle.dumps(a))):
        assert made.data == 6.0
        assert made._prev == set()


def test_the_tape_of_a_value():
    b, a = Value(3.0, label="b"), Value(2.0, label="a")
    c = a * b
    c.label = "c"
    tape = (c + a * 2).tape
    tape.check()
    assert tape.input_labels() == ("b", "a")
    assert tape(3.0, 2.0) == 10.0
    assert tape(3.0, 2.0, replace={"c": 0.0}) == 4.0
    assert tape.gradient(3.0, 2.0) == (2.0, 5.0)


@pytest.mark.usefixtures("sweep")
def test_long_chain_without_recursion():
    x = Value(1.0)
    y = x
    for _ in range(30_000):
        y = y + x
    y.backward()
    assert x.grad == 30_001.0
    del y
    gc.collect()


def test_a_chain_over_several_segments():
    x = Value(0.5)
    y = x
    for _ in range(70_000):
        y = y * x + x
    assert any(not v._is_leaf for v in y._rec.imports.values())
    y.backward()
    assert x.grad == pytest.approx(4.0)


def test_a_training_loop_keeps_no_segments():
    w = Value(1.0)
    gc.collect()
    before = sum(isinstance(o, Segment) for o in gc.get_objects())
    for _ in range(2_000):
        loss = (w * 3 - 1) ** 2
        w.grad = 0.0
        loss.backward()
        w.data -= 0.01 * w.grad
    assert w.data == pytest.approx(1 / 3)
    del loss
    gc.collect()
    assert sum(isinstance(o, Segment) for o in gc.get_objects()) <= before + 1


def test_segments_without_backward_are_freed_without_the_collector():
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(o, Segment) for o in gc.get_objects())
        for _ in range(5):
            y = Value(1.0) * 2
            y.backward()
        assert sum(isinstance(o, Segment) for o in gc.get_objects()) <= before + 1
    finally:
        gc.enable()


def test_threads_do_not_mix():
    results = {}

    def work(k):
        a = Value(float(k))
        y = a
        for _ in range(500):
            y = y + a * a
        y.backward()
        results[k] = (a.grad, id(y._rec))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {k: g for k, (g, _) in results.items()} == {
        k: 1.0 + 500 * 2 * k for k in range(8)
    }


def test_threads_that_copy_a_context_do_not_mix():
    base = Value(2.0)
    _ = base * base  # a segment is open, and the copies of the context have it
    results = []

    def work():
        total = Value(0.0)
        for k in range(400):
            total = total + tg.where(base > 0, base * float(k % 3), base)
        total.backward()
        results.append(total.data)

    contexts = [contextvars.copy_context() for _ in range(6)]
    threads = [threading.Thread(target=c.run, args=(work,)) for c in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    slope = sum(k % 3 for k in range(400))
    assert results == [2.0 * slope] * 6
    assert base.grad == 6.0 * slope


def test_tasks_do_not_disturb_each_other():
    async def work(k):
        a = Value(float(k))
        y = a
        for _ in range(20):
            y = y * 1.0 + a
            await asyncio.sleep(0)
        y.backward()
        return a.grad

    async def main():
        return await asyncio.gather(*(work(k) for k in range(5)))

    assert asyncio.run(main()) == [21.0] * 5


def test_a_value_shared_by_threads_is_imported_by_each():
    shared = Value(2.0)
    squares = []

    def work():
        squares.append(shared * shared)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for y in squares:
        y.backward()
    assert shared.grad == 16.0


def test_stop_gradient_and_maximum():
    x = Value(3.0)
    (x * tg.stop_gradient(x)).backward()
    assert x.grad == 3.0
    assert tg.stop_gradient(2.0) == 2.0
    y = Value(2.0)
    np.maximum(y, 2.0).backward()
    assert y.grad == 0.5


def test_in_place_forms():
    a = Value(2.0)
    b = a
    b += 1
    b *= a
    b -= 0.5
    b /= 2
    b **= 2
    b.backward()
    assert b.data == pytest.approx(((3 * 2 - 0.5) / 2) ** 2)
    assert a.grad == pytest.approx(2 * 2.75 * (2 * 2 + 1) / 2)
    assert (2.0 - a).data == 0.0
    assert (2.0**a).data == 4.0
    assert (+a) is a
