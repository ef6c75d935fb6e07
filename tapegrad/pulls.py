"""What a step of numbers passes on, written out as Python, one function a row. Floor 4.

    v_bar[j] += v_bar[i] * p[i, j]          for each operand j of step i

A rule read with floats is called, calls the reading's functions in turn, and gives a
tuple that somebody looks through: for a product that is ten times the work of its two
multiplications. So the rule is read once with names in place of numbers, and what it
does becomes the lines of a function, in the same order, with the same operations: the
results are those of the rule read with floats, bit for bit. Where Python raises and
IEEE 754 has a result, the rule itself is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.passing import smooth
from tapegrad.readings import SCALAR
from tapegrad.readings.base import Reading
from tapegrad.readings.numeric import UNLIKE_IEEE
from tapegrad.rules import TABLE, Primitive
from tapegrad.tape.recorder import Columns

# pull(bar, at, flat, bars, columns): passes the adjoint of the row that begins at `at`
# of a flat list of rows on to the adjoints of its operands.
Pull = Callable[[float, int, list[Any], Any, Columns], None]

COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
# Rules with static parameters are written out for so many sets of parameters.
MOST_SETS = 256
# Bodies of so many lines stand in place of a call.
SHORT_BODY = 8
# So often a set of parameters is met before it is: writing out takes some 200 us.
OFTEN = 4


class _Name:
    """A number that is not known yet: the name of a variable."""

    __slots__ = ("lines", "text", "truth")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, text: str, lines: list[str], *, truth: bool = False) -> None:
        self.text = text
        self.lines = lines
        self.truth = truth

    def line(self, right: str, *, truth: bool = False) -> _Name:
        """A new variable, set to what an expression gives."""
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {right}")
        return _Name(name, self.lines, truth=truth)

    def _with(self, symbol: str, other: Any, *, swapped: bool = False) -> Any:
        if not isinstance(other, _Name | int | float):
            return NotImplemented
        mine, its = self.text, written(other)
        return self.line(
            f"{its} {symbol} {mine}" if swapped else f"{mine} {symbol} {its}"
        )

    def __add__(self, other: Any) -> Any:
        return self._with("+", other)

    def __radd__(self, other: Any) -> Any:
        return self._with("+", other, swapped=True)

    def __sub__(self, other: Any) -> Any:
        return self._with("-", other)

    def __rsub__(self, other: Any) -> Any:
        return self._with("-", other, swapped=True)

    def __mul__(self, other: Any) -> Any:
        return self._with("*", other)

    def __rmul__(self, other: Any) -> Any:
        return self._with("*", other, swapped=True)

    def __truediv__(self, other: Any) -> Any:
        return self._with("/", other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with("/", other, swapped=True)

    def __neg__(self) -> Any:
        return self.line(f"-{self.text}")

    def __pos__(self) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError(self.text)  # a rule that looks at numbers cannot be written out

    def __eq__(self, other: object) -> bool:
        raise TypeError(self.text)


def written(x: Any) -> str:
    """A name, or a number of the rule, as text."""
    if isinstance(x, _Name):
        return x.text
    if type(x) is int or type(x) is bool:
        return f"({x})"
    if type(x) is float:
        return f"({x!r})" if x - x == 0 else f"float({str(x)!r})"
    raise TypeError(type(x).__name__)


class _Writing(Reading):
    """Rule text as lines of Python on floats."""

    name = SCALAR.name
    binary = SCALAR.binary

    def __init__(self, lines: list[str], space: dict[str, Any]) -> None:
        self.lines = lines
        self.space = space
        self.const = SCALAR.const  # type: ignore[method-assign]
        self.exact = SCALAR.exact  # type: ignore[method-assign]

    def number(self, value: Any) -> Any:
        return value if isinstance(value, _Name) else SCALAR.number(value)

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        """Both arms stand above: only the choice is left to make."""
        arms = self.number(a), self.number(b)
        if not isinstance(condition, _Name):
            return arms[0] if condition else arms[1]
        one, other = map(written, arms)
        return condition.line(f"{one} if {condition.text} else {other}")

    def evaluator(self, row: Primitive) -> Callable[..., Any]:
        def word(*xs: Any, **params: Any) -> Any:
            if not any(isinstance(x, _Name) for x in xs):
                return SCALAR.apply(row, *xs, **params)
            inside = self._inside(row, xs, params)
            if inside is not None:
                return inside
            texts = [written(x) for x in xs]
            root = _Name("", self.lines)
            if row.symbol in COMPARISONS and row.kind == "predicate":
                return root.line(f" {row.symbol} ".join(texts), truth=True)
            name = f"f{len(self.space)}"
            self.space[name] = SCALAR.evaluator_of(row)
            for key, value in params.items():
                self.space[f"{name}_{key}"] = value
                texts.append(f"{key}={name}_{key}")
            return root.line(f"{name}({', '.join(texts)})")

        return word

    def _inside(self, row: Primitive, xs: Any, params: dict[str, Any]) -> Any:
        """A row's short body in place of a call; None where there is none.

        What raises in it sends the whole rule to `SCALAR.partials`.
        """
        if row.body is None or hasattr(type(SCALAR), row.name):
            return None
        start = len(self.lines)
        try:
            found = row.body(self, *xs, **params)
        except Exception:  # noqa: BLE001 - a user's body: it is called
            found = None
        if isinstance(found, _Name) and len(self.lines) - start <= SHORT_BODY:
            return found
        del self.lines[start:]
        return None


def rule_lines(
    row: Primitive, params: dict[str, Any], space: dict[str, Any]
) -> tuple[list[str], list[str]] | None:
    """A rule as lines on y and x0, x1, ..., and its partials; None where it cannot be.

    Args:
        row: a row with partials.
        params: its static parameters.
        space: what the lines call, by name; added to.

    Returns:
        Lines, and a text for each partial: "0", "1" and "-1" are structural.
    """
    lines: list[str] = []
    names = [_Name(name, lines) for name in ("y", *operand_names(row.arity))]
    try:
        found = row.partials(_Writing(lines, space), *names, **params)  # type: ignore[misc]
        partials = [str(p) if type(p) is int else written(p) for p in found]
    except Exception:  # noqa: BLE001 - a user's rule: asked with floats, it may answer
        return None
    return (lines, partials) if len(partials) <= row.arity else None


def operand_names(arity: int) -> list[str]:
    """x0, x1, ..."""
    return [f"x{place}" for place in range(arity)]


def _share(place: int, partial: str) -> list[str]:
    """Lines that add one operand's share of the adjoint."""
    slot = f"i{place}"
    part = {"1": "bar", "-1": "-bar"}.get(partial, f"bar * {partial}")
    return [
        f"part = {part}",
        f"old = bars[{slot}]",
        f"bars[{slot}] = part if old is None else old + part",
    ]


