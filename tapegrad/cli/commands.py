"""Commands about formulas and the table of rows: derive, verify, demo. Floor 13.

Commands only put together what the package does, and print it. Each imports what it
needs when it runs, so that `tapegrad --help` is quick.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tapegrad.cli.app import FORMULA, At, Json, app, end


@app.command(context_settings=FORMULA)
def derive(
    formula: Annotated[
        str,
        typer.Argument(
            help="Names, numbers, + - * / ^ **, pi, e, exp, ln, log(x, b), tanh, sqrt, "
            "arctan, sec, abs, relu, max(a, b), where(a < b, x, y). It is parsed, "
            "never evaluated.",
            show_default=False,
        ),
    ],
    wrt: Annotated[
        str, typer.Option(help="Differentiate by these, x,y; all names by default.")
    ] = "",
    order: Annotated[int, typer.Option(help="1, or 2 for second derivatives.")] = 1,
    at: At = "",
    *,
    latex: Annotated[bool, typer.Option("--latex", help="Formulas as LaTeX.")] = False,
    as_json: Json = False,
) -> None:
    """Derive a formula: closed forms by SymPy, beside values by the tape.

    With --at, the closed form and the reverse sweep are evaluated there; ends with
    code 1 when they disagree.

    Example: [bold]tapegrad derive "x*tanh(y)+exp(x)**2" --wrt x,y --at x=1,y=2[/]
    """
    from tapegrad.cli.points import by_name
    from tapegrad.cli.printing import derivation_latex, derivation_table, display
    from tapegrad.symbolic.derive import derivation

    found = derivation(formula, wrt or None, order, by_name(at))
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1, allow_nan=False))
    elif latex:
        typer.echo(derivation_latex(found))
    else:
        display(derivation_table(found))
    end(ok=found.ok)


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Rows of the table; all by default.", show_default=False),
    ] = None,
    points: Annotated[
        int, typer.Option(min=1, help="Points for each check against 50 digits.")
    ] = 1000,
    orders: Annotated[
        int, typer.Option(min=1, max=2, help="Prove derivatives up to this order.")
    ] = 2,
    *,
    as_json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="The report as Markdown.")
    ] = False,
) -> None:
    """Verify the table of primitives: proofs, ulps, edges, readings against each other.

    Ends with code 1 unless every row is proved and holds.

    Example: [bold]tapegrad verify tanh sqrt --points 200[/]
    """
    from tapegrad.cli.printing import display
    from tapegrad.proof import verify as check

    report = check(names or None, orders=orders, points=points)
    if as_json:
        typer.echo(report.to_json())
    elif markdown:
        typer.echo(report.to_markdown())
    else:
        display(report)
    end(ok=report.ok)


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write the picture.", show_default=False),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the whole way on real data: record, derive, fit, check, compile, draw.

    Ends with code 1 unless every certified parameter is reproduced to six digits.

    Example: [bold]tapegrad demo --out picture.svg[/]
    """
    from rich.console import Console

    from tapegrad.demo import run

    console = Console(quiet=as_json, highlight=False)
    where = {} if out is None else {"picture": out}
    report = run(**where, console=console)
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=1))
    end(ok=report.ok)


@app.command()
def bench(
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Short runs of small works.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a few speeds on this machine, beside plain Python and NumPy.

    Example: [bold]tapegrad bench --quick[/]
    """
    from tapegrad.bench import run
    from tapegrad.cli.printing import display

    speeds = run(quick=quick)
    if as_json:
        typer.echo(json.dumps(speeds.to_json(), indent=1))
    else:
        display(speeds)
