"""Rule text written from steps: what a user's row says, in the table's language.

Floor 10; loads SymPy.

    x**3/(exp(x) - 1)   ->   def value(m, x):
                                 return m.powc(x, exponent=3) / m.expm1(x)

The text is read by every reading, like the rules of the table's own rows: operators,
words of the reading ``m``, integers, and constants that are known exactly.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from tapegrad.rules import TABLE
from tapegrad.rules.primitive import Interval

# Expressions longer than this get a line of their own.
LONG = 44
# Whole numbers up to here are floats without rounding.
EXACT = 2**53
# Digits that an exact constant is computed to beyond those asked for.
SPARE = 10

_BINDS = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2)}


@dataclass(frozen=True)
class Constant:
    """A number in rule text that is no integer.

    Args:
        value: the nearest float.
        form: the number itself, a SymPy expression.
    """

    value: float
    form: Any

    def digits(self, count: int) -> str:
        """The number to so many digits, as text."""
        if not math.isfinite(self.value):
            return str(self.value)
        return str(sp.N(self.form, count + SPARE))


@dataclass(frozen=True)
class Code:
    """Steps in order, and which slots are arguments, constants and results.

    Args:
        steps: slot, row, operand slots and static parameters of each.
        arguments: slots of the arguments, with their names.
        constants: slots of numbers: a `Constant`, an int or a truth value.
        outputs: slots of the results.
    """

    steps: Sequence[tuple[int, str, tuple[int, ...], Mapping[str, Any]]]
    arguments: Mapping[int, str]
    constants: Mapping[int, Any]
    outputs: Sequence[int]

    def needed(self) -> list[tuple[int, str, tuple[int, ...], Mapping[str, Any]]]:
        """The steps that a result depends on."""
        wanted = set(self.outputs)
        found = []
        for step in reversed(self.steps):
            if step[0] in wanted and step[0] not in self.arguments:
                wanted.update(step[2])
                found.append(step)
        return found[::-1]


@dataclass(frozen=True)
class RuleText:
    """Rule text, and the function that it is.

    Args:
        source: the text.
        constants: what its names of constants stand for.
    """

    source: str
    constants: Mapping[str, Constant]
    function: Callable[..., Any] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        space: dict[str, Any] = dict(self.constants)
        exec(self.source, space)  # noqa: S102 - our own text, as dataclasses do it
        name = self.source[4 : self.source.index("(")]
        object.__setattr__(self, "function", space[name])

    def __call__(self, m: Any, *operands: Any) -> Any:
        """What the text gives in a reading."""
        return self.function(m, *operands)

    def __str__(self) -> str:
        notes = [f"# {name} = {c.form}\n" for name, c in self.constants.items()]
        return "".join(notes) + self.source


def number(value: Any, form: Any = None) -> Any:
    """A number as rule text has it: an int where it is one, else a `Constant`."""
    if isinstance(value, bool):
        return value
    whole = math.isfinite(value) and value == int(value) and abs(value) <= EXACT
    if whole and not (value == 0 and math.copysign(1.0, value) < 0):
        return int(value)
    return Constant(float(value), meant(value) if form is None else form)


def meant(value: float) -> Any:
    """The number that a float written in code stands for.

    A short decimal is that decimal, and what is the nearest float to a fraction, or to
    a multiple of pi or of a root, is that: 0.1, 1/3, 2*np.pi. Any other is itself.
    """
    if math.isnan(value):
        return sp.nan
    if math.isinf(value):
        return sp.oo if value > 0 else -sp.oo
    if len(repr(float(value))) <= 8:
        return sp.Rational(repr(float(value)))
    for unit in (1, sp.pi, sp.sqrt(2), sp.sqrt(3), sp.sqrt(sp.pi), sp.sqrt(2 * sp.pi)):
        for factor in {unit, 1 / sp.sympify(unit)}:
            ratio = sp.Rational(value / float(factor)).limit_denominator(1000)
            if ratio and float(ratio * factor) == value:
                return ratio * factor
    for known in (sp.E, sp.log(2), sp.log(10), 1 / sp.log(2), sp.EulerGamma):
        if abs(value) == float(known):
            return known if value > 0 else -known
    return sp.Rational(value)


def write(name: str, code: Code, gates: Sequence[str] = (), end: str = "") -> RuleText:
    """Steps as rule text.

    Args:
        name: of the function.
        code: the steps; results that are constants 0, 1 or -1 stay plain integers.
        gates: lines before the end, about the arguments.
        end: what is returned, with ``{0}``, ``{1}``, ... for the results; by default
            the results as they are.
    """
    return _Writer(code).text(name, gates, end)


class _Writer:
    def __init__(self, code: Code) -> None:
        self.code = code
        self.steps = code.needed()
        self.lines: list[str] = []
        self.names: dict[str, Constant] = {}
        self.uses: dict[int, int] = {}
        # for each slot its text and how tightly it binds; 3 needs no parentheses
        self.texts: dict[int, tuple[str, int]] = {}
        for _, _, operands, _ in self.steps:
            for slot in operands:
                self.uses[slot] = self.uses.get(slot, 0) + 1
        for slot in code.outputs:
            self.uses[slot] = self.uses.get(slot, 0) + 1

    def text(self, name: str, gates: Sequence[str], end: str) -> RuleText:
        for slot, argument in self.code.arguments.items():
            self.texts[slot] = argument, 3
        for slot, value in self.code.constants.items():
            if slot in self.uses:
                self.texts[slot] = self._constant(value)
        for step in self.steps:
            self._step(*step)
        results = [self._result(slot) for slot in self.code.outputs]
        end = end or ", ".join(f"{{{i}}}" for i in range(len(results)))
        words = ", ".join(["m", *self.code.arguments.values()])
        if end.count("{0}") > 1 and not results[0].isidentifier():
            self.lines.append(f"y = {results[0]}")
            results[0] = "y"
        heads = [f"{c.lower()} = m.exact({c})" for c in self.names]
        body = [*heads, *self.lines, *gates, f"return {end.format(*results)}"]
        source = f"def {name}({words}):\n    " + "\n    ".join(body) + "\n"
        return RuleText(source, self.names)

    def _constant(self, value: Any) -> tuple[str, int]:
        if isinstance(value, bool | int):
            return str(value), 3 if value >= 0 else 1
        if math.isnan(value.value):
            return 'm.const("nan")', 3
        if value.form == sp.Rational(1, 2):
            return 'm.const("half")', 3
        for name, known in self.names.items():
            if known == value:
                return name.lower(), 3
        name = f"C{len(self.names)}"
        self.names[name] = value
        return name.lower(), 3

    def _at(self, slot: int, binds: int) -> str:
        text, mine = self.texts[slot]
        return text if mine >= binds else f"({text})"

    def _step(
        self, slot: int, name: str, operands: tuple[int, ...], params: Mapping[str, Any]
    ) -> None:
        made = self._made(name, operands, params)
        room = 70 if slot in self.code.outputs else LONG
        alone = self.uses.get(slot, 0) <= 1 and len(made[0]) <= room
        if alone or made[0].isidentifier():
            self.texts[slot] = made
            return
        word = f"v{len(self.lines)}"
        self.lines.append(f"{word} = {made[0]}")
        self.texts[slot] = word, 3

    def _made(
        self, name: str, operands: tuple[int, ...], params: Mapping[str, Any]
    ) -> tuple[str, int]:
        bare = all(slot in self.code.constants for slot in operands)
        if name in _BINDS:
            sign, binds = _BINDS[name]
            left = f"m.number({self._at(operands[0], 0)})" if bare else ""
            left = left or self._at(operands[0], binds)
            # from the left: a - (b - c) needs its parentheses
            return f"{left} {sign} {self._at(operands[1], binds + 1)}", binds
        if name == "neg" and not bare:
            return f"-{self._at(operands[0], 3)}", 1
        words = [self._at(slot, 0) for slot in operands]
        if bare:
            words[0] = f"m.number({words[0]})"
        words += [f"{key}={value!r}" for key, value in params.items()]
        return f"m.{name}({', '.join(words)})", 3

    def _result(self, slot: int) -> str:
        """A result; a constant other than a structural one, in the operand's shape."""
        value = self.code.constants.get(slot)
        if value is None or (type(value) is int and value in {-1, 0, 1}):
            return self._at(slot, 0)
        first = next(iter(self.code.arguments.values()))
        if type(value) is int:
            return f"m.like({value}, {first})"
        return f"{self._at(slot, 1)} + m.like(0, {first})"


