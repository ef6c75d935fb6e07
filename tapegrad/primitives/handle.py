"""What ``tg.primitive`` returns: a function of numbers, arrays and Values. Floor 10."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sympy as sp

from tapegrad.arrays.lift import real, record
from tapegrad.errors import RecordError
from tapegrad.primitives.choice import Form
from tapegrad.primitives.intervals import told
from tapegrad.rules import Primitive


class Defined:
    """A primitive of a user's, callable like a function of NumPy.

    Attributes:
        row: its row of the table.
        arguments: their names.
        forms: for the value and each partial, which form was chosen and what it gains
            over the one that was written; of primitives from expressions.
        compared: how many numbers the definition was checked at.

    Example:
        >>> import sympy as sp, tapegrad as tg
        >>> x = sp.Symbol("x")
        >>> quartic = tg.primitive("quartic_of_docs", x**4, [x])
        >>> quartic(3.0), tg.grad(quartic)(3.0)
        (81.0, 108.0)
    """

    def __init__(
        self,
        row: Primitive,
        arguments: Sequence[str],
        rules: Mapping[str, Any],
        forms: Sequence[Form],
        compared: int,
        doc: str,
    ) -> None:
        self.row = row
        self.arguments = tuple(arguments)
        self.forms = tuple(forms)
        self.compared = compared
        self._rules = dict(rules)
        kind = inspect.Parameter.POSITIONAL_ONLY
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, kind) for name in _identifiers(self.arguments)]
        )
        self.__name__ = self.__qualname__ = row.name
        self.__doc__ = doc or f"{self._line()}.\n\n{self.rule}"

    @property
    def name(self) -> str:
        """Its name, in the table and on tapes."""
        return self.row.name

    @property
    def rule(self) -> str:
        """The rule text: value and partials, as every reading reads them."""
        parts = []
        for what, rule in self._rules.items():
            mine = isinstance(rule, str)
            parts.append(rule if mine else f"# {what}: as given\n")
        return "\n".join(parts)

    @property
    def digest(self) -> str:
        """SHA-256 of the definition, which tapes and files carry."""
        return self.row.digest

    def __call__(self, *operands: Any) -> Any:
        """The value: plain for plain operands, recorded where one is a Value."""
        if len(operands) != self.row.arity:
            msg = (
                f"{self._line()} takes {self.row.arity} arguments, got {len(operands)}"
            )
            raise RecordError(msg)
        return record(self.row.name, *map(real, operands))

    def _line(self) -> str:
        words = ", ".join(self.arguments)
        where = told(self.arguments, self.row.domain)
        text = f"{self.row.name}({words}) = {self.row.told}"
        return f"{text}, {where}" if where else text

    def __repr__(self) -> str:
        return f"<primitive {self._line()}>"

    def __str__(self) -> str:
        forms = [f"  {form}" for form in self.forms]
        return "\n".join([self._line(), *forms])

    def _repr_latex_(self) -> str:
        symbols = [sp.Symbol(name, real=True) for name in self.arguments]
        form = self.row.sympy(sp, *symbols)  # type: ignore[misc]
        words = ", ".join(map(sp.latex, symbols))
        name = self.row.name.replace("_", r"\_")
        return rf"$\displaystyle \operatorname{{{name}}}({words}) = {sp.latex(form)}$"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return _again, (self.row.name, self.row.digest, self.row.told)


def _identifiers(names: Sequence[str]) -> list[str]:
    """Names of arguments as Python has them: a symbol may be called x_{1}."""
    good = all(name.isidentifier() and not keyword.iskeyword(name) for name in names)
    return list(names) if good else [f"x{place}" for place in range(len(names))]


# What has been defined in this process, by name.
DEFINED: dict[str, Defined] = {}


def _again(name: str, digest: str, told: str) -> Defined:
    """Unpickle: the primitive of that name, if it is the same one."""
    found = DEFINED.get(name)
    if found is None or found.digest != digest:
        what = "defined otherwise" if found else "not defined"
        msg = (
            f"the pickled primitive {name!r} ({told}) is {what} in this process; run "
            f"tg.primitive({name!r}, ...) as it was before loading it"
        )
        raise RecordError(msg)
    return found
