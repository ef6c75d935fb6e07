"""Functions of vectors that stand apart from the loops that call them. Floor 9.

Put in place, a function is optimised once for each loop that calls it, at milliseconds
each. Where there are many, the module has it twice: for one number, and for a vector
of them, which the loop vectoriser finds by an attribute. Both are made of the same
lines, so an entry is the same to the last bit.
"""

from __future__ import annotations

from tapegrad.native.objects import VECTORS

# Not ``nobuiltin``: LLVM does not look for functions of vectors then.
KNOWN = "nounwind willreturn memory(none)"
# Lines of a function, times the loops' calls of it, that are put in place.
PLACED = 500

ONE = """\
define internal double @{name}({takes}) noinline {pure} "{mark}"="{variant}" {{
  %y = call double @{name}.lines({takes})
  ret double %y
}}
"""
# LLVM makes a vector of the loop, and registers of the memory.
MANY = """\
define dso_local <{n} x double> @{name}.lanes({vectors}) noinline {pure} {{
entry:
{room}  %to = alloca <{n} x double>
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{reads}  %y = call double @{name}.lines({lanes})
  %at = getelementptr double, ptr %to, i64 %i
  store double %y, ptr %at
  %next = add nuw nsw i64 %i, 1
  %more = icmp ult i64 %next, {n}
  br i1 %more, label %loop, label %end, !llvm.loop !{mark}
end:
  %all = load <{n} x double>, ptr %to
  ret <{n} x double> %all
}}
!{mark} = distinct !{{!{mark}, !{width}, !{enable}, !{whole}}}
!{width} = !{{!"llvm.loop.vectorize.width", i32 {n}}}
!{enable} = !{{!"llvm.loop.vectorize.enable", i1 true}}
!{whole} = !{{!"llvm.loop.unroll.disable"}}
"""
MARKS = 4


def apart(name: str, text: str, arity: int, lanes: int, mark: int) -> str:
    """A function as two that loops call.

    Args:
        name: of the function.
        text: the function.
        arity: how many numbers it takes.
        lanes: numbers in a vector of this machine.
        mark: the first number of its metadata.
    """
    form = "v" * arity
    return (
        text.replace(f"@{name}(", f"@{name}.lines(", 1)
        + ONE.format(
            name=name,
            takes=", ".join(f"double %a{i}" for i in range(arity)),
            pure=KNOWN,
            mark=VECTORS,
            variant=f"_ZGV_LLVM_N{lanes}{form}_{name}({name}.lanes)",
        )
        + MANY.format(
            name=name,
            n=lanes,
            pure=KNOWN,
            mark=mark,
            width=mark + 1,
            enable=mark + 2,
            whole=mark + 3,
            vectors=", ".join(f"<{lanes} x double> %a{i}" for i in range(arity)),
            room="".join(
                f"  %from{i} = alloca <{lanes} x double>\n"
                f"  store <{lanes} x double> %a{i}, ptr %from{i}\n"
                for i in range(arity)
            ),
            reads="".join(
                f"  %at{i} = getelementptr double, ptr %from{i}, i64 %i\n"
                f"  %x{i} = load double, ptr %at{i}\n"
                for i in range(arity)
            ),
            lanes=", ".join(f"double %x{i}" for i in range(arity)),
        )
    )
