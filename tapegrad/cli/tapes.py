"""Commands about tapes: record, replay, gradient, show, draw. Floor 13.

A tape comes from a function in a script, from a formula, or from a tape file; points
come from the command line, from a CSV file or from an NPY file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tapegrad.cli.app import FORMULA, At, Json, app, fail

Target = Annotated[
    str,
    typer.Argument(
        help="A function in a script, [bold]script.py:f[/] (the script is imported, so "
        "its code runs), a formula such as [bold]x*tanh(y)[/], or a tape file "
        "(read, never run).",
        metavar="TARGET",
        show_default=False,
    ),
]
Csv = Annotated[
    Path | None,
    typer.Option(
        help="A CSV file of points, one a row; names of inputs as a first row if "
        "you like.",
        show_default=False,
    ),
]
Npy = Annotated[
    Path | None,
    typer.Option(
        help="An NPY file: the array that the function takes, or a row of numbers for "
        "each point.",
        show_default=False,
    ),
]


@app.command(context_settings=FORMULA)
def record(
    target: Target,
    at: At = "",
    csv: Csv = None,
    npy: Npy = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The tape file to write.")
    ] = Path("tape.safetensors"),
    *,
    as_json: Json = False,
) -> None:
    """Record a function at a point, and save its tape as a file.

    Example: [bold]tapegrad record script.py:f --at 1.2,0.7 -o tape.safetensors[/]
    """
    from tapegrad.cli.points import opened

    tape, calls = opened(target, at, csv, npy)
    if len(calls) != 1:
        fail(f"a tape is recorded at one point, and there are {len(calls)}")
    tape.save(output)
    if as_json:
        figures = {
            "file": str(output),
            "bytes": output.stat().st_size,
            "steps": len(tape),
            "slots": tape.slot_count,
            "inputs": list(tape.input_labels()),
            "outputs": len(tape.outputs),
            "guards": len(tape.guards),
        }
        typer.echo(json.dumps(figures, indent=1))
    else:
        typer.echo(f"recorded: {output}, {tape!r}")


@app.command(context_settings=FORMULA)
def replay(
    target: Target,
    at: At = "",
    csv: Csv = None,
    npy: Npy = None,
    *,
    as_json: Json = False,
) -> None:
    """Replay a tape at points: the values, without the code that was recorded.

    A tape file without a point is replayed where it was recorded.

    Example: [bold]tapegrad replay tape.safetensors --at 1.2,0.7[/]
    """
    from tapegrad.cli.points import opened
    from tapegrad.cli.printing import display, replay_json, replay_table

    tape, calls = opened(target, at, csv, npy)
    found = [call.run(tape) for call in calls]
    if as_json:
        figures = [replay_json(tape, *row) for row in found]
        print_json(figures, one=not (csv or npy))
    else:
        display(replay_table(target, tape, found))


@app.command(context_settings=FORMULA)
def gradient(
    target: Target,
    at: At = "",
    csv: Csv = None,
    npy: Npy = None,
    *,
    as_json: Json = False,
) -> None:
    """Print the value and gradient of a function at a point, or at many.

    A function with several results gets a row for each result and input. A tape file
    without a point is differentiated where it was recorded.

    Example: [bold]tapegrad gradient script.py:f --at 1.2,0.7[/]
    """
    from tapegrad.cli.points import opened
    from tapegrad.cli.printing import display, gradient_json, gradient_table

    tape, calls = opened(target, at, csv, npy)
    found = [call.gradient(tape) for call in calls]
    if as_json:
        figures = [gradient_json(tape, *row) for row in found]
        print_json(figures, one=not (csv or npy))
    else:
        display(gradient_table(target, tape, found))


def print_json(figures: list[Any], *, one: bool) -> None:
    """Figures of the one point of ``--at``, or a list of a file's points."""
    shown = figures[0] if one else figures
    typer.echo(json.dumps(shown, indent=1, allow_nan=False))


@app.command(context_settings=FORMULA)
def show(
    target: Target,
    at: At = "",
    *,
    trace: Annotated[
        bool, typer.Option("--trace", help="The two sweeps, line by line.")
    ] = False,
    symbolic: Annotated[
        bool, typer.Option("--symbolic", help="The two sweeps, with formulas.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Values, operations and children as JSON.")
    ] = False,
) -> None:
    """Print the tape of a function: one line a step, with primals and adjoints.

    Example: [bold]tapegrad show script.py:f --at 1.2,0.7[/]
    """
    from tapegrad.cli.points import opened

    tape, _ = opened(target, at)
    if as_json:
        typer.echo(tape.to_json())
    elif trace or symbolic:
        typer.echo(tape.trace(symbolic=symbolic))
    else:
        typer.echo(str(tape))


@app.command(context_settings=FORMULA)
def draw(
    target: Target,
    at: At = "",
    out: Annotated[
        Path,
        typer.Option(help="The picture; .svg, .png, .pdf, or .dot for the source."),
    ] = Path("tape.svg"),
) -> None:
    """Draw the tape of a function: data and grad of each step in a box.

    Example: [bold]tapegrad draw script.py:f --at 1.2,0.7 --out g.svg[/]
    """
    from tapegrad.cli.points import opened
    from tapegrad.show.draw import draw as drawing
    from tapegrad.show.draw import render

    tape, _ = opened(target, at)
    try:
        written = render(drawing(tape), out)
    except OSError as problem:
        fail(f"cannot write {out}: {problem.strerror}")
    typer.echo(f"drawn: {written}")