def _written_out(row: Primitive, params: dict[str, Any]) -> Pull | None:
    """A row of one or two operands as a function; None where its rule refuses."""

    def by_rule(y: float, *xs: float) -> Sequence[Any]:
        return SCALAR.partials(row, y, *xs, **params)  # type: ignore[no-any-return]

    space: dict[str, Any] = {
        "by_rule": by_rule,
        "UNLIKE_IEEE": UNLIKE_IEEE,
        "pull_any": pull_any,
    }
    made = rule_lines(row, params, space)
    if made is None:
        return None
    lines, partials = made
    names = operand_names(row.arity)
    body = ["i0 = flat[at + 1]"]
    if row.arity == 2:
        body += [
            "i1 = flat[at + 2]",
            "if i0 < 0: return pull_any(bar, at, flat, bars, columns)",
        ]
    elif not params:
        body.append("if flat[at + 2]: return pull_any(bar, at, flat, bars, columns)")
    if lines or any(partial in {"y", *names} for partial in partials):
        body += [f"x{n} = flat[4 * i{n} + 3]" for n in range(row.arity)]
        body.append("y = flat[at + 3]")
    taken = [f"p{place}" for place in range(len(partials))]
    if lines:
        body += ["try:", *(f"    {line}" for line in lines)]
        values = [f"    {p} = {text}" for p, text in zip(taken, partials, strict=True)]
        body += [*values, "except UNLIKE_IEEE:"]
        body.append(f"    {', '.join(taken)}, = by_rule(y, {', '.join(names)})")
    for place, partial in enumerate(partials):
        if partial != "0":
            plain = partial in {"1", "-1"} or not lines
            body += _share(place, partial if plain else taken[place])
    source = (
        "def pull(bar, at, flat, bars, columns):\n    " + "\n    ".join(body) + "\n"
    )
    exec(source, space)  # noqa: S102 - made of rule text alone
    return space["pull"]  # type: ignore[no-any-return]


