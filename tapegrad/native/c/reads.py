"""What the functions of a file read: inputs, constants; and names. Floor 9."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tapegrad.errors import CompileError
from tapegrad.native.c import expressions as ex
from tapegrad.native.c.expressions import TYPES, Expr
from tapegrad.native.c.layout import array
from tapegrad.native.c.names import usable
from tapegrad.native.c.parse import Module
from tapegrad.native.c.pointers import Kinds
from tapegrad.native.c.signature import Leaf, Parameter
from tapegrad.native.c.values import Values
from tapegrad.native.engine import Outside

# The functions that take what the kernel takes: it, and the parts it was cut into.
TOP = re.compile(r"(kernel|part\d+|chunk\d+)$")


@dataclass(slots=True)
class Source:
    """What is to be written, and under which names.

    Args:
        name: of the function.
        body: its LLVM text.
        calls: what that calls from outside.
        inputs, outputs: what the kernel takes and gives, in its order.
        parameters: of the function, in order.
        arena: bytes that it needs besides.
        statuses: the number that is returned for each of the kernel's.
        notes: a comment on a register of a function, if it must have one.
    """

    name: str
    body: str
    calls: Sequence[Outside]
    inputs: Sequence[Leaf]
    outputs: Sequence[Leaf]
    parameters: Sequence[Parameter]
    arena: int
    statuses: Mapping[int, tuple[int, str]]
    notes: Callable[[str, str], str | None] | None


@dataclass(slots=True)
class Reads:
    """The file, as far as its functions read from it.

    Args:
        source: what is written.

    Attributes:
        module: the functions and constants of the text.
        constants: the text of constants, by name.
        doubles: whether the memory of the kernel holds nothing but doubles.
    """

    source: Source
    module: Module = field(default_factory=Module)
    constants: dict[str, str] = field(default_factory=dict)
    doubles: bool = True
    _names: dict[str, str] = field(default_factory=dict)
    _kinds: dict[str, Kinds] = field(default_factory=dict)
    _takes: dict[str, list[str]] = field(default_factory=dict)
    _used: dict[str, list[str]] = field(default_factory=dict)

    def _top(self, body: Values) -> bool:
        return TOP.match(body.plan.function.name) is not None

    def _all_parameters(self) -> list[Parameter]:
        arena = "double *" if self.doubles else "unsigned char *"
        return [
            *self.source.parameters,
            Parameter("work", arena, ""),
            Parameter("slots", "double *", ""),
        ]

    def _global(self, name: str) -> str:
        return self.source.name + "_" + re.sub(r"\W", "_", name)

    def _local(self, register: str) -> str:
        found = self._names.get(register)
        if found is None:
            found = self._names[register] = self._free(register)
        return found

    def _free(self, register: str) -> str:
        """A name for a register that no parameter has."""
        name = "slots" if register == "s" else re.sub(r"\W", "_", register)
        if name[0].isdigit():
            name = f"v{name}"
        taken = {p.name for p in self.source.parameters} | {"work"}
        while name in taken or not usable(name):
            name += "_"
        return name

    def named(self, body: Values, register: str) -> str:
        """The name of a register's variable."""
        del body
        return self._local(register)

    def note(self, body: Values, register: str) -> str | None:
        """A comment on a step's line."""
        if self.source.notes is None or not self._top(body):
            return None
        if not register.isdigit():
            return None
        return self.source.notes(body.plan.function.name, register)

    def argument(self, body: Values, name: str) -> Expr:
        """The register of an argument."""
        function = body.plan.function
        kind = next(kind for kind, known in function.takes if known == name)
        if self._top(body):
            if name == "arena":
                body.used.add("work")
                kind = "double" if self.doubles else "i8"
                return Expr("work", kind=kind, free=True)
            if name == "s":
                body.used.add("slots")
                return Expr("slots", kind="double", free=True)
            return Expr(name, kind=f"all {name}", free=True)
        inner = self._kinds[function.name].get(name, "i8") if kind == "ptr" else ""
        return Expr(self._local(name), kind=inner, free=True)

    def given(self, body: Values, base: Expr, place: int) -> Expr | None:
        """An input or output of the kernel."""
        if not base.kind.startswith("all "):
            return None
        which = base.kind.removeprefix("all ")
        given = which in {"x", "inputs"}
        leaf = (self.source.inputs if given else self.source.outputs)[place]
        body.used.add(leaf.name)
        if which in {"x", "y"}:
            return Expr(base.text, kind=leaf.kind, entry=leaf.entry(), free=True)
        entry = leaf.address(fixed=given)
        return Expr(base.text, kind="ptr", entry=entry, free=True)

    def constant(self, name: str) -> Expr:
        """A constant outside of functions: an array, or one number."""
        kind, value = self.module.constants.get(name, ("", ""))
        if not kind:
            return self._stored_outside(name)
        known = self._global(name)
        if isinstance(value, str):
            entry = ex.literal(value, kind)
            head = f"static const {TYPES[kind]} {known}"
            self.constants[known] = f"{head} = {entry.text};\n"
            return Expr(
                f"&{known}", ex.UNARY, kind=kind, fixed=True, entry=entry, free=True
            )
        self.constants[known] = array(
            known, kind, [ex.literal(x, kind).text for x in value]
        )
        return Expr(known, kind=kind, fixed=True, free=True)

    def _stored_outside(self, name: str) -> Expr:
        """The cell of a long constant: its entries stand in an array here."""
        outside = {call.name: call for call in self.source.calls}
        found = outside.get(name.removesuffix(".at"))
        if found is None or found.place is None:
            msg = f"native code reads {name!r}, which cannot stand in a file"
            raise CompileError(msg)
        known = self._global(name.removesuffix(".at"))
        place = np.ascontiguousarray(found.place)
        kind = {"float64": "double", "float32": "float", "int64": "i64",
                "int32": "i32", "bool": "i8"}[place.dtype.name]  # fmt: skip
        if known not in self.constants:
            self.constants[known] = array(
                known, kind, [_entry(x, kind) for x in place.ravel().tolist()]
            )
        entry = Expr(known, kind=kind, fixed=True, free=True)
        return Expr(known, kind="ptr", entry=entry, free=True)


def _entry(value: float | bool, kind: str) -> str:
    if kind in {"double", "float"}:
        return ex.real(float(value), "f" if kind == "float" else "").text
    return ex.whole(int(value)).text
