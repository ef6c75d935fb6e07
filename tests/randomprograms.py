"""What a random program is: inputs, lines, and a weighted sum of what is left over."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from randomwords import WORDS

import tapegrad as tg
from tapegrad.apply import apply
from tapegrad.rules import TABLE


@dataclass(frozen=True)
class Name:
    """An operand by name: input ``x3`` or result ``v7``."""

    letter: str
    number: int

    def __str__(self) -> str:
        return f"{self.letter}{self.number}"


@dataclass(frozen=True)
class Line:
    """A line of a program: a row of the table, or a word of NumPy, applied."""

    word: bool
    name: str
    operands: tuple[Any, ...]
    params: dict[str, Any]
    results: tuple[Name, ...]

    def run(self, operands: Any) -> Any:
        if self.word:
            return WORDS[self.name](*operands, **self.params)
        return apply(TABLE[self.name], *operands, **self.params)

    def plain(self, operands: Any) -> list[Any]:
        """The results as plain numbers, of plain operands."""
        with np.errstate(all="ignore"), tg.no_record():
            made = self.run([strict(x, self.word) for x in operands])
        made = made if len(self.results) > 1 else (made,)
        return [own(getattr(y, "_data", y)) for y in made]

    def __str__(self) -> str:
        given = [str(x) if isinstance(x, Name) else repr(x) for x in self.operands]
        given += [f"{name}={value!r}" for name, value in self.params.items()]
        sign = "np:" if self.word else ""
        made = ", ".join(map(str, self.results))
        return f"{made} = {sign}{self.name}({', '.join(given)})"


@dataclass
class Program:
    """A function of its inputs, and the inputs."""

    seed: int
    flavour: str
    inputs: list[Any] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    sinks: list[tuple[Name, float]] = field(default_factory=list)

    def values(self, xs: Any) -> dict[Name, Any]:
        found: dict[Name, Any] = {Name("x", i): x for i, x in enumerate(xs)}
        for line in self.lines:
            given = [found[x] if isinstance(x, Name) else x for x in line.operands]
            made = line.run(given)
            made = made if len(line.results) > 1 else (made,)
            found.update(zip(line.results, made, strict=True))
        return found

    def data(self) -> dict[Name, Any]:
        """The plain numbers of all lines, each line run on those before it."""
        found: dict[Name, Any] = {Name("x", i): x for i, x in enumerate(self.inputs)}
        for line in self.lines:
            given = [found[x] if isinstance(x, Name) else x for x in line.operands]
            results = line.plain(given)
            found.update(zip(line.results, results, strict=True))
        return found

    def __call__(self, *xs: Any) -> Any:
        """One number: the sinks, summed with their weights."""
        found = self.values(xs)
        total = 0.0
        for name, weight in self.sinks:
            y = found[name]
            if np.shape(y) and self.flavour == "exact":
                for place in np.ndindex(np.shape(y)):
                    total = total + weight * y[place]
            else:
                total = total + weight * (np.sum(y) if np.shape(y) else y)
        return total

    def several(self, *xs: Any) -> list[Any]:
        """The sinks as they are."""
        found = self.values(xs)
        return [found[name] for name, _ in self.sinks]

    def __str__(self) -> str:
        head = [f"program {self.seed} ({self.flavour})"]
        head += [f"  x{i} = {x!r}" for i, x in enumerate(self.inputs)]
        head += [f"  {line}" for line in self.lines]
        sinks = " + ".join(f"{weight} * {name}" for name, weight in self.sinks)
        return "\n".join([*head, f"  return {sinks}"])

    @property
    def rows(self) -> set[str]:
        return {line.name for line in self.lines if not line.word}


def shortened(found: Program, lines: list[Line], sinks: Any) -> Program:
    """The program with other lines, for the search of a smaller one."""
    return dataclasses.replace(found, lines=lines, sinks=sinks)


def strict(x: Any, word: bool) -> Any:
    """Words run on NumPy's scalars, which do not raise as Python's floats do."""
    return np.float64(x) if word and type(x) is float else x


def own(y: Any) -> Any:
    """A result that nothing else can write to, numbers as Python's."""
    if isinstance(y, np.ndarray) and not y.ndim:
        y = y[()]
    if type(y) is np.float64:
        return float(y)
    return np.array(y) if isinstance(y, np.ndarray) else y
