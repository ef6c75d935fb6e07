"""C's own functions, for the few lanes that a function of vectors has no answer for.

Floor 9. A call in a branch would keep a loop from becoming one of vectors, unless it
names functions of vectors for it. Those here ask whether any lane is to be looked up,
and then call C's function for each; engines put them in place once loops are vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from tapegrad.native.engine import PURE, Outside
from tapegrad.native.objects import VECTORS

# Lanes that loops may have: all from 128 bits to 512 of doubles.
WIDTHS = (2, 4, 8)

SUFFIX = "_of_lane"
ONE = """\
define internal double @{name}({takes}) noinline cold {pure} {{
  %y = call double @{c}({takes})
  ret double %y
}}
"""
MANY = """\
define dso_local <{n} x double> @{name}{n}({takes}, <{n} x i1> %mask) alwaysinline {{
  %bits = bitcast <{n} x i1> %mask to i{n}
  %any = icmp ne i{n} %bits, 0
  br i1 %any, label %some, label %none
some:
{lanes}  br label %none
none:
  %y = phi <{n} x double> [ %a0, %0 ], [ %y{last}, %some ]
  ret <{n} x double> %y
}}
"""


@dataclass(frozen=True, slots=True)
class OfLane(Outside):
    """A function of C for single lanes; C's own is declared beside it."""

    @property
    def intrinsic(self) -> bool:
        """It has no cell of its own."""
        return True

    def declared(self) -> str:
        """The function of one lane, and those of vectors."""
        count = len(self.takes)
        takes = ", ".join(f"double %a{i}" for i in range(count))
        c = self.name.removesuffix(SUFFIX)
        texts = [ONE.format(name=self.name, c=c, takes=takes, pure=PURE)]
        for n in WIDTHS:
            vectors = ", ".join(f"<{n} x double> %a{i}" for i in range(count))
            lanes = "".join(self._lane(lane, n) for lane in range(n))
            texts.append(
                MANY.format(n=n, name=self.name, takes=vectors, lanes=lanes, last=n - 1)
            )
        return "".join(texts)

    def _lane(self, lane: int, n: int) -> str:
        count = len(self.takes)
        takes = ", ".join(f"double %a{i}.{lane}" for i in range(count))
        before = f"%y{lane - 1}" if lane else "poison"
        reads = "".join(
            f"  %a{i}.{lane} = extractelement <{n} x double> %a{i}, i32 {lane}\n"
            for i in range(count)
        )
        return (
            f"{reads}  %f{lane} = call double @{self.name}({takes})\n"
            f"  %y{lane} = insertelement <{n} x double> {before}, double %f{lane}, "
            f"i32 {lane}\n"
        )


def needed(c: str, arity: int) -> tuple[Outside, Outside]:
    """What a module with `call` has to declare."""
    takes = ("double",) * arity
    return Outside(c, takes=takes), OfLane(c + SUFFIX, takes=takes)


def call(c: str, operands: tuple[str, ...]) -> str:
    """The call of C's function for one lane; LLVM makes it one for all of a vector."""
    name = c + SUFFIX
    form = "v" * len(operands)
    variants = ",".join(f"_ZGV_LLVM_M{n}{form}_{name}({name}{n})" for n in WIDTHS)
    takes = ", ".join(f"double {x}" for x in operands)
    return f'call double @{name}({takes}) "{VECTORS}"="{variants}"'
