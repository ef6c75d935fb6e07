"""Text that stands for an array, and a NumPy that writes instead of computing. Floor 9.

Numpy(lines).sum(Text("x"), axis=0)   ->   "np.sum(x, axis=0)"
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

# An expression of this many characters gets a line, and a name, of its own.
LONG = 48

# How tightly operators bind; comparisons not at all.
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2, "@": 2} | dict.fromkeys(
    ("<", "<=", ">", ">=", "==", "!="), 0
)
# Functions whose second argument is the axis, or the axes.
_ALONG = frozenset(
    {
        "sum",
        "prod",
        "mean",
        "std",
        "max",
        "min",
        "any",
        "all",
        "cumsum",
        "argsort",
        "argmax",
        "argmin",
        "concatenate",
    }
)


class Text:
    """An expression of NumPy source.

    Args:
        text: the source.
        lines: where statements go.
        aval: shape and dtype, where they are known.
        binds: how tightly; 3 needs no parentheses as an operand.
        literal: it is a number.
    """

    def __init__(
        self,
        text: str,
        lines: Lines,
        aval: tuple[tuple[int, ...], str] | None = None,
        *,
        binds: int = 3,
        literal: bool = False,
    ) -> None:
        self.text, self.lines, self.aval = text, lines, aval
        self.binds, self.literal = binds, literal

    @property
    def operand(self) -> str:
        """The text with parentheses where it needs them."""
        return self.at(3)

    def at(self, binds: int) -> str:
        """The text as an operand of what binds so tightly."""
        return self.text if self.binds >= binds else f"({self.text})"

    @property
    def shape(self) -> Any:
        """The shape, where it is known."""
        return self.aval[0] if self.aval else self._made(".shape")

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> Text:
        """The dtype, as text."""
        return self._made(".dtype")

    def _made(self, rest: str) -> Text:
        return Text(self.operand + rest, self.lines)

    def __getattr__(self, name: str) -> Callable[..., Text]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **how: self._made(f".{name}{called(args, how)}")

    def __getitem__(self, key: Any) -> Text:
        return self._made("" if key == () and self.literal else f"[{keyed(key)}]")

    def __setitem__(self, key: Any, value: Any) -> None:
        self.lines.add(f"{self.text}[{keyed(key)}] = {spelled(value)}")

    def _with(self, sign: str, left: Any, right: Any) -> Text:
        sides = [
            side if isinstance(side, Text) else number(side, self.lines)
            for side in (left, right)
        ]
        if all(side.literal for side in sides):  # Python's own 1/0 raises
            sides[0] = Text(f"np.float64({sides[0].text})", self.lines)
        binds = _BINDS[sign]
        # from the left: a - b - c needs no parentheses, a < b < c would mean another
        text = f"{sides[0].at(binds or 1)} {sign} {sides[1].at(binds + 1)}"
        made = Text(text, self.lines, binds=binds)
        return self.lines.named(made) if len(text) > self.lines.short else made

    def __bool__(self) -> bool:
        msg = "its value decides what is computed"
        raise TypeError(msg)

    def __iter__(self) -> Iterator[Text]:
        """The two results of a function that has two, such as eigh."""
        named = self if self.text.isidentifier() else self.lines.named(self)
        return iter((named[0], named[1]))

    def __lt__(self, other: Any) -> Text:
        return self._with("<", self, other)

    def __gt__(self, other: Any) -> Text:
        return self._with(">", self, other)

    def __and__(self, other: Any) -> Text:
        return self._logic("&", other)

    def __invert__(self) -> Text:
        return Text(f"~{self.operand}", self.lines, binds=0)

    def _logic(self, sign: str, other: Any) -> Text:
        return Text(f"{self.operand} {sign} {other.operand}", self.lines, binds=0)

    def __add__(self, other: Any) -> Text:
        return self._with("+", self, other)

    def __radd__(self, other: Any) -> Text:
        return self._with("+", other, self)

    def __sub__(self, other: Any) -> Text:
        return self._with("-", self, other)

    def __rsub__(self, other: Any) -> Text:
        return self._with("-", other, self)

    def __mul__(self, other: Any) -> Text:
        return self._with("*", self, other)

    def __rmul__(self, other: Any) -> Text:
        return self._with("*", other, self)

    def __truediv__(self, other: Any) -> Text:
        return self._with("/", self, other)

    def __rtruediv__(self, other: Any) -> Text:
        return self._with("/", other, self)

    def __matmul__(self, other: Any) -> Text:
        return self._with("@", self, other)

    def __neg__(self) -> Text:
        return Text(f"-{self.operand}", self.lines, binds=1)

    def __pos__(self) -> Text:
        return self


class Lines:
    """The statements of a function, and the helpers that it calls.

    Args:
        helpers: functions that are defined before it, by name.
        taken: names that are in use.
        short: an expression of more characters gets a name of its own at once; for
            rows' bodies, whose text does not tell how often it is used.
    """

    def __init__(
        self,
        helpers: dict[str, str],
        taken: set[str] | None = None,
        short: float = math.inf,
    ) -> None:
        self.short = short
        self.found: list[str] = []
        self.helpers = helpers
        self.taken = set() if taken is None else taken
        self._count = 0

    def add(self, line: str) -> None:
        """One statement."""
        self.found.append(line)

    def named(self, value: Text, name: str = "") -> Text:
        """A value under a name."""
        while not name or name in self.taken:
            self._count += 1
            name = f"t{self._count}"
        self.taken.add(name)
        self.add(f"{name} = {value.text}")
        return Text(name, self, value.aval)


class Numpy:
    """NumPy, writing."""

    def __init__(self, lines: Lines, path: str = "np") -> None:
        self._lines, self._path = lines, path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return Numpy(self._lines, f"{self._path}.{name}")

    def __neg__(self) -> Text:
        return Text(f"-{self._path}", self._lines, binds=1)

    def __call__(self, *args: Any, **how: Any) -> Any:
        """A call as text; of what writes into its operand, a statement."""
        word = self._path.removeprefix("np.")
        aval = getattr(args[0], "aval", None) if args else None
        if word in {"shape", "size", "ndim"} and aval is not None:
            return getattr(np, word)(np.broadcast_to(0, aval[0]))
        if word in _ALONG and len(args) == 2:
            *args, axes = args  # type: ignore[assignment]
            how = {"axis": _axes(axes, aval), **how}
            if how["axis"] is None:
                del how["axis"]
        if "initial" in how and aval is not None and math.prod(aval[0]):
            del how["initial"]  # the largest of some numbers needs no -inf
        same = aval if word == "abs" else None
        text = Text(self._path + called(args, how), self._lines, same)
        if self._path.endswith(".at"):
            self._lines.add(text.text)
            return None
        # the first are written into, and long ones may be used more than once
        written = word in {"array", "zeros"} or len(text.text) > LONG
        written = written or len(text.text) > self._lines.short
        return self._lines.named(text) if written else text


def _axes(axes: Any, aval: Any) -> Any:
    """Axes as people write them: none for all of them, a number for one."""
    if not isinstance(axes, tuple):
        return axes
    if aval is not None and len(axes) == len(aval[0]):
        return None
    return axes[0] if len(axes) == 1 else axes


def number(value: Any, lines: Lines) -> Text:
    """A number or array as a literal."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.name
        text = f"np.array({_plain(value.tolist())}, dtype=np.{_kind(kind)})"
        return Text(text, lines, (value.shape, kind))
    if isinstance(value, np.generic) and not isinstance(value, np.float64):
        kind = value.dtype.name
        return Text(f"np.{_kind(kind)}({_plain(value.item())})", lines, ((), kind))
    text = _plain(value)
    return Text(text, lines, binds=1 if text[0] == "-" else 3, literal=True)


