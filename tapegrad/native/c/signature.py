"""Which parameters the functions take, and which entry stands where. Floor 9.

An argument that is one number is passed as a number, one that is an array by a pointer
to its entries, row by row. A nesting of floats is passed as one array, leaf after leaf;
a nesting of several types has a parameter for each leaf.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tapegrad.binding import argument_names
from tapegrad.derivatives import differentiable
from tapegrad.native.arrays.words import KINDS, stored
from tapegrad.native.c.expressions import TYPES, UNARY, Expr, whole
from tapegrad.native.c.names import comment, variables
from tapegrad.tape.structure import Tree, paths
from tapegrad.tape.tape import Aval, Tape

# C promises 127 parameters; beyond so many all arguments are one array.
MANY = 60


@dataclass(frozen=True, slots=True)
class Leaf:
    """One input or output.

    Args:
        name: of the parameter, which may hold several.
        at: its first entry there; None for a number that is passed as it is.
        aval: shape and dtype.
        alone: whether it is all that the parameter holds.
    """

    name: str
    at: int | None
    aval: Aval
    alone: bool = False

    @property
    def kind(self) -> str:
        """The type of its entries, as LLVM names them in memory."""
        return stored(KINDS[self.aval[1]])

    def address(self, *, fixed: bool) -> Expr:
        """A pointer to its first entry."""
        if self.at is None:
            entry = Expr(self.name, wild=self.kind in {"i64", "i32"}, free=True)
            return Expr(
                f"&{self.name}", UNARY, kind=self.kind, fixed=fixed, entry=entry,
                free=True,
            )  # fmt: skip
        found = Expr(self.name, kind=self.kind, fixed=fixed, free=True)
        if self.alone:
            found.entry = self.entry()
        if self.at:
            found.text, found.level = f"{self.name} + {self.at}", 12
            found.base, found.index = self.name, whole(self.at)
        return found

    def entry(self) -> Expr:
        """A number that it is."""
        if self.at is None:
            return Expr(self.name, free=True)
        if self.alone:
            return Expr(f"*{self.name}", UNARY, free=True)
        return Expr(f"{self.name}[{self.at}]", free=True)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the function.

    Args:
        name: in C.
        kind: its type in C, with what stands before the name.
        about: what it holds, for the comment.
    """

    name: str
    kind: str
    about: str

    @property
    def text(self) -> str:
        """Its declaration."""
        return f"{self.kind}{'' if self.kind.endswith('*') else ' '}{self.name}"


@dataclass(frozen=True, slots=True)
class Side:
    """Parameters and the leaves that they hold, in the order of the kernel."""

    parameters: list[Parameter]
    leaves: list[Leaf]


def size(aval: Aval) -> int:
    """Entries of a leaf."""
    return math.prod(aval[0])


def inputs_of(tape: Tape) -> Side:
    """The parameters of the arguments."""
    groups = _groups(tape)
    names = variables([label for label, _, _ in groups], set(RESULTS))
    return _side(groups, names, given=True)


# What else a function's parameters are called.
RESULTS = ("value", "work", "slots", "status")


def _groups(tape: Tape) -> list[tuple[str, list[str], list[Aval]]]:
    """For each argument its name, and the names and types of its leaves."""
    labels = list(tape.input_labels())
    avals = [tape.aval_of(slot) for slot in tape.inputs]
    trees = tape.structure.arguments
    if sum(len(tree.dynamic) for tree in trees) != len(avals):
        trees = tuple(Tree() for _ in avals)
        names = labels
    else:
        names = argument_names(tape)
    groups, start = [], 0
    for name, tree in zip(names, trees, strict=True):
        stop = start + len(tree.dynamic)
        if stop > start:
            groups.append((name, labels[start:stop], avals[start:stop]))
        start = stop
    if len(groups) > MANY and len({dtype for _, dtype in avals}) == 1:
        return [("x", labels, avals)]
    return groups


