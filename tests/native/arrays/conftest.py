"""How kernels on arrays are run in these tests: buffers handed over by hand."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tapegrad import sweeps
from tapegrad.native.arrays import lower_arrays
from tapegrad.native.engine import Engine
from tapegrad.readings.mixed import MIXED
from tapegrad.tape.recorder import Columns
from tapegrad.tape.structure import Structure, Tree


class Kernel:
    """A flat tape as machine code, with its buffers."""

    def __init__(self, tape):
        self.tape = tape
        self.lowered = lower_arrays(tape)
        body, calls = self.lowered.body, self.lowered.calls
        self.engine = Engine(body, calls, codegen=2, passes=2)
        kind = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)
        self.function = kind(self.engine.address("kernel"))
        # an arena that is full of rubbish, and aligned
        raw = np.full(self.lowered.arena_bytes + 64, 0xA5, np.uint8)
        self.arena = raw[-raw.ctypes.data % 64 :]

    def __call__(self, *inputs):
        """Status and outputs."""
        tape = self.tape
        avals = [tape.aval_of(slot) for slot in tape.inputs]
        given = [
            np.ascontiguousarray(x, dtype).reshape(shape)
            for x, (shape, dtype) in zip(inputs, avals, strict=True)
        ]
        outputs = []
        for slot in tape.outputs:
            shape, dtype = tape.aval_of(slot)
            outputs.append(np.full(shape, True if dtype == "bool" else 77, dtype))
        ins, outs = (
            (ctypes.c_void_p * max(len(xs), 1))(*[x.ctypes.data for x in xs])
            for xs in (given, outputs)
        )
        status = self.function(ins, outs, self.arena.ctypes.data)
        return status, outputs


def interpreted(tape, *inputs):
    """The outputs of the interpreter."""
    with np.errstate(all="ignore"):
        values = sweeps.replay(tape, MIXED, inputs)
    return [values[slot] for slot in tape.outputs]


def agree(tape, *inputs, rtol=1e-9, atol=1e-11):
    """Run both tiers and compare; gives the kernel."""
    kernel = Kernel(tape)
    status, found = kernel(*inputs)
    assert status == 0
    for mine, want in zip(found, interpreted(tape, *inputs), strict=True):
        assert mine.dtype == np.asarray(want).dtype
        np.testing.assert_allclose(mine, want, rtol=rtol, atol=atol)
    return kernel


def steps_of(row, cases):
    """A tape of one step a case: (operands, parameters); all operands are inputs."""
    columns = Columns()
    slots, outputs, example = [], [], []
    for operands, params in cases:
        avals = [(x.shape, x.dtype.name) for x in operands]
        mine = [columns.input(x, a) for x, a in zip(operands, avals, strict=True)]
        if row.shape is not None:
            made = row.shape(*avals, **params)
        else:
            shape = np.broadcast_shapes(*(x.shape for x in operands))
            kind = operands[-1].dtype.name
            made = (shape, "bool" if row.kind == "predicate" else kind)
        made = made if row.slots > 1 else (made,)
        outputs += columns.append(row, mine, params, made)
        slots += mine
        example += operands
    return columns.freeze(
        inputs=tuple(slots),
        outputs=tuple(outputs),
        structure=Structure(tuple(Tree() for _ in slots)),
        example=tuple(example),
    )


@pytest.fixture(scope="session")
def kernel():
    """What compiles a tape."""
    return Kernel


@pytest.fixture(scope="session")
def both():
    """What runs both tiers and compares."""
    return agree


@pytest.fixture(scope="session")
def steps():
    """What makes a tape of single steps."""
    return steps_of
