"""The command line: `tapegrad derive "x*tanh(y)" --at x=1,y=2`. Floor 13.

Commands only put together what the package does, and print it. Each imports what it
needs when it runs, so that `tapegrad --help` is quick. Exit codes: 0, 1 when a check
failed, 2 when called wrongly: a message on stderr and no traceback.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from tapegrad.errors import TapegradError

WRONG_CALL = 2


class Commands(TyperGroup):
    """All commands: an error of the library is a message, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; the library's errors end it with code 2."""
        try:
            return super().invoke(ctx)
        except TapegradError as problem:
            typer.echo(f"tapegrad: {problem}", err=True)
            raise typer.Exit(WRONG_CALL) from None
        except OSError as problem:  # a file that cannot be read or written
            where = f"{problem.filename}: " if problem.filename else ""
            typer.echo(f"tapegrad: {where}{problem.strerror}", err=True)
            raise typer.Exit(WRONG_CALL) from None


# A formula may begin with a minus: what is no known option is an argument.
FORMULA = {"ignore_unknown_options": True}

app = typer.Typer(
    cls=Commands,
    name="tapegrad",
    help="Exact derivatives of Python code on a linear tape.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
At = Annotated[
    str,
    typer.Option(
        help="Where: [bold]1.2,0.7[/] in order, or [bold]x=1.2,y=0.7[/] by name. "
        "A list is written \\[1,2].",
        metavar="POINT",
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        help="A function in a script, [bold]script.py:f[/] (the script is imported, so "
        "its code runs), or a formula such as [bold]x*tanh(y)[/].",
        metavar="TARGET",
        show_default=False,
    ),
]


@app.callback(invoke_without_command=True)
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.")
    ] = False,
) -> None:
    """Exact derivatives of Python code on a linear tape.

    Example: [bold]tapegrad derive "x*tanh(y)" --wrt x,y --at x=1,y=2[/]
    """
    if version:
        import tapegrad

        typer.echo(f"tapegrad {tapegrad.__version__}")
        raise typer.Exit


@app.command(context_settings=FORMULA)
def derive(
    formula: Annotated[
        str,
        typer.Argument(
            help="Names, numbers, + - * / **, pi, e, exp, log, tanh, sqrt, sin, cos, "
            "abs, relu, max(a, b), where(a < b, x, y). It is parsed, never evaluated.",
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
    _end(ok=found.ok)


@app.command(context_settings=FORMULA)
def gradient(target: Target, at: At = "", *, as_json: Json = False) -> None:
    """Print the value and gradient of a function at a point.

    A function with several results gets a row for each result and input.

    Example: [bold]tapegrad gradient script.py:f --at 1.2,0.7[/]
    """
    from tapegrad.cli.points import gradient_of, recorded
    from tapegrad.cli.printing import display, gradient_json, gradient_table

    tape, args, kwargs = recorded(target, at)
    values, slopes = gradient_of(tape, args, kwargs)
    if as_json:
        figures = gradient_json(tape, values, slopes)
        typer.echo(json.dumps(figures, indent=1, allow_nan=False))
    else:
        display(gradient_table(target, tape, values, slopes))


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
    from tapegrad.cli.points import recorded

    tape, _, _ = recorded(target, at)
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
    from tapegrad.cli.points import recorded
    from tapegrad.show.draw import draw as drawing
    from tapegrad.show.draw import render

    tape, _, _ = recorded(target, at)
    try:
        written = render(drawing(tape), out)
    except OSError as problem:
        _fail(f"cannot write {out}: {problem.strerror}")
    typer.echo(f"drawn: {written}")


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
    _end(ok=report.ok)


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
    _end(ok=report.ok)


def main() -> None:
    """Run the command line; the console script and ``python -m tapegrad``."""
    app(prog_name="tapegrad")


# -- printing ----------------------------------------------------------------------


def _end(*, ok: bool) -> None:
    """Code 1 when a check failed."""
    if not ok:
        raise typer.Exit(1)


def _fail(message: str) -> NoReturn:
    typer.echo(f"tapegrad: {message}", err=True)
    raise typer.Exit(WRONG_CALL)
