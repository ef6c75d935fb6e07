"""The picture of a Value or a tape: record boxes and operations. Floor 9; graphviz.

    [ x | data 2.0000 | grad 3.0000 ] --> ( * ) --> [ y | data 6.0000 | grad 1.0000 ]

Left to right, a box for each slot and a round node for the operation that made it. The
box of an array has its shape, and the ends of its data and grad. The
Python package graphviz writes the source; only turning it into a picture needs the
program ``dot``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import graphviz
import numpy as np

from tapegrad import eager
from tapegrad.binding import arithmetic_of, bind, numbers
from tapegrad.errors import RecordError, ShapeError, TapegradError
from tapegrad.handle import Handle
from tapegrad.rules.shapes import FLOATING
from tapegrad.show.boxes import Box, fields, loop_boxes, operation, windows
from tapegrad.show.listing import known
from tapegrad.tape.recorder import aval_of
from tapegrad.tape.tape import Tape
from tapegrad.unrolling import found
from tapegrad.value import Value

# Beyond this a picture shows nothing, and `dot` takes minutes.
LARGEST = 2_000

INSTALL = (
    "turning a drawing into a picture needs the program `dot` of Graphviz, which is "
    "not on the PATH; install it (apt install graphviz, brew install graphviz, or "
    "https://graphviz.org/download), or keep the source: drawing.source"
)

_GRAPH = {
    "rankdir": "LR",
    "bgcolor": "transparent",
    "nodesep": "0.25",
    "ranksep": "0.35",
}
_FONT = {"fontname": "Helvetica,Arial,sans-serif", "fontsize": "11"}
_BOX = {
    "shape": "record",
    "style": "filled,rounded",
    "color": "#5b6b7b",
    "fillcolor": "#ffffff",
    "penwidth": "0.8",
    "height": "0.35",
    **_FONT,
}
_OPERATION = {
    "shape": "ellipse",
    "style": "filled",
    "color": "#8a5a00",
    "fillcolor": "#fdebc8",
    "penwidth": "0.8",
    "width": "0.4",
    "height": "0.35",
    "margin": "0.06,0.03",
    **_FONT,
}
_EDGE = {"color": "#5b6b7b", "arrowsize": "0.6", "penwidth": "0.8"}
_LOOP = {
    "style": "rounded,filled",
    "color": "#8a5a00",
    "fillcolor": "#fff8ea",
    "penwidth": "0.8",
    "labeljust": "l",
    **_FONT,
}
# Fill colours of boxes by their part in the picture.
_FILL = {"input": "#dcebfa", "const": "#eeeeee", "output": "#dff2df", "step": "#ffffff"}


class DotMissingError(TapegradError, graphviz.ExecutableNotFound):  # type: ignore[misc]
    """The program ``dot``, which makes pictures of drawings, is not installed."""

    def __init__(self) -> None:
        Exception.__init__(self, INSTALL)

    def __str__(self) -> str:
        return INSTALL

    def __reduce__(self) -> tuple[Any, ...]:
        return DotMissingError, ()


class Drawing(graphviz.Digraph):  # type: ignore[misc]
    """A ``graphviz.Digraph`` that says what to install when ``dot`` is missing."""

    def pipe(self, *args: Any, **kwargs: Any) -> Any:
        """The picture as bytes; see graphviz."""
        try:
            return super().pipe(*args, **kwargs)
        except graphviz.ExecutableNotFound:
            raise DotMissingError from None

    def render(self, *args: Any, **kwargs: Any) -> Any:
        """The picture as a file; see graphviz."""
        try:
            return super().render(*args, **kwargs)
        except graphviz.ExecutableNotFound:
            raise DotMissingError from None


def draw(value_or_tape: Any, *args: Any) -> Drawing:
    """The picture of what leads to a Value, or of a tape.

    Args:
        value_or_tape: a Value (its ``.data`` and ``.grad`` stand in the boxes), or a
            tape (values, and adjoints for one output, are those at `args`).
        args: where to replay the tape; the inputs of its recording by default.

    Returns:
        A ``graphviz.Digraph``: ``.source`` is its text, ``.render("name",
        format="svg")`` and `render` make pictures of it, and notebooks show it.

    Raises:
        RecordError: it is neither a Value nor a tape.
        ShapeError: more than 2,000 boxes.

    Example:
        >>> import tapegrad as tg
        >>> x = tg.Value(3.0, label="x")
        >>> y = x * x
        >>> y.backward()
        >>> "x | data 3.0000 | grad 6.0000" in tg.draw(y).source
        True
    """
    if isinstance(value_or_tape, Value):
        if args:
            msg = "a Value has its number already; only a tape is drawn at arguments"
            raise RecordError(msg)
        if not isinstance(value_or_tape, Handle):
            return _drawing(_boxes_of_value(value_or_tape))
        value_or_tape = eager.tape_of(value_or_tape)
    if isinstance(value_or_tape, Tape):
        return _drawing(_boxes_of_tape(value_or_tape, args))
    msg = f"draw() takes a Value or a Tape, got {type(value_or_tape).__name__}"
    raise RecordError(msg)


def svg(value_or_tape: Any) -> str | None:
    """The picture as SVG for notebooks; None without ``dot``, or when too large."""
    try:
        return draw(value_or_tape).pipe(format="svg", encoding="utf-8")  # type: ignore[no-any-return]
    except (TapegradError, graphviz.CalledProcessError):
        return None


def render(drawing: graphviz.Digraph, path: str | Path) -> Path:
    """Write a drawing as a picture.

    Args:
        drawing: what `draw` has returned.
        path: where; the suffix says the format (.svg, .png, .pdf, ...). With .dot or
            .gv it is the source that is written, which needs no ``dot``.

    Raises:
        TapegradError: ``dot`` is missing, or knows no such format; says what to do.
    """
    path = Path(path)
    suffix = path.suffix.lstrip(".").lower()
    if suffix in {"dot", "gv"}:
        path.write_text(drawing.source, encoding="utf-8")
        return path
    if suffix not in graphviz.FORMATS:
        msg = (
            f"no picture format {path.suffix!r} in {path.name!r}; end the name in "
            ".svg, .png, .pdf or, for the source, .dot"
        )
        raise ShapeError(msg)
    try:
        picture = drawing.pipe(format=suffix)
    except graphviz.ExecutableNotFound:
        raise DotMissingError from None
    except graphviz.CalledProcessError as problem:
        msg = f"`dot` could not make {path.name!r}: {problem}"
        raise TapegradError(msg) from None
    path.write_bytes(picture)
    return path


# -- what is drawn -----------------------------------------------------------------


def _boxes_of_value(root: Value) -> list[Box]:
    ordered = eager.history(root)
    _check_size(len(ordered))
    keys = {id(value): f"v{place}" for place, value in enumerate(ordered)}
    steps: dict[Any, str] = {}
    boxes = []
    for value in ordered:
        # micrograd's inside names, which users know, and which pictures are about
        made, operands = value._step, value._operands  # noqa: SLF001
        part = "output" if value is root else "step" if made else "input"
        if part == "input" and not value.label and not np.any(value.grad):
            part = "const"
        key = keys[id(value)]
        shared = key
        if made and made[0].slots > 1:
            home = value._rec, value._rec.first_of(value._i)  # noqa: SLF001
            shared = steps.setdefault(home, key)
        shape = np.shape(operands[0]._data) if operands else ()  # noqa: SLF001
        boxes.append(
            Box(
                key,
                part,
                value.label,
                aval_of(value._data),  # noqa: SLF001
                value._data,  # noqa: SLF001
                value.grad,
                operation(*made, shape) if made else "",
                tuple(keys[id(operand)] for operand in operands),
                shared,
            )
        )
    return boxes


def _boxes_of_tape(tape: Tape, args: Sequence[Any]) -> list[Box]:
    _check_size(tape.slot_count)
    if args:
        import dataclasses

        m = arithmetic_of(tape, "float64")
        at = tuple(numbers(tape, m, bind(tape, args, {})))
        tape = dataclasses.replace(tape, example=at)
        tape(*args)  # a guard that flips is an error here, not an empty picture
    primals, adjoints = known(tape)
    boxes: list[Box] = []
    framed = windows(tape)
    for step in tape:
        name = step.primitive.name
        if step.number in framed:
            continue
        if found(step):
            boxes += loop_boxes(tape, step, primals, adjoints)
            continue
        shapes = [tape.aval_of(slot)[0] for slot in step.operands]
        for slot in step.slots:
            leaf = name in {"input", "const"}
            part = name if leaf else "output" if slot in tape.outputs else "step"
            data = primals[slot] if primals is not None else None
            if name == "const":
                data = step.params["value"]
            aval = tape.aval_of(slot)
            hidden = adjoints is None or aval[1] not in FLOATING or name == "const"
            boxes.append(
                Box(
                    f"v{slot}",
                    part,
                    tape.labels.get(slot, ""),
                    aval,
                    data,
                    None if hidden or adjoints is None else adjoints[slot],
                    ""
                    if leaf
                    else operation(step.primitive, step.params, (*shapes, ())[0]),
                    tuple(f"v{operand}" for operand in step.operands),
                    f"v{step.slots.start}",
                )
            )
    _check_size(len(boxes))  # bodies of loops among them
    return boxes


def _check_size(boxes: int) -> None:
    if boxes > LARGEST:
        msg = (
            f"a picture of {boxes:,} boxes shows nothing (limit {LARGEST:,}); draw a "
            "part of the computation, or print(tape)"
        )
        raise ShapeError(msg)


# -- as a graph --------------------------------------------------------------------


def _drawing(boxes: Iterable[Box]) -> Drawing:
    graph = Drawing(
        "tape", graph_attr=_GRAPH, node_attr=_BOX, edge_attr=_EDGE, format="svg"
    )
    drawn: set[str] = set()
    clusters: dict[tuple[str, ...], graphviz.Digraph] = {(): graph}
    later: list[tuple[str, str]] = []
    for box in boxes:
        text = " | ".join(fields(box) or [box.key.rpartition(".")[2]])
        home = _cluster(clusters, box.loops)
        home.node(box.key, f"{{ {text} }}", fillcolor=_FILL[box.part])
        if box.operation:
            made = f"{box.step}_op"
            if made not in drawn:
                drawn.add(made)
                inside = _cluster(clusters, box.made_in or box.loops)
                inside.node(made, graphviz.escape(box.operation), **_OPERATION)
                for operand in box.operands:
                    graph.edge(operand, made)
                if box.back:
                    later.append((box.back, made))
            graph.edge(made, box.key)
    for end, start in later:
        graph.edge(end, start, style="dashed", constraint="false")
    for path in sorted(clusters, key=len, reverse=True)[:-1]:
        clusters[path[:-1]].subgraph(clusters[path])
    return graph


def _cluster(clusters: dict[Any, graphviz.Digraph], path: Any) -> graphviz.Digraph:
    """The subgraph of a loop in loops."""
    for depth in range(1, len(path) + 1):
        key = path[:depth]
        if key not in clusters:
            title = key[-1].partition("|")[2]
            made = graphviz.Digraph(f"cluster_{key[-1]}", graph_attr=_LOOP)
            made.attr(label=graphviz.escape(title))
            clusters[key] = made
    return clusters[path]
