"""Native code for tapes, by LLVM. Floor 9; loads llvmlite.

``accumulate`` is one fixed loop; ``lowering`` turns a tape into LLVM text; ``engine``
turns text into code; ``entry`` makes Python builtins of it; ``compiled`` is what users
hold.
"""
