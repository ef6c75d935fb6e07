"""What a row of the table is. Floor 1: imports only the errors.

A primitive is one row: name, arity, atoms, domain, source, closed form and partials.
The partials are written once, as a function of a *reading* ``m`` (an interpretation of
the vocabulary), the primal result ``y`` and the operands:

    y = f(x_1, ..., x_n)      partials(m, y, x_1, ..., x_n) = (df/dx_1, ..., df/dx_n)

Read by NumPy they give the reverse sweep, by the recorder the adjoint tape, by SymPy a
proof, by mpmath the reference (Griewank & Walther, Evaluating Derivatives, 2nd ed.,
section 2.2 for the elemental functions and section 3.2 for the sweep).

Laws of rule text
-----------------
* Operators ``+ - * /`` and unary ``-``; everything else through ``m``: ``m.exp(x)``,
  ``m.less(x, 0)``, ``m.where(c, a, b)``, ``m.const("nan")``.
* Integers and named constants only, never float literals: a float would break the
  proof, and should.
* The arms of ``m.where`` are analytic across the switch, because rules are
  differentiated again.
* A partial that is the int 0, 1 or -1 is *structural*: the sweep drops the
  contribution, or passes the adjoint on without a multiplication.

Rows of whole arrays
--------------------
A row whose operands are taken as wholes (sum, reshape, matmul, solve) says how it is
computed, what shape it gives, and how derivatives pass, instead of partials:

    numpy(np, *xs, **params)             the value, NumPy handed in
    shape(*avals, **params)              shape and dtype of the result, or a tuple
    pull(m, bar, y, *xs, **params)       an adjoint for each operand, None for none
    push(m, dots, y, *xs, **params)      the tangent; a dot is None where there is none

A *linear* row (in all its operands together) and a *multilinear* one (in each) need no
``push``: the row itself, applied to the tangents, is it. A *reduction* has partials,
an array like its operand. All are written once, in the vocabulary of a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tapegrad.errors import RecordError

INF = float("inf")

# An operand's domain: a closed interval of the real line. Outside it the value and
# every partial are NaN.
Interval = tuple[float, float]
REAL: Interval = (-INF, INF)
NONNEGATIVE: Interval = (0.0, INF)

# Rule texts are generic in the number type, which Python's types cannot say.
Rule = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Edge:
    """One row of the edge table: what is expected at a point where care is needed.

    Args:
        at: the operands, dimensionless floats.
        partials: the expected first partials (``nan`` means NaN is expected).
        why: what goes wrong elsewhere, one line.
        value: the expected primal, or None where it is not the point.
        params: static parameters of the step.
        relative: allowed relative error; 0 asks for equality.
    """

    at: tuple[float, ...]
    partials: tuple[float, ...]
    why: str = ""
    value: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    relative: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Operands and parameters at which a row of whole arrays is tested.

    Args:
        shapes: one an operand.
        params: static parameters of the step.
        make: what kind of array each operand is: "real" (any), "positive", "spd"
            (symmetric positive definite), "symmetric", "regular" (well away from
            singular), "lower" (a triangular factor), "bool", or "index:<n>" (ints
            below n); "real" for all when empty.
    """

    shapes: tuple[tuple[int, ...], ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    make: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Primitive:
    """One row of the table of primitives.

    Args:
        name: the vocabulary's word for it, an identifier.
        arity: number of operands; -1 for any number.
        partials: ``partials(m, y, *operands, **params)`` -> one partial an operand;
            None for rows that have no derivative of their own (comparisons, guards).
        sympy: the closed form, ``sympy(sp, *operands, **params)``, with the module
            ``sympy`` handed in so that the table does not import it.
        source: where the identity is printed.
        symbol: how a step is written in lists and pictures (``+``, ``ReLU``).
        ufunc: name of the NumPy ufunc, when its own name is not the row's.
        llvm: instruction or call in LLVM's language; empty when there is none.
        scalar: name in Python's ``operator`` or ``math`` for plain floats.
        body: the row in smaller vocabulary, for readings that have no such atom; an
            identity, and proved.
        floats: the row in smaller vocabulary for float64 alone, where it relies on
            rounding or is an approximation; read where there is no atom.
        cancels: near a zero of a value or partial that is a sum of terms, its error is
            judged by their size.
        helper: the row stands for a derivative of another; its own partials are second
            derivatives, judged less strictly.
        domain: one interval an operand.
        pieces: the open pieces on which the row is analytic: each a function of a
            maker of symbols ``s`` (``s.real, s.positive, s.negative``) that returns
            the operands. The proof goes piece by piece.
        params: static parameters to test the row with.
        edges: points where the derivative needs care.
        kind: "elementwise"; "select" (where); "predicate" (a boolean result);
            "cut" (no derivative passes); "structure" (input, constant, guard, call),
            which sweeps know by name; and for whole arrays "linear", "multilinear",
            "reduction", "matrix" (its own push and pull) and "discrete" (no
            derivative: argsort, any). A structure row with `run` is *nested*.
        slots: how many slots a step owns; -1 when its static parameters say.
        operator: Python's binary or unary operator, for rows that have one.
        numpy, shape, pull, push: rows of whole arrays; see the module's text.
        fold: the elementwise row that a reduction repeats, for readings without
            arrays of their own.
        samples: shapes of the operands, and parameters, to test such a row with.
        indices: operands from this place on are integer arrays; 0 for none.
        lanes: how a row of whole arrays takes one axis more in front: "stack", where
            the axes before the last two are a stack of matrices, and stacks broadcast;
            "axes", where it works along its parameters `axes` or `axis` and goes entry
            by entry along the others; "entries", where it goes entry by entry; empty
            where nothing is said.
        run: of a step with sub-tapes, ``run(m, xs, params)``: the values of its slots.
            Its other rules are ``shape(avals, params)``, a list of avals;
            ``pull(m, bars, ys, xs, params)``, an adjoint for each operand; and
            ``push(m, dots, ys, xs, params)``, a tangent for each slot. None stands for
            what is structurally 0.
        integers: of operands that are all int64 the result is int64, as in NumPy (of a
            predicate, they are compared as such); else ints become floats first.
        masks: of a step with sub-tapes: ``pull`` takes a mask for each slot besides, or
            None, and gives pairs of adjoint and mask.
        marks: of a linear row between slots and stacks of slots, which of them get
            something: ``marks(np, mask, *shapes, **params)``, one an operand or None
            for all; a mask is an array of truth values, or None. Its ``pull`` is
            given the mask, if it is known.
        absorbs: one with masks whose ``pull`` also takes what its operands have
            received so far, or None (see `arriving.Before`), and gives triples: whether
            the adjoint is the whole sum by now, or another part of it.
        digest: of a user's row, SHA-256 of its definition; empty for the table's own.
        told: of a user's row, its definition in one line, for people.
        ulps: what values and first partials are held to by the verifier.
    """

    name: str
    arity: int
    partials: Rule | None = None
    sympy: Rule | None = None
    source: str = ""
    symbol: str = ""
    ufunc: str = ""
    llvm: str = ""
    scalar: str = ""
    body: Rule | None = None
    floats: Rule | None = None
    cancels: bool = False
    helper: bool = False
    domain: tuple[Interval, ...] = ()
    pieces: tuple[Rule, ...] = ()
    params: tuple[Mapping[str, Any], ...] = ({},)
    edges: tuple[Edge, ...] = ()
    kind: str = "elementwise"
    slots: int = 1
    operator: str = ""
    numpy: Rule | None = None
    shape: Rule | None = None
    pull: Rule | None = None
    push: Rule | None = None
    fold: str = ""
    samples: tuple[Sample, ...] = ()
    indices: int = 0
    integers: bool = False
    lanes: str = ""
    run: Rule | None = None
    marks: Rule | None = None
    masks: bool = False
    absorbs: bool = False
    digest: str = ""
    told: str = ""
    ulps: float = 4.0

    def sign(self, params: Mapping[str, Any]) -> str:
        """How a step of this row is written: ``+``, ``tanh``, ``**2``."""
        return self.symbol.format(**params) if self.symbol else self.name

    @property
    def differentiable(self) -> bool:
        """Whether the table-driven proofs of partials apply to this row."""
        return self.partials is not None and self.sympy is not None

    @property
    def whole(self) -> bool:
        """Whether it takes its operands as whole arrays, not entry by entry."""
        return self.numpy is not None

    @property
    def nested(self) -> bool:
        """Whether it is a step with sub-tapes that derivatives pass in its own way."""
        return self.run is not None

    def owns(self, params: Mapping[str, Any]) -> int:
        """How many slots a step owns."""
        if self.slots >= 0:
            return self.slots
        return int(params.get("count", 0)) or len(params["tape"].outputs)


class Table:
    """The table of all rows, by name and by opcode (the order of registration)."""

    __slots__ = ("by_name", "by_ufunc", "forget", "rows")

    def __init__(self) -> None:
        # called with the opcode of a row that leaves: what is kept by opcode must go
        self.forget: list[Callable[[int], object]] = []
        self.rows: list[Primitive] = []
        self.by_name: dict[str, int] = {}
        self.by_ufunc: dict[str, Primitive] = {}

    def add(self, row: Primitive) -> Primitive:
        """Register a row and return it; a second row of one name is refused."""
        if not row.name.isidentifier():
            msg = f"primitive name {row.name!r} is not an identifier"
            raise RecordError(msg)
        if row.name in self.by_name:
            msg = f"there is a primitive {row.name!r} already; choose another name"
            raise RecordError(msg)
        self.rows.append(row)  # first: another thread may ask as soon as it has a name
        self.by_name[row.name] = len(self.rows) - 1
        # a user's row of the name of a ufunc must not answer for it
        if row.kind != "structure" and not row.whole and not row.digest:
            self.by_ufunc.setdefault(row.ufunc or row.name, row)
        return row

    def drop(self, row: Primitive) -> bool:
        """Take the last row out again; another one stays, and so does its opcode."""
        if self.rows[-1] is not row:
            return False
        self.rows.pop()
        del self.by_name[row.name]
        for forget in self.forget:
            forget(len(self.rows))
        return True

    def opcode(self, row: Primitive) -> int:
        """The number of a row in this process (files hold names, not numbers)."""
        return self.by_name[row.name]

    def defined(self, names: Iterable[str]) -> tuple[tuple[str, str, str], ...]:
        """Of users' rows among some the name, the digest, and what it is told as."""
        rows = [self.rows[self.by_name[name]] for name in names if name in self]
        return tuple((row.name, row.digest, row.told) for row in rows if row.digest)

    def __getitem__(self, name: str) -> Primitive:
        try:
            return self.rows[self.by_name[name]]
        except KeyError:
            known = ", ".join(sorted(self.by_name))
            msg = f"there is no primitive {name!r}; the table has: {known}"
            raise RecordError(msg) from None

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __iter__(self) -> Any:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


TABLE = Table()
row = TABLE.add