def _kind(dtype: str) -> str:
    return "bool_" if dtype == "bool" else dtype


def _plain(value: Any) -> str:
    """A literal, or nested lists of them, with NumPy's names for what has none."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        sign = "-" if value < 0 else ""
        return "np.nan" if math.isnan(value) else f"{sign}np.inf"
    return repr(float(value) if isinstance(value, np.floating) else value)


def spelled(value: Any) -> str:
    """Anything that stands in a call."""
    if isinstance(value, Text):
        return value.text
    if isinstance(value, Numpy):
        return value._path  # noqa: SLF001
    if isinstance(value, list):
        return f"[{', '.join(map(spelled, value))}]"
    if isinstance(value, tuple):
        inner = ", ".join(map(spelled, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return _plain(value)


def called(args: Sequence[Any], how: Any) -> str:
    """Arguments in parentheses."""
    words = [f"{name}={spelled(value)}" for name, value in how.items()]
    return f"({', '.join([*map(spelled, args), *words])})"


def keyed(key: Any) -> str:
    """An index as NumPy writes it."""
    if isinstance(key, Text):
        return key.text
    parts = []
    for entry in key if isinstance(key, tuple) else (key,):
        if isinstance(entry, slice):
            ends = ["" if x is None else str(x) for x in (entry.start, entry.stop)]
            if entry.start == 0:
                ends[0] = ""
            step = "" if entry.step in {None, 1} else f":{entry.step}"
            if entry.step is not None and entry.step < 0 and entry.start == 0:
                ends[0] = "0"
            parts.append(":".join(ends) + step)
        else:
            parts.append("..." if entry is Ellipsis else spelled(entry))
    return ", ".join(parts) or "()"