class _Pulls(dict[int, "Pull | None"]):
    """How each row passes on its adjoint, by opcode; made when first asked for."""

    def __missing__(self, code: int) -> Pull | None:
        row = TABLE.rows[code]
        found: Pull | None = pull_any
        if row.partials is None or not smooth(row):
            found = None  # inputs, constants, predicates: nothing is passed on
        elif row.kind == "elementwise" and row.arity in {1, 2}:
            found = _written_out(row, {}) or pull_any
        self[code] = found
        return found


PULLS = _Pulls()
_SETS: dict[Any, Any] = {}
_MAKING = threading.Lock()


def _forget(code: int) -> None:
    """Another row may get the opcode of one that left the table."""
    PULLS.pop(code, None)
    for key in [key for key in _SETS if key[0] == code]:
        del _SETS[key]


TABLE.forget.append(_forget)


def pull_any(bar: float, at: int, flat: list[Any], bars: Any, columns: Columns) -> None:
    """Any row: its rule read with floats."""
    row = TABLE.rows[flat[at]]
    if row.arity == 1 and flat[at + 2]:
        special = _of_set(flat[at], row, columns.statics[flat[at + 2]])
        if special is not None:
            special(bar, at, flat, bars, columns)
            return
    _, operands, static, _ = columns.step_at(at >> 2)
    if row.kind == "select":
        taken = operands[1] if flat[4 * operands[0] + 3] else operands[2]
        old = bars[taken]
        bars[taken] = bar if old is None else old + bar
        return
    y = flat[at + 3]
    xs = [flat[4 * operand + 3] for operand in operands]
    for operand, partial in zip(
        operands, SCALAR.partials(row, y, *xs, **dict(static)), strict=False
    ):
        if type(partial) is int and partial == 0:
            continue
        part = bar * partial
        old = bars[operand]
        bars[operand] = part if old is None else old + part


def _of_set(code: int, row: Primitive, static: Any) -> Pull | None:
    """The function of a row with one static number, once it is met often."""
    value = static[0][1]
    if len(static) != 1 or type(value) not in {int, float} or not value:
        return None  # 0.0 and -0.0 are one key
    key = (code, value, type(value))
    met = _SETS.get(key, 0)
    if type(met) is not int:
        return met  # type: ignore[no-any-return]
    if met < OFTEN:
        if met or len(_SETS) < MOST_SETS:
            _SETS[key] = met + 1
        return None
    found = _SETS[key] = _written_out(row, dict(static))
    return found


def sweep(slots: Sequence[int], flat: list[Any], bars: Any, columns: Columns) -> None:
    """A reverse sweep with plain floats.

    Args:
        slots: those to look at, falling.
        flat: rows of columns, with the values of the slots.
        bars: adjoints by slot, None where nothing has arrived; added to.
        columns: what keeps operands and static parameters that rows have no room for.
    """
    known = PULLS
    for slot in slots:
        bar = bars[slot]
        if bar is not None:
            at = 4 * slot
            pull = known[flat[at]]
            if pull is not None:
                pull(bar, at, flat, bars, columns)
