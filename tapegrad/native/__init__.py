"""Native code for tapes, by LLVM. Floor 9; loads llvmlite.

A tape is lowered to text (``lowering``, whose operations come from ``reading``, the
table's rows read as instructions), the text becomes machine code (``objects``,
``engine``) that is kept on disk (``cache``, ``keeping``), and one native function
(``thunk``) makes Python builtins of it (``entry``). Users hold a `Compiled`
(``compiled``, ``report``). ``accumulate`` is a fixed loop for bulk sweeps.

Tapes with arrays go the same way through files of their own: ``arrays`` lowers them,
with functions for vectors from ``vectormath``; ``arraythunk``, ``arrayobjects`` and
``arrayentry`` make builtins that take ndarrays as they stand; ``arraycalls``,
``arrayjacobian`` and ``nesting`` serve the methods of `Compiled`.
"""
