"""Instructions of straight-line functions of a double. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.native.reading import literal

# Veltkamp: cuts 53 bits into 26 and 27.
SPLITTER = 2.0**27 + 1.0

# Names of the functions, by row of the table.
NAME = "array_{}"
HEAD = f"define internal double @{NAME}(double %x) alwaysinline {{{{\n"


class Lines:
    """Instructions one after the other, each with a name of its own."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, text: str) -> str:
        """An instruction; gives its name."""
        name = f"%t{len(self.lines)}"
        self.lines.append(f"  {name} = {text}\n")
        return name

    def do(self, word: str, *operands: str | float) -> str:
        """An operation on doubles."""
        names = [literal(x) if isinstance(x, float) else x for x in operands]
        return self.add(f"{word} double {', '.join(names)}")

    def multiply_add(self, a: str | float, b: str, c: str | float) -> str:
        """``a b + c``, fused where the machine can."""
        product = self.do("fmul contract", a, b)
        return self.do("fadd contract", product, c)

    def polynomial(self, coefficients: Sequence[float], x: str, square: str) -> str:
        """Estrin's scheme: pairs, then pairs of pairs, as few steps deep as can be."""
        level, power = [literal(c) for c in coefficients], x
        while len(level) > 1:
            pairs = [
                self.multiply_add(level[i + 1], power, level[i])
                for i in range(0, len(level) - 1, 2)
            ]
            level = pairs + level[2 * len(pairs) :]
            power = square if power == x else self.do("fmul", power, power)
        return level[0]

    def at_most(self, a: str, word: str, bound: float) -> str:
        """The bound where a lies beyond it; NaN stays."""
        beyond = self.add(f"fcmp {word} double {a}, {literal(bound)}")
        return self.add(f"select i1 {beyond}, double {literal(bound)}, double {a}")

    def chosen(self, condition: str, yes: str | float, no: str) -> str:
        """One of two doubles."""
        one = literal(yes) if isinstance(yes, float) else yes
        return self.add(f"select i1 {condition}, double {one}, double {no}")

    def size(self, x: str) -> tuple[str, str]:
        """The absolute value, and the bit of the sign as an i64."""
        bits = self.add(f"bitcast double {x} to i64")
        size = self.add(f"and i64 {bits}, {2**63 - 1}")
        sign = self.add(f"and i64 {bits}, {-(2**63)}")
        return self.add(f"bitcast i64 {size} to double"), sign

    def signed(self, y: str, sign: str) -> str:
        """A positive number with a sign."""
        bits = self.add(f"bitcast double {y} to i64")
        return self.add(f"bitcast i64 {self.add(f'or i64 {bits}, {sign}')} to double")

    def lost(self, a: str | float, b: str | float, total: str) -> str:
        """What the rounding of a sum has lost (Knuth)."""
        part = self.do("fsub", total, a)
        rest = self.do("fsub", a, self.do("fsub", total, part))
        return self.do("fadd", rest, self.do("fsub", b, part))

    def square(self, x: str) -> tuple[str, str]:
        """A square, and what its rounding has lost (Dekker 1971)."""
        whole = self.do("fmul", x, x)
        wide = self.do("fmul", x, SPLITTER)
        high = self.do("fsub", wide, self.do("fsub", wide, x))
        low = self.do("fsub", x, high)
        lost = self.do("fsub", self.do("fmul", high, high), whole)
        cross = self.do("fmul", self.do("fmul", high, 2.0), low)
        lost = self.do("fadd", self.do("fadd", lost, cross), self.do("fmul", low, low))
        return whole, lost

    def power_of_two(self, k: str) -> str:
        """``2^k`` of a whole number of moderate size."""
        biased = self.add(f"add i64 {k}, 1023")
        bits = self.add(f"shl i64 {biased}, 52")
        return self.add(f"bitcast i64 {bits} to double")

    def scaled(self, y: str, k: str) -> str:
        """``y 2^k`` in two halves, rounded once where the result is subnormal."""
        half = self.add(f"ashr i64 {k}, 1")
        rest = self.add(f"sub i64 {k}, {half}")
        y = self.do("fmul", y, self.power_of_two(half))
        return self.do("fmul", y, self.power_of_two(rest))

    def function(self, name: str, result: str) -> str:
        """The text."""
        body = "".join(self.lines)
        return f"{HEAD.format(name)}{body}  ret double {result}\n}}\n"
