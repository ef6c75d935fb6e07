"""Native code for tapes, by LLVM. Floor 9; loads llvmlite.

A tape is lowered to text: tapes of numbers by ``lowering``, whose operations are the
table's rows read as instructions (``reading``); those that read arrays entry by entry
become tapes of numbers first (``scalars``); all others go through ``arrays``, with
functions for vectors from ``vectormath``. The text becomes machine code (``objects``,
``engine``) that is kept on disk (``cache``, ``keeping``), and is written as C by ``c``.

One native function makes builtins of all kernels on numbers (``thunk``, ``entry``),
one of those on arrays (``arraythunk``, ``arrayobjects``, ``arrayouts``,
``arrayentry``), and one loop makes ufuncs (``batchloop``, ``ufuncs``). Users hold a
`Compiled` (``compiled``, ``compiling``, ``options``, ``budget``, ``report``), whose
methods are in ``numbercalls``, ``arraycalls``, ``arrayjacobian``, ``directions`` and
``uncompiled``.

``machine`` sweeps tapes that are not compiled, and ``accumulate`` is a fixed loop for
bulk sweeps. `docs/architecture.md` says what goes where.
"""