def _side(
    groups: Sequence[tuple[str, list[str], list[Aval]]],
    names: Sequence[str],
    *,
    given: bool,
) -> Side:
    parameters: list[Parameter] = []
    leaves: list[Leaf] = []
    taken = {*names}
    for name, (label, labels, avals) in zip(names, groups, strict=True):
        if len({dtype for _, dtype in avals}) > 1:
            parts = variables(labels, taken)
            taken |= {*parts}
            for part, inner, aval in zip(parts, labels, avals, strict=True):
                leaves.append(_leaf(part, aval, given=given))
                parameters.append(_parameter(leaves[-1], [inner], [aval], given=given))
        elif len(avals) == 1:
            leaves.append(_leaf(name, avals[0], given=given))
            parameters.append(_parameter(leaves[-1], [label], avals, given=given))
        else:
            at = 0
            first = Leaf(name, 0, avals[0])
            for aval in avals:
                leaves.append(Leaf(name, at, aval))
                at += size(aval)
            parameters.append(_parameter(first, labels, avals, given=given))
    return Side(parameters, leaves)


def _leaf(name: str, aval: Aval, *, given: bool) -> Leaf:
    return Leaf(name, None if given and not aval[0] else 0, aval, alone=not aval[0])


def _parameter(
    leaf: Leaf, labels: Sequence[str], avals: Sequence[Aval], *, given: bool
) -> Parameter:
    kind = TYPES[leaf.kind]
    if leaf.at is not None:
        kind = f"const {kind} *" if given else f"{kind} *"
    return Parameter(leaf.name, kind, comment(_about(labels, avals)))


def _about(labels: Sequence[str], avals: Sequence[Aval]) -> str:
    """What a parameter holds."""
    total = sum(map(size, avals))
    if len(avals) == 1:
        shape, dtype = avals[0]
        word = {"bool": "truth value, 0 or 1", "int64": "integer"}.get(dtype, "number")
        if not shape:
            return f"a {word}" if word != "integer" else "an integer"
        return f"{word}s, {' x '.join(map(str, shape))}"
    if all(not shape for shape, _ in avals) and len(avals) > 8:
        return f"{total} numbers, {labels[0]} to {labels[-1]}"
    parts, at = [], 0
    for label, aval in zip(labels, avals, strict=True):
        extents = " x ".join(map(str, aval[0]))
        parts.append(f"{label} at {at}" + (f" ({extents})" if extents else ""))
        at += size(aval)
    shown = parts if len(parts) <= 20 else [*parts[:19], f"... {parts[-1]}"]
    return f"{total} numbers: {', '.join(shown)}"


def outputs_of(tape: Tape) -> Side:
    """The parameters of the results."""
    avals = [tape.aval_of(slot) for slot in tape.outputs]
    result = tape.structure.result
    labels = ["the result"]
    if len(result.dynamic) == len(avals) and not result.bare:
        labels = paths(result, "result")
    elif len(avals) != 1:
        labels = [f"result[{place}]" for place in range(len(avals))]
    return _side([("value", labels, avals)], ["value"], given=False)


def slopes_of(tape: Tape, inputs: Side, *, single: bool) -> Side:
    """The parameters of the derivatives: for each output, one by each input."""
    smooth = differentiable(tape)
    alone = (
        {p.name for p in inputs.parameters if "*" not in p.kind} if single else set()
    )
    names = variables(
        [f"{'gradient' if single else 'jacobian'}_{p.name}" for p in inputs.parameters],
        {p.name for p in inputs.parameters} | {*RESULTS},
    )
    by_name = dict(zip((p.name for p in inputs.parameters), names, strict=True))
    offsets: dict[int, int] = {}
    totals: dict[str, int] = {}
    for place in smooth:
        leaf = inputs.leaves[place]
        offsets[place] = totals.get(leaf.name, 0)
        totals[leaf.name] = offsets[place] + size(leaf.aval)
    leaves, before = [], 0
    for slot in tape.outputs:
        shape, _ = tape.aval_of(slot)
        rows = math.prod(shape)
        for place in smooth:
            leaf = inputs.leaves[place]
            at = before * totals[leaf.name] + rows * offsets[place]
            known = leaf.name in alone
            aval = (shape + leaf.aval[0], leaf.aval[1])
            leaves.append(Leaf(by_name[leaf.name], at, aval, known))
        before += rows
    parameters = []
    for parameter in inputs.parameters:
        if parameter.name not in totals:
            continue
        kind = parameter.kind.removeprefix("const ").removesuffix(" *") + " *"
        word = "the derivative by" if single else "for each result, the derivatives by"
        about = f"{word} {parameter.name}"
        parameters.append(Parameter(by_name[parameter.name], kind, about))
    return Side(parameters, leaves)
