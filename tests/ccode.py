"""How tapes that were written as C are compiled and called in these tests."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np

from tapegrad import sweeps
from tapegrad.native.c.signature import inputs_of, outputs_of, size, slopes_of

COMPILER = shutil.which("gcc")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
# -fno-builtin: gcc makes a product of pow(x, 2), which rounds in another way
EXACT = ("-O2", "-ffp-contract=off", "-fno-builtin")

SCALARS = {
    "float64": ctypes.c_double,
    "float32": ctypes.c_float,
    "int64": ctypes.c_int64,
    "bool": ctypes.c_ubyte,
}


def run(*words):
    """A command that must succeed without a word."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    return done.stdout


class Library:
    """Files of C as one shared library.

    Args:
        texts: the files.
        where: a folder.
        flags: of the compiler.
    """

    def __init__(self, texts, where, flags=(*STRICT, *EXACT)):
        source, made = where / "all.c", where / "all.so"
        source.write_text("\n".join(texts), encoding="ascii")
        run(COMPILER, *flags, "-shared", "-fPIC", "-o", made, source, "-lm")
        self.handle = ctypes.CDLL(str(made))

    def message(self, name, status):
        """The words for a status."""
        function = getattr(self.handle, f"{name}_message")
        function.restype = ctypes.c_char_p
        return function(status).decode()

    def call(self, name, tape, inputs, part="value"):
        """Status and outputs, as lists of arrays.

        Args:
            name: what `to_c` was told.
            tape: that was written.
            inputs: its inputs.
            part: "value", "gradient" or "jacobian".
        """
        base = sweeps.flat(tape)
        given, gives = inputs_of(tape), [outputs_of(tape)]
        title = name
        if part != "value":
            gives.append(slopes_of(base, given, single=part == "gradient"))
            title = f"{name}_value_and_{part}"
        buffers = {}
        for leaf, value in zip(given.leaves, inputs, strict=True):
            held = np.ascontiguousarray(value, leaf.aval[1])
            held = held.reshape(leaf.aval[0])
            buffers.setdefault(leaf.name, []).append(held)
        arguments, kept = [], []
        for parameter in given.parameters:
            parts = buffers[parameter.name]
            if "*" not in parameter.kind:
                arguments.append(SCALARS[parts[0].dtype.name](parts[0].item()))
                continue
            kept.append(np.concatenate([x.ravel() for x in parts]))
            arguments.append(ctypes.c_void_p(kept[-1].ctypes.data))
        results = {}
        leaves = [leaf for side in gives for leaf in side.leaves]
        for parameter in [x for side in gives for x in side.parameters]:
            mine = [leaf for leaf in leaves if leaf.name == parameter.name]
            dtype = mine[0].aval[1].replace("bool", "uint8")
            # rubbish, and a mark behind it that must stay
            results[parameter.name] = np.full(
                sum(size(leaf.aval) for leaf in mine) + 1, 77, dtype
            )
            arguments.append(ctypes.c_void_p(results[parameter.name].ctypes.data))
        status = getattr(self.handle, title)(*arguments)
        assert all(array[-1] == 77 for array in results.values())
        found = []
        for leaf in leaves:
            part_of = results[leaf.name][leaf.at : leaf.at + size(leaf.aval)]
            found.append(part_of.astype(leaf.aval[1]).reshape(leaf.aval[0]))
        return status, found
