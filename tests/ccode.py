"""How tapes that were written as C are compiled and called in the tests."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess

import numpy as np

from tapegrad import sweeps
from tapegrad.native.c.signature import inputs_of, outputs_of, size, slopes_of

COMPILER = shutil.which("gcc")
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
# -fno-builtin: gcc makes a product of pow(x, 2), which rounds in another way
EXACT = ("-ffp-contract=off", "-fno-builtin")

SCALARS = {
    "float64": ctypes.c_double,
    "float32": ctypes.c_float,
    "int64": ctypes.c_int64,
    "bool": ctypes.c_ubyte,
}


def run(*words):
    """A command that must succeed without a word; what it prints."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    return done.stdout


@functools.cache
def compiles(compiler, *flags):
    """Whether there is a compiler that makes programs with some flags."""
    if shutil.which(compiler) is None:
        return False
    words = (compiler, *flags, "-x", "c", "-", "-o", "/dev/null")
    text = "int main(void) { return 0; }\n"
    done = subprocess.run(
        words, input=text, text=True, capture_output=True, check=False
    )
    return done.returncode == 0


class Library:
    """Files of C as one shared library.

    Args:
        texts: the files.
        where: a folder.
        standard, optimise: flags of the compiler.
    """

    made = 0

    def __init__(self, texts, where, standard="-std=c99", optimise="-O2"):
        Library.made += 1
        source, made = where / "all.c", where / f"all{Library.made}.so"
        source.write_text("\n".join(texts), encoding="ascii")
        flags = (standard, optimise, *STRICT, *EXACT)
        run(COMPILER, *flags, "-shared", "-fPIC", "-o", made, source, "-lm")
        self.handle = ctypes.CDLL(str(made))

    def message(self, name, status):
        """The words for a status."""
        function = getattr(self.handle, f"{name}_message")
        function.restype = ctypes.c_char_p
        return function(status).decode()

    def call(self, name, tape, inputs, part="value"):
        """Status and outputs.

        Args:
            name: what `to_c` was told.
            tape: that was written.
            inputs: its inputs.
            part: "value", "gradient" or "jacobian".
        """
        call = Call(tape, inputs, part)
        title = name if part == "value" else f"{name}_value_and_{part}"
        arguments = [
            SCALARS[given.dtype.name](given.item())
            if number
            else ctypes.c_void_p(given.ctypes.data)
            for _, given, number in call.given
        ]
        results = {}
        for parameter, count, dtype in call.results:
            # rubbish, and a mark behind it that must stay
            results[parameter.name] = np.full(count + 1, 77, dtype)
            arguments.append(ctypes.c_void_p(results[parameter.name].ctypes.data))
        status = getattr(self.handle, title)(*arguments)
        assert all(array[-1] == 77 for array in results.values())
        found = []
        for leaf in call.leaves:
            mine = results[leaf.name][leaf.at : leaf.at + size(leaf.aval)]
            found.append(mine.astype(leaf.aval[1]).reshape(leaf.aval[0]))
        return status, found


class Call:
    """The arguments of one call.

    Attributes:
        given: parameter, entries, and whether it is passed as a number.
        results: parameter, number of entries, and dtype.
        leaves: of the results, in order.
    """

    def __init__(self, tape, inputs, part):
        base = sweeps.flat(tape)
        sides = [outputs_of(tape)]
        takes = inputs_of(tape)
        if part != "value":
            sides.append(slopes_of(base, takes, single=part == "gradient"))
        held = {}
        for leaf, value in zip(takes.leaves, inputs, strict=True):
            entries = np.ascontiguousarray(value, leaf.aval[1]).ravel()
            held.setdefault(leaf.name, []).append(entries)
        self.given = [
            (parameter, np.concatenate(held[parameter.name]), "*" not in parameter.kind)
            for parameter in takes.parameters
        ]
        self.leaves = [leaf for side in sides for leaf in side.leaves]
        self.results = []
        for parameter in [x for side in sides for x in side.parameters]:
            mine = [leaf for leaf in self.leaves if leaf.name == parameter.name]
            count = sum(size(leaf.aval) for leaf in mine)
            dtype = mine[0].aval[1].replace("bool", "uint8")
            self.results.append((parameter, count, dtype))


def linked(text, name, tape, inputs, where, flags, part="gradient"):
    """The numbers that a program prints which calls a function."""
    call = Call(tape, inputs, part)
    title = name if part == "value" else f"{name}_value_and_{part}"
    lines, arguments = [], []
    for place, (parameter, given, number) in enumerate(call.given):
        kind = parameter.kind.removeprefix("const ").removesuffix(" *")
        entries = [x.hex() if isinstance(x, float) else repr(int(x))
                   for x in given.tolist()]  # fmt: skip
        words = ", ".join(entries) or "0"
        words = words.replace("nan", "NAN").replace("inf", "INFINITY")
        lines.append(f"static const {kind} given{place}[] = {{{words}}};")
        arguments.append(f"given{place}[0]" if number else f"given{place}")
    prints = []
    for place, (parameter, count, _) in enumerate(call.results):
        kind = parameter.kind.removesuffix(" *")
        # from the heap: what is written behind the end is seen
        lines.append(f"static {kind} *found{place};")
        arguments.append(f"found{place}")
        prints.append((place, kind, count))
    room = [f"found{i} = malloc({max(n, 1)} * sizeof({k}));" for i, k, n in prints]
    shown = [
        f'for (i = 0; i < {count}; i++) printf("%.17g\\n", (double)found{place}[i]);'
        for place, _, count in prints
    ]
    freed = [f"free(found{place});" for place, _, _ in prints]
    main = ["int main(void) {", "long i; int status;", *room]
    main += [f"status = {title}({', '.join(arguments)});", "if (status) return 9;"]
    main += [*shown, *freed, "return 0; }"]
    source, made = where / f"{name}.c", where / name
    heads = "#include <stdio.h>\n#include <stdlib.h>\n"
    source.write_text("\n".join([heads, text, *lines, *main]), encoding="ascii")
    run(COMPILER, "-std=c99", "-O1", *EXACT, *flags, "-o", made, source, "-lm")
    return np.array([float(line) for line in run(made).split()])
