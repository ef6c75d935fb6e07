"""Instructions of straight-line functions of doubles. Floor 9.

``a b + c`` is one operation where this machine has it. Sums and products that are to
lose nothing (`quick_sum`, `product`) give the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.engine import Outside
from tapegrad.native.reading import literal
from tapegrad.native.vectormath import outside

# Veltkamp: cuts 53 bits into 26 and 27.
SPLITTER = 2.0**27 + 1.0

# Coefficients of polynomials that Horner's scheme is the quicker for.
LONG = 8

# Names of the functions, by row of the table.
NAME = "array_{}"
HEAD = "define internal double @{}({}) alwaysinline {{\nentry:\n"
OPERANDS = ("%x", "%y")
ROOT = Outside("llvm.sqrt.f64")
FUSED = Outside("llvm.fma.f64", takes=("double",) * 3)


class Lines:
    """Instructions one after the other, each with a name of its own.

    Args:
        fused: whether the machine multiplies and adds in one operation.
        fast: whether 4 ulps are enough.
        beside: rows that the same module has functions of; what they have in common
            is computed once.

    Attributes:
        needs: what they call.
    """

    def __init__(
        self,
        *,
        fused: bool = False,
        fast: bool = False,
        beside: frozenset[str] = frozenset(),
    ) -> None:
        self.lines: list[str] = []
        self.fused = fused
        self.fast = fast
        self.beside = beside
        self.needs: dict[str, Outside] = {}
        self._far = ""
        self._c = ""
        self._operands: tuple[str, ...] = ()

    def add(self, text: str) -> str:
        """An instruction; gives its name."""
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}\n")
        return name

    def do(self, word: str, *operands: str | float) -> str:
        """An operation on doubles."""
        names = [literal(x) if isinstance(x, float) else x for x in operands]
        return self.add(f"{word} double {', '.join(names)}")

    def whole(self, word: str, a: str | int, b: str | int) -> str:
        """An operation on 64-bit integers."""
        return self.add(f"{word} i64 {a}, {b}")

    def bits(self, x: str) -> str:
        """A double as an integer."""
        return self.add(f"bitcast double {x} to i64")

    def double(self, bits: str) -> str:
        """An integer as a double."""
        return self.add(f"bitcast i64 {bits} to double")

    # -- arithmetic ------------------------------------------------------------

    def multiply_add(self, a: str | float, b: str | float, c: str | float) -> str:
        """``a b + c``, fused where the machine can."""
        if not self.fused:
            return self.do("fadd", self.do("fmul", a, b), c)
        self.needs[FUSED.name] = FUSED
        names = [literal(x) if isinstance(x, float) else x for x in (a, b, c)]
        operands = ", ".join(f"double {x}" for x in names)
        return self.add(f"call double @{FUSED.name}({operands})")

    def subtract_product(self, c: str | float, a: str, b: str | float) -> str:
        """``c - a b``, fused where the machine can."""
        if isinstance(b, float):
            return self.multiply_add(a, -b, c)
        return self.multiply_add(self.do("fneg", a), b, c)

    def polynomial(self, coefficients: Sequence[float], x: str) -> str:
        """A polynomial: by Horner's scheme, long ones by Estrin's.

        Estrin's are pairs, then pairs of pairs: more operations, but fewer that wait.
        """
        if len(coefficients) <= LONG:
            y: str | float = coefficients[-1]
            for c in reversed(coefficients[:-1]):
                y = self.multiply_add(y, x, c)
            return str(y)
        level, power = [literal(c) for c in coefficients], x
        while len(level) > 1:
            pairs = [
                self.multiply_add(level[i + 1], power, level[i])
                for i in range(0, len(level) - 1, 2)
            ]
            level = pairs + level[2 * len(pairs) :]
            power = self.do("fmul", power, power)
        return level[0]

    def lost(self, a: str | float, b: str | float, total: str) -> str:
        """What the rounding of a sum has lost (Knuth)."""
        part = self.do("fsub", total, a)
        rest = self.do("fsub", a, self.do("fsub", total, part))
        return self.do("fadd", rest, self.do("fsub", b, part))

    def quick_sum(self, a: str | float, b: str | float) -> tuple[str, str]:
        """A sum and what its rounding has lost, of a number and a smaller (Dekker)."""
        total = self.do("fadd", a, b)
        return total, self.do("fsub", b, self.do("fsub", total, a))

    def product(self, a: str, b: str) -> tuple[str, str]:
        """A product, and what its rounding has lost (Dekker 1971)."""
        total = self.do("fmul", a, b)
        if self.fused:
            return total, self.multiply_add(a, b, self.do("fneg", total))
        (high, low), (up, down) = self._halves(a), self._halves(b)
        lost = self.do("fsub", self.do("fmul", high, up), total)
        lost = self.do("fadd", lost, self.do("fmul", high, down))
        lost = self.do("fadd", lost, self.do("fmul", low, up))
        return total, self.do("fadd", lost, self.do("fmul", low, down))

    def square(self, x: str) -> tuple[str, str]:
        """A square, and what its rounding has lost."""
        return self.product(x, x)

    def root(self, x: str) -> str:
        """A square root."""
        self.needs[ROOT.name] = ROOT
        return self.add(f"call double @{ROOT.name}(double {x})")

    def _halves(self, x: str) -> tuple[str, str]:
        """The upper bits of a number, and the others."""
        wide = self.do("fmul", x, SPLITTER)
        high = self.do("fsub", wide, self.do("fsub", wide, x))
        return high, self.do("fsub", x, high)

    # -- choices ---------------------------------------------------------------

    def compare(self, word: str, a: str, b: str | float) -> str:
        """A comparison of doubles."""
        other = literal(b) if isinstance(b, float) else b
        return self.add(f"fcmp {word} double {a}, {other}")

    def at_most(self, a: str, word: str, bound: float) -> str:
        """The bound where a lies beyond it; NaN stays."""
        return self.chosen(self.compare(word, a, bound), bound, a)

    def chosen(self, condition: str, yes: str | float, no: str | float) -> str:
        """One of two doubles."""
        one, other = (literal(y) if isinstance(y, float) else y for y in (yes, no))
        return self.add(f"select i1 {condition}, double {one}, double {other}")

    def size(self, x: str) -> tuple[str, str]:
        """The absolute value, and the bit of the sign as an i64."""
        bits = self.bits(x)
        size = self.whole("and", bits, 2**63 - 1)
        sign = self.whole("and", bits, -(2**63))
        return self.double(size), sign

    def signed(self, y: str, sign: str) -> str:
        """A number, its sign changed where the bit is set."""
        return self.double(self.whole("xor", self.bits(y), sign))

    def elsewhere(self, condition: str, c: str, *operands: str) -> None:
        """Where it holds, C's function gives the result, of these or all operands."""
        self._far, self._c, self._operands = condition, c, operands

    # -- the text --------------------------------------------------------------

    def function(self, name: str, result: str, arity: int = 1) -> str:
        """The text."""
        names = OPERANDS[:arity]
        takes = ", ".join(f"double {x}" for x in names)
        body = "".join(self.lines)
        if self._far:
            given = self._operands or names
            needed = outside.needed(self._c, len(given))
            self.needs |= {call.name: call for call in needed}
            body += (
                f"  br i1 {self._far}, label %far, label %end\n"
                f"far:\n  %found = {outside.call(self._c, given)}\n  br label %end\n"
                f"end:\n  %result = phi double [ {result}, %entry ], [ %found, %far ]\n"
            )
            result = "%result"
        return f"{HEAD.format(name, takes)}{body}  ret double {result}\n}}\n"