_TAKEN = {"m", "y", "inside"}


def argument_names(names: Sequence[str]) -> list[str]:
    """Names for arguments in rule text: the user's, where they can be."""
    found: list[str] = []
    for place, word in enumerate(names):
        name = f"{word}_" if word in _TAKEN else word
        numbered = name[:1] in {"v", "c"} and name[1:].isdigit()
        good = name.isidentifier() and not keyword.iskeyword(name)
        good = good and not numbered and name not in found
        found.append(name if good else f"x{place}_")
    return found


def restricted(code: Code) -> list[tuple[int, Interval]]:
    """Slots that a row of the code takes from an interval only."""
    found = []
    for _, name, operands, params in code.needed():
        row = TABLE[name]
        intervals = row.domain if row.kind == "elementwise" else ()
        if name == "powc" and params["exponent"] != int(params["exponent"]):
            intervals = ((0.0, math.inf),)
        if name == "pow" and isinstance(code.constants.get(operands[1]), int):
            continue
        for slot, (low, high) in zip(operands, intervals, strict=False):
            value = code.constants.get(slot)
            value = value.value if isinstance(value, Constant) else value
            bounded = low > -math.inf or high < math.inf
            if bounded and (value is None or not low <= value <= high):
                found.append((slot, (low, high)))
    return found
